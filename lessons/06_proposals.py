# %% [markdown]
# # 06 · Object proposals and selective search
#
# **Ask the picture where an object could be, and look there only.** About 50 minutes, and half an hour for the exercises.
#
# When you are through, you can
#
# - say why a detector wants *proposals*, and name three ideas for where they could come from;
# - do the four similarities of selective search by hand, and write each in a few lines;
# - explain how one grouping gives objects of all sizes, and where it goes wrong;
# - say what diversification is for, and why the order of the boxes has chance in it;
# - judge any set of proposals by recall and mean best overlap, against boxes that know nothing.

# %% [markdown]
# ## Too many windows
#
# Lesson 05 ended with a bill. An object may be anywhere, and of any size and shape, so a detector that slides windows has to look at all of them. Here are its five scales in
# three ratios, at every pixel of our cat:

# %%
import math

import torch
from scipy.ndimage import gaussian_filter

import segwidgets
from course.data.photos import cat, photo
from course.figures import show_curves, show_objects, show_pictures
from course.ops.window_boxes import count_windows, possible_boxes, window_boxes, window_sizes

image = cat()  # [3, 300, 451]
windows = sum(count_windows((300, 451), window_sizes((32, 64, 96, 128, 256), (1, 0.5, 2)), stride=1))
print(f"{windows:,} windows, out of {possible_boxes((300, 451)):,} boxes that there could be")

# %% [markdown]
# At 35 ms a window, as in lesson 05, that is ten hours for one photograph. And nearly all of these windows show nothing at all: a piece of fur, half an ear, the wall.
#
# A person does not look there. Long before you know *what* something is, you see *that* there is something. Could a program give a short list of boxes, a thousand or two,
# that are worth a look? Such boxes are called **object proposals**. They need no class, and most of them may be wrong. But if an object is in none of them, no
# detector behind them will ever find it.
#
# Three ideas for where an object could be:
#
# 1. **It stands out.** Draw windows at random and score each by cheap signs: does it differ from what surrounds it, does an outline close inside it? *Objectness*
#    (2010) does that, and *Edge Boxes* (2014) counts the contours that lie wholly in the window.
# 2. **It hangs together.** Cut the picture into small regions, and join what belongs together, until the object is one region. *Selective search* (2013) does that. It is this lesson.
# 3. **Let a network say it.** One that has seen many objects can learn where the next might be. That is lesson 09, and it will need all that comes before.

# %% [markdown]
# ## The start: small regions
#
# You know it from lesson 00. Felzenszwalb and Huttenlocher merge neighbouring pixels as long as the step in colour is small. The result was a disappointment then: at no scale is the cat *one*
# region. Now that does not matter. We want regions so small that each lies in *one* object. To put them together is our business.

# %%
from course.models.selective_search import initial_regions

regions = initial_regions(image, scale=100)
labels = regions.labels  # [300, 451], 0 … R − 1


def in_mean_colours(labels):
    pixels, flat = image.flatten(1), labels.flatten()  # [3, H · W], [H · W]
    sums = torch.zeros(3, flat.max() + 1).index_add_(1, flat, pixels)
    return (sums / flat.bincount())[:, flat].reshape(image.shape)


show_pictures({"photograph": image, "its regions, in their mean colours": in_mean_colours(labels)})

# %% [markdown]
# ## How alike are two regions?
#
# Which of these regions belong together? Take three of them: the iris of the cat's left eye (the right one in the picture), the pupil in it, and the fur between the eyes. They touch each other.

# %%
iris, pupil, fur = (int(labels[y, x]) for x, y in ((323, 142), (315, 133), (240, 150)))
three = {"iris": labels == iris, "pupil": labels == pupil, "fur": labels == fur}
close = (..., slice(20, 230), slice(150, 350))  # rows and columns of the part that is shown
show_pictures({"photograph": image[close]} | {name: mask[close] for name, mask in three.items()})

# %% [markdown]
# Should the iris join the pupil first, or the fur? You know the answer, because you know eyes. Selective search has four measures. Each is a number from 0 (not alike) to 1.
#
# ### Colour
#
# The colours of a region are a **histogram**. Each channel is cut into 25 bins, and we count how many pixels fall into each. The three histograms stand one behind the other, and are divided by
# their sum, so that large and small regions can be compared. The colour space here is Lab: lightness, then green to red, then blue to yellow.


# %%
from course.models.region_similarity import in_colour_space

lab = in_colour_space(image, "Lab")  # [3, 300, 451], each channel brought to 0…1


def colour_histogram(mask, bins=25):
    counts = torch.cat([torch.histc(channel[mask], bins, 0, 1) for channel in lab])  # [3 · 25]
    return counts / counts.sum()


colours = {name: colour_histogram(mask) for name, mask in three.items()}
show_curves(colours, xlabel="bin: 25 of lightness, 25 of green–red, 25 of blue–yellow", ylabel="share of the region")

# %% [markdown]
# Two histograms are alike as far as they lie on top of each other. Where one is higher, only the lower one counts. That is their **intersection**:
#
# $$s_\text{colour}(a, b) = \sum_k \min(a_k, b_k)$$
#
# Here $a_k$ and $b_k$ are the shares of the two regions in bin $k$. Equal histograms give 1, and histograms that share no bin give 0. Which pair will be the most alike? Look at the curves before you run the cell.


# %%
# NBVAL_IGNORE_OUTPUT
def intersection(a, b):
    return torch.minimum(a, b).sum(-1)


for one, other in (("iris", "pupil"), ("iris", "fur"), ("pupil", "fur")):
    print(f"colour, {one} and {other}: {intersection(colours[one], colours[other]):.2f}")

# %% [markdown]
# Colour joins the iris to the *fur*. The pupil is black, the iris green, the fur brown, and black is far from everything.
#
# #### Check it

# %%
from course.models import region_similarity

# A value on the edge of two bins may fall into either.
torch.testing.assert_close(colours["iris"], regions.colours[iris], atol=0.02, rtol=0)

a, b = colours["iris"], colours["fur"]
torch.testing.assert_close(intersection(a, b), region_similarity.colour_similarity(a, b))
# In another way: what one has more the other has less, so all that they do not share counts twice in the differences.
torch.testing.assert_close(intersection(a, b), 1 - (a - b).abs().sum() / 2)

# %% [markdown]
# ### Texture
#
# Fur and a brown wall may have one colour. What tells them apart is that one is rough and the other smooth. So look at how steeply the picture *rises* at each pixel, towards each of eight directions:
# the derivative of a Gaussian with $\sigma = 1$. Where it falls, it rises towards the opposite direction.

# %%
lightness = lab[0].numpy()
across, down = (torch.from_numpy(gaussian_filter(lightness, 1, order)) for order in ((0, 1), (1, 0)))  # [300, 451] each
rises = torch.stack([(math.cos(angle) * across + math.sin(angle) * down).clamp(min=0) for angle in torch.arange(8) * math.pi / 4])
show_pictures({"lightness": lab[0], "rises to the right": rises[0], "rises downwards": rises[2], "rises to the left": rises[4]})

# %% [markdown]
# A rise falls into one of 10 bins, and the region's texture is the histogram of its rises: 8 directions, 10 bins, for each channel. Two textures are compared as two colours are, by their intersection.


# %%
# NBVAL_IGNORE_OUTPUT
def texture_histogram(mask, bins=10):
    steepest = 1 / math.sqrt(2 * math.pi)  # the answer to a step from black to white
    levels = (rises / steepest * bins).clamp(max=bins - 1)  # [8, 300, 451]
    counts = torch.cat([torch.histc(level[mask], bins, 0, bins) for level in levels])  # [8 · 10]
    return counts / counts.sum()


textures = {name: texture_histogram(mask) for name, mask in three.items()}
for one, other in (("iris", "pupil"), ("iris", "fur"), ("pupil", "fur")):
    print(f"texture, {one} and {other}: {intersection(textures[one], textures[other]):.2f}")

# %% [markdown]
# All three are close to 1. Most pixels of any region are flat, so most of any two texture histograms lies on top of each other. This measure whispers. It decides only where the others are silent.
#
# #### Check it

# %%
ours, theirs = textures["iris"], regions.textures[iris][:80]  # the course's has the rises of all three channels, lightness first
torch.testing.assert_close(ours, theirs / theirs.sum(), atol=0.01, rtol=0)

# %% [markdown]
# ### Size
#
# If only looks counted, one region would soon eat all its neighbours, one by one, and small objects far away would never be put together: they would be eaten too. So small regions go first, everywhere in the picture:
#
# $$s_\text{size}(a, b) = 1 - \frac{n_a + n_b}{n}$$
#
# where $n_a$ and $n_b$ are the pixels of the two regions and $n$ those of the picture.
#
# ### Fill
#
# The pupil lies *inside* the iris. Whatever it looks like, it fills a hole. To measure that, put a box around both regions. How much of the box do the two leave empty?


# %%
def box_around(mask):
    y, x = torch.nonzero(mask, as_tuple=True)
    return int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1


def both_in_a_box(a, b):
    x1, y1, x2, y2 = box_around(a | b)
    drawn = torch.zeros_like(labels)
    drawn[y1:y2, x1:x2] = 3
    drawn[a], drawn[b] = 1, 2
    return drawn


pairs = {"iris and pupil": both_in_a_box(three["iris"], three["pupil"]), "iris and fur": both_in_a_box(three["iris"], three["fur"])}
show_pictures(
    {name: drawn[close] for name, drawn in pairs.items()},
    classes=("outside", "first region", "second region", "empty part of the box"),
)

# %% [markdown]
# $$s_\text{fill}(a, b) = 1 - \frac{n_{ab} - n_a - n_b}{n}$$
#
# $n_{ab}$ is the size of the box around both. What fits leaves little empty.


# %%
# NBVAL_IGNORE_OUTPUT
def size_similarity(n_a, n_b, n):
    return 1 - (n_a + n_b) / n


def fill_similarity(box_a, box_b, n_a, n_b, n):
    upper_left, lower_right = torch.minimum(box_a, box_b)[..., :2], torch.maximum(box_a, box_b)[..., 2:]
    around = (lower_right - upper_left).prod(-1)
    return 1 - (around - n_a - n_b) / n


def all_four(a, b):
    n, n_a, n_b = labels.numel(), regions.sizes[a], regions.sizes[b]
    colour, texture = intersection(regions.colours[a], regions.colours[b]), intersection(regions.textures[a], regions.textures[b])
    return torch.stack([colour, texture, size_similarity(n_a, n_b, n), fill_similarity(regions.boxes[a], regions.boxes[b], n_a, n_b, n)])


for name, other in (("pupil", pupil), ("fur", fur)):
    colour, texture, size, fill = all_four(iris, other)
    total = colour + texture + size + fill
    print(f"iris and {name:5}  colour {colour:.2f} + texture {texture:.2f} + size {size:.2f} + fill {fill:.2f} = {total:.2f}")

# %% [markdown]
# #### Check it
#
# Not with the formula again, but by counting: the empty pixels of the picture above are those with the number 3.

# %%
for (_, drawn), other in zip(pairs.items(), (pupil, fur)):
    counted = 1 - (drawn == 3).sum() / labels.numel()
    # In the box around both, pixels of third regions count as empty too.
    torch.testing.assert_close(all_four(iris, other)[3].float(), counted.float(), atol=1e-5, rtol=0)
ours = size_similarity(regions.sizes[iris], regions.sizes[fur], labels.numel())
assert ours == region_similarity.size_similarity(regions.sizes[iris], regions.sizes[fur], labels.numel())

# %% [markdown]
# The sum decides. Iris and fur are more alike in colour, iris and pupil are smaller together and fit better, and in sum the pupil wins. (Texture is larger here than above: these are the rises of all three channels, and
# two of them are flat nearly everywhere.) But the iris has other neighbours, such as the dark rim around the eye, and may like one of
# them better still. Keep the pupil in mind. We shall meet it again.
#
# **Think.** Which of the four measures can be computed for a merged region without looking at its pixels again?
#
# <details><summary>Answer</summary>
#
# All four. Sizes add up. The box around both is the least and greatest of the corners. And a histogram of shares is the mean of the two, weighted by their sizes:
# $(n_a\,a + n_b\,b) / (n_a + n_b)$. That is what makes the grouping cheap: after the start nobody looks at a pixel.
#
# </details>

# %% [markdown]
# ## Grouping: always the two that are most alike
#
# The algorithm is one sentence: *merge the two neighbours that are most alike, and go on until there is one region left.*
#
# ### See it
#
# Press **space**, or go step by step. Point at a region to compare it with its neighbours, and at a box of the tree to see of which two it was made. With **p** (predict) the class may say which two are next.

# %%
from course.models.selective_search import group_steps

segwidgets.selective_search(image, regions, group_steps(regions))

# %% [markdown]
# Look at the tree on the last step. A region stands on the two that it was made of, from small spots up to the whole picture. (It begins with the 41 regions that the first merges left; all 82 would not be readable.) That is the trick: **all
# sizes for free**. Nobody has to say how large an object is. Such a tree is also called a **hierarchy**.
# Each region has a box around it, and these boxes are the proposals: $R$ regions at the start make $R - 1$ merges, so $2R - 1$ boxes.
#
# And look at which region comes last. The black pupil of the eye on the right stays alone through the whole grouping. Its iris joined the face before it, the face is large and has few black pixels, and so the pupil was never again
# the best match of anybody. It fits into its hole as well as can be, and its colour says no.
#
# ### Build it
#
# Who touches whom, we know from the start. A merged region touches what its two parts touched.


# %%
def most_alike(touching, state):
    return max(touching, key=lambda pair: sum(similarities(state[pair[0]], state[pair[1]])))


def similarities(a, b):
    n = labels.numel()
    colour, texture = intersection(a["colours"], b["colours"]), intersection(a["textures"], b["textures"])
    return colour, texture, size_similarity(a["sizes"], b["sizes"], n), fill_similarity(a["boxes"], b["boxes"], a["sizes"], b["sizes"], n)


def merged(a, b):
    n_a, n_b = a["sizes"], b["sizes"]
    histograms = {name: (n_a * a[name] + n_b * b[name]) / (n_a + n_b) for name in ("colours", "textures")}
    corners = torch.cat([torch.minimum(a["boxes"], b["boxes"])[:2], torch.maximum(a["boxes"], b["boxes"])[2:]])
    return histograms | {"sizes": n_a + n_b, "boxes": corners}


def group_slowly(regions):
    names = ("colours", "textures", "sizes", "boxes")
    state = [{name: getattr(regions, name)[r] for name in names} for r in range(len(regions.sizes))]
    touching, children = {tuple(pair) for pair in regions.neighbours.tolist()}, []
    while touching:
        a, b = most_alike(sorted(touching), state)
        new = len(state)
        state.append(merged(state[a], state[b]))
        renamed = [tuple(new if r in (a, b) else r for r in pair) for pair in touching]
        touching = {(min(pair), max(pair)) for pair in renamed} - {(new, new)}
        children.append((a, b))
    return children


# %% [markdown]
# ### Check it

# %%
from course.models.selective_search import group

tree = group(regions)  # the course's, with a heap and arrays
assert group_slowly(regions) == [tuple(pair) for pair in tree.children.tolist()]
print("The same tree, merge by merge.")

# %% [markdown]
# The slow one compares all neighbours again before each merge. The course's keeps them in a heap and compares only the new region with its own neighbours. On this picture that is sixty times as fast: five thousandths of a second against a third of one.
#
# ### Up the tree
#
# Start at the other eye, and ask again and again: of what did this become a part?

# %%
parent = {int(child): len(regions.sizes) + i for i, pair in enumerate(tree.children) for child in pair}


def ancestors(region):
    line = [region]
    while line[-1] in parent:
        line.append(parent[line[-1]])
    return line


def pixels_of(region):
    if region < len(regions.sizes):
        return labels == region
    a, b = tree.children[region - len(regions.sizes)].tolist()
    return pixels_of(a) | pixels_of(b)


line = ancestors(int(labels[110, 150]))  # from the iris of the other eye
some = [line[round(i)] for i in torch.linspace(0, len(line) - 1, 5).tolist()]
show_pictures({"photograph": image} | {f"then {i}" if i else "iris": pixels_of(region) for i, region in enumerate(some)})

# %% [markdown]
# From the iris to the eye, to the cheek and the muzzle below it, to nearly everything, to the picture: some of its ancestors. The small hole on the right, in the last but one, is the pupil that stays alone.

# %% [markdown]
# ## One grouping is not enough
#
# The pupil shows the weakness. A greedy merge is never taken back, and no single rule is right for all objects. A wheel belongs to its car though black rubber is not like red paint; a chameleon differs from its leaf by
# texture alone. The answer of the paper is not a better rule but *several*: group again with other eyes, and take the boxes of all. It is called **diversification**, and there are three knobs.
#
# - **The colour space.** What two regions share in one, they may not share in another. A shadow changes lightness, and hardly hue. Besides Lab the course has the grey picture I,
#   HSV (hue, saturation, value), and rgI: the shares that red and green have in a pixel, and its grey.

# %%
spaces = {"I (grey)": ("I", 0), "Lab: green–red": ("Lab", 1), "HSV: hue": ("HSV", 0), "rgI: share of red": ("rgI", 0)}
show_pictures({name: in_colour_space(image, space)[channel] for name, (space, channel) in spaces.items()})

# %% [markdown]
# (Hue is a circle. The bright flecks in it are reds, just beyond the point where it begins again.)
#
# - **The start.** With a small `scale` there are many small regions and small objects survive; with a large one there are fewer boxes to waste.
# - **The similarities.** Each set of them makes another tree. Here is our pupil, with and without colour:

# %%
# NBVAL_IGNORE_OUTPUT
for chosen in (("colour", "texture", "size", "fill"), ("texture", "size", "fill")):
    steps = list(group_steps(regions, chosen))
    when, step = next((i, step) for i, step in enumerate(steps, 1) if pupil in (step.first, step.second))
    partner = "its iris" if iris in (step.first, step.second) else f"a region of {step.size - int(regions.sizes[pupil])} pixels"
    print(f"{' + '.join(chosen)}: the pupil joins {partner} in merge {when} of {len(steps)}")

# %% [markdown]
# What does each knob bring? Here are four boxes that one may want on our cat, and the best IoU with each. `Diversification` says what to vary. Equal boxes count once:

# %%
# NBVAL_IGNORE_OUTPUT
from course.models.selective_search import MODES, SIMILARITIES, Diversification, selective_search
from course.ops.boxes import box_iou

truth = torch.tensor([(0.0, 0, 385, 300), (135, 83, 202, 145), (295, 85, 343, 157), (228, 225, 290, 265)])
names = ("cat", "eye on the left", "eye on the right", "nose")
ways = {
    "one hierarchy": Diversification(("Lab",), (100,), (SIMILARITIES,)),
    "+ without colour": Diversification(("Lab",), (100,), (SIMILARITIES, ("texture", "size", "fill"))),
    "+ a second start": Diversification(("Lab",), (25, 100), (SIMILARITIES, ("texture", "size", "fill"))),
    "+ three more spaces": Diversification(("Lab", "HSV", "rgI", "I"), (25, 100), (SIMILARITIES, ("texture", "size", "fill"))),
}
print(f"{'':20} boxes   {'   '.join(names)}")
for name, way in ways.items():
    boxes = selective_search(image, way)
    print(f"{name:20} {len(boxes):5}   " + "   ".join(f"{iou:{len(word)}.2f}" for iou, word in zip(box_iou(truth, boxes).amax(1), names)))

# %% [markdown]
# The second tree brings new boxes and none that is better for these four: an iris and the same iris with its pupil have one box. The second start finds the small things, and so do other colour spaces. More hierarchies can only help,
# for all earlier boxes are still there, and each costs time and boxes. The course has three modes: *single*, *fast* and *quality*. From now on we take *fast*:

# %%
print(MODES["fast"])

# %% [markdown]
# ## Which boxes first?
#
# Two starts and three sets of similarities are six hierarchies. They give some thousand boxes, and whoever has to classify them may not afford all. Which come first? Few regions are large and many are small, and most of the
# small ones are mere pieces: a large one is more likely to be an object. So in each hierarchy the last region (the whole picture) has position 1, the one before it position 2, and so on. But in that order all large boxes of all hierarchies would come first, many of them nearly the same, and small objects last.
# So each position is multiplied by a random number from 0 to 1, and *that* is sorted. Of equal boxes the first stays.


# %%
def rank(hierarchies, seed=0):
    boxes = torch.cat([boxes.flip(0) for boxes in hierarchies])  # the last region first
    positions = torch.cat([torch.arange(1, len(boxes) + 1) for boxes in hierarchies])
    chance = torch.rand(len(positions), generator=torch.Generator().manual_seed(seed))
    return boxes[(positions * chance).argsort()]


# %% [markdown]
# #### Check it
#
# On three of the six hierarchies, those of our own start. The course's `ranked` draws other random numbers and drops the doubles; the boxes must be the same.

# %%
from course.models.selective_search import ranked

hierarchies = [group(regions, chosen).boxes for chosen in MODES["fast"].similarities]
assert {tuple(box) for box in rank(hierarchies).tolist()} == {tuple(box) for box in ranked(hierarchies).tolist()}

# %% [markdown]
# With `chance = 1` there would be no chance in it. Compare how large the first hundred boxes are:


# %%
# NBVAL_IGNORE_OUTPUT
def share(boxes):
    return (boxes[:, 2:] - boxes[:, :2]).prod(1) / image[0].numel()


in_order = torch.cat([boxes.flip(0) for boxes in hierarchies])
in_order = in_order[torch.cat([torch.arange(1, len(boxes) + 1) for boxes in hierarchies]).argsort(stable=True)]
for name, boxes in (("by position", in_order), ("with chance", rank(hierarchies))):
    small = (share(boxes[:100]) < 0.02).sum()
    print(f"{name}: of the first 100 boxes {small} are smaller than a fiftieth of the picture")

# %% [markdown]
# ### See it
#
# The whole of it. The start is another one this time, found in hue, saturation and value, and colour does not count in the comparison. At the end come the ranked boxes of *fast*, from its own six trees: the first ten, hundred, thousand, all. Green is what one may want,
# vermilion the proposal that covers it best.

# %%
boxes = selective_search(image)  # [N, 4], the most object-like first
other_eyes = initial_regions(image, colour_space="HSV", scale=100)
steps = group_steps(other_eyes, ("texture", "size", "fill"))
segwidgets.selective_search(image, other_eyes, steps, boxes=boxes, truth=truth, names=("cat", "eye", "eye", "nose"), shown=20)

# %% [markdown]
# ## Measure it
#
# What makes a *set* of proposals good? A box that is too much costs time. An object that no box covers is lost. So ask for each object for the largest IoU that any proposal has with it. From these numbers come two:
#
# - **recall**: the share of objects whose best IoU is at least 0.5 (or another threshold);
# - **mean best overlap**: the mean of the best IoUs. If each class is averaged for itself first, it is the *mean average best overlap*, MABO.
#
# Both depend on how many boxes one takes, so they are curves. And they say little alone: who can tell whether 0.8 is good? So here are two rivals that know nothing of the picture: boxes between two random corners, and windows of all sizes,
# thinned out evenly until there are as many.


# %%
def random_boxes(count, height, width, seed):
    corners = torch.rand(count, 2, 2, generator=torch.Generator().manual_seed(seed)) * torch.tensor([width, height])
    return torch.cat([corners.amin(1), corners.amax(1)], 1)  # [count, 4]


def all_windows(height, width):
    sides = [part * math.sqrt(height * width) for part in (0.15, 0.3, 0.5, 0.75)]
    return window_boxes((height, width), window_sizes(sides, (0.5, 1, 2)), stride=max(2, height // 50))


def thinned(windows, count):
    return windows[torch.linspace(0, len(windows) - 1, count).round().long()]


# %% [markdown]
# The pictures: a hundred of the course's own, with 233 objects, and seven photographs with 18 boxes that were drawn by hand.

# %%
from course.data.shapes import Shapes

drawn = {
    "cat": truth.tolist(),
    "coffee": [(77, 55, 480, 382), (172, 17, 410, 305), (325, 62, 423, 325)],
    "motorcycle": [(85, 80, 685, 455), (120, 235, 280, 400), (515, 285, 685, 455)],
    "astronaut": [(20, 15, 365, 512), (152, 15, 302, 190), (275, 343, 512, 512), (353, 0, 465, 287)],
    "rocket": [(307, 130, 332, 405)],
    "horse": [(17, 8, 390, 313)],
    "camera": [(0, 62, 335, 512), (230, 140, 405, 512)],
}
photographs = [(photo(name), torch.tensor(boxes, dtype=torch.float32)) for name, boxes in drawn.items()]
shapes = [(picture, target["boxes"]) for picture, target in Shapes("test", count=100, target="instances")]
shown = [
    (picture, {"boxes": boxes, "labels": torch.ones(len(boxes), dtype=torch.long)}) for picture, boxes in (*photographs[1:3], shapes[4])
]
show_objects(shown, ("", "object"))

# %%
# NBVAL_IGNORE_OUTPUT
import time

budgets = (10, 30, 100, 300, 1000, 2000)


def best_overlaps(pictures):
    """Way → the best IoU of each object, [objects, budgets]."""
    best = {"selective search": [], "random boxes": [], "windows": []}
    for seed, (picture, objects) in enumerate(pictures):
        height, width = picture.shape[1:]
        ranked, windows = selective_search(picture), all_windows(height, width)
        for budget in budgets:
            best["selective search"].append(box_iou(objects, ranked[:budget]).amax(1))
            best["random boxes"].append(box_iou(objects, random_boxes(budget, height, width, seed)).amax(1))
            best["windows"].append(box_iou(objects, thinned(windows, budget)).amax(1))
    return {way: torch.stack([torch.cat(each[i :: len(budgets)]) for i in range(len(budgets))], 1) for way, each in best.items()}


start = time.perf_counter()
on_shapes, on_photographs = best_overlaps(shapes), best_overlaps(photographs)
print(f"{time.perf_counter() - start:.0f} s for {len(shapes) + len(photographs)} pictures")

# %%
show_curves(
    {way: (best >= 0.5).float().mean(0) for way, best in on_shapes.items()},
    x=torch.tensor(budgets).log10(),
    xlabel="how many boxes: 1 is ten, 2 a hundred, 3 a thousand",
    ylabel="recall at IoU 0.5",
)

# %%
show_curves(
    {way: best.mean(0) for way, best in on_shapes.items()},
    x=torch.tensor(budgets).log10(),
    xlabel="how many boxes: 1 is ten, 2 a hundred, 3 a thousand",
    ylabel="mean best overlap",
)

# %%
# NBVAL_IGNORE_OUTPUT
for name, overlaps in (("pictures of shapes", on_shapes), ("photographs", on_photographs)):
    print(f"{name:19} recall at 0.5 with 100 and 2000 boxes   recall at 0.7   mean best overlap")
    for way, best in overlaps.items():
        numbers = [((best[:, i] >= least).float().mean()) for least in (0.5, 0.7) for i in (2, 5)] + [best[:, i].mean() for i in (2, 5)]
        print(f"  {way:18}" + " " * 14 + "{:8.2f} {:5.2f} {:17.2f} {:5.2f} {:13.2f} {:5.2f}".format(*numbers))

# %% [markdown]
# ### What this says, and what it does not
#
# - **A hundred proposals do what a thousand blind boxes do.** On the shapes 100 of them cover 95 % of the objects with an IoU of at least 0.5. Random boxes and windows need about a thousand for that. (A picture of shapes has some 340
#   proposals in all, so from there on the curve is flat.)
# - **Two thousand random boxes are not bad at all**, at IoU 0.5: they cover over 95 % of these objects. The objects are large, seven in ten fill a tenth of the picture or more, and 0.5 forgives much. Never believe a recall without a blind rival beside it.
# - **The boxes fit.** Ask for an IoU of 0.7, and 2000 random boxes or windows are far behind. The mean best overlap says the same: around 0.88, against 0.72 at most. A proposal has its edges where something in the picture has.
# - **The photographs say the same**, but 18 boxes are few: a single box more or less moves their recall by 0.06.
#
# On COCO there are many small objects, and it is harder. These are figures of the course's bench, on 65 photographs with 484 objects on which nothing was chosen, on one processor core. The rival is the selective search of OpenCV:
#
# | | recall with 100 | 500 | 1000 | 2000 boxes | MABO with 2000 | time a picture |
# |---|---|---|---|---|---|---|
# | the course's, *fast* | 0.36 | 0.59 | 0.71 | 0.79 | 0.73 | 0.92 s |
# | OpenCV's, *fast* | 0.19 | 0.54 | 0.68 | 0.77 | 0.72 | 1.4 s |
#
# One object in five is in none of 2000 boxes. The paper needed 10,097 boxes a picture for 99 % (on Pascal VOC 2007, whose objects are larger).
#
# ### And the time
#
# "About 2000 proposals in a few seconds on a CPU" is the figure that lectures give for selective search. On your machine, now:

# %%
# NBVAL_IGNORE_OUTPUT
for mode in MODES:
    start = time.perf_counter()
    count = len(selective_search(image, mode))
    print(f"{mode:8} {count:5} boxes in {time.perf_counter() - start:.2f} s")

# %% [markdown]
# Most of that is the start: the segmentations, and the derivatives. The groupings themselves take a few hundredths of a second each. The table below says 0.4 s for *fast*: that is one quiet core.
#
# ## What is still wrong
#
# How many of the boxes show one of the four things on our cat?

# %%
# NBVAL_IGNORE_OUTPUT
covers = box_iou(boxes, truth).amax(1) >= 0.5
print(f"{covers.sum()} of {len(boxes)} boxes: {covers.float().mean():.1%}")

# %% [markdown]
# - **They are nobody's.** A proposal has no class. Its place in the order says how large it is, not how sure anybody is of it.
# - **Most are wrong.** That is the bargain: high recall at low precision. Someone has to sort them.
# - **It is slow** beside a network. EfficientNet-Lite0 needs a tenth of a second for the whole photograph (lesson 02). The proposals alone take several times that.
# - **It cannot learn.** Its rules were written by people, and there is no gradient in "merge the two most alike". If it misses bicycles, a million pictures of bicycles will not help.
#
# **Think.** A detector takes 35 ms for each proposal. What is the share of selective search in the time for a photograph, at 2000 boxes? Is it worth making it faster?
#
# <details><summary>Answer</summary>
#
# 2000 · 35 ms = 70 s, so half a second of selective search is less than one hundredth. Nobody needs it faster, *yet*. Once lessons 07 and 08 have brought those 70 s down to a fraction of a second, the proposals will be what everybody waits for.
# Then a network will take their place, in lesson 09.
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
# | 05 | windows of 15 sizes at stride 1, NMS | boxes, as many as there are objects | 380 trillion | 10 hours | look only where something is; tell a window that fits from one that does not |
# | **06** | **selective search, *fast*** | **some 1500 boxes on the cat, and each of the four things in one of them** | | **0.4 s** | **say what is in a box, or which boxes are empty** |
#
# Two thousand boxes are few enough to look at each with a real network. Cut out each box, bring it to 224 × 224, ask what it shows, and straighten the box while you are at it. That is R-CNN, lesson 07.

# %% [markdown]
# ## Quiz
#
# **1.** A segmentation has 200 regions. How many boxes does one hierarchy give at most? Why can it be fewer?
#
# <details><summary>Answer</summary>
#
# 200 at the start and 199 merged ones: 399. Different regions may have the same box (an iris with and without its pupil), and each box counts once.
#
# </details>
#
# **2.** Histograms $a = (0.5, 0.5, 0)$ of 100 pixels and $b = (0, 0.2, 0.8)$ of 300 pixels. How alike are they, and what is the histogram of the two together?
#
# <details><summary>Answer</summary>
#
# Only the second bin is shared: 0.2. Together: (100 · a + 300 · b) / 400 = (0.125, 0.275, 0.6).
#
# </details>
#
# **3.** What would happen without the size term?
#
# <details><summary>Answer</summary>
#
# A large region is like most of its neighbours in something, and it has many. It would grow by one small neighbour after the other, and the tree would be a long chain: few different sizes, and small objects eaten before they are whole.
#
# </details>
#
# **4.** A picture has two regions, one inside the other. What is their fill similarity?
#
# <details><summary>Answer</summary>
#
# 1. Together they are the whole picture, so the box around both is the picture, and nothing in it is empty.
#
# </details>
#
# **5.** Somebody reports a recall of 0.95 at IoU 0.5. Which two questions do you ask?
#
# <details><summary>Answer</summary>
#
# With how many boxes? And what do as many random boxes reach on the same pictures?
#
# </details>

# %% [markdown]
# ## Exercises
#
# Open [the exercise notebook](06_proposals_exercises.ipynb) beside this one. You will write the measures for many pairs at once: `colour_similarity`, `size_similarity`, `fill_similarity`, and `merged_histogram`, with which no pixel has to be looked at
# twice. `check(your_function)` answers at once and shows the first case that differs.

# %% [markdown]
# ## References
#
# - J. Uijlings, K. van de Sande, T. Gevers, A. Smeulders, *Selective Search for Object Recognition*, IJCV 104(2), 2013, [doi:10.1007/s11263-013-0620-5](https://doi.org/10.1007/s11263-013-0620-5): sections 3.1 (grouping), 3.2 (similarities, diversification) and 3.3 (order); 99 % recall and a MABO of 0.879 at 10,097 boxes.
# - P. Felzenszwalb, D. Huttenlocher, *Efficient Graph-Based Image Segmentation*, IJCV 59(2), 2004, [doi:10.1023/B:VISI.0000022288.19776.77](https://doi.org/10.1023/B:VISI.0000022288.19776.77).
# - B. Alexe, T. Deselaers, V. Ferrari, *What is an Object?*, CVPR 2010: objectness, the first proposals of this kind.
# - C. L. Zitnick, P. Dollár, *Edge Boxes: Locating Object Proposals from Edges*, ECCV 2014.
# - J. Hosang, R. Benenson, P. Dollár, B. Schiele, *What Makes for Effective Detection Proposals?*, 2015, [arXiv:1502.05082](https://arxiv.org/abs/1502.05082): a dozen methods compared, blind ones among them.
# - R. Girshick, J. Donahue, T. Darrell, J. Malik, *Rich Feature Hierarchies for Accurate Object Detection and Semantic Segmentation*, 2014, [arXiv:1311.2524](https://arxiv.org/abs/1311.2524): R-CNN, which takes about 2000 of these boxes.
