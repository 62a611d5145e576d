"""How a result looks."""

import re
from html.parser import HTMLParser

import torch

from course.exercises.checking import examine
from course.exercises.lessons import all_exercises
from course.exercises.showing import table_of

NAILS = all_exercises()["bed_of_nails"]


class Reader(HTMLParser):
    """The elements and the words of a piece of HTML; every element must be closed."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.words, self.cells = [], [], [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.tags.append(tag)
        if tag == "td":
            self.cells.append(dict(attributes)["style"])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_html_and_text_say_the_same_and_always_the_same():
    for exercise in all_exercises().values():
        for mistake in exercise.common_mistakes:
            first, second = (examine(exercise, mistake.function) for _ in range(2))
            assert repr(first) == repr(second)
            assert first._repr_html_() == second._repr_html_()
            words = " ".join(Reader(first._repr_html_()).words)
            for line in repr(first).splitlines()[:3]:
                assert line in words


def test_what_a_student_wrote_is_escaped():
    def bed_of_nails(x, scale):
        raise ValueError("<script>alert('x')</script> & <b>bold</b>")

    html = examine(NAILS, bed_of_nails)._repr_html_()
    reader = Reader(html)
    assert "script" not in reader.tags and "b" not in reader.tags
    assert "<script>alert('x')</script> & <b>bold</b>" in " ".join(reader.words)


def test_cells_that_differ_are_marked_by_more_than_colour():
    mistake = NAILS.common_mistakes[0]
    result = examine(NAILS, mistake.function)
    count = int(result.failure.difference.wrong.sum())
    reader = Reader(result._repr_html_())
    assert sum("outline: 2px solid #D55E00" in style for style in reader.cells) == count
    assert sum("outline: 2px solid #009E73" in style for style in reader.cells) == count
    assert sum(word.startswith("≠") for word in reader.words) == count
    assert repr(result).count("≠") == count


def test_colours_follow_the_notebooks_theme_and_have_fallbacks():
    html = examine(NAILS, NAILS.common_mistakes[0].function)._repr_html_()
    assert "var(--jp-" in html
    assert re.search(r"var\(--jp-[a-z0-9-]+\)", html) is None


def test_passing_and_unwritten_results_have_no_tables():
    def bed_of_nails(x, scale):
        raise NotImplementedError

    for result in (examine(NAILS, NAILS.solution), examine(NAILS, bed_of_nails)):
        assert "table" not in Reader(result._repr_html_()).tags


def test_a_large_plane_is_shown_around_the_first_difference():
    tensor = torch.arange(2 * 3 * 50 * 60).reshape(2, 3, 50, 60)
    wrong = torch.zeros_like(tensor, dtype=torch.bool)
    wrong[1, 2, 48, 3] = True
    table = table_of("got", tensor, (1, 2, 48, 3), wrong)
    assert table.note == "plane [1, 2], rows 42 to 49, columns 0 to 9"
    assert table.rows[6][3] == str(tensor[1, 2, 48, 3].item())
    assert [(y, x) for y, row in enumerate(table.marked) for x, mark in enumerate(row) if mark] == [(6, 3)]


def test_tensors_of_any_dimension_have_a_table():
    assert table_of("a", torch.tensor(3)).rows == [["3"]]
    assert table_of("a", torch.tensor([3, -4])).rows == [["3", "−4"]]
    assert table_of("a", torch.arange(30), (25,)).note == "rows 0 to 0, columns 20 to 29"
    assert table_of("a", torch.zeros(0, 4)).note == "empty"
    assert table_of("a", torch.zeros(1, 1, 1, 2, 2), (0, 0, 0, 1, 1)).rows == [["0", "0"], ["0", "0"]]
    assert table_of("a", torch.tensor([True, False])).rows == [["1", "0"]]


def test_an_input_of_codes_is_shown_in_words_one_line_a_row():
    exercise = all_exercises()["choose_upsampling"]
    result = examine(exercise, lambda size, output_size, candidates: torch.tensor([99]))
    layers = result.inputs["candidates"].tolist()
    lines = repr(result).splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("candidates "))
    assert lines[start] == f"candidates [{len(layers)}, 5] int64"
    words = Reader(result._repr_html_()).words
    for row, (kind, kernel, stride, padding, extra) in enumerate(layers):
        size = f"{kernel}×{kernel}"
        resize, transposed = f"nearest ×{stride}, then {size}, padding {padding}", f"transposed {size}, stride {stride}, padding {padding}"
        label = f"{row}: {resize if kind else transposed + f', output_padding {extra}'}"
        assert lines[start + 1 + row] == f"  {label}"
        assert label in words
    assert "2: transposed 2×2, stride 2, padding 0, output_padding 1" in exercise.in_words["candidates"](
        torch.tensor([[0, 2, 2, 0, 1]] * 3)
    )
