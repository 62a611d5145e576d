"""Text that came from a student's process, made fit to stand in a table or on a page of ours."""

from __future__ import annotations

import re

# Control characters but for the line's end, what turns the direction of text, halves of surrogate pairs, and what is no character.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]")


def plain_text(text: str, limit: int = 2000) -> str:
    """The text without characters that are not seen, on as many lines, and at most `limit` characters and a remark long.

    It is not escaped: that is for whoever knows where it will stand.
    """
    left_out = len(text) - limit
    shown = text[:limit].replace("\r\n", "\n").replace("\r", "\n").replace("\t", "    ")
    shown = _UNSEEN.sub("", shown).strip()
    return f"{shown} … ({left_out} more characters)" if left_out > 0 else shown


def one_line(text: str, limit: int = 2000) -> str:
    """As `plain_text`, with a space for each run of spaces and line ends."""
    return " ".join(plain_text(text, limit).split())


def points_text(points: float) -> str:
    """Points as they are written by hand: at most two decimals, and none that are zero."""
    return f"{points:.2f}".rstrip("0").rstrip(".")
