"""Our FCN against torchvision's with the same tensors, and the two ways to a label for every pixel: at full resolution, and down and up.

Before anything is timed, the outputs that should be the same are held against each other.
"""

import torch
import torch.nn.functional as F
from torchvision.models.segmentation import fcn_resnet50

from course.cost import operations
from course.models.fcn import FullResolution, from_torchvision, losses
from course.recipes import fcn as recipe
from tests.bench.table import Row, row_of_times


def measure(quick: bool) -> list[Row]:
    runs = 2 if quick else 9
    return [*against_torchvision(128 if quick else 256, runs), *down_and_up(128, runs)]


def against_torchvision(size: int, runs: int) -> list[Row]:
    """fcn_resnet50 with its auxiliary head: answers, and whole training steps."""
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    theirs = fcn_resnet50(weights=None, weights_backbone=None, num_classes=21, aux_loss=True).to(device).eval()
    ours = from_torchvision(theirs)
    images, target = torch.randn(1, 3, size, size, device=device), torch.randint(21, (2, 64, 64), device=device)
    with torch.inference_mode():
        torch.testing.assert_close(dict(ours(images)), dict(theirs(images)), rtol=1e-2, atol=1e-2)  # loose enough for TensorFloat-32

    def answer(model):
        with torch.inference_mode():
            return model(images)

    def train(model, loss):
        model.train().zero_grad()
        outputs = model(images.expand(2, -1, -1, -1)[..., :64, :64])
        sum(loss(outputs, target).values()).backward()
        model.eval()

    def reference_loss(outputs, target):
        return {"out": F.cross_entropy(outputs["out"], target), "aux": 0.5 * F.cross_entropy(outputs["aux"], target)}

    answers = {"ours": lambda: answer(ours), "torchvision": lambda: answer(theirs)}
    steps = {"ours": lambda: train(ours, losses), "torchvision": lambda: train(theirs, reference_loss)}
    return [
        row_of_times(f"fcn_resnet50, {size} × {size} pixels: ms", answers, runs=runs),
        row_of_times("fcn_resnet50, two pictures of 64 × 64, forward and backward: ms", steps, runs=runs),
    ]


def down_and_up(size: int, runs: int) -> list[Row]:
    """The shapes recipe's FCN, down to stride 32 and up again, and four convolutions of 32 channels that stay at full resolution."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    down, stay = recipe.build("shapes").to(device).eval(), FullResolution(classes=7).to(device).eval()
    images = torch.rand(8, 3, size, size, device=device)

    def answer(model):
        with torch.inference_mode():
            return model(images)["out"]

    name = "full resolution"
    return [
        Row(
            f"FCN, {size} × {size}: million multiply–adds a picture",
            operations(lambda: answer(down)) / 8e6,
            {name: operations(lambda: answer(stay)) / 8e6},
        ),
        row_of_times(f"FCN, eight pictures of {size} × {size}: ms", {"FCN": lambda: answer(down), name: lambda: answer(stay)}, runs=runs),
    ]
