"""The exercises of lesson 05: targets for a fixed number of answers, non-maximum suppression, and a count of windows."""

from course.exercises.detection.can_it_keep_up import CAN_IT_KEEP_UP
from course.exercises.detection.fill_slots import FILL_SLOTS
from course.exercises.detection.nms import NMS

EXERCISES = (FILL_SLOTS, NMS)
BUILT = "the targets of a network that counts to a fixed number, and the step that makes many answers into one,"
QUESTIONS = (CAN_IT_KEEP_UP,)
