"""Masks are those of pycocotools, to the pixel: on every object of a hundred COCO pictures, and on polygons that nobody would draw."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as theirs

from course.data.coco_masks import polygon_mask, run_length_mask, segmentation_mask
from course.data.folder import data_root

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools with numpy 2


def decoded(polygons: list[list[float]], height: int, width: int) -> torch.Tensor:
    code = theirs.merge(theirs.frPyObjects(polygons, height, width))
    return torch.from_numpy(theirs.decode(code).astype(bool))


def test_every_object_of_coco_mini():
    path = data_root() / "coco_mini" / "instances.json"
    if not path.is_file():
        pytest.skip(f"needs the real data set: there is no {path} (SEGCOURSE_DATA names the folder that holds coco_mini)")
    content = json.loads(path.read_text())
    sizes = {picture["id"]: (picture["height"], picture["width"]) for picture in content["images"]}
    assert len(content["annotations"]) == 746
    for annotation in content["annotations"]:
        size = sizes[annotation["image_id"]]
        assert torch.equal(segmentation_mask(annotation["segmentation"], *size), decoded(annotation["segmentation"], *size))


@pytest.mark.parametrize("decimals", [0, 1, 2, None])
@pytest.mark.parametrize("beyond", [0.0, 0.5], ids=["inside", "beyond the border"])
def test_random_polygons(decimals, beyond):
    draw = np.random.default_rng(0)
    for _ in range(1000):
        height, width = (int(side) for side in draw.integers(1, 60, 2))
        corners = (draw.random((draw.integers(3, 12), 2)) * (1 + 2 * beyond) - beyond) * (width, height)
        polygon = (corners if decimals is None else corners.round(decimals)).flatten().tolist()
        assert torch.equal(polygon_mask(polygon, height, width), decoded([polygon], height, width)), (polygon, height, width)


fifths = st.integers(-40, 80).map(lambda value: value / 5)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(fifths, fifths), min_size=3, max_size=8), st.integers(1, 12), st.integers(1, 12))
def test_polygons_on_the_points_of_the_fine_grid(corners, height, width):
    far = max(height, width)
    polygon = [min(max(value, -far), 2 * far) for corner in corners for value in corner]
    assert torch.equal(polygon_mask(polygon, height, width), decoded([polygon], height, width))


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.98, 1.0])
def test_run_lengths_plain_and_packed(share):
    draw = np.random.default_rng(0)
    for _ in range(50):
        height, width = (int(side) for side in draw.integers(1, 200, 2))
        mask = draw.random((height, width)) < share
        code = theirs.encode(np.asfortranarray(mask))
        for counts in (code["counts"], code["counts"].decode()):
            assert torch.equal(run_length_mask(code | {"counts": counts}, height, width), torch.from_numpy(mask))
        flat = mask.T.flatten()
        runs = np.diff(np.flatnonzero(np.diff(flat)) + 1, prepend=0, append=flat.size).tolist()
        plain = {"size": [height, width], "counts": [0, *runs] if flat[0] else runs}
        packed = theirs.frPyObjects(plain, height, width)
        assert packed["counts"] == code["counts"]
        assert torch.equal(run_length_mask(plain, height, width), torch.from_numpy(mask))
