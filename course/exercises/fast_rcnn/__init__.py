"""The exercises of lesson 08: how a region is pooled, how its gradient flows back, and how wrong a box is.

Each exercise stands in a file of its own: what is asked, the reference, the cases, the common mistakes.
"""

from course.exercises.fast_rcnn.one_pass_for_many import ONE_PASS_FOR_MANY
from course.exercises.fast_rcnn.roi_pool import ROI_POOL
from course.exercises.fast_rcnn.roi_pool_backward import ROI_POOL_BACKWARD
from course.exercises.fast_rcnn.smooth_l1 import SMOOTH_L1

EXERCISES = (ROI_POOL, ROI_POOL_BACKWARD, SMOOTH_L1)
BUILT = "RoI pooling, forth and back, and the loss that moves boxes"
QUESTIONS = (ONE_PASS_FOR_MANY,)
