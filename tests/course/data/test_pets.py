"""Oxford Pets in its real folders, against torchvision on the same files and by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import OxfordIIITPet

from course.data.folder import MissingData
from course.data.pets import Pets
from tests.course.data import tiny
from tests.course.data.refusing import refused


@pytest.fixture
def root(tmp_path) -> Path:
    tiny.pets(tmp_path)
    return tmp_path


@pytest.mark.parametrize("split, count", [("trainval", 3), ("test", 1)])
def test_trimaps_and_breeds_are_torchvisions(root, split, count):
    theirs = OxfordIIITPet(root, split, target_types=["segmentation", "category"])
    semantic, breeds = Pets(split, root=root), Pets(split, root=root, target="breed")
    assert len(semantic) == len(breeds) == len(theirs) == count
    for i, (picture, (trimap, category)) in enumerate(theirs):
        image, labels = semantic[i]
        torch.testing.assert_close(image, torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255)
        assert torch.equal(labels, torch.tensor([-1, 1, 0, 255])[torch.from_numpy(np.array(trimap)).long()])
        assert breeds[i][1] == category + 1


def test_breeds_have_the_names_of_their_pictures(root):
    breeds = Pets(root=root).breeds
    assert (breeds[0], breeds[1], breeds[15]) == ("background", "Abyssinian", "german shorthaired")


def test_boxes_are_heads_of_the_pictures_that_have_one(root):
    data = Pets(root=root, target="boxes")
    assert data.names == ("Abyssinian_1", "german_shorthaired_2")
    image, target = data[1]
    assert image.shape == (3, 22, 25) and target["boxes"].tolist() == [[5, 4, 15, 11]] and target["labels"].tolist() == [15]
    assert (target["area"].tolist(), target["iscrowd"].tolist(), target["image_id"]) == ([70], [0], 1)


def test_size_moves_everything_together(root):
    image, labels = Pets(root=root, size=(9, 50))[0]
    assert image.shape == (3, 9, 50) and labels.shape == (9, 50) and labels.unique().tolist() == [0, 1, 255]
    image, target = Pets(root=root, target="boxes", size=(9, 50))[0]
    assert image.shape == (3, 9, 50) and target["boxes"].tolist() == [[10, 2, 30, 5.5]]
    image, breed = Pets(root=root, target="breed", size=12)[0]
    assert image.shape == (3, 12, 12) and breed == 1


@pytest.mark.parametrize(
    "spoil, target, match",
    [
        (lambda f: (f / "images/Abyssinian_1.jpg").write_bytes(b"GIF"), "breed", "Abyssinian_1.jpg cannot be used"),
        (lambda f: (f / "images/Abyssinian_1.jpg").unlink(), "semantic", "Abyssinian_1.jpg is missing"),
        (lambda f: (f / "annotations/trimaps/Abyssinian_1.png").unlink(), "semantic", "trimaps/Abyssinian_1.png is missing"),
        (lambda f: tiny.write_labels(f / "annotations/trimaps/Abyssinian_1.png", np.zeros((18, 25))), "semantic", "the label 0 at row 0"),
        (lambda f: tiny.write_labels(f / "annotations/trimaps/Abyssinian_1.png", np.ones((25, 18))), "semantic", "18 × 25 pixels, and its"),
        (lambda f: (f / "annotations/xmls/Abyssinian_1.xml").write_text("<"), "boxes", "Abyssinian_1.xml is no well-formed XML"),
    ],
)
def test_files_that_are_broken(root, spoil, target, match):
    spoil(root / "oxford-iiit-pet")
    data = Pets(root=root, target=target)
    refused(match, lambda: data[0])
    assert data[1] is not None
    skipped = Pets(root=root, target=target, skip_broken=True)
    assert list(skipped.broken) == ["Abyssinian_1"] and len(skipped) == len(data) - 1


@pytest.mark.parametrize("line", ["Abyssinian_1", "Abyssinian_1 cat", "Abyssinian_1 0 1 1", "Abyssinian_1 38 1 1"])
def test_a_list_that_is_malformed(root, line):
    (root / "oxford-iiit-pet/annotations/trainval.txt").write_text(line + "\n")
    refused(f"trainval.txt has a line '{line}'; expected are a picture's name and its breed, 1 to 37", lambda: Pets(root=root))


def test_what_cannot_be(tmp_path):
    refused("no boxes for its test split", lambda: Pets("test", target="boxes", root=tmp_path), ValueError)
    refused(r"Oxford-IIIT Pets is missing: .*fetches it \(811.1 MB\)", lambda: Pets(root=tmp_path), MissingData)
