import pytest
import torch

from course.ops.anchors import (
    anchor_grid,
    anchor_grid_steps,
    base_anchors,
    default_boxes,
    default_boxes_of_level,
    default_scales,
    place_anchors,
)
from course.ops.step import replay
from tests.refusing import refuses


def test_shapes_by_hand():
    # Of size 32, twice as wide as high: 32 · √2 = 45.25 by 22.63, half of it to each side, rounded.
    assert base_anchors((32,), (0.5, 1, 2)).tolist() == [[-23, -11, 23, 11], [-16, -16, 16, 16], [-11, -23, 11, 23]]
    assert base_anchors((2, 4), (1, 4)).tolist() == [[-1, -1, 1, 1], [-2, -2, 2, 2], [0, -2, 0, 2], [-1, -4, 1, 4]]  # ½ goes to 0
    assert base_anchors([3], [1]).tolist() == [[-2, -2, 2, 2]]  # and 1½ to 2: halves to even


def test_a_grid_by_hand():
    anchors = anchor_grid((20, 31), [(2, 3)], ((4,),), (1,))
    assert anchors.tolist() == [[x - 2, y - 2, x + 2, y + 2] for y in (0, 10) for x in (0, 10, 20)]  # ⌊31 / 3⌋ = 10
    two = anchor_grid(8, [2, 1], ((2,), (4, 6)), ((1,), (1,)))
    assert two.tolist() == [
        *([x - 1, y - 1, x + 1, y + 1] for y in (0, 4) for x in (0, 4)),
        [-2, -2, 2, 2],
        [-3, -3, 3, 3],
    ]


def test_all_shapes_of_a_place_stand_together():
    anchors = anchor_grid(16, [2], ((4,),)).view(4, 3, 4)
    assert (anchors[1] - anchors[0])[:, 0].tolist() == [8, 8, 8] and (anchors[2] - anchors[0])[:, 1].tolist() == [8, 8, 8]


def test_places_by_hand():
    base = torch.tensor([[-1.0, -2, 3, 4], [0, 0, 1, 1]])
    rows = [[x - 1, y - 2, x + 3, y + 4, x, y, x + 1, y + 1] for y in (0, 10) for x in (0, 7, 14)]
    assert place_anchors(base, (2, 3), (10, 7)).view(6, 8).tolist() == rows
    assert place_anchors(base, 2, 8).shape == (8, 4) and place_anchors(base[:0], 2, 8).shape == (0, 4)
    for dtype in (torch.float16, torch.float64):
        assert place_anchors(base.to(dtype), 2, 8).dtype == dtype
    refuses(lambda: place_anchors(base[:, :3], 2, 8), ValueError, "base")
    refuses(lambda: place_anchors(base.long(), 2, 8), TypeError, "base")
    refuses(lambda: place_anchors(base, (0, 2), 8), ValueError, "map_size")
    refuses(lambda: place_anchors(base, 2, 0), ValueError, "stride")


def test_default_boxes_by_hand():
    boxes = default_boxes((100, 200), [(1, 2)], [[4]], [0.25, 1.0])
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    assert centres.tolist() == [[50, 50]] * 4 + [[150, 50]] * 4
    sides = (boxes[:, 2:] - boxes[:, :2])[:4]
    assert sides.tolist() == [[50, 25], [100, 50], [100, 12.5], [25, 50]]  # ¼, √(¼ · 1) = ½, ½ × ⅛ and ⅛ × ½ of the picture


def test_sides_are_cut_to_the_image_unless_not():
    assert default_boxes(100, [1], [[]], [0.5, 2.0]).tolist() == [[25, 25, 75, 75], [0, 0, 100, 100]]
    assert default_boxes(100, [1], [[]], [0.5, 8.0], clip=False).tolist() == [[25, 25, 75, 75], [-50, -50, 150, 150]]


def test_steps_set_the_centres():
    boxes = default_boxes((100, 50), [2], [[]], [0.5, 0.5], [30])
    centres = torch.tensor([[15.0, 15], [45, 15], [15, 45], [45, 45]])
    torch.testing.assert_close((boxes[:, :2] + boxes[:, 2:]) / 2, centres.repeat_interleave(2, 0))


def test_scales():
    assert default_scales(4, 0.2, 0.8) == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])
    assert default_scales(1) == [0.15, 0.9]


def test_precision_and_count():
    for dtype in (torch.float16, torch.float64):
        assert anchor_grid(64, [4, 2], ((16,), (32,)), dtype=dtype).dtype == dtype
        assert default_boxes(64, [4, 2], [[2], []], dtype=dtype).dtype == dtype
    assert anchor_grid(64, [4, 2], ((16,), (32,))).shape == (4 * 4 * 3 + 2 * 2 * 3, 4)
    assert default_boxes(64, [4, 2], [[2], []]).shape == (4 * 4 * 4 + 2 * 2 * 2, 4)


def test_the_steps():
    steps = list(anchor_grid_steps((4, 6), [(1, 2)], ((4,),), (1, 4)))
    assert [step.text for step in steps] == [
        "An anchor of size 4 that is 1 times as high as wide, rounded to whole pixels, is −2, −2, 2, 2.",
        "An anchor of size 4 that is 4 times as high as wide, rounded to whole pixels, is −1, −4, 1, 4.",
        "At row 0, column 0 the anchors stand around x 0, y 0.",
        "At row 0, column 1 the anchors stand around x 3, y 0.",
    ]
    assert steps[1].arithmetic == "4 / √4 = 2,  4 × √4 = 8" and steps[3].arithmetic == "1 × 3 = 3,  0 × 4 = 0"
    state = replay(steps, {"base": torch.zeros(2, 4), "output": torch.zeros(4, 4)})
    assert state["base"].tolist() == base_anchors((4,), (1, 4)).tolist()
    assert state["output"].tolist() == anchor_grid((4, 6), [(1, 2)], ((4,),), (1, 4)).tolist()
    several = list(anchor_grid_steps(4, [1, 1], ((2,), (4,)), (1,)))
    assert several[2].text == "On level 1, an anchor of size 4 that is 1 times as high as wide, rounded to whole pixels, is −2, −2, 2, 2."
    assert several[3].text == "On level 1, at row 0, column 0 the anchors stand around x 0, y 0."
    state = replay(several, {"base": torch.zeros(2, 4), "output": torch.zeros(2, 4)})
    assert state["base"].tolist() == state["output"].tolist() == [[-1, -1, 1, 1], [-2, -2, 2, 2]]
    assert several[3].reads["base"][0] == (1, 0)


@pytest.mark.parametrize("grid", [anchor_grid, lambda *given: list(anchor_grid_steps(*given))])
def test_what_is_no_grid(grid):
    refuses(lambda: grid(0, [1], ((1,),)), ValueError, "image_size must be at least 1")
    refuses(lambda: grid(8, 2, ((1,),)), TypeError, "map_sizes", "each level", "int")
    refuses(lambda: grid(8, [], ()), ValueError, "map_sizes", "at least 1", "got 0")
    refuses(lambda: grid(8, [2.5], ((1,),)), TypeError, "each of map_sizes", "2.5")
    refuses(lambda: grid(8, [2, 1], ((1,),)), ValueError, "sizes must have an entry for each level, 2; got 1")
    refuses(lambda: grid(8, [2], (32,)), TypeError, "sizes", "32")
    refuses(lambda: grid(8, [2], ((),)), ValueError, "sizes must be numbers above 0, at least 1 of them; got 0")
    refuses(lambda: grid(8, [2], ((0,),)), ValueError, "each of sizes", "got 0")
    refuses(lambda: grid(8, [2], ((4,),), (1, "2")), TypeError, "each of aspect_ratios", "'2'")
    refuses(lambda: grid(8, [2], ((4,),), ((1,), (1,))), ValueError, "aspect_ratios", "1; got 2")
    refuses(lambda: grid(8, [2], ((4,),), ()), ValueError, "aspect_ratios", "got 0")
    refuses(lambda: grid((8, 3), [(2, 4)], ((4,),)), ValueError, "map_sizes", "(8, 3)", "(2, 4)")


def test_a_level_by_itself_is_that_level_of_all():
    levels = [((3, 2), 0.25, 0.5, (2, 3), 20), ((1, 2), 0.5, 2.0, (), 45)]
    whole = default_boxes((60, 90), [(3, 2), (1, 2)], [(2, 3), ()], [0.25, 0.5, 2.0], [20, 45], clip=False)
    assert torch.equal(torch.cat([default_boxes_of_level((60, 90), *level, clip=False) for level in levels]), whole)
    assert default_boxes_of_level(100, 1, 0.5, 2.0, ()).tolist() == [[25, 25, 75, 75], [0, 0, 100, 100]]
    refuses(lambda: default_boxes_of_level(8, 2, 0, 0.5, ()), ValueError, "scale must be a finite number above 0; got 0")
    refuses(lambda: default_boxes_of_level(8, 2, 0.5, "1", ()), TypeError, "next_scale must be a number above 0", "'1'")
    refuses(lambda: default_boxes_of_level(8, 2, 0.5, 1, (), -1), ValueError, "step must be a finite number above 0; got -1")


def test_what_are_no_default_boxes():
    refuses(lambda: default_boxes(8, [2], [[2], [2]]), ValueError, "aspect_ratios must have an entry for each level, 1; got 2")
    refuses(lambda: default_boxes(8, [2], [2]), TypeError, "each of aspect_ratios", "got 2")
    refuses(lambda: default_boxes(8, [2], [[-2]]), ValueError, "each of aspect_ratios must be a finite number above 0; got -2")
    refuses(lambda: default_boxes(8, [2], [[2]], [0.5]), ValueError, "scales must be numbers above 0, 2 of them; got 1")
    refuses(lambda: default_boxes(8, [2], [[2]], [0.5, 0]), ValueError, "each of scales", "got 0")
    refuses(lambda: default_boxes(8, [2], [[2]], None, [4, 4]), ValueError, "steps must be numbers above 0, 1 of them; got 2")
    refuses(lambda: default_scales(0), ValueError, "levels must be at least 1")
    refuses(lambda: default_scales(3, 1.5), ValueError, "min_ratio")
