"""VOC in its real folders: against torchvision on the same files, by hand, and on the real cells of BCCD, which come as VOC's XML."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import VOCDetection, VOCSegmentation

from course.data.folder import MissingData
from course.data.voc import CLASSES, VOC
from course.data.voc_xml import read_boxes
from tests.course.data import tiny
from tests.course.data.refusing import refused

CELLS = ("background", "RBC", "WBC", "Platelets")


@pytest.fixture
def root(tmp_path) -> Path:
    tiny.voc(tmp_path)
    return tmp_path


def test_classes_are_vocs():
    assert len(CLASSES) == 21 and CLASSES[8] == "cat" and CLASSES[15] == "person" and CLASSES[20] == "tvmonitor"
    assert list(CLASSES[1:]) == sorted(CLASSES[1:])


@pytest.mark.parametrize("split", ["train", "val", "trainval"])
def test_semantic_is_torchvisions_segmentation(root, split):
    theirs = VOCSegmentation(root, year="2012", image_set=split)
    ours = VOC(split, root=root)
    assert len(ours) == len(theirs) == (2 if split == "trainval" else 1)
    for (image, labels), (picture, classes) in zip(ours, theirs, strict=True):
        torch.testing.assert_close(image, torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255)
        assert torch.equal(labels, torch.from_numpy(np.array(classes)).long()) and labels.dtype == torch.int64
        assert labels.unique().tolist() == [0, 8, 12, 255]


def test_boxes_are_torchvisions_xml_with_edges_from_0(root):
    theirs = VOCDetection(root, year="2012", image_set="trainval")
    ours = VOC("trainval", target="boxes", root=root)
    assert len(ours) == len(theirs) == 3
    for number, ((image, target), (_, tree)) in enumerate(zip(ours, theirs, strict=True)):
        entries = tree["annotation"]["object"]
        box = [[float(entry["bndbox"][name]) for name in ("xmin", "ymin", "xmax", "ymax")] for entry in entries]
        torch.testing.assert_close(target["boxes"], torch.tensor(box) - torch.tensor([1.0, 1, 0, 0]))
        assert [CLASSES[label] for label in target["labels"]] == [entry["name"] for entry in entries]
        assert target["difficult"].tolist() == [entry["difficult"] == "1" for entry in entries]
        assert target["image_id"] == number and target["iscrowd"].tolist() == [0, 0] and image.shape[0] == 3
    assert ours[2][1]["boxes"].tolist() == [[0, 0, 50, 33], [9.5, 1, 20, 30.25]]
    assert ours[0][1]["area"].tolist() == [6 * 8, 9 * 10]


def test_instances_by_hand(root):
    image, target = VOC("val", target="instances", root=root)[0]
    assert image.shape == (3, 40, 24) and target["masks"].shape == (2, 40, 24)
    assert target["boxes"].tolist() == [[3, 2, 7, 8], [11, 6, 18, 14]] and target["labels"].tolist() == [8, 12]
    assert target["area"].tolist() == [24, 56] and target["iscrowd"].tolist() == [0, 0] and target["image_id"] == 0
    assert torch.equal(target["masks"].any(0), (target["semantic"] != 0) & (target["semantic"] != 255))


@pytest.mark.parametrize("target", ["semantic", "instances", "boxes"])
def test_size_moves_everything_together(root, target):
    image, whole = VOC("train", target=target, root=root)[0]
    small, resized = VOC("train", target=target, root=root, size=(10, 60))[0]
    assert image.shape == (3, 20, 30) and small.shape == (3, 10, 60)
    if target == "semantic":
        assert resized.shape == (10, 60) and set(resized.unique().tolist()) <= set(whole.unique().tolist())
    else:
        torch.testing.assert_close(resized["boxes"], whole["boxes"] * torch.tensor([2, 0.5, 2, 0.5]))
        torch.testing.assert_close(resized["area"], whole["area"])
    if target == "instances":
        assert resized["masks"].shape == (2, 10, 60) and resized["semantic"].shape == (10, 60)


def test_a_picture_without_objects(root):
    tiny.write_xml(root / "VOCdevkit/VOC2012/Annotations/2007_000001.xml", 20, 30, [])
    for name in ("SegmentationClass", "SegmentationObject"):
        tiny.write_labels(root / "VOCdevkit/VOC2012" / name / "2007_000001.png", np.zeros((20, 30)))
    boxes, instances = VOC(target="boxes", root=root)[0][1], VOC(target="instances", root=root)[0][1]
    assert boxes["boxes"].shape == (0, 4) and boxes["difficult"].dtype == torch.bool and instances["masks"].shape == (0, 20, 30)


@pytest.mark.parametrize(
    "boxes, match",
    [
        ([("cat", 9, 2, 8, 9)], "the box of object 1, x 9 to 8 and y 2 to 9, is inverted or empty"),
        ([("cat", 1, 1, 5, 5), ("dog", 3, 9, 8, 5)], "object 2, x 3 to 8 and y 9 to 5, is inverted"),
        ([("cat", 3, 2, 32, 9)], "lies outside the picture of 30 × 20 pixels"),
        ([("cat", -1, 2, 8, 9)], "lies outside the picture"),
        ([("cat", 31, 2, 31, 9)], "lies outside the picture"),
        ([("unicorn", 3, 2, 8, 9)], "object 1 is called 'unicorn'; accepted are aeroplane, .* tvmonitor"),
        ([("background", 3, 2, 8, 9)], "object 1 is called 'background'"),
        ([("cat", "three", 2, 8, 9)], "<bndbox/xmin> holds 'three', where a number"),
        ([("cat", 3, 2, 8, "nan")], "<bndbox/ymax> holds 'nan'"),
    ],
)
def test_boxes_that_cannot_be(root, boxes, match):
    path = root / "VOCdevkit/VOC2012/Annotations/2007_000001.xml"
    tiny.write_xml(path, 20, 30, boxes)
    refused(f"{re.escape(str(path))}.*{match}", lambda: VOC(target="boxes", root=root)[0])


def test_boxes_up_to_one_pixel_outside_are_cut_off(root):
    tiny.write_xml(root / "VOCdevkit/VOC2012/Annotations/2007_000001.xml", 20, 30, [("cat", 0, 1, 31, 20)])
    assert VOC(target="boxes", root=root)[0][1]["boxes"].tolist() == [[0, 0, 30, 20]]


@pytest.mark.parametrize(
    "spoil, target, match",
    [
        (
            lambda f: (f / "Annotations/2007_000001.xml").write_text("<annotation><object>"),
            "boxes",
            "2007_000001.xml is no well-formed XML",
        ),
        (lambda f: (f / "Annotations/2007_000001.xml").unlink(), "boxes", "The annotation .*2007_000001.xml is missing"),
        (lambda f: tiny.write_xml(f / "Annotations/2007_000001.xml", 30, 20, []), "boxes", "about a picture of 20 × 30 .* has 30 × 20"),
        (lambda f: (f / "Annotations/2007_000001.xml").write_text("<a><object/></a>"), "boxes", "object 1 is called ''"),
        (lambda f: (f / "JPEGImages/2007_000001.jpg").unlink(), "semantic", "The picture .*2007_000001.jpg is missing"),
        (lambda f: (f / "JPEGImages/2007_000001.jpg").write_bytes(b"\xff\xd8\xff"), "boxes", "2007_000001.jpg cannot be used"),
        (lambda f: (f / "SegmentationClass/2007_000001.png").unlink(), "semantic", "SegmentationClass/2007_000001.png is missing"),
        (lambda f: (f / "SegmentationObject/2007_000001.png").unlink(), "instances", "SegmentationObject/2007_000001.png is missing"),
        (lambda f: tiny.write_labels(f / "SegmentationClass/2007_000001.png", np.full((20, 30), 21)), "semantic", "the label 21 at row 0"),
        (lambda f: tiny.write_labels(f / "SegmentationClass/2007_000001.png", np.zeros((30, 20))), "semantic", "20 × 30 pixels, and its"),
        (lambda f: tiny.write_labels(f / "SegmentationClass/2007_000001.png", np.zeros((20, 30))), "instances", "object 1 has no class"),
    ],
)
def test_files_that_are_broken(root, spoil, target, match):
    spoil(root / "VOCdevkit" / "VOC2012")
    data = VOC("trainval", target=target, root=root)
    refused(match, lambda: data[0])
    assert data[1] is not None  # the others are not lost
    skipped = VOC("trainval", target=target, root=root, skip_broken=True)
    assert list(skipped.broken) == ["2007_000001"] and "2007_000001" not in skipped.names and len(skipped) == len(data) - 1


def test_a_list_that_names_a_picture_twice(root):
    (root / "VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt").write_text("2007_000001\n2007_000001\n")
    refused("train.txt names 2007_000001 twice", lambda: VOC(root=root))


def test_what_is_missing(tmp_path):
    refused(r"Pascal VOC 2012 is missing: .*SegmentationClass.*fetches it \(2.0 GB\)", lambda: VOC(root=tmp_path), MissingData)
    refused("split is one of 'train', 'val', 'trainval', not 'test'", lambda: VOC("test", root=tmp_path), ValueError)
    refused("target is one of 'semantic', 'instances', 'boxes'", lambda: VOC(target="masks", root=tmp_path), ValueError)


def test_the_cells_of_bccd(real):
    folder = real("bccd") / "BCCD"
    data = VOC("trainval", target="boxes", root=folder, classes=CELLS)
    assert len(data) == 292 and all(len(data[i][1]["boxes"]) for i in (0, 100, 291))
    targets = [read_boxes(folder / "Annotations" / f"{name}.xml", torch.zeros(3, 480, 640), CELLS) for name in data.names]
    boxes, labels = torch.cat([boxes for boxes, _, _ in targets]), torch.cat([labels for _, labels, _ in targets])
    text = "".join((folder / "Annotations" / f"{name}.xml").read_text() for name in data.names)
    assert labels.bincount().tolist() == [0, *(text.count(f"<name>{name}</name>") for name in CELLS[1:])]
    xmin = torch.tensor([float(value) for value in re.findall("<xmin>(.*?)</xmin>", text)])
    torch.testing.assert_close(boxes[:, 0], (xmin - 1).clamp(min=0))
    assert Image.open(folder / "JPEGImages" / f"{data.names[0]}.jpg").size == data[0][0].shape[:0:-1]
