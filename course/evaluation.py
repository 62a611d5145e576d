"""What a detector finds on a data set, and how good that is."""

import torch
from torch import nn
from torch.utils.data import Dataset

from course.data.shapes import collate
from course.metrics import mean_average_precision
from course.training import pick_device, to_device


def detections_on(model: nn.Module, data: Dataset, *, device="auto", batch_size: int = 25) -> tuple[list[dict], list[dict]]:
    """(detections, targets) of every picture, on the CPU, in evaluation mode; the model stays on the device, and in its mode.

    Args:
        model: a list of pictures `[3, H, W]` → for each a dict of boxes, labels and scores.
        data: items (image, target).
    """
    device, was_training = pick_device(device), model.training
    model.to(device).eval()
    found, there = [], []
    with torch.inference_mode():
        for start in range(0, len(data), batch_size):
            images, targets = collate([data[number] for number in range(start, min(start + batch_size, len(data)))])
            found += to_device(model(to_device(images, device)), torch.device("cpu"))
            there += targets
    model.train(was_training)
    return found, there


def mean_average_precision_on(
    model: nn.Module, data: Dataset, *, device="auto", batch_size: int = 25, iou_thresholds: tuple[float, ...] = (0.5,)
) -> float:
    """mAP over a data set of (image, target), in evaluation mode: that of `course.metrics.mean_average_precision`."""
    found, there = detections_on(model, data, device=device, batch_size=batch_size)
    return mean_average_precision(found, there, iou_thresholds).mAP
