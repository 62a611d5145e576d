"""Two losses by hand, whom they reach, boxes and joints there and back, and eight pictures learned by heart."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import default_collate
from torchvision.ops import box_convert

from course.data.counted_objects import CountedObjects, SingleObjects
from course.data.shapes import KEYPOINTS, Shapes, collate
from course.metrics import box_lengths, mean_average_precision, pck
from course.models.localizer import (
    FixedCountDetector,
    Localizer,
    PoseRegressor,
    decode_in_image,
    decode_joints,
    encode_in_image,
    encode_joints,
    fill_slots,
    fully_connected,
    multi_task_losses,
    small_trunk,
)
from course.ops.boxes import box_iou
from course.training import fit

SIZE = (32, 64)  # height and width differ, so that nobody swaps them unseen


def localizer(seed: int = 0, size=SIZE, classes: int = 7) -> Localizer:
    torch.manual_seed(seed)
    features = 32 * size[0] * size[1] // 256
    heads = fully_connected(features, 64, classes), fully_connected(features, 64, 4)
    return Localizer(trunk=small_trunk(8, 16, 32, 32), classifier=heads[0], regressor=heads[1], size=size)


def fixed(slots: int, seed: int = 0, size=(64, 64)) -> FixedCountDetector:
    torch.manual_seed(seed)
    features = 32 * size[0] * size[1] // 256
    heads = fully_connected(features, 64, slots * 7), fully_connected(features, 64, slots * 4)
    return FixedCountDetector(trunk=small_trunk(8, 16, 32, 32), classifier=heads[0], regressor=heads[1], slots=slots, size=size)


def pose(seed: int = 0, size=(64, 64), joints: int = 13) -> PoseRegressor:
    torch.manual_seed(seed)
    features = 32 * size[0] * size[1] // 256
    return PoseRegressor(trunk=small_trunk(8, 16, 32, 32), regressor=fully_connected(features, 64, 2 * joints), size=size)


def pictures(count: int, size=SIZE, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(seed))


def some_targets(count: int = 4):
    boxes = torch.tensor([[1.0, 2, 30, 20], [10, 10, 64, 32], [0, 0, 64, 32], [5, 5, 6, 7]])[:count]
    return {"labels": torch.tensor([1, 3, 6, 2])[:count], "boxes": boxes}


def gradient(module: nn.Module) -> float:
    return sum(0.0 if p.grad is None else p.grad.abs().sum().item() for p in module.parameters())


# Boxes and joints, there and back


def test_a_box_in_its_picture_by_hand():
    codes = encode_in_image(torch.tensor([[16.0, 8, 48, 24], [0, 0, 64, 32], [0, 16, 32, 32]]), SIZE)
    torch.testing.assert_close(codes, torch.tensor([[0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 1, 1], [0.25, 0.75, 0.5, 0.5]]))


def test_decoding_undoes_encoding():
    draw = torch.Generator().manual_seed(0)
    corners = 80 * torch.rand(50, 2, 2, generator=draw, dtype=torch.float64).sort(1).values  # some reach beyond the picture
    boxes = corners.flatten(1)
    torch.testing.assert_close(decode_in_image(encode_in_image(boxes, SIZE), SIZE), boxes, rtol=1e-12, atol=1e-12)
    peer = box_convert(boxes, "xyxy", "cxcywh") / torch.tensor([64.0, 32, 64, 32])
    torch.testing.assert_close(encode_in_image(boxes, SIZE), peer)
    codes = torch.rand(5, 3, 4, generator=draw, dtype=torch.float64)
    torch.testing.assert_close(encode_in_image(decode_in_image(codes, 50), 50), codes)


def test_a_side_below_nothing_is_none():
    box = decode_in_image(torch.tensor([0.5, 0.5, -0.5, 0.25]), SIZE)
    torch.testing.assert_close(box, torch.tensor([32.0, 12, 32, 20]))


def test_joints_there_and_back():
    joints = torch.tensor([[0.0, 0], [32, 16], [64, 32], [16, 24]], dtype=torch.float64)
    codes = encode_joints(joints, SIZE)
    torch.testing.assert_close(codes, torch.tensor([[-0.5, -0.5], [0, 0], [0.5, 0.5], [-0.25, 0.25]], dtype=torch.float64))
    torch.testing.assert_close(decode_joints(codes, SIZE), joints)


# The losses


def test_the_losses_by_hand():
    logits = torch.tensor([[0.0, 0.0], [0.0, torch.log(torch.tensor(3.0))]])  # the right class has 1/2 and 3/4
    codes, target = torch.tensor([[0.5, 0.5, 0.2, 0.2], [0.1, 0.1, 0.1, 0.1]]), torch.tensor([[0.5, 0.6, 0.2, 0.0], [0.1, 0.1, 0.1, 0.4]])
    losses = multi_task_losses(logits, codes, torch.tensor([1, 1]), target, balance=2.0)
    assert list(losses) == ["classification", "box"]
    torch.testing.assert_close(losses["classification"], torch.log(torch.tensor(8 / 3)) / 2)  # (ln 2 + ln 4/3) / 2
    torch.testing.assert_close(losses["box"], torch.tensor(2 * (0.01 + 0.04 + 0.09) / 8))


@pytest.mark.parametrize("balance", [0, 1, 0.3, 10])
def test_the_losses_are_torchs(balance):
    draw = torch.Generator().manual_seed(0)
    logits, codes, target = (torch.randn(5, k, generator=draw) for k in (7, 4, 4))
    labels = torch.tensor([1, 2, 6, 3, 3])
    losses = multi_task_losses(logits, codes, labels, target, balance=balance)
    torch.testing.assert_close(losses["classification"], F.cross_entropy(logits, labels))
    torch.testing.assert_close(losses["box"], balance * F.mse_loss(codes, target))


def test_background_has_no_box_to_be_wrong_about():
    draw = torch.Generator().manual_seed(0)
    logits, codes, target = (torch.randn(4, k, generator=draw, requires_grad=k == 4) for k in (7, 4, 4))
    some = multi_task_losses(logits, codes, torch.tensor([0, 2, 0, 1]), target)
    torch.testing.assert_close(some["box"], F.mse_loss(codes[[1, 3]], target[[1, 3]]))
    none = multi_task_losses(logits, codes, torch.zeros(4, dtype=torch.int64), target)
    assert none["box"] == 0
    none["box"].backward()
    assert not codes.grad.any()


@pytest.mark.parametrize("balance", [-1, float("nan"), float("inf")])
def test_a_balance_that_cannot_be(balance):
    with pytest.raises(ValueError, match="balance.*0 or more; got"):
        multi_task_losses(torch.zeros(1, 2), torch.zeros(1, 4), torch.tensor([1]), torch.zeros(1, 4), balance=balance)


def test_the_models_losses_are_of_its_own_boxes():
    model, targets = localizer(), some_targets()
    outputs = model(pictures(4))
    assert outputs["logits"].shape == (4, 7) and outputs["codes"].shape == (4, 4)
    losses = model.losses(outputs, targets, balance=3.0)
    share = box_convert(targets["boxes"], "xyxy", "cxcywh") / torch.tensor([64.0, 32, 64, 32])
    torch.testing.assert_close(losses["box"], 3 * F.mse_loss(outputs["codes"], share))
    torch.testing.assert_close(losses["classification"], F.cross_entropy(outputs["logits"], targets["labels"]))


@pytest.mark.parametrize(
    ("names", "balance", "reached"),
    [
        (("classification", "box"), 1.0, {"trunk", "classifier", "regressor"}),
        (("classification",), 1.0, {"trunk", "classifier"}),
        (("box",), 1.0, {"trunk", "regressor"}),
        (("classification", "box"), 0.0, {"trunk", "classifier"}),
        (("box",), 0.0, set()),
    ],
)
def test_whom_a_loss_reaches(names, balance, reached):
    model = localizer()
    losses = model.losses(model(pictures(4)), some_targets(), balance=balance)
    sum(losses[name] for name in names).backward()
    assert {name for name, part in model.named_children() if gradient(part) > 0} == reached


def test_balance_scales_the_box_and_leaves_the_class():
    gradients = []
    for balance in (1.0, 4.0):
        model = localizer()
        sum(model.losses(model(pictures(4)), some_targets(), balance=balance).values()).backward()
        gradients.append((model.classifier[2].weight.grad, model.regressor[2].weight.grad))
    torch.testing.assert_close(gradients[1][0], gradients[0][0])
    torch.testing.assert_close(gradients[1][1], 4 * gradients[0][1])


# What is found


def test_a_batch_is_its_pictures():
    images = pictures(3)
    for model in (localizer().eval(), fixed(2, size=SIZE).eval(), pose(size=SIZE).eval()):
        together = model.detect(images)
        for image, found in zip(images, together, strict=True):
            for one in (image, image[None]):
                torch.testing.assert_close(model.detect(one), [found], rtol=1e-4, atol=1e-4)


class Says(nn.Module):
    """Gives the same answer for every picture."""

    def __init__(self, *answer: float):
        super().__init__()
        self.answer = torch.tensor(answer, dtype=torch.float32)

    def forward(self, features):
        return self.answer.expand(len(features), -1)


def test_an_object_cut_by_the_edge():
    """What is said beyond the picture is cut off; what ends at the edge is exact."""
    codes = encode_in_image(torch.tensor([[-8.0, -4, 20, 40]]), SIZE)[0].tolist()
    model = Localizer(trunk=nn.Identity(), classifier=Says(0, 0, 5), regressor=Says(*codes), size=SIZE)
    (found,) = model.detect(pictures(1))
    torch.testing.assert_close(found["boxes"], torch.tensor([[0.0, 0, 20, 32]]))
    assert found["labels"].tolist() == [2]
    torch.testing.assert_close(found["scores"], torch.tensor([0.0, 0, 5]).softmax(0)[2:])
    at_the_edge = torch.tensor([[0.0, 12, 20, 32]])
    outputs = {"logits": torch.zeros(1, 3), "codes": encode_in_image(at_the_edge, SIZE)}
    assert model.losses(outputs, {"labels": torch.tensor([2]), "boxes": at_the_edge})["box"] == 0


def test_background_is_nothing():
    model = Localizer(trunk=nn.Identity(), classifier=Says(5, 0, 0), regressor=Says(0.5, 0.5, 1, 1), size=SIZE)
    for found in model.detect(pictures(2)):
        assert {name: tuple(value.shape) for name, value in found.items()} == {"boxes": (0, 4), "labels": (0,), "scores": (0,)}


@pytest.mark.parametrize(
    ("images", "error", "words"),
    [
        (torch.zeros(2, 3, 64, 32), ValueError, r"\[N, 3, 32, 64\].*\[2, 3, 64, 32\]"),
        (torch.zeros(2, 1, 32, 64), ValueError, r"got \[2, 1, 32, 64\]"),
        (torch.zeros(32, 64), ValueError, r"got \[32, 64\]"),
        (torch.zeros(3, 32, 64, dtype=torch.uint8), TypeError, "floating-point.*uint8"),
        ("cat.png", TypeError, "torch.Tensor.*str"),
    ],
)
def test_bad_pictures(images, error, words):
    for model in (localizer(), fixed(2, size=SIZE), pose(size=SIZE)):
        with pytest.raises(error, match=words):
            model(images)


# A fixed number of outputs


def test_slots_are_filled_from_left_to_right():
    boxes = torch.tensor([[30.0, 0, 50, 10], [0, 0, 64, 30], [0, 20, 10, 30], [0, 2, 10, 12]])  # centres at 40, 32, 5, 5
    labels = torch.tensor([1, 2, 3, 4])
    for slots, expected in ((4, [4, 3, 2, 1]), (2, [4, 3]), (6, [4, 3, 2, 1, 0, 0])):
        filled, found = fill_slots(boxes, labels, slots)
        assert found.tolist() == expected
        torch.testing.assert_close(filled, torch.stack([boxes[k - 1] if k else torch.zeros(4) for k in expected]))


def test_no_objects_leave_all_slots_empty():
    boxes, labels = fill_slots(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), 3)
    assert boxes.shape == (3, 4) and not boxes.any() and labels.tolist() == [0, 0, 0]


def test_the_slots_losses_are_torchs():
    model = fixed(3, size=SIZE)
    outputs = model(pictures(2))
    assert outputs["logits"].shape == (2, 3, 7) and outputs["codes"].shape == (2, 3, 4)
    targets = [
        {"boxes": torch.tensor([[40.0, 0, 50, 10], [0, 0, 10, 10]]), "labels": torch.tensor([5, 2])},
        {
            "boxes": torch.tensor([[50.0, 0, 60, 10], [0, 0, 10, 10], [20, 0, 30, 10], [30, 0, 40, 10]]),
            "labels": torch.tensor([1, 2, 3, 4]),
        },
    ]
    losses = model.losses(outputs, targets, balance=0.5)
    labels = torch.tensor([2, 5, 0, 2, 3, 4])  # of the second picture, the fourth object finds no slot
    torch.testing.assert_close(losses["classification"], F.cross_entropy(outputs["logits"].reshape(6, 7), labels))
    boxes = torch.tensor([[0.0, 0, 10, 10], [40, 0, 50, 10], [0, 0, 10, 10], [20, 0, 30, 10], [30, 0, 40, 10]])
    share = box_convert(boxes, "xyxy", "cxcywh") / torch.tensor([64.0, 32, 64, 32])
    torch.testing.assert_close(losses["box"], 0.5 * F.mse_loss(outputs["codes"].reshape(6, 4)[[0, 1, 3, 4, 5]], share))


def test_stacked_targets_are_listed_targets():
    items = [CountedObjects(objects=2, count=3)[i] for i in range(3)]
    model = fixed(2)
    outputs = model(torch.stack([image for image, _ in items]))
    torch.testing.assert_close(model.losses(outputs, default_collate([t for _, t in items])), model.losses(outputs, [t for _, t in items]))


def test_it_finds_as_many_as_it_has_seen_whatever_there_is():
    """The lesson's point: trained on pairs alone it knows its pictures by heart, and finds two where there are none, one, three or four."""
    model, items = fixed(2), [CountedObjects(objects=2, count=8, smallest=0.2)[i] for i in range(8)]
    learn(model, default_collate(items), epochs=120)
    assert mean_iou(model.detect(torch.stack([image for image, _ in items])), [target for _, target in items], in_order=True) > 0.7
    for objects in (0, 1, 3, 4):
        unseen = torch.stack([image for image, _ in CountedObjects(objects=objects, count=6, seed=1)])
        assert [len(found["labels"]) for found in model.detect(unseen)] == [2] * 6


def test_a_newcomer_on_the_left_moves_all_others():
    boxes, labels = torch.tensor([[20.0, 0, 30, 10], [40, 0, 50, 10]]), torch.tensor([1, 2])
    before = fill_slots(boxes, labels, 3)[1].tolist()
    after = fill_slots(torch.cat([boxes, torch.tensor([[0.0, 0, 10, 10]])]), torch.tensor([1, 2, 5]), 3)[1].tolist()
    assert (before, after) == ([1, 2, 0], [5, 1, 2])


# Pose


def test_only_known_joints_have_a_say():
    model = pose(size=SIZE, joints=3)
    outputs = model(pictures(2)).detach().requires_grad_()
    assert outputs.shape == (2, 3, 2)
    keypoints = torch.tensor([[[32.0, 16, 2], [0, 0, 0], [64, 0, 1]], [[0, 0, 0], [16, 24, 2], [0, 0, 0]]])
    loss = model.losses(outputs, {"keypoints": keypoints})["joints"]
    known = torch.stack([outputs[0, 0], outputs[0, 2], outputs[1, 1]])
    torch.testing.assert_close(loss, F.mse_loss(known, torch.tensor([[0.0, 0], [0.5, -0.5], [-0.25, 0.25]])))
    loss.backward()
    assert (outputs.grad.abs().sum(-1) > 0).tolist() == [[True, False, True], [False, True, False]]


def test_a_person_of_whom_nothing_is_known():
    model = pose(size=SIZE, joints=3)
    loss = model.losses(model(pictures(2)), {"keypoints": torch.zeros(2, 3, 3)})["joints"]
    loss.backward()
    assert loss == 0 and gradient(model) == 0


def test_joints_come_back_in_pixels():
    model = PoseRegressor(trunk=nn.Identity(), regressor=Says(-0.5, 0.5, 0.0, 0.25), size=SIZE)
    for found in model.detect(pictures(2)):
        torch.testing.assert_close(found["keypoints"], torch.tensor([[[0.0, 32, 1], [32, 24, 1]]]))


# It learns


def learn(model: nn.Module, batch, *, epochs: int, **options) -> None:
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    fit(model, [batch], loss=partial(model.losses, **options), epochs=epochs, optimiser=optimiser, device="cpu", progress=False)


def mean_iou(found: list[dict], targets: list[dict], in_order: bool = False) -> float:
    """Of each box with the object it stands for; `in_order`: the objects from left to right."""
    overlaps = []
    for answer, target in zip(found, targets, strict=True):
        boxes = target["boxes"].reshape(-1, 4)
        if in_order:
            boxes = boxes[(boxes[:, 0] + boxes[:, 2]).argsort()]
        overlaps.append(box_iou(answer["boxes"], boxes).diagonal().sum() / len(boxes))  # one not found counts 0
    return torch.stack(overlaps).mean().item()


def test_it_learns_eight_pictures_by_heart():
    data = SingleObjects("train", count=8)
    images, targets = default_collate([data[i] for i in range(8)])
    model = localizer(size=(64, 64))
    one_each = [{"boxes": box} for box in targets["boxes"]]
    assert mean_iou(model.eval().detect(images), one_each) < 0.3
    learn(model, (images, targets), epochs=120, balance=10.0)
    found = model.detect(images)
    assert mean_iou(found, one_each) > 0.8
    assert [answer["labels"].tolist() for answer in found] == targets["labels"][:, None].tolist()
    # The detection metrics read what it says, and agree.
    objects = [{"boxes": b[None], "labels": k[None]} for b, k in zip(targets["boxes"], targets["labels"], strict=True)]
    assert mean_average_precision(found, objects).AP50 > 0.999


def test_without_balance_only_the_class_is_learned():
    data = SingleObjects("train", count=8)
    images, targets = default_collate([data[i] for i in range(8)])
    model = localizer(size=(64, 64))
    learn(model, (images, targets), epochs=60, balance=0.0)
    outputs = model(images)
    assert (outputs["logits"].argmax(1) == targets["labels"]).all()
    assert F.mse_loss(outputs["codes"], encode_in_image(targets["boxes"], 64)) > 0.01


def test_poses_are_learned_by_heart():
    data = SingleObjects("train", count=8, kinds=("person",), seed=1)  # with joints outside the picture
    images, targets = default_collate([data[i] for i in range(8)])
    assert (targets["keypoints"][..., 2] == 0).any() and targets["keypoints"].shape == (8, len(KEYPOINTS), 3)
    model = pose()
    lengths = box_lengths(targets["boxes"])

    def score() -> float:
        return pck(torch.cat([found["keypoints"] for found in model.detect(images)]), targets["keypoints"], lengths, threshold=0.1)

    assert score() < 0.3
    learn(model, (images, targets), epochs=120)
    assert score() > 0.9


def test_shapes_with_any_number_of_objects_train_it_too():
    images, targets = collate([Shapes(count=6, size=64, target="instances")[i] for i in range(6)])
    assert len({len(target["labels"]) for target in targets}) > 1
    model = fixed(3)
    history = fit(model, [(torch.stack(images), targets)], loss=model.losses, epochs=2, device="cpu", progress=False)
    assert list(history.steps) == ["classification", "box"]


@pytest.mark.gpu
def test_on_the_gpu():
    model = fixed(2).cuda()
    batch = default_collate([CountedObjects(objects=2, count=4)[i] for i in range(4)])
    history = fit(model, [batch], loss=model.losses, epochs=2, device="cuda", progress=False)
    assert len(history.steps["box"]) == 2 and model.detect(batch[0].cuda())[0]["boxes"].is_cuda
