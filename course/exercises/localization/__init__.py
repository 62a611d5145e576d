"""The exercises of lesson 04: how well a box fits, two losses for one network, and a localizer of one's own."""

from course.exercises.localization.box_iou import BOX_IOU
from course.exercises.localization.multi_task_losses import MULTI_TASK_LOSSES
from course.exercises.localization.one_box_for_two import ONE_BOX_FOR_TWO
from course.exercises.localization.train_localizer import TRAIN_LOCALIZER

EXERCISES = (BOX_IOU, MULTI_TASK_LOSSES)
TRAININGS = (TRAIN_LOCALIZER,)
BUILT = "a network that says what is there and where"
QUESTIONS = (ONE_BOX_FOR_TWO,)
