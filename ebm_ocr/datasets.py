"""Random words as a dataset, and samples as batches."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.data import Dataset, get_worker_info

from .alphabet import LATIN, Alphabet, Word
from .geometry import HEIGHT, count_windows
from .rendering import MAX_SHIFT, Font, as_sizes, as_width, default_font, place
from .validation import check_floats, real_number, truth, whole_number

Sample = tuple[Tensor, Word]


class Batch(NamedTuple):
    """Words of different lengths side by side, and the lengths that tell data from padding.

    >>> batch = collate_fn([SimpleWordsDataset(3, 2, seed=0)[i] for i in range(2)])
    >>> batch.images.shape, batch.texts
    (torch.Size([2, 1, 32, 54]), ['wqn', 'nxz'])
    """

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


class SimpleWordsDataset(Dataset[Sample]):
    """Images of random words.

    Item ``i`` depends on the seed and on ``i`` alone, so every pass, shuffle and DataLoader worker
    sees the same data.

    >>> image, text = SimpleWordsDataset(5, 100, min_length=2, seed=0)[7]
    >>> image.shape, text
    (torch.Size([32, 90]), 'bfuou')

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
        letters = len(self.alphabet.spelling(text)) // 2
        ink = font.ink("".join(text))
        length = as_width(text, letters, ink.shape[1], length)
        if letters > 1:
            check_windows(text, letters, count_windows(length))
        return place(ink, length, jitter, noise, rng)

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

    >>> images, classes = simple_collate_fn(list(SimpleWordsDataset(1, 3, seed=0)))
    >>> images.shape, classes
    (torch.Size([3, 1, 32, 18]), tensor([22, 13, 25]))

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

    >>> words = SimpleWordsDataset(6, 4, min_length=1, seed=0)
    >>> batch = collate_fn(list(words))
    >>> batch.window_lengths, batch.target_lengths
    (tensor([46, 28, 46, 28]), tensor([12,  8, 12,  8]))

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
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"expected samples (image, text), got {type(pair).__name__}")
        image = pair[0]
        check_floats("images", image)
        if image.dim() != 2 or image.shape[0] != HEIGHT:
            raise ValueError(f"expected images ({HEIGHT}, W), got {tuple(image.shape)}")
        if image.dtype != pairs[0][0].dtype:
            raise TypeError(f"expected images of one type, got {pairs[0][0].dtype}, {image.dtype}")
    images, texts = zip(*pairs)
    return list(images), list(texts)
