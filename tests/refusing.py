"""How a test says that a call is refused: with which error, in one sentence, with which words."""

import re

import pytest


def refuses(call, error, *words):
    """The call raises that error, in one sentence that contains the words."""
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert re.fullmatch(r"[^\n]+\.", message) and ". " not in message, message
    for word in words:
        assert word in message, message
