"""Text to image: fonts, rendering, random words as a dataset, batches."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.data import Dataset
from torchvision.transforms.v2 import functional as transforms

from .alphabet import LETTERS, check_word, spell
from .windows import HEIGHT, WINDOW, count_windows

LETTER_WIDTH = 18
"""Default width of an image, in pixels for each letter."""
MAX_SHIFT = 7
NOISE = 0.1

Sample = tuple[Tensor, str]


class Batch(NamedTuple):
    """Words of different lengths side by side, and the lengths that tell data from padding."""

    images: Tensor
    """(B, 1, 32, W), padded with background on the right."""
    targets: Tensor
    """(B, T) classes, padded with ``BETWEEN``."""
    window_lengths: Tensor
    """(B,) number of windows of each image before padding."""
    target_lengths: Tensor
    """(B,) number of symbols of each word, twice its letters."""


def default_font() -> Path:
    """DejaVu Sans Mono, a font that installs with matplotlib."""
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSansMono.ttf"


@lru_cache(maxsize=64)
def load_font(path: str, size: int = 20) -> ImageFont.FreeTypeFont:
    """Open a TrueType or OpenType font.

    Args:
        path: the .ttf, .otf or .ttc file.
        size: em size in pixels.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a font, or a size that is not positive.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"expected a TrueType or OpenType font file, found none at {path!r}")
    if size <= 0:
        raise ValueError(f"expected a positive font size in pixels, got {size}")
    try:
        return ImageFont.truetype(path, size)
    except OSError as error:
        raise ValueError(f"expected a TrueType or OpenType font, could not read {path!r}: {error}") from error


@lru_cache(maxsize=4096)  # a training renders the same words in every pass
def _ink(text: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    """The word as a picture ``HEIGHT`` px high and as wide as its ink reaches, the line's box centred vertically."""
    ascent, descent = font.getmetrics()
    left, _, right, _ = font.getbbox(text)
    margin = HEIGHT  # room to see what would fall outside
    canvas = Image.new("L", (int(right - left) + 2 * margin, 3 * HEIGHT))
    baseline = margin + (HEIGHT - ascent - descent) // 2
    ImageDraw.Draw(canvas).text((margin - min(0, int(left)), baseline), text, fill=255, font=font)
    box = canvas.getbbox()
    if box is None:
        raise ValueError(f"expected a font with the letters of {text!r}, this one draws nothing")
    if box[1] < margin or box[3] > margin + HEIGHT:
        raise ValueError(f"expected {text!r} to be at most {HEIGHT} px high, a font of {font.size} px needs more")
    return canvas.crop((margin, margin, box[2], margin + HEIGHT))


class SimpleWordsDataset(Dataset[Sample]):
    """Images of random words.

    Item ``i`` depends on the seed and on ``i`` alone, so every pass, shuffle and DataLoader worker sees the same data.

    Args:
        max_length: number of letters, exactly, unless ``min_length`` says that words may be shorter.
        len: number of words.
        jitter: shift each word right by 0..7 px (less where it would leave the image).
        noise: set each pixel to ink with probability 0.1.
        min_length: lengths are drawn evenly from ``min_length..max_length``; default ``max_length``.
        doubled: fraction of the words (the first ones) in which a random letter stands twice in a row for certain.
        seed: default: drawn from torch's global generator, so two datasets differ.
        font: path of a TrueType or OpenType font; default DejaVu Sans Mono.
        font_size: em size in pixels.

    Raises:
        ValueError: lengths or numbers out of range.
        FileNotFoundError: no such font.
    """

    def __init__(
        self,
        max_length: int,
        len: int = 100,
        jitter: bool = False,
        noise: bool = False,
        *,
        min_length: int | None = None,
        doubled: float = 0.0,
        seed: int | None = None,
        font: str | os.PathLike[str] | None = None,
        font_size: int = 20,
    ) -> None:
        self.max_length = max_length
        self.min_length = max_length if min_length is None else min_length
        if not 1 <= self.min_length <= self.max_length:
            raise ValueError(f"expected 1 <= min_length <= max_length, got {self.min_length} and {self.max_length}")
        if len < 1 or not 0 <= doubled <= 1:
            raise ValueError(f"expected len >= 1 and doubled in [0, 1], got {len} and {doubled}")
        if doubled and self.min_length < 2:
            raise ValueError("expected min_length >= 2 for doubled letters, got 1")
        self.len = len
        self.jitter = jitter
        self.noise = noise
        self.doubled = doubled
        self.seed = int(torch.randint(2**31, ())) if seed is None else seed
        self.font = load_font(os.fspath(default_font() if font is None else font), font_size)
        self._rng = np.random.default_rng(self.seed)

    def __len__(self) -> int:
        return self.len

    def __getitem__(self, index: int) -> Sample:
        if not -self.len <= index < self.len:
            raise IndexError(f"expected an index below {self.len}, got {index}")
        index %= self.len
        rng = np.random.default_rng((self.seed, index))
        text = self._random_word(rng, doubled=index < self.doubled * self.len)
        return self._draw(text, None, self.jitter, self.noise, rng), text

    def draw_text(self, text: str, length: int | None = None, jitter: bool = False, noise: bool = False) -> Tensor:
        """Render any word in this dataset's font.

        Args:
            text: letters a..z.
            length: width in pixels, default 18 a letter (more in a font that needs more).
            jitter, noise: as for the dataset; drawn anew on every call.

        Returns:
            (32, length) float32 in [0, 1], ink is 1.

        Raises:
            TypeError, ValueError: not a word; or the word does not fit in ``length``, or leaves fewer windows than
                the ``2 * len(text)`` symbols that must be aligned (a lone letter may have a single window: it is
                classified, not aligned).
        """
        return self._draw(text, length, jitter, noise, self._rng)

    def _draw(self, text: str, length: int | None, jitter: bool, noise: bool, rng: np.random.Generator) -> Tensor:
        ink = _ink(check_word(text), self.font)
        if length is None:
            length = max(LETTER_WIDTH * len(text), ink.width)
        if length < max(ink.width, WINDOW):
            raise ValueError(f"expected an image at least {max(ink.width, WINDOW)} px wide for {text!r}, got {length}")
        if len(text) > 1:
            check_windows(text, count_windows(length))
        image = Image.new("L", (length, HEIGHT))
        image.paste(ink, (int(rng.integers(min(MAX_SHIFT, length - ink.width) + 1)) if jitter else 0, 0))
        pixels = transforms.to_dtype(transforms.pil_to_tensor(image)[0], torch.float32, scale=True)
        if noise:
            pixels[torch.from_numpy(rng.random(pixels.shape) < NOISE)] = 1.0
        return pixels

    def _random_word(self, rng: np.random.Generator, doubled: bool) -> str:
        letters = rng.integers(len(LETTERS), size=rng.integers(self.min_length, self.max_length + 1))
        if doubled:
            place = rng.integers(1, len(letters))
            letters[place] = letters[place - 1]
        return "".join(LETTERS[letter] for letter in letters)


def check_windows(text: str, windows: int) -> None:
    """Raise ``ValueError`` if ``windows`` are too few to align the word's letters and separators with."""
    if windows < 2 * len(text):
        raise ValueError(
            f"{text!r} has {windows} windows, but its {2 * len(text)} symbols need one each: widen the image"
        )


def simple_collate_fn(samples: Sequence[Sample]) -> tuple[Tensor, Tensor]:
    """Batch images of one letter each: (B, 1, 32, W) images and (B,) classes 0..25.

    Raises:
        ValueError: no sample, or a text that is not one letter.
    """
    images, texts = _unzip(samples)
    for text in texts:
        if len(check_word(text)) != 1:
            raise ValueError(f"expected images of one letter, got {text!r}")
    return images, torch.tensor([LETTERS.index(text) for text in texts])


def collate_fn(samples: Sequence[Sample]) -> Batch:
    """Batch words of different lengths, see :class:`Batch`.

    Raises:
        ValueError: no sample, or a word with fewer windows than symbols: it could not be aligned.
    """
    images, texts = _unzip(samples)
    window_lengths = [count_windows(image.shape[-1]) for image, _ in samples]
    for text, windows in zip(texts, window_lengths):
        check_windows(check_word(text), windows)
    targets, target_lengths = spell(texts)
    return Batch(images, targets, torch.tensor(window_lengths), target_lengths)


def _unzip(samples: Sequence[Sample]) -> tuple[Tensor, list[str]]:
    """Images padded to the widest and stacked, and their texts."""
    if not samples:
        raise ValueError("expected at least one (image, text) sample, got none")
    images, texts = zip(*samples)
    width = max(image.shape[-1] for image in images)
    return torch.stack([pad(image, (0, width - image.shape[-1])) for image in images])[:, None], list(texts)
