"""Exercise `build_localizer`: a network that names the one object of a picture and puts a box around it, trained by the student."""

import torch
from torch import Tensor, nn

from course.data.counted_objects import SingleObjects
from course.data.shapes import CLASSES
from course.exercises.exercise import TRAINING_CELL, TrainingExercise
from course.exercises.localizing import Localizing
from course.models.backbones import efficientnet_lite0
from course.models.localizer import Localizer, fully_connected
from course.models.stages import efficientnet_lite0_stages

PICTURES, SIZE = 200, 96

PROMPT = """
Build a network that says what is in a picture and where, train it, and save what it has learnt. How you build it is up to you: from
scratch or with the parts of this lesson, on a backbone of your own or on one that knows ImageNet. It takes pictures `[N, 3, 96, 96]`,
RGB, 0…1, with one object each, and returns a dict of two tensors:

- `"logits"`, `[N, 7]`: one number for each class of `SingleObjects`, `background` first (it never is the answer here);
- `"codes"`, `[N, 4]`: the box as (x, y, width, height) of its centre and sides, in sides of the picture, as `encode_in_image` writes it.

1. Write `build_localizer`. It takes no arguments and returns the network, untrained.
2. Run the cell that trains. It is yours to change: the balance, more epochs, another optimiser, pictures that are flipped (and their boxes
   with them). With `checkpoint="run.pt"`, `fit` goes on after an interruption where it was. On a CPU this takes about eight minutes; on
   Colab, choose *Runtime → Change runtime type → T4 GPU* first, and most of the time goes into drawing the pictures.
3. The check builds the network anew, loads `localizer.safetensors`, and lets it answer about 200 pictures of 96 × 96 from
   `SingleObjects("test", …)`: other objects, on other photographs than those of the training. They may take it 60 seconds of processor
   time.

**How it is judged.** A picture is worth the IoU of its box where the class is right, and nothing where it is wrong: a good box around a
fish that is called a car helps nobody. The score is the mean over the pictures. The check also says how often the class is right, and
what the boxes alone are worth, so that you see which head to work on.

When you change `build_localizer`, train again: the file fits one network. The last cell of this notebook packs notebook and
`localizer.safetensors` into the one file that you hand in. On Colab run it before you leave: Colab forgets its files. Another seed draws
other pictures, as in `check(build_localizer, seed=1)`; nobody knows the one that is used for grading.
""".strip()

TRAINING = (
    TRAINING_CELL
    + """: left out when this notebook is checked or graded. What counts is the file that it writes.
from safetensors.torch import save_file

from course.data.counted_objects import SingleObjects
from course.models.localizer import encode_in_image, multi_task_losses
from course.training import fit


def losses(outputs, targets):
    codes = encode_in_image(targets["boxes"], 96)
    return multi_task_losses(outputs["logits"], outputs["codes"], targets["labels"], codes, balance=20)


network = build_localizer()
optimiser = torch.optim.AdamW(network.parameters(), lr=0.003, weight_decay=0.01)
history = fit(network, SingleObjects("train", count=3000, size=96), loss=losses, epochs=6, batch_size=16, optimiser=optimiser)
save_file(network.state_dict(), "localizer.safetensors")
""".rstrip()
)


def build_localizer() -> nn.Module:
    """A network, untrained, that says what is in a picture and where.

    Images [N, 3, 96, 96], RGB, 0…1 → {"logits": [N, 7], "codes": [N, 4]}.
    """
    stages = efficientnet_lite0_stages(efficientnet_lite0())
    layers = [stages[2], stages[4], stages[8], stages[16], nn.Conv2d(112, 64, 1), nn.BatchNorm2d(64), nn.ReLU()]
    heads = fully_connected(64 * 6 * 6, 128, 7), fully_connected(64 * 6 * 6, 128, 4)  # the map is flattened: where things are, stays
    return Localizer(trunk=nn.Sequential(*layers), classifier=heads[0], regressor=heads[1], size=96)


def pictures(seed: int) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """Pictures `[N, 3, S, S]`, of the split that nobody trains on, and what is in each: boxes `[1, 4]`, labels `[1]`."""
    items = SingleObjects("test", count=PICTURES, size=SIZE, seed=seed)
    images, targets = zip(*(items[index] for index in range(len(items))), strict=True)
    return torch.stack(images), [{name: target[name][None] for name in ("boxes", "labels")} for target in targets]


TRAIN_LOCALIZER = TrainingExercise(
    prompt=PROMPT,
    solution=build_localizer,
    training=TRAINING,
    checkpoint="localizer.safetensors",
    pictures=pictures,
    task=Localizing(classes=CLASSES),
    points=((0.10, 1), (0.20, 2), (0.30, 3), (0.40, 4), (0.50, 5), (0.55, 6), (0.60, 7), (0.64, 8), (0.68, 9), (0.72, 10)),
)
