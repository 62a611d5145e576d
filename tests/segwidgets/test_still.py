"""A saved animation, decoded as any viewer decodes it: the right colours in the right cells, small, looping, self-contained."""

import io
import re

import numpy as np
import pytest
import torch
from PIL import Image, ImageColor

import segwidgets
from segwidgets import Trace, TraceStep
from segwidgets.drawing import draw_step
from segwidgets.panels import Arrow, Bars, Curves, Film, Formula, Grid, Picture
from segwidgets.roles import ROLES
from segwidgets.still import MAX_STILL_BYTES, animated_png, page


def frames(data: bytes) -> list[np.ndarray]:
    """Each frame as it stands on the screen, [H, W, 3]."""
    picture = Image.open(io.BytesIO(data))
    shown = []
    for i in range(bool(picture.info.get("default_image")), picture.n_frames):  # a default image is no part of the animation
        picture.seek(i)
        shown.append(np.asarray(picture.convert("RGB")).astype(int))
    return shown


def png(player):
    return animated_png(player.trace)[0]


def near(colour, wanted, room=12):
    return np.abs(colour - np.array(wanted)).max(axis=-1) <= room


def rgb(role):
    return ImageColor.getrgb(ROLES[role].light)


def boxes(frame, role):
    """Bounding boxes [x1, y1, x2, y2] of what is drawn in the pure colour of a role, from left to right."""
    from skimage.measure import label, regionprops

    found = regionprops(label(near(frame, rgb(role))))
    # Letters of the sentence have the colour, too; an outline of a cell is larger.
    return sorted([r.bbox[1], r.bbox[0], r.bbox[3], r.bbox[2]] for r in found if r.bbox[3] - r.bbox[1] > 30 and r.bbox[2] - r.bbox[0] > 30)


def test_each_step_of_a_small_example_is_a_frame_with_its_marks_in_the_right_cells(x):
    """Windows move right, then down; the maxima 5, 6, 7 and 8 stand in cells (1, 1), (0, 2), (3, 0) and (3, 3)."""
    player = segwidgets.pool(x)
    shown = frames(png(player))
    assert len(shown) == len(player.trace.steps) == 6
    assert boxes(shown[0], "chosen") == boxes(shown[0], "write") == []  # the first frame: nothing yet
    (left, top, right, bottom), *_ = boxes(shown[1], "read")
    cell = (right - left) / 2
    chosen = [boxes(shown[i], "chosen")[0] for i in range(1, 5)]
    places = [(round((box[1] - top) / cell), round((box[0] - left) / cell)) for box in chosen]
    assert places == [(1, 1), (0, 2), (3, 0), (3, 3)]
    assert all(box[2] - box[0] == pytest.approx(cell, abs=4) for box in chosen)
    written = [boxes(shown[i], "write")[0] for i in range(1, 5)]
    start = written[0]
    assert [(round((box[1] - start[1]) / cell), round((box[0] - start[0]) / cell)) for box in written] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert start[0] > left + 4 * cell  # to the right of the input
    assert boxes(shown[5], "write") == []


def test_an_off_by_one_moves_the_mark():
    """The check above can fail: the same picture with every mark one column to the right has it elsewhere."""
    grid = Grid("a", np.arange(16.0).reshape(4, 4))
    made = [Trace("t", panels=[grid], steps=[TraceStep(".", marks={"a": {"chosen": [(1, column)]}})]) for column in (1, 2)]
    (one,), (other,) = (boxes(frames(animated_png(trace)[0])[0], "chosen") for trace in made)
    assert other[0] - one[0] == pytest.approx(one[2] - one[0], abs=6)


def test_the_colours_of_a_heat_map_stand_in_its_cells():
    from matplotlib import colormaps

    values = np.linspace(0, 1, 400).reshape(20, 20)
    trace = Trace("t", panels=[Grid("a", values, paint="heat")], steps=[TraceStep("A heat map.")])
    frame = frames(animated_png(trace)[0])[0]
    inside = (frame.max(-1) - frame.min(-1)) > 40  # viridis is nowhere grey
    rows, columns = np.where(inside.sum(1) > 100)[0], np.where(inside.sum(0) > 100)[0]
    (top, bottom), (left, right) = (rows.min(), rows.max() + 1), (columns.min(), columns.max() + 1)
    for row, column in ((0, 0), (19, 19), (10, 3), (5, 16)):
        y, x = top + (row + 0.5) / 20 * (bottom - top), left + (column + 0.5) / 20 * (right - left)
        wanted = np.array(colormaps["viridis"](values[row, column])[:3]) * 255
        assert near(frame[int(y), int(x)], wanted, room=20), (row, column)  # one palette of 255 colours serves all frames


def test_a_box_on_a_picture_stands_where_it_should():
    sheet = Picture("a", np.full((50, 100, 3), 200, np.uint8))
    trace = Trace("t", panels=[sheet], steps=[TraceStep(".", marks={"a": {"truth": [(25, 10, 75, 40)]}})])
    frame = frames(animated_png(trace)[0])[0]
    grey = near(frame, (200, 200, 200), room=3)
    columns, rows = np.where(grey.any(0))[0], np.where(grey.any(1))[0]
    scale = (columns.max() + 1 - columns.min()) / 100
    (box,) = boxes(frame, "truth")
    expected = [columns.min() + 25 * scale, rows.min() + 10 * scale, columns.min() + 75 * scale, rows.min() + 40 * scale]
    assert box == pytest.approx(expected, abs=4)


def test_stills_stay_below_300_kilobytes(x, small, kernel, cat):
    image, features, field = cat
    players = [
        segwidgets.pool(x),
        segwidgets.unpool(small, switches_from=x),
        segwidgets.conv_transpose(x, kernel, stride=2),
        segwidgets.pool(features, channel=18, image=image, field=field),
        segwidgets.unpool(switches_from=features, channel=18, image=image, field=field),
        segwidgets.pool(torch.rand(64, 64), image=torch.rand(3, 480, 720)),  # noise: nothing compresses worse
    ]
    for player in players:
        data = png(player)
        assert len(data) <= MAX_STILL_BYTES == 300_000
        assert 5 <= len(frames(data)) <= 14


@pytest.mark.parametrize("suffix", [".png", ".gif"])
def test_it_loops_slowly_enough_to_read(x, tmp_path, suffix):
    path = tmp_path / f"pool{suffix}"
    segwidgets.pool(x).save(path)
    picture = Image.open(path)
    assert picture.is_animated and picture.info["loop"] == 0
    times = durations(path)
    assert min(times) >= 800 and times[-1] >= 2000 and len(times) == 6


def durations(path):
    picture = Image.open(path)
    times = []
    for i in range(bool(picture.info.get("default_image")), picture.n_frames):
        picture.seek(i)
        times.append(picture.info["duration"])
    return times


@pytest.mark.parametrize("suffix", [".png", ".gif"])
def test_seconds_say_how_long_a_step_stays(x, tmp_path, suffix):
    for seconds in (0.1, 0.4, 2):
        segwidgets.pool(x).save(tmp_path / f"pool{suffix}", seconds=seconds)
        first, *between, last = durations(tmp_path / f"pool{suffix}")
        assert between == [pytest.approx(1000 * seconds, abs=10)] * 4 and first > between[0] and last > first


@pytest.mark.parametrize(("name", "seconds"), [("a.html", 1), ("a.gif", 0), ("a.gif", 61), ("a.png", float("nan"))])
def test_seconds_that_cannot_be_are_refused(x, tmp_path, name, seconds):
    with pytest.raises(ValueError, match="seconds is"):
        segwidgets.pool(x).save(tmp_path / name, seconds=seconds)
    assert list(tmp_path.iterdir()) == []


def test_on_paper_stands_the_last_step(x):
    """A viewer that shows no animations reads the PNG's own image data (IDAT) and skips the animation's (fdAT)."""
    data = png(segwidgets.pool(x))
    chunks, place = [], 8
    while place < len(data):
        length, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        chunks.append((kind, data[place : place + 12 + length]))
        place += 12 + length
    plain = data[:8] + b"".join(chunk for kind, chunk in chunks if kind not in (b"acTL", b"fcTL", b"fdAT"))
    on_paper = Image.open(io.BytesIO(plain))
    assert getattr(on_paper, "n_frames", 1) == 1
    np.testing.assert_array_equal(np.asarray(on_paper.convert("RGB")).astype(int), frames(data)[-1])
    kinds = [kind for kind, _ in chunks]
    assert kinds.index(b"IDAT") < kinds.index(b"fcTL")  # so the animation begins after it, and does not hold it
    assert kinds.count(b"fcTL") == 6


def test_the_gif_shows_what_the_png_shows(x, tmp_path):
    player = segwidgets.pool(x)
    player.save(tmp_path / "pool.gif")
    shown = frames((tmp_path / "pool.gif").read_bytes())
    (left, top, right, _), *_ = boxes(shown[1], "read")
    box = boxes(shown[2], "chosen")[0]
    cell = (right - left) / 2
    assert (round((box[1] - top) / cell), round((box[0] - left) / cell)) == (0, 2)


def test_the_card_is_white_as_the_page_is(x, cat):
    for player in (segwidgets.pool(x), segwidgets.pool(cat[1], channel=18, image=cat[0])):
        for frame in frames(png(player)):
            assert (frame[:8] == 255).all() and (frame[:, :8] == 255).all()


def test_an_outline_leaves_its_cell_to_be_seen(cat):
    """In a map of 28 × 28 cells the value chosen still shows between the lines around it."""
    values = np.zeros((28, 28))
    values[10, 10] = 1.0
    trace = Trace("t", panels=[Grid("a", values, paint="heat")], steps=[TraceStep(".", marks={"a": {"chosen": [(10, 10)]}})])
    frame = frames(animated_png(trace)[0])[0]
    yellow, outline = near(frame, (253, 231, 37), room=20), near(frame, rgb("chosen"))
    assert yellow.sum() > 0.3 * (yellow.sum() + outline.sum())


def test_a_long_trace_keeps_its_first_and_last_step(cat):
    player = segwidgets.pool(cat[1], channel=18)
    shown = frames(png(player))
    assert len(player.trace.steps) > 100 > len(shown)
    output = slice(shown[0].shape[1] * 11 // 20, None)
    coloured = [int(((frame[:, output].max(-1) - frame[:, output].min(-1)) > 60).sum()) for frame in shown]
    assert coloured[0] < coloured[len(shown) // 2] < coloured[-1]


def film(colours, **options):
    frames = [np.full((10, 20, 3), colour, np.uint8) for colour in colours]
    steps = [TraceStep("."), *(TraceStep(".", shows={"f": i}) for i in range(1, len(frames)))]
    return Trace("t", panels=[Film("f", frames, **options)], steps=steps)


def test_a_film_shows_each_step_s_frame_with_its_box():
    colours = [(200, 30, 60), (30, 200, 60), (30, 60, 200)]
    shown = frames(animated_png(film(colours, lossless=True))[0])
    assert len(shown) == 3
    for frame, colour in zip(shown, colours, strict=True):
        ys, xs = np.where(near(frame, colour, room=3))
        assert len(ys) > 10_000 and (np.ptp(xs) + 1) / (np.ptp(ys) + 1) == pytest.approx(2, rel=0.02)
    boxed = Trace(
        "t", panels=[Film("f", [np.full((10, 20, 3), 200, np.uint8)])], steps=[TraceStep(".", marks={"f": {"read": [(5, 2, 15, 8)]}})]
    )
    (box,) = boxes(frames(animated_png(boxed)[0])[0], "read")
    assert (box[2] - box[0]) / (box[3] - box[1]) == pytest.approx(10 / 6, rel=0.05)


def test_the_legend_keeps_its_colours():
    """Each class's patch in its own colour, in the order of the legend, under the panels."""
    legend = [(f"class {i}", (10 * i, 250 - 9 * i, (37 * i) % 256)) for i in range(20)]
    frame = frames(animated_png(film([(255, 255, 255)], lossless=True, legend=legend))[0])[0]
    places = []
    for _, colour in legend:
        ys, xs = np.where(near(frame, colour, room=0))
        assert len(ys) > 50
        places.append((ys.min() // 10, xs.min()))
    assert places == sorted(places)


def test_films_of_noise_stay_below_300_kilobytes():
    draw = np.random.default_rng(0)
    noise = [draw.integers(0, 256, (224, 224, 3), np.uint8) for _ in range(12)]
    steps = [TraceStep("."), *(TraceStep(".", shows={"a": i, "b": i}) for i in range(1, 12))]
    small = [frame[:64, :64] for frame in noise]
    trace = Trace("t", panels=[Film("a", small), Film("b", small)], steps=steps)
    assert len(animated_png(trace)[0]) <= MAX_STILL_BYTES


def test_a_title_wider_than_its_panel_pushes_the_next_one_on():
    wide = Grid("a", np.ones((1, 1)), title="a title much wider than its panel, which is one cell")
    trace = Trace("t", panels=[wide, Grid("b", np.ones((2, 2)))], steps=[TraceStep(".", marks={"b": {"write": [(0, 0)]}})])
    frame = frames(animated_png(trace)[0])[0]
    height = boxes(frame, "write")[0][1]
    words = np.where((frame[: height - 20].max(-1) < 100).any(0))[0]
    gap = max(np.diff(words))  # between the end of the long title and the beginning of the other's
    assert gap > 30 and boxes(frame, "write")[0][0] > words[np.argmax(np.diff(words))]


def test_panels_that_do_not_fit_side_by_side_stand_in_two_rows():
    """Five panels and their names: none is cut off at an edge, cells stay legible, and a later panel stands below the first."""
    wide = [Grid(name, np.ones((20, 30)), title=f"a panel called {name}") for name in "abcde"]
    everything = list(np.ndindex(20, 30))
    marks = {panel.id: {"write": everything} for panel in wide}
    trace = Trace("t", panels=wide, arrows=[Arrow("goes on")] * 4, steps=[TraceStep(".", marks=marks)])
    frame = np.asarray(draw_step(trace, 0, 1.0)).astype(int)
    assert frame.shape[1] <= 860 and (frame[:, :8] == 255).all() and (frame[:, -8:] == 255).all()
    places = boxes(frame, "write")
    assert len(places) == 5 and all(right - left >= 30 * 8 - 1 for left, _, right, _ in places)
    assert max(top for _, top, _, _ in places) > min(bottom for *_, bottom in places)


def test_curves_rise_where_their_numbers_do():
    values = np.array([[0.0, 1, 2, 3, 4], [4, 3, 2, 1, 0]])
    steps = [TraceStep("."), TraceStep(".", writes={"c": {(row, i): values[row, i] for row in range(2) for i in range(5)}})]
    trace = Trace("t", panels=[Curves("c", values, ["up", "down"], empty=True)], steps=steps)
    before, after = (near(frame, rgb("write")) for frame in frames(animated_png(trace)[0]))
    assert before.sum() == 0
    ys, xs = np.where(after)
    middle = (ys.min() + ys.max()) / 2
    up, down = (np.corrcoef(xs[part], ys[part])[0, 1] for part in (ys < middle, ys > middle))
    assert up < -0.9 and down > 0.9  # y grows downwards


def test_every_kind_of_panel_is_drawn():
    panels = [Bars("b", np.array([1.0, -2.0]), ["cat", "dog"]), Formula("f", ["y = max x"]), Picture("p", None, size=(10, 10))]
    trace = Trace("t", panels=panels, steps=[TraceStep("One."), TraceStep("Two.", writes={"b": {(0, 0): 2.0}})])
    one, two = frames(animated_png(trace)[0])
    assert near(one, rgb("write")).any() and (one != two).any()


def test_an_animation_of_one_step_is_a_picture():
    trace = Trace("t", panels=[Grid("a", np.ones((2, 2)))], steps=[TraceStep("The only step.")])
    assert len(frames(animated_png(trace)[0])) == 1


# ---- pages and files ----------------------------------------------------------------------------------------------------


def test_the_page_holds_everything_and_fetches_nothing(cat):
    image, features, field = cat
    text = page(segwidgets.pool(features, channel=18, image=image, field=field).trace)
    assert not re.search(r"(?:src|href)\s*=|@import|url\(|fetch\(|XMLHttpRequest|[^{]import\(", text)  # {import(…)} is a type in a comment
    assert set(re.findall(r"https?://[^\s\"']+", text)) <= {"http://www.w3.org/2000/svg"}  # a name, not an address
    assert len(text) < 1_500_000


def test_no_text_can_leave_its_place_in_the_page():
    evil = "</script><script>alert(1)</script></title><img src=x onerror=alert(1)><!--"
    grid = Grid("a", np.ones((1, 1)), title=evil, note=evil)
    trace = Trace(evil, panels=[grid], steps=[TraceStep(evil, arithmetic=evil)])
    text = page(trace)
    assert text.count("<script") == 2 and text.count("</script>") == 2 and text.count("</title>") == 1
    assert "<img src" not in text and "<!--" not in text


def test_the_same_trace_gives_the_same_files(x, tmp_path):
    for suffix in (".html", ".png", ".gif"):
        segwidgets.pool(x).save(tmp_path / f"a{suffix}")
        segwidgets.pool(x.clone()).save(tmp_path / f"b{suffix}")
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_the_picture_carries_the_digest_of_its_trace(x, tmp_path):
    player = segwidgets.pool(x)
    player.save(tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").text["trace"] == player.trace.digest


def test_a_file_appears_whole_or_not_at_all(x, tmp_path, monkeypatch):
    player = segwidgets.pool(x)
    player.save(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        segwidgets.pool(x + 1).save(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_other_suffixes_are_refused(x, tmp_path):
    with pytest.raises(ValueError, match="an animation is saved as .html, .png or .gif, not as 'a.mp4'"):
        segwidgets.pool(x).save(tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


def test_nothing_of_an_earlier_frame_is_left_behind(x, small):
    """A frame holds only what changed: what it forgot to clear would show as specks of the sentence before."""
    player = segwidgets.unpool(small, 2, switches_from=x)
    drawn = [np.asarray(draw_step(player.trace, step, 1.6)).astype(int) for step in range(len(player.trace.steps))]
    shown = frames(png(player))
    assert len(shown) == len(drawn)
    for one, other in zip(shown, drawn, strict=True):
        assert (np.abs(one - other).max(axis=-1) > 60).sum() == 0


def test_panels_stand_in_at_least_the_rows_that_are_asked_for():
    panels = [Grid(f"{i}", np.ones((2, 2))) for i in range(4)]
    heights = [animated_png(Trace("rows", panels=panels, steps=[TraceStep("a")], rows=rows))[1][1] for rows in (1, 2, 4)]
    assert heights[0] < heights[1] < heights[2]


def test_bars_are_drawn_in_the_colour_of_their_role():
    trace = Trace("bars", panels=[Bars("bars", [1.0], ["cat"], role="suppressed")], steps=[TraceStep("a")])
    drawn = np.asarray(draw_step(trace, 0, 1.0)).reshape(-1, 3).tolist()
    grey, orange = ([int(ROLES[role].light[i : i + 2], 16) for i in (1, 3, 5)] for role in ("suppressed", "write"))
    assert grey in drawn and orange not in drawn


def test_a_bar_is_as_long_as_its_part_of_the_largest_value_that_ever_stands_there():
    bars = Bars("bars", np.zeros(2), ["cat", "dog"], empty=True)
    steps = [
        TraceStep("Nothing yet."),
        TraceStep("Both.", writes={"bars": {(0, 0): 0.4, (1, 0): 0.1}}),
        TraceStep("More.", writes={"bars": {(1, 0): 0.8}}),
    ]
    trace = Trace("bars", panels=[bars], steps=steps)
    orange = [int(ROLES["write"].light[i : i + 2], 16) for i in (1, 3, 5)]

    def lengths(step):
        lit = (np.asarray(draw_step(trace, step, 1.0)) == orange).all(-1).sum(1)  # in each row of pixels
        return sorted(set(lit[lit > 0].tolist()))

    whole = lengths(2)[-1]
    assert lengths(0) == [] and lengths(2) == pytest.approx([whole / 2, whole], abs=2)
    assert lengths(1) == pytest.approx([whole / 8, whole / 2], abs=2)


@pytest.mark.parametrize("terms", [1, 60])
def test_a_long_line_of_arithmetic_is_not_cut_off_and_leaves_the_count_of_steps_alone(terms):
    line = " + ".join(["12 × 34"] * terms)
    trace = Trace("long", panels=[Grid("g", np.zeros((1, 1)))], steps=[TraceStep("a", arithmetic=line), TraceStep("b")])
    drawn, bare = (np.asarray(draw_step(trace, step, 1.0)) for step in (0, 1))  # bare: without a line
    inked = np.flatnonzero((drawn[-26:, :-60] != 255).any((0, 2)))
    assert inked[0] >= 55 and inked[-1] <= drawn.shape[1] - 61 and len(inked) > 30
    assert (bare[-26:, :-60] == 255).all() and (bare[-26:, -60:] != 255).any()
