"""The exercises of lesson 01: how many windows there are, what they cut out, and a linear layer as a convolution.

Each exercise stands in a file of its own: what is asked, the reference, the cases, the common mistakes. Arguments are simpler here than the
course's functions allow: a picture is always [C, H, W], and a window is square where that loses nothing.
"""

from course.exercises.sliding_window.convolutional_weight import CONVOLUTIONAL_WEIGHT
from course.exercises.sliding_window.extract_patches import EXTRACT_PATCHES
from course.exercises.sliding_window.which_way import WHICH_WAY
from course.exercises.sliding_window.window_positions import WINDOW_POSITIONS

EXERCISES = (WINDOW_POSITIONS, EXTRACT_PATCHES, CONVOLUTIONAL_WEIGHT)
BUILT = "a sliding window, and the step that does away with it,"
QUESTIONS = (WHICH_WAY,)
