# %% [markdown]
# # 00 · What segmentation is
#
# **A label for every pixel, and an honest number for how good the labels are.** About 45 minutes, and half an hour for the exercises.
#
# When you are through, you can
#
# - tell semantic from instance segmentation, and say what each of them leaves out;
# - segment a photograph by a threshold, by merging and by superpixels, and say what each takes a region to be;
# - predict where each of the three fails, before you run it;
# - do a confusion matrix, IoU and mean IoU by hand, and say when pixel accuracy lies;
# - find your way in the data of this course.

# %% [markdown]
# ## One picture, four questions
#
# *What is in this picture?* That question is **classification**, and its answer is a word or two. *Where is it?* is **detection**: a box around each object, with its
# class. Most of a box is often something else.

# %%
import torch
import torch.nn.functional as F

import segwidgets
from course.data.photos import cat, photo
from course.data.shapes import CLASSES, Shapes
from course.figures import show_objects, show_pictures

image, objects = Shapes("val", target="instances")[97]
show_objects([(image, {"boxes": objects["boxes"], "labels": objects["labels"]})], CLASSES)

# %% [markdown]
# *Which class is each pixel?* is **semantic segmentation**. The answer is a map as large as the picture, with one whole number in each cell: 0 for the background,
# 1 for a person, and so on.

# %%
show_pictures({"picture [3, 128, 128]": image, "semantic [128, 128]": objects["semantic"]}, classes=CLASSES)

# %% [markdown]
# Look at the two houses that touch. In the semantic map they are one patch of *house*: nothing in it says *two*. *Which object is each pixel?* is **instance
# segmentation**, and there they come apart:

# %%
masks, labels = objects["masks"], objects["labels"]  # [N, 128, 128] bool, [N]
show_pictures({f"mask {i}: {CLASSES[label]}": mask for i, (mask, label) in enumerate(zip(masks, labels))})

# %% [markdown]
# A network that answers for every pixel is said to do **dense prediction**. The answer need not be a class: it can be the distance to the camera, the direction in which
# the pixel moves, or the colour that a grey photograph should have had. The networks are much the same. This course stays with classes and objects.
#
# Lessons 00 to 03 are about semantic segmentation. From lesson 04 on it is about objects, and in lesson 11 both meet.

# %% [markdown]
# ## Segmenting without learning anything
#
# People have divided pictures into regions for far longer than networks have learnt to. All classic methods rest on one belief: *what belongs together looks alike*. They
# differ in what "alike" means.
#
# ### A threshold
#
# The simplest belief: the object is bright and the background is dark. Then one number divides them. Which number? Otsu (1979) takes the one that sets the two sides furthest
# apart. With $w_0$ and $w_1$ the shares of the pixels on the two sides and $\mu_0$ and $\mu_1$ their mean grey values, it is the threshold with the largest
#
# $$\sigma_B^2 = w_0 \, w_1 \, (\mu_1 - \mu_0)^2,$$
#
# the **between-class variance**. These are Roman coins. Click the widget, then press **space** to play or **→** to go step by step.

# %%
coins = photo("coins")  # [3, 303, 384]
segwidgets.threshold(coins)

# %% [markdown]
# #### Build it
#
# The histogram is all that is needed. Running sums give the weights and means of all 256 thresholds at once.


# %%
def otsu(grey, bins=256):
    low, high = grey.min().item(), grey.max().item()
    counts = torch.histc(grey, bins, low, high)  # [256]
    centres = low + (torch.arange(bins) + 0.5) * (high - low) / bins  # [256]
    below, sums = counts.cumsum(0), (counts * centres).cumsum(0)
    above = grey.numel() - below
    difference = (sums[-1] - sums) / above - sums / below
    return centres[(below * above * difference**2).nan_to_num().argmax()]


grey = coins[0]  # [303, 384]: in a grey picture all three channels are equal
print(f"threshold {otsu(grey):.3f}")

# %% [markdown]
# #### Check it

# %%
from skimage.filters import threshold_otsu

assert abs(otsu(grey) - threshold_otsu(grey.numpy())) < 1e-4
print("The same as scikit-image's.")

# %% [markdown]
# #### Where it fails
#
# There are 24 coins. A region is a patch of bright pixels that hang together; `skimage.measure.label` counts those:

# %%
from skimage.measure import label

bright = grey > otsu(grey)  # [303, 384]
patches = torch.from_numpy(label(bright.numpy()))
sizes = torch.bincount(patches.flatten())[1:]
print(f"{len(sizes)} patches")
show_pictures({"coins": coins, "bright": bright, "the largest patch": patches == 1 + sizes.argmax()})

# %% [markdown]
# The light comes from above. Up there the *background* is as bright as the coins further down, so no single threshold can be right for both. The largest "coin" is the
# upper edge of the picture, and a real coin that hangs on it.
#
# **Think.** Would it help to choose a threshold for each part of the picture? What would that cost?
#
# <details><summary>Answer</summary>
#
# Yes: a *local* threshold, such as the mean of the surroundings, finds all 24 coins. The price is a new number to choose, the size of the surroundings. If they are
# smaller than a coin, the middle of the coin is compared with itself. Every classic method has such a number, and the best value is different for each picture.
#
# </details>

# %% [markdown]
# ### Merging
#
# A better belief: a region may have any colour, but inside it neighbours differ *little*. Felzenszwalb and Huttenlocher (2004) start with each pixel as a region of its own. They
# go through all pairs of neighbours, the most alike first, and merge the two regions unless the step between them is larger than the steps inside them. How much larger it may be
# depends on the size: by *scale* ÷ number of pixels. So small regions merge easily and large ones hardly.

# %%
segwidgets.felzenszwalb(photo("coffee"), scales=(100, 1000), min_size=50)

# %% [markdown]
# At scale 1000 the cup, the saucer and the table are regions, and nobody said what a cup is. Now the photograph that will stay with us to the end of the course:

# %%
segwidgets.felzenszwalb(cat(), scales=(100, 300, 1000), min_size=50)

# %% [markdown]
# At scale 100 the cat is torn into dozens of pieces. At scale 1000 its fur and what lies behind it are one region. And there is *no* scale in between at which the cat is a region: at 300
# its stripes still stand apart, and its cheek has already run into the background. The stripes differ more from each other than the cheek from the room behind it.
#
# ### Superpixels
#
# If regions cannot be objects, let them at least be handy. SLIC (2012) cuts the picture into about as many pieces as it is told. It is k-means: each pixel
# joins the centre that is nearest in *colour and place*, then each centre moves to the middle of its pixels.

# %%
segwidgets.slic(cat(), n_segments=100, iterations=4)

# %% [markdown]
# A superpixel does not want to be an object. It wants not to cross an edge, so that one label will do for all of its pixels: 100 decisions in place of 135,300. How well it keeps
# that promise, we shall measure below.
#
# **Think.** Here are the three beliefs: *bright*, *little difference inside*, *near in colour and place*. Which of them knows something about cats?
#
# <details><summary>Answer</summary>
#
# None. All three look at colours, at most at those of neighbours. That the eye, the whiskers and the striped fur belong together, and the room behind, of nearly the same colour, does not, cannot
# be seen in any colour. One has to have seen cats. That is why the rest of this course learns.
#
# </details>

# %% [markdown]
# ## The data of this course
#
# To learn, and to measure, one needs pictures in which every pixel is known. Labelling one street scene by hand takes more than an hour and a half (Cityscapes, 2016). So the course
# draws its own: `Shapes` puts people, cars, houses, fish, stars and rings onto photographs. They cover each other, run out of the picture, are lit and blurred; and since the computer has
# drawn them, it knows everything about them.

# %%
examples = Shapes("val", target="instances")
show_objects([examples[i] for i in (1, 3, 9, 11)], CLASSES)

# %% [markdown]
# Picture number 9 is the same today, tomorrow and on every machine. `Shapes("train")`, `"val"` and `"test"` never share a scene, nor a piece of background. Any object may have any
# colour: what it is, only its *shape* tells.
#
# | target | shape | |
# |---|---|---|
# | `semantic` | `[S, S]` | the class of each pixel |
# | `masks` | `[N, S, S]` | for each object, its visible pixels |
# | `boxes` | `[N, 4]` | left, top, right, bottom, in pixels |
# | `labels` | `[N]` | the class of each object |
# | `keypoints` | `[N, K, 3]` | the joints of the people: x, y, and whether they can be seen |
#
# ### Build it: from instances to classes
#
# The semantic map follows from the masks. Nothing leads back.

# %%
semantic = torch.zeros(128, 128, dtype=torch.long)
for mask, label_of_object in zip(masks, labels):
    semantic[mask] = label_of_object

assert (semantic == objects["semantic"]).all()

# %% [markdown]
# ### Void
#
# Where exactly does a whisker end? Those who label real pictures often cannot say, and they should not have to. Such pixels get the label 255, **void**. They count nowhere: not in the
# training, not in the score. In Pascal VOC a seam of void runs around every object. Ours would look like this, striped grey:

# %%
from course.metrics import boundary_band

with_seam = semantic.masked_fill(boundary_band(semantic, 1), 255)
show_pictures({"every pixel known": semantic, "with a seam of void": with_seam}, classes=CLASSES)

# %% [markdown]
# ## How good is a map of labels?
#
# ### The trap
#
# The obvious measure is **pixel accuracy**, the share of right pixels. Here is the laziest segmentation there is: *everything is background*.

# %%
from course.metrics import pixel_accuracy

test = Shapes("test", count=200, size=64)
pictures, truth = (torch.stack(part) for part in zip(*test))  # [200, 3, 64, 64], [200, 64, 64]

nothing = torch.zeros_like(truth)
print(f"pixel accuracy of an empty answer: {pixel_accuracy(nothing, truth):.0%}")

# %% [markdown]
# It has found nothing, and five pixels of six are right. The more background there is, the less an answer is worth in this measure. We need one that asks each class for itself.
#
# ### By hand
#
# Sixteen pixels, three classes. In the **confusion matrix** row $i$, column $j$ says how many pixels of class $i$ were called $j$. What is right stands on the diagonal.

# %%
true = torch.tensor([[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [2, 2, 0, 0]])
predicted = torch.tensor([[0, 0, 0, 0], [0, 1, 1, 1], [0, 1, 0, 0], [0, 2, 0, 0]])
show_pictures({"true": true, "predicted": predicted}, classes=("0", "1", "2"))

# %% [markdown]
# Count before you go on: how many pixels of class 1 were called 0? How many of class 2?
#
# Class 1 has 4 pixels. 4 were called 1, and 3 of those rightly. **Intersection over union** divides what both maps call 1 by what either calls 1:
#
# $$\mathrm{IoU}_1 = \frac{\text{both}}{\text{true} + \text{predicted} - \text{both}} = \frac{3}{4 + 4 - 3} = 0.6$$
#
# A pixel too many costs as much as one too few. A class that is never found has 0, however rare it is. The mean over the classes is the **mean IoU**, mIoU for short.
#
# ### Build it
#
# Each pixel is a pair (true, predicted), and a pair of numbers below 3 is one number below 9. So the matrix is a single count.


# %%
def confusion_matrix(predicted, true, classes):
    pairs = true.flatten() * classes + predicted.flatten()  # 0 … classes² − 1
    return torch.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def class_iou(confusion):
    both = confusion.diagonal()
    return both / (confusion.sum(1) + confusion.sum(0) - both)


confusion = confusion_matrix(predicted, true, 3)
print(confusion)
print(
    "IoU of each class:", [round(iou, 2) for iou in class_iou(confusion).tolist()], " mean:", round(class_iou(confusion).mean().item(), 2)
)

# %% [markdown]
# ### Check it

# %%
from course import metrics

torch.testing.assert_close(confusion, metrics.confusion_matrix(predicted, true, 3))
torch.testing.assert_close(class_iou(confusion).mean().item(), metrics.mean_iou(predicted, true, 3), rtol=1e-6, atol=0)
print(f"mean IoU of an empty answer: {metrics.mean_iou(nothing, truth, len(CLASSES)):.2f}")

# %% [markdown]
# There it is: of seven classes one was found, and not even that one purely. The course's own functions also leave out void, and classes that are in neither map.
#
# **Think.** A network calls every pixel *person*. What is its IoU for *person* if a tenth of the pixels are people? What is its pixel accuracy?
#
# <details><summary>Answer</summary>
#
# Both is 0.1, true is 0.1, predicted is 1: the IoU is 0.1 / (0.1 + 1 − 0.1) = 0.1. The accuracy is 0.1, too. Calling everything by one name is never rewarded, unless that name is right
# nearly everywhere: then accuracy falls for it, and mIoU does not.
#
# </details>

# %% [markdown]
# ## Measure it: how far does colour carry?
#
# Classic methods look at colours but learn nothing. So let us learn, from colours alone. For each class there is a weight for red, green and blue, and the class with the largest
# weighted sum wins. Each pixel is judged for itself. In PyTorch that is a convolution with a 1 × 1 kernel:

# %%
from torch import nn

torch.manual_seed(0)
colours_only = nn.Conv2d(3, len(CLASSES), kernel_size=1)  # [N, 3, H, W] → [N, 7, H, W]
print(sum(parameter.numel() for parameter in colours_only.parameters()), "parameters")

# %% [markdown]
# `fit` trains it: it shows it pictures, and makes the scores of the true classes larger. How that works, lesson 02 takes apart.

# %%
# NBVAL_IGNORE_OUTPUT
from course.training import fit

train = Shapes("train", count=300, size=64)
fit(colours_only, train, loss=F.cross_entropy, epochs=3, optimiser=torch.optim.Adam(colours_only.parameters(), lr=0.1))

with torch.no_grad():
    answer = colours_only.cpu()(pictures).argmax(1)  # [200, 64, 64]
print(f"pixel accuracy {pixel_accuracy(answer, truth):.0%}, mean IoU {metrics.mean_iou(answer, truth, len(CLASSES)):.2f}")

# %% [markdown]
# Do these numbers look familiar? It *has* learnt something: that background is the best answer to every colour. The trap is not only for those who measure. A network walks into it, too,
# if the loss lets it.
#
# So let us weigh each class by how rare it is. A pixel of a fish then counts several times as much as one of the background.

# %%
# NBVAL_IGNORE_OUTPUT
share = torch.bincount(torch.cat([labels.flatten() for _, labels in train]), minlength=len(CLASSES)) / (300 * 64 * 64)
weight = 1 / (share * len(CLASSES))


def balanced(scores, labels):
    return F.cross_entropy(scores, labels, weight=weight.to(scores))


torch.manual_seed(0)
colours_only = nn.Conv2d(3, len(CLASSES), kernel_size=1)
fit(colours_only, train, loss=balanced, epochs=3, optimiser=torch.optim.Adam(colours_only.parameters(), lr=0.1))

with torch.no_grad():
    answer = colours_only.cpu()(pictures).argmax(1)  # [200, 64, 64]
confusion = metrics.confusion_matrix(answer, truth, len(CLASSES))
print(f"pixel accuracy {pixel_accuracy(answer, truth):.0%}, mean IoU {metrics.mean_iou(answer, truth, len(CLASSES)):.2f}")
for name, iou in zip(CLASSES, metrics.class_iou(confusion).tolist()):
    print(f"  {name:10} {iou:.2f}")

# %% [markdown]
# Now it answers, and is wrong:

# %%
chosen = (0, 1, 2)
show_pictures([{"picture": pictures[i], "truth": truth[i], "by colour alone": answer[i]} for i in chosen], classes=CLASSES)

# %% [markdown]
# Look at the failures. Every pixel of one colour gets one class, wherever it stands. An object of two colours falls apart, and where the background has such a colour, it is taken along. It is
# not that 28 parameters are too few: *any* function of the colour of one pixel must give the same answer for the same colour, and here a ring may be as red as a house.
#
# ### Is it the regions that are missing, or the names?
#
# Let somebody who knows the truth name the superpixels, each by the class that most of its pixels have. No method that gives one label to a superpixel can do better.

# %%
# NBVAL_IGNORE_OUTPUT
from skimage.segmentation import slic


def best_names(regions, truth):
    votes = torch.zeros(regions.max() + 1, len(CLASSES))
    votes.index_put_((regions.flatten(), truth.flatten()), torch.tensor(1.0), accumulate=True)  # [regions, 7]
    return votes.argmax(1)[regions]


superpixels = [torch.from_numpy(slic(picture.permute(1, 2, 0).numpy(), n_segments=200, start_label=0)) for picture in pictures]
named = torch.stack([best_names(regions, labels) for regions, labels in zip(superpixels, truth)])
print(f"mean IoU with the best names: {metrics.mean_iou(named, truth, len(CLASSES)):.2f}")

# %% [markdown]
# The edges are there, found in milliseconds and without any training. What is missing is the names. Colour does not tell them. Shape would, and shape is what a *neighbourhood* has.
#
# **A pixel alone does not know what it is. It takes its surroundings.**

# %% [markdown]
# ## What it costs
#
# The running table of the course, one row an idea:
#
# | lesson | idea | what it gives | what it still cannot do |
# |---|---|---|---|
# | **00** | **colour and nearness** | **regions, at once and without training** | **say what a region is; tell the cat from the room** |
#
# The next idea is the oldest that works: show a classifier not a pixel but the *window* around it, and ask what is in the middle. Then move the window on by a pixel, and ask again. Lesson 01 does
# that with a real network on our cat, and counts.

# %% [markdown]
# ## Quiz
#
# **1.** Two cats overlap. How many numbers differ between the semantic map and one in which they were a single, larger cat?
#
# <details><summary>Answer</summary>
#
# None. The semantic map holds the class of each pixel, and all of them are *cat*. Only instance masks tell two from one.
#
# </details>
#
# **2.** You double the *scale* of Felzenszwalb's method. Are there more regions or fewer?
#
# <details><summary>Answer</summary>
#
# Fewer, hardly ever as many. A region of n pixels now merges over steps that are up to 2 · scale ÷ n larger than those inside it.
#
# </details>
#
# **3.** A photograph of a page: dark letters, bright paper, and a shadow on the left. Does Otsu's threshold find the letters?
#
# <details><summary>Answer</summary>
#
# On the right, yes. On the left only if the paper in the shadow is still brighter than the threshold. If it is not, shadow and letters become one dark region. Try it:
# `segwidgets.threshold(photo("page"))`.
#
# </details>
#
# **4.** True: 10 pixels of class 1. Predicted: 20 pixels of class 1, and all 10 true ones are among them. What is the IoU?
#
# <details><summary>Answer</summary>
#
# 10 / (10 + 20 − 10) = 0.5. Twice the size costs as much as half the size.
#
# </details>
#
# **5.** A picture has 1000 pixels: 900 background, 50 car, 50 void. A network calls everything background. What are its pixel accuracy and its mean IoU?
#
# <details><summary>Answer</summary>
#
# Void counts nowhere, so 950 pixels are judged. The accuracy is 900 / 950 = 95 %. The IoU of the background is 900 / 950 = 0.95 as well, that of the car is 0: the mean is 0.47.
#
# </details>

# %% [markdown]
# ## Exercises
#
# Open [the exercise notebook](00_segmentation_exercises.ipynb) beside this one. You will write `confusion_matrix` and `class_iou`, now with void and with classes that are not there, and
# `semantic_map`, in which objects cover each other. `check(your_function)` answers at once and shows the first case that differs.

# %% [markdown]
# ## References
#
# - N. Otsu, *A Threshold Selection Method from Gray-Level Histograms*, IEEE Transactions on Systems, Man, and Cybernetics 1979, [doi:10.1109/TSMC.1979.4310076](https://doi.org/10.1109/TSMC.1979.4310076).
# - P. Felzenszwalb, D. Huttenlocher, *Efficient Graph-Based Image Segmentation*, IJCV 2004, [doi:10.1023/B:VISI.0000022288.19776.77](https://doi.org/10.1023/B:VISI.0000022288.19776.77).
# - R. Achanta, A. Shaji, K. Smith, A. Lucchi, P. Fua, S. Süsstrunk, *SLIC Superpixels Compared to State-of-the-Art Superpixel Methods*, TPAMI 2012, [doi:10.1109/TPAMI.2012.120](https://doi.org/10.1109/TPAMI.2012.120).
# - M. Everingham, L. Van Gool, C. Williams, J. Winn, A. Zisserman, *The Pascal Visual Object Classes Challenge*, IJCV 2010, [doi:10.1007/s11263-009-0275-4](https://doi.org/10.1007/s11263-009-0275-4): void, and intersection over union.
# - M. Cordts and others, *The Cityscapes Dataset for Semantic Urban Scene Understanding*, 2016, [arXiv:1604.01685](https://arxiv.org/abs/1604.01685): what labelling costs.
# - A. Kirillov, K. He, R. Girshick, C. Rother, P. Dollár, *Panoptic Segmentation*, 2019, [arXiv:1801.00868](https://arxiv.org/abs/1801.00868): semantic and instance segmentation as one task.
