"""pycocotools as a peer: the same lists of dicts in, its twelve numbers out; and predictions over COCO pictures to try it on."""

import contextlib
import io
import os
import warnings
from pathlib import Path

import numpy as np
import torch
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

KINDS = {"boxes": "bbox", "masks": "segm"}  # ours: pycocotools'
NAMES = (  # in the order of its `stats`
    *("mAP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"),
    *("AR1", "AR10", "AR100", "AR_small", "AR_medium", "AR_large"),
)


def coco_mini() -> Path | None:
    """The folder of a hundred COCO pictures with their annotations, when SEGCOURSE_DATA names the folder that it is in."""
    folder = Path(os.environ.get("SEGCOURSE_DATA", "")) / "coco_mini"
    return folder if (folder / "instances.json").is_file() else None


def evaluate(predictions, targets, kind: str) -> COCOeval:
    """pycocotools, run on dense tensors: whatever it prints is swallowed."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": image, "height": 0, "width": 0} for image in range(len(targets))],  # run lengths have their own size
            "annotations": [row for image, target in enumerate(targets) for row in annotations(target, image, kind)],
            "categories": [{"id": label} for label in sorted({n for one in (*predictions, *targets) for n in one["labels"].tolist()})],
        }
        for number, row in enumerate(truth.dataset["annotations"]):
            row["id"] = number + 1  # 0 would stand for "not matched"
        truth.createIndex()
        rows = [row for image, prediction in enumerate(predictions) for row in annotations(prediction, image, kind)]
        found = truth.loadRes(rows) if rows else COCO()
        evaluation = COCOeval(truth, found, KINDS[kind])
        evaluation.params.imgIds = list(range(len(targets)))
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def annotations(instances, image: int, kind: str) -> list[dict]:
    """A prediction's or a target's rows as COCO writes them; an area that is not given is the box's or mask's own."""
    labels = instances["labels"].tolist()
    rows = [{"image_id": image, "category_id": label} for label in labels]
    if kind == "boxes":
        corners = instances["boxes"].double()
        sides = torch.cat([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1).tolist()
        shapes = [{"bbox": side, "area": side[2] * side[3]} for side in sides]
    else:
        shapes = [{"segmentation": code, "area": float(rle.area(code))} for code in encode(instances["masks"])]
    for row, shape in zip(rows, shapes, strict=True):
        row.update(shape)
    if "scores" in instances:
        for row, score in zip(rows, instances["scores"].tolist(), strict=True):
            row["score"] = score
        return rows
    given = {key: instances[key].tolist() for key in ("area", "iscrowd") if key in instances}
    for n, row in enumerate(rows):
        row.update({"iscrowd": 0} | {key: values[n] for key, values in given.items()})
    return rows


def encode(masks: torch.Tensor) -> list[dict]:
    """Run lengths of masks `[N, H, W]`; pycocotools wants `[H, W, N]`, column after column."""
    return rle.encode(np.asfortranarray(masks.numpy().view(np.uint8).transpose(1, 2, 0))) if len(masks) else []


def targets_of(folder: Path, step: int = 1, crowds: float = 0.1, seed: int = 0) -> list[dict[str, torch.Tensor]]:
    """The annotated objects, decoded by pycocotools; masks keep every `step`th row and column. A share of them is made crowds."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(folder / "instances.json")
    draw, targets = np.random.default_rng(seed), []
    for image in sorted(coco.imgs):
        rows = coco.loadAnns(coco.getAnnIds(image))
        shape = len(rows), -(-coco.imgs[image]["height"] // step), -(-coco.imgs[image]["width"] // step)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of NumPy 2, about pycocotools
            masks = np.array([coco.annToMask(row)[::step, ::step] for row in rows], bool).reshape(shape)
        boxes = torch.tensor([row["bbox"] for row in rows]).reshape(-1, 4)
        targets.append(
            {
                "boxes": torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1),
                "labels": torch.tensor([row["category_id"] for row in rows], dtype=torch.long),
                "masks": torch.from_numpy(masks),
                "area": torch.tensor([row["area"] for row in rows]),
                "iscrowd": torch.from_numpy(draw.random(len(rows)) < crowds).long(),
            }
        )
    return targets


def perturbed(targets, seed: int, per_object: float = 1.5) -> list[dict[str, torch.Tensor]]:
    """Predictions that are sometimes right: objects moved a little or much, left out, doubled, called by another name (also by one that
    no object has), with scores in steps of 0.05, so that many are equal; some images have none."""
    draw, predictions = np.random.default_rng(seed), []
    for target in targets:
        count = len(target["labels"])
        found = int(per_object * count) if draw.random() > 0.05 else 0
        rows = torch.from_numpy(draw.integers(0, max(count, 1), found))
        labels = torch.where(
            torch.from_numpy(draw.random(found)) < 0.1, torch.from_numpy(draw.choice([1, 3, 200], found)), target["labels"][rows]
        )
        boxes = target["boxes"][rows]
        sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)  # [D, 4]
        amount = torch.from_numpy(draw.exponential(0.06, (found, 1))).clamp(max=0.15)
        moves = amount * torch.from_numpy(draw.normal(size=(found, 4))).clamp(-3, 3)  # [D, 4], less than half a side
        shifts = (0.5 * moves[:, :2].flip(1) * target["masks"].shape[1] / 4).int().tolist()
        masks = [mask.roll(shift, (0, 1)) for mask, shift in zip(target["masks"][rows], shifts, strict=True)]
        predictions.append(
            {
                "boxes": boxes + (sides * moves).float(),
                "labels": labels,
                "masks": torch.stack(masks) if masks else target["masks"][:0],
                "scores": torch.from_numpy(draw.integers(1, 21, found) / 20).float(),
            }
        )
    return predictions
