"""The exercises of lesson 05: targets for a fixed number of answers, non-maximum suppression, and a count of windows."""

from course.exercises.detection.can_it_keep_up import CAN_IT_KEEP_UP
from course.exercises.detection.fill_slots import FILL_SLOTS
from course.exercises.detection.nms import NMS

EXERCISES = (FILL_SLOTS, NMS)
BUILT = "two ways to detect, and the step that both need a remedy for,"
QUESTIONS = (CAN_IT_KEEP_UP,)
