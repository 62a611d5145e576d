"""Exercise `build_yolo`: a detector that looks once, trained by the student."""

import torch
from torch import Tensor, nn

from course.data.shapes import CLASSES, Shapes
from course.exercises.detecting import Detecting
from course.exercises.exercise import TRAINING_CELL, TrainingExercise
from course.models.detector_input import DetectorInput
from course.models.stages import LITE0_TRUNK, lite0_trunk
from course.models.yolo import YOLO, GridHead

PICTURES, SIZE, DETECTIONS = 200, 128, 20

PROMPT = """
Build a detector without proposals, train it, and save what it has learnt. How you build it is up to you: with the parts of this lesson, on
a backbone of your own or on one that knows ImageNet. It takes pictures `[N, 3, 128, 128]`, RGB, 0…1, and returns **one tensor**, what the
cells say: `[N, S, S, 5B + 6]`, row before column. Of each cell come B times x, y, w, h, confidence, one box after another, and then the
six classes of `Shapes` without the background. x and y are the centre's place in the cell, w and h shares of the picture.

How many cells, S, and how many boxes in each, B, is up to you. Leave all boxes in: whoever checks decodes them as in `decode_predictions`,
keeps the 300 with the best scores, removes what overlaps a better one of its class with an IoU above 0.5, and takes **the first 20** of a
picture.

1. Write `build_yolo`. It takes no arguments and returns the network, untrained. The cell that trains calls its `losses(images, targets)`,
   which gets a list of pictures `[3, 128, 128]` and a list of dicts with `"boxes"`, `[G, 4]`, and `"labels"`, `[G]`, from 1, and returns a
   dict of scalars: `YOLO.losses` does it.
2. Run the cell that trains. It is yours to change: more cells, the λ's, more epochs, other augmentation. With `checkpoint="run.pt"`, `fit`
   goes on after an interruption where it was. On a CPU this takes about ten minutes; on Colab, choose *Runtime → Change runtime type → T4
   GPU* first, and most of the time goes into drawing the pictures.
3. The check builds the network anew, loads `yolo.safetensors`, and lets it answer about 200 pictures of 128 × 128 from `Shapes("test", …)`:
   other objects, on other photographs than those of the training. They may take it 60 seconds of processor time.

**How it is judged.** A detection is right if its IoU with an object of its class is at least 0.5 and no better one has found it. Of each
class precision over recall gives an average precision, as in lesson 07, and their mean is the score, **mAP at IoU 0.5**. Boxes with low
scores cost nothing as long as the right ones stand before them, so there is no threshold to choose. The check also says how many objects
have a box at all, and how many one under their own name: where the first is low, look at the boxes; where only the second is, at the
classes; where both are high and the score is not, at the confidences.

When you change `build_yolo`, train again: the file fits one network. The last cell of this notebook packs notebook and `yolo.safetensors`
into the one file that you hand in. On Colab run it before you leave: Colab forgets its files. Another seed draws other pictures, as in
`check(build_yolo, seed=1)`; nobody knows the one that is used for grading.
""".strip()

TRAINING = (
    TRAINING_CELL
    + """: left out when this notebook is checked or graded. What counts is the file that it writes.
from safetensors.torch import save_file

from course.data.in_memory import InMemory
from course.data.shapes import Shapes, collate
from course.training import fit

network = build_yolo()
pictures = InMemory(Shapes("train", count=2000, target="instances"), mirrors=((-1,),))  # and each in a mirror
optimiser = torch.optim.AdamW(network.parameters(), lr=0.002, weight_decay=0.01)
history = fit(network, pictures, batch_loss=network.losses, collate=collate, epochs=4, batch_size=16, optimiser=optimiser)
save_file(network.state_dict(), "yolo.safetensors")
""".rstrip()
)


def build_yolo() -> nn.Module:
    """A network, untrained, that says at once what is where.

    Images [N, 3, 128, 128], RGB, 0…1 → what the cells say, [N, S, S, 5B + 6], all of it from 0 to 1.
    """

    class Cells(YOLO):
        def forward(self, images):
            return self.predict(images)

    head = GridHead(channels=LITE0_TRUNK[16], width=112, grid=8, numbers=5 * 2 + 6)
    prepare = DetectorInput(normalise=False, size=128)
    return Cells(prepare=prepare, backbone=lite0_trunk(), head=head, grid=8, boxes=2, classes=6)


def pictures(seed: int) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """Pictures `[N, 3, S, S]`, of the split that nobody trains on, and what is in each: boxes `[G, 4]`, labels `[G]`."""
    items = Shapes("test", count=PICTURES, size=SIZE, seed=seed, target="instances")
    images, targets = zip(*(items[index] for index in range(len(items))), strict=True)
    return torch.stack(images), [{name: target[name] for name in ("boxes", "labels")} for target in targets]


TRAIN_YOLO = TrainingExercise(
    prompt=PROMPT,
    solution=build_yolo,
    training=TRAINING,
    checkpoint="yolo.safetensors",
    pictures=pictures,
    task=Detecting(classes=CLASSES, most=DETECTIONS),
    points=((0.20, 1), (0.35, 2), (0.48, 3), (0.58, 4), (0.66, 5), (0.72, 6), (0.77, 7), (0.81, 8), (0.84, 9), (0.87, 10)),
)
