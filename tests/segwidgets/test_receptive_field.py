"""The widget of receptive fields: what it shows are the fields that `fields.py` computes, of the cells that it says."""

import io
import sys

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import nn

import segwidgets
from segwidgets.panels import Film
from segwidgets.still import MAX_STILL_BYTES, animated_png

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def small(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 5, 3, 2, 1))


@pytest.fixture
def image():
    return torch.rand(3, 24, 32, generator=torch.Generator().manual_seed(0))


def boxes_of(player):
    """Cell of the panel → its theoretical field, as the browser gets it."""
    meta, buffers = player.trace.wire()
    grid = next(panel for panel in meta["panels"] if panel["id"] == "map")
    field = grid["field"]
    return np.frombuffer(buffers[field["boxes"]], "<f4").reshape(grid["rows"], grid["columns"], 4) / field["scale"]


@pytest.mark.parametrize("device", DEVICES)
def test_each_cell_has_its_box_its_frame_and_its_step(image, device):
    model = small().to(device)
    player = segwidgets.receptive_field(model, image.to(device))
    trace, boxes = player.trace, boxes_of(player)
    assert boxes.shape == (6, 8, 4)
    for row, column in np.ndindex(6, 8):  # fields of 7 pixels, every 4, the first centred on pixel 0
        x, y = 4 * column, 4 * row
        assert boxes[row, column].tolist() == [max(0, x - 3), max(0, y - 3), min(32, x + 4), min(24, y + 4)]
        step = trace.steps[1 + 8 * row + column]
        assert trace.panel("map").frame_of_cell[row, column] == step.shows["picture"] == 1 + 8 * row + column
        assert step.marks["map"] == {"write": [(row, column)]}
        assert list(step.marks["picture"]["read"][0]) == boxes[row, column].tolist()
    assert (len(trace.panel("picture").frames), len(trace.steps)) == (49, 50)
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(trace.panel("map").values), model(image[None].to(device))[0].mean(0).cpu())


def test_a_frame_is_the_picture_where_it_counts_and_dark_where_nothing_can(image):
    player = segwidgets.receptive_field(nn.Conv2d(3, 1, 7, 4, 3), image, channel=0)
    frames = [frame.pixels.astype(int) for frame in player.trace.panel("picture").frames]
    assert frames[0].shape == (24, 32, 3)
    np.testing.assert_allclose(frames[0], (image.permute(1, 2, 0) * 255).numpy(), atol=1)
    boxes = boxes_of(player).astype(int)
    for row, column in ((0, 0), (3, 4), (5, 7)):
        x1, y1, x2, y2 = boxes[row, column]
        frame = frames[1 + 8 * row + column]
        outside = np.ones((24, 32), bool)
        outside[max(0, y1 - 2) : y2 + 2, max(0, x1 - 2) : x2 + 2] = False  # the light is smoothed over 5 pixels
        grey = frames[0].mean(-1) * 0.22
        assert np.abs(frame[outside] - grey[outside][:, None]).max() <= 1
        inside = np.abs(frame - frames[0])[y1:y2, x1:x2].max(-1)
        assert (inside <= 2).any()  # the strongest pixel is as it was


def test_what_counts_is_told_by_the_paper_s_measure():
    """Of a kernel of equal weights all pixels count alike: the effective field is the theoretical one, grown by the smoothing."""
    model = nn.Conv2d(3, 1, 11, 8, 5, bias=False)
    model.weight.data.fill_(1.0)
    player = segwidgets.receptive_field(model, torch.rand(3, 64, 64), channel=0)
    (step,) = (step for step in player.trace.steps if step.text.startswith("Row 4, column 4"))
    assert "can see 11 × 11 pixels" in step.text and "about 15 × 15 pixels" in step.text


@pytest.mark.parametrize("layer", ["1", "1.0"])
def test_a_layer_is_named_or_passed(image, layer):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, 4, 1), nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(inplace=True)), nn.Conv2d(4, 2, 9))
    named = segwidgets.receptive_field(model, image, layer=layer)  # what comes after, too large for this picture, doesn't run
    passed = segwidgets.receptive_field(model, image, layer=model.get_submodule(layer))
    assert named.trace.digest == passed.trace.digest and f"receptive field of {layer} " in repr(named)
    with torch.no_grad():
        expected = model[1](model[0](image[None])) if layer == "1" else model[1][0](model[0](image[None]))
    np.testing.assert_allclose(named.trace.panel("map").values, expected[0].mean(0).numpy(), rtol=1e-5, atol=1e-6)


def test_a_channel_is_shown_and_differentiated(image):
    model = small()
    player = segwidgets.receptive_field(model, image, channel=2)
    with torch.no_grad():
        np.testing.assert_allclose(player.trace.panel("map").values, model(image[None])[0, 2].numpy(), rtol=1e-5, atol=1e-6)
    assert player.trace.panel("map").title == "map, channel 2"


def test_a_large_map_is_sampled_and_says_so():
    model = nn.Conv2d(3, 2, 3, padding=1)
    player = segwidgets.receptive_field(model, torch.rand(3, 70, 100))
    grid, film = player.trace.panel("map"), player.trace.panel("picture")
    assert grid.values.shape == (17, 25) and "[1, 2, 70, 100], one cell of each 4 × 4" in grid.note
    assert len(film.frames) - 1 <= 200 and f"{len(film.frames) - 1} of 425 were computed" in player.trace.steps[0].text
    assert set(grid.frame_of_cell) == {(r, c) for r in range(17) for c in range(25)}
    boxes = boxes_of(player)
    for r, c in ((0, 0), (3, 7), (16, 24)):  # each cell's own box, computed or not
        y, x = 2 + 4 * r, 2 + 4 * c
        np.testing.assert_allclose(boxes[r, c], [x - 1, y - 1, min(100, x + 2), min(70, y + 2)], atol=1e-3)
    shown = {step.shows["picture"]: next(iter(step.marks["map"]["write"])) for step in player.trace.steps[1:-1]}
    for (r, c), frame in grid.frame_of_cell.items():
        assert max(abs(r - shown[frame][0]), abs(c - shown[frame][1])) <= 2


def test_a_costly_model_gets_fewer_cells_but_at_least_a_few(monkeypatch):
    image, model = torch.rand(3, 96, 128), nn.Conv2d(3, 2, 21, 8, 10)
    plenty = segwidgets.receptive_field(model, image)
    assert len(plenty.trace.panel("picture").frames) - 1 == 192 and "were computed" not in plenty.trace.steps[0].text
    monkeypatch.setattr(sys.modules["segwidgets.receptive_field"], "SECONDS", 1e-9)
    player = segwidgets.receptive_field(model, image)
    grid, boxes = player.trace.panel("map"), boxes_of(player)
    cells = len(player.trace.panel("picture").frames) - 1
    assert 9 <= cells <= 16 and f"{cells} of 192 were computed" in player.trace.steps[0].text
    assert grid.values.shape == (12, 16) and len(grid.frame_of_cell) == 192
    for cell, frame in grid.frame_of_cell.items():  # over a cell that was not computed, box and light are the nearest's
        assert boxes[cell].tolist() == pytest.approx(list(player.trace.steps[frame].marks["picture"]["read"][0]), abs=1e-3)


def test_one_cell_for_the_whole_picture(image):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
    player = segwidgets.receptive_field(model, image, channel=3)
    assert player.trace.panel("map").values.shape == (1, 1)
    assert player.trace.steps[0].text.startswith("The network's output has only one cell")
    assert "can see the whole picture" in player.trace.steps[1].text
    assert boxes_of(player)[0, 0].tolist() == [0, 0, 32, 24]


def test_a_dead_cell_is_told(image):
    model = nn.Sequential(nn.Conv2d(3, 2, 3, 4, 1), nn.ReLU())
    model[0].bias.data.fill_(-100)
    player = segwidgets.receptive_field(model, image)
    assert "No gradient leads from row 0, column 0 to the picture" in player.trace.steps[1].text


def test_dictionaries_tuples_and_normalised_pictures_are_taken(image):
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = small()

        def forward(self, x):
            return {"out": self.net(x), "aux": x}

    normalised = (image - 0.5) / 0.2
    player = segwidgets.receptive_field(Both(), normalised[None])
    first = player.trace.panel("picture").frames[0].pixels
    assert (first.min(), first.max()) == (0, 255) and player.trace.panel("map").values.shape == (6, 8)


def test_half_precision_and_grey_pictures():
    model = nn.Conv2d(1, 2, 3).to(torch.bfloat16)
    player = segwidgets.receptive_field(model, torch.rand(1, 9, 9))
    assert player.trace.panel("picture").frames[0].pixels.shape == (9, 9, 3)


def test_size_is_that_of_the_frames(image):
    player = segwidgets.receptive_field(small(), image, size=64)
    assert player.trace.panel("picture").frames[5].pixels.shape == (48, 64, 3)
    np.testing.assert_allclose(boxes_of(player)[3, 4], [13, 9, 20, 16], atol=1e-4)


def test_it_stays_within_its_bounds(cat):
    photograph = cat[0]
    model = nn.Sequential(nn.Conv2d(3, 8, 5, 4, 2), nn.GELU(), nn.Conv2d(8, 4, 5, 4, 2))
    for picture in (photograph, torch.rand(3, 224, 224)):  # noise: nothing compresses worse
        player = segwidgets.receptive_field(model, picture)
        assert len(player.trace.panel("picture").frames) == 197 and player.trace.nbytes < 1_000_000
        png = animated_png(player.trace)[0]
        assert len(png) <= MAX_STILL_BYTES and Image.open(io.BytesIO(png)).n_frames >= 3


def test_the_same_model_and_picture_give_the_same_animation(image):
    players = [segwidgets.receptive_field(small(), image.clone()) for _ in range(2)]
    assert repr(players[0]) == repr(players[1])
    frames = [[frame.jpeg for frame in player.trace.panel("picture").frames] for player in players]
    assert frames[0] == frames[1]


def test_the_model_is_left_untouched(image):
    model = small()
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.random.get_rng_state()
    segwidgets.receptive_field(model, image, layer="0")
    assert model.training and all(module.training for module in model.modules())
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


class Detached(nn.Module):
    def forward(self, x):
        return x.argmax(1, keepdim=True).float()


class NotANumber(nn.Module):
    def forward(self, x):
        return x / 0 - x / 0


class Words(nn.Module):
    def forward(self, x):
        return "a cat"


UNUSED = nn.ModuleDict({"used": nn.Conv2d(3, 1, 3), "unused": nn.Conv2d(3, 1, 3)})
UNUSED.forward = lambda x: UNUSED["used"](x)


@pytest.mark.parametrize(
    ("call", "kind", "sentence"),
    [
        (lambda i: segwidgets.receptive_field(lambda x: x, i), TypeError, "model is function; receptive_field looks into an nn.Module"),
        (lambda i: segwidgets.receptive_field(torch.jit.script(nn.ReLU()), i), TypeError, "compiled to TorchScript"),
        (
            lambda i: segwidgets.receptive_field(small(), i[:2]),
            ValueError,
            "image has the shape \\[2, 24, 32\\]; a picture is \\[3, H, W\\]",
        ),
        (lambda i: segwidgets.receptive_field(small(), i * torch.nan), ValueError, "image has NaN or infinite values"),
        (lambda i: segwidgets.receptive_field(small(), i, layer="3"), ValueError, "the model has no layer '3'"),
        (lambda i: segwidgets.receptive_field(torchvision.models.resnet18(), i, layer="layer33"), ValueError, "did you mean 'layer3'"),
        (lambda i: segwidgets.receptive_field(small(), i, layer=nn.ReLU()), ValueError, "the layer ReLU is no part of the model"),
        (lambda i: segwidgets.receptive_field(UNUSED, i, layer="unused"), ValueError, "the layer Conv2d takes no part when the model runs"),
        (lambda i: segwidgets.receptive_field(small(), i, channel=5), ValueError, "channel is 5, and the map has the channels 0 to 4"),
        (lambda i: segwidgets.receptive_field(small(), i, chanel=1), TypeError, "did you mean 'channel'"),
        (lambda i: segwidgets.receptive_field(small(), i, size=8), ValueError, "size is 8; the picture's longer side takes 16 to 512"),
        (lambda i: segwidgets.receptive_field(Detached(), i), ValueError, "no gradient leads from the map back to the picture"),
        (lambda i: segwidgets.receptive_field(NotANumber(), i), ValueError, "the model's map has NaN or infinite values"),
        (lambda i: segwidgets.receptive_field(Words(), i), ValueError, "the model gives str and no map"),
        (lambda i: segwidgets.receptive_field(nn.Flatten(2), i), ValueError, "the model gives \\[1, 3, 768\\] for 1 picture, and a map is"),
        (
            lambda i: segwidgets.receptive_field(nn.Conv2d(3, 1, 40), i),
            ValueError,
            "can't be run on a picture of 24×32 pixels .* try a larger",
        ),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(image, call, kind, sentence):
    with pytest.raises(kind, match=sentence) as error:
        call(image)
    assert "\n" not in str(error.value)


def test_the_film_is_a_film(image):
    assert isinstance(segwidgets.receptive_field(small(), image).trace.panel("picture"), Film)
