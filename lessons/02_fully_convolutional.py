# %% [markdown]
# # 02 · Fully convolutional networks
#
# **A label for every pixel, from one network, trained end to end.** About 60 minutes, and as long again for the exercises.
#
# When you are through, you can
#
# - say what it costs to stay at full resolution, in operations and in seconds, and why networks go down and up instead;
# - compute the loss of a segmentation network by hand, pixel by pixel, and write it in four lines;
# - train a fully convolutional network, watch it learn, and judge it on pictures that it has never seen;
# - sharpen a coarse map with skips (FCN-32s, 16s, 8s) and say what each rung of that ladder brings;
# - use features of several layers at one pixel (hypercolumns), and several sizes of one picture (multi-scale);
# - read a failure and name its cause.

# %% [markdown]
# ## From a map of answers to a label for every pixel
#
# Lesson 01 ended with a classifier that runs over the whole photograph in one pass. It gives one answer for every 32 × 32 pixels, and it was trained on
# whole pictures: nobody ever told it *where* the cat ends. Two things are missing, and this lesson adds both: **an answer for each pixel**, and **training
# that judges each pixel**.
#
# The cat has no labels to learn from, so the network of this lesson learns on the course's own pictures, where every pixel is known (lesson 00):

# %%
import torch
import torch.nn.functional as F

import segwidgets
from course.data.shapes import CLASSES, Shapes
from course.figures import show_curves, show_pictures

unseen = Shapes("test", count=200, size=96)
images, truth = (torch.stack(part) for part in zip(*unseen))  # [200, 3, 96, 96], [200, 96, 96]
show_pictures([{"picture": images[i], "truth": truth[i]} for i in (1, 4)], classes=CLASSES)

# %% [markdown]
# ## Why not stay at full resolution?
#
# The plainest network for the job has no strides at all: convolution after convolution, every map as large as the picture, and at the end a score for each
# class at each pixel. Nothing is lost on the way, so nothing has to be brought back. What does it cost?
#
# A 3 × 3 convolution from $C_\text{in}$ to $C_\text{out}$ channels on a map of $H \times W$ cells takes
#
# $$9 \cdot C_\text{in} \cdot C_\text{out} \cdot H \cdot W$$
#
# multiply–adds. **Halve height and width, and the layer costs a quarter.** Or double the channels, and it costs the same. And without strides a stack of $L$ such layers sees
# only $2L + 1$ pixels in each direction, far too few to tell a car from a house.
#
# ### Measure it

# %%
from course.cost import operations
from course.models.backbones import efficientnet_lite0
from course.models.fcn import FullResolution
from course.models.stages import efficientnet_lite0_stages

flat = FullResolution(channels=[32] * 6, classes=len(CLASSES)).eval()
trunk = efficientnet_lite0_stages(efficientnet_lite0())
some = images[:16]  # [16, 3, 96, 96]
for name, network in (("full resolution", flat), ("down to 1/32", trunk)):
    layers = sum(isinstance(layer, torch.nn.Conv2d) for layer in network.modules())
    print(f"{name:16} {layers:2} convolutions  {operations(network, some) / 16e6:6.0f} million multiply–adds a picture")

# %%
# NBVAL_IGNORE_OUTPUT
from course.cost import seconds

for name, network in (("full resolution", flat), ("down to 1/32", trunk)):
    with torch.no_grad():
        print(f"{name:16} {1000 * seconds(network, some) / 16:5.1f} ms a picture")

# %% [markdown]
# Seven thin convolutions at full resolution take six times the operations of the whole trunk of EfficientNet-Lite0, which has seven times as many layers and up to 1152 channels. (In seconds the
# difference is smaller: many small layers keep a processor less busy than a few large ones. That is worth knowing whenever somebody quotes operations.)
#
# ### See it
#
# And they see less. Point at cells: the box is what a cell *can* see, the lit part is what it *does* see. First the seven layers at full resolution, then the trunk.

# %%
segwidgets.receptive_field(flat, images[4], layer="layers")

# %%
segwidgets.receptive_field(trunk, images[4], layer="32")

# %% [markdown]
# Thirteen pixels are a piece of a roof or a piece of a star, and nobody can tell which. So networks for segmentation go down, to see more for less, and come up again at the end. The price is
# the one that lesson 01 ended with: a coarse map. The rest of this lesson brings the pixels back.
#
# **Think.** Our network has strides, so its coarsest map has 3 × 3 cells for a picture of 96 × 96. How large would the picture have to be to cost as much as the network at full resolution does with 96 × 96?
#
# <details><summary>Answer</summary>
#
# Operations grow with the number of pixels. Seven times as many pixels are √7 ≈ 2.6 times the side: about 250 × 250.
#
# </details>

# %% [markdown]
# ## The loss, pixel by pixel
#
# A segmentation network answers with $K$ scores at each pixel, one for each class. Softmax turns them into probabilities, and the loss asks for the
# probability of the *true* class: is it 1, the loss is 0; is it small, the loss is large. With scores $s_1 \dots s_K$ and the true class $t$,
#
# $$\ell = -\log \frac{e^{s_t}}{\sum_k e^{s_k}} = \log \sum_k e^{s_k} - s_t$$
#
# That is the loss of a classifier, at every pixel. The loss of the picture is the mean over its pixels; void pixels (lesson 00) are left out of it.
#
# ### See it
#
# Two by two pixels, three classes. One pixel is right and sure, one is right and unsure, one is wrong and sure, and one is void. Which of them will the
# network learn most from? Say it before you press play.

# %%
scores = torch.tensor([[[3.0, 0.5], [4.0, 1.0]], [[0.0, 1.0], [0.0, 2.0]], [[0.0, 0.0], [-1.0, 0.0]]])  # [K = 3, 2, 2]
target = torch.tensor([[0, 1], [2, 255]])  # [2, 2]
segwidgets.pixel_loss(scores, target, classes=("background", "cat", "cup"))

# %% [markdown]
# ### Build it
#
# `gather` picks, at each pixel, the score of the true class.


# %%
def pixel_cross_entropy(logits, target):
    counts = target != 255  # [N, H, W]
    true_class = target.where(counts, 0)[:, None]  # [N, 1, H, W]
    losses = logits.logsumexp(1) - logits.gather(1, true_class)[:, 0]  # [N, H, W]
    return losses[counts].mean()


# %% [markdown]
# ### Check it

# %%
logits, labels = torch.randn(2, 7, 6, 5), torch.randint(0, 7, (2, 6, 5))
labels[0, 0] = 255
torch.testing.assert_close(pixel_cross_entropy(logits, labels), F.cross_entropy(logits, labels, ignore_index=255))
print(f"scores all 0: {pixel_cross_entropy(0 * logits, labels):.3f}")

# %% [markdown]
# **Think.** Scores that are all 0 gave a loss of 1.946, whatever the labels. Why that number, and what is it good for?
#
# <details><summary>Answer</summary>
#
# Equal scores give each of the 7 classes a probability of 1/7, and −log(1/7) = log 7 = 1.946. So it is what knowing nothing costs. A training that begins
# far above it was initialised badly; one that stays near it has not begun to learn.
#
# </details>

# %% [markdown]
# ## Train it, end to end
#
# *End to end* means: the loss is computed at the pixels, and its gradient flows back through the upsampling, the score layers and all the features, down to the first
# convolution. All of them learn the one thing that is asked.
#
# The network is an ImageNet classifier made fully convolutional, as in lesson 01. **Score layers** turn the features of stride 32, 16 and 8 into one score for each class and cell. From the coarsest on, the
# scores are doubled in size and the next finer ones are added. The last sum is enlarged to the picture.
#
# ```
# picture ──▶ 1/4 ──▶ 1/8 ──▶ 1/16 ──▶ 1/32
#                      │        │        │
#                    scores   scores   scores
#                      │        │        │
#                      ▼        ▼        │
#   picture ◀── 8 × ── + ◀ 2 ×─ + ◀ 2 × ─┘
# ```

# %%
from course.models.encoder_decoder import parameter_count
from course.models.fcn import FCN, head, logits_of, losses

torch.manual_seed(0)
trunk = efficientnet_lite0_stages(efficientnet_lite0())
scores = {32: head(320, 64, 7), 16: head(112, 64, 7), 8: head(40, 64, 7)}  # features → 64 hidden channels → 7 classes
model = FCN(backbone=trunk, scores=scores)
print(f"{parameter_count(model):,} parameters, logits {list(logits_of(model(images[:2])).shape)}")

# %% [markdown]
# `segwidgets.predictions` is a live picture of the training: the same four pictures, predicted after each epoch. Run the two cells, watch, and play it back afterwards. It takes about half a minute on two
# CPU cores; the pictures it shows are none that it learns from. (`out` is the loss at the network's output.)

# %%
# NBVAL_IGNORE_OUTPUT
live = segwidgets.predictions(images[[1, 4, 5, 7]], truth[[1, 4, 5, 7]], classes=CLASSES)
live

# %%
# NBVAL_IGNORE_OUTPUT
from torch.utils.data import TensorDataset

from course.metrics import mean_iou
from course.training import fit

training = TensorDataset(*(torch.stack(part) for part in zip(*Shapes("train", count=480, size=96))))


def validate(model):
    return {"mean IoU": mean_iou(logits_of(model(images[:50])).argmax(1), truth[:50], len(CLASSES))}


optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
history = fit(model, training, loss=losses, epochs=4, batch_size=16, optimiser=optimiser, validate=validate, device="cpu", on_epoch=live)
print(f"{history.seconds:.0f} s, mean IoU after each epoch: {', '.join(f'{value:.2f}' for value in history.epochs['mean IoU'])}")

# %%
show_curves({"loss": history.steps["out"]}, smooth=10, xlabel="step", ylabel="loss")

# %% [markdown]
# The loss begins near log 7 ≈ 1.95, as it should. After thirty seconds the network knows where things are and often what they are.
#
# ### With more patience
#
# The same recipe with a skip at stride 4, six times as many pictures and a minute and a half gives the network that comes with the course. `segcourse train fcn` trains it again, on your machine:

# %%
from course.metrics import class_iou, confusion_matrix
from course.recipes import fcn
from course.weights import load_weights

trained = fcn.build("shapes")
trained.load_state_dict(load_weights("fcn"))
trained.eval()

pictures, answers = (torch.stack(part) for part in zip(*Shapes("test", count=100, size=128)))  # [100, 3, 128, 128], [100, 128, 128]
with torch.no_grad():
    predicted = trained(pictures)["out"].argmax(1)  # [100, 128, 128]
ious = class_iou(confusion_matrix(predicted, answers, len(CLASSES)))
print("   ".join(f"{name} {iou:.2f}" for name, iou in zip(CLASSES, ious)))
print(f"mean IoU {ious.mean():.2f}")

# %% [markdown]
# ## Refinement: the ladder of skips
#
# What do the skips do? The map of stride 32 has 4 × 4 cells for a picture of 128 × 128. It knows what is there and not where it ends. Each rung of the ladder adds the scores of a
# layer that is twice as fine. Called by their finest stride, the networks are **FCN-32s**, **FCN-16s**, **FCN-8s**.
#
# ### See it
#
# The trained network, a rung at a time. Watch the outline.

# %%
with torch.no_grad():
    features = trained.backbone.features(pictures[4][None])
    rungs = {
        stride: trained.scores[str(stride)](features[stride])[0] for stride in (32, 16, 8, 4)
    }  # {stride: [7, 128 / stride, 128 / stride]}
segwidgets.feature_ladder(rungs, image=pictures[4], truth=answers[4], classes=CLASSES)

# %% [markdown]
# ### Build it
#
# A rung is one line. All the rest is agreeing about sizes, which the exercise will ask of you.


# %%
def fuse(coarse, fine):
    return F.interpolate(coarse, scale_factor=2, mode="bilinear") + fine


scores = rungs[32][None]  # [1, 7, 4, 4]
for stride in (16, 8, 4):
    scores = fuse(scores, rungs[stride][None])  # [1, 7, 8, 8], [1, 7, 16, 16], [1, 7, 32, 32]

# %% [markdown]
# ### Check it

# %%
by_hand = F.interpolate(scores, size=(128, 128), mode="bilinear")  # [1, 7, 128, 128]
with torch.no_grad():
    torch.testing.assert_close(by_hand, trained(pictures[4])["out"])
print("The same as the network's own answer.")

# %% [markdown]
# ### Measure it
#
# Stop after each rung, and count on all hundred pictures:

# %%
with torch.no_grad():
    features = trained.backbone.features(pictures)
    scores = None
    for stride in (32, 16, 8, 4):
        rung = trained.scores[str(stride)](features[stride])  # [100, 7, 128 / stride, 128 / stride]
        scores = rung if scores is None else fuse(scores, rung)
        labels = F.interpolate(scores, size=(128, 128), mode="bilinear").argmax(1)  # [100, 128, 128]
        print(f"after the rung of stride {stride:2}: mean IoU {mean_iou(labels, answers, len(CLASSES)):.2f}")

# %% [markdown]
# That is one network with rungs taken away, which it was never trained for. A fair comparison trains each network by itself. We did, three times each, 3000 pictures seen once, and judged on 500 unseen ones:
#
# | network | mean IoU of three trainings | what the last rung adds |
# |---|---|---|
# | FCN-32s | 0.29 to 0.39 | |
# | FCN-16s | 0.66 to 0.68 | **+0.33** |
# | FCN-8s | 0.75 to 0.76 | **+0.09** |
# | with stride 4 | 0.76 to 0.79 | +0.02 |
#
# The first rungs bring the most. Each further one halves the width of what can be drawn, and has half as much left to gain. In the paper, on photographs four times as wide, the
# step from 32s to 16s brought 3 points and the step to 8s less than one: with large objects a coarse outline costs little.

# %% [markdown]
# ## Several sizes of one picture
#
# A network sees through a window of fixed size. An object that is too large for it shows only a part at a time; limbs that are thinner than a cell are lost. So show it the
# picture at **several scales**, bring the maps back to one size, and average them.

# %%
from course.models.fcn import multi_scale

large, large_answers = (torch.stack(part) for part in zip(*Shapes("test", count=40, size=256)))  # twice as large as in training
for scales in ((1.0,), (0.5,), (0.25, 0.5, 1.0)):
    with torch.no_grad():
        merged = multi_scale(trained, large, scales).argmax(1)  # [40, 256, 256]
    print(f"scales {', '.join(map(str, scales)):15} mean IoU {mean_iou(merged, large_answers, len(CLASSES)):.2f}")

# %% [markdown]
# These pictures are as those before, only drawn at twice the size. Shown as they are, the network fails: its features have seen objects half as large. Shown at half the size it is
# as good as ever. Averaging several scales saves you from having to know which is right, at a price: the three sizes together take five times the operations of the half size alone.
#
# It is no remedy for everything. On pictures of the size that it was trained with, averaging 0.75, 1 and 1.5 changes the mean IoU from 0.844 to 0.848 (500 pictures): hardly worth the four times as
# many operations.

# %% [markdown]
# ## Hypercolumns: everything the network knows about one pixel
#
# Skips add *scores* of several layers. There is a more general way to use them: take the *features*. Enlarge the maps of several layers to one size and
# stack them. Then each pixel has one long vector, a **hypercolumn**: edges from the early layers, parts from the middle, the object from the last.
#
# ### Build it

# %%
from course.data.photos import cat
from course.models.backbones import centre_crop

photo = centre_crop(cat())  # [3, 224, 224]
with torch.no_grad():
    features = efficientnet_lite0().features(photo)  # {stride: [1, C, 224 / stride, 224 / stride]}


# %%
def hypercolumns(features, size):
    enlarged = [F.interpolate(maps, size=size, mode="bilinear") for maps in features]  # [N, C, H, W] each
    return torch.cat(enlarged, dim=1)  # [N, sum of all C, H, W]


columns = hypercolumns([features[stride] for stride in (4, 8, 16, 32)], (224, 224))
columns.shape

# %% [markdown]
# ### Check it
#
# Against the course's own, and one pixel by hand: the middle of a cell of stride 4 keeps what that cell says.

# %%
from course.models import hypercolumns as course_hypercolumns

torch.testing.assert_close(columns, course_hypercolumns.hypercolumns([features[s] for s in (4, 8, 16, 32)], (224, 224)))
small = F.interpolate(torch.arange(4.0).reshape(1, 1, 2, 2), size=(6, 6), mode="bilinear")[0, 0]  # each cell becomes 3 × 3 pixels
torch.testing.assert_close(small[1::3, 1::3], torch.tensor([[0.0, 1.0], [2.0, 3.0]]))

# %% [markdown]
# ### See it

# %% [markdown]
# There are 496 numbers for each pixel. What are they good for? Choose a pixel, here on the rim of the cat's eye, and ask for every other pixel how similar its
# features are (the cosine of the angle between the two vectors, after the mean is taken off each channel):


# %%
def similarity(maps, row, column):
    maps = F.normalize(maps[0] - maps[0].mean((1, 2), keepdim=True), dim=0)  # [C, H, W]
    return torch.einsum("chw,c->hw", maps, maps[:, row, column])


row, column = 60, 40
marked = photo.clone()
marked[:, row - 3 : row + 4, column - 3 : column + 4] = torch.tensor([0.84, 0.37, 0.0])[:, None, None]
layers = {stride: hypercolumns([features[stride]], (224, 224)) for stride in (4, 8, 16, 32)}
whole = torch.cat([F.normalize(maps, dim=1) for maps in layers.values()], dim=1)  # each layer counts the same
show_pictures(
    {"the pixel": marked}
    | {f"stride {s}": similarity(maps, row, column) for s, maps in layers.items()}
    | {"hypercolumn": similarity(whole, row, column)}
)

# %% [markdown]
# Vermilion is alike, blue is unlike. Stride 4 knows lines of that direction, wherever they are. Stride 16 knows *eyes*, both of them, and cannot say where their rims are. Stride 32 knows
# *upper left part of a face*. The hypercolumn knows most of it at once: this rim, and the other eye's.

# %% [markdown]
# ### A mask inside a box
#
# This is what hypercolumns were made for: somebody gives a box around an object, and you say which pixels of it are the object. A *linear* classifier on the hypercolumns will do, one for each part of
# the box, since a head is more often at the top. Here are two, trained for a few seconds on 120 pictures: one may use all layers, one only the coarsest.

# %%
from course.models.hypercolumns import MaskClassifier, masks_in_boxes, paste_masks


def with_boxes(split, count):
    items = [item for item in Shapes(split, count=count, target="instances") if len(item[1]["boxes"])]
    return torch.stack([image for image, _ in items]), [target["boxes"] for _, target in items], [target["masks"] for _, target in items]


photos, boxes, masks = with_boxes("train", 120)
batches = [
    ((photos[i : i + 8], boxes[i : i + 8]), masks_in_boxes(masks[i : i + 8], boxes[i : i + 8], 28)) for i in range(0, len(photos), 8)
]
photos, boxes, masks = with_boxes("test", 40)
found = {}
for name, channels in (("stride 32 alone", {32: 128}), ("hypercolumns", {4: 24, 8: 40, 16: 112, 32: 128})):
    torch.manual_seed(0)
    classifier = MaskClassifier(backbone=trained.backbone, channels=channels)
    fit(classifier, batches, loss=F.binary_cross_entropy_with_logits, epochs=3, device="cpu")
    with torch.no_grad():
        answers_in_boxes = classifier((photos, boxes)).split([len(each) for each in boxes])  # [R, 28, 28] for each picture
    found[name] = [paste_masks(answer, box, photos.shape[-2:]) for answer, box in zip(answers_in_boxes, boxes)]  # [R, 128, 128] each
    ious = torch.cat([(f & m).sum((1, 2)) / (f | m).sum((1, 2)) for f, m in zip(found[name], masks)])
    print(f"{name:15} mean IoU of {len(ious)} masks: {ious.mean():.2f}")

# %%
chosen = (4, 5)
rows = [{"picture": photos[i]} | {name: each[i][0].long() for name, each in found.items()} for i in chosen]
show_pictures(rows, truth=[masks[i][0].long() for i in chosen])

# %% [markdown]
# The coarse layer draws a blob where the object is; the hypercolumn follows its outline. Green is the truth, orange the answer. Keep this in mind for lesson 11: Mask R-CNN, too, draws a mask inside a box.

# %% [markdown]
# ## Where it fails
#
# Numbers say how much is wrong, pictures say what. Here are the three pictures of the hundred on which the network does worst:

# %%
worst = sorted(range(len(pictures)), key=lambda i: mean_iou(predicted[i], answers[i], len(CLASSES)))[:3]
rows = [{"picture": pictures[i], "truth": answers[i], "prediction": predicted[i]} for i in worst]
show_pictures(rows, classes=CLASSES)

# %% [markdown]
# Read them as a doctor would; each kind has its cause.
#
# - **A piece gets another class.** Where an object is cut off or covered, what is left may look like something else. The score of a cell comes from what it sees around it, and nothing makes the cells
#   of one object agree.
# - **Thin parts go missing.** A tail or an arm is two pixels wide and half a cell of the finest map.
# - **Camouflage.** An object that wears a piece of photograph is told by its outline alone.
# - **Touching objects run into each other.** Along the border between two of them, the map has one cell for both.
#
# **Think.** Two cars of which one stands before the other: what does the network say, and what would you need to know how many there are?
#
# <details><summary>Answer</summary>
#
# It says *car* for every pixel of both, one patch. Nothing in a semantic map tells two objects of one class apart. For that the network has to answer for objects, not for pixels: lesson 04 begins with
# one of them, and lesson 11 comes back to its pixels.
#
# </details>

# %% [markdown]
# ## What it costs
#
# The running table of the course, one row an idea:
#
# | lesson | idea | what it gives | multiply–adds | time | what it still cannot do |
# |---|---|---|---|---|---|
# | 01 | sliding window, 224 at stride 32 | a class for the middle of each window | 9.2 billion | 0.9 s | stop computing the same features again and again |
# | **02** | **fully convolutional, with skips** | **a label for every pixel, in one pass** | **1.1 billion** | **0.1 s** | **draw finer than its finest features; tell two objects of one class apart** |
#
# Stride 4 was as fine as we went, and the last step up was plain interpolation. Lesson 03 looks at that step: how else can a network get from a small map to a large one, and what does each way
# make up?

# %% [markdown]
# ## Quiz
#
# **1.** A layer works at full resolution and takes one second. The same layer, with twice as many input and output channels, works at stride 4. How long does it take?
#
# <details><summary>Answer</summary>
#
# A quarter of a second: four times the work for the channels, a sixteenth for height and width.
#
# </details>
#
# **2.** One pixel of a thousand has a loss of 10, all others have 0. What is the loss of the picture? And if 900 of the others are void?
#
# <details><summary>Answer</summary>
#
# 10 / 1000 = 0.01. Void pixels are left out of the sum and out of the count, so then it is 10 / 100 = 0.1.
#
# </details>
#
# **3.** FCN-16s adds scores of stride 32 and stride 16. What has to happen to the first before the sum?
#
# <details><summary>Answer</summary>
#
# They are enlarged to twice their height and width, so that both maps have a cell at the same places. They must also mean the same: scores of the same classes, made from the features by a
# 1 × 1 convolution each.
#
# </details>
#
# **4.** Why are the scores of the fine layer alone not enough?
#
# <details><summary>Answer</summary>
#
# A fine layer sees little of the picture around each cell. It knows that there is an edge, and not of what. The coarse layer knows what, and not where the edge is.
#
# </details>
#
# **5.** A picture is shown to the network at half its size, and the map is enlarged. Which objects gain, which lose?
#
# <details><summary>Answer</summary>
#
# Large objects gain: more of them fits into the receptive field. Small and thin ones lose: what is left of them may be smaller than a cell.
#
# </details>

# %% [markdown]
# ## Exercises
#
# Open [the exercise notebook](02_fully_convolutional_exercises.ipynb) beside this one. You will write `pixel_cross_entropy` with void pixels and `fuse`, one rung of the ladder. Then you build and train a network of your
# own, on a GPU if you like (Colab has one: *Runtime → Change runtime type*). It is graded by its mean IoU on pictures that nobody has seen.

# %% [markdown]
# ## References
#
# - J. Long, E. Shelhamer, T. Darrell, *Fully Convolutional Networks for Semantic Segmentation*, 2015, [arXiv:1411.4038](https://arxiv.org/abs/1411.4038): figure 3 is the ladder.
# - C. Farabet, C. Couprie, L. Najman, Y. LeCun, *Learning Hierarchical Features for Scene Labeling*, PAMI 2013: one network at several scales.
# - L.-C. Chen et al., *Attention to Scale: Scale-aware Semantic Image Segmentation*, 2015, [arXiv:1511.03339](https://arxiv.org/abs/1511.03339): how to merge the scales.
# - B. Hariharan, P. Arbeláez, R. Girshick, J. Malik, *Hypercolumns for Object Segmentation and Fine-grained Localization*, 2014, [arXiv:1411.5752](https://arxiv.org/abs/1411.5752).
# - W. Luo, Y. Li, R. Urtasun, R. Zemel, *Understanding the Effective Receptive Field in Deep Convolutional Neural Networks*, 2017, [arXiv:1701.04128](https://arxiv.org/abs/1701.04128).
