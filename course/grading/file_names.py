"""A file name for a submission: safe on every system, and never the same for two submissions."""

from __future__ import annotations

import hashlib
import re
import unicodedata

# Lower case alone, because some file systems don't tell "Alice" from "alice"; no two signs in a row, because that marks the other kind.
_SAFE = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")
_RESERVED = re.compile(r"con|prn|aux|nul|com\d|lpt\d|index")  # Windows' devices, and the page with all submissions
_LONGEST = 80  # a file's name has at most 255 bytes, and endings come to it


def file_name(submission: str) -> str:
    """The submission's own name where that is safe; otherwise what is safe of it, `--`, and 16 digits of the name's SHA-256.

    Args:
        submission: such as `"alice/03_unpooling_exercises"`; any string.
    """
    if len(submission) <= _LONGEST and _SAFE.fullmatch(submission) and not _RESERVED.fullmatch(submission):
        return submission
    digest = hashlib.sha256(submission.encode("utf-8", "surrogatepass")).hexdigest()[:16]  # a name on disk may be no Unicode
    safe = re.sub(r"[^a-z0-9_]+", "-", unicodedata.normalize("NFKD", submission).encode("ascii", "ignore").decode().lower())
    safe = re.sub(r"([-_])[-_]+", r"\1", safe).strip("-_")[:_LONGEST]
    return f"{safe or 'submission'}--{digest}"
