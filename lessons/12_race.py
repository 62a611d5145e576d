# %% [markdown]
# # 12 · All of them, raced on one photograph
#
# **Who is fast, who is good, and who is beaten by nobody.** About 50 minutes, and half an hour for the exercises.
#
# When you are through, you can
#
# - say of every detector of this course what its time goes into, and what it found;
# - time a network so that the number means something, and name four ways in which it does not;
# - compute average precision from boxes and scores, and say why one picture is no measurement;
# - read speed and accuracy together, and name those that are beaten by nobody;
# - follow a detection back through a running network to the anchor that it was;
# - say what this course has left out, and where to read on.

# %% [markdown]
# ## The cat, once more
#
# The first picture of this course was a cat, and so is the last. But our detectors know six things, and a cat is none of them. They have even been taught that this one is *nothing*: pieces of the left half of the photograph were among the backgrounds of their training. So it gets three stickers: the person, the car and the fish of lessons 09 to 11. They bring the truth along.

# %%
import statistics
import time

import numpy as np
import torch
import torch.nn.functional as F

import segwidgets
from course.data.photos import cat
from course.data.shapes import CLASSES, KEYPOINTS, Shapes
from course.figures import show_objects

photo = F.interpolate(cat()[None, :, :, 75:375], size=(128, 128), mode="bilinear", antialias=True)[0]
stickers, target = Shapes("test", count=100, target="instances")[80]
picture = torch.where(target["masks"].any(0), stickers, photo)  # [3, 128, 128]
truth = {"boxes": target["boxes"], "labels": target["labels"]}
show_objects([(picture, truth)], CLASSES)

# %% [markdown]
# Is that fair, on a background that none of them was tested on? On 25 pictures with stickers on the cat all of them did about as well as on the same objects in their own pictures.
#
# ## Guess first
#
# Eight detectors start, in the order in which they were invented. Each is the course's own, with the weights that come with it. Write down before you go on:
#
# 1. Who is the fastest, and how many times as fast as the slowest?
# 2. Who finds all three? Who finds something that is not there?
# 3. Where is the sliding window? That is: in which of the eight is it still at work, under another name?
#
# The sliding window itself is lesson 05's idea with lesson 07's classifier: windows of nine sizes, every 8 pixels, and each of them is cut out and looked at. R-CNN is the same classifier on proposals, with boxes that move.

# %%
from course.models.rcnn import RCNN
from course.ops.window_boxes import window_boxes, window_sizes
from course.recipes import trained

r_cnn = trained("rcnn")
windows = window_boxes(128, window_sizes((24, 40, 64), (0.5, 1, 2)), 8)  # [N, 4]
everywhere = RCNN(proposals=lambda image: windows, features=r_cnn.features, classifier=r_cnn.classifier, score_threshold=-1.0)
names = {
    "spp": "SPP-net",
    "fast_rcnn": "Fast R-CNN",
    "faster_rcnn": "Faster R-CNN",
    "yolo": "YOLO",
    "ssd": "SSD",
    "mask_rcnn": "Mask R-CNN",
}
detectors = {"sliding window": everywhere.eval(), "R-CNN": r_cnn} | {title: trained(name) for name, title in names.items()}
print(f"{len(windows)} windows, {len(r_cnn.proposals(picture))} proposals of selective search")

# %% [markdown]
# ## The race
#
# They run one after another, never two at a time. Beside the measured seconds stand those of the papers, proposals included, on the GPU of their year. (R-CNN's and SPP-net's are as the Fast R-CNN paper measured them, with VGG16.) **Play it.** Then bring a picture of your own, or race again.

# %%
# NBVAL_IGNORE_OUTPUT
published = {"R-CNN": 49, "SPP-net": 4.3, "Fast R-CNN": 2.3, "Faster R-CNN": 0.2, "YOLO": 1 / 45, "SSD": 1 / 46, "Mask R-CNN": 0.2}
raced = segwidgets.race(detectors, picture, classes=CLASSES, historic=published)
raced

# %% [markdown]
# <details><summary>Where is the sliding window?</summary>
#
# In all of them. R-CNN, SPP-net and Fast R-CNN have chosen the windows beforehand, by colours and textures, and move those that are nearly right. Faster R-CNN and Mask R-CNN slide a window of 3 × 3 cells over a map of features, and ask it about three anchors at each place. YOLO's cells and SSD's default boxes are windows as well: at fixed places, of fixed sizes.
# And what computes the features slides anyway: a convolution is nothing else (lesson 01). What has changed is *what* the window slides over, and how much of the work its neighbours share.
#
# </details>
#
# - **From the sliding window to YOLO is a factor of two to three hundred**, and most of it came by not computing things twice. No trunk has become larger or cleverer for it: all eight have the same one.
# - **It is nearly the order of the papers**, on other pictures, another trunk and another machine, ten years later. YOLO and SSD, a hair apart in both, change places. Mask R-CNN, level with Faster R-CNN in the papers, takes twice its time here, for it says more.
# - **The answers differ, and not in the order of the times.** R-CNN, Fast R-CNN and Mask R-CNN find all three and nothing else. SPP-net is sure of the car only; the sliding window and YOLO see the fish, but with a score below 0.5. Faster R-CNN takes the person for a star as well, and SSD finds the person twice. Move the slider *found from score* and watch who gains, and who gains only errors.
#
# And these are the scores:

# %%
# NBVAL_IGNORE_OUTPUT
for title, found in raced.found.items():
    best = zip(found["labels"][:4].tolist(), found["scores"][:4].tolist())
    print(f"{title:15}" + ", ".join(f"{CLASSES[label]} {score:.2f}" for label, score in best))

# %% [markdown]
# One threshold for all of them is not fair. **A score is not a probability.** R-CNN and SPP-net have SVMs, whose score is a distance from the border: 0 is undecided, and R-CNN's car has 1.22. YOLO's is a product of two probabilities, and small for that. Each detector has its own scale, and a threshold that suits one says nothing of another. How to judge them without a threshold comes below.
#
# ## What the time goes into
#
# Which part do you have to make faster? For each detector: where the boxes come from, and the network's pass over the picture, or its passes over all the boxes. What is left of the total are heads, suppression and masks.

# %%
# NBVAL_IGNORE_OUTPUT
from course.cost import operations, seconds


def parts_of(model):
    """Seconds for proposals that come from outside, and for the features: of each box where there are no shared ones."""
    searches, by_boxes = hasattr(model, "proposals"), hasattr(model, "features")
    searching = seconds(model.proposals, picture, repeats=3) if searches else 0.0
    given = (picture, model.proposals(picture)) if by_boxes else (model.prepare([picture]).images,)
    return searching, seconds(model.features if by_boxes else model.backbone, *given, repeats=3)


print(f"{'':13} proposals   features      in all   million multiply–adds")
with torch.no_grad():
    for title, model in list(detectors.items())[1:]:  # of the sliding window everything is features
        searching, computing = parts_of(model)
        total, work = seconds(model, [picture], repeats=3), operations(model, [picture]) / 1e6
        print(f"{title:13}{1000 * searching:7.0f} ms{1000 * computing:8.0f} ms{1000 * total:9.0f} ms{work:13.0f}")

# %% [markdown]
# - **The sliding window** is features only, 1101 times. **R-CNN** is mostly features as well, a hundred times; the rest is selective search. Whoever shares the pass gets rid of the most part, and has SPP-net.
# - **SPP-net and Fast R-CNN** wait for selective search for half of their time or more. No better network helps them. (Their one pass costs more than that of the others because they enlarge the picture to 256 pixels: four times the work.)
# - **Faster R-CNN** has no such column any more. Besides the features it has to move and suppress its anchors, and to look at a hundred regions.
# - **YOLO and SSD** are the trunk, and little else. To be faster than that one needs another trunk.
# - **Mask R-CNN** pays for what it says: a mask and the maps of 13 joints are 42 million multiply–adds, half a trunk, for each detection. It makes them for ten here, of which three score above 0.5.
#
# It is the most useful table that you can make of a program that is too slow.
#
# ## How to time fairly
#
# Four things make a time wrong.
#
# 1. **The first call.** Memory is asked for, kernels are chosen, files are read. It does not count.
# 2. **One call.** Something else ran beside it. Take several, and the **median**: a single slow one moves a mean, and hardly a median.
# 3. **The number of threads.** Two cores are not twice as fast as one, and a small network may be slower with many. Say how many there were.
# 4. **The GPU that works on.** A call hands over the work and returns. Whoever stops the clock then has timed the handing over. Wait until the work is done.
#
# And a fifth that is no error but a trap: *pictures a second* may be measured with many pictures at once. That is how much gets through, and it says nothing about how long one picture waits. SSD's 59 pictures a second are 46 one by one (lesson 10).
#
# ### Build it


# %%
def wait():
    """Until the GPU has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def stopwatch(fn, *args, repeats=9):
    fn(*args)  # does not count
    times = []
    for _ in range(repeats):
        wait()
        start = time.perf_counter()
        fn(*args)
        wait()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


# %% [markdown]
# ### Check it
#
# With something of which we know how long it takes: a tenth of a second the first time, a hundredth from then on, and now and then it is disturbed.

# %%
# NBVAL_IGNORE_OUTPUT
calls = []


def clockwork():
    calls.append(None)
    time.sleep(0.1 if len(calls) == 1 or len(calls) % 6 == 0 else 0.01)


print(f"ours          {1000 * stopwatch(clockwork):.1f} ms")
calls.clear()
print(f"course.cost's {1000 * seconds(clockwork, repeats=9):.1f} ms")
calls.clear()
start = time.perf_counter()
for _ in range(10):
    clockwork()
print(f"ten calls by the clock, divided by ten: {100 * (time.perf_counter() - start):.1f} ms")

# %% [markdown]
# ### See it
#
# Two of the four, on real networks. How much too long is the first call of a fresh network? And what are more threads worth?

# %%
# NBVAL_IGNORE_OUTPUT
threads = torch.get_num_threads()
print(f"{'':15} first call   one thread   all {threads}")
with torch.no_grad():
    for name, title in (("yolo", "YOLO"), ("faster_rcnn", "Faster R-CNN"), ("fast_rcnn", "Fast R-CNN")):
        fresh = trained(name)
        start = time.perf_counter()
        fresh([picture])
        times = [time.perf_counter() - start]
        for count in (1, threads):
            torch.set_num_threads(count)
            times.append(stopwatch(fresh, [picture]))
        print(f"{title:15}" + "".join(f"{1000 * each:10.1f} ms" for each in times))

# %% [markdown]
# (Where it says *all 1* there is one core, and both columns are the same.) On a quiet machine YOLO's first call takes a third longer than those that follow; beside Fast R-CNN's selective search it disappears. In a fresh process, where nothing has run before, it takes two and a half times as long: 21 ms in place of 8 for YOLO. And a second core brings a tenth, not the double. A layer with 8 × 8 cells is too small to be shared out: handing the work around takes as long as doing it. And selective search, half of Fast R-CNN, runs on one core whatever you set.
#
# **Think.** You time a network on a GPU with a stopwatch that does not wait. A picture of 128 pixels takes 2 milliseconds, and one of 1024 pixels takes 2 milliseconds, too. What have you measured?
#
# <details><summary>Answer</summary>
#
# How long Python takes to hand over some hundred layers; that does not depend on the picture. Sooner or later the queue is full or somebody reads a result, and *that* line then seems to take forever.
#
# </details>

# %% [markdown]
# ## One picture is no measurement
#
# R-CNN found three of three, and YOLO two at a threshold of 0.5. Is R-CNN the better detector? One picture does not say. It takes many, and a number that needs no threshold. Lesson 07 told it in words, and every lesson since has used it: **average precision**. Now we build it.
#
# Fifty unseen pictures of the usual kind, for three detectors:

# %%
from course.evaluation import detections_on

unseen = list(Shapes("test", count=50, target="instances"))
answers = {}
for title in ("Fast R-CNN", "Faster R-CNN", "YOLO"):
    answers[title], there = detections_on(detectors[title], unseen, device="cpu")

# %% [markdown]
# ### Build it: right or wrong
#
# One class at a time. In each picture the best box chooses first. It is right if it overlaps an object of its class with an IoU of 0.5 or more. **And an object can be found once**: who comes second is wrong, however well it fits. Detecting the person twice is an error, too.

# %%
from course.ops.boxes import box_iou


def verdicts(found, there, label, least=0.5):
    """(score, right) of every box of a class in all pictures, the best first; and how many objects there are."""
    rows, objects = [], 0
    for answer, truth in zip(found, there):
        wanted, of_class = truth["boxes"][truth["labels"] == label], answer["labels"] == label
        free, objects = torch.ones(len(wanted)), objects + len(wanted)
        order = answer["scores"][of_class].argsort(descending=True, stable=True)
        for score, box in zip(answer["scores"][of_class][order], answer["boxes"][of_class][order]):
            overlaps = box_iou(box[None], wanted)[0] * free  # 0 with those that are taken
            right = bool((overlaps >= least).any())
            if right:
                free[overlaps.argmax()] = 0
            rows.append((float(score), right))
    return sorted(rows, key=lambda row: -row[0]), objects


person = CLASSES.index("person")
rows, objects = verdicts(answers["YOLO"], there, person)
print(f"{objects} people, {len(rows)} boxes, of which {sum(right for _, right in rows)} are right")

# %% [markdown]
# ### Build it: the curve and its area
#
# Now go down the list, over all pictures. Of the boxes so far, how many are right? That is the precision. Of the objects, how many are found? That is the recall. Where the precision dips and rises again, the best one from there on counts: nobody would stop in the dip. COCO reads that curve at the recalls 0, 0.01, … 1; where it never gets, there is 0.


# %%
def curve_of(rows, objects):
    hits = np.cumsum([right for _, right in rows])
    precision, recall = hits / np.arange(1, len(rows) + 1), hits / objects
    best = [precision[place:].max() for place in range(len(rows))]
    first = np.searchsorted(recall, np.linspace(0, 1, 101))  # where each recall is reached
    return np.append(best, 0.0)[first]  # [101]


print(f"average precision of people: {curve_of(rows, objects).mean():.3f}")

# %% [markdown]
# The mean of the 101 is the **average precision**, and its mean over the classes is the mAP. VOC takes the whole area under the curve instead: a bar for each right box, 1 / objects wide. The two differ by a hundredth at most. You build that one in the exercises.
#
# ### Check it
#
# Against the course's own, which in its tests has to equal pycocotools, COCO's program:

# %%
from course.metrics import mean_average_precision, precision_recall_curve

for found in answers.values():
    for label in range(1, len(CLASSES)):
        peer = precision_recall_curve(found, there, label=label)
        np.testing.assert_allclose(curve_of(*verdicts(found, there, label)), peer.interpolated)
    ours = np.mean([curve_of(*verdicts(found, there, label)).mean() for label in range(1, len(CLASSES))])
    assert abs(ours - mean_average_precision(found, there, [0.5]).AP50) < 1e-9
print("The same curves for three detectors and six classes, and the same mAP.")

# %% [markdown]
# ### See it
#
# People at an IoU of 0.5, and once more at 0.75. Which of the three will fall most?

# %%
# NBVAL_IGNORE_OUTPUT
from course.figures import show_curves

curves = {
    f"{title}, IoU {least}": curve_of(*verdicts(found, there, person, least)) for least in (0.5, 0.75) for title, found in answers.items()
}
show_curves(curves, x=np.linspace(0, 1, 101), xlabel="recall", ylabel="precision")

# %%
# NBVAL_IGNORE_OUTPUT
for title, found in answers.items():
    result = mean_average_precision(found, there)
    print(f"{title:13} mAP@0.5 {result.AP50:.2f}   mAP@0.75 {result.AP75:.2f}   mean over 0.5, 0.55, … 0.95: {result.mAP:.2f}")

# %% [markdown]
# At 0.5 the question is *is it there?*, and the three are close together. At 0.75 it is *where does it end?* Faster R-CNN, which moves its boxes twice, loses least; YOLO, which reads a map of 8 × 8, and Fast R-CNN, whose pooling rounds (and which learnt from a third of the pictures), lose more. For people Fast R-CNN falls deepest. COCO's mAP is the mean over ten such thresholds. So ask of every mAP that you read: at which IoU?
#
# The scores themselves occur nowhere in it. Only their order does, so SVMs and probabilities can be compared at last.
#
# **Think.** A detector answers every picture with a thousand boxes more, all with scores below those of its right ones. What becomes of its mAP? And what would its user say?
#
# <details><summary>Answer</summary>
#
# Nothing: wrong boxes at the end of the list come after everything that counts, and the area is the same. (COCO looks at 100 a picture.) A user sees a thousand boxes. For use one has to choose a threshold after all, for each class, on pictures put aside for it. mAP says how good the best choices are, not that somebody has made one.
#
# </details>

# %% [markdown]
# ## Speed against accuracy
#
# Now put both together. The accuracies are those of a hundred unseen pictures (thirty for the sliding window), as `segcourse bench detectors` measured them in a clone of the course; that takes a quarter of an hour. The times are yours, from the race.
#
# One detector **beats** another if it takes no longer and scores no less, and is better in one of the two. Whoever is beaten is of use to nobody. Those whom **no other beats** are called the **Pareto front**.

# %%
# NBVAL_IGNORE_OUTPUT
from course.figures import show_points
from course.metrics import pareto_front

measured = {  # mAP@0.5, and the mean over 0.5, 0.55, … 0.95; of boxes
    "sliding window": (0.70, 0.26),
    "R-CNN": (0.83, 0.62),
    "SPP-net": (0.86, 0.57),
    "Fast R-CNN": (0.90, 0.57),
    "Faster R-CNN": (0.96, 0.71),
    "YOLO": (0.93, 0.59),
    "SSD": (0.95, 0.66),
    "Mask R-CNN": (0.95, 0.66),
}
times = torch.tensor([raced.seconds[title] for title in measured])
for i, name in enumerate(("mAP@0.5", "mAP")):
    front = pareto_front(times, torch.tensor([each[i] for each in measured.values()]))
    print(f"beaten by nobody, by {name}: " + ", ".join(title for title, stays in zip(measured, front.tolist()) if stays))
points = {title: (1000 * raced.seconds[title], each[1]) for title, each in measured.items() if title != "SPP-net"}  # on Fast R-CNN's
show_points(points, xlabel="milliseconds a picture", ylabel="mAP of boxes", logarithmic=True)

# %% [markdown]
# On one core, by `time.process_time`: only what the processor spent on us, not what ran beside it. (With several cores it adds them up, and of a GPU it knows nothing.)
#
# | | ms a picture | mAP at 0.5 | mAP | beaten, by both scores, by |
# |---|---|---|---|---|
# | sliding window | 2600 | 0.70 | 0.26 | everyone |
# | R-CNN | 287 | 0.83 | 0.62 | SSD, Faster R-CNN, Mask R-CNN |
# | SPP-net | 85 | 0.86 | 0.57 | all but R-CNN and the sliding window |
# | Fast R-CNN | 77 | 0.90 | 0.57 | YOLO, SSD, Faster R-CNN, Mask R-CNN |
# | Faster R-CNN | 17 | 0.96 | 0.71 | **nobody** |
# | YOLO | 8.9 | 0.93 | 0.59 | **nobody** |
# | SSD | 9.8 | 0.95 | 0.66 | **nobody** |
# | Mask R-CNN | 29 | 0.95 | 0.66 | SSD, Faster R-CNN |
#
# - **Three are left: YOLO, SSD, Faster R-CNN.** From each to the next costs time and gains accuracy, and which one you take depends on what you need. A detector for a video has 40 milliseconds; one that counts cells in a laboratory has all night.
# - **Mask R-CNN is beaten, and you may need it all the same.** It is the only one of the eight that knows pixels and joints. Two numbers have no room for that. What a figure does not measure, it cannot tell.
# - **R-CNN is ahead of SPP-net and Fast R-CNN by the mean over all thresholds**, and behind by mAP at IoU 0.5. Probably because it cuts each proposal out to the pixel, where the other two round it to cells of their map. Old ideas are not bad in everything.
# - **Two or three hundredths may be chance.** On fifty pictures, above, Fast R-CNN had 0.54; on a hundred it has 0.57. It is the same network. Of every difference ask how many pictures there were, and whether another seed says the same.
# - **They did not learn the same.** The first three learnt from 500 pictures (the sliding window is R-CNN's classifier), Fast R-CNN from 1000, the others from 3000.
#
# ## Inside, for the last time
#
# All of the course is in this one network: convolutions (01), a map that stays a map (02), a way up (03, 11), a class and a box (04), non-maximum suppression (05), proposals (06), one box that moves (07), regions on a map (08), anchors (09), several scales (10), and a mask (11). Here it is, running, on the cat.
#
# **Your task.** Choose the fish, the car, the person, one after another, and go back from each to its proposal and its anchor. First guess: from which of the three maps does each anchor come, 8, 16 or 32? Then compare it with the map that the head reads the region from. Are they the same?

# %%
# NBVAL_IGNORE_OUTPUT
segwidgets.xray(detectors["Mask R-CNN"], picture, classes=CLASSES, joints=KEYPOINTS)

# %% [markdown]
# <details><summary>Answer</summary>
#
# The fish, 70 pixels wide, was an anchor on the coarsest map, the car one on the middle map, the person one on the finest. The heads read finer: the fish on stride 16, the car and the person on stride 8. Two different questions are asked. An anchor asks whether something of its size is *there*, and a coarse map, which has seen much, can say so. The head asks *what exactly*, and cuts the region into 7 × 7 bins: on stride 32 the fish would be two cells wide,
# and nothing to cut. So each region is read where its size in cells is right.
#
# </details>
#
# Where there is internet, do the same with torchvision's Mask R-CNN, which has learnt 80 kinds of things from photographs. It is the code of these lessons once more: `course.models.mask_rcnn.from_torchvision` gives the same outputs to the last digits. Its weights are 170 MB; set `fetch=True`:

# %%
# NBVAL_IGNORE_OUTPUT
from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights, maskrcnn_resnet50_fpn

from course.coco_model import coco_model

weights = MaskRCNN_ResNet50_FPN_Weights.COCO_V1
known = coco_model(maskrcnn_resnet50_fpn, weights, fetch=False)
segwidgets.xray(known, cat(), classes=weights.meta["categories"]) if known else None

# %% [markdown]
# ## Your own picture
#
# Under the race is a button, *Your picture*. In code it is a path:

# %%
# NBVAL_IGNORE_OUTPUT
from course.data.photos import load_image

path = None  # "holiday.jpg"
mine = load_image(path) if path else cat()[:, :, 75:375]
shrink = 128 / min(mine.shape[1:])
small = F.interpolate(mine[None], scale_factor=shrink, mode="bilinear", antialias=True)[0]
sure = []
with torch.no_grad():
    for title in ("YOLO", "Faster R-CNN", "Mask R-CNN"):
        (found,) = detectors[title]([small])
        sure.append({name: found[name][found["scores"] > 0.25] for name in ("boxes", "labels", "scores")})
nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long)}
show_objects([(small, nothing)] * 3, CLASSES, found=sure, titles=["YOLO", "Faster R-CNN", "Mask R-CNN"])

# %% [markdown]
# Without its stickers the cat has one thing that they know: **its eye is a ring.** Mask R-CNN says so of one with 0.65, YOLO of both with 0.3, Faster R-CNN with 0.15, which is not drawn. It is a good answer, from somebody who knows six words.
#
# Expect no more of your own pictures. A network knows what it was shown: six shapes, 10 to 77 pixels large, on nine photographs. A real car is not the drawn one, and no training on drawings makes it so. What carries over is *something is here* (lesson 09); *what* has to be learnt from pictures of your kind. A few hundred with boxes around what you look for, on a trunk that knows ImageNet, are a beginning: `segcourse train faster_rcnn` shows how it is done, for blood cells as well as for shapes.
#
# ## What is still missing
#
# This course ends in 2017. What has come since? Take each thing that we had to choose by hand, and somebody has asked whether it is needed.
#
# - **The anchors.** Why lay boxes over the map, and then match them? **FCOS** and **CenterNet** (2019) let every place of the map say how far it is to the four edges, or how likely it is the middle of an object. YOLO's idea again, on finer maps.
# - **The grid.** YOLO's successors carry the name on, first with anchors, then without them.
# - **The negatives.** SSD mines them. The **focal loss** (RetinaNet, 2017) counts them all, and an easy one hardly.
# - **Suppression.** Many boxes for one object, and then remove all but one? **DETR** (2020) gives a hundred answers at once, matches them one to one with the objects in training, and has neither anchors nor suppression. It is slow to learn; much has been done about that.
# - **Stuff and things.** Instances have no sky, labels no count. **Panoptic segmentation** (2018) asks for both at once: for every pixel a class, and for things also *which one*.
# - **The classes.** Ours know six words, COCO's know 80. **Open-vocabulary** detectors (Grounding DINO, 2023) take words as you write them, because they have learnt pictures and sentences together.
# - **The convolutions.** A **transformer** as the trunk (ViT 2020, Swin 2021) has few of them, and wants more pictures to learn from.
# - **The training for the task.** **SAM** (2023) was shown a billion masks, and cuts out whatever you click on. It does not say what it is.
# - **Time.** A video is not a heap of pictures: who is the same one as before? The plainest answer matches boxes from picture to picture (SORT, 2016), by IoU.
#
# In nearly all of them you will meet what you have built: convolutions and maps of several resolutions, boxes as four numbers, IoU, matching, smooth $L_1$, RoIAlign, average precision. That is why it was worth building.

# %% [markdown]
# ## What it costs
#
# The running table of the course, whole, and beside it what the papers reported: seconds a picture on the GPU of their time, and hours of training.
#
# | lesson | idea | what it gives | multiply–adds | time | published | what it still cannot do |
# |---|---|---|---|---|---|---|
# | 01 | sliding window, 224 at stride 32 | a class for the middle of each window | 9.2 billion | 0.9 s | | stop computing the same features again and again |
# | 02 | fully convolutional, with skips | a label for every pixel, in one pass | 1.1 billion | 0.1 s | | draw finer than its finest features |
# | 03 | down and up again | outlines that are sharp where the way up knows places | | | | two cats that touch are one patch of cat |
# | 04 | one trunk, two heads | the class and the box of one object; the joints of one person | 0.05 billion (96 × 96) | 0.02 s | | say that there are two |
# | 05 | windows of 15 sizes at stride 1, NMS | boxes, as many as there are objects | 380 trillion | 10 hours | | look only where something is; tell a window that fits from one that does not |
# | 06 | selective search, *fast* | some 1500 boxes on the cat, and each of the four things in one of them | | 0.4 s | 2 s | say what is in a box, or which boxes are empty |
# | 07 | R-CNN, a pass for each box | objects with class and box | 545 billion | 1 min | 47 s, and 84 hours | stop computing the same features again and again; learn in one piece |
# | 07 | SPP-net, one pass | the same | 5.1 billion | 1 s | 2.3 s, and 25 hours | teach its convolutions anything |
# | 08 | Fast R-CNN, one pass, one loss | the same, and all of it learns together | 4.3 billion | 0.3 s | 0.32 s, with proposals 2.3 s, and 9.5 hours | find its proposals itself: they take as long as all the rest |
# | 09 | Faster R-CNN, the network proposes | the same, and its own proposals | 4.8 billion | 0.4 s (one core) | 0.2 s | say at once what is there: it looks twice |
# | 10 | YOLO and SSD, one look | the same, for little more than the trunk | 1.0 billion (448 × 448) | 0.08 s (one core) | 0.022 s; SSD300 0.017 to 0.022 s | say which pixels of the box belong to the object |
# | 11 | Mask R-CNN, one head more | class, box, outline and joints of every object | 4.8 billion, and 0.04 for each object | 0.5 s (one core) | 0.2 s | draw a large object finer than 28 × 28 cells |
# | **12** | **a race** | **who is fast, who is good, and who is beaten by nobody** | | | | **choose for you** |
#
# (R-CNN's 47 s and SPP-net's 2.3 s are without the 2 s for proposals. Published are VGG16's; YOLO's is its own network, Mask R-CNN's ResNet-101 with a pyramid. Ours are the cat's, where a row says nothing else.)
#
# From 10 hours to half a second, and from one class for a window to the outline of every object. No step of it was large. Each began with the question that you now know how to ask: *what do we compute twice, and who says that it has to be so?*

# %% [markdown]
# ## Quiz
#
# **1.** Five runs of a detector take 240, 12, 13, 11 and 90 milliseconds. Which number do you report?
#
# <details><summary>Answer</summary>
#
# The first does not count. Of 12, 13, 11 and 90 the median is 12.5 milliseconds; the mean, 31.5, would tell of whatever ran at the last one. And say on how many threads.
#
# </details>
#
# **2.** Fast R-CNN takes 0.32 seconds in its paper, and its proposals 2 seconds. By how much does everything get faster with a network that takes no time at all? And with proposals that take 10 milliseconds?
#
# <details><summary>Answer</summary>
#
# From 2.32 s to 2 s: 1.16 times. And to 0.33 s: 7 times. Make faster what takes longest.
#
# </details>
#
# **3.** There are 4 objects. Sorted by score the boxes are right, wrong, right, right. What is the whole area under the curve?
#
# <details><summary>Answer</summary>
#
# The precisions are 1, 1/2, 2/3, 3/4; the best from each place on are 1, 3/4, 3/4, 3/4. At the three right ones that makes (1 + 3/4 + 3/4) / 4 = 0.625. The fourth object is never found, and brings nothing. (COCO's 101 readings give 0.629.)
#
# </details>
#
# **4.** A takes 10 ms and has an mAP of 0.93, B 10 ms and 0.95, C 17 ms and 0.95, D 17 ms and 0.96. Who is beaten by nobody?
#
# <details><summary>Answer</summary>
#
# B and D. B beats A, at the same time, and C, at the same mAP. D beats C, too.
#
# </details>
#
# **5.** One detector finds all objects with scores around 0.6 and has no wrong box above 0.1. Another finds them with 0.99, and has wrong ones with 0.995. Whose mAP is higher?
#
# <details><summary>Answer</summary>
#
# The first one's: it is 1, for nothing wrong stands before anything right. The second one's list begins with errors. How large a score is does not matter, only who stands before whom.
#
# </details>

# %% [markdown]
# ## Exercises
#
# Open [the exercise notebook](12_race_exercises.ipynb) beside this one. You will write `precision_recall_area`, the average precision of a list that is judged already, and `pareto_front`, who is beaten by nobody. Last comes a question in words about five detectors and three people who each need one. `check(your_function)` answers at once and shows the first case that differs.
#
# And a detector of your own can race: whatever takes `[image]` and gives `[{"boxes", "labels", "scores"}]`. Here is one that never looks, and always says *a person, in the middle*. Who wins, and what is it worth?

# %%
# NBVAL_IGNORE_OUTPUT


def lazy(images):
    middle = {"boxes": torch.tensor([[32.0, 32, 96, 96]]), "labels": torch.tensor([person]), "scores": torch.tensor([0.9])}
    return [middle for _ in images]


segwidgets.race({"lazy": lazy, "SSD": detectors["SSD"], "Faster R-CNN": detectors["Faster R-CNN"]}, picture, classes=CLASSES)

# %% [markdown]
# ## References
#
# The course's own:
#
# - R. Girshick, J. Donahue, T. Darrell, J. Malik, *R-CNN*, 2014, [arXiv:1311.2524](https://arxiv.org/abs/1311.2524); K. He et al., *SPP-net*, 2014, [arXiv:1406.4729](https://arxiv.org/abs/1406.4729); R. Girshick, *Fast R-CNN*, 2015, [arXiv:1504.08083](https://arxiv.org/abs/1504.08083); S. Ren et al., *Faster R-CNN*, 2015, [arXiv:1506.01497](https://arxiv.org/abs/1506.01497).
# - J. Redmon et al., *You Only Look Once*, 2015, [arXiv:1506.02640](https://arxiv.org/abs/1506.02640); W. Liu et al., *SSD*, 2015, [arXiv:1512.02325](https://arxiv.org/abs/1512.02325); K. He et al., *Mask R-CNN*, 2017, [arXiv:1703.06870](https://arxiv.org/abs/1703.06870): 195 ms a picture, section 4.
# - M. Everingham et al., *The Pascal Visual Object Classes Challenge: A Retrospective*, IJCV 2015: average precision; T.-Y. Lin et al., *Microsoft COCO*, 2014, [arXiv:1405.0312](https://arxiv.org/abs/1405.0312): its mean over thresholds.
# - J. Huang et al., *Speed/Accuracy Trade-Offs for Modern Convolutional Object Detectors*, 2016, [arXiv:1611.10012](https://arxiv.org/abs/1611.10012): this lesson's race, in earnest.
#
# To read on:
#
# - T.-Y. Lin et al., *Focal Loss for Dense Object Detection*, 2017, [arXiv:1708.02002](https://arxiv.org/abs/1708.02002).
# - Z. Tian et al., *FCOS*, 2019, [arXiv:1904.01355](https://arxiv.org/abs/1904.01355); X. Zhou et al., *Objects as Points*, 2019, [arXiv:1904.07850](https://arxiv.org/abs/1904.07850).
# - N. Carion et al., *End-to-End Object Detection with Transformers*, 2020, [arXiv:2005.12872](https://arxiv.org/abs/2005.12872).
# - A. Kirillov et al., *Panoptic Segmentation*, 2018, [arXiv:1801.00868](https://arxiv.org/abs/1801.00868); *Segment Anything*, 2023, [arXiv:2304.02643](https://arxiv.org/abs/2304.02643).
# - S. Liu et al., *Grounding DINO*, 2023, [arXiv:2303.05499](https://arxiv.org/abs/2303.05499); A. Bewley et al., *Simple Online and Realtime Tracking*, 2016, [arXiv:1602.00763](https://arxiv.org/abs/1602.00763).
