"""A tiny lesson: built, checked, changed, interrupted."""

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import nbformat
import pytest

from course import build, lessons, notebooks
from course.errors import CourseError, OutOfDate
from tests.environments import ROOT

REPOSITORY = "somebody/somewhere"
LESSON = """\
# ---
# jupyter:
#   kernelspec:
#     display_name: Something local
#     name: something-local
# ---

# %% [markdown]
# # Adding
# How two numbers become one.

# %%
import matplotlib.pyplot as plt
print(2 + 2)


# %%
plt.plot([1, 2]);

# %% tags=["nbval-ignore-output"]
import random
random.random()
"""


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "07_adding.py"
    path.write_text(LESSON)
    return path


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The tiny lesson and its notebook; tests copy them, since each execution takes seconds."""
    path = tmp_path_factory.mktemp("built") / "07_adding.py"
    path.write_text(LESSON)
    said = []
    build.build(path, REPOSITORY, said.append)
    return path, said


def copied(built, folder: Path) -> Path:
    for path in built[0].parent.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder / built[0].name


def read(source: Path):
    return nbformat.read(source.with_suffix(".ipynb"), as_version=4)


def test_a_built_lesson_has_what_every_notebook_has(built):
    notebook = read(built[0])
    nbformat.validate(notebook)
    first, second = notebook.cells[:2]
    assert first.source.startswith("# Adding\n\n[![Open in Colab](attachment:colab.png)](https://colab.research.google.com/github/")
    assert "github/somebody/somewhere/blob/main/lessons/07_adding.ipynb)" in first.source
    assert "https://mybinder.org/v2/gh/somebody/somewhere/HEAD?labpath=lessons%2F07_adding.ipynb" in first.source
    assert first.source.endswith("How two numbers become one.")
    assert set(first.attachments) == {"colab.png", "binder.png"}
    assert second.cell_type == "code" and "git+https://github.com/somebody/somewhere" in second.source and second.outputs == []
    assert notebook.metadata == build.METADATA
    assert notebook.metadata["accelerator"] == "GPU" and notebook.metadata["kernelspec"]["name"] == "python3"


def test_it_is_executed_and_keeps_its_outputs(built):
    code = [cell for cell in read(built[0]).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [1, 2, 3, 4]
    assert code[1].outputs[0].text == "4\n"
    assert "image/png" in code[2].outputs[0].data
    assert all("execution" not in cell.metadata for cell in code)


def test_the_colab_cell_does_nothing_elsewhere_and_installs_once_on_colab(monkeypatch):
    cell = compile(build.INSTALL_ON_COLAB.format(repository=REPOSITORY), "cell", "exec")
    ran = []
    monkeypatch.setattr(subprocess, "run", lambda command, **_: ran.append(command))
    exec(cell, {})
    assert ran == []
    monkeypatch.setitem(sys.modules, "google.colab", sys)
    exec(cell, {})
    assert ran == [], "the course is installed here, so even on Colab there is nothing to do"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    exec(cell, {})
    assert ran == [[sys.executable, "-m", "pip", "install", "-q", f"git+https://github.com/{REPOSITORY}"]]


def test_check_passes_on_what_was_just_built(built):
    before = {path: path.read_bytes() for path in built[0].parent.iterdir()}
    said = []
    build.check(built[0], REPOSITORY, said.append)
    assert said == ["07_adding.ipynb is what its source gives."]
    assert {path: path.read_bytes() for path in built[0].parent.iterdir()} == before


def test_building_again_gives_the_same_text(built, tmp_path):
    source = copied(built, tmp_path)
    build.build(source, REPOSITORY, lambda _: None)
    assert notebooks.as_text(read(source)) == notebooks.as_text(read(built[0]))
    assert [cell.id for cell in read(source).cells] == [cell.id for cell in read(built[0]).cells]


@pytest.mark.parametrize(
    "old, new, shown",
    [
        ("print(2 + 2)", "print(3 + 2)", "+print(3 + 2)"),
        ("# How two", "# How many", "+How many"),
        ('tags=["nbval-', 'tags=["x-', '"x-ignore-output"'),
    ],
)
def test_check_fails_when_the_source_changed(built, tmp_path, old, new, shown):
    source = copied(built, tmp_path)
    source.write_text(LESSON.replace(old, new))
    with pytest.raises(CourseError, match="07_adding.ipynb is not what its source gives") as failure:
        build.check(source, REPOSITORY, print, execute=False)
    assert shown in str(failure.value)
    advice = "`segcourse build 07` builds it anew, if the change is meant. Its cells have not been run: if one of them fails, "
    assert advice in str(failure.value)


def test_check_tells_the_error_of_a_cell_that_fails_though_its_source_is_the_same(tmp_path):
    """What a lesson uses has changed, not the lesson."""
    source = tmp_path / "07_adding.py"
    source.write_text("# %% [markdown]\n# # Adding\n\n# %%\nprint(open('number').read())\n")
    (tmp_path / "number").write_text("4")
    build.build(source, REPOSITORY, print)
    (tmp_path / "number").write_text("5")
    with pytest.raises(OutOfDate, match="builds it anew, if the change is meant.\n") as failure:  # the cells have been run
        build.check(source, REPOSITORY, print)
    assert "+    | 5" in str(failure.value)
    (tmp_path / "number").unlink()
    with pytest.raises(CourseError, match=r"07_adding.py, cell 3 \(.print.*: FileNotFoundError"):
        build.check(source, REPOSITORY, print)


def test_a_lesson_without_exercises_says_where_they_would_stand(built):
    expected = "07_adding.py has no exercises (they would stand in course/exercises/adding.py, in a tuple EXERCISES)."
    assert expected in built[1]


DEAD = [
    ("[more](07_adding_exercises.ipynb)", "07_adding_exercises.ipynb", ", and 07_adding has no exercises"),
    ("![a cat](pictures/cat.png)", "pictures/cat.png", ""),
    ("[the README](../nowhere.md#start)", "../nowhere.md#start", ""),
    ("[more](<a name.txt> 'titled')", "a name.txt", ""),
    ("[more](a_(b).txt)", "a_(b).txt", ""),
    ("<img src='cat.png'>", "cat.png", ""),
    ("[the cat]: cat.png", "cat.png", ""),
    ("Cost: `x`, $y$. See [`x`](cat.png), not `[x](y)`.", "cat.png", ""),
]


@pytest.mark.parametrize("command", [build.build, build.check])
@pytest.mark.parametrize("markdown, link, none", DEAD)
def test_a_link_that_leads_nowhere_is_named(source, command, markdown, link, none):
    source.write_text(f"# %% [markdown]\n# # Adding\n# {markdown}\n")
    with pytest.raises(CourseError) as failure:
        command(source, REPOSITORY, print)
    assert str(failure.value) == f"07_adding.py links to {link}, which neither exists beside it nor is built with it{none}."


def test_links_that_lead_somewhere_and_what_only_looks_like_one(source):
    (source.parent / "a cat.txt").write_text("")
    (source.parent / "08_next.py").write_text("")
    links = ["07_adding.ipynb", "a%20cat.txt#tail", "08_next.ipynb", "https://example.org/x", "#goals", "mailto:a@example.org", "."]
    markdown = " ".join(f"[x]({link})" for link in links) + " `f[0](x)` $w[i](y)$ ``a[`](z)``"
    source.write_text(f"# %% [markdown]\n# # Adding\n# {markdown}\n#\n# ```python\n# f[0](x)\n# ```\n")
    lesson, exercises = build.read_both(source, REPOSITORY)
    assert exercises is None and build.relative_links(lesson) == ["07_adding.ipynb", "a%20cat.txt#tail", "08_next.ipynb", "."]


def test_check_fails_when_the_repository_changed(built):
    with pytest.raises(CourseError, match="not what its source gives"):
        build.check(built[0], "somebody/elsewhere", print, execute=False)


def edited(source: Path, edit):
    notebook = read(source)
    edit(notebook)
    nbformat.write(notebook, source.with_suffix(".ipynb"))


def other_answer(notebook):
    notebook.cells[2].outputs[0].text = "5\n"


def no_picture(notebook):
    del notebook.cells[3].outputs[0].data["image/png"]


@pytest.mark.parametrize("edit, shown", [(other_answer, "-    | 5"), (no_picture, "+    image/png: present")])
def test_check_fails_when_an_output_is_not_what_the_source_gives(built, tmp_path, edit, shown):
    source = copied(built, tmp_path)
    edited(source, edit)
    build.check(source, REPOSITORY, print, execute=False)  # the sources agree
    with pytest.raises(CourseError, match="not what its source gives") as failure:
        build.check(source, REPOSITORY, print)
    assert shown in str(failure.value)


def test_check_says_that_a_notebook_is_missing_or_none(source):
    with pytest.raises(CourseError, match="07_adding.ipynb is not built yet; `segcourse build 07` builds it"):
        build.check(source, REPOSITORY, print)
    source.with_suffix(".ipynb").write_text("{}")
    with pytest.raises(CourseError, match="07_adding.ipynb is not a notebook"):
        build.check(source, REPOSITORY, print)


def test_a_failing_cell_is_named_and_the_old_notebook_stays(built, tmp_path):
    source = copied(built, tmp_path)
    before = source.with_suffix(".ipynb").read_bytes()
    source.write_text(LESSON.replace("print(2 + 2)", "print(2 / 0)"))
    told = r"07_adding.py, cell 3 \('import matplotlib.pyplot as plt'\): ZeroDivisionError: division by zero"
    with pytest.raises(CourseError, match=told):
        build.build(source, REPOSITORY, print)
    assert source.with_suffix(".ipynb").read_bytes() == before


def test_a_cell_that_takes_too_long_is_named(source):
    source.write_text("# %% [markdown]\n# # Slow\n\n# %%\nimport time; time.sleep(30)\n")
    with pytest.raises(CourseError, match="cell 3 .* took longer than the 1 seconds"):
        build.build(source, REPOSITORY, print, timeout=1)


def test_a_notebook_above_the_limit_is_not_written(source):
    source.write_text("# %% [markdown]\n# # Large\n\n# %%\nprint(('x' * 99 + chr(10)) * 21_000)\n")
    with pytest.raises(CourseError, match=r"07_adding.ipynb is 2,\d\d\d kB and may have 2,000 kB; the largest outputs are cell 3's stdout"):
        build.build(source, REPOSITORY, print)
    assert not source.with_suffix(".ipynb").exists()


def test_a_lesson_needs_a_title(source):
    source.write_text("# %%\nprint(1)\n")
    with pytest.raises(CourseError, match="must begin with a Markdown cell whose first line is its title"):
        build.build(source, REPOSITORY, print)


def test_an_interrupted_build_keeps_the_old_notebook_and_leaves_no_kernel(source):
    old = source.with_suffix(".ipynb")
    old.write_text("the old one")
    source.write_text("# %% [markdown]\n# # Slow\n\n# %%\nimport os, time\nopen('kernel', 'w').write(str(os.getpid())); time.sleep(60)\n")
    program = f"import course.build, pathlib; course.build.build(pathlib.Path({str(source)!r}), 'a/b', print)"
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    kernel = wait_for(lambda: (source.parent / "kernel").read_text())
    process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in process.communicate(timeout=30)[1]
    assert old.read_text() == "the old one"
    assert sorted(path.name for path in source.parent.iterdir()) == ["07_adding.ipynb", "07_adding.py", "kernel"]
    wait_for(lambda: not Path("/proc", kernel).exists() or None)


def wait_for(look, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            found = look()
        except OSError:
            found = None
        if found:
            return found
        time.sleep(0.1)
    raise TimeoutError(f"{look} found nothing in {seconds} s")


def test_the_exercises_notebook_is_built_and_not_executed(tmp_path, monkeypatch):
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    starter = new_notebook(cells=[new_markdown_cell("# Exercises: adding"), new_code_cell("def add(a, b):\n    raise NotImplementedError")])
    monkeypatch.setattr("course.exercises.exercises_of", lambda lesson: ("add",))
    monkeypatch.setattr("course.exercises.starter_notebook", lambda lesson: nbformat.from_dict(starter))
    source = tmp_path / "07_adding.py"
    source.write_text(
        textwrap.dedent("""\
        # %% [markdown]
        # # Adding
        # [Exercises](07_adding_exercises.ipynb)
    """)
    )
    build.build(source, REPOSITORY, print)
    notebook = nbformat.read(tmp_path / "07_adding_exercises.ipynb", as_version=4)
    assert "blob/main/lessons/07_adding_exercises.ipynb" in notebook.cells[0].source
    assert all(cell.outputs == [] for cell in notebook.cells if cell.cell_type == "code")
    starter.cells[1].source = "def add(a, b, c):\n    raise NotImplementedError"
    with pytest.raises(CourseError, match="07_adding_exercises.ipynb is not what its source gives.*if the change is meant.\n"):
        build.check(source, REPOSITORY, print, execute=False)


@pytest.mark.parametrize("source", lessons.sources(ROOT / "lessons"), ids=lambda source: source.stem)
def test_the_committed_notebooks_are_what_their_sources_give(source):
    """Their outputs are nbval's to compare: here it is the cells, which an author may have changed and not built again."""
    build.check(source, build.repository_of(ROOT), print, execute=False)
