"""Fully convolutional networks: a classifier that answers at every pixel, all at once.

Papers: J. Long, E. Shelhamer and T. Darrell, "Fully Convolutional Networks for Semantic Segmentation", 2014, arXiv:1411.4038,
section 3.1 (a classifier made convolutional), section 3.3 (upsampling by a transposed convolution that starts out bilinear),
section 4.2 and figure 3 (skips: 32s, 16s, 8s); E. Shelhamer, J. Long and T. Darrell, 2016, arXiv:1605.06211, section 4.2. Several
scales: L.-C. Chen et al., "Attention to Scale", 2015, arXiv:1511.03339, section 3; C. Farabet et al., "Learning Hierarchical Features for
Scene Labeling", 2013, section 3.1.

Differs from the papers: any backbone in place of VGG, padded as usual and not by 100 pixels; all skips are trained at once, not rung after
rung; the rung's 2× upsampling is not learned; the transposed convolution works on each class by itself. `multi_scale` takes the mean or the
maximum, which the paper compares its learned attention with.
Differs from torchvision: its FCN reads one layer and has no skips. With one entry in `scores` and no skips this is its `fcn_resnet50`,
which `from_torchvision` proves; the outputs are its dict, too.

Shape letters: N images, C channels, H height, W width, K classes, h × w a small map or a window.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course.models.stages import resnet_stages
from course.ops import arguments
from course.ops.arguments import IntOrPair


def convolutional_weight(weight: Tensor, channels: int, size: IntOrPair) -> Tensor:
    """The same numbers as a convolution's weight: a linear layer on a whole window is a convolution as large as the window.

    Args:
        weight: `[K, C*h*w]` of a linear layer whose input is a window `[C, h, w]`, flattened.
        channels: C.
        size: (h, w) of the window, or one integer for both.

    Returns: `[K, C, h, w]`, a view of `weight`. Source: paper, section 3.1, figure 2.

    Raises: TypeError or ValueError if weight is no matrix, or has not C·h·w columns.
    """
    if not isinstance(weight, Tensor):
        raise TypeError(f"weight must be a torch.Tensor of shape [K, C*h*w]; got {type(weight).__name__}.")
    if weight.dim() != 2:
        raise ValueError(f"weight must have shape [K, C*h*w], one row for each class; got {list(weight.shape)}.")
    channels = arguments.whole(channels, "channels", 1)
    height, width = arguments.pair(size, "size", 1)
    if weight.shape[1] != channels * height * width:
        raise ValueError(
            f"weight must have {channels} × {height} × {width} = {channels * height * width} columns, "
            f"one for each number in a window of {channels} channels; got {weight.shape[1]}."
        )
    return weight.reshape(-1, channels, height, width)  # [K, C, h, w]


def convolutionalise(linear: nn.Linear, channels: int, size: IntOrPair) -> nn.Conv2d:
    """A linear layer on a flattened window as a convolution, which gives the layer's answer for every window of a larger map.

    On a map of exactly one window, `[N, C, h, w]`, it gives what the layer gives, as `[N, K, 1, 1]`. The numbers are copied: training
    one leaves the other as it was.

    Args:
        linear: from C·h·w numbers to K, with or without bias.
        channels: C.
        size: (h, w) of the window, or one integer for both.

    Source: paper, section 3.1, figure 2. Raises: TypeError or ValueError as `convolutional_weight`.
    """
    if not isinstance(linear, nn.Linear):
        raise TypeError(f"linear must be a torch.nn.Linear; got {type(linear).__name__}.")
    weight = convolutional_weight(linear.weight.detach(), channels, size)  # [K, C, h, w]
    layer = nn.Conv2d(
        channels, linear.out_features, tuple(weight.shape[2:]), bias=linear.bias is not None, device=weight.device, dtype=weight.dtype
    )
    with torch.no_grad():
        layer.weight.copy_(weight)
        if linear.bias is not None:
            layer.bias.copy_(linear.bias)
    return layer.train(linear.training)


def fuse(coarse: Tensor, fine: Tensor) -> Tensor:
    """One rung of the refinement ladder: double the coarse scores by bilinear interpolation and add the fine ones.

    Where the fine side is odd, a layer halved it and rounded. The doubled map is then cut off, or continued by its border, by one row or
    column: cell i of the coarse map lies over the cells 2i and 2i + 1 of the fine one, and a map resized to fit would drift.

    Args:
        coarse: scores `[N, K, h, w]`, `[K, h, w]` or `[h, w]`, floating-point.
        fine: scores of the same classes at twice the resolution, `[N, K, H, W]`: H is 2h, or one less or more; so is W with 2w.

    Returns: `[N, K, H, W]`. Source: Long et al. 2014, section 4.2, figure 3; it crops, too.

    Raises: TypeError or ValueError for tensors that do not fit together.
    """
    for scores, name in ((coarse, "coarse"), (fine, "fine")):
        arguments.check_planes(scores, name, fractions=True)
    arguments.check_same_device(fine, "fine", coarse)
    size, doubled = tuple(fine.shape[-2:]), (2 * coarse.shape[-2], 2 * coarse.shape[-1])
    if coarse.shape[:-2] != fine.shape[:-2] or any(abs(side - twice) > 1 for side, twice in zip(size, doubled, strict=True)):
        raise ValueError(
            "fine must have the images and classes of coarse at twice its height and width, give or take one: "
            f"{[*coarse.shape[:-2], *doubled]} for coarse of shape {list(coarse.shape)}; got {list(fine.shape)}."
        )
    return enlarge(coarse, 2, size) + fine  # [N, K, H, W]


def enlarge(x: Tensor, factor: int, size: Sequence[int]) -> Tensor:
    """Bilinear interpolation by a whole factor, cut off, or continued by its border, below and on the right to `size`.

    Args:
        x: `[N, C, h, w]`, `[C, h, w]` or `[h, w]`, floating-point.
        factor: how many pixels a cell is wide.
        size: (H, W), within a cell of factor · (h, w).

    Returns: `[N, C, H, W]`. Unlike F.interpolate(x, size), it never stretches, so a cell stays over the pixels that it was computed from.
    """
    planes = x.reshape(-1, 1, *x.shape[-2:])  # [N*C, 1, h, w]
    if any(side > factor * small for side, small in zip(size, x.shape[-2:], strict=True)):
        planes = F.pad(planes, (0, 1, 0, 1), mode="replicate")  # [N*C, 1, h + 1, w + 1]
    planes = F.interpolate(planes, scale_factor=factor, mode="bilinear", align_corners=False)  # [N*C, 1, factor*h, factor*w]
    return planes[..., : size[0], : size[1]].reshape(*x.shape[:-2], *size)  # [N, C, H, W]


class Resize(nn.Module):
    """Scores to the size of the pictures by bilinear interpolation, as torchvision does. Nothing to learn."""

    def forward(self, scores: Tensor, size: Sequence[int]) -> Tensor:
        return F.interpolate(scores, size=tuple(size), mode="bilinear", align_corners=False)  # [N, K, H, W]


class BilinearTransposedConv(nn.Module):
    """Scores to the size of the pictures by a transposed convolution that starts out as bilinear interpolation and learns on.

    The kernel is a tent, `2·stride` wide, one for each class. The map is continued by one copy of its border, so that the start is
    interpolation up to the edge; what is larger than the picture is cut off.

    Args:
        classes: K.
        stride: of the scores, in pixels, an even number.

    Source: Long et al. 2014, section 3.3 and the end of section 4.2 ("initialized to bilinear upsampling, but allowed to be learned").
    """

    def __init__(self, classes: int, *, stride: int):
        super().__init__()
        if isinstance(stride, bool) or not isinstance(stride, int) or stride < 2 or stride % 2:
            raise ValueError(f"BilinearTransposedConv multiplies the size by an even stride, 2 or more, not {stride!r}.")
        self.stamp = nn.ConvTranspose2d(classes, classes, 2 * stride, stride, padding=stride // 2, groups=classes, bias=False)
        tent = 1 - ((torch.arange(2 * stride) + 0.5) / stride - 1).abs()  # [2*stride]: 1 in the middle, 0 at a cell's distance
        with torch.no_grad():
            self.stamp.weight.copy_(tent[:, None] * tent)  # [K, 1, 2*stride, 2*stride]

    def forward(self, scores: Tensor, size: Sequence[int]) -> Tensor:
        stride = self.stamp.stride[0]
        upsampled = self.stamp(F.pad(scores, (1, 1, 1, 1), mode="replicate"))  # [N, K, stride*(h + 2), stride*(w + 2)]
        return upsampled[..., stride : stride + size[0], stride : stride + size[1]]  # [N, K, H, W]


class FCN(nn.Module):
    """A backbone, a score layer on some of its features, a sum from coarse to fine, and one step up to the pixels.

    Args:
        backbone: a module whose `features(images)` gives {name: features `[N, C, h, w]`}, such as `Stages` or `EfficientNetLite0`.
        scores: {name: module from these features to scores `[N, K, h, w]`}, from the coarsest to the finest, each twice as fine as the one
            before. One entry, at stride 32, is FCN-32s; with 16 it is FCN-16s; with 16 and 8, FCN-8s.
        auxiliary: (name, module): a second answer from other features, for a loss that reaches the lower layers sooner. Optional.
        upsample: (scores, (H, W)) → `[N, K, H, W]`: `Resize()`, which is the default, or `BilinearTransposedConv`.
    """

    def __init__(
        self,
        *,
        backbone: nn.Module,
        scores: Mapping[int | str, nn.Module],
        auxiliary: tuple[int | str, nn.Module] | None = None,
        upsample: nn.Module | None = None,
    ):
        super().__init__()
        if not scores:
            raise ValueError("An FCN needs at least one score layer: scores is {name of the features: module}, from coarse to fine.")
        self.backbone = backbone
        self.names = tuple(scores)
        self.scores = nn.ModuleDict({str(name): layer for name, layer in scores.items()})
        self.auxiliary_name, self.auxiliary = auxiliary or (None, None)
        self.upsample = upsample or Resize()

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Logits for every pixel.

        Args:
            images: `[N, 3, H, W]` or `[3, H, W]`, float, as the backbone takes them: usually RGB in 0…1.

        Returns: {"out": `[N, K, H, W]`}, and "aux" with the same shape if there is an auxiliary head.

        Raises: TypeError or ValueError for pictures of another shape or type, or features that the backbone does not have.
        """
        images = _batch(images)  # [N, 3, H, W]
        return self.decode(self.backbone.features(images), images.shape[-2:])

    def decode(self, features: Mapping[int | str, Tensor], size: Sequence[int]) -> dict[str, Tensor]:
        """From the backbone's features of pictures of `size`, (H, W), to what `forward` gives: to train score layers on features kept."""
        missing = [name for name in (*self.names, self.auxiliary_name) if name is not None and name not in features]
        if missing:
            raise ValueError(f"The backbone gives the features {', '.join(map(str, features))}; there is a score layer for {missing[0]}.")
        fused = None
        for name in self.names:
            scores = self.scores[str(name)](features[name])  # [N, K, H/stride, W/stride]
            fused = scores if fused is None else fuse(fused, scores)  # [N, K, H/stride, W/stride]
        outputs = {"out": self.upsample(fused, size)}  # [N, K, H, W]
        if self.auxiliary is not None:
            outputs["aux"] = Resize()(self.auxiliary(features[self.auxiliary_name]), size)  # [N, K, H, W]
        return outputs


def head(channels: int, hidden: int, classes: int, *, dropout: float = 0.1) -> nn.Sequential:
    """Scores through a hidden layer: 3×3 convolution, batch normalisation, ReLU, dropout, 1×1. `[N, C, h, w]` → `[N, K, h, w]`."""
    first = nn.Conv2d(channels, hidden, 3, padding=1, bias=False)
    return nn.Sequential(first, nn.BatchNorm2d(hidden), nn.ReLU(inplace=True), nn.Dropout(dropout), nn.Conv2d(hidden, classes, 1))


class FullResolution(nn.Module):
    """The direct way: 3×3 convolutions that never leave the pictures' resolution. What it costs is why there are strides.

    Each convolution takes 9 · C_in · C_out multiply–adds at every one of the H·W pixels, and the receptive field grows by 2 pixels only.

    Args:
        channels: of each hidden layer.
        classes: K.
    """

    def __init__(self, *, channels: Sequence[int] = (32, 32, 32, 32), classes: int):
        super().__init__()
        layers = []
        for c_in, c_out in zip((3, *channels), channels, strict=False):
            layers += [nn.Conv2d(c_in, c_out, 3, padding=1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.classifier = nn.Conv2d(channels[-1], classes, 1)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """`[N, 3, H, W]` or `[3, H, W]`, RGB, 0…1 → {"out": logits `[N, K, H, W]`}, as an FCN gives them."""
        x = self.layers(_batch(images))  # [N, C, H, W]
        return {"out": self.classifier(x)}  # [N, K, H, W]


def losses(outputs: Mapping[str, Tensor], target: Tensor, *, auxiliary_weight: float = 0.5, void: int = 255) -> dict[str, Tensor]:
    """Cross-entropy, the mean over all pixels but the void ones: {"out": scalar}, and the weighted "aux" if there is an auxiliary head.

    Args:
        outputs: {"out", maybe "aux"}: logits `[N, K, H, W]`.
        target: labels `[N, H, W]`, long.

    Source: Long et al. 2014, section 4.3, "per-pixel multinomial logistic loss"; the 0.5 is that of torchvision's references.
    """
    weights = {"out": 1.0, "aux": auxiliary_weight}
    return {name: weights[name] * F.cross_entropy(logits, target, ignore_index=void) for name, logits in outputs.items()}


def logits_of(outputs: Tensor | Mapping[str, Tensor]) -> Tensor:
    """The logits `[N, K, H, W]` of a model's answer, be it a dict with "out", as an FCN's and torchvision's, or the tensor itself."""
    return outputs if isinstance(outputs, Tensor) else outputs["out"]


def multi_scale(model: nn.Module, images: Tensor, scales: Sequence[float] = (0.5, 1.0, 2.0), *, merge: str = "mean") -> Tensor:
    """Show a model the pictures at several sizes, bring its maps back to one, and merge them.

    Large things fit the receptive field in the small picture; thin parts span several cells in the large one.

    Args:
        model: pictures → logits `[N, K, H, W]`, or a dict with "out".
        images: `[N, 3, H, W]` or `[3, H, W]`.
        scales: factors of height and width, each above 0.
        merge: "mean", or "max" over the scales, of the logits.

    Returns: logits `[N, K, H, W]`, at the size of `images`. Source: Chen et al. 2015, section 3 (merging of scores at test time).

    Raises: TypeError or ValueError for other pictures, no scales, scales that leave no pixel, or another merge.
    """
    if merge not in ("mean", "max"):
        raise ValueError(f"multi_scale merges by 'mean' or 'max', not {merge!r}.")
    images = _batch(images)  # [N, 3, H, W]
    size, maps = images.shape[-2:], []
    for scale in scales:
        height, width = (round(side * scale) for side in size)
        if min(height, width) < 1:
            raise ValueError(f"A scale of {scale} leaves nothing of a picture of {size[0]} × {size[1]} pixels; scales are factors above 0.")
        resized = F.interpolate(images, size=(height, width), mode="bilinear", antialias=scale < 1)  # [N, 3, scale*H, scale*W]
        logits = logits_of(model(resized))  # [N, K, scale*H, scale*W]
        maps.append(F.interpolate(logits, size=size, mode="bilinear"))  # [N, K, H, W]
    if not maps:
        raise ValueError("multi_scale needs at least one scale; got none.")
    stacked = torch.stack(maps)  # [S, N, K, H, W]
    return stacked.mean(0) if merge == "mean" else stacked.amax(0)  # [N, K, H, W]


def from_torchvision(tv_model: nn.Module) -> FCN:
    """torchvision's `fcn_resnet50` or `fcn_resnet101` as this file's FCN: every tensor is copied, the outputs are the same.

    Give it pictures as torchvision's, normalised with ImageNet's mean and deviation (`course.models.stages.Normalise`).

    Raises: TypeError or ValueError for another model.
    """
    from torchvision.models.resnet import Bottleneck, ResNet  # here, because importing it changes the environment

    tensors = tv_model.state_dict()
    if not {"backbone.layer4.0.conv3.weight", "classifier.0.weight", "classifier.4.weight"} <= tensors.keys():
        raise TypeError(f"from_torchvision takes torchvision's fcn_resnet50 or fcn_resnet101, not {type(tv_model).__name__}.")
    blocks = [len(tv_model.backbone[f"layer{number}"]) for number in (1, 2, 3, 4)]
    resnet = ResNet(Bottleneck, blocks, replace_stride_with_dilation=[False, True, True])
    classes, has_auxiliary = len(tensors["classifier.4.weight"]), tv_model.aux_classifier is not None
    model = FCN(
        backbone=resnet_stages(resnet),
        scores={"layer4": head(2048, 512, classes)},
        auxiliary=("layer3", head(1024, 256, classes)) if has_auxiliary else None,
    )
    layers = [[repr(layer) for layer in m.modules() if isinstance(layer, nn.Conv2d)] for m in (model, tv_model)]
    ours = {_torchvision_name(name): tensor for name, tensor in model.state_dict().items()}
    shapes = [{name: tensor.shape for name, tensor in named.items()} for named in (ours, tensors)]
    if layers[0] != layers[1] or shapes[0] != shapes[1]:
        raise ValueError("from_torchvision knows the layers of torchvision's fcn_resnet50 and fcn_resnet101; some of this model's differ.")
    model.to(tensors["classifier.4.weight"])  # its device and dtype
    model.load_state_dict({name: tensors[_torchvision_name(name)] for name in model.state_dict()})
    return model.train(tv_model.training)


def _torchvision_name(name: str) -> str:
    for ours, theirs in (("backbone.stem.", "backbone."), ("scores.layer4.", "classifier."), ("auxiliary.", "aux_classifier.")):
        name = name.replace(ours, theirs)
    return name


def _batch(images: Tensor) -> Tensor:
    """Check the pictures and give them a batch dimension: → `[N, 3, H, W]`."""
    if not isinstance(images, Tensor):
        raise TypeError(f"Pictures are a tensor [N, 3, H, W], not {type(images).__name__}; course.data.photos.load_image makes one.")
    if not images.is_floating_point():
        raise TypeError(f"Pictures are floats, not {images.dtype}.")
    if images.dim() not in (3, 4) or images.shape[-3] != 3 or min(images.shape[-2:]) < 1:
        raise ValueError(f"Pictures have shape [N, 3, H, W] or [3, H, W]; these have {list(images.shape)}.")
    return images if images.dim() == 4 else images[None]
