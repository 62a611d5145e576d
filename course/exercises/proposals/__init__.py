"""The exercises of lesson 06: how alike two regions are, and what is known of them once they are one.

Each exercise stands in a file of its own: what is asked, the reference, the cases, the common mistakes.
"""

from course.exercises.proposals.colour_similarity import COLOUR_SIMILARITY
from course.exercises.proposals.fill_similarity import FILL_SIMILARITY
from course.exercises.proposals.merged_histogram import MERGED_HISTOGRAM
from course.exercises.proposals.size_similarity import SIZE_SIMILARITY
from course.exercises.proposals.which_rival import WHICH_RIVAL

EXERCISES = (COLOUR_SIMILARITY, SIZE_SIMILARITY, FILL_SIMILARITY, MERGED_HISTOGRAM)
BUILT = "all that selective search asks of two regions"
QUESTIONS = (WHICH_RIVAL,)
