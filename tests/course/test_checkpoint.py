"""A training that was cut off goes on as if nothing had happened, and nothing is lost when it cannot."""

import os
import random
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from course.training import fit

EPOCHS, STEPS = 4, 6


class Noisy(Dataset):
    """Data that draw from all three generators, as augmentation does; `interrupt` is called before each item with how many there were."""

    def __init__(self, interrupt=lambda count: None):
        self.interrupt, self.count = interrupt, 0

    def __len__(self):
        return 4 * STEPS

    def __getitem__(self, index):
        self.interrupt(self.count)
        self.count += 1
        x = torch.full((3,), index / 24) + 0.1 * torch.rand(3) + 0.1 * random.random()
        self.interrupt(self.count - 0.5)  # in the middle of an item
        return x + 0.1 * np.random.rand(), torch.tensor([index / 12])


def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 1))


def train(checkpoint, *, data=None, loss=F.mse_loss, model=None, optimiser=torch.optim.Adam, epochs=EPOCHS, seed=3, **options):
    """One call of fit as in a script that is started again: everything is made anew, and the generators are seeded."""
    random.seed(5)
    np.random.seed(5)
    model = network() if model is None else model
    options = {"batch_size": 4, "device": "cpu"} | options
    made = optimiser(model.parameters(), lr=0.05)
    history = fit(model, data or Noisy(), loss=loss, epochs=epochs, seed=seed, optimiser=made, checkpoint=checkpoint, **options)
    return model, history


def bits(result):
    model, history = result
    return {name: value.tolist() for name, value in model.state_dict().items()}, history.steps, history.epochs


@pytest.fixture(scope="module")
def uninterrupted():
    return bits(train(None, validate=validate))


def validate(model):
    return {"guess": model(torch.full((2, 3), 0.5)).sum().item() + torch.rand(()).item()}


def ctrl_c(*_):
    signal.raise_signal(signal.SIGINT)


KILLED = """
import os, signal, sys
import torch.nn.functional as F
sys.path.insert(0, FOLDER)
from test_checkpoint import train, validate
steps = []
def loss(output, target):
    steps.append(1)
    if len(steps) == 15:  # the third of the third epoch
        os.kill(os.getpid(), signal.SIGKILL)
    return F.mse_loss(output, target)
train(sys.argv[1], loss=loss, validate=validate)
"""


def test_a_run_that_was_killed_within_an_epoch_ends_with_the_same_bits(tmp_path, uninterrupted, capsys):
    kept = tmp_path / "run.pt"
    program = KILLED.replace("FOLDER", repr(os.path.dirname(__file__)))
    assert subprocess.run([sys.executable, "-c", program, kept], timeout=300).returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == ["run.pt"]
    assert bits(train(kept, validate=validate)) == uninterrupted
    assert capsys.readouterr().out == f"The training goes on from {kept}, after 12 of 24 steps.\n"


@pytest.mark.parametrize("count", [0.5, 1, 3.5, 4, 24, 24.5, 30.5, 95.5])
def test_ctrl_c_while_data_are_loaded(tmp_path, uninterrupted, count):
    kept = tmp_path / "run.pt"
    _, history = train(kept, data=Noisy(lambda now: now == count and ctrl_c()), validate=validate)
    assert history.interrupted and history.count() == count // 4
    assert bits(train(kept, validate=validate)) == uninterrupted


@pytest.mark.parametrize("step", [1, 2, 6, 7, 15, 24])
def test_ctrl_c_within_a_step_waits_for_its_end(tmp_path, uninterrupted, step, capsys):
    steps = []

    def loss(output, target):
        steps.append(1)
        if len(steps) == step:
            ctrl_c()
        return F.mse_loss(output, target)

    kept = tmp_path / "run.pt"
    _, history = train(kept, loss=loss, validate=validate)
    assert history.interrupted and history.count() == step
    stopped = f"Stopped after {step} of 24 steps; the model keeps what it has learnt so far. The same call goes on from {kept}.\n"
    assert capsys.readouterr().out == stopped
    assert bits(train(kept, validate=validate)) == uninterrupted


@pytest.mark.parametrize("where", ["validate", "on_epoch"])
def test_ctrl_c_between_two_epochs(tmp_path, uninterrupted, where):
    def validating(model):
        if where == "validate":
            torch.rand(())
            ctrl_c()
        return validate(model)

    kept = tmp_path / "run.pt"
    on_epoch = ctrl_c if where == "on_epoch" else None
    _, history = train(kept, validate=validating, on_epoch=on_epoch)
    assert history.interrupted and history.count() == 6
    assert len(history.epochs.get("guess", [])) == (where == "on_epoch")
    assert bits(train(kept, validate=validate)) == uninterrupted


def test_what_on_epoch_and_validate_draw_belongs_to_the_run(tmp_path):
    def draw(*_):
        return {"drawn": torch.rand(()).item() + random.random() + np.random.rand()}

    expected = bits(train(None, validate=draw, on_epoch=draw))
    kept, steps = tmp_path / "run.pt", []

    def loss(output, target):
        steps.append(1)
        if len(steps) == 9:
            raise KeyboardInterrupt  # at once: what is kept is the first epoch's end
        return F.mse_loss(output, target)

    train(kept, loss=loss, validate=draw, on_epoch=draw)
    assert bits(train(kept, validate=draw, on_epoch=draw)) == expected


def test_several_interruptions(tmp_path, uninterrupted):
    kept, calls = tmp_path / "run.pt", 0
    while True:
        result = train(kept, data=Noisy(lambda now: now > 40 and now % 3 == 0 and ctrl_c()), validate=validate)
        calls += 1
        if not result[1].interrupted:
            break
    assert calls > 2 and bits(result) == uninterrupted


def test_ctrl_c_at_any_time(tmp_path, uninterrupted):
    """Real signals at moments that nobody chose: between two lines of the optimiser, of the loader, of the file's writing."""
    start = time.perf_counter()
    train(tmp_path / "timed.pt", validate=validate)
    seconds = time.perf_counter() - start
    interruptions = 0
    for number in range(12):
        kept = tmp_path / f"{number}.pt"
        timer = threading.Timer(seconds * (number + 0.5) / 14, os.kill, (os.getpid(), signal.SIGINT))
        try:
            timer.start()
            result = train(kept, validate=validate)
            timer.join()
        except KeyboardInterrupt:  # before or after the training
            timer.join()
            result = None
        interruptions += result is not None and result[1].interrupted
        assert bits(train(kept, validate=validate)) == uninterrupted, number
    assert interruptions > 3


def test_a_second_ctrl_c_does_not_wait_and_keeps_the_last_whole_epoch(tmp_path, uninterrupted, capsys):
    steps = []

    def loss(output, target):
        steps.append(1)
        if len(steps) == 10:
            ctrl_c()
            ctrl_c()
            raise AssertionError("it waited")
        return F.mse_loss(output, target)

    kept = tmp_path / "run.pt"
    _, history = train(kept, loss=loss, validate=validate)
    assert history.interrupted and history.count() == 9
    stopped = f"Stopped after 9 of 24 steps; the model keeps what it has learnt so far. {kept} stays as it was last written.\n"
    assert capsys.readouterr().out == stopped
    assert bits(train(kept, validate=validate)) == uninterrupted


def test_ctrl_c_works_afterwards_as_before(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    train(None)
    train(tmp_path / "run.pt", data=Noisy(lambda now: now == 9 and ctrl_c()))
    assert signal.getsignal(signal.SIGINT) is before


def test_outside_the_main_thread_it_trains_too(uninterrupted):
    results = []
    thread = threading.Thread(target=lambda: results.append(bits(train(None, validate=validate))))
    thread.start()
    thread.join()
    assert results == [uninterrupted]


@pytest.mark.parametrize("generator", [None, 7])
def test_batches_of_a_loader_of_ones_own(tmp_path, generator):
    """Whether its order comes from a generator of its own or from torch's."""

    def loader(interrupt=lambda now: None):
        own = None if generator is None else torch.Generator().manual_seed(generator)
        return DataLoader(Noisy(interrupt), batch_size=4, shuffle=True, generator=own)

    expected = bits(train(None, data=loader()))
    kept = tmp_path / "run.pt"
    train(kept, data=loader(lambda now: now == 38 and ctrl_c()))
    assert bits(train(kept, data=loader())) == expected


@pytest.mark.parametrize("optimiser", [torch.optim.SGD, torch.optim.AdamW, torch.optim.RMSprop])
def test_other_optimisers(tmp_path, optimiser):
    expected = bits(train(None, optimiser=optimiser))
    kept = tmp_path / "run.pt"
    train(kept, optimiser=optimiser, data=Noisy(lambda now: now == 38 and ctrl_c()))
    assert bits(train(kept, optimiser=optimiser)) == expected


def test_the_same_cell_run_again_goes_on(tmp_path, uninterrupted):
    """In a notebook the model and the optimiser are those of the run that was stopped."""
    model, kept = network(), tmp_path / "run.pt"
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    options = {"model": model, "optimiser": lambda *_, **__: optimiser, "validate": validate}
    train(kept, data=Noisy(lambda now: now == 38 and ctrl_c()), **options)
    assert bits(train(kept, **options)) == uninterrupted


def test_a_finished_run_is_loaded_and_trains_no_more(tmp_path, uninterrupted, capsys):
    kept = tmp_path / "run.pt"
    train(kept, validate=validate)

    def loss(output, target):
        raise AssertionError("it trains")

    before = kept.read_bytes()
    model, history = train(kept, loss=loss, validate=validate)
    assert bits((model, history)) == uninterrupted and not model.training and not history.interrupted
    assert capsys.readouterr().out == f"{kept} holds the finished run of 4 epochs: it is loaded, and nothing is left to train.\n"
    assert kept.read_bytes() == before


def test_seconds_are_those_of_all_parts(tmp_path):
    kept = tmp_path / "run.pt"
    _, first = train(kept, data=Noisy(lambda now: now == 38 and ctrl_c()), on_epoch=lambda *_: time.sleep(0.2))
    _, both = train(kept)
    assert both.seconds > first.seconds > 0.2


def test_the_progress_bar_goes_on_where_it_was(tmp_path, capsys):
    kept = tmp_path / "run.pt"
    train(kept, data=Noisy(lambda now: now == 48 and ctrl_c()), progress=True)
    capsys.readouterr()
    train(kept, progress=True)
    err = capsys.readouterr().err
    assert " 50%" in err and "epoch 3/4:  75%" in err and "24/24" in err and " 0/24" not in err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"epochs": 5}, "epochs 4 there, 5 here"),
        ({"seed": 0}, "seed 3 there, 0 here"),
        ({"batch_size": 8}, "batch size 4 there, 8 here"),
        ({"data": TensorDataset(torch.rand(8, 3), torch.rand(8, 1))}, "number of data 24 there, 8 here"),
        (
            {"data": [(torch.rand(4, 3), torch.rand(4, 1))]},
            "number of batches missing there, 1 here; batch size 4 there, missing here; number of data 24 there, missing here",
        ),
        ({"optimiser": torch.optim.SGD}, "optimiser Adam with learning rate 0.05 there, SGD with learning rate 0.05 here"),
        ({"model": nn.Linear(3, 1)}, "weight and 10 more: missing there, [1, 3] here"),
        ({"model": nn.Sequential(*list(network())[:-1], nn.Linear(8, 1, bias=False))}, "4.bias: [1] there, missing here"),
        ({"epochs": 5, "seed": 0}, "epochs 4 there, 5 here; seed 3 there, 0 here"),
    ],
)
def test_another_run_is_told_and_nothing_is_lost(tmp_path, options, said):
    kept = tmp_path / "run.pt"
    train(kept, data=Noisy(lambda now: now == 38 and ctrl_c()))
    content = kept.read_bytes()
    model = options.pop("model", None) or network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError) as caught:
        train(kept, model=model, **options)
    sentence = f"{kept} is the checkpoint of another run ({said}): give checkpoint= another name for this run"
    assert str(caught.value).startswith(sentence) and "\n" not in str(caught.value)
    assert kept.read_bytes() == content
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize("damage", ["empty", "half", "one byte less", "one byte changed", "names lost"])
def test_a_damaged_file_is_kept_aside_and_the_training_starts_anew(tmp_path, uninterrupted, damage, capsys):
    kept = tmp_path / "run.pt"
    train(kept, data=Noisy(lambda now: now == 38 and ctrl_c()), validate=validate)
    content = bytearray(kept.read_bytes())
    weight = torch.load(kept, weights_only=True)["run"]["model"]["4.bias"].numpy().tobytes()
    content[bytes(content).index(weight)] ^= damage == "one byte changed"
    length = {"empty": 0, "half": len(content) // 2, "one byte less": len(content) - 1, "names lost": len(content) - 300}
    content = bytes(content[: length.get(damage, len(content))])
    kept.write_bytes(content)
    (tmp_path / "run.pt.damaged").write_bytes(b"of an earlier time")
    capsys.readouterr()
    assert bits(train(kept, validate=validate)) == uninterrupted
    said = f"{kept} is damaged and cannot be read: it is kept as run.pt.damaged-2, and the training starts anew.\n"
    assert capsys.readouterr().out == said
    assert (tmp_path / "run.pt.damaged-2").read_bytes() == content
    assert (tmp_path / "run.pt.damaged").read_bytes() == b"of an earlier time"


class Surprise:
    def __reduce__(self):
        return os.mkdir, ("surprise",)


@pytest.mark.parametrize("kind", ["text", "weights", "code", "archive"])
def test_a_file_that_is_no_checkpoint_is_left_alone_and_runs_no_code(tmp_path, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.pt"
    if kind == "text":
        path.write_text("my notes")
    elif kind == "archive":
        np.savez(path.open("wb"), a=np.zeros(3))
    else:
        torch.save(network().state_dict() if kind == "weights" else Surprise(), path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"mine\.pt is not a checkpoint of fit: give checkpoint= another name\.$"):
        train(path)
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == ["mine.pt"]


def test_a_path_that_cannot_be_is_told_before_the_first_step(tmp_path):
    def loss(output, target):
        raise AssertionError("it trains")

    with pytest.raises(FileNotFoundError, match="cannot be written: there is no folder .*nowhere"):
        train(tmp_path / "nowhere" / "run.pt", loss=loss)
    with pytest.raises(ValueError, match="A checkpoint is a file, and .* is a folder"):
        train(tmp_path, loss=loss)


def test_a_full_disc_is_warned_of_and_stops_no_training(tmp_path, uninterrupted, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("course.checkpoint.write_atomically", full)
    with pytest.warns(UserWarning, match=r"run\.pt could not be written \(No space left on device\); the training goes on without it"):
        assert bits(train(tmp_path / "run.pt", validate=validate)) == uninterrupted


def test_an_optimiser_that_could_not_be_read_again_is_told_at_the_first_epoch(tmp_path):
    class Odd(torch.optim.SGD):
        def __init__(self, parameters, lr):
            super().__init__(parameters, lr)
            self.param_groups[0]["secret"] = Surprise()

    with pytest.warns(UserWarning, match="could not be written .the optimiser's state holds more than tensors"):
        train(tmp_path / "run.pt", optimiser=Odd)
    assert list(tmp_path.iterdir()) == []


def test_an_error_in_the_middle_keeps_the_last_epoch(tmp_path, uninterrupted):
    steps = []

    def loss(output, target):
        steps.append(1)
        return F.mse_loss(output, target) * (float("nan") if len(steps) == 15 else 1)

    kept = tmp_path / "run.pt"
    with pytest.raises(ValueError, match="loss became nan at step 15"):
        train(kept, loss=loss, validate=validate)
    assert bits(train(kept, validate=validate)) == uninterrupted


@pytest.mark.gpu
@pytest.mark.parametrize("mixed_precision", [True, False])
def test_on_the_gpu_it_goes_on_with_its_scale_and_draws(tmp_path, mixed_precision):
    options = {"device": "cuda", "mixed_precision": mixed_precision}
    model, history = train(None, **options)
    kept = tmp_path / "run.pt"
    train(kept, data=Noisy(lambda now: now == 38 and ctrl_c()), **options)
    scaler = torch.load(kept, weights_only=True)["run"]["scaler"]
    assert bool(scaler) is mixed_precision
    resumed, other = train(kept, **options)
    torch.testing.assert_close(resumed.state_dict(), model.state_dict(), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(other.steps, history.steps, rtol=1e-3, atol=1e-3)


@pytest.mark.gpu
def test_a_run_of_the_gpu_goes_on_on_the_cpu(tmp_path):
    kept = tmp_path / "run.pt"
    train(kept, data=Noisy(lambda now: now == 38 and ctrl_c()), device="cuda")
    model, history = train(kept, device="cpu")
    assert history.count() == 24 and not history.interrupted and all(not value.is_cuda for value in model.state_dict().values())
