"""Features of boxes kept on disk, so that a network runs once for each picture however often something is trained on them.

R-CNN and SPP-net train this way: R. Girshick et al. 2014, arXiv:1311.2524; K. He et al. 2014, arXiv:1406.4729. The price is disk space, for
which R. Girshick 2015, arXiv:1504.08083, section 1.1, counts hundreds of gigabytes with VGG16, and what Fast R-CNN does away with.

Shape letters: N boxes, H × W picture, F features.
"""

import hashlib
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from course.atomic import write_atomically
from course.errors import CourseError


class CachedFeatures(nn.Module):
    """The same features, from a file where there is one: one safetensors file for each picture with its boxes.

    A file's name is a digest of picture, boxes and network (its weights and how it prints), so that what belongs to other weights is never
    read. A damaged file is made anew. Nothing is ever deleted: that is for whoever owns the folder.

    Args:
        features: (image [3, H, W], boxes [N, 4]) → [N, F].
        folder: where the files are; made when it is needed.
    """

    def __init__(self, features: nn.Module, *, folder: str | Path):
        super().__init__()
        self.features, self.folder = features, Path(folder)

    @torch.no_grad()
    def forward(self, image: Tensor, boxes: Tensor) -> Tensor:
        """[N, F], on the picture's device. Raises: CourseError if the folder cannot be written."""
        path = self.path(image, boxes)
        known = _read(path)
        if known is not None:
            return known.to(image.device)
        features = self.features(image, boxes)  # [N, F]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, _written(features))
        except OSError as error:
            raise CourseError(f"Features cannot be kept in {self.folder} ({error.strerror}): name a folder that can be written.") from None
        return features

    def path(self, image: Tensor, boxes: Tensor) -> Path:
        """The file of this picture with these boxes. The network is read anew each time, for it may have been trained in between."""
        modes = [module.training for module in self.features.modules()]  # batch normalisation and dropout work otherwise in training
        digest = hashlib.sha256(f"{self.features!r} {modes}".encode())
        for name, value in {"image": image, "boxes": boxes, **self.features.state_dict()}.items():
            digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
            digest.update(_bytes(value))
        return self.folder / f"{digest.hexdigest()[:32]}.safetensors"

    def size(self) -> int:
        """Bytes on disk, of all files in the folder."""
        return sum(path.stat().st_size for path in self.folder.glob("*.safetensors"))

    def extra_repr(self) -> str:
        return f"folder={str(self.folder)!r}"


def _written(features: Tensor) -> bytes:
    features = features.detach().cpu().contiguous().clone()
    return safetensors.torch.save({"features": features, "checksum": _checksum(features)})


def _read(path: Path) -> Tensor | None:
    """What `_written` wrote; None if there is no such file, or not a whole one."""
    try:
        tensors = safetensors.torch.load(path.read_bytes())
        return tensors["features"] if torch.equal(_checksum(tensors["features"]), tensors["checksum"]) else None
    except (OSError, SafetensorError, KeyError):
        return None


def _checksum(features: Tensor) -> Tensor:
    """sha256, uint8 [32]: the format itself does not notice a flipped bit."""
    return torch.tensor(list(hashlib.sha256(_bytes(features)).digest()), dtype=torch.uint8)


def _bytes(value: Tensor) -> bytes:
    return value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
