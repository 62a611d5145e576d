"""The exercises of lesson 07: what R-CNN cuts out, how it moves a box, how it learns to, and what SPP-net pools instead.

Each exercise stands in a file of its own: what is asked, the reference, the cases, the common mistakes.
"""

from course.exercises.rcnn.decode_boxes import DECODE_BOXES
from course.exercises.rcnn.encode_boxes import ENCODE_BOXES
from course.exercises.rcnn.pyramid_pool import PYRAMID_POOL
from course.exercises.rcnn.ridge import RIDGE
from course.exercises.rcnn.warp import WARP
from course.exercises.rcnn.what_to_keep import WHAT_TO_KEEP

EXERCISES = (WARP, ENCODE_BOXES, DECODE_BOXES, RIDGE, PYRAMID_POOL)
BUILT = "the parts that make R-CNN of a classifier, and the pooling that makes it fast,"
QUESTIONS = (WHAT_TO_KEEP,)
