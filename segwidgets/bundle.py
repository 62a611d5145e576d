"""Joins the player's ES modules into the one string that anywidget and a stand-alone page import.

anywidget loads `_esm` from a blob address, where `import "./trace.js"` finds nothing. The modules stay separate on disk
(node tests them as they are) and are joined here in the order of their imports.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from segwidgets.roles import css_variables

STATIC = Path(__file__).parent / "static"

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w-]+)\.js";\n', re.MULTILINE)
_TYPE_IMPORT = re.compile(r"^import .*$", re.MULTILINE)
_EXPORT = re.compile(r"^export (?!default)", re.MULTILINE)


@cache
def javascript(entry: str = "player") -> str:
    """The module `static/<entry>.js` and all that it imports, as one ES module.

    Raises:
        ValueError: two modules define the same top-level name, which joining would break.
    """
    order: list[str] = []
    _visit(entry, order)
    sources = {name: (STATIC / f"{name}.js").read_text(encoding="utf-8") for name in order}
    owner: dict[str, str] = {}
    for name, source in sources.items():
        for defined in re.findall(r"^(?:export )?(?:async )?(?:const|let|class|function\*?) (\w+)", source, re.MULTILINE):
            if defined in owner:
                raise ValueError(f"{name}.js and {owner[defined]}.js both define {defined}; joined modules share their names")
            owner[defined] = name
    return "\n".join(_EXPORT.sub("", _IMPORT.sub("", source)) for source in sources.values())


@cache
def stylesheet() -> str:
    """The roles' colours followed by the player's own rules."""
    return css_variables() + (STATIC / "player.css").read_text(encoding="utf-8")


def _visit(name: str, order: list[str]) -> None:
    source = (STATIC / f"{name}.js").read_text(encoding="utf-8")
    for needed in _IMPORT.findall(source):
        if needed not in order:
            _visit(needed, order)
    if _TYPE_IMPORT.search(_IMPORT.sub("", source)):
        raise ValueError(f'{name}.js imports in a form that cannot be joined; write import {{ a }} from "./b.js";')
    order.append(name)
