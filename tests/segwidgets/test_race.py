"""`segwidgets.race`: who is called when and how often, on a clock that the entrants themselves move on, and what becomes of the answers."""

import asyncio
import io
import re
import statistics
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import segwidgets
from segwidgets.panels import Film, Formula
from segwidgets.still import MAX_STILL_BYTES, animated_png
from segwidgets.trace import MAX_BYTES

IMAGE = torch.rand(3, 40, 60, generator=torch.Generator().manual_seed(0))
BOXES = torch.tensor([[10.0, 5, 30, 25], [0, 0, 60, 40], [50, 30, 59, 39]])
CLASSES = ("background", "cat", "dog")


class Clock:
    """Stands still but for what the entrants take."""

    def __init__(self):
        self.now, self.calls = 0.0, []


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(sys.modules["segwidgets.race"], "_clock", lambda: made.now)
    return made


def found(scores=(0.9, 0.6, 0.3), labels=(1, 2, 1), **more):
    count = len(scores)
    boxes = BOXES[:count] if count <= 3 else BOXES[:1].repeat(count, 1)
    labels = torch.tensor([labels[i % len(labels)] for i in range(count)], dtype=torch.int64)
    return {"boxes": boxes, "labels": labels, "scores": torch.tensor(scores, dtype=torch.float32), **more}


def entrant(clock, title, *seconds, answer=None):
    """Takes these seconds at its calls, the last of them ever after."""
    taken = list(seconds)

    def model(images):
        (image,) = images
        assert image.shape[0] == 3 and image.dtype == torch.float32 and not torch.is_grad_enabled()
        clock.calls.append(title)
        clock.now += taken.pop(0) if len(taken) > 1 else taken[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer if answer is not None else [found()]

    return model


class View:
    """Stands for a view in a browser: asks, and keeps what is answered."""

    def __init__(self, widget, monkeypatch):
        self.widget, self.answers = widget, []
        monkeypatch.setattr(widget, "send", self.answers.append)

    def ask(self, id="1", **values):
        self.widget._handle_custom_msg({"kind": "set", "values": values, "id": id}, [])
        return self.answers[-1]


# ---- times ------------------------------------------------------------------------------------------------------------------


def test_one_after_another_with_a_warm_up_and_the_median_of_quick_ones(clock):
    quick = [0.01, 0.03, 0.02, 0.05, 0.04]
    widget = segwidgets.race({"slow": entrant(clock, "slow", 9, 2), "quick": entrant(clock, "quick", 9, *quick)}, IMAGE)
    assert clock.calls == ["slow"] * 2 + ["quick"] * 6  # the warm-up of 9 s counts for nobody
    assert widget.seconds == pytest.approx({"slow": 2, "quick": statistics.median(quick)})
    np.testing.assert_allclose(widget.trace.values_at("seconds", -1)[:, 0], [2, 0.03])
    said = " ".join(step.text for step in widget.trace.steps)
    assert "slow starts. After its warm-up call it is timed 1×." in said and "quick starts. After its warm-up call it is timed 5×." in said
    assert widget.trace.steps[-1].text == (
        'All are through. The fastest: quick with 0.03 s, 67 times as fast as "slow". Each found 2 objects.'
    )


@pytest.mark.parametrize(("seconds", "calls"), [(0.25, 1), (0.19, 5)])
def test_where_quick_begins(clock, seconds, calls):
    segwidgets.race({"one": entrant(clock, "one", 1, seconds)}, IMAGE)
    assert len(clock.calls) == 1 + calls


def test_a_slow_call_among_quick_ones_ends_the_repeating(clock):
    widget = segwidgets.race({"one": entrant(clock, "one", 1, 0.1, 3, 0.1)}, IMAGE)
    assert len(clock.calls) == 3 and widget.seconds["one"] == pytest.approx(1.55)


def test_a_bar_grows_by_the_same_time_whoever_runs_and_stays_where_it_was_measured(clock):
    times = {"a": 3.0, "b": 1.2, "c": 0.01}
    trace = segwidgets.race({title: entrant(clock, title, seconds) for title, seconds in times.items()}, IMAGE).trace
    grown = [[step.writes["seconds"][(i, 0)] for step in trace.steps if (i, 0) in step.writes.get("seconds", {})] for i in range(3)]
    apart = grown[0][0]
    for heights, seconds in zip(grown, times.values(), strict=True):
        assert heights[-1] == pytest.approx(seconds) and heights[:-1] == pytest.approx([apart * (k + 1) for k in range(len(heights) - 1)])
        assert len(heights) == -(-round(seconds / apart, 6) // 1)
    assert len(grown[0]) >= 8 and len(trace.steps) <= 30
    starts = [i for i, step in enumerate(trace.steps) if " starts." in step.text]
    assert [np.isnan(trace.values_at("seconds", at)[:, 0]).tolist() for at in starts] == [
        [True] * 3,
        [False, True, True],
        [False] * 2 + [True],
    ]


def test_at_the_end_it_is_said_how_many_times_as_long_as_the_fastest_each_took(clock):
    times = {"a": 2.6, "b": 0.042, "c": 0.011, "d": 0.011}
    trace = segwidgets.race({title: entrant(clock, title, seconds) for title, seconds in times.items()}, IMAGE).trace
    notes = [trace.note_at(f"result of {title}", -1) for title in times]
    assert notes == ["2 objects, 2.6 s, 240 ×", "2 objects, 0.042 s, 3.8 ×", "2 objects, 0.011 s", "2 objects, 0.011 s, 1 ×"]
    timeless = segwidgets.race({"a": entrant(clock, "a", 0), "b": entrant(clock, "b", 1)}, IMAGE).trace
    assert timeless.steps[-1].text == "All are through. The fastest: a with 0 s. Each found 2 objects."
    assert timeless.note_at("result of b", -1) == "2 objects, 1 s"
    alone = segwidgets.race({"a": entrant(clock, "a", 1)}, IMAGE).trace
    assert alone.note_at("result of a", -1) == "2 objects, 1 s"
    assert alone.steps[-1].text == "All are through. The fastest: a with 1 s. It found 2 objects."


def test_at_the_end_it_is_said_who_found_fewest_and_most(clock):
    scores = {"a": (0.9, 0.8, 0.7), "b": (0.9,), "c": (0.9, 0.6, 0.5), "d": (), "e": (0.5, 0.4), "f": (0.9, 0.1)}
    widget = segwidgets.race({title: entrant(clock, title, 1, answer=[found(each)]) for title, each in scores.items()}, IMAGE)
    assert widget.trace.steps[-1].text == "All are through. The fastest: a with 1 s. Found: from 0 objects (d) to 3 (a and c)."
    widget.set(score_threshold=0.45)
    assert widget.trace.steps[-1].text.endswith("Found: from 0 objects (d) to 3 (a and c).")
    widget.set(score_threshold=0.85)
    assert widget.trace.steps[-1].text.endswith("Found: from 0 objects (d and e) to 1 (a, b, c and 1 more).")
    widget.set(score_threshold=0.95)
    assert widget.trace.steps[-1].text.endswith("The fastest: a with 1 s. Each found 0 objects.")


def test_the_digest_knows_nothing_of_times(clock):
    def raced(*times):
        return segwidgets.race({title: entrant(clock, title, seconds) for title, seconds in zip("abc", times, strict=True)}, IMAGE)

    first, second = raced(3, 0.5, 0.01), raced(0.02, 7, 4)
    assert len(first.trace.steps) != len(second.trace.steps) and first.trace.steps[-1].text != second.trace.steps[-1].text
    assert repr(first) == repr(second)
    assert repr(segwidgets.race({title: entrant(clock, title, 1) for title in "abd"}, IMAGE)) != repr(first)


def test_published_times_stand_beside_from_the_first_step_on(clock):
    entrants = {title: entrant(clock, title, 1) for title in "abc"}
    trace = segwidgets.race(entrants, IMAGE, historic={"c": 47, "a": 0.2}).trace
    np.testing.assert_allclose(trace.values_at("published", 0)[:, 0], [0.2, np.nan, 47], rtol=1e-6)
    assert trace.panel("published").role == "suppressed" and trace.panel("seconds").role == "write"
    assert "published" not in [panel.id for panel in segwidgets.race(entrants, IMAGE).trace.panels]


# ---- what was found ---------------------------------------------------------------------------------------------------------


def shown(trace, title, step=-1):
    return [look for look in trace.boxes_at(f"result of {title}", step) if look.role]


def test_results_are_empty_until_the_entrant_is_through(clock):
    trace = segwidgets.race({"a": entrant(clock, "a", 1), "b": entrant(clock, "b", 1)}, IMAGE, classes=CLASSES).trace
    through = [i for i, step in enumerate(trace.steps) if "is through" in step.text]
    for title, at in zip("ab", through, strict=True):
        panel = f"result of {title}"
        assert (trace.frame_at(panel, at - 1), shown(trace, title, at - 1), trace.note_at(panel, at - 1)) == (0, [], "")
        assert (trace.frame_at(panel, at), trace.note_at(panel, at)) == (1, "2 objects, 1 s")
    assert [(look.role, look.label) for look in shown(trace, "a")] == [("write", "cat"), ("write", "dog")]
    np.testing.assert_allclose([look.place for look in shown(trace, "a")], BOXES[:2])
    assert trace.steps[through[0]].arithmetic == "cat 0.9, dog 0.6"


def test_boxes_lie_where_they_were_found_on_a_picture_that_is_shown_smaller(clock):
    answer = found((0.9,)) | {"boxes": torch.tensor([[100.0, 50, 480, 900]])}
    trace = segwidgets.race({"a": entrant(clock, "a", 1, answer=[answer])}, torch.rand(3, 720, 480)).trace
    film = trace.panel("result of a")
    assert (film.rows, film.columns) == (240, 160)
    np.testing.assert_allclose(shown(trace, "a")[0].place, [100 / 3, 50 / 3, 160, 240], rtol=1e-5)  # what lies outside is cut off


def test_the_threshold_counts_and_runs_nobody_again(clock):
    widget = segwidgets.race({"a": entrant(clock, "a", 1)}, IMAGE, classes=CLASSES[1:], score_threshold=0.3)
    calls, scores = len(clock.calls), found()["scores"].numpy()
    for threshold in (0.3, 0.6, 0.65, 0.95, 0.0):
        widget.set(score_threshold=threshold)
        count = int((scores >= np.float32(threshold)).sum())
        assert len(shown(widget.trace, "a")) == count
        assert widget.trace.note_at("result of a", -1) == f"{count} object{'' if count == 1 else 's'}, 1 s"
    assert len(clock.calls) == calls and widget.found["a"]["scores"].tolist() == pytest.approx([0.9, 0.6, 0.3])


@pytest.mark.parametrize("count", [0, 1, 300])
def test_none_one_and_three_hundred(clock, count):
    answer = found([0.9] * count, masks=torch.ones(count, 1, 40, 60))
    trace = segwidgets.race({"a": entrant(clock, "a", 1, answer=[answer])}, IMAGE).trace
    assert len(shown(trace, "a")) == min(count, 100)
    assert trace.note_at("result of a", -1) == f"{count} object{'' if count == 1 else 's'}, 1 s"
    assert ("Drawn: the best 100." in trace.steps[-2].text) is (count == 300)
    assert sum(bool(look.label) for look in shown(trace, "a")) == min(count, 4)


@pytest.mark.parametrize("kind", ["bool", "probabilities", "with a channel"])
def test_masks_are_painted_where_they_are(clock, kind):
    inside = torch.zeros(2, 40, 60)
    inside[0, 5:20, 10:30] = 1
    inside[1, 30:, 40:] = 1  # of a detection below the threshold
    masks = {"bool": inside > 0, "probabilities": 0.2 + 0.5 * inside, "with a channel": inside[:, None]}[kind]
    trace = segwidgets.race({"a": entrant(clock, "a", 1, answer=[found((0.9, 0.4), masks=masks)])}, torch.full((3, 40, 60), 0.5)).trace
    painted = trace.panel("result of a").frames[1].pixels
    np.testing.assert_array_equal((painted != 128).any(2), inside[0].numpy() > 0)


def test_detections_are_sorted_and_unknown_classes_are_numbered(clock):
    answer = found((0.6, 0.9), labels=(2, 7))
    widget = segwidgets.race({"a": entrant(clock, "a", 1, answer=[answer])}, IMAGE, classes=CLASSES)
    assert [look.label for look in shown(widget.trace, "a")] == ["class 7", "dog"]
    np.testing.assert_allclose(widget.found["a"]["boxes"], BOXES[[1, 0]])


# ---- failures ---------------------------------------------------------------------------------------------------------------

HALF = found()["boxes"].clone()
HALF[1, 2] = float("nan")
FAILURES = [
    (RuntimeError("sizes [1|2] don't match\nand more"), "RuntimeError: sizes [1/2] don't match"),
    (ValueError("a picture of 128 pixels is needed"), "a picture of 128 pixels is needed"),
    (ZeroDivisionError(), "ZeroDivisionError"),
    (found(), "it answered with a dict; a detector gives a list with one dict"),
    ([], "it answered with a list of 0; a detector gives a list with one dict"),
    ([found(), found()], "it answered with a list of 2; a detector gives a list with one dict"),
    (["boxes"], "it answered with a list; a detector gives a list with one dict"),
    ([{"boxes": BOXES}], "its answer has no tensor 'labels' and 'scores'; boxes, labels and scores are needed"),
    ([found() | {"boxes": BOXES[:2]}], "its boxes, labels and scores have the shapes [2, 4], [3] and [3]; [D, 4], [D] and [D] are needed"),
    ([found() | {"boxes": HALF}], "its boxes have NaN or infinite values; only finite ones can be shown"),
    ([found((0.9, float("inf")))], "its scores have NaN or infinite values; only finite ones can be shown"),
    ([found(masks=torch.ones(3, 28, 28))], "its masks have the shape [3, 28, 28]; [3, 40, 60] is needed: a mask of each box"),
]


@pytest.mark.parametrize(("answer", "said"), FAILURES)
def test_who_fails_is_told_of_in_its_place_and_the_race_goes_on(clock, answer, said):
    entrants = {"good": entrant(clock, "good", 1), "bad": entrant(clock, "bad", 1, answer=answer), "last": entrant(clock, "last", 2)}
    widget = segwidgets.race(entrants, IMAGE)
    trace = widget.trace
    assert [type(panel) for panel in trace.panels[2:]] == [Film, Formula, Film]
    assert " ".join(trace.panels[3].lines) == said and max(map(len, trace.panels[3].lines)) <= 31
    assert f"bad did not finish: {said}." in [step.text for step in trace.steps]
    assert list(widget.seconds) == ["good", "last"] and np.isnan(trace.values_at("seconds", -1)[1, 0])
    assert trace.steps[-1].text == ('All are through. The fastest: good with 1 s, 2 times as fast as "last". Each found 2 objects.')


def test_nobody_arrives(clock):
    widget = segwidgets.race({"bad": entrant(clock, "bad", 1, answer=ValueError("no"))}, IMAGE)
    assert widget.trace.steps[-1].text == "bad did not finish: no." and widget.seconds == {}


class Module(nn.Module):
    def __init__(self, fails=None):
        super().__init__()
        self.inner, self.frozen, self.fails, self.seen = nn.Dropout(), nn.Linear(1, 1).double(), fails, []
        self.train()
        self.frozen.eval()

    def forward(self, images):
        self.seen.append((self.training, self.inner.training, images[0].dtype))
        if self.fails:
            raise self.fails
        return [found()]


@pytest.mark.parametrize("fails", [None, ValueError("no"), KeyboardInterrupt()])
def test_a_module_runs_in_evaluation_mode_in_its_precision_and_is_then_as_it_was(fails):
    model = Module(fails)
    if isinstance(fails, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt):
            segwidgets.race({"model": model}, IMAGE)
    else:
        segwidgets.race({"model": model}, IMAGE)
    assert set(model.seen) == {(False, False, torch.float64)}
    assert (model.training, model.inner.training, model.frozen.training) == (True, True, False)


def test_who_paints_on_its_picture_does_so_for_itself(clock):
    def painter(images):
        images[0].zero_()
        return [found()]

    seen, image = [], IMAGE.clone()
    widget = segwidgets.race({"painter": painter, "next": lambda images: seen.append(images[0].clone()) or [found()]}, image)
    image.zero_()
    widget.set(again=1)
    assert len(seen) > 2 and all(torch.equal(each, IMAGE) for each in seen)


GOOD = {"a": lambda images: [found()]}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([], IMAGE), "entrants is a list; a race takes a dict, name → model([image])"),
        (({}, IMAGE), "there are 0 entrants; a race takes 1 to 12"),
        (({f"{i}": GOOD["a"] for i in range(13)}, IMAGE), "there are 13 entrants; a race takes 1 to 12"),
        (({"a": "yolo"}, IMAGE), "the entrant 'a' is a str, which cannot be called; it takes a model: model([image]) → [dict]"),
        (({"a": None}, IMAGE), "the entrant 'a' is None, which cannot be called"),
        (({1: GOOD["a"]}, IMAGE), "an entrant is named 1; it takes 1 to 20 letters"),
        (({"x" * 21: GOOD["a"]}, IMAGE), "it takes 1 to 20 letters"),
        (({"[a|b]": GOOD["a"]}, IMAGE), "none of them [, ] or |"),
        ((GOOD, IMAGE * 2), "image has values outside 0…1; divide 8-bit pixels by 255"),
        ((GOOD, IMAGE[0]), "image has the shape [40, 60]; a picture is [3, H, W], RGB"),
    ],
)
def test_what_cannot_be_raced_is_one_sentence(arguments, said):
    with pytest.raises((TypeError, ValueError), match=re.escape(said)):
        segwidgets.race(*arguments)


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"threshold": 0.3}, "segwidgets.race has no keyword 'threshold'; did you mean 'score_threshold'?"),
        ({"score_threshold": 2}, "score_threshold is 2; it goes from 0.0 to 1.0"),
        ({"score_threshold": float("nan")}, "score_threshold is nan; it goes from 0.0 to 1.0"),
        ({"classes": "cat"}, "classes is 'cat'; it takes the names of the objects' classes"),
        ({"historic": [1]}, "historic is a list; it takes a dict, name → seconds a picture"),
        ({"historic": {"b": 1}}, "historic has 'b', which does not race; the entrants are 'a'"),
        ({"historic": {"a": 0}}, "historic has 0 for 'a'; it takes the seconds that a picture took, above 0"),
        ({"historic": {"a": float("nan")}}, "historic has nan for 'a'"),
        ({"historic": {"a": "fast"}}, "historic has 'fast' for 'a'"),
    ],
)
def test_keywords_are_checked_before_anybody_runs(clock, keywords, said):
    with pytest.raises((TypeError, ValueError), match=re.escape(said)):
        segwidgets.race({"a": entrant(clock, "a", 1)}, IMAGE, **keywords)
    assert clock.calls == []


# ---- racing again -----------------------------------------------------------------------------------------------------------


def test_again_runs_everybody_again_and_the_first_race_is_kept(clock):
    widget = segwidgets.race({"a": entrant(clock, "a", 1, 1, 2), "b": entrant(clock, "b", 1)}, IMAGE)
    assert widget.seconds == pytest.approx({"a": 1, "b": 1})
    widget.set(again=1)
    assert widget.seconds == pytest.approx({"a": 2, "b": 1}) and clock.calls == ["a", "a", "b", "b"] * 2
    widget.set(again=0)
    assert widget.seconds == pytest.approx({"a": 1, "b": 1}) and len(clock.calls) == 8


def test_another_picture_is_raced_over_no_larger_than_the_first(clock):
    sizes = []
    entrants = {"a": lambda images: sizes.append(list(images[0].shape)) or [found()]}
    widget = segwidgets.race(entrants, IMAGE)
    file = io.BytesIO()
    Image.fromarray(np.full((100, 120, 3), (255, 0, 0), np.uint8)).save(file, "PNG")
    widget.set(picture=file.getvalue())
    assert sizes[0] == [3, 40, 60] and sizes[-1] == [3, 50, 60]
    assert widget.trace.panel("photograph").note == "[3, 50, 60]"
    count = len(sizes)
    widget.set(score_threshold=0.1)
    assert len(sizes) == count and widget.trace.panel("photograph").note == "[3, 50, 60]"


def test_an_interrupt_leaves_what_was_there(clock, monkeypatch):
    second = [None, None, KeyboardInterrupt(), None, None]

    def sometimes(images):
        clock.calls.append("b")
        clock.now += 1
        stops = second.pop(0)
        if stops:
            raise stops
        return [found()]

    widget = segwidgets.race({"a": entrant(clock, "a", 1), "b": sometimes}, IMAGE)
    view, before = View(widget, monkeypatch), widget.trace
    assert view.ask(again=1) == {"kind": "answer", "id": "1", "error": "Interrupted; nothing has changed."}
    assert widget.trace is before and widget.values["again"] == 0
    assert view.ask(again=1)["error"] == "" and widget.values["again"] == 1
    assert clock.calls == ["a", "a", "b", "b", "a", "a", "b"] + ["a", "a", "b", "b"]


def test_a_race_is_shown_as_it_comes(clock, monkeypatch):
    widget = segwidgets.race({"slow": entrant(clock, "slow", 3, 2), "quick": entrant(clock, "quick", 0.1)}, IMAGE)
    seen = []
    monkeypatch.setattr(widget, "show", lambda trace: seen.append(trace))
    widget.set(again=1)
    assert [trace.steps[-1].text.partition(",")[0] for trace in seen] == [
        "slow has its warm-up call",
        "slow is running",
        "quick has its warm-up call",
        "All are through. The fastest: quick with 0.1 s",
    ]
    running = seen[1].steps[-1]
    assert running.grows == {"seconds": 2} and running.writes == {"seconds": {(0, 0): 2}}  # as long as its warm-up took; here the last 2 s
    assert shown(seen[1], "slow") == [] and len(shown(seen[2], "slow")) == 2


def test_a_newer_question_stops_the_race_between_two_entrants_and_it_goes_on_with_the_new_threshold(clock, monkeypatch):
    widget = segwidgets.race({title: entrant(clock, title, 1) for title in "abc"}, IMAGE)
    view = View(widget, monkeypatch)
    clock.calls.clear()

    async def viewer():
        view.ask(id="race", again=1)  # a's warm-up is announced
        while clock.calls != ["a", "a"]:
            await asyncio.sleep(0.005)
        view.ask(id="slider", again=1, score_threshold=0.7)
        while "more" in view.answers[-1]:
            await asyncio.sleep(0.005)

    asyncio.run(viewer())
    assert clock.calls == ["a", "a", "b", "b", "c", "c"]  # a, which was through, did not run again
    ids = [(answer["id"], answer.get("more", False)) for answer in view.answers]
    stop = ids.index(("race", False))
    assert set(ids[:stop]) == {("race", True)} and set(ids[stop + 1 : -1]) == {("slider", True)} and ids[-1] == ("slider", False)
    assert view.answers[stop]["error"] == "Stopped: something newer was asked." and view.answers[-1]["error"] == ""
    assert widget.values["score_threshold"] == 0.7 and [len(shown(widget.trace, title)) for title in "abc"] == [1, 1, 1]


# ---- sizes ------------------------------------------------------------------------------------------------------------------


def test_twelve_entrants_with_three_hundred_detections_on_a_large_photograph_stay_small(clock):
    large = torch.rand(3, 900, 1200, generator=torch.Generator().manual_seed(1))
    answer = [found([0.9] * 300)]
    entrants = {f"the entrant number {i}"[:20]: entrant(clock, "x", 0.5, answer=answer) for i in range(1)}
    entrants |= {f"entrant {i}": entrant(clock, "x", 0.5, answer=answer) for i in range(11)}
    trace = segwidgets.race(entrants, large, historic=dict.fromkeys(entrants, 1.0)).trace
    assert len(trace.panels) == 15 and trace.rows == 4 and trace.nbytes <= MAX_BYTES
    assert len(animated_png(trace)[0]) <= MAX_STILL_BYTES


def test_the_saved_page_replays_it_without_a_kernel(clock, tmp_path):
    segwidgets.race({"a": entrant(clock, "a", 1)}, IMAGE).save(tmp_path / "race.html")
    assert "race of 1 detector" in (tmp_path / "race.html").read_text()
