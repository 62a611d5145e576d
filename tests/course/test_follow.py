"""`segcourse train` with a recipe that takes a moment."""

import signal
import sys

import pytest
import torch

import course.recipes
from course import lessons
from course.cli import main
from course.weights import load_weights, read_manifest, tensors_from_bytes

RECIPE = '''"""A line through points, in no time.

What follows the first line is for readers of the file.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

from course.recipes import Plan
from course.training import fit

DATA = {
    "line": Plan(epochs=30, metric="closeness on unseen points", trained_on="64 points", licence="BSD-3-Clause", tolerance=0.05),
    "curve": Plan(epochs=3, metric="closeness on a curve", trained_on="a curve", licence="CC0-1.0"),
}
CALLS = []


def build(data):
    return nn.Sequential(nn.Dropout(0.01), nn.Linear(1, 1))


def train(model, data, *, epochs, seed=0, device="auto", checkpoint=None, progress=None):
    CALLS.append((data, epochs, seed, str(device), checkpoint))
    if data == "curve":
        raise FileNotFoundError("There is no curve in this folder.")
    x = torch.linspace(-1, 1, 64)[:, None]
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
    options = {"seed": seed, "device": device, "checkpoint": checkpoint, "progress": progress}
    return fit(model, TensorDataset(x, 3 * x + 1), loss=loss, epochs=epochs, batch_size=16, optimiser=optimiser, **options)


def loss(output, target):
    return F.mse_loss(output, target)


def score(model, data, *, device="auto"):
    x = torch.linspace(-1, 1, 7)[:, None]
    return 1 - (model.cpu()(x) - 3 * x - 1).abs().mean().item()
'''


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A course with one recipe called tiny, and an empty folder to work in."""
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "tiny.py").write_text(RECIPE)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(course.recipes, "__path__", [str(tmp_path / "recipes")])
    yield course.recipes.find_recipe("tiny")
    del sys.modules["course.recipes.tiny"], course.recipes.tiny


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    (tmp_path / "lessons").mkdir()
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "course" / "weights").mkdir(parents=True)
    monkeypatch.setattr(lessons, "PACKAGE", tmp_path / "course")
    return tmp_path / "course" / "weights"


def refused(capsys, *arguments):
    assert main(["train", *arguments]) == 2
    out, error = capsys.readouterr()
    assert out == "" and error.count("\n") == 1 and error.startswith("segcourse train: ")
    return error.removeprefix("segcourse train: ").strip()


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_it_trains_scores_and_saves(tiny, tmp_path, capsys):
    assert main(["train", "tiny", "--device", "cpu"]) == 0
    out, error = capsys.readouterr()
    assert out == "closeness on unseen points: 0.99\nThe weights are in tiny.safetensors (0.0 MB).\n".replace("0.99", out.split()[4])
    assert error == "" and float(out.split()[4]) > 0.9
    assert tiny.CALLS == [("line", 30, 0, "cpu", None)]
    weights = tensors_from_bytes((tmp_path / "work" / "tiny.safetensors").read_bytes())
    assert abs(weights["1.weight"].item() - 3) < 0.1 and files(tmp_path / "work") == ["tiny.safetensors"]


def test_the_same_seed_gives_the_same_weights_whatever_was_drawn_before(tiny, tmp_path):
    def trained(seed, before):
        torch.manual_seed(before)
        assert main(["train", "tiny", "--epochs", "1", "--seed", str(seed), "--out", str(tmp_path / "w.safetensors")]) == 0
        return (tmp_path / "w.safetensors").read_bytes(), torch.rand(1)

    (one, drawn), (other, drawn_too), (third, _) = trained(4, 1), trained(4, 2), trained(5, 1)
    assert one == other != third
    torch.manual_seed(1)
    assert torch.rand(1) == drawn != drawn_too
    assert [call[1:3] for call in tiny.CALLS] == [(1, 4), (1, 4), (1, 5)]


def test_ship_writes_the_weights_and_their_entry(tiny, checkout, capsys, tmp_path):
    assert main(["train", "tiny", "--seed", "3", "--epochs", "20", "--ship"]) == 0
    assert files(checkout) == ["manifest.toml", "tiny.safetensors"] and files(tmp_path / "work") == []
    entry = read_manifest(checkout)["tiny"]
    assert entry.command == "segcourse train tiny --data line --epochs 20 --seed 3" and entry.seed == 3
    assert (entry.metric, entry.trained_on, entry.licence) == ("closeness on unseen points", "64 points", "BSD-3-Clause")
    model = tiny.build("line").eval()
    model.load_state_dict(load_weights("tiny", checkout))
    assert abs(tiny.score(model, "line") - entry.score) < 1e-4 and entry.tolerance == 0.05
    assert f"closeness on unseen points: {entry.score:.3f}\n" in capsys.readouterr().out


def test_the_manifests_command_gives_the_score_again(tiny, checkout):
    main(["train", "tiny", "--seed", "3", "--epochs", "20", "--ship"])
    first = read_manifest(checkout)["tiny"]
    assert main([*first.command.split()[1:], "--ship"]) == 0
    assert read_manifest(checkout)["tiny"] == first


def test_weights_of_another_data_set_have_its_name_too(tiny, checkout, monkeypatch):
    monkeypatch.setattr(tiny, "train", lambda model, data, **options: tiny.fit(model, [(torch.ones(2, 1),) * 2], loss=tiny.loss, epochs=1))
    assert main(["train", "tiny", "--data", "curve", "--ship"]) == 0
    assert list(read_manifest(checkout)) == ["tiny_curve"] and read_manifest(checkout)["tiny_curve"].licence == "CC0-1.0"


def test_ctrl_c_writes_no_weights_and_the_same_command_goes_on(tiny, tmp_path, capsys, monkeypatch):
    assert main(["train", "tiny", "--out", "straight.safetensors", "--device", "cpu"]) == 0
    capsys.readouterr()
    steps = []

    def loss(output, target):
        steps.append(1)
        if len(steps) == 50:
            signal.raise_signal(signal.SIGINT)
        return tiny.F.mse_loss(output, target)

    monkeypatch.setattr(tiny, "loss", loss)
    command = ["train", "tiny", "--checkpoint", "run.pt", "--device", "cpu"]
    assert main(command) == 130
    stopped = "Stopped after 50 of 120 steps; the model keeps what it has learnt so far. The same call goes on from run.pt.\n"
    assert capsys.readouterr().out == f"{stopped}No weights were written.\n" and files(tmp_path / "work") == [
        "run.pt",
        "straight.safetensors",
    ]
    assert main(command) == 0
    assert capsys.readouterr().out.startswith("The training goes on from run.pt, after 50 of 120 steps.\ncloseness")
    assert (tmp_path / "work" / "tiny.safetensors").read_bytes() == (tmp_path / "work" / "straight.safetensors").read_bytes()


def test_ctrl_c_while_the_model_is_scored(tiny, capsys, monkeypatch):
    monkeypatch.setattr(tiny, "score", lambda *_, **__: signal.raise_signal(signal.SIGINT))
    assert main(["train", "tiny", "--epochs", "1"]) == 130
    assert capsys.readouterr().err == "\nsegcourse train: stopped.\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tny"], "no recipe is called 'tny'; the recipes are tiny."),
        (["tiny", "--data", "voc"], "The recipe 'tiny' has no data called 'voc'; it has line, curve."),
        (["tiny", "--data", "curve"], "There is no curve in this folder."),
        (["tiny", "--device", "tpu9"], "--device tpu9 is no device; accepted are auto, cpu, cuda, cuda:N and mps."),
        (["tiny", "--out", "tiny.pt"], "--out tiny.pt would hold safetensors: give it a name that ends in .safetensors."),
        (["tiny", "--out", "no/a.safetensors"], "--out no/a.safetensors cannot be written: there is no folder no."),
        (["tiny", "--checkpoint", "no/run.pt"], "The checkpoint no/run.pt cannot be written: there is no folder no."),
        (["tiny", "--ship", "--out", "a.safetensors"], "--ship and --out say two places for the weights: choose one."),
    ],
)
def test_what_cannot_be_done_is_one_sentence(tiny, checkout, capsys, arguments, said):
    assert refused(capsys, *arguments) == said


def test_a_device_that_is_not_here(tiny, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert refused(capsys, "tiny", "--device", "cuda") == (
        "--device cuda was asked for, and torch finds none on this machine; auto takes what is there."
    )


def test_ship_needs_a_checkout(tiny, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(lessons, "PACKAGE", tmp_path / "site-packages" / "course")
    assert "`segcourse train --ship` works in a checkout of the course" in refused(capsys, "tiny", "--ship")
    assert tiny.CALLS == []


def test_a_score_that_is_no_number_is_not_shipped(tiny, checkout, capsys, monkeypatch):
    monkeypatch.setattr(tiny, "score", lambda *_, **__: float("nan"))
    assert main(["train", "tiny", "--epochs", "1", "--ship"]) == 2
    assert "The score of tiny.safetensors is nan" in capsys.readouterr().err and files(checkout) == []


def test_help_lists_the_recipes_with_their_first_lines(tiny, capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    assert capsys.readouterr().out.endswith("recipes:\n  tiny  A line through points, in no time.\n")


def test_recipes_are_found_by_their_files(tiny, tmp_path):
    (tmp_path / "recipes" / "other.py").write_text('"""Another."""\n1 / 0\n')
    assert course.recipes.recipes() == {"other": "Another.", "tiny": "A line through points, in no time."}
    with pytest.raises(ValueError, match="no recipe is called 'fnc'; the recipes are other, tiny"):
        course.recipes.find_recipe("fnc")
