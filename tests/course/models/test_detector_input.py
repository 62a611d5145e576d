"""Batches and boxes are those of torchvision's GeneralizedRCNNTransform; what is no picture is refused in a sentence."""

import pytest
import torch
from torchvision.models.detection.transform import GeneralizedRCNNTransform, resize_boxes

from course.models.detector_input import Batch, DetectorInput
from course.models.stages import IMAGENET_DEVIATION, IMAGENET_MEAN, Normalise
from tests.refusing import refuses


def drawn(*sizes: tuple[int, int], dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(3, *size, generator=generator, dtype=torch.float64).to(dtype) for size in sizes]


SEVERAL = [(50, 70), (33, 20), (97, 31), (5, 3), (64, 64)]


@pytest.mark.parametrize(
    ("sizes", "shorter", "longer"),
    [
        (SEVERAL, 60, 100),
        (SEVERAL, 40, 1000),
        ([(300, 451)], 128, 160),
        ([(64, 96), (64, 96)], 64, 96),
        ([(1, 1)], 7, 9),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_batch_is_torchvisions(sizes, shorter, longer, dtype):
    theirs = GeneralizedRCNNTransform(shorter, longer, IMAGENET_MEAN, IMAGENET_DEVIATION).eval()
    mine = DetectorInput(shorter_side=shorter, longer_side=longer).to(dtype)
    images = drawn(*sizes, dtype=dtype)
    expected, _ = theirs(images)
    batch = mine(images)
    assert batch.sizes == expected.image_sizes and batch.original == sizes
    assert batch.size == expected.tensors.shape[-2:] and batch.images.dtype == dtype
    torch.testing.assert_close(batch.images, expected.tensors, rtol=1e-6, atol=1e-6)


def test_sizes_are_torchvisions_for_every_side():
    """Rounding down a side times a quotient is where one pixel is lost: a view of one number costs nothing."""
    mine, theirs = DetectorInput(normalise=False, shorter_side=80, longer_side=133), GeneralizedRCNNTransform(80, 133, [0.0], [1.0]).eval()
    for side in range(1, 400, 3):
        for image in (torch.rand(3, side, 97), torch.rand(3, 61, side)):
            if min(image.shape[1:]) * 133 < max(image.shape[1:]):
                continue
            expected, _ = theirs.resize(image)
            assert mine([image]).sizes == [tuple(expected.shape[-2:])]


def test_a_picture_keeps_a_pixel_however_long_it_is():
    """torchvision rounds the short side down to 0, and fails."""
    batch = DetectorInput(shorter_side=8, longer_side=16)(drawn((1, 100)))
    assert batch.sizes == [(1, 16)] and batch.size == (32, 32)


def test_beyond_each_picture_are_zeros_after_normalising():
    mine = DetectorInput(shorter_side=None, multiple=16)
    batch = mine(drawn((20, 9), (3, 18)))
    assert batch.size == (32, 32) and batch.sizes == batch.original == [(20, 9), (3, 18)]
    first, second = batch.images
    assert not first[:, 20:].any() and not first[:, :, 9:].any() and not second[:, 3:].any() and not second[:, :, 18:].any()
    image = drawn((20, 9))[0]
    expected = (image - torch.tensor(IMAGENET_MEAN)[:, None, None]) / torch.tensor(IMAGENET_DEVIATION)[:, None, None]
    torch.testing.assert_close(first[:, :20, :9], expected)


def test_a_batch_that_fits_is_left_as_it_is():
    images = torch.stack(drawn((64, 32), (64, 32)))
    mine = DetectorInput(normalise=False, shorter_side=None, multiple=32)
    assert mine(images).images is images
    assert mine(list(images)).images.equal(images)
    assert mine(images[..., :30]).size == (64, 32)


@pytest.mark.parametrize("size", [(50, 70), (33, 20), (300, 451)])
def test_boxes_go_in_as_torchvisions_and_come_out_again(size):
    batch = DetectorInput(shorter_side=64, longer_side=90)(drawn(size, (64, 64)))
    boxes = torch.rand(9, 4) * 60
    inside, same = batch.inwards([boxes, boxes])
    torch.testing.assert_close(inside, resize_boxes(boxes, size, batch.sizes[0]))
    assert same is boxes  # 64 × 64 is no change
    outside, _ = batch.outwards([inside, same])
    torch.testing.assert_close(outside, boxes)
    torch.testing.assert_close(batch.outwards([boxes, boxes])[0], resize_boxes(boxes, batch.sizes[0], size))


@pytest.mark.parametrize("size", [(40, 40), (24, 56)])
def test_every_picture_can_become_one_size(size):
    """torchvision names it width first."""
    theirs = GeneralizedRCNNTransform(1, 1, IMAGENET_MEAN, IMAGENET_DEVIATION, size_divisible=1, fixed_size=size[::-1]).eval()
    images = drawn(*SEVERAL)
    expected, _ = theirs(images)
    batch = DetectorInput(size=size)(images)
    assert batch.sizes == expected.image_sizes == [size] * 5 and batch.original == SEVERAL and batch.size == size
    torch.testing.assert_close(batch.images, expected.tensors, rtol=1e-6, atol=1e-6)
    boxes = [torch.rand(3, 4) * 30 for _ in images]
    inside = batch.inwards(boxes)
    for mine, of_image, before in zip(inside, boxes, SEVERAL, strict=True):
        torch.testing.assert_close(mine, resize_boxes(of_image, before, size))
    torch.testing.assert_close(batch.outwards(inside), boxes)


def test_one_number_is_a_square_and_a_batch_of_that_size_is_left_as_it_is():
    images = torch.stack(drawn((40, 40), (40, 40)))
    mine = DetectorInput(normalise=False, size=40)
    assert mine(images).images is images
    assert mine(images[..., :30]).size == (40, 40)
    with pytest.raises(ValueError, match="size"):
        DetectorInput(size=0)


def test_pictures_are_normalised_by_the_module_that_is_given():
    images = drawn((4, 6))
    batch = DetectorInput(normalise=Normalise([0.5] * 3, [1 / 255] * 3), shorter_side=None, multiple=1)(images)
    torch.testing.assert_close(batch.images[0], (images[0] - 0.5) * 255)


def test_boxes_by_hand():
    """A picture of 10 × 20 shown as 30 × 40: x doubles, y triples."""
    batch = Batch(torch.zeros(1, 3, 32, 64), [(30, 40)], [(10, 20)])
    (inside,) = batch.inwards([torch.tensor([[1.0, 2, 3, 4]])])
    assert inside.tolist() == [[2, 6, 6, 12]]
    assert batch.inwards([torch.zeros(0, 4)])[0].shape == (0, 4)


@pytest.mark.parametrize(
    ("images", "error", "words"),
    [
        (torch.rand(3, 8, 8), ValueError, ["list of pictures [3, h, w]", "got one tensor [3, 8, 8]"]),
        ([], ValueError, ["at least one"]),
        (torch.rand(0, 3, 8, 8), ValueError, ["at least one"]),
        (None, TypeError, ["list of pictures [3, h, w]", "NoneType"]),
        ({"image": 1}, TypeError, ["list of pictures [3, h, w]", "dict"]),
        ([torch.rand(3, 8, 8), torch.zeros(3, 8, 8, dtype=torch.uint8)], TypeError, ["0 to 1", "number 1 is torch.uint8"]),
        ([torch.rand(3, 8, 8).numpy()], TypeError, ["number 0 is ndarray"]),
        ([torch.rand(3, 8, 8), torch.rand(8, 8)], ValueError, ["number 1 has [8, 8]"]),
        ([torch.rand(1, 8, 8)], ValueError, ["[3, h, w]", "number 0 has [1, 8, 8]"]),
        ([torch.rand(3, 0, 8)], ValueError, ["number 0 has [3, 0, 8]"]),
        ([torch.rand(3, 8, 8), torch.rand(3, 8, 8, device="meta")], ValueError, ["one device", "number 1 is on meta", "on cpu"]),
    ],
)
def test_what_is_no_picture(images, error, words):
    refuses(lambda: DetectorInput()(images), error, *words)


def test_gradients_reach_the_pictures():
    image = drawn((10, 12))[0].requires_grad_()
    DetectorInput(shorter_side=20, longer_side=40)([image]).images.sum().backward()
    assert (image.grad > 0).all()
