"""Animations of the course's algorithms, on real tensors, in a notebook.

    import segwidgets
    segwidgets.pool(x, kernel_size=2)

Each function returns a `Player`. Its steps come from `course.ops`, the same code that students read.
"""

from segwidgets.conv_transpose import conv_transpose
from segwidgets.feature_ladder import feature_ladder
from segwidgets.nms import nms
from segwidgets.pixel_loss import pixel_loss
from segwidgets.player import Player
from segwidgets.pool import pool
from segwidgets.predictions import predictions
from segwidgets.receptive_field import receptive_field
from segwidgets.regions import felzenszwalb, slic
from segwidgets.sliding_window import sliding_window
from segwidgets.threshold import threshold
from segwidgets.trace import Trace, TraceStep
from segwidgets.unpool import unpool

__all__ = [
    "Player",
    "Trace",
    "TraceStep",
    "conv_transpose",
    "feature_ladder",
    "felzenszwalb",
    "nms",
    "pixel_loss",
    "pool",
    "predictions",
    "receptive_field",
    "slic",
    "sliding_window",
    "threshold",
    "unpool",
]
