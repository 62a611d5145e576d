"""The exercises of lesson 12: average precision of a judged list, who is beaten by nobody, and which detector for what."""

from course.exercises.race.pareto_front import PARETO_FRONT
from course.exercises.race.precision_recall_area import PRECISION_RECALL_AREA
from course.exercises.race.which_detector import WHICH_DETECTOR

EXERCISES = (PRECISION_RECALL_AREA, PARETO_FRONT)
QUESTIONS = (WHICH_DETECTOR,)
BUILT = "a judge of detectors"
