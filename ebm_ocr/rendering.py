"""Text to image: fonts, their ink, and where it stands in the image."""

from __future__ import annotations

import os
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import ImageFont
from torch import Tensor

from .alphabet import LATIN, Alphabet, Word
from .geometry import HEIGHT, WINDOW
from .validation import whole_number

LETTER_WIDTH = 18
"""Default width of an image, in pixels for each letter."""
MAX_SHIFT = 7
NOISE = 0.1


def default_font() -> Path:
    """DejaVu Sans Mono, which comes with the package; its licence lies beside it.

    >>> default_font().name
    'DejaVuSansMono.ttf'
    """
    path = Path(__file__).parent / "fonts" / "DejaVuSansMono.ttf"
    if path.is_file():
        return path
    import matplotlib  # a homework that is handed in carries no fonts; this is the same file

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / path.name


class Font(ImageFont.FreeTypeFont):
    """A TrueType or OpenType font with the ink of the words that it has drawn.

    The file is read once: what happens to it later changes nothing, and a pickled font needs none.
    Setting a variation of a variable font changes all words drawn from then on.

    >>> Font(default_font(), size=24).ink("cat").shape
    torch.Size([32, 42])

    Args:
        path: the .ttf, .otf or .ttc file.
        size: em size in pixels.
        face: which of the fonts in a .ttc.
        alphabet: whose symbols it must have.

    Raises:
        FileNotFoundError: no such file.
        TypeError: a size or face that is no whole number.
        ValueError: not a font, no such size or face, or one that lacks some of the symbols.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        size: int = 20,
        face: int = 0,
        alphabet: Alphabet = LATIN,
    ) -> None:
        file = Path(path).absolute()
        if not file.is_file():
            raise FileNotFoundError(
                f"expected a TrueType or OpenType font file, found none at {str(file)!r}"
            )
        size, face = whole_number("font_size", size, 1), whole_number("face", face, 0)
        try:
            self._open(str(file), file.read_bytes(), size, face)
        except (OSError, OverflowError) as error:
            raise ValueError(
                f"expected a TrueType or OpenType font, could not read face {face} of "
                f"{str(file)!r} at {size} px: {error}"
            ) from error
        nothing = self._look("\uffff")  # no character, so the box that stands for what is missing
        letters = dict.fromkeys("".join(alphabet.symbols))
        lacking = [letter for letter in letters if self._look(letter) in (nothing, None)]
        if lacking:
            raise ValueError(
                f"expected a font with the letters {alphabet}, "
                f"{str(file)!r} lacks {''.join(lacking)!r}"
            )

    def _open(self, path: str, data: bytes, size: int, face: int) -> None:
        super().__init__(BytesIO(data), size, face)
        self.path = path
        self.variation: tuple[str, Any] | None = None
        # letters stay apart, each has windows of its own; without raqm there are no ligatures
        raqm = self.layout_engine == ImageFont.Layout.RAQM
        self.features = ["-liga", "-clig", "-calt"] if raqm else None
        self.ink = lru_cache(maxsize=4096)(self._ink)  # a training draws its words in every pass

    def __getstate__(self) -> list[Any]:
        return [self.path, self.font_bytes, self.size, self.index, self.variation]

    def __setstate__(self, state: list[Any]) -> None:
        self._open(*state[:-1])
        if state[-1] is not None:
            how, value = state[-1]
            getattr(self, how)(value)

    def set_variation_by_axes(self, axes: list[float]) -> None:
        """Set the design axes, in the order of ``get_variation_axes()``."""
        super().set_variation_by_axes(axes)
        self.variation = "set_variation_by_axes", [*axes]
        self.ink.cache_clear()

    def set_variation_by_name(self, name: str | bytes) -> None:
        """Set a named style, one of ``get_variation_names()``."""
        super().set_variation_by_name(name)
        self.variation = "set_variation_by_name", name
        self.ink.cache_clear()

    def _look(self, letter: str) -> tuple[tuple[int, int], bytes] | None:
        """Size and pixels of a letter; None if it has no ink."""
        mask = self.getmask(letter)
        pixels = bytes(mask)
        return (mask.size, pixels) if any(pixels) else None

    def _ink(self, text: str) -> Tensor:
        """(32, W) ink in 0..1, as wide as it reaches, the line's box centred vertically."""
        mask, (left, top) = self.getmask2(text, features=self.features)
        pixels = np.frombuffer(bytes(mask), np.uint8).reshape(mask.size[::-1])
        rows, columns = (np.flatnonzero(pixels.any(axis)) for axis in (1, 0))
        if not len(rows):
            raise ValueError(f"expected a font that draws {text!r}, this one leaves no ink")
        top, left = int(top) + (HEIGHT - sum(self.getmetrics())) // 2, max(0, int(left))
        if top + rows[0] < 0 or top + rows[-1] >= HEIGHT:
            raise ValueError(
                f"expected {text!r} to be at most {HEIGHT} px high, "
                f"a font of {self.size} px needs more"
            )
        inked = pixels[rows[0] : rows[-1] + 1, : columns[-1] + 1]
        ink = torch.zeros(HEIGHT, left + inked.shape[1])
        where = ink[top + rows[0] : top + rows[-1] + 1, left:]
        where.copy_(torch.from_numpy(inked.copy())).mul_(1 / 255)
        return ink


def as_sizes(font_size: int | tuple[int, int]) -> range:
    """The sizes that ``font_size`` stands for: one, or all from the first to the second."""
    pair = font_size if isinstance(font_size, (tuple, list)) else (font_size, font_size)
    if len(pair) != 2:
        raise ValueError(f"expected font_size as one number or two, got {font_size!r}")
    least, most = (whole_number("font_size", size, 1) for size in pair)
    if least > most:
        raise ValueError(f"expected font_size from the smaller to the larger, got {font_size!r}")
    return range(least, most + 1)


def as_width(text: Word, letters: int, ink: int, length: int | None) -> int:
    """The width of an image in which a text of so many letters and pixels of ink stands.

    Raises:
        ValueError: less than the ink, or than one window.
    """
    length = max(LETTER_WIDTH * letters, ink) if length is None else whole_number("length", length)
    if length < max(ink, WINDOW):
        raise ValueError(
            f"expected an image at least {max(ink, WINDOW)} px wide for {text!r}, got {length}"
        )
    return length


def place(ink: Tensor, length: int, jitter: bool, noise: bool, rng: np.random.Generator) -> Tensor:
    """(32, W) ink in an image (32, length), at the left edge or shifted, and maybe specks."""
    width = ink.shape[1]
    shift = int(rng.integers(min(MAX_SHIFT, length - width) + 1)) if jitter else 0
    pixels = torch.zeros(HEIGHT, length)
    pixels[:, shift : shift + width] = ink
    if noise:
        pixels[torch.from_numpy(rng.random(pixels.shape) < NOISE)] = 1.0
    return pixels
