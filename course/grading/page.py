"""A page that stands alone: one file, no script, no request to anywhere. Whatever it shows is text, never markup."""

from __future__ import annotations

import re
from html import escape

from course.grading.plain_text import plain_text

# The browser itself is told to load and to run nothing, should an escape ever be missing.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

# How a status looks: mark, words, and a colour of the style below. Colours are Okabe and Ito's; none stands without its mark and word.
LOOKS = {
    "ok": ("✓", "right", "right"),
    "wrong": ("✗", "wrong", "wrong"),
    "error": ("!", "error", "stopped"),
    "timeout": ("◷", "out of time", "stopped"),
    "memory": ("▣", "out of memory", "stopped"),
    "no answer": ("○", "no answer", "none"),
    "not found": ("?", "not found", "none"),
}

_STYLE = """
:root {
  --paper: #ffffff; --panel: #f6f8fa; --ink: #1f2328; --quiet: #57606a; --line: #d0d7de; --link: #0072b2;
  --right: #007a59; --right-bar: #009e73; --wrong: #b85000; --stopped: #946200; --none: #646a74; --bar: #e4e8ec;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #14171b; --panel: #1c2026; --ink: #e6e9ed; --quiet: #a4acb6; --line: #363c45; --link: #5ab4f0;
    --right: #2cc79a; --right-bar: #2cc79a; --wrong: #ff8a3d; --stopped: #f5b335; --none: #9aa0aa; --bar: #2a3038;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 2.5rem 1.5rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", sans-serif;
}
h1, h2, p { margin: 0; unicode-bidi: isolate; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; font-weight: 650; }
h2 { font-size: 1.1rem; font-weight: 650; }
code { font: 0.92em/1.4 ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
a { color: var(--link); }
.kind, .quiet, footer { color: var(--quiet); }
.kind { font-size: 0.85rem; margin-bottom: 0.25rem; }
.text { white-space: pre-line; unicode-bidi: isolate; overflow: clip; overflow-wrap: anywhere; }
.status { white-space: nowrap; font-weight: 600; }
.status .mark { display: inline-block; width: 1.35em; text-align: center; }
.right { color: var(--right); } .wrong { color: var(--wrong); } .stopped { color: var(--stopped); } .none { color: var(--none); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th { text-align: start; font-weight: 600; }
summary { cursor: pointer; }
footer { margin-top: 2.5rem; padding-top: 1rem; border-top: 1px solid var(--line); font-size: 0.88rem; }
@media print {
  body { padding: 0; max-width: none; font-size: 11pt; }
  * { print-color-adjust: exact; }
  tr, li { break-inside: avoid; }
  a { color: inherit; text-decoration: none; }
}
"""


def page(title: str, style: str, body: str) -> str:
    """The whole document. `title` is any text; `style` and `body` are ours, with what came from elsewhere in `text`."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="color-scheme" content="light dark">\n'
        f'<meta name="referrer" content="no-referrer">\n<title>{text(title, 200)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n'
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def text(words: str, limit: int = 2000) -> str:
    """Any text, as text."""
    return escape(plain_text(words, limit))


def status(name: str, part: bool = False) -> str:
    """A status as mark, word and colour. `part`: some of the points are there."""
    mark, words, colour = ("◐", "partly right", "stopped") if part and name in ("ok", "wrong") else LOOKS[name]
    return f'<span class="status {colour}"><span class="mark" aria-hidden="true">{mark}</span>{words}</span>'


def lesson_title(lesson: str) -> str:
    """`"03_unpooling"` → `"Lesson 03: unpooling"`, escaped; another name stays as it is."""
    known = re.fullmatch(r"(\d\d)_([a-z0-9_]+)", lesson)
    return f"Lesson {known[1]}: {known[2].replace('_', ' ')}" if known else text(lesson, 100)
