"""The exercises of lesson 11: points between cells, RoIAlign, a mask's target, loss and pasting, joints, and one's own network."""

from course.exercises.mask_rcnn.decode_keypoints import DECODE_KEYPOINTS
from course.exercises.mask_rcnn.mask_loss import MASK_LOSS
from course.exercises.mask_rcnn.mask_targets import MASK_TARGETS
from course.exercises.mask_rcnn.paste_masks import PASTE_MASKS
from course.exercises.mask_rcnn.roi_align import ROI_ALIGN
from course.exercises.mask_rcnn.sample_bilinear import SAMPLE_BILINEAR
from course.exercises.mask_rcnn.train_mask_rcnn import TRAIN_MASK_RCNN
from course.exercises.mask_rcnn.twelve_pixels import TWELVE_PIXELS

EXERCISES = (SAMPLE_BILINEAR, ROI_ALIGN, MASK_TARGETS, MASK_LOSS, PASTE_MASKS, DECODE_KEYPOINTS)
TRAININGS = (TRAIN_MASK_RCNN,)
QUESTIONS = (TWELVE_PIXELS,)
BUILT = "a network that outlines every object"
