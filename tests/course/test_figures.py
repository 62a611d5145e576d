"""The figures: small files, the agreed colours, every outline where the pixels change, and matplotlib left as it was."""

import io

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from course.data.silhouettes import Silhouettes
from course.figures import PREDICTION, TRUTH, show_bars, show_curves, show_objects, show_pictures, show_points, show_poses
from course.ops.labels import label_colour


@pytest.fixture(autouse=True)
def untouched():
    before = dict(matplotlib.rcParams), matplotlib.get_backend()
    yield
    assert (dict(matplotlib.rcParams), matplotlib.get_backend()) == before
    assert not plt.get_fignums(), "a figure stayed open and would be shown twice"


@pytest.fixture(autouse=True, scope="module")
def headless():
    previous = matplotlib.get_backend()
    matplotlib.use("agg")
    yield
    matplotlib.use(previous)


def png(figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def row(i: int):
    image, mask = Silhouettes(5)[i]
    return {"picture": image} | {f"shifted by {shift}": mask.roll(shift, 0) for shift in range(5)}, mask


def test_pictures_of_a_row_may_have_masks_of_their_own():
    mask = torch.zeros(4, 4, dtype=torch.long)
    mask[1, 2] = 1
    figure = show_pictures({"a": torch.rand(3, 4, 4), "b": torch.rand(3, 4, 4)}, truth=[{"b": mask}])
    assert [len(axis.collections) for axis in figure.axes] == [0, 1]


def test_two_rows_are_small_and_deterministic():
    rows, truth = zip(*(row(i) for i in range(2)), strict=True)
    figure = show_pictures(rows, truth=truth)
    assert len(figure.axes) == 12 and [axis.get_title("left") for axis in figure.axes[:6]] == list(rows[0])
    data = png(figure)
    assert len(data) < 60_000
    assert data == png(show_pictures(rows, truth=truth))
    assert str(figure) == str(show_pictures(rows, truth=truth))


def test_outlines_follow_the_pixels():
    mask = torch.zeros(5, 5).long()
    mask[1:3, 2] = 1  # a rectangle of 2 by 1: six edges
    axis = show_pictures({"mask": mask}, truth=[mask.roll(1, 1)]).axes[0]
    prediction, truth = axis.collections
    assert [to_hex(lines.get_colors()[0]).upper() for lines in (prediction, truth)] == [PREDICTION, TRUTH]
    edges = {tuple(sorted(map(tuple, segment.tolist()))) for segment in prediction.get_segments()}
    assert edges == {
        ((1.5, 0.5), (1.5, 1.5)),
        ((1.5, 1.5), (1.5, 2.5)),
        ((2.5, 0.5), (2.5, 1.5)),
        ((2.5, 1.5), (2.5, 2.5)),
        ((1.5, 0.5), (2.5, 0.5)),
        ((1.5, 2.5), (2.5, 2.5)),
    }


def test_heat_maps_agree_on_zero():
    positive, signed = torch.rand(4, 4) + 1, torch.tensor([[-1.0, 3.0]])
    first, second = show_pictures({"a": positive, "b": signed}).axes
    assert first.images[0].get_clim() == (0, positive.max()) and first.images[0].cmap.name == "viridis"
    assert second.images[0].get_clim() == (-3, 3)
    for extreme in (torch.zeros(2, 2), torch.full((2, 2), torch.nan), torch.tensor([[torch.inf, 1.0]])):
        png(show_pictures({"a": extreme}))


def test_any_mask_and_picture_type():
    mask = torch.zeros(8, 8)
    for kind in (torch.bool, torch.uint8, torch.int64):
        png(show_pictures({"m": mask.to(kind)}, truth=[mask.to(kind)]))
    png(show_pictures({"p": torch.rand(3, 8, 8, requires_grad=True).half(), "a long name over a narrow panel": torch.rand(2, 9)}))


def test_background_is_opaque_white():
    figure = show_curves({"a": [1.0, 2.0]})
    pixels = plt.imread(io.BytesIO(png(figure)))
    assert (pixels[0, 0] == 1).all()


def test_curves():
    curves = {f"way {i}": np.exp(-np.arange(200) / 50 - i) for i in range(7)}
    figure = show_curves(curves, xlabel="step", ylabel="loss", smooth=5)
    lines = figure.axes[0].lines
    assert len({(line.get_color(), line.get_linestyle(), str(line._unscaled_dash_pattern)) for line in lines}) == 7
    assert len(lines[0].get_xdata()) == 196 and lines[0].get_xdata()[0] == 5
    np.testing.assert_allclose(lines[0].get_ydata()[0], curves["way 0"][:5].mean())
    assert len(png(figure)) < 60_000
    assert show_curves({"a": [1, 2]}, x=[4, 8]).axes[0].lines[0].get_xdata().tolist() == [4, 8]


@pytest.mark.parametrize("rows", [[], [{}], [{"a": torch.zeros(2, 2)}, {"b": torch.zeros(2, 2)}], {}])
def test_rows_that_do_not_match(rows):
    with pytest.raises(ValueError, match="same names"):
        show_pictures(rows)


def test_bad_tensors():
    with pytest.raises(ValueError, match=r"'a' has shape \[1, 2, 2\]"):
        show_pictures({"a": torch.zeros(1, 2, 2)})
    with pytest.raises(ValueError, match="1 rows and 2 masks"):
        show_pictures({"a": torch.zeros(2, 2)}, truth=[torch.zeros(2, 2)] * 2)


def test_bars():
    figure = show_bars({"then": {"slow": 84.0, "quick": 0.32}, "now": {"slow": 9.5, "quick": 47.0}}, xlabel="hours", logarithmic=True)
    (axis,) = figure.axes
    assert axis.get_xscale() == "log" and [label.get_text() for label in axis.get_yticklabels()] == ["then", "now"]
    assert [[bar.get_width() for bar in bars] for bars in axis.containers] == [[84.0, 9.5], [0.32, 47.0]]
    assert [text.get_text() for text in axis.texts] == ["84", "9.5", "0.32", "47"]
    assert len({bars[0].get_facecolor() for bars in axis.containers}) == 2
    assert axis.yaxis_inverted() and len(png(figure)) < 60_000


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ({}, "1 to 7 bars"),
        ({"a": {}}, "1 to 7 bars"),
        ({"a": {"x": 1.0}, "b": {"y": 1.0}}, "same names"),
        ({"a": {"x": 0.0}}, "above 0"),
        ({"a": {"x": float("inf")}}, "finite"),
    ],
)
def test_bars_that_cannot_be_drawn(groups, said):
    with pytest.raises(ValueError, match=said):
        show_bars(groups)


def test_points_stand_where_they_belong_with_their_names():
    figure = show_points({"slow": (1000.0, 0.9), "quick": (1.0, 0.5)}, xlabel="ms", ylabel="mAP", logarithmic=True)
    (axis,) = figure.axes
    assert axis.get_xscale() == "log" and (axis.get_xlabel(), axis.get_ylabel()) == ("ms", "mAP")
    assert [line.get_xydata().tolist() for line in axis.lines] == [[[1000.0, 0.9]], [[1.0, 0.5]]]
    assert [(text.get_text(), text.xy) for text in axis.texts] == [("slow", (1000.0, 0.9)), ("quick", (1.0, 0.5))]
    assert len({line.get_color() for line in axis.lines}) == 2


@pytest.mark.parametrize(
    ("points", "options", "said"),
    [
        ({}, {}, "not 0"),
        ({str(i): (i, i) for i in range(15)}, {}, "not 15"),
        ({"a": (1, float("nan"))}, {}, "finite values"),
        ({"a": (0, 1)}, {"logarithmic": True}, "x above 0"),
    ],
)
def test_points_that_cannot_be_drawn(points, options, said):
    with pytest.raises(ValueError, match=said):
        show_points(points, **options)


@pytest.mark.parametrize("curves", [{}, {str(i): [1.0] for i in range(8)}])
def test_too_few_or_too_many_curves(curves):
    with pytest.raises(ValueError, match=f"not {len(curves)}"):
        show_curves(curves)


@pytest.mark.parametrize("options", [{"smooth": 0}, {"smooth": 4}, {"x": [1, 2]}])
def test_curves_that_do_not_fit(options):
    with pytest.raises(ValueError, match="'a' has 3 values"):
        show_curves({"a": [1, 2, 3]}, **options)


def test_the_style_file_loads_by_name():
    with plt.style.context("course.style"):
        assert matplotlib.rcParams["axes.prop_cycle"].by_key()["color"][0].upper().lstrip("#") == "0072B2"
        assert matplotlib.rcParams["savefig.facecolor"] == "white"


def test_label_maps_are_painted_by_class_and_named_once():
    labels = torch.tensor([[0, 2], [3, 255]])
    figure = show_pictures([{"truth": labels}, {"truth": labels.T}], classes=("background", "star", "ring", "figure"))
    painted = figure.axes[0].images[0].get_array()
    assert tuple(painted[0, 1]) == label_colour(2) and tuple(painted[1, 0]) == label_colour(3)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["background", "ring", "figure", "void"]
    assert len(png(figure)) > 0


def test_without_class_names_whole_numbers_stay_masks():
    figure = show_pictures({"mask": torch.tensor([[0, 2], [0, 0]])})
    assert not figure.legends and len(figure.axes[0].collections) == 1


def test_an_object_is_drawn_with_its_box_mask_name_and_keypoints():
    target = {
        "boxes": torch.tensor([[1.0, 2.0, 4.0, 6.0]]),
        "labels": torch.tensor([2]),
        "masks": torch.zeros(1, 8, 8, dtype=torch.bool).index_fill(2, torch.tensor([1, 2, 3]), True),
        "keypoints": torch.tensor([[[2.5, 3.5, 2.0], [3.0, 5.0, 1.0], [0.0, 0.0, 0.0]]]),
    }
    figure = show_objects([(torch.rand(3, 8, 8), target)] * 5, ("background", "star", "ring"))
    axis = figure.axes[0]
    assert len(figure.axes) == 8 and not figure.axes[5].axison, "two rows of four; the empty places show nothing"
    box = axis.patches[0]
    assert (*box.get_xy(), box.get_width(), box.get_height()) == (0.5, 1.5, 3.0, 4.0), "pixel 0 spans −0.5 to 0.5 on these axes"
    assert axis.texts[0].get_text() == "ring"
    dots = [(line.get_xdata()[0], line.get_ydata()[0], line.get_markerfacecolor()) for line in axis.lines]
    assert dots == [(2.0, 3.0, "white"), (2.5, 4.5, "none")], "seen filled, hidden hollow, absent not at all"


def test_what_a_detector_found_stands_beside_the_truth():
    target = {"boxes": torch.tensor([[1.0, 2, 4, 6]]), "labels": torch.tensor([2])}
    found = {"boxes": torch.tensor([[0.0, 2, 4, 5], [4, 4, 8, 8]]), "labels": torch.tensor([1, 2]), "scores": torch.tensor([0.914, 0.5])}
    boxes = {"boxes": torch.tensor([[0.0, 0, 2, 2]])}
    figure = show_objects([(torch.rand(3, 8, 8), target)] * 2, ("background", "star", "ring"), found=[found, boxes], titles=["one", "two"])
    first, second = figure.axes
    assert [to_hex(patch.get_edgecolor(), keep_alpha=False).upper() for patch in first.patches] == [TRUTH, PREDICTION, PREDICTION]
    assert (*first.patches[1].get_xy(), first.patches[1].get_width(), first.patches[1].get_height()) == (-0.5, 1.5, 4.0, 3.0)
    assert [text.get_text() for text in first.texts] == ["ring", "star 0.91", "ring 0.50"]
    assert [text.get_text() for text in second.texts] == ["ring"] and len(second.patches) == 2
    assert [axis.get_title("left") for axis in figure.axes] == ["one", "two"]
    nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long)}
    assert not show_objects([(torch.rand(3, 8, 8), nothing)], ("background",), found=[nothing]).axes[0].patches
    with pytest.raises(ValueError, match="as many detections as pictures: there are 1 and 2"):
        show_objects([(torch.rand(3, 8, 8), target)] * 2, ("background", "star", "ring"), found=[found])
    with pytest.raises(ValueError, match="as many titles as pictures: there are 1 and 2"):
        show_objects([(torch.rand(3, 8, 8), target)] * 2, ("background", "star", "ring"), titles=["one"])


def test_a_picture_without_objects_is_only_the_picture():
    empty = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long)}
    assert not show_objects([(torch.rand(3, 8, 8), empty)], ("background",)).axes[0].patches
    with pytest.raises(ValueError, match="at least one"):
        show_objects([], ("background",))


def test_a_pose_is_lines_between_the_joints_that_are_known():
    pose = torch.tensor([[1.5, 2.5, 2.0], [3.0, 5.0, 1.0], [0.0, 0.0, 0.0], [9.5, 4.0, 1.0]])
    figure = show_poses([torch.rand(3, 8, 8)] * 5, [pose] * 5, ((0, 1), (1, 2), (1, 3)), truth=[pose + 1] * 5)
    axis = figure.axes[0]
    assert len(figure.axes) == 8 and not figure.axes[5].axison
    colours = [to_hex(lines.get_colors()[0]).upper() for lines in axis.collections]
    assert colours == ["#000000", TRUTH, "#000000", PREDICTION], "the prediction above the truth, each with its rim"
    drawn = [segment.tolist() for segment in axis.collections[3].get_segments()]
    assert drawn == [[[1.0, 2.0], [2.5, 4.5]], [[2.5, 4.5], [9.0, 3.5]]], "pixel 0 spans −0.5 to 0.5 on these axes"
    assert axis.lines[1].get_xdata().tolist() == [1.0, 2.5, 9.0]
    assert axis.get_xlim() == (-0.5, 7.5), "a joint outside does not make the picture smaller"
    assert len(show_poses([torch.rand(3, 8, 8)], [pose], ((0, 1),)).axes[0].collections) == 2
    for images, poses, truth in (([], [], []), ([torch.rand(3, 8, 8)], [], []), ([torch.rand(3, 8, 8)], [pose], [pose, pose])):
        with pytest.raises(ValueError, match="needs a pose for each picture"):
            show_poses(images, poses, (), truth=truth)
