# %% [markdown]
# # 01 · Sliding window
#
# **From *what* to *where*: move a classifier over the picture, count what that wastes, and then get the same answers in one pass.** About 50 minutes, and half as long again
# for the exercises.
#
# When you are through, you can
#
# - make any classifier say *where*, with a window that slides;
# - say before you run it how many windows there are, what they cost, and how often the same pixel is looked at;
# - choose a size for the window, and say what a larger or a smaller one would lose;
# - rewrite a linear layer as a convolution, and get the answers of all windows in one pass;
# - explain why a padded network gives other answers then, and where.

# %% [markdown]
# ## A classifier says what
#
# In lesson 00 no rule about colours could find the cat. What was missing is knowledge of cats. Here is a network that has it: EfficientNet-Lite0, trained on the 1.3 million photographs of
# ImageNet to tell a thousand classes apart.

# %%
import torch
import torch.nn.functional as F

import segwidgets
from course.data.photos import cat
from course.figures import show_pictures
from course.models.backbones import centre_crop, efficientnet_lite0, imagenet_classes

photo, names = cat(), imagenet_classes()  # [3, 300, 451]
network = efficientnet_lite0()

with torch.no_grad():
    probabilities = network(centre_crop(photo)).softmax(1)[0]  # [1000]
for place in probabilities.topk(3).indices:
    print(f"{names[place]:13} {probabilities[place]:4.0%}")

# %% [markdown]
# Three of ImageNet's five breeds of house cat. Add all five up, and you have how sure it is of *a cat*:

# %%
cats = [i for i, name in enumerate(names) if name in {"tabby", "tiger cat", "Persian cat", "Siamese cat", "Egyptian cat"}]


def catness(logits):
    return logits.softmax(0)[cats].sum(0)  # [1000, ...] → [...]


with torch.no_grad():
    print(f"a cat: {catness(network(centre_crop(photo))[0]):.0%}")

# %% [markdown]
# One answer for the whole picture. Nothing in it says *where*.

# %% [markdown]
# ## Slide it
#
# The oldest way to make a classifier say where: show it a small part of the picture, and ask again. A **window** goes over the picture in steps, to the right and then down. What it sees
# is a **patch**. Every patch is classified by itself, and the answer is written where the window was. In 2012 Cireşan and his colleagues won a contest with it: for every
# pixel of an electron microscope's picture they asked a network whether it is part of a cell's membrane, showing it the window around that pixel.
#
# ### See it
#
# The window has 96 × 96 pixels. The network is used to 224 × 224, so each patch is enlarged first. Click the widget, then press **space** to play or **→** to go step by step. Point at
# a cell of the map to see its window.

# %%
classifier = torch.nn.Sequential(torch.nn.Upsample(size=224, mode="bilinear"), network)
segwidgets.sliding_window(photo, classifier, size=96, stride=32, index=cats, name="cat")

# %% [markdown]
# The same network, asked 84 times, draws a map. It is surest around the eye on the right, and says *no cat* of the blurred room beside it. It also says *no cat* of the forehead on the
# left, and of the bridge of the nose: those windows show fur and nothing else.
#
# ### Build it
#
# First count. The window is $w$ pixels wide, its first stop is at the left edge, and each stop is $s$ pixels further: the **stride**. It must stay inside the picture, which is $W$ pixels wide. So
# the last stop is at $W - w$ or a little before, and the number of stops is
#
# $$\left\lfloor \frac{W - w}{s} \right\rfloor + 1.$$
#
# The $+ 1$ is the stop at the left edge. Then cut: `unfold(dimension, size, step)` puts a new last dimension that runs inside the window.


# %%
def window_positions(size, window, stride):
    return tuple((side - window) // stride + 1 for side in size)


def extract_patches(image, size, stride):
    windows = image.unfold(1, size, stride).unfold(2, size, stride)  # [3, rows, columns, size, size]
    windows = windows.permute(1, 2, 0, 3, 4)  # [rows, columns, 3, size, size]
    return windows.flatten(0, 1)  # [rows · columns, 3, size, size]


print(window_positions(photo.shape[1:], 96, 32), "rows and columns of windows;", list(extract_patches(photo, 96, 32).shape))

# %% [markdown]
# ### Check it
#
# PyTorch has a function for this too, `F.unfold`, which writes each patch as one long column:

# %%
columns = F.unfold(photo[None], 96, stride=32)[0]  # [3 · 96 · 96, 84]
torch.testing.assert_close(extract_patches(photo, 96, 32), columns.T.reshape(-1, 3, 96, 96))

# %% [markdown]
# The rest is a loop: take a few patches, classify them, go on. `SlidingWindow` is that loop. It never holds more than one batch of patches: all 84, enlarged, would take 30 times
# the memory of the picture.

# %%
from course.models.sliding_window import SlidingWindow

slide = SlidingWindow(classifier, size=96, stride=32, batch_size=2)
logits = slide(photo)  # [1000, 7, 12]: a thousand logits for each window
show_pictures({"photograph [3, 300, 451]": photo, "how sure it is of a cat [7, 12]": catness(logits)})

# %% [markdown]
# (In all maps of this course yellow is the largest value of its own picture, and the darkest purple is 0.)
#
# ### What the size of the window decides
#
# The same photograph with three windows, each enlarged to 224 pixels. Beside the picture stands the answer that came most often.

# %%
# NBVAL_IGNORE_OUTPUT
maps = {}
for size in (64, 128, 224):
    logits = SlidingWindow(classifier, size=size, stride=32, batch_size=2)(photo)  # [1000, rows, columns]
    maps[f"window {size}, up to {catness(logits).max():.0%}"] = catness(logits)
    best = logits.argmax(0).flatten().mode().values
    print(f"window {size:3}: {logits[0].numel():3} windows, most often {names[best]}")
show_pictures(maps)

# %% [markdown]
# - **64 pixels are too few.** There is fur, but whose? Without a head around it, the network guesses a chow, a ferret, a fox. What it lacks is **context**.
# - **128 pixels** show an eye and what is around it. The map says *cat* nearly everywhere on the cat, and less in two of the corners.
# - **224 pixels** hold half the photograph. It is sure everywhere, because everywhere some cat is in the window. It knows what, and no longer where: it lacks **precision**.
#
# So the size of the window trades context for precision, and no size is right for all. It also fixes the **scale**: a window that fits a cat's head does not fit a cat across the street.
#
# **Think.** In a photograph of a street, a cat is 40 pixels wide. You have only this network. What can you do, and what does it cost?
#
# <details><summary>Answer</summary>
#
# Enlarge the photograph, say four times each way, and slide a window of 224 over that. It is the same as a window of 56 on the original, enlarged. The
# number of windows, and so the cost, goes up 16 times at the same stride. To find cats of every size, do it at several scales: an **image pyramid**. Enlarging adds no detail: what 40 pixels do
# not show, 160 interpolated ones do not show either.
#
# </details>

# %% [markdown]
# ## Count the waste
#
# ### How often is a pixel looked at?
#
# Now the window that the network was made for: 224 pixels, stride 32. That makes 3 × 8 windows, and two neighbours share 86 % of their pixels.

# %%
from course.ops.windows import window_coverage

seen = window_coverage(photo.shape[1:], 224, 32)  # [300, 451]: how many windows see each pixel
print(
    f"a pixel is seen {seen.float().mean():.1f} times on average, at most {seen.max()} times; {(seen == 0).float().mean():.0%} of them never"
)
show_pictures({"photograph": photo, "seen so often": seen.float()})

# %% [markdown]
# The pixels in the middle go through the network 21 times. In a taller picture it would be 7 × 7 = 49 times, since $224 / 32 = 7$. The dark edge on the right and below is what the last
# windows did not reach.
#
# ### What does it cost?
#
# The cost of a network is counted in **multiply–adds**: one multiplication, and the addition of its product to a sum. A convolution needs one for each of its weights at each place of
# its output. `operations` counts them while the network runs, and gives the same number on every machine.

# %%
from course.cost import operations

one = operations(network, photo[None, :, :224, :224])
print(f"one window: {one:,} multiply–adds")
for stride in (32, 16, 8, 1):
    rows, columns = window_positions(photo.shape[1:], 224, stride)
    print(
        f"stride {stride:2}: {rows:2} × {columns:3} = {rows * columns:6,} windows, {rows * columns * one / 1e9:7,.1f} billion multiply–adds"
    )

# %% [markdown]
# A label for every pixel is what segmentation asks for, and that is stride 1: nearly 7 trillion multiply–adds for one small photograph. One processor core needs about ten minutes for it, and a film has 25
# pictures a second.
#
# **Think.** Halve the stride. By what factor does the cost grow? And if you double the height and width of the picture as well, and leave the window as it is?
#
# <details><summary>Answer</summary>
#
# By about 4: there are twice as many rows of windows, and twice as many columns. Twice the height and width make more than another factor of 4, for from $H - w$ to $2H - w$ is more than twice: much more where
# the window is nearly as large as the picture.
#
# </details>

# %% [markdown]
# ## All windows in one pass
#
# Two windows that overlap send the same pixels through the same layers. A convolution computes one number for each place, from the few pixels around it, and does not ask which window
# that place is in. So the work of the overlap is the same work, done again. *A convolution is a sliding window already.* Run the convolutions over the whole picture, once, and every window
# finds its features there.
#
# What stands in the way is the end of the network: a linear layer, which reads a map of a fixed size.
#
# ### A linear layer is a convolution as large as the map
#
# A linear layer flattens a map of $C$ channels, $h$ rows and $w$ columns to one long row, and takes for each class $k$ a weighted sum of it. A convolution with a kernel of $h \times w$ takes
# a weighted sum of $C \cdot h \cdot w$ numbers, too, at every place where the kernel fits. If the map is exactly as large as the kernel, there is one such place. The two sums are one:
#
# $$\sum_{i} W_{k,i} \, \text{flatten}(x)_i \;=\; \sum_{c,\,y,\,x} W_{k,c,y,x} \; x_{c,y,x}$$
#
# ### Build it


# %%
def convolutional_weight(weight, channels, size):
    return weight.reshape(-1, channels, *size)  # [K, C · h · w] → [K, C, h, w]


linear = torch.nn.Linear(2 * 3 * 3, 5)  # maps of two channels, 3 × 3, to five classes
kernel = convolutional_weight(linear.weight, 2, (3, 3))  # [5, 2, 3, 3]

# %% [markdown]
# ### Check it
#
# On a map of 3 × 3 they agree. On a larger map the linear layer refuses to answer. The convolution does not, and gives the linear layer's answer for every 3 × 3 window in it:

# %%
small = torch.randn(1, 2, 3, 3)
torch.testing.assert_close(F.conv2d(small, kernel, linear.bias).flatten(1), linear(small.flatten(1)))

large = torch.randn(1, 2, 6, 8)
blocks = extract_patches(large[0], 3, 1)  # [4 · 6, 2, 3, 3]
slid = linear(blocks.flatten(1)).T.reshape(5, 4, 6)  # the linear layer, slid
torch.testing.assert_close(F.conv2d(large, kernel, linear.bias)[0], slid)

# %% [markdown]
# ## A segmentation network, as in 2012
#
# Now the whole way, from patches to a label map, with a small network of our own: three levels of convolution and pooling, and a linear layer. It reads patches of 38 × 38 pixels. Its convolutions are
# **valid**: no padding. It is trained as Cireşan's was. Take a pixel, cut out the window around it, and ask for the class of the pixel in the middle.

# %%
from course.data.shapes import CLASSES, Shapes


def draw_patches(data, each, size):
    patches, classes = [], []
    for image, labels in data:
        mirrored = F.pad(image[None], [size // 2] * 4, mode="reflect")[0]  # so that pixels at the border have a window too
        likely = 1.0 + 4 * (labels > 0)  # pixels of objects are drawn five times as often as background
        for place in likely.flatten().multinomial(each).tolist():
            y, x = divmod(place, labels.shape[1])
            patches.append(mirrored[:, y : y + size, x : x + size])
            classes.append(labels[y, x])
    return torch.stack(patches), torch.stack(classes)  # [L, 3, size, size], [L]


# %%
torch.manual_seed(0)
patches, classes = draw_patches(Shapes("train", count=400), each=16, size=38)  # [6400, 3, 38, 38], [6400]
show_pictures({CLASSES[label]: patches[classes == label][0] for label in range(len(CLASSES))})

# %%
# NBVAL_IGNORE_OUTPUT
from course.models.sliding_window import PatchClassifier
from course.training import fit

ours = PatchClassifier(size=38, channels=(16, 32, 64), classes=len(CLASSES))
history = fit(ours, torch.utils.data.TensorDataset(patches, classes), loss=F.cross_entropy, epochs=3, batch_size=64)
print(f"{history.seconds:.0f} s")

# %% [markdown]
# `segment` slides it at stride 4 over pictures that it has never seen, and gives each block of 4 × 4 pixels the class of the window around it.

# %%
pictures, truth = zip(*(Shapes("val")[i] for i in (1, 3, 4)))
slide = SlidingWindow(ours.cpu(), size=38, stride=4)
rows = [{"picture": picture, "truth": labels, "slid": slide.segment(picture)} for picture, labels in zip(pictures, truth)]
show_pictures(rows, classes=CLASSES)

# %% [markdown]
# It has found where things are, and hardly ever what they are. You know why: most objects are larger than 38 pixels, so what the network sees is a piece of coloured surface without the outline. In these pictures
# only the outline tells a house from a car. More training helps a little, a larger window more, and costs more. Remember the number:

# %%
# NBVAL_IGNORE_OUTPUT
from course.metrics import mean_iou

unseen = [Shapes("val")[i] for i in range(40)]
slide = SlidingWindow(ours, size=38, stride=8)
labels = torch.stack([slide.segment(picture) for picture, _ in unseen])  # [40, 128, 128]
print(f"mean IoU {mean_iou(labels, torch.stack([truth for _, truth in unseen]), len(CLASSES)):.2f}")

# %% [markdown]
# ### The same map in one pass
#
# The convolutions as they are, and behind them the linear layer as a convolution:

# %%
from course.models.fcn import convolutionalise

whole = torch.nn.Sequential(ours.features, convolutionalise(ours.linear, *ours.map_size))
slid = SlidingWindow(ours, size=38, stride=ours.stride)(pictures[0])  # [7, 12, 12]
with torch.no_grad():
    at_once = whole(pictures[0][None])[0]  # [7, 12, 12]
torch.testing.assert_close(at_once, slid, rtol=1e-5, atol=1e-5)

# %% [markdown]
# The same, up to the rounding of 32-bit numbers. Watch the counter, and what happens at the end:

# %%
# NBVAL_IGNORE_OUTPUT
segwidgets.sliding_window(pictures[0], ours, size=38, stride=ours.stride, index=[1, 2, 3, 4, 5, 6], name="object", convolutional=whole)

# %% [markdown]
# **Think.** The window must move by 8 pixels, no less. Why? And how could one get a map at stride 4 from single passes?
#
# <details><summary>Answer</summary>
#
# The network pools three times by 2, so the cells of its last map are 8 pixels apart: that is the stride of one pass. For stride 4, run it four times, on the picture without its first 0 or 4 rows and without its first 0
# or 4 columns, and interleave the four maps. This is called *shift and stitch*. In general it takes (8 / stride)² passes: 64 for every pixel, and still far less than sliding.
#
# </details>

# %% [markdown]
# ## Where padding breaks it
#
# Now the real network, on the photograph: slid with its window of 224 at stride 32, and in one pass. `head_map` is its head made convolutional: the averaging slides over 7 × 7 cells, and the linear
# layer has become a 1 × 1 convolution.


# %%
@torch.no_grad()
def one_pass(images):
    return network.head_map(network.features(images)[32])  # [N, 1000, H/32 − 6, W/32 − 6]


segwidgets.sliding_window(photo, network, size=224, stride=32, index=cats, name="cat", convolutional=one_pass)

# %%
# NBVAL_IGNORE_OUTPUT
at_once = one_pass(photo)[0]  # [1000, 3, 8]
slid = SlidingWindow(network, size=224, stride=32, batch_size=2)(photo)  # [1000, 3, 8]
print(f"a cat, on average: {catness(slid).mean():.0%} slid, {catness(at_once).mean():.0%} in one pass")
print(f"the same first class in {(slid.argmax(0) == at_once.argmax(0)).sum()} of {slid[0].numel()} windows")
show_pictures({"slid": catness(slid), "in one pass": catness(at_once), "difference": catness(at_once) - catness(slid)})

# %% [markdown]
# The same weights, the same places, and *other numbers*. It names the same class nearly everywhere, but it is far less sure.
#
# ### Why
#
# The convolutions of this network are **padded**: around its input, each layer sees a frame of zeros, so that maps do not shrink. A patch of 224 pixels is surrounded by zeros, in every layer. In one pass, the same 224 pixels are
# surrounded by the rest of the cat. Compare the features of one window with those at the same place in the whole photograph, layer by layer. Yellow is where they differ most:

# %%
window = photo[:, 32:256, 96:320]  # the window in row 1, column 3
with torch.no_grad():
    alone, within = network.features(window), network.features(photo)
differences = {}
for stride, features in alone.items():
    top, left, side = 32 // stride, 96 // stride, 224 // stride
    same_place = within[stride][:, :, top : top + side, left : left + side]
    distance = (features - same_place).norm(dim=1)[0] / features.norm(dim=1).mean()  # [side, side], relative
    differences[f"stride {stride}: {(distance > 1e-3).float().mean():.0%} of {side} × {side} differ"] = distance
show_pictures(differences)

# %% [markdown]
# At stride 2 only the outermost cells feel the frame. Each further layer carries it further in. At stride 16 there is no cell left that does not know where the window ended, and at stride 32 the features differ by about
# 40 % in the middle and 70 % in the corners.
#
# How far a cell looks is its **receptive field**. For these five maps it is

# %%
for stride in alone:
    print(f"stride {stride:2}: {network.receptive_field(stride).size:3} × {network.receptive_field(stride).size:3} pixels")

# %% [markdown]
# From stride 16 on it is larger than the window. A cell that looks beyond the window must see something there: zeros when slid, the rest of the picture in one pass. In *our* network nothing is padded, so every cell looks
# at pixels of its own window only, and the two ways agree.
#
# Point at a cell of the last map: the box is all that it *can* see, the bright part what it really reacts to.

# %%
segwidgets.receptive_field(network, photo, layer="network._blocks.15")  # the last block, at stride 32

# %% [markdown]
# Which of the two answers is right? Neither. In training, every picture was 224 pixels wide and stood in a frame of zeros. The network has got used to the frame, and in one pass the frame is somewhere else. One could do without
# padding. The better remedy is to *train* a network in the way in which it will be used, on whole pictures. That is lesson 02.

# %% [markdown]
# ## Measure it
#
# The same 3 × 8 answers, both ways, counted and timed on this machine:

# %%
both = {"sliding window": SlidingWindow(network, size=224, stride=32, batch_size=2), "one pass": one_pass}
counts = {name: operations(way, photo[None]) for name, way in both.items()}
for name, count in counts.items():
    print(f"{name:15} {count / 1e9:5.2f} billion multiply–adds")
print(f"ratio           {counts['sliding window'] / counts['one pass']:5.1f}")

# %%
# NBVAL_IGNORE_OUTPUT
from course.cost import seconds

times = {name: seconds(way, photo[None], repeats=3) for name, way in both.items()}
for name, time in times.items():
    print(f"{name:15} {time:5.2f} s")
print(f"ratio           {times['sliding window'] / times['one pass']:5.1f}")

# %% [markdown]
# ## What it costs
#
# The running table of the course, one row an idea. From now on it has two columns for the cost, always of the cat photograph with EfficientNet-Lite0. The time is that of one processor core;
# yours stands above.
#
# | lesson | idea | what it gives | multiply–adds | time | what it still cannot do |
# |---|---|---|---|---|---|
# | 00 | colour and nearness | regions, without training | | | say what a region is |
# | **01** | **sliding window, 224 at stride 32** | **a class for the middle of each window** | **9.2 billion** | **0.9 s** | **stop computing the same features again and again: 6,762 billion at stride 1** |
#
# One pass needs 1.0 billion, nine times less, and yet its answers are those of a network that was made for something else, at 1/32 of the resolution. Lesson 02 takes the step for good: a network that is convolutional from
# its first layer to its last, trained on whole pictures, with an answer for every pixel.

# %% [markdown]
# ## Quiz
#
# **1.** A picture of 100 × 200 pixels, a window of 20, stride 10. How many windows are there?
#
# <details><summary>Answer</summary>
#
# (100 − 20) / 10 + 1 = 9 rows and (200 − 20) / 10 + 1 = 19 columns: 171 windows.
#
# </details>
#
# **2.** How many of them see a pixel in the middle of the picture?
#
# <details><summary>Answer</summary>
#
# 20 / 10 = 2 in each direction, so 4.
#
# </details>
#
# **3.** A linear layer takes a map of 512 channels, 7 × 7, to 4096 numbers. What shape has the weight of the convolution that does the same? Has it more weights?
#
# <details><summary>Answer</summary>
#
# [4096, 512, 7, 7]. They are the same 102,760,448 numbers in another shape.
#
# </details>
#
# **4.** A classifier of valid convolutions has a stride of 16. Slid at stride 16 and run in one pass it gives the same map. And slid at stride 32?
#
# <details><summary>Answer</summary>
#
# Then it gives every second row and column of that map. One pass costs the same as before; sliding costs a quarter.
#
# </details>
#
# **5.** In the middle of a window, 112 pixels from its border, the features of EfficientNet-Lite0 at stride 32 still differ between slid and one pass. How can that be?
#
# <details><summary>Answer</summary>
#
# A cell at stride 32 looks at 851 × 851 pixels, far beyond the window on all sides. Slid, it sees the zeros there; in one pass, the rest of the picture.
#
# </details>

# %% [markdown]
# ## Exercises
#
# Open [the exercise notebook](01_sliding_window_exercises.ipynb) beside this one. You will write `window_positions`, `extract_patches` and `convolutional_weight`, now for any picture, window and stride, and then choose for a
# laboratory between sliding and one pass, with numbers. `check(your_function)` answers at once and shows the first case that differs.

# %% [markdown]
# ## References
#
# - D. Cireşan, A. Giusti, L. Gambardella, J. Schmidhuber, *Deep Neural Networks Segment Neuronal Membranes in Electron Microscopy Images*, NeurIPS 2012: a class for every pixel, by windows.
# - C. Farabet, C. Couprie, L. Najman, Y. LeCun, *Learning Hierarchical Features for Scene Labeling*, TPAMI 2013, [doi:10.1109/TPAMI.2012.231](https://doi.org/10.1109/TPAMI.2012.231): several scales, and features computed once.
# - P. Sermanet, D. Eigen, X. Zhang, M. Mathieu, R. Fergus, Y. LeCun, *OverFeat: Integrated Recognition, Localization and Detection using Convolutional Networks*, 2013, [arXiv:1312.6229](https://arxiv.org/abs/1312.6229), section 3.5: why sliding a convolutional network is cheap.
# - J. Long, E. Shelhamer, T. Darrell, *Fully Convolutional Networks for Semantic Segmentation*, 2014, [arXiv:1411.4038](https://arxiv.org/abs/1411.4038), sections 3.1 and 3.2: linear layers as convolutions; shift and stitch.
# - W. Luo, Y. Li, R. Urtasun, R. Zemel, *Understanding the Effective Receptive Field in Deep Convolutional Neural Networks*, 2016, [arXiv:1701.04128](https://arxiv.org/abs/1701.04128).
# - M. Tan, Q. V. Le, *EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks*, 2019, [arXiv:1905.11946](https://arxiv.org/abs/1905.11946).
