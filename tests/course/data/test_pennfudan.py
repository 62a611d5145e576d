"""Penn-Fudan in its real folders, by hand and against the masks in the files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from course.data.folder import MissingData
from course.data.items import BrokenItem
from course.data.pennfudan import PennFudan
from tests.course.data import tiny


@pytest.fixture
def root(tmp_path) -> Path:
    tiny.penn_fudan(tmp_path, count=11)
    return tmp_path


def refused(match: str, function, error=BrokenItem) -> None:
    with pytest.raises(error, match=match) as caught:
        function()
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence


def test_pedestrians_by_hand(root):
    data = PennFudan("all", root=root)
    image, target = data[1]
    assert image.shape == (3, 22, 26) and target["boxes"].tolist() == [[3, 2, 7, 8], [11, 6, 18, 14]]
    assert target["labels"].tolist() == [1, 1] and target["area"].tolist() == [24, 56] and target["image_id"] == 1
    assert [len(data[i][1]["boxes"]) for i in range(4)] == [1, 2, 0, 1]
    assert data[2][1]["masks"].shape == (0, 23, 26)


def test_masks_are_those_in_the_files(root):
    data, semantic = PennFudan("all", root=root), PennFudan("all", target="semantic", root=root)
    for i, name in enumerate(data.names):
        numbers = torch.from_numpy(np.array(Image.open(data.folder / "PedMasks" / f"{name}_mask.png")).astype(np.int64))
        assert torch.equal((data[i][1]["masks"] * torch.arange(1, len(data[i][1]["masks"]) + 1)[:, None, None]).sum(0), numbers)
        assert torch.equal(semantic[i][1], (numbers > 0).long()) and torch.equal(semantic[i][1], data[i][1]["semantic"])


def test_the_split_is_every_fifth_and_does_not_move(root):
    train, val, everything = (PennFudan(split, root=root).names for split in ("train", "val", "all"))
    assert val == ("FudanPed00005", "FudanPed00010") and sorted(train + val) == list(everything) and len(train) == 9
    (root / "PennFudanPed/PNGImages/FudanPed00002.png").unlink()
    data = PennFudan("val", root=root)
    assert data.names == val
    refused("FudanPed00002.png is missing, and its masks are there", lambda: PennFudan("train", root=root))
    assert len(PennFudan("train", root=root, skip_broken=True)) == 8


def test_size_moves_everything_together(root):
    image, target = PennFudan("all", root=root, size=(44, 13))[1]
    assert image.shape == (3, 44, 13) and target["masks"].shape == (2, 44, 13) and target["semantic"].shape == (44, 13)
    assert target["boxes"].tolist() == [[1.5, 4, 3.5, 16], [5.5, 12, 9, 28]] and target["area"].tolist() == [24, 56]
    assert PennFudan("all", root=root, size=8, target="semantic")[0][1].shape == (8, 8)


@pytest.mark.parametrize(
    "spoil, match",
    [
        (lambda f: (f / "PNGImages/FudanPed00001.png").write_bytes(b""), "FudanPed00001.png cannot be used: the picture's file is empty"),
        (lambda f: (f / "PedMasks/FudanPed00001_mask.png").unlink(), "FudanPed00001_mask.png is missing"),
        (lambda f: (f / "PedMasks/FudanPed00001_mask.png").write_bytes(b"PNG"), "FudanPed00001_mask.png is damaged or cut off"),
        (lambda f: tiny.write_labels(f / "PedMasks/FudanPed00001_mask.png", np.ones((3, 4))), "has 4 × 3 pixels, and its picture 26 × 21"),
    ],
)
def test_files_that_are_broken(root, spoil, match):
    spoil(root / "PennFudanPed")
    data = PennFudan(root=root)
    refused(match, lambda: data[0])
    assert data[1] is not None
    skipped = PennFudan(root=root, skip_broken=True)
    assert list(skipped.broken) == ["FudanPed00001"] and len(skipped) == 8


def test_what_is_missing(tmp_path):
    refused(r"Penn-Fudan is missing: .*PNGImages and PedMasks.*fetches it \(53.7 MB\)", lambda: PennFudan(root=tmp_path), MissingData)
