"""Data sets of a few pictures, in the real ones' folders and file formats."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

Box = tuple[str, float, float, float, float]  # name, xmin, ymin, xmax, ymax as VOC writes them


def write_picture(path: Path, height: int, width: int, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((width, height)).save(path)


def write_labels(path: Path, labels: Sequence | np.ndarray, *, palette: bool = True) -> None:
    """An index PNG; with a palette as VOC's are, or grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(labels, np.uint8))
    if palette:
        image = image.convert("L")
        image.putpalette([value for i in range(256) for value in (i * 37 % 256, i * 91 % 256, i * 151 % 256)])
    image.save(path)


def write_xml(path: Path, height: int, width: int, boxes: Sequence[Box], difficult: Sequence[int] = ()) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    objects = "".join(
        f"<object><name>{name}</name><difficult>{int(i in difficult)}</difficult><bndbox>"
        f"<xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for i, (name, x1, y1, x2, y2) in enumerate(boxes)
    )
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    path.write_text(f"<annotation>{size}{objects}</annotation>")


def two_objects(height: int, width: int) -> np.ndarray:
    """Objects 1 and 2 with a border of 255 around each, as VOC draws them."""
    objects = np.zeros((height, width), np.uint8)
    objects[1:9, 2:8], objects[2:8, 3:7] = 255, 1
    objects[5:15, 10:19], objects[6:14, 11:18] = 255, 2
    return objects


def voc(root: Path) -> Path:
    """Three pictures: a cat and a dog, a dog on a picture of another shape, and one that is only for boxes."""
    folder = root / "VOCdevkit" / "VOC2012"
    for split, names in (("train", ["2007_000001"]), ("val", ["2007_000002"]), ("trainval", ["2007_000001", "2007_000002"])):
        for kind, more in (("Segmentation", []), ("Main", ["2008_000003"] if split != "val" else [])):
            (folder / "ImageSets" / kind).mkdir(parents=True, exist_ok=True)
            (folder / "ImageSets" / kind / f"{split}.txt").write_text("\n".join(names + more) + "\n")
    for name, height, width in (("2007_000001", 20, 30), ("2007_000002", 40, 24)):
        objects = two_objects(height, width)
        classes = np.array([0, 8, 12])[np.where(objects == 255, 0, objects)]
        classes[objects == 255] = 255
        write_labels(folder / "SegmentationObject" / f"{name}.png", objects)
        write_labels(folder / "SegmentationClass" / f"{name}.png", classes)
        write_xml(folder / "Annotations" / f"{name}.xml", height, width, [("cat", 3, 2, 8, 9), ("dog", 11, 6, 19, 15)], difficult=[1])
        write_picture(folder / "JPEGImages" / f"{name}.jpg", height, width)
    write_picture(folder / "JPEGImages" / "2008_000003.jpg", 33, 50)
    write_xml(folder / "Annotations" / "2008_000003.xml", 33, 50, [("tvmonitor", 1, 1, 50, 33), ("person", 10.5, 2, 20, 30.25)])
    return folder


def pets(root: Path) -> Path:
    """Three pictures for training, one of them without a box, and one for the test."""
    folder = root / "oxford-iiit-pet"
    listed = {"trainval": ["Abyssinian_1 1 1 1", "german_shorthaired_2 15 2 9", "Abyssinian_3 1 1 1"], "test": ["pug_4 26 2 17"]}
    for split, lines in listed.items():
        (folder / "annotations").mkdir(parents=True, exist_ok=True)
        (folder / "annotations" / f"{split}.txt").write_text("".join(f"{line}\n" for line in lines))
        for number, line in enumerate(lines):
            name, species = line.split()[0], ("cat", "dog")[int(line.split()[2]) - 1]
            height, width = 18 + 4 * number, 25
            trimap = np.full((height, width), 2)
            trimap[3:15, 4:20], trimap[4:14, 5:19] = 3, 1
            write_picture(folder / "images" / f"{name}.jpg", height, width)
            write_labels(folder / "annotations" / "trimaps" / f"{name}.png", trimap, palette=False)
            if split == "trainval" and not name.endswith("_3"):
                write_xml(folder / "annotations" / "xmls" / f"{name}.xml", height, width, [(species, 6, 5, 15, 11)])
    return folder


def penn_fudan(root: Path, count: int = 6) -> Path:
    """Pictures with two, one or no pedestrians, in turn."""
    folder = root / "PennFudanPed"
    for number in range(1, count + 1):
        name = f"FudanPed{number:05}"
        masks = two_objects(20 + number, 26)
        masks[masks == 255] = 0
        masks[masks > number % 3] = 0
        write_picture(folder / "PNGImages" / f"{name}.png", 20 + number, 26)
        write_labels(folder / "PedMasks" / f"{name}_mask.png", masks)
    return folder


def bccd(root: Path) -> Path:
    """Two pictures for training, one of them with a click among its cells, one for validation and one for the test, without a cell."""
    folder = root / "bccd" / "BCCD"
    cells = {
        "BloodImage_00000": [("RBC", 3, 2, 8, 9), ("WBC", 11, 6, 30, 15), ("RBC", 20, 4, 20, 4), ("Platelets", 1, 1, 4, 3)],
        "BloodImage_00001": [("RBC", 9, 9, 20, 22)],
        "BloodImage_00002": [("Platelets", 5, 4, 8, 8)],
        "BloodImage_00003": [],
    }
    names = list(cells)
    (folder / "ImageSets" / "Main").mkdir(parents=True)
    for split, listed in (("train", names[:2]), ("val", names[2:3]), ("trainval", names[:3]), ("test", names[3:])):
        (folder / "ImageSets" / "Main" / f"{split}.txt").write_text("".join(f"{name}\n" for name in listed))
    for number, (name, boxes) in enumerate(cells.items()):
        write_picture(folder / "JPEGImages" / f"{name}.jpg", 20 + 2 * number, 30)
        write_xml(folder / "Annotations" / f"{name}.xml", 20 + 2 * number, 30, boxes)
    return folder


def camvid(root: Path) -> Path:
    """Two frames, which between them have every class and unlabelled pixels."""
    folder = root / "camvid"
    for number in range(2):
        labels = (np.add.outer(np.arange(12), np.arange(16)) // 2 + 6 * number) % 12
        write_picture(folder / "train" / f"frame_{number}.png", 12, 16)
        write_labels(folder / "trainannot" / f"frame_{number}.png", labels, palette=False)
    return folder
