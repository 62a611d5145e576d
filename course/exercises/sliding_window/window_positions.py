"""Exercise: how many windows fit into a picture."""

from collections.abc import Callable, Iterator

import torch

from course.exercises.drawing import whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.ops.windows import window_positions

PROMPT = r"""
Before a window slides, count. How many windows of `window` × `window` pixels fit into a picture of `size = (height, width)` pixels, when
the next one starts `stride` pixels further on? A window must lie wholly in the picture. One row of 9 pixels, a window of 4, stride 2:

```text
picture    □ □ □ □ □ □ □ □ □
window 0   ■ ■ ■ ■
window 1       ■ ■ ■ ■
window 2           ■ ■ ■ ■        three windows; the last pixel is left over
```

The answer is a pair of whole numbers, `(rows, columns)` of windows. The checks use a pair for `size` and whole numbers for `window` and
`stride`; more is welcome.
""".strip()


def _positions_by_unfold(size, window, stride):
    picture = torch.zeros(size)
    return tuple(picture.unfold(0, window, stride).unfold(1, window, stride).shape[:2])


def _positions_cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def case(name: str, height: int, width: int, window: int, stride: int) -> Case:
        return Case(name, {"size": (height, width), "window": window, "stride": stride})

    window, stride = whole(draw, 4, 7), whole(draw, 2, 4)
    more = whole(draw, 2, 6)
    yield case(
        "the last window ends with the picture", window + stride * more, window + stride * (more + whole(draw, 1, 5)), window, stride
    )
    window, more = whole(draw, 4, 7), whole(draw, 3, 7)
    yield case("pixels are left over", window + 3 * more + 1, window + 3 * (more - 2) + 2, window, 3)
    yield case("stride 1", whole(draw, 6, 12), whole(draw, 12, 20), whole(draw, 3, 6), 1)
    window = whole(draw, 3, 6)
    yield case("windows side by side", window * whole(draw, 2, 5), window * whole(draw, 5, 9) + 1, window, window)
    yield case("gaps between windows", whole(draw, 9, 15), whole(draw, 15, 30), 2, 5)
    window = whole(draw, 5, 30)
    yield case("a picture as low as the window", window, window + 3 * whole(draw, 2, 6), window, 3)
    yield case("a picture as large as the window", window, window, window, whole(draw, 1, 9))
    yield case("a photograph", whole(draw, 280, 400), whole(draw, 420, 640), 224, 32)
    for place in range(4):
        window = whole(draw, 1, 50)
        size = window + whole(draw, 0, 100), window + whole(draw, 0, 100)
        yield case(f"drawn at random, {place + 1}", *size, window, whole(draw, 2, 20))


def _wrong(formula: Callable[[int, int, int], float]) -> Callable:
    """A function of the exercise's arguments from a formula for one side: the picture's n, window w, stride s."""

    def positions(size, window, stride):
        return formula(size[0], window, stride), formula(size[1], window, stride)

    return positions


def _positions_swapped(size, window, stride):
    rows, columns = window_positions(size, window, stride)
    return columns, rows


def _positions_of_a_square(size, window, stride):
    return (window_positions(size, window, stride)[0],) * 2


def _positions_in_all(size, window, stride):
    rows, columns = window_positions(size, window, stride)
    return rows * columns


WINDOW_POSITIONS = Exercise(
    prompt=PROMPT,
    solution=window_positions,
    reference=_positions_by_unfold,
    reference_name="the shape that torch.Tensor.unfold gives",
    cases=_positions_cases,
    common_mistakes=(
        Mistake(
            "last window forgotten",
            _wrong(lambda n, w, s: (n - w) // s),
            "This is what happens when the steps are counted, and not the windows. After the first window there are "
            "(height − window) // stride steps, and each ends at one more window.",
        ),
        Mistake(
            "start at the end forgotten",
            _wrong(lambda n, w, s: -(-(n - w) // s)),
            "This is what happens when the starts are counted by range(0, height − window, stride). The window that starts at "
            "height − window still fits, so the range ends at height − window + 1.",
        ),
        Mistake(
            "window half outside",
            _wrong(lambda n, w, s: -(-(n - w) // s) + 1),
            "This is what happens when one more window is counted where pixels are left over. It would reach beyond the picture.",
        ),
        Mistake(
            "window forgotten",
            _wrong(lambda n, w, s: n // s),
            "This is what happens when the height is divided by the stride. A window that starts near the end no longer fits.",
        ),
        Mistake(
            "a window for every start",
            _wrong(lambda n, w, s: -(-n // s)),
            "This is what happens when windows may start anywhere in the picture. The last ones would reach beyond it.",
        ),
        Mistake(
            "stride forgotten",
            _wrong(lambda n, w, s: n - w + 1),
            "This is what happens when the stride is taken to be 1. The next window starts stride pixels further on.",
        ),
        Mistake(
            "side by side",
            _wrong(lambda n, w, s: n // w),
            "This is what happens when windows stand side by side. They start stride pixels apart, and overlap where stride is smaller "
            "than window.",
        ),
        Mistake(
            "fraction",
            _wrong(lambda n, w, s: (n - w) / s + 1),
            "This is what happens when / is used: 3.0 or 3.5 in place of 3. There is no half window, so divide with //.",
        ),
        Mistake(
            "rows and columns swapped",
            _positions_swapped,
            "This is what happens when the columns come first. Rows come first, as height does in size.",
        ),
        Mistake(
            "height for both",
            _positions_of_a_square,
            "This is what happens when the height is used for both directions. The columns come from the width.",
        ),
        Mistake(
            "all in one number",
            _positions_in_all,
            "This is what happens when rows and columns are multiplied. Return both, as (rows, columns).",
        ),
    ),
)
