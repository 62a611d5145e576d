"""R-CNN: cut every proposal out of the picture, warp it to one size, and let a network say what is in it.

Paper: R. Girshick, J. Donahue, T. Darrell and J. Malik, "Rich feature hierarchies for accurate object detection and semantic
segmentation", 2014, arXiv:1311.2524: section 2 and figure 1 (the whole), appendix A (warping), appendix B (which proposals are positive),
appendix C (box regression). Hard negative mining: P. Felzenszwalb et al., TPAMI 2010, section 4.

    proposals → warp → network → features φ      for each picture once, kept on disk
    svm_objective       ½‖w‖² + C · Σ max(0, 1 − y (w·φ + b))      one for each class, on φ
    softmax_loss        − log softmax(W φ)[label]                  the alternative: one for all classes and background
    ridge_objective     Σ ‖t − w·φ‖² + λ‖w‖²                       four numbers for each class, which move the box

Which boxes teach what: an SVM has the true boxes of its class as positives and what overlaps them by less than 0.3 as negatives; the
softmax has all from IoU 0.5 as positives and the rest as background; the regression has the proposals above 0.6.

Differs from the paper: the network is whatever is passed in, and it stays as it is; in fine-tuning only its last layer, the softmax,
learns. SVMs and regression read the same features, where it reads the two layers fc7 and pool5. All pictures are mined in each round, and
a round ends with one training. The bias of the regression is free. What the paper leaves open is as in its authors' code
(github.com/rbgirshick/rcnn): C = 0.001, the weight 2 of the positives, the bias as the weight of a feature that is 10, features scaled to
the mean length 20, −1 and −1.2 as the thresholds of mining, NMS at 0.3. That code makes the regression's targets uncorrelated first, which
changes nothing here: the solution is linear in them.
Differs from torchvision: it has no R-CNN. What is detected comes in its dicts.

Shape letters: N boxes of a picture, G of them true ones, H × W picture, S side of a warped patch, F features, K classes besides
background, P positives, M examples.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course.models.warping import MEAN_COLOUR, check_image, warp
from course.ops import arguments
from course.ops.boxes import box_iou, clip_boxes, decode_boxes, encode_boxes
from course.ops.matching import NEGATIVE, match_boxes, sample_matches
from course.ops.nms import batched_nms
from course.training import fit

FEATURE_NORM = 20  # features are scaled to this mean length before anything is trained, so that C and λ mean the same for any network


class CellFeatures(nn.Module):
    """A backbone's map of one stride, averaged to `grid` × `grid` cells: patches [B, 3, S, S] → features [B, C·grid²].

    With grid 1 only *what* is there is left; with more also *where* in the patch, which box regression needs.

    Args:
        backbone: `features(images)` gives {stride: map [B, C, h, w]}, as `course.models.backbones.efficientnet_lite0()` does.
    """

    def __init__(self, *, backbone: nn.Module, stride: int = 32, grid: int = 2):
        super().__init__()
        self.backbone, self.stride, self.grid = backbone, stride, arguments.whole(grid, "grid", 1)

    def forward(self, patches: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(self.backbone.features(patches)[self.stride], self.grid).flatten(1)  # [B, C*grid*grid]

    def extra_repr(self) -> str:
        return f"stride={self.stride}, grid={self.grid}"


class WarpedFeatures(nn.Module):
    """Features of boxes as R-CNN has them: each box is warped, and the network runs once for each.

    Args:
        network: patches [B, 3, S, S] → features [B, F].
        size, padding, fill: as `warp` takes them.
        batch_size: patches that exist at a time.
    """

    def __init__(
        self, *, network: nn.Module, size: int = 224, padding: int = 16, fill: Sequence[float] = MEAN_COLOUR, batch_size: int = 32
    ):
        super().__init__()
        self.network, self.size, self.padding, self.fill = network, size, padding, tuple(fill)
        self.batch_size = arguments.whole(batch_size, "batch_size", 1)

    @torch.no_grad()
    def forward(self, image: Tensor, boxes: Tensor) -> Tensor:
        """[3, H, W] and [N, 4] → [N, F]. Raises TypeError or ValueError as `warp`."""
        # Without boxes one patch is still computed: its F says how wide the empty answer is.
        some = boxes if len(boxes) else boxes.new_tensor([[0, 0, image.shape[-1], image.shape[-2]]])
        batches = (warp(image, b, size=self.size, padding=self.padding, fill=self.fill) for b in some.split(self.batch_size))
        return torch.cat([self.network(patches).flatten(1) for patches in batches])[: len(boxes)]  # [N, F]

    def extra_repr(self) -> str:
        return f"size={self.size}, padding={self.padding}, fill={self.fill}"


@dataclass(frozen=True)
class Regions:
    """What is known of a training picture. The true boxes come first: row g < G of features and boxes belongs to the object g.

    Attributes:
        features: [G + N, F].
        boxes: [G + N, 4].
        labels: int64 [G], 1 … K.
    """

    features: Tensor
    boxes: Tensor
    labels: Tensor

    @property
    def objects(self) -> Tensor:
        return self.boxes[: len(self.labels)]  # [G, 4]


def regions_of(image: Tensor, target: dict[str, Tensor], *, proposals: Tensor, features: nn.Module) -> Regions:
    """The true boxes and the proposals of a picture [3, H, W], with their features.

    Args:
        target: boxes [G, 4] and labels [G], as torchvision's detectors take them.
        proposals: [N, 4].
        features: (image, boxes) → [N, F], such as `WarpedFeatures`.
    """
    boxes = torch.cat((target["boxes"], proposals.to(target["boxes"])))  # [G + N, 4]
    return Regions(features(image, boxes), boxes, target["labels"])


class Linear(nn.Module):
    """K linear classifiers: features [N, F] → scores [N, K], column k that of class k + 1; above 0 it is more likely there than not."""

    def __init__(self, weight: Tensor, bias: Tensor):
        super().__init__()
        self.register_buffer("weight", weight)  # [F, K]
        self.register_buffer("bias", bias)  # [K]

    def forward(self, features: Tensor) -> Tensor:
        return features @ self.weight + self.bias  # [N, K]


def svm_objective(
    weight: Tensor, bias: Tensor, positives: Tensor, negatives: Tensor, *, c: float = 1e-3, positive_weight: float = 2.0
) -> Tensor:
    """What an SVM is trained to make small: ½‖w‖² + C · Σ max(0, 1 − y (w·φ + b)), a positive counting `positive_weight`-fold.

    An example costs nothing once it is on its side of the margin, beyond ±1: only hard ones count. The bias is pulled to 0 a little,
    ½(b / 10)², as if it were the weight of a feature that is always 10.

    Args:
        weight: [F]; bias: a scalar; positives: [P, F]; negatives: [M, F].
    """
    hinge = positive_weight * (1 - positives @ weight - bias).clamp(min=0).sum() + (1 + negatives @ weight + bias).clamp(min=0).sum()
    return (weight.square().sum() + (bias / 10).square()) / 2 + c * hinge


def svm_examples(regions: Regions, label: int) -> tuple[Tensor, Tensor]:
    """The rows that teach the SVM of a class: bool [G + N] each, positives and negatives. What is in neither is left out.

    Positive are the true boxes of the class alone; negative is what overlaps each of them by less than 0.3. Paper, section 2.3.
    """
    positive = torch.zeros(len(regions.boxes), dtype=torch.bool, device=regions.boxes.device)
    positive[: len(regions.labels)] = regions.labels == label
    overlap = box_iou(regions.boxes[positive], regions.boxes)  # [G of that class, G + N]
    return positive, match_boxes(overlap, high=1.0, low=0.3) == NEGATIVE


@dataclass(frozen=True)
class Round:
    """One round of mining: the SVM [F] and bias after it, which negatives it was trained on, and how many of them were new and dropped."""

    weight: Tensor
    bias: Tensor
    used: tuple[Tensor, ...]
    added: int
    dropped: int


def mine_svm(
    positives: Tensor, negatives: Sequence[Tensor], *, c: float = 1e-3, positive_weight: float = 2.0, rounds: int = 4, start: int = 1
) -> Iterator[Round]:
    """Train an SVM on the negatives that are hard, a round at a time. The first `start` pictures with negatives begin.

    After a round every negative is scored. Those above −1, inside the margin or beyond it, join; those below −1.2 go, for without them
    the answer is the same. It ends when none joins: then the SVM is that of all negatives, though it has never seen most of them.

    Args:
        positives: [P, F], P at least 1.
        negatives: for each picture [M_i, F]; not all empty.
        rounds: at most.

    Raises:
        ValueError: no positives or no negatives.
    """
    filled = [number for number, rows in enumerate(negatives) if len(rows)]
    if not len(positives) or not filled:
        raise ValueError(f"An SVM needs positives and negatives; got {len(positives)} and {sum(map(len, negatives))}.")
    used = [torch.full((len(rows),), number in filled[:start], device=rows.device) for number, rows in enumerate(negatives)]
    added, dropped = sum(int(rows.sum()) for rows in used), 0
    for _ in range(arguments.whole(rounds, "rounds", 1)):
        shown = torch.cat([rows[mask] for rows, mask in zip(negatives, used, strict=True)])  # [M, F]
        weight, bias = _svm(positives, shown, c, positive_weight)
        yield Round(weight, bias, tuple(used), added, dropped)
        scores = [rows @ weight + bias for rows in negatives]  # each [M_i]
        hard = [~mask & (score > -1) for mask, score in zip(used, scores, strict=True)]
        easy = [mask & (score < -1.2) for mask, score in zip(used, scores, strict=True)]
        added, dropped = (sum(int(rows.sum()) for rows in masks) for masks in (hard, easy))
        if not added:
            return
        used = [(mask | h) & ~e for mask, h, e in zip(used, hard, easy, strict=True)]


def train_svms(pictures: Sequence[Regions], *, classes: int, c: float = 1e-3, positive_weight: float = 2.0, rounds: int = 4) -> Linear:
    """An SVM for each of K classes, by `mine_svm`. A class that is in no picture gets one that always says −1, a sure no."""
    scale = feature_scale(pictures)
    features = [p.features * scale for p in pictures]
    weight, bias = features[0].new_zeros(features[0].shape[1], classes), features[0].new_full((classes,), -1)  # [F, K], [K]
    for k in range(classes):
        masks = [svm_examples(p, k + 1) for p in pictures]
        positives = torch.cat([rows[positive] for rows, (positive, _) in zip(features, masks, strict=True)])  # [P, F]
        negatives = [rows[negative] for rows, (_, negative) in zip(features, masks, strict=True)]
        if len(positives):
            *_, last = mine_svm(positives, negatives, c=c, positive_weight=positive_weight, rounds=rounds)
            weight[:, k], bias[k] = last.weight * scale, last.bias  # so that it reads features as they come
    return Linear(weight, bias)


class Softmax(nn.Module):
    """A linear layer to K classes and background, whose probabilities are the scores: [N, F] → [N, K]."""

    def __init__(self, *, features: int, classes: int, scale: float = 1.0):
        super().__init__()
        self.linear = nn.Linear(features, classes + 1)
        self.register_buffer("scale", torch.tensor(float(scale)))

    def logits(self, features: Tensor) -> Tensor:
        return self.linear(features * self.scale)  # [N, K + 1]

    def forward(self, features: Tensor) -> Tensor:
        logits = self.logits(features)
        return logits if self.training else logits.softmax(1)[:, 1:]  # [N, K + 1] for the loss, [N, K] for use


def softmax_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean of − log softmax(logits)[label] over a batch, [M, K + 1] and int64 [M]; background is 0."""
    return (logits.logsumexp(1) - logits.gather(1, labels[:, None])[:, 0]).mean()


def softmax_batches(pictures: Sequence[Regions], *, batches: int, size: int = 128, seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    """Batches (features [M, F], labels [M]), a quarter of each positive, 32 of 128. Paper, section 2.3.

    Positive is a box from IoU 0.5 on with an object, the true boxes included; everything else is background. Where there are too few of
    either in all pictures together, a batch is smaller.
    """
    features, labels = torch.cat([p.features for p in pictures]), torch.cat([softmax_labels(p) for p in pictures])  # [M, F], [M]
    draw = torch.Generator().manual_seed(seed)
    matches = torch.where(labels > 0, labels, NEGATIVE)
    rows = [torch.cat(sample_matches(matches, size, 0.25, draw)) for _ in range(batches)]
    return [(features[row], labels[row]) for row in rows]


def softmax_labels(regions: Regions) -> Tensor:
    """The class of the object that each box overlaps most, from IoU 0.5 on; else 0. int64 [G + N]"""
    matches = match_boxes(box_iou(regions.objects, regions.boxes), high=0.5, low=0.5)  # [G + N]
    if not len(regions.labels):
        return torch.zeros_like(matches)
    return torch.where(matches >= 0, regions.labels[matches.clamp(min=0)], 0)


def train_softmax(pictures: Sequence[Regions], *, classes: int, batches: int = 100, epochs: int = 2, seed: int = 0) -> Softmax:
    """The alternative to SVMs: one softmax over all classes and background, by `course.training.fit`, on `softmax_batches`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = Softmax(features=pictures[0].features.shape[1], classes=classes, scale=feature_scale(pictures))
    data = softmax_batches(pictures, batches=batches, seed=seed)
    fit(head, data, loss=softmax_loss, epochs=epochs, seed=seed, progress=False, device=pictures[0].features.device)
    return head


def ridge_objective(weight: Tensor, bias: Tensor, features: Tensor, targets: Tensor, *, penalty: float = 1000.0) -> Tensor:
    """What the regression is to make small: Σ ‖t − w·φ − b‖² + λ‖w‖². [F, 4], [4], [M, F], [M, 4] → a scalar. Paper, equation 5."""
    return (targets - features @ weight - bias).square().sum() + penalty * weight.square().sum()


def ridge(features: Tensor, targets: Tensor, *, penalty: float = 1000.0) -> tuple[Tensor, Tensor]:
    """The weight [F, T] and bias [T] with the least `ridge_objective`, by the normal equations.

    Where the gradient is 0, (XᵀX + λI) w = Xᵀt, X and t less their means. With fewer examples than features the same w comes from a
    smaller system: w = Xᵀ (XXᵀ + λI)⁻¹ t. Both in float64.

    Args:
        features: [M, F], M at least 1.
        targets: [M, T].
        penalty: λ, above 0; the larger, the closer to "leave the box on the mean shift".
    """
    if not len(features) or len(features) != len(targets) or not penalty > 0:
        raise ValueError(f"ridge needs a penalty above 0, and examples; got {penalty}, {len(features)} features, {len(targets)} targets.")
    x, t = features.detach().cpu().double(), targets.detach().cpu().double()  # [M, F], [M, T]: not every device has float64
    mean, middle = x.mean(0), t.mean(0)  # [F], [T]
    x, t = x - mean, t - middle
    if x.shape[0] < x.shape[1]:
        weight = x.T @ torch.linalg.solve(_raised(x @ x.T, penalty), t)  # [F, T]
    else:
        weight = torch.linalg.solve(_raised(x.T @ x, penalty), x.T @ t)  # [F, T]
    return weight.to(features), (middle - mean @ weight).to(features)


def regression_examples(regions: Regions, label: int) -> tuple[Tensor, Tensor]:
    """The proposals [M] (rows) that teach the regression of a class, IoU above 0.6 with an object of it, and their targets [M, 4].

    The true boxes themselves are left out: to them there is nothing to learn. Paper, appendix C.
    """
    first = len(regions.labels)
    if not first or first == len(regions.boxes):
        return torch.zeros(0, dtype=torch.int64, device=regions.boxes.device), regions.boxes[:0]
    best, match = box_iou(regions.objects, regions.boxes[first:]).max(0)  # [N] each
    chosen = ((best > 0.6) & (regions.labels[match] == label)).nonzero()[:, 0]  # [M]
    return chosen + first, encode_boxes(regions.objects[match[chosen]], regions.boxes[first:][chosen])


def train_box_regression(pictures: Sequence[Regions], *, classes: int, penalty: float = 1000.0) -> Linear:
    """Four numbers for each class: features [N, F] → deltas [N, 4K], by `ridge`. A class without examples leaves its boxes as they are."""
    scale = feature_scale(pictures)
    weight = pictures[0].features.new_zeros(pictures[0].features.shape[1], 4 * classes)  # [F, 4K]
    bias = pictures[0].features.new_zeros(4 * classes)  # [4K]
    for k in range(classes):
        examples = [regression_examples(p, k + 1) for p in pictures]
        features = torch.cat([p.features[rows] for p, (rows, _) in zip(pictures, examples, strict=True)])  # [M, F]
        if len(features):
            four = slice(4 * k, 4 * k + 4)
            w, bias[four] = ridge(features * scale, torch.cat([targets for _, targets in examples]).to(features), penalty=penalty)
            weight[:, four] = w * scale
    return Linear(weight, bias)


def feature_scale(pictures: Sequence[Regions]) -> float:
    """What brings the features to the mean length `FEATURE_NORM`."""
    mean = torch.cat([p.features.norm(dim=1) for p in pictures]).mean().item()
    return FEATURE_NORM / mean if mean > 0 else 1.0


class RCNN(nn.Module):
    """Propose, describe, classify, move, suppress.

    Args:
        proposals: a function from a picture [3, H, W] to boxes [N, 4], such as `course.models.selective_search.selective_search`.
        features: (image, boxes) → [N, F]: `WarpedFeatures`, or those of `course.models.spp`, or either behind `CachedFeatures`.
        classifier: [N, F] → scores [N, K], from `train_svms` or `train_softmax`.
        regressor: [N, F] → deltas [N, 4K], from `train_box_regression`; without it the boxes stay the proposals.
        score_threshold: what scores no more is not reported. An SVM's 0 is "yes" or "no"; a softmax gives probabilities.
        nms_threshold: IoU above which the worse of two boxes of a class goes.
        limit: detections a picture, the best ones.
    """

    def __init__(
        self,
        *,
        proposals: Callable[[Tensor], Tensor],
        features: nn.Module,
        classifier: nn.Module,
        regressor: nn.Module | None = None,
        score_threshold: float = 0.0,
        nms_threshold: float = 0.3,
        limit: int = 100,
    ):
        super().__init__()
        self.proposals, self.features, self.classifier, self.regressor = proposals, features, classifier, regressor
        self.score_threshold, self.nms_threshold, self.limit = score_threshold, nms_threshold, arguments.whole(limit, "limit", 1)

    @torch.no_grad()
    def forward(self, images: Sequence[Tensor]) -> list[dict[str, Tensor]]:
        """A list of pictures [3, H, W] → for each {boxes [D, 4], labels int64 [D], scores [D]}, the best first, D from 0."""
        return [self.detect(image, self.proposals(image)) for image in images]

    def detect(self, image: Tensor, proposals: Tensor) -> dict[str, Tensor]:
        """What `forward` gives, for one picture [3, H, W] and given proposals [N, 4]."""
        check_image(image)
        features = self.features(image, proposals)  # [N, F]
        scores = self.classifier(features)  # [N, K]
        proposals, classes = proposals.to(scores), scores.shape[1]
        boxes = proposals.repeat(1, classes) if self.regressor is None else decode_boxes(self.regressor(features), proposals)  # [N, 4K]
        boxes = clip_boxes(boxes.reshape(-1, classes, 4), tuple(image.shape[-2:]))  # [N, K, 4]
        found = (scores > self.score_threshold) & (boxes[..., 2:] > boxes[..., :2]).all(-1)  # [N, K]
        boxes, scores, labels = boxes[found], scores[found], found.nonzero()[:, 1] + 1  # [D, 4], [D], [D]
        kept = batched_nms(boxes, scores, labels, self.nms_threshold)[: self.limit]
        return {"boxes": boxes[kept], "labels": labels[kept], "scores": scores[kept]}


def _svm(positives: Tensor, negatives: Tensor, c: float, positive_weight: float) -> tuple[Tensor, Tensor]:
    """The weight [F] and bias with the least `svm_objective`."""
    from sklearn.svm import LinearSVC  # a second of importing that only training needs

    x = torch.cat((positives, negatives)).double().cpu().numpy()  # [P + M, F]
    y = [1] * len(positives) + [-1] * len(negatives)
    svm = LinearSVC(loss="hinge", C=c, class_weight={1: positive_weight}, intercept_scaling=10, max_iter=20_000, random_state=0)
    svm.fit(x, y)
    return positives.new_tensor(svm.coef_[0]), positives.new_tensor(svm.intercept_[0])


def _raised(matrix: Tensor, penalty: float) -> Tensor:
    """A matrix with λ added on its diagonal."""
    return matrix + penalty * torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
