"""What happened during a training, in numbers."""

from dataclasses import dataclass, field


@dataclass
class History:
    """What happened during `fit`.

    `steps`: {name of the loss: one value a step}. `epochs`: {name: one value an epoch}, the mean of each loss and what `validate`
    gave. `seconds`: of training, validation included. `interrupted`: whether it was stopped before its end.
    """

    steps: dict[str, list[float]] = field(default_factory=dict)
    epochs: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0.0
    interrupted: bool = False

    def count(self) -> int:
        """Steps done so far."""
        return max(map(len, self.steps.values()), default=0)

    def __repr__(self) -> str:  # without times and values, which differ from one machine to the next
        epochs = max(map(len, self.epochs.values()), default=0)
        return f"History({epochs} epochs, {self.count()} steps{', interrupted' if self.interrupted else ''})"
