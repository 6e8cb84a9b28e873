"""Text to image: fonts, rendering, random words as a dataset, batches."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import torch
from PIL import ImageFont
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.data import Dataset, get_worker_info

from .alphabet import LATIN, Alphabet, Word
from .validation import check_floats, real_number, truth, whole_number
from .windows import HEIGHT, WINDOW, count_windows

LETTER_WIDTH = 18
"""Default width of an image, in pixels for each letter."""
MAX_SHIFT = 7
NOISE = 0.1

Sample = tuple[Tensor, Word]


class Batch(NamedTuple):
    """Words of different lengths side by side, and the lengths that tell data from padding."""

    images: Tensor
    """(B, 1, 32, W), padded with background on the right."""
    targets: Tensor
    """(B, T) classes, padded with the separator."""
    window_lengths: Tensor
    """(B,) number of windows of each image before padding."""
    target_lengths: Tensor
    """(B,) number of symbols of each word, twice its letters."""
    texts: list[Word]
    """The B words."""


def default_font() -> Path:
    """DejaVu Sans Mono, a font that installs with matplotlib."""
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSansMono.ttf"


class Font(ImageFont.FreeTypeFont):
    """A TrueType or OpenType font with the ink of the words that it has drawn.

    The file is read once: what happens to it later changes nothing, and a pickled font needs none.
    Setting a variation of a variable font changes all words drawn from then on.

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


class SimpleWordsDataset(Dataset[Sample]):
    """Images of random words.

    Item ``i`` depends on the seed and on ``i`` alone, so every pass, shuffle and DataLoader worker
    sees the same data.

    Args:
        max_length: number of letters, exactly, unless ``min_length`` says that words may be
            shorter.
        len: number of words.
        jitter: shift each word right by 0..7 px (less where it would leave the image).
        noise: set each pixel to ink with probability 0.1.
        min_length: lengths are drawn evenly from ``min_length..max_length``; default
            ``max_length``.
        doubled: fraction of the words (the first ones) in which a random letter stands twice in a
            row for certain.
        seed: default: drawn from torch's global generator, so two datasets differ.
        font: path of a TrueType or OpenType font; default DejaVu Sans Mono. See :class:`Font`.
        font_size: em size in pixels; a pair such as ``(16, 24)`` draws each word's evenly from
            these and all sizes between.
        face: which of the fonts in a .ttc.
        alphabet: whose symbols the words are made of.

    Raises:
        TypeError: numbers that are not whole, ``jitter`` or ``noise`` that are not bool.
        ValueError: numbers out of range, or a font that lacks letters.
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
        font_size: int | tuple[int, int] = 20,
        face: int = 0,
        alphabet: Alphabet = LATIN,
    ) -> None:
        self.alphabet = alphabet
        self.max_length = whole_number("max_length", max_length)
        self.min_length = whole_number(
            "min_length", self.max_length if min_length is None else min_length
        )
        if not 1 <= self.min_length <= self.max_length:
            raise ValueError(
                "expected 1 <= min_length <= max_length, "
                f"got {self.min_length} and {self.max_length}"
            )
        self.len = whole_number("len", len, 1)
        self.jitter, self.noise = truth("jitter", jitter), truth("noise", noise)
        self.doubled = real_number("doubled", doubled)
        if not 0 <= self.doubled <= 1:
            raise ValueError(f"expected doubled in [0, 1], got {doubled}")
        if doubled and self.min_length < 2:
            raise ValueError("expected min_length >= 2 for doubled letters, got 1")
        self.seed = int(torch.randint(2**31, ())) if seed is None else whole_number("seed", seed, 0)
        sizes = as_sizes(font_size)
        path = default_font() if font is None else font
        self.fonts = [Font(path, size, face, alphabet) for size in sizes]
        self._anew = np.random.default_rng(self.seed)
        self._worker: int | None = None

    def __len__(self) -> int:
        return self.len

    def __getitem__(self, index: int) -> Sample:
        index = whole_number("an index (for several see torch.utils.data.Subset)", index)
        if not -self.len <= index < self.len:
            raise IndexError(f"expected an index below {self.len}, got {index}")
        index %= self.len
        rng = np.random.default_rng((self.seed, index))
        text = self._random_word(rng, doubled=index < self.doubled * self.len)
        return self._draw(text, None, self.jitter, self.noise, rng), text

    @property
    def font(self) -> Font:
        """The font, of a dataset of one size; those of all sizes are in ``fonts``.

        Raises:
            ValueError: the dataset has several sizes.
        """
        if len(self.fonts) > 1:
            sizes = f"{self.fonts[0].size}..{self.fonts[-1].size}"
            raise ValueError(f"expected a dataset of one font_size, got {sizes}: see .fonts")
        return self.fonts[0]

    def draw_text(
        self, text: Word, length: int | None = None, jitter: bool = False, noise: bool = False
    ) -> Tensor:
        """Render any word in this dataset's font, in a size drawn anew where there are several.

        Args:
            text: symbols of the dataset's alphabet.
            length: width in pixels, default 18 a letter (more in a font that needs more).
            jitter, noise: as for the dataset; drawn anew on every call, in each loader worker
                apart.

        Returns:
            (32, length) float32 in [0, 1], ink is 1.

        Raises:
            TypeError, ValueError: not a word; or the word does not fit in ``length``, or leaves
                fewer windows than the ``2 * len(text)`` symbols that must be aligned (a lone letter
                may have a single window: it is classified, not aligned).
        """
        jitter, noise = truth("jitter", jitter), truth("noise", noise)
        worker = get_worker_info()
        if worker is not None and worker.seed != self._worker:  # else all draw the same
            self._worker = worker.seed
            self._anew = np.random.default_rng((self.seed, worker.seed))
        return self._draw(text, length, jitter, noise, self._anew)

    def _draw(
        self, text: Word, length: int | None, jitter: bool, noise: bool, rng: np.random.Generator
    ) -> Tensor:
        several = len(self.fonts) > 1
        font = self.fonts[rng.integers(len(self.fonts)) if several else 0]
        symbols = len(self.alphabet.spelling(text)) // 2
        ink = font.ink("".join(text))
        width = ink.shape[1]
        if length is None:
            length = max(LETTER_WIDTH * symbols, width)
        length, least = whole_number("length", length), max(width, WINDOW)
        if length < least:
            raise ValueError(
                f"expected an image at least {least} px wide for {text!r}, got {length}"
            )
        if symbols > 1:
            check_windows(text, symbols, count_windows(length))
        shift = int(rng.integers(min(MAX_SHIFT, length - width) + 1)) if jitter else 0
        pixels = torch.zeros(HEIGHT, length)
        pixels[:, shift : shift + width] = ink
        if noise:
            pixels[torch.from_numpy(rng.random(pixels.shape) < NOISE)] = 1.0
        return pixels

    def _random_word(self, rng: np.random.Generator, doubled: bool) -> Word:
        symbols = self.alphabet.symbols
        letters = rng.integers(
            len(symbols), size=rng.integers(self.min_length, self.max_length + 1)
        )
        if doubled:
            place = rng.integers(1, len(letters))
            letters[place] = letters[place - 1]
        word = tuple(symbols[letter] for letter in letters)
        return "".join(word) if self.alphabet.single else word


class AugmentedBatches:
    """Words in batches of one length, rendered once and shown another way in each pass.

    A pass shows each word once, in an order, at places and with disturbances of its own, so that a
    training never sees the same image twice. Shifts are drawn evenly from -7..7, and count as 0
    below that: half of the words begin at the left edge, where the first letter is seen by the
    fewest windows.

    Args:
        words: what is drawn, without disturbances of its own.
        batch_size: words in a batch; the last one of each length may hold fewer.
        jitter: shift each word to the right (less where it would leave the image).
        specks: the probability with which each pixel is set to ink.
        generator: what all this is drawn from; its state is what a training that goes on later
            must keep.

    Raises:
        TypeError: a batch size that is not whole, ``jitter`` that is no bool, ``specks`` that are
            no number.
        ValueError: words that are disturbed already; numbers out of range.
    """

    def __init__(
        self,
        words: SimpleWordsDataset,
        batch_size: int,
        jitter: bool,
        specks: float,
        generator: torch.Generator,
    ) -> None:
        self.batch_size = whole_number("batch_size", batch_size, 1)
        self.jitter = truth("jitter", jitter)
        self.specks = real_number("specks", specks)
        if not 0 <= self.specks <= 1:
            raise ValueError(f"expected specks in [0, 1], got {self.specks}")
        if words.jitter or words.noise:
            raise ValueError("expected words without jitter and noise, they are added here")
        samples = sorted((words[index] for index in range(len(words))), key=_width)
        self.groups = [
            collate_fn(group, words.alphabet) for _, group in groupby(samples, key=_width)
        ]
        self.generator = generator

    def __len__(self) -> int:
        return sum(-(-len(group.images) // self.batch_size) for group in self.groups)

    def __iter__(self) -> Iterator[Batch]:
        chunks = [
            (group, rows)
            for group in self.groups
            for rows in self._order(len(group.images)).split(self.batch_size)
        ]
        for chunk in self._order(len(chunks)).tolist():
            group, rows = chunks[chunk]
            yield Batch(
                self._disturb(group.images[rows]),
                group.targets[rows],
                group.window_lengths[rows],
                group.target_lengths[rows],
                [group.texts[row] for row in rows.tolist()],
            )

    def _order(self, count: int) -> Tensor:
        """The numbers below count, shuffled."""
        return torch.randperm(count, generator=self.generator)

    def _disturb(self, images: Tensor) -> Tensor:
        """(B, 1, 32, W) clean words to disturbed ones."""
        if self.jitter:
            columns = torch.arange(images.shape[3])
            inked = (images.amax((1, 2)) > 0) * (columns + 1)  # the last one is the right edge
            room = (len(columns) - inked.amax(1)).clamp(max=MAX_SHIFT)
            chance = torch.rand(len(images), generator=self.generator)
            shifts = (chance * (MAX_SHIFT + 1 + room) - MAX_SHIFT).floor().clamp(min=0).long()
            sources = columns - shifts[:, None]
            moved = images.gather(3, sources.clamp(min=0)[:, None, None].expand_as(images))
            images = moved * (sources >= 0)[:, None, None]
        if self.specks:
            hit = torch.rand(images.shape, generator=self.generator) < self.specks
            images = images.maximum(hit.float())
        return images


def _width(sample: Sample) -> int:
    """Of a sample's image, in pixels."""
    return sample[0].shape[1]


def as_sizes(font_size: int | tuple[int, int]) -> range:
    """The sizes that ``font_size`` stands for: one, or all from the first to the second."""
    pair = font_size if isinstance(font_size, tuple | list) else (font_size, font_size)
    if len(pair) != 2:
        raise ValueError(f"expected font_size as one number or two, got {font_size!r}")
    least, most = (whole_number("font_size", size, 1) for size in pair)
    if least > most:
        raise ValueError(f"expected font_size from the smaller to the larger, got {font_size!r}")
    return range(least, most + 1)


def check_windows(text: Word, letters: int, windows: int) -> None:
    """Raise ``ValueError`` if ``windows`` are too few to align letters and separators with."""
    if windows < 2 * letters:
        raise ValueError(
            f"{text!r} has {windows} windows, but its {2 * letters} symbols need one each: "
            "widen the image"
        )


def simple_collate_fn(
    samples: Iterable[Sample], alphabet: Alphabet = LATIN
) -> tuple[Tensor, Tensor]:
    """Batch images of one letter each: (B, 1, 32, W) images and their (B,) classes.

    Raises:
        TypeError: images that are no float tensors.
        ValueError: no sample, images that don't fit together, or a text that is not one letter.
    """
    images, texts = _unzip(samples)
    classes = [alphabet.spelling(text)[::2] for text in texts]
    for text, found in zip(texts, classes):
        if len(found) != 1:
            raise ValueError(f"expected images of one letter, got {text!r}")
    return pad_and_stack(images), torch.tensor(classes)[:, 0]


def collate_fn(samples: Iterable[Sample], alphabet: Alphabet = LATIN) -> Batch:
    """Batch words of different lengths, see :class:`Batch`.

    Raises:
        TypeError: images that are no float tensors.
        ValueError: no sample, images that don't fit together, or a word with fewer windows than
            symbols: it could not be aligned.
    """
    images, texts = _unzip(samples)
    window_lengths = count_windows(torch.tensor([image.shape[1] for image in images]))
    targets, target_lengths = alphabet.spell(texts)
    for text, windows, symbols in zip(texts, window_lengths.tolist(), target_lengths.tolist()):
        check_windows(text, symbols // 2, windows)
    return Batch(pad_and_stack(images), targets, window_lengths, target_lengths, texts)


def pad_and_stack(images: list[Tensor]) -> Tensor:
    """(B, 1, 32, W) images, padded with background on the right to the widest."""
    widest = max(image.shape[1] for image in images)
    return torch.stack([pad(image, (0, widest - image.shape[1])) for image in images])[:, None]


def _unzip(samples: Iterable[Sample]) -> tuple[list[Tensor], list[Word]]:
    """Images and texts of samples that fit together."""
    pairs = list(samples)
    if not pairs:
        raise ValueError("expected at least one (image, text) sample, got none")
    for pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise TypeError(f"expected samples (image, text), got {type(pair).__name__}")
        image = pair[0]
        check_floats("images", image)
        if image.dim() != 2 or image.shape[0] != HEIGHT:
            raise ValueError(f"expected images ({HEIGHT}, W), got {tuple(image.shape)}")
        if image.dtype != pairs[0][0].dtype:
            raise TypeError(f"expected images of one type, got {pairs[0][0].dtype}, {image.dtype}")
    images, texts = zip(*pairs)
    return list(images), list(texts)
