"""The table of grades: read back by another reader, and no cell a formula."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course.grading.grades import Grade, Graded
from course.grading.table import as_csv


def graded(*grades, submission="alice/03", **rest):
    return Graded(submission, f"{submission}.ipynb", "f", grades, **rest)


def read(table):
    return list(csv.DictReader(io.StringIO(table.decode("utf-8-sig"), newline="")))


def test_a_row_is_a_question_in_the_order_given():
    first = graded(
        Grade("03_unpooling", "nearest", "ok", 4, 4, seconds=0.12345), Grade("03_unpooling", "max_unpool", "wrong", 1.5, 3, "No, Zoë.")
    )
    second = graded(Grade("01_windows", "scores", "timeout", 0, 2.5), submission="bo")
    names = ["submission", "lesson", "question", "status", "points", "full", "seconds", "message"]
    rows = read(as_csv([first, second]))
    assert [list(row) for row in rows] == [names] * 3
    assert [list(row.values()) for row in rows] == [
        ["alice/03", "03_unpooling", "nearest", "ok", "4", "4", "0.123", ""],
        ["alice/03", "03_unpooling", "max_unpool", "wrong", "1.5", "3", "0.0", "No, Zoë."],
        ["bo", "01_windows", "scores", "timeout", "0", "2.5", "0.0", ""],
    ]


def test_excel_is_told_that_it_is_utf8_and_lines_end_as_the_format_says():
    table = as_csv([graded(Grade("03", "q", "ok", 1, 1, "naïve"))])
    assert table.startswith(b"\xef\xbb\xbfsubmission,") and table.count(b"\r\n") == table.count(b"\n") == 2


def test_a_submission_without_grades_is_not_lost():
    (row,) = read(as_csv([graded(problem="The file is not a notebook.")]))
    assert (row["submission"], row["question"], row["status"], row["points"]) == ("alice/03", "", "not found", "0.0")
    assert row["message"] == "The file is not a notebook."


@pytest.mark.parametrize(
    "text, cell",
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1+1", "'=1+1"),
        ("\r=1+1", "'=1+1"),
        ("\x00=1+1", "'=1+1"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ('"=1+1', "'\"=1+1"),
        ("a;=1+1", "a;'=1+1"),  # where the comma is the decimal sign, Excel parts cells at the semicolon
        ('a; "=1+1', "a;' \"=1+1"),
        ("a-b=c", "a-b=c"),
        ("two\nlines\x07", "two lines"),
        ("ab\u202ecd", "abcd"),
        ("half \ud800", "half"),
    ],
)
@pytest.mark.parametrize("field", ["submission", "lesson", "question", "message"])
def test_no_text_is_a_formula(text, cell, field):
    words = {"lesson": "03", "question": "q", "message": ""} | ({field: text} if field != "submission" else {})
    one = graded(
        Grade(words["lesson"], words["question"], "ok", 1, 1, words["message"]), submission=text if field == "submission" else "alice"
    )
    assert read(as_csv([one]))[0][field] == cell


@given(st.text(st.characters(codec=None), max_size=30))
def test_whatever_a_message_is_the_table_keeps_its_shape(message):
    rows = list(csv.reader(io.StringIO(as_csv([graded(Grade("03", "q", "ok", 1, 1, message))] * 2).decode("utf-8-sig"), newline="")))
    assert [len(row) for row in rows] == [8, 8, 8] and rows[1] == rows[2]
    assert not rows[1][7].startswith(("=", "+", "-", "@", "\t", "\r"))


def test_a_long_message_is_cut():
    message = read(as_csv([graded(Grade("03", "q", "ok", 1, 1, "x" * 10_000_000))]))[0]["message"]
    assert message == "x" * 2000 + " … (9998000 more characters)"
