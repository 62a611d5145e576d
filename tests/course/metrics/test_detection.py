"""Average precision by hand, against its definition in loops, and what it refuses. Against pycocotools: tests/parity."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_curve as sklearn_curve
from torchvision.ops import box_iou

from course.metrics import COCO_THRESHOLDS, DetectionScores, average_precision, mean_average_precision, precision_recall_curve

properties = settings(max_examples=60, deadline=None)
TWELVE = [name for name in DetectionScores.__dataclass_fields__ if name != "per_class"]
device = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])


def prediction(boxes, scores, labels=None, device="cpu"):
    labels = torch.tensor(labels or [1] * len(boxes), device=device)
    return {"boxes": torch.tensor(boxes, device=device).reshape(-1, 4), "scores": torch.tensor(scores, device=device), "labels": labels}


def target(boxes, labels=None, **more):
    made = prediction(boxes, [], labels)
    return {"boxes": made["boxes"], "labels": made["labels"], **{key: torch.tensor(value) for key, value in more.items()}}


HERE, THERE, ELSEWHERE = [0.0, 0, 10, 10], [20.0, 0, 30, 10], [40.0, 0, 50, 10]


def by_definition(predictions, targets, label, threshold):
    """(precision, recall) after each detection, and AP: at each of 101 recalls the best precision of any prefix that reaches it."""
    rows, objects = [], 0
    for found, there in zip(predictions, targets, strict=True):
        boxes = there["boxes"][there["labels"] == label]
        objects += len(boxes)
        mine = found["labels"] == label
        scores, overlap = found["scores"][mine], box_iou(found["boxes"][mine].double(), boxes.double())
        free = set(range(len(boxes)))
        for d in sorted(range(len(scores)), key=lambda d: -scores[d].item()):
            options = [(overlap[d, g].item(), g) for g in free if overlap[d, g] >= threshold]
            free -= {max(options)[1]} if options else set()
            rows.append((scores[d].item(), bool(options)))
    rows.sort(key=lambda row: -row[0])
    hits = [sum(right for _, right in rows[: n + 1]) for n in range(len(rows))]
    points = [(hit / (n + 1), hit / objects) for n, hit in enumerate(hits)]
    best = [max((p for p, r in points if r >= at / 100 - 1e-12), default=0) for at in range(101)]
    return points, sum(best) / 101


def scene(seed, images=3):
    draw = np.random.default_rng(seed)

    def instances(count):
        corner = draw.integers(0, 4, (count, 2)) * 2
        boxes = np.concatenate([corner, corner + draw.integers(1, 5, (count, 2)) * 2], 1).tolist()
        return boxes, draw.permutation(20)[:count] / 20, draw.integers(1, 3, count).tolist()

    predictions, targets = [], []
    for _ in range(images):
        boxes, scores, labels = instances(draw.integers(0, 8))
        predictions.append(prediction(boxes, scores.tolist(), labels or None))
        boxes, _, labels = instances(draw.integers(1, 5))
        targets.append(target(boxes, labels))
    return predictions, targets


@properties
@given(st.integers(0, 100_000), st.sampled_from([0.3, 0.5, 0.75, 1.0]))
def test_the_curve_equals_its_definition(seed, threshold):
    predictions, targets = scene(seed)
    for label in torch.cat([there["labels"] for there in targets]).unique().tolist():
        points, expected = by_definition(predictions, targets, label, threshold)
        curve = precision_recall_curve(predictions, targets, label=label, iou_threshold=threshold)
        assert torch.stack([curve.precision, curve.recall], 1).flatten().tolist() == pytest.approx(
            [part for point in points for part in point]
        )
        assert curve.average_precision == pytest.approx(expected)
        assert average_precision(predictions, targets, label=label, iou_threshold=threshold) == curve.average_precision
        assert mean_average_precision(predictions, targets, threshold).per_class[label] == pytest.approx(expected)


@properties
@given(st.integers(0, 100_000))
def test_the_curve_equals_scikit_learns_when_all_objects_are_found(seed):
    draw = np.random.default_rng(seed)
    right = draw.random(12) < 0.5
    right[0] = True
    scores = (draw.permutation(12) + 1) / 12
    boxes = [[0.0, 20 * n, 10, 20 * n + 10] for n in range(12)]
    curve = precision_recall_curve(
        [prediction(boxes, scores.tolist())], [target([b for b, r in zip(boxes, right, strict=True) if r])], label=1
    )
    precision, recall, _ = sklearn_curve(right, scores)
    assert curve.precision.tolist() == pytest.approx(precision[-2::-1])
    assert curve.recall.tolist() == pytest.approx(recall[-2::-1])


def test_by_hand():
    predictions = [prediction([HERE, ELSEWHERE], [0.9, 0.8]), prediction([THERE], [0.7])]
    targets = [target([HERE]), target([THERE])]
    curve = precision_recall_curve(predictions, targets, label=1)
    assert curve.right.tolist() == [True, False, True] and curve.objects == 2
    assert curve.scores.tolist() == pytest.approx([0.9, 0.8, 0.7])
    assert curve.precision.tolist() == pytest.approx([1, 1 / 2, 2 / 3])
    assert curve.recall.tolist() == [0.5, 0.5, 1.0]
    assert curve.interpolated[:51].unique().tolist() == [1.0]  # recalls 0 to 0.50
    assert curve.interpolated[51:].tolist() == pytest.approx([2 / 3] * 50)
    assert average_precision(predictions, targets, label=1) == pytest.approx((51 + 50 * 2 / 3) / 101)
    scores = mean_average_precision(predictions, targets)
    assert scores.mAP == scores.AP50 == scores.AP75 == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert (scores.AR1, scores.AR10, scores.AR100) == (1.0, 1.0, 1.0)
    assert scores.AP_small == scores.mAP and math.isnan(scores.AP_large)
    assert scores.per_class == {1: scores.mAP}
    assert str(scores).splitlines()[:2] == ["mAP       0.835", "AP50      0.835"]


def test_one_right_prediction_is_perfect_and_a_second_one_for_the_same_object_is_wrong():
    assert average_precision([prediction([HERE], [0.1])], [target([HERE])], label=1) == 1.0
    twice = precision_recall_curve([prediction([HERE, HERE], [0.9, 0.8])], [target([HERE])], label=1)
    assert twice.right.tolist() == [True, False] and twice.average_precision == 1.0  # the full recall was reached before


def test_an_overlap_exactly_at_the_threshold_counts():
    half = [prediction([[0.0, 0, 10, 5]], [0.9])], [target([HERE])]
    assert average_precision(*half, label=1, iou_threshold=0.5) == 1.0
    assert average_precision(*half, label=1, iou_threshold=0.5000001) == 0.0
    assert mean_average_precision(*half).mAP == pytest.approx(0.1)  # one threshold of ten
    assert mean_average_precision(*half, [0.5]).AP50 == 1.0
    assert math.isnan(mean_average_precision(*half, [0.5]).AP75)
    assert mean_average_precision(*half, 0.55).mAP == 0.0


def test_equal_scores_go_in_the_order_of_images_and_rows():
    right, wrong = prediction([HERE], [0.5]), prediction([ELSEWHERE], [0.5])
    targets = [target([HERE]), target([HERE])]
    assert precision_recall_curve([right, wrong], targets, label=1).right.tolist() == [True, False]
    assert precision_recall_curve([wrong, right], targets, label=1).right.tolist() == [False, True]
    both = prediction([ELSEWHERE, HERE], [0.5, 0.5])
    assert precision_recall_curve([both], [target([HERE])], label=1).right.tolist() == [False, True]


def test_a_detection_of_a_crowd_is_neither_right_nor_wrong():
    scene = [prediction([HERE, [20.0, 0, 24, 4]], [0.5, 0.9])], [target([HERE, THERE], iscrowd=[0, 1])]
    curve = precision_recall_curve(*scene, label=1)
    assert curve.right.tolist() == [True] and curve.objects == 1 and curve.average_precision == 1.0
    scene[1][0]["iscrowd"] = torch.tensor([False, False])
    assert precision_recall_curve(*scene, label=1).right.tolist() == [False, True]


def test_an_objects_own_area_says_how_large_it_is():
    predictions, large = [prediction([HERE], [0.9])], [target([HERE], area=[9216.5])]
    assert math.isnan(mean_average_precision(predictions, large).AP_small)
    assert mean_average_precision(predictions, large).AP_large == 1.0
    assert mean_average_precision(predictions, [target([HERE], area=[1024])]).AP_small == 1.0  # whole numbers do, and ends belong to both
    assert mean_average_precision(predictions, [target([HERE], area=[1024])]).AP_medium == 1.0


def test_classes_are_averaged_and_those_without_objects_are_left_out():
    predictions = [prediction([HERE, THERE, ELSEWHERE], [0.9, 0.8, 0.7], [1, 1, 7])]
    scores = mean_average_precision(predictions, [target([HERE, ELSEWHERE], [1, 2])])
    assert scores.per_class == {1: 1.0, 2: 0.0} and scores.mAP == 0.5


@pytest.mark.parametrize("kind", ["boxes", "masks"])
def test_nothing_there(kind):
    nothing = {
        "boxes": torch.zeros(0, 4),
        "masks": torch.zeros(0, 5, 6, dtype=torch.bool),
        "labels": torch.tensor([]),
        "scores": torch.zeros(0),
    }
    one = {
        "boxes": torch.tensor([HERE]),
        "masks": torch.ones(1, 5, 6, dtype=torch.bool),
        "labels": torch.tensor([1]),
        "scores": torch.tensor([0.5]),
    }
    for predictions, targets in (([], []), ([nothing], [nothing]), ([one], [nothing])):
        scores = mean_average_precision(predictions, targets, kind=kind)
        assert all(math.isnan(getattr(scores, name)) for name in TWELVE) and scores.per_class == {}
        assert math.isnan(average_precision(predictions, targets, label=1, kind=kind))
    scores = mean_average_precision([nothing], [one], kind=kind)
    assert scores.mAP == scores.AR100 == 0.0 and scores.per_class == {1: 0.0}
    assert mean_average_precision([one, nothing], [one, nothing], kind=kind).mAP == 1.0
    assert math.isnan(average_precision([one], [one], label=2, kind=kind))


@device
def test_inputs_stay_as_they_are_on_any_device_in_any_dtype(device):
    for dtype in (torch.float16, torch.float32, torch.float64):
        found = {
            "boxes": torch.tensor([HERE]).to(device, dtype),
            "scores": torch.tensor([0.5]).to(device, dtype),
            "labels": torch.tensor([1]).to(device),
        }
        there = {"boxes": torch.tensor([HERE]).to(device), "labels": torch.tensor([1], dtype=torch.uint8).to(device)}
        before = {key: value.clone() for key, value in found.items()}
        assert mean_average_precision([found], [there]).mAP == 1.0
        assert all(torch.equal(before[key], found[key]) for key in before)
    learnt = {**found, "boxes": found["boxes"].requires_grad_(), "scores": found["scores"].requires_grad_()}
    assert mean_average_precision([learnt], [there]).mAP == 1.0


def test_coco_thresholds():
    assert list(COCO_THRESHOLDS) == pytest.approx([0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95])
    images = scene(5)
    expected = mean_average_precision(*images).mAP
    assert 0 < expected < 1
    assert mean_average_precision(*images, list(COCO_THRESHOLDS)).mAP == expected
    assert mean_average_precision(*images, torch.tensor(COCO_THRESHOLDS, dtype=torch.float64)).mAP == expected
    assert np.mean([mean_average_precision(*images, threshold).mAP for threshold in COCO_THRESHOLDS]) == pytest.approx(expected)


FOUND, TRUE = prediction([HERE], [0.5]), target([HERE])
MASKS = {"masks": torch.ones(1, 4, 5, dtype=torch.bool), "labels": torch.tensor([1]), "scores": torch.tensor([0.5])}
NAN = torch.tensor([math.nan])
REFUSED_LISTS = {
    "different lengths": ([FOUND], [], ValueError, "one prediction and one target an image; these are 1 and 0"),
    "no list": (FOUND, [TRUE], TypeError, "predictions are a list with one dict an image, not dict"),
    "no dict": ([FOUND], [[TRUE]], TypeError, "target of image 0 is a dict of tensors, not list"),
    "missing": ([{"boxes": FOUND["boxes"]}], [TRUE], ValueError, "image 0 has no 'labels' and no 'scores'; it has 'boxes'"),
    "missing in the target": ([FOUND] * 2, [TRUE, {}], ValueError, "target of image 1 has no 'boxes' and no 'labels'; it has nothing"),
}
REFUSED_IN_PREDICTIONS = {
    "a list of boxes": ({"boxes": [HERE]}, TypeError, "has boxes that are list, not a tensor"),
    "boxes of five": ({"boxes": torch.zeros(1, 5)}, ValueError, r"boxes of shape \[1, 5\]; they are \[N, 4\]"),
    "x, y, width, height": ({"boxes": torch.tensor([[30.0, 5, 10, 10]])}, ValueError, r"box \(30, 5, 10, 10\).*x1 ≤ x2"),
    "an infinite box": ({"boxes": torch.tensor([[0, 0, math.inf, 1]])}, ValueError, "finite numbers"),
    "NaN scores": ({"scores": NAN}, ValueError, r"scores that are not a number \(NaN\), the first at 0"),
    "too few scores": ({"scores": torch.zeros(0)}, ValueError, r"has 1 boxes and scores of shape \[0\]"),
    "labels in a column": ({"labels": torch.ones(1, 1).long()}, ValueError, r"labels of shape \[1, 1\]"),
    "labels that are scores": ({"labels": torch.rand(1)}, TypeError, "labels of torch.float32; they are whole numbers"),
}
REFUSED_IN_MASKS = {
    "probabilities": ({"masks": torch.rand(1, 4, 5)}, TypeError, "become masks by `> 0.5`"),
    "with channels": ({"masks": MASKS["masks"][None]}, ValueError, r"shape \[1, 1, 4, 5\]; they are \[N, H, W\]"),
    "of another size": ({"masks": torch.ones(1, 8, 10).bool()}, ValueError, "8 × 10 in the prediction and 4 × 5 in the target"),
    "too many": ({"masks": torch.ones(2, 4, 5).bool()}, ValueError, r"has 2 masks and labels of shape \[1\]"),
}


def refused(predictions, targets, kind, error, sentence):
    for judged in (mean_average_precision, lambda *args, kind: average_precision(*args, label=1, kind=kind)):
        with pytest.raises(error, match=sentence) as raised:
            judged(predictions, targets, kind=kind)
        assert str(raised.value).endswith(".") and "\n" not in str(raised.value)


@pytest.mark.parametrize("case", REFUSED_LISTS.values(), ids=REFUSED_LISTS)
def test_lists_that_cannot_be_judged(case):
    predictions, targets, error, sentence = case
    refused(predictions, targets, "boxes", error, sentence)


@pytest.mark.parametrize("case", REFUSED_IN_PREDICTIONS.values(), ids=REFUSED_IN_PREDICTIONS)
def test_tensors_that_cannot_be_judged(case):
    change, error, sentence = case
    refused([FOUND, FOUND | change], [TRUE, TRUE], "boxes", error, "prediction of image 1 .*" + sentence)
    if "scores" not in change:
        refused([FOUND, FOUND], [TRUE, TRUE | change], "boxes", error, "target of image 1 .*" + sentence)


@pytest.mark.parametrize("case", REFUSED_IN_MASKS.values(), ids=REFUSED_IN_MASKS)
def test_masks_that_cannot_be_judged(case):
    change, error, sentence = case
    refused([MASKS | change], [MASKS], "masks", error, sentence)


def test_other_things_that_cannot_be_judged():
    refused([FOUND], [TRUE], "keypoints", ValueError, "'boxes' or 'masks', not 'keypoints'")
    refused([FOUND], [TRUE], "masks", ValueError, "prediction of image 0 has no 'masks'; it has 'boxes'")
    refused([FOUND], [TRUE | {"area": NAN}], "boxes", ValueError, "target of image 0 has area that are not a number")
    refused([FOUND], [TRUE | {"iscrowd": torch.zeros(2)}], "boxes", ValueError, r"has 1 boxes and iscrowd of shape \[2\]")


@pytest.mark.parametrize("thresholds", [0, -0.5, 1.5, [], [0.5, 75], True, [math.nan], ["0.5"]])
def test_thresholds_out_of_range(thresholds):
    with pytest.raises(ValueError, match="IoU thresholds are numbers above 0, at most 1; got "):
        mean_average_precision([FOUND], [TRUE], thresholds)


def test_a_curve_has_one_threshold():
    with pytest.raises(ValueError, match=r"at most 1; got \[0.5, 0.75\]\."):
        precision_recall_curve([FOUND], [TRUE], label=1, iou_threshold=[0.5, 0.75])


def test_labels_are_whole_numbers():
    with pytest.raises(TypeError, match="The label is a whole number, the class, not 'cat'"):
        average_precision([FOUND], [TRUE], label="cat")
