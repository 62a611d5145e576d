"""The exercises of lesson 10: YOLO's targets, responsibility, losses and decoding, SSD's boxes and mining, and a detector of one's own."""

from course.exercises.yolo_ssd.coordinate_losses import COORDINATE_LOSSES
from course.exercises.yolo_ssd.decode_predictions import DECODE_PREDICTIONS
from course.exercises.yolo_ssd.default_boxes import DEFAULT_BOXES
from course.exercises.yolo_ssd.encode_targets import ENCODE_TARGETS
from course.exercises.yolo_ssd.hard_negatives import HARD_NEGATIVES
from course.exercises.yolo_ssd.responsible_boxes import RESPONSIBLE_BOXES
from course.exercises.yolo_ssd.train_yolo import TRAIN_YOLO
from course.exercises.yolo_ssd.two_in_one_cell import TWO_IN_ONE_CELL

EXERCISES = (ENCODE_TARGETS, RESPONSIBLE_BOXES, COORDINATE_LOSSES, DECODE_PREDICTIONS, DEFAULT_BOXES, HARD_NEGATIVES)
TRAININGS = (TRAIN_YOLO,)
QUESTIONS = (TWO_IN_ONE_CELL,)
BUILT = "a detector that needs no proposals"
