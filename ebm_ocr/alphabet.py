"""Text to symbols and back: 26 letters, and a separator that follows each of them."""

from __future__ import annotations

import string
from collections.abc import Sequence

import torch
from torch import Tensor

from .validation import as_integers, as_words

LETTERS = string.ascii_lowercase
BETWEEN = len(LETTERS)
"""Class of the separator ``_``: 26, the last one, so that ``a`` is 0."""
SYMBOLS = LETTERS + "_"
ALPHABET_SIZE = len(SYMBOLS)


def check_word(word: str) -> str:
    """Return ``word`` if it is one that the system can read.

    Raises:
        TypeError: not a string.
        ValueError: empty, or holds something else than the letters a..z.
    """
    if not isinstance(word, str):
        raise TypeError(f"expected a word as str, got {type(word).__name__}: {word!r}")
    if not word:
        raise ValueError("expected a word of at least one letter a..z, got an empty string")
    strange = sorted(set(word) - set(LETTERS))
    if strange:
        raise ValueError(f"expected only the letters a..z, got {''.join(strange)!r} in {word!r}")
    return word


def transform_word(word: str) -> Tensor:
    """Spell a word as classes, a separator after every letter: ``cat`` becomes ``c_a_t_``.

    Returns:
        (2 * len(word),) int64: letters 0..25 at even places, ``BETWEEN`` at odd ones.

    Raises:
        TypeError, ValueError: see :func:`check_word`.
    """
    return torch.tensor(symbols_of(word))


def symbols_of(word: str) -> list[int]:
    """The classes of a word's letters, a separator after each."""
    return [c for letter in check_word(word) for c in (LETTERS.index(letter), BETWEEN)]


def spell(words: Sequence[str]) -> tuple[Tensor, Tensor]:
    """:func:`transform_word` for a batch: (B, T) targets,
    padded with separators, and their (B,) lengths."""
    # lists: pad_sequence of tensors gives other values within torch.func.linearize
    targets = [symbols_of(word) for word in as_words(words)]
    lengths = [len(target) for target in targets]
    padded = [target + [BETWEEN] * (max(lengths) - len(target)) for target in targets]
    return torch.tensor(padded), torch.tensor(lengths)


def indices_to_str(indices: Sequence[int] | Tensor) -> str:
    """Read a word from one class per window: ``aaab_bab_`` becomes ``ab``.

    Separators cut the windows into segments; each segment votes for its most common letter (of
    equally common ones, the first to appear wins). A letter written twice survives because a
    separator stands in between.

    Args:
        indices: (L,) classes 0..26, one a window.

    Raises:
        ValueError: not one-dimensional, not integers, or a class outside 0..26.
    """
    classes = as_integers("classes", indices)
    if classes.dim() != 1:
        raise ValueError(f"expected (L,) integer classes, got shape {tuple(classes.shape)}")
    found = classes.tolist()
    if found and (min(found) < 0 or max(found) >= ALPHABET_SIZE):
        raise ValueError(f"expected classes 0..{ALPHABET_SIZE - 1}, got {min(found)}..{max(found)}")
    return vote("".join(map(SYMBOLS.__getitem__, found)))


def vote(symbols: str) -> str:
    """:func:`indices_to_str` of symbols ``a..z_`` in place of classes."""
    segments = filter(None, symbols.split(SYMBOLS[BETWEEN]))
    return "".join(max(dict.fromkeys(segment), key=segment.count) for segment in segments)
