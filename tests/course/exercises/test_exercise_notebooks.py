"""The notebooks made from the exercises, executed in a real kernel."""

import inspect
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import course
from course.exercises import exercises_of, solution_notebook, starter_notebook
from course.exercises.exercise import TRAINING_CELL
from course.exercises.lessons import questions_of, trainings_of
from course.lessons import sources

ROOT = Path(course.__file__).parents[1]
LESSONS = [source.stem for source in sources(ROOT / "lessons")]
CHECKS_OF_TRAININGS = tuple(f"check({training.name}" for lesson in LESSONS for training in trainings_of(lesson))


@pytest.fixture
def execute(tmp_path, monkeypatch):
    """Run a notebook in a kernel of its own, with nothing of the user's settings."""
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def run(notebook, **options):
        # What trains takes minutes, and has tests of its own (test_training_exercises.py).
        notebook.cells = [cell for cell in notebook.cells if not cell.source.startswith((TRAINING_CELL, *CHECKS_OF_TRAININGS))]
        NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}, **options).execute()
        return {cell.id: cell for cell in notebook.cells}

    return run


def shown(cell):
    (output,) = cell.outputs
    return output.data["text/plain"]


@pytest.mark.parametrize("lesson", LESSONS)
def test_every_check_passes_in_the_solutions_notebook(lesson, execute):
    cells = execute(solution_notebook(lesson))
    for exercise in exercises_of(lesson):
        output = cells[f"{exercise.name}-check"].outputs[0]
        assert output.data["text/plain"].startswith(f"✓ {exercise.name}: all ")
        assert "text/html" in output.data


@pytest.mark.parametrize("lesson", LESSONS)
def test_every_check_says_not_written_yet_in_the_starter_notebook(lesson, execute):
    cells = execute(starter_notebook(lesson), allow_errors=True)
    for exercise in exercises_of(lesson):
        assert shown(cells[f"{exercise.name}-check"]).startswith(f"○ {exercise.name}: not written yet.")


def test_a_mistake_in_a_notebook_is_shown_with_the_line_of_its_cell(execute):
    notebook = starter_notebook("03_unpooling")
    cell = next(cell for cell in notebook.cells if cell.id == "bed_of_nails-code")
    cell.source = "def bed_of_nails(x, scale):\n    larger = x * 2\n    return larger.reshape(3, 5, 7)\n"
    notebook.cells = [cell for cell in notebook.cells if cell.id in ("imports", "bed_of_nails-code", "bed_of_nails-check")]
    text = shown(execute(notebook)["bed_of_nails-check"])
    assert "at line 3: return larger.reshape(3, 5, 7)" in text
    assert "ipykernel" not in text


@pytest.mark.parametrize("make", [starter_notebook, solution_notebook])
@pytest.mark.parametrize("lesson", LESSONS)
def test_notebooks_are_valid_and_the_same_each_time(make, lesson):
    notebook = make(lesson)
    nbformat.validate(notebook)
    assert nbformat.writes(notebook) == nbformat.writes(make(lesson))
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("lesson", LESSONS)
def test_what_a_good_answer_contains_stands_in_the_solutions_only(lesson):
    starter, solution = (nbformat.writes(make(lesson)) for make in (starter_notebook, solution_notebook))
    assert questions_of(lesson)
    for question in questions_of(lesson):
        first_line = question.good_answer.splitlines()[0]
        assert first_line in solution and first_line not in starter
    assert "<details>" in solution and "<details>" not in starter


@pytest.mark.parametrize("lesson", LESSONS)
def test_code_stands_in_the_solutions_only(lesson):
    starter, solution = ({cell.id: cell.source for cell in make(lesson).cells} for make in (starter_notebook, solution_notebook))
    for exercise in exercises_of(lesson):
        assert starter[f"{exercise.name}-code"].count("raise NotImplementedError(") == 1
        assert "raise NotImplementedError(" not in solution[f"{exercise.name}-code"]
        assert inspect.getsource(exercise.solution) in solution[f"{exercise.name}-code"] + "\n"


@pytest.mark.parametrize("make", [starter_notebook, solution_notebook])
@pytest.mark.parametrize("lesson", LESSONS)
def test_the_call_that_plays_an_answer_stands_as_text_below_its_check(make, lesson):
    notebook = make(lesson)
    places = {cell.id: place for place, cell in enumerate(notebook.cells)}
    assert not [cell for cell in notebook.cells if cell.cell_type == "code" and "segwidgets" in cell.source]
    for exercise in exercises_of(lesson):
        assert (f"{exercise.name}-watch" in places) == bool(exercise.watch)
        if exercise.watch:
            cell = notebook.cells[places[f"{exercise.name}-check"] + 1]
            assert cell.id == f"{exercise.name}-watch" and cell.cell_type == "markdown"
            assert cell.source.startswith("Watch it go wrong (or right), step by step:\n\n```python\nimport segwidgets\n")


WATCHED = [(lesson, exercise) for lesson in LESSONS for exercise in exercises_of(lesson) if exercise.watch]


@pytest.mark.parametrize(("lesson", "exercise"), WATCHED, ids=[exercise.name for _, exercise in WATCHED])
def test_the_call_plays_the_students_function_on_the_tensors_that_the_checks_use(lesson, exercise):
    (cell,) = (cell for cell in starter_notebook(lesson).cells if cell.id == f"{exercise.name}-watch")
    code = cell.source.split("```python\n")[1].removesuffix("```")
    calls = []

    def student(*args, **kwargs):
        calls.append(inspect.signature(exercise.solution).bind(*args, **kwargs).arguments)
        return exercise.solution(*args, **kwargs)

    exec(compile(code, "<cell>", "exec"), {exercise.name: student})
    assert calls
    first = next(iter(inspect.signature(exercise.solution).parameters))
    dimensions = next(exercise.cases(0)).inputs[first].dim()
    assert all(call[first].dim() == dimensions for call in calls), "as the checks call it: [1, C, H, W], or boxes [N, 4]"
    assert all(len(call[first]) == 1 for call in calls if dimensions == 4)


def test_the_tensor_exercises_of_lesson_03_can_be_watched_and_keep_their_order():
    assert [exercise.name for lesson, exercise in WATCHED if lesson == "03_unpooling"] == ["bed_of_nails", "max_unpool", "conv_transpose"]
    order = ["bed_of_nails", "max_unpool", "conv_transpose_output_size", "conv_transpose", "choose_upsampling"]
    assert [exercise.name for exercise in exercises_of("03_unpooling")] == order


def test_a_lesson_without_exercises_is_answered_with_those_that_have_some():
    with pytest.raises(ValueError, match="there are no exercises for the lesson '99_nothing'; there are for .*unpooling"):
        starter_notebook("99_nothing")
