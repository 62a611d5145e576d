"""`segwidgets.sampling_points`: what is shown keeps its size wherever the region lies."""

import pytest
import torch

from segwidgets.box_heads import Pooling
from segwidgets.sampling_points import SamplingPoints

PLANE = torch.rand(16, 20, generator=torch.Generator().manual_seed(0))
BOXES = [(32, 32, 96, 96), (0, 0, 8, 100), (0, 100, 160, 128), (150, 120, 160, 128), (60.5, 3, 71, 90), (159, 127, 160, 128)]


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("box", BOXES)
def test_no_panel_changes_its_size_with_the_region(box, aligned):
    """A panel that did would move the photograph away from under the pointer while a box is dragged."""
    points = SamplingPoints(
        PLANE, torch.tensor(box), 0, Pooling(level=["8"], scale=[1 / 8], output_size=(7, 7), sampling_ratio=2, aligned=aligned)
    )
    (_, sampling), (_, weights) = points.panels(6.0)
    assert sampling.width == 6.0 and (weights.rows, weights.columns) == (2, 2)
    if box[2] - box[0] < 120:  # a region as wide as the map is shown with all of its rows, and those are fewer
        assert sampling.rows == sampling.columns
    written = points.step("Its region").writes["weights"]
    assert sum(written.values()) == pytest.approx(1, abs=2e-3) and all(0 <= side < 2 for cell in written for side in cell)
