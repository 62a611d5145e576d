"""YOLO: no proposals. One look at the picture, and each cell of a grid says whether an object's centre lies in it, which, and where.

Paper: J. Redmon, S. Divvala, R. Girshick and A. Farhadi, "You Only Look Once: Unified, Real-Time Object Detection", 2015, arXiv:1506.02640:
figure 2 and section 2 (the grid, and what a cell predicts), 2.1 (the network), 2.2 and equation 3 (responsibility and the loss), 2.3
(detection).

    picture → backbone → head → S × S cells, each a vector of 5B + C numbers:   B × (x, y, w, h, confidence), C class probabilities
    x, y: the centre, 0…1 from the cell's left and upper side.   w, h: shares of the whole picture.   score = confidence · class

    loss =  λ_coord Σ over responsible boxes (x − x̂)² + (y − ŷ)²                                 "centre"
          + λ_coord Σ over responsible boxes (√w − √ŵ)² + (√h − √ĥ)²                             "size"
          +         Σ over responsible boxes (confidence − IoU)²                                 "object"
          + λ_noobj Σ over all other boxes   confidence²                                         "no_object"
          +         Σ over cells with an object, and over classes, (p(class) − [its class])²     "class"

The one box of an occupied cell that overlaps the object most is responsible; the IoU that its confidence should say is a number, without
gradient. A cell holds one object: of several centres in a cell the first object stays, the others are lost (`lost_objects`).

Why square roots: an error of 5 pixels ruins a small box and hardly matters to a large one, and a root is steeper near 0. Why λ_coord = 5
and λ_noobj = 0.5: most boxes are empty, and their pull to confidence 0 would drown the few that have something to learn.

Differs from the paper: its last layer is linear. Here x, y and confidence pass a sigmoid, the roots of w and h do and are squared, and the
classes pass a softmax, so every number is in its range from the first step on. `head` may be any that gives the cells, such as `GridHead`,
whose convolutions treat every cell alike; the paper's two fully connected layers learn each cell by itself, for which few pictures are too
few.
Differs from torchvision: it has no YOLO.

Shape letters: N images, S cells along a side, B boxes a cell, C classes without background, G objects, K = S·S·B boxes, D detections.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course.models.detector_input import DetectorInput
from course.models.fast_rcnn import Targets, check_targets, in_their_pixels
from course.ops import arguments
from course.ops.arguments import IntOrPair
from course.ops.boxes import box_area, clip_boxes, cxcywh_to_xyxy, xyxy_to_cxcywh
from course.ops.nms import batched_nms
from course.ops.precision import widen


class CellTargets(NamedTuple):
    """What the cells of a picture should say; of several pictures with N before each shape."""

    boxes: Tensor
    """x, y in the cell, w, h in shares of the picture; zeros where there is no object. [S, S, 4]"""
    labels: Tensor
    """From 1; 0 where there is no object. int64 [S, S]"""
    objects: Tensor
    """The row of the object in the boxes given, −1 where there is none. int64 [S, S]"""


class CellPredictions(NamedTuple):
    """The vectors of cells, taken apart."""

    boxes: Tensor
    """x, y in the cell, w, h in shares of the picture. [..., B, 4]"""
    confidence: Tensor
    """[..., B]"""
    classes: Tensor
    """Of classes 1 to C. [..., C]"""


def encode_targets(boxes: Tensor, labels: Tensor, image_size: IntOrPair, grid: int = 7) -> CellTargets:
    """Put every object into the cell that its centre lies in.

    A centre on the border of two cells belongs to the right, or lower, one; on the picture's right or lower edge to the last one. Of
    several objects in one cell the first stays. What of a box lies outside the picture is cut off first, as the data sets do.

    Args:
        boxes: [G, 4], xyxy in pixels, each with width and height and at least in part in the picture; G may be 0.
        labels: int64 [G], from 1.
        image_size: (height, width) in pixels, or one number for both.
        grid: S.

    Source: Redmon et al. 2015, section 2. Raises: TypeError or ValueError for other boxes, labels or sizes, NaN among them.
    """
    height, width = arguments.pair(image_size, "image_size", 1)
    grid = arguments.whole(grid, "grid", 1)
    _check_objects(boxes, labels, (height, width))
    x, y, w, h = xyxy_to_cxcywh(clip_boxes(widen(boxes), (height, width))).unbind(1)  # [G] each
    across, down = x * grid / width, y * grid / height  # in cells; multiplied first, so that a border at a whole pixel is met exactly
    column, row = across.long().clamp(max=grid - 1), down.long().clamp(max=grid - 1)
    shares = torch.stack((across - column, down - row, w / width, h / height), 1)  # [G, 4]
    count, numbers = len(boxes), torch.arange(len(boxes), device=boxes.device)
    first = numbers.new_full((grid * grid,), count).scatter_reduce(0, row * grid + column, numbers, "amin")  # [S * S]
    there = first < count
    encoded, kinds = shares.new_zeros(grid * grid, 4), labels.new_zeros(grid * grid)
    encoded[there], kinds[there] = shares[first[there]], labels[first[there]]
    side = (grid, grid)
    return CellTargets(encoded.unflatten(0, side), kinds.unflatten(0, side), first.where(there, -1).unflatten(0, side))


def stack_targets(targets: Sequence[CellTargets]) -> CellTargets:
    """Those of N pictures as one, N before each shape."""
    return CellTargets(*(torch.stack(parts) for parts in zip(*targets, strict=True)))


def lost_objects(boxes: Tensor, image_size: IntOrPair, grid: int = 7) -> Tensor:
    """The objects that no cell can hold, because an earlier one has its centre in the same cell: rows of boxes, int64 [L].

    Args, Raises: as encode_targets.
    """
    objects = encode_targets(boxes, torch.ones(len(boxes), dtype=torch.int64, device=boxes.device), image_size, grid).objects
    lost = torch.ones(len(boxes), dtype=torch.bool, device=boxes.device)
    lost[objects[objects >= 0]] = False
    return lost.nonzero()[:, 0]


def split_predictions(predictions: Tensor, boxes: int = 2) -> CellPredictions:
    """Vectors of cells [..., 5B + C] as boxes, confidences and classes. boxes: B. Raises: ValueError where no class is left."""
    boxes = arguments.whole(boxes, "boxes", 1)
    if predictions.shape[-1] <= 5 * boxes:
        raise ValueError(
            f"A cell with {boxes} boxes has {5 * boxes} numbers for them and at least one class after them; got {predictions.shape[-1]}."
        )
    each = predictions[..., : 5 * boxes].unflatten(-1, (boxes, 5))  # [..., B, 5]
    return CellPredictions(each[..., :4], each[..., 4], predictions[..., 5 * boxes :])


def perfect_predictions(targets: CellTargets, classes: int, boxes: int = 2) -> Tensor:
    """Targets as predictions: what a network would say that is right and sure, with each of its B boxes. [..., S, S, 5B + C]

    Args:
        targets: of one picture or several.
        classes: C.
        boxes: B.
    """
    there = (targets.labels > 0)[..., None].to(targets.boxes)  # [..., S, S, 1]
    each = torch.cat((targets.boxes, there), -1)  # [..., S, S, 5]
    kinds = F.one_hot(targets.labels, classes + 1)[..., 1:].to(targets.boxes)  # [..., S, S, C]
    return torch.cat((*[each] * boxes, kinds), -1)


def responsible_boxes(predicted: Tensor, truth: Tensor, grid: int = 7) -> Tensor:
    """Which of its B boxes answers for the object in a cell: the one with the highest IoU, the first of equals. int64 [...]

    Where none of them touches the object, the one that differs least from it in x, y, w and h, all in shares of the picture (smallest root
    mean square error), as in the authors' code.

    Args:
        predicted: [..., B, 4], x, y in the cell, w, h in shares of the picture.
        truth: [..., 4], the same of the object.
        grid: S, by which a cell's side becomes a share of the picture, too.

    Source: Redmon et al. 2015, section 2.2. Raises: TypeError or ValueError for other shapes.
    """
    arguments.check_boxes(predicted, "predicted", rows=False)
    arguments.check_boxes(truth, "truth", rows=False)
    if predicted.dim() < 2 or predicted.shape[:-2] != truth.shape[:-1]:
        raise ValueError(
            f"predicted [..., B, 4] and truth [..., 4] must have the same cells; got {[*predicted.shape]} and {[*truth.shape]}."
        )
    truth = truth[..., None, :]  # [..., 1, 4]
    overlap = _iou(predicted, truth, grid)  # [..., B]
    distance = (_in_shares(predicted, grid) - _in_shares(truth, grid)).square().sum(-1)  # [..., B]
    return torch.where((overlap > 0).any(-1), overlap.argmax(-1), distance.argmin(-1))  # [...]


def coordinate_losses(
    predicted: Tensor, truth: Tensor, there: Tensor, *, coordinates: float = 5.0, square_roots: bool = True
) -> dict[str, Tensor]:
    """The first two terms of equation 3, cell by cell, 0 where there is no object: {"centre": [...], "size": [...]}.

    Args:
        predicted: [..., 4], x, y in the cell, w, h in shares of the picture, of the responsible boxes.
        truth: [..., 4], the same of the objects.
        there: bool [...], whether the cell has an object.
        coordinates: λ_coord.
        square_roots: whether sizes are compared by their roots, a size below 0 as 0.

    Source: Redmon et al. 2015, equation 3. Raises: TypeError or ValueError for tensors of other kinds or shapes.
    """
    arguments.check_boxes(predicted, "predicted", rows=False)
    arguments.check_alike(truth, "truth", predicted, "predicted")
    root = _root if square_roots else nn.Identity()
    return {
        "centre": coordinates * (predicted - truth)[..., :2].square().sum(-1).where(there, 0),
        "size": coordinates * (root(predicted) - root(truth))[..., 2:].square().sum(-1).where(there, 0),
    }


def yolo_loss_cells(
    predictions: Tensor,
    targets: CellTargets,
    *,
    boxes: int = 2,
    coordinates: float = 5.0,
    no_object: float = 0.5,
    square_roots: bool = True,
) -> dict[str, Tensor]:
    """The five terms of equation 3 cell by cell, each [N, S, S], with their λ's: {"centre", "size", "object", "no_object", "class"}.

    Args:
        predictions: [N, S, S, 5B + C].
        targets: of N pictures (`stack_targets`).
        boxes: B.
        coordinates, square_roots: as coordinate_losses.
        no_object: λ_noobj.

    Source: Redmon et al. 2015, equation 3. Raises: ValueError for shapes that do not belong together, or a label above C.
    """
    _check_cells(predictions, targets, boxes)
    cells, truth = split_predictions(widen(predictions), boxes), targets.boxes.to(widen(predictions))
    grid, there = predictions.shape[1], targets.labels > 0  # [N, S, S]
    responsible = responsible_boxes(cells.boxes.detach(), truth, grid)[..., None]  # [N, S, S, 1]
    own = cells.boxes.take_along_dim(responsible[..., None], -2)[..., 0, :]  # [N, S, S, 4]
    confidence = cells.confidence.take_along_dim(responsible, -1)[..., 0]  # [N, S, S]
    answers = there[..., None] & (responsible == torch.arange(boxes, device=there.device))  # [N, S, S, B]
    kinds = F.one_hot(targets.labels, cells.classes.shape[-1] + 1)[..., 1:]  # [N, S, S, C]
    return coordinate_losses(own, truth, there, coordinates=coordinates, square_roots=square_roots) | {
        "object": (confidence - _iou(own.detach(), truth, grid)).square().where(there, 0),
        "no_object": no_object * cells.confidence.square().where(~answers, 0).sum(-1),
        "class": (cells.classes - kinds).square().sum(-1).where(there, 0),
    }


def yolo_losses(predictions: Tensor, targets: CellTargets, **options) -> dict[str, Tensor]:
    """{"centre", "size", "object", "no_object", "class"}, scalars: `yolo_loss_cells`, summed over the cells, the mean over the images.

    Args, Raises: as yolo_loss_cells.
    """
    return {name: cells.sum() / len(cells) for name, cells in yolo_loss_cells(predictions, targets, **options).items()}


def decode_predictions(predictions: Tensor, image_size: IntOrPair, *, boxes: int = 2) -> tuple[Tensor, Tensor]:
    """Every box of every cell, [N, K, 4] in xyxy pixels, and its score for each class, confidence × probability, [N, K, C].

    Cells in reading order, the B boxes of a cell side by side. Nothing is left out yet, nor cut off at the picture's edge.

    Args:
        predictions: [N, S, S, 5B + C].
        image_size: (height, width) in pixels, or one number for both.
        boxes: B.

    Source: Redmon et al. 2015, equation 1. Raises: TypeError or ValueError for other shapes or sizes.
    """
    height, width = arguments.pair(image_size, "image_size", 1)
    _check_square(predictions)
    cells, grid = split_predictions(widen(predictions), boxes), predictions.shape[1]
    place = torch.arange(grid, device=predictions.device)
    x, y, w, h = cells.boxes.unbind(-1)  # [N, S, S, B] each
    x, y = (place[:, None] + x) * width / grid, (place[:, None, None] + y) * height / grid
    found = cxcywh_to_xyxy(torch.stack((x, y, w * width, h * height), -1))  # [N, S, S, B, 4]
    scores = cells.confidence[..., None] * cells.classes[..., None, :]  # [N, S, S, B, C]
    return found.flatten(1, 3), scores.flatten(1, 3)


def detect(
    boxes: Tensor, scores: Tensor, *, score_threshold: float = 0.05, nms_threshold: float = 0.5, limit: int = 100
) -> list[dict[str, Tensor]]:
    """What scores above the threshold and survives the suppression.

    Returns: for each image {boxes [D, 4], labels int64 [D], scores [D]}, the best first.

    Args:
        boxes: [N, K, 4]; those without width or height are left out.
        scores: [N, K, C]; a box may be found as several classes.
        nms_threshold: of two boxes of one class that overlap more, the better one stays.
        limit: at most so many an image.

    Source: Redmon et al. 2015, section 2.3. Raises: ValueError for shapes that do not belong together.
    """
    if boxes.dim() != 3 or scores.dim() != 3 or boxes.shape != (*scores.shape[:2], 4):
        raise ValueError(f"detect takes boxes [N, K, 4] and scores [N, K, C]; got {[*boxes.shape]} and {[*scores.shape]}.")
    limit = arguments.whole(limit, "limit", 1)
    found = []
    for of_image, ranks in zip(boxes, scores, strict=True):
        large = (of_image[:, 2:] > of_image[:, :2]).all(-1)  # [K]
        rows, classes = ((ranks > score_threshold) & large[:, None]).nonzero().unbind(1)  # [candidates] each
        kept = batched_nms(of_image[rows], ranks[rows, classes], classes, nms_threshold)[:limit]  # [D]
        rows, classes = rows[kept], classes[kept]
        found.append({"boxes": of_image[rows], "labels": classes + 1, "scores": ranks[rows, classes]})
    return found


class GridHead(nn.Module):
    """From a map of any size to the cells: 3×3 convolutions, the same for every cell. `[N, channels, h, w]` → `[N, S, S, numbers]`

    The map is first read at the middle of each of the S × S cells, so S need not divide anything.

    Args:
        channels: of the map.
        width: channels of the convolutions.
        grid: S.
        numbers: 5B + C.
        convolutions: 3×3 convolutions before the last, 1×1.
    """

    def __init__(self, *, channels: int, width: int, grid: int, numbers: int, convolutions: int = 2):
        super().__init__()
        self.grid, layers = grid, []
        for each in (channels, *[width] * (convolutions - 1)):
            layers += [nn.Conv2d(each, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.LeakyReLU(0.1)]  # paper, equation 2
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, numbers, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(x, size=(self.grid, self.grid), mode="bilinear")  # [N, channels, S, S]
        return self.layers(x).permute(0, 2, 3, 1)  # [N, S, S, numbers]


class YOLO(nn.Module):
    """See once, then say everything.

    Args:
        prepare: pictures → `course.models.detector_input.Batch`, all of one size: `DetectorInput(size=…)`.
        backbone: `[N, 3, H, W]` → {name: map}, of which the last goes on.
        head: map → `[N, S, S, 5B + C]`, numbers of any size, such as a `GridHead`.
        grid, boxes, classes: S, B and C; classes do not count the background.
        coordinates, no_object, square_roots: as `yolo_loss_cells`.
        score_threshold, nms_threshold, limit: as `detect`.
    """

    def __init__(
        self,
        *,
        prepare: DetectorInput,
        backbone: nn.Module,
        head: nn.Module,
        grid: int = 7,
        boxes: int = 2,
        classes: int,
        coordinates: float = 5.0,
        no_object: float = 0.5,
        square_roots: bool = True,
        score_threshold: float = 0.05,
        nms_threshold: float = 0.5,
        limit: int = 100,
    ):
        super().__init__()
        self.prepare, self.backbone, self.head = prepare, backbone, head
        self.grid, self.boxes, self.classes = (
            arguments.whole(number, name, 1) for number, name in ((grid, "grid"), (boxes, "boxes"), (classes, "classes"))
        )
        self.coordinates, self.no_object, self.square_roots = coordinates, no_object, square_roots
        self.score_threshold, self.nms_threshold, self.limit = score_threshold, nms_threshold, limit

    def forward(self, images: Sequence[Tensor]) -> list[dict[str, Tensor]]:
        """A list of pictures `[3, h, w]` → for each {boxes `[D, 4]` in its pixels, labels int64 `[D]`, scores `[D]`}, the best first."""
        batch = self.prepare(images)
        with torch.no_grad():
            boxes, scores = decode_predictions(self._cells(batch.images), batch.size, boxes=self.boxes)  # [N, K, 4], [N, K, C]
            found = detect(
                clip_boxes(boxes, batch.size),
                scores,
                score_threshold=self.score_threshold,
                nms_threshold=self.nms_threshold,
                limit=self.limit,
            )
        return in_their_pixels(found, batch)

    def predict(self, images: Sequence[Tensor]) -> Tensor:
        """A list of pictures `[3, h, w]` → what their cells say, `[N, S, S, 5B + C]`, every number from 0 to 1."""
        return self._cells(self.prepare(images).images)

    def losses(self, images: Sequence[Tensor], targets: Targets) -> dict[str, Tensor]:
        """{"centre", "size", "object", "no_object", "class"}, scalars, for `course.training.fit(..., batch_loss=model.losses)`.

        Args:
            targets: for each picture boxes `[G, 4]` and labels int64 `[G]`, from 1 to C; G may be 0.
        """
        check_targets(images, targets, self.classes + 1)
        cells = [
            encode_targets(target["boxes"], target["labels"], tuple(image.shape[-2:]), self.grid)  # shares are the same at any size
            for image, target in zip(images, targets, strict=True)
        ]
        return yolo_losses(
            self.predict(images),
            stack_targets(cells),
            boxes=self.boxes,
            coordinates=self.coordinates,
            no_object=self.no_object,
            square_roots=self.square_roots,
        )

    def _cells(self, images: Tensor) -> Tensor:
        raw = self.head(list(self.backbone(images).values())[-1])
        shape = (len(images), self.grid, self.grid, 5 * self.boxes + self.classes)
        if raw.shape != shape:
            raise ValueError(f"The head must give the cells as [N, S, S, 5B + C], here {list(shape)}; it gave {list(raw.shape)}.")
        cells = split_predictions(widen(raw), self.boxes)
        x_y, sizes = cells.boxes[..., :2].sigmoid(), cells.boxes[..., 2:].sigmoid().square()  # [N, S, S, B, 2]
        each = torch.cat((x_y, sizes, cells.confidence[..., None].sigmoid()), -1)  # [N, S, S, B, 5]
        return torch.cat((each.flatten(-2), cells.classes.softmax(-1)), -1)  # [N, S, S, 5B + C]


def _in_shares(boxes: Tensor, grid: int) -> Tensor:
    """Centre and size, all in shares of the picture, the centre counted from the cell's corner. [..., 4]"""
    return torch.cat((boxes[..., :2] / grid, boxes[..., 2:]), -1)


def _iou(a: Tensor, b: Tensor, grid: int) -> Tensor:
    """IoU of boxes [..., 4] of the same cells, pair by pair; a box without area, or turned inside out, overlaps nothing. [...]"""
    a, b = cxcywh_to_xyxy(_in_shares(a, grid)), cxcywh_to_xyxy(_in_shares(b, grid))
    sides = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])  # [..., 2]
    shared = sides.clamp(min=0).prod(-1)  # [...]
    return shared / (box_area(a) + box_area(b) - shared).where(shared > 0, 1)


def _root(x: Tensor) -> Tensor:
    """√x, and 0 below 0, without the infinite slope at 0."""
    return x.where(x > 0, 1).sqrt().where(x > 0, 0)


def _check_objects(boxes: Tensor, labels: Tensor, size: tuple[int, int]) -> None:
    arguments.check_boxes(boxes, finite=True)
    arguments.check_sizes(boxes, "boxes")
    arguments.check_inside(boxes, size, "boxes in a picture")
    arguments.check_row(labels, boxes, "labels")
    if labels.dtype != torch.int64:
        raise TypeError(f"labels must be int64, from 1; got {labels.dtype}.")
    if len(labels) and labels.min() < 1:
        raise ValueError(f"labels must be from 1, for 0 is the background; got {int(labels.min())}.")


def _check_square(predictions: Tensor) -> None:
    if not isinstance(predictions, Tensor) or not predictions.is_floating_point():
        kind = predictions.dtype if isinstance(predictions, Tensor) else type(predictions).__name__
        raise TypeError(f"predictions must be a floating-point tensor [N, S, S, 5B + C]; got {kind}.")
    if predictions.dim() != 4 or predictions.shape[1] != predictions.shape[2]:
        raise ValueError(f"predictions must have shape [N, S, S, 5B + C]; got {list(predictions.shape)}.")


def _check_cells(predictions: Tensor, targets: CellTargets, boxes: int) -> None:
    _check_square(predictions)
    classes = split_predictions(predictions, boxes).classes.shape[-1]
    if targets.labels.shape != predictions.shape[:3] or targets.boxes.shape != (*predictions.shape[:3], 4):
        raise ValueError(
            f"The targets must be of the same pictures and cells as the predictions, {list(predictions.shape[:3])}; got labels "
            f"{list(targets.labels.shape)} and boxes {list(targets.boxes.shape)}."
        )
    if targets.labels.numel() and targets.labels.max() > classes:
        raise ValueError(f"The targets must have labels up to the {classes} classes of the predictions; got {int(targets.labels.max())}.")
