"""Any image becomes a strip, or says in one line what is wrong with it."""

import io
import re
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from ebm_ocr.reader.images import WIDEST, as_images, find_ink, to_strip
from ebm_ocr.reader.network import standardise

RNG = np.random.default_rng(0)


def ink(height=32, width=80):
    """(H, W) uint8: black strokes on white paper."""
    image = np.full((height, width), 255, np.uint8)
    for x in range(10, width - 8, 7):
        image[height // 4 : 3 * height // 4, x : x + 2] = 0
    return image


def encoded(picture, kind="PNG", **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def same(image, like=None):
    """Whether two images are the same to the network."""
    first, other = to_strip(image), to_strip(ink() if like is None else like)
    return torch.allclose(standardise(first.pixels), standardise(other.pixels), atol=2e-2)


@pytest.mark.parametrize(
    "image",
    [
        ink().astype(np.float32) / 255,
        ink().astype(np.float64) / 255,
        ink().astype(np.uint16) * 257,
        ink() > 0,
        255 - ink(),
        ink()[:, :, None],
        np.stack([ink()] * 3, 2),
        np.stack([255 - ink()] * 3, 2) // 2,
        np.dstack([np.zeros((32, 80, 3), np.uint8), 255 - ink()]),
        np.dstack([np.full((32, 80, 3), 255, np.uint8), 255 - ink()]),
        torch.from_numpy(ink()),
        torch.from_numpy(ink())[None],
        torch.from_numpy(ink() / 255.0).bfloat16()[None].expand(3, -1, -1),
        Image.fromarray(ink()),
        Image.fromarray(ink()).convert("1"),
        Image.fromarray(ink()).convert("P"),
        Image.fromarray(ink()).convert("CMYK"),
        Image.fromarray(ink()).convert("LA"),
        Image.fromarray(ink()).convert("YCbCr"),
        Image.fromarray(ink().astype(np.int32) * 257),
        Image.fromarray(ink().astype(np.float32)),
        encoded(Image.fromarray(ink())),
        encoded(Image.fromarray(ink().astype(np.uint16) * 257)),
        encoded(Image.fromarray(ink()), "TIFF"),
        encoded(Image.fromarray(ink()), "BMP"),
        encoded(Image.fromarray(ink()).convert("P"), "GIF"),
    ],
)
def test_kinds_of_images_are_the_same_word(image):
    assert same(image)


def test_exif_says_which_way_is_up():
    turned = Image.fromarray(ink()).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to see it
    assert same(encoded(turned, exif=exif))
    assert to_strip(encoded(turned)).size == (32, 80)


def test_what_fits_is_taken_as_it_is():
    strip = to_strip(ink())
    assert strip.scale == 1
    left = int(strip.left)
    part = torch.from_numpy(ink()[:, left : left + strip.pixels.shape[1]] / 255).float()
    torch.testing.assert_close(strip.pixels, part)


@pytest.mark.parametrize("times", [2, 5, 9])
def test_large_images_are_made_smaller_and_boxes_find_back(times):
    image = np.kron(ink(), np.ones((times, times), np.uint8))
    strip = to_strip(image)
    assert strip.pixels.shape[0] == 32
    _, (left, top, right, bottom) = find_ink(strip.pixels.numpy())
    (box,) = strip.in_image(np.array([[left, top, right, bottom]]))
    _, truth = find_ink(image / np.float32(255))
    assert np.abs(np.subtract(box, truth)).max() <= 1.5 / strip.scale


def test_wide_margins_are_cut_off():
    page = np.full((400, 900), 255, np.uint8)
    page[200:232, 500:580] = ink()
    strip = to_strip(page)
    assert strip.pixels.shape[1] < 90
    assert same(page)
    left, top = strip.in_image(np.array([[0, 0, 1, 1]]))[0, :2]
    assert 490 < left < 510
    assert 190 < top < 210


def test_a_tall_crop_without_margins_becomes_smaller():
    crop = np.full((64, 100), 255, np.uint8)
    crop[:, 10:20] = crop[:, 50:60] = 0
    strip = to_strip(crop)
    _, (_, top, _, bottom) = find_ink(strip.pixels.numpy())
    assert 20 <= bottom - top <= 25


def test_a_dash_on_a_strip_stays_one_and_a_small_image_is_made_larger():
    dash = np.full((32, 40), 255, np.uint8)
    dash[15:18, 12:28] = 0
    assert to_strip(dash).scale == 1
    page = np.pad(dash, 200, constant_values=255)
    assert to_strip(page).scale == 1
    assert to_strip(dash[13:20]).scale == pytest.approx(32 / 7)


def test_an_image_of_one_colour_is_blank():
    for level in (0, 128, 255):
        assert standardise(to_strip(np.full((20, 50), level, np.uint8)).pixels).eq(0).all()


def bomb():
    """A PNG that says it has 100,000 x 100,000 pixels."""
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    chunks = [b"IHDR" + header, b"IDAT" + zlib.compress(bytes(100)), b"IEND"]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks
    )


ANIMATED = encoded(
    Image.new("L", (40, 40)), "GIF", save_all=True, append_images=[Image.new("L", (40, 40), 200)]
)


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (b"", ValueError, "another kind"),
        (b"%PDF-1.7 ...", ValueError, "another kind"),
        (b"\x80\x04\x95pickle", ValueError, "another kind"),
        (encoded(Image.fromarray(ink()))[:70], ValueError, "damaged"),
        (encoded(Image.fromarray(ink()), "JPEG")[:300], ValueError, "damaged"),
        (bomb(), ValueError, "at most .* pixels"),
        (ANIMATED, ValueError, "one picture, got 2"),
        ("nowhere.png", FileNotFoundError, "No such file"),
        (np.zeros((1, 50)), ValueError, "at least 4 x 4 pixels, got 50 x 1"),
        (np.zeros((0, 50)), ValueError, "at least 4 x 4"),
        (np.tile(ink(), (1, 250)), ValueError, f"at most {WIDEST} pixels"),
        (Image.fromarray(np.full((8, 8), 70_000, np.int32)), ValueError, r"0\.\.65535, got"),
        (Image.fromarray(np.full((8, 8), np.nan, np.float32)), ValueError, "got .*nan"),
        (np.zeros((8, 8, 2)), ValueError, r"got \(8, 8, 2\)"),
        (np.zeros(8), ValueError, r"got \(8,\)"),
        (torch.zeros(8, 8, 3), ValueError, r"\(3, H, W\).*got \(8, 8, 3\)"),
        (np.full((8, 8), 7.0), ValueError, r"in \[0, 1\], got 7\.\.7"),
        (np.full((8, 8), np.nan), ValueError, r"in \[0, 1\], got nan"),
        (np.zeros((8, 8), np.int64), TypeError, "got int64"),
        (np.zeros((8, 8), complex), TypeError, "got complex128"),
        (np.broadcast_to(np.uint8(0), (10_000, 10_000)), ValueError, "at most 50,000,000"),
        (7, TypeError, "got int"),
        (None, TypeError, "got NoneType"),
    ],
)
def test_what_is_no_image_says_so_in_one_line(image, error, message):
    with pytest.raises(error, match=message) as raised:
        to_strip(image)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "kind",
    ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "TGA", "ICO", "PCX", "DDS", "SGI", "IM"],
)
def test_bytes_that_were_damaged_are_errors_or_images(kind):
    whole = encoded(Image.fromarray(ink()).convert("RGB"), kind)
    for _ in range(60):
        file = bytearray(whole[: RNG.integers(1, len(whole) + 1)])
        for place in RNG.integers(0, min(len(file), 120), 3):
            file[place] = RNG.integers(256)
        try:
            to_strip(bytes(file))
        except ValueError as error:
            assert re.fullmatch("expected .*", str(error))  # noqa: PT017 - or none is raised


def test_one_image_or_several():
    picture = Image.fromarray(ink())
    for several, count in (
        (picture, 1),
        ("a.png", 1),
        ([picture, "a.png"], 2),
        ((ink(),), 1),
        (iter([ink(), ink()]), 2),
        (np.zeros((3, 8, 8, 3)), 3),
        (ink(), 1),
        ([], 0),
    ):
        assert len(as_images(several)) == count
    with pytest.raises(TypeError, match="got int"):
        as_images(7)
