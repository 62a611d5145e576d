"""A second call reads what the first wrote, and only then; a damaged file is made anew."""

import os

import pytest
import torch
from torch import nn

from course.errors import CourseError
from course.models.cached_features import CachedFeatures
from course.models.rcnn import WarpedFeatures


class Counted(nn.Module):
    """A network that counts how often it runs."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.runs = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), 0
        self.eval()

    def forward(self, patches):
        self.runs += 1
        return self.conv(patches).mean((2, 3))


@pytest.fixture
def network():
    return Counted()


@pytest.fixture
def cached(network, tmp_path):
    return CachedFeatures(WarpedFeatures(network=network, size=12, padding=2), folder=tmp_path / "new" / "features")


IMAGE = torch.rand(3, 20, 24, generator=torch.Generator().manual_seed(0))
BOXES = torch.tensor([[2.0, 3, 12, 15], [0, 0, 24, 20]])


def test_the_second_time_the_file_is_read(cached, network):
    assert cached.size() == 0
    first = cached(IMAGE, BOXES)
    torch.testing.assert_close(first, cached.features(IMAGE, BOXES), rtol=0, atol=0)
    runs = network.runs
    second = cached(IMAGE.clone(), BOXES.clone())
    assert network.runs == runs and torch.equal(first, second)
    (file,) = cached.folder.iterdir()  # no temporary file is left beside it
    assert file == cached.path(IMAGE, BOXES) and file.suffix == ".safetensors"
    assert cached.size() == file.stat().st_size > 4 * first.numel()


def test_another_picture_other_boxes_or_another_network_are_another_file(cached, network):
    paths = [cached.path(IMAGE, BOXES), cached.path(IMAGE.flip(2), BOXES), cached.path(IMAGE, BOXES + 1), cached.path(IMAGE, BOXES[:1])]
    paths.append(cached.path(IMAGE.reshape(3, 24, 20), BOXES))
    paths.append(CachedFeatures(WarpedFeatures(network=network, size=13, padding=2), folder=cached.folder).path(IMAGE, BOXES))
    with torch.no_grad():
        network.conv[0].weight[0, 0, 0, 0] += 1e-6
    paths.append(cached.path(IMAGE, BOXES))
    cached.train()
    paths.append(cached.path(IMAGE, BOXES))
    assert len(set(paths)) == len(paths)


def cut(content):
    return content[: len(content) // 2]


def flipped(content):
    return content[:-1] + bytes([content[-1] ^ 1])


def flipped_feature(content):
    middle = content.index(b"}}") + 2  # where the header ends
    return b"".join((content[: middle + 40], bytes([content[middle + 40] ^ 1]), content[middle + 41 :]))


@pytest.mark.parametrize("damage", [cut, flipped, flipped_feature, lambda content: b"", lambda content: b"something else"])
def test_a_damaged_file_is_made_anew(damage, cached, network):
    right = cached(IMAGE, BOXES)
    path = cached.path(IMAGE, BOXES)
    whole = path.read_bytes()
    assert damage(whole) != whole
    path.write_bytes(damage(whole))
    runs = network.runs
    assert torch.equal(cached(IMAGE, BOXES), right) and network.runs > runs
    assert path.read_bytes() == whole


def test_no_boxes_are_kept_too(cached, network):
    assert cached(IMAGE, BOXES[:0]).shape == (0, 4)
    runs = network.runs
    assert cached(IMAGE, BOXES[:0]).shape == (0, 4) and network.runs == runs


def test_a_folder_that_cannot_be_gets_a_sentence(network, tmp_path):
    (tmp_path / "file").write_text("in the way")
    cached = CachedFeatures(WarpedFeatures(network=network, size=12, padding=2), folder=tmp_path / "file")
    with pytest.raises(CourseError, match=f"cannot be kept in .*file.*{os.strerror(17)}"):
        cached(IMAGE, BOXES)
