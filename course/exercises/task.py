"""What a network to train has to do, apart from any exercise: how its answers look, how they are checked, what they are worth.

A grader uses the two halves in two processes. `numbers` and `answers` run beside the student's code and know nothing but pictures. `score`
runs with the one who judges, and what it is given may come from anybody: it takes arrays apart from the beginning. Between the two travel
plain arrays and nothing else, each with a row a picture. Where pictures have different numbers of things (detections), rows are filled up.

`labelling.py` is a label for each pixel, `localizing.py` a class and a box for each picture, `proposing.py` boxes around whatever is there,
`detecting.py` boxes and classes of all that is there, `segmenting.py` their masks, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


class Wrong(Exception):
    """What stands in the way of a judgement: its kind, as of an `Outcome`, and one sentence."""

    def __init__(self, kind: str, sentence: str):
        super().__init__(sentence)
        self.kind, self.sentence = kind, sentence


@dataclass(frozen=True)
class Score:
    """How good the answers are: `value`, 0…1, earns the points; `details` are sentences that say more."""

    value: float
    details: tuple[str, ...] = ()


class Task(Protocol):
    """Shape letters: B pictures of a batch, N of all.

    Attributes:
        measure: What the score is called, such as "mean IoU".
    """

    measure: str

    def numbers(self, outputs: object, images: Tensor) -> dict[str, Tensor]:
        """What the network said, checked: finite floating-point tensors by name, a row a picture `[B, …]`.

        Args:
            outputs: whatever the student's network returned.
            images: `[B, 3, H, W]`, the pictures it was shown.

        Raises:
            Wrong: When it is not what it should be, with a sentence for the student.
        """

    def answers(self, numbers: Mapping[str, Tensor], images: Tensor) -> dict[str, Tensor]:
        """These numbers as the plain arrays that are sent to the judge, a row a picture `[B, …]`."""

    def score(self, arrays: Mapping[str, Tensor], targets: Sequence) -> Score:
        """What the answers are worth.

        Args:
            arrays: those of `answers`, of all batches, `[N, …]`; or anything else.
            targets: the right ones, one a picture.

        Raises:
            Wrong: When they are no answers, with a sentence that holds nothing of theirs.
        """


def is_answer(array: object, dtype, shape: Sequence[int]) -> bool:
    """Whether it is a tensor of just this dtype and shape, and finite."""
    return isinstance(array, Tensor) and array.dtype is dtype and list(array.shape) == list(shape) and bool(array.isfinite().all())


def described(tensor: Tensor) -> str:
    """Shape and dtype, "[10, 7] float32"."""
    return f"{list(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
