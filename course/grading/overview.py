"""A class on a page, for the instructor: every submission, every question, and what the students' processes said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import mean, median
from urllib.parse import quote

from course.grading.file_names import file_name
from course.grading.grades import Grade, Graded
from course.grading.page import LOOKS, lesson_title, page, status, text
from course.grading.plain_text import points_text

_DETAILS = 4000  # characters of a question's details; the submission's JSON has them all
_MOST = 50  # remarks of a submission

_STYLE = """
body { max-width: 90rem; }
.figures { display: flex; flex-wrap: wrap; gap: 0.8rem 2.5rem; margin: 1.25rem 0 0.5rem; }
.figures div { line-height: 1.25; }
.figures b { display: block; font-size: 1.5rem; font-weight: 650; font-variant-numeric: tabular-nums; }
.summary { display: flex; flex-wrap: wrap; gap: 0.15rem 1.4rem; margin-top: 1rem; }
h2 { margin: 2.4rem 0 0.6rem; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; max-width: max-content; }
td, th { padding: 0.42rem 0.9rem; border-bottom: 1px solid var(--line); }
tbody tr:last-child > * { border-bottom: 0; }
thead th { vertical-align: bottom; background: var(--panel); }
th .quiet, td .quiet { font-weight: 400; font-size: 0.88rem; }
tbody th, thead th:first-child, tfoot th {
  position: sticky; left: 0; background: var(--paper); min-width: 16rem; max-width: 24rem; overflow-wrap: anywhere; unicode-bidi: isolate;
}
tbody th { font-weight: 500; }
thead th:first-child, tfoot th { background: var(--panel); }
tfoot td, tfoot th { background: var(--panel); border-top: 1px solid var(--line); border-bottom: 0; }
th.total, td.total { text-align: right; font-weight: 650; white-space: nowrap; }
.cell { white-space: nowrap; }
.cell .points { color: var(--ink); font-weight: 600; margin-right: 0.45rem; }
.cell .status { font-size: 0.88rem; font-weight: 500; }
section > .quiet { margin-bottom: 0.9rem; }
.said { margin: 0; padding: 0.6rem 0; border-top: 1px solid var(--line); }
.said > summary { font-weight: 550; overflow-wrap: anywhere; }
pre {
  margin: 0.35rem 0 0.8rem; padding: 0.7rem 0.9rem; background: var(--panel); border-radius: 6px; max-height: 22rem; overflow: auto;
  white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate; font: 0.85rem/1.45 ui-monospace, Menlo, Consolas, monospace;
}
@media print {
  .scroll { overflow: visible; border: 0; max-width: none; }
  .cell .status { font-size: 8pt; }
  td, th { padding: 2pt 5pt; font-size: 9pt; }
}
"""


def overview(submissions: Sequence[Graded]) -> str:
    """The page, a whole HTML document that stands beside the reports that it links to.

    Submissions of the same lessons share a table, in the order given.
    """
    groups: dict[tuple[str, ...], list[Graded]] = {}
    for graded in submissions:
        groups.setdefault(tuple(dict.fromkeys(grade.lesson for grade in graded.grades)), []).append(graded)
    body = f'<p class="kind">For the instructor. Students see their own report alone.</p><h1>Grades</h1>{_figures(submissions)}'
    body += "".join(_group(lessons, groups[lessons]) for lessons in sorted(groups, key=lambda lessons: lessons or ("~",)))
    body += _said(submissions)
    body += "<footer><p>The same numbers for a spreadsheet are in <code>grades.csv</code>, and all that is known of a submission in "
    body += "<code>submissions</code>, both one folder up.</p></footer>"
    return page("Grades", _STYLE, body)


def _figures(submissions: Sequence[Graded]) -> str:
    grades = [grade for graded in submissions for grade in graded.grades]
    shares = [graded.points / graded.full for graded in submissions if graded.full]
    figures = [(str(len(submissions)), "submission" if len(submissions) == 1 else "submissions"), (str(len(grades)), "grades")]
    if shares:
        figures += [(f"{mean(shares):.0%}", "of the points, on average"), (f"{median(shares):.0%}", "in the middle (median)")]
    counts = ((sum(grade.status == name for grade in grades), name) for name in LOOKS)
    parts = [f"<div><b>{number}</b>{words}</div>" for number, words in figures]
    summary = "".join(f"<span>{count} {status(name)}</span>" for count, name in counts if count)
    return f'<div class="figures">{"".join(parts)}</div><p class="summary">{summary}</p>'


def _group(lessons: tuple[str, ...], submissions: list[Graded]) -> str:
    title = ", ".join(lesson_title(lesson) for lesson in lessons) or "Nothing that could be graded"
    columns = list(dict.fromkeys((grade.lesson, grade.question) for graded in submissions for grade in graded.grades))
    head = "".join(_column(lesson, question, len(lessons) > 1) for lesson, question in columns)
    rows = "".join(_row(graded, columns) for graded in submissions)
    head = f'<thead><tr><th scope="col">Submission</th><th scope="col" class="total">Points</th>{head}</tr></thead>'
    table = f"<table>{head}<tbody>{rows}</tbody>{_means(submissions, columns)}</table>"
    return f'<section><h2>{title}</h2><div class="scroll" tabindex="0" role="region" aria-label="Grades">{table}</div></section>'


def _column(lesson: str, question: str, several: bool) -> str:
    above = f'<span class="quiet">{lesson_title(lesson)}</span><br>' if several else ""
    return f'<th scope="col">{above}<code>{text(question, 80)}</code></th>'


def _row(graded: Graded, columns: list[tuple[str, str]]) -> str:
    grades = {(grade.lesson, grade.question): grade for grade in graded.grades}
    link = f'<a href="{quote(file_name(graded.submission))}.html">{text(graded.submission, 200) or "(no name)"}</a>'
    problem = f'<div class="text quiet">{text(graded.problem, 300)}</div>' if graded.problem else ""
    total = f'{points_text(graded.points)} <span class="quiet">of {points_text(graded.full)}</span>'
    cells = "".join(_cell(grades.get(column)) for column in columns)
    return f'<tr><th scope="row">{link}{problem}</th><td class="total">{total}</td>{cells}</tr>'


def _cell(grade: Grade | None) -> str:
    if grade is None:
        return '<td class="quiet">–</td>'
    part = 0 < grade.points < grade.full
    return f'<td class="cell"><span class="points">{points_text(grade.points)}</span>{status(grade.status, part)}</td>'


def _means(submissions: list[Graded], columns: list[tuple[str, str]]) -> str:
    if not columns or len(submissions) < 2:
        return ""
    grades = {column: [] for column in columns}
    for graded in submissions:
        for grade in graded.grades:
            grades[grade.lesson, grade.question].append(grade)
    total = points_text(mean(graded.points for graded in submissions))
    cells = "".join(f"<td>{_mean(column)}</td>" for column in grades.values())
    return f'<tfoot><tr><th scope="row">On average</th><td class="total">{total}</td>{cells}</tr></tfoot>'


def _mean(grades: list[Grade]) -> str:
    right = mean(grade.status == "ok" for grade in grades)
    return f'{points_text(mean(grade.points for grade in grades))} <span class="quiet">{right:.0%} right</span>'


def _said(submissions: Iterable[Graded]) -> str:
    parts = []
    for graded in submissions:
        remarks = "\n".join(text(remark) for remark in graded.remarks[:_MOST])
        remarks = f'<p>The notebook\'s cells</p><pre tabindex="0">{remarks}</pre>' if remarks else ""
        details = "".join(_detail(grade) for grade in graded.grades if grade.details)
        if remarks or details:
            name = text(graded.submission, 200) or "(no name)"
            parts.append(f'<details class="said"><summary>{name}</summary>{remarks}{details}</details>')
    if not parts:
        return ""
    note = (
        '<p class="quiet">A box holds what the student\'s own process said, which may be anything: believe the grade, not the box. '
        "Students see the one about their cells, and none about a question.</p>"
    )
    return f"<section><h2>Behind the grades</h2>{note}{''.join(parts)}</section>"


def _detail(grade: Grade) -> str:
    return f'<p><code>{text(grade.question, 200)}</code> {status(grade.status)}</p><pre tabindex="0">{text(grade.details, _DETAILS)}</pre>'
