"""Exercise `build_mask_rcnn`: a network that outlines every object, trained by the student."""

import torch
from torch import Tensor, nn

from course.data.shapes import CLASSES, Shapes
from course.exercises.exercise import TRAINING_CELL, TrainingExercise
from course.exercises.segmenting import Segmenting
from course.models.detector_input import DetectorInput
from course.models.fast_rcnn import RegionHead, fully_connected
from course.models.feature_pyramid import FeaturePyramid, PyramidRoIAlign, lateral_and_output
from course.models.mask_rcnn import MaskHead, MaskRCNN, convolutions
from course.models.rpn import RPN, RPNHead
from course.models.stages import LITE0_TRUNK, lite0_trunk

PICTURES, SIZE, DETECTIONS = 200, 128, 20

PROMPT = """
Build a network that outlines every object, train it, and save what it has learnt. How you build it is up to you: with the parts of this
lesson (`course.recipes.mask_rcnn.build` shows how they go together), on a backbone of your own or on one that knows ImageNet. It takes
pictures `[N, 3, 128, 128]`, RGB, 0…1, and returns, as torchvision's detectors do, **a list with a dict for each picture**, of D
detections, D from 0:

- `"boxes"`, `[D, 4]`: x1, y1, x2, y2 in pixels;
- `"labels"`, `[D]`: int64, 1 to 6, the classes of `Shapes` without the background;
- `"scores"`, `[D]`: how sure it is; only their order counts;
- `"masks"`, `[D, 1, 128, 128]`: for each pixel the probability that it belongs to the object. More than 0.5 counts as inside.

Of each picture **the first 20**, those with the best scores, count.

1. Write `build_mask_rcnn`. It takes no arguments and returns the network, untrained. The cell that trains calls its
   `losses(images, targets)`, which gets a list of pictures `[3, 128, 128]` and a list of dicts with `"boxes"`, `[G, 4]`, `"labels"`, `[G]`,
   from 1, and `"masks"`, bool `[G, 128, 128]`, and returns a dict of scalars: `MaskRCNN.losses` does it.
2. Run the cell that trains. It is yours to change: a wider mask head, more cells in a mask, more epochs, other augmentation. With
   `checkpoint="run.pt"`, `fit` goes on after an interruption where it was. On a CPU this takes about ten minutes; on Colab, choose
   *Runtime → Change runtime type → T4 GPU* first, and most of the time goes into drawing the pictures.
3. The check builds the network anew, loads `mask_rcnn.safetensors`, and lets it answer about 200 pictures of 128 × 128 from
   `Shapes("test", …)`: other objects, on other photographs than those of the training. They may take it 60 seconds of processor time.

**How it is judged.** A detection is right if the IoU of its **mask** with that of an object of its class is at least 0.5 and no better one
has found it. A fine box with a poor mask is wrong. Of each class precision over recall gives an average precision, as in lesson 07, and
their mean is the score, **mask mAP at IoU 0.5**. The check also says how many objects have a box at all, how many a mask, and how many a
mask under their own name: where the first is low, look at the proposals; where only the second is, at the mask head and its targets; where
only the third is, at the classes; where all are high and the score is not, at the scores.

When you change `build_mask_rcnn`, train again: the file fits one network. The last cell of this notebook packs notebook and
`mask_rcnn.safetensors` into the one file that you hand in. On Colab run it before you leave: Colab forgets its files. Another seed draws
other pictures, as in `check(build_mask_rcnn, seed=1)`; nobody knows the one that is used for grading.
""".strip()

TRAINING = (
    TRAINING_CELL
    + """: left out when this notebook is checked or graded. What counts is the file that it writes.
from safetensors.torch import save_file

from course.data.in_memory import InMemory
from course.data.shapes import Shapes, collate
from course.training import fit

network = build_mask_rcnn()
shapes = Shapes("train", count=1200, target="instances")
pictures = InMemory(shapes, mirrors=((-1,),), keep=("boxes", "labels", "masks"))  # and each in a mirror
optimiser = torch.optim.AdamW(network.parameters(), lr=0.002, weight_decay=0.01)
history = fit(network, pictures, batch_loss=network.losses, collate=collate, epochs=3, batch_size=16, optimiser=optimiser)
save_file(network.state_dict(), "mask_rcnn.safetensors")
""".rstrip()
)


def build_mask_rcnn() -> nn.Module:
    """A network, untrained, that outlines every object.

    Images [N, 3, 128, 128], RGB, 0…1 → for each a dict: boxes [D, 4], labels [D], scores [D], masks [D, 1, 128, 128], probabilities.
    """
    lateral, output = lateral_and_output(LITE0_TRUNK, 64)
    levels = {"strides": {8: 8, 16: 16}, "canonical_size": 48, "aligned": True}
    return MaskRCNN(
        prepare=DetectorInput(normalise=False, shorter_side=None),
        backbone=FeaturePyramid(backbone=lite0_trunk(), lateral=lateral, output=output, pooled=32),
        rpn=RPN(head=RPNHead(channels=64, anchors=3), sizes=((24,), (40,), (64,)), pre_nms=(150, 150), post_nms=(100, 100), drawn=128),
        head=RegionHead(
            pool=PyramidRoIAlign(output_size=7, **levels),
            layers=fully_connected(64, 7, 96),
            features=96,
            classes=7,
            drawn=64,
            limit=20,
        ),
        mask=MaskHead(pool=PyramidRoIAlign(output_size=14, **levels), layers=convolutions(64, 64, 64), features=64, classes=7, width=64),
    )


def pictures(seed: int) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """Pictures `[N, 3, S, S]`, of the split that nobody trains on, and what is in each: boxes `[G, 4]`, labels `[G]`, masks `[G, S, S]`."""
    items = Shapes("test", count=PICTURES, size=SIZE, seed=seed, target="instances")
    images, targets = zip(*(items[index] for index in range(len(items))), strict=True)
    return torch.stack(images), [{name: target[name] for name in ("boxes", "labels", "masks")} for target in targets]


TRAIN_MASK_RCNN = TrainingExercise(
    prompt=PROMPT,
    solution=build_mask_rcnn,
    training=TRAINING,
    checkpoint="mask_rcnn.safetensors",
    pictures=pictures,
    task=Segmenting(classes=CLASSES, most=DETECTIONS),
    points=((0.20, 1), (0.35, 2), (0.48, 3), (0.58, 4), (0.66, 5), (0.72, 6), (0.77, 7), (0.81, 8), (0.84, 9), (0.87, 10)),
)
