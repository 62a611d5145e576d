# %% [markdown]
# # 10 · YOLO and SSD
#
# **Look once, and say everything.** About 60 minutes, and as long again for the exercises.
#
# When you are through, you can
#
# - read the 16 numbers of one cell aloud, and put an object into the cell that answers for it;
# - name the five terms of YOLO's loss, and say what goes wrong when one of them is missing;
# - turn a grid of numbers into boxes, and boxes into detections;
# - lay SSD's default boxes over maps of several sizes, match them, and choose the negatives that are worth learning from;
# - say what was gained by leaving the proposals out, what was lost, and where.

# %% [markdown]
# ## The second look
#
# Faster R-CNN looks twice. The first look asks everywhere: *is there something?* The second asks a hundred times: *and what is it?* But the first look already has the features and the box. So let it give the class, too, and be done:
#
# ```
# Faster R-CNN   picture ─▶ features ─▶ something, box ─▶ 100 regions, one by one ─▶ class, box ─▶ suppress
#
# YOLO, SSD      picture ─▶ features ─▶ class, box, everywhere at once ─▶ suppress
# ```
#
# What has to be said is then one tensor of fixed size, and the detector says something of every place, like the networks of lesson 02. (The first YOLO ends in fully connected layers, which say it all at once.) Two papers did it in 2015: **YOLO** (*you only look once*) and **SSD** (*single shot detector*). Here are all three on one picture, with the same trunk:

# %%
# NBVAL_IGNORE_OUTPUT
import torch

import segwidgets
from course.cost import operations, seconds
from course.data.photos import cat
from course.data.shapes import CLASSES, Shapes
from course.figures import show_objects
from course.recipes import ssd, trained, yolo

detectors = {"Faster R-CNN": trained("faster_rcnn"), "YOLO": trained("yolo"), "SSD": trained("ssd")}

unseen = list(Shapes("test", count=200, target="instances"))
picture, target = unseen[80]  # [3, 128, 128]
found = []
for name, model in detectors.items():
    with torch.no_grad():
        (each,) = model([picture])
        print(f"{name:13} {1000 * seconds(model, [picture]):4.0f} ms, {operations(model, [picture]) / 1e6:4.0f} million multiply–adds")
    found.append({part: values[each["scores"] > 0.3] for part, values in each.items()})
known = picture, {"boxes": target["boxes"], "labels": target["labels"]}
show_objects([known] * 3, CLASSES, found=found, titles=list(detectors))

# %% [markdown]
# All three find all three. YOLO is the least sure of them, and SSD sees a star in the person.
#
# ## YOLO: a grid, and a vector for each cell
#
# Lay a grid of $S \times S$ cells over the picture, 7 × 7 in the paper. **The cell that the middle of an object lies in answers for it.** Each cell says
#
# - $B$ boxes (2 in the paper), each as five numbers: $x, y$, where in the cell the middle of the box is, from 0 to 1; $w, h$, how wide and high it is, as shares of the *picture*; and its **confidence**: is there an object, and does this box fit it?
# - $C$ class probabilities, once for the whole cell: *if* there is an object, what is it?
#
# With two boxes and our six classes that makes $5B + C = 16$ numbers a cell, and $7 \cdot 7 \cdot 16 = 784$ for a picture. That is all the network says, whatever is there.
#
# **The network.** The paper has 24 convolutions and two fully connected layers, for pictures of 448 × 448; the last layer gives all the numbers at once, as they come. Ours is smaller. The trunk of lesson 09 gives a map of 8 × 8, which is read, bilinearly, at the middles of the 7 × 7 cells. Two 3 × 3 convolutions and a 1 × 1 make 16 numbers of each. A sigmoid brings $x, y$, confidence and the roots of $w, h$ between 0 and 1, a softmax the classes.
#
# Here is what a perfect network would say of the cat, with four boxes drawn by hand. First guess: which cell answers for the whole cat? Then click on it. (Both boxes of a cell say the same here. Which of them should keep silent comes with the loss.)

# %%
from course.models.yolo import encode_targets, perfect_predictions

size = cat().shape[-2:]  # 300 × 451
drawn = torch.tensor([(0.0, 0, 385, 300), (135, 83, 202, 145), (295, 85, 343, 157), (228, 225, 290, 265)])
names, kinds = ("cat", "eye", "nose"), torch.tensor([1, 2, 2, 3])
wanted = perfect_predictions(encode_targets(drawn, kinds, size), classes=3)  # [7, 7, 13]
segwidgets.grid_predictions(cat(), wanted, classes=names, truth={"boxes": drawn, "labels": kinds})

# %% [markdown]
# The cat's cell is row 3, column 2, counted from 0. What counts is the middle of the *box*, not of the picture, and it lies a hair left of column 3, which most people guess. A box may be far larger than its cell: the cat's cell is one of 49, and the box takes nearly the whole picture. The cell is only *where the question is asked*; lesson 04's box is the answer. And the other 45 cells are to say one thing: nothing here.
#
# ### Build it
#
# From a box in pixels to its cell and its four numbers:


# %%
def encode(box, size, grid=7):
    x1, y1, x2, y2 = box
    height, width = size
    x, y = (x1 + x2) / 2 * grid / width, (y1 + y2) / 2 * grid / height  # the middle, counted in cells
    column, row = min(int(x), grid - 1), min(int(y), grid - 1)
    return (row, column), (x - column, y - row, (x2 - x1) / width, (y2 - y1) / height)


for name, box in zip(("cat", "eye", "eye", "nose"), drawn.tolist()):
    (row, column), numbers = encode(box, size)
    print(f"{name:4} row {row}, column {column}: " + ", ".join(f"{letter} {value:.2f}" for letter, value in zip("xywh", numbers)))

# %% [markdown]
# ### Check it

# %%
targets = encode_targets(drawn, kinds, size)
for number, box in enumerate(drawn.tolist()):
    cell, numbers = encode(box, size)
    assert targets.objects[cell] == number and targets.labels[cell] == kinds[number]
    torch.testing.assert_close(targets.boxes[cell], torch.tensor(numbers))
print(f"The same cells and numbers; {int((targets.labels == 0).sum())} of {targets.labels.numel()} cells are empty.")

# %% [markdown]
# **Think.** An object lies with its middle exactly on the line between two cells. Which one answers? And what if it sits on the right edge of the picture?
#
# <details><summary>Answer</summary>
#
# Rounding down decides: on a line between two cells it is the right or lower one, with $x = 0$ or $y = 0$. On the right edge rounding down gives column 7, which does not exist, so the last cell takes it, with $x = 1$. That is what `min` is for. A box with a width that was cut off at the picture
# never has its middle on the edge. A box drawn to nothing has, and a good encoder survives it.
#
# </details>
#
# ### See it
#
# Now the trained network and a picture that it has never seen. **Click a cell** to read its vector. Step through: the likeliest class of every cell, then all 98 boxes, then those that score enough, then what suppression leaves. Before you move the threshold down to 0.05: will there be more wrong boxes *around* the objects, or more where nothing is?

# %%
# NBVAL_IGNORE_OUTPUT
model = detectors["YOLO"]
with torch.no_grad():
    said = model.predict([picture])  # [1, 7, 7, 16]
segwidgets.grid_predictions(picture, said[0], classes=CLASSES[1:], truth=target)

# %% [markdown]
# - **Every cell names a class**, the empty ones, too: *if* something were here, it would be that. The map of classes is a coarse segmentation. Nobody asked for one.
# - **The confidence decides.** It is high in the cells that hold the middle of an object, and near 0 elsewhere. The score of a box is confidence × class probability, one number for *there is something*, *it is this*, and *the box fits*.
# - **What comes in below 0.2 lies around the objects.** Going from 0.2 down to 0.05 lets in, over 200 pictures, 121 wrong boxes that touch an object, 32 where nothing is, and 37 right ones.
# - **Suppression has little to do.** Here six boxes pass 0.2, and three stay: both boxes of a cell have found its object. With a hundred proposals there was more to clear.
#
# ## The loss, a term at a time
#
# Two boxes in a cell, and one object: which of them should learn it? The one that overlaps it most already. It is **responsible**, and the other one is told that it holds nothing. In the paper they become specialists, one for flat boxes and one for upright ones, or for large and small ones. In our small network they hardly do, as you have just seen.
#
# A letter is what the network says, a letter with a hat what it should say; the bracket is lesson 08's, 1 if it is true. The IoU in `object` is that of the box as the network says it now, and taken as a plain number, without gradient. So the confidence learns to tell how well its own box fits.
#
# | term | over | what |
# |---|---|---|
# | `centre` | responsible boxes | $\lambda_{coord} \, \bigl[ (x - \hat x)^2 + (y - \hat y)^2 \bigr]$ |
# | `size` | responsible boxes | $\lambda_{coord} \, \bigl[ (\sqrt w - \sqrt{\hat w})^2 + (\sqrt h - \sqrt{\hat h})^2 \bigr]$ |
# | `object` | responsible boxes | $(\text{confidence} - \text{IoU of this box with the object})^2$ |
# | `no_object` | all other boxes | $\lambda_{noobj} \, (\text{confidence} - 0)^2$ |
# | `class` | cells with an object | $\sum_c (p(c) - [c \text{ is its class}])^2$ |
#
# All of it is squared error, and the sum over all cells is minimised. $\lambda_{coord} = 5$ and $\lambda_{noobj} = \frac12$ weigh the terms: of 98 boxes some two or three are responsible, and without the weights the other 95 would be nearly all of the loss. The square roots are there because **five pixels are nothing to a large box and everything to a small one**: on the way from 0 the root is steep.
#
# ### Build it

# %%
from course.models.yolo import decode_predictions, stack_targets, yolo_losses
from course.ops.boxes import box_iou


def losses_of(cell, truth, responsible, overlap):
    """One occupied cell: its 2 × 5 numbers and 6 probabilities; the object's x, y, w, h and class; which box answers, and its IoU."""
    boxes, probabilities = cell[:10].view(2, 5), cell[10:]
    (x, y, w, h, confidence), other = boxes[responsible], boxes[1 - responsible]
    box, label = truth
    return {
        "centre": 5 * ((x - box[0]) ** 2 + (y - box[1]) ** 2),
        "size": 5 * ((w.sqrt() - box[2].sqrt()) ** 2 + (h.sqrt() - box[3].sqrt()) ** 2),
        "object": (confidence - overlap) ** 2,
        "no_object": 0.5 * other[4] ** 2,
        "class": ((probabilities - torch.eye(6)[label - 1]) ** 2).sum(),
    }


# %% [markdown]
# ### Check it
#
# The responsible box is found by IoU, so the boxes have to become pixels first. An empty cell has only one term: $\frac12$ of the squares of its two confidences.

# %%
targets = encode_targets(target["boxes"], target["labels"], (128, 128))
boxes, scores = decode_predictions(said, (128, 128))  # [1, 98, 4], [1, 98, 6]
overlaps = box_iou(target["boxes"], boxes[0]).view(-1, 7, 7, 2)  # [G, 7, 7, 2]
total = dict.fromkeys(("centre", "size", "object", "no_object", "class"), 0.0)
for row in range(7):
    for column in range(7):
        cell, number = said[0, row, column], int(targets.objects[row, column])
        if number < 0:
            total["no_object"] += 0.5 * cell[[4, 9]].square().sum()
            continue
        of_cell = overlaps[number, row, column]
        truth = targets.boxes[row, column], targets.labels[row, column]
        for name, value in losses_of(cell, truth, of_cell.argmax(), of_cell.max()).items():
            total[name] += value
torch.testing.assert_close(total, yolo_losses(said, stack_targets([targets])))
print("The same five losses.")

# %% [markdown]
# ### See it
#
# Where does each term arise? Two networks that look at the same picture: first the one that has just been built and knows nothing, then the trained one. (Mind the scale: each map has colours of its own, and the bars at the end tell the sums.)

# %%
# NBVAL_IGNORE_OUTPUT
from course.models.yolo import yolo_loss_cells

torch.manual_seed(0)
with torch.no_grad():
    ignorant = yolo.build().eval().predict([picture])
    terms = {name: cells[0] for name, cells in yolo_loss_cells(ignorant, stack_targets([targets])).items()}
segwidgets.cell_losses(picture, terms, truth=target, classes=CLASSES[1:])

# %%
# NBVAL_IGNORE_OUTPUT
terms = {name: cells[0] for name, cells in yolo_loss_cells(said, stack_targets([targets])).items()}
segwidgets.cell_losses(picture, terms, truth=target, classes=CLASSES[1:])

# %% [markdown]
# At the beginning `no_object` is everywhere, and all other terms stand in the cells that hold an object. A training that only got rid of what is largest would first learn to say *nothing* everywhere. In the trained network the empty cells are quiet. `no_object` is still the largest term, but now it stands *in* the cells with objects: it is the second box, which fits as well and should say 0.
#
# ### What is each term for?
#
# Switch it off and see. To train seven networks takes long, so hold the trunk, as in lesson 08: compute its map once for each picture, and train only the head behind it, for a few seconds each.

# %%
# NBVAL_IGNORE_OUTPUT
from course.training import fit

learning = list(Shapes("train", count=320, target="instances"))
trunk = yolo.build().backbone.eval()


def seen_by(trunk, pictures):
    """The maps of the pictures, and what their cells should say."""
    with torch.no_grad():
        maps = torch.cat([trunk(torch.stack(some))[16] for some in zip(*[iter([image for image, _ in pictures])] * 20)])
    return maps, stack_targets([encode_targets(each["boxes"], each["labels"], (128, 128)) for _, each in pictures])


maps, cells = seen_by(trunk, learning)  # [320, 112, 8, 8], and [320, 7, 7, …]
test_maps, test_cells = seen_by(trunk, unseen[:100])
batches = [(maps[i : i + 16], tuple(part[i : i + 16] for part in cells)) for i in range(0, len(maps), 16)]


def to_cells(raw):
    """Whatever numbers a head gives, [N, 7, 7, 16], as numbers from 0 to 1."""
    each = raw[..., :10].unflatten(-1, (2, 5)).sigmoid()  # [N, 7, 7, 2, 5]
    each = torch.cat((each[..., :2], each[..., 2:4].square(), each[..., 4:]), -1)  # sizes: roots are easier to learn
    return torch.cat((each.flatten(-2), raw[..., 10:].softmax(-1)), -1)


with torch.no_grad():
    torch.testing.assert_close(to_cells(model.head(model.backbone(picture[None])[16])), said)

# %%
# NBVAL_IGNORE_OUTPUT
from course.metrics import mean_average_precision
from course.models.yolo import CellTargets, GridHead, detect, responsible_boxes, split_predictions


def trained_without(*names, **options):
    torch.manual_seed(0)
    head = GridHead(channels=112, width=112, grid=7, numbers=16)

    def loss(raw, cells):
        terms = yolo_losses(to_cells(raw), CellTargets(*cells), **options)
        return {name: value for name, value in terms.items() if name not in names}

    optimiser = torch.optim.AdamW(head.parameters(), lr=3e-3)
    fit(head, batches, loss=loss, epochs=8, optimiser=optimiser, device="cpu", progress=False)
    with torch.no_grad():
        return to_cells(head(test_maps))


def judged(predictions):
    """mAP@0.5; of occupied cells the error of the middle and of the sides in pixels, the confidence, how often the class is right; of empty
    cells the confidence."""
    there, said = test_cells.labels > 0, split_predictions(predictions)
    answering = responsible_boxes(said.boxes, test_cells.boxes)[..., None]  # [100, 7, 7, 1]
    boxes = said.boxes.take_along_dim(answering[..., None], -2)[..., 0, :]  # [100, 7, 7, 4]
    off = (boxes - test_cells.boxes).abs()[there] * torch.tensor([128 / 7, 128 / 7, 128, 128])
    right = (said.classes.argmax(-1) + 1 == test_cells.labels)[there].float().mean()
    sure = said.confidence.amax(-1)
    result = mean_average_precision(detect(*decode_predictions(predictions, 128)), [each for _, each in unseen[:100]], [0.5])
    return result.AP50, off[:, :2].mean(), off[:, 2:].mean(), sure[there].mean(), sure[~there].mean(), 100 * right


ways = {"all five": ((), {})}
ways |= {f"without {name}": ((name,), {}) for name in total}
ways |= {"without roots": ((), {"square_roots": False})}
print(f"{'':18}  mAP@0.5   middle off   sides off   confidence: object   empty   class right")
for name, (names_off, options) in ways.items():
    ap, middle, sides, sure, empty, right = judged(trained_without(*names_off, **options))
    print(f"{name:18} {ap:8.2f} {middle:9.1f} px {sides:8.1f} px {sure:20.2f} {empty:7.2f} {right:11.0f} %")

# %% [markdown]
# - **Without `size`** the boxes end anywhere, and most of the mAP is gone: a box that overlaps by less than a half is wrong.
# - **Without `centre`** less is lost than one might think. Nobody says where in its cell the middle is, so the network says: in the middle of it. A cell is 18 pixels wide; that is wrong by some 4 pixels, and most boxes survive it. The grid itself is half of the answer.
# - **Without `object`** nobody is told to be sure, only to be unsure. All confidences go to 0, and most boxes fall below the threshold.
# - **Without `no_object`** it is the reverse: every box is sure, everywhere, and wrong detections stand between the right ones.
# - **Without `class`** everything is found, and nothing is named.
# - **Without the roots** hardly anything changes here. The sizes of our objects differ by a factor of four, on photographs by thirty.
#
# ## From the grid to detections
#
# The way back: cells → boxes in pixels, scores → threshold → suppression, class by class. There is nothing new in it:

# %%
from course.ops.boxes import clip_boxes
from course.ops.nms import batched_nms


def decode(cells, size, threshold=0.05):
    each, classes = cells[..., :10].unflatten(-1, (2, 5)), cells[..., 10:]  # [7, 7, 2, 5], [7, 7, 6]
    row, column = torch.meshgrid(torch.arange(7.0), torch.arange(7.0), indexing="ij")
    x, y = (each[..., 0] + column[..., None]) / 7 * size[1], (each[..., 1] + row[..., None]) / 7 * size[0]  # [7, 7, 2]
    w, h = each[..., 2] * size[1], each[..., 3] * size[0]
    boxes = torch.stack((x - w / 2, y - h / 2, x + w / 2, y + h / 2), -1).view(-1, 4)  # [98, 4]
    scores = (each[..., 4:] * classes[:, :, None]).view(-1, 6)  # [98, 6]
    box, label = (scores > threshold).nonzero().unbind(1)
    boxes, scores = clip_boxes(boxes[box], size), scores[box, label]
    kept = batched_nms(boxes, scores, label, 0.5)
    return {"boxes": boxes[kept], "labels": label[kept] + 1, "scores": scores[kept]}


with torch.no_grad():
    (expected,) = model([picture])
torch.testing.assert_close(decode(said[0], (128, 128)), expected)
print(f"The same {len(expected['boxes'])} detections.")

# %% [markdown]
# ## Where YOLO loses
#
# **A cell holds one object.** It has two boxes, but one list of classes, and in training one target. When the middles of two objects share a cell, the second one is lost before the training has begun. How often does that happen?

# %%
from course.models.yolo import lost_objects

pictures = list(Shapes("val", count=500, target="instances"))
objects = sum(len(each["boxes"]) for _, each in pictures)
for grid in (3, 5, 7, 14):
    lost = sum(len(lost_objects(each["boxes"], 128, grid)) for _, each in pictures)
    print(f"{grid:2} × {grid:2} cells: {lost:3} of {objects} objects lost")

# %% [markdown]
# With 7 × 7 hardly ever, for our objects are as large as a cell or larger. Flocks of birds are another matter. So make flocks: the same pictures at half their size, four in a frame. The objects are the same, half as large, and four times as many in a picture.

# %%
# NBVAL_IGNORE_OUTPUT
import torch.nn.functional as F

from course.evaluation import detections_on


def four(some):
    """Four pictures with their objects in one of the same size."""
    a, b, c, d = (F.avg_pool2d(image, 2) for image, _ in some)  # each [3, 64, 64]
    corners = torch.tensor([[0, 0], [64, 0], [0, 64], [64, 64]]).repeat(1, 2)
    boxes = torch.cat([each["boxes"] / 2 + corner for (_, each), corner in zip(some, corners)])
    labels = torch.cat([each["labels"] for _, each in some])
    return torch.cat((torch.cat((a, b), 2), torch.cat((c, d), 2)), 1), {"boxes": boxes, "labels": labels}


def cells_of(boxes):
    x, y = ((boxes[:, :2] + boxes[:, 2:]) / 2 * 7 / 128).long().unbind(1)
    return 7 * y + x


def hits(found, there):
    """Of each object whether it is found, with its class, at IoU 0.5, by a detection of score 0.1 or more."""
    fits = (box_iou(there["boxes"], found["boxes"]) >= 0.5) & (there["labels"][:, None] == found["labels"])
    return (fits & (found["scores"] >= 0.1)).any(1)


flocks = [four(pictures[i : i + 4]) for i in range(0, 500, 4)]
answers = {}
print(f"{'':13}  objects found: large   half as large   cells with two: both found   one   none")
for name, detector in detectors.items():
    large = torch.cat([hits(*pair) for pair in zip(*detections_on(detector, pictures, device="cpu"))])
    answers[name], there = detections_on(detector, flocks, device="cpu")
    found = [hits(*pair) for pair in zip(answers[name], there)]
    pairs = []
    for hit, each in zip(found, there):
        cell = cells_of(each["boxes"])
        pairs += [int(hit[cell == k].sum()) for k in cell.unique() if (cell == k).sum() == 2]
    shares = [sum(pair == k for pair in pairs) for k in (2, 1, 0)]
    print(f"{name:13} {large.float().mean():20.0%} {torch.cat(found).float().mean():15.0%} {shares[0]:28} {shares[1]:5} {shares[2]:6}")

# %%
# NBVAL_IGNORE_OUTPUT
crowds = [len(each["boxes"]) - len(cells_of(each["boxes"]).unique()) for _, each in flocks]
flock = max(range(len(flocks)), key=lambda i: crowds[i])
image, each = flocks[flock]
cell = cells_of(each["boxes"])
shared = (cell[:, None] == cell).sum(1) > 1
crowded = image, {name: values[shared] for name, values in each.items()}
found = [{"boxes": said[flock]["boxes"][said[flock]["scores"] >= 0.1]} for said in answers.values()]
show_objects([crowded] * 3, CLASSES, found=found, titles=list(detectors))

# %% [markdown]
# Green are the objects that share a cell with another one, orange is all that was found. Few objects of the training were as small as these, and all three networks find fewer. But YOLO loses most: it reads one map of 8 × 8, where a small object is a fraction of a cell. Of the 31 pairs in one cell it finds both once, Faster R-CNN four times, SSD seven times. Not all of that is the shared cell's doing: who finds 31 % of single objects finds both of a pair in three cases at best, and
# neighbours that overlap are hard for everybody. What is certain is in the design: a cell has one list of classes, so it cannot name two objects of different classes and be sure of both.
#
# ## SSD: default boxes on maps of several sizes
#
# SSD asks at many more places, and it does not ask everywhere for the same. It is the RPN with one thing changed: in place of *something or nothing*, each box gets a score for every class **and one for background** (label 0, which YOLO has not), through a softmax. The four **deltas** of lesson 07 stay: they move the box to its object. So a place with $A$ boxes says $A (C + 1 + 4)$ numbers, by a 3 × 3 convolution of each map's own. Its anchors are called **default boxes**, and they lie on a whole ladder of maps: the trunk's, and a few more behind it, each half as wide. On
# fine maps small boxes are asked for, on coarse maps large ones: each asks for what its features can see.
#
# The sizes come from one rule. The first map's boxes have the scale $s_1$, the last one's $s_m$, both as shares of the picture; those between are evenly spaced. At each place there is a square of scale $s_k$; for each further aspect ratio $a$ a box of the same area, $s_k \sqrt a$ wide and $s_k / \sqrt a$ high; and a square of scale
# $\sqrt{s_k s_{k+1}}$, half way to the next map.
#
# Ours are 0.18, 0.32, 0.46 and 0.60, and 0.75 for a map that would come next: 23, 41, 59 and 77 of 128 pixels. The aspect ratios are 2 and ½ (the code writes only the 2, and turns it round). That makes four boxes a place: $4 \cdot (16^2 + 8^2 + 4^2 + 2^2) = 1360$.
#
# ### See it
#
# Our SSD has four maps. **Drag the green box**, and see which default boxes of which map take it up. First guess: a box as large as the picture's quarter, on which map will it land? And is there a box that none of them matches with IoU 0.5?

# %%
# NBVAL_IGNORE_OUTPUT
single = detectors["SSD"]
seen = single.trace(picture)
shapes = [tuple(level.shape[1:]) for level in seen["levels"].values()]  # (16, 16), (8, 8), (4, 4), (2, 2)
segwidgets.default_boxes(picture, 128, shapes, ssd.ASPECT_RATIOS, ssd.SCALES, truth=target["boxes"][0])

# %% [markdown]
# Mostly on level 2, whose squares have 59 and 67 pixels. But its places are 32 pixels apart. Where the box lies between them, level 1 fits better: its squares have only 41 and 49 pixels, but there is one every 16 pixels. And boxes of less than 16 pixels, or long thin ones, reach an IoU of 0.5 with none; the best one takes them nevertheless.
#
# ### Build it


# %%
def boxes_of_level(cells, scale, next_scale, ratios, size):
    sides = [(scale, scale), ((scale * next_scale) ** 0.5,) * 2]
    for ratio in ratios:
        wide, narrow = scale * ratio**0.5, scale / ratio**0.5
        sides += [(wide, narrow), (narrow, wide)]
    places = [((column + 0.5) / cells, (row + 0.5) / cells) for row in range(cells) for column in range(cells)]
    boxes = [(x - w / 2, y - h / 2, x + w / 2, y + h / 2) for x, y in places for w, h in sides]
    return size * torch.tensor(boxes)  # [cells · cells · shapes, 4]


# %% [markdown]
# ### Check it
#
# Against the network's own, and torchvision's:

# %%
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList

mine = [
    boxes_of_level(cells, scale, following, ratios, 128)
    for (cells, _), scale, following, ratios in zip(shapes, ssd.SCALES, ssd.SCALES[1:], ssd.ASPECT_RATIOS)
]
torch.testing.assert_close(torch.cat(mine), seen["default_boxes"])
generator = DefaultBoxGenerator([list(ratios) for ratios in ssd.ASPECT_RATIOS], scales=list(ssd.SCALES))
(theirs,) = generator(ImageList(picture[None], [(128, 128)]), [level[None] for level in seen["levels"].values()])
torch.testing.assert_close(torch.cat(mine), theirs)
print(" + ".join(str(len(level)) for level in mine), "=", len(theirs), "default boxes, the same as torchvision's.")

# %% [markdown]
# ### A hundred negatives for each positive
#
# A default box from IoU 0.5 on with an object answers for it, and so does the best one that each object has. (So no object goes without, however badly the boxes fit. That is lesson 09's rescue.) All others are background: there is no *ignored* any more. An IoU of 0.49 is background, 0.5 an object. How many are that?

# %%
from course.models.ssd import default_targets, match_default_boxes

counts = [match_default_boxes(seen["default_boxes"], each["boxes"]).ge(0).sum() for _, each in unseen]
positives = torch.stack(counts).float().mean()
print(f"{positives:.0f} positives in a picture on average, and {len(theirs) - positives:.0f} negatives")

# %% [markdown]
# Faster R-CNN *draws* as many negatives as it needs. But nearly all negatives are easy: a piece of wall that was never taken for anything. A drawn one teaches little. SSD takes the **hardest** ones, those whose loss is largest, three for each positive. It is the mining of R-CNN's SVMs (lesson 07), done anew in every step.


# %%
def mine_negatives(losses, positive, ratio=3):
    hardest = losses.masked_fill(positive, -1).argsort(descending=True, stable=True)
    return hardest[: ratio * int(positive.sum())]


labels, _ = default_targets(seen["default_boxes"], target["boxes"], target["labels"])
losses = F.cross_entropy(seen["logits"], labels, reduction="none")  # [1360]
hard = mine_negatives(losses, labels > 0)
print(f"{int((labels > 0).sum())} positives, {len(hard)} hard negatives, {int((labels == 0).sum()) - len(hard)} left out")

# %% [markdown]
# ### Check it

# %%
from course.ops.mining import hard_negatives

chosen = hard_negatives(losses, labels > 0)
assert hard.sort().values.tolist() == chosen.nonzero()[:, 0].tolist()
print(f"The same. The mean loss of those chosen is {losses[chosen].mean():.3f}, of all negatives {losses[labels == 0].mean():.4f}.")

# %%
marked = picture, {"boxes": target["boxes"], "labels": target["labels"]}
show_objects(
    [marked, marked],
    CLASSES,
    found=[{"boxes": seen["default_boxes"][labels > 0]}, {"boxes": seen["default_boxes"][hard[:12]]}],
    titles=["positives", "the twelve hardest negatives"],
)

# %% [markdown]
# The hardest negatives lie around the objects: boxes that hold half of one, and that the network takes for it. Where the line between *is it* and *is it not* runs, that is where there is something to learn. Lesson 09 left many of these out, as half right. SSD takes the other side: of two neighbours one has to be told that it is not the one.
#
# So SSD's loss has two terms, those of lesson 08: cross-entropy over the positives and the hard negatives, and smooth $L_1$ of the deltas over the positives, both divided by the number of positives. To detect is the old way: softmax, move, threshold, suppress class by class.
#
# **Think.** YOLO has 98 boxes, two or three of which are responsible, and no mining. What does it have instead?
#
# <details><summary>Answer</summary>
#
# $\lambda_{noobj} = \frac12$. It counts all negatives, each for half. With 98 boxes that is enough; with SSD's thousands (8732 in the paper) it would not be.
#
# </details>
#
# ## With weights that know cats
#
# torchvision has SSD300 of the paper, with VGG16 and six maps, trained on COCO. `from_torchvision` copies it into this lesson's code. First the proof, with random weights:

# %%
from torchvision.models.detection import SSD300_VGG16_Weights, ssd300_vgg16

from course.models.ssd import from_torchvision

torch.manual_seed(0)
blank = ssd300_vgg16(weights=None, weights_backbone=None, score_thresh=0.0).eval()
with torch.no_grad():
    (expected,), (got,) = blank([cat()]), from_torchvision(blank)([cat()])
torch.testing.assert_close(got["scores"], expected["scores"], rtol=1e-4, atol=1e-4)
print(f"{len(expected['boxes'])} scores: the same as torchvision's.")

# %% [markdown]
# The weights are 136 MB, and nothing is fetched unless you ask for it. Where there is internet, set `fetch=True`:

# %%
# NBVAL_IGNORE_OUTPUT
from course.coco_model import coco_model

coco = SSD300_VGG16_Weights.COCO_V1
known = coco_model(ssd300_vgg16, coco, fetch=False)
if known:
    with torch.no_grad():
        (answer,) = from_torchvision(known)([cat()])
    answer = {name: values[answer["scores"] > 0.5] for name, values in answer.items()}
nobody = (cat(), {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long)})
show_objects([nobody], coco.meta["categories"], found=[answer]) if known else None

# %% [markdown]
# ## Speed against accuracy
#
# Every detector of the course so far, on the same trunk. Their weights come with the course; how well each does was measured when it was trained, on pictures that it has never seen, and stands in the manifest beside the weights. The time is measured here and now: one picture of 128 pixels, proposals included.

# %%
# NBVAL_IGNORE_OUTPUT
from course.figures import show_points
from course.weights import FOLDER, read_manifest

names = {"rcnn": "R-CNN", "spp": "SPP-net", "fast_rcnn": "Fast R-CNN", "faster_rcnn": "Faster R-CNN", "yolo": "YOLO", "ssd": "SSD"}
recorded, points = read_manifest(FOLDER), {}
for name, title in names.items():
    with torch.no_grad():
        time = seconds(trained(name), [picture], repeats=10)
    points[title] = 1000 * time, recorded[name].score
    print(f"{title:13} {1000 * time:6.0f} ms   mAP@0.5 {recorded[name].score:.2f}")
show_points(points, xlabel="milliseconds a picture", ylabel="mAP@0.5", logarithmic=True)

# %% [markdown]
# - **What YOLO and SSD save is the second look**: a third of the multiply–adds, 135 million against 91 and 89, and on one quiet core half of the time, 17 ms against 8 and 10. (The milliseconds of so small a network vary from run to run.) What is left is mostly the trunk, which all of them need.
# - **YOLO is the least exact of the three.** It has 98 boxes at 49 places, from one map of 8 × 8. SSD has 1360 at 340 places, from four maps, and is as good as Faster R-CNN within a hundredth.
# - R-CNN and SPP-net learnt from 500 pictures and Fast R-CNN from 1000, the other three from 3000. SPP-net and Fast R-CNN enlarge the pictures to 256 pixels, and R-CNN each proposal to 64; the other three take the pictures as they are. With more pictures Fast R-CNN would come closer. Its proposals would not become faster.
#
# And the sliding window of lesson 05? R-CNN's classifier on a grid of windows of nine sizes, in place of proposals, takes 2.6 seconds for a picture and has an mAP of 0.70 at IoU 0.5: no window fits exactly, and nothing moves it. `segcourse bench detectors` measures all of them in one run, and Mask R-CNN with them, on the same hundred pictures (the sliding window on thirty of them).
#
# The papers' figures, on VOC 2007 with a Titan X:
#
# | | mAP | pictures a second |
# |---|---|---|
# | Faster R-CNN, VGG16 | 73.2 % | 7 |
# | YOLO | 63.4 % | 45 |
# | Fast YOLO | 52.7 % | 155 |
# | SSD300 | 74.3 % | 59 (46 one by one) |
# | SSD512 | 76.8 % | 22 (19 one by one) |
#
# (Fast YOLO has 9 convolutions in place of 24. 300 and 512 are the sides of SSD's pictures; its larger number is with eight pictures at once.)
#
# With 45 pictures a second a detector sees a video. Ten points of accuracy were the price at first. SSD paid it back half a year later, with more boxes and more maps, and with much augmentation of the training pictures, which alone gave it almost nine points.
#
# ## What is still missing
#
# **A box is not an outline.** Look at the person in the first picture: two thirds of the box are background. Lessons 02 and 03 gave a label to every pixel, but could not tell two cats apart. Detectors can tell two cats apart, and know no pixel. Put the two together: find the object, then ask *inside its box*, pixel by pixel, what belongs to it.
#
# And there is a debt from lesson 08: pooling rounds. Half a cell, eight pixels, does not hurt a box. It would hurt a mask. Both are settled in lesson 11: **Mask R-CNN**.

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
# | 09 | Faster R-CNN, the network proposes | the same, and its own proposals | 4.8 billion | 0.4 s (one core) | say at once what is there: it looks twice |
# | **10** | **YOLO and SSD, one look** | **the same, for little more than the trunk** | **1.0 billion (448 × 448)** | **0.08 s (one core)** | **say which pixels of the box belong to the object** |

# %% [markdown]
# ## Quiz
#
# **1.** A picture has 448 × 448 pixels and a grid of 7 × 7. A dog's box is (96, 160, 352, 416). Which cell answers for it, and what are $x, y, w, h$?
#
# <details><summary>Answer</summary>
#
# Its middle is (224, 288), a cell has 64 pixels: 3.5 and 4.5 cells. Row 4, column 3, $x = 0.5$, $y = 0.5$, $w = h = 256 / 448 = 0.57$.
#
# </details>
#
# **2.** YOLO with a grid of 7 × 7, two boxes and the 20 classes of VOC: how many numbers come out? How many would a third box a cell cost?
#
# <details><summary>Answer</summary>
#
# $7 \cdot 7 \cdot (2 \cdot 5 + 20) = 1470$. A third box adds $49 \cdot 5 = 245$. The classes are there once a cell.
#
# </details>
#
# **3.** A large box should be 0.81 of the picture wide and the network says 0.64. A small one should be 0.04 and the network says 0.01. What do they cost in the `size` term, with roots and without ($\lambda$ left out)?
#
# <details><summary>Answer</summary>
#
# With roots $(0.9 - 0.8)^2 = 0.01$ and $(0.2 - 0.1)^2 = 0.01$: the same. Without, $0.17^2 = 0.029$ and $0.03^2 = 0.0009$: the small box, which is four times too narrow, would count a thirtieth.
#
# </details>
#
# **4.** In a picture with 6 positives 1354 default boxes are negative. How many negatives are in SSD's loss? And in a picture without objects?
#
# <details><summary>Answer</summary>
#
# 18, the hardest. In an empty picture none: three times nothing. That such pictures teach it nothing is one of its weak points.
#
# </details>
#
# **5.** Two people stand one behind the other, their boxes have nearly the same middle. What becomes of them in training, with YOLO and with SSD?
#
# <details><summary>Answer</summary>
#
# With YOLO the second one is lost: the cell has one target. SSD has default boxes of several shapes and sizes at that place, and each person has a best one of its own, unless both boxes are nearly the same in size, too. Then SSD's suppression is in the way as well.
#
# </details>

# %% [markdown]
# ## Exercises
#
# Open [the exercise notebook](10_yolo_ssd_exercises.ipynb) beside this one. You will write YOLO's `encode_targets`, `responsible_boxes`, `coordinate_losses` and `decode_predictions`, SSD's default boxes of one level and `hard_negatives`, and then build and train a small YOLO, graded by its mAP
# on pictures that nobody has seen. Last comes a question in words about two sparrows and a cat. `check(your_function)` answers at once and shows the first case that differs.
#
# To *see* what your decoder is given, hand the same numbers to the widget. Here is a grid with a mistake in it: rows and columns have changed places.

# %%
segwidgets.grid_predictions(cat(), wanted.transpose(0, 1), classes=("cat", "eye", "nose"), truth={"boxes": drawn, "labels": kinds})

# %% [markdown]
# ## References
#
# - J. Redmon, S. Divvala, R. Girshick, A. Farhadi, *You Only Look Once: Unified, Real-Time Object Detection*, 2015, [arXiv:1506.02640](https://arxiv.org/abs/1506.02640): section 2 the grid and the loss, table 1 the times, section 2.4 the limits.
# - W. Liu, D. Anguelov, D. Erhan, C. Szegedy, S. Reed, C.-Y. Fu, A. C. Berg, *SSD: Single Shot MultiBox Detector*, 2015, [arXiv:1512.02325](https://arxiv.org/abs/1512.02325): section 2.2 default boxes, matching and mining; table 2 what the augmentation gave; table 7 the times.
# - S. Ren, K. He, R. Girshick, J. Sun, *Faster R-CNN*, 2015, [arXiv:1506.01497](https://arxiv.org/abs/1506.01497).
# - J. Redmon, A. Farhadi, *YOLO9000: Better, Faster, Stronger*, 2016, [arXiv:1612.08242](https://arxiv.org/abs/1612.08242): YOLO with anchors, which is where the two ideas of this lesson meet.
