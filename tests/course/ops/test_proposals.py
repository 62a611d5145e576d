import torch

from course.ops.proposals import filter_proposals
from tests.refusing import refuses

SIZE = (100, 200)
# The first three overlap with IoU 0.9 and 0.82 (shared 18 and 18 of 20 pixels a row), the fourth is apart.
BOXES = torch.tensor([[10.0, 10, 30, 30], [11, 10, 31, 30], [10, 11, 30, 31], [100, 50, 140, 90]])
SCORES = torch.tensor([0.5, 2.0, 1.0, -3.0])
ONE, TWO = torch.zeros(4, dtype=torch.int64), torch.tensor([0, 0, 1, 1])


def kept(boxes=BOXES, scores=SCORES, levels=None, size=SIZE, **numbers):
    indices = filter_proposals(boxes, scores, levels, size, **numbers)
    assert indices.dtype == torch.int64
    return indices.tolist()


def test_the_best_of_each_heap_stays_best_first():
    assert kept() == [1, 3] == kept(levels=ONE)
    assert kept(nms_threshold=1.0) == [1, 2, 0, 3]  # logits below 0 are scores like others


def test_levels_do_not_remove_each_other():
    assert kept(levels=TWO) == [1, 2, 3]
    assert kept(levels=torch.tensor([7, 3, 7, 3])) == [1, 2, 3]  # whatever their numbers; 0 goes because of 2


def test_the_first_cut_is_one_for_each_level():
    assert kept(levels=TWO, pre_nms=1) == [1, 2]
    assert kept(pre_nms=3) == [1]  # before suppression: the three best are one heap
    assert kept(pre_nms=1) == [1] and kept(pre_nms=4) == [1, 3]


def test_the_last_cut_is_one_for_all_levels():
    assert kept(levels=TWO, post_nms=2) == [1, 2] and kept(levels=TWO, post_nms=1) == [1]


def test_clipped_boxes_are_compared():
    beyond = torch.tensor([[150.0, 10, 210, 50], [150, 10, 400, 50]])  # within 200 pixels they are the same
    assert kept(beyond, torch.tensor([1.0, 2.0])) == [1]
    assert kept(beyond, torch.tensor([1.0, 2.0]), size=500) == [1, 0]
    assert (
        kept(beyond.flip(1) * 1.0, torch.tensor([1.0, 2.0]), size=(400, 200), nms_threshold=0.99) == []
    )  # inverted: nothing is left of it


def test_what_is_too_small_once_clipped_goes():
    thin = torch.tensor(
        [[10.0, 10, 14, 60], [20, 10, 23, 60], [30, 10, 80, 13], [196, 20, 260, 60], [197, 20, 260, 60], [300, 20, 400, 60]]
    )
    scores = torch.arange(6.0)
    assert kept(thin, scores, min_size=4.0) == [3, 0]
    assert kept(thin, scores, min_size=1e-3) == [4, 2, 1, 0]  # 3, of 4 × 40 pixels, goes because of 4
    assert kept(thin, scores, min_size=1e-3, nms_threshold=1.0) == [4, 3, 2, 1, 0]
    assert 5 in kept(thin, scores)  # with min_size 0 a box without area stays, as in torchvision


def test_no_boxes_and_no_proposals():
    assert kept(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64)) == []
    assert kept(torch.zeros(0, 4), torch.zeros(0)) == []
    assert kept(min_size=90.0) == []


def test_inputs_stay_as_they_are():
    boxes, scores = BOXES.clone() + 170, SCORES.clone()
    before = boxes.clone()
    kept(boxes, scores, TWO)
    assert torch.equal(boxes, before) and torch.equal(scores, SCORES)


def test_what_is_refused():
    def call(*given, **numbers):
        return lambda: filter_proposals(*given, **numbers)

    refuses(call(BOXES[:, :3], SCORES, None, SIZE), ValueError, "boxes")
    refuses(call(BOXES / 0, SCORES, None, SIZE), ValueError, "boxes")
    refuses(call(BOXES, SCORES[:3], None, SIZE), ValueError, "scores")
    refuses(call(BOXES, SCORES * torch.nan, None, SIZE), ValueError, "scores")
    refuses(call(BOXES, SCORES, ONE[:3], SIZE), ValueError, "levels")
    refuses(call(BOXES, SCORES, None, (0, 10)), ValueError, "size")
    for name in ("pre_nms", "post_nms"):
        refuses(call(BOXES, SCORES, None, SIZE, **{name: 0}), ValueError, name)
        refuses(call(BOXES, SCORES, None, SIZE, **{name: 1.5}), TypeError, name)
    refuses(call(BOXES, SCORES, None, SIZE, nms_threshold=1.1), ValueError, "iou_threshold")
    refuses(call(BOXES, SCORES, None, SIZE, min_size=-1), ValueError, "min_size")
