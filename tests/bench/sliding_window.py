"""One convolutional pass against the slid window, on the same outputs.

A classifier of valid convolutions with a stride of 8 reads the cat photograph. Slid, it sees each window by itself, batch by batch; made
convolutional, it goes over the picture once. Before anything is measured the two maps are held against each other.
"""

import torch
from torch import nn

from course.cost import operations
from course.data.photos import cat
from course.models.fcn import convolutionalise
from course.models.sliding_window import PatchClassifier, SlidingWindow
from course.ops.windows import window_positions
from tests.bench.table import Row, row_of_times


def measure(quick: bool) -> list[Row]:
    rows = []
    for size in (62,) if quick else (30, 62, 94):
        rows += compare(size, runs=2 if quick else 5)
    return rows


@torch.no_grad()
def compare(size: int, runs: int) -> list[Row]:
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    classifier = PatchClassifier(size=size, channels=(16, 32, 64), classes=21).to(device).eval()
    whole = nn.Sequential(classifier.features, convolutionalise(classifier.linear, *classifier.map_size))
    slid = SlidingWindow(classifier, size=size, stride=classifier.stride, progress=False)
    image = cat().to(device)
    torch.testing.assert_close(whole(image), slid(image), rtol=1e-3, atol=1e-3)  # loose enough for TensorFloat-32
    rows, columns = window_positions(tuple(image.shape[1:]), size, classifier.stride)
    what = f"window of {size}, {rows} × {columns} answers"
    ways = {"one pass": lambda: whole(image), "sliding window": lambda: slid(image)}
    return [
        Row(f"{what}: million multiply–adds", operations(whole, image) / 1e6, {"sliding window": operations(slid, image) / 1e6}),
        row_of_times(f"{what}: ms", ways, runs=runs),
    ]
