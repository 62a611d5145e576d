"""What a grader gave for one notebook."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Marks:
    """The part of the points of each exercise, 0 to 1; empty when there was no result at all.

    Attributes:
        killed: Whether the grader was ended from outside, for taking too long.
    """

    points: Mapping[str, float]
    killed: bool = False
