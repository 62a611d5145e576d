"""The browser gets one module and one style sheet, joined from the files."""

import re
import subprocess

import pytest

from course import programs
from segwidgets import bundle
from segwidgets.roles import ROLES


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Writes modules of one's own, and joins them."""
    monkeypatch.setattr(bundle, "STATIC", tmp_path)
    bundle.javascript.cache_clear()

    def write(**sources):
        for name, source in sources.items():
            (tmp_path / f"{name}.js").write_text(source)
        return bundle.javascript("main")

    yield write
    bundle.javascript.cache_clear()


def test_the_joined_module_imports_nothing_and_exports_only_its_default():
    source = bundle.javascript()
    assert re.findall(r"^\s*import\b.*$", source, re.MULTILINE) == []
    assert re.findall(r"^export\b.*$", source, re.MULTILINE) == ["export default { render };"]
    for name in ("class TraceReader", "class PanelView", "class Controls", "class Player", "function fitPanels", "function formatNumber"):
        assert source.count(name) == 1


def test_the_joined_module_is_javascript(tmp_path):
    (tmp_path / "joined.mjs").write_text(bundle.javascript())
    checked = subprocess.run([programs.node(), "--check", tmp_path / "joined.mjs"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_a_module_that_two_others_import_is_joined_once(modules):
    joined = modules(
        main='import { a } from "./left.js";\nimport { b } from "./right.js";\nexport default a + b;\n',
        left='import { c } from "./deep.js";\nexport const a = c;\n',
        right='import { c } from "./deep.js";\nexport const b = c;\n',
        deep="export const c = 1;\n",
    )
    assert " ".join(joined.split()) == "const c = 1; const a = c; const b = c; export default a + b;"


@pytest.mark.parametrize(
    "other", ["const twice = 2;", "function twice() {}", "class twice {}", "async function twice() {}", "export let twice = 1;"]
)
def test_a_name_that_two_modules_define_is_refused(modules, other):
    with pytest.raises(ValueError, match=r"main.js and deep.js both define twice; joined modules share their names"):
        modules(main=f'import {{ c }} from "./deep.js";\n{other}\n', deep="export const c = 1;\nconst twice = 1;\n")


@pytest.mark.parametrize(
    "line", ['import deep from "./deep.js";', 'import * as deep from "./deep.js";', 'import "./deep.js";', 'import { a } from "deep";']
)
def test_an_import_that_cannot_be_joined_is_refused(modules, line):
    with pytest.raises(ValueError, match=r'main.js imports in a form that cannot be joined; write import \{ a \} from "./b.js";'):
        modules(main=f"{line}\n", deep="export const a = 1;\n")


def test_nothing_is_fetched_and_no_text_becomes_markup():
    whole = bundle.javascript() + bundle.stylesheet()
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", whole) == []
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|@import|url\(", whole)


def test_every_role_has_its_colours_in_the_style_sheet():
    sheet = bundle.stylesheet()
    for name, role in ROLES.items():
        assert f"--segw-{name}:{role.light};" in sheet and f"--segw-{name}:{role.dark};" in sheet
    used = set(re.findall(r"var\(--segw-([a-z-]+)", sheet))
    from_the_player = {"unit", "size", "side", "length", "part", "role", "type"}
    defined = set(re.findall(r"--segw-([a-z-]+)\s*:", sheet)) | from_the_player
    assert used <= defined
    source = bundle.javascript()
    assert set(re.search(r"const ORDER = (\[.*?\]);", source)[1].replace('"', "").strip("[]").split(", ")) == set(ROLES)
