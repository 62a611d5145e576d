"""Networks that students train: what is measured, what is said, and that the right labels never come near the student's code."""

import inspect
import subprocess
import sys
from dataclasses import replace

import nbformat
import pytest
import torch
import torch.nn.functional as F
from nbformat.v4 import new_code_cell, new_notebook
from safetensors.torch import save_file
from torch import nn

from course.data.shapes import CLASSES
from course.exercises import check
from course.exercises.checking import _devices
from course.exercises.detecting import Detecting
from course.exercises.exercise import TRAINING_CELL, TrainingExercise
from course.exercises.labelling import Labelling
from course.exercises.lessons import all_exercises, all_trainings, trainings_of
from course.exercises.localizing import Localizing
from course.exercises.notebooks import _training_cells
from course.exercises.predicting import predict
from course.exercises.proposing import Proposing
from course.exercises.running import Outcome
from course.exercises.scoring import examine_training, score
from course.exercises.segmenting import Segmenting, _packed
from course.exercises.starter import solution_code, starter
from course.student_notebook import check_notebook
from course.training import fit

TRAININGS = list(all_trainings().values())
every_training = pytest.mark.parametrize("exercise", TRAININGS, ids=lambda exercise: exercise.name)
COLOURS = torch.tensor([[0.1, 0.1, 0.1], [0.9, 0.1, 0.1], [0.1, 0.1, 0.9]])


def coloured(seed, count=24, size=16):
    """Pictures in which colour tells the class, so that a 1×1 convolution can learn it: blocks of three colours, with noise."""
    draw = torch.Generator().manual_seed(seed)
    targets = torch.randint(3, (count, size // 4, size // 4), generator=draw).repeat_interleave(4, 1).repeat_interleave(4, 2)
    images = COLOURS[targets].permute(0, 3, 1, 2)
    return images + 0.05 * torch.randn(images.shape, generator=draw), targets


def build_fcn():
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 3, 1))


EASY = TrainingExercise(
    prompt="Label the colours.",
    solution=build_fcn,
    training=f"{TRAINING_CELL}\nnetwork = build_fcn()",
    checkpoint="easy.safetensors",
    pictures=coloured,
    task=Labelling(classes=("background", "red", "blue")),
    points=((0.3, 1), (0.6, 2), (0.9, 4)),
)


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    network = build_fcn()
    images, targets = coloured(99)
    fit(network, [(images, targets)], loss=F.cross_entropy, epochs=60, optimiser=torch.optim.Adam(network.parameters(), 0.05), device="cpu")
    return network


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def saved(network, name="easy.safetensors"):
    save_file(network.state_dict(), name)
    return network


def verdict(build=build_fcn, **options):
    return examine_training(EASY, build, **options)


def test_a_trained_network_has_points_and_passes(trained, here):
    saved(trained)
    result = verdict()
    assert result.passed and bool(result) and result.points == 4 and result.value > 0.9
    lines = repr(result).splitlines()
    assert lines[0] == f"✓ build_fcn: 4 of 4 points, for a mean IoU of {result.value:.3f} on 24 pictures that it never saw."
    assert lines[1].startswith("IoU of each class: background 0.9") and ", red 0.9" in lines[1] and len(lines) == 2


def test_the_mean_iou_is_that_of_an_independent_peer(trained, here):
    from sklearn.metrics import jaccard_score

    saved(trained)
    images, targets = coloured(5)
    with torch.no_grad():
        labels = trained.eval()(images).argmax(1)
    expected = jaccard_score(targets.flatten(), labels.flatten(), average=None)
    result = verdict(seed=5)
    assert result.value == pytest.approx(expected.mean())
    named = ", ".join(f"{name} {value:.2f}" for name, value in zip(("background", "red", "blue"), expected, strict=True))
    assert result.score.details == (f"IoU of each class: {named}.",)


def test_an_untrained_network_has_no_points_and_is_told_kindly(here):
    torch.manual_seed(1)
    network = build_fcn()
    nn.init.zeros_(network[3].weight)
    saved(network)
    result = verdict()
    assert not result.passed and result.points == 0
    assert repr(result).startswith("✗ build_fcn: 0 of 4 points, for a mean IoU of 0.")
    assert "The network and its file fit together, and it answers as it should; what it lacks is training." in repr(result)
    assert "The first point comes at a mean IoU of 0.30." in repr(result)


@pytest.mark.parametrize(("mean_iou", "points"), [(0.0, 0), (0.299, 0), (0.3, 1), (0.599, 1), (0.6, 2), (0.89, 2), (0.9, 4), (1.0, 4)])
def test_points_follow_the_table(mean_iou, points):
    assert EASY.points_for(mean_iou) == points


def test_what_comes_next_is_told(here, trained):
    saved(trained)
    demanding = replace(EASY, points=((0.1, 1), (0.99999, 2)))
    assert repr(examine_training(demanding, build_fcn)).splitlines()[-1] == "2 points come at 1.00."


def test_another_seed_draws_other_pictures(here, trained):
    saved(trained)
    assert verdict(seed=1).score == verdict(seed=1).score != verdict(seed=2).score


class Odd(nn.Module):
    """A network that was trained, whose forward does something else with its answer."""

    def __init__(self, change):
        super().__init__()
        self.body, self.change = build_fcn(), change

    def forward(self, x):
        return self.change(self.body(x))


def odd(change):
    def build_fcn():
        return Odd(change)

    return build_fcn


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda y: y.argmax(1),
            "The network returned labels, [10, 16, 16] int64; expected are logits, [10, 3, 16, 16]: one number for each",
        ),
        (lambda y: y.argmax(1, keepdim=True).float(), "The network returned labels, [10, 1, 16, 16] float32; expected are logits"),
        (lambda y: F.one_hot(y.argmax(1), 3), "The network returned labels, [10, 16, 16, 3] int64"),
        (
            lambda y: y[:, :, ::4, ::4],
            "returned [10, 3, 4, 4] for [10, 3, 16, 16]; expected is [10, 3, 16, 16]: enlarge the scores to the size",
        ),
        (lambda y: y[:, :2], "returned [10, 2, 16, 16] for [10, 3, 16, 16]; expected is [10, 3, 16, 16]: there are 3 classes, background"),
        (lambda y: y.permute(0, 2, 3, 1), "returned [10, 16, 16, 3] for [10, 3, 16, 16]; expected is [10, 3, 16, 16]."),
        (lambda y: y.mean((2, 3)), "returned [10, 3] for [10, 3, 16, 16]; expected is [10, 3, 16, 16]."),
        (lambda y: y * float("nan"), "The logits hold NaN or infinite numbers: was the loss still a number"),
        (lambda y: y / 0, "The logits hold NaN or infinite numbers"),
        (lambda y: [y], "The network returned an object of type list; expected are logits, a tensor."),
        (lambda y: {"logits": y}, "The network returned an object of type dict; expected are logits, a tensor."),
        (lambda y: None, "The network returned an object of type NoneType; expected are logits, a tensor."),
        (lambda y: y[99], "It raised IndexError: index 99 is out of bounds"),
        (lambda y: sys.exit(3), "It raised SystemExit: 3"),
    ],
)
def test_what_is_wrong_with_an_answer_is_said(trained, here, change, said):
    network = Odd(change)
    network.body = trained
    saved(network)
    result = verdict(odd(change))
    assert not result.passed and result.points == 0 and said in repr(result), repr(result)
    assert repr(result).splitlines()[0] == "✗ build_fcn: 0 of 4 points so far." and len(repr(result).splitlines()) == 2


@pytest.mark.parametrize("change", [lambda y: {"out": y, "aux": 0 * y}, lambda y: y.softmax(1), lambda y: y.double()])
def test_other_answers_that_mean_the_same_are_accepted(trained, here, change):
    network = Odd(change)
    network.body = trained
    saved(network)
    assert verdict(odd(change)).points == 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda y: F.dropout(y, 0.3), "Asked twice about the same pictures it answers differently, though eval() was called: "),
        (
            lambda y: F.batch_norm(y, None, None, training=True),
            "A picture alone gets another answer than in a batch, though eval() was called: ",
        ),
        (lambda y: y - y.mean((0, 2, 3), keepdim=True), "A picture alone gets another answer than in a batch"),
    ],
)
def test_a_network_that_is_still_in_training_is_told_and_has_its_points(trained, here, change, said):
    network = Odd(change)
    network.body = trained
    saved(network)
    result = verdict(odd(change))
    assert result.points > 0
    assert repr(result).splitlines()[-1].startswith(said)


def test_a_network_that_was_returned_in_training_mode_is_judged_in_evaluation_mode(trained, here):
    saved(trained)
    assert repr(verdict(lambda: named_train(build_fcn()))) == repr(verdict())


def named_train(network):
    return network.train()


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: None, "It returned None: is there a return?"),
        (lambda: torch.ones(1), "It returned an object of type Tensor; return a torch.nn.Module."),
        (lambda: nn.Conv2d, "It returned an object of type type; return a torch.nn.Module."),
        (lambda classes: build_fcn(), "It cannot be called without arguments: missing a required argument: 'classes'. Keep the starter's"),
        (lambda: 1 / 0, "It raised ZeroDivisionError: division by zero, at line"),
        (lambda: nn.Module(), "easy.safetensors is of another network: 0.bias and 8 more are in it, and not in the network."),
        (
            lambda: nn.Sequential(*build_fcn()[:3]),
            "is of another network: 3.bias and 1 more are in it, and not in the network. Train the one",
        ),
        (lambda: nn.Sequential(*build_fcn(), nn.Conv2d(3, 3, 1, bias=False)), "is of another network: 4.weight is not in it."),
        (lambda: nn.Sequential(*build_fcn()[:3], nn.Conv2d(8, 4, 1)), "3.weight has the shape [3, 8, 1, 1] in it, and [4, 8, 1, 1] in the"),
    ],
)
def test_what_is_wrong_with_a_builder_or_its_file_is_said(trained, here, build, said):
    saved(trained)
    result = verdict(build)
    assert not result.passed and said in repr(result), repr(result)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "There is no file easy.safetensors here: run the training cell, which writes it."),
        (b"", 'easy.safetensors is not a whole safetensors file: write it with save_file(network.state_dict(), "easy.safetensors").'),
        (b"PK\x03\x04 as torch.save writes", "easy.safetensors is not a whole safetensors file"),
        ("half", "easy.safetensors is not a whole safetensors file"),
    ],
)
def test_a_file_that_is_missing_or_none_is_told(trained, here, content, said):
    path = here / "easy.safetensors"
    if content == "half":
        saved(trained)
        content = path.read_bytes()[: path.stat().st_size // 2]
    if content is not None:
        path.write_bytes(content)
    assert said in repr(verdict())


def test_a_network_that_is_too_slow_is_told(trained, here):
    saved(trained)
    result = examine_training(replace(EASY, seconds=0.0), build_fcn)
    assert "It is too slow: 10 of 24 pictures took 0 s of processor time, and all may take 0 s." in repr(result)


def test_not_written_yet_is_told_kindly(here):
    def build_fcn():
        raise NotImplementedError

    result = verdict(build_fcn)
    assert repr(result) == "○ build_fcn: not written yet.\nPut your code in place of raise NotImplementedError."
    assert not result.passed and "not written yet" in result._repr_html_()


def test_an_error_in_forward_is_told_with_the_students_line_and_torchs_with_none(trained, here):
    class Mine(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = build_fcn()

        def forward(self, x):
            return self.body(x)[:, 7]

    def make():
        return Mine()

    saved_as = Mine()
    saved_as.body = trained
    saved(saved_as)
    line = Mine.forward.__code__.co_firstlineno + 1
    assert f"at line {line}: return self.body(x)[:, 7]" in repr(verdict(make))

    def too_narrow():
        return nn.Sequential(nn.Conv2d(4, 3, 1))

    saved(too_narrow())
    text = repr(verdict(too_narrow))
    assert "It raised RuntimeError" in text and "at line" not in text


def test_the_callers_random_state_goes_on(trained, here):
    saved(trained)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    verdict()
    assert torch.rand(1) == expected


def test_a_network_cannot_change_what_it_is_measured_on(trained, here):
    class Vandal(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = build_fcn()

        def forward(self, x):
            x_before = x.clone()
            x.zero_()
            return self.body(x_before)

    network = Vandal()
    network.body = trained
    saved(network)
    images, _ = coloured(0)
    assert predict(Vandal, "easy.safetensors", images, EASY.task).kind == "returned"
    torch.testing.assert_close(images, coloured(0)[0], rtol=0, atol=0)


def test_predicting_needs_nothing_but_images_and_gives_nothing_but_labels(trained, here):
    """The two halves as a grader runs them, with a process between them."""
    saved(trained)
    images, targets = coloured(7)
    outcome = predict(build_fcn, "easy.safetensors", images, EASY.task)
    assert outcome.kind == "returned" and list(outcome.arrays) == ["labels"] and outcome.sentence == ""
    labels = outcome.arrays["labels"]
    assert type(labels) is torch.Tensor and labels.dtype is torch.uint8 and labels.shape == targets.shape
    again = Outcome("returned", {"labels": torch.from_numpy(labels.numpy().copy())})
    assert repr(score(EASY, again, targets)) == repr(verdict(seed=7))


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"labels": torch.zeros(24, 16, 16)},
        {"labels": torch.zeros(24, 16, 15, dtype=torch.uint8)},
        {"labels": torch.full((24, 16, 16), 3, dtype=torch.uint8)},
        {"logits": torch.zeros(24, 3, 16, 16)},
    ],
)
def test_labels_that_are_none_are_worth_nothing(arrays):
    result = score(EASY, Outcome("returned", arrays), coloured(0)[1])
    assert result.points == 0 and "The labels that came back are none" in repr(result)


def test_it_shows_itself_as_html(trained, here):
    saved(trained)
    html = verdict()._repr_html_()
    assert "<strong>✓ build_fcn: 4 of 4 points" in html and "#009E73" in html and "<script" not in html
    assert "#D55E00" in verdict(lambda: None)._repr_html_()


def test_check_finds_it_by_name_and_takes_another_file(trained, here, monkeypatch, capsys):
    monkeypatch.setattr("course.exercises.checking.find_exercise", lambda function: EASY)
    saved(trained, "mine.safetensors")
    assert check(build_fcn, checkpoint="mine.safetensors").points == 4
    assert capsys.readouterr().out.count("✓ build_fcn") == 1
    assert "There is no file easy.safetensors" in repr(check(build_fcn))


def test_a_checkpoint_is_for_networks_only():
    def bed_of_nails(x, scale):
        return x

    with pytest.raises(TypeError, match="checkpoint= is for networks that you train; bed_of_nails is a function"):
        check(bed_of_nails, checkpoint="fcn.safetensors")


@every_training
def test_the_starter_says_kindly_that_it_is_not_written(exercise, here):
    namespace = {"torch": torch}
    exec(compile(starter(exercise), "<cell>", "exec"), namespace)
    result = check(namespace[exercise.name], checkpoint=exercise.checkpoint)
    assert repr(result).startswith(f"○ {exercise.name}: not written yet.")


@every_training
def test_names_files_and_tables_are_as_they_should_be(exercise):
    assert exercise.name not in all_exercises() and exercise.checkpoint.endswith(".safetensors")
    assert (
        exercise.training.startswith(TRAINING_CELL) and exercise.checkpoint in exercise.training and exercise.checkpoint in exercise.prompt
    )
    least, points = zip(*exercise.points, strict=True)
    assert list(least) == sorted(set(least)) and list(points) == sorted(set(points)) and 0 < least[0] < least[-1] < 1
    assert inspect.signature(exercise.solution).parameters == {}


def labels_everywhere(labels):
    return {"labels": labels.to(torch.uint8)}


def one_object(targets, boxes=None):
    labels, true_boxes = (torch.cat([target[name] for target in targets]) for name in ("labels", "boxes"))
    if boxes is None:
        return {"labels": labels.to(torch.uint8), "boxes": true_boxes}
    most = labels.bincount().argmax()
    return {"labels": torch.full_like(labels, most, dtype=torch.uint8), "boxes": true_boxes.mean(0).expand(len(targets), 4)}


def proposals(targets, boxes=None):
    """The true boxes of each picture, or the same few in all of them, filled up with zeros to ten."""
    found = torch.zeros(len(targets), 10, 4)
    for rows, target in zip(found, targets, strict=True):
        of_picture = target["boxes"] if boxes is None else torch.tensor(boxes)
        rows[: len(of_picture)] = of_picture
    return {"proposals": found}


# Four quarters, the middle, the whole, and boxes as large as most objects are: about as good as it gets without looking.
QUARTERS = [[x, y, x + 56.0, y + 56] for x in (8, 64) for y in (8, 64)] + [[36.0, 36, 92, 92], [0.0, 0, 128, 128]]
COLUMNS = [[x, 20.0, x + 44, 76] for x in (10, 40, 74)] + [[40.0, 60, 84, 116]]


def detections(targets, boxes=None):
    """The true boxes of each picture, or the same few in all of them, each as every class, filled up with zeros to twenty."""
    found, names = torch.zeros(len(targets), 20, 4), torch.zeros(len(targets), 20, dtype=torch.uint8)
    for rows, labels, target in zip(found, names, targets, strict=True):
        of_picture = target["boxes"] if boxes is None else torch.tensor(boxes).repeat_interleave(6, 0)
        rows[: len(of_picture)] = of_picture
        labels[: len(of_picture)] = target["labels"] if boxes is None else torch.arange(1, 7).repeat(len(boxes))
    return {"boxes": found, "labels": names, "scores": torch.where(names > 0, 0.5, 0.0)}


def outlines(targets, boxes=None):
    """The true masks of each picture, or the same few boxes in all of them, filled from edge to edge, each as every class."""
    arrays = detections(targets, boxes)
    masks = torch.zeros(*arrays["labels"].shape, *targets[0]["masks"].shape[1:], dtype=torch.bool)
    for rows, of_picture, target in zip(masks, arrays["boxes"], targets, strict=True):
        if boxes is None:
            rows[: len(target["masks"])] = target["masks"]
        else:
            for mask, (x1, y1, x2, y2) in zip(rows, of_picture.int().tolist(), strict=True):
                mask[y1:y2, x1:x2] = True
    return arrays | {"masks": _packed(masks)}


RIGHT = {Labelling: labels_everywhere, Localizing: one_object, Proposing: proposals, Detecting: detections, Segmenting: outlines}
CONSTANT = {
    Labelling: lambda targets: labels_everywhere(torch.zeros_like(targets)),
    Localizing: lambda targets: one_object(targets, "mean"),
    Proposing: lambda targets: proposals(targets, QUARTERS + COLUMNS),
    Detecting: lambda targets: detections(targets, QUARTERS[4:5] + COLUMNS[1:2] + COLUMNS[3:]),
    Segmenting: lambda targets: outlines(targets, QUARTERS[4:5] + COLUMNS[1:2] + COLUMNS[3:]),
}


@every_training
def test_pictures_are_those_of_the_seed_and_the_same_answer_everywhere_has_no_points(exercise):
    images, targets = exercise.pictures(11)
    again, other = exercise.pictures(11), exercise.pictures(12)
    torch.testing.assert_close((images, targets), again, rtol=0, atol=0)
    assert not torch.equal(images, other[0])
    assert images.dtype is torch.float32 and images.min() >= 0 and images.max() <= 1 and len(targets) == len(images)
    kind = type(exercise.task)
    result = score(exercise, Outcome("returned", CONSTANT[kind](targets)), targets)
    assert result.points == 0 and result.score is not None
    perfect = score(exercise, Outcome("returned", RIGHT[kind](targets)), targets)
    assert perfect.points == exercise.full and perfect.value == pytest.approx(1)


@every_training
def test_the_solution_untrained_fits_its_file_and_has_no_points(exercise, here):
    namespace = {"torch": torch}
    exec(compile(solution_code(exercise), "<cell>", "exec"), namespace)
    torch.manual_seed(0)
    save_file(namespace[exercise.name]().state_dict(), exercise.checkpoint)
    result = examine_training(exercise, namespace[exercise.name])
    assert result.points == 0 and "what it lacks is training" in repr(result), repr(result)
    assert result.outcome.sentence == ""


SHORTER = {
    "build_fcn": (("count=2000", "count=320, size=96"), ("epochs=5, batch_size=16", "epochs=2, batch_size=8")),
    "build_localizer": (("count=3000", "count=600"), ("epochs=6, batch_size=16", "epochs=3, batch_size=8")),
    "build_rpn": (("count=1500", "count=400"), ("epochs=5, batch_size=16", "epochs=2, batch_size=8")),
    "build_yolo": (("count=2000", "count=200"), ("epochs=4, batch_size=16", "epochs=2, batch_size=8")),
    "build_mask_rcnn": (("count=1200", "count=200"), ("epochs=3, batch_size=16", "epochs=3, batch_size=4")),
}


@pytest.mark.slow
@every_training
def test_the_notebooks_cells_train_the_solution_to_its_first_points(exercise, here):
    """The training cell as it stands, with fewer and smaller pictures."""
    shorter = exercise.training
    for long, short in SHORTER[exercise.name]:
        assert long in shorter
        shorter = shorter.replace(long, short)
    program = f"import torch\ntorch.manual_seed(0)\n{solution_code(exercise)}\n{shorter}\n"
    program += f"from course import check\nresult = check({exercise.name})\nassert result.points >= 1, result\n"
    (here / "cells.py").write_text(program)
    answer = subprocess.run([sys.executable, "cells.py"], capture_output=True, text=True, cwd=here)
    assert answer.returncode == 0, answer.stdout + answer.stderr


@every_training
def test_its_cells_stand_in_the_notebooks(exercise):
    for solved in (False, True):
        prompt, code, training, last = _training_cells(3, exercise, solved)
        assert prompt.source.startswith(f"## 3. `{exercise.name}`\n\n")
        assert "| points | 1 | 2 |" in prompt.source and f"| {exercise.points[0][0]:.2f} | " in prompt.source
        assert training.source == exercise.training and last.source == f'check({exercise.name}, checkpoint="{exercise.checkpoint}")'
        assert ("raise NotImplementedError" in code.source) is not solved


NOTEBOOK = """
from torch import nn
def build_fcn():
    return nn.Sequential(nn.Conv2d(3, 7, 1))
"""


def notebook(folder, *more):
    path = folder / "mine.ipynb"
    cells = [NOTEBOOK, f"{TRAINING_CELL}: mine\nraise SystemExit('it trained')", "check = print\ncheck(build_fcn)", *more]
    nbformat.write(new_notebook(cells=[new_code_cell(source) for source in cells]), path)
    return path


def test_segcourse_check_takes_the_file_beside_the_notebook_and_never_trains(tmp_path):
    torch.manual_seed(0)
    save_file(nn.Sequential(nn.Conv2d(3, 7, 1)).state_dict(), tmp_path / "fcn.safetensors")
    report = check_notebook(notebook(tmp_path))
    assert report["failed_cells"] == []
    [answer] = report["exercises"]
    assert answer["name"] == "build_fcn" and not answer["passed"] and "✗ build_fcn: 0 of 10 points, for a mean IoU of" in answer["text"]


@pytest.mark.gpu
def test_on_a_gpu(trained, here):
    saved(trained)
    assert _devices("cuda")[-1] == "cuda"
    assert verdict(device="cuda").points == 4


def test_lesson_02_has_it():
    assert [exercise.name for exercise in trainings_of("02_fully_convolutional")] == ["build_fcn"] and trainings_of("03_unpooling") == ()


def test_lesson_04_has_one_that_is_judged_by_class_and_box():
    [exercise] = trainings_of("04_localization")
    assert exercise.name == "build_localizer" and isinstance(exercise.task, Localizing)


def test_lesson_09_has_one_that_is_judged_by_its_first_proposals():
    [exercise] = trainings_of("09_faster_rcnn")
    assert exercise.name == "build_rpn" and exercise.task == Proposing(most=10) and "**the first 10**" in exercise.prompt


def test_lesson_10_has_one_that_is_judged_by_its_detections():
    [exercise] = trainings_of("10_yolo_ssd")
    assert exercise.name == "build_yolo" and exercise.task == Detecting(classes=CLASSES, most=20)
    assert "**the first 20**" in exercise.prompt and f"`[N, S, S, 5B + {len(CLASSES) - 1}]`" in exercise.prompt


def test_lesson_11_has_one_that_is_judged_by_its_masks():
    [exercise] = trainings_of("11_mask_rcnn")
    assert exercise.name == "build_mask_rcnn" and exercise.task == Segmenting(classes=CLASSES, most=20)
    assert "**the first 20**" in exercise.prompt and f"1 to {len(CLASSES) - 1}" in exercise.prompt
