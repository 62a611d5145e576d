"""Exercise `build_fcn`: a network of one's own, trained, and judged by what it does on pictures that it never saw."""

import torch
from torch import Tensor, nn

from course.data.shapes import CLASSES, Shapes
from course.exercises.exercise import TRAINING_CELL, TrainingExercise
from course.exercises.labelling import Labelling
from course.models.backbones import efficientnet_lite0
from course.models.fcn import FCN, head

PICTURES, SIZE = 200, 128

PROMPT = """
Build a network that labels every pixel of a picture, train it, and save what it has learnt. How you build it is up to you: from scratch or
with the parts of this lesson, on a backbone of your own or on one that knows ImageNet. It takes pictures `[N, 3, H, W]`, RGB, 0…1, and
returns logits `[N, 7, H, W]`: one number for each pixel and each class of `Shapes`, `background` first.

1. Write `build_fcn`. It takes no arguments and returns the network, untrained.
2. Run the cell that trains. It is yours to change: more pictures, more epochs, another optimiser, pictures that are flipped. With
   `checkpoint="run.pt"`, `fit` goes on after an interruption where it was. On a CPU this takes a quarter of an hour; on Colab, choose
   *Runtime → Change runtime type → T4 GPU* first, and it takes minutes.
3. The check builds the network anew, loads `fcn.safetensors`, and lets it label 200 pictures of 128 × 128 from `Shapes("test", …)`: other
   scenes, on other photographs than those of the training. They may take it 60 seconds of processor time.

When you change `build_fcn`, train again: the file fits one network. The last cell of this notebook packs notebook and `fcn.safetensors`
into the one file that you hand in. On Colab run it before you leave: Colab forgets its files. Another seed draws other pictures, as in
`check(build_fcn, seed=1)`; nobody knows the one that is used for grading.
""".strip()

TRAINING = (
    TRAINING_CELL
    + """: left out when this notebook is checked or graded. What counts is the file that it writes.
import torch.nn.functional as F
from safetensors.torch import save_file

from course.data.shapes import Shapes
from course.models.fcn import logits_of
from course.training import fit


def loss(outputs, target):
    return F.cross_entropy(logits_of(outputs), target)


network = build_fcn()
history = fit(network, Shapes("train", count=2000), loss=loss, epochs=5, batch_size=16)
save_file(network.state_dict(), "fcn.safetensors")
""".rstrip()
)


def build_fcn() -> nn.Module:
    """A network, untrained, that scores every pixel for every class: images [N, 3, H, W], RGB, 0…1 → logits [N, 7, H, W]."""
    scores = {32: head(320, 64, 7), 16: head(112, 64, 7), 8: head(40, 64, 7)}  # FCN-8s, on a backbone that knows ImageNet
    return FCN(backbone=efficientnet_lite0(), scores=scores)


def pictures(seed: int) -> tuple[Tensor, Tensor]:
    """Pictures `[N, 3, S, S]` and their labels `[N, S, S]`, of the split that nobody trains on."""
    items = Shapes("test", count=PICTURES, size=SIZE, seed=seed)
    images, targets = zip(*(items[index] for index in range(len(items))), strict=True)
    return torch.stack(images), torch.stack(targets)


TRAIN_FCN = TrainingExercise(
    prompt=PROMPT,
    solution=build_fcn,
    training=TRAINING,
    checkpoint="fcn.safetensors",
    pictures=pictures,
    task=Labelling(classes=CLASSES),
    points=((0.20, 1), (0.30, 2), (0.40, 3), (0.50, 4), (0.55, 5), (0.60, 6), (0.65, 7), (0.70, 8), (0.75, 9), (0.80, 10)),
)
