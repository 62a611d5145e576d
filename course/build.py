"""From a lesson's source (jupytext percent) to its executed notebook, and the check that a notebook is what its source gives."""

import base64
import difflib
import re
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import unquote

import jupytext
import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell

from course import execution, notebooks
from course.atomic import write_atomically
from course.errors import CourseError, OutOfDate
from course.lessons import EXERCISES

BADGES = Path(__file__).with_name("badges")
DIFF_LINES = 30
# What looks like a link in code or in a formula is none.
NO_MARKDOWN = re.compile(r"^(```|~~~).*?^\1|(`+)(?!`).+?(?<!`)\2(?!`)|\$\$.+?\$\$|\$[^$\n]+\$", re.MULTILINE | re.DOTALL)
LINK = re.compile(
    r"\]\(\s*<([^>\n]+)>"  # [text](<target>)
    r"|\]\(\s*((?:[^()\s]|\([^()\s]*\))+)"  # [text](target "title")
    r"|^ {0,3}\[[^]^][^]]*\]:\s*(\S+)"  # [text]: target
    r"|\b(?:href|src)\s*=\s*[\"']([^\"'\n]+)",
    re.MULTILINE,
)
NOT_RELATIVE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|[/#?]")

# The sources are compared before anything is run.
UNKNOWN = " Its cells have not been run: if one of them fails, that command says which and why, and writes nothing."

INSTALL_ON_COLAB = """\
# On Colab this installs the course; anywhere else it does nothing.
import importlib.util
import subprocess
import sys

if "google.colab" in sys.modules and importlib.util.find_spec("segwidgets") is None:
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "git+https://github.com/{repository}"], check=True)
    importlib.invalidate_caches()"""

METADATA = {
    "accelerator": "GPU",
    "colab": {"provenance": [], "toc_visible": True},
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def repository_of(root: Path) -> str:
    """`owner/name` of the repository that Colab and Binder fetch, from `[tool.segcourse]` in pyproject.toml."""
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["segcourse"]["repository"]


def read_lesson(source: Path, repository: str) -> nbformat.NotebookNode:
    """The lesson's notebook, not yet executed.

    Raises:
        CourseError: When the source is no notebook for jupytext, or doesn't begin with a Markdown cell whose first line is the title.
    """
    try:
        notebook = jupytext.reads(source.read_text(encoding="utf-8"), fmt="py:percent")
    except nbformat.ValidationError as error:  # of the header, which is read as the notebook's metadata
        raise CourseError(f"{source.name} has a header that no notebook can have: {str(error).splitlines()[0]}.") from None
    for cell in notebook.cells:
        cell.metadata.pop("lines_to_next_cell", None)  # jupytext's memory of blank lines in the source
    return dress(notebook, source.stem, repository, source.name)


def read_exercises(lesson: str, repository: str) -> nbformat.NotebookNode | None:
    """The starter notebook of a lesson's exercises, outputs empty; None when the lesson has none."""
    from course.exercises import exercises_of, starter_notebook  # loads torch

    try:
        exercises_of(lesson)
    except ValueError:  # what it raises for a lesson without exercises
        return None
    return dress(starter_notebook(lesson), lesson + EXERCISES, repository, f"The exercises of {lesson}")


def read_both(source: Path, repository: str) -> tuple[nbformat.NotebookNode, nbformat.NotebookNode | None]:
    """The lesson's notebook, not yet executed, and that of its exercises, None when it has none.

    Raises:
        CourseError: As `read_lesson`, and when a link of the lesson leads nowhere.
    """
    lesson, exercises = read_lesson(source, repository), read_exercises(source.stem, repository)
    built = {source.stem} if exercises is None else {source.stem, source.stem + EXERCISES}
    for link in relative_links(lesson):
        target = source.parent / unquote(re.split("[#?]", link)[0])
        is_notebook = target.suffix == ".ipynb" and target.parent.resolve() == source.parent.resolve()
        if target.exists() or (is_notebook and (target.stem in built or target.with_suffix(".py").exists())):
            continue  # a lesson not built yet counts by its source: else two that link to each other could never be built
        none = f", and {source.stem} has no exercises" if target.stem == source.stem + EXERCISES else ""
        raise CourseError(f"{source.name} links to {link}, which neither exists beside it nor is built with it{none}.")
    return lesson, exercises


def relative_links(notebook: nbformat.NotebookNode) -> list[str]:
    """The targets of links and pictures in Markdown cells that name a file, relative to the notebook's folder."""
    texts = (NO_MARKDOWN.sub("", cell.source) for cell in notebook.cells if cell.cell_type == "markdown")
    links = ("".join(groups) for text in texts for groups in LINK.findall(text))
    return [link for link in links if not NOT_RELATIVE.match(link)]


def dress(notebook: nbformat.NotebookNode, stem: str, repository: str, name: str) -> nbformat.NotebookNode:
    """What every notebook of the course has, in place: badges under the title, the cell that installs on Colab, metadata, cell ids."""
    first = notebook.cells[0] if notebook.cells else new_markdown_cell()
    title, _, rest = first.source.partition("\n")
    if first.cell_type != "markdown" or not title.startswith("# "):
        raise CourseError(f"{name} must begin with a Markdown cell whose first line is its title (`# …`).")
    first.source = f"{title}\n\n{badges(stem, repository)}\n{rest}".rstrip()
    first.attachments = {path.name: {"image/png": base64.b64encode(path.read_bytes()).decode()} for path in _badge_files()}
    notebook.cells.insert(1, new_code_cell(INSTALL_ON_COLAB.format(repository=repository)))
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebooks.set_cell_ids(notebook)
    return notebook


def badges(stem: str, repository: str) -> str:
    """Markdown of the two badges. Their pictures travel in the cell, so that opening a notebook asks nothing of the network."""
    path = f"lessons/{stem}.ipynb"
    colab = f"https://colab.research.google.com/github/{repository}/blob/main/{path}"
    binder = f"https://mybinder.org/v2/gh/{repository}/HEAD?labpath={path.replace('/', '%2F')}"
    return f"[![Open in Colab](attachment:colab.png)]({colab}) [![Open in Binder](attachment:binder.png)]({binder})"


def _badge_files() -> list[Path]:
    return [BADGES / "colab.png", BADGES / "binder.png"]


def execute_lesson(notebook: nbformat.NotebookNode, source: Path, say: Callable[[str], None], timeout: int) -> None:
    """Fill in the outputs, in place, and strip what would differ tomorrow."""
    execution.execute(notebook, source.parent, source.name, timeout)
    notebooks.strip_widget_views(notebook)
    for line in notebooks.strip_volatile(notebook):
        say(f"{source.name}, {line}")
    notebooks.set_cell_ids(notebook)


def as_bytes(notebook: nbformat.NotebookNode) -> bytes:
    return (nbformat.writes(notebook) + "\n").encode()


def build(source: Path, repository: str, say: Callable[[str], None], timeout: int = 600) -> None:
    """Write `NN_slug.ipynb`, executed, and `NN_slug_exercises.ipynb` beside the source. An interruption leaves the old files whole.

    Raises:
        CourseError: When a link leads nowhere, a cell fails, or a notebook is above 2 MB.
    """
    lesson, exercises = read_both(source, repository)
    execute_lesson(lesson, source, say, timeout)
    built = [(source.with_suffix(".ipynb"), lesson)]
    if exercises is None:
        topic = source.stem.partition("_")[2]
        say(f"{source.name} has no exercises (they would stand in course/exercises/{topic}.py, in a tuple EXERCISES).")
    else:
        built.append((source.with_name(f"{source.stem}{EXERCISES}.ipynb"), exercises))
    contents = [(path, _checked_size(path, notebook)) for path, notebook in built]
    for path, content in contents:
        write_atomically(path, content)
        say(f"{path.name} is written ({notebooks.size_in_kb(len(content))}).")


def check(source: Path, repository: str, say: Callable[[str], None], timeout: int = 600, execute: bool = True) -> None:
    """Hold the committed notebooks against their source. Nothing is written.

    Args:
        execute: Whether the lesson is run and its text outputs are compared too. Of pictures it is compared that they are there.

    Raises:
        OutOfDate: When a notebook is missing or not what its source gives; with a short diff.
        CourseError: When it is above 2 MB, no notebook at all, a link leads nowhere, or a cell fails.
    """
    lesson, exercises = read_both(source, repository)
    pairs = [(source.with_suffix(".ipynb"), lesson, execute)]
    if exercises is not None:
        pairs.append((source.with_name(f"{source.stem}{EXERCISES}.ipynb"), exercises, True))
    committed = [_read_committed(path) for path, _, _ in pairs]
    for (path, fresh, _), old in zip(pairs, committed, strict=True):
        unknown = UNKNOWN if fresh is lesson else ""
        _compare(path, old, fresh, outputs=False, unknown=unknown)  # before the slow part
    if execute:
        execute_lesson(lesson, source, say, timeout)
    for (path, fresh, outputs), old in zip(pairs, committed, strict=True):
        _checked_size(path, old)
        _compare(path, old, fresh, outputs)
        say(f"{path.name} is what its source gives{'' if outputs else ' (outputs not compared)'}.")


def _read_committed(path: Path) -> nbformat.NotebookNode:
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        return notebook
    except FileNotFoundError:
        raise OutOfDate(f"{path.name} is not built yet; `segcourse build {path.name[:2]}` builds it.") from None
    except Exception as error:  # nbformat raises its own errors, JSON's and the schema's
        raise CourseError(f"{path.name} is not a notebook ({str(error).splitlines()[0]}).") from None


def _compare(path: Path, old: nbformat.NotebookNode, fresh: nbformat.NotebookNode, outputs: bool, unknown: str = "") -> None:
    lines = difference(old, fresh, outputs)
    if lines:
        more = f"\n    … and {len(lines) - DIFF_LINES} lines more" if len(lines) > DIFF_LINES else ""
        shown = "\n".join(f"    {line}" for line in lines[:DIFF_LINES])
        raise OutOfDate(
            f"{path.name} is not what its source gives (− committed, + fresh); "
            f"`segcourse build {path.name[:2]}` builds it anew, if the change is meant.{unknown}\n{shown}{more}"
        )


def difference(old: nbformat.NotebookNode, fresh: nbformat.NotebookNode, outputs: bool = True) -> list[str]:
    """The lines of a diff from `old` to `fresh`, empty when they say the same; see `course.notebooks.as_text`."""
    before, after = (notebooks.as_text(notebook, outputs) for notebook in (old, fresh))
    return list(_without_head(difflib.unified_diff(before, after, n=2, lineterm="")))


def _without_head(lines: Iterable[str]) -> Iterable[str]:
    return (line for line in lines if not line.startswith(("--- ", "+++ ")))


def _checked_size(path: Path, notebook: nbformat.NotebookNode) -> bytes:
    content = as_bytes(notebook)
    sentence = notebooks.oversize(notebook, len(content))
    if sentence is not None:
        raise CourseError(f"{path.name} {sentence}")
    return content
