"""Detection by sliding window: the same as cutting every window out in a loop and asking torchvision to suppress."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from course.data.photos import cat, photo
from course.models.backbones import efficientnet_lite0, imagenet_classes
from course.models.sliding_window_detection import SlidingWindowDetector
from course.ops.window_boxes import window_sizes


class Colours(nn.Module):
    """Tells red (output 0), green (1) and blue (2) patches apart by their mean; output 3 is for grey ones."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, patches):
        assert patches.shape[1:] == (3, 8, 8)
        self.calls += len(patches)
        return 20 * torch.cat([patches.mean((2, 3)), patches.new_full((len(patches), 1), 0.5)], 1)  # [B, 4]


def scene():
    """Grey, with a red box, a blue one, and a blue one that touches it."""
    image = torch.full((3, 40, 60), 0.4)
    for colour, (x1, y1, x2, y2) in ((0, (4, 4, 20, 20)), (2, (32, 8, 48, 24)), (2, (36, 24, 52, 40))):
        image[:, y1:y2, x1:x2] = F.one_hot(torch.tensor(colour), 3).float()[:, None, None]
    return image


def detector(classes=(0, 2), windows=(16, (16, 32), (50, 10)), stride=4, **options) -> SlidingWindowDetector:
    return SlidingWindowDetector(classifier=Colours(), classes=classes, windows=windows, stride=stride, patch_size=8, **options)


def by_a_loop(image, classes, windows, stride, score_threshold, iou_threshold):
    """Cut, stretch, classify and suppress, one window after the other. → {(label, box): score}"""
    found = {}
    for label, group in enumerate(classes, 1):
        boxes, scores = [], []
        for height, width in windows:
            for top in range(0, image.shape[1] - height + 1, stride):
                for left in range(0, image.shape[2] - width + 1, stride):
                    patch = image[None, :, top : top + height, left : left + width]
                    logits = Colours()(F.interpolate(patch, (8, 8), mode="bilinear", antialias=True))[0]
                    score = logits.exp()[list(group)].sum() / logits.exp().sum()
                    if score > score_threshold:
                        boxes.append((left, top, left + width, top + height))
                        scores.append(score.item())
        if boxes:
            kept = torchvision.ops.nms(torch.tensor(boxes).float(), torch.tensor(scores), iou_threshold).tolist()
            found |= {(label, boxes[i]): scores[i] for i in kept}
    return found


@pytest.mark.parametrize("iou_threshold", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("stride", [3, 4, 9])
def test_it_is_a_loop_over_windows(stride, iou_threshold):
    image = torch.rand(3, 41, 57, generator=torch.Generator().manual_seed(0)) * 0.3 + 0.7 * F.pad(scene(), (0, -3, 0, 1))
    windows, groups = [(16, 16), (16, 32), (50, 10), (20, 11)], [(0,), (2, 1)]
    found = detector([0, (2, 1)], windows, stride, iou_threshold=iou_threshold)(image)
    expected = by_a_loop(image, groups, windows, stride, 0.5, iou_threshold)
    got = {
        (int(label), tuple(map(int, box))): float(score)
        for label, box, score in zip(found["labels"], found["boxes"].tolist(), found["scores"], strict=True)
    }
    assert got.keys() == expected.keys() and {label for label, _ in got} == {1, 2}
    assert all(got[key] == pytest.approx(expected[key], abs=1e-5) for key in got)
    assert found["scores"].tolist() == sorted(found["scores"].tolist(), reverse=True)


def test_it_finds_what_is_there_and_suppresses_per_class():
    found = detector(iou_threshold=0.1)(scene())
    assert {(label, *box) for label, box in zip(found["labels"].tolist(), found["boxes"].int().tolist(), strict=True)} == {
        (1, 4, 4, 20, 20),
        (2, 32, 8, 48, 24),
        (2, 36, 24, 52, 40),
    }
    assert found["labels"].dtype == torch.int64


def test_every_window_is_classified_once_and_counted_before():
    each = detector()
    boxes, scores = each.classify(scene())
    # 16 × 16: 7 × 12; 16 × 32: 7 × 8; 50 rows do not fit into 40.
    assert each.classifier.calls == each.count((40, 60)) == len(boxes) == len(scores) == 7 * 12 + 7 * 8
    assert scores.shape[1] == 2 and ((scores >= 0) & (scores <= 1)).all() and not scores.requires_grad


def test_the_probabilities_of_a_class_of_several_outputs_add_up():
    image = scene()
    _, each = detector((0, 1, 2, 3)).classify(image)
    _, together = detector(((0, 2), (1, 3))).classify(image)
    torch.testing.assert_close(each.sum(1), torch.ones(len(each)))
    torch.testing.assert_close(together, torch.stack([each[:, 0] + each[:, 2], each[:, 1] + each[:, 3]], 1))


@pytest.mark.parametrize("shape", [(1, 1), (15, 200), (200, 9)])
def test_a_picture_that_is_smaller_than_every_window_holds_nothing(shape):
    each = detector(windows=(16, (16, 32)))
    boxes, scores = each.classify(torch.rand(3, *shape))
    assert boxes.shape == (0, 4) and scores.shape == (0, 2) and each.count(shape) == 0
    found = each(torch.rand(3, *shape))
    assert [found[key].shape for key in ("boxes", "labels", "scores")] == [(0, 4), (0,), (0,)]
    assert detector(windows=())(scene())["boxes"].shape == (0, 4)


def test_one_pixel_is_enough_for_a_window_of_one_pixel():
    found = detector(windows=(1,), stride=1)(torch.tensor([1.0, 0, 0]).reshape(3, 1, 1))
    assert found["boxes"].tolist() == [[0, 0, 1, 1]] and found["labels"].tolist() == [1]


def test_a_score_at_the_threshold_is_no_detection():
    each = detector()
    found = each.select(torch.tensor([[0.0, 0, 4, 4], [8, 0, 12, 4]]), torch.tensor([[0.5, 0.0], [0.0, 0.5001]]))
    assert found["boxes"].tolist() == [[8, 0, 12, 4]] and found["labels"].tolist() == [2]


def test_double_precision_stays():
    found = detector()(scene().double())
    assert found["boxes"].dtype == found["scores"].dtype == torch.float64


def test_the_real_classifier_finds_the_cat_and_no_cup_in_it():
    names = imagenet_classes()
    groups = [
        [names.index(name) for name in group] for group in (("tabby", "tiger cat", "Egyptian cat"), ("espresso", "cup", "coffee mug"))
    ]
    each = SlidingWindowDetector(
        classifier=efficientnet_lite0(), classes=groups, windows=window_sizes([224], [0.5, 1]), stride=76, score_threshold=0.5
    )
    assert set(each(cat())["labels"].tolist()) == {1}
    assert set(each(F.interpolate(photo("coffee")[None], size=(300, 450))[0])["labels"].tolist()) == {2}


@pytest.mark.parametrize(
    ("call", "kind", "sentence"),
    [
        (lambda: detector()(torch.rand(1, 40, 60)), ValueError, "image must have shape \\[3, H, W\\]; got \\[1, 40, 60\\]"),
        (lambda: detector()(torch.rand(4, 40, 60)), ValueError, "image must have shape \\[3, H, W\\]; got \\[4, 40, 60\\]"),
        (lambda: detector()(torch.rand(40, 60)), ValueError, "image must have shape \\[3, H, W\\]"),
        (lambda: detector()(torch.rand(2, 3, 40, 60)), ValueError, "image must have shape \\[3, H, W\\]"),
        (lambda: detector()(torch.zeros(3, 40, 60, dtype=torch.uint8)), TypeError, "floating-point"),
        (lambda: detector()(torch.zeros(3, 0, 60)), ValueError, "at least one number"),
        (lambda: detector()(None), TypeError, "image must be a torch.Tensor"),
        (lambda: detector(classes=(0, 4))(scene()), ValueError, "logits \\[\\d+, K\\] with K above 4; it gave \\[\\d+, 4\\]"),
        (lambda: detector(classes=()), ValueError, "classes must name at least one output"),
        (lambda: detector(classes=(0, ())), ValueError, "classes must name at least one output"),
        (lambda: detector(classes=(-1,)), ValueError, "classes must be at least 0"),
        (lambda: detector(windows=(0,)), ValueError, "windows must be at least 1"),
        (lambda: detector(stride=0), ValueError, "stride must be at least 1"),
        (lambda: detector(score_threshold=1.5), ValueError, "score_threshold must be from 0 to 1"),
        (lambda: detector(iou_threshold="half"), TypeError, "iou_threshold must be a number"),
    ],
)
def test_what_cannot_be_is_one_sentence(call, kind, sentence):
    with pytest.raises(kind, match=sentence) as error:
        call()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("shown", [True, False])
def test_one_bar_counts_the_windows_of_all_sizes(shown, monkeypatch, capsys):
    moment = [0.0]
    monkeypatch.setattr("tqdm.std.time", lambda: moment[0])  # the bar's clock
    slow = detector(windows=(16, (16, 32)), stride=8, batch_size=1, progress=shown)
    forward = slow.classifier.forward

    def slowly(patches):
        moment[0] += 0.5
        return forward(patches)

    monkeypatch.setattr(slow.classifier, "forward", slowly)
    slow.classify(scene())
    said = capsys.readouterr().err
    assert (f"{slow.count((40, 60))}/{slow.count((40, 60))}" in said) is shown
    assert said.count("\n") == int(shown)  # a bar ends with one
