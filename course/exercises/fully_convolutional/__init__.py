"""The exercises of lesson 02: the loss of a pixel, one rung of the refinement ladder, and a network of one's own."""

from course.exercises.fully_convolutional.fuse import FUSE
from course.exercises.fully_convolutional.pixel_cross_entropy import PIXEL_CROSS_ENTROPY
from course.exercises.fully_convolutional.train_fcn import TRAIN_FCN
from course.exercises.fully_convolutional.which_scale import WHICH_SCALE

EXERCISES = (PIXEL_CROSS_ENTROPY, FUSE)
BUILT = "a segmentation network, and trained it,"
TRAININGS = (TRAIN_FCN,)
QUESTIONS = (WHICH_SCALE,)
