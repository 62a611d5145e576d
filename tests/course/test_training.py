"""The loop learns, records, repeats itself exactly, stops when asked, and says nothing that nobody reads."""

import signal
import sys
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset, TensorDataset

from course.data.shapes import collate
from course.progress import watched
from course.training import _mixed_precision, fit, pick_device, to_device


def line(count: int = 64) -> TensorDataset:
    x = torch.linspace(-1, 1, count)[:, None]
    return TensorDataset(x, 3 * x + 1)


def model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Linear(1, 1)


def sgd(m: nn.Module, lr: float = 0.5) -> torch.optim.Optimizer:
    return torch.optim.SGD(m.parameters(), lr=lr)


def test_it_learns_a_line():
    m = model()
    history = fit(m, line(), loss=F.mse_loss, epochs=40, batch_size=16, optimiser=sgd(m), device="cpu")
    torch.testing.assert_close(m.weight.item(), 3.0, atol=0.01, rtol=0)
    torch.testing.assert_close(m.bias.item(), 1.0, atol=0.01, rtol=0)
    assert len(history.steps["loss"]) == 160 == history.count() and len(history.epochs["loss"]) == 40
    assert history.epochs["loss"][-1] < 1e-3 < history.epochs["loss"][0]
    assert history.seconds > 0 and not history.interrupted and not m.training
    assert repr(history) == "History(40 epochs, 160 steps)"


def test_an_epochs_loss_is_the_mean_of_its_steps():
    history = fit(model(), line(), loss=F.mse_loss, epochs=2, batch_size=16, device="cpu")
    assert history.epochs["loss"] == [sum(history.steps["loss"][i : i + 4]) / 4 for i in (0, 4)]


def test_one_step_is_the_optimisers_step():
    mine, theirs = model(), model()
    x, y = line(4).tensors
    optimiser = torch.optim.SGD(theirs.parameters(), lr=0.5)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.5, total_steps=2, cycle_momentum=False)
    for _ in range(2):
        optimiser.zero_grad()
        F.mse_loss(theirs(x), y).backward()
        optimiser.step()
        schedule.step()
    fit(mine, [(x, y)], loss=F.mse_loss, epochs=2, optimiser=sgd(mine), device="cpu")
    torch.testing.assert_close(mine.state_dict(), theirs.state_dict())


@pytest.mark.parametrize("layer", [nn.Identity, lambda: nn.Dropout(0.5)], ids=["shuffling", "dropout"])
def test_the_same_seed_gives_the_same_model_and_another_another(layer):
    shuffled = line() if layer is nn.Identity else [line().tensors]  # either the order is random, or the dropout

    def trained(seed, callers_seed):
        m = nn.Sequential(layer(), model())
        torch.manual_seed(callers_seed)
        fit(m, shuffled, loss=F.mse_loss, epochs=2, batch_size=8, seed=seed, device="cpu")
        return m[1].weight.item()

    assert trained(1, 10) == trained(1, 20) != trained(2, 10)


def test_every_epoch_has_another_order():
    seen = []

    def loss(output, target):
        seen.append(target.flatten().tolist())
        return F.mse_loss(output, target)

    fit(model(), line(8), loss=loss, epochs=2, batch_size=8, device="cpu")
    assert seen[0] != seen[1] and sorted(seen[0]) == sorted(seen[1]) == line(8).tensors[1].flatten().tolist()


def test_the_callers_random_state_goes_on():
    m = model()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(m, line(), loss=F.mse_loss, epochs=1, device="cpu")
    torch.testing.assert_close(torch.rand(3), expected)


def test_a_dict_of_losses_is_summed_and_recorded():
    def loss(output, target):
        return {"near": F.mse_loss(output, target), "small": 0.1 * output.square().mean()}

    summed, parts = model(), model()
    history = fit(parts, line(), loss=loss, epochs=2, device="cpu")
    fit(summed, line(), loss=lambda o, t: sum(loss(o, t).values()), epochs=2, device="cpu")
    torch.testing.assert_close(parts.state_dict(), summed.state_dict())
    assert set(history.steps) == set(history.epochs) == {"near", "small"}


def test_validation_sees_the_model_in_evaluation_mode():
    seen = []

    def validate(m):
        seen.append((m.training, torch.is_grad_enabled()))
        return {"answer": len(seen)}

    history = fit(model(), line(), loss=F.mse_loss, epochs=3, validate=validate, device="cpu")
    assert seen == [(False, False)] * 3 and history.epochs["answer"] == [1.0, 2.0, 3.0]


def test_ctrl_c_returns_the_model_so_far(capsys):
    calls = []

    def loss(output, target):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return F.mse_loss(output, target)

    m = model()
    before = m.weight.item()
    history = fit(m, line(), loss=loss, epochs=5, batch_size=32, device="cpu")
    assert history.interrupted and history.count() == 3 and m.weight.item() != before and not m.training
    assert capsys.readouterr().out == "Stopped after 3 of 10 steps; the model keeps what it has learnt so far.\n"
    assert repr(history) == "History(1 epochs, 3 steps, interrupted)"


def test_a_loss_that_is_no_number_stops_before_the_weights_are_lost():
    m = model()
    with pytest.raises(ValueError, match="loss became (nan|inf) at step .*smaller learning rate"):
        fit(m, line(), loss=F.mse_loss, epochs=200, optimiser=sgd(m, lr=1e6), device="cpu")
    assert m.weight.isfinite().all()


@pytest.mark.parametrize(
    ("data", "error", "match"),
    [
        ([], ValueError, "nothing to train on"),
        (TensorDataset(torch.zeros(0, 1)), ValueError, "nothing to train on"),
        ((batch for batch in []), TypeError, "go through again, not on a generator"),
    ],
)
def test_bad_data(data, error, match):
    with pytest.raises(error, match=match):
        fit(model(), data, loss=F.mse_loss, epochs=1)


def test_no_epochs_is_no_training():
    m = model()
    history = fit(m, line(), loss=F.mse_loss, epochs=0, device="cpu")
    assert history.count() == 0 and repr(history) == "History(0 epochs, 0 steps)"


def test_progress_goes_to_stderr_only_when_asked_or_watched(capsys, monkeypatch):
    fit(model(), line(), loss=F.mse_loss, epochs=1, device="cpu")
    assert capsys.readouterr() == ("", "")
    fit(model(), line(), loss=F.mse_loss, epochs=1, validate=lambda m: {"iou": 0.5}, device="cpu", progress=True)
    out, err = capsys.readouterr()
    assert out == "" and "loss=" in err and "iou=0.500" in err and "epoch 1/1" in err
    for stdin, expected in ((True, True), (False, False)):
        shell = SimpleNamespace(kernel=SimpleNamespace(_allow_stdin=stdin))
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda shell=shell: shell))
        assert watched() is expected
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert watched() is sys.stderr.isatty()


def test_to_device_moves_detection_targets():
    batch = [{"boxes": torch.zeros(1, 4), "name": "a"}, (torch.ones(2),)]
    moved = to_device(batch, torch.device("meta"))
    assert moved[0]["boxes"].is_meta and moved[0]["name"] == "a" and isinstance(moved[1], tuple) and moved[1][0].is_meta


def test_pick_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert pick_device() == torch.device("cpu") == pick_device("cpu")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device() == torch.device("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device() == torch.device("cuda")


def test_the_learning_rate_is_afterwards_what_it_was():
    m = model()
    optimiser = sgd(m, lr=0.25)
    fit(m, line(), loss=F.mse_loss, epochs=2, optimiser=optimiser, device="cpu")
    assert optimiser.param_groups[0]["lr"] == 0.25
    with pytest.raises(ValueError, match="loss became"):
        fit(m, line(), loss=lambda o, t: F.mse_loss(o, t) * float("nan"), epochs=2, optimiser=optimiser, device="cpu")
    assert optimiser.param_groups[0]["lr"] == 0.25


def test_ctrl_c_during_validation_returns_the_model_so_far(capsys):
    def validate(m):
        raise KeyboardInterrupt

    m = model()
    before = m.weight.item()
    history = fit(m, line(), loss=F.mse_loss, epochs=5, batch_size=16, validate=validate, device="cpu")
    assert history.interrupted and history.count() == 4 and history.epochs == {} and m.weight.item() != before and not m.training
    assert capsys.readouterr().out == "Stopped after 4 of 20 steps; the model keeps what it has learnt so far.\n"


def test_on_epoch_sees_the_model_as_validate_does_and_the_history_so_far():
    seen = []

    def on_epoch(m, history):
        seen.append((m.training, torch.is_grad_enabled(), dict(history.epochs)))

    m = model()
    history = fit(m, line(), loss=F.mse_loss, epochs=2, validate=lambda m: {"iou": 0.5}, on_epoch=on_epoch, device="cpu")
    assert [entry[:2] for entry in seen] == [(False, False)] * 2
    assert seen[-1][2] == history.epochs and set(history.epochs) == {"loss", "iou"}


def test_an_error_of_on_epoch_is_told_and_costs_nothing():
    def on_epoch(m, history):
        raise KeyError("no such picture")

    watched, alone = model(), model()
    with pytest.warns(UserWarning, match="on_epoch failed with KeyError: 'no such picture'; the training goes on"):
        history = fit(watched, line(), loss=F.mse_loss, epochs=3, on_epoch=on_epoch, device="cpu")
    fit(alone, line(), loss=F.mse_loss, epochs=3, device="cpu")
    assert len(history.epochs["loss"]) == 3
    torch.testing.assert_close(watched.state_dict(), alone.state_dict(), rtol=0, atol=0)


def test_mixed_precision_is_off_without_cuda_and_cannot_be_asked_for():
    seen = []

    def loss(output, target):
        seen.append((output.dtype, torch.is_autocast_enabled("cuda"), torch.is_autocast_enabled("cpu")))
        return F.mse_loss(output, target)

    for switch in (None, False):
        fit(model(), line(), loss=loss, epochs=1, mixed_precision=switch, device="cpu")
    assert set(seen) == {(torch.float32, False, False)}
    with pytest.raises(ValueError, match="mixed_precision=True needs a CUDA device, and this training runs on cpu"):
        fit(model(), line(), loss=loss, epochs=1, mixed_precision=True, device="cpu")


@pytest.mark.parametrize(
    ("switch", "device", "mixed"),
    [(None, "cpu", False), (None, "mps", False), (None, "cuda", True), (True, "cuda:1", True), (False, "cuda", False)],
)
def test_the_switch_of_mixed_precision(switch, device, mixed):
    assert _mixed_precision(switch, torch.device(device)) is mixed


class Overflowing(torch.amp.GradScaler):
    """Gradients overflow at the second step: as on a GPU, the scale falls and the update is left out."""

    def __init__(self, *_, **__):
        super().__init__("cpu", enabled=False)
        self.steps, self.value = 0, 4.0

    def get_scale(self):
        return self.value

    def step(self, optimiser):
        self.steps += 1
        return None if self.steps == 2 else optimiser.step()

    def update(self):
        self.value = 2.0 if self.steps == 2 else self.value


def test_an_update_that_is_left_out_is_no_step_of_the_schedule(monkeypatch):
    rates, m = [], model()
    optimiser = sgd(m)

    def loss(output, target):
        rates.append(optimiser.param_groups[0]["lr"])
        return F.mse_loss(output, target)

    monkeypatch.setattr(torch.amp, "GradScaler", Overflowing)
    fit(m, line(), loss=loss, epochs=1, batch_size=16, optimiser=optimiser, device="cpu")
    assert len(rates) == 4 and rates[1] == rates[2] and rates[0] != rates[1] and rates[2] != rates[3]


def test_a_full_gpu_is_told_with_what_to_lower(tmp_path):
    def loss(output, target):
        if len(done) == 3:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        done.append(1)
        return F.mse_loss(output, target)

    done = []
    with pytest.raises(MemoryError, match="^The GPU's memory is full at step 4: lower batch_size, or make .* smaller.$") as caught:
        fit(model(), line(), loss=loss, epochs=3, batch_size=32, device="cpu")
    assert caught.value.__cause__.__traceback__ is None, "it would keep the step's tensors on the GPU"
    done.clear()
    kept = tmp_path / "run.pt"
    with pytest.raises(MemoryError, match=r"smaller\. .*run\.pt stays as it was last written\.$"):
        fit(model(), line(), loss=loss, epochs=3, batch_size=32, device="cpu", checkpoint=kept)
    assert kept.exists()


class Pictures(Dataset):
    """Pictures of different sizes with 0 to 3 boxes each; every item draws, as augmentation does."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        image = torch.full((3, 4 + index, 6), index / 10) + 0.1 * torch.rand(())
        count = index % 4
        return image, {"boxes": torch.full((count, 4), float(index)), "labels": torch.ones(count, dtype=torch.long), "image_id": index}


class Detector(nn.Module):
    """Computes its losses itself, with a random sample, as Faster R-CNN does: `losses(images, targets)`."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(3, 4)

    def forward(self, images):
        return self.layer(torch.stack([image.mean((1, 2)) for image in images]))  # [N, 4]

    def losses(self, images, targets):
        assert self.training and isinstance(images, list) and isinstance(targets, list)
        found = self(images)
        box = sum((found[i] - target["boxes"]).square().sum() for i, target in enumerate(targets))
        return {"box": 0.01 * box / len(images), "sampled": found[torch.randperm(len(images))[0]].square().sum()}


def detect(detector, *, losses=None, epochs=3, **options):
    options = {"batch_size": 4, "collate": collate, "device": "cpu", "optimiser": sgd(detector, 0.05)} | options
    return fit(detector, Pictures(), batch_loss=losses or detector.losses, epochs=epochs, **options)


def test_items_that_cannot_be_stacked_are_collated_and_a_detector_computes_its_own_losses():
    seen = []

    def losses(images, targets):
        assert [target["image_id"] for target in targets] == [len(image[0]) - 4 for image in images]
        seen.append([target["image_id"] for target in targets])
        return mine.losses(images, targets)

    mine, theirs = Detector(), Detector()
    history = detect(mine, losses=losses, epochs=2)
    assert [len(batch) for batch in seen] == [4, 4, 2] * 2
    assert sorted(sum(seen[:3], [])) == sorted(sum(seen[3:], [])) == list(range(10)) and seen[:3] != seen[3:]
    assert set(history.steps) == set(history.epochs) == {"box", "sampled"} and history.count() == 6
    # The same steps by hand, with the order that was seen and the same draws.
    optimiser = sgd(theirs, 0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.05, total_steps=6, cycle_momentum=False)
    torch.manual_seed(0)
    for number, batch in enumerate(seen):
        images, targets = collate([Pictures()[index] for index in batch])
        optimiser.zero_grad()
        parts = theirs.losses(images, targets)
        assert [history.steps[name][number] for name in parts] == [part.item() for part in parts.values()]
        sum(parts.values()).backward()
        optimiser.step()
        schedule.step()
    torch.testing.assert_close(mine.state_dict(), theirs.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("step", [1, 3, 5])
def test_a_detector_goes_on_with_lists_of_pictures_bit_for_bit(tmp_path, step, capsys):
    whole = Detector()
    expected = detect(whole)
    stopped, steps = Detector(), []

    def losses(images, targets):
        steps.append(1)
        if len(steps) == step:
            signal.raise_signal(signal.SIGINT)
        return stopped.losses(images, targets)

    kept = tmp_path / "run.pt"
    assert detect(stopped, losses=losses, checkpoint=kept).count() == step
    resumed = Detector()
    history = detect(resumed, checkpoint=kept)
    assert f"The training goes on from {kept}, after {step} of 9 steps." in capsys.readouterr().out
    assert history.steps == expected.steps and history.epochs == expected.epochs
    torch.testing.assert_close(resumed.state_dict(), whole.state_dict(), rtol=0, atol=0)


def test_a_batch_loss_takes_ready_batches_too():
    mine, theirs, batch = Detector(), Detector(), collate([Pictures()[index] for index in range(4)])
    fit(mine, [batch], batch_loss=mine.losses, epochs=2, device="cpu")
    fit(theirs, [batch], loss=lambda _, targets: theirs.losses(batch[0], targets), epochs=2, device="cpu")
    torch.testing.assert_close(mine.state_dict(), theirs.state_dict(), rtol=0, atol=0)


def test_how_losses_and_collate_are_refused():
    m = Detector()
    before = m.layer.weight.clone()
    with pytest.raises(TypeError, match=r"one of loss=, .*, and batch_loss=, .*, and got neither\.$"):
        fit(m, Pictures(), epochs=1)
    with pytest.raises(TypeError, match=r"and got both\.$"):
        fit(m, Pictures(), loss=F.mse_loss, batch_loss=m.losses, epochs=1)
    with pytest.raises(TypeError, match="collate= makes batches of a Dataset's items, and a list is taken to hold batches already"):
        fit(m, [collate([Pictures()[0]])], batch_loss=m.losses, collate=collate, epochs=1)
    with pytest.raises(ValueError, match=r"cannot be stacked \(stack expects .* equal size.*\): give collate=, such as"):
        detect(m, collate=None)
    assert torch.equal(m.layer.weight, before)


def test_the_part_of_a_detectors_loss_that_is_no_number_is_named_with_its_step():
    m, steps, weights = Detector(), [], []

    def losses(images, targets):
        steps.append(1)
        weights.append(m.layer.weight.detach().clone())
        parts = m.losses(images, targets)
        return parts | {"sampled": parts["sampled"] * (float("inf") if len(steps) == 5 else 1)}

    with pytest.raises(ValueError, match="^The sampled became inf at step 5: try a smaller learning rate"):
        detect(m, losses=losses)
    assert torch.equal(m.layer.weight, weights[-1]) and not torch.equal(weights[-1], weights[-2])


def test_a_detector_that_fills_the_gpu_is_told_what_to_lower_and_keeps_its_last_epoch(tmp_path):
    m, steps, kept = Detector(), [], tmp_path / "run.pt"

    def losses(images, targets):
        steps.append(1)
        if len(steps) == 5:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return m.losses(images, targets)

    with pytest.raises(MemoryError, match=r"memory is full at step 5: lower batch_size.*run\.pt stays as it was last written\.$"):
        detect(m, losses=losses, checkpoint=kept)
    whole, resumed = Detector(), Detector()
    expected, history = detect(whole), detect(resumed, checkpoint=kept)
    assert history.steps == expected.steps
    torch.testing.assert_close(resumed.state_dict(), whole.state_dict(), rtol=0, atol=0)


@pytest.mark.gpu
def test_mixed_precision_on_the_gpu_computes_in_half_and_learns_in_single():
    seen = []

    def loss(output, target):
        seen.append(output.dtype)
        return F.mse_loss(output, target)

    for switch, dtype in ((None, torch.float16), (True, torch.float16), (False, torch.float32)):
        seen.clear()
        m = model()
        fit(m, line(), loss=loss, epochs=40, batch_size=16, optimiser=sgd(m.cuda()), mixed_precision=switch)
        assert set(seen) == {dtype} and m.weight.dtype is torch.float32
        assert abs(m.weight.item() - 3) < 0.01


@pytest.mark.gpu
def test_a_full_gpu_is_told_and_its_memory_is_free_again():
    class Large(nn.Linear):
        def forward(self, x):
            kept = torch.empty(2**28, device="cuda")  # 1 GiB
            return super().forward(x) + kept[0] + torch.empty(2**50, device="cuda")[0]

    before = torch.cuda.memory_allocated()
    with pytest.raises(MemoryError, match="The GPU's memory is full at step 1") as caught:
        fit(Large(1, 1), line(), loss=F.mse_loss, epochs=1)
    assert torch.cuda.memory_allocated() - before < 2**20, caught


@pytest.mark.gpu
def test_on_the_gpu():
    m = model()
    fit(m, line(), loss=F.mse_loss, epochs=40, batch_size=16, optimiser=sgd(m.cuda()))
    assert m.weight.is_cuda and abs(m.weight.item() - 3) < 0.01
