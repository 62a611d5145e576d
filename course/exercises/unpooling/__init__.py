"""The exercises of lesson 03: ways to make a plane larger, and the choice between them.

Each exercise stands in a file of its own: what is asked, the reference, the cases, the common mistakes. Arguments are simpler here than the
course's functions allow: tensors are always [N, C, H, W], so that a student's version needs no cases of its own for other shapes.
"""

from course.exercises.unpooling.bed_of_nails import BED_OF_NAILS
from course.exercises.unpooling.choice import CHOICE, CHOICE_QUESTION
from course.exercises.unpooling.conv_transpose import CONV_TRANSPOSE
from course.exercises.unpooling.conv_transpose_output_size import OUTPUT_SIZE
from course.exercises.unpooling.max_unpool import MAX_UNPOOL

EXERCISES = (BED_OF_NAILS, MAX_UNPOOL, OUTPUT_SIZE, CONV_TRANSPOSE, CHOICE)
BUILT = "the way up of a segmentation network"
QUESTIONS = (CHOICE_QUESTION,)
