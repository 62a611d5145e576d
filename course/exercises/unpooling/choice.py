"""Exercise and question: which upsampling layer a decoder should use."""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from course.exercises.drawing import whole
from course.exercises.exercise import Case, Exercise, Mistake, Question
from course.exercises.unpooling.upsampling_choice import RESIZE, TRANSPOSED, choose_upsampling

PROMPT = r"""
Now judge. A decoder has features of one `size` and needs them at another, `output_size`. Somebody hands you a list of layers. Which of
them would you put in, and which first?

```text
size (4, 4) → output_size (8, 8)
                            gives     your judgement
transposed, 3×3, stride 2   9 × 9     wrong size
transposed, 3×3, stride 2, padding 1, output_padding 1
                            8 × 8     right size, and ...?
nearest ×2, then 3×3, padding 1
                            8 × 8     right size, and ...?
```

A layer is fit when

1. it exists: the `output_padding` of a transposed convolution is smaller than its `stride`;
2. it gives **exactly** `output_size`, in both directions;
3. it leaves **no checkerboard**: away from the border, every output cell gets the same number of products;
4. it leaves **no dead strip**, which is a row or column at the border that no input reaches: it would hold the bias and nothing else.

When is the overlap of stamps even? When does `output_padding` reach past the last stamp, and a convolution's padding past the image?
Work it out on paper before you write it down.

Of the fit layers, the one with the **fewest multiplications** comes first: a transposed convolution multiplies every *input* cell by
every weight of its kernel; resize-then-convolve computes every *output* cell from a whole kernel. Among equals, the earlier in the list
comes first. When none is fit, the answer is an empty tensor: the decoder needs another layer.

Your `conv_transpose_output_size` from above is at hand.
""".strip()


def _layers_in_words(candidates: Tensor) -> list[str]:
    """One line a layer, its row number first: what the prompt calls it, not its codes."""
    return [f"{row}: {_layer_in_words(*layer)}" for row, layer in enumerate(candidates.tolist())]


def _layer_in_words(kind: int, kernel: int, stride: int, padding: int, output_padding: int) -> str:
    if kind == TRANSPOSED:
        return f"transposed {kernel}×{kernel}, stride {stride}, padding {padding}, output_padding {output_padding}"
    return f"nearest ×{stride}, then {kernel}×{kernel}, padding {padding}"


def _coverage(layer: Sequence[int], size: Sequence[int]) -> Tensor:
    """How many products each output cell gets: the layer run by torch on ones, with a kernel of ones. Raises where torch does."""
    kind, kernel, stride, padding, output_padding = layer
    ones, stamp = torch.ones(1, 1, *size), torch.ones(1, 1, kernel, kernel)
    if kind == TRANSPOSED:
        return F.conv_transpose2d(ones, stamp, None, stride, padding, output_padding)[0, 0]
    return F.conv2d(F.interpolate(ones, scale_factor=stride, mode="nearest"), stamp, padding=padding)[0, 0]


def _leaves_checkerboard(layer: Sequence[int]) -> bool:
    kind, kernel, stride, _, _ = layer
    counts = _coverage((kind, kernel, stride, 0, 0), (kernel + 2, kernel + 2))
    inner = counts[kernel:-kernel, kernel:-kernel] if kind == TRANSPOSED else counts  # stamps end at the border, whole windows do not
    return bool(inner.min() != inner.max())


def _choice_by_counting(size: Sequence[int], output_size: Sequence[int], candidates: Tensor) -> Tensor:
    """Every layer is run and its products are counted; no formula of the solution is used."""
    products = {}
    for row, layer in enumerate(candidates.tolist()):
        kind, kernel, stride, padding, _ = layer
        try:
            here = _coverage(layer, size)
        except RuntimeError:  # torch refuses the layer, or nothing is left of the output
            continue
        if tuple(here.shape) == tuple(output_size) and here.min() > 0 and not _leaves_checkerboard(layer):
            if kind == TRANSPOSED:  # products that are cut off have been computed too
                products[row] = _coverage((kind, kernel, stride, 0, 0), size).sum().item()
            else:
                products[row] = F.unfold(torch.ones(1, 1, size[0] * stride, size[1] * stride), kernel, padding=padding).numel()
    return torch.tensor(sorted(products, key=products.get), dtype=torch.int64)


def _choose_cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def case(name: str, height: int, width: int, scale: int, more: tuple[int, int], layers: Sequence[tuple[int, ...]]) -> Case:
        # Two more that never fit: without them so few orders are left that answers learnt by heart would be right too often.
        layers = [*layers, *((kind, whole(draw, 6, 13), scale, 0, 0) for kind in (TRANSPOSED, RESIZE))]
        order = torch.randperm(len(layers), generator=draw)
        output = (height * scale + more[0], width * scale + more[1])
        return Case(name, {"size": (height, width), "output_size": output, "candidates": torch.tensor(layers)[order]})

    def side() -> int:
        return whole(draw, 3, 9)

    same = side()
    double = [(0, 2, 2, 0, 0), (0, 4, 2, 1, 0), (0, 3, 2, 0, 0), (1, 3, 2, 1, 0), (1, 3, 2, 0, 0)]
    yield case("twice the size", same, same, 2, (0, 0), double)
    yield case("twice the size, with an uneven one", same, same + 1, 2, (0, 0), [(0, 4, 2, 1, 0), (0, 3, 2, 1, 1), (1, 3, 2, 1, 0)])
    yield case("only a resize is fit", side(), side(), 2, (0, 0), [(0, 3, 2, 1, 1), (0, 5, 2, 2, 1), (1, 3, 2, 1, 0), (1, 5, 2, 2, 0)])
    yield case("one more than twice", side(), side(), 2, (1, 1), [(0, 2, 2, 0, 1), (0, 4, 2, 1, 1), (0, 3, 2, 0, 0), (1, 2, 2, 1, 0)])
    yield case("output_padding as large as the stride", side(), side(), 2, (0, 0), [(0, 4, 2, 2, 2), (0, 6, 2, 2, 0), (0, 2, 2, 0, 0)])
    yield case("no square layer can", side(), side(), 2, (0, 1), [(0, 2, 2, 0, 0), (0, 4, 2, 1, 1), (1, 3, 2, 1, 0), (1, 2, 2, 1, 0)])
    yield case(
        "three times",
        side(),
        side(),
        3,
        (0, 0),
        [(0, 3, 3, 0, 0), (0, 5, 3, 1, 0), (0, 6, 3, 2, 1), (0, 9, 3, 3, 0), (1, 3, 3, 1, 0), (0, 3, 3, 1, 2)],
    )
    yield case("the same layer twice", side(), side(), 2, (0, 0), [(1, 3, 2, 1, 0), (1, 3, 2, 1, 0), (0, 2, 2, 0, 0), (0, 2, 2, 0, 0)])
    yield case("padding past the image", side(), side(), 2, (2, 2), [(1, 1, 2, 1, 0), (1, 3, 2, 2, 0), (0, 4, 2, 0, 0)])
    for place in range(4):
        scale = whole(draw, 2, 5)
        yield case(f"drawn at random, {place + 1}", side(), side(), scale, (0, 0), [_random_layer(draw, scale) for _ in range(16)])


def _random_layer(draw: torch.Generator, scale: int) -> tuple[int, ...]:
    """A layer that often, not always, has the right size: the padding is the one that fits, where a whole number does."""
    kind, kernel, extra = whole(draw, 0, 2), whole(draw, 1, 10), whole(draw, 0, scale)
    surplus = kernel - 1 if kind == RESIZE else kernel - scale + extra
    return (kind, kernel, scale, max(0, surplus // 2), 0 if kind == RESIZE else extra)


def _chosen(size, output_size, candidates, even=None, dead=(), exists=True, forget_extra=False, sides=(0, 1), work=None):
    """Right, but for what the mistakes below change; `dead` are the kinds of layer whose dead strips are accepted."""
    even = even or (lambda kernel, stride: kernel % stride == 0)
    work = work or (
        lambda kind, kernel: kernel**2 * (size if kind == TRANSPOSED else output_size)[0] * (size if kind == TRANSPOSED else output_size)[1]
    )
    fit = []
    for place, (kind, kernel, stride, padding, extra) in enumerate(candidates.tolist()):
        if kind == TRANSPOSED:
            got = [(side - 1) * stride - 2 * padding + kernel + (0 if forget_extra else extra) for side in size]
            sound = (extra < stride or not exists) and even(kernel, stride) and (extra <= padding or kind in dead)
        else:
            got = [side * stride + 2 * padding - kernel + 1 for side in size]
            sound = padding < kernel or kind in dead
        if sound and all(got[axis] == output_size[axis] for axis in sides):
            fit.append((work(kind, kernel), place))
    return torch.tensor([place for _, place in sorted(fit)], dtype=torch.int64)


CHOICE = Exercise(
    prompt=PROMPT,
    in_words={"candidates": _layers_in_words},
    solution=choose_upsampling,
    reference=_choice_by_counting,
    reference_name="torch's own layers run on ones, and their products counted",
    cases=_choose_cases,
    tolerance=0.0,
    common_mistakes=(
        Mistake(
            "order of the list",
            lambda size, output_size, candidates: _chosen(size, output_size, candidates).sort().values,
            "This is what happens when the fit layers are returned as they stand in the list. The one with the fewest "
            "multiplications comes first.",
        ),
        Mistake(
            "most first",
            lambda size, output_size, candidates: _chosen(size, output_size, candidates).flip(0),
            "This is what happens when the most expensive layer comes first, or the later of two equals. "
            "Fewest multiplications first; among equals, the earlier.",
        ),
        Mistake(
            "cost of the kernel alone",
            partial(_chosen, work=lambda kind, kernel: kernel**2),
            "This is what happens when only the kernels' sizes are compared. After a resize the convolution runs on the large plane, "
            "so it multiplies once for every output cell and weight.",
        ),
        Mistake(
            "only the best",
            lambda size, output_size, candidates: _chosen(size, output_size, candidates)[:1],
            "This is what happens when only the best layer is returned. All fit layers are asked for, best first.",
        ),
        Mistake(
            "checkerboard accepted",
            partial(_chosen, even=lambda kernel, stride: True),
            "This is what happens when only the size is looked at. One of these layers leaves a checkerboard: count how many stamps "
            "cover neighbouring cells.",
        ),
        Mistake(
            "overlap taken for even",
            partial(_chosen, even=lambda kernel, stride: kernel > stride),
            "This is what happens when any overlap counts as even. Overlap must be the same for all cells; a kernel as large as the "
            "stride has none at all, and is even.",
        ),
        Mistake(
            "output_padding forgotten",
            partial(_chosen, forget_extra=True),
            "This is what happens when output_padding is left out of the size.",
        ),
        Mistake(
            "dead strip of output_padding accepted",
            partial(_chosen, dead=(TRANSPOSED,)),
            "This is what happens when output_padding may be larger than padding. The cells that it keeps then reach past the last stamp, "
            "out of reach of every input: a dead strip.",
        ),
        Mistake(
            "dead strip of a resize accepted",
            partial(_chosen, dead=(RESIZE,)),
            "This is what happens when the convolution after a resize may have a padding as large as its kernel. Its outermost windows "
            "then lie wholly in the padding, out of reach of every input: a dead strip.",
        ),
        Mistake(
            "dead strip accepted",
            partial(_chosen, dead=(TRANSPOSED, RESIZE)),
            "This is what happens when dead strips are accepted. Where output_padding is larger than padding, or a convolution's "
            "padding as large as its kernel, some cells at the border are out of reach of every input.",
        ),
        Mistake(
            "layer that does not exist",
            partial(_chosen, exists=False),
            "This is what happens when output_padding may be as large as the stride. Torch refuses such a layer.",
        ),
        Mistake(
            "height alone",
            partial(_chosen, sides=(0,)),
            "This is what happens when only the height is compared. The width must be right too.",
        ),
    ),
)

CHOICE_QUESTION = Question(
    name="when_the_rule_is_wrong",
    prompt="""
Your function counts multiplications. For twice the size it puts a transposed convolution of 2 × 2 with stride 2 before nearest
followed by a 3 × 3 convolution. Describe a decoder in which you would take the second all the same, or neither of the two, say what
goes wrong with the first there, and what you would measure to find out whether you are right. **Three sentences.**
""".strip(),
    good_answer="""
A good answer names a situation, a mechanism and a measurement. One of these would do:

- **Smooth outputs** (a depth map, an image, a soft mask). With a 2 × 2 kernel and stride 2 the stamps do not overlap: each output cell
  comes from one input cell, so neighbouring blocks know nothing of each other and block edges stay visible, although no cell is covered
  more often than another. Nearest + 3 × 3 mixes neighbours at nine quarters of the weights' number and nine times the multiplications of
  the 2 × 2 layer; whether it pays is seen in the boundary error, or in the output's power at the frequency of the grid.
- **Fine boundaries, and an encoder that max pools.** Neither layer knows where in its window a maximum stood. Max unpooling with the
  encoder's switches puts it back there for no multiplication at all and one index for each pooled value; measure the boundary error with
  right and with shuffled switches.
- **Few labelled pictures.** Even stamps do not make learned weights even: where the four weights of a 2 × 2 stamp drift apart, a flat
  area of features comes out with their pattern. After a resize, a flat area stays flat whatever the kernel; compare both over several
  seeds, on areas that should be flat.

"It is more accurate" without a mechanism, or without saying what would be measured, is half an answer.
""".strip(),
)
