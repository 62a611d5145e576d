"""Weights come back as they went in, and nothing is loaded that the manifest does not vouch for."""

import hashlib
import tomllib

import pytest
import torch
from torch import nn

from course.weights import MANIFEST, Entry, load_weights, read_manifest, save_weights, tensors_as_bytes, tensors_from_bytes

FACTS = {
    "command": "segcourse train small --data shapes --epochs 2 --seed 0",
    "seed": 0,
    "metric": 'mean IoU on "hard" pictures, 8 × 8 \\ C:\n2',
    "score": 0.8125,
    "tolerance": 0.02,
    "trained_on": "generated pictures",
    "licence": "BSD-3-Clause",
}


@pytest.fixture
def folder(tmp_path):
    save_weights("small", {"weight": torch.arange(6.0).reshape(2, 3)}, tmp_path, FACTS)
    return tmp_path


def test_what_is_saved_is_loaded(folder):
    torch.testing.assert_close(load_weights("small", folder), {"weight": torch.arange(6.0).reshape(2, 3)}, rtol=0, atol=0)


def test_the_manifest_says_what_the_file_is_and_what_made_it(folder):
    entry = tomllib.loads((folder / MANIFEST).read_text(encoding="utf-8"))["small"]
    content = (folder / "small.safetensors").read_bytes()
    assert entry == FACTS | {"file": "small.safetensors", "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    assert read_manifest(folder) == {"small": Entry(**entry)}


def test_a_new_entry_changes_no_other_line_and_an_old_one_is_replaced(folder):
    before = (folder / MANIFEST).read_text()
    save_weights("another", {"bias": torch.zeros(1)}, folder, FACTS)
    both = (folder / MANIFEST).read_text()
    assert list(read_manifest(folder)) == ["another", "small"] and both.endswith(before.partition("\n\n")[2])
    save_weights("another", {"bias": torch.ones(1)}, folder, FACTS | {"score": 1})
    assert list(read_manifest(folder)) == ["another", "small"] and read_manifest(folder)["another"].score == 1
    assert load_weights("another", folder)["bias"] == 1


def test_a_whole_models_state_goes_through(tmp_path):
    """Tied, transposed and half-precision weights, counters, an empty one: whatever a state_dict holds."""
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 3)).eval()
    model[2].weight = model[0].weight
    model[0].bias = nn.Parameter(torch.rand(3, 2).T[0])
    model.register_buffer("empty", torch.zeros(0, 2))
    model[1].half()
    save_weights("odd", model.state_dict(), tmp_path, FACTS)
    state = model.state_dict()
    torch.testing.assert_close(load_weights("odd", tmp_path), dict(state), rtol=0, atol=0)
    model.load_state_dict(load_weights("odd", tmp_path))


def test_the_same_weights_are_the_same_bytes():
    one = {"a": torch.ones(2), "b": torch.zeros(3)}
    assert tensors_as_bytes(one) == tensors_as_bytes({name: one[name].clone() for name in reversed(one)})


def test_an_unknown_name_is_answered_with_those_there_are(folder, tmp_path):
    with pytest.raises(ValueError, match=r"^There are no weights called 'smal' \(did you mean small\?\); there are small\.$"):
        load_weights("smal", folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"^There are no weights called 'fcn'; there are none yet\.$"):
        load_weights("fcn", tmp_path / "empty")


def test_a_missing_file_is_told(folder):
    (folder / "small.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"^The weights 'small' are missing: there is no file .*small\.safetensors; install"):
        load_weights("small", folder)


@pytest.mark.parametrize("change", [lambda old: old[:-1], lambda old: old[:-1] + bytes([old[-1] ^ 1]), lambda old: b""])
def test_another_file_is_not_loaded(folder, change, monkeypatch):
    path = folder / "small.safetensors"
    path.write_bytes(change(path.read_bytes()))
    monkeypatch.setattr("course.weights.tensors_from_bytes", lambda content: pytest.fail("it was read before it was verified"))
    with pytest.raises(
        ValueError, match=r"small\.safetensors is not the file that manifest\.toml describes \(\d+ bytes with sha256 .*…, expected"
    ):
        load_weights("small", folder)


@pytest.mark.parametrize("content", [b"", b"not tensors at all", tensors_as_bytes({"a": torch.ones(9)})[:-1]])
def test_what_is_not_a_whole_file_is_told(content):
    with pytest.raises(ValueError, match="^This is not a whole safetensors file"):
        tensors_from_bytes(content)


def test_a_score_that_is_no_number_is_not_kept_and_nothing_is_written(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ValueError, match=r"The score of small\.safetensors is nan"):
        save_weights("small", {"weight": torch.zeros(1)}, folder, FACTS | {"score": float("nan")})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[small", "cannot be read: "),
        ("small = 1", "the entry 'small' needs exactly file, sha256, bytes, "),
        ('[small]\nfile = "a"', "the entry 'small' needs exactly file, sha256, bytes, "),
        (("score = 0.8125", 'score = "good"'), "score of the entry 'small' is 'good'; expected is a value of type float"),
        (("seed = 0", "seed = true"), "seed of the entry 'small' is True; expected is a value of type int"),
        (('file = "small', 'file = "../small'), "expected is a file name without a folder"),
    ],
)
def test_a_manifest_that_was_edited_by_hand_is_told(folder, text, said):
    path = folder / MANIFEST
    old = path.read_text()
    path.write_text(old.replace(*text) if isinstance(text, tuple) else text)
    with pytest.raises(ValueError) as caught:
        load_weights("small", folder)
    assert str(caught.value).startswith(str(path)) and said in str(caught.value)
