import pytest
import torch

from course.ops.windows import extract_patches, extract_patches_steps, window_coverage, window_positions, window_view
from tests.refusing import refuses

IMAGE = torch.arange(12.0).view(3, 4)


def test_positions_by_hand():
    assert window_positions((3, 4), 2, 1) == (2, 3)
    assert window_positions((3, 4), 2, 2) == (1, 2)
    assert window_positions((300, 451), 224, 32) == (3, 8)
    assert window_positions((300, 451), 224, 1) == (77, 228)
    assert window_positions(5, (1, 5), (3, 1)) == (2, 1)
    assert window_positions(4, 4, 100) == (1, 1)


def test_patches_by_hand():
    patches = extract_patches(IMAGE, 2, (1, 2))
    assert patches.tolist() == [[[0, 1], [4, 5]], [[2, 3], [6, 7]], [[4, 5], [8, 9]], [[6, 7], [10, 11]]]


@pytest.mark.parametrize("lead", [(), (1,), (3,), (1, 3), (2, 3)])
def test_shapes(lead):
    image = torch.rand(*lead, 7, 9)
    assert extract_patches(image, (3, 4), 2).shape == (*lead[:-1], 9, *lead[-1:], 3, 4)
    assert window_view(image, (3, 4), 2).shape == (*lead[:-1], 3, 3, *lead[-1:], 3, 4)


def test_the_whole_picture_is_one_patch():
    torch.testing.assert_close(extract_patches(IMAGE, (3, 4), 1), IMAGE[None], rtol=0, atol=0)


def test_patches_are_copies_and_the_view_is_none():
    image = IMAGE.clone()
    patches, view = extract_patches(image, 2, 1), window_view(image, 2, 1)
    image.zero_()
    assert patches.sum() > 0 and view.sum() == 0
    assert view.untyped_storage().nbytes() == image.untyped_storage().nbytes()
    large = window_view(torch.zeros(3, 300, 451), 224, 1)  # 17,556 windows: as copies 10.6 GB
    assert large.shape == (77, 228, 3, 224, 224)


def test_coverage_by_hand():
    assert window_coverage((3, 4), 2, 1).tolist() == [[1, 2, 2, 1], [2, 4, 4, 2], [1, 2, 2, 1]]
    assert window_coverage((3, 5), (1, 2), (2, 3)).tolist() == [[1, 1, 0, 1, 1], [0, 0, 0, 0, 0], [1, 1, 0, 1, 1]]
    assert window_coverage(3, 2, 2).tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]  # the last window does not reach the end


def test_coverage_of_a_large_window():
    counts = window_coverage((300, 451), 224, 1)
    assert counts.max() == 77 * 224  # all 77 rows of windows see row 150, and 224 of the 228 columns see a column in the middle
    assert counts[0, 0] == 1
    assert counts.sum() == 77 * 228 * 224 * 224


def test_a_step():
    steps = list(extract_patches_steps(IMAGE, 2, (1, 2)))
    assert len(steps) == 4
    assert steps[2].sentence == "Window 2 starts at row 1, column 0: copy its [4 numbers|read] into [patch 2|write]."
    assert steps[2].arithmetic == "2 = 1 × 2 + 0: rows 1…2, columns 0…1"
    assert steps[2].reads == {"input": ((1, 0), (1, 1), (2, 0), (2, 1))}
    assert steps[2].writes == {"output": {(2, 0, 0): 4, (2, 0, 1): 5, (2, 1, 0): 8, (2, 1, 1): 9}}


def test_a_step_of_one_pixel_and_a_step_in_a_batch():
    assert next(extract_patches_steps(IMAGE, 1, 1)).text == "Window 0 starts at row 0, column 0: copy its 0 into patch 0."
    step = list(extract_patches_steps(IMAGE.expand(2, 3, 3, 4), 2, 1))[-1]
    assert step.text == "In image 1, window 5 starts at row 1, column 2: copy its 12 numbers into patch 5."
    assert step.reads["input"][-1] == (1, 2, 2, 3) and list(step.writes["output"])[-1] == (1, 5, 2, 1, 1)


ON_IMAGES = {
    "extract_patches": extract_patches,
    "window_view": window_view,
    "extract_patches_steps": lambda *arguments: list(extract_patches_steps(*arguments)),
}
ON_SIZES = {"window_positions": window_positions, "window_coverage": window_coverage}


@pytest.mark.parametrize("function", ON_IMAGES.values(), ids=ON_IMAGES)
@pytest.mark.parametrize(
    "image, error, words",
    [
        ([[1.0]], TypeError, ("image", "torch.Tensor", "list")),
        (torch.ones(3, 4, dtype=torch.bool), TypeError, ("image", "torch.bool")),
        (torch.ones(4), ValueError, ("image", "[4]")),
        (torch.ones(1, 1, 1, 4, 4), ValueError, ("image", "5 dimensions")),
        (torch.ones(0, 3, 4, 4), ValueError, ("image", "empty")),
    ],
)
def test_what_is_not_a_picture(function, image, error, words):
    refuses(lambda: function(image, 1, 1), error, *words)


@pytest.mark.parametrize(
    "window, stride, error, words",
    [
        (4, 1, ValueError, ("3 × 4 pixels", "got a window of 4 × 4")),
        ((3, 5), 1, ValueError, ("got a window of 3 × 5",)),
        (0, 1, ValueError, ("at least 1", "got 0")),
        (2.0, 1, TypeError, ("integer", "2.0")),
        (True, 1, TypeError, ("True",)),
        (None, 1, TypeError, ("None",)),
        ((1, 2, 3), 1, ValueError, ("3 values",)),
        (2, 0, ValueError, ("stride", "at least 1")),
        (2, -1, ValueError, ("stride", "-1")),
        (2, (1, 1.5), TypeError, ("stride", "1.5")),
    ],
)
def test_what_is_not_a_window(window, stride, error, words):
    for function in ON_IMAGES.values():
        refuses(lambda f=function: f(IMAGE, window, stride), error, *words)
    for function in ON_SIZES.values():
        refuses(lambda f=function: f((3, 4), window, stride), error, *words)


def test_the_window_is_called_what_the_caller_calls_it():
    refuses(lambda: extract_patches(IMAGE, 5, 1), ValueError, "size must fit")
    refuses(lambda: window_positions(3, 5, 1), ValueError, "window must fit")
    refuses(lambda: window_positions(0, 1, 1), ValueError, "size must be at least 1")
