"""`segwidgets.xray` of a box of the viewer's own in place of a proposal, of joints, and of a picture that the viewer brings."""

import copy
import re

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.detection import keypointrcnn_resnet50_fpn, maskrcnn_resnet50_fpn
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.roi_heads import heatmaps_to_keypoints
from torchvision.ops import clip_boxes_to_image

import segwidgets
from course.data.shapes import CLASSES, KEYPOINTS, Shapes
from course.models.mask_rcnn import from_torchvision
from course.recipes import trained
from segwidgets.panels import Film, Picture
from segwidgets.picture_of_choice import MOST_SIDE_BROUGHT
from tests.segwidgets.test_xray import close, hooks_of, on, step_with

SECOND = BoxCoder((10.0, 10.0, 5.0, 5.0))
SMALL = {"weights": None, "weights_backbone": None, "num_classes": 7, "min_size": 160, "max_size": 160, "box_score_thresh": 0.0}
FASTER, MASK, THEIR_MASK, THEIR_KEYPOINT, COPIED = "Faster", "Mask", "their Mask", "their Keypoint", "Keypoint, copied"
BOX, EMPTY = (20.0, 30.0, 90.0, 100.0), (0.0, 0.0, 24.0, 24.0)


@pytest.fixture(scope="module")
def image():
    return Shapes("test", count=4)[0][0]


@pytest.fixture(scope="module")
def models():
    torch.manual_seed(0)
    masks = maskrcnn_resnet50_fpn(**SMALL, box_detections_per_img=3).eval()
    joints = keypointrcnn_resnet50_fpn(**SMALL, num_keypoints=5, box_detections_per_img=3).eval()
    for model in (masks, joints):
        for part in (model.roi_heads.box_predictor.cls_score, model.roi_heads.box_predictor.bbox_pred):
            nn.init.normal_(part.weight, std=1e-3)
    return {
        FASTER: trained("faster_rcnn"),
        MASK: trained("mask_rcnn"),
        THEIR_MASK: masks,
        THEIR_KEYPOINT: joints,
        COPIED: from_torchvision(joints),
    }


@torch.no_grad()
def said_of(model, image, boxes):
    """Logits and deltas of boxes [P, 4] in the network's pixels, and a function that gives what the other heads say of boxes."""
    if hasattr(model, "roi_heads"):
        heads, (batch, _) = model.roi_heads, model.transform([image])
        levels, size = model.backbone(batch.tensors), batch.image_sizes
        logits, deltas = heads.box_predictor(heads.box_head(heads.box_roi_pool(levels, [boxes], size)))

        @torch.no_grad()
        def others(boxes):
            made = {}
            if heads.has_mask():
                made["mask"] = heads.mask_predictor(heads.mask_head(heads.mask_roi_pool(levels, [boxes], size)))
            if heads.has_keypoint():
                made["keypoint"] = heads.keypoint_predictor(heads.keypoint_head(heads.keypoint_roi_pool(levels, [boxes], size)))
            return made
    else:
        batch = model.prepare([image])
        levels, size = model.backbone(batch.images), batch.sizes
        logits, deltas = model.head(levels, [boxes])

        @torch.no_grad()
        def others(boxes):
            heads = {name: getattr(model, name, None) for name in ("mask", "keypoint")}
            return {name: head(levels, [boxes]) for name, head in heads.items() if head is not None}

    return logits, deltas, others, tuple(size[0])


@pytest.mark.parametrize("name", [FASTER, MASK, THEIR_MASK, THEIR_KEYPOINT, COPIED])
def test_the_heads_say_of_a_box_of_one_s_own_what_they_would_of_a_proposal(name, models, image, shown):
    model = models[name]
    widget = segwidgets.xray(model, image, classes=CLASSES, box=BOX)
    assert widget.values["detection"] == "your box" and widget.values["box"] == BOX
    firsts = set()
    with torch.no_grad():
        surest = tuple(model([image])[0]["boxes"][0].tolist())
    for place in (BOX, (60.0, 10.0, 110.0, 64.0), EMPTY, surest):
        widget.set(box=place)
        scale = said_of(model, image, torch.tensor([place]))[3][0] / 128
        region = torch.tensor([place]) * scale
        logits, deltas, others, size = said_of(model, image, region)
        scores = logits.softmax(1)[0]
        label = 1 + int(scores[1:].argmax())
        close(shown(widget, "classes")[:, 0], scores, 6e-4)
        first = int(scores.argmax())  # which may be the background
        firsts.add(first == label)
        text = widget.trace.steps[step_with(widget, f"Your box is {CLASSES[first]} with")].text
        assert (f"the likeliest object is {CLASSES[label]}, with" in text) == (first == 0)
        refined = clip_boxes_to_image(SECOND.decode(deltas, [region])[:, label], size)
        close(on(widget, "photograph", "Moved by its deltas", "chosen"), refined / scale, 0.02)
        close(on(widget, "detections", "Moved by its deltas", "chosen"), refined / scale, 0.02)
        close(on(widget, "photograph", "In place of", "write"), [place], 0.01)
        (label_of_box,) = [look.label for look in widget.trace.boxes_at("detections", -1) if look.role == "chosen"]
        assert label_of_box.split()[0] == CLASSES[first]
        last = widget.trace.steps[-1]
        assert last.text.startswith(f"In all, your box is {label_of_box}") and last.marks["classes"]["chosen"] == [(first, 0)]
        moved = float((refined - region).abs().max() / scale)
        assert float(re.search(r"by up to ([\d.]+) pixels", last.text)[1]) == pytest.approx(moved, abs=0.06, rel=6e-3)
        said = others(refined)
        assert ("mask" in said) == ("mask" in {panel.id for panel in widget.trace.panels})
        if "mask" in said:
            close(shown(widget, "mask"), said["mask"][0, label].sigmoid(), 1e-3)
            cells = int(re.search(r"(\d+) of the 784 cells of its mask", last.text)[1])
            assert cells == pytest.approx(int((said["mask"][0, label] > 0).sum()), abs=2)
        if "keypoint" in said:
            points, _ = heatmaps_to_keypoints(said["keypoint"], refined)
            x, y = (points[0, 0, :2] / scale).tolist()
            text = widget.trace.steps[step_with(widget, "keypoint head")].text
            row, column = divmod(int(said["keypoint"][0, 0].argmax()), said["keypoint"].shape[-1])
            assert f"at row {row}, column {column}, with" in text
            found = [float(each.rstrip(".,")) for each in text.split("at x ")[1].split(", y ")]
            assert found == pytest.approx([x, y], abs=0.6)  # of three digits
    assert name not in (FASTER, MASK) or firsts == {True, False}  # those have learnt what is empty


def test_a_proposal_put_back_by_hand_becomes_what_it_was(models, image, shown):
    """Of a detection the box is that of its proposal, so the heads must say the same."""
    widget = segwidgets.xray(models[MASK], image, classes=CLASSES)
    first = widget.values["detection"]
    classes, mask = shown(widget, "classes"), shown(widget, "mask")
    (proposal,) = on(widget, "photograph", "Back from", "write").tolist()
    (box,) = on(widget, "photograph", "Back from", "chosen").tolist()
    widget.set(detection="your box", box=proposal)
    close(shown(widget, "classes"), classes, 2e-3)
    close(shown(widget, "mask"), mask, 5e-3)
    close(on(widget, "detections", "Moved by its deltas", "chosen")[0], box, 0.05)
    assert "Drag it on the photograph" in widget.trace.steps[step_with(widget, "In place of")].text
    assert f"is read from level {8}" in widget.trace.steps[step_with(widget, "Your box is read")].text
    widget.set(detection=first)
    close(shown(widget, "classes"), classes, 0)


def test_only_the_heads_run_again_and_the_model_is_left_as_it_was(models, image):
    model = copy.deepcopy(models[MASK])
    runs = []
    for part in ("backbone", "head", "mask", "keypoint"):
        getattr(model, part).register_forward_hook(lambda module, *_, part=part: runs.append((part, module.training)))
    widget = segwidgets.xray(model, image, box=BOX)
    model.train()
    modes = [part.training for part in model.modules()]
    runs.clear()
    widget.set(box=(10.0, 10.0, 50.0, 50.0))
    assert runs == [("head", False), ("mask", False), ("keypoint", False)]
    widget.set(channel=3, detection=widget._by_name["detection"].options[0])
    assert [part for part, _ in runs] == ["head", "mask", "keypoint"]
    assert [part.training for part in model.modules()] == modes and hooks_of(model) == 4


def test_a_box_of_one_s_own_is_seen_only_when_it_is_followed(models, image):
    widget = segwidgets.xray(models[FASTER], image)
    assert widget.trace.boxes_at("photograph", -1)[0].role is None
    assert widget.values["box"] == (32.0, 32.0, 96.0, 96.0)
    widget.set(detection="your box")
    assert [look.role for look in widget.trace.boxes_at("photograph", 0)][:2] == ["write", None]
    close(widget.trace.boxes_at("photograph", 0)[0].place, (32, 32, 96, 96))


def test_the_heads_that_say_no_numbers_are_named(models, image):
    model = copy.deepcopy(models[FASTER])
    widget = segwidgets.xray(model, image)
    with torch.no_grad():
        model.head.classes.bias[2] = torch.nan
    with pytest.raises(ValueError, match="NaN or infinite values, first in the box head"):
        widget.set(detection="your box")
    assert widget.values["detection"] != "your box"


def test_half_precision_takes_a_box_too(models, image, shown):
    widget = segwidgets.xray(copy.deepcopy(models[MASK]).bfloat16(), image, classes=CLASSES, box=BOX)
    close(shown(widget, "classes").sum(), 1, 0.01)


@pytest.mark.parametrize("box", [None, BOX])
@pytest.mark.parametrize("name", [FASTER, MASK, THEIR_KEYPOINT])
def test_nothing_of_a_later_stage_is_seen_before_its_step(name, box, models, image):
    trace = segwidgets.xray(models[name], image, box=box).trace

    def seen(panel, step):
        if panel.id in trace.steps[step].marks:
            return True
        if isinstance(panel, Film) and trace.frame_at(panel.id, step):
            return True
        if isinstance(panel, (Film, Picture)):
            return panel.boxes is not None and any(look.role for look in trace.boxes_at(panel.id, step))
        return not np.isnan(trace.values_at(panel.id, step)).all()

    panels = [panel for panel in trace.panels if panel.id not in ("photograph", "time")]
    firsts = [next(step for step in range(len(trace.steps)) if seen(panel, step)) for panel in panels]
    assert firsts[0] == 1 and firsts == sorted(firsts)
    for panel in panels:
        if isinstance(panel, Film):
            assert trace.frame_at(panel.id, -1) == 1
            first = panel.frames[0].pixels.astype(int)
            assert np.ptp(first, axis=2).max() == 0 and (panel.id == "pasted" or np.ptp(first) == 0)  # grey, or nothing at all
    joints = [i for i, step in enumerate(trace.steps) if len(step.marks.get("detections", {}).get("read", ()))]
    assert joints == [i for i, step in enumerate(trace.steps) if "keypoint head" in step.text and "joint" in step.marks]


def test_joints_have_the_names_that_are_passed(models, image):
    widget = segwidgets.xray(models[MASK], image, joints=KEYPOINTS)
    for joint in (0, 5):
        widget.set(joint=joint)
        name = f"joint {joint} ({KEYPOINTS[joint].replace('_', ' ')})"
        assert f"That of {name} peaks at" in widget.trace.steps[step_with(widget, "keypoint head")].text
        film = widget.trace.panel("joint")
        assert film.title == name
        assert {(253, 231, 37), (68, 1, 84)} <= set(map(tuple, film.frames[1].pixels.reshape(-1, 3).tolist()))  # both ends of viridis


@pytest.mark.parametrize(
    ("name", "joints", "sentence"),
    [
        (MASK, ["head"], "joints holds 1 names; the model has 13 joints"),
        (MASK, "head", "joints is 'head'; it takes the names of the model's joints"),
        (FASTER, KEYPOINTS, "joints holds 13 names; the model has 0 joints"),
    ],
)
def test_names_that_are_not_those_of_its_joints_are_refused(name, joints, sentence, models, image):
    with pytest.raises(ValueError, match=sentence):
        segwidgets.xray(models[name], image, joints=joints)


@pytest.mark.parametrize("name", [THEIR_KEYPOINT, COPIED, MASK])
def test_the_joint_of_a_detection_is_the_model_s_own(name, models, image):
    widget = segwidgets.xray(models[name], image, classes=CLASSES, detection=1)
    with torch.no_grad():
        (found,) = models[name]([image])
    count = found["keypoints"].shape[1]
    assert widget._by_name["joint"].high == count - 1
    for joint in (0, count - 1):
        widget.set(joint=joint)
        step = widget.trace.steps[step_with(widget, "keypoint head")]
        x, y = (float(each.rstrip(".,")) for each in step.text.split("at x ")[1].split(", y "))
        assert (x, y) == pytest.approx(found["keypoints"][1, joint, :2].tolist(), abs=0.6)  # of three digits
        ((x1, y1, x2, y2),) = step.marks["detections"]["chosen"]
        assert ((x1 + x2) / 2, (y1 + y2) / 2) == pytest.approx((x, y), abs=0.6)
        assert len(step.marks["detections"]["read"]) == count
        film = widget.trace.panel("joint")
        assert film.note == f"[{count}, 56, 56]" and film.title == f"joint {joint}"
        ((left, top, right, bottom),) = step.marks["joint"]["chosen"]
        row, column = int((top + bottom) / 2), int((left + right) / 2)
        peak = film.frames[1].pixels[row, column].astype(int)
        assert abs(film.frames[1].pixels.astype(int) - peak).sum(2).min() == 0 and f"at row {row}, column {column}," in step.text


def test_a_picture_that_the_viewer_brings_goes_through_the_same_model(models, image, shown):
    model = models[FASTER]
    widget = segwidgets.xray(model, image, classes=CLASSES, score_threshold=0.1)
    first = widget._by_name["detection"].options
    other = Shapes("test", count=4)[2][0][:, :, :120]
    widget.set(picture=other, channel=9)
    with torch.no_grad():
        (found,) = model([other])
    labels = [f"{d} {CLASSES[label]} " for d, label in enumerate(found["labels"].tolist())][:12]
    options = widget._by_name["detection"].options
    assert options[-1] == "your box" and [a.startswith(b) for a, b in zip(options, labels, strict=False)] == [True] * len(labels)
    assert widget.values["channel"] == 9 and widget.values["score_threshold"] == 0.1 and widget.values["detection"] == options[0]
    assert widget.trace.panel("photograph").note == "[3, 128, 120]"
    with torch.no_grad():
        levels = model.backbone(model.prepare([other]).images)
    widget.set(level="32")
    close(shown(widget, "features"), levels[32][0, 9], 1e-3)
    widget.set(picture=None)
    assert widget._by_name["detection"].options == first
    widget.set(detection="your box", box=(90.0, 90.0, 120.0, 120.0), picture=Shapes("test", count=4)[1][0][:, :100, :90])
    close(on(widget, "photograph", "In place of", "write"), [[22.5, 25, 67.5, 75]], 0.01)  # that box lies beside it
    widget.set(box=(40.0, 40.0, 120.0, 120.0))
    close(on(widget, "photograph", "In place of", "write"), [[40, 40, 90, 100]], 0.01)
    widget.set(picture=torch.zeros(3, 40, 2000))
    assert widget.trace.panel("photograph").note == f"[3, 20, {MOST_SIDE_BROUGHT}]"


def test_a_picture_with_which_the_pass_fails_is_refused_and_the_first_stays(models, image):
    model = copy.deepcopy(models[FASTER])
    widget = segwidgets.xray(model, image)
    digest, values = widget.trace.digest, widget.values

    def fails(*_):
        raise KeyboardInterrupt

    hook = model.backbone.register_forward_pre_hook(fails)
    with pytest.raises(KeyboardInterrupt, match="The forward pass was interrupted in the stage"):
        widget.set(picture=torch.rand(3, 64, 64))
    hook.remove()
    assert widget.trace.digest == digest and widget.values == values and hooks_of(model) == 0
    with pytest.raises(ValueError, match="not a picture that can be read"):
        widget.set(picture=b"no picture")
    widget.set(picture=torch.rand(3, 64, 64))
    assert widget.trace.panel("photograph").note == "[3, 64, 64]"


@pytest.mark.parametrize("box", [(0, 0, 5), (10, 10, 5, 20), (0, 0, 129, 20), "box", (0, 0, float("nan"), 5)])
def test_what_is_no_box_is_refused(models, image, box):
    with pytest.raises(ValueError, match="it is x1, y1, x2, y2 within a picture of 128 × 128 pixels"):
        segwidgets.xray(models[FASTER], image, box=box)


def test_a_model_without_such_heads_takes_no_box(image):
    with pytest.raises(ValueError, match="SSD has no head that takes boxes; it takes None"):
        segwidgets.xray(trained("ssd"), image, box=BOX)
    widget = segwidgets.xray(trained("ssd"), image)
    assert "box" not in widget.values and "your box" not in widget._by_name["detection"].options


@pytest.mark.gpu
@pytest.mark.parametrize("name", [MASK, THEIR_KEYPOINT])
def test_on_a_gpu_a_box_of_one_s_own_gets_the_same_answer(name, models, image, shown):
    there = copy.deepcopy(models[name]).cuda()
    one, other = (segwidgets.xray(model, image, classes=CLASSES, box=BOX) for model in (models[name], there))
    close(shown(other, "classes"), shown(one, "classes"), 0.03)  # TF32
    close(on(other, "photograph", "Moved by", "chosen"), on(one, "photograph", "Moved by", "chosen"), 1.0)
    assert next(there.parameters()).is_cuda
