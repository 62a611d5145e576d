"""Pictures from everywhere come out RGB, 0…1, upright; what cannot is refused in one sentence, and before it is decoded."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from course.data.photos import PHOTOS, cat, load_image, photo

COLOURS = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[0, 0, 0], [255, 255, 255], [10, 20, 30]]], np.uint8)  # [2, 3, 3]


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def rgb(array=COLOURS) -> torch.Tensor:
    return torch.from_numpy(np.asarray(array)).permute(2, 0, 1).float() / 255


def refused(source, match: str, error=ValueError, **limits) -> None:
    with pytest.raises(error, match=match) as caught:
        load_image(source, **limits)
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence and sentence[0].isupper() or sentence.startswith("load_image")


@pytest.mark.parametrize("name", PHOTOS)
def test_every_photo_is_in_the_wheel(name):
    image = photo(name)
    assert image.dtype == torch.float32 and image.shape[0] == 3
    assert image.min() >= 0 and image.max() <= 1


def test_cat_is_scikit_images_chelsea():
    from skimage import data

    torch.testing.assert_close(cat(), rgb(data.chelsea()))


def test_unknown_photo_names_the_known_ones():
    with pytest.raises(ValueError, match="'dog'.*astronaut.*cat"):
        photo("dog")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_paths_bytes_and_files_give_the_same(kind, tmp_path):
    data = encoded(Image.fromarray(COLOURS), kind)
    path = tmp_path / "picture"
    path.write_bytes(data)
    for source in (path, str(path), data, bytearray(data), memoryview(data), io.BytesIO(data), Image.open(io.BytesIO(data))):
        torch.testing.assert_close(load_image(source), rgb())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    # How the camera would have stored it: the inverse of what the standard tells the viewer to do.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)), "PNG", exif=exif)
    torch.testing.assert_close(load_image(data)[0] * 255, torch.from_numpy(upright).float())


def test_a_broken_exif_record_does_not_cost_the_picture():
    data = encoded(Image.fromarray(COLOURS), "PNG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
    torch.testing.assert_close(load_image(data), rgb())


def test_palette_with_transparency_lies_on_white():
    image = Image.fromarray(COLOURS).quantize(8)
    index = image.getpixel((0, 0))
    expected = COLOURS.copy()
    expected[0, 0] = 255
    torch.testing.assert_close(load_image(encoded(image, "PNG", transparency=index)), rgb(expected))
    torch.testing.assert_close(load_image(encoded(image, "PNG")), rgb())


def test_half_transparent_pixels_are_half_white():
    rgba = np.dstack([COLOURS, np.full((2, 3), 128, np.uint8)])
    expected = rgb() * 128 / 255 + (1 - 128 / 255)
    for source in (rgba, encoded(Image.fromarray(rgba), "PNG"), torch.from_numpy(rgba).permute(2, 0, 1)):
        torch.testing.assert_close(load_image(source), expected, atol=1 / 255, rtol=0)  # Pillow rounds to 8 bits
    grey = np.dstack([COLOURS[..., 0], np.full((2, 3), 128, np.uint8)])
    for source in (grey, encoded(Image.fromarray(grey, "LA"), "PNG")):
        torch.testing.assert_close(load_image(source)[1], expected[0], atol=1 / 255, rtol=0)


def test_colour_key_transparency_lies_on_white():
    expected = COLOURS.copy()
    expected[0, 1] = 255
    torch.testing.assert_close(load_image(encoded(Image.fromarray(COLOURS), "PNG", transparency=(0, 255, 0))), rgb(expected))


def test_16_bit_grey_is_scaled_not_clipped():
    values = np.array([[0, 255, 256], [32768, 65534, 65535]], np.uint16)
    expected = torch.from_numpy(values.astype(np.float32) / 65535).expand(3, 2, 3)
    assert (values > 255).sum() == 4  # Pillow's own convert("RGB") makes all of these 255
    sources = [encoded(Image.fromarray(values), kind) for kind in ("PNG", "TIFF")]
    for source in (*sources, values, values.astype(">u2"), torch.from_numpy(values), Image.fromarray(values.astype(np.int32))):
        torch.testing.assert_close(load_image(source), expected)


def test_other_modes():
    black_white = np.array([[True, False, True], [False, False, True]])
    for source in (black_white, torch.from_numpy(black_white), encoded(Image.fromarray(black_white), "PNG")):
        torch.testing.assert_close(load_image(source), torch.from_numpy(black_white).float().expand(3, 2, 3))
    flat = Image.new("CMYK", (8, 8), (0, 255, 255, 0))  # no cyan, full magenta and yellow: red
    torch.testing.assert_close(load_image(encoded(flat, "TIFF")), torch.tensor([1.0, 0, 0])[:, None, None].expand(3, 8, 8))
    red = load_image(encoded(flat, "JPEG", quality=100))[:, 4, 4]
    assert red[0] > 0.9 and red[1:].max() < 0.1
    floats = np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3)
    for source in (floats, floats.astype(np.float64), encoded(Image.fromarray(floats), "TIFF")):
        torch.testing.assert_close(load_image(source), torch.from_numpy(floats).expand(3, 2, 3))
    refused(Image.new("LAB", (4, 4)), "'LAB'") if _lab_is_refused() else None


def _lab_is_refused() -> bool:
    try:
        Image.new("LAB", (1, 1)).convert("RGB")
    except ValueError:
        return True
    return False


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_first_frame_of_an_animation(kind):
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "blue", "lime")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    torch.testing.assert_close(load_image(data), torch.tensor([1.0, 0, 0])[:, None, None].expand(3, 6, 8))


def test_tensors_and_arrays():
    image = torch.rand(3, 4, 5)
    torch.testing.assert_close(load_image(image), image)
    torch.testing.assert_close(load_image(image[None]), image)
    torch.testing.assert_close(load_image(image.permute(1, 2, 0).numpy()), image)
    torch.testing.assert_close(load_image(image[:1]), image[:1].expand(3, 4, 5))
    torch.testing.assert_close(load_image(image.bfloat16()), image.bfloat16().float())
    torch.testing.assert_close(load_image(image.numpy()[0][:, ::-1]), image[0].flip(1).expand(3, 4, 5))
    loaded = load_image(image)
    loaded.zero_()
    assert image.max() > 0, "the caller's tensor was written to"
    grey = load_image(torch.ones(4, 5))
    grey[0] = 0
    assert grey[1].min() == 1, "the three channels of a grey picture are one piece of memory"


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds nothing: decoding it would fail, so a refusal for its size came first."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))  # noqa: E731
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("side", [10_000, 12_000, 60_000])
def test_a_huge_picture_is_refused_before_it_is_decoded(side):
    refused(png_header(side, side), "40,000,000")


def test_a_decompression_bomb_is_refused_quickly():
    bomb = encoded(Image.new("L", (10_000, 10_000)), "PNG")
    assert len(bomb) < 200_000
    refused(bomb, "100,000,000 pixels")
    refused(Image.new("1", (100, 100)), "10,000 pixels", max_pixels=9_999)
    refused(np.zeros((100, 100), np.uint8), "10,000 pixels", max_pixels=9_999)
    refused(torch.zeros(100, 100), "10,000 pixels", max_pixels=9_999)


def test_too_many_bytes(tmp_path):
    data = encoded(Image.fromarray(COLOURS), "BMP")
    path = tmp_path / "picture.bmp"
    path.write_bytes(data)
    for source in (data, path, io.BytesIO(data)):
        refused(source, f"{len(data) - 1} bytes", max_bytes=len(data) - 1)
    load_image(data, max_bytes=len(data))


class Endless:
    def read(self, count=-1):
        assert 0 < count <= 1001, "an unbounded read of an endless file"
        return b"x" * count


def test_an_endless_file_is_not_read_to_its_end():
    refused(Endless(), "1,000 bytes", max_bytes=1000)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"])
def test_truncated_and_corrupt_files(kind):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    for length in (1, 10, len(data) // 2):
        refused(data[:length], "cut off|not a picture")
    rng = np.random.default_rng(1)
    for _ in range(30):  # whatever the decoder makes of flipped bytes: a picture or a sentence, nothing else
        broken = bytearray(data)
        for place in rng.integers(0, min(len(data), 400), 5):
            broken[place] ^= int(rng.integers(1, 256))
        try:
            assert load_image(bytes(broken), max_pixels=10_000).shape[0] == 3
        except ValueError as error:
            assert str(error).endswith(".")


def test_what_is_not_a_picture(tmp_path):
    refused(b"", "empty")
    refused(b"<svg/>", "not a picture.*PNG")
    refused(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture")  # EPS would start Ghostscript
    refused(tmp_path / "missing.png", "missing.png.*No such file")
    refused(tmp_path, "cannot be opened: Is a directory")
    refused("null\0byte", "cannot be opened")
    refused(io.StringIO("text"), "binary mode", TypeError)
    for source in (None, 3, [[1, 2]], {"a": 1}):
        refused(source, "takes a path", TypeError)


def test_arrays_that_are_no_pictures():
    for array in (np.zeros((2, 3, 5)), np.zeros((2, 2, 2, 3)), np.zeros(3), np.zeros(())):
        refused(array, "shape")
    refused(np.zeros((3, 20, 20)), "channels come last")
    refused(torch.zeros(20, 20, 3), "channels come first")
    refused(torch.zeros(2, 3, 4, 4), r"\[2, 3, 4, 4\]")
    refused(torch.zeros(7), r"\[7\]")
    for empty in (np.zeros((0, 4)), torch.zeros(3, 0, 5)):
        refused(empty, "empty: 0 by")
    for value in (np.nan, np.inf, -np.inf):
        refused(np.full((2, 2), value), "NaN or infinite")
    refused(np.full((2, 2), 255.0), "0 to 1 .divide")
    refused(torch.full((2, 2), -0.1), "-0.1")
    refused(np.zeros((2, 2), np.int64), "int64", TypeError)
    refused(np.array([["a"]]), "uint8, uint16", TypeError)
    refused(torch.zeros(2, 2, dtype=torch.complex64), "complex64", TypeError)
    refused(torch.eye(3).to_sparse(), "sparse", TypeError)
    refused(Image.fromarray(np.full((2, 2), 70_000, np.int32)), "70000")
    refused(Image.fromarray(np.full((2, 2), np.nan, np.float32)), "NaN")
