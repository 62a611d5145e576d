"""The live picture of a training: the right maps, painted rightly, for the right epochs, and a training that doesn't notice."""

import gc
import io
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import segwidgets
from course.ops.labels import colour_labels
from course.training import fit
from segwidgets.still import MAX_STILL_BYTES, animated_png

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
CLASSES = ("background", "left", "bright")


class Given(nn.Module):
    """A network whose answer is known: the labels that it is given, as scores."""

    def __init__(self, labels, classes=3):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.classes, self.labels = classes, labels

    def forward(self, x):
        assert not self.training and len(x) == len(self.labels)
        return self.scale * nn.functional.one_hot(self.labels.to(x.device), self.classes).permute(0, 3, 1, 2).float()


def history(epochs, **more):
    return SimpleNamespace(
        epochs={"loss": [1 / (i + 1) for i in range(epochs)]} | {k: v[:epochs] for k, v in more.items()}, steps={"loss": []}
    )


@pytest.fixture
def images():
    return torch.rand(1, 3, 8, 12, generator=torch.Generator().manual_seed(0))


def labels(seed=0, count=1, size=(8, 12)):
    return torch.randint(0, 3, (count, *size), generator=torch.Generator().manual_seed(seed))


def painted(label_map):
    return colour_labels(label_map).permute(1, 2, 0).numpy()


def film(live):
    return [frame.pixels for frame in live.trace.panel("prediction").frames]


@pytest.mark.parametrize("device", DEVICES)
def test_each_epoch_adds_a_frame_with_what_the_network_says_then(images, device):
    truth = labels(9)
    live = segwidgets.predictions(images, truth, classes=CLASSES)
    for epoch in range(1, 6):
        live(Given(labels(epoch)).to(device), history(epoch))
    assert len(live.trace.steps) == 6 and len(film(live)) == 6
    for epoch in range(1, 6):
        assert live.trace.frame_at("prediction", epoch) == epoch
        np.testing.assert_array_equal(film(live)[epoch], painted(labels(epoch)[0]))
    np.testing.assert_array_equal(live.trace.panel("truth").pixels, painted(truth[0]))
    np.testing.assert_allclose(live.trace.panel("pictures").pixels, (images[0].permute(1, 2, 0) * 255).numpy(), atol=1)
    assert live.trace.panel("prediction").lossless and live.trace.panel("truth").lossless


def test_before_the_training_there_is_an_empty_sheet(images):
    live = segwidgets.predictions(images, labels(), classes=CLASSES)
    assert len(live.trace.steps) == 1 and [panel.id for panel in live.trace.panels] == ["pictures", "prediction", "truth"]
    np.testing.assert_array_equal(film(live)[0], painted(torch.full((8, 12), 255)))


def test_the_curves_say_what_the_history_says(images):
    live = segwidgets.predictions(images, classes=CLASSES)
    accuracy = [0.5, 0.75, float("nan"), 0.875]
    for epoch in range(1, 5):
        live(Given(labels()), history(epoch, accuracy=accuracy))
    curves = live.trace.panel("training")
    assert curves.labels == ["loss", "accuracy"] and curves.limits == [(0.0, 1.0), (0, 1)] and curves.note == "epochs 1 to 4"
    np.testing.assert_allclose(live.trace.values_at("training", 4), [[1, 1 / 2, 1 / 3, 1 / 4], accuracy], rtol=1e-6)
    np.testing.assert_allclose(live.trace.values_at("training", 2), [[1, 1 / 2, np.nan, np.nan], [0.5, 0.75, np.nan, np.nan]], rtol=1e-6)
    assert live.trace.steps[2].text == "After epoch 2: loss 0.5, accuracy 0.75."
    assert live.trace.steps[3].text == "After epoch 3: loss 0.333, accuracy NaN."


def test_a_dict_of_numbers_is_a_history_too(images):
    live = segwidgets.predictions(images, classes=CLASSES)
    live(Given(labels()), {"mIoU": [0.25]})
    assert live.trace.steps[1].text == "After epoch 1: mIoU 0.25."


def test_several_pictures_stand_in_one_panel_each_in_its_place(images):
    pictures, truth = images.repeat(5, 1, 1, 1) * torch.linspace(0.2, 1, 5)[:, None, None, None], labels(3, 5)
    live = segwidgets.predictions(pictures, truth, classes=CLASSES)
    live(Given(labels(4, 5)), history(1))
    frame = film(live)[1]
    assert frame.shape == live.trace.panel("truth").pixels.shape == live.trace.panel("pictures").pixels.shape == (3 * 10 - 2, 2 * 14 - 2, 3)
    for i in range(5):
        top, left = 10 * (i // 2), 14 * (i % 2)
        np.testing.assert_array_equal(frame[top : top + 8, left : left + 12], painted(labels(4, 5)[i]))
        np.testing.assert_array_equal(live.trace.panel("truth").pixels[top : top + 8, left : left + 12], painted(truth[i]))


def test_large_maps_are_reduced_without_new_colours():
    images, truth = torch.rand(2, 3, 512, 400), labels(0, 2, (512, 400))
    live = segwidgets.predictions(images, truth, classes=CLASSES)
    pixels = live.trace.panel("truth").pixels
    assert max(pixels.shape) <= 320
    colours = {tuple(each) for each in pixels.reshape(-1, 3).tolist()}
    assert colours <= {tuple(each) for each in painted(torch.arange(3)[None]).reshape(-1, 3).tolist()} | {(128, 128, 128)}


def test_the_legend_has_a_name_for_each_colour(images):
    truth = labels()
    truth[0, 0, 0] = 255
    live = segwidgets.predictions(images, truth, classes=CLASSES)
    legend = live.trace.panel("prediction").legend
    assert [name for name, _ in legend] == [*CLASSES, "void"]
    for label, (_, colour) in enumerate(legend[:3]):
        assert tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5)) == tuple(painted(torch.tensor([[label]]))[0, 0])


def test_a_coarser_map_is_shown_in_blocks_and_one_channel_is_yes_or_no(images):
    class Coarse(nn.Module):
        def forward(self, x):
            return {"out": nn.functional.one_hot(torch.tensor([[[0, 1, 2], [2, 0, 1]]]), 3).permute(0, 3, 1, 2).float()}

    class Binary(nn.Module):
        def forward(self, x):
            return torch.where(torch.arange(12) < 5, 1.0, -1.0).expand(1, 1, 8, 12)

    live = segwidgets.predictions(images, classes=CLASSES)
    live(Coarse(), history(1))
    np.testing.assert_array_equal(
        film(live)[1], painted(torch.tensor([[0, 1, 2], [2, 0, 1]]).repeat_interleave(4, 0).repeat_interleave(4, 1))
    )
    live(Binary(), history(2))
    np.testing.assert_array_equal(film(live)[2], painted((torch.arange(12) < 5).long().expand(8, 12)))


# ---- long trainings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("every", [1, 5])
def test_hundreds_of_epochs_thin_out_evenly_and_keep_the_newest(images, every):
    live = segwidgets.predictions(images, classes=CLASSES, every=every)
    for epoch in range(1, 731):
        live(Given(labels(epoch)), history(epoch))
    trace = live.trace
    shown = [int(step.text.split()[2].rstrip(":")) for step in trace.steps[1:]]
    assert 30 <= len(shown) <= 100 and shown[0] == 1 and shown[-1] == 730 and shown == sorted(shown)
    apart = np.diff(shown[1:-1])
    assert (apart == apart[0]).all() and apart[0] % every == 0
    for frame, epoch in zip(film(live)[1:], shown, strict=True):
        np.testing.assert_array_equal(frame, painted(labels(epoch)[0]))
    np.testing.assert_allclose(trace.values_at("training", -1)[0], [1 / i for i in range(1, 731)], rtol=1e-6)  # the curve is whole


def test_noise_stays_below_a_megabyte_and_the_still_below_its_bound():
    images = torch.rand(4, 3, 256, 256)
    live = segwidgets.predictions(images, labels(1, 4, (256, 256)), classes=CLASSES)
    for epoch in range(1, 120):
        live(Given(labels(epoch, 4, (256, 256))), history(epoch))
    assert live.trace.nbytes < 1_000_000 and len(live.trace.steps) > 10
    png = animated_png(live.trace)[0]
    assert len(png) <= MAX_STILL_BYTES and Image.open(io.BytesIO(png)).is_animated


def test_every_says_which_epochs(images):
    live = segwidgets.predictions(images, classes=CLASSES, every=3)
    for epoch in range(1, 9):
        live(Given(labels(epoch)), history(epoch))
    assert [step.text.split(":")[0] for step in live.trace.steps[1:]] == ["After epoch 1", "After epoch 3", "After epoch 6"]


def test_a_second_training_starts_anew(images):
    live = segwidgets.predictions(images, classes=CLASSES)
    for epoch in (1, 2, 3, 1):
        live(Given(labels(epoch)), history(epoch))
    assert [step.text for step in live.trace.steps[1:]] == ["After epoch 1: loss 1."]


# ---- while training -----------------------------------------------------------------------------------------------------


def learning(seed=0):
    torch.manual_seed(seed)
    x = torch.rand(12, 3, 16, 16)
    y = torch.where(x[:, 0] > 0.6, 2, (torch.arange(16) < 8).long())
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2), nn.Conv2d(8, 3, 1))
    return model, torch.utils.data.TensorDataset(x, y), x[:2], y[:2]


@pytest.mark.parametrize("device", DEVICES)
def test_fit_takes_it_and_trains_as_without_it(device):
    options = {"loss": nn.CrossEntropyLoss(), "epochs": 4, "batch_size": 4, "device": device, "progress": False}
    alone, data, *_ = learning()
    without = fit(alone, data, **options)
    model, data, x, y = learning()
    live = segwidgets.predictions(x, y, classes=CLASSES)
    with_it = fit(model, data, **options, on_epoch=live)
    assert with_it.epochs == without.epochs
    for one, other in zip(model.state_dict().values(), alone.state_dict().values(), strict=True):
        assert torch.equal(one, other)  # weights, and the statistics of batch normalisation
    assert len(live.trace.steps) == 5
    with torch.no_grad():
        expected = model.eval()(x.to(next(model.parameters()).device)).argmax(1).cpu()
    np.testing.assert_array_equal(film(live)[4][:16], painted(expected[0]))


def test_the_model_keeps_its_modes_and_the_caller_its_random_numbers(images):
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Dropout()).train()
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.random.get_rng_state()
    segwidgets.predictions(images, classes=CLASSES)(model, history(1))
    assert [module.training for module in model.modules()] == [True, True, False, True]
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


def test_showing_waits_while_it_would_take_too_much_of_the_time(images, monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(time, "perf_counter", lambda: clock.now)
    live = segwidgets.predictions(images, classes=CLASSES)
    shown = []

    def show(trace, plain=live._player.show):
        clock.now += 0.09  # showing takes 0.09 s here, an epoch 1 s
        shown.append(len(trace.steps) - 1)
        plain(trace)

    monkeypatch.setattr(live._player, "show", show)
    for epoch in range(1, 21):
        clock.now += 1.0
        live(Given(labels(epoch)), history(epoch))
    assert shown == [1, 6, 11, 16]  # not before 4.5 s are over, of which 0.09 s are 2 %
    assert len(live.trace.steps) - 1 == 20 and shown[-1] == 20  # and whoever asks sees all


def test_it_is_seen_without_a_notebook_and_in_one(images):
    live = segwidgets.predictions(images, labels(), classes=CLASSES)
    before = live._repr_mimebundle_()[0]
    live(Given(labels(1)), history(1))
    data, metadata = live._repr_mimebundle_()
    assert set(data) == {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"} and "width" in metadata["image/png"]
    assert data["image/png"] != before["image/png"]
    assert data["text/plain"] == before["text/plain"] == repr(live) == "predictions on 1 picture · background, left, bright"


def test_the_notebook_gets_the_newest_still_at_the_end_of_the_cell(images):
    """In IPython itself: the output that was shown is replaced, under its name, when a cell has changed what it shows."""
    from IPython.core.interactiveshell import InteractiveShell

    class Publisher:
        published: list = []

        def publish(self, data, metadata=None, transient=None, update=False, **_):
            self.published.append((update, (transient or {}).get("display_id"), data))

    shell = InteractiveShell.instance()
    try:
        shell.display_pub = SimpleNamespace(publish=Publisher().publish)
        shell.user_ns |= {"live": segwidgets.predictions(images, classes=CLASSES), "model": Given(labels(1)), "history": history}
        shell.run_cell("display(live)")
        shell.run_cell("live(model, history(1)); live(model, history(2))")
        shell.run_cell("1 + 1")
        (first, name, before), (update, same, after) = Publisher.published
        assert (first, update) == (False, True) and name == same
        assert before["text/plain"] == after["text/plain"] and before["image/png"] != after["image/png"]
        shell.user_ns.clear()
        gc.collect()
        shell.run_cell("1 + 1")
        assert len(Publisher.published) == 2
    finally:
        InteractiveShell.clear_instance()


# ---- what can't be shown ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "kind", "sentence"),
    [
        (lambda i: segwidgets.predictions(i[:, :2], classes=CLASSES), ValueError, "images has the shape \\[1, 2, 8, 12\\]"),
        (lambda i: segwidgets.predictions(i * 255, classes=CLASSES), ValueError, "values outside 0…1; divide 8-bit pixels by 255"),
        (lambda i: segwidgets.predictions(i * torch.nan, classes=CLASSES), ValueError, "values outside 0…1"),
        (lambda i: segwidgets.predictions(i.repeat(10, 1, 1, 1), classes=CLASSES), ValueError, "holds 10 pictures; .* pass images\\[:9\\]"),
        (
            lambda i: segwidgets.predictions(i, labels()[:, :4], classes=CLASSES),
            ValueError,
            "truth is int64 \\[1, 4, 12\\]; it takes whole",
        ),
        (lambda i: segwidgets.predictions(i, labels().float(), classes=CLASSES), ValueError, "truth is float32"),
        (lambda i: segwidgets.predictions(i, labels() + 1, classes=CLASSES), ValueError, "truth has the class 3, and classes names 0 to 2"),
        (lambda i: segwidgets.predictions(i, classes="abc"), ValueError, "classes is 'abc'"),
        (lambda i: segwidgets.predictions(i, classes=["background"]), ValueError, "at least two classes"),
        (lambda i: segwidgets.predictions(i, classes=CLASSES, every=0), ValueError, "every is 0; it takes a whole number"),
        (lambda i: segwidgets.predictions(i, classes=CLASSES, evry=1), TypeError, "did you mean 'every'"),
        (
            lambda i: segwidgets.predictions(i, classes=CLASSES)(Given(labels(), 4), history(1)),
            ValueError,
            "scores for 4 classes, .* names 3",
        ),
        (lambda i: segwidgets.predictions(i, classes=CLASSES)(nn.Flatten(), history(1)), ValueError, "gives \\[1, 288\\] for 1 picture;"),
        (lambda i: segwidgets.predictions(i, classes=CLASSES)(Broken(), history(1)), ValueError, "scores are NaN"),
        (lambda i: segwidgets.predictions(i, classes=CLASSES)(Given(labels()), [1]), TypeError, "history is list"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(images, call, kind, sentence):
    with pytest.raises(kind, match=sentence) as error:
        call(images)
    assert "\n" not in str(error.value)


class Broken(nn.Module):
    def forward(self, x):
        return x * torch.nan


def test_a_network_that_failed_still_has_its_modes(images):
    model = nn.Sequential(nn.Conv2d(3, 9, 1)).train()
    with pytest.raises(ValueError, match="scores for 9 classes"):
        segwidgets.predictions(images, classes=CLASSES)(model, history(1))
    assert model.training and model[0].training
