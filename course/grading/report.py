"""A submission's grades as a page for the student who handed it in. Nothing of a grade's `details` is on it."""

from __future__ import annotations

from itertools import groupby

from course.grading.grades import CaseGrade, Grade, Graded
from course.grading.page import lesson_title, page, status, text
from course.grading.plain_text import points_text

_MOST = 200  # cases of a question, and remarks

_STYLE = """
body { max-width: 60rem; }
header { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; align-items: end; justify-content: space-between; }
header > div:first-child { flex: 1 1 20rem; }
.total { line-height: 1.2; font-variant-numeric: tabular-nums; white-space: nowrap; }
.total b { font-size: 2.6rem; font-weight: 680; letter-spacing: -0.02em; }
.bars { display: flex; gap: 3px; height: 10px; margin: 1.25rem 0 0.5rem; }
.bars span { display: block; background: var(--bar); border-radius: 2px; overflow: hidden; min-width: 4px; }
.bars i { display: block; height: 100%; background: var(--right-bar); }
.summary { display: flex; flex-wrap: wrap; gap: 0.15rem 1.2rem; font-size: 0.92rem; }
.note { margin-top: 1.25rem; padding: 0.8rem 1rem; background: var(--panel); border-left: 4px solid var(--stopped); border-radius: 4px; }
.note ul { margin: 0; padding: 0; list-style: none; }
.note li { margin-top: 0.3rem; }
h2 { margin: 2.2rem 0 0.4rem; display: flex; justify-content: space-between; gap: 1rem; align-items: baseline; }
h2 .quiet { font-weight: 400; font-size: 0.95rem; font-variant-numeric: tabular-nums; white-space: nowrap; }
table { width: 100%; }
thead th { font-size: 0.82rem; color: var(--quiet); border-bottom: 1px solid var(--line); padding: 0.3rem 1.2rem 0.3rem 0; }
tbody th, td { padding: 0.85rem 1.2rem 0.85rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
tbody th { width: 1%; min-width: 16.5rem; max-width: 18rem; overflow-wrap: anywhere; unicode-bidi: isolate; }
td:nth-child(2), td:nth-child(3) { width: 1%; white-space: nowrap; }
th:nth-child(3), td:nth-child(3) { text-align: right; }
th:last-child, td:last-child { padding-left: 0.8rem; padding-right: 0; }
details { font-size: 0.92rem; }
.text + details { margin-top: 0.5rem; }
summary { color: var(--quiet); }
details ul { list-style: none; margin: 0.5rem 0 0; padding: 0; }
details li { display: flex; gap: 0.6rem; padding: 0.28rem 0; border-top: 1px solid var(--line); }
details li > span:first-child { width: 1.1em; text-align: center; font-weight: 600; flex: none; }
details li .text { min-width: 0; }
.aloud { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
@media screen and (max-width: 44rem) {
  thead { display: none; }
  tbody tr { display: grid; grid-template-columns: 1fr auto; gap: 0.25rem 1rem; padding: 0.85rem 0; border-bottom: 1px solid var(--line); }
  tbody th, tbody td { border: 0; padding: 0; width: auto; max-width: none; }
  tbody th, td:last-child { grid-column: 1 / -1; }
}
@media print {
  details::details-content { content-visibility: visible; block-size: auto; }
  summary { list-style: none; }
}
"""

_FOOTER = (
    "The cases were drawn for this grading and stay hidden, so that the same questions can be asked again; each is named for what is "
    "special about it. If a result looks wrong to you, show this page to your instructor."
)


def report(graded: Graded) -> str:
    """The page, a whole HTML document that asks for nothing else. It shows the same in a light and a dark browser and on paper."""
    lessons = [(lesson, list(grades)) for lesson, grades in groupby(graded.grades, key=lambda grade: grade.lesson)]
    name = graded.submission or "A submission"
    body = f"{_header(graded, name)}{_note(graded)}"
    body += "".join(_lesson(lesson, grades) for lesson, grades in lessons)
    body += f"<footer><p>{_FOOTER}</p></footer>"
    return page(f"Grades of {name}", _STYLE, body)


def _header(graded: Graded, name: str) -> str:
    total = f'<p class="total"><b>{points_text(graded.points)}</b> of {points_text(graded.full)} points</p>'
    head = f'<header><div><p class="kind">Grading report</p><h1>{text(name, 300)}</h1></div>{total}</header>'
    if not graded.grades:
        return head
    bars = "".join(
        f'<span style="flex: {grade.full:.2f}"><i style="width: {100 * grade.points / grade.full if grade.full else 0:.1f}%"></i></span>'
        for grade in graded.grades
    )
    looks = [status(grade.status, _is_part(grade)) for grade in graded.grades]
    counts = "".join(f"<span>{looks.count(look)} {look}</span>" for look in dict.fromkeys(looks))
    return f'{head}<div class="bars" aria-hidden="true">{bars}</div><p class="summary">{counts}</p>'


def _note(graded: Graded) -> str:
    problem = f'<p class="text">{text(graded.problem)}</p>' if graded.problem else ""
    remarks = "".join(f'<li class="text">{text(remark)}</li>' for remark in graded.remarks[:_MOST])
    if not problem and not remarks:
        return ""
    said = f'<p class="quiet">What the cells of the notebook showed</p><ul>{remarks}</ul>' if remarks else ""
    return f'<section class="note">{problem}{said}</section>'


def _lesson(lesson: str, grades: list[Grade]) -> str:
    points, full = sum(grade.points for grade in grades), sum(grade.full for grade in grades)
    title = f'<h2><span>{lesson_title(lesson)}</span><span class="quiet">{points_text(points)} of {points_text(full)}</span></h2>'
    head = '<tr><th scope="col">Question</th><th scope="col">Result</th><th scope="col">Points</th><th scope="col">What was found</th></tr>'
    return f"<section>{title}<table><thead>{head}</thead><tbody>{''.join(_row(grade) for grade in grades)}</tbody></table></section>"


def _row(grade: Grade) -> str:
    points = f'{points_text(grade.points)} <span class="quiet">of {points_text(grade.full)}</span>'
    message = f'<div class="text">{text(grade.message)}</div>' if grade.message else ""
    return (
        f'<tr><th scope="row"><code>{text(grade.question, 200)}</code></th><td>{status(grade.status, _is_part(grade))}</td>'
        f"<td>{points}</td><td>{message}{_cases(grade.cases)}</td></tr>"
    )


def _cases(cases: tuple[CaseGrade, ...]) -> str:
    if not cases:
        return ""
    right = sum(case.right for case in cases)
    count = f"All {len(cases)}" if right == len(cases) else f"{right} of {len(cases)}"
    more = f'<li><span></span><div class="text">and {len(cases) - _MOST} more</div></li>' if len(cases) > _MOST else ""
    return (
        f"<details><summary>{count} hidden cases are right</summary>"
        f"<ul>{''.join(_case(case) for case in cases[:_MOST])}{more}</ul></details>"
    )


def _case(case: CaseGrade) -> str:
    mark, word, colour = ("✓", "right", "right") if case.right else ("✗", "not right", "wrong")
    message = f'<br><span class="quiet">{text(case.message)}</span>' if case.message else ""
    return (
        f'<li><span class="{colour}"><span aria-hidden="true">{mark}</span><span class="aloud">{word}: </span></span>'
        f'<div class="text">{text(case.name, 200)}{message}</div></li>'
    )


def _is_part(grade: Grade) -> bool:
    return 0 < grade.points < grade.full
