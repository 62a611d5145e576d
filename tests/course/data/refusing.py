"""How a data set refuses: with one sentence."""

import pytest

from course.data.items import BrokenItem


def refused(match: str, function, error=BrokenItem) -> str:
    """The sentence with which a call raises that error; `match` is a pattern found in it."""
    with pytest.raises(error, match=match) as caught:
        function()
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence
    return sentence
