# %% [markdown]
# # 11 · Mask R-CNN
#
# **From the box to the outline.** About 60 minutes, and as long again for the exercises.
#
# When you are through, you can
#
# - say what a detector's box leaves open, and what one head more adds to Faster R-CNN;
# - show on a real feature map what rounding costs, and compute one bin of RoIAlign by hand;
# - cut the target of a mask out of the truth, and judge it by the one class that counts;
# - paste a mask of 28 × 28 cells into a picture, and read a joint off a heat map;
# - tell instance segmentation from semantic segmentation, on one picture and in one number.

# %% [markdown]
# ## What the box leaves open
#
# Lessons 02 and 03 gave a label to every pixel, and could not tell two fish apart that touch. Lessons 07 to 10 can tell them apart, and know no pixel. Here is a picture, what an FCN says of it, and what this lesson's network says:

# %%
# NBVAL_IGNORE_OUTPUT
import torch

import segwidgets
from course.data.photos import cat
from course.data.shapes import CLASSES, Shapes
from course.figures import show_objects, show_pictures
from course.recipes import trained

model, fcn = trained("mask_rcnn"), trained("fcn")
unseen = list(Shapes("test", count=100, target="instances"))
picture, target = unseen[17]  # [3, 128, 128]
with torch.no_grad():
    labels = fcn(picture[None])["out"].argmax(1)[0]  # [128, 128]
    (found,) = model([picture])
found = {name: values[found["scores"] > 0.5] for name, values in found.items()}
show_pictures({"picture": picture, "a label for each pixel": labels}, classes=CLASSES)

# %%
# NBVAL_IGNORE_OUTPUT
instances, names = torch.zeros(128, 128, dtype=torch.long), list(CLASSES)
for mask, label in zip(found["masks"][:, 0], found["labels"]):
    instances[mask > 0.5] = len(names)
    names.append(f"{CLASSES[label]} {len(names) - len(CLASSES)}")
show_pictures({"picture": picture, "a mask for each object": instances}, classes=names)

# %% [markdown]
# The first is **semantic** segmentation: what is each pixel? The second is **instance** segmentation: which pixels belong to each object? Two fish touch, and in the map they are one patch of *fish*. Only the second says where one ends. Its outlines are coarser, and the person has lost the legs; *One number for both kinds*, below, measures that.
#
# The recipe is short. Take Faster R-CNN as it is. Give it **one head more**, beside the one that says class and box: a small fully convolutional network that looks at a region and says, cell by cell, *does this belong to the object?* That is **Mask R-CNN**, of 2017.
#
# ```
#                                          ┌─▶ pool 7 × 7 ──▶ class, box                     (lesson 08)
# picture ─▶ features, pyramid ─▶ regions ─┼─▶ pool 14 × 14 ─▶ convolutions ─▶ 28 × 28 mask for each class
#                                          └─▶ pool 14 × 14 ─▶ convolutions ─▶ 56 × 56 heat map for each joint
# ```
#
# Two things come first. *Where do the features lie?* RoI pooling rounds, and lesson 08 left that as a debt. (Lesson 09's network used RoIAlign already.) And *which of the masks is judged?*
#
# ## Half a cell
#
# RoI pooling (lesson 08) rounds twice: the box to whole cells, and its bins to whole cells. At stride 16 the box alone is off by up to 8 pixels on the left and 24 on the right (its last cell counts whole). A class does not mind, and a box is moved by the head anyway. But a mask says of every pixel whether it is inside. If the features come from 8 pixels to the left, it cannot.
#
# **RoIAlign** does not round. The box stays where it is, with its fractions. Each bin looks at the map in a few points (2 × 2 of them), and where a point lies between four cells it takes the weighted mean of the four: **bilinear interpolation**. The mean of the points is the bin.
#
# ### See it
#
# The same box by both. First guess: in which of the nine bins do the two differ most? Press **space** and let it play to the end. Grey and dashed is what RoI pooling makes of the box. Then **drag the box** by half a cell: RoI pooling's numbers stay, or jump; RoIAlign's go along. Click a number to look into its bin.

# %%
# NBVAL_IGNORE_OUTPUT
from course.models.backbones import efficientnet_lite0

network = efficientnet_lite0()
with torch.no_grad():
    cells = network.features(cat()[None])[16][0]  # [112, 18, 28]
segwidgets.roi_align(cells, cat(), (105, 60, 232, 168), 3, 1 / 16, channel=18)

# %% [markdown]
# ### Build it: a point between four cells
#
# Count from the middle of the first cell: then the middle of the cell in row $i$, column $j$ is the point $(j, i)$. A point $(x, y)$ lies between columns $\lfloor x \rfloor$ and $\lfloor x \rfloor + 1$; the nearer one counts more.


# %%
def sample(cells, x, y):
    """The map [C, H, W] at one point between the middles of its cells. [C]"""
    _, height, width = cells.shape
    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    left, top = min(int(x), width - 2), min(int(y), height - 2)
    right_share, low_share = x - left, y - top
    upper = (1 - right_share) * cells[:, top, left] + right_share * cells[:, top, left + 1]
    lower = (1 - right_share) * cells[:, top + 1, left] + right_share * cells[:, top + 1, left + 1]
    return (1 - low_share) * upper + low_share * lower


# %% [markdown]
# And a bin: the box in cells, one part in three each way, four points in it. There is one trap, half a cell wide. In pixels, $x = 0$ is the left *edge* of the picture. In cells we count from the *middle* of the first, and so the edge is at $-\frac12$. Half a cell is taken off: a side at 232 pixels is at $232 / 16 - 0.5 = 14$.


# %%
def align(cells, box, size, stride, points=2):
    """RoIAlign of one box [x1, y1, x2, y2] in pixels: [C, size, size]."""
    x1, y1, x2, y2 = (side / stride - 0.5 for side in box)  # in cells, counted from the middle of the first
    bin_width, bin_height = (x2 - x1) / size, (y2 - y1) / size
    pooled = torch.zeros(len(cells), size, size)
    for row in range(size):
        for column in range(size):
            inside = [(k + 0.5) / points for k in range(points)]
            at = [(x1 + (column + u) * bin_width, y1 + (row + v) * bin_height) for v in inside for u in inside]
            pooled[:, row, column] = torch.stack([sample(cells, x, y) for x, y in at]).mean(0)
    return pooled


# %% [markdown]
# ### Check it

# %%
from torchvision.ops import roi_align

box = (105.0, 60.0, 232.0, 168.0)
expected = roi_align(cells[None], [torch.tensor([box])], 3, 1 / 16, sampling_ratio=2, aligned=True)[0]
torch.testing.assert_close(align(cells, box, 3, 16), expected)
print("The same nine numbers in 112 channels, as torchvision's.")

# %% [markdown]
# **Think.** RoI pooling passes its gradient back to one cell a bin. How many cells of a channel get some from one bin of RoIAlign with 2 × 2 points, and how much does each get?
#
# <details><summary>Answer</summary>
#
# Each point reads four cells, with the four weights that it reads them with; a bin has four points. So at most 16 cells, and fewer where points share cells. Each gets its weights' sum, divided by 4. Nothing has to be remembered of the way forward: the weights depend on the box alone.
#
# </details>
#
# ## A mask for each class
#
# ### The head
#
# What comes out of RoIAlign goes through a small fully convolutional network: some 3 × 3 convolutions (four in the paper, two here), a transposed convolution that doubles the sides, 14 to 28 (lesson 03), and a 1 × 1 convolution with a channel for each class. No layer flattens anything. A fully connected layer forgets what lies beside what; here each cell of the mask still stands over its piece of the object.

# %%
with torch.no_grad():
    levels = model.backbone(model.prepare([picture]).images)
    regions_read = model.mask.pool(levels, [found["boxes"]])
    masks_said = model.mask(levels, [found["boxes"]])
print("pooled  ", list(regions_read.shape))
print("masks   ", list(masks_said.shape))

# %% [markdown]
# ### What it learns from
#
# In training the head looks at regions that were *proposed*, those of them that show an object. (Background has no mask to learn.) So its target is the truth seen through the region: cut the true mask out where the region lies, and bring it to 28 × 28 cells. That, too, is RoIAlign, of a map with one channel and cells of one pixel. (Here torchvision takes nothing off, as most implementations. With cells of one pixel that is half a pixel.)

# %%
from course.ops.masks import mask_targets

regions = target["boxes"] + torch.tensor([-6.0, 4, 2, 9])  # as a proposal may lie
wanted = mask_targets(target["masks"], regions, torch.arange(len(regions)), 28)  # [G, 28, 28]
show_pictures({f"region {n}: {CLASSES[label]}": mask for n, (label, mask) in enumerate(zip(target["labels"], wanted), 1)})

# %% [markdown]
# The regions begin 4 pixels too low, so the head of the person is cut off. A mask says what lies in *its region*.
#
# ### Whose mask?
#
# There are six classes, so the head gives **six masks** for each region, and a background one that nobody reads. Each cell of each mask passes a sigmoid of its own: *does this cell belong to the object, if the object is a fish?* In training **only the mask of the true class is judged**; the others may say what they like.
#
# An FCN does it otherwise: a softmax over the classes, in which *fish* and *car* compete for each pixel. Here there is nothing to compete for. What the object is, the other head says. The masks only say where it is. In the paper the sigmoid gains 5.5 points of mask AP. One mask for all classes does nearly as well, 29.7 points in place of 30.3: what counts is that the classes do not compete.
#
# The loss is added to the four of lesson 09, and all of it is trained together. When the network answers, the mask head looks at the boxes that were *found*: they are fewer than the proposals, and fit better.
#
# ### Build it


# %%
def one_class_loss(logits, labels, targets):
    """logits [R, K, 28, 28], labels [R], targets [R, 28, 28] → the mean over regions and cells."""
    of_class = logits[torch.arange(len(labels)), labels]  # [R, 28, 28]
    inside = of_class.sigmoid()
    return -(targets * inside.log() + (1 - targets) * (1 - inside).log()).mean()


# %% [markdown]
# ### Check it

# %%
from torchvision.models.detection.roi_heads import maskrcnn_loss

with torch.no_grad():
    logits = model.mask(levels, [regions])  # [G, 7, 28, 28]
matches = [torch.arange(len(regions))]
expected = maskrcnn_loss(logits, [regions], [target["masks"].float()], [target["labels"]], matches)
torch.testing.assert_close(one_class_loss(logits, target["labels"], wanted), expected)
print("The same loss as torchvision's.")

# %% [markdown]
# ## Back into the picture
#
# ### See it
#
# A mask is 28 × 28, whatever the size of its object. To be a mask of the picture it is stretched to its box, by bilinear interpolation again, and cut at a probability. Choose another detection, and another class's channel. First guess: what does the *house* mask say of a fish?

# %%
# NBVAL_IGNORE_OUTPUT
with torch.no_grad():
    probabilities = model.mask(levels, [found["boxes"]]).sigmoid()[:, 1:]  # [D, 6, 28, 28]
segwidgets.masks(picture, found["boxes"], probabilities, found["labels"], CLASSES[1:], scores=found["scores"], truth=target)

# %% [markdown]
# Nearly what the *fish* mask says. Nobody ever told the house mask what to say of a fish, and all six share every layer but the last.
#
# ### Build it


# %%
import torch.nn.functional as F


def paste(mask, box, size):
    """A mask [M, M] in a picture of (height, width) `size`: probabilities, 0 outside the box."""
    x1, y1, x2, y2 = box
    y, x = (torch.arange(side) + 0.5 for side in size)  # the middles of the pixels
    across, down = 2 * (x - x1) / (x2 - x1) - 1, 2 * (y - y1) / (y2 - y1) - 1  # −1 … 1 in the box
    grid = torch.stack((across.expand(*size), down[:, None].expand(*size)), -1)  # [H, W, 2]
    return F.grid_sample(mask[None, None], grid[None], align_corners=False)[0, 0]


# %% [markdown]
# ### Check it
#
# The course's own, which is torchvision's, first widens the box to whole pixels, so the two differ by a fraction of a pixel at the edge. The masks are the same but for pixels there:

# %%
from course.ops.masks import paste_masks

of_class = probabilities[torch.arange(len(found["labels"])), found["labels"] - 1]  # [D, 28, 28]
mine = torch.stack([paste(mask, box, (128, 128)) for mask, box in zip(of_class, found["boxes"].tolist())]) > 0.5
theirs = paste_masks(of_class, found["boxes"], (128, 128)) > 0.5
shares = (mine & theirs).sum((1, 2)) / (mine | theirs).sum((1, 2))
assert (shares > 0.9).all()
print("Masks that share more than nine pixels in ten with the course's:", len(shares))

# %% [markdown]
# ## The same for joints
#
# A joint is a mask of which exactly **one** cell is on. So give the network a head that makes a map of 56 × 56 for each joint, put a softmax over all its 3136 cells, and ask for the right one: cross-entropy, as if the cells were classes. In lesson 04 a joint was two numbers of a regression; here the network says *where on the map*, and may be undecided between two places.
#
# ### See it
#
# The person's thirteen maps, from logits to pixels; at the end green is the truth. First guess which joint the network is least sure of. Then play it, and choose others.

# %%
# NBVAL_IGNORE_OUTPUT
from course.data.shapes import KEYPOINTS, SKELETON

person = CLASSES.index("person")
box = found["boxes"][found["labels"] == person][:1]  # [1, 4]
with torch.no_grad():
    maps = model.keypoint(levels, [box])[0]  # [J, 56, 56]
truth = target["keypoints"][target["labels"] == person][0]  # [J, 3]
segwidgets.keypoint_heat_maps(picture, box, maps, KEYPOINTS, skeleton=SKELETON, truth=truth)

# %% [markdown]
# The left ankle: a fish covers it, and its map has no peak. A sure joint has a probability of 0.09 at most, for its neighbours, each hardly a pixel away, share the rest.
#
# ### Build it


# %%
def joint_of(heat, box):
    """Where the map [S, S] of a box is largest, in pixels of the picture."""
    x1, y1, x2, y2 = box
    size = len(heat)
    row, column = divmod(int(heat.argmax()), size)
    return x1 + (column + 0.5) / size * (x2 - x1), y1 + (row + 0.5) / size * (y2 - y1)


# %% [markdown]
# ### Check it

# %%
from course.ops.keypoints import decode_keypoints

joints, _ = decode_keypoints(maps[None], box)  # enlarges each map to the box first, for fractions of a cell
for heat, expected in zip(maps, joints[0]):
    x, y = joint_of(heat, box[0].tolist())
    assert abs(x - expected[0]) < 1.5 and abs(y - expected[1]) < 1.5
print(f"{len(KEYPOINTS)} joints, the same as the course's within a pixel or so.")

# %% [markdown]
# ## Measure it
#
# Masks are judged as boxes are (lesson 07): a detection is right if it overlaps an object of its class, and no better one has found it. Only the overlap is counted in **pixels of the mask**, not in area of the box. Three numbers are usual: mAP at an IoU of 0.5; at 0.75, which asks for exact outlines; and plain *mAP*, COCO's, the mean over the thresholds 0.5, 0.55, … 0.95. (The paper's *mask AP* is that, in hundredths.) A hundred pictures that the network has never seen:

# %%
# NBVAL_IGNORE_OUTPUT
from course.evaluation import detections_on
from course.metrics import mean_average_precision
from course.recipes.mask_rcnn import with_cut_masks

answers, there = detections_on(model, unseen, device="cpu")
of_instances = with_cut_masks(answers)
for kind, those in (("boxes", answers), ("masks", of_instances)):
    result = mean_average_precision(those, there, kind=kind)
    print(f"{kind}: mAP@0.5 {result.AP50:.2f}, mAP@0.75 {result.AP75:.2f}, mAP {result.mAP:.2f}")

# %% [markdown]
# ### What rounding costs
#
# The same network, with the same weights. But before its mask head reads a region, all four sides are rounded to multiples of 8 pixels. That is the gentlest part of what RoI pooling does: large regions are read at stride 16, and its bins are rounded, too.


# %%
# NBVAL_IGNORE_OUTPUT
def rounded(pool, given):
    levels, boxes = given
    return levels, [8 * (each / 8).round() for each in boxes]


with model.mask.pool.register_forward_pre_hook(rounded):
    shifted, _ = detections_on(model, unseen, device="cpu")
result = mean_average_precision(with_cut_masks(shifted), there, kind="masks")
print(f"masks, rounded: mAP@0.5 {result.AP50:.2f}, mAP@0.75 {result.AP75:.2f}, mAP {result.mAP:.2f}")

# %% [markdown]
# Four pixels at most, on each side, and at IoU 0.75 half of what was right is lost. It may be said that the head never learnt with it. So here is a fairer comparison, measured beforehand (`segcourse bench mask_pooling` in a clone of the course, three quarters of an hour): three networks, from the same first weights, trained on the same 3000 pictures in the same order, four epochs, and judged on 200 others.
#
# | what all heads read | box mAP | mask mAP at 0.5 | mask mAP | mask mAP after only 1000 pictures |
# |---|---|---|---|---|
# | RoI pooling | 0.53 | 0.79 | 0.30 | 0.18 |
# | RoIAlign, half a cell forgotten | 0.66 | 0.92 | 0.47 | 0.31 |
# | RoIAlign | 0.67 | 0.92 | 0.47 | 0.36 |
#
# - **Rounding cannot be learnt away.** It is another shift for every region. The paper measures the same: with a map of stride 16 mask AP rises from 26.9 to 30.3, with stride 32 from 23.6 to 30.9. Our objects are small for their strides, so we lose more.
# - **Boxes gain, too.**
# - **The half cell can be learnt away.** The middle row is RoIAlign without the $-\frac12$ of `align`, as most implementations had it for years; torchvision keeps it as `aligned=False`, for the sake of old weights. It is the *same* shift for every region, so the layers behind it can allow for it. It only takes longer: with a third of the pictures it still costs.
#
# ### One number for both kinds
#
# An FCN's map can be made into instances: call each connected patch of a class one object. And instances can be made into a map: paint them, the surest last. Then each can be judged by the other's number.


# %%
# NBVAL_IGNORE_OUTPUT
from skimage.measure import label as numbered

from course.metrics import mean_iou


def patches(labels):
    """Of a map [H, W]: each connected patch of a class as a detection; the larger, the surer."""
    pieces = torch.from_numpy(numbered(labels.numpy(), background=0, connectivity=1))
    masks = pieces == torch.arange(1, int(pieces.max()) + 1)[:, None, None]  # [D, H, W]
    kinds = (masks * labels).amax((1, 2))
    return {"masks": masks, "labels": kinds, "scores": masks.sum((1, 2)) / labels.numel()}


def painted(detections):
    """The reverse: detections in one map, the surest on top."""
    labels = torch.zeros(128, 128, dtype=torch.long)
    for n in detections["scores"].argsort():
        if detections["scores"][n] > 0.5:
            labels[detections["masks"][n]] = detections["labels"][n]
    return labels


with torch.no_grad():
    maps = [fcn(image[None])["out"].argmax(1)[0] for image, _ in unseen]
truth = torch.stack([labels for _, labels in Shapes("test", count=100)])  # [100, 128, 128]
both = {
    "FCN": (maps, [patches(each) for each in maps]),
    "Mask R-CNN": ([painted(each) for each in of_instances], of_instances),
}
for name, (semantic, instances) in both.items():
    iou = mean_iou(torch.stack(semantic), truth, len(CLASSES))
    precision = mean_average_precision(instances, there, 0.5, kind="masks").mAP
    print(f"{name:10}   mean IoU of the map {iou:.2f}   mAP@0.5 of the masks {precision:.2f}")

# %% [markdown]
# **Each is better at its own question.** The FCN's outlines are finer: it reads a map of stride 4, Mask R-CNN maps of stride 8 and 16. (The 28 × 28 cells are not what limits it here: true masks brought to 28 × 28 and pasted back still have an IoU of 0.92. For an object of 500 pixels they would be.) But of two objects of a class that touch, or of one that is cut in two by something in front of it, the FCN cannot say how many they are. Later work gives every pixel both, a class and a number: **panoptic** segmentation.
#
# ## Inside a running detector
#
# All stages at once, of one forward pass: features, objectness, proposals, the region that became a detection, its classes, its mask. Choose a detection, and go back the way that it came. First guess: on the map of which stride, 8, 16 or 32, lies the anchor of the fish at the right, the surest detection? And from which one is its region read?

# %%
# NBVAL_IGNORE_OUTPUT
segwidgets.xray(model, picture, classes=CLASSES, joints=KEYPOINTS)

# %% [markdown]
# The anchor is one of stride 16; the region is read at stride 8. They need not be the same: an anchor has to have *seen* an object of its size, and a region is cut into 7 × 7 bins, which takes a map that is fine enough.
#
# ## With weights that know cats
#
# torchvision has Mask R-CNN and Keypoint R-CNN, trained on COCO. `from_torchvision` copies either into this lesson's code. First the proof, with random weights:

# %%
from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights, maskrcnn_resnet50_fpn

from course.models.mask_rcnn import from_torchvision

torch.manual_seed(0)
photograph = cat().double()
options = {"box_score_thresh": 0.0, "box_detections_per_img": 10, "min_size": 200}
blank = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, **options).double().eval()
with torch.no_grad():
    (expected,), (got,) = blank([photograph]), from_torchvision(blank)([photograph])
for name, values in expected.items():
    torch.testing.assert_close(got[name], values)
print(f"{len(expected['boxes'])} boxes with their masks, {list(expected['masks'].shape)}: the same as torchvision's.")

# %% [markdown]
# The weights are 170 MB, and nothing is fetched unless you ask for it. Where there is internet, set `fetch=True`:

# %%
# NBVAL_IGNORE_OUTPUT
from course.coco_model import coco_model

coco = MaskRCNN_ResNet50_FPN_Weights.COCO_V1
known = coco_model(maskrcnn_resnet50_fpn, coco, fetch=False)
if known:
    with torch.no_grad():
        (answer,) = from_torchvision(known)([cat()])
    sure = answer["scores"] > 0.5
    seen = {"boxes": answer["boxes"][sure], "labels": answer["labels"][sure], "masks": answer["masks"][sure, 0] > 0.5}
show_objects([(cat(), seen)], coco.meta["categories"]) if known else None

# %% [markdown]
# ## What it costs
#
# Masks and joints are made for the detections that are left, not for a hundred proposals:

# %%
# NBVAL_IGNORE_OUTPUT
from course.cost import operations, seconds

one = found["boxes"][:1]
parts = {
    "Faster R-CNN": (trained("faster_rcnn"), [picture]),
    "Mask R-CNN": (model, [picture]),
    "the mask of one": (model.mask, levels, [one]),
    "the joints of one": (model.keypoint, levels, [one]),
}
with torch.no_grad():
    for name, run in parts.items():
        print(f"{name:17} {1000 * seconds(*run):4.0f} ms, {operations(*run) / 1e6:4.0f} million multiply–adds")

# %% [markdown]
# Every detection from a score of 0.05 on gets both: here fifteen, of which four are drawn, and $15 \cdot 42 + 135$ is nearly all of it. In the paper the trunk is larger, and the masks add a fifth to Faster R-CNN's time: 195 ms a picture, with ResNet-101 on a GPU of 2017, and 15 ms more to paste. Ours has two heads where the trunk is tiny. Where time counts, raise the score.
#
# ## What is still missing
#
# **Nothing, of what the course set out for.** From a picture to every object in it, with class, box, outline and joints. What remains is to see all of it at once: every idea of the course on one photograph, against the clock. Lesson 12.

# %% [markdown]
# The running table of the course, one row an idea. As in lesson 09, the last rows are measured on the cat with a shorter side of 688 pixels, where this network, which knows no cats, finds nothing to outline:
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
# | 09 | Faster R-CNN, the network proposes | the same, and its own proposals | 4.8 billion | 0.4 s (one core) | say at once what is there: it looks twice |
# | 10 | YOLO and SSD, one look | the same, for little more than the trunk | 1.0 billion (448 × 448) | 0.08 s (one core) | say which pixels of the box belong to the object |
# | **11** | **Mask R-CNN, one head more** | **class, box, outline and joints of every object** | **4.8 billion, and 0.04 for each object** | **0.5 s (one core)** | **draw a large object finer than 28 × 28 cells** |

# %% [markdown]
# ## Quiz
#
# **1.** A region (100, 60, 324, 284) on a map of stride 16, 7 × 7 bins. Where does RoIAlign begin and end, in cells counted from the middle of the first, and how wide is a bin? Which columns does RoI pooling read?
#
# <details><summary>Answer</summary>
#
# From $100 / 16 - 0.5 = 5.75$ to $19.75$ across, and from $3.25$ to $17.25$ down; a bin is 2 cells wide. RoI pooling rounds 6.25 and 20.25 to 6 and 20: columns 6 to 20, fifteen of them.
#
# </details>
#
# **2.** The four cells around a point have the values 6 and 2 above, 0 and 8 below. The point lies a quarter of the way to the right and three quarters of the way down. What is read?
#
# <details><summary>Answer</summary>
#
# Above $0.75 \cdot 6 + 0.25 \cdot 2 = 5$, below $0.75 \cdot 0 + 0.25 \cdot 8 = 2$; so $0.25 \cdot 5 + 0.75 \cdot 2 = 2.75$.
#
# </details>
#
# **3.** The head says 80 masks of 28 × 28 for each of 100 detections. How many of these numbers are used when it answers? And in the loss, for each region?
#
# <details><summary>Answer</summary>
#
# $100 \cdot 784$: of each detection the mask of its class, one in eighty. In the loss $784$ a region, those of the true class; and none of a region that is background.
#
# </details>
#
# **4.** A proposal lies 6 pixels left of its fish. Where does the fish lie in the mask's target? And if the head says exactly that, where in the picture?
#
# <details><summary>Answer</summary>
#
# 6 pixels right of where it would lie in the true box, and cut off at the right edge of the proposal if it reaches beyond it. Pasted into the *same* box it lies where it is. A mask is asked about its own region, right or wrong.
#
# </details>
#
# **5.** A heat map has 56 × 56 cells, and a person's box is 28 pixels wide and 112 high. How far can the largest cell's middle be from the true joint, if the map is right? What does it say of a joint that is hidden?
#
# <details><summary>Answer</summary>
#
# Half a cell: a quarter of a pixel across, one pixel down. Of a hidden joint it says a place all the same: a softmax always sums up to 1. Only the logit of the largest cell, its score, may be low.
#
# </details>

# %% [markdown]
# ## Exercises
#
# Open [the exercise notebook](11_mask_rcnn_exercises.ipynb) beside this one. You will write `sample_bilinear`, `roi_align` for all bins of a box, `mask_targets`, `mask_loss`, `paste_masks` and `decode_keypoints`, and then build and train a network that outlines every object; it is graded by its mask mAP
# on pictures that nobody has seen. Last comes a question in words about twelve pixels. (`sample_bilinear` counts cells from the map's corner, so the middle of the first is at 0.5; `roi_align` counts from that middle, as this lesson does.) `check(your_function)` answers at once and shows the first case that differs.
#
# To *see* what your RoIAlign reads, hand it to the widget. Here is one with a mistake: it forgets the half cell.


# %%
def half_a_cell_forgotten(features, boxes, output_size, spatial_scale, sampling_ratio, aligned):
    return roi_align(features, boxes, output_size, spatial_scale, sampling_ratio, aligned=False)


segwidgets.roi_align(cells, cat(), (105, 60, 232, 168), 3, 1 / 16, channel=18, fn=half_a_cell_forgotten)

# %% [markdown]
# ## References
#
# - K. He, G. Gkioxari, P. Dollár, R. Girshick, *Mask R-CNN*, 2017, [arXiv:1703.06870](https://arxiv.org/abs/1703.06870): section 3 the head and RoIAlign, table 2 what each choice is worth, section 5 joints.
# - S. Ren, K. He, R. Girshick, J. Sun, *Faster R-CNN*, 2015, [arXiv:1506.01497](https://arxiv.org/abs/1506.01497).
# - J. Long, E. Shelhamer, T. Darrell, *Fully Convolutional Networks for Semantic Segmentation*, 2015, [arXiv:1411.4038](https://arxiv.org/abs/1411.4038): what the mask head is a small one of.
# - T.-Y. Lin et al., *Microsoft COCO: Common Objects in Context*, 2014, [arXiv:1405.0312](https://arxiv.org/abs/1405.0312): how masks are judged.
