"""YOLO against slow plain loops, written from the paper's equation 3, and against numbers worked by hand; its edges, and broken input.

torchvision has no YOLO, so the loops below are the peer: plain Python numbers, one cell, one box, one class at a time.
"""

import math

import pytest
import torch
from torch import nn

from course.models.detector_input import DetectorInput
from course.models.stages import Stages
from course.models.yolo import (
    YOLO,
    CellTargets,
    GridHead,
    coordinate_losses,
    decode_predictions,
    detect,
    encode_targets,
    lost_objects,
    perfect_predictions,
    responsible_boxes,
    split_predictions,
    stack_targets,
    yolo_loss_cells,
    yolo_losses,
)
from tests.refusing import refuses

TERMS = ["centre", "size", "object", "no_object", "class"]
SIZE = (48, 64)  # height, width


# --- the peer: loops


def looped_targets(boxes, labels, size, grid):
    """{(row, column): (x, y, w, h, label, object)}, the first object of each cell."""
    height, width = size
    cells = {}
    for number, ((x1, y1, x2, y2), label) in enumerate(zip(boxes.tolist(), labels.tolist(), strict=True)):
        x1, x2, y1, y2 = max(x1, 0), min(x2, width), max(y1, 0), min(y2, height)
        across, down = (x1 + x2) / 2 / width * grid, (y1 + y2) / 2 / height * grid
        column, row = min(int(across), grid - 1), min(int(down), grid - 1)
        if (row, column) not in cells:
            cells[row, column] = (across - column, down - row, (x2 - x1) / width, (y2 - y1) / height, label, number)
    return cells


def looped_iou(a, b, grid):
    """Of two boxes (x, y, w, h) of one cell."""
    corners = []
    for x, y, w, h in (a, b):
        corners.append((x / grid - w / 2, y / grid - h / 2, x / grid + w / 2, y / grid + h / 2))
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = corners
    width, height = min(ax2, bx2) - max(ax1, bx1), min(ay2, by2) - max(ay1, by1)
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / (a[2] * a[3] + b[2] * b[3] - width * height)


def looped_responsible(predicted, truth, grid):
    ious = [looped_iou(box, truth, grid) for box in predicted]
    if max(ious) > 0:
        return ious.index(max(ious))
    errors = []
    for x, y, w, h in predicted:
        far = ((x - truth[0]) / grid, (y - truth[1]) / grid, w - truth[2], h - truth[3])
        errors.append(math.sqrt(sum(d * d for d in far) / 4))
    return errors.index(min(errors))


def looped_losses(predictions, pictures, boxes, coordinates=5.0, no_object=0.5, square_roots=True):
    """{term: a list of N tables [S, S]}, from equation 3. pictures: what looped_targets gives for each."""
    images, grid, _, numbers = predictions.shape
    tables = {name: [[[0.0] * grid for _ in range(grid)] for _ in range(images)] for name in TERMS}
    root = math.sqrt if square_roots else float
    for n in range(images):
        for row in range(grid):
            for column in range(grid):
                vector = predictions[n, row, column].tolist()
                predicted = [vector[5 * b : 5 * b + 4] for b in range(boxes)]
                cell = pictures[n].get((row, column))
                chosen = None if cell is None else looped_responsible(predicted, cell[:4], grid)
                for b in range(boxes):
                    confidence = vector[5 * b + 4]
                    if b != chosen:
                        tables["no_object"][n][row][column] += no_object * confidence**2
                        continue
                    x, y, w, h = predicted[b]
                    tables["centre"][n][row][column] = coordinates * ((x - cell[0]) ** 2 + (y - cell[1]) ** 2)
                    tables["size"][n][row][column] = coordinates * ((root(w) - root(cell[2])) ** 2 + (root(h) - root(cell[3])) ** 2)
                    tables["object"][n][row][column] = (confidence - looped_iou(predicted[b], cell[:4], grid)) ** 2
                if cell is not None:
                    for kind in range(5 * boxes, numbers):
                        true = 1.0 if kind - 5 * boxes + 1 == cell[4] else 0.0
                        tables["class"][n][row][column] += (vector[kind] - true) ** 2
    return tables


# --- drawing


def random_boxes(count, size=SIZE, seed=0, dtype=torch.float64):
    """Boxes in the picture, some of them thin, some nearly as large as it."""
    draw = torch.Generator().manual_seed(seed)
    sides = torch.tensor([size[1], size[0]], dtype=dtype)
    ends = torch.rand(count, 2, 2, generator=draw, dtype=dtype) * (sides - 1)
    return torch.cat((ends.amin(1), ends.amax(1) + 1), 1)


def random_labels(count, classes, seed=0):
    return torch.randint(1, classes + 1, (count,), generator=torch.Generator().manual_seed(seed))


def random_predictions(images, grid, boxes, classes, seed=0):
    return torch.rand(images, grid, grid, 5 * boxes + classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def as_tables(targets, size=SIZE):
    """CellTargets of one picture in the form of looped_targets."""
    cells = {}
    for row, column in (targets.labels > 0).nonzero().tolist():
        place = (row, column)
        cells[place] = (*targets.boxes[place].tolist(), targets.labels[place].item(), targets.objects[place].item())
    return cells


def small(grid=3, boxes=2, classes=3, size=(32, 32), **options):
    torch.manual_seed(0)
    backbone = Stages({16: nn.Sequential(nn.Conv2d(3, 8, 5, 8, 2), nn.ReLU(), nn.Conv2d(8, 12, 3, 2, 1), nn.ReLU())})
    return YOLO(
        prepare=DetectorInput(normalise=False, size=size),
        backbone=backbone,
        head=GridHead(channels=12, width=16, grid=grid, numbers=5 * boxes + classes),
        grid=grid,
        boxes=boxes,
        classes=classes,
        **options,
    )


def pictures(*sizes, seed=1):
    torch.manual_seed(seed)
    return [torch.rand(3, *size) for size in sizes]


def target(*boxes):
    return {"boxes": torch.tensor(boxes).reshape(-1, 4), "labels": torch.arange(len(boxes)) % 3 + 1}


OBJECTS = [[4.0, 6, 30, 28], [20, 10, 60, 44]]


# --- targets


@pytest.mark.parametrize("grid", [1, 3, 5, 7, 10])
@pytest.mark.parametrize("seed", range(4))
def test_targets_are_those_of_a_loop(grid, seed):
    """Twelve objects, so that in a small grid some are lost."""
    boxes, labels = random_boxes(12, seed=seed), random_labels(12, 5, seed)
    found = encode_targets(boxes, labels, SIZE, grid)
    expected = looped_targets(boxes, labels, SIZE, grid)
    assert as_tables(found).keys() == expected.keys() and found.boxes.shape == (grid, grid, 4)
    for place, values in as_tables(found).items():
        assert values == pytest.approx(expected[place], abs=1e-12) and values[5] == expected[place][5]
    empty = found.labels == 0
    assert not found.boxes[empty].any() and (found.objects[empty] == -1).all() and found.labels.dtype == found.objects.dtype == torch.int64


def test_a_cell_by_hand():
    """A picture of 40 × 80 and a grid of 4: cells 20 wide and 10 high. The centre (55, 12) is 3/4 into column 2 and 1/5 into row 1."""
    found = encode_targets(torch.tensor([[47.0, 4, 63, 20]]), torch.tensor([6]), (40, 80), 4)
    assert found.labels.nonzero().tolist() == [[1, 2]] and found.labels[1, 2] == 6 and found.objects[1, 2] == 0
    torch.testing.assert_close(found.boxes[1, 2], torch.tensor([0.75, 0.2, 0.2, 0.4]))


@pytest.mark.parametrize("grid, size", [(4, (40, 80)), (7, (448, 448)), (7, (70, 49)), (3, (128, 96))])
def test_a_centre_on_a_border_belongs_to_the_cell_right_and_below(grid, size):
    """All borders that lie on a whole pixel; 1/7 has no exact number, so multiplying with it would put some into the wrong cell."""
    height, width = size
    for k in range(grid):
        if k * width % grid or k * height % grid or not k:
            continue
        x, y = k * width // grid, k * height // grid
        found = encode_targets(torch.tensor([[x - 2.0, y - 3, x + 2, y + 3]]), torch.tensor([1]), size, grid)
        assert found.labels.nonzero().tolist() == [[k, k]] and found.boxes[k, k, :2].tolist() == [0, 0]


def test_a_centre_on_the_pictures_edge_belongs_to_the_last_cell():
    """Of a box that reaches beyond the edge only what is inside counts; a box of no more than a rounding error is on the edge itself."""
    corner = torch.tensor([[64 - 1e-13, 48 - 1e-13, 70, 60]], dtype=torch.float64)
    found = encode_targets(corner, torch.tensor([2]), SIZE, 4)
    assert found.labels.nonzero().tolist() == [[3, 3]]
    torch.testing.assert_close(found.boxes[3, 3], torch.tensor([1.0, 1, 0, 0], dtype=torch.float64))
    first = encode_targets(torch.tensor([[-5.0, -9, 0.5, 0.25]]), torch.tensor([2]), SIZE, 4)
    torch.testing.assert_close(first.boxes[0, 0], torch.tensor([0.25 / 16, 0.125 / 12, 0.5 / 64, 0.25 / 48]))


def test_a_box_larger_than_the_picture_is_cut_off_at_its_edge():
    found = encode_targets(torch.tensor([[-100.0, -5, 640, 80]]), torch.tensor([1]), SIZE, 3)
    assert found.labels.nonzero().tolist() == [[1, 1]] and found.boxes[1, 1].tolist() == [0.5, 0.5, 1, 1]


def test_of_two_centres_in_a_cell_the_first_stays_and_the_others_are_counted():
    boxes = torch.tensor([[2.0, 2, 10, 10], [1, 1, 15, 11], [50, 40, 60, 46], [0, 0, 9, 12]])
    found = encode_targets(boxes, torch.tensor([3, 1, 2, 1]), SIZE, 3)
    assert found.labels[0, 0] == 3 and found.objects[0, 0] == 0 and found.objects.max() == 2 and (found.objects >= 0).sum() == 2
    assert lost_objects(boxes, SIZE, 3).tolist() == [1, 3] and lost_objects(boxes.flip(0), SIZE, 3).tolist() == [2, 3]
    assert encode_targets(boxes.flip(0), torch.tensor([1, 2, 1, 3]), SIZE, 3).labels[0, 0] == 1
    assert lost_objects(boxes, SIZE, 16).tolist() == [3]  # 1 has its own cell, 0 and 3 share one of 4 × 3 pixels


def test_a_picture_without_an_object():
    found = encode_targets(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), SIZE, 4)
    assert not found.boxes.any() and not found.labels.any() and (found.objects == -1).all()
    assert lost_objects(torch.zeros(0, 4), SIZE, 4).tolist() == []


def test_targets_keep_the_precision_of_the_boxes():
    for dtype, expected in ((torch.float64, torch.float64), (torch.float32, torch.float32), (torch.float16, torch.float32)):
        found = encode_targets(torch.tensor([[3.0, 4, 12, 20]], dtype=dtype), torch.tensor([1]), SIZE, 4)
        assert found.boxes.dtype == expected and found.boxes[1, 0].tolist() == pytest.approx([7.5 / 16, 0, 9 / 64, 16 / 48])


@pytest.mark.parametrize(
    "boxes, labels, size, words",
    [
        ([[1.0, 2, math.nan, 4]], [1], SIZE, ["finite", "nan"]),
        ([[1.0, 2, 1, 4]], [1], SIZE, ["widths and heights above 0", "[1.0, 2.0, 1.0, 4.0]"]),
        ([[70.0, 2, 90, 4]], [1], SIZE, ["64 pixels wide and 48 high", "[70.0, 2.0, 90.0, 4.0]"]),
        ([[1.0, 2, 3, 4]], [0], SIZE, ["labels must be from 1", "got 0"]),
        ([[1.0, 2, 3, 4]], [1, 2], SIZE, ["labels must have shape [1]"]),
        ([[1.0, 2, 3, 4]], [1], (0, 64), ["image_size"]),
    ],
)
def test_targets_that_cannot_be(boxes, labels, size, words):
    refuses(lambda: encode_targets(torch.tensor(boxes), torch.tensor(labels), size, 3), ValueError, *words)


def test_targets_of_another_kind():
    box = torch.tensor([[1.0, 2, 3, 4]])
    refuses(lambda: encode_targets(box, torch.tensor([1.0]), SIZE, 3), TypeError, "labels must be int64", "float32")
    refuses(lambda: encode_targets(box.long(), torch.tensor([1]), SIZE, 3), TypeError, "floating-point", "int64")
    refuses(lambda: encode_targets(box, torch.tensor([1]), SIZE, 0), ValueError, "grid", "0")
    refuses(lambda: encode_targets(box, torch.tensor([1]), SIZE, 2.5), TypeError, "grid", "2.5")


# --- there and back


def distinct_boxes(size, grid, seed):
    """Random boxes, one at most a cell."""
    boxes = random_boxes(30, size, seed)
    lost = lost_objects(boxes, size, grid).tolist()
    return boxes[[number for number in range(30) if number not in lost]]


@pytest.mark.parametrize("size", [(48, 64), (100, 30), (7, 500), (128, 128)])
@pytest.mark.parametrize("grid, boxes", [(7, 2), (5, 1), (4, 3)])
def test_decoding_is_the_reverse_of_encoding(size, grid, boxes):
    objects = [distinct_boxes(size, grid, seed) for seed in (0, 1)]
    labels = [random_labels(len(of_image), 4) for of_image in objects]
    targets = stack_targets([encode_targets(*of_image, size, grid) for of_image in zip(objects, labels, strict=True)])
    found, scores = decode_predictions(perfect_predictions(targets, classes=4, boxes=boxes), size, boxes=boxes)
    assert found.shape == (2, grid * grid * boxes, 4) and scores.shape == (2, grid * grid * boxes, 4)
    for n in range(2):
        rows = targets.objects[n].flatten().repeat_interleave(boxes)  # the object of each box, in reading order
        there = rows >= 0
        torch.testing.assert_close(found[n][there], objects[n][rows[there]], rtol=0, atol=1e-9)
        assert scores[n][there].argmax(1).add(1).tolist() == labels[n][rows[there]].tolist()
        assert (scores[n][there].sum(1) == 1).all() and not scores[n][~there].any()
    kept = detect(found, scores, nms_threshold=0.99)  # the B copies of a box are one detection
    assert [len(each["boxes"]) for each in kept] == [len(of_image) for of_image in objects]


def test_decoding_by_hand():
    """Row 1, column 0 of a 2 × 2 grid on 40 × 80 pixels: the centre is at (0.25 · 40, 20 + 0.5 · 20), the box 20 wide and 8 high."""
    predictions = torch.zeros(1, 2, 2, 5 + 2)
    predictions[0, 1, 0] = torch.tensor([0.25, 0.5, 0.25, 0.2, 0.5, 0.8, 0.1])
    boxes, scores = decode_predictions(predictions, (40, 80), boxes=1)
    torch.testing.assert_close(boxes[0, 2], torch.tensor([0.0, 26, 20, 34]))
    torch.testing.assert_close(scores[0, 2], torch.tensor([0.4, 0.05]))
    assert scores.sum() == scores[0, 2].sum() and boxes[0, 3].tolist() == [40, 20, 40, 20]


def test_the_numbers_of_a_cell_are_boxes_then_classes():
    parts = split_predictions(torch.arange(13.0), 2)
    assert (
        parts.boxes.tolist() == [[0, 1, 2, 3], [5, 6, 7, 8]]
        and parts.confidence.tolist() == [4, 9]
        and parts.classes.tolist() == [10, 11, 12]
    )
    refuses(lambda: split_predictions(torch.zeros(1, 7, 7, 10), 2), ValueError, "at least one class", "10")


# --- responsibility


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("spread, enough", [(1.0, False), (0.1, True)])
def test_responsibility_is_that_of_a_loop(seed, spread, enough):
    """Small boxes often miss the object altogether, and then the nearest answers."""
    draw = torch.Generator().manual_seed(seed)
    predicted, truth = (torch.rand(*shape, 4, generator=draw, dtype=torch.float64) for shape in ((200, 3), (200,)))
    predicted[..., 2:] *= spread
    truth[..., 2:] *= spread
    expected = [looped_responsible(p, t, 5) for p, t in zip(predicted.tolist(), truth.tolist(), strict=True)]
    missed = sum(max(looped_iou(box, t, 5) for box in p) == 0 for p, t in zip(predicted.tolist(), truth.tolist(), strict=True))
    assert responsible_boxes(predicted, truth, 5).tolist() == expected and (missed > 20) == enough


def test_the_cells_side_counts_in_the_overlap():
    """Both centres are 0.5 cells off, one of them in a large box. In a grid of 2 that is a quarter of the picture, in one of 10 little."""
    predicted = torch.tensor([[[0.0, 0.5, 0.3, 0.3], [0.5, 0.5, 0.1, 0.1]]])
    truth = torch.tensor([[0.5, 0.5, 0.3, 0.3]])
    # grid 10: IoU 0.25 · 0.3 / (2 · 0.09 − 0.075) = 0.71 against 1/9; grid 2: 0.05 · 0.3 / (0.18 − 0.015) = 0.09 against 1/9
    assert responsible_boxes(predicted, truth, 10).tolist() == [0] and responsible_boxes(predicted, truth, 2).tolist() == [1]


def test_ties():
    box, other = [0.5, 0.5, 0.2, 0.2], [0.5, 0.5, 0.4, 0.4]
    truth = torch.tensor(other)
    assert responsible_boxes(torch.tensor([box, box]), torch.tensor(box)) == 0
    assert responsible_boxes(torch.tensor([box, other, other]), truth) == 1
    flat = [[0.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.4], [0.5, 0.5, 0.0, 0.4]]  # without area: no overlap, the nearest answers
    assert responsible_boxes(torch.tensor(flat), truth) == 1
    refuses(lambda: responsible_boxes(torch.zeros(3, 2, 4), torch.zeros(2, 4)), ValueError, "[3, 2, 4]", "[2, 4]")


# --- the loss


@pytest.mark.parametrize("square_roots", [True, False])
@pytest.mark.parametrize("grid, boxes, classes", [(7, 2, 6), (3, 3, 2), (2, 1, 1)])
def test_every_term_is_that_of_a_loop(grid, boxes, classes, square_roots):
    objects = [(random_boxes(count, seed=count), random_labels(count, classes, count)) for count in (5, 0, 9)]
    predictions = random_predictions(3, grid, boxes, classes)
    targets = stack_targets([encode_targets(*of_image, SIZE, grid) for of_image in objects])
    weights = {"coordinates": 3.0, "no_object": 0.25, "square_roots": square_roots}
    expected = looped_losses(predictions, [looped_targets(*of_image, SIZE, grid) for of_image in objects], boxes, **weights)
    cells = yolo_loss_cells(predictions, targets, boxes=boxes, **weights)
    assert list(cells) == TERMS
    for name, table in expected.items():
        torch.testing.assert_close(cells[name], torch.tensor(table, dtype=torch.float64), rtol=1e-9, atol=1e-12)
    sums = yolo_losses(predictions, targets, boxes=boxes, **weights)
    torch.testing.assert_close(sums, {name: torch.tensor(table, dtype=torch.float64).sum() / 3 for name, table in expected.items()})
    assert all(value > 0 for value in sums.values())


def hand_worked():
    """One picture, a grid of 2, two boxes, two classes. The object of class 2 is half as wide and half as high as the picture, its
    centre in the middle of cell (0, 1). Box 0 is too small, and inside it: IoU 0.16 · 0.36 / 0.25 = 0.2304. Box 1 has its size and is 0.2
    cells further right, 0.1 of the picture: IoU 0.4 · 0.5 / (0.5 − 0.2) = 2/3. It is responsible."""
    targets = encode_targets(torch.tensor([[50.0, 0, 100, 50]], dtype=torch.float64), torch.tensor([2]), 100, 2)
    predictions = torch.zeros(1, 2, 2, 12, dtype=torch.float64)
    predictions[0, 0, 1] = torch.tensor([0.5, 0.5, 0.16, 0.36, 0.4, 0.7, 0.5, 0.5, 0.5, 0.5, 0.3, 0.6])
    predictions[0, 1, 0, 4] = 0.2  # an empty cell whose box 0 sees something
    return predictions, stack_targets([targets])


def test_the_terms_by_hand():
    losses = yolo_losses(*hand_worked())
    assert losses["centre"].item() == pytest.approx(5 * 0.2**2)
    assert losses["size"].item() == pytest.approx(0)
    assert losses["object"].item() == pytest.approx((0.5 - 2 / 3) ** 2)
    assert losses["no_object"].item() == pytest.approx(0.5 * (0.4**2 + 0.2**2))
    assert losses["class"].item() == pytest.approx(0.3**2 + 0.4**2)


@pytest.mark.parametrize("square_roots, expected", [(True, 5 * (0.1**2 + 0.3**2)), (False, 5 * (0.11**2 + 0.39**2))])
def test_sizes_by_hand(square_roots, expected):
    """The object is 0.25 × 0.25; the box 0.36 × 0.64, whose roots are 0.6 and 0.8."""
    targets = stack_targets([encode_targets(torch.tensor([[0.0, 0, 25, 25]], dtype=torch.float64), torch.tensor([1]), 100, 1)])
    predictions = torch.tensor([0.125, 0.125, 0.36, 0.64, 0.0, 1.0], dtype=torch.float64).reshape(1, 1, 1, 6)
    losses = yolo_losses(predictions, targets, boxes=1, square_roots=square_roots)
    assert losses["size"].item() == pytest.approx(expected) and losses["centre"] == losses["class"] == 0


def test_coordinate_losses_by_hand():
    """Centres 0.3 and 0.4 cells off: 0.09 + 0.16; sides 0.49 and 0.04 for 0.25 and 0.09: roots 0.2 and 0.1 off. Cell 1 is empty."""
    predicted, truth = torch.tensor([[0.5, 0.1, 0.49, 0.04]] * 2).double(), torch.tensor([[0.2, 0.5, 0.25, 0.09]] * 2).double()
    there = torch.tensor([True, False])
    losses = coordinate_losses(predicted, truth, there, coordinates=2.0)
    assert losses["centre"].tolist() == pytest.approx([0.5, 0]) and losses["size"].tolist() == pytest.approx([2 * (0.04 + 0.01), 0])
    plain = coordinate_losses(predicted, truth, there, square_roots=False)
    assert plain["size"].tolist() == pytest.approx([5 * (0.24**2 + 0.05**2), 0])
    refuses(lambda: coordinate_losses(predicted, truth[:1], there), ValueError, "truth", "[1, 4]", "[2, 4]")
    refuses(lambda: coordinate_losses(predicted[:, :3], truth[:, :3], there), ValueError, "[..., 4]", "[2, 3]")


def test_each_weight_is_that_of_its_terms():
    predictions, targets = hand_worked()
    predictions[0, 0, 1, 7] = 0.49  # box 1 is a little too narrow, so that no term is 0
    usual = yolo_losses(predictions, targets)
    without = yolo_losses(predictions, targets, coordinates=0.0, no_object=1.0)
    assert without["centre"] == without["size"] == 0 and without["no_object"].item() == pytest.approx(2 * usual["no_object"].item())
    assert without["object"] == usual["object"] and without["class"] == usual["class"] and all(value > 0 for value in usual.values())


def test_a_perfect_answer_of_one_box_costs_nothing():
    targets = stack_targets([encode_targets(random_boxes(6), random_labels(6, 4), SIZE, 7)])
    for value in yolo_losses(perfect_predictions(targets, classes=4, boxes=1), targets, boxes=1).values():
        assert value.item() == pytest.approx(0, abs=1e-20)


def test_alone_and_in_a_batch_the_loss_is_the_mean():
    objects = [(random_boxes(count, seed=count), random_labels(count, 3, count)) for count in (4, 0, 2)]
    targets = [stack_targets([encode_targets(*of_image, SIZE, 7)]) for of_image in objects]
    predictions = random_predictions(3, 7, 2, 3)
    together = yolo_losses(predictions, CellTargets(*(torch.cat(parts) for parts in zip(*targets, strict=True))))
    alone = [yolo_losses(predictions[[n]], targets[n]) for n in range(3)]
    torch.testing.assert_close(together, {name: sum(each[name] for each in alone) / 3 for name in TERMS})


def test_gradients_reach_what_they_should():
    """Only the responsible box of the one cell with an object moves, and only its classes; every confidence has something to learn."""
    predictions, targets = hand_worked()
    predictions[0, 0, 1, 7] = 0.49
    predictions[..., [4, 9]] += 0.01
    predictions.requires_grad_()
    sum(yolo_losses(predictions, targets).values()).backward()
    moved = predictions.grad.ne(0)
    expected = torch.zeros_like(moved)
    expected[..., [4, 9]] = True
    expected[0, 0, 1, [5, 7, 10, 11]] = True  # y and h of box 1 are right already
    assert torch.equal(moved, expected)


def test_the_overlap_that_confidence_should_say_has_no_gradient():
    predictions, targets = hand_worked()
    predictions.requires_grad_()
    (gradient,) = torch.autograd.grad(yolo_losses(predictions, targets)["object"], predictions)
    assert gradient.nonzero().tolist() == [[0, 0, 1, 9]]


@pytest.mark.parametrize("square_roots", [True, False])
def test_gradients_are_those_of_finite_differences(square_roots):
    targets = stack_targets([encode_targets(random_boxes(3), random_labels(3, 2), SIZE, 3)])
    predictions = (0.1 + 0.8 * random_predictions(1, 3, 2, 2)).requires_grad_()

    def terms(x):
        losses = yolo_losses(x, targets, square_roots=square_roots)
        return tuple(losses[name] for name in TERMS if name != "object")  # its IoU moves with the box, and counts as fixed

    assert torch.autograd.gradcheck(terms, predictions)


def test_a_box_without_size_has_finite_gradients():
    predictions, targets = hand_worked()
    predictions[0, 0, 1, :10] = 0.0
    predictions.requires_grad_()
    losses = yolo_losses(predictions, targets)
    sum(losses.values()).backward()
    assert predictions.grad.isfinite().all() and losses["size"].item() == pytest.approx(5 * 2 * 0.5)


def test_shapes_that_do_not_belong_together():
    predictions, targets = hand_worked()
    other = stack_targets([encode_targets(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), SIZE, 3)])
    refuses(lambda: yolo_losses(predictions, other), ValueError, "[1, 2, 2]", "[1, 3, 3]")
    refuses(lambda: yolo_losses(predictions[0], targets), ValueError, "[N, S, S, 5B + C]", "[2, 2, 12]")
    refuses(lambda: yolo_losses(predictions.long(), targets), TypeError, "floating-point", "int64")
    refuses(lambda: yolo_losses(predictions[..., :11], targets), ValueError, "labels up to the 1 classes", "got 2")
    refuses(lambda: decode_predictions(predictions[:, :1], SIZE), ValueError, "[N, S, S, 5B + C]", "[1, 1, 2, 12]")


# --- detection


def test_detections_by_hand():
    """Two boxes that overlap by half of their union in class 1, another class on the same place, one too low, one without width."""
    boxes = torch.tensor([[[0.0, 0, 30, 10], [10, 0, 40, 10], [0, 0, 30, 10], [50, 0, 60, 10], [5, 5, 5, 9]]])
    scores = torch.tensor([[[0.8, 0.0], [0.9, 0.0], [0.0, 0.3], [0.04, 0.0], [0.7, 0.7]]])
    (found,) = detect(boxes, scores, score_threshold=0.05, nms_threshold=0.4)
    assert found["boxes"].tolist() == [[10, 0, 40, 10], [0, 0, 30, 10]] and found["labels"].tolist() == [1, 2]
    torch.testing.assert_close(found["scores"], torch.tensor([0.9, 0.3]))
    assert len(detect(boxes, scores, nms_threshold=0.6)[0]["boxes"]) == 3 and detect(boxes, scores, limit=1)[0]["labels"].tolist() == [1]
    (none,) = detect(boxes, scores, score_threshold=1.0)
    assert none["boxes"].shape == (0, 4) and none["labels"].dtype == torch.int64 and none["scores"].shape == (0,)
    refuses(lambda: detect(boxes, scores[:, :3]), ValueError, "[1, 5, 4]", "[1, 3, 2]")
    refuses(lambda: detect(boxes, scores, limit=0), ValueError, "limit", "0")


# --- the network


def test_what_the_cells_say_is_in_its_range():
    cells = small().predict(pictures((32, 32), (50, 20)))
    assert cells.shape == (2, 3, 3, 13) and cells.min() > 0 and cells.max() < 1
    torch.testing.assert_close(split_predictions(cells).classes.sum(-1), torch.ones(2, 3, 3))


def test_what_the_head_says_passes_sigmoid_square_and_softmax():
    class Head(nn.Module):
        def forward(self, x):
            return torch.tensor([0.0, 1, 2, -2, -1, 0.5, 1.5, 2.5]).expand(len(x), 1, 1, 8)

    network = small(grid=1, boxes=1)
    network.head = Head()
    sigmoid = [1 / (1 + math.exp(-x)) for x in (0, 1, 2, -2, -1)]
    sizes, softmax = [sigmoid[2] ** 2, sigmoid[3] ** 2], [math.exp(k) / sum(map(math.exp, (0, 1, 2))) for k in (0, 1, 2)]
    assert network.predict(pictures((32, 32)))[0, 0, 0].tolist() == pytest.approx([*sigmoid[:2], *sizes, sigmoid[4], *softmax])


@pytest.mark.parametrize("grid, size", [(3, (32, 32)), (7, (128, 128)), (5, (48, 80)), (1, (32, 32)), (9, (64, 64))])
def test_the_grid_need_not_divide_the_picture(grid, size):
    network = small(grid=grid, size=size)
    images = pictures((48, 64), (30, 20))
    assert network.predict(images).shape == (2, grid, grid, 13)
    losses = network.losses(images, [target(*OBJECTS), target()])
    assert list(losses) == TERMS and all(loss.isfinite() and loss.dim() == 0 for loss in losses.values())


def test_detections_are_in_the_pixels_of_each_picture():
    """The network sees every picture as 32 × 32; each answer reaches to the edge of its own picture and not beyond."""
    network, sizes = small(score_threshold=0.0, nms_threshold=1.0).eval(), [(48, 64), (30, 20), (100, 90)]
    for found, (height, width) in zip(network(pictures(*sizes)), sizes, strict=True):
        boxes, scores, labels = found["boxes"], found["scores"], found["labels"]
        assert len(boxes) == len(scores) == len(labels) == 3 * 3 * 2 * 3 and labels.dtype == torch.int64
        assert labels.min() == 1 and labels.max() == 3 and (scores.diff() <= 0).all() and not scores.requires_grad
        assert (
            boxes.min() >= 0 and boxes[:, 2].max() == pytest.approx(width, rel=0.1) and boxes[:, 3].max() == pytest.approx(height, rel=0.1)
        )
        assert boxes[:, 2].max() <= width + 1e-3 and boxes[:, 3].max() <= height + 1e-3


def test_a_network_that_knows_finds_the_objects_where_they_are():
    """The head is told what to say: logits that come out as the targets. Both pictures get their boxes back, each in its own pixels."""

    class Head(nn.Module):
        def forward(self, x):
            cells = perfect_predictions(targets, classes=3).float().clamp(1e-6, 1 - 1e-6)
            sizes = [2, 3, 7, 8]
            cells[..., sizes] = cells[..., sizes].sqrt()
            return torch.cat((cells[..., :10].logit(), cells[..., 10:].log()), -1)

    network, sizes = small(grid=4), [(48, 64), (30, 20)]
    network.head = Head()
    there = [target(*OBJECTS), target([1.0, 2, 8, 9], [10, 20, 20, 30], [2, 15, 9, 27])]
    targets = stack_targets([encode_targets(t["boxes"], t["labels"], size, 4) for t, size in zip(there, sizes, strict=True)])
    for found, expected in zip(network(pictures(*sizes)), there, strict=True):
        order = found["labels"].argsort()
        torch.testing.assert_close(found["boxes"][order], expected["boxes"], rtol=0, atol=2e-3)
        assert found["labels"][order].tolist() == expected["labels"].tolist()
    assert sum(network.losses(pictures(*sizes), there)[name] for name in ("centre", "size", "class")) < 1e-6


def test_a_picture_alone_and_in_a_batch():
    network, images = small().eval(), pictures((48, 64), (48, 64), (48, 64))
    torch.testing.assert_close(network(images), [network([image])[0] for image in images])
    torch.testing.assert_close(network(torch.stack(images)), network(images))
    torch.testing.assert_close(network.predict(images), torch.cat([network.predict([image]) for image in images]))


def test_nothing_is_learnt_by_looking():
    network, images = small().eval(), pictures((48, 64))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network(images)
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_objects_go_in_as_shares_of_their_own_picture():
    """The same picture and objects at twice the size cost the same: the network sees 32 × 32 in both."""
    network, (image,) = small().eval(), pictures((16, 16))
    twice = image.repeat_interleave(2, 1).repeat_interleave(2, 2)
    network.prepare.size = (32, 32)
    network.predict = lambda images: random_predictions(1, 3, 2, 3)
    boxes = torch.tensor([[1.0, 2, 9, 7], [10, 3, 15, 14]])
    small_, large = ({"boxes": scale * boxes, "labels": torch.tensor([1, 3])} for scale in (1, 2))
    torch.testing.assert_close(network.losses([image], [small_]), network.losses([twice], [large]))


def test_the_networks_own_weights_are_those_of_its_loss():
    images, there = pictures((48, 64)), [target(*OBJECTS)]
    usual, other = small(), small(coordinates=1.0, no_object=2.0, square_roots=False)
    cells, targets = usual.predict(images), stack_targets([encode_targets(there[0]["boxes"], there[0]["labels"], (48, 64), 3)])
    torch.testing.assert_close(usual.losses(images, there), yolo_losses(cells, targets))
    expected = yolo_losses(cells, targets, coordinates=1.0, no_object=2.0, square_roots=False)
    torch.testing.assert_close(other.losses(images, there), expected)


@pytest.mark.parametrize("objects", [[OBJECTS, []], [[], []], [OBJECTS, [[-8.0, 5, 12, 70]]]])
def test_the_losses_reach_every_layer(objects):
    network = small().train()
    losses = network.losses(pictures((48, 64), (40, 30)), [target(*boxes) for boxes in objects])
    assert all((losses[name] > 0) == (objects != [[], []]) for name in TERMS if name != "no_object") and losses["no_object"] > 0
    sum(losses.values()).backward()
    assert all(parameter.grad.any() and parameter.grad.isfinite().all() for parameter in network.parameters())


def test_a_class_without_samples_is_learnt_to_be_absent():
    """Class 3 is in no picture: its probability has a gradient that lowers it, in the cell with an object and nowhere else."""
    predictions = random_predictions(1, 3, 2, 3).requires_grad_()
    targets = stack_targets([encode_targets(torch.tensor([[4.0, 6, 30, 28]]), torch.tensor([1]), SIZE, 3)])
    losses = yolo_losses(predictions, targets)
    losses["class"].backward()
    assert (predictions.grad[..., 12] > 0).nonzero().tolist() == targets.labels.nonzero().tolist() and losses["class"].isfinite()


def test_it_learns_two_pictures_by_heart():
    network, images = small().train(), pictures((32, 32), (48, 64))
    there = [target([3.0, 4, 17, 15]), target(*OBJECTS)]
    optimiser, sums = torch.optim.Adam(network.parameters(), lr=1e-2), []
    for _ in range(60):
        losses = network.losses(images, there)
        optimiser.zero_grad()
        sum(losses.values()).backward()
        optimiser.step()
        sums.append({name: loss.item() for name, loss in losses.items()})
    assert sum(sums[-1].values()) < 0.1 * sum(sums[0].values()) and all(sums[-1][name] < 0.5 * sums[0][name] for name in TERMS)
    for found, expected in zip(network.eval()(images), there, strict=True):
        count = len(expected["boxes"])
        assert found["labels"][:count].sort().values.tolist() == expected["labels"].tolist() and found["scores"][:count].min() > 0.4


def test_float64():
    network = small().double()
    images = [image.double() for image in pictures((48, 64))]
    there = [{"boxes": torch.tensor(OBJECTS, dtype=torch.float64), "labels": torch.tensor([1, 2])}]
    assert network.predict(images).dtype == torch.float64
    assert all(loss.dtype == torch.float64 for loss in network.losses(images, there).values())
    (found,) = network.eval()(images)
    assert found["boxes"].dtype == found["scores"].dtype == torch.float64


def test_targets_that_cannot_be_name_the_picture():
    network, images = small(), pictures((48, 64), (48, 64))
    good = target(*OBJECTS)

    def losses(**wrong):
        return lambda: network.losses(images, [good, good | {name: torch.tensor(value) for name, value in wrong.items()}])

    refuses(losses(boxes=[[4.0, 6, math.nan, 28]], labels=[1]), ValueError, "picture 1", "finite", "nan")
    refuses(losses(boxes=[[4.0, 6, 4, 28]], labels=[1]), ValueError, "picture 1", "widths and heights above 0")
    refuses(losses(boxes=[[64.0, 6, 80, 28]], labels=[1]), ValueError, "picture 1", "64 pixels wide")
    refuses(losses(labels=[1, 4]), ValueError, "picture 1", "from 1 to 3", "got 4")
    refuses(losses(labels=[1]), ValueError, "Picture 1", "2 boxes and 1 labels")
    refuses(lambda: network.losses(images, [good]), ValueError, "each of the 2 pictures", "got 1")


def test_pictures_that_cannot_be():
    refuses(lambda: small()([torch.rand(3, 0, 20)]), ValueError, "number 0", "[3, 0, 20]")
    refuses(lambda: small()([]), ValueError, "at least one")
    refuses(lambda: small()([torch.zeros(3, 8, 8, dtype=torch.uint8)]), TypeError, "uint8")


def test_a_head_of_another_grid_is_named():
    network = small(grid=3)
    network.head = GridHead(channels=12, width=16, grid=4, numbers=13)
    refuses(lambda: network.predict(pictures((32, 32))), ValueError, "[1, 3, 3, 13]", "[1, 4, 4, 13]")
    refuses(lambda: small(boxes=0), ValueError, "boxes", "0")


@pytest.mark.gpu
def test_on_the_gpu():
    network, images, there = (
        small(grid=7).double(),
        [image.double() for image in pictures((48, 64), (30, 20))],
        [target(*OBJECTS), target()],
    )
    there = [{name: value.double() if name == "boxes" else value for name, value in each.items()} for each in there]
    expected, losses = network.eval()(images), network.losses(images, there)
    network.cuda()
    on_gpu = [{name: value.cuda() for name, value in each.items()} for each in there]
    found = network([image.cuda() for image in images])
    assert all(value.is_cuda for each in found for value in each.values())
    torch.testing.assert_close([{name: value.cpu() for name, value in each.items()} for each in found], expected)
    found = network.losses([image.cuda() for image in images], on_gpu)
    torch.testing.assert_close({name: value.cpu() for name, value in found.items()}, losses)
