"""What `check` says to a student whose function is wrong."""

from course.exercises import check


def hint_of(function, seed=0):
    """The name of the common mistake that it recognises, None if none; the function must not pass."""
    result = check(function, seed=seed)
    assert not result.passed
    return result.failure.mistake.name if result.failure.mistake else None
