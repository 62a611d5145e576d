"""The pages: what is on them, and that nothing a student writes becomes more than text."""

import re
from collections import Counter
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course.grading.file_names import file_name
from course.grading.grades import STATUSES, CaseGrade, Grade, Graded
from course.grading.overview import overview
from course.grading.report import report

VOID = {"meta", "br"}
PAGES = [report, lambda graded: overview([graded])]
HOSTILE = [
    "<script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</title></head><body onload=alert(1)>",
    "\" onmouseover='alert(1)' x=\"",
    "' style='position:fixed",
    "&lt;script&gt;&#60;b&#62;&amp",
    "<!-- --><![CDATA[<b>]]><?php ?>",
    "javascript:alert(1)",
    "<\x00script>alert(1)</\x00script>",
    "<svg/onload=alert(1)>{{7*7}}${7*7}",
    "\udc3cscript\udc3e\ud83d",
]


class Page(HTMLParser):
    """What a browser makes of a page: elements with their attributes in order, and the text."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.words, self.open = [], [], []
        self.feed(page)
        self.close()
        assert self.open == [], "every element is closed"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, tuple(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data}")

    handle_pi = unknown_decl = handle_comment

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def hrefs(self):
        return [value for _, attrs in self.elements for name, value in attrs if name == "href"]


def everywhere(words, submission=None):
    """A submission with the same words in every place that has any."""
    cases = (CaseGrade(words, True, words), CaseGrade(words, False, words))
    grades = (Grade(words, words, "wrong", 1, 2, words, words, cases), Grade(words, words, "error", 0, 2, words, words))
    return Graded(words if submission is None else submission, words, words, grades, words, (words, words))


def without_links(page):
    return [(tag, tuple((name, "" if name == "href" else value) for name, value in attrs)) for tag, attrs in page.elements]


def check_only_text_came_through(words):
    for make in PAGES:
        page, plain = Page(make(everywhere(words))), Page(make(everywhere("plain")))
        assert without_links(page) == without_links(plain)
        assert all(re.fullmatch(r"[a-z0-9_-]+\.html", href) for href in page.hrefs())


@pytest.mark.parametrize("words", HOSTILE)
def test_hostile_words_stay_words(words):
    check_only_text_came_through(words)
    shown = "".join(letter for letter in words if letter != "\x00" and not "\ud800" <= letter <= "\udfff")
    for make in PAGES:
        assert Page(make(everywhere(words))).text.count(" ".join(shown.split())) >= 4


@settings(max_examples=60, deadline=None)
@given(st.text(st.one_of(st.sampled_from("<>/\"'&;=!-[]ab \n"), st.characters(codec=None)), max_size=20).map(lambda words: f"x{words}x"))
def test_no_words_become_an_element_or_an_attribute(words):
    check_only_text_came_through(words)


@pytest.mark.parametrize("make", PAGES, ids=["report", "overview"])
def test_a_page_asks_for_nothing_and_runs_nothing(make):
    page = Page(make(everywhere("plain")))
    assert not {tag for tag, _ in page.elements} & {"script", "link", "img", "iframe", "object", "embed", "base", "form", "svg", "video"}
    names = {name for _, attrs in page.elements for name, _ in attrs}
    assert not {name for name in names if name.startswith("on")} and not names & {"src", "srcset", "action", "data", "background"}
    policy = next(dict(attrs)["content"] for tag, attrs in page.elements if dict(attrs).get("http-equiv") == "Content-Security-Policy")
    assert {"default-src 'none'", "style-src 'unsafe-inline'"} <= set(policy.split("; ")) and "script-src" not in policy
    style = re.search("<style>(.*?)</style>", make(everywhere("plain")), re.DOTALL)[1]
    assert "url(" not in style and "@import" not in style
    assert "prefers-color-scheme: dark" in style and "@media print" in style


@pytest.mark.parametrize("make", PAGES, ids=["report", "overview"])
def test_characters_that_deceive_or_break_are_left_out(make):
    page = make(everywhere("a\u202eb\u2066c\u2069d\x00e\ud800f\u202ag"))
    page.encode("utf-8")
    assert "abcdefg" in page and not re.search("[\x00\u202a-\u202e\u2066-\u2069\ud800-\udfff]", page)


@pytest.mark.parametrize("make", PAGES, ids=["report", "overview"])
def test_ten_megabytes_make_a_small_page(make):
    page = make(everywhere("<&" * 5_000_000))
    assert len(page) < 300_000 and "more characters" in page


def test_ten_thousand_cases_make_a_small_page():
    cases = tuple(CaseGrade(f"case {i}", True) for i in range(10_000))
    page = report(Graded("a", "a", "f", (Grade("03", "q", "ok", 1, 1, cases=cases),), remarks=("r",) * 10_000))
    assert len(page) < 60_000 and "and 9800 more" in page and "All 10000 hidden cases" in page


def test_a_student_reads_points_status_sentence_and_cases():
    cases = (CaseGrade("one row", True), CaseGrade("scale (3, 2)", False, "Other values."))
    grades = (
        Grade("03_unpooling", "nearest", "ok", 4, 4),
        Grade("03_unpooling", "max_unpool", "wrong", 1.5, 3, "Height comes first.", cases=cases),
        Grade("04_localizing", "pose", "timeout", 0, 2.25),
    )
    page = Page(report(Graded("alice/03", "alice/03.ipynb", "f", grades, remarks=("Cell 7 stopped.",)))).text
    assert "alice/03" in page and "5.5 of 9.25 points" in page and "Cell 7 stopped." in page
    assert "Lesson 03: unpooling 5.5 of 7" in page and "Lesson 04: localizing 0 of 2.25" in page
    assert "nearest ✓ right 4 of 4" in page
    assert "max_unpool ◐ partly right 1.5 of 3 Height comes first. 1 of 2 hidden cases are right" in page
    assert "✓ right: one row" in page and "✗ not right: scale (3, 2) Other values." in page
    assert "pose ◷ out of time 0 of 2.25" in page


def test_a_student_never_reads_details():
    graded = Graded("a", "a", "f", (Grade("03", "q", "error", 0, 1, "It stopped.", details="SECRET 4711"),))
    assert "SECRET" not in report(graded)
    assert "SECRET 4711" in Page(overview([graded])).text


def test_each_status_has_a_mark_and_words_of_its_own():
    """So that nothing rests on the colour."""
    page = report(Graded("a", "a", "f", tuple(Grade("03", f"q{i}", name, 0, 1) for i, name in enumerate(STATUSES))))
    looks = re.findall(r'<td><span class="status \w+"><span class="mark" aria-hidden="true">(.)</span>([a-z ]+)</span>', page)
    assert len(looks) == len({mark for mark, _ in looks}) == len({words for _, words in looks}) == len(STATUSES)


def test_a_submission_that_could_not_be_read_has_a_report():
    page = Page(report(Graded("", "x.ipynb", "f", (), "The file is not a notebook."))).text
    assert "A submission" in page and "The file is not a notebook." in page and "0 of 0 points" in page


def test_the_overview_has_every_submission_and_question_once():
    def graded(name, *statuses, lesson="03_unpooling"):
        return Graded(name, name, "f", tuple(Grade(lesson, f"q{i}", status, 2 * (status == "ok"), 2) for i, status in enumerate(statuses)))

    class_ = [graded("Zoë/../x y", "ok", "ok"), graded("bo", "wrong", "ok"), graded("cy", "ok", lesson="04_pose")]
    class_.append(Graded("dee", "dee", "f", (), "Cut off."))
    page = Page(overview(class_))
    assert [unquote(urlsplit(href).path) for href in page.hrefs()] == [f"{file_name(graded.submission)}.html" for graded in class_]
    assert Counter(re.findall("Lesson 0[34]: [a-z]+", page.text)) == {"Lesson 03: unpooling": 1, "Lesson 04: pose": 1}
    assert "bo 2 of 4 0 ✗ wrong 2 ✓ right" in page.text
    assert "On average 3 1 50% right 2 100% right" in page.text
    assert "4 submissions 5 grades 83% of the points, on average 100% in the middle" in page.text  # (1 + 1/2 + 1) / 3
    assert "Nothing that could be graded" in page.text and "dee Cut off." in page.text


def test_the_overview_of_nothing_is_a_page():
    assert "0 submissions" in Page(overview([])).text
