"""Masks of single objects against torchvision's functions, and by hand."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models.detection.roi_heads import maskrcnn_loss, paste_masks_in_image, project_masks_on_boxes

from course.ops.masks import mask_loss, mask_targets, paste_masks, pasted_boxes
from tests.refusing import refuses

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
HALVES = (torch.float16, torch.bfloat16)


def drawn_boxes(count: int, size: tuple[int, int], seed: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Inside the picture, some a pixel wide or less, some as large as the picture."""
    draw = torch.Generator().manual_seed(seed)
    whole = torch.tensor([size[1], size[0]], dtype=dtype)
    ends = torch.rand(count, 2, 2, generator=draw, dtype=dtype).sort(1).values * whole
    ends[: count // 4, 1] = (ends[: count // 4, 0] + torch.rand(count // 4, 2, generator=draw, dtype=dtype)).minimum(whole)
    ends[count // 4 : count // 3] = torch.stack((torch.zeros(2), torch.ones(2))).to(dtype) * whole
    return ends.flatten(1)


# -- paste_masks


@pytest.mark.parametrize("device", DEVICES)
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 9999),
    count=st.sampled_from([0, 1, 2, 13]),
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    cells=st.sampled_from([1, 2, 7, 28]),
    double=st.booleans(),
)
def test_pasted_as_by_torchvision(device, seed, count, size, cells, double):
    dtype = torch.float64 if double else torch.float32
    masks = torch.rand(count, cells, cells, generator=torch.Generator().manual_seed(seed), dtype=dtype).to(device)
    boxes = drawn_boxes(count, size, seed, dtype).to(device)
    pasted = paste_masks(masks, boxes, size)
    assert pasted.shape == (count, *size) and pasted.dtype == dtype
    torch.testing.assert_close(pasted, paste_masks_in_image(masks[:, None], boxes, size)[:, 0], rtol=0, atol=1e-9 if double else 2e-5)


def test_three_hundred_at_once():
    masks, boxes = torch.rand(300, 28, 28, generator=torch.Generator().manual_seed(0)), drawn_boxes(300, (60, 80), 1)
    torch.testing.assert_close(
        paste_masks(masks, boxes, (60, 80)), paste_masks_in_image(masks[:, None], boxes, (60, 80))[:, 0], rtol=0, atol=2e-5
    )


def test_pasted_by_hand():
    """One cell of 1 with its ring is 3 cells wide, and so is the box 3 … 6: it is pasted over 1 … 8, twice in width to a side.

    Middle 4.5, half of it 1.5 · 3 = 4.5: from 0 to 9, and the pixel where it ends too: 10 pixels. Pixel x is at (x + ½) · 3 / 10 − ½ cells.
    """
    (pasted,) = paste_masks(torch.ones(1, 1, 1, dtype=torch.float64), torch.tensor([[3.0, 3, 6, 6]], dtype=torch.float64), (12, 12))
    along = torch.tensor([0, 0, 0.25, 0.55, 0.85, 0.85, 0.55, 0.25, 0, 0, 0, 0], dtype=torch.float64)
    torch.testing.assert_close(pasted, along[:, None] * along)


def test_which_pixels_are_filled():
    """28 cells grow by 30 / 28, a fourteenth: 14 pixels to 15, half of it to each side; the pixel at the end belongs to it."""
    boxes = torch.tensor([[10.0, 20, 24, 48], [0, 0, 14, 14], [-20, 0, -6, 14.0]])
    assert pasted_boxes(boxes, 28).tolist() == [[9, 19, 25, 50], [0, 0, 15, 15], [-20, 0, -4, 15]]


def test_a_box_beyond_the_picture_is_cut_off():
    """As if it were pasted into a larger picture, from which a part is cut out."""
    masks = torch.rand(5, 28, 28, generator=torch.Generator().manual_seed(2))
    boxes = torch.tensor([[-15.0, 4, 12, 20], [10, -9, 30, 60], [25, 25, 90, 41], [-30, -30, 70, 80], [3, 4, 9, 12]])
    larger = paste_masks(masks, boxes + 50, (140, 140))[:, 50:82, 50:90]
    pasted = paste_masks(masks, boxes, (32, 40))
    # towards 0 is to the right where a number is negative, so those that begin there may lie a pixel further in
    torch.testing.assert_close(pasted[[2, 4]], larger[[2, 4]], rtol=0, atol=1e-5)
    torch.testing.assert_close(pasted, paste_masks_in_image(masks[:, None], boxes, (32, 40))[:, 0], rtol=0, atol=2e-5)


def test_a_box_outside_the_picture_covers_nothing():
    boxes = torch.tensor([[-60.0, 2, -30, 9], [50, 2, 70, 9], [2, -90, 9, -40], [2, 80, 9, 99], [5, 5, 2, 2], [3e9, 0, 4e9, 5]])
    assert not paste_masks(torch.ones(6, 28, 28), boxes, (32, 40)).any()


def test_a_gradient_flows_to_the_mask():
    masks = torch.rand(2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    boxes = torch.tensor([[1.0, 2, 6, 9], [-3, 1, 4, 12]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda masks: paste_masks(masks, boxes, (8, 7)), masks)


@pytest.mark.parametrize("dtype", HALVES)
def test_half_precision_is_rounded_once(dtype):
    masks, boxes = torch.rand(4, 28, 28).to(dtype), drawn_boxes(4, (30, 40), 3)
    pasted = paste_masks(masks, boxes, (30, 40))
    assert pasted.dtype == dtype and torch.equal(pasted, paste_masks(masks.float(), boxes, (30, 40)).to(dtype))


def test_what_cannot_be_pasted():
    masks, boxes = torch.rand(2, 28, 28), torch.rand(2, 4)
    refuses(lambda: paste_masks(masks > 0.5, boxes, 9), TypeError, "masks must be a floating-point tensor [D, M, M]; got torch.bool")
    refuses(lambda: paste_masks(masks.tolist(), boxes, 9), TypeError, "got list")
    refuses(lambda: paste_masks(masks[:, None], boxes, 9), ValueError, "[2, M, M], a square for each box; got [2, 1, 28, 28]")
    refuses(lambda: paste_masks(masks[:1], boxes, 9), ValueError, "got [1, 28, 28]")
    refuses(lambda: paste_masks(masks[:, :5], boxes, 9), ValueError, "got [2, 5, 28]")
    refuses(lambda: paste_masks(masks, boxes * math.inf, 9), ValueError, "boxes must be finite")
    refuses(lambda: paste_masks(masks, boxes, (0, 9)), ValueError, "image_size must be at least 1; got 0")


# -- mask_targets


@pytest.mark.parametrize("device", DEVICES)
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 9999), objects=st.integers(1, 4), regions=st.sampled_from([0, 1, 9]), size=st.sampled_from([1, 7, 28]))
def test_targets_as_by_torchvision(device, seed, objects, regions, size):
    draw = torch.Generator().manual_seed(seed)
    masks = (torch.rand(objects, 30, 44, generator=draw) < 0.5).to(device)
    matches = torch.randint(objects, (regions,), generator=draw).to(device)
    boxes = drawn_boxes(regions, (30, 44), seed).to(device)
    found = mask_targets(masks, boxes, matches, size)
    assert found.shape == (regions, size, size) and found.dtype == torch.float32
    torch.testing.assert_close(found, project_masks_on_boxes(masks, boxes, matches, size), rtol=0, atol=1e-5)


def test_a_target_by_hand():
    """The left two columns are the object. RoIAlign looks half a cell to the right of where it would: see course.ops.roi.

    Cells of 2 × 2 pixels, 2 × 2 points in each, at 0.5 and 1.5, and 2.5 and 3.5: column 1 is the last that counts.
    """
    mask = torch.tensor([[1.0, 1, 0, 0]]).expand(1, 4, 4)
    found = mask_targets(mask, torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([0]), 2)
    assert found.tolist() == [[[0.75, 0], [0.75, 0]]]  # at 0.5 the mask is 1, at 1.5 ½, then 0


def test_each_region_sees_its_own_object():
    masks = torch.stack((torch.zeros(6, 8), torch.ones(6, 8))).bool()
    found = mask_targets(masks, torch.tensor([[1.0, 1, 5, 5]] * 3), torch.tensor([1, 0, 1]), 3)
    assert found.flatten(1).mean(1).tolist() == [1, 0, 1]


def test_beyond_the_picture_there_is_no_object():
    found = mask_targets(torch.ones(1, 10, 10), torch.tensor([[20.0, 20, 30, 30], [5, 0, 15, 10]]), torch.tensor([0, 0]), 4)
    assert not found[0].any() and found[1, :, 0].min() > 1 - 1e-6 and not found[1, :, 3].any()


def test_no_objects_and_no_regions():
    assert mask_targets(torch.zeros(0, 9, 9), torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), 28).shape == (0, 28, 28)


@pytest.mark.parametrize("dtype", HALVES)
def test_half_precision_does_not_lose_count_of_the_objects(dtype):
    masks = torch.zeros(3000, 4, 4)
    masks[2049] = 1
    boxes = torch.tensor([[0.0, 0, 3, 3]] * 2, dtype=dtype)
    found = mask_targets(masks, boxes, torch.tensor([2049, 2048]), 2)
    assert found.dtype == dtype and found[0].eq(1).all() and not found[1].any()


def test_what_is_no_target():
    masks, boxes, matches = torch.ones(2, 9, 9), torch.tensor([[0.0, 0, 3, 3]]), torch.tensor([1])
    refuses(lambda: mask_targets(masks[0], boxes, matches, 28), ValueError, "masks must have shape [G, H, W]", "got [9, 9]")
    refuses(lambda: mask_targets([masks], boxes, matches, 28), TypeError, "got list")
    refuses(lambda: mask_targets(masks, boxes, matches.int(), 28), TypeError, "matches must be int64")
    refuses(lambda: mask_targets(masks, boxes, matches + 1, 28), ValueError, "objects from 0 to 1, one of 2 masks; got 2")
    refuses(lambda: mask_targets(masks, boxes, matches - 2, 28), ValueError, "got -1")
    refuses(lambda: mask_targets(masks, boxes, torch.tensor([0, 1]), 28), ValueError, "matches must have shape [1]")
    refuses(lambda: mask_targets(masks, boxes, matches, 0), ValueError, "size must be at least 1")
    refuses(lambda: mask_targets(masks, boxes * math.nan, matches, 28), ValueError, "boxes must be finite")


# -- mask_loss


def test_only_the_true_class_is_judged():
    """Two regions, three classes, one cell. −log σ(0) = log 2; of the second, logit 2 and target ¼: log(1 + e²) − 2 / 4."""
    logits = torch.tensor([[50.0, 0, -50], [-50, 50, 2]]).reshape(2, 3, 1, 1).requires_grad_()
    loss = mask_loss(logits, torch.tensor([1, 2]), torch.tensor([1.0, 0.25]).reshape(2, 1, 1))
    assert loss.item() == pytest.approx((math.log(2) + math.log(1 + math.exp(2)) - 0.5) / 2)
    loss.backward()
    assert logits.grad.flatten(1).ne(0).tolist() == [[False, True, False], [False, False, True]]


@pytest.mark.parametrize("device", DEVICES)
def test_loss_and_gradient_as_by_torchvision(device):
    draw = torch.Generator().manual_seed(0)
    masks = [(torch.rand(objects, 20, 30, generator=draw) < 0.5).to(device) for objects in (2, 1)]
    boxes = [drawn_boxes(count, (20, 30), count).to(device) for count in (4, 3)]
    matches = [torch.tensor([1, 0, 0, 1]).to(device), torch.tensor([0, 0, 0]).to(device)]
    labels = [torch.tensor([3, 1]).to(device), torch.tensor([2]).to(device)]
    logits = (3 * torch.randn(7, 4, 28, 28, generator=draw)).to(device).requires_grad_()
    targets = torch.cat([mask_targets(*of_image, 28) for of_image in zip(masks, boxes, matches, strict=True)])
    found = mask_loss(logits, torch.cat([of[rows] for of, rows in zip(labels, matches, strict=True)]), targets)
    expected = maskrcnn_loss(logits, boxes, masks, labels, matches)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*(torch.autograd.grad(loss, logits)[0] for loss in (found, expected)))


def test_no_region_no_loss():
    logits = torch.zeros(0, 4, 28, 28, requires_grad=True)
    loss = mask_loss(logits, torch.zeros(0, dtype=torch.int64), torch.zeros(0, 28, 28))
    assert loss.item() == 0
    loss.backward()


@pytest.mark.parametrize("dtype", HALVES)
def test_the_loss_of_half_precision_is_float32(dtype):
    logits = torch.randn(3, 2, 5, 5, generator=torch.Generator().manual_seed(0)).to(dtype)
    labels, targets = torch.tensor([0, 1, 1]), torch.rand(3, 5, 5)
    expected = F.binary_cross_entropy_with_logits(logits.float()[[0, 1, 2], labels], targets)
    torch.testing.assert_close(mask_loss(logits, labels, targets), expected)


def test_what_is_no_loss():
    logits, labels, targets = torch.zeros(2, 3, 5, 5), torch.tensor([1, 2]), torch.zeros(2, 5, 5)
    refuses(lambda: mask_loss(logits.long(), labels, targets), TypeError, "logits must be a floating-point tensor [R, K, M, M]")
    refuses(lambda: mask_loss(logits, labels.int(), targets), TypeError, "labels must be an int64 tensor [R]; got torch.int32")
    refuses(lambda: mask_loss(logits, labels, targets.bool()), TypeError, "targets must be a floating-point tensor", "got torch.bool")
    refuses(lambda: mask_loss(logits, labels + 1, targets), ValueError, "labels must be classes from 0 to 2; got 3")
    refuses(lambda: mask_loss(logits, labels - 2, targets), ValueError, "got -1")
    refuses(lambda: mask_loss(logits, labels, targets[:1]), ValueError, "got [2, 3, 5, 5], [2] and [1, 5, 5]")
    refuses(lambda: mask_loss(logits, labels[:1], targets), ValueError, "[R, K, M, M], [R] and [R, M, M]")


# -- GPU


@pytest.mark.gpu
def test_the_gpu_agrees_with_the_processor():
    draw = torch.Generator().manual_seed(0)
    boxes, cells = drawn_boxes(12, (40, 60), 0, torch.float64), torch.rand(12, 28, 28, generator=draw, dtype=torch.float64)
    pasted = paste_masks(cells.cuda(), boxes.cuda(), (40, 60))
    assert pasted.is_cuda
    torch.testing.assert_close(pasted.cpu(), paste_masks(cells, boxes, (40, 60)))
    assert torch.equal(pasted_boxes(boxes.cuda(), 28).cpu(), pasted_boxes(boxes, 28))
    objects, matches = torch.rand(3, 40, 60, generator=draw) < 0.5, torch.randint(3, (12,), generator=draw)
    targets = mask_targets(objects, boxes, matches, 28)
    targets_there = mask_targets(objects.cuda(), boxes.cuda(), matches.cuda(), 28)
    torch.testing.assert_close(targets_there.cpu(), targets)
    here, labels = torch.randn(12, 4, 28, 28, generator=draw, dtype=torch.float64), torch.randint(4, (12,), generator=draw)
    there = here.clone().cuda().requires_grad_()
    loss, loss_there = mask_loss(here.requires_grad_(), labels, targets), mask_loss(there, labels.cuda(), targets_there)
    torch.testing.assert_close(loss_there.cpu(), loss)
    loss.backward()
    loss_there.backward()
    torch.testing.assert_close(there.grad.cpu(), here.grad)
