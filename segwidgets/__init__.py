"""Animations of the course's algorithms, on real tensors, in a notebook.

    import segwidgets
    segwidgets.pool(x, kernel_size=2)

Each function returns a `Player`. Its steps come from `course.ops`, the same code that students read.
"""

from segwidgets.anchors import anchors
from segwidgets.assignment import assignment
from segwidgets.box_codec import box_codec
from segwidgets.cell_losses import cell_losses
from segwidgets.conv_transpose import conv_transpose
from segwidgets.default_boxes import default_boxes
from segwidgets.feature_ladder import feature_ladder
from segwidgets.grid_predictions import grid_predictions
from segwidgets.keypoint_heat_maps import keypoint_heat_maps
from segwidgets.localizer_loss import localizer_loss
from segwidgets.loss_parts import loss_parts
from segwidgets.masks import masks
from segwidgets.nms import nms
from segwidgets.pixel_loss import pixel_loss
from segwidgets.player import Player
from segwidgets.pool import pool
from segwidgets.predictions import predictions
from segwidgets.race import race
from segwidgets.rcnn import rcnn
from segwidgets.receptive_field import receptive_field
from segwidgets.regions import felzenszwalb, slic
from segwidgets.roi_align import roi_align
from segwidgets.roi_pool import roi_pool
from segwidgets.rpn import rpn
from segwidgets.selective_search import selective_search
from segwidgets.sliding_window import sliding_window
from segwidgets.sliding_window_count import sliding_window_count
from segwidgets.threshold import threshold
from segwidgets.trace import Trace, TraceStep
from segwidgets.unpool import unpool
from segwidgets.xray import xray

__all__ = [
    "Player",
    "Trace",
    "TraceStep",
    "anchors",
    "assignment",
    "box_codec",
    "cell_losses",
    "conv_transpose",
    "default_boxes",
    "feature_ladder",
    "felzenszwalb",
    "grid_predictions",
    "keypoint_heat_maps",
    "localizer_loss",
    "loss_parts",
    "masks",
    "nms",
    "pixel_loss",
    "pool",
    "predictions",
    "race",
    "rcnn",
    "receptive_field",
    "roi_align",
    "roi_pool",
    "rpn",
    "selective_search",
    "slic",
    "sliding_window",
    "sliding_window_count",
    "threshold",
    "unpool",
    "xray",
]
