# %% [markdown]
# # 05 · Detection: as regression, by sliding window
#
# **How many objects there are is part of the question.** About 50 minutes, and half an hour for the exercises.
#
# When you are through, you can
#
# - build a network with a fixed number of answers, and show what it does when the number of objects is another;
# - say why the order of those answers is a problem of its own, and what a network learns when it is left open;
# - turn any classifier into a detector: windows of all sizes and shapes, a threshold, non-maximum suppression;
# - write non-maximum suppression in a few lines, and name what it gets wrong;
# - count the windows and the seconds before you run anything, and say why one proposes boxes first.

# %% [markdown]
# ## Two objects, two answers
#
# Lesson 04 had one object in every picture, and a network with two heads: one says what it is, the other says where. What if there are two? Give the network two answers. Each
# of these **slots** has scores for the K classes, background among them, and four numbers for a box:
#
# ```
#                                     ┌──▶ slot 0   class scores [K], box [4]
# picture ──▶ trunk ──▶ features ─────┤
#                                     └──▶ slot 1   class scores [K], box [4]
# ```
#
# Which object goes into which slot? Some rule has to say. Ours goes by the centres of the boxes, from left to right. A slot that is left over says *background*. For the data we take pictures with
# exactly two
# objects, cars, stars and rings.

# %%
import torch

import segwidgets
from course.data.counted_objects import CountedObjects
from course.data.shapes import CLASSES
from course.figures import show_objects, show_pictures


def pictures_with(objects, split, count):
    data = CountedObjects(split, objects=objects, count=count, size=64, kinds=("car", "star", "ring"), smallest=0.25)
    images, targets = zip(*(data[i] for i in range(count)))
    return torch.stack(images), torch.stack([t["boxes"] for t in targets]), torch.stack([t["labels"] for t in targets])


images, boxes, labels = pictures_with(2, "train", 2400)  # [2400, 3, 64, 64], [2400, 2, 4], [2400, 2]
show_objects([(images[i], {"boxes": boxes[i], "labels": labels[i]}) for i in range(4)], CLASSES)

# %% [markdown]
# ### Build it
#
# The target for slot 0 is the object furthest left, whatever it is. `FixedCountDetector` sorts the same way:


# %%
def fill_slots(boxes, labels):
    order = (boxes[:, 0] + boxes[:, 2]).argsort()  # twice the x of the centres
    return boxes[order], labels[order]


print(boxes[0].tolist(), "→", fill_slots(boxes[0], labels[0])[0].tolist())

# %%
from course.models.localizer import FixedCountDetector, fully_connected, small_trunk

torch.manual_seed(0)
slots, classes = 2, len(CLASSES)
model = FixedCountDetector(
    trunk=small_trunk(16, 32, 64, 64),  # 64 × 64 pixels → 64 channels of 4 × 4 cells
    classifier=fully_connected(64 * 4 * 4, 64, slots * classes),
    regressor=fully_connected(64 * 4 * 4, 64, slots * 4),
    slots=slots,
    size=64,
)
{name: list(output.shape) for name, output in model(images[:1]).items()}

# %% [markdown]
# ### Check it

# %%
from course.models import localizer

for i in range(100):
    ours, theirs = fill_slots(boxes[i], labels[i]), localizer.fill_slots(boxes[i], labels[i], slots=2)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs))

# %% [markdown]
# ### Train it
#
# The loss is that of lesson 04, over both slots: cross-entropy for the class, squared error for the box. Every picture is also shown mirrored, which doubles the data. (Mirrored, left becomes right, so the two objects also
# change slots.) It takes about twenty seconds on two quiet processor cores.

# %%
# NBVAL_IGNORE_OUTPUT
from course.training import fit


def mirrored(images, boxes):
    x1, y1, x2, y2 = boxes.unbind(-1)
    return images.flip(-1), torch.stack((64 - x2, y1, 64 - x1, y2), -1)


batches = []
for start in range(0, len(images), 32):
    some, names = (images[start : start + 32], boxes[start : start + 32]), labels[start : start + 32]
    batches += [(pictures, {"boxes": places, "labels": names}) for pictures, places in (some, mirrored(*some))]
history = fit(model, batches, loss=lambda outputs, targets: model.losses(outputs, targets, balance=10.0), epochs=6, device="cpu")
print(f"{history.seconds:.0f} s")

# %% [markdown]
# ### Measure it
#
# On pictures that it has never seen, again with two objects. Green is the truth, orange the answer.

# %%
unseen = {count: pictures_with(count, "val", 100) for count in (1, 2, 3)}


def show_answers(count, chosen):
    images, boxes, labels = unseen[count]
    truth = [(images[i], {"boxes": boxes[i], "labels": labels[i]}) for i in chosen]
    return show_objects(truth, CLASSES, found=model.detect(images[chosen]))


show_answers(2, [2, 4, 6, 7])

# %% [markdown]
# It half works. Trained with three seeds, it found about two thirds of the objects, if a box with an IoU above 0.5 counts as found, whatever it is called. More pictures and a larger network would
# help. They would not help with what comes now.

# %% [markdown]
# ## One object, three objects
#
# The same network. **Before you run the cell, say what it will do:** what is its second answer where there is one object? Which one does it leave out where there are three?

# %%
show_answers(1, [0, 1, 2, 3])

# %%
show_answers(3, [0, 1, 2, 3])

# %% [markdown]
# Now count. The *score* is the probability of the class that an answer names. *Found* is an object with which some answer has an IoU above 0.5. The last row is for pictures with *no* object.

# %%
# NBVAL_IGNORE_OUTPUT
from course.ops.boxes import box_iou

empty = CountedObjects("val", objects=0, count=100, size=64)
unseen[0] = torch.stack([image for image, _ in empty]), torch.zeros(100, 0, 4), torch.zeros(100, 0)
print("objects   answers a picture   mean score   objects found")
for count in (2, 1, 3, 0):
    pictures, truth, _ = unseen[count]
    answers = model.detect(pictures)
    number = sum(len(answer["boxes"]) for answer in answers) / len(answers)
    score = torch.cat([answer["scores"] for answer in answers]).mean()
    hits = torch.stack([(box_iou(a["boxes"], t) > 0.5).any(0) for a, t in zip(answers, truth)])  # [100, objects]
    share = f"{hits.float().mean():.0%}" if count else ""
    print(f"{count:7} {number:19.1f} {score:12.2f} {share:>15}")

# %% [markdown]
# **Two answers, always.** It was never shown a picture with another number of objects, so *two* is the one thing that it knows for certain. The scores hardly warn you: they are a little lower where it made something up.
#
# - Where there is **one**, it makes up a second.
# - Where there are **three**, it can never find more than two thirds, and found a little over one with each of three seeds. The one in the middle was forgotten in more than 80 of a hundred
#   pictures: nobody ever asked for a middle one.
# - Where there is **nothing**, it says two things.
#
# One could give it five slots, and train on pictures with zero to five objects. Empty slots then learn to say *background*, and this network can. But the largest number stays built in: the sixth
# object has no place. A crowd in a
# stadium would need a thousand slots, most of them empty most of the time. And there is a second problem, which gets worse with each slot.

# %% [markdown]
# ### Which one is first?
#
# The objects in a picture are a *set*. Slots have an order. We sorted from left to right, and that has a price. Take a picture with a star and a car, and three slots. Now a ring comes in on the left. Neither of the others
# has moved, and yet both have to change slots.

# %%
picture, truth, names = (part[16] for part in unseen[2])  # [3, 64, 64], [2, 4], [2]
truth, names = fill_slots(truth, names)
newcomer = torch.tensor([[0.0, 2, 14, 16]])
before = localizer.fill_slots(truth, names, slots=3)
after = localizer.fill_slots(torch.cat([truth, newcomer]), torch.cat([names, torch.tensor([6])]), slots=3)
for slot in range(3):
    print(f"slot {slot}: {CLASSES[before[1][slot]]:10} → {CLASSES[after[1][slot]]}")

# %% [markdown]
# Any other order has a place where it jumps, too. And without an order? The two lists below name the same two objects. They are equally right. For the loss they are not:

# %%
# NBVAL_IGNORE_OUTPUT
with torch.no_grad():
    outputs = model(picture)
codes = localizer.encode_in_image(truth, 64)  # [2, 4]
for what, order in (("star first, then car", [0, 1]), ("car first, then star", [1, 0])):
    losses = localizer.multi_task_losses(outputs["logits"][0], outputs["codes"][0], names[order], codes[order])
    print(f"{what}: loss {sum(losses.values()):.2f}")

# %% [markdown]
# What does a network learn if half of its examples say one order and half the other? Let the numbers themselves be what is trained: two slots, four numbers each, for this one picture. The order changes with every step.

# %%
answer = torch.zeros(2, 4, requires_grad=True)
descent = torch.optim.SGD([answer], lr=0.02)
for step in range(1000):
    order = [0, 1] if step % 2 else [1, 0]
    descent.zero_grad()
    (answer - codes[order]).square().sum().backward()
    descent.step()

torch.testing.assert_close(answer, codes.mean(0).expand(2, 4), atol=0.01, rtol=0)
compromise = localizer.decode_in_image(answer.detach(), 64)  # [2, 4]
show_objects([(picture, {"boxes": truth, "labels": names})], CLASSES, found=[{"boxes": compromise}])

# %% [markdown]
# Both slots end at the **mean of the two boxes**, between the objects, where there is nothing. That is what squared error does with two answers that are equally right: it settles on one that is wrong. A network does the same
# wherever the rule leaves it in doubt which object is first, say for two objects one above the other.
#
# **Think.** With 2 objects there are 2 orders. How many are there with 10? And what could a loss do that does not care about order?
#
# <details><summary>Answer</summary>
#
# 10! = 3,628,800. A loss that does not care takes the order that fits best: give each object to the answer that is nearest, then compare. *MultiBox* (2013) does that, and *DETR* (2020) builds a whole detector on it, with 100
# slots. So the idea came back, with matching as its missing piece. It took better networks and long training.
#
# </details>

# %% [markdown]
# ## Turn it round: ask every window
#
# A classifier has none of these troubles. It is asked about one place and says what is there. Three objects? Ask at three places. We don't know the places, so **ask everywhere**: that is the sliding window of lesson 01. A
# detector needs one thing more. Objects are small and large, upright and lying, and the window must *fit*. So there are windows of several **scales** and **aspect ratios**, and each goes over the whole photograph.
#
# The scale $s$ is the side of a square with the window's area, the ratio $r$ is height divided by width:
#
# $$h = s \sqrt{r}, \qquad w = \frac{s}{\sqrt{r}}$$

# %%
from course.data.photos import cat
from course.models.backbones import efficientnet_lite0, imagenet_classes
from course.ops.window_boxes import count_windows, window_sizes

photo, network = cat(), efficientnet_lite0()  # [3, 300, 451]
cats = [i for i, name in enumerate(imagenet_classes()) if name in {"tabby", "tiger cat", "Persian cat", "Siamese cat", "Egyptian cat"}]

sizes = window_sizes((32, 64, 96, 128, 256), (1, 0.5, 2))  # five scales in three ratios
print(len(sizes), "windows, (height, width):", *sizes)

# %% [markdown]
# ### Count first
#
# What does one crop cost on this machine? Each is brought to 224 × 224 pixels and goes through the network, so all cost the same:

# %%
# NBVAL_IGNORE_OUTPUT
from course.cost import seconds

with torch.no_grad():
    one_crop = seconds(network, photo[None, :, :224, :224])
print(f"one crop: {1000 * one_crop:.0f} ms")

# %% [markdown]
# ### See it
#
# Play it: each step adds the windows of one scale and ratio. Then move the sliders. **What does half the stride do to the last bar?** Say it, then try.

# %%
# NBVAL_IGNORE_OUTPUT
segwidgets.sliding_window_count(photo, scales=(32, 64, 96, 128, 256), stride=16, seconds=one_crop)

# %% [markdown]
# ### Build it
#
# The count is that of lesson 01, once for each size. A window that is larger than the photograph makes none; of the fifteen sizes that is the one of 362 × 181.


# %%
def count(size, windows, stride):
    total = 0
    for h, w in windows:
        if h <= size[0] and w <= size[1]:
            total += ((size[0] - h) // stride + 1) * ((size[1] - w) // stride + 1)
    return total


# %% [markdown]
# ### Check it

# %%
for stride in (16, 4, 1):
    assert count((300, 451), sizes, stride) == sum(count_windows((300, 451), sizes, stride))
    print(f"stride {stride:2}: {count((300, 451), sizes, stride):7,} crops")

# %% [markdown]
# ### Run a coarse one
#
# A million crops would take hours. With three scales and 32 pixels from one window to the next there are few enough to wait for. Each window is cut out, stretched to 224 × 224, whatever its shape, and classified. Its score is
# how sure the network is of *a cat*, all five breeds together, as in lesson 01.

# %%
from course.models.sliding_window_detection import SlidingWindowDetector

detector = SlidingWindowDetector(
    classifier=network, classes=[cats], windows=window_sizes((96, 160, 256), (1, 0.5, 2)), stride=32, score_threshold=0.9
)
print(f"{detector.count((300, 451))} crops")
boxes, scores = detector.classify(photo)  # [N, 4], [N, 1]

# %%
# NBVAL_IGNORE_OUTPUT
total, seen = torch.zeros(300, 451), torch.zeros(300, 451)
for (x1, y1, x2, y2), score in zip(boxes.int().tolist(), scores[:, 0]):
    total[y1:y2, x1:x2] += score
    seen[y1:y2, x1:x2] += 1
sure = scores[:, 0] > 0.9
print(f"{sure.sum()} windows of {len(boxes)} are more than 90 % sure of a cat")
show_pictures({"photograph": photo, "mean score of all windows over a pixel": total / seen.clamp(min=1)})

# %% [markdown]
# The map is bright over most of the photograph and shows no outline of the cat. (The dark rim below and on the right is where no window reaches.)
#
# One cat, and about 150 windows that are sure of it. That is no accident: a window that is moved a little shows nearly the same, and gets nearly the same score. Every detector that asks at many
# places answers many times.

# %% [markdown]
# ## One answer an object: non-maximum suppression
#
# The rule is greedy, and as old as detectors are. **Keep the box with the highest score. Remove all that overlap it too much. Repeat with what is left.** *Too much* is a threshold on the IoU of lesson 04.
#
# ### See it
#
# On five boxes first. Point at a removed box to see who removed it, and why. Then move the slider: at which threshold does box 3 come back?

# %%
few = torch.tensor([[10.0, 10, 60, 50], [12, 20, 62, 58], [16, 30, 64, 60], [38, 18, 88, 54], [110, 20, 150, 60]])
segwidgets.nms(few, torch.tensor([0.95, 0.9, 0.8, 0.7, 0.6]), 0.2)

# %% [markdown]
# Now on the cat's own boxes, all that are above 0.9. The first picture shows what the detector would say without NMS. Play it at 0.3; then move the slider up to 0.9, and down to 0.

# %%
# NBVAL_IGNORE_OUTPUT
segwidgets.nms(boxes[sure], scores[sure, 0], 0.3, image=photo)

# %% [markdown]
# ### Build it


# %%
def nms(boxes, scores, iou_threshold):
    waiting = scores.argsort(descending=True, stable=True)  # indices, the best first
    kept = []
    while len(waiting):
        best, waiting = waiting[0], waiting[1:]
        kept.append(best)
        iou = box_iou(boxes[best][None], boxes[waiting])[0]
        waiting = waiting[iou <= iou_threshold]
    return torch.stack(kept)


# %% [markdown]
# ### Check it
#
# Against torchvision, on the cat's boxes at several thresholds, and on boxes that nobody chose:

# %%
import torchvision

corners = 100 * torch.rand(300, 2)
crowd = torch.cat([corners, corners + 10 + 40 * torch.rand(300, 2)], 1)
for some, their_scores in ((boxes[sure], scores[sure, 0]), (crowd, torch.rand(300))):
    for threshold in (0.0, 0.3, 0.5, 0.9):
        assert torch.equal(nms(some, their_scores, threshold), torchvision.ops.nms(some, their_scores, threshold))

# %% [markdown]
# Ours goes through the boxes one at a time. The course also has one that settles a hundred at a time and gives the same answer about ten times as fast. Later lessons use it.

# %%
from course.ops.nms import nms_in_blocks

assert torch.equal(nms_in_blocks(crowd, their_scores, 0.5), nms(crowd, their_scores, 0.5))

# %% [markdown]
# With several classes it is done for each class by itself: a dog in front of a cat must not remove it.

# %% [markdown]
# ## What it gets wrong
#
# ### A part of a cat is a cat
#
# About seventeen boxes are left of one cat at 0.3, and no threshold leaves the right one alone. Which window is the surest, and which fits best? The green box was drawn by hand, around the whole cat.

# %%
# NBVAL_IGNORE_OUTPUT
whole = torch.tensor([[0.0, 0, 400, 300]])
truth = {"boxes": whole, "labels": torch.tensor([1])}
fits = box_iou(boxes, whole)[:, 0]  # [N]
chosen = {"the surest": scores[:, 0].argmax(), "the best fit": fits.argmax()}
titles = [f"{what}: score {scores[i, 0]:.2f}, IoU {fits[i]:.2f}" for what, i in chosen.items()]
found = [{"boxes": boxes[i][None]} for i in chosen.values()]
show_objects([(photo, truth)] * 2, ("background", "cat"), found=found, titles=titles)

# %% [markdown]
# The surest window shows a piece of the cheek and has an IoU of 0.08 with the cat. It beats the window that fits best, if only just, and NMS believes the score. The classifier is not to blame. It
# was trained to say what is in a picture, and that piece *is* cat. **Nobody has taught
# it that a window should fit.** A detector has to be shown windows that sit badly, and be told that they are wrong. R-CNN does that (lesson 07), and it also learns to *move* a box.
#
# ### Two that touch
#
# The other mistake is built in. Two rings, one partly behind the other; their true boxes have an IoU of 0.34. Say the detector is perfect: for each ring it gives the true box, and two more that are a little off. Find a threshold with which exactly the two best
# boxes stay.

# %%
rings = CountedObjects("train", objects=2, count=26, size=128, kinds=("ring",), smallest=0.2)
picture, target = rings[25]
off = torch.tensor([[0.0, 0, 0, 0], [3, 2, 4, 1], [-4, 3, -2, 4]])
given = (target["boxes"][:, None] + off).flatten(0, 1)  # [6, 4]
segwidgets.nms(given, torch.tensor([0.95, 0.8, 0.7, 0.9, 0.75, 0.65]), 0.3, image=picture)

# %% [markdown]
# At 0.3 the best box of the second ring is gone, with a score of 0.9, and a worse copy stays, only because it lies a little further away. At 0.25 nothing is left of that ring. From 0.35 to 0.8 both
# best boxes stay: here a good threshold exists. Had the rings overlapped more than each does with its copies, none would: **NMS cannot tell two answers for one object from two objects**, it only
# sees boxes. Low thresholds lose
# objects that touch, high ones leave doubles. Most detectors take something between 0.3 and 0.7 and live with it.
#
# **Think.** A detector finds every person of a marching band, eight in a row, each of whom covers half of the box of the next. What is left with a threshold of 0.3? (Half of the box: the IoU is 0.5 / 1.5 = 1/3.)
#
# <details><summary>Answer</summary>
#
# It depends on the scores. The best removes both neighbours; then the best of the rest does the same. With scores falling from left to right, every second one stays: four. At worst three do, when
# those that stay remove as many as they can: the second, the fifth,
# and the seventh or eighth.
#
# </details>

# %% [markdown]
# ## Why proposals
#
# ### The bill
#
# A coarse run found the cat, since it fills the photograph. To find a cat *anywhere, of any size*, the windows have to be dense. Four times finer is nearly sixteen times as many:

# %%
# NBVAL_IGNORE_OUTPUT
print("stride     crops      time")
for stride in (16, 4, 1):
    crops = count((300, 451), sizes, stride)
    print(f"{stride:6} {crops:9,} {crops * one_crop / 60:6.1f} minutes")

# %% [markdown]
# At 35 ms a crop, that of one quiet processor core, stride 1 takes ten hours for one small photograph. And these are only fifteen sizes. How many boxes does a picture hold in all? A box lies between two of $W + 1$ vertical lines and two of $H + 1$ horizontal ones:
#
# $$\frac{W (W + 1)}{2} \cdot \frac{H (H + 1)}{2}$$

# %%
from course.ops.window_boxes import possible_boxes, window_boxes

assert possible_boxes((300, 451)) == 451 * 452 // 2 * 300 * 301 // 2
print(f"{possible_boxes((300, 451)):,} boxes in the photograph of the cat")
print(f"{possible_boxes((600, 902)) / possible_boxes((300, 451)):.0f} times as many at twice its height and width")

# %% [markdown]
# ### What the windows show
#
# And of all those windows, how many are of any use? Take pictures in which everything is known, windows of four scales in three ratios, four pixels apart, and ask for how many the IoU with *any* object is above 0.5.

# %%
from course.data.shapes import Shapes

windows = window_boxes(128, window_sizes((16, 32, 64, 96), (1, 0.5, 2)), 4)  # [N, 4]
useful = [(box_iou(windows, target["boxes"]) > 0.5).any(1).float().mean() for _, target in Shapes("val", count=50, target="instances")]
print(f"{len(windows):,} windows a picture, of which {torch.stack(useful).mean():.1%} show an object")

# %% [markdown]
# Ninety-eight of a hundred times the network says *nothing here*, at full price. There are two ways out.
#
# - **Make the classifier cheap.** The detector of Viola and Jones (2001) found faces at 15 pictures a second on a processor of that time. It takes sums over rectangles, and gives up on most windows
#   after a few of them.
#   Others took linear classifiers on histograms of edges. It works as long as the classifier can be that
#   simple, and networks are not.
# - **Make the windows few.** First a quick look, which does not ask *what* is there and only says where *something* could be. Then the expensive classifier, on those boxes alone. With 2000 boxes instead of a million:

# %%
# NBVAL_IGNORE_OUTPUT
crops = count((300, 451), sizes, 1)
print(f"2,000 boxes: {2000 * one_crop:.0f} s instead of {crops * one_crop / 3600:.0f} hours, {crops / 2000:.0f} times fewer")

# %% [markdown]
# **Think.** The quick look misses one object of a hundred. The classifier behind it is perfect. How many objects does the whole find? And what if the quick look proposes a box for every object, and also 1990 boxes of nothing?
#
# <details><summary>Answer</summary>
#
# Ninety-nine: what is not proposed is never found, so a proposal method is judged by its **recall**, the share of the objects that it proposes. Boxes of nothing cost time and no objects: the
# classifier throws them out. So it may propose far too many, as long as they are few compared with a million.
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
# | 02 | fully convolutional, with skips | a label for every pixel, in one pass | 1.1 billion | 0.1 s | draw finer than its finest features |
# | 03 | down and up again | outlines that are sharp where the way up knows places | | | two cats that touch are one patch of cat |
# | 04 | one trunk, two heads | the class and the box of one object; the joints of one person | 0.05 billion (96 × 96) | 0.02 s | say that there are two |
# | **05** | **windows of 15 sizes at stride 1, NMS** | **boxes, as many as there are objects** | **380 trillion** | **10 hours** | **look only where something is; tell a window that fits from one that does not** |
#
# Where does the quick look come from? In lesson 06 from the picture itself: pixels that belong together grow into regions, and regions into boxes.

# %% [markdown]
# ## Quiz
#
# **1.** A network with four slots was trained on pictures with exactly four objects. It is shown one with two. What does it answer, and what would have to be in its training for another answer?
#
# <details><summary>Answer</summary>
#
# Four boxes with high scores. It would need pictures with fewer objects, whose empty slots have the target *background*.
#
# </details>
#
# **2.** Slots are filled from left to right. Two objects stand exactly one above the other, and the upper one moves one pixel to the left, then two to the right. What happens to the targets?
#
# <details><summary>Answer</summary>
#
# First the upper one is in slot 0, then the lower one: all eight numbers change at once, though the picture has hardly changed. Near that place a network can only answer something between the two.
#
# </details>
#
# **3.** A picture of 200 × 200 pixels, square windows of 50 and 100 pixels, stride 50. How many crops? And with ratios 1, 4 and ¼?
#
# <details><summary>Answer</summary>
#
# 4 · 4 + 3 · 3 = 25. Scale 50 in ratio 4 is 100 × 25: 3 rows, (200 − 25) / 50 = 3.5, so 4 columns, 12 windows; lying, another 12. Scale 100 is 200 × 50: 1 row, 4 columns, 4 windows; lying, another 4. In all 25 + 24 + 8 = 57.
#
# </details>
#
# **4.** Three boxes with scores 0.9, 0.8 and 0.7. The IoU of the first and second is 0.6, of the second and third 0.6, of the first and third 0.2. Which stay at a threshold of 0.5?
#
# <details><summary>Answer</summary>
#
# The first and the third. The second is removed by the first, and what has been removed removes nothing.
#
# </details>
#
# **5.** Scores are multiplied by 10. What changes in NMS? And if only the scores of large boxes are?
#
# <details><summary>Answer</summary>
#
# Nothing: only their order counts. In the second case large boxes come first and remove what they overlap, so others stay.
#
# </details>

# %% [markdown]
# ## Exercises
#
# Open [the exercise notebook](05_detection_exercises.ipynb) beside this one. You will write `fill_slots` for any number of objects and slots, and `nms`, with ties and with no boxes at all. Then a ship's camera asks whether a sliding window can keep up with it.
#
# To *watch* an `nms` of your own, hand it to the widget. Here is one in which boxes that have been removed go on removing:


# %%
def hasty(boxes, scores, iou_threshold):
    order = scores.argsort(descending=True)
    covered = (box_iou(boxes[order], boxes[order]) > iou_threshold).triu(1).any(0)  # by any better box
    return order[~covered]


row = torch.tensor([[0.0, 0, 40, 20], [15, 0, 55, 20], [30, 0, 70, 20], [100, 0, 140, 20]])
segwidgets.nms(row, torch.tensor([0.9, 0.8, 0.7, 0.6]), 0.4, fn=hasty)

# %% [markdown]
# ## References
#
# - C. Szegedy, A. Toshev, D. Erhan, *Deep Neural Networks for Object Detection*, NeurIPS 2013: detection as regression, to masks.
# - D. Erhan, C. Szegedy, A. Toshev, D. Anguelov, *Scalable Object Detection using Deep Neural Networks*, 2013, [arXiv:1312.2249](https://arxiv.org/abs/1312.2249): a fixed number of boxes, matched to the objects (MultiBox).
# - N. Carion et al., *End-to-End Object Detection with Transformers*, 2020, [arXiv:2005.12872](https://arxiv.org/abs/2005.12872): slots come back, with the best matching in the loss (DETR).
# - P. Viola, M. Jones, *Rapid Object Detection using a Boosted Cascade of Simple Features*, CVPR 2001: every window, and most of them given up on early.
# - N. Dalal, B. Triggs, *Histograms of Oriented Gradients for Human Detection*, CVPR 2005: a linear classifier on histograms of edges.
# - P. Felzenszwalb, R. Girshick, D. McAllester, D. Ramanan, *Object Detection with Discriminatively Trained Part-Based Models*, TPAMI 2010: windows at many scales, greedy suppression.
# - P. Sermanet et al., *OverFeat*, 2013, [arXiv:1312.6229](https://arxiv.org/abs/1312.6229): sliding windows with a network that shares its convolutions.
# - N. Bodla, B. Singh, R. Chellappa, L. Davis, *Soft-NMS: Improving Object Detection With One Line of Code*, 2017, [arXiv:1704.04503](https://arxiv.org/abs/1704.04503): lower the score of what overlaps, and remove nothing.
