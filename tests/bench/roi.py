"""RoI pooling and RoIAlign beside torchvision's C++ and CUDA, forward, and forward and backward.

A thousand boxes of many sizes on a map of stride 16, as Fast R-CNN has it for a picture of 800 × 1088, and a thousand of those that a
feature pyramid sends to its finest map, of stride 4. The features are behind a ReLU, so half of them are 0 and ties are common. Before
anything is measured, values and gradients are held against each other.
"""

from collections.abc import Callable

import torch
import torchvision
from torch import Tensor

from course.ops.roi import roi_align, roi_pool
from tests.bench.table import Row, row_of_times

MAPS = {"stride 16, [1, 256, 50, 68]": ((50, 68), (4, 45)), "stride 4, [1, 256, 200, 272]": ((200, 272), (14, 28))}
"""(H, W), and how many cells a box is wide and high."""
PAIRS = {
    "RoI pooling": (roi_pool, torchvision.ops.roi_pool, ()),
    "RoIAlign, 2 × 2 points": (roi_align, torchvision.ops.roi_align, (1.0, 2)),
    "RoIAlign, a point a cell": (roi_align, torchvision.ops.roi_align, (1.0, 0)),
}


def measure(quick: bool) -> list[Row]:
    """About two minutes, half a minute if quick."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rows = []
    for name, (size, sides) in MAPS.items():
        torch.manual_seed(0)
        features, boxes = torch.randn(1, 256, *size).relu().to(device), random_boxes(250 if quick else 1000, size, sides).to(device)
        for operation, (ours, theirs, more) in PAIRS.items():
            what = f"{operation}, {len(boxes)} boxes, {name}: ms"
            rows += compare(
                what,
                lambda x, f=ours, b=boxes, m=more: f(x, b, 7, *m),
                lambda x, f=theirs, b=boxes, m=more: f(x, b, 7, *m),
                features,
                2 if quick else 5,
            )
    return rows


def random_boxes(count: int, size: tuple[int, int], sides: tuple[int, int]) -> Tensor:
    """[R, 5], in cells, inside the map."""
    width_height = sides[0] + (sides[1] - sides[0]) * torch.rand(count, 2)
    corner = torch.rand(count, 2) * (torch.tensor(size[::-1]) - width_height)
    return torch.cat((torch.zeros(count, 1), corner, corner + width_height), 1)


def compare(what: str, ours: Callable[[Tensor], Tensor], theirs: Callable[[Tensor], Tensor], features: Tensor, runs: int) -> list[Row]:
    upstream = torch.randn_like(theirs(features))
    leaf = features.clone().requires_grad_()

    def trained(function: Callable[[Tensor], Tensor]) -> Tensor:
        leaf.grad = None
        output = function(leaf)
        output.backward(upstream)
        return torch.cat((output.detach().flatten(), leaf.grad.flatten()))

    torch.testing.assert_close(trained(ours), trained(theirs), rtol=1e-3, atol=1e-3)
    return [
        row_of_times(f"{what}, forward", {"ours": lambda: ours(features), "torchvision": lambda: theirs(features)}, runs=runs),
        row_of_times(f"{what}, and backward", {"ours": lambda: trained(ours), "torchvision": lambda: trained(theirs)}, runs=runs),
    ]
