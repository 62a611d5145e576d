"""Hypercolumns: at every pixel, what several layers say there, stacked; and a mask inside a box from them.

Paper: B. Hariharan, P. Arbeláez, R. Girshick and J. Malik, "Hypercolumns for Object Segmentation and Fine-grained Localization", 2014,
arXiv:1411.5752, section 3 (the hypercolumn, figure 2), section 3.1 (a K×K grid of classifiers and their interpolation), section 3.2 (the
same by convolutions and upsampling).

Differs from the paper: the layers are computed once for the whole picture and looked up inside each box, where it crops and resizes
each box first; the masks are of any class, where it trains one classifier a class; the features stay as they are, and only the
classifiers learn; every layer is brought to zero mean and unit deviation first, so that none drowns the others.
Differs from torchvision: it has no such model.

Shape letters: N images, C channels of a layer, H height, W width, R boxes, M side of a mask, G side of the grid of classifiers (K there).
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course.ops import arguments


def hypercolumns(features: Sequence[Tensor], size: Sequence[int]) -> Tensor:
    """Bring every layer to one size by bilinear interpolation and stack them.

    A cell's centre stands for the middle of the pixels that it covers (`align_corners=False`), so layers of different strides lie over
    one another as they lie over the picture.

    Args:
        features: each `[N, C, h, w]`, floating-point, of the same N pictures.
        size: (H, W).

    Returns: `[N, ΣC, H, W]`: along the channels, the hypercolumn of each pixel. Source: paper, section 3, figure 2.

    Raises: TypeError or ValueError for no layers, or others.
    """
    _check_layers(features)
    size = arguments.pair(size, "size", 1)
    return torch.cat([F.interpolate(f, size=size, mode="bilinear", align_corners=False) for f in features], 1)  # [N, ΣC, H, W]


def hypercolumns_in_boxes(features: Sequence[Tensor], boxes: Sequence[Tensor], image_size: Sequence[int], size: int) -> Tensor:
    """The hypercolumns at `size` × `size` points inside each box: look up every layer at the points, and stack.

    Args:
        features: each `[N, C, h, w]`, over the same N pictures.
        boxes: for each picture `[R_i, 4]`, xyxy in its pixels.
        image_size: (H, W) of the pictures.
        size: M.

    Returns: `[R, ΣC, M, M]`, the boxes of the first picture first. A box as large as the picture, with M = H = W, gives `hypercolumns`.

    Raises: TypeError or ValueError for layers, boxes or sizes that cannot be.
    """
    _check_layers(features)
    points, picture = _points(boxes, image_size, arguments.whole(size, "size", 1), features[0])  # [R, M, M, 2], [R]
    return torch.cat([_look_up(f, points, picture) for f in features], 1)  # [R, ΣC, M, M]


class MaskClassifier(nn.Module):
    """A mask inside a box: at each point, a linear function of the hypercolumn, and which one depends on where in the box the point lies.

    G × G linear classifiers stand on a grid over the box. At a point the answers of the nearest four are blended by nearness, as bilinear
    interpolation blends colours (paper, section 3.1, equation 3). With `grid=1` one and the same classifier works everywhere: simpler,
    but it cannot know that a head is more often at the top.

    A blend of linear functions of stacked, interpolated layers can be computed in any order. So the classifiers work on each small layer
    as a 1×1 convolution to G² maps, and only those are interpolated (paper, section 3.2).

    Args:
        backbone: `features(images)` gives {name: `[N, C, h, w]`}. It is kept as it is.
        channels: {name of the layer: C}, for the layers to stack.
        grid: G; the paper takes 10 for boxes from a detector.
        size: M.
    """

    def __init__(self, *, backbone: nn.Module, channels: Mapping[int | str, int], grid: int = 5, size: int = 28):
        super().__init__()
        self.backbone = backbone.requires_grad_(False).eval()
        self.names, self.grid, self.size = tuple(channels), arguments.whole(grid, "grid", 1), arguments.whole(size, "size", 1)
        # One bias is enough for the sum over the layers.
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(c, affine=False), nn.Conv2d(c, grid * grid, 1, bias=number == 0))
            for number, c in enumerate(channels.values())
        )

    def train(self, mode: bool = True) -> "MaskClassifier":
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, inputs: tuple[Tensor, Sequence[Tensor]]) -> Tensor:
        """Mask logits `[R, M, M]`, above 0 inside.

        Args:
            inputs: (images `[N, 3, H, W]`, boxes: `[R_i, 4]` for each). They come as one, so that `course.training.fit` can hand them on.
        """
        images, boxes = inputs
        with torch.no_grad():
            features = self.backbone.features(images)
        points, picture = _points(boxes, images.shape[-2:], self.size, images)  # [R, M, M, 2], [R]
        layers = (_look_up(layer(features[name]), points, picture) for name, layer in zip(self.names, self.layers, strict=True))
        answers = sum(layers)  # [R, G*G, M, M]
        return (answers * self.nearness(answers)).sum(1)  # [R, M, M]

    def nearness(self, like: Tensor) -> Tensor:
        """How much each classifier counts at each point of the mask, `[G*G, M, M]`: in each point they sum to 1."""
        one_each = torch.eye(self.grid**2, dtype=like.dtype, device=like.device).reshape(1, -1, self.grid, self.grid)  # [1, G*G, G, G]
        return F.interpolate(one_each, size=(self.size, self.size), mode="bilinear", align_corners=False)[0]  # [G*G, M, M]


def masks_in_boxes(masks: Sequence[Tensor], boxes: Sequence[Tensor], size: int) -> Tensor:
    """What `MaskClassifier` is to answer: whether the pixel under each point belongs to the object.

    Args:
        masks: for each picture `[R_i, H, W]`, bool, one for each of its boxes.
        boxes: for each picture `[R_i, 4]`, xyxy.
        size: M.

    Returns: float `[R, M, M]`, 0 or 1.
    """
    together = torch.cat(list(masks))[:, None].float()  # [R, 1, H, W]
    one_each = list(torch.cat(list(boxes)).split(1))  # R times [1, 4]: now every box has a picture of its own
    points, picture = _points(one_each, together.shape[-2:], size, together)
    return F.grid_sample(together[picture], points, mode="nearest", padding_mode="zeros", align_corners=False)[:, 0]  # [R, M, M]


def paste_masks(logits: Tensor, boxes: Tensor, image_size: Sequence[int], *, threshold: float = 0.0) -> Tensor:
    """Masks inside boxes back into the picture: each pixel whose centre lies in the box looks up the logit there.

    Args:
        logits: `[R, M, M]`.
        boxes: `[R, 4]`, xyxy.
        image_size: (H, W).
        threshold: a pixel belongs to the object if its logit is above it.

    Returns: bool `[R, H, W]`.
    """
    height, width = arguments.pair(image_size, "image_size", 1)
    y = torch.arange(height, dtype=boxes.dtype, device=boxes.device) + 0.5  # [H]
    x = torch.arange(width, dtype=boxes.dtype, device=boxes.device) + 0.5  # [W]
    x1, y1, x2, y2 = boxes.T[..., None]  # [R, 1] each
    across, down = 2 * (x - x1) / (x2 - x1) - 1, 2 * (y - y1) / (y2 - y1) - 1  # [R, W], [R, H]: −1 and 1 at the box's edges
    points = torch.stack([across[:, None].expand(-1, height, -1), down[..., None].expand(-1, -1, width)], -1)  # [R, H, W, 2]
    values = F.grid_sample(logits[:, None], points.to(logits.dtype), padding_mode="border", align_corners=False)[:, 0]  # [R, H, W]
    return (values > threshold) & (points.abs() <= 1).all(-1)


def _look_up(features: Tensor, points: Tensor, picture: Tensor) -> Tensor:
    """Bilinear interpolation of `[N, C, h, w]` at the points `[R, M, M, 2]` of the pictures `[R]`. → `[R, C, M, M]`"""
    looked_up = features.new_zeros(len(points), features.shape[1], *points.shape[1:3])  # [R, C, M, M]
    for number in range(len(features)):  # a picture at a time: to copy its features for each of its boxes would take far more memory
        here = picture == number
        if here.any():
            size, rows = points.shape[1], points[here].flatten(0, 1)[None]  # [1, R_i*M, M, 2]
            found = F.grid_sample(features[number : number + 1], rows, padding_mode="border", align_corners=False)  # [1, C, R_i*M, M]
            looked_up[here] = found[0].unflatten(1, (-1, size)).transpose(0, 1)  # [R_i, C, M, M]
    return looked_up


def _points(boxes: Sequence[Tensor], image_size: Sequence[int], size: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """The M × M cell centres of each box, in grid_sample's units (−1 and 1 are the picture's edges), and the number of its picture."""
    if isinstance(boxes, Tensor) or len(boxes) != len(like) or any(b.dim() != 2 or b.shape[1] != 4 for b in boxes):
        given = list(boxes.shape) if isinstance(boxes, Tensor) else [list(b.shape) for b in boxes]
        raise ValueError(f"Boxes are a list with a tensor [R, 4] for each of the {len(like)} pictures; got {given}.")
    picture = torch.cat([torch.full((len(b),), number, device=like.device) for number, b in enumerate(boxes)])  # [R]
    x1, y1, x2, y2 = torch.cat(list(boxes)).to(like).T[..., None]  # [R, 1] each
    if (x2 <= x1).any() or (y2 <= y1).any():
        raise ValueError("Boxes are x1, y1, x2, y2 with x1 < x2 and y1 < y2; some have no area.")
    height, width = arguments.pair(image_size, "image_size", 1)
    share = (torch.arange(size, dtype=like.dtype, device=like.device) + 0.5) / size  # [M]
    x, y = x1 + share * (x2 - x1), y1 + share * (y2 - y1)  # [R, M] each
    x, y = 2 * x / width - 1, 2 * y / height - 1
    return torch.stack([x[:, None].expand(-1, size, -1), y[..., None].expand(-1, -1, size)], -1), picture  # [R, M, M, 2]


def _check_layers(features: Sequence[Tensor]) -> None:
    for number, layer in enumerate(features):
        arguments.check_planes(layer, f"layer {number}", fractions=True)
        if layer.dim() != 4 or len(layer) != len(features[0]):
            raise ValueError(f"Layers have shape [N, C, h, w] with one N; layer {number} has {list(layer.shape)}.")
    if not len(features):
        raise ValueError("A hypercolumn needs the features of at least one layer; got none.")
