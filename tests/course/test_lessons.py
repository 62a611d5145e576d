"""Which lesson is meant, and the copy for students: nothing of theirs is ever overwritten."""

import pytest

from course import lessons
from course.errors import CourseError


@pytest.fixture
def shipped(tmp_path):
    folder = tmp_path / "wheel"
    folder.mkdir()
    for name in ("03_unpooling.ipynb", "03_unpooling_exercises.ipynb"):
        (folder / name).write_text(f"{name}, first version")
    (folder / "03_unpooling.py").write_text("the source is not for students")
    return folder


@pytest.fixture
def student(tmp_path):
    return tmp_path / "a new" / "folder"


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir() if not path.name.startswith(".")}


def test_the_notebooks_are_copied(shipped, student):
    assert lessons.copy_lessons(shipped, student) == []
    assert contents(student) == {
        "03_unpooling.ipynb": "03_unpooling.ipynb, first version",
        "03_unpooling_exercises.ipynb": "03_unpooling_exercises.ipynb, first version",
    }


def test_what_the_student_wrote_stays_and_nothing_is_added(shipped, student):
    lessons.copy_lessons(shipped, student)
    (student / "03_unpooling.ipynb").write_text("mine")
    before = contents(student)
    assert lessons.copy_lessons(shipped, student) == []
    assert contents(student) == before


def test_a_new_version_is_placed_beside_and_said_once(shipped, student):
    lessons.copy_lessons(shipped, student)
    (student / "03_unpooling.ipynb").write_text("mine")
    (shipped / "03_unpooling.ipynb").write_text("second version")
    beside = f"03_unpooling-{lessons.__version__}.ipynb"
    assert lessons.copy_lessons(shipped, student) == [f"03_unpooling.ipynb has a new version: it is beside yours as {beside}."]
    assert contents(student)["03_unpooling.ipynb"] == "mine"
    assert contents(student)[beside] == "second version"
    assert lessons.copy_lessons(shipped, student) == []


def test_a_third_version_takes_another_name(shipped, student):
    for version in ("first", "second", "third"):
        (shipped / "03_unpooling.ipynb").write_text(version)
        lessons.copy_lessons(shipped, student)
    stem = f"03_unpooling-{lessons.__version__}"
    found = contents(student)
    assert [found["03_unpooling.ipynb"], found[f"{stem}.ipynb"], found[f"{stem}-2.ipynb"]] == ["first", "second", "third"]


def test_without_its_record_it_still_overwrites_nothing(shipped, student):
    lessons.copy_lessons(shipped, student)
    (student / "03_unpooling.ipynb").write_text("mine")
    (student / lessons.RECORD).write_text("not json")
    assert len(lessons.copy_lessons(shipped, student)) == 1
    assert contents(student)["03_unpooling.ipynb"] == "mine"


def test_a_folder_or_dangling_link_in_the_way_stays(shipped, student):
    student.mkdir(parents=True)
    (student / "03_unpooling.ipynb").mkdir()
    (student / "03_unpooling_exercises.ipynb").symlink_to("nowhere")
    assert len(lessons.copy_lessons(shipped, student)) == 2
    assert (student / "03_unpooling.ipynb").is_dir()
    assert (student / "03_unpooling_exercises.ipynb").is_symlink()


def test_a_folder_that_cannot_be_made_is_one_sentence(shipped, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CourseError, match="could not be copied to .*file.* --to names another folder"):
        lessons.copy_lessons(shipped, tmp_path / "file")


@pytest.fixture
def folder(tmp_path):
    for name in ("03_unpooling", "03_unpooling_exercises", "00_segmentation", "10_yolo_and_ssd", "notes"):
        (tmp_path / f"{name}.ipynb").write_text("")
    return tmp_path


def test_the_first_lesson_is_the_default(folder):
    assert lessons.choose(lessons.notebooks(folder), None).stem == "00_segmentation"


@pytest.mark.parametrize("wanted", ["3", "03", "unpooling", "03_unpooling", "03_unpooling.ipynb", "lessons/03_unpooling.py"])
def test_a_lesson_has_many_names(folder, wanted):
    assert lessons.choose(lessons.notebooks(folder), wanted).stem == "03_unpooling"


@pytest.mark.parametrize("wanted", ["4", "notes", "", "un", "03_unpooling_exercises"])
def test_an_unknown_lesson_is_one_sentence(folder, wanted):
    with pytest.raises(CourseError, match="the lessons are 00_segmentation, 03_unpooling, 10_yolo_and_ssd"):
        lessons.choose(lessons.notebooks(folder), wanted)


def test_no_lesson_at_all_is_one_sentence(tmp_path):
    with pytest.raises(CourseError, match="There is no lesson here yet"):
        lessons.choose([], None)
