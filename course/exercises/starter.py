"""The two texts of an exercise's code cell: the starter, made from the solution so that the two cannot drift apart, and the solution."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
import typing
from collections.abc import Callable
from types import ModuleType

from torch import nn

from course.exercises.exercise import Exercise, TrainingExercise

_WIDTH = 100


def starter(exercise: Exercise | TrainingExercise) -> str:
    """The function's signature and docstring, and `raise NotImplementedError`. Runs by itself after `import torch`."""
    text = exercise.docstring or _for_students(inspect.getdoc(exercise.solution) or "")
    raw = "r" if "\\" in text else ""
    docstring = f'{raw}"""{text}\n"""' if "\n" in text else f'{raw}"""{text}"""'
    body = f'{docstring}\nraise NotImplementedError("{exercise.name} is not written yet")'
    return f"{_signature(exercise.solution)}\n{textwrap.indent(body, '    ')}"


def _for_students(docstring: str) -> str:
    """The summary and the arguments. Paragraphs between them are about the course's own way, and Raises about input that no case has."""
    summary, *sections = docstring.split("\n\n")
    return "\n\n".join([summary, *(section for section in sections if section.startswith("Args:"))]).strip()


def _signature(function: Callable) -> str:
    """The `def` line, with every alias in its type hints spelled out, so that nothing needs importing but torch."""
    signature = inspect.signature(function, eval_str=True)
    signature = signature.replace(return_annotation=_unnamed(signature.return_annotation))
    line = f"def {function.__name__}{signature}:".replace(f"{nn.Module.__module__}.", "torch.nn.")  # its public name
    if len(line) > _WIDTH:
        parameters = "".join(f"    {parameter},\n" for parameter in _parameters(signature))
        returns = inspect.formatannotation(signature.return_annotation)
        line = f"def {function.__name__}(\n{parameters}) -> {returns}:"
    return re.sub(r"collections\.abc\.Sequence\[([\w.]+)\]", r"tuple[\1, ...]", line)  # the cases' sequences are all tuples


def _unnamed(annotation: object) -> object:
    """Of a named tuple the plain one: whoever returns a tuple of the same tensors is right."""
    if isinstance(annotation, type) and issubclass(annotation, tuple) and hasattr(annotation, "_fields"):
        return tuple[tuple(typing.get_type_hints(annotation).values())]
    return annotation


def _parameters(signature: inspect.Signature) -> list[str]:
    """The parameters as they stand in a `def` line, the star before those that are keywords only included."""
    lines = [str(parameter) for parameter in signature.parameters.values()]
    kinds = [parameter.kind for parameter in signature.parameters.values()]
    if inspect.Parameter.KEYWORD_ONLY in kinds and inspect.Parameter.VAR_POSITIONAL not in kinds:
        lines.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
    return lines


def solution_code(exercise: Exercise | TrainingExercise) -> str:
    """The source of the course's own function, below the imports that it needs to run in a notebook."""
    source = textwrap.dedent(inspect.getsource(exercise.solution))
    return f"{_imports_of(exercise.solution, source)}\n\n\n{source}".strip()


def _imports_of(function: Callable, source: str) -> str:
    """Import lines for every global name that the source reads, from wherever the function's own module has it."""
    names = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)} - {function.__name__}
    lines: set[str] = set()
    grouped: dict[str, set[str]] = {}
    for name in names & function.__globals__.keys():
        value = function.__globals__[name]
        if isinstance(value, ModuleType):
            package, _, last = value.__name__.rpartition(".")
            plain = f"from {package} import {last}" if package else f"import {last}"
            lines.add(plain if name == last else f"{plain} as {name}")
        else:
            home = getattr(value, "__module__", None) or function.__module__
            has_it = getattr(sys.modules.get(home), name, None) is value
            grouped.setdefault(home if has_it else function.__module__, set()).add(name)
    lines |= {f"from {home} import {', '.join(sorted(found))}" for home, found in grouped.items()}
    return "\n".join(sorted(lines, key=lambda line: (line.startswith("from"), line)))
