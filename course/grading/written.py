"""Questions that are answered in words: people read the answers. What can be told here is whether there is one."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from course.exercises.exercise import Question
from course.exercises.notebooks import EMPTY_ANSWER


def markdown_cells(content: bytes) -> list[str]:
    """The texts of a notebook's Markdown and raw cells. `content` is a notebook of nbformat 4; of anything else there are none."""
    try:
        cells = json.loads(content.decode("utf-8-sig"))["cells"]
        texts = [cell["source"] for cell in cells if cell["cell_type"] in ("markdown", "raw")]
    except (ValueError, TypeError, KeyError, RecursionError):
        return []
    return ["".join(text) for text in texts]


def is_answered(question: Question, texts: Sequence[str]) -> bool | None:
    """Whether there is anything between the question and the next heading; None when the question is not there any more.

    Cell ids and metadata get lost on the way through other programs, so the question is found by its text.

    Args:
        texts: The notebook's Markdown cells.
    """
    first, last = question.prompt.splitlines()[0], question.prompt.splitlines()[-1]
    place = next((place for place, text in enumerate(texts) if first in text), None)
    if place is None:
        return None
    written = [texts[place].rpartition(last)[2] if last in texts[place] else ""]
    for text in texts[place + 1 :]:
        if text.lstrip().startswith("#"):
            break
        written.append(text.replace(EMPTY_ANSWER, ""))
    return bool(re.search(r"\w", " ".join(written)))
