"""`segwidgets.xray` against the models' own outputs, and against torchvision's decoding, interpolation and pasting."""

import copy
import itertools
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.detection import (
    fasterrcnn_mobilenet_v3_large_320_fpn,
    fcos_resnet50_fpn,
    maskrcnn_resnet50_fpn,
    retinanet_resnet50_fpn,
)
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import box_iou, clip_boxes_to_image, roi_align

import segwidgets
from course.data.shapes import CLASSES, Shapes
from course.models import mask_rcnn
from course.recipes import trained
from segwidgets.detector_story import MOST_DRAWN
from segwidgets.opened_detector import MOST_CHOICES
from segwidgets.sampling_points import DARK
from segwidgets.xray import OWN

FIRST, SECOND = BoxCoder((1.0, 1.0, 1.0, 1.0)), BoxCoder((10.0, 10.0, 5.0, 5.0))
OURS, THEIRS, SSD, RETINANET = "ours", "torchvision's", "SSD", "RetinaNet"
SMALL = {"weights": None, "weights_backbone": None, "num_classes": 7, "min_size": 128, "max_size": 128}


@pytest.fixture(scope="module")
def image():
    return Shapes("test", count=4)[0][0]


@pytest.fixture(scope="module")
def models(image):
    """The course's Faster R-CNN and SSD, and torchvision's Faster R-CNN with random weights that find something."""
    torch.manual_seed(0)
    theirs = fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None, num_classes=7, box_score_thresh=0.0).eval()
    theirs.roi_heads.detections_per_img = 300
    with torch.no_grad():
        levels = theirs.backbone(theirs.transform([image])[0].tensors)
        for layer, level in zip(theirs.backbone.fpn.layer_blocks, levels.values(), strict=False):
            layer[0].weight /= level.std()
        for layer, size in (
            (theirs.rpn.head.cls_logits, 0.1),
            (theirs.rpn.head.bbox_pred, 0.02),
            (theirs.roi_heads.box_predictor.cls_score, 0.1),
        ):
            nn.init.normal_(layer.weight, std=size)
    retinanet = retinanet_resnet50_fpn(**SMALL, score_thresh=0.0, detections_per_img=20).eval()
    return {OURS: trained("faster_rcnn"), THEIRS: theirs, SSD: trained("ssd"), RETINANET: retinanet}


@pytest.fixture(scope="module")
def opened(models, image):
    return {name: segwidgets.xray(model, image, classes=CLASSES) for name, model in models.items()}


@pytest.fixture
def own(models):
    """A model of its own for a test that changes it."""
    return copy.deepcopy(models[OURS])


@torch.no_grad()
def said_by(name, model, image):
    """What the model says of the picture, part by part, called one after another: nothing is hooked or traced."""
    if name == OURS:
        batch = model.prepare([image])
        levels = model.backbone(batch.images)
        said = model.rpn(levels, batch.size)
        proposals = model.rpn.propose(said, batch.sizes)[0][0]
        logits, deltas = model.head(levels, [proposals])
        anchors, moves, size = said.anchors, said.deltas[0], batch.size
        objectness, _ = model.rpn.head(list(levels.values()))
    else:
        batch, _ = model.transform([image])
        levels = model.backbone(batch.tensors)
        objectness, moves = model.rpn.head(list(levels.values()))
        anchors = model.rpn.anchor_generator(batch, list(levels.values()))[0]
        moves = torch.cat([each.view(1, -1, 4, *each.shape[-2:]).permute(0, 3, 4, 1, 2).reshape(-1, 4) for each in moves])
        proposals = model.rpn(batch, levels)[0][0]
        heads, size = model.roi_heads, batch.image_sizes[0]
        logits, deltas = heads.box_predictor(heads.box_head(heads.box_roi_pool(levels, [proposals], [size])))
    moved = clip_boxes_to_image(FIRST.decode(moves, [anchors])[:, 0], size)
    return {
        "levels": {str(key): level[0] for key, level in levels.items()},
        "objectness": [each[0].sigmoid() for each in objectness],
        "anchors": anchors,
        "moved": moved,
        "proposals": proposals,
        "scores": logits.softmax(1),
        "boxes": clip_boxes_to_image(SECOND.decode(deltas, [proposals]), size),  # [P, K, 4]
        "shown": 128 / size[0],
    }


def choices(widget):
    """The detections that can be followed."""
    return [option for option in widget._by_name["detection"].options if option != OWN]


def step_with(widget, words):
    (found,) = [i for i, step in enumerate(widget.trace.steps) if words in step.text]
    return found


def on(widget, panel, words, role):
    """Where the boxes of a role lie on a panel after that step, [D, 4]."""
    looks = [look for look in widget.trace.boxes_at(panel, step_with(widget, words)) if look.role == role]
    return torch.tensor([look.place for look in looks]).reshape(-1, 4)


def hooks_of(model):
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.modules())


def close(shown, expected, atol=1e-3):
    torch.testing.assert_close(torch.as_tensor(shown).float(), torch.as_tensor(expected).float(), atol=atol, rtol=1e-4)


@pytest.mark.parametrize("name", [OURS, THEIRS])
def test_every_stage_holds_what_the_model_says(name, models, opened, image, shown):
    widget, said = opened[name], said_by(name, models[name], image)
    for level, each in zip(said["levels"], said["objectness"], strict=True):
        widget.set(level=level, channel=3)
        close(shown(widget, "features"), said["levels"][level][3])
        assert f"channel 3 of {len(said['levels'][level])} on level {level}" in widget.trace.steps[1].text
        close(shown(widget, f"objectness {level}"), each.amax(0), 6e-4)
        assert (
            f"[{int((each >= 0.5).sum())}|write] of {each.numel()} hold" in widget.trace.steps[step_with(widget, f"Level {level}:")].caption
        )
    proposals = said["proposals"]
    assert f"All {len(said['anchors'])} anchors, moved" in widget.trace.steps[step_with(widget, "before suppression")].text
    assert f"Of all anchors that makes {len(proposals)} proposals" in widget.trace.steps[step_with(widget, "suppression leaves")].text
    close(on(widget, "photograph", "suppression leaves", "candidate"), proposals[:MOST_DRAWN] * said["shown"], 0.01)


@pytest.mark.parametrize("name", [OURS, THEIRS])
def test_before_suppression_lie_the_likeliest_anchors_and_then_those_that_are_no_proposals_go(name, models, opened, image):
    widget, said = opened[name], said_by(name, models[name], image)
    before, after = (widget.trace.steps[step_with(widget, words)] for words in ("before suppression", "suppression leaves"))
    scores = torch.cat([each.permute(1, 2, 0).flatten() for each in said["objectness"]])  # [N], as the anchors
    best = said["moved"][scores.argsort(descending=True)[:MOST_DRAWN]]
    close(before.marks["photograph"]["read"], best * said["shown"], 0.01)
    gone = torch.tensor([not (box - said["proposals"]).abs().amax(1).lt(0.01).any() for box in best])
    assert 0 < gone.sum() < len(best)
    close(after.marks["photograph"]["suppressed"], best[gone] * said["shown"], 0.01)
    assert f"{int((~gone).sum())} of those {len(best)}" in after.text


@pytest.mark.parametrize("name", [OURS, THEIRS])
def test_a_detection_is_followed_to_its_proposal_its_anchor_and_its_level(name, models, opened, image, shown):
    widget, said = opened[name], said_by(name, models[name], image)
    with torch.no_grad():
        (found,) = models[name]([image])
    sizes = [each.numel() for each in said["objectness"]]
    for d, choice in enumerate(choices(widget)):
        widget.set(detection=choice)
        last = widget.trace.steps[-1]
        proposal, anchor, level = re.search(
            r"from proposal (\d+), and that from anchor (\d+) on level (\w+) .*score and box", last.text
        ).groups()
        proposal, anchor, label = int(proposal), int(anchor), int(found["labels"][d])
        close(said["boxes"][proposal, label] * said["shown"], found["boxes"][d], 0.01)
        close(said["scores"][proposal, label], found["scores"][d], 1e-5)
        close(said["moved"][anchor], said["proposals"][proposal], 0.01)
        number = int((anchor >= torch.tensor(sizes).cumsum(0)).sum())
        assert level == list(said["levels"])[number]
        shapes, _, width = said["objectness"][number].shape
        assert last.marks[f"objectness {level}"]["chosen"] == [divmod((anchor - sum(sizes[:number])) // shapes, width)]
        close(on(widget, "photograph", "Back from", "write"), said["proposals"][[proposal]] * said["shown"], 0.01)
        close(on(widget, "photograph", "Back from", "chosen"), found["boxes"][[d]], 0.01)
        names = widget.trace.panel("classes").labels
        assert names == list(CLASSES)
        close(shown(widget, "classes")[:, 0], said["scores"][proposal], 6e-4)


@pytest.mark.parametrize("name", [OURS, THEIRS, SSD, RETINANET])
def test_the_detections_are_the_models_own(name, models, opened, image):
    widget = opened[name]
    with torch.no_grad():
        (found,) = models[name]([image])
    for threshold in (0.0, 0.3):
        widget.set(score_threshold=threshold)
        likely = found["scores"] >= threshold
        drawn = torch.cat([on(widget, "detections", "Followed", role) for role in ("write", "chosen")])
        expected = found["boxes"][likely][:100]
        assert len(drawn) == max(1, len(expected))
        assert all((drawn - box).abs().amax(1).min() < 0.01 for box in expected)
        assert f"of which {int(likely.sum())} score" in widget.trace.steps[step_with(widget, "Followed")].text
    labels = [f"{d} {CLASSES[label]} " for d, label in enumerate(found["labels"].tolist())][:MOST_CHOICES]
    options = choices(widget)
    assert [option[: len(label)] for option, label in zip(options, labels, strict=True)] == labels
    close([float(option.rsplit(" ", 1)[1]) for option in options], found["scores"][:MOST_CHOICES], 6e-4)


def test_ssd_shows_default_boxes_in_place_of_proposals(models, opened, image, shown):
    model, widget = models[SSD], opened[SSD]
    with torch.no_grad():
        batch = model.prepare([image])
        said = model.predict(model.backbone(batch.images), batch.size)
        (found,) = model([image])
    held, boxes = 1 - said.logits[0].softmax(1)[:, 0], SECOND.decode(said.deltas[0], [said.boxes])[:, 0]
    for number, level in enumerate(("8", "16", "32", "64")):
        side = 16 >> number
        close(shown(widget, f"objectness {level}"), held[said.levels == number].view(side, side, -1).amax(-1), 6e-4)
    assert [panel.id for panel in widget.trace.panels if panel.id in ("sampling", "weights", "mask")] == []
    for d, choice in enumerate(choices(widget)[:4]):
        widget.set(detection=choice)
        row, level = re.search(r"from default box (\d+) on level (\d+)", widget.trace.steps[-1].text).groups()
        close(clip_boxes_to_image(boxes[[int(row)]], (128, 128))[0], found["boxes"][d], 0.01)
        assert int(level) == 8 << int(said.levels[int(row)])


def test_retinanet_scores_each_class_of_an_anchor_alone(models, opened, image, shown):
    model, widget = models[RETINANET], opened[RETINANET]
    with torch.no_grad():
        batch, _ = model.transform([image])
        levels = list(model.backbone(batch.tensors).values())
        scores = torch.cat([model.head.classification_head([level])[0].sigmoid() for level in levels])  # [N, K]
        deltas = torch.cat([model.head.regression_head([level])[0] for level in levels])
        anchors = model.anchor_generator(batch, levels)[0]
        (found,) = model([image])
    boxes = clip_boxes_to_image(FIRST.decode(deltas, [anchors])[:, 0], (128, 128))
    first = 0
    for name, level in zip(("0", "1", "2", "p6", "p7"), levels, strict=True):
        side, count = level.shape[-1], 9 * level.shape[-1] ** 2
        close(shown(widget, f"objectness {name}"), scores[first : first + count].amax(1).view(side, side, 9).amax(2), 6e-4)
        first += count
    for d, choice in enumerate(choices(widget)[:4]):
        widget.set(detection=choice)
        row, level = re.search(r"from anchor (\d+) on level (\w+),.* score and box", widget.trace.steps[-1].text).groups()
        close(boxes[int(row)], found["boxes"][d], 0.01)
        close(scores[int(row), found["labels"][d]], found["scores"][d], 1e-5)
        names = [CLASSES.index(each) for each in widget.trace.panel("classes").labels]
        close(shown(widget, "classes")[:, 0], scores[int(row), names], 6e-4)
        assert level == ("0", "1", "2", "p6", "p7")[int((int(row) >= torch.tensor([2304, 2880, 3024, 3060, 3069])).sum())]
    assert "and each class has a sigmoid of its own." in widget.trace.steps[step_with(widget, "sigmoid")].text
    six = retinanet_resnet50_fpn(**SMALL | {"num_classes": 6}, score_thresh=0.9).eval()
    widget = segwidgets.xray(six, image, classes=CLASSES[1:])
    assert set(widget.trace.panel("classes").labels) == set(CLASSES[1:])
    assert "No class of any anchor reaches the model's threshold" in widget.trace.steps[step_with(widget, "sigmoid")].text


@pytest.mark.parametrize(("name", "d"), [(OURS, 0), (OURS, 1), (THEIRS, 1), (THEIRS, 2)])
def test_a_sampling_point_lies_where_torchvision_takes_it_and_weighs_its_cells_so(name, d, models, opened, image, shown):
    widget, said = opened[name], said_by(name, models[name], image)
    widget.set(detection=choices(widget)[d], channel=7)
    step = widget.trace.steps[step_with(widget, "is read from level")]
    proposal, level = re.match(r"Proposal (\d+) is read from level (\w+),", step.text).groups()
    plane = said["levels"][level][7]
    height, width = plane.shape
    ramps = torch.stack(torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij"))  # [2, H, W]
    box = said["proposals"][[int(proposal)]]
    scale = width / (128 / said["shown"])
    y, x = roi_align(ramps[None], [box], 14, scale, 1)[0, :, 6, 6].tolist()  # the first of the 2 × 2 points of bin 3, 3
    assert [float(each) for each in re.search(r"at row ([\d.]+), column ([\d.]+) is the mean", step.text).groups()] == pytest.approx(
        [y, x], abs=0.051
    )
    grid = torch.tensor([[[[2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1]]]])
    value = F.grid_sample(plane[None, None], grid, align_corners=True).item()
    assert float(step.arithmetic.rsplit("= ", 1)[1].replace("−", "-")) == pytest.approx(value, rel=6e-3)
    x1, y1, x2, y2 = on(widget, "sampling", "is read from level", "read")[0].tolist()
    sheet = widget.trace.panel("sampling").frames[1].pixels
    fine = (x2 - x1) / max(1.0, float((box[0, 2] - box[0, 0]) * scale))  # pixels of the sheet that a cell takes; a cell at least is read
    assert fine == pytest.approx(round(fine), abs=0.01) and fine > 1
    dotted = (sheet == DARK).all(-1)
    for axis, first, last in ((1, x1, x2), (0, y1, y2)):  # 14 points along each side, each in the middle of a 14th
        middles = [first + (i + 0.5) * (last - first) / 14 for i in range(14)]
        inside = {int(middle) for middle in middles if 0 <= middle < sheet.shape[axis]}
        found = set(np.nonzero(dotted.any(1 - axis))[0].tolist())
        assert inside <= found and found <= {at + way for at in inside for way in (-1, 0, 1)}
    assert dotted.mean() < 0.2  # the map stays to be seen
    (dot,), (middle_bin,) = step.marks["sampling"]["chosen"], step.marks["sampling"]["write"]
    close(middle_bin, [x1 + 3 / 7 * (x2 - x1), y1 + 3 / 7 * (y2 - y1), x1 + 4 / 7 * (x2 - x1), y1 + 4 / 7 * (y2 - y1)], 0.05)
    for low, high, place in ((dot[0], dot[2], x), (dot[1], dot[3], y)):  # what is cut off of the map is whole cells
        cut = place + 0.5 - (low + high) / 2 / round(fine)
        assert cut == pytest.approx(round(cut), abs=1e-2) and cut >= 0
    names = widget.trace.panel("weights")
    for (row, column), weight in np.ndenumerate(shown(widget, "weights").numpy()):
        away = abs(y - int(names.row_names[row])), abs(x - int(names.column_names[column]))
        assert weight == pytest.approx((1 - away[0]) * (1 - away[1]), abs=1e-3)


@pytest.mark.parametrize("name", [OURS, THEIRS])
def test_the_class_that_is_said_first_is_the_one_that_the_head_says(name, models, opened, image):
    widget, said = opened[name], said_by(name, models[name], image)
    others = 0
    for choice in choices(widget):
        widget.set(detection=choice)
        step = widget.trace.steps[step_with(widget, "for all proposals,")]
        scores, label = said["scores"][int(step.text.split()[1].rstrip(","))], CLASSES.index(choice.split()[1])
        first = int(scores.argmax())
        found, score = re.search(r"for all proposals, is (\w+) with ([\d.]+)", step.text).groups()
        assert found == CLASSES[first] and float(score) == pytest.approx(float(scores[first]), abs=6e-4)
        assert step.marks["classes"]["chosen"] == [(first, 0)]
        if first != label:
            others += 1
            words = "the likeliest object is" if label == 1 + int(scores[1:].argmax()) else "what is followed is"
            assert f"; {words} {CLASSES[label]}, with {choice.split()[2]}" in step.text and "enough for the model's threshold" in step.text
        else:
            assert f", and background with {float(scores[0]):.3f}".rstrip("0") in step.text and "enough" not in step.text
    assert others or name == OURS  # which is sure of both


def test_the_mask_of_a_detection_is_what_torchvision_pastes(image, shown):
    torch.manual_seed(0)
    sizes = {"min_size": 128, "max_size": 128, "box_detections_per_img": 3, "box_score_thresh": 0.0}
    theirs = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=4, **sizes).eval()
    with torch.no_grad():
        (found,) = theirs([image])
    grey = (image.permute(1, 2, 0) * 255).round().mean(2)
    for model in (theirs, mask_rcnn.from_torchvision(theirs)):
        widget = segwidgets.xray(model, image, detection=1)
        film = widget.trace.panel("pasted")
        pasted = torch.from_numpy(film.frames[1].pixels.astype(np.float32))
        coloured = pasted[..., 0] - pasted[..., 2] > 5
        sure = (found["masks"][1, 0] - 0.5).abs() > 1e-3
        assert torch.equal(coloured[sure], (found["masks"][1, 0] > 0.5)[sure]) and coloured.any()
        close(pasted[~coloured][:, 0], grey[~coloured], 1.0)
        close(film.frames[0].pixels, grey[..., None].expand(-1, -1, 3), 1.0)
        at = step_with(widget, "Stretched over its box")
        assert [widget.trace.frame_at("pasted", step) for step in (0, at - 1, at)] == [0, 0, 1]
        mask = shown(widget, "mask")
        assert (
            mask.shape == (28, 28) and f"{int((mask > 0.5).sum())} are above 0.5" in widget.trace.steps[step_with(widget, "mask head")].text
        )
        assert list(widget.trace.panel("time").labels)[-2:] == ["mask head", "pasting"]


def test_one_anchor_holds_an_object(own, image):
    said = said_by(OURS, own, image)["objectness"]  # probabilities
    first, second = torch.cat([each.flatten() for each in said]).logit().topk(2).values
    with torch.no_grad():
        own.rpn.head.objectness.bias -= (first + second) / 2
    texts = [step.text for step in segwidgets.xray(own, image).trace.steps if step.text.startswith("Level ")]
    held = [re.search(r"(\d+) of \d+ (holds?) an object", text).groups() for text in texts]
    assert sorted(held) == [("0", "hold"), ("0", "hold"), ("1", "holds")]


def test_the_model_runs_once_and_is_left_as_it_was(own, image):
    own.train()  # its lowest layers are frozen, in evaluation mode
    modes = [part.training for part in own.modules()]
    assert len(set(modes)) == 2
    weights = {name: tensor.clone() for name, tensor in own.state_dict().items()}
    runs = []
    own.backbone.register_forward_hook(lambda *_: runs.append(own.training))
    widget = segwidgets.xray(own, image)
    widget.set(detection=choices(widget)[1], level="8", channel=5, score_threshold=0.1)
    assert runs == [False] and hooks_of(own) == 1
    assert [part.training for part in own.modules()] == modes
    assert all(torch.equal(tensor, weights[name]) for name, tensor in own.state_dict().items())


def test_a_step_names_every_stage_that_has_a_time(opened):
    widget = opened[OURS]
    stages = ["input", "backbone", "RPN", "proposals", "box head", "NMS"]
    assert widget.trace.panel("time").labels == stages
    first = widget.trace.steps[0]
    assert re.fullmatch(", ".join(f"{stage} [\\d.]+ ms" for stage in stages), first.arithmetic)
    sums = sum(float(number) for number in re.findall(r" ([\d.]+) ms", first.arithmetic))
    assert float(re.search(r"took ([\d.]+) ms", first.text)[1]) == pytest.approx(sums, abs=0.05 * len(stages) + 0.06, rel=0.01)
    close(widget.trace.panel("time").values.sum(), sums, 0.31 + 0.005 * sums)


def test_the_time_of_a_stage_is_from_its_first_call_to_the_next_stage(models, image, monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr("segwidgets.forward_pass.time.perf_counter", lambda: float(next(ticks)))
    widget = segwidgets.xray(models[OURS], image)
    # A tick where a part begins and where it ends. The trace calls the RPN's head once more, within the time of the proposals.
    assert widget.trace.panel("time").values[:, 0].tolist() == [3000, 2000, 1000, 2000, 1000, 1000]


def test_the_digest_does_not_depend_on_the_times(models, image):
    one, other = (segwidgets.xray(models[OURS], image, classes=CLASSES) for _ in range(2))
    assert one.trace.steps[0].arithmetic != other.trace.steps[0].arithmetic
    assert repr(one) == repr(other)
    assert one.trace.nbytes < 300_000


class Fails(nn.Module):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, *given):
        raise self.error


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (
            RuntimeError("out of memory\nand more"),
            RuntimeError,
            "the forward pass failed in the stage 'box head': RuntimeError: out of memory$",
        ),
        (KeyboardInterrupt(), KeyboardInterrupt, "The forward pass was interrupted in the stage 'box head'; the model is as it was."),
    ],
)
def test_a_pass_that_fails_leaves_the_model_as_it_was(own, image, error, kind, sentence):
    own.head.layers = Fails(error)
    own.train()
    modes = [part.training for part in own.modules()]
    with pytest.raises(kind, match=sentence):
        segwidgets.xray(own, image)
    assert hooks_of(own) == 0 and [part.training for part in own.modules()] == modes


def test_without_a_detection_the_stages_are_there(own, image, shown):
    own.head.score_threshold = 1.0
    widget = segwidgets.xray(own, image, classes=CLASSES)
    assert widget._by_name["detection"].options == ("none", "your box")
    said = said_by(OURS, own, image)
    row = int(said["scores"][:, 1:].amax(1).argmax())
    close(shown(widget, "classes")[:, 0], said["scores"][row], 6e-4)
    assert f"Proposal {row}, " in widget.trace.steps[step_with(widget, "this is the likeliest")].text
    assert "0 detections" in widget.trace.steps[-1].text
    close(on(widget, "photograph", "suppression leaves", "candidate"), said["proposals"][:MOST_DRAWN], 0.01)
    widget.set(level="32", channel=0)
    close(shown(widget, "features"), said["levels"]["32"][0])


def test_of_300_detections_the_best_can_be_chosen(opened, models):
    (count,) = re.findall(r"(\d+) detections", opened[THEIRS].trace.steps[-2].text)
    assert int(count) == 300
    assert len(choices(opened[THEIRS])) == MOST_CHOICES


def test_it_runs_in_the_precision_of_the_model(own, image):
    wide = segwidgets.xray(copy.deepcopy(own).double(), image)
    coarse = segwidgets.xray(own.bfloat16(), image)
    for widget in (wide, coarse):
        assert re.search("score and box", widget.trace.steps[-1].text)
        assert [option.split()[2] for option in choices(widget)] == ["6", "4"]


@pytest.mark.gpu
@pytest.mark.parametrize("name", [OURS, THEIRS, SSD])
def test_on_a_gpu_it_says_the_same_and_how_much_memory_it_took(name, models, image, shown):
    there = copy.deepcopy(models[name]).cuda()
    one, other = segwidgets.xray(models[name], image, channel=0), segwidgets.xray(there, image, channel=0)
    assert "on cpu took" in one.trace.steps[0].text and "on cuda:0 took" in other.trace.steps[0].text
    assert " MB, gives" in other.trace.steps[1].text and " MB" not in one.trace.steps[1].text
    level = list(one._by_name["level"].options)[1]
    for widget in (one, other):
        widget.set(level=level)
    for panel in ("features", f"objectness {level}"):
        close(shown(other, panel), shown(one, panel), 0.03 * float(shown(one, panel).abs().max()) + 0.01)  # TF32
    assert next(there.parameters()).is_cuda and hooks_of(there) == 0


@pytest.mark.gpu
def test_on_a_gpu_the_mask_is_the_one_of_the_processor(image, shown):
    here = trained("mask_rcnn")
    there = copy.deepcopy(here).cuda()
    one, other = (segwidgets.xray(model, image, classes=CLASSES, detection=0) for model in (here, there))
    close(shown(other, "mask"), shown(one, "mask"), 0.03)  # TF32
    frames = [widget.trace.panel("pasted").frames[1].pixels.astype(int) for widget in (other, one)]
    assert (np.abs(frames[0] - frames[1]).max(-1) <= 2).mean() > 0.98  # a pixel at the threshold may fall to the other side
    assert next(there.parameters()).is_cuda and hooks_of(there) == 0


def test_numbers_that_are_none_are_named(own, image):
    with torch.no_grad():
        own.head.classes.bias[2] = torch.nan
    with pytest.raises(ValueError, match="NaN or infinite values, first in class_logits"):
        segwidgets.xray(own, image)
    with torch.no_grad():
        next(own.backbone.parameters()).fill_(torch.nan)
    with pytest.raises(ValueError, match="NaN or infinite values, first in level 8 of the backbone"):
        segwidgets.xray(own, image)
    assert hooks_of(own) == 0
    with pytest.raises(ValueError, match="image has values outside"):
        segwidgets.xray(own, torch.full((3, 32, 32), torch.nan))


class Traced(nn.Module):
    def __init__(self, stages):
        super().__init__()
        self.stages = stages

    def trace(self, image):
        return self.stages


def test_a_trace_without_a_box_head_is_followed_by_overlap(models, image):
    stages = models[OURS].trace(image)
    widget = segwidgets.xray(Traced(stages), image)
    best = int(box_iou(stages["detections"]["boxes"][:1], stages["proposals"]).argmax())
    assert f"from proposal {best}," in widget.trace.steps[-1].text and "found by its overlap" in widget.trace.steps[-1].text
    assert not {"classes", "sampling", "weights"} & {panel.id for panel in widget.trace.panels}


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (nn.Linear(2, 2), "xray looks into a detector: .*FasterRCNN.*; Linear is none"),
        (nn.Module, "; type is none"),
        (Traced(None), "trace.image. of Traced gives NoneType; a dict with size, levels, detections"),
        (Traced({"size": (8, 8), "levels": {}}), "gives size, levels; a dict with"),
        (
            Traced({"size": (8, 8), "levels": {}, "proposals": torch.zeros(0, 4), "detections": {"boxes": torch.zeros(0, 4)}}),
            "trace has no anchors, anchor_levels, objectness, deltas; it has size",
        ),
    ],
)
def test_what_is_no_detector_is_refused(model, sentence, image):
    with pytest.raises(TypeError, match=sentence):
        segwidgets.xray(model, image)


def test_a_detector_that_reads_its_numbers_otherwise_is_refused(image):
    with pytest.raises(TypeError, match="RetinaNet; and into a segmentation network.*; FCOS is none"):
        segwidgets.xray(fcos_resnet50_fpn(**SMALL), image)


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"detecton": 1}, TypeError, "did you mean 'detection'"),
        ({"detection": 99}, ValueError, "detection is 99, and the detections 0 to 1 can be chosen"),
        ({"detection": True}, ValueError, "detection is True"),
        ({"level": 64}, ValueError, "level is '64', and there are the levels 8, 16, 32"),
        ({"channel": 64}, ValueError, "channel is 64; it goes from 0 to 63"),
        ({"channel": -1}, ValueError, "channel"),
        ({"score_threshold": 2}, ValueError, "score_threshold is 2"),
        ({"classes": ["ring"]}, ValueError, "classes holds 1 names; the model has 6 classes, and background"),
        ({"classes": "ring"}, ValueError, "classes is 'ring'"),
    ],
)
def test_bad_arguments_are_refused_with_a_sentence(models, image, arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        segwidgets.xray(models[OURS], image, **arguments)
