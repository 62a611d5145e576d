"""File names for submissions: safe, and never the same twice, on a file system that tells capitals apart and on one that doesn't."""

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from course.grading.file_names import file_name

# Strings that are likely to come close to each other, and any strings.
NEAR = st.text("aAbB-_./\\ é\u0301\u202e:0~", max_size=6)
ANY = st.one_of(NEAR, st.text(), st.text(st.characters(codec=None, categories=["Cs", "Ll", "Po"])))


@given(ANY)
@example("../../etc/passwd")
@example("a" * 5000)
@example("nul")
@example("\udcff\ud800")
@example("")
def test_a_name_is_one_safe_part_of_a_path(submission):
    name = file_name(submission)
    assert re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name) and len(name) <= 98
    assert not re.fullmatch(r"con|prn|aux|nul|com\d|lpt\d|index", name)


@given(st.lists(ANY, min_size=2, max_size=40, unique=True))
@example(["alice", "Alice", "ALICE", "alice/", "./alice", "al\u0131ce"])
@example(["a/b", "a-b", "a\\b", "a_b", "a b", "a//b", "a/../a/b"])
@example([unicodedata.normalize(form, "Zoé") for form in ("NFC", "NFD")])
@example(["x" * 300 + "1", "x" * 300 + "2"])
def test_no_two_submissions_share_a_name(submissions):
    assert len({file_name(submission).casefold() for submission in submissions}) == len(submissions)


@given(ANY)
def test_a_name_made_with_a_hash_is_nobodys_own(submission):
    """Otherwise a student could call a notebook what another one's is turned into."""
    name = file_name(submission)
    assert name == submission or file_name(name) != name


@pytest.mark.parametrize("plain", ["alice", "03_unpooling_exercises", "group-7_b", "a" * 80])
def test_a_plain_name_stays(plain):
    assert file_name(plain) == plain


def test_what_is_safe_of_a_name_stays_readable():
    assert re.fullmatch(r"chloe-dubois-03_unpooling--[0-9a-f]{16}", file_name("Chloé Dubois/03_unpooling"))
