"""Animations of the course's algorithms, on real tensors, in a notebook.

    import segwidgets
    segwidgets.pool(x, kernel_size=2)

Each function returns a `Player`. Its steps come from `course.ops`, the same code that students read.
"""

from segwidgets.conv_transpose import conv_transpose
from segwidgets.player import Player
from segwidgets.pool import pool
from segwidgets.trace import Trace, TraceStep
from segwidgets.unpool import unpool

__all__ = ["Player", "Trace", "TraceStep", "conv_transpose", "pool", "unpool"]
