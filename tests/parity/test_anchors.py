"""course.ops.anchors against torchvision's AnchorGenerator and DefaultBoxGenerator."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList

from course.ops.anchors import anchor_grid, anchor_grid_steps, default_boxes, default_scales
from course.ops.step import replay

properties = settings(max_examples=100, deadline=None)
DTYPES = (torch.float32, torch.float64)
RATIOS = st.lists(st.sampled_from([0.33, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0]), min_size=1, max_size=3).map(tuple)
IMAGES = st.tuples(st.integers(20, 130), st.integers(20, 130))


@st.composite
def pyramids(draw, most=4):
    """(image_size, map_sizes)."""
    image = draw(IMAGES)
    count = draw(st.integers(1, most))
    return image, [(draw(st.integers(1, max(1, image[0] // 8))), draw(st.integers(1, max(1, image[1] // 8)))) for _ in range(count)]


def theirs(generator, image, maps, dtype=torch.float32):
    """What a generator of torchvision gives for one image."""
    images = ImageList(torch.zeros(1, 3, *image), [image])
    (boxes,) = generator(images, [torch.zeros(1, 1, *size, dtype=dtype) for size in maps])
    return boxes


@properties
@given(pyramid=pyramids(), dtype=st.sampled_from(DTYPES), data=st.data())
def test_anchors_are_torchvisions(pyramid, dtype, data, device):
    image, maps = pyramid
    sizes = tuple(data.draw(st.lists(st.sampled_from([7, 16, 32, 45.3, 128, 512]), min_size=1, max_size=3).map(tuple)) for _ in maps)
    ratios = tuple(data.draw(RATIOS) for _ in maps)
    expected = theirs(AnchorGenerator(sizes, ratios), image, maps, dtype)
    found = anchor_grid(image, maps, sizes, ratios, dtype=dtype, device=device)
    assert found.device.type == device.type
    torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=0)
    same = theirs(AnchorGenerator(sizes, (ratios[0],) * len(maps)), image, maps, dtype)
    torch.testing.assert_close(anchor_grid(image, maps, sizes, ratios[0], dtype=dtype), same, rtol=0, atol=0)


@settings(max_examples=30, deadline=None)
@given(pyramid=pyramids(most=2), ratios=RATIOS)
def test_last_state_of_the_steps_is_torchvisions(pyramid, ratios):
    image, maps = pyramid
    sizes = ((16, 40), (64,))[: len(maps)]
    expected = theirs(AnchorGenerator(sizes, (ratios,) * len(maps)), image, maps)
    state = replay(anchor_grid_steps(image, maps, sizes, ratios), {"output": expected + 99})
    torch.testing.assert_close(state["output"], expected, rtol=0, atol=0)


def test_those_of_faster_r_cnn_on_a_picture(device):
    maps = [(200, 272), (100, 136), (50, 68), (25, 34), (13, 17)]
    sizes = ((32,), (64,), (128,), (256,), (512,))
    expected = theirs(AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * 5), (800, 1088), maps)
    torch.testing.assert_close(anchor_grid((800, 1088), maps, sizes, device=device).cpu(), expected, rtol=0, atol=0)


@properties
@given(
    pyramid=pyramids(),
    ends=st.tuples(st.sampled_from([0.07, 0.15, 0.2]), st.sampled_from([0.8, 0.9, 1.0])),
    clip=st.booleans(),
    own=st.booleans(),
    stepped=st.booleans(),
    data=st.data(),
)
def test_default_boxes_are_torchvisions(pyramid, ends, clip, own, stepped, data, device):
    image, maps = pyramid
    ratios = [data.draw(st.lists(st.sampled_from([2, 3, 1.6]), max_size=2)) for _ in maps]
    scales = [data.draw(st.floats(0.02, 1.3)) for _ in range(len(maps) + 1)] if own else None
    steps = [data.draw(st.sampled_from([8, 16, 30, 100])) for _ in maps] if stepped else None
    generator = DefaultBoxGenerator(ratios, *ends, scales=scales, steps=steps, clip=clip)
    ours = scales if own else default_scales(len(maps), *ends)
    assert ours == pytest.approx(generator.scales, rel=1e-15)
    found = default_boxes(image, maps, ratios, ours, steps, clip, device=device)
    torch.testing.assert_close(found.cpu(), theirs(generator, image, maps), rtol=1e-6, atol=1e-5)


def test_those_of_ssd300():
    ratios, steps = [[2], [2, 3], [2, 3], [2, 3], [2], [2]], [8, 16, 32, 64, 100, 300]
    scales = [0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05]
    maps = [(38, 38), (19, 19), (10, 10), (5, 5), (3, 3), (1, 1)]
    expected = theirs(DefaultBoxGenerator(ratios, scales=scales, steps=steps), (300, 300), maps)
    assert len(expected) == 8732  # paper, section 3.1
    torch.testing.assert_close(default_boxes(300, maps, ratios, scales, steps), expected, rtol=0, atol=0)
