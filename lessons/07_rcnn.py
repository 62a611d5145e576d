# %% [markdown]
# # 07 · R-CNN and SPP-net
#
# **Look at each proposal with a real network, say what it is, and move its box.** About 60 minutes, and as long again for the exercises.
#
# When you are through, you can
#
# - name the stages of R-CNN, and write each in a few lines: warp, describe, classify, move, suppress;
# - say which boxes teach the SVMs, the softmax and the box regression, and why these are three different answers;
# - move a box by four numbers, and find the regression that predicts them, without gradient descent;
# - measure the five problems of R-CNN;
# - pool a region of any size to a vector of one length, and get the features of all proposals from one pass.

# %% [markdown]
# ## Propose, look, decide
#
# Lesson 06 ended with some 1500 boxes on the cat and nobody to say what is in them. We do have somebody: a network that tells a thousand kinds of picture apart. It was never asked *where*. So let us
# ask it about each box as if it were a picture of its own:
#
# ```
# picture ──▶ proposals ──▶ crop, warp ──▶ network ──▶ features ─┬─▶ score of each class ──▶ suppress ──▶ detections
#             (lesson 06)   to one size                          └─▶ move the box ──────────────┘
# ```
#
# That is **R-CNN**, *regions with CNN features*, of 2014. On Pascal VOC 2012, photographs of twenty classes, it raised the score by which detectors are
# judged from about 40 % to 53 % in one step. (The score is *mean average precision*. We shall use it ourselves further down.)
#
# First without training anything. ImageNet has five kinds of house cat, three of cup (an espresso counts) and two of light motorcycle; each group together is a class of ours.

# %%
import tempfile
import time

import torch
import torch.nn.functional as F

import segwidgets
from course.data.photos import cat, photo
from course.figures import show_objects, show_pictures
from course.models.backbones import efficientnet_lite0, imagenet_classes
from course.models.selective_search import selective_search
from course.models.warping import warp

network, names = efficientnet_lite0(), imagenet_classes()
groups = {
    "cat": ("tabby", "tiger cat", "Persian cat", "Siamese cat", "Egyptian cat"),
    "cup": ("cup", "coffee mug", "espresso"),
    "motorcycle": ("moped", "motor scooter"),
}


def look(image, proposals):
    """Patches [N, 3, 224, 224], features [N, 320] and the probability of each of our classes [N, 3]."""
    patches = warp(image, proposals, size=224, padding=16)
    with torch.no_grad():
        maps = torch.cat([network.features(some)[32] for some in patches.split(8)])  # [N, 320, 7, 7]
        probabilities = network.head(maps).softmax(1)  # [N, 1000]
    scores = [probabilities[:, [names.index(name) for name in group]].sum(1) for group in groups.values()]
    return patches, maps.mean((2, 3)), torch.stack(scores, 1)


image = cat()  # [3, 300, 451]
proposals = selective_search(image, "single")[:60]  # [60, 4]
patches, features, scores = look(image, proposals)

# %% [markdown]
# ### See it
#
# Three of the sixty proposals are followed from crop to score, then all are settled. Before the last step, say how many cats it will report.

# %%
# NBVAL_IGNORE_OUTPUT
segwidgets.rcnn(image, proposals, patches=patches, features=features, scores=scores, classes=list(groups), score_threshold=0.5)

# %% [markdown]
# Ten cats. One box is the whole photograph, which fits the cat quite well. The others are an eye, a cheek, the muzzle, a piece of forehead, and one is mostly the blurred room. **Nobody ever told the network that half a cat
# is wrong.** ImageNet has pictures of cats and none of *background*. Suppression cannot help, for an eye and the whole cat overlap too little. Two more photographs, the cup and the motorcycle. Green is the object as a person drew its box, orange what
# scores above a half and is not suppressed:

# %%
# NBVAL_IGNORE_OUTPUT
from course.ops.nms import nms

pictures, found = [], []
for name, label, drawn in (("coffee", 2, [172.0, 17, 410, 305]), ("motorcycle", 3, [85.0, 80, 685, 455])):
    other = photo(name)
    boxes = selective_search(other, "single")[:60]
    score = look(other, boxes)[2][:, label - 1]  # [60]
    sure = (score > 0.5).nonzero()[:, 0]
    kept = sure[nms(boxes[sure], score[sure], 0.3)]
    pictures.append((other, {"boxes": torch.tensor([drawn]), "labels": torch.tensor([label])}))
    found.append({"boxes": boxes[kept], "labels": torch.full_like(kept, label), "scores": score[kept]})
show_objects(pictures, ["background", *groups], found=found)

# %% [markdown]
# The same again: right about *what*, careless about *where*. So R-CNN trains two things on top of the features: a **classifier that knows background**, and also what is only a part; and a
# **regression that moves the box**. Before that it trains the network itself a little further, on proposals: that is called **fine-tuning**. We do without it and go through the stages in order.

# %% [markdown]
# ## Stage 1: warp
#
# ### See it
#
# A proposal has any shape, the network takes one. R-CNN does the simplest thing: it stretches the box to a square, whatever that does to a cat. And it includes some **context**: a
# border of 16 pixels of the 224 shows what is around the box. Beyond the picture's edge there is the mean colour: the network subtracts it first, so there it sees zeros.

# %%
boxes = torch.tensor([[0, 0, 385, 300], [135, 83, 202, 145], [20, 150, 440, 190]]).float()  # the cat, an eye, a long thin strip
near, tight = warp(image, boxes, size=224), warp(image, boxes, size=224, padding=0)
rows = [{"with context": near[i], "without": tight[i]} for i in range(3)]
show_pictures({f"{way}, box {i}": patch for i, row in enumerate(rows) for way, patch in row.items()})

# %% [markdown]
# ### Build it
#
# Turn it around. Do not ask where a pixel of the picture goes, ask for each pixel $k$ of the patch where it comes *from*. With $S$ pixels a side, $p$ of them context, it lies at the share
#
# $$\frac{k + \tfrac12 - p}{S - 2p}$$
#
# of the box's side: 0 and 1 are the box's edges, less than 0 and more than 1 is context. `grid_sample` looks the picture up at any places, −1 and 1 being its edges.


# %%
def warp_one(image, box, size, padding, colour=127 / 255):
    height, width = image.shape[1:]
    share = (torch.arange(size) + 0.5 - padding) / (size - 2 * padding)  # [S]
    x, y = box[0] + share * (box[2] - box[0]), box[1] + share * (box[3] - box[1])  # [S] each, in pixels of the picture
    places = torch.stack(torch.meshgrid(2 * x / width - 1, 2 * y / height - 1, indexing="xy"), -1)  # [S, S, 2]
    patch = F.grid_sample(image[None], places[None], padding_mode="border", align_corners=False)[0]  # [3, S, S]
    return patch.where((places.abs() <= 1).all(-1), colour)


# %% [markdown]
# ### Check it
#
# Against the course's own, at an edge too; and inside the picture against torchvision's `roi_align`, which lesson 11 is about: one sample for each pixel of the patch, from the box with its context.

# %%
from torchvision.ops import roi_align

for box in boxes:
    torch.testing.assert_close(warp_one(image, box, 224, 16), warp(image, box[None], size=224)[0])
eye, wide = boxes[1], (boxes[1, 2:] - boxes[1, :2]) * 16 / 192  # 16 of the patch's pixels are so many of the picture's
around = torch.cat((eye[:2] - wide, eye[2:] + wide))[None]
torch.testing.assert_close(warp_one(image, eye, 224, 16)[None], roi_align(image[None], [around], 224, sampling_ratio=1, aligned=True))
print("The same three patches, and the same eye.")

# %% [markdown]
# **Think.** The authors also tried the square around the box, which need not be stretched. Why may stretching do better, although it distorts?
#
# <details><summary>Answer</summary>
#
# In a stretched patch the box fills the middle exactly, always: the network's cells stand for the same parts of the box, which the box regression needs. A square around a long thin box is mostly something else.
# In the paper warping with 16 pixels of context did best, by 3 to 5 points of mean average precision.
#
# </details>

# %% [markdown]
# ## Stage 2: features
#
# From here on we need pictures with true boxes: the course's own, of six classes (lesson 00). Eighty to learn from, forty to judge by; another `seed` gives others. Each picture gets 80
# proposals, each proposal is warped to 64 × 64 pixels (6 of them context), and the network runs on each patch: features of stride 16, so 4 × 4 cells of 112 channels, 1792 numbers. The true boxes are described
# in the same way and come first: a picture with 3 objects has 83 rows. All go to a folder on disk, as R-CNN keeps them. This is the longest wait of the lesson.

# %%
# NBVAL_IGNORE_OUTPUT
from course.data.shapes import CLASSES, Shapes
from course.models.cached_features import CachedFeatures
from course.models.rcnn import CellFeatures, WarpedFeatures, regions_of
from course.models.stages import Stages, efficientnet_lite0_stages

trunk = efficientnet_lite0_stages(network)
trunk = Stages({stride: trunk[stride] for stride in (2, 4, 8, 16)})  # the same layers, without those behind stride 16
training, unseen = (list(Shapes(split, count=count, target="instances")) for split, count in (("train", 80), ("test", 40)))
folder = tempfile.TemporaryDirectory()
describe = WarpedFeatures(network=CellFeatures(backbone=trunk, stride=16, grid=4), size=64, padding=6)
cached = CachedFeatures(describe, folder=folder.name)

searched = {id(picture): selective_search(picture, "fast")[:80] for picture, _ in training + unseen}
start = time.perf_counter()
regions = [regions_of(picture, target, proposals=searched[id(picture)], features=cached) for picture, target in training]
feature_time = time.perf_counter() - start
patch_count = sum(len(each.boxes) for each in regions)
print(f"{patch_count} patches in {feature_time:.0f} s, features of one picture {list(regions[0].features.shape)}")

# %% [markdown]
# ## Stage 3: one SVM for each class
#
# ### Which boxes teach what
#
# A linear **SVM** (support vector machine) for *car* gives a box the score $w \cdot \varphi + b$. Here $\varphi$ are the box's features, $w$ is one weight for each of them, and $b$ is the bias. Above 0 means yes. Its examples: **the
# true boxes of cars are positive, and what overlaps each of them with an IoU below 0.3 is negative** (in a picture without cars, every box). All others are left out, for a box that holds most of a car is neither.
# A softmax over all classes and background, with which R-CNN fine-tunes its network, is more generous: **from IoU 0.5 on a proposal counts as its object.**

# %%
from course.models.rcnn import feature_scale, softmax_labels, svm_examples

label = CLASSES.index("car")
teaches = [svm_examples(each, label) for each in regions]
positives, negatives = (sum(int(masks[i].sum()) for masks in teaches) for i in range(2))
generous = sum(int((softmax_labels(each) == label).sum()) for each in regions)
print(f"SVM:     {positives:4} cars and {negatives} that are none, {patch_count - positives - negatives} left out")
print(f"softmax: {generous:4} cars and {patch_count - generous} that are none or something else")

# %% [markdown]
# The true boxes alone are *very* few: a network with millions of weights would learn them by heart. So for fine-tuning the sloppy boxes are let in: five times as many positives here, about thirty times in the paper. The price is that it no
# longer matters whether a box is exact. An SVM has only one weight a feature. It makes do with few examples, and these can be exact. That is how the paper explains that it trains SVMs afterwards, and that it has two definitions of a positive.
#
# ### Build it
#
# Training an SVM is to look for the $w$ and $b$ that make this as small as possible:
#
# $$\tfrac12 \lVert w \rVert^2 + C \sum_i \max\bigl(0,\; 1 - y_i (w \cdot \varphi_i + b)\bigr), \qquad y_i = +1 \text{ for a positive, } -1 \text{ for a negative}$$
#
# Each term of the sum is a **hinge**: a positive that scores at least +1, or a negative that scores at most −1, costs nothing; from there on the cost rises in a straight line. The gap between −1 and +1 is the
# **margin**, and a short $w$ makes it wide. $C$ says how much the mistakes count against that. The authors' code takes $C = 0.001$, scales the features to a mean length of 20, counts a positive twice, and pulls the bias gently to 0.


# %%
def hinge_objective(weight, bias, positives, negatives, c=0.001):
    too_low = (1 - positives @ weight - bias).clamp(min=0).sum()
    too_high = (1 + negatives @ weight + bias).clamp(min=0).sum()
    return (weight @ weight + (bias / 10) ** 2) / 2 + c * (2 * too_low + too_high)


# %% [markdown]
# ### Hard negatives
#
# There are some six thousand negatives here, and ten million on Pascal VOC: too many for memory then. But most of them cost nothing, and what costs nothing changes nothing. So train on the negatives of *some* pictures, look for those among
# all that the new SVM gets wrong or nearly so (above −1), add them, drop the easy ones (below −1.2), and train again: **hard negative mining**. R-CNN begins with one picture; with twenty there is more to see.

# %%
# NBVAL_IGNORE_OUTPUT
from course.models.rcnn import mine_svm

scale = feature_scale(regions)
cars = torch.cat([each.features[yes] for each, (yes, _) in zip(regions, teaches)]) * scale  # [P, 1792]
others = [each.features[no] * scale for each, (_, no) in zip(regions, teaches)]  # for each picture [M, 1792]
everything = torch.cat(others)  # [all M, 1792]

print("       negatives that it learns from     of all negatives")
print("round  joined  dropped  in all           above −1  above 0   objective")
for number, mined in enumerate(mine_svm(cars, others, start=20, rounds=6), 1):
    used, scores = sum(int(mask.sum()) for mask in mined.used), everything @ mined.weight + mined.bias
    counts = f"{mined.added:8} {mined.dropped:8} {used:7}  {int((scores > -1).sum()):18} {int((scores > 0).sum()):8}"
    print(f"{number:5} {counts} {hinge_objective(mined.weight, mined.bias, cars, everything):11.3f}")

# %% [markdown]
# The objective is that of all negatives. The first SVM meets some nine hundred hard ones in the pictures that it has not seen. They join; the objective falls, and stays. In the end the SVM is trained on about a ninth of the negatives.
# It is still the SVM of all of them, for those that it leaves out score below −1 and cost nothing.
#
# ### Check it
#
# Our objective is the course's; and scikit-learn, given all negatives at once, arrives at the same value, within 2 %:

# %%
from sklearn.svm import LinearSVC

from course.models.rcnn import svm_objective

reached = hinge_objective(mined.weight, mined.bias, cars, everything)
torch.testing.assert_close(reached, svm_objective(mined.weight, mined.bias, cars, everything))
whole = LinearSVC(loss="hinge", C=0.001, class_weight={1: 2}, intercept_scaling=10, max_iter=20_000, random_state=0)
whole.fit(torch.cat((cars, everything)).double().numpy(), [1] * len(cars) + [-1] * len(everything))
least = svm_objective(torch.tensor(whole.coef_[0]).float(), torch.tensor(whole.intercept_[0]).float(), cars, everything)
torch.testing.assert_close(reached, least, rtol=0.02, atol=0)
print("The same minimum.")

# %% [markdown]
# Now all six classes, and the alternative: a softmax over the six and background, trained with cross-entropy. It reads the same features, and only this last layer learns.

# %%
# NBVAL_IGNORE_OUTPUT
from course.models.rcnn import train_softmax, train_svms

start = time.perf_counter()
svms = train_svms(regions, classes=6)
svm_time = time.perf_counter() - start
start = time.perf_counter()
softmax = train_softmax(regions, classes=6)
softmax_time = time.perf_counter() - start
print(f"six SVMs {svm_time:.1f} s, softmax {softmax_time:.1f} s")

# %% [markdown]
# ## Stage 4: move the box
#
# ### See it
#
# A proposal is rarely exact. Let $P$ be the proposal and $G$ the true box, $x, y$ their centres and $w, h$ their sides. Four numbers say how $P$ becomes $G$:
#
# $$t_x = \frac{G_x - P_x}{P_w} \qquad t_y = \frac{G_y - P_y}{P_h} \qquad t_w = \log \frac{G_w}{P_w} \qquad t_h = \log \frac{G_h}{P_h}$$
#
# They are called **deltas**. Drag either box. First say what will happen: to $t_x$, if you move both boxes by the same distance; to $t_w$, if you double both widths.

# %%
segwidgets.box_codec((60, 40, 300, 260), (0, 0, 385, 300), image=image)

# %% [markdown]
# Neither number changes. Shifts are counted in the proposal's sides, and sizes as ratios, so the four numbers do not depend on where the box is or how large it is. Nor does the patch that the network saw.
#
# ### Build it
#
# `encode` is the formula. `decode` goes the other way, from the proposal and the deltas to the box: solve each equation for $G$.
#
# $$G_x = P_x + P_w\, t_x \qquad G_y = P_y + P_h\, t_y \qquad G_w = P_w\, e^{t_w} \qquad G_h = P_h\, e^{t_h}$$


# %%
def centre_and_size(boxes):
    (x1, y1), (x2, y2) = boxes[:, :2].T, boxes[:, 2:].T
    return (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1


def encode(truth, proposals):
    gx, gy, gw, gh = centre_and_size(truth)
    px, py, pw, ph = centre_and_size(proposals)
    return torch.stack(((gx - px) / pw, (gy - py) / ph, (gw / pw).log(), (gh / ph).log()), 1)  # [N, 4]


def decode(deltas, proposals):
    px, py, pw, ph = centre_and_size(proposals)
    dx, dy, dw, dh = deltas.T
    x, y, w, h = px + pw * dx, py + ph * dy, pw * dw.exp(), ph * dh.exp()
    return torch.stack((x - w / 2, y - h / 2, x + w / 2, y + h / 2), 1)  # [N, 4]


# %% [markdown]
# ### Check it
#
# Against torchvision's `BoxCoder`, and there and back. (Its four ones are factors for the deltas: 1 changes nothing.)

# %%
from torchvision.models.detection._utils import BoxCoder

truth = torch.tensor([[0, 0, 385, 300], [135, 83, 202, 145]]).float()
guess = truth + torch.tensor([[60, 40, -85, -40], [-3, 5, 9, 0]])
(theirs,) = BoxCoder((1.0, 1.0, 1.0, 1.0)).encode([truth], [guess])
torch.testing.assert_close(encode(truth, guess), theirs)
torch.testing.assert_close(decode(encode(truth, guess), guess), truth)
print(encode(truth, guess).round(decimals=3))

# %% [markdown]
# ### Least squares
#
# When the true box is not known, the features have to do: predict the four numbers as $W^\top \varphi + b$, with a $W$ and a $b$ for each class. Learn from proposals that overlap a true box of the class with an IoU above 0.6. A box further away may
# hardly show where the object ends, and nothing could be learnt from it. Proposal $i$ has the features $\varphi_i$ and the deltas $t_i$ as its target:
#
# $$\min_{W,\, b} \; \sum_i \lVert t_i - W^\top \varphi_i - b \rVert^2 + \lambda \lVert W \rVert^2, \qquad \lambda = 1000$$
#
# That is **ridge regression**: least squares, and $\lambda \lVert W \rVert^2$ keeps the weights small. It needs no descent.
# Take the means off $\varphi$ and $t$, stack them as rows of $X$ and $T$, set the gradient to zero, and what remains are the **normal equations**:
# $(X^\top X + \lambda I)\, W = X^\top T$, with $I$ the identity. One `solve`; then $b$ makes up for the means.


# %%
def ridge(features, targets, penalty=1000.0):
    x, t = features - features.mean(0), targets - targets.mean(0)
    weight = torch.linalg.solve(x.T @ x + penalty * torch.eye(x.shape[1], dtype=x.dtype), x.T @ t)  # [F, 4]
    return weight, targets.mean(0) - features.mean(0) @ weight


# %%
from sklearn.linear_model import Ridge

from course.models.rcnn import regression_examples

examples = [regression_examples(each, label) for each in regions]
x = torch.cat([each.features[rows] for each, (rows, _) in zip(regions, examples)]).double() * scale  # [M, 1792]
t = torch.cat([targets for _, targets in examples]).double()  # [M, 4]
weight, bias = ridge(x, t)
peer = Ridge(alpha=1000).fit(x.numpy(), t.numpy())
torch.testing.assert_close(weight, torch.from_numpy(peer.coef_).T)
torch.testing.assert_close(bias, torch.from_numpy(peer.intercept_))
print("The same as scikit-learn's.")

# %% [markdown]
# Does it help boxes that it has not learnt from? All proposals of the *unseen* pictures that overlap an object by more than 0.5, before and after:

# %%
# NBVAL_IGNORE_OUTPUT
from course.models.rcnn import train_box_regression
from course.ops.boxes import box_iou

start = time.perf_counter()
regressor = train_box_regression(regions, classes=6)
regression_time = time.perf_counter() - start
before, after = [], []
for picture, target in unseen:
    if not len(target["boxes"]):
        continue
    boxes = searched[id(picture)]
    best, match = box_iou(target["boxes"], boxes).max(0)  # [N] each
    close = best > 0.5
    classes = target["labels"][match[close]] - 1  # [M]
    deltas = regressor(cached(picture, boxes))[close].unflatten(1, (6, 4))[torch.arange(len(classes)), classes]  # [M, 4]
    before.append(best[close])
    after.append(box_iou(target["boxes"][match[close]], decode(deltas, boxes[close])).diagonal())
print(f"mean IoU of {len(torch.cat(before))} proposals: {torch.cat(before).mean():.3f} → {torch.cat(after).mean():.3f}")

# %% [markdown]
# Yes, a little: by two hundredths on average.
#
# ## All stages together
#
# ### See it
#
# One unseen picture, with what the SVMs and the regression have learnt. Compare with the cat at the beginning: now nearly all proposals are *background*, and what is left is moved before it is suppressed, each class by itself (lesson 05). (By the objective an SVM says
# yes above 0. Ours have seen so few positives that they are careful: above 0 nearly all is right, and four objects in five are missed. Here, anything above −0.6 counts as a find.)

# %%
# NBVAL_IGNORE_OUTPUT
from course.ops.boxes import decode_boxes

picture, target = unseen[1]
boxes = searched[id(picture)]
features = cached(picture, boxes)
segwidgets.rcnn(
    picture,
    boxes,
    patches=warp(picture, boxes, size=64, padding=6),
    features=features,
    scores=svms(features),
    classes=CLASSES[1:],
    moved=decode_boxes(regressor(features), boxes),
    padding=6,
    score_threshold=-0.6,
)

# %% [markdown]
# ### Measure it
#
# How good is a list of boxes with scores? Take one class, and sort all its boxes on all pictures by score, the best first. A box is *right* if it overlaps an object of the class with an IoU of at least 0.5 and no better box
# has taken that object. Now go down the list. At each place, **precision** is the share of the boxes so far that are right, and **recall** (lesson 06) is the share of the objects that have been found. Recall rises, precision mostly falls.
# The mean of the precision over all recalls from 0 to 1, the area under that curve, is the **average precision** (where the curve dips, the best precision at a higher recall counts).
# Its mean over the classes is the **mean average precision**, mAP. A perfect detector has 1. No threshold has to be chosen:
# the whole list counts, so the code below lets in boxes with very low scores, too.
#
# On all forty unseen pictures, once with IoU 0.5 as above, and once with 0.75: with each classifier, and with and without the regression. Then four of the pictures, as before green for the truth and orange for what was found.

# %%
# NBVAL_IGNORE_OUTPUT
from course.metrics import mean_average_precision
from course.models.rcnn import RCNN


def judge(features, classifiers, regressor):
    print("classifier  boxes           mAP@0.5   mAP@0.75")
    for name, (classifier, threshold) in classifiers.items():
        for how, mover in (("as proposed", None), ("moved", regressor)):
            model = RCNN(proposals=selective_search, features=features, classifier=classifier, regressor=mover, score_threshold=threshold)
            found = [model.detect(picture, searched[id(picture)]) for picture, _ in unseen]
            result = mean_average_precision(found, [target for _, target in unseen], [0.5, 0.75])
            print(f"{name:10}  {how:14} {result.AP50:8.2f} {result.AP75:10.2f}")


judge(cached, {"SVMs": (svms, -1), "softmax": (softmax, 0.02)}, regressor)

# %%
# NBVAL_IGNORE_OUTPUT
detector = RCNN(proposals=selective_search, features=cached, classifier=svms, regressor=regressor, score_threshold=-0.6)
few = [(picture, {"boxes": target["boxes"], "labels": target["labels"]}) for picture, target in unseen[:4]]
show_objects(few, CLASSES, found=[detector.detect(picture, searched[id(picture)]) for picture, _ in few])

# %% [markdown]
# - **The regression makes boxes more exact. It finds no new objects.** At IoU 0.5 it brought 0 to 2 points (hundredths of mAP) with four seeds; at 0.75, where exact boxes are asked for, 3 to 6. In the paper it brought 4 points at 0.5, perhaps because
#   proposals on photographs fit less well, and there is more to mend.
# - **SVMs and softmax are a draw, here.** With four seeds and the boxes moved the SVMs had 0.70 to 0.77 at IoU 0.5 and the softmax 0.71 to 0.79, and their order changed. The paper had 54.2 % with SVMs and 50.9 % with its fine-tuned
#   softmax on VOC 2007, and names the two definitions of a positive as one likely reason. Fast R-CNN drops the SVMs (lesson 08).
# - **More pictures help all of them.** With 300 to learn from and 150 proposals each, the SVMs have 0.86 at IoU 0.5 and 0.87 with the boxes moved; at 0.75 they go from 0.63 to 0.72. The softmax with the boxes moved has 0.88 and 0.68.
#   That takes a quarter of an hour: `segcourse bench rcnn`.
#
# ## The five problems, measured
#
# ### 1 · Three trainings that know nothing of each other

# %%
# NBVAL_IGNORE_OUTPUT
print(f"softmax         log loss                       {softmax_time:6.1f} s")
print(f"SVMs            hinge, one for each class      {svm_time:6.1f} s")
print(f"box regression  least squares, for each class  {regression_time:6.1f} s")

# %% [markdown]
# (Log loss is cross-entropy.) Three objectives, three definitions of a positive (from IoU 0.5 on; true boxes only; above IoU 0.6), one after the other. What is good for one is not asked of the others. The scores know nothing of where the box will move to.
#
# ### 2 · Training is slow
#
# Not these three: slow is what they wait for, the features. Pascal VOC 2007 has 5011 pictures to train on, with 2000 proposals each. At the speed of the wait above, and with patches of 64 pixels only:

# %%
# NBVAL_IGNORE_OUTPUT
voc = 5011 * 2000  # patches
print(f"{voc:,} patches at {1000 * feature_time / patch_count:.1f} ms: {voc * feature_time / patch_count / 3600:.0f} hours")

# %% [markdown]
# With VGG16, a larger network, R-CNN's training took **84 hours** on a GPU of that time.
#
# ### 3 · The features fill a disk

# %%
per_picture = cached.size() / len(list(cached.folder.iterdir()))
print(f"a picture with its 80 proposals: {per_picture / 1e6:.1f} MB")
print(f"VOC 2007, 2000 proposals of 1792 numbers each: {voc * 1792 * 4 / 1e9:.0f} GB")
print(f"with the 9216 numbers of the paper's last pooling: {voc * 9216 * 4 / 1e9:.0f} GB")

# %% [markdown]
# The authors' instructions ask for about 200 GB of free space, on a fast disk if possible. (Their files are compressed.)
#
# ### 4 · Detection is slow
#
# The stages up to the score on the cat, with all proposals of the *fast* mode, and 224 × 224 pixels as the network wants them. All but the first are timed on forty proposals, and the time is scaled up:

# %%
# NBVAL_IGNORE_OUTPUT
stages, some = {}, proposals[:40]


def timed(stage, fn, times=1.0):
    start = time.perf_counter()
    with torch.no_grad():
        answer = fn()
    stages[stage] = times * (time.perf_counter() - start)
    return answer


many = timed("proposals", lambda: selective_search(image, "fast"))  # [N, 4]
times = len(many) / len(some)
patches = timed("warp", lambda: warp(image, some, size=224), times)
seen = timed("network", lambda: torch.cat([network.features(few)[32].mean((2, 3)) for few in patches.split(8)]), times)  # [40, 320]
timed("score, 20 classes", lambda: seen @ torch.randn(320, 20), times)
for stage, seconds in stages.items():
    print(f"{stage:18} {seconds:7.2f} s for {len(many)} proposals")

# %% [markdown]
# Nearly all of it is the network: **one pass for each proposal**, and the proposals overlap, so the same pixels go through it again and again. It is lesson 01 again, the sliding window that computes the same features over and over. With VGG16 it
# was **47 seconds a picture, on a GPU**.
#
# ### 5 · The network does not learn
#
# Features are numbers on a disk. What SVMs and regression find out about them cannot flow back:

# %%
fresh = efficientnet_lite0().state_dict()
unchanged = all(torch.equal(value, fresh[name]) for name, value in network.state_dict().items())
print(f"features know where they came from: {regions[0].features.requires_grad}")
print(f"the network is still that of ImageNet, bit by bit: {unchanged}")

# %% [markdown]
# The paper fine-tunes its network beforehand, by the softmax, and that is worth 8 points on VOC 2007. But fine-tuning knows neither the SVMs nor the regression. Ours is not fine-tuned at all: it has never seen these stars and
# rings, and all that is learnt are a few linear functions of what ImageNet taught it.
#
# **Think.** Which of the five would go away with a computer a thousand times as fast?
#
# <details><summary>Answer</summary>
#
# The second and the fourth. The third too, in part: features that are computed in no time need not be kept. The first and the fifth are not about speed: they are about what is learnt. Lesson 08 solves the first, third and fifth together.
#
# </details>

# %% [markdown]
# ## SPP-net: one pass
#
# The fourth problem has the remedy of lessons 01 and 02: run the convolutions **once over the whole picture**, and take each proposal's features from the map. What stands in the way? Boxes have different sizes, so they cover
# different numbers of cells; the classifier wants vectors of one length. R-CNN warps pixels for that reason alone. And warping is not innocent:

# %%
widths, heights = (many[:, 2:] - many[:, :2]).T
stretch = torch.maximum(widths / heights, heights / widths)
for limit in (2, 4):
    print(f"stretched more than {limit}-fold: {(stretch > limit).float().mean():3.0%} of the proposals")

# %% [markdown]
# **Spatial pyramid pooling** (He and others, 2014) pools *features* to one size instead. Lay a grid of 4 × 4 bins over the box's cells, whatever their number, and keep the maximum of each bin; do the same with 2 × 2 bins, and with one. Together
# 16 + 4 + 1 = 21 numbers a channel.
#
# ### See it
#
# Channel 18 at stride 8 on the cat, the one that answers to eyes (lesson 03). The box is around the eye on the left of the picture. Here is what the pyramid keeps of it, level by level:

# %%
from course.models.spp import project_boxes

with torch.no_grad():
    cells = network.features(image)[8][0]  # [40, 37, 56]
centre = network.receptive_field(8).centre
(x1, y1, x2, y2), *_ = project_boxes(torch.tensor([[105.0, 60, 232, 168]]), cells.shape[1:], stride=8, centre=centre).tolist()
region = cells[:, y1:y2, x1:x2].relu()  # [40, 14, 16]
levels = {f"{n} × {n}": F.adaptive_max_pool2d(region, n)[18] for n in (4, 2, 1)}
show_pictures({"the picture": image, "the box's cells": region[18]} | levels)

# %% [markdown]
# ### Build it
#
# Bin $i$ of $n$, from 0, along a side of $w$ cells takes the cells from $\lfloor i\, w / n \rfloor$ up to, and without, $\lceil (i + 1)\, w / n \rceil$. None is empty, and where $w$ is no multiple of $n$, some neighbours share a cell.
# (`//` rounds down, so `-(-a // b)` rounds up.)


# %%
def bins(cells, n):
    return [slice(i * cells // n, -(-(i + 1) * cells // n)) for i in range(n)]


def pyramid_pool(region, levels=(4, 2, 1)):
    channels, height, width = region.shape
    pooled = []
    for n in levels:
        grid = [region[:, rows, columns].amax((1, 2)) for rows in bins(height, n) for columns in bins(width, n)]  # n² of [C]
        pooled.append(torch.stack(grid, 1).flatten())  # [C · n²]
    return torch.cat(pooled)  # [C · 21]


# %% [markdown]
# ### Check it
#
# Against PyTorch's adaptive pooling, on regions of any size, with 40 channels. The length is always the same, 40 · 21 = 840:

# %%
for height, width in ((14, 16), (7, 13), (2, 30), (1, 1)):
    some = torch.randn(40, height, width)
    expected = torch.cat([F.adaptive_max_pool2d(some, n).flatten() for n in (4, 2, 1)])
    torch.testing.assert_close(pyramid_pool(some), expected)
    print(f"{height:2} × {width:2} cells → {len(pyramid_pool(some))} numbers")

# %% [markdown]
# ### Measure it
#
# The same network up to stride 16, the same proposals, features from one pass. The picture is enlarged to 688 pixels on its shorter side, as in the paper, for a small box needs cells, too.

# %%
# NBVAL_IGNORE_OUTPUT
from course.models.spp import PyramidFeatures

centre = network.receptive_field(16).centre
pyramid = PyramidFeatures(backbone=network, stride=16, centre=centre, levels=(4, 2, 1), shorter_side=688)
timed("SPP-net", lambda: pyramid(image, many))
slow = stages["warp"] + stages["network"]
print(f"features of {len(many)} proposals: R-CNN {slow:.0f} s, SPP-net {stages['SPP-net']:.1f} s")
print(f"{slow / stages['SPP-net']:.0f} times as fast")

# %% [markdown]
# The paper found 24 to 102 times, with its own networks and a GPU. Suddenly the proposals take as long as all that comes after them; keep that in mind until lesson 09.
#
# And is it as good? Only the features are others. All that follows stays as it was:

# %%
# NBVAL_IGNORE_OUTPUT
pooled = PyramidFeatures(backbone=trunk, stride=16, centre=centre, levels=(4, 2, 1), shorter_side=256)
pooled = CachedFeatures(pooled, folder=folder.name)
start = time.perf_counter()
regions = [regions_of(picture, target, proposals=searched[id(picture)], features=pooled) for picture, target in training]
print(f"features of the same {patch_count} boxes in {time.perf_counter() - start:.0f} s, before {feature_time:.0f} s\n")

judge(pooled, {"SVMs": (train_svms(regions, classes=6), -1)}, train_box_regression(regions, classes=6))

# %% [markdown]
# The wait shrinks less than on the cat: these pictures are small, they have only 80 proposals, and the patches were small, too.
#
# **At IoU 0.5 it is no worse.** With four seeds and the boxes moved SPP-net had 0.74 to 0.85 where R-CNN had 0.70 to 0.77, and was ahead in three. One reason may be that a warped patch shows the network 64 × 64 pixels and no more, while a cell of the map sees
# far beyond its box, and the whole picture was enlarged. With 300 pictures it is a draw, 0.87 and 0.87. **At 0.75 it falls behind:** in three of the four, and with 300 pictures, 0.67 against 0.72. Its boxes begin and end at whole cells, those of R-CNN at
# the very pixel.
#
# ### What it still cannot do
#
# Problems 1, 3 and 5 are all there: three trainings, features on disk, and a network that does not learn from them. In one respect SPP-net is worse off than R-CNN. Each proposal's features depend on a large part
# of the picture, and gradients through the pyramid would have to run through all of it, for each. So its fine-tuning stops at the pyramid: **the convolutions below stay as they are.** What if one picture's proposals shared the way
# back as they share the way forth? That is one idea away, and it is lesson 08: **Fast R-CNN**.

# %% [markdown]
# ## What it costs
#
# The running table of the course, one row an idea:
#
# | lesson | idea | what it gives | multiply–adds | time | what it still cannot do |
# |---|---|---|---|---|---|
# | 01 | sliding window, 224 at stride 32 | a class for the middle of each window | 9.2 billion | 0.9 s | stop computing the same features again and again |
# | 02 | fully convolutional, with skips | a label for every pixel, in one pass | 1.1 billion | 0.1 s | draw finer than its finest features |
# | 03 | down and up again | outlines that are sharp where the way up knows places | | | two cats that touch are one patch of cat |
# | 04 | one trunk, two heads | the class and the box of one object; the joints of one person | 0.05 billion (96 × 96) | 0.02 s | say that there are two |
# | 05 | windows of 15 sizes at stride 1, NMS | boxes, as many as there are objects | 380 trillion | 10 hours | look only where something is; tell a window that fits from one that does not |
# | 06 | selective search, *fast* | some 1500 boxes on the cat, and each of the four things in one of them | | 0.4 s | say what is in a box, or which boxes are empty |
# | **07** | **R-CNN, a pass for each box** | **objects with class and box** | **545 billion** | **1 min** | **stop computing the same features again and again; learn in one piece** |
# | **07** | **SPP-net, one pass** | **the same** | **5.1 billion** | **1 s** | **teach its convolutions anything** |

# %% [markdown]
# ## Quiz
#
# **1.** A proposal is 30 × 120 pixels. It is warped to 224 × 224 with 16 pixels of context. How much is it stretched across and down, and how many pixels of the picture does the patch show?
#
# <details><summary>Answer</summary>
#
# The box fills 192 × 192: 6.4-fold across and 1.6-fold down. The patch shows 224 / 192 times as much each way: 35 × 140 pixels.
#
# </details>
#
# **2.** A proposal has an IoU of 0.4 with a car, and less with all else. What is it to the SVM of *car*, to the softmax, and to the box regression?
#
# <details><summary>Answer</summary>
#
# Nothing to the SVM (neither below 0.3 nor a true box), background to the softmax (below 0.5), nothing to the regression (not above 0.6).
#
# </details>
#
# **3.** An SVM is trained. All negatives to which it gives less than −1 are removed, and it is trained again. What changes?
#
# <details><summary>Answer</summary>
#
# Nothing. At the minimum they cost nothing, and they would still cost nothing if $w$ and $b$ moved a little. So without them no small step leads lower either, and a bowl has only one lowest place. That is why mining works.
#
# </details>
#
# **4.** The regression answers (0, 0, 0.693, 0) for a proposal (10, 10, 30, 50). Where is the new box?
#
# <details><summary>Answer</summary>
#
# The centre (20, 30) stays, the width doubles, for exp(0.693) = 2, the height stays 40: (0, 10, 40, 50).
#
# </details>
#
# **5.** A pyramid of levels 6, 3, 2, 1 pools a map of 256 channels. How long is the vector of a box of 13 × 7 cells, and of one of 2 × 2?
#
# <details><summary>Answer</summary>
#
# (36 + 9 + 4 + 1) · 256 = 12,800 for both. In the smaller box a cell fills several bins.
#
# </details>

# %% [markdown]
# ## Exercises
#
# Open [the exercise notebook](07_rcnn_exercises.ipynb) beside this one. You will write `warp` for all boxes at once, `encode_boxes` and `decode_boxes`, `ridge`, and `pyramid_pool`, and answer a question
# in words about where the time and the disk go. `check(your_function)` answers at once and shows the first case that differs.
#
# To *watch* your encoding, hand it to the widget. Here is one with a mistake: it counts the shift in the sides of the true box. (`weights` are factors for the four deltas, here all 1.)


# %%
def wrong_sides(gt, proposals, weights):
    gx, gy, gw, gh = centre_and_size(gt)
    px, py, pw, ph = centre_and_size(proposals)
    return torch.stack(((gx - px) / gw, (gy - py) / gh, (gw / pw).log(), (gh / ph).log()), 1)


segwidgets.box_codec((60, 40, 300, 260), (0, 0, 385, 300), fn=wrong_sides)

# %% [markdown]
# ## References
#
# - R. Girshick, J. Donahue, T. Darrell, J. Malik, *Rich feature hierarchies for accurate object detection and semantic segmentation*, 2014, [arXiv:1311.2524](https://arxiv.org/abs/1311.2524): sections 2 and 3, appendices A to C.
# - The authors' code, [github.com/rbgirshick/rcnn](https://github.com/rbgirshick/rcnn): what the SVMs' C, the weight of the positives, the bias and the scale of the features are; the 200 GB.
# - P. Felzenszwalb, R. Girshick, D. McAllester, D. Ramanan, *Object Detection with Discriminatively Trained Part-Based Models*, TPAMI 2010, section 4: hard negatives.
# - K. He, X. Zhang, S. Ren, J. Sun, *Spatial Pyramid Pooling in Deep Convolutional Networks for Visual Recognition*, 2014, [arXiv:1406.4729](https://arxiv.org/abs/1406.4729).
# - R. Girshick, *Fast R-CNN*, 2015, [arXiv:1504.08083](https://arxiv.org/abs/1504.08083): section 1.1 names the first four problems, and that SPP-net cannot train its convolutions; 47 s a picture, 84 h of training.
