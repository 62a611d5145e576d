"""One forward pass of a segmentation network, watched: the backbone's maps, what its heads make of them, the scores of every pixel.

J. Long, E. Shelhamer and T. Darrell, "Fully Convolutional Networks for Semantic Segmentation", 2014, arXiv:1411.4038; L.-C. Chen et al.,
"Rethinking Atrous Convolution for Semantic Image Segmentation", 2017, arXiv:1706.05587 (DeepLabV3); A. Howard et al., "Searching for
MobileNetV3", 2019, arXiv:1905.02244, section 5.3 (LR-ASPP). As `segwidgets.forward_pass` does with detectors, hooks read it from outside,
and are gone afterwards: of torchvision's FCN, DeepLabV3 and LRASPP, and of the course's FCN.

Letters: C channels, K classes with background, H × W pixels of the picture as the network saw it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from segwidgets.forward_pass import Clock, finite, part_of, timed, widened
from segwidgets.modes import evaluating

ELEMENTWISE = (nn.ReLU, nn.ReLU6, nn.Hardswish, nn.Hardsigmoid, nn.BatchNorm2d, nn.Dropout, nn.Dropout2d, nn.Identity)
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as all of torchvision's weights were trained


@dataclass(frozen=True)
class SegmenterStages:
    """`maps` {name: `[C, h, w]`} in the order in which they were made, of which the first `backbones` are the backbone's; `logits
    [K, H, W]`; `prepared` says in words what was done to the picture."""

    maps: dict[str, Tensor]
    backbones: int
    logits: Tensor
    prepared: str
    seconds: dict[str, float]
    memory: dict[str, int]

    @property
    def size(self) -> tuple[int, int]:
        return tuple(self.logits.shape[1:])


def is_segmenter(model) -> bool:
    """Whether it has the parts that the hooks listen to."""
    return isinstance(model, nn.Module) and part_of(model, "backbone") is not None and bool(_heads(model))


def watch_segmenter(model: nn.Module, image: Tensor, prepare: Callable[[Tensor], Tensor] | None = None) -> SegmenterStages:
    """The stages of one forward pass over a picture `[3, h, w]`, 0…1, on the model's device and in its precision.

    Args:
        prepare: what the picture goes through first, `[3, h, w]` → `[3, H, W]`; by default ImageNet's normalisation for torchvision's own
            networks, and nothing for others.

    Raises:
        ValueError: the model gives no scores for each pixel, or NaN or infinite values.
        RuntimeError, KeyboardInterrupt: the forward pass failed, or was interrupted. The model is as it was before.
    """
    weight = next((each for each in model.parameters() if each.is_floating_point()), image)
    theirs = type(model).__module__.startswith("torchvision.")
    how = ", prepared as you said," if prepare is not None else ", normalised as ImageNet's pictures," if theirs else ""
    prepare = prepare or (_normalised if theirs else lambda image: image)
    clock = Clock(weight.device)

    def forward():
        prepared = prepare(image.to(weight.device)).to(weight.dtype)
        clock.lap("backbone")
        return model(prepared[None])

    with evaluating(model), _listening(model, clock) as said, torch.no_grad():
        answer = timed(forward, clock)
    read, made = ({name: _on_the_processor(each, name) for name, each in maps.items()} for maps in said)
    if not read:
        raise ValueError(
            f"no head of {type(model).__name__} read a map [1, C, h, w] of its backbone; xray shows what such heads read and say"
        )
    return SegmenterStages(read | made, len(read), _scores(model, answer), how, clock.seconds, clock.memory)


def _scores(model: nn.Module, answer) -> Tensor:
    """[K, H, W]; a single score, of the object against the background, becomes two."""
    scores = answer.get("out") if isinstance(answer, Mapping) else answer
    if not isinstance(scores, Tensor) or scores.ndim != 4 or len(scores) != 1:
        got = list(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise ValueError(f"{type(model).__name__} gives {got}; xray shows scores [1, K, H, W], alone or as 'out' of a dict")
    scores = _on_the_processor(scores, "the scores").float()  # [K, H, W]
    return torch.cat((torch.zeros_like(scores), scores)) if len(scores) == 1 else scores


def _on_the_processor(maps: Tensor, name: str) -> Tensor:
    return finite(widened(maps)[0], name)


def _normalised(image: Tensor) -> Tensor:
    return (image - image.new_tensor(MEAN)[:, None, None]) / image.new_tensor(DEVIATION)[:, None, None]


def _heads(model: nn.Module) -> dict[str, nn.Module]:
    """By their names: torchvision's one, or the course's, of which each reads another map."""
    if (classifier := part_of(model, "classifier")) is not None:
        return {"": classifier}
    scores = part_of(model, "scores")
    return dict(scores.items()) if isinstance(scores, nn.ModuleDict) and part_of(model, "upsample") is not None else {}


@contextmanager
def _listening(model: nn.Module, clock: Clock) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """The maps that the heads read, and what is made within them; meanwhile the clock runs."""
    read: dict[str, Tensor] = {}
    made: dict[str, Tensor] = {}
    with ExitStack() as hooks:
        for name, head in _heads(model).items():
            hooks.callback(head.register_forward_pre_hook(_entering(name, read, clock)).remove)
            for label, part in _parts(name, head):
                hooks.callback(part.register_forward_hook(_made(label, made)).remove)
            if name == "":
                hooks.callback(head.register_forward_hook(lambda *_: clock.lap("upsampling")).remove)
        for path, stage in (("upsample", "upsampling"), ("aux_classifier", "auxiliary head"), ("auxiliary", "auxiliary head")):
            part = part_of(model, path)
            if part is not None:
                hooks.callback(part.register_forward_pre_hook(lambda *_, stage=stage: clock.lap(stage)).remove)
        yield read, made


def _parts(name: str, head: nn.Module) -> list[tuple[str, nn.Module]]:
    """The layers of a head, each with what its map is called. Those that work on single numbers share their map with the layer before."""
    if not any(head.children()):
        return [(f"scores {name}".strip(), head)]
    parts, label, hidden = [], "hidden", 0
    children = list(head.named_children())
    last = max((i for i, (_, part) in enumerate(children) if not isinstance(part, ELEMENTWISE)), default=len(children) - 1)
    for i, (attribute, part) in enumerate(children):
        if not isinstance(part, ELEMENTWISE):
            plain = isinstance(part, nn.Conv2d) and attribute.isdigit()
            hidden += plain
            label = "scores" if i == last and plain else f"hidden {hidden}" if plain and hidden > 1 else "hidden" if plain else ""
            label = label or (attribute.replace("_classifier", " scores") if not attribute.isdigit() else type(part).__name__)
        parts.append((f"{label} {name}".strip(), part))
    return parts


def _entering(name: str, read: dict[str, Tensor], clock: Clock) -> Callable:
    def entering(module, given):
        maps = given[0] if isinstance(given[0], Mapping) else {name or "out": given[0]}
        for each, map_ in maps.items():
            if isinstance(map_, Tensor) and map_.ndim == 4:
                read.setdefault(f"backbone {each}", map_)
        clock.lap("head" if name == "" else "heads")

    return entering


def _made(label: str, made: dict[str, Tensor]) -> Callable:
    def leaving(module, given, output):
        if isinstance(output, Tensor) and output.ndim == 4:
            made[label] = output

    return leaving
