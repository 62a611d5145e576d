"""Label maps: painting them, and making them from instances."""

import pytest
import torch
from torch.testing import assert_close

from course.ops.labels import LABEL_COLOURS, VOID_COLOURS, colour_labels, label_colour, semantic_map

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.mark.parametrize("device", DEVICES)
def test_every_pixel_has_the_colour_of_its_class(device):
    labels = torch.tensor([[0, 1, 2], [27, 28, 255]], device=device)
    picture = colour_labels(labels)
    assert picture.shape == (3, 2, 3) and picture.dtype == torch.uint8 and picture.device == labels.device
    for row in range(2):
        for column in range(3):
            label, colour = labels[row, column].item(), tuple(picture[:, row, column].tolist())
            assert colour in VOID_COLOURS if label == 255 else colour == label_colour(label)
    assert_close(picture[:, 1, 1], picture[:, 0, 1])  # 28 begins again at 1


def test_colours_differ_from_one_another():
    assert len(set(LABEL_COLOURS)) == len(LABEL_COLOURS) == 28
    near = min(sum(abs(a - b) for a, b in zip(x, y, strict=True)) for i, x in enumerate(LABEL_COLOURS) for y in LABEL_COLOURS[:i])
    assert near >= 30


def test_void_is_striped_and_can_be_switched_off():
    void = torch.full((4, 4), 255)
    assert {tuple(c) for c in colour_labels(void).flatten(1).T.tolist()} == set(VOID_COLOURS)
    assert {tuple(c) for c in colour_labels(void, void=None).flatten(1).T.tolist()} == {label_colour(255)}
    assert {tuple(c) for c in colour_labels(void.byte()).flatten(1).T.tolist()} == set(VOID_COLOURS)


def test_a_batch_is_painted_as_its_pictures():
    labels = torch.randint(0, 30, (3, 5, 4), generator=torch.Generator().manual_seed(0))
    assert_close(colour_labels(labels), torch.stack([colour_labels(one) for one in labels]))
    assert colour_labels(torch.zeros(0, 5, dtype=torch.long)).shape == (3, 0, 5)
    assert_close(colour_labels(torch.tensor([[True, False]])), colour_labels(torch.tensor([[1, 0]])))


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([[1]], "a tensor"),
        (torch.zeros(2, 2), "whole numbers"),
        (torch.zeros(4, dtype=torch.long), r"\[H, W\]"),
        (torch.tensor([[-1]]), "-1"),
    ],
)
def test_what_is_no_label_map_gets_a_sentence(labels, said):
    with pytest.raises((TypeError, ValueError), match=said):
        colour_labels(labels)
    with pytest.raises(ValueError, match="-2"):
        label_colour(-2)


@pytest.mark.parametrize("device", DEVICES)
def test_instances_become_classes_by_hand(device):
    masks = torch.tensor([[[1, 1, 0], [0, 0, 0]], [[0, 1, 1], [0, 0, 0]], [[0, 0, 0], [1, 0, 0]]], device=device).bool()
    semantic = semantic_map(masks, torch.tensor([2, 5, 2], device=device))
    assert_close(semantic, torch.tensor([[2, 5, 5], [2, 0, 0]], device=device))


def test_disjoint_instances_by_another_way():
    draw = torch.Generator().manual_seed(1)
    owner = torch.randint(0, 5, (6, 7), generator=draw)  # 0 nobody, else instance 1…4
    labels = torch.tensor([3, 1, 3, 2])
    masks = owner == torch.arange(1, 5)[:, None, None]
    assert_close(semantic_map(masks, labels), (masks * labels[:, None, None]).sum(0))


def test_no_instance_is_all_background():
    assert_close(
        semantic_map(torch.zeros(0, 2, 3, dtype=torch.bool), torch.zeros(0, dtype=torch.long)), torch.zeros(2, 3, dtype=torch.long)
    )


@pytest.mark.parametrize(
    ("masks", "labels", "said"),
    [
        (torch.rand(1, 2, 2), torch.tensor([1]), "> 0.5"),
        (torch.zeros(2, 2, dtype=torch.bool), torch.tensor([1]), r"\[2, 2\]"),
        (torch.zeros(2, 2, 2, dtype=torch.bool), torch.tensor([1]), r"\[1\]"),
    ],
)
def test_wrong_instances_get_a_sentence(masks, labels, said):
    with pytest.raises((TypeError, ValueError), match=said):
        semantic_map(masks, labels)
