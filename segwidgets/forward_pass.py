"""One forward pass of a running detector, watched: what each of its parts said, how long each took, and on CUDA how much memory.

A model is watched from outside, by hooks on its parts, which are gone afterwards. What comes of it is one dict of stages, the same for
every detector. A model that has `trace(image)` gives most of it itself, as the course's FasterRCNN, MaskRCNN and SSD do; of torchvision's
FasterRCNN, MaskRCNN, KeypointRCNN, SSD and RetinaNet the hooks read it. All boxes but those of the detections are in pixels of the
picture as the network saw it, `size` (height, width):

    levels {name: [C, H, W]}                                                  the maps, finest first
    anchors [N, 4]   anchor_levels [N]   objectness, a list of [A, H, W]   deltas, a list of [4A, H, W]       proposals [P, 4]
    default_boxes [N, 4]   default_levels [N]   logits [N, K]   deltas [N, 4]                                 or these, without proposals
    alone, whether each class has a sigmoid of its own and none is the background; delta_weights, 4 numbers   by default softmax, usual ones
    class_logits [P, K]   class_deltas [P, 4K]   pooling, a `Pooling`   heads, `BoxHeads`                     of each proposal, if known
    mask_logits [D, K, M, M]   joint_maps [D, J, S, S]                                                        of each detection, if known
    detections {boxes [D, 4] in pixels of the picture as given, labels [D], scores [D]; maybe keypoints [D, J, 3]}
    seconds {stage: s}   memory {stage: bytes}

Letters: N anchors, A of them at a place, P proposals, D detections, K classes with background, M × M cells of a mask.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from segwidgets.box_heads import BoxHeads
from segwidgets.modes import evaluating

COURSES = {
    "input": ("prepare",),
    "backbone": ("backbone",),
    "RPN": ("rpn.head",),
    "box head": ("head",),
    "heads": ("heads",),
    "mask head": ("mask",),
    "keypoint head": ("keypoint",),
}
TORCHVISIONS = {
    "input": ("transform",),
    "backbone": ("backbone",),
    "RPN": ("rpn.head",),
    "box head": ("roi_heads.box_roi_pool", "roi_heads.box_head", "roi_heads.box_predictor"),
    "mask head": ("roi_heads.mask_roi_pool", "roi_heads.mask_head", "roi_heads.mask_predictor"),
    "keypoint head": ("roi_heads.keypoint_roi_pool", "roi_heads.keypoint_head", "roi_heads.keypoint_predictor"),
    "heads": ("head",),
}
HEARD = ("rpn", "rpn.anchor_generator", "anchor_generator")  # their outputs are stages, too; their time is that of their parts
AFTER = {"RPN": "proposals", "box head": "NMS", "heads": "NMS", "mask head": "pasting", "keypoint head": "joints"}
WITH_PROPOSALS = ("transform", "backbone", "rpn.head", "rpn.anchor_generator", "roi_heads.box_roi_pool", "roi_heads.box_predictor")
WITHOUT = ("transform", "backbone", "head", "anchor_generator")
ACCEPTED = (
    "a detector: a model with trace(image), as the course's FasterRCNN, MaskRCNN and SSD, or torchvision's FasterRCNN, MaskRCNN, "
    "KeypointRCNN, SSD or RetinaNet; and into a segmentation network, the course's FCN or torchvision's FCN, DeepLabV3 or LRASPP"
)


def watch(model: nn.Module, image: Tensor) -> dict:
    """The stages of one forward pass over a picture `[3, h, w]`, 0…1, on the model's device and in its precision.

    A model in training mode is put into evaluation mode for the pass, and each of its parts is then what it was.

    Raises:
        TypeError: the model is no detector.
        ValueError: a stage has NaN or infinite values.
        RuntimeError, KeyboardInterrupt: the forward pass failed, or was interrupted.
    """
    traces = callable(getattr(model, "trace", None))
    if not isinstance(model, nn.Module) or not traces and not _is_torchvisions(model):
        raise TypeError(f"xray looks into {ACCEPTED}; {type(model).__name__} is none")
    weight = next((each for each in model.parameters() if each.is_floating_point()), image)
    image = image.to(weight.device, weight.dtype)
    clock = Clock(weight.device)
    with evaluating(model), _listening(model, COURSES if traces else TORCHVISIONS, clock) as said, torch.no_grad():
        forward = partial(model.trace, image) if traces else partial(model, [image])
        # What fails because of NaN says little.
        answer = timed(forward, clock, lambda: _check_maps(said.get("backbone")))
        stages = _of_the_course(model, answer, said) if traces else _of_torchvision(model, answer, said)
    return _on_the_processor(stages) | {"seconds": clock.seconds, "memory": clock.memory}


def timed(forward: Callable, clock: Clock, look: Callable[[], None] = lambda: None):
    """What `forward()` gives, while the clock runs. When it fails, `look()` may raise what says more.

    Raises: RuntimeError, KeyboardInterrupt: with the stage in which it failed, or was interrupted.
    """
    clock.start()
    try:
        answer = forward()
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"The forward pass was interrupted in the stage {clock.stage!r}; the model is as it was.") from None
    except Exception as failed:
        look()
        reason = str(failed).partition("\n")[0]
        raise RuntimeError(f"the forward pass failed in the stage {clock.stage!r}: {type(failed).__name__}: {reason}") from failed
    clock.lap("")
    return answer


# ---- the course's and torchvision's -----------------------------------------------------------------------------------------


def _of_the_course(model: nn.Module, traced: Mapping, said: Mapping) -> dict:
    if not isinstance(traced, Mapping) or not {"size", "levels", "detections"} < set(traced):
        has = ", ".join(traced) if isinstance(traced, Mapping) else type(traced).__name__
        raise TypeError(f"trace(image) of {type(model).__name__} gives {has}; a dict with size, levels, detections and more is needed")
    stages = dict(traced)
    if "proposals" in stages and isinstance(said.get("head"), tuple):
        stages["class_logits"], stages["class_deltas"] = said["head"]
        stages |= _heads(model, said["backbone"], stages["size"], stages["proposals"])
    for name, of_each in (("mask", "mask_logits"), ("keypoint", "joint_maps")):
        if isinstance(said.get(name), Tensor):
            stages[of_each] = said[name]
    return stages


def _heads(model: nn.Module, levels: Mapping, size, proposals: Tensor) -> dict:
    heads = BoxHeads(model, levels, tuple(int(side) for side in size), proposals.dtype)
    pooling = heads.pooling(proposals)
    return {"heads": heads} | ({} if pooling is None else {"pooling": pooling})


def _is_torchvisions(model: nn.Module) -> bool:
    """Whether it has the parts that the hooks listen to. Others have those of SSD, too, and another reading of their numbers."""
    with_proposals, without = (all(part_of(model, path) is not None for path in paths) for paths in (WITH_PROPOSALS, WITHOUT))
    return with_proposals or without and (hasattr(model, "neg_to_pos_ratio") or _is_retinanet(model))


def _is_retinanet(model: nn.Module) -> bool:
    centred = part_of(model, "head.regression_head.bbox_ctrness") is not None  # FCOS
    return part_of(model, "head.classification_head.cls_logits") is not None and not centred


def _of_torchvision(model: nn.Module, answer: list, said: Mapping) -> dict:
    levels = said["backbone"]
    levels = {"0": levels} if isinstance(levels, Tensor) else levels
    stages = {
        "size": said["transform"][0].image_sizes[0],
        "levels": {name: level[0] for name, level in levels.items()},
        "detections": answer[0],
    }
    return stages | (_proposed(model, said, levels) if "rpn" in said else _at_once(model, said, stages["levels"]))


def _proposed(model: nn.Module, said: Mapping, levels: Mapping[str, Tensor]) -> dict:
    """Those of Faster, Mask and Keypoint R-CNN."""
    objectness, deltas = said["rpn.head"]
    counts = torch.tensor([level[0].numel() for level in objectness])
    class_logits, class_deltas = said["roi_heads.box_predictor"]
    ((proposals,), _) = said["rpn"]
    stages = {
        "anchors": said["rpn.anchor_generator"][0],
        "anchor_levels": torch.arange(len(counts)).repeat_interleave(counts),
        "objectness": [level[0] for level in objectness],
        "deltas": [level[0] for level in deltas],
        "proposals": proposals,
        "class_logits": class_logits,
        "class_deltas": class_deltas,
        "delta_weights": tuple(model.roi_heads.box_coder.weights),
    }
    of_each = {"mask_logits": "roi_heads.mask_predictor", "joint_maps": "roi_heads.keypoint_predictor"}
    stages |= {name: said[path] for name, path in of_each.items() if path in said}
    return stages | _heads(model, levels, said["transform"][0].image_sizes[0], proposals)


def _at_once(model: nn.Module, said: Mapping, levels: Mapping[str, Tensor]) -> dict:
    """Those of SSD and RetinaNet."""
    several = model.anchor_generator.num_anchors_per_location()
    counts = [level[0].numel() * of_place for level, of_place in zip(levels.values(), several, strict=True)]
    return {
        "default_boxes": said["anchor_generator"][0],
        "default_levels": torch.arange(len(counts)).repeat_interleave(torch.tensor(counts)),
        "logits": said["head"]["cls_logits"][0],
        "deltas": said["head"]["bbox_regression"][0],
        "alone": _is_retinanet(model),
        "delta_weights": tuple(model.box_coder.weights),
    }


# ---- watching ---------------------------------------------------------------------------------------------------------------


class Clock:
    """Whose turn it is, and how long each had it. The stages' times sum up to that of the whole pass."""

    def __init__(self, device: torch.device):
        self.device, self.stage = device, ""
        self.seconds: dict[str, float] = {}
        self.memory: dict[str, int] = {}

    def start(self) -> None:
        self.stage = ""
        self.lap("input")

    def lap(self, stage: str) -> None:
        """The turn of `stage` begins; "" for what is not counted."""
        now = self._now()
        if self.stage:
            self.seconds[self.stage] = self.seconds.get(self.stage, 0.0) + now - self._since
            if self.device.type == "cuda":
                self.memory[self.stage] = max(self.memory.get(self.stage, 0), torch.cuda.max_memory_allocated(self.device))
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        self.stage, self._since = stage, now

    def _now(self) -> float:
        if self.device.type == "cuda":  # it computes on while Python is already elsewhere
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()
        return time.perf_counter()


@contextmanager
def _listening(model: nn.Module, parts: Mapping[str, tuple[str, ...]], clock: Clock) -> Iterator[dict]:
    """What the model's parts say at their first call, by their paths; meanwhile the clock runs."""
    said: dict[str, object] = {}
    with ExitStack() as hooks:
        stages = {path: stage for stage, paths in parts.items() for path in paths} | dict.fromkeys(HEARD)
        for path, stage in stages.items():
            part = part_of(model, path)
            if part is not None:
                if stage is not None:
                    hooks.callback(part.register_forward_pre_hook(_entering(path, stage, said, clock)).remove)
                hooks.callback(part.register_forward_hook(_leaving(path, stage, said, clock)).remove)
        yield said


def _entering(path: str, stage: str, said: dict, clock: Clock) -> Callable:
    def entering(module, given):
        clock.lap("" if path in said else stage)  # a second call is there for the tracing only

    return entering


def _leaving(path: str, stage: str | None, said: dict, clock: Clock) -> Callable:
    def leaving(module, given, output):
        said.setdefault(path, output)
        if stage is not None:
            clock.lap(AFTER.get(stage, stage))

    return leaving


def part_of(model, path: str) -> nn.Module | None:
    """The part of a model that has this path, "rpn.head"; None if there is none."""
    for name in path.split("."):
        model = getattr(model, name, None)
    return model if isinstance(model, nn.Module) else None


def _on_the_processor(stages: dict) -> dict:
    """The stages on the CPU, at least in single precision, and the maps in their own; without the pasted masks, which take megabytes each.

    Raises: ValueError: one of them has NaN or infinite values.
    """
    kept = dict(stages)
    kept["levels"] = {str(name): finite(level.detach().cpu(), f"level {name} of the backbone") for name, level in stages["levels"].items()}
    found = stages["detections"]
    for name, stage in stages.items():
        if isinstance(stage, Tensor):
            kept[name] = finite(widened(stage), name)
        elif isinstance(stage, list) and stage and isinstance(stage[0], Tensor):
            kept[name] = [finite(widened(each), f"{name} of level {level}") for each, level in zip(stage, kept["levels"], strict=False)]
    of_each = [name for name in ("boxes", "labels", "scores", "keypoints") if name in found]
    return kept | {"detections": {name: finite(widened(found[name]), f"the {name} of the detections") for name in of_each}}


def _check_maps(levels) -> None:
    levels = {"0": levels} if isinstance(levels, Tensor) else levels
    for name, level in levels.items() if isinstance(levels, Mapping) else ():
        finite(level, f"level {name} of the backbone")


def widened(tensor: Tensor) -> Tensor:
    tensor = tensor.detach().cpu()
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def finite(tensor: Tensor, what: str) -> Tensor:
    # Of finite numbers the sum is finite, unless it is too large; it takes a tenth of the time.
    if tensor.is_floating_point() and not torch.isfinite(tensor.sum()) and not torch.isfinite(tensor).all():
        raise ValueError(
            f"the forward pass gave NaN or infinite values, first in {what}; xray shows finite numbers only: look at its weights"
        )
    return tensor
