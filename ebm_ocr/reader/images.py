"""Any image to a strip that the network reads, and the way back to the image's pixels.

Every file, array and tensor that anyone hands over ends here: it becomes a strip of grey, or an
error of one line that says what was expected and what came.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from ..geometry import HEIGHT

SMALLEST = 4
"""Pixels that an image has at least, along and across."""
WIDEST = 2_048
"""Pixels of a strip at most: some 150 letters."""
MOST = 50_000_000
"""Pixels of an image at most, however well a file packs them."""
KEPT = 6, 30
"""Heights of ink, in pixels, that are read as they are; more is made smaller, less larger where
the image has room."""
SCALED = 22
"""Height of ink after scaling."""
ROOM = 6
"""Pixels of paper that are left on either side of a word."""
FAINT = 0.35
"""Ink differs from paper by at least this share of what nearly the strongest does."""


class Strip(NamedTuple):
    """A word as the network sees it, and where it is in the image."""

    pixels: Tensor
    """(32, w) grey, 0 black to 1 white."""
    scale: float
    """Pixels of the strip for one of the image."""
    left: float
    top: float
    """Where the strip begins, in pixels of the image."""
    size: tuple[int, int]
    """Width and height of the image."""

    def in_image(self, boxes: np.ndarray) -> np.ndarray:
        """(n, 4) boxes of the strip (left, top, right, bottom) in pixels of the image."""
        placed = boxes / self.scale + (self.left, self.top) * 2
        return np.clip(placed, 0, self.size * 2)


def as_images(images: Any) -> list[Any]:
    """One image, or several, as a list.

    >>> len(as_images(np.zeros((32, 60)))), len(as_images(torch.zeros(5, 1, 32, 60)))
    (1, 5)

    Raises:
        TypeError: no image.
    """
    if isinstance(images, (np.ndarray, Tensor)):
        return [*images] if images.ndim == 4 else [images]
    if isinstance(images, (str, os.PathLike, bytes, Image.Image)):
        return [images]
    if isinstance(images, Iterable):
        return [*images]
    raise TypeError(f"expected paths, PIL images, arrays or tensors, got {type(images).__name__}")


def to_strip(image: Any) -> Strip:
    """The word in an image, in a strip that is 32 pixels high.

    What fits is taken as it is. Where the ink is higher than a strip, or the image is, its rows are
    cut out and scaled; wide margins are cut off.

    >>> to_strip(np.eye(64, dtype=np.uint8)).pixels.shape
    torch.Size([32, 23])

    Args:
        image: a path, bytes of a file, a picture of PIL, an array (H, W), (H, W, 1), (H, W, 3) or
            (H, W, 4), a tensor (H, W) or (1 or 3 or 4, H, W), of bool, uint8, uint16 or floats in
            [0, 1]. What is transparent counts as paper.

    Raises:
        OSError: a file that there is not, or that cannot be read.
        TypeError: no image.
        ValueError: a file that is none, animated, cut short; an image too small, too large, too
            wide for a word; an array of another shape, or of values that are no pixels.
    """
    grey = to_grey(image)
    height, width = grey.shape
    if min(width, height) < SMALLEST:
        raise ValueError(
            f"expected at least {SMALLEST} x {SMALLEST} pixels, got {width} x {height}"
        )
    paper, inked = find_ink(grey)
    left, top, right, bottom = map(float, inked)
    tall = bottom - top
    scale = 1.0 if tall <= KEPT[1] else SCALED / tall
    if tall < KEPT[0]:  # of a whole image that is small; a dash on a strip stays one
        scale = max(1.0, min(SCALED / tall, HEIGHT / height))
    if height * scale <= HEIGHT + 2:  # whole, there is nothing to choose
        scale, top, bottom = min(scale, HEIGHT / height), 0.0, float(height)
    left, right = max(0.0, left - ROOM / scale), min(float(width), right + ROOM / scale)
    wide = max(2, round((right - left) * scale))
    if wide > WIDEST:
        raise ValueError(
            f"expected a word of at most {WIDEST} pixels where it is {HEIGHT} high, got {wide}"
        )
    if scale == 1:
        left = float(round(left))
        above = float((top + bottom - HEIGHT) // 2)
    else:
        above = (top + bottom - HEIGHT / scale) / 2
    box = left, above, left + wide / scale, above + HEIGHT / scale
    pixels = cut_out(grey, box, (wide, HEIGHT), paper)
    return Strip(torch.from_numpy(pixels), scale, left, above, (width, height))


def find_ink(grey: np.ndarray) -> tuple[float, tuple[int, int, int, int]]:
    """The level of the paper, and left, top, right and bottom of the ink; all of the image where
    there is none.

    Paper is the median; ink is on the side to which the whole image leans.
    """
    paper, ink = see_ink(grey)
    height, width = grey.shape
    along, down = np.flatnonzero(ink.any(0)), np.flatnonzero(ink.any(1))
    if not len(along):
        return paper, (0, 0, width, height)
    return paper, (int(along[0]), int(down[0]), int(along[-1]) + 1, int(down[-1]) + 1)


def see_ink(grey: np.ndarray) -> tuple[float, np.ndarray]:
    """The level of the paper, and which pixels are ink, bool: they and two or more of the eight
    around differ from the paper by ``FAINT`` of what one in a hundred does, as in the thinnest
    line. Single specks do not count."""
    levels = (grey * 255 + 0.5).astype(np.uint8)
    counts = np.bincount(levels.ravel(), minlength=256)
    below = counts.cumsum()
    paper = int(np.searchsorted(below, (grey.size + 1) // 2))
    one_in_hundred = grey.size // 100
    if counts @ np.arange(256) >= paper * grey.size:
        highest = int(np.searchsorted(below, grey.size - one_in_hundred))
        strong = levels > paper + FAINT * (highest - paper)
    else:
        lowest = int(np.searchsorted(below, one_in_hundred, "right"))
        strong = levels < paper - FAINT * (paper - lowest)
    height, width = grey.shape
    framed = np.zeros((height + 2, width + 2), np.uint8)
    framed[1:-1, 1:-1] = strong
    rows = framed[:-2] + framed[1:-1] + framed[2:]
    return paper / 255, strong & (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:] >= 3)


def cut_out(
    grey: np.ndarray, box: tuple[float, ...], size: tuple[int, int], paper: float
) -> np.ndarray:
    """A box of an image in another size, paper where it reaches beyond."""
    height, width = grey.shape
    left, top, right, bottom = box
    before = max(0, -int(np.floor(left))), max(0, -int(np.floor(top)))
    behind = max(0, int(np.ceil(right)) - width), max(0, int(np.ceil(bottom)) - height)
    framed = grey
    if any((*before, *behind)):
        around = (before[1], behind[1]), (before[0], behind[0])
        framed = np.pad(grey, around, constant_values=paper)
    moved = (left + before[0], top + before[1], right + before[0], bottom + before[1])
    if all(edge == int(edge) for edge in moved) and moved[3] - moved[1] == size[1]:
        x0, y0, x1, y1 = map(int, moved)
        return np.ascontiguousarray(framed[y0:y1, x0:x1])
    drawn = Image.fromarray(framed).resize(size, Image.Resampling.BILINEAR, box=moved)
    return np.array(drawn, np.float32)


def to_grey(image: Any) -> np.ndarray:
    """(H, W) float32 in [0, 1] of any image. Errors: see :func:`to_strip`."""
    if isinstance(image, np.ndarray):
        return _array_to_grey(image, "an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)")
    if isinstance(image, Tensor):
        shape = tuple(image.shape)
        if image.ndim == 3 and shape[0] not in (1, 3, 4):
            raise ValueError(
                f"expected a tensor (H, W), (1, H, W), (3, H, W) or (4, H, W), got {shape}"
            )
        values = image.detach().cpu()
        values = values.float() if values.dtype is torch.bfloat16 else values
        array = values.movedim(0, -1).numpy() if image.ndim == 3 else values.numpy()
        return _array_to_grey(array, "a tensor (H, W), (1, H, W), (3, H, W) or (4, H, W)")
    if isinstance(image, Image.Image):
        return _picture_to_grey(image)
    if isinstance(image, (str, os.PathLike, bytes)):
        return _file_to_grey(image)
    raise TypeError(f"expected a path, PIL image, array or tensor, got {type(image).__name__}")


def _file_to_grey(file: str | os.PathLike[str] | bytes) -> np.ndarray:
    """Open a file and decode all of it."""
    source = io.BytesIO(file) if isinstance(file, bytes) else file
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters is an error, below
            with Image.open(source) as picture:
                _check_size(*picture.size)
                picture.load()
                return _picture_to_grey(picture)
    except UnidentifiedImageError as error:
        raise ValueError("expected an image, got a file of another kind") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"expected at most {MOST:,} pixels, got far more") from error
    except Refused:
        raise
    except Exception as error:  # decoders raise anything
        if isinstance(error, OSError) and error.errno is not None:
            raise  # no such file, no permission
        reason = " ".join(f"{error}".split())
        raise ValueError(f"expected a whole image, got a damaged one: {reason:.80}") from error


class Refused(ValueError):
    """An image that was decoded, and is none that can be read."""


def _check_size(width: int, height: int) -> None:
    """Refuse what is too large to decode."""
    if width * height > MOST:
        raise Refused(f"expected at most {MOST:,} pixels, got {width} x {height}")


def _picture_to_grey(picture: Image.Image) -> np.ndarray:
    """A picture of PIL in any mode, turned as its EXIF data say."""
    _check_size(*picture.size)
    frames = getattr(picture, "n_frames", 1)
    if frames > 1:
        raise Refused(f"expected one picture, got {frames} in one file")
    picture = ImageOps.exif_transpose(picture)
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        values = np.asarray(picture, np.float32)
        lowest, highest = float(values.min(initial=0)), float(values.max(initial=0))
        most = 65_535.0 if picture.mode != "F" else 1.0 if highest <= 1 else 255.0
        if not (lowest >= 0 and highest <= most):
            raise Refused(f"expected pixels in 0..{most:g}, got {lowest:g}..{highest:g}")
        return values / np.float32(most)
    if picture.mode in ("1", "L"):
        return np.asarray(picture.convert("L"), np.float32) / 255
    has_alpha = "A" in picture.getbands() or "transparency" in picture.info
    array = np.asarray(picture.convert("RGBA" if has_alpha else "RGB"))
    return _array_to_grey(array, "a picture")


def _array_to_grey(array: np.ndarray, expected: str) -> np.ndarray:
    """Numbers of any usual type and layout."""
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ValueError(f"expected {expected}, got {array.shape}")
    if 0 in array.shape:
        raise ValueError(f"expected at least {SMALLEST} x {SMALLEST} pixels, got {array.shape}")
    _check_size(array.shape[1], array.shape[0])
    values: np.ndarray
    if array.dtype == np.bool_:
        values = array.astype(np.float32)
    elif array.dtype in (np.uint8, np.uint16):
        values = array.astype(np.float32) / np.iinfo(array.dtype).max
    elif array.dtype.kind == "f":
        lowest, highest = float(array.min()), float(array.max())
        if not (lowest >= 0 and highest <= 1):
            raise ValueError(f"expected floats in [0, 1], got {lowest:.3g}..{highest:.3g}")
        values = array.astype(np.float32)
    else:
        raise TypeError(f"expected bool, uint8, uint16 or floats, got {array.dtype}")
    if values.ndim == 2:
        return values
    if values.shape[2] == 1:
        return np.ascontiguousarray(values[..., 0])
    grey = values[..., :3] @ np.array([0.299, 0.587, 0.114], np.float32)
    return grey if values.shape[2] == 3 else _on_paper(grey, values[..., 3])


def _on_paper(grey: np.ndarray, opaque: np.ndarray) -> np.ndarray:
    """What is transparent filled with paper: white, or black below ink that is light."""
    weight = float(opaque.sum())
    if not weight:
        return np.ones_like(grey)
    level = float((grey * opaque).sum()) / weight
    paper = 1.0 if level <= 0.5 or opaque.min() > 0.5 else 0.0
    return grey * opaque + paper * (1 - opaque)
