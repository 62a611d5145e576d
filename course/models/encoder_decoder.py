"""One small encoder–decoder, five ways up: everything is the same but the layer that doubles the resolution.

Paper: V. Badrinarayanan, A. Kendall and R. Cipolla, "SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image
Segmentation", 2015, arXiv:1511.00561, figure 2 (the network), figure 3 (its way up against FCN's), section 3.1 (the
comparison of decoders that this file repeats in miniature). The switches of max unpooling: M. Zeiler and R. Fergus, 2013,
arXiv:1311.2901, section 2.1. Transposed convolution: J. Long, E. Shelhamer and T. Darrell, 2014, arXiv:1411.4038, section
3.3. Resize, then convolve: A. Odena, V. Dumoulin and C. Olah, "Deconvolution and Checkerboard Artifacts", Distill, 2016.

Differs from the paper: three levels in place of four or five, one 3×3 convolution a level, trained from scratch.
Differs from torchvision: it has no such model.

Shape letters: N images, C channels of a level, H height, W width, K classes.
"""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from course.ops.pooling import max_pool
from course.ops.unpooling import bed_of_nails, max_unpool, nearest

# A way up is a module made for a number of channels. It is given the small map and the switches of the pooling layer that
# made it small, and gives the map at twice the height and width, with as many channels.
WayUp = Callable[[int], nn.Module]


class Nearest(nn.Module):
    """Every value becomes a 2×2 block of itself. Nothing to learn."""

    def __init__(self, channels: int):
        super().__init__()

    def forward(self, x: Tensor, switches: Tensor) -> Tensor:
        return nearest(x, 2)  # [N, C, 2H, 2W]


class BedOfNails(nn.Module):
    """Every value goes to the upper left of its 2×2 block, zeros around it. Nothing to learn."""

    def __init__(self, channels: int):
        super().__init__()

    def forward(self, x: Tensor, switches: Tensor) -> Tensor:
        return bed_of_nails(x, 2)  # [N, C, 2H, 2W]


class MaxUnpool(nn.Module):
    """Every value goes back to where the maximum stood, zeros around it. Nothing to learn; the only one that reads the switches."""

    def __init__(self, channels: int):
        super().__init__()

    def forward(self, x: Tensor, switches: Tensor) -> Tensor:
        return max_unpool(x, switches, 2)  # [N, C, 2H, 2W]


class TransposedConv(nn.Module):
    """Every value stamps a learned `kernel_size` × `kernel_size` patch; stamps that overlap add up.

    `kernel_size` 2 (stamps touch), 3 (they overlap unevenly: the checkerboard) or 4 (every output cell is covered alike).
    """

    def __init__(self, channels: int, *, kernel_size: int = 3):
        super().__init__()
        if kernel_size not in (2, 3, 4):
            raise ValueError(f"TransposedConv doubles the size with a kernel_size of 2, 3 or 4, not {kernel_size!r}.")
        padding = (kernel_size - 1) // 2
        output_padding = kernel_size % 2  # so that 2(H − 1) − 2·padding + kernel_size + output_padding = 2H
        # torch's layer computes what course.ops.conv_transpose does (a test holds them together) and trains several times faster.
        self.stamp = nn.ConvTranspose2d(channels, channels, kernel_size, stride=2, padding=padding, output_padding=output_padding)

    def forward(self, x: Tensor, switches: Tensor) -> Tensor:
        return self.stamp(x)  # [N, C, 2H, 2W]


class ResizeConv(nn.Module):
    """Nearest, then a 3×3 convolution: as much to learn as TransposedConv(kernel_size=3), and no uneven overlap."""

    def __init__(self, channels: int):
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, switches: Tensor) -> Tensor:
        return self.convolution(nearest(x, 2))  # [N, C, 2H, 2W]


class EncoderDecoder(nn.Module):
    """Down by 2 at each level, through the bottleneck, and up again the same number of times.

    Args:
        upsample: a way up, such as `Nearest` or `MaxUnpool`: called with a number of channels, it gives the module.
        channels: of each level, from the finest to the coarsest.
        classes: K.

    Two models made after the same `torch.manual_seed` start from the same weights in every layer that they share.
    """

    def __init__(self, *, upsample: WayUp, channels: Sequence[int] = (16, 32, 64), classes: int = 2):
        super().__init__()
        finer = (channels[0], *channels[:-1])
        self.encoder = nn.ModuleList(convolution(c_in, c_out) for c_in, c_out in zip((3, *channels), channels, strict=False))
        self.bottleneck = convolution(channels[-1], channels[-1])
        self.decoder = nn.ModuleList(convolution(c_in, c_out) for c_in, c_out in zip(channels, finer, strict=True))
        self.classifier = nn.Conv2d(channels[0], classes, 1)
        # Last, because some ways up draw random numbers: all the layers above have had theirs by now.
        self.ups = nn.ModuleList(upsample(c) for c in channels)

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, H, W]` or `[3, H, W]`, RGB, 0…1 → logits `[N, K, H, W]`.

        Raises: ValueError unless H and W can be halved at every level.
        """
        x = self._checked(images)
        all_switches = []
        for level in self.encoder:
            x, switches = max_pool(level(x), 2)  # [N, C, H/2, W/2], then /4, then /8
            all_switches.append(switches)
        x = self.bottleneck(x)  # [N, 64, H/8, W/8]
        for up, level, switches in reversed(list(zip(self.ups, self.decoder, all_switches, strict=True))):
            x = level(up(x, switches))  # [N, C, H/4, W/4], then /2, then /1
        return self.classifier(x)  # [N, K, H, W]

    def _checked(self, images: Tensor) -> Tensor:
        factor = 2 ** len(self.encoder)
        if images.dim() not in (3, 4) or images.shape[-3] != 3 or any(side == 0 or side % factor for side in images.shape[-2:]):
            raise ValueError(
                f"Pictures have shape [N, 3, H, W] with H and W multiples of {factor}, halved {len(self.encoder)} times; "
                f"these have {list(images.shape)}."
            )
        return images if images.dim() == 4 else images[None]


def convolution(c_in: int, c_out: int) -> nn.Sequential:
    """3×3 convolution, batch normalisation, ReLU; the size stays. `[N, c_in, H, W]` → `[N, c_out, H, W]`."""
    return nn.Sequential(nn.Conv2d(c_in, c_out, 3, padding=1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU())


def parameter_count(module: nn.Module) -> int:
    """How many numbers the module learns."""
    return sum(p.numel() for p in module.parameters())
