"""How good a pose is.

Percentage of correct keypoints, PCK: Y. Yang and D. Ramanan, "Articulated Human Detection with Flexible Mixtures of Parts", TPAMI 2013,
section 7. Its length is the longer side of the person's box. Others measure in torsos (B. Sapp and B. Taskar, "MODEC", CVPR 2013) or
heads (PCKh: M. Andriluka et al., "2D Human Pose Estimation", CVPR 2014): pass those lengths, and it is theirs.

Shape letters: N people, K keypoints.
"""

import torch
from torch import Tensor


def pck(prediction: Tensor, target: Tensor, lengths: Tensor, *, threshold: float = 0.2) -> float:
    """The share of keypoints, 0…1, that lie within `threshold` lengths of where they should be; NaN if there is none to judge.

    Args:
        prediction: (x, y), `[N, K, 2]`, in pixels; a third column, as torchvision has it, is not looked at.
        target: (x, y, visibility), `[N, K, 3]`. Keypoints of visibility 0 count nowhere; hidden ones, 1, count.
        lengths: `[N]`, in pixels, one a person: `box_lengths(boxes)` for PCK.
        threshold: α, in lengths. 0.2 is usual, 0.1 strict. A keypoint at exactly that distance is right. A prediction of NaN is wrong.

    Raises: ValueError for tensors that do not fit together, or a threshold below 0.
    """
    people, keypoints = tuple(target.shape[:1]), tuple(target.shape[:2])
    if target.dim() != 3 or target.shape[2] != 3:
        raise ValueError(f"target must have shape [N, K, 3], x, y and visibility; got {list(target.shape)}.")
    if prediction.dim() != 3 or tuple(prediction.shape[:2]) != keypoints or prediction.shape[2] not in (2, 3):
        raise ValueError(f"prediction must have shape {[*keypoints, 2]}, x and y of each keypoint; got {list(prediction.shape)}.")
    if tuple(lengths.shape) != people:
        raise ValueError(f"lengths must have shape {list(people)}, one a person; got {list(lengths.shape)}.")
    if not threshold >= 0:
        raise ValueError(f"threshold must be 0 or more, in lengths; got {threshold!r}.")
    distances = torch.linalg.vector_norm(prediction[..., :2].double() - target[..., :2].double(), dim=-1)  # [N, K]
    right = distances <= threshold * lengths.double()[:, None]  # [N, K]
    return right[target[..., 2] > 0].double().mean().item()


def box_lengths(boxes: Tensor) -> Tensor:
    """The longer side of each box, xyxy `[N, 4]`, in pixels: the length that PCK measures with. `[N]`"""
    return (boxes[:, 2:] - boxes[:, :2]).amax(1)  # [N]
