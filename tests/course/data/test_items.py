"""Files become tensors, or one sentence that names them; a broken item never costs the others."""

import pickle
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from course.data.camvid import CamVid
from course.data.items import BrokenItem, Items, choose, read_image, read_labels, read_list
from course.errors import CourseError
from tests.course.data import tiny

ALL = {number: number for number in range(256)}


def refused(match: str, function, *arguments, error=BrokenItem) -> str:
    with pytest.raises(error, match=match) as caught:
        function(*arguments)
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence
    assert error is not BrokenItem or isinstance(caught.value, CourseError)
    return sentence


def image(height: int, width: int) -> torch.Tensor:
    return torch.zeros(3, height, width)


@pytest.mark.parametrize("palette", [True, False])
def test_labels_are_numbers_whether_there_is_a_palette_or_not(tmp_path, palette):
    numbers = np.random.default_rng(0).integers(0, 256, (7, 5))
    tiny.write_labels(tmp_path / "a.png", numbers, palette=palette)
    labels = read_labels(tmp_path / "a.png", image(7, 5), ALL)
    assert labels.dtype == torch.int64 and labels.tolist() == numbers.tolist()


def test_labels_are_translated(tmp_path):
    tiny.write_labels(tmp_path / "a.png", [[1, 2], [3, 1]])
    assert read_labels(tmp_path / "a.png", image(2, 2), {1: 1, 2: 0, 3: 255}).tolist() == [[1, 0], [255, 1]]


def test_labels_of_one_bit(tmp_path):
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "a.png")
    assert read_labels(tmp_path / "a.png", image(1, 2), ALL).tolist() == [[1, 0]]


def test_a_label_outside_the_palette_is_named_with_its_place(tmp_path):
    tiny.write_labels(tmp_path / "a.png", [[0, 1, 0], [0, 0, 77]])
    match = f"{tmp_path}/a.png holds the label 77 at row 1, column 2, outside its palette; accepted are 0, 1, 255"
    refused(re.escape(match), read_labels, tmp_path / "a.png", image(2, 3), {0: 0, 1: 1, 255: 255})


def test_a_map_of_another_size(tmp_path):
    tiny.write_labels(tmp_path / "a.png", np.zeros((4, 6)))
    refused(r"a\.png has 6 × 4 pixels, and its picture 4 × 6", read_labels, tmp_path / "a.png", image(6, 4), ALL)


def test_a_map_of_colours(tmp_path):
    tiny.write_picture(tmp_path / "a.png", 4, 6)
    refused(r"a\.png holds colours \(mode RGB\)", read_labels, tmp_path / "a.png", image(4, 6), ALL)


@pytest.mark.parametrize("keep", [0, 20, -30])
def test_damaged_files_are_named(tmp_path, keep):
    path = tmp_path / "a.png"
    tiny.write_labels(path, np.random.default_rng(0).integers(0, 256, (40, 50)))
    path.write_bytes(path.read_bytes()[:keep])
    refused(r"The label map .*/a\.png is damaged or cut off", read_labels, path, image(40, 50), ALL)
    refused(r"/a\.png cannot be used: the picture|/a\.png cannot be used: this is not a picture", read_image, path)


def test_missing_files_are_named(tmp_path):
    refused(r"The picture .*/a\.jpg is missing", read_image, tmp_path / "a.jpg")
    refused(r"The label map .*/a\.png is missing", read_labels, tmp_path / "a.png", image(2, 2), ALL)
    refused(r"The list .*/train\.txt cannot be read: No such file", read_list, tmp_path / "train.txt")


def test_a_list_that_names_an_item_twice(tmp_path):
    (tmp_path / "train.txt").write_text("a 1\n\nb 2\n a 3\n")
    refused(r"train\.txt names a twice", read_list, tmp_path / "train.txt")
    (tmp_path / "train.txt").write_bytes(b"\xff\xfe\x00")
    refused(r"train\.txt cannot be read", read_list, tmp_path / "train.txt")


def test_choose():
    assert choose("split", "train", ("train", "val")) == "train"
    refused("split is one of 'train', 'val', not 'tset'", choose, "split", "tset", ("train", "val"), error=ValueError)


class Numbers(Items):
    """Items that are their own number; every third is broken."""

    def __init__(self, count: int, **options):
        self.keep([f"n{i}" for i in range(count)], **options)

    def read(self, index: int) -> int:
        number = int(self.names[index][1:])
        if number % 3 == 2:
            raise BrokenItem(f"{self.names[index]} is a third.")
        return number


def test_a_broken_item_raises_when_its_turn_comes_and_costs_no_other():
    numbers = Numbers(7, skip_broken=False)
    assert len(numbers) == 7 and numbers.broken == {} and (numbers[0], numbers[1], numbers[6], numbers[-1]) == (0, 1, 6, 6)
    refused("n2 is a third", lambda: numbers[2])
    assert numbers.examine() == {"n2": "n2 is a third.", "n5": "n5 is a third."}


def test_skip_broken_leaves_them_out_and_says_which():
    numbers = Numbers(7, skip_broken=True)
    assert [*DataLoader(numbers, batch_size=None)] == [0, 1, 3, 4, 6] and len(numbers) == 5
    assert numbers.broken == {"n2": "n2 is a third.", "n5": "n5 is a third."} and numbers.examine() == {}
    assert Numbers(7, skip_broken=True, broken={"n0": "gone."}).broken.keys() == {"n0", "n2", "n5"}


def test_a_set_with_nothing_left():
    refused("Numbers has no item that can be read; the first: gone.", lambda: Numbers(1, skip_broken=True, broken={"n0": "gone."}))
    refused("Numbers has no item that can be read", lambda: Numbers(0, skip_broken=False))


def test_numbers_beyond_the_end():
    numbers = Numbers(4, skip_broken=False)
    for index in (4, -5):
        with pytest.raises(IndexError, match=f"There are 4 items; there is no number {index}"):
            numbers[index]


def test_reading_all_leaves_the_warnings_as_they_were():
    class Silencing(Numbers):
        """What two threads do to each other that switch warnings off for a moment and put them back in the wrong order."""

        def read(self, index: int) -> int:
            warnings.simplefilter("ignore")
            return index

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = list(warnings.filters)
        assert Silencing(4, skip_broken=False).examine() == {}
        assert warnings.filters == before


def test_other_errors_than_broken_files_are_not_swallowed():
    class Faulty(Numbers):
        def read(self, index: int):
            return 1 / 0

    with pytest.raises(ZeroDivisionError):
        Faulty(3, skip_broken=True)


def test_sets_go_through_the_workers_of_a_data_loader(tmp_path):
    tiny.camvid(tmp_path)
    data = CamVid(root=tmp_path)
    alone, together = [*DataLoader(data, 2)], [*DataLoader(data, 2, num_workers=1)]
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(pickle.loads(pickle.dumps(data))[1], data[1])
    error = pickle.loads(pickle.dumps(BrokenItem("a.png is damaged.")))
    assert (type(error), str(error)) == (BrokenItem, "a.png is damaged.")


def test_paths_may_hold_any_letters(tmp_path):
    folder = tmp_path / "Größe 大 %s {0}"
    tiny.camvid(folder)
    assert len(CamVid(root=folder)) == 2
    (folder / "camvid" / "train" / "frame_1.png").write_bytes(b"no picture")
    sentence = refused("cannot be used", CamVid(root=folder).read, 1)
    assert str(Path("Größe 大 %s {0}") / "camvid" / "train" / "frame_1.png") in sentence
