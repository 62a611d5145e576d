"""Selective search beside OpenCV's and the package selectivesearch: time, and how well so many boxes cover the objects.

Every way sees the same pictures at their own size and gives its own order of boxes. All work on one thread; what is compared is the
processor's seconds, picture by picture in turns. The peers get environments of their own, so the course does not depend on them.

Recall: the share of objects whose best box has an IoU of at least 0.5. MABO, the mean average best overlap: the best IoU, averaged over the
objects of a class, then over the classes (Uijlings et al. 2013, section 5). Crowds are left out. For scikit-image's photographs the boxes
are drawn by hand, and each object is a class by itself.

The modes were chosen on these photographs and on pictures 0, 3, 6, … of coco_mini; the rows of "the others" say what they do on pictures
that had no say.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from course.data.coco import Coco
from course.data.photos import photo
from course.models.selective_search import selective_search
from course.ops.boxes import box_iou
from tests.bench.table import Row
from tests.environments import new_environment, uv
from tests.parity.pycocotools_peer import coco_mini

PROGRAM = Path(__file__).parent / "peers" / "proposals.py"
PACKAGES = {"opencv-contrib-python-headless": ("OpenCV fast", "OpenCV quality"), "selectivesearch": ("selectivesearch",)}
BUDGETS = (100, 500, 1000, 2000)
DRAWN = {
    "cat": [(0, 0, 385, 300), (135, 83, 202, 145), (295, 85, 343, 157), (228, 225, 290, 265)],  # the cat, its eyes, its nose
    "coffee": [(77, 55, 480, 382), (172, 17, 410, 305), (325, 62, 423, 325)],  # saucer, cup, spoon
    "motorcycle": [(85, 80, 685, 455), (120, 235, 280, 400), (515, 285, 685, 455)],  # the whole, its wheels
    "astronaut": [(20, 15, 365, 512), (152, 15, 302, 190), (275, 343, 512, 512), (353, 0, 465, 287)],  # she, her head, helmet, shuttle
    "rocket": [(307, 130, 332, 405)],
    "horse": [(17, 8, 390, 313)],
    "camera": [(0, 62, 335, 512), (230, 140, 405, 512)],  # the man, his camera on its tripod
}

Picture = tuple[Tensor, Tensor, Tensor]
"""uint8 [3, H, W], the objects' boxes [N, 4], their classes [N]."""


def measure(quick: bool) -> list[Row]:
    """About fifteen minutes, two if quick."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ExitStack() as stack:
            return rows(Peers(stack), quick)
    finally:
        torch.set_num_threads(threads)


def rows(peers: "Peers", quick: bool) -> list[Row]:
    found = compare("scikit-image", photographs(), peers, {"fast": ("OpenCV fast", "selectivesearch"), "quality": ("OpenCV quality",)})
    if coco_mini() is None:
        print("coco_mini is left out: SEGCOURSE_DATA names no folder with it", file=sys.stderr)
        return found
    chosen_on = range(0, 100, 20 if quick else 3)
    others = [i for i in range(100) if i not in chosen_on][:: 20 if quick else 1]
    found += compare("COCO", of_coco(chosen_on), peers, {"fast": ("OpenCV fast", "selectivesearch"), "quality": ("OpenCV quality",)})
    found += compare("COCO, the others", of_coco(others), peers, {"fast": ("OpenCV fast", "selectivesearch")})
    return found


def compare(name: str, pictures: Sequence[Picture], peers: "Peers", contests: dict[str, tuple[str, ...]]) -> list[Row]:
    """{our mode: peers} → rows of time, boxes, recall and MABO."""
    classes = torch.cat([labels for _, _, labels in pictures])
    found = []
    for mode, names in contests.items():
        ways = ["ours", *(way for way in names if way in peers.ways)]
        seconds, counts, best = defaultdict(list), defaultdict(list), defaultdict(list)
        for image, objects, _ in pictures:
            for way in ways:
                spent, boxes = by_us(image, mode) if way == "ours" else peers.ask(way, image)
                seconds[way].append(spent)
                counts[way].append(len(boxes))
                best[way].append(torch.stack([box_iou(objects, boxes[:budget]).amax(1) for budget in BUDGETS], 1))  # [N, budgets]
        what = f"{name}, {len(pictures)} pictures, {len(classes)} objects, {mode}"
        found += [
            row(f"{what}: seconds a picture", ways, {way: fmean(seconds[way]) for way in ways}),
            row(f"{what}: boxes a picture", ways, {way: fmean(counts[way]) for way in ways}),
        ]
        for number, budget in enumerate(BUDGETS):
            overlaps = {way: torch.cat(best[way])[:, number] for way in ways}  # [objects]
            recall = {way: float((each >= 0.5).float().mean()) for way, each in overlaps.items()}
            mabo = {way: fmean(float(each[classes == label].mean()) for label in classes.unique()) for way, each in overlaps.items()}
            found += [row(f"{what}, {budget} boxes: recall", ways, recall), row(f"{what}, {budget} boxes: MABO", ways, mabo)]
    return found


def row(measure: str, ways: list[str], values: dict[str, float]) -> Row:
    return Row(measure, values["ours"], {way: values[way] for way in ways if way != "ours"})


def by_us(image: Tensor, mode: str) -> tuple[float, Tensor]:
    start = time.process_time()
    boxes = selective_search(image, mode)
    return time.process_time() - start, boxes


def photographs() -> list[Picture]:
    pictures, first = [], 0
    for name, boxes in DRAWN.items():
        labels = torch.arange(first, first + len(boxes))
        pictures.append(((photo(name) * 255).round().byte(), torch.tensor(boxes, dtype=torch.float32), labels))
        first += len(boxes)
    return pictures


def of_coco(indices: Sequence[int]) -> list[Picture]:
    data, pictures = Coco(coco_mini(), target="boxes"), []
    for index in indices:
        image, target = data[index]
        alone = target["iscrowd"] == 0
        if alone.any():
            pictures.append(((image * 255).round().byte(), target["boxes"][alone], target["labels"][alone]))
    return pictures


class Peers:
    """The peers that could be installed, each package with an environment and a process of its own, until the stack is closed."""

    def __init__(self, stack: ExitStack):
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.ways: dict[str, subprocess.Popen] = {}
        for package, ways in PACKAGES.items():
            python = new_environment(self.folder / package, Path(sys.executable))
            answer = uv("pip", "install", "--quiet", "-p", python, package, "numpy", check=False)
            if answer.returncode:
                print(f"{', '.join(ways)}: left out, {package} cannot be installed: {answer.stderr.strip()}", file=sys.stderr)
                continue
            settings = os.environ | {"OMP_NUM_THREADS": "1"}
            process = subprocess.Popen([python, PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=settings)
            stack.enter_context(process)
            stack.callback(process.stdin.close)  # it ends when nothing more can be asked
            self.ways |= dict.fromkeys(ways, process)

    def ask(self, way: str, image: Tensor) -> tuple[float, Tensor]:
        """Processor seconds and boxes [N, 4] of a picture."""
        path, process = self.folder / "picture.npy", self.ways[way]
        np.save(path, image.permute(1, 2, 0).numpy())
        process.stdin.write(json.dumps({"way": way, "picture": str(path)}) + "\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        return answer["seconds"], torch.tensor(answer["boxes"], dtype=torch.float32).reshape(-1, 4)
