"""How fast `course.data.shapes` draws, and its rasteriser beside scikit-image's, Pillow's and matplotlib's; all on one thread."""

import time
from itertools import count

import numpy as np
import torch
from matplotlib.path import Path
from PIL import Image, ImageDraw
from skimage.draw import polygon2mask

from course.data import rendering
from course.data.drawing import winding
from course.data.scenes import random_scene
from course.data.shapes import TARGETS, Shapes
from tests.bench.table import Row, row_of_times

SIZE = 128


def measure(quick: bool) -> list[Row]:
    """Pictures a second, one thread; then the parts of 50 scenes rasterised by four hands, and whole items drawn with them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rates = [pictures_a_second(50 if quick else 500, target) for target in TARGETS]
        return [*rates, outlines(3 if quick else 9, quick), items(3 if quick else 9, quick)]
    finally:
        torch.set_num_threads(threads)


def pictures_a_second(pictures: int, target: str) -> Row:
    data = Shapes("train", count=1 << 20, size=SIZE, target=target)
    for i in range(20):  # decodes the photographs
        data[i]
    start = time.process_time()
    for i in range(pictures):
        data[i]
    rate = pictures / (time.process_time() - start)
    return Row(f"shapes, {SIZE} px, {target}: pictures a second of one core", rate, {})


def by_skimage(contours: list[np.ndarray], height: int, width: int) -> np.ndarray:
    return sum(polygon2mask((height, width), contour[:, ::-1]) for contour in contours)


def by_pillow(contours: list[np.ndarray], height: int, width: int) -> np.ndarray:
    mask = Image.new("L", (width, height))
    for contour in contours:
        ImageDraw.Draw(mask).polygon([*map(tuple, contour)], fill=1)
    return np.asarray(mask)


def by_matplotlib(contours: list[np.ndarray], height: int, width: int) -> np.ndarray:
    points = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), -1).reshape(-1, 2)
    return sum(Path(contour).contains_points(points) for contour in contours).reshape(height, width)


# They see the same polygons. Holes, and which pixels are inside, are theirs to decide: what is compared is time.
HANDS = {"ours": winding, "skimage.draw": by_skimage, "PIL.ImageDraw": by_pillow, "matplotlib.path": by_matplotlib}


def outlines(runs: int, quick: bool) -> Row:
    scenes = [random_scene(np.random.default_rng(i), "train") for i in range(10 if quick else 50)]
    contours = [[SIZE * c for c in part.contours] for scene in scenes for thing in scene.objects for part in thing.outline.parts]
    jobs = []
    for each in contours:
        window = rendering.Window(each, SIZE)
        jobs.append(([contour - (window.left, window.top) for contour in each], window.height, window.width))
    ways = {name: lambda hand=hand: [hand(*job) for job in jobs] for name, hand in HANDS.items()}
    return row_of_times(f"rasterise {len(jobs)} parts of objects, {SIZE} px, ms", ways, runs=runs)


def items(runs: int, quick: bool) -> Row:
    pictures = 5 if quick else 25
    places = {name: count() for name in HANDS}
    data = Shapes("train", count=1 << 20, size=SIZE, target="instances")

    def draw(name: str) -> None:
        rendering.winding = HANDS[name]
        try:
            for _ in range(pictures):
                data[next(places[name])]
        finally:
            rendering.winding = winding

    return row_of_times(f"{pictures} whole items, {SIZE} px, ms", {name: lambda name=name: draw(name) for name in HANDS}, runs=runs)
