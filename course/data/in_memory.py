"""A detection data set drawn once and kept, so that every epoch but the first costs nothing; each picture also in mirrors.

Shape letters: H height, W width, N boxes.
"""

import torch
from torch import Tensor
from torch.utils.data import Dataset


class InMemory(Dataset):
    """Pictures in 8 bits, and of their targets what is asked for.

    Args:
        data: items (image `[3, H, W]`, 0…1, target with boxes and labels).
        mirrors: for each further copy the dimensions that are flipped: (-1,) left and right, (-2,) up and down, (-1, -2) both.
        keep: what of the targets: "boxes", "labels", "masks" `[N, H, W]`, "keypoints".

    Item: (image float32 `[3, H, W]`, {"boxes" `[N, 4]`, "labels" `[N]`, …}); first all pictures as they are, then each copy.

    Raises: ValueError for mirrored keypoints: a left hand would become a right one, and only the data set knows which is which.
    """

    def __init__(self, data: Dataset, mirrors: tuple[tuple[int, ...], ...] = (), keep: tuple[str, ...] = ("boxes", "labels")):
        if mirrors and "keypoints" in keep:
            raise ValueError("Keypoints cannot be mirrored: a left hand would become a right one. Leave out mirrors, or the keypoints.")
        items = [data[number] for number in range(len(data))]
        self.images = [(255 * image).round().to(torch.uint8) for image, _ in items]
        self.targets = [{name: target[name] for name in keep} for _, target in items]
        self.flips = ((), *mirrors)

    def __len__(self) -> int:
        return len(self.images) * len(self.flips)

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"There are {len(self)} pictures; there is no number {index}.")
        flip, number = divmod(index % len(self), len(self.images))
        image, target, flips = self.images[number].float() / 255, dict(self.targets[number]), self.flips[flip]
        target["boxes"] = mirrored(target["boxes"], image.shape[-2:], flips)
        if "masks" in target:
            target["masks"] = target["masks"].flip(flips)
        return image.flip(flips), target


def mirrored(boxes: Tensor, size: tuple[int, int], dimensions: tuple[int, ...]) -> Tensor:
    """Boxes `[N, 4]` of a picture of that (height, width) in the picture flipped along -1 (left and right), -2 (up and down), or both."""
    x1, y1, x2, y2 = boxes.unbind(1)
    if -1 in dimensions:
        x1, x2 = size[1] - x2, size[1] - x1
    if -2 in dimensions:
        y1, y2 = size[0] - y2, size[0] - y1
    return torch.stack((x1, y1, x2, y2), 1)
