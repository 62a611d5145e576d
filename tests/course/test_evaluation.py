"""What a detector finds on a data set comes back picture by picture, and its mAP is the metric's."""

import torch
from torch import nn

from course.data.shapes import Shapes
from course.evaluation import detections_on, mean_average_precision_on
from course.metrics import mean_average_precision
from course.recipes import faster_rcnn


def shapes(count):
    return Shapes("test", count=count, size=128, target="instances")


def test_detections_come_back_picture_by_picture_and_the_mode_stays():
    torch.manual_seed(0)
    model = faster_rcnn.build("shapes").train()
    data = shapes(5)
    found, there = detections_on(model, data, device="cpu", batch_size=2)
    assert len(found) == len(there) == 5 and model.training
    model.eval()
    with torch.inference_mode():
        alone = model([data[4][0]])[0]
    torch.testing.assert_close(found[4], alone, rtol=1e-4, atol=1e-3)


class Oracle(nn.Module):
    """Knows every box of its data, and one more in each picture; asked in batches, it counts along."""

    def __init__(self, data):
        super().__init__()
        self.targets, self.seen = [target for _, target in data], 0

    def forward(self, images):
        there = self.targets[self.seen : self.seen + len(images)]
        self.seen += len(images)
        return [
            {
                "boxes": torch.cat((target["boxes"], torch.tensor([[0.0, 0.0, 5.0, 5.0]]))),
                "labels": torch.cat((target["labels"], torch.tensor([1]))),
                "scores": torch.linspace(1, 0.5, len(target["labels"]) + 1),
            }
            for target in there
        ]


def test_the_mean_average_precision_is_that_of_all_pictures_together():
    data = [shapes(7)[number] for number in range(7)]
    found, there = detections_on(Oracle(data), data, device="cpu", batch_size=3)
    assert len(found) == 7 and all(a["boxes"].equal(b["boxes"]) for a, b in zip(there, (target for _, target in data), strict=True))
    expected = mean_average_precision(found, there, (0.5, 0.9)).mAP
    assert 0.5 < expected <= 1
    assert mean_average_precision_on(Oracle(data), data, device="cpu", batch_size=4, iou_thresholds=(0.5, 0.9)) == expected
