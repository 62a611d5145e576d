"""Which questions a submission is graded on."""

import pytest

from course.errors import CourseError
from course.grading.questions import find_lesson, full_points, lesson_names, lesson_of, questions_of


def test_every_lesson_with_exercises_is_known_and_its_networks_count():
    assert lesson_names()[:4] == ["00_segmentation", "01_sliding_window", "02_fully_convolutional", "03_unpooling"]
    points = {exercise.name: full_points(exercise) for exercise in questions_of("02_fully_convolutional")}
    assert points == {"pixel_cross_entropy": 10.0, "fuse": 10.0, "build_fcn": 10.0}


@pytest.mark.parametrize("wanted", ["3", "03", "unpooling", "03_unpooling"])
def test_a_lesson_goes_by_many_names(wanted):
    assert find_lesson(wanted) == "03_unpooling"


def test_an_unknown_lesson_is_told_with_a_suggestion():
    with pytest.raises(CourseError, match=r"'unpolling' \(did you mean unpooling\?\); there are 00_segmentation"):
        find_lesson("unpolling")


@pytest.mark.parametrize(
    "file, cells, lesson",
    [
        ("x.ipynb", ["def max_unpool(x): pass"], "03_unpooling"),
        ("00_segmentation_exercises.ipynb", ["def max_unpool(x): pass"], "03_unpooling"),
        ("x.ipynb", ["check(max_unpool)"], "03_unpooling"),
        ("x.ipynb", ["def fuse(): pass", "def max_unpool(x): pass\ndef bed_of_nails(): pass"], "03_unpooling"),
        ("alice/03_unpooling_exercises (1).ipynb", ["nothing"], "03_unpooling"),
        ("x.ipynb", ["nothing"], None),
        ("x.ipynb", [], None),
    ],
)
def test_a_lesson_shows_in_the_functions_and_else_in_the_file_name(file, cells, lesson):
    assert lesson_of(file, cells) == lesson
