"""The exercises of lesson 00: from instances to a label map, and how good a label map is.

Each exercise stands in a file of its own: what is asked, the reference, the cases, the common mistakes.
"""

from course.exercises.segmentation.class_iou import CLASS_IOU
from course.exercises.segmentation.confusion_matrix import CONFUSION_MATRIX
from course.exercises.segmentation.semantic_map import SEMANTIC_MAP
from course.exercises.segmentation.which_number import WHICH_NUMBER

EXERCISES = (SEMANTIC_MAP, CONFUSION_MATRIX, CLASS_IOU)
BUILT = "the map that a network has to learn, and the numbers that judge it,"
QUESTIONS = (WHICH_NUMBER,)
