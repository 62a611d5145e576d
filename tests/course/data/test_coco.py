"""COCO's format: against pycocotools on a hundred real pictures, and every way in which such a file can be wrong."""

import contextlib
import copy
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from course.data.coco import Coco, coco2017
from course.data.folder import MissingData
from tests.course.data import tiny
from tests.course.data.refusing import refused

SQUARE = [[2, 2, 8, 2, 8, 8, 2, 8]]
CROWD = {"size": [20, 30], "counts": [0, 20, 580]}  # the first column
CONTENT = {
    "images": [
        {"id": 70, "file_name": "b.jpg", "width": 30, "height": 20},
        {"id": 5, "file_name": "a.jpg", "width": 24, "height": 16},
        {"id": 6, "file_name": "deep/c.png", "width": 10, "height": 10},
    ],
    "annotations": [
        {"id": 1, "image_id": 70, "category_id": 90, "bbox": [2, 2, 6, 6], "area": 35.5, "iscrowd": 0, "segmentation": SQUARE},
        {"id": 2, "image_id": 70, "category_id": 3, "bbox": [0, 0, 1, 20], "area": 20, "iscrowd": 1, "segmentation": CROWD},
        {"id": 3, "image_id": 5, "category_id": 90, "bbox": [2.25, 2, 21.5, 14.25], "segmentation": SQUARE},
    ],
    "categories": [{"id": 90, "name": "toothbrush"}, {"id": 3, "name": "car"}, {"id": 7, "name": "train"}],
}


def write(root: Path, change=None) -> Path:
    """The content above with its pictures, after `change` had its way with it."""
    content = copy.deepcopy(CONTENT)
    for picture in content["images"]:
        tiny.write_picture(root / "images" / picture["file_name"], picture["height"], picture["width"])
    if change:
        change(content)
    (root / "instances.json").write_text(json.dumps(content))
    return root


@pytest.fixture(scope="module")
def peer():
    from pycocotools.coco import COCO

    def read(path: Path) -> COCO:
        with contextlib.redirect_stdout(io.StringIO()):
            return COCO(path)

    return read


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_real_pictures_against_pycocotools(real, peer):
    folder = real("coco_mini")
    data, theirs = Coco(folder), peer(folder / "instances.json")
    assert len(data) == 100 and len(data.classes) == 81 and set(data.image_ids) == set(theirs.getImgIds()) and data.empty == ()
    assert [theirs.loadCats(category)[0]["name"] for category in data.category_ids[1:]] == list(data.classes[1:])
    for index in range(0, 100, 4):
        image, target = data[index]
        rows = theirs.loadAnns(theirs.getAnnIds(imgIds=target["image_id"]))
        entry = theirs.loadImgs(target["image_id"])[0]
        assert image.shape == (3, entry["height"], entry["width"]) and data.names[index] == entry["file_name"]
        assert [data.category_ids[label] for label in target["labels"]] == [row["category_id"] for row in rows]
        boxes = torch.tensor([row["bbox"] for row in rows]).reshape(-1, 4)
        torch.testing.assert_close(torch.cat([target["boxes"][:, :2], target["boxes"][:, 2:] - target["boxes"][:, :2]], 1), boxes)
        assert target["area"].tolist() == pytest.approx([row["area"] for row in rows]) and target["iscrowd"].sum() == 0
        masks = [torch.from_numpy(theirs.annToMask(row)).bool() for row in rows]
        assert len(masks) == len(target["masks"]) and all(map(torch.equal, target["masks"], masks))
        pixels = np.asarray(Image.open(folder / "images" / data.names[index]).convert("RGB"))  # some are grey in the file
        torch.testing.assert_close(image, torch.from_numpy(pixels.copy()).permute(2, 0, 1) / 255)


def test_the_real_set_by_its_name(real, monkeypatch):
    monkeypatch.setenv("SEGCOURSE_DATA", str(real("coco_mini").parent))
    assert len(Coco("coco_mini", target="boxes")) == 100
    people = Coco("coco_mini", target="boxes", classes=["dog", "person"], drop_empty=True)
    assert people.classes == ("background", "dog", "person") and people.category_ids == (0, 18, 1) and 0 < len(people) < 100
    assert all(len(people[i][1]["labels"]) and set(people[i][1]["labels"].tolist()) <= {1, 2} for i in range(0, len(people), 10))
    assert len(Coco("coco_mini", target="boxes", classes=["dog", "person"])) == 100


def test_a_file_by_hand(tmp_path):
    data = Coco(write(tmp_path))
    assert data.names == ("b.jpg", "a.jpg", "deep/c.png") and data.image_ids == (70, 5, 6)
    assert data.classes == ("background", "car", "train", "toothbrush") and data.category_ids == (0, 3, 7, 90)
    image, target = data[0]
    assert image.shape == (3, 20, 30) and target["boxes"].tolist() == [[2, 2, 8, 8], [0, 0, 1, 20]] and target["image_id"] == 70
    assert (target["labels"].tolist(), target["iscrowd"].tolist(), target["area"].tolist()) == ([3, 1], [0, 1], [35.5, 20])
    assert target["masks"].dtype == torch.bool and target["masks"].sum((1, 2)).tolist() == [36, 20] and target["masks"][1, :, 0].all()
    assert data[1][1]["boxes"].tolist() == [[2.25, 2, 23.75, 16]]  # a quarter of a pixel outside: cut off
    assert data[1][1]["area"].tolist() == [21.5 * 14.25] and data[1][1]["iscrowd"].tolist() == [0]  # what the file leaves out
    empty = data[2][1]
    assert (empty["boxes"].shape, empty["masks"].shape, empty["labels"].dtype) == ((0, 4), (0, 10, 10), torch.int64)
    assert "masks" not in Coco(tmp_path, target="boxes")[0][1]


def test_small_objects_lie_over_large_ones(tmp_path):
    def nested(content):
        content["annotations"][0] |= {"bbox": [0, 4, 30, 12], "area": 360, "segmentation": [[0, 4, 30, 4, 30, 16, 0, 16]]}

    image, labels = Coco(write(tmp_path, nested), target="semantic")[0]
    assert labels.shape == (20, 30) and labels[10].tolist() == [1] + [3] * 29 and labels[0].tolist() == [1] + [0] * 29


def test_size_moves_everything_together(tmp_path):
    write(tmp_path)
    image, target = Coco(tmp_path, size=(10, 60))[0]
    assert image.shape == (3, 10, 60) and target["masks"].shape == (2, 10, 60) and target["masks"].sum((1, 2)).tolist() == [36, 20]
    assert target["boxes"].tolist() == [[4, 1, 16, 4], [0, 0, 2, 10]] and target["area"].tolist() == [35.5, 20]
    image, labels = Coco(tmp_path, target="semantic", size=12)[2]
    assert image.shape == (3, 12, 12) and labels.shape == (12, 12)


def test_classes_keep_the_order_they_are_named_in(tmp_path):
    data = Coco(write(tmp_path), classes=["toothbrush", "car"])
    assert data.category_ids == (0, 90, 3) and data[0][1]["labels"].tolist() == [1, 2]
    only = Coco(tmp_path, classes=["car"], drop_empty=True)
    assert only.names == ("b.jpg",) and only[0][1]["labels"].tolist() == [1] and only[0][1]["masks"].shape == (1, 20, 30)
    refused(
        "instances.json has no category 'cat'; accepted are car, train, toothbrush", lambda: Coco(tmp_path, classes=["cat"]), ValueError
    )
    for wrong in ("car", ["car", "car"]):
        refused("classes is a list of different names", lambda wrong=wrong: Coco(tmp_path, classes=wrong), ValueError)


def test_a_category_with_the_id_0(tmp_path):
    def zero(content):
        content["categories"].append({"id": 0, "name": "zebra"})
        content["annotations"][0]["category_id"] = 0

    data = Coco(write(tmp_path, zero))
    assert data.classes[1] == "zebra" and data[0][1]["labels"].tolist() == [1, 2]


def test_boxes_without_area_are_left_out_and_listed(tmp_path):
    def flat(content):
        content["annotations"][0]["bbox"] = [2, 2, 6, 0]

    data = Coco(write(tmp_path, flat))
    assert data.empty == (1,) and data[0][1]["labels"].tolist() == [1]


def annotation(index: int = 0, **changes):
    return lambda content: content["annotations"][index].update(changes)


@pytest.mark.parametrize(
    "change, match, lost",
    [
        (annotation(bbox=[9, 2, -3, 6]), "annotation 1 of b.jpg has an inverted box, -3 wide and 6 high", "b.jpg"),
        (annotation(bbox=[2, 2, 6, 30]), r"has a box from \(2, 2\) to \(8, 32\), outside its 30 × 20 pixels", "b.jpg"),
        (annotation(bbox=[-2, 2, 6, 6]), "outside its 30 × 20", "b.jpg"),
        (annotation(bbox=[30.2, 2, 0.5, 6]), "outside its 30 × 20", "b.jpg"),
        (annotation(bbox=[2, -0.8, 6, 0.5]), "outside its 30 × 20", "b.jpg"),
        (annotation(bbox=[2, 2, 6]), r"has the box \[2, 2, 6\], where four numbers", "b.jpg"),
        (annotation(bbox=[2, 2, 6, math.nan]), "where four numbers", "b.jpg"),
        (annotation(bbox=None), "has the box None", "b.jpg"),
        (annotation(area=-1), "has the area -1", "b.jpg"),
        (annotation(iscrowd=2), "has iscrowd 2, which is 0 or 1", "b.jpg"),
        (annotation(category_id=4), "has the category 4, which is not in the list", "b.jpg"),
        (annotation(category_id=[4]), r"has the category \[4\]", "b.jpg"),
        (annotation(index=2, id=1), "two annotations have the id 1", "a.jpg"),
        (annotation(image_id=71), "annotation 1 belongs to picture 71, which is not in the list", "annotation 1"),
        (annotation(image_id=None), "belongs to picture None", "annotation 1"),
        (annotation(id="one"), "annotation number 1 has no whole number for its id", "annotation number 1"),
        (lambda c: c["annotations"].append("text"), "annotation number 4 has no whole number", "annotation number 4"),
        (lambda c: c["images"].append(dict(c["images"][1], id=8)), "lists the picture a.jpg twice", "a.jpg"),
        (lambda c: c["images"][0].pop("width"), "picture number 1 lacks file_name, id, width or height", "picture number 1"),
        (lambda c: c["images"][2].update(file_name="../instances.json"), "leads out of the folder", "../instances.json"),
        (lambda c: c["images"][2].update(file_name="/etc/passwd"), "leads out of the folder", "/etc/passwd"),
    ],
)
def test_entries_that_are_broken(tmp_path, change, match, lost):
    path = write(tmp_path, change) / "instances.json"
    sentence = refused(match, lambda: Coco(tmp_path))
    assert str(path) in sentence
    skipped = Coco(tmp_path, skip_broken=True)
    assert lost in skipped.broken and lost not in skipped.names and len(skipped) >= 2
    assert all(skipped[i] is not None for i in range(len(skipped)))


def test_two_pictures_with_one_id_are_both_left_out(tmp_path):
    write(tmp_path, lambda content: content["images"][1].update(id=70))
    refused(r"gives the id 70 to two pictures, b.jpg and a.jpg; 2 more are broken \(skip_broken=True", lambda: Coco(tmp_path))
    assert Coco(tmp_path, skip_broken=True).names == ("deep/c.png",)


@pytest.mark.parametrize(
    "spoil, match",
    [
        (lambda root: (root / "images/b.jpg").unlink(), "The picture .*images/b.jpg is missing"),
        (lambda root: (root / "images/b.jpg").write_bytes((root / "images/b.jpg").read_bytes()[:-40]), "b.jpg cannot be used: the picture"),
        (lambda root: tiny.write_picture(root / "images/b.jpg", 30, 20), "b.jpg has 20 × 30 pixels, and its annotations are for 30 × 20"),
        (lambda root: write(root, annotation(segmentation=[[1, 2]])), "Annotation 1 of .*b.jpg: a polygon is a list of at least three"),
        (lambda root: write(root, annotation(segmentation=None)), "Annotation 1 of .*b.jpg: a segmentation is a list of polygons"),
        (lambda root: write(root, annotation(1, segmentation={"size": [20, 30], "counts": "1O"})), "Annotation 2 of .*b.jpg: the packed"),
        (lambda root: write(root, annotation(1, segmentation={"size": [30, 20], "counts": [600]})), r"for size \[30, 20\] do not fit"),
    ],
)
def test_items_that_are_broken(tmp_path, spoil, match):
    spoil(write(tmp_path))
    data = Coco(tmp_path)
    refused(match, lambda: data[0])
    assert data[1] is not None
    skipped = Coco(tmp_path, skip_broken=True)
    assert skipped.names == ("a.jpg", "deep/c.png") and list(skipped.broken) == ["b.jpg"] and skipped.image_ids == (5, 6)


@pytest.mark.parametrize(
    "text, match",
    [
        ('{"images": [', "instances.json is no well-formed JSON"),
        ("", "is no well-formed JSON"),
        ("[" * 100_000, "is no well-formed JSON"),
        ("[1, 2]", "is not in COCO's format: it has no lists 'images', 'annotations', 'categories'"),
        ('{"images": [], "annotations": {}, "categories": []}', "is not in COCO's format"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1}]}', "has a category without id and name"),
        (
            '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}',
            "to two categories, 'a' and 'b'",
        ),
        ('{"images": [], "annotations": [], "categories": []}', "Coco has no item that can be read"),
    ],
)
def test_files_that_are_not_cocos(tmp_path, text, match):
    (write(tmp_path) / "instances.json").write_text(text)
    refused(match, lambda: Coco(tmp_path))


def test_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGCOURSE_DATA", str(tmp_path))
    sentence = refused("The data set photos is missing: there is no instances.json and images", lambda: Coco("photos"), MissingData)
    assert f"{Path('photos').absolute()} or {tmp_path}/photos (SEGCOURSE_DATA)" in sentence
    refused("there is no x.json and images in", lambda: Coco(tmp_path, annotations="x.json"), MissingData)
    match = r"COCO 2017 is missing: there is no annotations/instances_val2017.json and val2017 .*fetches it \(1.1 GB\)"
    refused(match, lambda: coco2017(), MissingData)
    refused("split is one of 'train', 'val'", lambda: coco2017("test"), ValueError)
    refused("target is one of 'instances', 'boxes', 'semantic'", lambda: Coco(tmp_path, target="masks"), ValueError)


def test_coco_2017_in_its_own_folders(tmp_path):
    write(tmp_path / "coco")
    (tmp_path / "coco" / "images").rename(tmp_path / "coco" / "val2017")
    (tmp_path / "coco" / "annotations").mkdir()
    (tmp_path / "coco" / "instances.json").rename(tmp_path / "coco" / "annotations" / "instances_val2017.json")
    data = coco2017(root=tmp_path, target="boxes", classes=["car"])
    assert len(data) == 3 and data[0][1]["labels"].tolist() == [1]
