"""BCCD, the real one where SEGCOURSE_DATA has it, and four pictures of our own."""

from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from course.data.bccd import BCCD, CLASSES
from course.data.folder import MissingData
from course.data.shapes import collate
from course.data.voc import VOC
from tests.course.data import tiny
from tests.course.data.refusing import refused

FIRST = "Annotations/BloodImage_00000.xml"


@pytest.fixture
def root(tmp_path) -> Path:
    tiny.bccd(tmp_path)
    return tmp_path


@pytest.mark.parametrize("split, count", [("train", 205), ("val", 87), ("trainval", 292)])
def test_the_real_cells_are_those_of_the_xml(real, split, count, monkeypatch):
    """All of a split, read once more here, without the course: names, places, and how many of each class. Decoding the pictures is left
    out, which takes long and changes no box: all of them have one size.
    """
    monkeypatch.setattr("course.data.bccd.read_image", lambda path: torch.zeros(3, 480, 640))
    folder = real("bccd") / "BCCD"
    data = BCCD(split)
    assert data.folder == folder and list(data.names) == (folder / "ImageSets/Main" / f"{split}.txt").read_text().split()
    found, expected, clicks = Counter(), Counter(), []
    for number, name in enumerate(data.names):
        rows = []
        for entry in ElementTree.parse(folder / "Annotations" / f"{name}.xml").getroot().findall("object"):
            xmin, ymin, xmax, ymax = (int(entry.find("bndbox").find(corner).text) for corner in ("xmin", "ymin", "xmax", "ymax"))
            assert 1 <= xmin <= xmax <= 640 and 1 <= ymin <= ymax <= 480
            if xmin == xmax or ymin == ymax:
                clicks.append(name)
                continue
            rows.append((xmin - 1, ymin - 1, xmax, ymax, entry.find("name").text))
        target = data[number][1]
        assert [(*box, CLASSES[label]) for box, label in zip(target["boxes"].tolist(), target["labels"], strict=True)] == rows
        expected.update(row[4] for row in rows)
        found.update(CLASSES[label] for label in target["labels"])
    assert len(data) == count and found == expected
    assert clicks == {"train": ["BloodImage_00343"], "val": ["BloodImage_00338"]}.get(split, ["BloodImage_00338", "BloodImage_00343"])


def test_a_real_item_is_what_a_detector_takes(real):
    real("bccd")
    image, target = BCCD("val")[0]
    assert image.shape == (3, 480, 640) and image.dtype == torch.float32 and 0 <= image.min() < image.max() <= 1
    types = {"boxes": torch.float32, "labels": torch.int64, "area": torch.float32, "iscrowd": torch.int64}
    assert {name: value.dtype for name, value in target.items() if name != "image_id"} == types and target["image_id"] == 0
    # The first of BloodImage_00000, as its file has it: a white cell, x 260 to 491 and y 177 to 376, both ends belonging to it.
    assert target["boxes"][0].tolist() == [259, 176, 491, 376] and CLASSES[target["labels"][0]] == "WBC"
    assert target["area"][0] == 232 * 200 and len(target["labels"]) == 20 and not target["iscrowd"].any()


def test_a_white_cell_is_dark_and_violet(real):
    """Boxes and pictures belong together: the stained nucleus makes a white cell less green than the whole picture."""
    real("bccd")
    data = BCCD("val")
    for number in range(0, 40, 8):
        image, target = data[number]
        x1, y1, x2, y2 = target["boxes"][target["labels"] == CLASSES.index("WBC")][0].int().tolist()
        row, column = (y1 + y2) // 2, (x1 + x2) // 2
        assert image[1, row - 25 : row + 25, column - 25 : column + 25].mean() < image[1].mean() - 0.05


def test_cells_by_hand(root):
    image, target = BCCD(root=root)[0]
    assert image.shape == (3, 20, 30)
    assert target["boxes"].tolist() == [[2, 1, 8, 9], [10, 5, 30, 15], [0, 0, 4, 3]] and target["labels"].tolist() == [1, 2, 3]
    assert target["area"].tolist() == [48, 200, 12] and target["iscrowd"].tolist() == [0, 0, 0] and target["image_id"] == 0
    for split, names in (("train", [0, 1]), ("val", [2]), ("trainval", [0, 1, 2]), ("test", [3])):
        data = BCCD(split, root=root)
        assert data.names == tuple(f"BloodImage_0000{name}" for name in names)
        assert [target["image_id"] for _, target in data] == list(range(len(names)))


def test_but_for_clicks_it_is_voc_read_with_its_classes(root):
    ours, theirs = BCCD("val", root=root), VOC("val", target="boxes", root=root / "bccd/BCCD", classes=CLASSES)
    target = theirs[0][1]
    assert not target.pop("difficult").any()
    torch.testing.assert_close(ours[0], (theirs[0][0], target))


def test_a_picture_without_cells(root):
    target = BCCD("test", root=root)[0][1]
    assert target["boxes"].shape == (0, 4) and target["labels"].shape == target["area"].shape == target["iscrowd"].shape == (0,)


def test_size_moves_everything_together(root):
    image, target = BCCD(root=root, size=(10, 60))[0]
    assert image.shape == (3, 10, 60)
    assert target["boxes"].tolist() == [[4, 0.5, 16, 4.5], [20, 2.5, 60, 7.5], [0, 0, 8, 1.5]] and target["area"].tolist() == [48, 200, 12]
    # A cell that has become smaller than a pixel is a cell still: a click is told by the size in the file.
    assert len(BCCD(root=root, size=4)[0][1]["boxes"]) == 3


def test_items_are_collated_as_lists(root):
    data = BCCD("trainval", root=root)
    images, targets = collate([data[i] for i in range(3)])
    assert [tuple(image.shape) for image in images] == [(3, 20, 30), (3, 22, 30), (3, 24, 30)]
    assert [len(target["labels"]) for target in targets] == [3, 1, 1]


@pytest.mark.parametrize(
    "spoil, match",
    [
        (lambda f: (f / FIRST).unlink(), "The annotation .*BloodImage_00000.xml is missing"),
        (lambda f: (f / FIRST).write_text("<annotation><object>"), "BloodImage_00000.xml is no well-formed XML"),
        (lambda f: (f / "JPEGImages/BloodImage_00000.jpg").unlink(), "The picture .*BloodImage_00000.jpg is missing"),
        (lambda f: (f / "JPEGImages/BloodImage_00000.jpg").write_bytes(b"\xff\xd8\xff"), "BloodImage_00000.jpg cannot be used"),
        (lambda f: tiny.write_xml(f / FIRST, 30, 20, []), "about a picture of 20 × 30 pixels; this one has 30 × 20"),
        (lambda f: tiny.write_xml(f / FIRST, 20, 30, [("RBC", 9, 2, 7, 9)]), "object 1, x 9 to 7 and y 2 to 9, is inverted or empty"),
        (lambda f: tiny.write_xml(f / FIRST, 20, 30, [("RBC", 9, 2, 32, 9)]), "object 1, .* lies outside the picture of 30 × 20"),
        (lambda f: tiny.write_xml(f / FIRST, 20, 30, [("cell", 9, 2, 12, 9)]), "called 'cell'; accepted are RBC, WBC, Platelets"),
    ],
)
def test_files_that_are_broken(root, spoil, match):
    spoil(root / "bccd" / "BCCD")
    data = BCCD(root=root)
    refused(match, lambda: data[0])
    assert data[1] is not None
    skipped = BCCD(root=root, skip_broken=True)
    assert skipped.names == ("BloodImage_00001",) and list(skipped.broken) == ["BloodImage_00000"]


def test_it_says_where_it_comes_from(root, tmp_path, monkeypatch):
    nowhere = tmp_path / "nowhere"
    missing = "BCCD is missing: there is no ImageSets/Main/train.txt, Annotations and JPEGImages in .*bccd/BCCD, "
    refused(f"{missing}.*get it yourself, about 9 MB: .*Shenggan/BCCD_Dataset", lambda: BCCD(root=nowhere), MissingData)
    monkeypatch.setenv("SEGCOURSE_DATA", str(nowhere))
    refused(rf"{missing}.* \(SEGCOURSE_DATA\); ", BCCD, MissingData)
    refused("BCCD cannot be downloaded from here: ", lambda: BCCD(root=nowhere, download=True), MissingData)
    refused("split is one of 'train', 'val', 'trainval', 'test', not 'all'", lambda: BCCD("all", root=root), ValueError)
    monkeypatch.setenv("SEGCOURSE_DATA", str(root))
    assert len(BCCD()) == len(BCCD(root=root / "bccd/BCCD")) == len(BCCD(root=root, download=True)) == 2


def test_a_split_that_a_copy_leaves_out(root):
    (root / "bccd/BCCD/ImageSets/Main/test.txt").unlink()
    refused("BCCD is missing: there is no ImageSets/Main/test.txt", lambda: BCCD("test", root=root), MissingData)
    assert len(BCCD("val", root=root)) == 1
