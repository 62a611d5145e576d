"""Exercise: how wrong a mask is, of the class that the object has."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection.roi_heads import maskrcnn_loss

from course.exercises.drawing import whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.ops.masks import mask_loss

PROMPT = r"""
The mask head gives K masks for each of R regions, one for each class: `logits`, `[R, K, M, M]`. Region $r$ shows an object of class
`labels[r]`, and its true mask, seen through the region, is `targets[r]`, `[M, M]`, from 0 to 1. **Only the mask of the true class is
judged**; what the others say does not matter. The loss is the binary cross-entropy of each cell, and its mean over all cells of all
regions:

$$L = \frac{1}{R\,M^2} \sum_{r,i,j} -t \log p - (1 - t) \log(1 - p), \qquad p = \frac{1}{1 + e^{-\text{logit}}}$$

```text
one region, two classes, one cell      logits 2 and −1      label 1      target 1
p = 1 / (1 + e¹) = 0.269               L = −log 0.269 = 1.313               the 2 of class 0 does not matter
```

- Classes count from 0, the background included: `labels` are rows of `logits` as they are.
- Logits may be of any size. Where $p$ is 0 in float32, its logarithm is $-\infty$, and training is over. torch has a function that takes
  logits and does not compute $p$ at all.
- With no region at all the loss is 0.

The answer is one number, a tensor without dimensions.
""".strip()

DOCSTRING = """
The binary cross-entropy of the mask of each region's true class; the other classes' masks are not looked at. []

Args:
    logits: [R, K, M, M], of any size and sign; R may be 0.
    labels: the true classes, int64 [R], 0 to K − 1.
    targets: [R, M, M], from 0 to 1.

Returns the mean over regions and cells, 0 where there is no region.
""".strip()


def _by_torchvision(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """torchvision's loss cuts its targets out itself: of a box that begins half a pixel outside it reads each pixel's own value."""
    if not len(targets):  # its RoIAlign would read from no picture at all
        return logits.new_zeros(())
    side = targets.shape[-1]
    whole_target = targets.new_tensor([-0.5, -0.5, side - 0.5, side - 0.5]).expand(len(targets), 4)
    return maskrcnn_loss(logits, [whole_target], [targets], [labels], [torch.arange(len(targets))])


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def case(name: str, labels: list[int], classes: int, side: int, scale: float = 2.0, parts: bool = True, dtype=torch.float32) -> Case:
        """Targets at tenths, or 0 and 1."""
        regions = len(labels)
        logits = scale * torch.randn(regions, classes, side, side, generator=draw)
        targets = torch.randint(0, 11, (regions, side, side), generator=draw) / 10
        targets = targets if parts else (targets > 0.4).float()
        return Case(name, {"logits": logits.to(dtype), "labels": torch.tensor(labels, dtype=torch.int64), "targets": targets.to(dtype)})

    def some(count: int, classes: int) -> list[int]:
        return torch.randint(0, classes, (count,), generator=draw).tolist()

    yield case("one region, one cell", [1], 2, 1)
    yield case("one region, two by two cells of 0 and 1", [1], 3, 2, parts=False)
    yield case("covered in part", [2], 3, 2)
    yield case("three regions", [2, 0, 1], 3, 3)
    yield case("two regions of one class", [3, 3], 5, 3)
    yield case("the first class", [0, 0], 3, 2)
    yield case("the last class", [6], 7, 4)
    yield case("one class", [0, 0, 0], 1, 3)
    for name, target in (("very sure, mostly wrong", 0.0), ("very sure, mostly right", 1.0)):
        sure = case(name, [1], 2, 2)
        logits = (150.0 + whole(draw, 0, 50)) * torch.tensor([[1.0, 1], [1, -1]])
        yield Case(name, sure.inputs | {"logits": logits.expand(1, 2, 2, 2).clone(), "targets": torch.full((1, 2, 2), target)})
    yield case("28 cells", some(4, 7), 7, 28)
    yield case("float64", some(3, 4), 4, 5, dtype=torch.float64)
    yield case("no region", [], whole(draw, 2, 8), 14)


# ---- wrong versions --------------------------------------------------------------------------------------------------

_bce = F.binary_cross_entropy_with_logits


def _written(
    chosen: Callable[[Tensor, Tensor], Tensor] = lambda logits, labels: logits[torch.arange(len(labels)), labels],
    loss: Callable[[Tensor, Tensor], Tensor] = lambda of_class, targets: _bce(of_class, targets, reduction="none"),
    total: Callable[[Tensor], Tensor] = lambda losses: losses.sum() / max(1, losses.numel()),
) -> Callable:
    """mask_loss in three parts; a wrong version has one of them written otherwise. losses: [R, M, M]."""

    def wrong(logits, labels, targets):
        return total(loss(chosen(logits, labels), targets))

    return wrong


def _all_classes(logits, labels, targets):
    losses = _bce(logits, targets[:, None].expand_as(logits), reduction="sum")
    return losses / max(1, logits.numel())


def _others_empty(logits, labels, targets):
    """Every class's mask is judged; those of the other classes should be empty."""
    wanted = torch.zeros_like(logits)
    wanted[torch.arange(len(labels)), labels] = targets
    return _bce(logits, wanted, reduction="sum") / max(1, logits.numel())


def _softmax(logits, labels, targets):
    """Classes compete for each cell."""
    logs = logits.log_softmax(1)[torch.arange(len(labels)), labels]
    rest = (1 - logs.exp()).clamp(min=1e-12).log()
    losses = -targets * logs - (1 - targets) * rest
    return losses.sum() / max(1, losses.numel())


def _by_logarithms(logit: Tensor, target: Tensor) -> Tensor:
    p = logit.sigmoid()
    return -target * p.log() - (1 - target) * (1 - p).log()


MASK_LOSS = Exercise(
    prompt=PROMPT,
    solution=mask_loss,
    docstring=DOCSTRING,
    reference=_by_torchvision,
    reference_name="maskrcnn_loss in torchvision.models.detection.roi_heads",
    cases=_cases,
    common_mistakes=(
        Mistake(
            "all classes",
            _all_classes,
            "This is what happens when the masks of all classes are judged. Only that of the true class is: logits[torch.arange(R), "
            "labels].",
        ),
        Mistake(
            "the others empty",
            _others_empty,
            "This is what happens when the masks of the other classes are told to be empty. They may say what they like: only the true "
            "class's mask is judged.",
        ),
        Mistake(
            "softmax",
            _softmax,
            "This is what happens when a softmax lets the classes compete for a cell. Each mask has a sigmoid of its own.",
        ),
        Mistake(
            "first class",
            _written(chosen=lambda logits, labels: logits[:, 0]),
            "This is what happens when the first mask is taken. labels says which of the K it is.",
        ),
        Mistake(
            "last class",
            _written(chosen=lambda logits, labels: logits[:, -1]),
            "This is what happens when the last mask is taken. labels says which of the K it is.",
        ),
        Mistake(
            "without the background",
            _written(chosen=lambda logits, labels: logits[torch.arange(len(labels)), labels - 1]),
            "This is what happens when 1 is taken off the labels. The background has its row in logits, too: take labels as they are.",
        ),
        Mistake(
            "largest mask",
            _written(chosen=lambda logits, labels: logits.amax(1)),
            "This is what happens when the largest of the K logits is judged. The true class's is, whatever the others say.",
        ),
        Mistake(
            "mean of the masks",
            _written(chosen=lambda logits, labels: logits.mean(1)),
            "This is what happens when the mean of the K logits is judged. The true class's is, whatever the others say.",
        ),
        Mistake(
            "sum",
            _written(total=lambda losses: losses.sum()),
            "This is what happens when the cells are added up. The loss is their mean.",
        ),
        Mistake(
            "sum of the cells",
            _written(total=lambda losses: losses.sum() / max(1, len(losses))),
            "This is what happens when the cells of a region are added up, and only regions are averaged. It is the mean over both.",
        ),
        Mistake(
            "sum of the regions",
            _written(total=lambda losses: losses.mean((1, 2)).sum() if losses.numel() else losses.sum()),
            "This is what happens when the cells of a region are averaged, and regions are added up. It is the mean over both.",
        ),
        Mistake(
            "one for each region",
            _written(total=lambda losses: losses.mean((1, 2))),
            "This is what happens when each region keeps its own loss. The mean over all regions and cells is one number.",
        ),
        Mistake(
            "one for each cell",
            _written(total=lambda losses: losses),
            "This is what happens when each cell keeps its own loss. The mean over all regions and cells is one number.",
        ),
        Mistake(
            "no sigmoid",
            _written(loss=lambda of_class, targets: F.binary_cross_entropy(of_class, targets, reduction="none")),
            "This is what happens when logits are taken for probabilities. Use binary_cross_entropy_with_logits.",
            error="between 0 and 1",
        ),
        Mistake(
            "sigmoid twice",
            _written(loss=lambda of_class, targets: _bce(of_class.sigmoid(), targets, reduction="none")),
            "This is what happens when a function that takes logits gets probabilities: the sigmoid is applied twice.",
        ),
        Mistake(
            "logarithm of 0",
            _written(loss=_by_logarithms),
            "This is what happens when the logarithm of a sigmoid is taken that has become 0 or 1 in float32. "
            "binary_cross_entropy_with_logits never computes it.",
        ),
        Mistake(
            "cut at 100",
            _written(loss=lambda of_class, targets: F.binary_cross_entropy(of_class.sigmoid(), targets, reduction="none")),
            "This is what happens when binary_cross_entropy gets the sigmoid: it cuts a loss off at 100, and its gradient is gone. "
            "binary_cross_entropy_with_logits takes the logits.",
        ),
        Mistake(
            "targets rounded",
            _written(loss=lambda of_class, targets: _bce(of_class, (targets >= 0.5).to(targets), reduction="none")),
            "This is what happens when targets are rounded to 0 and 1. A cell that is covered in part counts in part.",
        ),
        Mistake(
            "only inside",
            _written(loss=lambda of_class, targets: -targets * F.logsigmoid(of_class)),
            "This is what happens when only −t · log p counts. Then a mask that says 1 everywhere is perfect: add −(1 − t) · log(1 − p).",
        ),
        Mistake(
            "sign",
            _written(loss=lambda of_class, targets: -_bce(of_class, targets, reduction="none")),
            "This is what happens when the minus is forgotten: the loss would be best where it is most wrong.",
        ),
        Mistake(
            "squares",
            _written(loss=lambda of_class, targets: (of_class.sigmoid() - targets).square()),
            "This is what happens when the squared difference of probability and target is taken. The loss is the cross-entropy.",
        ),
        Mistake(
            "mean of nothing",
            _written(total=lambda losses: losses.mean()),
            "This is what happens when the mean of nothing is taken: it is NaN, and so are all weights one step later. Without a region "
            "the loss is 0.",
        ),
    ),
)
