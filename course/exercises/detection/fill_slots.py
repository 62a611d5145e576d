"""Exercise: which object goes into which slot of a network with a fixed number of answers."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from course.exercises.drawing import whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.models.localizer import fill_slots

PROMPT = r"""
A network with S answers needs S targets for every picture, whatever is in it. Fill the slots by the **centres** of the boxes, from left to
right; of two whose centres are one above the other, the upper one comes first.

```text
               slots = 2          slots = 4
  ┌b┐
┌a┼─┼──┐       slot 0   b         slot 0   b             a, b, c with centres at
│ │ │  │       slot 1   a         slot 1   a             x = 4, 3.5 and 9
└─┼─┼──┘  ┌c┐                     slot 2   c
  └─┘     └─┘  c is forgotten     slot 3   label 0, box 0, 0, 0, 0      (the sketch is not to scale)
```

Return the boxes, `[S, 4]`, and the labels, `[S]`, in the order of the slots. Slots that are left over get label 0 (background) and a box
of zeros. Objects that are left over, the rightmost ones, have no slot: the network cannot say that they are there. There may be no object
at all. Boxes keep their dtype, and so do labels.
""".strip()

DOCSTRING = """
Objects into slots, by their centres from left to right; of two above one another, the upper one first.

Args:
    boxes: xyxy [n, 4]; n may be 0.
    labels: int64 [n], from 1.
    slots: S, at least 1.

Returns: boxes [S, 4] and labels [S]. Slots that are left over have label 0 and a box of zeros.
""".strip()


def _by_numpy(boxes: Tensor, labels: Tensor, slots: int) -> tuple[Tensor, Tensor]:
    import numpy as np

    sides, names = boxes.cpu().numpy(), labels.cpu().numpy()
    order = np.lexsort(((sides[:, 1] + sides[:, 3]) / 2, (sides[:, 0] + sides[:, 2]) / 2))[:slots]  # the last key counts first
    missing = slots - len(order)
    sides, names = np.pad(sides[order], ((0, missing), (0, 0))), np.pad(names[order], (0, missing))
    return torch.from_numpy(sides), torch.from_numpy(names)


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def case(name: str, boxes: list, slots: int, shuffled: bool = True, dtype: torch.dtype = torch.float32) -> Case:
        order = torch.randperm(len(boxes), generator=draw) if shuffled else torch.arange(len(boxes))
        # Labels all different, and none that sorts the boxes as their centres do.
        labels = torch.randperm(6, generator=draw)[: len(boxes)] + 1
        places = torch.tensor(boxes, dtype=dtype).reshape(-1, 4)[order]
        return Case(name, {"boxes": places, "labels": labels, "slots": slots})

    def apart(count: int) -> list:
        """Boxes that stand side by side, each as wide and high as it happens."""
        rows, x = [], 0
        for _ in range(count):
            x, y = x + whole(draw, 1, 4), whole(draw, 0, 9)
            rows.append([x, y, x + whole(draw, 2, 7), y + whole(draw, 2, 7)])
            x = rows[-1][2]
        return rows

    x, y = whole(draw, 5, 9), whole(draw, 0, 5)
    yield case("the right one comes first", [[x + 8, y, x + 10, y + 3], [x, y + 5, x + 6, y + 9]], 2, shuffled=False)
    # The wide box begins further left and ends further right, and its centre is on the right.
    yield case("a wide box around a narrow one", [[x - 4, y, x + 20, y + 3], [x, y + 5, x + 4, y + 9]], 2, shuffled=False)
    # Centre of the wide box on the left, though it ends last.
    yield case("the other way round", [[x, y, x + 6, y + 3], [x - 5, y + 5, x + 9, y + 9]], 2, shuffled=False)
    middle = whole(draw, 8, 12)
    column = [[middle - w, top, middle + w, top + 4] for w, top in ((5, 20), (2, 3), (4, 11))]
    yield case("one above the other", column, 3, shuffled=False)
    yield case("three objects, five slots", apart(3), 5)
    yield case("four objects, two slots", apart(4), 2)
    left, between, right = apart(3)
    yield case("one object too many, and it stands in the middle of the list", [left, right, between], 2, shuffled=False)
    yield case("one object, one slot", apart(1), 1)
    yield case("no object", [], 3)
    yield case("six objects", apart(6), 6)
    yield case("float64", apart(4), 4, dtype=torch.float64)


def _filled(boxes: Tensor, labels: Tensor, slots: int, order) -> tuple[Tensor, Tensor]:
    """The objects `order` names, and empty slots behind them."""
    order = list(order)[:slots]
    places, names = boxes.new_zeros(slots, 4), labels.new_zeros(slots)
    places[: len(order)], names[: len(order)] = boxes[order], labels[order]
    return places, names


def _sorted_by(key: Callable[[list], object]) -> Callable:
    def wrong(boxes, labels, slots):
        rows = boxes.tolist()
        return _filled(boxes, labels, slots, sorted(range(len(rows)), key=lambda i: key(rows[i])))

    return wrong


def _centre(row: list) -> tuple[float, float]:
    return (row[0] + row[2]) / 2, (row[1] + row[3]) / 2


def _order(boxes: Tensor) -> list[int]:
    rows = boxes.tolist()
    return sorted(range(len(rows)), key=lambda i: _centre(rows[i]))


def _as_they_come(boxes, labels, slots):
    return _filled(boxes, labels, slots, range(len(boxes)))


def _labels_left_behind(boxes, labels, slots):
    return fill_slots(boxes, labels, slots)[0], _as_they_come(boxes, labels, slots)[1]


def _leftmost_forgotten(boxes, labels, slots):
    return _filled(boxes, labels, slots, _order(boxes)[-slots:])


def _cut_off_first(boxes, labels, slots):
    return fill_slots(boxes[:slots], labels[:slots], slots)


def _padded_first(boxes, labels, slots):
    rows = torch.cat([boxes, boxes.new_zeros(max(0, slots - len(boxes)), 4)])
    names = torch.cat([labels, labels.new_zeros(max(0, slots - len(labels)))])
    return _filled(rows, names, slots, _order(rows))


def _not_padded(boxes, labels, slots):
    order = _order(boxes)[:slots]
    return boxes[order], labels[order]


def _last_one_again(boxes, labels, slots):
    order = _order(boxes)[:slots]
    return _filled(boxes, labels, slots, order + order[-1:] * (slots - len(order)))


def _void_label(boxes, labels, slots):
    places, names = fill_slots(boxes, labels, slots)
    return places, names.masked_fill(names == 0, -1)


def _only_where_full(boxes, labels, slots):
    places, names = boxes.new_zeros(slots, 4), labels.new_zeros(slots)
    places[: len(boxes)], names[: len(boxes)] = boxes[_order(boxes)], labels[_order(boxes)]
    return places, names


def _always_float32(boxes, labels, slots):
    places, names = fill_slots(boxes, labels, slots)
    return places.float(), names


FILL_SLOTS = Exercise(
    prompt=PROMPT,
    solution=fill_slots,
    docstring=DOCSTRING,
    reference=_by_numpy,
    reference_name="numpy.lexsort of the centres",
    cases=_cases,
    tolerance=0.0,
    common_mistakes=(
        Mistake(
            "as they come",
            _as_they_come,
            "This is what happens when the objects go into the slots as they come. Their order in the target means nothing; sort them.",
        ),
        Mistake(
            "by the left edge",
            _sorted_by(lambda row: (row[0], row[1])),
            "This is what happens when the left edge decides. The centre does: (x1 + x2) / 2.",
        ),
        Mistake(
            "by the right edge",
            _sorted_by(lambda row: (row[2], row[3])),
            "This is what happens when the right edge decides. The centre does: (x1 + x2) / 2.",
        ),
        Mistake(
            "from right to left",
            _sorted_by(lambda row: (-_centre(row)[0], _centre(row)[1])),
            "This is what happens when the rightmost object comes first. The smallest x has slot 0.",
        ),
        Mistake(
            "from top to bottom",
            _sorted_by(lambda row: _centre(row)[::-1]),
            "This is what happens when y decides first. x does, and y only where two centres have the same x.",
        ),
        Mistake(
            "the same x left as it came",
            _sorted_by(lambda row: _centre(row)[0]),
            "This is what happens when x alone decides. Where two centres have the same x, the upper one, with the smaller y, comes first.",
        ),
        Mistake(
            "the largest first",
            _sorted_by(lambda row: -(row[2] - row[0]) * (row[3] - row[1])),
            "This is what happens when the largest box comes first. Where it is decides, not how large.",
        ),
        Mistake(
            "labels left behind",
            _labels_left_behind,
            "This is what happens when the boxes are sorted and the labels are not. Both move together.",
        ),
        Mistake(
            "leftmost forgotten",
            _leftmost_forgotten,
            "This is what happens when there are too many objects and the first ones are dropped. The rightmost have no slot: take "
            "order[:slots].",
        ),
        Mistake(
            "cut off first",
            _cut_off_first,
            "This is what happens when objects are cut off before they are sorted. Sort first, then take as many as there are slots.",
        ),
        Mistake(
            "padded first",
            _padded_first,
            "This is what happens when zeros are added before the sorting: a box of zeros has its centre furthest left. Sort first.",
        ),
        Mistake(
            "empty slots left out",
            _not_padded,
            "This is what happens when only the filled slots are returned. The network always has S answers, so there are S targets.",
        ),
        Mistake(
            "the last one again",
            _last_one_again,
            "This is what happens when empty slots repeat the last object. Their label is 0, and their box is of zeros.",
        ),
        Mistake(
            "−1 for empty",
            _void_label,
            "This is what happens when empty slots have the label −1. Background is class 0, and saying so is what they have to learn.",
        ),
        Mistake(
            "no room",
            _only_where_full,
            "This is what happens when more objects than slots are written into the slots. Take the first ones only: order[:slots].",
            error="must match the existing size|expanded size|shape mismatch|must match the size",
        ),
        Mistake(
            "always float32",
            _always_float32,
            "This is what happens when the boxes are written into torch.zeros, which gives float32. boxes.new_zeros(...) has the dtype and "
            "the device of boxes.",
        ),
    ),
)
