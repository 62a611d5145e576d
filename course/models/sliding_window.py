"""Sliding window: a classifier of patches, moved over the picture, says what is where.

Papers: D. Cireşan, A. Giusti, L. Gambardella and J. Schmidhuber, "Deep Neural Networks Segment Neuronal Membranes in Electron
Microscopy Images", NeurIPS 2012, section 2 (a label for every pixel, from the window centred on it; the picture is mirrored at its
border). C. Farabet, C. Couprie, L. Najman and Y. LeCun, "Learning Hierarchical Features for Scene Labeling", TPAMI 2013, section 3.
P. Sermanet et al., "OverFeat", 2013, arXiv:1312.6229, section 3.5 (a network of valid convolutions need not slide at all).

Differs from the papers: Cireşan's windows have an odd side, are sampled more densely in the middle, and four networks vote. Farabet's
and Sermanet's networks are run convolutionally from the start: here that is `course.models.fcn`, and this file is what it replaces.
Differs from torchvision: it has no such model.

Shape letters: N images, H × W picture, h × w window, R × S rows and columns of windows, B patches in a batch, K classes.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course.ops import arguments
from course.ops.arguments import IntOrPair
from course.ops.windows import window_view
from course.progress import watched


class SlidingWindow(nn.Module):
    """Classify every window of a picture by itself, a batch of patches after the other.

    Only one batch of patches exists at a time, and no gradient is kept: memory is that of a batch, however many windows there are.
    Training needs no sliding: it draws single patches.

    Args:
        classifier: a module (or function) from patches `[B, 3, h, w]` to logits `[B, K]`. It is used in the mode it is in; after
            `eval()` each patch is classified without regard to the others in its batch.
        size: of the window, in pixels, one integer or (height, width).
        stride: pixels from one window to the next, one integer or (down, to the right).
        batch_size: patches at a time. A GPU is fast with many; a processor with as few as fit into its cache, of 224 pixels about two.
        progress: show a bar when it takes longer than two seconds, or never; by default only if somebody is watching.
    """

    def __init__(self, classifier: nn.Module, *, size: IntOrPair, stride: IntOrPair, batch_size: int = 64, progress: bool | None = None):
        super().__init__()
        self.classifier = classifier
        self.size = arguments.pair(size, "size", 1)
        self.stride = arguments.pair(stride, "stride", 1)
        self.batch_size = arguments.whole(batch_size, "batch_size", 1)
        self.progress = progress

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """The classifier's answer for every window.

        Args:
            image: `[3, H, W]` or `[N, 3, H, W]`, floating-point, at least as large as the window.

        Returns: logits `[K, R, S]` or `[N, K, R, S]`, one column of K numbers a window. Cell (r, s) is the window whose upper left
            corner is the pixel (stride·r, stride·s). Pixels that the last window does not reach have no say.

        Raises: TypeError or ValueError for pictures of another shape or type, or a classifier that does not give `[B, K]`.
        """
        windows = window_view(_batch(image), self.size, self.stride)  # [N, R, S, 3, h, w], no copy
        places = torch.cartesian_prod(*(torch.arange(side, device=image.device) for side in windows.shape[:3]))  # [N*R*S, 3]
        logits = []
        with window_bar(len(places), self.progress) as bar:
            for batch in places.split(self.batch_size):
                patches = windows[batch[:, 0], batch[:, 1], batch[:, 2]]  # [B, 3, h, w]
                logits.append(self._classified(patches))  # [B, K]
                bar.update(len(batch))
        grid = torch.cat(logits).unflatten(0, windows.shape[:3]).movedim(-1, 1)  # [N, K, R, S]
        return grid if image.dim() == 4 else grid[0]

    def segment(self, image: Tensor) -> Tensor:
        """A label for every pixel, as in the paper: each block of stride × stride pixels gets the class of the window around it.

        The picture is mirrored at its border, so that there is a window around the outermost blocks too. With stride 1 every pixel
        has a window of its own, centred on it, or half a pixel beside it when the side of the window is even.

        Args:
            image: `[3, H, W]` or `[N, 3, H, W]`; each side must be longer than what is mirrored there, about half a window.

        Returns: labels `[H, W]` or `[N, H, W]`, int64.

        Raises: TypeError or ValueError as the call; ValueError for a stride longer than the window or a picture too small to mirror.
        """
        images = _batch(image)  # [N, 3, H, W]
        before, after = zip(*map(self._margins, images.shape[-2:], self.size, self.stride), strict=True)
        if any(max(margins) >= side for margins, side in zip(zip(before, after, strict=True), images.shape[-2:], strict=True)):
            raise ValueError(
                f"A window of {self.size[0]} × {self.size[1]} around the outermost pixels needs a picture of more than "
                f"{max(before[0], after[0])} × {max(before[1], after[1])} to mirror; this one has {images.shape[-2]} × {images.shape[-1]}."
            )
        mirrored = F.pad(images, (before[1], after[1], before[0], after[0]), mode="reflect")  # [N, 3, H + …, W + …]
        labels = self(mirrored).argmax(1)  # [N, R, S]
        labels = labels.repeat_interleave(self.stride[0], 1).repeat_interleave(self.stride[1], 2)  # [N, R·stride, S·stride]
        labels = labels[:, : images.shape[-2], : images.shape[-1]]  # [N, H, W]
        return labels if image.dim() == 4 else labels[0]

    def extra_repr(self) -> str:
        return f"size={self.size}, stride={self.stride}, batch_size={self.batch_size}"

    @staticmethod
    def _margins(side: int, window: int, stride: int) -> tuple[int, int]:
        """Pixels to mirror before and after a side, so that one window lies around each block of `stride` pixels, the last included."""
        if stride > window:
            raise ValueError(f"segment needs a stride no longer than the window, or pixels would go unseen; got {stride} for {window}.")
        before = (window - stride) // 2
        blocks = -(-side // stride)
        return before, (blocks - 1) * stride + window - side - before

    def _classified(self, patches: Tensor) -> Tensor:
        logits = self.classifier(patches)
        if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != len(patches):
            got = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(f"The classifier must give logits [{len(patches)}, K] for {len(patches)} patches; it gave {got}.")
        return logits


class PatchClassifier(nn.Module):
    """A small classifier of patches whose convolutions are all *valid*: no padding anywhere.

    Each level is a convolution, ReLU and max pooling; a linear layer on all that is left answers. Because nothing is padded, what a level
    computes at a place depends on the pixels there alone, not on where the patch ends. So sliding this classifier over a picture at its
    own `stride` gives the same numbers as one pass of

        nn.Sequential(classifier.features, fcn.convolutionalise(classifier.linear, *classifier.map_size))

    over the whole (OverFeat, section 3.5).

    Args:
        size: of the patches, in pixels, height and width. Every level must use all of its input: no row may be left over.
        channels: of each level, from the first to the last.
        classes: K.
        kernel_size: of the convolutions, pool: of the pooling windows, both in cells.

    Raises: TypeError or ValueError for sizes that are no positive integers, or do not divide as the levels need it.
    """

    def __init__(self, *, size: int, channels: Sequence[int] = (16, 32, 64), classes: int = 2, kernel_size: int = 3, pool: int = 2):
        super().__init__()
        self.size, self.stride = arguments.whole(size, "size", 1), pool ** len(channels)
        side = self._side(self.size, len(channels), kernel_size, pool)
        levels = []
        for c_in, c_out in zip((3, *channels), channels, strict=False):
            levels += [nn.Conv2d(c_in, c_out, kernel_size), nn.ReLU(), nn.MaxPool2d(pool)]
        self.features = nn.Sequential(*levels)
        self.map_size = (channels[-1], (side, side))
        self.linear = nn.Linear(channels[-1] * side * side, classes)

    def forward(self, patches: Tensor) -> Tensor:
        """`[B, 3, size, size]`, RGB, 0…1 → logits `[B, K]`. Raises: ValueError for patches of another size."""
        if patches.shape[-3:] != (3, self.size, self.size):
            raise ValueError(f"Patches have shape [B, 3, {self.size}, {self.size}]; these have {list(patches.shape)}.")
        return self.linear(self.features(patches).flatten(1))  # [B, K]

    @staticmethod
    def _side(size: int, levels: int, kernel_size: int, pool: int) -> int:
        """Side of the last map, in cells."""
        side = size
        for _ in range(levels):
            side -= kernel_size - 1
            if side < pool or side % pool:
                smallest = kernel_size - 1 + pool
                for _ in range(levels - 1):
                    smallest = smallest * pool + kernel_size - 1
                raise ValueError(
                    f"With {levels} levels of kernel_size {kernel_size} and pool {pool}, size must be {smallest} or a multiple of "
                    f"{pool**levels} more, so that no level leaves a row over; got {size}."
                )
            side //= pool
        return side


def window_bar(windows: int, progress: bool | None):
    """A bar over so many windows, shown once they take longer than two seconds; `progress` as of `SlidingWindow`."""
    from tqdm.auto import tqdm

    show = watched() if progress is None else progress
    return tqdm(total=windows, unit="window", delay=2, disable=not show)


def _batch(image: Tensor) -> Tensor:
    """Check the picture and give it a batch dimension: → `[N, 3, H, W]`."""
    arguments.check_planes(image, "image", fractions=True)
    if image.dim() == 2 or image.shape[-3] != 3:
        raise ValueError(f"image must have shape [3, H, W] or [N, 3, H, W]; got {list(image.shape)}.")
    return image if image.dim() == 4 else image[None]
