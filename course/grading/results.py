"""The folder that a batch of submissions is graded into. It is whole at every moment, so that a batch that was stopped goes on from there.

    batch.json                     what the batch is: facts that another batch must not be mixed with
    submissions/NAME.json          all that is known of a submission; everything else can be made from these
    reports/NAME.html              for the student
    reports/index.html             for the instructor: the class
    grades.csv                     for the instructor: a row a question
    gradescope/NAME/results.json   on request

NAME is `file_name` of the submission.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import get_args, get_type_hints

from course.atomic import write_atomically
from course.errors import CourseError
from course.grading.file_names import file_name
from course.grading.grades import Graded
from course.grading.gradescope import gradescope_results
from course.grading.lock import Lock
from course.grading.overview import overview
from course.grading.report import report
from course.grading.table import as_csv

FORMAT = "segcourse grading 1"
BATCH, LOCK = "batch.json", ".lock"
_EVERY = 1.0  # seconds between two writings of what shows the whole class,
_SHARE = 0.05  # and at most this share of the time goes into it


class Results:
    """The results of one batch, held by one grader at a time:

        with Results(folder, {"lesson": "03_unpooling", "seed digest": digest}) as results:
            done = results.finished({submission: fingerprint, …})
            results.write(graded)

    Args:
        folder: It is made where there is none.
        facts: {what must be the same in all of the batch: its value}, plain values for JSON. They are written as they are, so no secret
            belongs there, but its digest may.
        gradescope: Whether to write Gradescope's files too.
        say: What to do with a sentence for the instructor.

    Raises (on entering):
        CourseError: When the folder holds other files or another batch, when another grader holds it, or when it cannot be written.
    """

    def __init__(self, folder: Path, facts: Mapping, *, gradescope: bool = False, say: Callable[[str], None] = print):
        self.folder = Path(folder)
        self.facts = json.loads(json.dumps(dict(facts)))  # as they will be read again
        self.gradescope = gradescope
        self.say = say
        self._lock = Lock(self.folder / LOCK)
        self._known: dict[str, Graded] = {}
        self._next = 0.0

    def __enter__(self) -> Results:
        try:
            with self._disk("The folder of results"):
                self._take()
                self._known = {graded.submission: graded for graded in self._records()}
                for graded in self._known.values():
                    self._show(graded, anew=False)
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        try:
            self._show_class()
        except CourseError as error:
            if kind is None:
                raise
            self.say(str(error))  # what stopped the batch matters more
        finally:
            self._lock.release()

    def read(self) -> list[Graded]:
        """All that are graded, by name."""
        return sorted(self._known.values(), key=lambda graded: (graded.submission.casefold(), graded.submission))

    def finished(self, fingerprints: Mapping[str, str]) -> dict[str, Graded]:
        """Those that need not be graded again: {submission: what it came to} where the fingerprint is still the same.

        What another fingerprint came to leaves the tables, which never show a grade for something that was not handed in.
        """
        for submission, fingerprint in fingerprints.items():
            if submission in self._known and self._known[submission].fingerprint != fingerprint:
                del self._known[submission]
        return {submission: self._known[submission] for submission in fingerprints if submission in self._known}

    def write(self, graded: Graded) -> None:
        """Keep what a submission came to. When this returns it stands on the disk; the class's tables follow within seconds, or at the end.

        Raises:
            CourseError: When the disk is full, or something else keeps it from being written. What was written before stands.
        """
        with self._disk(f"What {graded.submission} came to"):
            self._show(graded)
            write_atomically(self._record(graded.submission), _as_json(graded.as_dict()))  # last, because with it the rest counts as done
        self._known[graded.submission] = graded
        if time.monotonic() >= self._next:
            self._show_class()

    def _take(self) -> None:
        """Hold the folder, and make sure that it is this batch's."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)  # grades are nobody else's business
        batch = self.folder / BATCH
        if not batch.exists():
            self._refuse_other_files()
        try:
            self._lock.acquire()
        except BlockingIOError:
            raise CourseError(
                f"Another `segcourse grade` is writing to {self.folder}: wait until it is done, or name another folder with --out."
            ) from None
        if batch.exists():
            self._refuse_other_facts(batch)
        else:
            write_atomically(batch, _as_json({"format": FORMAT, "facts": self.facts}))
        for part in list(self.folder.rglob(".*.part")):  # of a grader that was killed
            part.unlink()
        for name in ("submissions", "reports", *(("gradescope",) if self.gradescope else ())):
            (self.folder / name).mkdir(exist_ok=True)

    def _refuse_other_files(self) -> None:
        others = sorted(path.name for path in self.folder.iterdir() if path.name != LOCK and not path.name.startswith(f".{BATCH}."))
        if others:
            raise CourseError(
                f"{self.folder} holds other files, such as {others[0]!r}, and no results of a grading: name a new folder with --out."
            )

    def _refuse_other_facts(self, batch: Path) -> None:
        try:
            found = json.loads(batch.read_bytes())
            there = dict(found["facts"]) if found["format"] == FORMAT else None
        except (ValueError, TypeError, KeyError, RecursionError):
            there = None
        if there is None:
            raise CourseError(f"{batch} is not what a grading writes, so nothing can be added to it: name another folder with --out.")
        different = [name for name in there | self.facts if there.get(name) != self.facts.get(name)]
        if different:
            told = "; ".join(f"{name}: {_short(there.get(name))} there, {_short(self.facts.get(name))} here" for name in different)
            raise CourseError(f"{self.folder} holds the results of another batch ({told}): name another folder with --out.")

    def _records(self) -> Iterator[Graded]:
        for path in sorted((self.folder / "submissions").glob("*.json")):
            graded = _read(path)
            if graded is None:
                aside = _set_aside(path)
                self.say(f"{path} is damaged and cannot be read: it is kept as {aside.name}, and that submission is graded again.")
            else:
                yield graded

    def _show(self, graded: Graded, anew: bool = True) -> None:
        """Write what is made from a submission's record; where it is there already, only if it is to be made `anew`."""
        name = file_name(graded.submission)
        page = self.folder / "reports" / f"{name}.html"
        if anew or not page.exists():
            write_atomically(page, report(graded).encode())
        if not self.gradescope:
            return
        page = self.folder / "gradescope" / name / "results.json"
        if anew or not page.exists():
            page.parent.mkdir(exist_ok=True)
            write_atomically(page, _as_json(gradescope_results(graded)))

    def _show_class(self) -> None:
        began = time.monotonic()
        with self._disk("The table of grades"):
            submissions = self.read()
            write_atomically(self.folder / "grades.csv", as_csv(submissions))
            write_atomically(self.folder / "reports" / "index.html", overview(submissions).encode())
        ended = time.monotonic()
        self._next = ended + max(_EVERY, (ended - began) / _SHARE)

    def _record(self, submission: str) -> Path:
        return self.folder / "submissions" / f"{file_name(submission)}.json"

    @contextlib.contextmanager
    def _disk(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CourseError(
                f"{what} could not be written to {self.folder} ({error.strerror or error}): what was written before stands, "
                "and the same command goes on from there."
            ) from None


def _as_json(data: dict) -> bytes:
    """In ASCII: half a surrogate pair, which UTF-8 cannot hold, comes back as it was."""
    return json.dumps(data, indent=1).encode() + b"\n"


def _read(path: Path) -> Graded | None:
    """The record in the file; None when it is cut off, no JSON, of another shape, or another submission's."""
    try:
        graded = Graded.from_dict(json.loads(path.read_bytes()))
    except (ValueError, TypeError, AttributeError, RecursionError, IsADirectoryError):
        return None
    return graded if _has_its_types(graded) and f"{file_name(graded.submission)}.json" == path.name else None


def _has_its_types(data: object) -> bool:
    """Whether every field of a dataclass is what it is declared to be: made from JSON, it has the names of its fields for sure, no more."""
    return all(_is(getattr(data, name), hint) for name, hint in get_type_hints(type(data)).items())


def _is(value: object, hint: type) -> bool:
    if hint is bool or hint is str:
        return isinstance(value, hint)
    if hint is float:
        return type(value) in (int, float) and math.isfinite(value)
    if is_dataclass(hint):
        return isinstance(value, hint) and _has_its_types(value)
    return isinstance(value, tuple) and all(_is(entry, get_args(hint)[0]) for entry in value)


def _set_aside(path: Path) -> Path:
    name, count = f"{path.name}.damaged", 1
    while (aside := path.with_name(name)).exists():
        count += 1
        name = f"{path.name}.damaged-{count}"
    return path.rename(aside)


def _short(value: object) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
