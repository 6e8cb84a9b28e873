"""Training words without end: what to write, so varied that a network learns shapes more than a
language, and what becomes of it on paper."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from torch import Tensor

from .degradation import ROUGH, Ink, Limits, Plan, boxes_after, degrade, plan
from .fonts import Face, draw_ink, no_ink

DRAWN = (16, 24, 32)
"""Sizes that faces are drawn at; what is between is scaled."""
LONGEST = 12
"""Letters of a word at most."""
EMPTY = 0.01
"""Share of strips on which nothing is written."""
Rng = np.random.Generator


def draw_text(rng: Rng, dictionary: Sequence[str] = ()) -> str:
    """One text, of printable ASCII without spaces.

    >>> draw_text(np.random.default_rng(5))
    'zbh_56'

    Args:
        dictionary: words to take some of the texts from.
    """
    kinds, shares = (KINDS, SHARES) if len(dictionary) else (KINDS[1:], SHARES[1:])
    kind = kinds[int(np.searchsorted(np.cumsum(shares) / sum(shares), rng.random(), "right"))]
    text = kind(rng, dictionary)
    return text[:LONGEST]


def _number_below(rng: Rng, most: int, least: int = 0) -> int:
    """A whole number from ``least`` to below ``most``."""
    return int(rng.integers(least, most))


def _pick(rng: Rng, symbols: Sequence[str], count: int) -> str:
    """So many symbols, drawn evenly."""
    return "".join(symbols[i] for i in rng.integers(0, len(symbols), count).tolist())


def _cased(rng: Rng, word: str) -> str:
    """As it is, Capitalised, or UPPER."""
    return (word, word, word.capitalize(), word.upper())[_number_below(rng, 4)]


def _from_dictionary(rng: Rng, dictionary: Sequence[str]) -> str:
    word = _cased(rng, dictionary[_number_below(rng, len(dictionary))])
    if rng.random() < 0.15:  # as it stands in a text
        word += (".", ",", "!", "?", ":", ";", "'s", "...")[_number_below(rng, 8)]
    if rng.random() < 0.05:
        left, right = (('"', '"'), ("'", "'"), ("(", ")"), ("[", "]"))[_number_below(rng, 4)]
        word = left + word[: LONGEST - 2] + right
    return word


def _letters(rng: Rng, _: Sequence[str]) -> str:
    """Any letters, a letter doubled now and then."""
    word = _pick(rng, string.ascii_lowercase, _number_below(rng, 9, 1))
    if rng.random() < 0.25:
        i = _number_below(rng, len(word))
        word = word[:i] + word[i] + word[i:]
    return _cased(rng, word)


def _mixed(rng: Rng, _: Sequence[str]) -> str:
    """Letters of either case, and digits."""
    return _pick(rng, string.ascii_letters + string.digits, _number_below(rng, 8, 1))


def _number(rng: Rng, _: Sequence[str]) -> str:
    """Counts, prices, shares, dates, times."""
    digits = _pick(rng, string.digits, _number_below(rng, 7, 1))
    day, month, year = rng.integers((1, 1, 1900), (29, 13, 2100)).tolist()
    return (
        digits,
        f"{int(digits):,}",
        f"${digits[:4]}.{_number_below(rng, 100):02}",
        f"{digits[:2]}.{digits[2:4] or 5}%",
        f"{day:02}.{month:02}.{year}",
        f"{year}-{month:02}-{day:02}",
        f"{month}/{day}/{year % 100:02}",
        f"{_number_below(rng, 24):02}:{_number_below(rng, 60):02}",
        f"+{digits}",
        f"#{digits}",
    )[_number_below(rng, 10)]


def _code(rng: Rng, _: Sequence[str]) -> str:
    """Part numbers, plates, names of files and addresses."""
    head = _pick(rng, string.ascii_uppercase, _number_below(rng, 4, 1))
    tail = _pick(rng, string.digits, _number_below(rng, 5, 1))
    word = _pick(rng, string.ascii_lowercase, _number_below(rng, 6, 2))
    return (
        f"{head}-{tail}",
        f"{head}{tail}",
        f"{tail}{head}",
        f"{word}_{tail}",
        f"{word}.{word[:3]}",
        f"{word}@{word[:2]}.{word[-2:]}",
        f"{word}/{word[:3]}",
        f"{word}={tail}",
        f"<{word}>",
    )[_number_below(rng, 9)]


def _symbols(rng: Rng, _: Sequence[str]) -> str:
    """Punctuation among letters and digits."""
    text = [*_pick(rng, string.ascii_letters + string.digits, _number_below(rng, 6, 1))]
    for _n in range(_number_below(rng, 4, 1)):
        text.insert(_number_below(rng, len(text) + 1), _pick(rng, string.punctuation, 1))
    return "".join(text)


KINDS: tuple[Callable[[Rng, Sequence[str]], str], ...] = (
    _from_dictionary,
    _letters,
    _mixed,
    _number,
    _code,
    _symbols,
)
SHARES = (0.35, 0.25, 0.12, 0.1, 0.08, 0.1)
"""Of each kind."""


class Sample(NamedTuple):
    """One word, drawn and planned."""

    text: str
    ink: Ink
    plan: Plan


class WordBatch(NamedTuple):
    """Words as a camera sees them."""

    images: Tensor
    """(B, 1, 32, W) in [0, 1], 0 black; white beyond a word's width."""
    widths: list[int]
    texts: list[str]
    boxes: list[np.ndarray]
    """Of each word (n, 4): left, top, right, bottom of each symbol's ink in pixels."""


@dataclass(frozen=True)
class Words:
    """Words in many faces, each a function of the seed and its number alone.

    >>> from ebm_ocr import default_font
    >>> words = Words([Face(default_font())], seed=0)
    >>> words.batch([3, 4]).images.equal(words.batch([4, 3]).images.flip(0))
    True
    """

    faces: Sequence[Face]
    seed: int
    limits: Limits = ROUGH
    dictionary: Sequence[str] = ()
    sizes: tuple[int, int] = (12, 30)
    """Least and largest size of the face, in pixels."""

    def sample(self, index: int) -> Sample:
        """One word, before anything happens to it."""
        rng = np.random.Generator(np.random.Philox(key=[self.seed, index]))
        face = self.faces[_number_below(rng, len(self.faces))]
        text = draw_text(rng, self.dictionary) if rng.random() >= EMPTY else ""
        return write(rng, face, text, rng.uniform(*self.sizes), self.limits)

    def batch(self, indices: Iterable[int]) -> WordBatch:
        """Some of the words, all that happens applied together."""
        return draw_words([self.sample(index) for index in indices])


def write(rng: Rng, face: Face, text: str, size: float, limits: Limits) -> Sample:
    """Write a text, as evenly as people do, and plan what happens to it.

    Args:
        size: of the face, in pixels.

    Raises:
        ValueError: a text with symbols that have no ink.
    """
    drawn = next((s for s in DRAWN if s >= size / 1.2), DRAWN[-1])
    spacing = drawn * (rng.uniform(-0.03, 0.2) if rng.random() < 0.5 else 0)
    jumps = rng.normal(0, 0.04 * drawn * (rng.random() < 0.2), len(text)).tolist()
    if text:
        ink = draw_ink(face, drawn, text, spacing, jumps)
    else:
        ink = no_ink(_number_below(rng, 160, 8), drawn)
    return Sample(text, ink, plan(rng, ink, size / drawn, limits))


def load_dictionary() -> list[str]:
    """English words of 2 to ``LONGEST`` small letters (GCIDE, by the package english-words).

    Raises:
        ModuleNotFoundError: the package is not installed: the extra ``train``.
    """
    from english_words import get_english_words_set  # type: ignore[import-untyped]

    words = get_english_words_set(["gcide"], alpha=True, lower=True)
    return sorted(word for word in words if word.isascii() and 2 <= len(word) <= LONGEST)


def draw_words(samples: Sequence[Sample]) -> WordBatch:
    """Do to each word what is planned for it."""
    inks, plans = [s.ink for s in samples], [s.plan for s in samples]
    return WordBatch(
        degrade(inks, plans),
        [p.width for p in plans],
        [s.text for s in samples],
        boxes_after(inks, plans),
    )
