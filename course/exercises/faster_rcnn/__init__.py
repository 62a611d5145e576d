"""The exercises of lesson 09: anchors, who answers for what, two losses, proposals, and a region proposal network of one's own."""

from course.exercises.faster_rcnn.base_anchors import BASE_ANCHORS
from course.exercises.faster_rcnn.filter_proposals import FILTER_PROPOSALS
from course.exercises.faster_rcnn.match_boxes import MATCH_BOXES
from course.exercises.faster_rcnn.place_anchors import PLACE_ANCHORS
from course.exercises.faster_rcnn.rpn_losses import RPN_LOSSES
from course.exercises.faster_rcnn.train_rpn import TRAIN_RPN
from course.exercises.faster_rcnn.twenty_thousand_anchors import TWENTY_THOUSAND_ANCHORS

EXERCISES = (BASE_ANCHORS, PLACE_ANCHORS, MATCH_BOXES, RPN_LOSSES, FILTER_PROPOSALS)
TRAININGS = (TRAIN_RPN,)
QUESTIONS = (TWENTY_THOUSAND_ANCHORS,)
BUILT = "a network that proposes its own regions"
