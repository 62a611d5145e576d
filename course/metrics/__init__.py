"""How good an answer is: label maps (`segmentation`), detected boxes and masks (`detection`), how many they are (`counting`),
poses (`keypoints`); and who is beaten by nobody when two numbers count at once (`pareto_front`).
"""

from course.metrics.counting import Count, count_objects
from course.metrics.detection import (
    COCO_THRESHOLDS,
    DetectionScores,
    PrecisionRecall,
    average_precision,
    mean_average_precision,
    precision_recall_curve,
)
from course.metrics.keypoints import box_lengths, pck
from course.metrics.pareto_front import pareto_front
from course.metrics.precision_recall_area import precision_recall_area
from course.metrics.segmentation import (
    VOID,
    boundary_band,
    boundary_error,
    boundary_f_score,
    class_iou,
    confusion_matrix,
    mean_iou,
    pixel_accuracy,
)

__all__ = [
    "COCO_THRESHOLDS",
    "Count",
    "DetectionScores",
    "PrecisionRecall",
    "VOID",
    "average_precision",
    "boundary_band",
    "boundary_error",
    "boundary_f_score",
    "box_lengths",
    "class_iou",
    "confusion_matrix",
    "count_objects",
    "mean_average_precision",
    "mean_iou",
    "pareto_front",
    "pck",
    "pixel_accuracy",
    "precision_recall_area",
    "precision_recall_curve",
]
