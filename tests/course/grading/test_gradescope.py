"""What Gradescope is given: its own fields, the right numbers, and nothing that is for the instructor alone."""

import json

import pytest

from course.grading.grades import STATUSES, CaseGrade, Grade, Graded
from course.grading.gradescope import gradescope_results

# From the specification that the module names: the fields that there are, of the submission and of a test.
TOP = {"score", "execution_time", "output", "output_format", "test_output_format", "test_name_format", "visibility", "stdout_visibility"}
TOP |= {"extra_data", "tests", "leaderboard"}
TEST = {"score", "max_score", "status", "name", "name_format", "number", "output", "output_format", "tags", "visibility", "extra_data"}


def submission(*grades, **rest):
    return Graded("alice", "alice.ipynb", "f", grades, **rest)


def test_points_names_and_words_arrive():
    cases = (CaseGrade("one row", True), CaseGrade("scale (3, 2)", False, "Other values."))
    results = gradescope_results(
        submission(
            Grade("03_unpooling", "nearest", "ok", 4, 4),
            Grade("03_unpooling", "max_unpool", "wrong", 1.5, 3, "This is what happens when …", cases=cases),
            remarks=("Cell 7 stopped with a NameError.",),
            seconds=12.3456,
        )
    )
    assert set(results) <= TOP and all(set(test) <= TEST for test in results["tests"])
    assert (results["score"], results["execution_time"], results["output"]) == (5.5, 12.35, "Cell 7 stopped with a NameError.")
    assert [(test["name"], test["score"], test["max_score"], test["status"]) for test in results["tests"]] == [
        ("nearest", 4, 4, "passed"),
        ("max_unpool", 1.5, 3, "failed"),
    ]
    assert results["tests"][1]["output"] == "This is what happens when …\n✓ one row\n✗ scale (3, 2): Other values."
    assert {results["output_format"], *(test["output_format"] for test in results["tests"])} == {"text"}


def test_each_status_but_ok_is_failed():
    tests = gradescope_results(submission(*(Grade("03", name, name, 0, 0) for name in STATUSES)))["tests"]
    assert [test["status"] for test in tests] == ["passed"] + ["failed"] * 6


def test_questions_of_several_lessons_say_which():
    tests = gradescope_results(submission(Grade("03", "nearest", "ok", 1, 1), Grade("04", "pose", "ok", 1, 1)))["tests"]
    assert [test["name"] for test in tests] == ["03: nearest", "04: pose"]


def test_details_stay_with_the_instructor():
    told = json.dumps(gradescope_results(submission(Grade("03", "q", "error", 0, 1, "It stopped.", details="SECRET 4711"))))
    assert "It stopped." in told and "SECRET" not in told


def test_a_submission_that_could_not_be_read_says_why():
    results = gradescope_results(submission(problem="The file is not a notebook."))
    assert (results["score"], results["output"], results["tests"]) == (0, "The file is not a notebook.", [])


def test_nobody_sees_it_before_it_is_published_unless_that_is_asked_for():
    one = submission(Grade("03", "q", "ok", 1, 1))
    for results, visibility in ((gradescope_results(one), "after_published"), (gradescope_results(one, "visible"), "visible")):
        assert {results["visibility"], *(test["visibility"] for test in results["tests"])} == {visibility}
        assert results["stdout_visibility"] == "hidden"
    with pytest.raises(ValueError, match="'everybody' is not known; accepted are hidden, after_due_date, after_published, visible"):
        gradescope_results(one, "everybody")


def test_hostile_text_is_valid_json_and_short():
    told = json.dumps(gradescope_results(submission(Grade("03", "q\x00\ud800\u202e", "wrong", 0, 1, "x" * 10_000_000))))
    json.loads(told).__str__().encode()  # no half of a surrogate pair is left
    assert len(told) < 5000 and json.loads(told)["tests"][0]["name"] == "q"
