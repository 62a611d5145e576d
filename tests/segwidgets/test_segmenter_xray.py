"""`segwidgets.xray` of segmentation networks, against the models' own parts called one after another: nothing is hooked there."""

import copy
import re

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.segmentation import deeplabv3_mobilenet_v3_large, fcn_resnet50, lraspp_mobilenet_v3_large
from torchvision.transforms.functional import normalize

import segwidgets
from course.data.shapes import CLASSES, Shapes
from course.recipes import trained
from segwidgets.picture_of_choice import MOST_SIDE_BROUGHT

OURS, FCN, DEEPLAB, LRASPP = "ours", "FCN", "DeepLabV3", "LRASPP"
RANDOM = {"weights": None, "weights_backbone": None, "num_classes": 7}


@pytest.fixture(scope="module")
def image():
    return Shapes("test", count=4)[0][0]


@pytest.fixture(scope="module")
def models():
    torch.manual_seed(0)
    theirs = {
        FCN: fcn_resnet50(**RANDOM, aux_loss=True),
        DEEPLAB: deeplabv3_mobilenet_v3_large(**RANDOM),
        LRASPP: lraspp_mobilenet_v3_large(**RANDOM),
    }
    return {OURS: trained("fcn")} | {name: model.eval() for name, model in theirs.items()}


@pytest.fixture(scope="module")
def opened(models, image):
    return {name: segwidgets.xray(model, image, classes=CLASSES) for name, model in models.items()}


@torch.no_grad()
def said_by(name, model, image):
    """{map: [C, h, w]} and the scores [K, H, W]."""
    if name == OURS:
        features = model.backbone.features(image[None])
        maps = {f"backbone {stride}": features[stride] for stride in (32, 16, 8, 4)}
        maps |= {f"hidden {stride}": model.scores[str(stride)][:-1](features[stride]) for stride in (32, 16, 8, 4)}
        maps |= {f"scores {stride}": model.scores[str(stride)](features[stride]) for stride in (32, 16, 8, 4)}
    else:
        image = normalize(image, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        features, head = model.backbone(image[None]), model.classifier
        if name == LRASPP:
            maps = {"backbone low": features["low"], "backbone high": features["high"], "cbr": head.cbr(features["high"])}
            maps |= {"scale": head.scale(features["high"]), "low scores": head.low_classifier(features["low"])}
        else:
            maps = {
                "backbone out": features["out"],
                "hidden": nn.Sequential(*list(head)[:-1])(features["out"]),
                "scores": head(features["out"]),
            }
            maps |= {"ASPP": head[0](features["out"])} if name == DEEPLAB else {}
    return {key: value[0] for key, value in maps.items()}, model(image[None])["out"][0]


def hooks_of(model):
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.modules())


def close(shown, expected, atol=1e-3):
    torch.testing.assert_close(torch.as_tensor(shown).float(), torch.as_tensor(expected).float(), atol=atol, rtol=1e-4)


@pytest.mark.parametrize("name", [OURS, FCN, DEEPLAB, LRASPP])
def test_every_map_is_the_model_s_own(name, models, opened, image, shown):
    widget, (maps, _) = opened[name], said_by(name, models[name], image)
    assert set(maps) <= set(widget._by_name["level"].options)
    for level, expected in maps.items():
        channel = min(5, len(expected) - 1)
        widget.set(level=level, channel=5)
        close(shown(widget, "map"), expected[channel], 1e-4 * max(1.0, float(expected.abs().max())))
        assert widget.trace.panel("map").note == str(list(expected.shape))
        told = f"the scores of {CLASSES[channel]}" if "scores" in level else f"channel {channel} of {len(expected)}"
        assert f"Shown: {told} on {level}, from" in widget.trace.steps[1].text
        assert f"{level} {list(expected.shape)}, " in widget.trace.steps[1].arithmetic


@pytest.mark.parametrize("name", [OURS, FCN, DEEPLAB, LRASPP])
def test_the_pixel_has_the_model_s_probabilities_and_the_labels_are_its_likeliest(name, models, opened, image, shown):
    widget, (_, scores) = opened[name], said_by(name, models[name], image)
    probabilities = scores.softmax(0)
    for row, column in ((0, 0), (43, 78), (127, 3)):
        widget.set(pixel=(row, column))
        close(shown(widget, "classes")[:, 0], probabilities[:, row, column], 6e-4)
        assert widget.trace.panel("classes").labels == list(CLASSES)
        label = int(scores[:, row, column].argmax())
        assert f"row {row}, column {column} is {CLASSES[label]} with" in widget.trace.steps[-1].text
        assert widget.trace.steps[-1].marks["classes"]["chosen"] == [(label, 0)]
        drawn = torch.nn.functional.avg_pool2d(probabilities[label][None], 3, ceil_mode=True)[0]
        close(shown(widget, "probability"), drawn, 1e-4)
    film = widget.trace.panel("labels")
    labels = scores.argmax(0).numpy()
    colours = film.frames[1].pixels
    for label in np.unique(labels):
        assert len(np.unique(colours[labels == label], axis=0)) == 1
    assert len(np.unique(colours.reshape(-1, 3), axis=0)) == len(np.unique(labels)) == len(film.legend)
    assert [entry[0] for entry in film.legend] == [CLASSES[label] for label in np.unique(labels)]
    assert widget.trace.frame_at("labels", 2) == 0 and widget.trace.frame_at("labels", 3) == 1


def test_the_first_pixel_is_the_surest_object_and_another_can_be_asked_for(models, opened, image):
    _, scores = said_by(OURS, models[OURS], image)
    best = divmod(int(scores.softmax(0)[1:].amax(0).argmax()), 128)
    assert opened[OURS]._by_name["pixel"].value == best
    assert segwidgets.xray(models[OURS], image, pixel=(3, 127)).values["pixel"] == (3, 127)
    large = torch.nn.functional.interpolate(image[None], (256, 720))[0]
    widget = segwidgets.xray(models[OURS], large, pixel=(101, 719))  # shown with 128 × 360 pixels
    assert widget.values["pixel"] == (50, 359) and "row 101, column 719" in widget.trace.steps[-1].text


def test_torchvision_s_pictures_are_normalised_and_others_are_prepared_as_said(models, image, shown):
    model = models[LRASPP]
    assert "normalised as ImageNet" in segwidgets.xray(model, image).trace.steps[0].text
    widget = segwidgets.xray(model, image, prepare=lambda picture: picture[:, ::2, ::2], pixel=(101, 44))
    with torch.no_grad():
        expected = model(image[None, :, ::2, ::2])["out"][0].softmax(0)
    close(shown(widget, "classes")[:, 0], expected[:, 50, 22], 6e-4)
    assert "seen at 64 × 64, prepared as you said," in widget.trace.steps[0].text


def test_a_stage_s_time_is_where_it_belongs(models, opened):
    assert opened[OURS].trace.panel("time").labels == ["input", "backbone", "heads", "upsampling"]
    assert opened[FCN].trace.panel("time").labels == ["input", "backbone", "head", "upsampling", "auxiliary head"]
    assert opened[LRASPP].trace.panel("time").labels == ["input", "backbone", "head", "upsampling"]
    for name, widget in opened.items():
        times = widget.trace.panel("time").values[:, 0]
        total = float(re.search(r"took ([\d.]+) ms", widget.trace.steps[0].text)[1])
        assert times.sum() == pytest.approx(total, rel=0.01), name


@pytest.mark.parametrize("name", [OURS, LRASPP])
def test_the_model_runs_once_and_is_left_as_it_was(name, models, image):
    model = copy.deepcopy(models[name]).train()
    next(model.backbone.children()).eval()
    modes = [part.training for part in model.modules()]
    weights = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    runs = []
    model.register_forward_hook(lambda *_: runs.append(model.training))
    widget = segwidgets.xray(model, image)
    widget.set(level=list(widget._by_name["level"].options)[1], channel=2, pixel=(1, 2))
    assert runs == [False] and hooks_of(model) == 1
    assert [part.training for part in model.modules()] == modes
    assert all(torch.equal(tensor, weights[key]) for key, tensor in model.state_dict().items())


def test_a_picture_that_the_viewer_brings_goes_through_the_same_model(models, image, shown):
    model = models[OURS]
    widget = segwidgets.xray(model, image, classes=CLASSES, pixel=(2, 120))
    other = Shapes("test", count=4)[1][0][:, :100]
    widget.set(picture=other)
    _, scores = said_by(OURS, model, other)
    row, column = widget.values["pixel"]
    assert (row, column) == (2, 120) and widget._by_name["pixel"].rows == 100
    close(shown(widget, "classes")[:, 0], scores.softmax(0)[:, row, column], 6e-4)
    assert widget.trace.panel("photograph").note == "[3, 100, 128]"
    widget.set(picture=None)
    assert widget._by_name["pixel"].rows == 128
    widget.set(picture=torch.rand(3, 1500, 40))
    assert widget.trace.panel("photograph").note == f"[3, {MOST_SIDE_BROUGHT}, 27]"


class Fails(nn.Module):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, *given):
        raise self.error


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (RuntimeError("no memory\nand more"), RuntimeError, "the forward pass failed in the stage 'head': RuntimeError: no memory$"),
        (KeyboardInterrupt(), KeyboardInterrupt, "The forward pass was interrupted in the stage 'head'; the model is as it was."),
    ],
)
def test_a_pass_that_fails_leaves_the_model_as_it_was(models, image, error, kind, sentence):
    model = copy.deepcopy(models[LRASPP]).train()
    model.classifier.scale = Fails(error)
    modes = [part.training for part in model.modules()]
    with pytest.raises(kind, match=sentence):
        segwidgets.xray(model, image)
    assert hooks_of(model) == 0 and [part.training for part in model.modules()] == modes


def test_numbers_that_are_none_are_named(models, image):
    model = copy.deepcopy(models[LRASPP])
    with torch.no_grad():
        model.classifier.low_classifier.bias[2] = torch.nan
    with pytest.raises(ValueError, match="NaN or infinite values, first in low scores"):
        segwidgets.xray(model, image)


def test_one_class_occurs(models, image):
    model = copy.deepcopy(models[LRASPP])
    with torch.no_grad():
        model.classifier.low_classifier.bias[3] = 1e4
    assert "1 class of 7 occurs." in segwidgets.xray(model, image).trace.steps[3].text


def test_it_runs_in_the_precision_of_the_model(models, image):
    for model in (copy.deepcopy(models[OURS]).bfloat16(), copy.deepcopy(models[LRASPP]).double()):
        assert "One forward pass" in segwidgets.xray(model, image).trace.steps[0].text


class OneScore(nn.Module):
    """An object against the background: the mean of the colours says it."""

    def __init__(self):
        super().__init__()
        self.backbone, self.classifier = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 1, 1)

    def forward(self, x):
        return self.classifier(self.backbone(x))


def test_a_single_score_is_that_of_the_object(image, shown):
    torch.manual_seed(0)
    model = OneScore()
    widget = segwidgets.xray(model, image, classes=["thing"], pixel=(5, 6))
    with torch.no_grad():
        likely = model(image[None])[0, 0, 5, 6].sigmoid()
    close(shown(widget, "classes")[:, 0], [1 - likely, likely], 6e-4)
    assert widget.trace.panel("classes").labels == ["background", "thing"]


def test_what_gives_no_scores_is_told_so(image):
    model = OneScore()
    model.classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ValueError, match=r"OneScore gives \[1, 4\]; xray shows scores \[1, K, H, W\]"):
        segwidgets.xray(model, image)


def test_of_many_classes_the_likeliest_have_bars(image, shown):
    torch.manual_seed(0)
    widget = segwidgets.xray(lraspp_mobilenet_v3_large(**RANDOM | {"num_classes": 300}), image)
    bars = widget.trace.panel("classes")
    assert len(bars.labels) == 8 and bars.note == "[300], 8 shown"
    assert widget.trace.nbytes < 300_000


def test_the_digest_does_not_depend_on_the_times(models, image):
    one, other = (segwidgets.xray(models[OURS], image, classes=CLASSES) for _ in range(2))
    assert one.trace.steps[0].arithmetic != other.trace.steps[0].arithmetic
    assert repr(one) == repr(other)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"level": "backbone 64"}, "level is 'backbone 64', and there are the maps backbone 32, "),
        ({"channel": -1}, "channel"),
        ({"channel": 4000}, "channel is 4000; it goes from 0 to 127"),
        ({"pixel": (128, 0)}, r"pixel is \(128, 0\); it is a row from 0 to 127"),
        ({"pixel": 3}, "pixel is 3"),
        ({"classes": ["ring"]}, r"classes is \['ring'\]; it takes the names of the model's 7 classes"),
        ({"classes": "ring"}, "classes is 'ring'"),
    ],
)
def test_bad_arguments_are_refused_with_a_sentence(models, image, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        segwidgets.xray(models[OURS], image, **arguments)


@pytest.mark.gpu
@pytest.mark.parametrize("name", [OURS, LRASPP])
def test_on_a_gpu_it_says_the_same_and_how_much_memory_it_took(name, models, image, shown):
    there = copy.deepcopy(models[name]).cuda()
    one, other = (segwidgets.xray(model, image, pixel=(40, 50)) for model in (models[name], there))
    assert "on cuda:0 took" in other.trace.steps[0].text and " MB, gives" in other.trace.steps[1].text.partition(";")[0]
    close(shown(other, "classes"), shown(one, "classes"), 0.05)
    assert next(there.parameters()).is_cuda and hooks_of(there) == 0
