# %% [markdown]
# # 08 · Fast R-CNN
#
# **One pass for all proposals, and one training for the whole network.** About 60 minutes, and as long again for the exercises.
#
# When you are through, you can
#
# - carry a proposal over to a feature map and pool what it covers to a grid of one size, by hand and in a few lines;
# - send a gradient back through that pooling, and say why it opens the convolutions to training, which SPP-net left as they were;
# - write the loss for class and box together, and say what its $\beta$ does;
# - count what a step of training costs when its regions come from 2 pictures, and what from 128;
# - train a Fast R-CNN, and name the part that is still slow.

# %% [markdown]
# ## One network
#
# Lesson 07 left us with two detectors. R-CNN runs its network once for each proposal. SPP-net runs it once for the picture, but it still trains in three pieces that know nothing of each other, keeps features on a disk, and
# never touches its convolutions. **Fast R-CNN** (2015) is what remains when all of that is thrown out:
#
# ```
# picture ──▶ convolutions ──▶ map ──▶ RoI pooling ──▶ layers ─┬─▶ which class, or background: softmax
#                 once                     ↑                       └─▶ how the box has to move: four numbers a class
#                                      proposals
#                                     (lesson 06)
#         ◀────────────────────── one loss, and its gradient goes all the way ──────────────────────
# ```
#
# No warping, no SVMs, no least squares, no disk. Two things have to be invented for it: a pooling that lets gradients through at a bearable price, and a loss for both answers at once. We build them in this order.
#
# RoI is short for *region of interest*. That is a proposal, once it has been carried over to the map.

# %% [markdown]
# ### See it
#
# The map is channel 18 at stride 8 on the cat, the one that answers to eyes. The box is around the eye on the left, 127 × 108 pixels. Before you press **space**: a cell is 8 pixels wide. How many cells wide and high is the box?

# %%
import math
import time

import torch
import torch.nn.functional as F

import segwidgets
from course.data.photos import cat
from course.figures import show_bars, show_curves, show_objects
from course.models.backbones import efficientnet_lite0
from course.models.selective_search import selective_search

network, image = efficientnet_lite0(), cat()  # image [3, 300, 451]
with torch.no_grad():
    cells = network.features(image)[8][0].relu()  # [40, 37, 56]
segwidgets.roi_pool(cells, image, (105, 60, 232, 168), 3, channel=18)

# %% [markdown]
# 15.9 × 13.5 cells, and there are no parts of cells. So both edges are rounded, and the last cell counts in: 17 × 14 cells. Then its thirds are rounded, too. **Drag the box** to another place, or make it very small, and play again: whatever it covers, nine numbers come out. The second half
# of the animation is the way back; we come to it below.

# %% [markdown]
# ## Pool a region
#
# ### Build it
#
# A box has its edges in pixels, $x_1, y_1, x_2, y_2$. Divide each by the stride and round it to the nearest cell. The last cell belongs to the box, so it is $w = x_2 - x_1 + 1$ cells wide, at least one. Then bin $i$ of $n$ takes the cells from
# $x_1 + \lfloor i\, w / n \rfloor$ up to, and without, $x_1 + \lceil (i + 1)\, w / n \rceil$, and keeps the largest.


# %%
def to_cells(box, stride):
    return [math.floor(side / stride + 0.5) for side in box]  # x1, y1, x2, y2, the last one included


def bins(first, last, n):
    width = last - first + 1
    return [slice(first + i * width // n, first - (-(i + 1) * width // n)) for i in range(n)]


def pool_region(cells, box, n, stride):
    x1, y1, x2, y2 = to_cells(box, stride)
    grid = [cells[:, rows, columns].amax((1, 2)) for rows in bins(y1, y2, n) for columns in bins(x1, x2, n)]  # n² of [C]
    return torch.stack(grid, 1).unflatten(1, (n, n))  # [C, n, n]


# %% [markdown]
# ### Check it
#
# Against torchvision, on proposals of the cat and all 40 channels. (A bin may lie beyond the map and be empty; then it gives 0. The exercise is about that, too. Here we take boxes that lie inside.)

# %%
import torchvision

many = selective_search(image, "fast")  # [1499, 4]
inside = many[(many[:, 2] < 440) & (many[:, 3] < 290)][:200]
mine = torch.stack([pool_region(cells, box, 3, stride=8) for box in inside.tolist()])  # [200, 40, 3, 3]
torch.testing.assert_close(mine, torchvision.ops.roi_pool(cells[None], [inside], 3, 1 / 8), rtol=0, atol=0)
print("200 regions, the same to the last bit.")

# %% [markdown]
# ### Is that not SPP-net's pyramid?
#
# Nearly. The bins are the pyramid's (lesson 07), and where that had levels 4, 2 and 1, here is **one level**. Only which cells belong to the box is settled otherwise: SPP-net takes those whose middle lies inside, RoI pooling rounds both edges. Given the same cells the two are the same:

# %%
from course.models.spp import pyramid_pool

x1, y1, x2, y2 = to_cells((105, 60, 232, 168), 8)
region = cells[:, y1 : y2 + 1, x1 : x2 + 1]  # [40, 14, 17]
torch.testing.assert_close(pool_region(cells, (105, 60, 232, 168), 4, 8).flatten(), pyramid_pool(region, (4,)), rtol=0, atol=0)
print("A pyramid of one level.")

# %% [markdown]
# **Think.** At stride 16, by how many pixels can an edge of the box be off after the first rounding? Which objects suffer?
#
# <details><summary>Answer</summary>
#
# By up to half a cell, 8 pixels; and since the last cell counts in, what is read goes on for 8 to 24 pixels beyond the right and the lower edge. An object 300 pixels wide does not care. One of 32 pixels is two cells wide, and is always read as three, shifted by up to half a cell. All features are then those of a shifted box, and
# the regression is to correct by pixels what it sees through cells. Lesson 11 gives the rounding up.
#
# </details>

# %% [markdown]
# ## The way back
#
# ### By hand
#
# The maximum of several numbers: if the largest rises by a little, the maximum rises by as much. If another one does, nothing happens. So **the gradient of an output goes, whole, to the cell where the maximum stood, and the other cells
# get nothing from this bin.** A cell that is the largest of several bins gets the sum. In a formula, with cells $x$, output $j$ of region $r$ called $y_{rj}$, and $i^*(r, j)$ the cell where its maximum stood,
#
# $$\frac{\partial L}{\partial x_i} = \sum_r \sum_j \bigl[\, i = i^*(r, j) \,\bigr] \; \frac{\partial L}{\partial y_{rj}}$$
#
# The brackets are 1 if what they hold is true, and 0 if not. Here is a map of 4 × 4 cells, the numbers of lesson 03, and two regions on it, each pooled to 2 × 2: region A is the whole map, region B its upper left 3 × 3 cells, whose bins share the middle row and
# column. Beside them is what the loss says: the gradient of each output.
#
# ```text
#  map            A pooled    gradient      B pooled    gradient
#  1  2  6  3     5  6        1  2          5  6        10  20
#  3  5  2  1     7  8        3  4          5  5        30  40
#  1  2  2  1
#  7  3  4  8
# ```
#
# **Take a pencil**, and write down the gradient of all sixteen cells before you read on.
#
# <details><summary>Answer</summary>
#
# ```text
#   0   0  22   0       the 6 is the largest of a bin of A and of one of B: 2 + 20
#   0  81   0   0       the 5 of one bin of A and of three of B: 1 + 10 + 30 + 40
#   0   0   0   0
#   3   0   0   4
# ```
#
# Four cells of sixteen get anything. All eight gradients have arrived: 22 + 81 + 3 + 4 = 1 + 2 + 3 + 4 + 10 + 20 + 30 + 40.
#
# </details>
#
# Region B again, with **Predict** (press **p**) on the way back. The photograph is the map itself, a cell 16 pixels wide. (As the last cell counts in, cells 0 to 2 are the box from 0 to 32.)

# %%
numbers = torch.tensor([[1, 2, 6, 3], [3, 5, 2, 1], [1, 2, 2, 1], [7, 3, 4, 8]]).float()  # [4, 4]
drawing = (numbers / 8).repeat_interleave(16, 0).repeat_interleave(16, 1).expand(3, 64, 64)
gradient_b = torch.tensor([[10, 20], [30, 40]]).float()
segwidgets.roi_pool(numbers[None], drawing, (0, 0, 32, 32), 2, 1 / 16, gradient=gradient_b)

# %% [markdown]
# ### Build it
#
# The same walk over the bins. This time each one looks for its largest cell, and adds its gradient there.


# %%
def pool_backward(gradient, cells, box, stride):
    back, n = torch.zeros_like(cells), gradient.shape[1]  # [C, H, W]
    x1, y1, x2, y2 = to_cells(box, stride)
    for i, rows in enumerate(bins(y1, y2, n)):
        for j, columns in enumerate(bins(x1, x2, n)):
            seen = cells[:, rows, columns]  # [C, h, w]
            largest = F.one_hot(seen.flatten(1).argmax(1), seen[0].numel()).view_as(seen)  # [C, h, w], a single 1 a channel
            back[:, rows, columns] += largest * gradient[:, i, j, None, None]
    return back


a = pool_backward(torch.tensor([[[1, 2], [3, 4]]]).float(), numbers[None], (0, 0, 48, 48), 16)
b = pool_backward(gradient_b[None], numbers[None], (0, 0, 32, 32), 16)
(a + b)[0]

# %% [markdown]
# ### Check it
#
# Against what PyTorch's autograd makes of torchvision's pooling, on the 200 regions, with gradients that nobody chose. And against the course's own, which is both ways in one.

# %%
from course.ops.roi import roi_pool

gradient = torch.randn(200, 40, 3, 3)
mine = sum(pool_backward(g, cells, box, stride=8) for g, box in zip(gradient, inside.tolist()))  # [40, 37, 56]
for pool in (torchvision.ops.roi_pool, roi_pool):
    leaf = cells[None].clone().requires_grad_()
    pool(leaf, [inside], 3, 1 / 8).backward(gradient)
    torch.testing.assert_close(mine, leaf.grad[0], rtol=1e-4, atol=1e-4)
print(f"The same gradients. {(mine != 0).float().mean():.0%} of the map's cells get one.")

# %% [markdown]
# ### Why SPP-net did not do this
#
# There is nothing in the formula that SPP-net's pyramid could not have done. What stopped its authors is the price. A cell at stride 16 depends on so many pixels of the picture:

# %%
print(f"{network.receptive_field(16).size} × {network.receptive_field(16).size} pixels; the cat is 451 × 300")

# %% [markdown]
# So features of a region depend on nearly the whole picture, and its gradient has to go back through nearly the whole picture, however small the region is. R-CNN and SPP-net draw the 128 regions of a training step from all pictures at
# random: 128 regions are then some 128 pictures, each passed forward and back for one region's sake.
#
# **Fast R-CNN draws the pictures first, and then the regions: 2 pictures, 64 regions of each.** Regions of one picture share the forward pass, and since the gradients *add up* on one map, they share the backward pass. The paper calls this hierarchical sampling. Measured, on a crop
# of the cat:

# %%
# NBVAL_IGNORE_OUTPUT
from course.models.stages import Frozen, Stages, efficientnet_lite0_stages

stages = efficientnet_lite0_stages(efficientnet_lite0())
trunk = Stages({stride: stages[stride] for stride in (2, 4, 8, 16)}).eval()
crop, in_crop = image[None, :, :256, :256], inside[(inside[:, 2:] < 256).all(1)][:64]


def forth_and_back(regions):
    start = time.perf_counter()
    roi_pool(trunk(crop)[16], [regions], 4, 1 / 16).square().sum().backward()
    return time.perf_counter() - start


forth_and_back(in_crop)  # the first time is slower
one, all_64 = (min(times) for times in zip(*((forth_and_back(in_crop[:1]), forth_and_back(in_crop)) for _ in range(4))))
print(f"forth and back for 1 region {one:.2f} s, for {len(in_crop)} regions {all_64:.2f} s")
print(f"a step of 128 regions: of 128 pictures {128 * one:.0f} s, of 2 pictures {2 * all_64:.2f} s, {64 * one / all_64:.0f} times as fast")

# %% [markdown]
# Nearly 64 times, as it should be: a region alone costs hardly anything, for pooling and its way back are a fraction of the pass. That is what opens the convolutions to training, and it needed no new mathematics.
#
# **Think.** 64 regions of one picture have much in common. What could go wrong, and how would you find out?
#
# <details><summary>Answer</summary>
#
# A step sees two pictures instead of 128, so its gradient is one-sided: it may be pulled to whatever these two show, and the next step pulls elsewhere. One would find out by training both ways for the same number of steps and comparing. The paper found that it does not matter in
# practice: it needed *fewer* steps than R-CNN.
#
# </details>

# %% [markdown]
# ## One loss
#
# Behind the pooling come fully connected layers (two of 4096 in the paper, one of 256 here), and two answers. A softmax says which of $K$ classes it is, **background among them** (the paper does not count it in $K$). And *for each class* four numbers say how the box has to move if it is that one: the deltas of lesson 07. For a region whose true class is $u$ and whose
# true deltas are $t$, with $p_u$ the probability that the softmax gives to $u$, and $d^u$ the four deltas predicted for $u$,
#
# $$L = \underbrace{-\log p_u}_{\text{classification}} \;+\; \lambda\, [\, u \ge 1 \,] \underbrace{\sum_{k \,\in\, x, y, w, h} \text{smooth}_{L1}\bigl(d^u_k - t_k\bigr)}_{\text{box}}$$
#
# Background, $u = 0$, has no box to be wrong about. Of the $4K$ numbers only the four of the true class are judged, and $\lambda$ is 1. No SVMs, no stages: one number to be made small, by everything at once. (We met such a sum in lesson 04, with one object.)
#
# ### See it
#
# The least squares of R-CNN would give a square here. **Smooth L1** is a square near 0, and from $\beta$ on a straight line:
#
# $$\text{smooth}_{L1}(x) = \begin{cases} x^2 / (2\beta) & \text{if } |x| < \beta \\ |x| - \beta/2 & \text{otherwise} \end{cases}$$


# %%
def smooth(x, beta):
    return torch.where(x.abs() < beta, x**2 / (2 * beta), x.abs() - beta / 2)


x = torch.linspace(-3, 3, 121)
losses = {"square, x² / 2": x**2 / 2, "absolute": x.abs(), "smooth L1, β = 1": smooth(x, 1.0), "smooth L1, β = 1/9": smooth(x, 1 / 9)}
show_curves(losses, x=x, xlabel="x, how far off", ylabel="loss")

# %% [markdown]
# What trains is the slope. Here are the slopes of the four, from autograd:

# %%
slopes = {}
for name, loss in {
    "square": lambda x: x**2 / 2,
    "absolute": torch.abs,
    "β = 1": lambda x: smooth(x, 1.0),
    "β = 1/9": lambda x: smooth(x, 1 / 9),
}.items():
    leaf = x.clone().requires_grad_()
    (slopes[name],) = torch.autograd.grad(loss(leaf).sum(), leaf)
show_curves(slopes, x=x, xlabel="x, how far off", ylabel="slope")

# %% [markdown]
# - **The square's slope grows with the error.** A region that is off by 30 pulls thirty times as hard as one that is off by 1. R-CNN was safe from that: least squares has an exact solution, and only proposals above IoU 0.6 took part. In a network that is
#   trained by steps, one hopeless region can throw the weights far away. The learning rate would have to be set with care.
# - **The absolute value pulls everyone alike,** also those that are all but right: it jumps from one side of 0 to the other and never settles.
# - **Smooth L1 pulls in proportion up to β, and never harder than 1.** So β is what counts as a small error. The paper has 1, on targets scaled so that they vary by about 1. We scale them too, by 10 for the shifts and 5 for the sizes, and take β = 1/9 as torchvision
#   does: even nearly right boxes still pull with all their strength, and the boxes get more exact for it.
#
# ### Check it

# %%
prediction, target = 3 * torch.randn(50, 4), torch.randn(50, 4)
for beta in (1.0, 1 / 9):
    torch.testing.assert_close(smooth(prediction - target, beta), F.smooth_l1_loss(prediction, target, beta=beta, reduction="none"))
print("The same as PyTorch's.")

# %% [markdown]
# ### Build it
#
# Both losses of $R$ regions. The logits are `[R, K]`, the deltas `[R, 4K]`, the four of class 0 first. Both are divided by $R$, and not the second by the number of objects: so an object weighs the same whether its step has many or few.


# %%
def multi_task(logits, deltas, labels, targets):
    there = labels > 0  # [R]
    judged = deltas.unflatten(1, (-1, 4))[there, labels[there]]  # [objects, 4]
    box = smooth(judged - targets[there], 1 / 9).sum() / len(labels)
    return {"classification": F.cross_entropy(logits, labels), "box": box}


from course.models.fast_rcnn import fast_rcnn_losses

logits, deltas, labels, targets = torch.randn(64, 7), torch.randn(64, 28), torch.randint(0, 7, (64,)), torch.randn(64, 4)
torch.testing.assert_close(multi_task(logits, deltas, labels, targets), fast_rcnn_losses(logits, deltas, labels, targets))
print("The same as the course's.")

# %% [markdown]
# **Think.** Why four numbers for each class, and not four for the region?
#
# <details><summary>Answer</summary>
#
# How a box has to move depends on what it shows. The same features, a wheel low on the left, mean "further to the right" for a car and "further up" for a person on a bicycle. And a region may be a fish and a star at once: each class then proposes its own box, and NMS within each class
# settles them.
#
# </details>

# %% [markdown]
# ## Train it
#
# ### The regions of a step
#
# The pictures and proposals are those of lesson 07: eighty pictures to learn from, forty to judge by, 80 proposals each. `RegionHead` is what stands behind the map. It draws 64 regions of a picture: at most a quarter of them show an object (IoU from 0.5 on), the others are background. (The paper takes only those from IoU 0.1 on, the harder ones.)
# R-CNN had three definitions of a positive. Here there is one: **the class and the box learn from the same regions.** (The true boxes are added to the proposals, so that there is something to learn from in every picture that holds an object.)

# %%
# NBVAL_IGNORE_OUTPUT
from torch.utils.data import StackDataset

from course.data.shapes import CLASSES, Shapes, collate
from course.models.detector_input import DetectorInput
from course.models.fast_rcnn import FastRCNN, RegionHead, RoIPooling, fully_connected

training, unseen = (list(Shapes(split, count=count, target="instances")) for split, count in (("train", 80), ("test", 40)))
start = time.perf_counter()
searched = {id(picture): selective_search(picture, "fast")[:80] for picture, _ in training + unseen}
search_time = (time.perf_counter() - start) / 120
print(f"{1000 * search_time:.0f} ms a picture for the proposals")


def new_head():
    layers = fully_connected(112, 4, 256)  # [R, 112, 4, 4] → [R, 256]
    return RegionHead(
        pool=RoIPooling(level=16, stride=16, output_size=4),
        layers=layers,
        features=256,
        classes=7,
        drawn=64,
        score_threshold=0.02,
        nms_threshold=0.3,
    )


picture, target = training[1]
torch.manual_seed(0)
drawn = new_head().draw([searched[id(picture)]], [target["boxes"]], [target["labels"]])
print(f"{len(drawn.labels)} regions, {int((drawn.labels > 0).sum())} of them show an object")
objects = {"boxes": drawn.boxes[0][drawn.labels > 0]}, {"boxes": drawn.boxes[0][drawn.labels == 0]}
given = picture, {"boxes": target["boxes"], "labels": target["labels"]}
show_objects([given, given], CLASSES, found=objects, titles=["drawn as objects", "drawn as background"])

# %% [markdown]
# ### First as SPP-net had to
#
# The convolutions are those of lesson 07, EfficientNet-Lite0 up to stride 16, and the pictures are enlarged to 256 pixels as they were there. To begin with **the convolutions are held**: then the maps can be computed once, and only the new layers learn. Sixteen epochs take seconds.
#
# (`Frozen` layers never learn: edges and colours are as good for stars and rings as they come, and the paper holds its first layers, too. `Steady` ones may learn, but their batch normalisation keeps the averages of ImageNet: two pictures are too few to take new ones.)

# %%
# NBVAL_IGNORE_OUTPUT
from course.training import fit


class Steady(torch.nn.Sequential):
    def train(self, mode=True):
        return super().train(False)


torch.manual_seed(0)
backbone = Stages({stride: Frozen(stages[stride]) if stride < 8 else Steady(stages[stride]) for stride in (2, 4, 8, 16)})
model = FastRCNN(backbone=backbone, head=new_head(), prepare=DetectorInput(normalise=False, shorter_side=256))
model.to(memory_format=torch.channels_last)  # how the numbers lie in memory: the CPU's convolutions are faster so


def head_losses(maps, targets):
    regions = model.head.draw(*([target[name] for target in targets] for name in ("proposals", "boxes", "labels")))
    return model.head.losses({16: torch.stack(maps)}, regions)


start = time.perf_counter()
with torch.no_grad():
    maps = [model.backbone(model.prepare([picture]).images)[16][0] for picture, _ in training]  # each [112, 16, 16]
enlarged = [{"boxes": 2 * t["boxes"], "labels": t["labels"], "proposals": 2 * searched[id(picture)]} for picture, t in training]
optimiser = torch.optim.Adam(model.head.parameters(), lr=1e-3)
held = fit(model.head, StackDataset(maps, enlarged), batch_loss=head_losses, epochs=16, batch_size=2, collate=collate, optimiser=optimiser)
held_time = time.perf_counter() - start
print(f"{held_time:.0f} s, of which {held.seconds:.0f} s are training")
show_curves(held.steps, smooth=40, xlabel="step", ylabel="loss")

# %%
# NBVAL_IGNORE_OUTPUT
from course.metrics import mean_average_precision


def judge(what):
    with torch.no_grad():
        found = [model([picture], [searched[id(picture)]])[0] for picture, _ in unseen]
    result = mean_average_precision(found, [target for _, target in unseen], [0.5, 0.75])
    print(f"{what:22} mAP@0.5 {result.AP50:.2f}   mAP@0.75 {result.AP75:.2f}")
    return found


found = judge("convolutions held")

# %% [markdown]
# ### Then as Fast R-CNN can
#
# Now the gradient goes on: through the pooling, into the convolutions. Three epochs. A step is two pictures and 128 regions, forward and back. This is the longest wait of the lesson.

# %%
# NBVAL_IGNORE_OUTPUT
data = StackDataset([picture for picture, _ in training], [t | {"proposals": searched[id(picture)]} for picture, t in training])
groups = [{"params": model.head.parameters(), "lr": 5e-4}, {"params": [p for p in backbone.parameters() if p.requires_grad], "lr": 3e-4}]
free = fit(model, data, batch_loss=model.losses, epochs=3, batch_size=2, collate=collate, optimiser=torch.optim.Adam(groups))
print(f"{free.seconds:.0f} s")
found = judge("convolutions learn")

# %%
# NBVAL_IGNORE_OUTPUT
sure = [{name: values[each["scores"] > 0.5] for name, values in each.items()} for each in found[:4]]
show_objects([(picture, {"boxes": t["boxes"], "labels": t["labels"]}) for picture, t in unseen[:4]], CLASSES, found=sure)

# %% [markdown]
# Problem 5 of R-CNN was that the network is still ImageNet's, bit for bit. And now? By how much the weights of each stage have moved:

# %%
# NBVAL_IGNORE_OUTPUT
fresh = efficientnet_lite0_stages(efficientnet_lite0())
for stride in (2, 4, 8, 16):
    now, before = (torch.cat([p.detach().flatten() for p in which[stride].parameters()]) for which in (stages, fresh))
    print(f"stride {stride:2}: {(now - before).norm() / before.norm():.1%}")

# %% [markdown]
# - **The first two stages are frozen, and the others have moved by less than one per cent.** So little is enough to change the features.
# - **That the convolutions learn is worth a little, here.** In earlier runs with two other seeds mAP at IoU 0.5 was 0.72 and 0.77 with it, and 0.69 and 0.75 when they were held for eight epochs more instead; mAP at 0.75 was 0.36 and 0.38 against 0.34 and 0.34. (Forty pictures to judge by are few: from epoch to epoch a run moves
#   by up to five points.) Three epochs of eighty pictures are not much to teach ImageNet's convolutions stars and rings. **With 300 pictures** and 150 proposals each, one run had 0.89 with it and 0.84 without, and 0.59 against 0.52 at IoU 0.75.
# - **Against R-CNN it is as good at finding, and less exact.** At IoU 0.5 R-CNN had 0.70 to 0.77 with eighty pictures and 0.87 with 300 (lesson 07). At 0.75 it had about 0.5 and 0.72, and SPP-net was not far from that. Least squares with its strong penalty is at home with few examples. The new layers here have half
#   a million weights: in the end they know the training boxes by heart, and the unseen ones less well. They gain more from more pictures. (SPP-net had 0.74 to 0.85 at IoU 0.5, so with eighty pictures it is ahead there, too.)
# - **In the paper** the same comparison, with VGG16 on VOC 2007, came out at 61.4 % with all convolutions held and 66.9 % with those from the third block on learning; R-CNN had 66.0 % and SPP-net 63.1 %. One loss for both answers was better than one after the other, and the softmax
#   at least as good as SVMs.
#
# ## Measure it
#
# ### Where the time goes
#
# The cat with all its proposals, the shorter side enlarged to 688 pixels as for SPP-net, and a head for twenty classes:

# %%
# NBVAL_IGNORE_OUTPUT
stages_of = {}


def timed(stage, fn, times=1.0):
    start = time.perf_counter()
    with torch.no_grad():
        answer = fn()
    stages_of[stage] = times * (time.perf_counter() - start)
    return answer


head = RegionHead(pool=RoIPooling(level=16, stride=16, output_size=4), layers=fully_connected(112, 4, 256), features=256, classes=21)
batch = DetectorInput(normalise=False, shorter_side=688)([image])
trunk(batch.images)  # the first time is slower
boxes = timed("proposals", lambda: selective_search(image, "fast"))  # [1499, 4]
regions = batch.inwards([boxes])
levels = timed("convolutions", lambda: trunk(batch.images))
pooled = timed("RoI pooling", lambda: head.pool(levels, regions))  # [1499, 112, 4, 4]
features = timed("fully connected", lambda: head.layers(pooled))  # [1499, 256]
timed("class and box", lambda: (head.classes(features), head.deltas(features)))
for stage, seconds in stages_of.items():
    print(f"{stage:16} {seconds:6.3f} s")

# %% [markdown]
# **The proposals take half of the time or more**; the more cores the network has, the larger is their share. In the paper they take six sevenths. What stands behind them is one pass of a network.
#
# ### The three, side by side
#
# R-CNN and SPP-net on the same cat and the same machine (R-CNN timed on forty proposals, and scaled up); and beside them what was published, with VGG16 on a GPU. There the proposals are counted with 2 seconds a picture.

# %%
# NBVAL_IGNORE_OUTPUT
from course.models.spp import PyramidFeatures
from course.models.warping import warp

fast = sum(stages_of.values()) - stages_of["proposals"]
pyramid = PyramidFeatures(backbone=network, stride=16, centre=network.receptive_field(16).centre, levels=(4, 2, 1), shorter_side=688)
timed("SPP-net", lambda: pyramid(image, boxes))
patches = warp(image, boxes[:40], size=224)
timed("R-CNN", lambda: [network.features(few)[32] for few in patches.split(8)], len(boxes) / 40)
here = {"R-CNN": stages_of["R-CNN"], "SPP-net": stages_of["SPP-net"], "Fast R-CNN": fast}
published = {"R-CNN": 47.0, "SPP-net": 2.3, "Fast R-CNN": 0.32}
bars = {
    way: {
        "published, without proposals": published[way],
        "published, with proposals": published[way] + 2,
        "here, without proposals": here[way],
        "here, with proposals": here[way] + stages_of["proposals"],
    }
    for way in here
}
show_bars(bars, xlabel="seconds a picture", logarithmic=True)

# %% [markdown]
# A step on this axis is a factor of ten. Look at the pairs: with R-CNN the proposals don't matter. With Fast R-CNN they are half of what is left here, and nearly everything in the paper.
#
# Training, too. R-CNN's fine-tuning is timed on one step of 128 patches and scaled to the steps that ours made; features are timed on eight pictures of eighty; SVMs and regression, some seconds more, are left out. As the machines of then and now
# cannot be compared, Fast R-CNN counts as 1 in both.

# %%
# NBVAL_IGNORE_OUTPUT
from course.models.rcnn import CellFeatures, WarpedFeatures

picture, target = training[0]
warped = warp(picture, searched[id(picture)].repeat(2, 1)[:128], size=64, padding=6)  # [128, 3, 64, 64]
start = time.perf_counter()
backbone(warped)[16].square().mean().backward()
tuning = len(free.steps["box"]) * (time.perf_counter() - start)
r_cnn = WarpedFeatures(network=CellFeatures(backbone=trunk, stride=16, grid=4), size=64, padding=6)
spp = PyramidFeatures(backbone=network, stride=16, levels=(4, 2, 1), shorter_side=256)
timed("features R-CNN", lambda: [r_cnn(picture, searched[id(picture)]) for picture, _ in training[:8]], 10)
timed("features SPP-net", lambda: [spp(picture, searched[id(picture)]) for picture, _ in training[:8]], 10)
seconds = {
    "R-CNN": tuning + stages_of["features R-CNN"],
    "SPP-net": stages_of["features SPP-net"],
    "Fast R-CNN": held_time + free.seconds,
}
hours = {"R-CNN": 84, "SPP-net": 25, "Fast R-CNN": 9.5}
print({way: f"{value:.0f} s" for way, value in seconds.items()})
relative = {way: {"published": hours[way] / 9.5, "here": seconds[way] / seconds["Fast R-CNN"]} for way in hours}
show_bars(relative, xlabel="training time, Fast R-CNN = 1")

# %% [markdown]
# Published were 84 hours, 25, and 9.5. SPP-net is the quickest here and was not in the paper. Its convolutions are held in both; but its 25 hours also contain what we leave out or do in seconds: fine-tuning of the fully connected layers, features written to a disk and read again, SVMs, regression. R-CNN pays most for its patches: 128 patches of 64 × 64 have four times as many pixels as two pictures of 256 × 256.
#
# ### What has become of the five problems
#
# | problem | R-CNN | SPP-net | Fast R-CNN |
# |---|---|---|---|
# | three trainings that know nothing of each other | yes | yes | one loss |
# | slow training | 84 hours | 25 hours | 9.5 hours |
# | features on a disk | some 200 GB | as well | none |
# | slow detection, without proposals | 47 s | 2.3 s | 0.32 s |
# | a network that does not learn | from its fine-tuning only | above the pyramid only | all that is not frozen |
#
# ## What is still slow
#
# Selective search knows nothing of the network. It looks at colours and textures of pixels, runs on the CPU, and takes as long as the network does or longer. Yet the network computes, from the same pixels, all that there is to know about edges, textures and parts. And it does
# not learn, either: what it never proposes nobody will find.
#
# The map is there. Could a few more layers on it say *here is something*? That is one idea away, and it is lesson 09: **Faster R-CNN**.

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
# | 07 | R-CNN, a pass for each box | objects with class and box | 545 billion | 1 min | stop computing the same features again and again; learn in one piece |
# | 07 | SPP-net, one pass | the same | 5.1 billion | 1 s | teach its convolutions anything |
# | **08** | **Fast R-CNN, one pass, one loss** | **the same, and all of it learns together** | **4.3 billion** | **0.3 s** | **find its proposals itself: they take as long as all the rest** |

# %% [markdown]
# ## Quiz
#
# **1.** A proposal is (40, 72, 200, 168), the stride 16. Which cells belong to it, and which rows and columns do 2 × 2 bins take?
#
# <details><summary>Answer</summary>
#
# 2.5 → 3, 4.5 → 5, 12.5 → 13, 10.5 → 11 (halves go up): columns 3 to 13, rows 5 to 11. Eleven columns in two bins: ⌊0⌋ to ⌈5.5⌉, so 3–8 and 8–13, which share column 8. Seven rows: 5–8 and 8–11, which share row 8.
#
# </details>
#
# **2.** 300 regions are pooled to 7 × 7 from a map of 512 channels. How many numbers reach the fully connected layer, for each region and in all? And in one channel, at most how many cells of the map get a gradient from one region?
#
# <details><summary>Answer</summary>
#
# 7 · 7 · 512 = 25,088 for each region, 7.5 million in all. One region has 49 bins, each with one largest cell: at most 49 cells, and fewer if bins share a maximum.
#
# </details>
#
# **3.** The box loss of a region is taken with β = 1. One of its deltas is off by 0.5, one by 4, two are right. How large is the loss, and how hard does each pull?
#
# <details><summary>Answer</summary>
#
# 0.5² / 2 = 0.125, and 4 − 0.5 = 3.5, together 3.625. The slopes are 0.5 and 1; the two that are right don't pull.
#
# </details>
#
# **4.** A step draws 128 regions of 2 pictures, at most a quarter of them positive. One of the pictures is empty. How many positives does the step have, and what is the box loss of the empty picture?
#
# <details><summary>Answer</summary>
#
# At most 16, all of the other picture: of each picture 64 are drawn, a quarter of which is 16. The empty one gives 64 regions of background. They teach the class; their box loss is 0.
#
# </details>
#
# **5.** A colleague pools with the *mean* of each bin. What becomes of the way back?
#
# <details><summary>Answer</summary>
#
# Each cell of a bin gets an equal share of its gradient, 1 / (number of its cells), and again the shares of several bins and regions add up. Every cell of the box gets something, and the network could be trained as well. Lesson 11 does nearly that.
#
# </details>

# %% [markdown]
# ## Exercises
#
# Open [the exercise notebook](08_fast_rcnn_exercises.ipynb) beside this one. You will write `roi_pool` for all boxes of all pictures, empty bins included, its way back `roi_pool_backward`, and `smooth_l1`, and answer a question in words about what a step of training costs.
# `check(your_function)` answers at once and shows the first case that differs.
#
# To *watch* your pooling, hand it to the widget. Here is one with a mistake: it rounds the box down, and leaves the last cell out.


# %%
def shifted(features, boxes, output_size, spatial_scale):
    pooled = features.new_zeros(len(boxes), features.shape[1], *output_size)
    for r, (n, *box) in enumerate(boxes.tolist()):
        x1, y1, x2, y2 = (int(side * spatial_scale) for side in box)
        pooled[r] = F.adaptive_max_pool2d(features[int(n), :, y1:y2, x1:x2], output_size)
    return pooled


segwidgets.roi_pool(cells, image, (105, 60, 232, 168), 3, channel=18, fn=shifted)

# %% [markdown]
# ## References
#
# - R. Girshick, *Fast R-CNN*, 2015, [arXiv:1504.08083](https://arxiv.org/abs/1504.08083): section 2 the whole, 2.3 the loss, the sampling and equation 4 the way back; table 4 the times; section 4.5 which layers should learn; section 5 the rest of what is cited here.
# - K. He, X. Zhang, S. Ren, J. Sun, *Spatial Pyramid Pooling in Deep Convolutional Networks for Visual Recognition*, 2014, [arXiv:1406.4729](https://arxiv.org/abs/1406.4729).
# - R. Girshick, J. Donahue, T. Darrell, J. Malik, *Rich feature hierarchies for accurate object detection and semantic segmentation*, 2014, [arXiv:1311.2524](https://arxiv.org/abs/1311.2524).
# - S. Ren, K. He, R. Girshick, J. Sun, *Faster R-CNN*, 2015, [arXiv:1506.01497](https://arxiv.org/abs/1506.01497): selective search takes 2 seconds a picture on a CPU; β = 1/9 comes from its code.
