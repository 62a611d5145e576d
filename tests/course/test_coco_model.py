"""torchvision's models get their weights from a file that is checked, fetched only when asked, and loaded as torchvision loads it."""

import functools
import hashlib
import http.server
import io
import threading

import pytest
import torch
from torch import nn
from torchvision.models import Weights, WeightsEnum
from torchvision.models.detection import (
    SSD300_VGG16_Weights,
    SSDLite320_MobileNet_V3_Large_Weights,
    ssdlite320_mobilenet_v3_large,
)

from course.coco_model import coco_model, weights_file


def linear(*, weights=None, bias: bool = True) -> nn.Module:
    """A model built as torchvision builds its own."""
    model = nn.Linear(2, 3, bias=bias)
    if weights is not None:
        model.load_state_dict(weights.get_state_dict(progress=False, check_hash=True))
    return model


def saved(tensors) -> bytes:
    file = io.BytesIO()
    torch.save(tensors, file)
    return file.getvalue()


TENSORS = {"weight": torch.arange(6.0).reshape(3, 2), "bias": torch.ones(3)}
CONTENT = saved(TENSORS)


def named(content: bytes) -> str:
    return f"linear_coco-{hashlib.sha256(content).hexdigest()[:8]}.pth"


@pytest.fixture
def site(tmp_path):
    """A folder that is served, with the address of a file in it."""
    (tmp_path / "site").mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=tmp_path / "site"))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

    def serve(name: str, content: bytes | None) -> str:
        if content is not None:
            (tmp_path / "site" / name).write_bytes(content)
        return f"http://127.0.0.1:{server.server_address[1]}/{name}"

    yield serve
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch):
    """The folder that torch.hub keeps its files in."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints"


def weights_at(url: str) -> WeightsEnum:
    return WeightsEnum("LinearWeights", {"COCO_V1": Weights(url=url, transforms=nn.Identity, meta={"_file_size": 12.6})}).COCO_V1


def test_what_is_missing_is_one_sentence_and_nothing_is_fetched(site, hub, capsys):
    assert coco_model(linear, weights_at(site(named(CONTENT), CONTENT))) is None
    said = capsys.readouterr().out
    assert said == f"The COCO weights are not here ({named(CONTENT)}, 13 MB): fetch=True gets them from the internet.\n"
    assert not hub.exists()


def test_they_are_fetched_when_asked_and_then_there(site, hub, capsys):
    weights = weights_at(site(named(CONTENT), CONTENT))
    model = coco_model(linear, weights, fetch=True)
    assert torch.equal(model.weight, TENSORS["weight"]) and torch.equal(model.bias, TENSORS["bias"])
    assert not model.training
    assert [file.name for file in hub.iterdir()] == [named(CONTENT)]  # nothing is left of the way there
    assert weights_file(weights) == hub / named(CONTENT)
    site(named(CONTENT), b"gone")  # what is on the disk is not asked for again
    assert torch.equal(coco_model(linear, weights).weight, TENSORS["weight"])
    assert capsys.readouterr().out == ""


def test_what_came_is_compared_with_the_checksum_in_its_name(site, hub, capsys):
    assert coco_model(linear, weights_at(site(named(b"other"), CONTENT)), fetch=True) is None
    assert "is not the right file: its sha256 is" in capsys.readouterr().out
    assert list(hub.iterdir()) == []


@pytest.mark.parametrize("fetch", [False, True])
def test_a_damaged_file_is_told_and_left(site, hub, capsys, fetch):
    hub.mkdir(parents=True)
    (hub / named(CONTENT)).write_bytes(CONTENT[:-1])
    assert coco_model(linear, weights_at(site(named(CONTENT), CONTENT)), fetch=fetch) is None
    said = capsys.readouterr().out
    assert "is there already but is not the file from" in said and said.count("\n") == 1
    assert (hub / named(CONTENT)).read_bytes() == CONTENT[:-1]


def test_without_internet(site, capsys):
    assert coco_model(linear, weights_at(site(named(CONTENT), None)), fetch=True) is None
    assert "cannot be fetched: the server answers 404" in capsys.readouterr().out
    assert coco_model(linear, weights_at(f"http://127.0.0.1:9/{named(CONTENT)}"), fetch=True) is None
    assert "cannot be reached" in capsys.readouterr().out


def test_a_file_that_would_run_code_is_not_opened(site, hub):
    class Runs:
        def __reduce__(self):
            return (hub.parent.joinpath("ran").write_text, ("",))

    content = saved({"weight": Runs()})
    with pytest.raises(Exception, match="Weights only load failed"):
        coco_model(linear, weights_at(site(named(content), content)), fetch=True)
    assert not hub.parent.joinpath("ran").exists()


def test_a_detector_of_torchvision_is_the_one_that_was_saved(site, monkeypatch):
    torch.manual_seed(0)
    theirs = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, score_thresh=0.1).eval()
    content = saved(theirs.state_dict())
    weights = SSDLite320_MobileNet_V3_Large_Weights.COCO_V1
    monkeypatch.setattr(weights.value, "url", site(named(content), content))
    model = coco_model(ssdlite320_mobilenet_v3_large, weights, fetch=True, score_thresh=0.1)
    assert model.score_thresh == 0.1
    image = torch.rand(3, 64, 64)
    with torch.no_grad():
        (got,), (expected,) = model([image]), theirs([image])
    torch.testing.assert_close(got, expected)


def test_weights_that_cannot_be(site):
    with pytest.raises(TypeError, match="weights are a member of one of torchvision's enums, .* got 'COCO_V1'"):
        coco_model(linear, "COCO_V1")
    with pytest.raises(ValueError, match="ends in its checksum, .* got linear_coco.pth"):
        coco_model(linear, weights_at(site("linear_coco.pth", CONTENT)), fetch=True)


def test_the_checksums_of_torchvisions_names_are_found():
    assert weights_file(SSD300_VGG16_Weights.COCO_V1).name == "ssd300_vgg16_coco-b556d3b4.pth"
