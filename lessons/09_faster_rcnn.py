# %% [markdown]
# # 09 · Faster R-CNN
#
# **Let the network propose.** About 60 minutes, and as long again for the exercises.
#
# When you are through, you can
#
# - name the parts of Faster R-CNN and its four losses, and say which loss teaches which part;
# - lay anchors over a map, and say of each what it is to learn: object, background, or nothing;
# - turn a map of scores and deltas into a hundred proposals;
# - train a region proposal network together with the detector on top of it, and read four loss curves at once;
# - judge proposals that were learnt against proposals that were not: how many objects the first ten find.

# %% [markdown]
# ## What everybody waits for
#
# Lesson 08 made one network of the three trainings, and one pass of the many. Only the proposals are still made by somebody else: selective search looks at the pixels, merges what is alike, and
# learns nothing. And it takes its time. The network of this lesson finds its objects without it:

# %%
# NBVAL_IGNORE_OUTPUT
import torch
import torch.nn.functional as F

import segwidgets
from course.cost import operations, seconds
from course.data.photos import cat
from course.data.shapes import CLASSES, Shapes, collate
from course.figures import show_curves, show_objects, show_pictures
from course.models.selective_search import selective_search
from course.recipes import faster_rcnn
from course.weights import load_weights

model = faster_rcnn.build("shapes")
model.load_state_dict(load_weights("faster_rcnn"))
model.eval()

unseen = list(Shapes("test", count=100, target="instances"))
picture, target = unseen[80]  # [3, 128, 128]
with torch.no_grad():
    print(f"selective search, boxes only:        {1000 * seconds(selective_search, picture):4.0f} ms")
    print(f"Faster R-CNN, boxes and all the rest: {1000 * seconds(model, [picture]):3.0f} ms")

# %% [markdown]
# Where does it look, then? The detector has already computed a map of features for the whole picture. It reads from it what an object *is*. Then the map also knows *that* there is one. So put a second, very small network on the
# same map, and let it slide: at each place it says whether there is an object, and where exactly its edges are. That is lesson 05's sliding window again, with lesson 04's box. But the window slides over features that are there anyway, so
# it costs nearly nothing.
#
# ```
#                        ┌─▶ region proposal network ─▶ proposals ─┐
# picture ─▶ one network ┤                                         ▼
#            (features)  └───────────────────────────────▶ pool each region ─▶ class, box ─▶ suppress
#                                                          (lesson 08)
# ```
#
# The small network is the **region proposal network**, RPN, and the whole is **Faster R-CNN**, of 2015. Here is what the RPN says of one picture, on maps of three resolutions: yellow is *here is something*. And the ten boxes of which it is most sure:

# %%
seen = model.trace(picture)  # everything on the way to the answer
scores = {f"stride {stride}": level.sigmoid().amax(0) for stride, level in zip((8, 16, 32), seen["objectness"])}  # [16, 16], [8, 8], [4, 4]
show_pictures({"picture": picture} | scores)

# %%
truth = {"boxes": target["boxes"], "labels": target["labels"]}
sure = {name: values[seen["detections"]["scores"] > 0.5] for name, values in seen["detections"].items()}
titles = ("ten best proposals", "what becomes of them")
show_objects([(picture, truth)] * 2, CLASSES, found=[{"boxes": seen["proposals"][:10]}, sure], titles=titles)

# %% [markdown]
# This network was trained on the course's own pictures of shapes, for a few minutes, and it comes with the course. Now we take it apart.

# %% [markdown]
# ## Anchors
#
# At each place the network has to say *where exactly*. Why not simply ask for four numbers? For two reasons. **Two objects can have their middle at the same place**, a person in front of a car; one box cannot be both. And **small moves are easy to
# learn, large ones are not**: lesson 07 could move boxes that were nearly right already. So give each place a few boxes to begin with, small and large, flat and upright: the **anchors**. For each of them the
# network says two things: is there an object that fits *you*, and how do *you* have to move?
#
# ### See it
#
# The paper has nine anchors at each place: three sizes times three shapes. Here they are on the cat, with four true boxes. (Half as large as in the paper, which enlarges its pictures to 600 pixels on the shorter side.) Click
# another place. First guess: where do you have to click to find an anchor that fits an eye, and one that fits the whole cat? (The widget gives each anchor a verdict already: positive, ignored or negative. Its rules come further down. For now look at the overlaps only.)

# %%
drawn = torch.tensor([(0.0, 0, 385, 300), (135, 83, 202, 145), (295, 85, 343, 157), (228, 225, 290, 265)])
segwidgets.anchors(cat(), drawn, stride=16, sizes=(64, 128, 256), aspect_ratios=(0.5, 1, 2), names=("cat", "eye", "eye", "nose"))

# %% [markdown]
# No training has happened: anchors are the same for all pictures. The size of an anchor is the side of the square of the same area. So a flat one, twice as wide as high, is $\sqrt 2$ times as wide as the square and $\sqrt 2$ times less high.
#
# ### Build it
#
# The shapes are laid around (0, 0), rounded to whole pixels, and copied to each place. Place $(i, j)$ of a map is the point $x = j \cdot \text{stride}$, $y = i \cdot \text{stride}$ of the picture. Our network has smaller pictures and one size for each map.


# %%
def anchors_of(map_size, stride, size, ratios=(0.5, 1.0, 2.0)):
    tall = torch.tensor(ratios).sqrt()
    shapes = (torch.stack((-size / tall, -size * tall, size / tall, size * tall), 1) / 2).round()  # [A, 4]
    y, x = torch.meshgrid(torch.arange(map_size[0]) * stride, torch.arange(map_size[1]) * stride, indexing="ij")  # [H, W] each
    corners = torch.stack((x, y, x, y), -1)  # [H, W, 4]
    return (corners[:, :, None] + shapes).flatten(0, 2)  # [H · W · A, 4]


maps = {8: ((16, 16), 24), 16: ((8, 8), 40), 32: ((4, 4), 64)}  # stride: (size of the map, size of its anchors)
anchors = torch.cat([anchors_of(map_size, stride, size) for stride, (map_size, size) in maps.items()])  # [N, 4]
for stride, (map_size, size) in maps.items():
    print(f"stride {stride:2}: {map_size[0]:2} × {map_size[1]:2} places × 3 anchors of size {size} = {3 * map_size[0] * map_size[1]}")
print(f"{len(anchors)} anchors")

# %% [markdown]
# ### Check it
#
# Against torchvision's generator, and against those that the network works with:

# %%
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList

generator = AnchorGenerator(sizes=((24,), (40,), (64,)), aspect_ratios=((0.5, 1.0, 2.0),) * 3)
(theirs,) = generator(ImageList(picture[None], [(128, 128)]), [torch.zeros(1, 1, *map_size) for map_size, _ in maps.values()])
torch.testing.assert_close(anchors, theirs)
torch.testing.assert_close(anchors, seen["anchors"])
print("The same anchors, in the same order.")

# %% [markdown]
# ## Objectness and deltas
#
# A 3 × 3 convolution looks around each place. Then two 1 × 1 convolutions answer for its $A$ anchors: one gives $A$ numbers, the **objectness** of each, a logit; the other $4A$, the **deltas** of each, the four numbers of lesson 07. A 1 × 1 convolution
# is a linear layer that every place shares. (The paper has two scores for each anchor and a softmax; one logit says the same.) The RPN does not ask for classes: a car and a star are both *something*.
#
# ### Build it


# %%
def rpn_head(level, three, objectness, deltas):
    hidden = F.relu(F.conv2d(level, three.weight, three.bias, padding=1))  # [C, H, W]
    return F.conv2d(hidden, objectness.weight, objectness.bias), F.conv2d(hidden, deltas.weight, deltas.bias)  # [A, H, W], [4A, H, W]


def in_order(level, numbers):
    """[A · numbers, H, W] → [H · W · A, numbers]: place by place, and at each place anchor by anchor, as the anchors stand."""
    return level.unflatten(0, (-1, numbers)).permute(2, 3, 0, 1).flatten(0, 2)


# %% [markdown]
# ### Check it
#
# With the weights of our network, on its map of stride 16. And then, what it says of the anchor that it likes best on the coarsest map:

# %%
from course.ops.boxes import box_iou, decode_boxes

head = model.rpn.head
with torch.no_grad():
    objectness, deltas = rpn_head(seen["levels"][16], head.convolutions[0][0], head.objectness, head.deltas)
torch.testing.assert_close(objectness, seen["objectness"][1])
torch.testing.assert_close(deltas, seen["deltas"][1])
print(f"objectness {list(objectness.shape)}, deltas {list(deltas.shape)}: the same as the network's")

# %%
# NBVAL_IGNORE_OUTPUT
here = anchors_of((4, 4), 32, 64)  # [48, 4]
chances = in_order(seen["objectness"][2], 1)[:, 0].sigmoid()  # [48]
best = chances.argmax()
move = in_order(seen["deltas"][2], 4)[best]  # [4]
moved = decode_boxes(move[None], here[best][None])[0]
print(f"anchor {here[best].tolist()}, probability {chances[best]:.2f}")
print(f"deltas {[round(each, 2) for each in move.tolist()]}, moved {[round(each) for each in moved.tolist()]}")
print(f"IoU with its object {box_iou(target['boxes'], here[best][None]).max():.2f} → {box_iou(target['boxes'], moved[None]).max():.2f}")

# %% [markdown]
# **Think.** The objectness of one anchor and its deltas are read from the same 64 hidden numbers at one place. On the map of stride 16 the 3 × 3 convolution sees three cells, 48 pixels; the anchors there are up to 56 pixels wide, and objects still wider. How can it know where they end?
#
# <details><summary>Answer</summary>
#
# The three cells are features, and each of them has seen far more than its own 16 pixels: its receptive field (lesson 01) is larger than the whole picture. What lies outside the three cells has already been carried into them.
#
# </details>

# %% [markdown]
# ## Large and small: a pyramid
#
# The paper has one map, with anchors of all sizes on it. That is hard on small objects: with stride 16 a bird of 20 pixels is one cell. A finer map comes from an earlier layer, and early layers know edges, not objects. A **feature pyramid**
# (2016) has both. It takes the coarse map, which knows, enlarges it, and adds it to the fine one, which sees; lesson 02 did that with scores, and here it is features. All maps get the same number of channels, so that *one* RPN can slide over all of them. Then
# each map has anchors of one size only: small ones on the fine map, large ones on the coarse.
#
# ### Build it
#
# One step of the way: a 1 × 1 convolution brings both to 64 channels, the coarse one is enlarged by copying (lesson 03's nearest neighbour), and a 3 × 3 convolution smooths the sum. The coarsest level is every second cell of the one below it.

# %%
lateral, output = model.backbone.lateral, model.backbone.output
with torch.no_grad():
    given = model.backbone.backbone.features(picture[None])  # {8: [1, 40, 16, 16], 16: [1, 112, 8, 8], …}
    coarse = lateral["16"](given[16])  # [1, 64, 8, 8]
    fine = lateral["8"](given[8]) + F.interpolate(coarse, scale_factor=2, mode="nearest")  # [1, 64, 16, 16]
    pyramid = {8: output["8"](fine), 16: output["16"](coarse)}
    pyramid[32] = pyramid[16][..., ::2, ::2]  # [1, 64, 4, 4]

# %% [markdown]
# ### Check it

# %%
for stride, level in pyramid.items():
    torch.testing.assert_close(level[0], seen["levels"][stride])
    print(f"stride {stride:2}: {list(level.shape)}, the same as the network's")

# %% [markdown]
# ## What each anchor is told
#
# To learn, each anchor needs an answer: are you an object? In the paper
#
# - an anchor that overlaps an object with an **IoU of at least 0.7 is positive**, and learns to move to that object;
# - **below 0.3** with all objects it is **negative**, background;
# - **in between it is ignored**. It is half right: to call it an object would be as wrong as to call it none;
# - and **the best anchor of each object is positive whatever its IoU**, so that no object goes without.
#
# ### See it
#
# Five anchors of our picture: the best that each object has, and two others. Before each step say what the verdict will be. Then move the sliders: from where on is nobody positive but the rescued?

# %%
iou = box_iou(target["boxes"], anchors)  # [G, N]
order = iou.amax(0).argsort(descending=True, stable=True)
some = anchors[torch.cat((iou.argmax(1), order[[60, 120]]))]  # the best of each object, and two others
names = [CLASSES[label] for label in target["labels"]]
segwidgets.assignment(some, target["boxes"], image=(2 + picture) / 3, names=names)  # pale, so that the boxes stand out

# %% [markdown]
# (From a little above 0.87 on, the best overlap that the car has.)
#
# ### Build it


# %%
def assign(iou, high=0.7, low=0.3):
    """IoU of each object with each anchor [G, N] → for each anchor the object that it answers for, −1 background, −2 ignored."""
    best, favourite = iou.max(0)  # [N] each
    verdict = favourite.where(best >= high, torch.where(best < low, -1, -2))
    rescued = (iou == iou.amax(1, keepdim=True)).any(0)  # [N]: nobody is better for some object
    return favourite.where(rescued, verdict)


# %% [markdown]
# ### Check it
#
# Against torchvision's `Matcher` and the course's, on all pictures; and how the answers are spread:

# %%
from torchvision.models.detection._utils import Matcher

from course.ops.matching import match_boxes

matcher = Matcher(0.7, 0.3, allow_low_quality_matches=True)
counts = torch.zeros(4, dtype=torch.long)
for _, each in unseen:
    if not len(each["boxes"]):
        continue
    overlaps = box_iou(each["boxes"], anchors)
    matches = assign(overlaps)
    torch.testing.assert_close(matches, matcher(overlaps))
    torch.testing.assert_close(matches, match_boxes(overlaps, 0.7, 0.3, allow_low_quality=True))
    good = overlaps.amax(0) >= 0.7
    counts += torch.stack([good.sum(), ((matches >= 0) & ~good).sum(), (matches == -2).sum(), (matches == -1).sum()])
for name, count in zip(("positive, IoU ≥ 0.7", "positive, rescued", "ignored", "negative"), counts.tolist()):
    print(f"{name:20} {count:6}   {count / counts.sum().item():6.2%}")

# %% [markdown]
# Without the last rule most objects would have no anchor at all: three shapes at places 8 to 32 pixels apart rarely reach 0.7. And look at the last line. Nearly all anchors are background. A network that says *no* to everything is right nearly everywhere.
#
# So not all of them are asked. For each picture **256 anchors are drawn at random, at most half of them positive**; if there are fewer positives, negatives take their places. (Our recipe draws 128: its pictures are small.)


# %%
def draw(matches, count=256):
    positive, negative = (matches >= 0).nonzero()[:, 0], (matches == -1).nonzero()[:, 0]
    positive = positive[torch.randperm(len(positive))[: count // 2]]
    negative = negative[torch.randperm(len(negative))[: count - len(positive)]]
    return positive, negative


matches = assign(iou)  # of our picture
positive, negative = draw(matches, 128)
print(f"of {len(anchors)} anchors {len(positive)} positive and {len(negative)} negative are drawn; all others take no part")

# %% [markdown]
# **Think.** Anchor $a$ is the best that object 1 has, with an IoU of 0.4. It overlaps object 0 with 0.6. To which object does it learn to move?
#
# <details><summary>Answer</summary>
#
# To object 0, which it overlaps most. It is positive because of object 1, and answers for object 0. So object 1 may go without after all; torchvision and the authors' code do the same. It happens where objects stand close together and the anchors do not fit.
#
# </details>

# %% [markdown]
# ## Two losses
#
# For the $M$ anchors that were drawn, with objectness $o_i$ and deltas $d_i$, and with the answers $y_i$ (1 for positive, 0 for negative) and $t_i$ (the deltas that would bring the anchor to its object exactly):
#
# $$L_\text{rpn objectness} = \frac1M \sum_{i \,\in\, \text{drawn}} -\bigl[\, y_i \log \sigma(o_i) + (1 - y_i) \log (1 - \sigma(o_i)) \,\bigr]$$
#
# $$L_\text{rpn box} = \frac1M \sum_{i \,\in\, \text{positive}} \; \sum_{k=1}^{4} \text{smooth}_{L_1}(d_{ik} - t_{ik})$$
#
# $\sigma$ makes a probability of a logit. The first asks all that were drawn: *is it an object?* The second asks only the positives *where?*, for where there is nothing, there is no right box. Smooth $L_1$ is lesson 08's: a square near 0 and a straight line from $\beta = 1/9$ on. (The paper divides the second sum by the 2400 places of its map, and multiplies it by $\lambda = 10$: nearly 1/256.)
#
# ### Build it


# %%
def rpn_losses(objectness, deltas, targets, positive, negative, beta=1 / 9):
    count = len(positive) + len(negative)
    is_object = -F.logsigmoid(objectness[positive]).sum() - F.logsigmoid(-objectness[negative]).sum()
    off = (deltas[positive] - targets[positive]).abs()  # [P, 4]
    where = torch.where(off < beta, off**2 / (2 * beta), off - beta / 2).sum()
    return {"rpn_objectness": is_object / count, "rpn_box": where / count}


# %% [markdown]
# (The probability of *no* is $1 - \sigma(o) = \sigma(-o)$.)
#
# ### Check it
#
# On what our network says of this picture, against the course's; and against torchvision's whole region proposal network, on so few anchors that it has nothing to draw:

# %%
from torchvision.models.detection import rpn as torchvision_rpn

from course.models import rpn
from course.ops.boxes import encode_boxes

said = torch.cat([in_order(level, 1) for level in seen["objectness"]])[:, 0]  # [N]
moves = torch.cat([in_order(level, 4) for level in seen["deltas"]])  # [N, 4]
targets = encode_boxes(target["boxes"][matches.clamp(min=0)], anchors)  # [N, 4], with a meaning for positives only
losses = rpn_losses(said, moves, targets, positive, negative)
torch.testing.assert_close(losses, rpn.rpn_losses(said, moves, targets, positive, negative))

peer = torchvision_rpn.RegionProposalNetwork(generator, torchvision_rpn.RPNHead(64, 3), 0.7, 0.3, 256, 0.5, {}, {}, 0.7)
few = torch.cat((matches.ge(0).nonzero()[:, 0], matches.eq(-1).nonzero()[:100, 0]))  # all positives, a hundred negatives
labels = matches[few].ge(0).float()  # [R]
whole = peer.compute_loss(said[few][:, None], moves[few], [labels], [targets[few]])
mine = rpn_losses(said, moves, targets, few[labels == 1], few[labels == 0])
torch.testing.assert_close(tuple(mine.values()), whole)
print("The same two losses.")

# %% [markdown]
# ## From a thousand anchors to a hundred proposals
#
# ### See it
#
# Now the network is trained, and a new picture comes. Of each level the anchors with the highest objectness go on; each moves by its deltas, and is cut at the picture's edge; then comes suppression (lesson 05), for neighbours have found the same object. Before you play it:
# what will happen to the number of proposals, if the NMS threshold goes from 0.7 down to 0.3? And to the number of objects found?

# %%
# NBVAL_IGNORE_OUTPUT
segwidgets.rpn(picture, seen["objectness"], seen["deltas"], anchors, truth=target["boxes"], pre_nms=150, post_nms=10)

# %% [markdown]
# Look at the maps first. The middle map answers to all three objects. The fine one answers to the person, faintly to the car, and not to the fish; the coarse one to the fish, and hardly to the others. One size of anchor for each level gives each map its share, and shares overlap: an object between two sizes is found on both. At a threshold of 0.3 less than half of the boxes survive, 123 of 295, and not an object is lost: the best box of each stays. (The ten that are shown are filled up from further down the list.) An object goes only where its box overlaps a *better* box, of another object, by more than the threshold.
#
# Further down the list most boxes find the same three objects again; that is what suppression is there for.
#
# ### Build it
#
# Suppression takes time with the *square* of what comes in, so the first cut is made before it. And it is done level by level, so that a crowd of sure large boxes does not push out the small ones.


# %%
from course.ops.boxes import clip_boxes
from course.ops.nms import nms


def propose(objectness, deltas, anchors, levels, size, pre_nms=150, post_nms=100):
    boxes = clip_boxes(decode_boxes(deltas, anchors), size)  # [N, 4]
    kept = []
    for level in levels.unique():
        rows = (levels == level).nonzero()[:, 0]
        rows = rows[objectness[rows].topk(min(pre_nms, len(rows))).indices]
        kept.append(rows[nms(boxes[rows], objectness[rows], 0.7)])
    kept = torch.cat(kept)
    best = kept[objectness[kept].argsort(descending=True)[:post_nms]]
    return boxes[best], objectness[best].sigmoid()


# %% [markdown]
# ### Check it

# %%
proposals, probabilities = propose(said, moves, anchors, seen["anchor_levels"], (128, 128))
torch.testing.assert_close(proposals, seen["proposals"])
torch.testing.assert_close(probabilities, seen["proposal_scores"])
print(f"The same {len(proposals)} proposals.")

# %% [markdown]
# **Think.** The detector's last suppression has a threshold of 0.5, this one 0.7. Why let more through here?
#
# <details><summary>Answer</summary>
#
# Here nobody has looked at the boxes yet. Two boxes with an IoU of 0.6 may be two objects that stand close together, or one object twice, of which the worse by score may be the better by place. A proposal too many costs a little time. An object without a proposal is lost: nothing behind can bring it back.
#
# </details>

# %% [markdown]
# ## The head of lesson 08 on top: four losses
#
# What comes out is what selective search gave: boxes. So lesson 08's head goes on top as it is: pool each region, a fully connected layer, a class, and a box. (Two things differ: a region is pooled from the level that fits its size, and by RoIAlign, which does not
# round; lesson 11 is about it.) Together there are **four losses**:
#
# | loss | asks | of | kind |
# |---|---|---|---|
# | `rpn_objectness` | is there anything? | the anchors drawn | cross-entropy of two |
# | `rpn_box` | where does this anchor have to go? | positive anchors | smooth $L_1$ of four deltas |
# | `classification` | what is it, or is it background? | the regions drawn: a quarter positive, from IoU 0.5 on | cross-entropy of all classes |
# | `box` | where does this region have to go, if it is a cat? | positive regions | smooth $L_1$ of the deltas of its class |
#
# Their sum is minimised, all at once: **joint training**. So each box is moved twice: an anchor, which knows nothing, becomes a proposal, and the proposal becomes a detection.
#
# There is one subtle point. The head's losses depend on the proposals' coordinates, and these on the RPN. Do gradients flow that way? In the paper's joint training they do not: the coordinates are taken as given, as if selective search had made them. (The paper's
# first way was to train RPN and detector *in turns*, in four steps, and to freeze the shared layers in the last two. It came out about the same, and joint training takes less time.) Whom does each loss teach, then?

# %%
parts = {
    "features": [weight for weight in model.backbone.backbone.parameters() if weight.requires_grad],
    "pyramid": [*model.backbone.lateral.parameters(), *model.backbone.output.parameters()],
    "RPN's head": list(model.rpn.parameters()),
    "region head": list(model.head.parameters()),
}
torch.manual_seed(0)
losses = model.losses(*collate(unseen[:8]))
print(f"{'':16}" + "".join(f"{name:>13}" for name in parts))
for name, loss in losses.items():
    reached = [torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True) for weights in parts.values()]
    print(f"{name:16}" + "".join(f"{'yes' if any(each is not None for each in gradients) else '–':>13}" for gradients in reached))

# %% [markdown]
# **Each head learns from its own two losses, and the features that both share learn from all four.** That is what R-CNN's fifth problem asked for.
#
# ### See it
#
# Seventy steps from the ImageNet features on, four pictures at a time. Everything above is in `model.losses`; the loop is the one of lesson 02. (Deltas and scores start near 0, so the first proposals are nearly the anchors themselves.)

# %%
# NBVAL_IGNORE_OUTPUT
from course.training import fit

training = Shapes("train", count=280, target="instances")
torch.manual_seed(0)
young = faster_rcnn.build("shapes").eval()
before = [young.trace(image)["proposals"] for image, _ in unseen]
learning = [weight for weight in young.parameters() if weight.requires_grad]
optimiser = torch.optim.AdamW(learning, lr=2e-3, weight_decay=0.01)
history = fit(young, training, batch_loss=young.losses, collate=collate, epochs=1, batch_size=4, optimiser=optimiser, device="cpu")
after = [young.trace(image)["proposals"] for image, _ in unseen]
print(f"{history.count()} steps in {history.seconds:.0f} s")

# %%
# NBVAL_IGNORE_OUTPUT
segwidgets.loss_parts(history.steps, smoothing=8)

# %% [markdown]
# - **Objectness falls farthest**, by nine tenths. It starts at log 2 ≈ 0.69, as it should with two answers, and within thirty steps the network knows something from nothing. `classification` falls sooner: most regions are background, and to say so is quickly learnt.
# - **`rpn_box` looks small.** That is arithmetic: its sum is over a few positives and is divided by *all* anchors drawn. It wavers: a few positives a picture, for seventy steps, have not yet taught it where edges are.
# - **`box` rises, and that is no mistake.** The head learns from regions, and what regions there are depends on the RPN. Before the training a picture has 2.9 positive ones on average, of which 2.5 are the true boxes themselves
#   (they are put among the proposals so that there is something to learn from), and a true box does not have to move at all. A trained RPN hands over 14, and nearly all of them have to move. The loss rises because the question gets harder.
# - **Here nobody weighs the four against each other.** The sum is as it comes, and at the end two of them are nearly all of it.
#
# So look at losses by name, and not at their sum only. With four epochs over 3000 pictures, the training of the network that comes with the course, all of them fall:
#
# | epoch | `rpn_objectness` | `rpn_box` | `classification` | `box` | mAP at IoU 0.5 on 100 unseen pictures |
# |---|---|---|---|---|---|
# | 1 | 0.161 | 0.0074 | 0.399 | 0.511 | 0.75 |
# | 2 | 0.013 | 0.0051 | 0.241 | 0.430 | 0.94 |
# | 3 | 0.006 | 0.0033 | 0.149 | 0.299 | 0.95 |
# | 4 | 0.003 | 0.0022 | 0.099 | 0.216 | 0.96 |
#
# ## Measure it
#
# ### The proposals
#
# Lesson 06's question: of all objects, how many are in one of the first 10, 50, 100 boxes? And lesson 06's warning: never believe a recall without a blind rival. Here that is the anchors in random order.

# %%
# NBVAL_IGNORE_OUTPUT
shuffle = torch.Generator().manual_seed(0)
ways = {
    "anchors, shuffled": [clip_boxes(anchors[torch.randperm(len(anchors), generator=shuffle)], (128, 128)) for _ in unseen],
    "selective search": [selective_search(image) for image, _ in unseen],
    "RPN, untrained": before,
    "RPN, 70 steps": after,
    "RPN of the course": [model.trace(image)["proposals"] for image, _ in unseen],
}
budgets = (10, 50, 100)


def best_ious(proposals, budget):
    """The best IoU that each object of all pictures has with one of the first `budget` proposals."""
    some = [(each["boxes"], boxes[:budget]) for (_, each), boxes in zip(unseen, proposals) if len(each["boxes"])]
    return torch.cat([box_iou(objects, boxes).amax(1) for objects, boxes in some])


print(f"{'':18} recall at IoU 0.5   recall at IoU 0.7   mean best overlap")
print(f"{'':18}" + 3 * "".join(f"{budget:6}" for budget in budgets) + "  boxes")
for name, proposals in ways.items():
    ious = [best_ious(proposals, budget) for budget in budgets]
    values = [(each >= least).float().mean() for least in (0.5, 0.7) for each in ious] + [each.mean() for each in ious]
    print(f"{name:18}" + "".join(f"{value:6.2f}" for value in values))

# %%
show_curves(
    {name: [(best_ious(proposals, count) >= 0.7).float().mean() for count in range(1, 101)] for name, proposals in ways.items()},
    xlabel="how many boxes",
    ylabel="recall at IoU 0.7",
)

# %% [markdown]
# - **Ten boxes of the network find nearly every object; ten of selective search find half of them**, at IoU 0.5, and a hundred 95 %. Objectness is an order that means something: the first boxes are the best.
# - **After seventy steps it is half way there**: ahead of selective search with ten boxes at IoU 0.5, and behind at 0.7. It knows where things are before it knows where they end.
# - **With a hundred boxes the mean best overlap is a draw.** Selective search fails where an object looks like its background; otherwise its boxes end exactly where something in the picture ends, and those of the network where it guesses. The head will move them once more;
#   that is what the second stage is for.
# - **An untrained RPN is worse than blind.** Its scores are noise, but noise that is alike at neighbouring places, so its first boxes crowd together.
#
# Is that fair? The network has seen 3000 pictures of this kind, and selective search none of any kind. It is not, and that is the point: *it can learn.*
#
# ### The detector
#
# A hundred unseen pictures, judged as in lesson 07. Then two of them, green for the truth and orange for what was found:

# %%
# NBVAL_IGNORE_OUTPUT
from course.evaluation import detections_on
from course.metrics import mean_average_precision

for name, detector in (("70 steps", young), ("the course's", model)):
    found, there = detections_on(detector, unseen, device="cpu")
    result = mean_average_precision(found, there, [0.5, 0.75])
    print(f"{name:13} mAP@0.5 {result.AP50:.2f}   mAP@0.75 {result.AP75:.2f}")

# %%
# NBVAL_IGNORE_OUTPUT
few = [(image, {"boxes": each["boxes"], "labels": each["labels"]}) for image, each in unseen[2:4]]
sure = [{name: values[each["scores"] > 0.5] for name, values in each.items()} for each in found[2:4]]
show_objects(few, CLASSES, found=sure)

# %% [markdown]
# The seventy steps have found out where the objects are, and hardly what they are. The full training did both. (Lesson 07's R-CNN had 0.88 at best, with 300 pictures to learn from; this one has had 3000. How the detectors compare on the same pictures is measured in lesson 12.) What it misses
# here is the grey star on grey cloth, which is cut off on top of that. On 500 unseen pictures its mAP at IoU 0.5 is 0.965.
#
# ### The time
#
# One picture, stage by stage:

# %%
# NBVAL_IGNORE_OUTPUT
with torch.no_grad():
    batch = model.prepare([picture])
    levels = model.backbone(batch.images)
    predictions = model.rpn(levels, batch.size)
    ((proposals, _),) = model.rpn.propose(predictions, batch.sizes)
    stages = {
        "features and pyramid": seconds(model.backbone, batch.images),
        "RPN: objectness, deltas": seconds(model.rpn, levels, batch.size),
        "RPN: to proposals": seconds(model.rpn.propose, predictions, batch.sizes),
        "head, last suppression": seconds(model.head.detect, levels, [proposals], batch.sizes),
        "selective search instead": seconds(selective_search, picture),
    }
    work = {
        "features and pyramid": operations(model.backbone, batch.images),
        "RPN: objectness, deltas": operations(model.rpn, levels, batch.size),
        "head, last suppression": operations(model.head.detect, levels, [proposals], batch.sizes),
    }
for name, time in stages.items():
    print(f"{name:25} {1000 * time:6.1f} ms" + (f"   {work[name] / 1e6:6.1f} million multiply–adds" if name in work else ""))

# %% [markdown]
# Most of the work is the features, which a detector needs in any case. Objectness and deltas add a seventh. What remains of the RPN's time is the suppression, and all of it together is a fraction of what selective search takes. Now the *head* is next in line: it looks at a hundred regions one by one, and takes more than half as long as the features of the whole picture.
#
# ### The four, side by side
#
# R-CNN, SPP-net, Fast and Faster R-CNN on the cat, all four on the same trunk (EfficientNet-Lite0 up to stride 16), with the shorter side at 688 pixels. What is timed does not depend on what the weights have learnt. R-CNN is timed on sixteen proposals and scaled up.

# %%
# NBVAL_IGNORE_OUTPUT
from course.figures import show_bars
from course.models.detector_input import DetectorInput
from course.models.fast_rcnn import FastRCNN, RegionHead, RoIPooling, fully_connected
from course.models.rcnn import CellFeatures, WarpedFeatures
from course.models.spp import PyramidFeatures
from course.models.stages import lite0_trunk
from course.models.warping import warp

proposals, trunk = selective_search(cat()), lite0_trunk()
head = RegionHead(pool=RoIPooling(level=16, stride=16, output_size=4), layers=fully_connected(112, 4, 256), features=256, classes=21)
fast = FastRCNN(backbone=trunk, head=head, prepare=DetectorInput(normalise=False, shorter_side=688)).eval()
pyramid = PyramidFeatures(backbone=trunk, stride=16, levels=(4, 2, 1), shorter_side=688)
large = faster_rcnn.build("shapes").eval()
large.prepare = DetectorInput(normalise=False, shorter_side=688)
patch_cells = CellFeatures(backbone=trunk, stride=16, grid=4)
r_cnn = WarpedFeatures(network=patch_cells, size=224, batch_size=8)
with torch.no_grad():
    proposing = seconds(selective_search, cat(), repeats=1)
    bare = {
        "R-CNN": len(proposals) / 16 * seconds(r_cnn, cat(), proposals[:16], repeats=1),
        "SPP-net": seconds(pyramid, cat(), proposals, repeats=1),
        "Fast R-CNN": seconds(fast, [cat()], [proposals], repeats=1),
        "Faster R-CNN": seconds(large, [cat()], repeats=1),
    }
published = {"R-CNN": (47, 49), "SPP-net": (2.3, 4.3), "Fast R-CNN": (0.32, 2.3), "Faster R-CNN": (0.2, 0.2)}
bars = {
    name: {
        "published, without proposals": published[name][0],
        "published, with proposals": published[name][1],
        "here, without proposals": time,
        "here, with proposals": time + (proposing if name != "Faster R-CNN" else 0),
    }
    for name, time in bare.items()
}
show_bars(bars, xlabel="seconds a picture", logarithmic=True)

# %% [markdown]
# Published are VGG16 on a GPU of the time, with two seconds for selective search on a CPU. A step on this axis is a factor of ten: **three ideas, two and a half steps.** The last one saves no passes of the network, it even adds a little work; what it saves is the selective search. For Faster R-CNN both bars are the same length, for there is no *without*: its proposals are part of the network, **10 ms** of the 0.2 s in the paper. And it was not bought with accuracy. With 300 proposals in place of 2000 it was
# *better*: 69.9 % mAP on VOC 2007, where selective search had given 66.9 %.
#
# And the training? For each method one step on the same two pictures of 128 pixels, forward and back, and what each has to do once for every picture besides. R-CNN's 128 patches and 300 proposals are timed on a part and scaled up.

# %%
# NBVAL_IGNORE_OUTPUT
images, targets = collate([unseen[0], unseen[80]])
given = [selective_search(image)[:150] for image in images]
small = FastRCNN(backbone=trunk, head=head, prepare=DetectorInput(normalise=False, shorter_side=128)).train()
patches = torch.cat([warp(image, boxes[:8], size=64, padding=6) for image, boxes in zip(images, given)])  # [16, 3, 64, 64]
with_proposals = [each | {"proposals": boxes} for each, boxes in zip(targets, given)]


def step(losses):
    sum(losses().values()).backward()


young.train()
r_cnn = WarpedFeatures(network=patch_cells, size=64, padding=6)
once = {
    "R-CNN": 300 / 30 * seconds(r_cnn, images[0], given[0][:30], repeats=1),
    "SPP-net": seconds(lambda: [trunk(image[None]) for image in images], repeats=2),
}
steps = {
    "R-CNN": 128 / 16 * seconds(step, lambda: {"": trunk(patches)[16].square().mean()}, repeats=2),
    "Fast R-CNN": seconds(step, lambda: small.losses(images, with_proposals), repeats=3),
    "Faster R-CNN": seconds(step, lambda: young.losses(images, targets), repeats=3),
}
epochs = 4
training_time = {name: (epochs * steps.get(name, 0) + once.get(name, 0)) / 2 for name in bare}
hours = {"R-CNN": 84, "SPP-net": 25, "Fast R-CNN": 9.5}
for name, time in training_time.items():
    print(
        f"{name:13} {1000 * time:6.0f} ms a picture in {epochs} epochs"
        + (f"   (paper: {hours[name]} hours in all)" if name in hours else "")
    )

# %% [markdown]
# What is counted for SPP-net is one pass for each picture, without SVMs and regression; so it is the quickest here, and was not in the paper. Faster R-CNN's training costs what Fast R-CNN's does and a little more, and nobody has to wait for selective search before it can begin.

# %% [markdown]
# ## On the cat
#
# The network has seen cars, houses, stars and the like, drawn by a program, and nobody has told it of cats. (It has even learnt that this one is *nothing*: pieces of its left half were among the backgrounds.) What does it say of ours? The RPN was never asked for classes. So look at its proposals first, then at what the head makes of them. (The photograph is shrunk, so that
# its parts have about the size of the objects of the training.)

# %%
# NBVAL_IGNORE_OUTPUT
photo = F.interpolate(cat()[None], size=(170, 256), mode="bilinear", antialias=True)[0]
strange = model.trace(photo)
nobody = (photo, {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long)})
likely = strange["detections"]["scores"].topk(3).indices
for label, score in zip(strange["detections"]["labels"][likely].tolist(), strange["detections"]["scores"][likely].tolist()):
    print(f"{CLASSES[label]:7} {score:.2f}")
found = {name: values[likely] for name, values in strange["detections"].items()}
titles = ("ten best proposals", "the three best detections")
show_objects([nobody, nobody], CLASSES, found=[{"boxes": strange["proposals"][:10]}, found], titles=titles)

# %% [markdown]
# **The proposals know more than the classes.** Look what is among the first ten: an eye's pupil, the nose, the tip of an ear. Nobody told the network that these are things. What it has learnt is that a thing has an outline and differs from what is around it, and a cat's nose does. The head has to choose among
# six classes and background, and is sure of nothing: even its best three are no answers. *Something* carries over to pictures of another kind; *what* does not.
#
# ### With weights that know cats
#
# torchvision has Faster R-CNNs that were trained on COCO, photographs with 80 kinds of things, cats among them. The code is the same, on another backbone: `from_torchvision` copies every tensor of theirs into the modules that you have just read. First the proof. It needs no training, so
# random weights will do:

# %%
from torchvision.models.detection import FasterRCNN_MobileNet_V3_Large_320_FPN_Weights, fasterrcnn_mobilenet_v3_large_320_fpn

from course.models.faster_rcnn import from_torchvision

torch.manual_seed(0)
photograph = cat().double()
blank = fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None, box_score_thresh=0.0).double().eval()
for layer in blank.modules():  # in dozens of random layers all numbers die away, unless each is normalised by what it gets
    if isinstance(layer, torch.nn.BatchNorm2d):
        layer.train().momentum = 1.0
with torch.no_grad():
    blank([photograph])
    (expected,), (got,) = blank.eval()([photograph]), from_torchvision(blank)([photograph])
for name, values in expected.items():
    torch.testing.assert_close(got[name], values)
print(f"{len(expected['boxes'])} boxes, labels and scores: the same as torchvision's.")

# %% [markdown]
# Then the weights: 74 MB. They are not part of the course, and nothing is fetched unless you ask for it. Where there is internet, set `fetch=True`:

# %%
# NBVAL_IGNORE_OUTPUT
from course.coco_model import coco_model

coco = FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1
known = coco_model(fasterrcnn_mobilenet_v3_large_320_fpn, coco, fetch=False)
if known:
    with torch.no_grad():
        found = from_torchvision(known)([cat()])
nobody = (cat(), {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long)})
show_objects([nobody], coco.meta["categories"], found=found) if known else None

# %% [markdown]
# ## On blood cells
#
# A real task, and one where counting matters: red cells, white cells and platelets under the microscope (BCCD, 205 pictures to train on, 87 to validate). In the originals of 640 × 480 pixels a red cell is about 100 wide, a platelet 40, a white cell 200; the network sees them at half that size. Red cells touch and overlap. The same file trains on them, with MobileNetV2's features, in six minutes on one core:
# `segcourse train faster_rcnn --data bccd`. What came out ships with the course; the pictures do not. It counts the cells of the 87 validation pictures; a detection counts from a score of 0.5:

# %%
# NBVAL_IGNORE_OUTPUT
from course.data import bccd
from course.data.folder import MissingData
from course.metrics import count_objects

cells = None
try:
    cells = bccd.BCCD("val", size=faster_rcnn.SIZE["bccd"])
    counter = faster_rcnn.build("bccd")
    counter.load_state_dict(load_weights("faster_rcnn_bccd"))
except MissingData as error:
    print(error)
if cells:
    found, there = detections_on(counter, cells, device="cpu")
    result = mean_average_precision(found, there, [0.5, 0.75])
    print(f"{len(cells)} pictures: mAP@0.5 {result.AP50:.2f}, mAP@0.75 {result.AP75:.2f}")
    for name, count in count_objects(found, there, bccd.CLASSES).items():
        print(f"{name:10} {count.counted:4} counted, {count.annotated:4} annotated; off by {count.mean_absolute_error:.1f} in a picture")

# %% [markdown]
# White cells are never missed, and platelets hardly. Of the red cells one in eight is missing, and the totals hide the rest: in a single picture the count is off by nearly three. So look where it fails, at the picture with most objects missed, and at the one with most found where none is annotated. Orange is what was found. Green with a name is, on the left, what was missed, and on the right everything that is annotated:

# %%
# NBVAL_IGNORE_OUTPUT


def alone(some, others):
    """Those of these objects that have no partner of their class among the others, at IoU 0.5."""
    partners = (box_iou(some["boxes"], others["boxes"]) >= 0.5) & (some["labels"][:, None] == others["labels"])
    return {name: some[name][~partners.any(1)] for name in ("boxes", "labels")}


if cells:
    sure = [{name: values[each["scores"] >= 0.5] for name, values in each.items()} for each in found]
    missed = [alone(*pair) for pair in zip(there, sure)]
    made_up = [alone(*pair) for pair in zip(sure, there)]
    worst = [max(range(len(cells)), key=lambda i: len(which[i]["boxes"])) for which in (missed, made_up)]
    titles = [f"{len(missed[worst[0]]['boxes'])} missed", f"{len(made_up[worst[1]]['boxes'])} found that nobody annotated"]
    annotated = {name: there[worst[1]][name] for name in ("boxes", "labels")}
    both = [(cells[worst[0]][0], missed[worst[0]]), (cells[worst[1]][0], annotated)]
show_objects(both, bccd.CLASSES, found=[{"boxes": sure[i]["boxes"]} for i in worst], titles=titles) if cells else None

# %% [markdown]
# - **On the left it fails.** Where red cells lie in a heap, or are cut off at the edge, outlines are half hidden, and such boxes score low. In a few places two cells overlap so much that suppression takes them for one.
# - **On the right the annotation fails.** Those are red cells, and nobody has drawn their boxes. In most pictures a few are without, and in some all are. Each one that the detector finds counts as an error, so the score has a ceiling below 1, and a count above the annotation's may be the better count.
#
# Before you trust a score, look at the pictures it was measured on.
#
# ## What is still wrong
#
# - **It looks twice.** First everything is scored as *something or nothing*, then a hundred regions are cut out, and each is looked at again. The second look costs time for each region, and a video has 25 pictures a second.
# - **The two stages ask the same question.** The RPN says at each place whether there is an object and where. It has the features and it has the box. Why does it not say *what* it is, at once, and be done?
# - **Some numbers are still ours**: the sizes and shapes of the anchors, 0.7 and 0.3, the thresholds of two suppressions. What no anchor fits is hard to find.
#
# The second point is a whole lesson: **YOLO and SSD** leave the proposals out. Lesson 10.

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
# | 08 | Fast R-CNN, one pass, one loss | the same, and all of it learns together | 4.3 billion | 0.3 s | find its proposals itself: they take as long as all the rest |
# | **09** | **Faster R-CNN, the network proposes** | **the same, and its own proposals** | **4.8 billion** | **0.4 s (one core)** | **say at once what is there: it looks twice** |

# %% [markdown]
# ## Quiz
#
# **1.** A picture of 800 × 608 pixels, one map of stride 16, nine anchors at each place. How many anchors are there, and how many channels have the two outputs of the RPN?
#
# <details><summary>Answer</summary>
#
# 50 · 38 · 9 = 17,100 anchors. Objectness has 9 channels and the deltas have 36.
#
# </details>
#
# **2.** An anchor overlaps a star with an IoU of 0.5, and nothing else. What is it told?
#
# <details><summary>Answer</summary>
#
# Nothing: between 0.3 and 0.7 it is ignored. Unless no anchor overlaps the star more. Then it is positive.
#
# </details>
#
# **3.** In a picture 5 anchors are positive, 40 are ignored, and 2000 are negative. How many of each are among the 256 that are drawn? By how much is the sum of `rpn_box` divided?
#
# <details><summary>Answer</summary>
#
# 5 positive, none of the ignored, 251 negative. By 256.
#
# </details>
#
# **4.** The square anchor of size 64 at row 3, column 5 of the map of stride 16 has the deltas (0.25, 0, 0, 0). Which box does it become?
#
# <details><summary>Answer</summary>
#
# Its centre is (80, 48), its corners are (48, 16, 112, 80). It moves by a quarter of its width to the right: (64, 16, 128, 80).
#
# </details>
#
# **5.** The class loss of the head is very high for a proposal that lies badly. Which weights of the RPN change because of it?
#
# <details><summary>Answer</summary>
#
# None of its own: no gradient flows through the coordinates. Only the features change, which the RPN reads, too. That the box lies badly, `rpn_box` has to tell it.
#
# </details>

# %% [markdown]
# ## Exercises
#
# Open [the exercise notebook](09_faster_rcnn_exercises.ipynb) beside this one. You will write `base_anchors` and `place_anchors` for any map, `match_boxes`, `rpn_losses` and `filter_proposals`, and then build and train a network that proposes
# its own regions; it is graded by how well its first ten boxes fit, on pictures that nobody has seen. Last comes a question in words about twenty thousand anchors. `check(your_function)` answers at once and shows the first case that differs.
#
# To *watch* your assignment, hand it to the widget. Here is one with a mistake: it forgets the rescue.


# %%
def nobody_rescued(iou, high, low, allow_low_quality=False):
    best, favourite = iou.max(0)
    return favourite.where(best >= high, torch.where(best < low, -1, -2))


segwidgets.assignment(some[:4], target["boxes"], names=names, fn=nobody_rescued)

# %% [markdown]
# ## References
#
# - S. Ren, K. He, R. Girshick, J. Sun, *Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks*, 2015, [arXiv:1506.01497](https://arxiv.org/abs/1506.01497): section 3.1 (anchors, assignment, losses), 3.2 (sharing features), 3.3 (proposals); the times and the scores.
# - T.-Y. Lin, P. Dollár, R. Girshick, K. He, B. Hariharan, S. Belongie, *Feature Pyramid Networks for Object Detection*, 2016, [arXiv:1612.03144](https://arxiv.org/abs/1612.03144): sections 3 and 4.
# - R. Girshick, *Fast R-CNN*, 2015, [arXiv:1504.08083](https://arxiv.org/abs/1504.08083): the head.
# - J. Hosang, R. Benenson, P. Dollár, B. Schiele, *What Makes for Effective Detection Proposals?*, 2015, [arXiv:1502.05082](https://arxiv.org/abs/1502.05082): recall, and how it goes with the detector on top.
# - The Blood Cell Count and Detection data set, [github.com/Shenggan/BCCD_Dataset](https://github.com/Shenggan/BCCD_Dataset): MIT licence.
