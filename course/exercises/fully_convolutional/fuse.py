"""Exercise: one rung of the refinement ladder."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2.functional import InterpolationMode, resize

from course.exercises.drawing import digits, normal, whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.models.fcn import fuse

PROMPT = r"""
One rung of FCN's ladder: double the coarse scores in height and width by **bilinear interpolation**, and add the fine scores.

Pixels are little squares, and a cell of the coarse map lies over 2 × 2 cells of the fine one. So the centre of coarse cell $i$ lies at
$2i + 0.5$ in rows of the fine map, between its rows $2i$ and $2i + 1$. In PyTorch that is `align_corners=False`.

There is one difficulty. A layer that halves an odd number of rows rounds up: 7 become 4. Doubled, these are 8, one too many. Then the
**last row is cut off** (and the last column likewise), so that each cell stays over the cells that it was made from. Stretching the
coarse map to 7 rows would shift it a little.

The checks use `coarse` of `[N, K, h, w]` and `fine` of `[N, K, H, W]`, with $H = 2h$ or $2h - 1$, and $W = 2w$ or $2w - 1$.
""".strip()

DOCSTRING = """
Double the coarse scores by bilinear interpolation, cut off what is too much below and on the right, and add the fine ones.

Args:
    coarse: scores [N, K, h, w].
    fine: scores [N, K, H, W] of the same classes; H is 2h or 2h - 1, and W is 2w or 2w - 1.

Returns: [N, K, H, W].
""".strip()


def _by_torchvision(coarse: Tensor, fine: Tensor) -> Tensor:
    size = [2 * coarse.shape[-2], 2 * coarse.shape[-1]]
    doubled = resize(coarse, size, interpolation=InterpolationMode.BILINEAR, antialias=False)
    return doubled[..., : fine.shape[-2], : fine.shape[-1]] + fine


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)
    yield Case("one row, fine scores 0", {"coarse": 4 * digits(draw, 1, 1, 1, 2), "fine": torch.zeros(1, 1, 2, 4)})
    yield Case("2×2 becomes 4×4", {"coarse": 4 * digits(draw, 1, 1, 2, 2), "fine": digits(draw, 1, 1, 4, 4)})
    yield Case("five columns: the last one is cut off", {"coarse": 4 * digits(draw, 1, 1, 2, 3), "fine": digits(draw, 1, 1, 4, 5)})
    yield Case("three rows: the last one is cut off", {"coarse": 4 * digits(draw, 1, 1, 2, 2), "fine": digits(draw, 1, 1, 3, 4)})
    height, width = whole(draw, 3, 5), whole(draw, 6, 8)
    yield Case(
        "two images, three classes", {"coarse": normal(draw, 2, 3, height, width), "fine": normal(draw, 2, 3, 2 * height, 2 * width)}
    )
    yield Case("seven by nine", {"coarse": normal(draw, 1, 7, 4, 5), "fine": normal(draw, 1, 7, 7, 9)})
    yield Case("one cell", {"coarse": normal(draw, 1, 2, 1, 1), "fine": normal(draw, 1, 2, 1, 1)})
    yield Case("float64", {"coarse": normal(draw, 1, 2, 3, 3).double(), "fine": normal(draw, 1, 2, 6, 5).double()})


def _doubled(coarse: Tensor, fine: Tensor, **options) -> Tensor:
    return F.interpolate(coarse, scale_factor=2, **options)[..., : fine.shape[-2], : fine.shape[-1]]


def _nearest(coarse, fine):
    return _doubled(coarse, fine, mode="nearest") + fine


def _aligned(coarse, fine):
    return _doubled(coarse, fine, mode="bilinear", align_corners=True) + fine


def _stretched(coarse, fine):
    return F.interpolate(coarse, size=fine.shape[-2:], mode="bilinear") + fine


def _cut_at_the_start(coarse, fine):
    doubled = F.interpolate(coarse, scale_factor=2, mode="bilinear")
    return doubled[..., -fine.shape[-2] :, -fine.shape[-1] :] + fine


def _coarse_only(coarse, fine):
    return _doubled(coarse, fine, mode="bilinear")


def _averaged(coarse, fine):
    return (_doubled(coarse, fine, mode="bilinear") + fine) / 2


def _multiplied(coarse, fine):
    return _doubled(coarse, fine, mode="bilinear") * fine


def _bicubic(coarse, fine):
    return _doubled(coarse, fine, mode="bicubic") + fine


def _down(coarse, fine):
    return coarse + F.avg_pool2d(fine, 2, ceil_mode=True)


def _stacked(coarse, fine):
    return torch.cat([_doubled(coarse, fine, mode="bilinear"), fine], dim=1)


FUSE = Exercise(
    prompt=PROMPT,
    solution=fuse,
    docstring=DOCSTRING,
    reference=_by_torchvision,
    reference_name="torchvision's resize, cropped",
    cases=_cases,
    common_mistakes=(
        Mistake(
            "nearest neighbour",
            _nearest,
            "This is what happens when each score is copied into its block. Bilinear interpolation blends neighbouring scores.",
        ),
        Mistake(
            "corners aligned",
            _aligned,
            "This is what happens when align_corners is True: the outermost centres are put on one another, and all between shift. "
            "Cells lie over cells here, which is align_corners=False.",
        ),
        Mistake(
            "stretched",
            _stretched,
            "This is what happens when the coarse map is stretched to the fine one's size. Double it, then cut off what is too much.",
        ),
        Mistake(
            "cut off at the start",
            _cut_at_the_start,
            "This is what happens when the first row or column is cut off. The rounding is at the end, so the last one goes.",
        ),
        Mistake("fine scores forgotten", _coarse_only, "This is what happens when the fine scores are forgotten."),
        Mistake("averaged", _averaged, "This is what happens when the mean of both is taken. A rung of the ladder adds."),
        Mistake("multiplied", _multiplied, "This is what happens when the scores are multiplied. A rung of the ladder adds."),
        Mistake("bicubic", _bicubic, "This is what happens when the interpolation is bicubic. FCN's is bilinear."),
        Mistake(
            "fine made coarse",
            _down,
            "This is what happens when the fine scores are made smaller. The coarse ones are made larger: the answer has the fine size.",
        ),
        Mistake(
            "stacked",
            _stacked,
            "This is what happens when both are stacked along the channels, as U-Net does with features. Scores are added.",
        ),
    ),
)
