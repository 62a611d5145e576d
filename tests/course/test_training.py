"""The loop learns, records, repeats itself exactly, stops when asked, and says nothing that nobody reads."""

import sys
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

from course import training
from course.training import fit, pick_device, to_device


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
    assert out == "" and "loss=" in err and "iou=0.500" in err
    for stdin, expected in ((True, True), (False, False)):
        shell = SimpleNamespace(kernel=SimpleNamespace(_allow_stdin=stdin))
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda shell=shell: shell))
        assert training._watched() is expected
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert training._watched() is sys.stderr.isatty()


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


@pytest.mark.gpu
def test_on_the_gpu():
    m = model()
    fit(m, line(), loss=F.mse_loss, epochs=40, batch_size=16, optimiser=sgd(m.cuda()))
    assert m.weight.is_cuda and abs(m.weight.item() - 3) < 0.01
