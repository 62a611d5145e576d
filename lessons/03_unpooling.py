# %% [markdown]
# # 03 · Unpooling and transposed convolution
#
# **How a segmentation network gets its pixels back.** About 55 minutes, and as long again for the exercises.
#
# When you are through, you can
#
# - say what pooling destroys, and show it with two pictures that pool to the same numbers;
# - do nearest-neighbour, bed-of-nails and max unpooling by hand, and write each in a few lines;
# - explain transposed convolution as a stamp and as a matrix, and get its output size right the first time;
# - see a checkerboard coming before it is in your masks, and avoid it;
# - choose a way up for a network of your own, with a measurement to back the choice.

# %% [markdown]
# ## Why go back up?
#
# A classifier can be made *fully convolutional*: its last layer, too, slides over the picture, and one pass gives an answer for every place
# (lesson 02). Here is EfficientNet-Lite0, trained on ImageNet, on our cat. Every cell of the small map answers one question: *is this a cat?*

# %%
import torch
import torch.nn.functional as F

import segwidgets
from course.data.photos import cat
from course.figures import show_curves, show_pictures
from course.models.backbones import centre_crop, efficientnet_lite0, imagenet_classes

photo = centre_crop(cat())  # [3, 224, 224]
network = efficientnet_lite0()

with torch.no_grad():
    features = network.features(photo)  # {stride: [1, C, 224 / stride, 224 / stride]}
    cells = features[32].flatten(2).permute(2, 1, 0).unsqueeze(-1)  # [49, 320, 1, 1], each cell a picture of its own
    probabilities = network.head(cells).softmax(1)  # [49, 1000]

cats = [i for i, name in enumerate(imagenet_classes()) if name in {"tabby", "tiger cat", "Persian cat", "Siamese cat", "Egyptian cat"}]
catness = probabilities[:, cats].sum(1).reshape(7, 7)
show_pictures({"photograph [3, 224, 224]": photo, "how sure it is of a cat [7, 7]": catness})

# %% [markdown]
# (In all maps of this course yellow is the largest value of its own picture, and the darkest purple is 0.)
#
# It is sure in the middle and unsure towards the edge, though there is fur nearly everywhere. Either way it answers in 49 cells, and the photograph has
# 50,176 pixels. One cell stands for a square of 32 × 32 pixels: enough to say *cat, about here*, hopeless for a whisker.
#
# Keeping full resolution all the way through would cost far too much: each halving of height and width cuts the work of the layers behind it to a
# quarter. So a segmentation network goes *down* to see more, and then *up* again to say it pixel by pixel:
#
# ```
# pixels ──▶ half ──▶ quarter ──▶ eighth ──▶ quarter ──▶ half ──▶ a label for every pixel
#        pool     pool       pool        ↑           ↑        ↑
#                                   the way up is what this lesson is about
# ```

# %% [markdown]
# ## The way down, and what it destroys
#
# ### See it
#
# Max pooling keeps the largest number of each window. Click the widget, then press **space** to play or **→** to go step by step. Point at
# a cell to see where its number comes from.

# %%
numbers = torch.tensor([[1, 2, 6, 3], [3, 5, 2, 1], [1, 2, 2, 1], [7, 3, 4, 8]]).float().reshape(1, 1, 4, 4)
segwidgets.pool(numbers, kernel_size=2)

# %% [markdown]
# Sixteen numbers became four. A place is remembered for each: the cells that stay lit are called **switches**. They will come back.
#
# The other classic way down is to average. A block of $s \times s$ pixels becomes one, their mean:
#
# $$P_k = \frac{1}{s^2} \sum_{i \in \text{block } k} I_i$$
#
# Here $I_i$ are the pixels of block $k$, $s$ is the factor by which the picture shrinks, and $P_k$ is the pixel that is left.

# %%
segwidgets.pool(numbers, kernel_size=2, mode="average")

# %% [markdown]
# ### Build it
#
# Cut the picture into windows, then keep one number of each. `unfold(dimension, size, step)` does the cutting: it puts a new
# last dimension that runs inside the window.


# %%
def max_pool_2x2(x):
    pairs_of_rows = x.unfold(2, 2, 2)  # [N, C, H/2, W, 2]
    windows = pairs_of_rows.unfold(3, 2, 2)  # [N, C, H/2, W/2, 2, 2]
    return windows.amax((-2, -1))  # [N, C, H/2, W/2]


max_pool_2x2(numbers)

# %% [markdown]
# ### Check it
#
# Against PyTorch, on numbers that nobody chose:

# %%
x = torch.randn(2, 3, 8, 10)
torch.testing.assert_close(max_pool_2x2(x), F.max_pool2d(x, 2))

# %% [markdown]
# ### What is gone
#
# These two inputs are different. After pooling nobody can tell them apart:

# %%
a = torch.tensor([[9, 0, 0, 0], [0, 0, 0, 9], [0, 0, 9, 0], [0, 9, 0, 0]]).float().reshape(1, 1, 4, 4)
b = torch.tensor([[0, 0, 0, 0], [0, 9, 9, 0], [0, 9, 9, 0], [0, 0, 0, 0]]).float().reshape(1, 1, 4, 4)
show_pictures({"a": a[0, 0], "b": b[0, 0], "max pool of a": max_pool_2x2(a)[0, 0], "max pool of b": max_pool_2x2(b)[0, 0]})

# %% [markdown]
# Four separate dots and a square in the middle: the same four numbers. So no layer can undo pooling from its output alone. Every way up has to *invent*
# three numbers of four, or be told something.
#
# The same on the real thing: channel 18 of EfficientNet-Lite0 on our cat, a map that answers to eyes, and to the nostril. Point at a cell: the dashed box is what
# that cell can see of the photograph, its **receptive field**; the small box is the patch that it stands for.

# %%
maps = features[8].relu()  # [1, 40, 28, 28]
field = network.receptive_field(8)
segwidgets.pool(maps, kernel_size=2, channel=18, image=photo, field=field)

# %% [markdown]
# ## Four ways up, on the same numbers
#
# ### See it
#
# Four numbers, `1 2 3 4`, have to become sixteen. **Nearest neighbour** copies each into its block:

# %%
small = torch.tensor([[1, 2], [3, 4]]).float().reshape(1, 1, 2, 2)
segwidgets.unpool(small, 2, mode="nearest")

# %% [markdown]
# **Bed of nails** puts each into one corner of its block and leaves the rest 0, like nails standing in a board:

# %%
segwidgets.unpool(small, 2, mode="bed_of_nails")

# %% [markdown]
# **Max unpooling** has been told something. Its pooling layer, on the way down, noted where each maximum was. On the way up the *corresponding*
# unpooling layer puts every value back there. Turn on **Predict** (or press **p**). First say what each window keeps; then, on the way up, say where each
# number goes.

# %%
segwidgets.unpool(small, 2, mode="max", switches_from=numbers)

# %% [markdown]
# The values in between have changed: a network has worked on them. The places have not. That is all there is to max unpooling: *values from the
# network, places from the pooling*.
#
# **Bilinear interpolation** is the fourth without weights. Each new pixel blends the four nearest old ones, the nearer the more. Its centre decides: the
# centre of output row $i$ lies at $(i + 0.5)/2 - 0.5$ rows of the small picture, and stays inside at the border. So row 1 lies at 0.25: three quarters of
# row 0, one quarter of row 1. The result is smooth, and that is both its strength and its weakness.

# %%
segwidgets.unpool(small, 2, mode="bilinear")

# %% [markdown]
# ### Build it
#
# A switch is one number, `row × width + column`, counted through the large picture from 0. So max unpooling is one `scatter_` into a flattened picture.


# %%
def nearest(x):
    return x.repeat_interleave(2, dim=-2).repeat_interleave(2, dim=-1)  # [N, C, 2H, 2W]


def bed_of_nails(x):
    output = x.new_zeros(*x.shape[:-2], 2 * x.shape[-2], 2 * x.shape[-1])  # [N, C, 2H, 2W]
    output[..., ::2, ::2] = x
    return output


def max_unpool(x, switches):
    output = x.new_zeros(*x.shape[:-2], 4 * x.shape[-2] * x.shape[-1])  # [N, C, 2H * 2W]
    output.scatter_(-1, switches.flatten(-2), x.flatten(-2))
    return output.unflatten(-1, (2 * x.shape[-2], 2 * x.shape[-1]))  # [N, C, 2H, 2W]


# %% [markdown]
# ### Check it

# %%
pooled, switches = F.max_pool2d(x, 2, return_indices=True)
torch.testing.assert_close(nearest(pooled), F.interpolate(pooled, scale_factor=2, mode="nearest"))
torch.testing.assert_close(max_unpool(pooled, switches), F.max_unpool2d(pooled, switches, 2))
torch.testing.assert_close(bed_of_nails(pooled)[..., ::2, ::2], pooled)
print("Three ways up, the same as PyTorch's.")

# %% [markdown]
# ### On the real map
#
# Down to 14 × 14 and up again, each way. The question is how much of the left picture comes back:

# %%
from course.ops import interpolation, pooling, unpooling

pooled, switches = pooling.max_pool(maps, 2)  # [1, 40, 14, 14]
back = {
    "nearest": unpooling.nearest(pooled, 2),
    "bed of nails": unpooling.bed_of_nails(pooled, 2),
    "max unpooling": unpooling.max_unpool(pooled, switches, 2),
    "bilinear": interpolation.interpolate_bilinear(pooled, (28, 28)),
}
show_pictures({"before pooling": maps[0, 18]} | {name: way[0, 18] for name, way in back.items()})

# %%
for name, way in back.items():
    error = (way - maps).square().mean().sqrt() / maps.square().mean().sqrt()
    empty = (way == 0).float().mean()
    print(f"{name:14} error {error:4.0%}, cells that are 0: {empty:3.0%}")

# %% [markdown]
# An error of 100 % is what you get for answering 0 everywhere. Max unpooling comes closest, and its picture is the sharpest: what stands, stands where it stood.
# Three of its four cells are empty by construction (80 % here, because one window in five was all 0 before), for the convolutions behind it to fill in.
# Nearest and bilinear fill every cell, and smear each maximum over places where it never was. Bed of nails is as empty as max unpooling, and wrong about the places.
#
# ### What the memory costs
#
# Play this one on the cat, and compare the dots on the left with those on the right. Windows that are all 0 show no dot.

# %%
segwidgets.unpool(switches_from=maps, channel=18, image=photo, field=field)

# %% [markdown]
# **Think.** PyTorch keeps each switch as a 64-bit integer. How many bits does a switch of a 2 × 2 window need? What does that save for this layer?
#
# <details><summary>Answer</summary>
#
# Two bits say which of four cells it was. This layer has 40 · 14 · 14 = 7840 switches: 62,720 bytes in PyTorch, 1960 bytes at two bits each. Keeping
# the whole map from before pooling would take 40 · 28 · 28 · 4 = 125,440 bytes. SegNet's authors give this as the reason to keep switches and not feature maps.
#
# </details>

# %% [markdown]
# ## The learned way: transposed convolution
#
# ### See it
#
# All ways so far have fixed rules. Why not *learn* how a value should be painted onto the larger picture? Take a kernel. For each input value,
# multiply the whole kernel by it and stamp the product onto the output. The next stamp lands `stride` cells further on. Where stamps overlap, they add up.

# %%
image = torch.tensor([[1, 2], [3, 4]]).float()
kernel = torch.tensor([[1, 2, 1], [2, 4, 2], [1, 2, 1]]).float() / 4
segwidgets.conv_transpose(image, kernel, stride=2)

# %% [markdown]
# (This kernel is no accident: where two stamps overlap, their halves add up to the mean of two neighbours, so it interpolates linearly, on a grid of its own. A
# network may learn it, or something better.)
#
# In a formula, along one direction: with input $x$ of $H$ cells, kernel $w$ of $K$ cells, stride $s$, padding $p$ and output $y$,
#
# $$y_{\,i \cdot s \,-\, p \,+\, k} \mathrel{+}= x_i \, w_k \qquad \text{for every input } i \text{ and every kernel cell } k.$$
#
# What falls off the sheet is dropped. The padding *removes* $p$ cells at each border: it is the padding of the convolution that this one runs backwards. The last stamp starts at $(H - 1)\,s$ and is
# $K$ cells long, so the output has
#
# $$H_\text{out} = (H - 1)\,s - 2p + K + a$$
#
# cells. The **output padding** $a$, with $0 \le a < s$, adds rows at one end. It is needed because a convolution with stride $s$ maps several input sizes to the same output
# size; $a$ says to which of them to go back.
#
# ### Build it


# %%
def stamp(x, weight, stride):
    size = [(side - 1) * stride + k for side, k in zip(x.shape, weight.shape)]
    output = torch.zeros(size)
    for row in range(x.shape[0]):
        for column in range(x.shape[1]):
            top, left = row * stride, column * stride
            output[top : top + weight.shape[0], left : left + weight.shape[1]] += x[row, column] * weight
    return output


stamp(image, kernel, stride=2)

# %% [markdown]
# ### Check it

# %%
expected = F.conv_transpose2d(image[None, None], kernel[None, None], stride=2)[0, 0]
torch.testing.assert_close(stamp(image, kernel, stride=2), expected)

# %% [markdown]
# ### Why it is called transposed
#
# A convolution is a matrix: each output number is a weighted sum of input numbers, so each is one row of weights. Here is the matrix of the convolution that
# goes *down* from 5 × 5 to 2 × 2 with our kernel. Its transpose goes *up* from 2 × 2 to 5 × 5, and that is exactly the stamping.

# %%
from course.ops.conv_transpose import conv_matrix

matrix = conv_matrix(kernel, (5, 5), stride=2)  # [4, 25]
show_pictures({"the convolution, [4, 25]": matrix, "transposed, [25, 4]": matrix.T})

# %%
up = matrix.T @ image.flatten()  # [25]
torch.testing.assert_close(up.reshape(5, 5), expected)

# %% [markdown]
# It transposes; it does not invert. Going down and up again does not bring the picture back, only its size. Some papers call the layer
# "deconvolution". You now know why that name is wrong.
#
# ### Overlap, and the checkerboard
#
# Look at the last panel of the widget above: *stamps per cell*. With kernel 3 and stride 2, some cells lie under one stamp, some under two, some under four. That
# kernel's weights were chosen to balance it. Others do not: feed in a constant picture with a constant kernel, and the output is not constant.

# %%
from course.ops.conv_transpose import conv_transpose

flat = torch.ones(6, 6)
show_pictures(
    {
        "input": flat,
        "kernel 3, stride 2": conv_transpose(flat, torch.ones(3, 3), stride=2),
        "kernel 4, stride 2": conv_transpose(flat, torch.ones(4, 4), stride=2),
        "nearest, then 3 × 3": F.conv2d(unpooling.nearest(flat, 2)[None, None], torch.ones(1, 1, 3, 3), padding=1)[0, 0],
    }
)

# %% [markdown]
# A network can learn to balance a checkerboard, but it has to, in every layer, and it shows when training is short. Two remedies:
#
# 1. **Make the kernel a multiple of the stride**, such as 4 with stride 2. Away from the border every cell then lies under equally many stamps.
# 2. **Resize, then convolve.** Nearest neighbour (or bilinear) does the enlarging, an ordinary convolution does the learning. Nothing overlaps unevenly.
#
# One more trap: output padding larger than the padding leaves a *dead strip* at the end, cells that no stamp reaches.
#
# **Think.** Kernel 2, stride 2 has no overlap at all. Is it free of the checkerboard?
#
# <details><summary>Answer</summary>
#
# Each cell lies under exactly one stamp, so the counts are even. But each of the four positions in a block has a weight of its own, and no neighbouring value
# to agree with. If the four weights differ, every block shows the same little pattern: the grid is back, learned this time.
#
# </details>

# %% [markdown]
# ## Measure it
#
# Which way up is best? Do not argue: train. The same small encoder–decoder four times, from the same starting weights, on the same 600 pictures, with nothing
# changed but the way up. The task is silhouettes, because outlines are where the ways differ. The true outline is drawn in green.

# %%
from course.data.silhouettes import Silhouettes

training, held_out = Silhouettes(600, seed=0), Silhouettes(200, seed=1_000_000)  # pictures [3, 64, 64], masks [64, 64]
examples = {f"picture {i}": training[i] for i in range(4)}
show_pictures({name: picture for name, (picture, _) in examples.items()}, truth=[{name: mask for name, (_, mask) in examples.items()}])

# %% [markdown]
# The network goes down four times, from 64 × 64 to 4 × 4, and up four times. Behind every way up stands the same 3 × 3 convolution, so *nearest* here is
# resize-then-convolve. The transposed convolution has kernel 3 and stride 2, the uneven kind; `lambda channels: TransposedConv(channels, kernel_size=4)` is the other.

# %%
from course.models.encoder_decoder import BedOfNails, EncoderDecoder, MaxUnpool, Nearest, TransposedConv, parameter_count

ways = {"nearest": Nearest, "bed of nails": BedOfNails, "max unpooling": MaxUnpool, "transposed conv.": TransposedConv}
models = {}
for name, way in ways.items():
    torch.manual_seed(0)
    models[name] = EncoderDecoder(upsample=way, channels=(8, 16, 16, 16))
    print(f"{name:17} {parameter_count(models[name]):6,} parameters")

# %% [markdown]
# Training takes about a minute on two CPU cores. `fit` is one plain loop, in `course/training.py`: take a batch, compute the cross-entropy of every
# pixel, step downhill.

# %%
# NBVAL_IGNORE_OUTPUT
from course.training import fit

histories = {}
for name, model in models.items():
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    histories[name] = fit(model, training, loss=F.cross_entropy, epochs=5, batch_size=16, optimiser=optimiser)
    print(f"{name:17} {histories[name].seconds:4.0f} s")

# %%
show_curves({name: history.steps["loss"] for name, history in histories.items()}, smooth=10, xlabel="step", ylabel="loss")

# %% [markdown]
# Loss is an average over all pixels, and most pixels are easy. So look where it hurts: in a narrow **band around the true boundary**. The error there is the share
# of wrong pixels within a given distance of an edge.

# %%
from course.metrics import boundary_error, mean_iou

pictures, masks = (torch.stack(part) for part in zip(*held_out))  # [200, 3, 64, 64], [200, 64, 64]
with torch.no_grad():
    predictions = {name: model.cpu()(pictures).argmax(1) for name, model in models.items()}  # [200, 64, 64]

widths = [1, 2, 3, 4, 6, 8, 12]
show_curves(
    {name: [boundary_error(p, masks, width) for width in widths] for name, p in predictions.items()},
    x=widths,
    xlabel="distance from the true boundary, pixels",
    ylabel="share of wrong pixels",
)

# %%
# NBVAL_IGNORE_OUTPUT
print(f"{'way up':17} mean IoU   wrong within 1 pixel of the boundary")
for name, p in predictions.items():
    print(f"{name:17} {mean_iou(p, masks, 2):8.2f}   {boundary_error(p, masks, 1):8.0%}")

# %% [markdown]
# And with your own eyes, on pictures that no network has seen. Green is the truth, orange the prediction.

# %%
chosen = (0, 3, 5)
rows = [{"picture": pictures[i]} | {name: p[i] for name, p in predictions.items()} for i in chosen]
show_pictures(rows, truth=[masks[i] for i in chosen])

# %% [markdown]
# ### What this says, and what it does not
#
# - **Max unpooling wins, clearly and at the edges.** Trained ten times with other seeds and pictures, it had a mean IoU of 0.78 to 0.82; the others
#   had 0.72 to 0.76. The switches carry positions past the bottleneck, and a silhouette is all about positions.
# - **It pays for it.** Its masks have specks and holes: what the switches do not name stays 0 until a convolution fills it.
# - **Bed of nails can leave its nails in the mask**, a regular grid of dots. One training in five did; look whether this one is among them.
# - **The other three are a draw.** Their order changes with the seed. They round the corners and close the rings. A learned way up with half as many
#   parameters again is no better than copying, here; with kernel 4 neither.
# - It does *not* say that switches are always best. They know where the maxima were and nothing else. **Skip connections** (lesson 02) bring whole feature
#   maps across, at 64 times the memory of two-bit switches. Most networks today do that, and go up by resizing or transposed convolution.
#
# **Think.** Bed of nails and max unpooling fill exactly as many cells. Why does one of them do so much better?
#
# <details><summary>Answer</summary>
#
# Bed of nails puts every value into the same corner, so its outlines are right only to a block of cells, and the next convolution cannot know better. Max
# unpooling puts it where the strongest response was: a position inside the block, which the network had already found on the way down.
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
# | **03** | **down and up again** | **outlines that are sharp where the way up knows places** | | | **two cats that touch are one patch of cat** |
#
# That last cell is the next problem. A segmentation map says *cat* for every pixel of two cats, and cannot say *two*. Lesson 04 begins at the other end:
# one object, its class and its box.

# %% [markdown]
# ## Quiz
#
# **1.** A 6 × 6 picture is max pooled with a 2 × 2 window and stride 2. How many switches are there, and how large can one be?
#
# <details><summary>Answer</summary>
#
# Nine, one for each window. A switch counts cells of the 6 × 6 picture from 0, so 35 is the largest.
#
# </details>
#
# **2.** Nearest, bed of nails, max unpooling, bilinear, transposed convolution: which needs something from the way down?
#
# <details><summary>Answer</summary>
#
# Only max unpooling: it needs the switches of its corresponding pooling layer, and the size from before pooling when that was odd.
#
# </details>
#
# **3.** An input of 7 × 7 goes through a transposed convolution with kernel 4, stride 2, padding 1. How large is the output?
#
# <details><summary>Answer</summary>
#
# (7 − 1) · 2 − 2 · 1 + 4 = 14. Kernel 4, stride 2, padding 1 doubles every size.
#
# </details>
#
# **4.** Kernel 5, stride 3. Does the overlap alternate?
#
# <details><summary>Answer</summary>
#
# Yes: 5 is not a multiple of 3. Along one direction, away from the border, the cells lie under 2, 2, 1, 2, 2, 1, … stamps.
#
# </details>
#
# **5.** You convolve with stride 2, then apply the transpose of that convolution's matrix. Is the picture back?
#
# <details><summary>Answer</summary>
#
# No. The transpose gives back the size, not the values. Only an inverse would, and a matrix with fewer rows than columns has none.
#
# </details>

# %% [markdown]
# ## Exercises
#
# Open [the exercise notebook](03_unpooling_exercises.ipynb) beside this one. You will write `bed_of_nails`, `max_unpool`, the output-size formula and
# `conv_transpose` as stamps, now for any scale, stride and padding, and then choose decoders that neither miss the size nor leave a checkerboard. `check(your_function)` answers at once and shows
# the first case that differs.
#
# To *watch* a function of your own, hand it to the widget. It runs beside the course's, and what differs is marked. Here is one with a mistake:


# %%
def wrong_corner(x):
    output = x.new_zeros(*x.shape[:-2], 2 * x.shape[-2], 2 * x.shape[-1])
    output[..., 1::2, ::2] = x
    return output


segwidgets.unpool(small, 2, mode="bed_of_nails", fn=wrong_corner)

# %% [markdown]
# ## References
#
# - M. Zeiler, G. Taylor, R. Fergus, *Adaptive Deconvolutional Networks for Mid and High Level Feature Learning*, ICCV 2011: where switches come from.
# - J. Long, E. Shelhamer, T. Darrell, *Fully Convolutional Networks for Semantic Segmentation*, 2015, [arXiv:1411.4038](https://arxiv.org/abs/1411.4038), section 3.3.
# - H. Noh, S. Hong, B. Han, *Learning Deconvolution Network for Semantic Segmentation*, 2015, [arXiv:1505.04366](https://arxiv.org/abs/1505.04366).
# - V. Badrinarayanan, A. Kendall, R. Cipolla, *SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image Segmentation*, 2015, [arXiv:1511.00561](https://arxiv.org/abs/1511.00561): max unpooling against learned ways up, measured.
# - V. Dumoulin, F. Visin, *A guide to convolution arithmetic for deep learning*, 2016, [arXiv:1603.07285](https://arxiv.org/abs/1603.07285), chapter 4.
# - A. Odena, V. Dumoulin, C. Olah, *Deconvolution and Checkerboard Artifacts*, Distill 2016, [doi:10.23915/distill.00003](https://doi.org/10.23915/distill.00003).
# - P. Kohli, L. Ladický, P. Torr, *Robust Higher Order Potentials for Enforcing Label Consistency*, IJCV 2009: the error in a band around the boundary.
