"""Exercise `build_rpn`: a network that proposes regions, trained by the student."""

import torch
from torch import Tensor, nn

from course.data.shapes import Shapes
from course.exercises.exercise import TRAINING_CELL, TrainingExercise
from course.exercises.proposing import Proposing
from course.models.backbones import efficientnet_lite0
from course.models.rpn import RPN, RPNHead
from course.models.stages import efficientnet_lite0_stages
from course.ops.boxes import decode_boxes

PICTURES, SIZE, PROPOSALS = 200, 128, 10

PROMPT = """
Build a network that proposes regions, train it, and save what it has learnt. How you build it is up to you: with the parts of this lesson,
on one map or on a pyramid, on a backbone of your own or on one that knows ImageNet. It takes pictures `[N, 3, 128, 128]`, RGB, 0…1, and
returns a dict of two tensors, for all anchors of each picture:

- `"boxes"`, `[N, R, 4]`: the anchors, moved as the network says, x1, y1, x2, y2 in pixels;
- `"scores"`, `[N, R]`: how likely an object is there; only their order counts.

How many anchors there are, R, is up to you. Leave them all in: whoever checks keeps the best 1000, clips them, removes what overlaps a
better one with an IoU above 0.7, and takes **the first 10** of the rest.

1. Write `build_rpn`. It takes no arguments and returns the network, untrained. The cell that trains calls its `losses(images, targets)`,
   which gets a list of pictures `[3, 128, 128]` and a list of dicts with `"boxes"`, `[G, 4]`, and returns a dict of scalars: `RPN.losses`
   does most of it.
2. Run the cell that trains. It is yours to change: sizes and ratios of the anchors, thresholds, how many are drawn, more epochs, pictures
   that are flipped (and their boxes with them). With `checkpoint="run.pt"`, `fit` goes on after an interruption where it was. On a CPU this
   takes about ten minutes; on Colab, choose *Runtime → Change runtime type → T4 GPU* first, and most of the time goes into drawing the
   pictures.
3. The check builds the network anew, loads `rpn.safetensors`, and lets it answer about 200 pictures of 128 × 128 from `Shapes("test", …)`:
   other objects, on other photographs than those of the training. They may take it 60 seconds of processor time.

**How it is judged.** Every object looks for the best of its picture's 10 proposals. It counts 0 if their IoU is 0.5 or less, 1 if the box
fits exactly, and in between in proportion: 2 · (IoU − 0.5). The mean over all objects is the **mean recall** from IoU 0.5 to 1. Ten boxes
that are the same in every picture have about 0.16 at best. The check also says how many objects are found from IoU 0.5 and from 0.7 on:
where the first is high and the second low, look at the deltas; where both are low, at the scores and at the anchors.

When you change `build_rpn`, train again: the file fits one network. The last cell of this notebook packs notebook and `rpn.safetensors`
into the one file that you hand in. On Colab run it before you leave: Colab forgets its files. Another seed draws other pictures, as in
`check(build_rpn, seed=1)`; nobody knows the one that is used for grading.
""".strip()

TRAINING = (
    TRAINING_CELL
    + """: left out when this notebook is checked or graded. What counts is the file that it writes.
from safetensors.torch import save_file

from course.data.shapes import Shapes, collate
from course.training import fit

network = build_rpn()
pictures = Shapes("train", count=1500, target="instances")
optimiser = torch.optim.AdamW(network.parameters(), lr=0.002, weight_decay=0.01)
history = fit(network, pictures, batch_loss=network.losses, collate=collate, epochs=5, batch_size=16, optimiser=optimiser)
save_file(network.state_dict(), "rpn.safetensors")
""".rstrip()
)


def build_rpn() -> nn.Module:
    """A network, untrained, that proposes regions.

    Images [N, 3, 128, 128], RGB, 0…1 → {"boxes": [N, R, 4], "scores": [N, R]}, of R anchors, which have been moved.
    """

    class Proposer(nn.Module):
        def __init__(self):
            super().__init__()
            stages = efficientnet_lite0_stages(efficientnet_lite0())
            self.trunk = nn.Sequential(stages[2], stages[4], stages[8], stages[16])  # 112 channels, 8 × 8 places
            head = RPNHead(channels=112, anchors=12)
            self.rpn = RPN(head=head, sizes=((12, 24, 48, 72),), drawn=64)

        def predict(self, images):
            return self.rpn([self.trunk(images)], tuple(images.shape[-2:]))

        def forward(self, images):
            said = self.predict(images)
            boxes = torch.stack([decode_boxes(deltas, said.anchors) for deltas in said.deltas])  # [N, R, 4]
            return {"boxes": boxes, "scores": said.objectness}

        def losses(self, images, targets):
            return self.rpn.losses(self.predict(torch.stack(images)), [target["boxes"] for target in targets])

    return Proposer()


def pictures(seed: int) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """Pictures `[N, 3, S, S]`, of the split that nobody trains on, and what is in each: boxes `[G, 4]`."""
    items = Shapes("test", count=PICTURES, size=SIZE, seed=seed, target="instances")
    images, targets = zip(*(items[index] for index in range(len(items))), strict=True)
    return torch.stack(images), [{"boxes": target["boxes"]} for target in targets]


TRAIN_RPN = TrainingExercise(
    prompt=PROMPT,
    solution=build_rpn,
    training=TRAINING,
    checkpoint="rpn.safetensors",
    pictures=pictures,
    task=Proposing(most=PROPOSALS),
    points=((0.18, 1), (0.22, 2), (0.26, 3), (0.30, 4), (0.34, 5), (0.38, 6), (0.41, 7), (0.44, 8), (0.46, 9), (0.48, 10)),
)
