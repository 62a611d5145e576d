"""How the course's detectors are trained on generated shapes, and judged: what their recipes share.

The pictures have 128 pixels and are drawn once. AdamW, batches of 16, four epochs or so: minutes where the papers take days.
"""

import torch
from torch import nn

from course.data.in_memory import InMemory
from course.data.shapes import Shapes, collate
from course.evaluation import mean_average_precision_on
from course.training import History, fit

SIZE = 128


def train_on_shapes(
    model: nn.Module,
    *,
    epochs: int,
    seed: int = 0,
    device="auto",
    checkpoint=None,
    progress=None,
    count: int = 3000,
    mirrors: tuple[tuple[int, ...], ...] = (),
    keep: tuple[str, ...] = ("boxes", "labels"),
    judged: bool = True,
    **options,
) -> History:
    """Train in place, by `model.losses`.

    Args:
        count: how many pictures there are to learn from.
        mirrors, keep: as `course.data.in_memory.InMemory`.
        judged: whether mAP@0.5 on 100 other pictures is recorded after each epoch.
        options: go to `course.training.fit`, as do the others.
    """
    pictures = InMemory(Shapes("train", count=count, size=SIZE, target="instances"), mirrors=mirrors, keep=keep)
    if judged:
        unseen = InMemory(Shapes("val", count=100, size=SIZE, target="instances"))
        options["validate"] = lambda model: {"mAP@0.5": mean_average_precision_on(model, unseen, device=device)}
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return fit(
        model,
        pictures,
        batch_loss=model.losses,
        collate=collate,
        epochs=epochs,
        batch_size=16,
        optimiser=torch.optim.AdamW(learning, lr=2e-3, weight_decay=0.01),
        device=device,
        seed=seed,
        progress=progress,
        checkpoint=checkpoint,
        **options,
    )


def score_on_shapes(model: nn.Module, *, device="auto", count: int = 500) -> float:
    """mAP@0.5 on pictures that were never trained on: `count` of Shapes's test split."""
    return mean_average_precision_on(model, Shapes("test", count=count, size=SIZE, target="instances"), device=device)
