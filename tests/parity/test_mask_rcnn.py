"""course.models.mask_rcnn against torchvision's two Mask R-CNNs and its Keypoint R-CNN, with the same tensors.

In float64, as in test_faster_rcnn.py, and with few detections and regions, because the heads are most of the work.
"""

import copy
import functools

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import detection
from torchvision.models.detection.keypoint_rcnn import KeypointRCNNHeads, KeypointRCNNPredictor
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads
from torchvision.ops import MultiScaleRoIAlign

from course.data.photos import photo
from course.models import faster_rcnn
from course.models.mask_rcnn import from_torchvision
from course.ops.matching import NEGATIVE, Sample
from tests.parity.calibrated import calibrate, spread
from tests.refusing import refuses

KEYPOINTS = 5
NETWORKS = {
    "mask": detection.maskrcnn_resnet50_fpn,
    "mask_v2": detection.maskrcnn_resnet50_fpn_v2,
    "keypoint": functools.partial(detection.keypointrcnn_resnet50_fpn, num_keypoints=KEYPOINTS),
}
SMALL = {
    "min_size": 112,
    "max_size": 192,
    "num_classes": 5,
    "box_score_thresh": 0.1,
    "box_detections_per_img": 5,
    "rpn_pre_nms_top_n_test": 100,
    "rpn_post_nms_top_n_test": 24,
    "rpn_pre_nms_top_n_train": 100,
    "rpn_post_nms_top_n_train": 40,
    "box_batch_size_per_image": 8,
}


def pictures(dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """One that is scaled down, one that is scaled up, and one so long that its longer side decides."""
    cat, coffee = photo("cat").to(dtype), photo("coffee").to(dtype)
    return [cat[:, :150, :200], cat[:, 20:120, 40:121], coffee[:, 150:200, 100:260]]


def targets(dtype: torch.dtype = torch.float64) -> list[dict[str, Tensor]]:
    """Two objects, one that reaches beyond the picture, none. Masks are ellipses; keypoints lie in the boxes, on their edges, outside."""
    found = []
    for image, boxes in zip(pictures(), ([[10.0, 20, 100, 120], [120, 30, 190, 90]], [[-5, 30, 70, 90.25]], []), strict=True):
        boxes = torch.tensor(boxes, dtype=dtype).reshape(-1, 4)
        y, x = (torch.arange(side) + 0.5 for side in image.shape[1:])
        middle, half = (boxes[:, 2:] + boxes[:, :2]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
        across, down = (((at - middle[:, k, None]) / half[:, k, None]).square() for k, at in enumerate((x, y)))  # [G, w], [G, h]
        share = torch.tensor([[0.5, 0.5], [0.2, 0.7], [0.0, 0.0], [1.0, 1.0], [1.4, 0.5]], dtype=dtype)  # of width and height
        points = boxes[:, None, :2] + share * 2 * half[:, None]
        visible = torch.tensor([2.0, 0, 1, 2, 2]).expand(len(boxes), KEYPOINTS)
        found.append(
            {
                "boxes": boxes,
                "labels": torch.arange(1, 1 + len(boxes)),
                "masks": (down[:, :, None] + across[:, None] <= 1).to(torch.uint8),
                "keypoints": torch.cat((points, visible[..., None]), -1).float(),
            }
        )
    return found


@functools.cache
def made(name: str) -> nn.Module:
    torch.manual_seed(1)
    network = NETWORKS[name](weights=None, weights_backbone=None, **SMALL)
    if name == "keypoint":  # its eight layers of 512 channels would take minutes in float64
        network.roi_heads.keypoint_head = KeypointRCNNHeads(256, (48,) * 8)
        network.roi_heads.keypoint_predictor = KeypointRCNNPredictor(48, KEYPOINTS)
    calibrate(network, pictures(torch.float32), targets(torch.float32))
    if name == "keypoint":
        for parameter in network.roi_heads.keypoint_predictor.parameters():
            nn.init.normal_(parameter, std=0.3)
    else:
        spread(network, pictures(torch.float32), {network.roi_heads.mask_predictor.mask_fcn_logits: 2.0})
    return network.double()


def theirs(name: str) -> nn.Module:
    """Made once, and copied, so that no test sees what another did to it."""
    return copy.deepcopy(made(name))


def same_answers(mine: list[dict], expected: list[dict], images: list[Tensor]) -> None:
    for found, wanted, image in zip(mine, expected, images, strict=True):
        assert len(wanted["scores"]) > 3, "few detections prove little"
        assert (-wanted["scores"].diff()).min() > 1e-9, "scores closer than what is compared have no order"
        assert found.keys() == wanted.keys() and all(found[name].shape == wanted[name].shape for name in wanted)
        # theirs decodes keypoints to float32
        torch.testing.assert_close(found, {name: part.to(found[name].dtype) for name, part in wanted.items()}, rtol=1e-4, atol=1e-4)
        if "masks" in found:
            assert found["masks"].shape[1:] == (1, *image.shape[1:])
            assert 0.005 < (found["masks"] > 0.5).double().mean() < 0.95 and found["masks"].unique().numel() > 1000
        else:
            spots = found["keypoints"][..., :2] - found["boxes"][:, None, :2]
            assert (spots.std(0) > 1).double().mean() > 0.6 and found["keypoints_scores"].std() > 0.1, "keypoints in one place prove little"


@pytest.mark.parametrize("name", NETWORKS)
def test_same_answers_in_a_batch_of_several_sizes(name):
    network, images = theirs(name), pictures()
    with torch.inference_mode():
        same_answers(from_torchvision(network)(images), network(images), images)


def draw_as_theirs(network: nn.Module, mine: nn.Module) -> None:
    """What torchvision's samplers draw, ours draws, too."""
    drawn = {}

    def recorded(where: str, sampler):
        def draw(labels: list[Tensor]):
            positive, negative = sampler(labels)
            masks = zip(labels, positive, negative, strict=True)
            drawn[where] = [(label, Sample(p.bool().nonzero()[:, 0], n.bool().nonzero()[:, 0])) for label, p, n in masks]
            return positive, negative

        return draw

    def repeated(where: str):
        def draw(matches: Tensor, count: int, share: float) -> Sample:
            labels, sample = drawn[where].pop(0)
            assert torch.equal(matches >= 0, labels > 0) and torch.equal(matches == NEGATIVE, labels == 0)
            return sample

        return draw

    network.rpn.fg_bg_sampler = recorded("rpn", network.rpn.fg_bg_sampler)
    network.roi_heads.fg_bg_sampler = recorded("head", network.roi_heads.fg_bg_sampler)
    mine.rpn.sample, mine.head.sample = repeated("rpn"), repeated("head")


NAMES = {
    "rpn_objectness": "loss_objectness",
    "rpn_box": "loss_rpn_box_reg",
    "classification": "loss_classifier",
    "box": "loss_box_reg",
}


def same_losses(name: str, device: str = "cpu") -> None:
    network = theirs(name).to(device)
    mine = from_torchvision(network.train()).train()
    kind = name.removesuffix("_v2")
    images = [image.to(device) for image in pictures()]
    wanted = [{part: tensor.to(device) for part, tensor in target.items()} for target in targets()]
    draw_as_theirs(network, mine)
    expected = network(images, wanted)
    losses = mine.losses(images, wanted)
    names = NAMES | {kind: f"loss_{kind}"}
    assert list(losses) == list(names) and min(losses.values()) > 1e-3
    for ours, of_theirs in names.items():  # theirs is float32 in part
        torch.testing.assert_close(losses[ours], expected[of_theirs].double(), rtol=1e-4, atol=1e-6, msg=ours)
    losses[kind].backward()
    expected[f"loss_{kind}"].backward()
    norms = [sorted(p.grad.norm().item() for p in model.parameters() if p.grad is not None) for model in (mine, network)]
    assert sum(norm > 1e-9 for norm in norms[0]) > 100
    torch.testing.assert_close(*map(torch.tensor, norms), rtol=1e-4, atol=1e-7)
    predictor = network.roi_heads.mask_predictor.conv5_mask if kind == "mask" else network.roi_heads.keypoint_predictor.kps_score_lowres
    torch.testing.assert_close(getattr(mine, kind).upsample.weight.grad, predictor.weight.grad, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", NETWORKS)
def test_same_losses_and_gradients_for_the_same_draw(name):
    same_losses(name)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_tensor_is_there_once_and_is_a_copy(name):
    """Of the networks as torchvision makes them, six sizes of picture and eight layers of 512 channels included."""
    network = NETWORKS[name](weights=None, weights_backbone=None)
    mine, expected = from_torchvision(network), network.state_dict()
    tensors = mine.state_dict()
    assert len(tensors) == len(expected)
    # Sums in float64 tell tensors of one shape apart, whatever they are called.
    assert sorted(t.double().sum().item() for t in tensors.values()) == sorted(t.double().sum().item() for t in expected.values())
    assert not {t.data_ptr() for t in expected.values()} & {t.data_ptr() for t in tensors.values()}
    assert mine.training == network.training and mine.prepare.shorter_side == 800


NONE = {"weights": None, "weights_backbone": None}


def test_other_models_are_refused():
    network = detection.fasterrcnn_mobilenet_v3_large_fpn(num_classes=2, **NONE)
    for other in (network, nn.Identity()):
        words = "one of torchvision's Mask or Keypoint R-CNNs, not a", type(other).__name__
        refuses(lambda other=other: from_torchvision(other), TypeError, *words)
    refuses(lambda: faster_rcnn.from_torchvision(made("mask")), TypeError, "one of torchvision's Faster R-CNNs, not a MaskRCNN")


def test_numbers_that_are_fixed_here():
    for options, words in (
        ({"min_size": (640, 800)}, "one size of picture"),
        (
            {"mask_roi_pool": MultiScaleRoIAlign(["0", "1", "2", "3"], 14, 2, canonical_level=5)},
            "regions of 224 pixels pooled from level 4",
        ),
        ({"mask_roi_pool": MultiScaleRoIAlign(["1", "2"], 14, 2)}, "regions pooled from all levels but the last"),
    ):
        network = detection.maskrcnn_resnet50_fpn(num_classes=2, **NONE, **options)
        refuses(lambda network=network: from_torchvision(network), ValueError, "knows Mask or Keypoint R-CNNs with", words)


def test_other_heads():
    network = theirs("mask")
    network.roi_heads.mask_predictor = nn.Sequential()
    refuses(lambda: from_torchvision(network), ValueError, "with a MaskRCNNPredictor; this one has a Sequential")
    network = theirs("mask")
    network.roi_heads.keypoint_head = MaskRCNNHeads(256, (8,), 1)
    refuses(lambda: from_torchvision(network), ValueError, "torchvision's own Mask or Keypoint R-CNNs; some of this model's differ")


@pytest.mark.gpu
@pytest.mark.parametrize("name", NETWORKS)
def test_on_the_gpu(name):
    network, images = theirs(name).cuda(), [image.cuda() for image in pictures()]
    with torch.inference_mode():
        same_answers(from_torchvision(network)(images), network(images), images)
    same_losses(name, "cuda")
