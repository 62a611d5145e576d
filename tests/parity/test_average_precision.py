"""COCO's twelve numbers against pycocotools: on real annotations, and on small scenes full of ties."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course.metrics import COCO_THRESHOLDS, average_precision, mean_average_precision, precision_recall_curve
from tests.parity.pycocotools_peer import KINDS, NAMES, coco_mini, evaluate, perturbed, targets_of

seeds = st.integers(0, 100_000)


def assert_equal_numbers(predictions, targets, kind):
    """All twelve, and each class's mean; pycocotools says −1 where we say NaN."""
    peer, ours = evaluate(predictions, targets, kind), mean_average_precision(predictions, targets, kind=kind)
    twelve = torch.tensor([getattr(ours, name) for name in NAMES], dtype=torch.float64)
    torch.testing.assert_close(twelve.nan_to_num(nan=-1), torch.from_numpy(peer.stats), rtol=0, atol=1e-9)
    of_class = peer.eval["precision"][:, :, :, 0, 2].mean((0, 1))
    expected = {label: value for label, value in zip(peer.params.catIds, of_class, strict=True) if value > -1}
    assert list(ours.per_class) == list(expected)
    assert list(ours.per_class.values()) == pytest.approx(list(expected.values()), abs=1e-9)
    return peer, ours


@pytest.fixture(scope="module")
def real():
    folder = coco_mini()
    if folder is None:
        pytest.skip("needs coco_mini (instances.json and images) in the folder that SEGCOURSE_DATA names")
    return targets_of(folder, step=4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_perturbed_predictions_over_coco(real, kind, seed):
    assert sum(int(target["iscrowd"].sum()) for target in real) > 30
    assert any(len(target["labels"]) == 0 for target in real)
    predictions = perturbed(real, seed)
    assert any(len(prediction["labels"]) == 0 < len(target["labels"]) for prediction, target in zip(predictions, real, strict=True))
    peer, _ = assert_equal_numbers(predictions, real, kind)
    assert ((peer.stats > 0.05) & (peer.stats < 0.95)).all()  # a comparison that says something


@pytest.mark.parametrize("kind", KINDS)
def test_more_than_a_hundred_detections_of_a_class_in_an_image(real, kind):
    busy = [target for target in real if len(target["labels"]) > 20]
    predictions = perturbed(busy, seed=1, per_object=8)
    assert max(prediction["labels"].bincount().max() for prediction in predictions) > 100
    assert_equal_numbers(predictions, busy, kind)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS)
def test_tensors_on_a_gpu(real, kind):
    predictions = perturbed(real, 0)
    on_gpu = [[{key: value.cuda() for key, value in one.items()} for one in images] for images in (predictions, real)]
    expected = {name: getattr(mean_average_precision(predictions, real, kind=kind), name) for name in NAMES}
    assert {name: getattr(mean_average_precision(*on_gpu, kind=kind), name) for name in NAMES} == expected


def scenes(seed: int, images: int = 4):
    """Small scenes on a coarse grid: overlaps, scores and areas are equal again and again, and reach thresholds exactly."""
    draw = np.random.default_rng(seed)
    columns = torch.arange(20)

    def instances(count):
        corner = torch.from_numpy(draw.integers(0, 4, (count, 2)) * 2)
        boxes = torch.cat([corner, corner + torch.from_numpy(draw.integers(0, 6, (count, 2)) * 2)], 1)  # [N, 4]; some without any area
        inside = [(columns >= boxes[:, i, None]) & (columns < boxes[:, i + 2, None]) for i in (0, 1)]  # [N, 20] each
        masks = inside[1][:, :16, None] & inside[0][:, None] & torch.from_numpy(draw.random((count, 16, 20)) < draw.choice([0.8, 1]))
        return {"boxes": boxes.float(), "masks": masks, "labels": torch.from_numpy(draw.integers(1, 4, count))}

    predictions, targets = [], []
    for _ in range(images):
        count = draw.integers(0, 6)
        target, guessed = instances(count), instances(draw.integers(0, 5))
        copied = torch.from_numpy(draw.integers(0, max(count, 1), 2 * count))  # most detections are objects, some of them twice
        prediction = {key: torch.cat([guessed[key], value[copied]]) for key, value in target.items()}
        prediction["labels"] += int(draw.random() < 0.2)  # class 4 is in no target
        prediction["scores"] = torch.from_numpy(draw.integers(0, 3, len(prediction["labels"])) / 2)
        target["iscrowd"] = torch.from_numpy(draw.random(count) < 0.2)
        if draw.random() < 0.7:
            target["area"] = torch.from_numpy(draw.choice([0.0, 50, 1024, 1025, 9216, 9217, 1e10, 2e10], count))
        predictions.append(prediction)
        targets.append(target)
    return predictions, targets


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(seed=seeds)
def test_small_scenes_full_of_ties(kind, seed):
    assert_equal_numbers(*scenes(seed), kind)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, deadline=None)
@given(seed=seeds)
def test_the_curve_of_one_class_at_each_threshold(kind, seed):
    predictions, targets = scenes(seed, images=8)
    peer = evaluate(predictions, targets, kind)
    for k, label in enumerate(peer.params.catIds):
        for t in (0, 4, 8):
            curve = precision_recall_curve(predictions, targets, label=int(label), iou_threshold=COCO_THRESHOLDS[t], kind=kind)
            expected = torch.from_numpy(peer.eval["precision"][t, :, k, 0, 2])
            torch.testing.assert_close(curve.interpolated.nan_to_num(nan=-1), expected, rtol=0, atol=1e-9)
            if curve.objects:
                found = curve.recall[-1].item() if len(curve.recall) else 0.0
                assert found == pytest.approx(peer.eval["recall"][t, k, 0, 2])
                ap = average_precision(predictions, targets, label=int(label), iou_threshold=COCO_THRESHOLDS[t], kind=kind)
                assert ap == pytest.approx(expected.mean().item(), abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_no_predictions_and_no_targets(kind):
    predictions, targets = scenes(3)
    nothing = [{key: value[:0] for key, value in one.items()} for one in predictions]
    assert_equal_numbers(nothing, targets, kind)
    assert_equal_numbers(predictions, [{key: value[:0] for key, value in one.items()} for one in targets], kind)
