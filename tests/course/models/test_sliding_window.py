"""The slid classifier is a loop over its patches, and one convolutional pass where nothing is padded; where it is, the two differ."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course.cost import operations
from course.data.photos import cat
from course.models.backbones import efficientnet_lite0
from course.models.fcn import convolutionalise
from course.models.sliding_window import PatchClassifier, SlidingWindow

TOLERANCE = {torch.float32: {"rtol": 1e-5, "atol": 1e-5}, torch.float64: {"rtol": 1e-12, "atol": 1e-12}}


@pytest.fixture(scope="session", params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request):
    # TensorFloat-32 would round each factor to ten bits.
    torch.backends.cudnn.allow_tf32 = False
    yield torch.device(request.param)
    torch.backends.cudnn.allow_tf32 = True


@pytest.fixture
def picture():
    def make(*shape, seed=0, dtype=torch.float32):
        return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)

    return make


def convolutional(classifier: PatchClassifier) -> nn.Sequential:
    return nn.Sequential(classifier.features, convolutionalise(classifier.linear, *classifier.map_size))


def by_a_loop(classifier, image, size, stride):
    """Every window cut out and classified by itself. [K, R, S]"""
    rows = range(0, image.shape[-2] - size[0] + 1, stride[0])
    columns = range(0, image.shape[-1] - size[1] + 1, stride[1])
    with torch.no_grad():
        return torch.stack(
            [
                torch.stack([classifier(image[None, :, top : top + size[0], left : left + size[1]])[0] for left in columns], -1)
                for top in rows
            ],
            -2,
        )


@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
def test_it_is_a_loop_over_the_windows(batch_size, picture):
    classifier = nn.Sequential(nn.Conv2d(3, 4, (3, 5), padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 8 * 9, 5))
    slider = SlidingWindow(classifier, size=(8, 11), stride=(3, 2), batch_size=batch_size)
    image = picture(3, 21, 34)
    logits = slider(image)
    assert logits.shape == (5, 5, 12) and not logits.requires_grad
    torch.testing.assert_close(logits, by_a_loop(classifier, image, (8, 11), (3, 2)))


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize(
    ("options", "image"),
    [
        ({"size": 22}, (61, 94)),
        ({"size": 38, "channels": (8, 8, 8), "classes": 5}, (38, 77)),
        ({"size": 22, "channels": (8, 16), "kernel_size": 3}, (50, 35)),
        ({"size": 16, "channels": (8, 16), "kernel_size": 5}, (41, 29)),
        ({"size": 13, "channels": (8, 8), "pool": 3, "kernel_size": 2}, (40, 58)),
        ({"size": 9, "channels": (8, 8), "pool": 1}, (23, 31)),
        ({"size": 4, "channels": (8,)}, (33, 18)),
        ({"size": 22}, (22, 22)),
    ],
    ids=str,
)
def test_slid_or_in_one_pass_the_answer_is_the_same(options, image, dtype, picture, device):
    torch.manual_seed(0)
    classifier = PatchClassifier(**options).to(device, dtype)
    images = picture(2, 3, *image, dtype=dtype).to(device)
    slid = SlidingWindow(classifier, size=classifier.size, stride=classifier.stride)(images)
    with torch.no_grad():
        torch.testing.assert_close(convolutional(classifier)(images), slid, **TOLERANCE[dtype])


@pytest.mark.parametrize("multiple", [2, 3])
def test_a_longer_stride_takes_every_second_or_third_answer(multiple, picture):
    classifier = PatchClassifier(size=22, channels=(8, 8))
    image = picture(3, 70, 59)
    slid = SlidingWindow(classifier, size=22, stride=classifier.stride * multiple)(image)
    with torch.no_grad():
        torch.testing.assert_close(convolutional(classifier)(image)[:, ::multiple, ::multiple], slid, rtol=1e-5, atol=1e-5)


def test_a_shorter_stride_takes_several_shifted_passes(picture):
    """Shift and stitch (Long et al. 2014, section 3.2): stride² passes give every pixel's window."""
    classifier = PatchClassifier(size=10, channels=(8, 8))
    image, step, whole = picture(3, 30, 33), classifier.stride, convolutional(classifier)
    slid = SlidingWindow(classifier, size=10, stride=1)(image)
    stitched = torch.zeros_like(slid)
    with torch.no_grad():
        for y in range(step):
            for x in range(step):
                stitched[:, y::step, x::step] = whole(image[:, y:, x:])
    torch.testing.assert_close(stitched, slid, rtol=1e-5, atol=1e-5)


def test_layers_of_anyones_own_agree_too_with_strides_and_dilation(picture):
    features = nn.Sequential(nn.Conv2d(3, 8, 5, stride=2), nn.ReLU(), nn.Conv2d(8, 8, 3, dilation=2), nn.AvgPool2d(3, 2))
    linear = nn.Linear(8 * 3 * 3, 4)
    classifier = nn.Sequential(features, nn.Flatten(), linear)
    image = picture(3, 57, 73)
    size = 27  # (27 − 5) / 2 + 1 = 12, 12 − 4 = 8, (8 − 3) // 2 + 1 = 3: one row is left over
    slid = SlidingWindow(classifier, size=size, stride=4)(image)
    with torch.no_grad():
        whole = convolutionalise(linear, 8, 3)(features(image))
    # What the patch leaves over, the picture may use for one answer more; where both answer, they agree.
    torch.testing.assert_close(whole[:, : slid.shape[1], : slid.shape[2]], slid, rtol=1e-5, atol=1e-5)


def test_padding_breaks_it(picture):
    torch.manual_seed(0)
    classifier = PatchClassifier(size=22)
    image = picture(3, 60, 60)
    for layer in classifier.features:
        if isinstance(layer, nn.Conv2d):
            layer.padding = (1, 1)
    linear = nn.Linear(64 * 2 * 2, 2)
    padded = nn.Sequential(classifier.features, nn.Flatten(), linear)
    with torch.no_grad():
        slid = SlidingWindow(padded, size=16, stride=8)(image)
        whole = convolutionalise(linear, 64, 2)(classifier.features(image))
    assert whole.shape[-2:] == (6, 6) == slid.shape[-2:]
    assert (whole - slid).abs().max() > 1e-3


def test_the_real_classifier_is_broken_by_its_padding_and_only_by_it(picture):
    network = efficientnet_lite0()
    image = cat()
    with torch.no_grad():
        features = network.features(image)[32]  # [1, 320, 9, 14]
        whole = network.head_map(features)[0]  # [1000, 3, 8]
    slid = SlidingWindow(network, size=224, stride=32, batch_size=2)(image)
    assert whole.shape == slid.shape == (1000, 3, 8)
    assert 1 < (whole - slid).abs().max() < 10
    assert (whole.argmax(0) == slid.argmax(0)).float().mean() > 0.75
    # The head itself pads nothing: slid over the features, it gives the one pass exactly.
    head = SlidingHead(network)
    torch.testing.assert_close(head(features[0]), whole, rtol=1e-4, atol=1e-4)


class SlidingHead:
    """The head of the network slid over a map of features, a block of 7 × 7 cells at a time, with F.unfold."""

    def __init__(self, network):
        self.network = network

    def __call__(self, features):
        rows, columns = (side - 6 for side in features.shape[-2:])
        blocks = F.unfold(features[None], 7)[0].T.reshape(-1, 320, 7, 7)  # [R·S, 320, 7, 7]
        with torch.no_grad():
            return self.network.head(blocks).T.reshape(1000, rows, columns)


def test_the_work_is_that_of_all_windows(picture):
    classifier = PatchClassifier(size=22)
    image, patch = picture(3, 61, 94), picture(1, 3, 22, 22)
    slider = SlidingWindow(classifier, size=22, stride=8)
    assert operations(slider, image) == 5 * 10 * operations(classifier, patch)
    assert operations(slider, image) > 2 * operations(convolutional(classifier), image)


def test_a_batch_is_its_pictures(picture):
    slider = SlidingWindow(PatchClassifier(size=10, channels=(4, 4)), size=10, stride=4, batch_size=5)
    images = picture(3, 3, 26, 21)
    together = slider(images)
    assert together.shape == (3, 2, 5, 3)
    for n in range(3):
        torch.testing.assert_close(together[n], slider(images[n]))


def test_only_a_batch_of_patches_exists_at_a_time(picture):
    seen = []

    def classifier(patches):
        seen.append(len(patches))
        return patches.mean((2, 3))

    logits = SlidingWindow(classifier, size=200, stride=1, batch_size=8)(picture(3, 210, 215))  # as copies 84 MB
    assert logits.shape == (3, 11, 16)
    assert sum(seen) == 11 * 16 and max(seen) == 8


def test_its_mode_is_the_classifiers(picture):
    slider = SlidingWindow(PatchClassifier(size=10, channels=(4, 4)), size=10, stride=4)
    assert slider.classifier.training and slider.eval().classifier.training is False


def middle_pixel(patches):
    """A classifier that knows the answer: the class is written in the red channel of the pixel in the middle."""
    middle = patches[:, 0, patches.shape[2] // 2, patches.shape[3] // 2]
    return F.one_hot(middle.long(), 7).float()


@pytest.mark.parametrize("size", [1, 3, 9, (5, 11)])
def test_with_stride_1_every_pixel_gets_the_class_of_the_window_centred_on_it(size):
    classes = torch.randint(7, (2, 12, 17), generator=torch.Generator().manual_seed(0))
    labels = SlidingWindow(middle_pixel, size=size, stride=1).segment(classes[:, None].float().expand(-1, 3, -1, -1))
    torch.testing.assert_close(labels, classes, rtol=0, atol=0)


@pytest.mark.parametrize(("size", "stride"), [(8, 4), (9, 3), (16, 16), ((8, 6), (4, 2)), (8, 5)])
@pytest.mark.parametrize("shape", [(24, 48), (25, 31)])
def test_each_block_gets_the_class_of_its_own_window(size, stride, shape):
    step = stride if isinstance(stride, tuple) else (stride, stride)
    rows, columns = (-(-side // s) for side, s in zip(shape, step, strict=True))
    blocks = torch.randint(7, (rows, columns), generator=torch.Generator().manual_seed(0))
    classes = blocks.repeat_interleave(step[0], 0).repeat_interleave(step[1], 1)[: shape[0], : shape[1]]
    labels = SlidingWindow(middle_pixel, size=size, stride=stride).segment(classes.float().expand(3, -1, -1))
    inside = torch.zeros(shape, dtype=torch.bool)  # a block that is cut off at the end may have its middle in the mirror
    inside[: shape[0] // step[0] * step[0], : shape[1] // step[1] * step[1]] = True
    assert labels.shape == shape
    torch.testing.assert_close(labels[inside], classes[inside], rtol=0, atol=0)


@pytest.mark.parametrize(("size", "stride"), [(8, 4), (9, 3), (16, 16), (8, 5), (9, 4), (11, 1)])
def test_each_window_lies_around_the_middle_of_its_block(size, stride):
    seen = []

    def classifier(patches):
        seen.append(patches.mean((2, 3)))  # in a picture of row and column numbers: where the middle of the patch is
        return patches.new_zeros(len(patches), 2)

    rows, columns = torch.meshgrid(torch.arange(60.0), torch.arange(75.0), indexing="ij")
    SlidingWindow(classifier, size=size, stride=stride).segment(torch.stack([rows, columns, columns]))
    blocks = torch.cartesian_prod(torch.arange(-(-60 // stride)), torch.arange(-(-75 // stride)))
    middles = blocks * stride + (stride - 1) / 2  # [blocks, 2]
    inner = ((middles > size) & (middles < torch.tensor([60, 75]) - size)).all(1)  # where nothing is mirrored
    assert inner.any()
    distance = (torch.cat(seen)[:, :2] - middles)[inner]
    torch.testing.assert_close(distance, torch.full_like(distance, 0.5 if (size - stride) % 2 else 0))


def test_the_margin_is_the_mirrored_picture():
    seen = []

    def classifier(patches):
        seen.append(patches)
        return patches.new_zeros(len(patches), 2)

    image = torch.arange(3 * 7 * 9.0).reshape(3, 7, 9)
    SlidingWindow(classifier, size=5, stride=1).segment(image)
    mirrored = F.pad(image[None], (2, 2, 2, 2), mode="reflect")[0]
    torch.testing.assert_close(seen[0], mirrored.unfold(1, 5, 1).unfold(2, 5, 1).permute(1, 2, 0, 3, 4).reshape(-1, 3, 5, 5))


@pytest.mark.parametrize("shown", [True, False])
def test_a_bar_comes_after_two_seconds_if_somebody_watches(shown, picture, monkeypatch, capsys):
    moment = [0.0]
    monkeypatch.setattr("tqdm.std.time", lambda: moment[0])  # the bar's clock

    def slow(patches):
        moment[0] += 0.5
        return patches.mean((2, 3))

    SlidingWindow(slow, size=4, stride=1, batch_size=1, progress=shown)(picture(3, 6, 6))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert ("window" in captured.err) is shown


def test_no_bar_for_what_is_quick(picture, capsys):
    SlidingWindow(PatchClassifier(size=10, channels=(4, 4)), size=10, stride=4, progress=True)(picture(3, 26, 21))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        ("cat.png", TypeError, "torch.Tensor.*str"),
        (torch.zeros(3, 20, 20, dtype=torch.uint8), TypeError, "floating-point.*uint8"),
        (torch.zeros(20, 20), ValueError, r"\[3, H, W\].*\[20, 20\]"),
        (torch.zeros(1, 20, 20), ValueError, r"\[1, 20, 20\]"),
        (torch.zeros(3, 9, 20), ValueError, "9 × 20 pixels; got a window of 10 × 10"),
    ],
)
def test_bad_pictures(image, error, words):
    slider = SlidingWindow(PatchClassifier(size=10, channels=(4, 4)), size=10, stride=4)
    with pytest.raises(error, match=words):
        slider(image)


@pytest.mark.parametrize("answer", [lambda patches: patches, lambda patches: patches.mean((2, 3))[:1], lambda patches: 0])
def test_a_classifier_that_gives_something_else(answer):
    with pytest.raises(ValueError, match=r"must give logits \[4, K\] for 4 patches; it gave (\[|int)"):
        SlidingWindow(answer, size=3, stride=1)(torch.zeros(3, 4, 4))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"size": 0, "stride": 1}, ValueError, "size must be at least 1"),
        ({"size": 4, "stride": 0}, ValueError, "stride must be at least 1"),
        ({"size": 4, "stride": 2.5}, TypeError, "stride.*2.5"),
        ({"size": 4, "stride": 1, "batch_size": 0}, ValueError, "batch_size must be at least 1"),
    ],
)
def test_bad_windows(options, error, words):
    with pytest.raises(error, match=words):
        SlidingWindow(nn.Identity(), **options)


def test_what_cannot_be_segmented():
    with pytest.raises(ValueError, match="stride no longer than the window.*got 5 for 4"):
        SlidingWindow(middle_pixel, size=4, stride=5).segment(torch.zeros(3, 20, 20))
    with pytest.raises(ValueError, match="window of 21 × 21.*more than 10 × 10 to mirror; this one has 10 × 30"):
        SlidingWindow(middle_pixel, size=21, stride=1).segment(torch.zeros(3, 10, 30))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 23}, "3 levels of kernel_size 3 and pool 2, size must be 22 or a multiple of 8 more.*got 23"),
        ({"size": 14}, "size must be 22"),
        ({"size": 0}, "size must be at least 1"),
        ({"size": 12, "channels": (4, 4), "pool": 3}, "size must be 17 or a multiple of 9 more"),
    ],
)
def test_a_patch_that_leaves_a_row_over_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        PatchClassifier(**options)


def test_patch_sizes_that_are_named_are_accepted():
    for size in (22, 30, 38):
        assert PatchClassifier(size=size)(torch.rand(2, 3, size, size)).shape == (2, 2)
    with pytest.raises(ValueError, match=r"\[B, 3, 22, 22\]; these have \[1, 3, 30, 30\]"):
        PatchClassifier(size=22)(torch.rand(1, 3, 30, 30))


@pytest.mark.parametrize("window", [0, 10])
def test_a_head_larger_than_the_map(window):
    with pytest.raises(ValueError, match=f"1 to 9 cells in this map; got {window}"):
        efficientnet_lite0(pretrained=False).head_map(torch.zeros(1, 320, 9, 14), window=window)


def test_a_head_of_one_window_is_the_head():
    network = efficientnet_lite0(pretrained=False)
    features = torch.randn(2, 320, 7, 7)
    with torch.no_grad():
        torch.testing.assert_close(network.head_map(features)[..., 0, 0], network.head(features))


def test_it_prints_what_it_does():
    assert "size=(8, 8), stride=(2, 2), batch_size=64" in repr(SlidingWindow(nn.Identity(), size=8, stride=2))
