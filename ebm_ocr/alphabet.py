"""Text to classes and back: an alphabet as a value, and that of the homework.

A network tells classes apart: the symbols of an alphabet, in order, and among them the separator,
which stands between symbols and is none itself. Words are aligned with their spelling, a separator
behind each symbol: ``cat`` becomes ``c_a_t_``.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, groupby
from typing import cast
from unicodedata import combining, normalize

import torch
from torch import Tensor

from .validation import Separators, as_classes, as_optional, as_words, whole_number

Word = str | Sequence[str]
"""A text; in an alphabet of longer symbols, the symbols one by one."""


@dataclass(frozen=True)
class Alphabet:
    """Symbols, the place of the separator among the classes, and how the separator is shown.

    Symbols are compared in NFC, Unicode's composed form: ``e`` and a combining accent are ``é``.

    >>> greek = Alphabet("αβγδ", separator=0)
    >>> greek.size, greek.encode("δαδ"), greek.decode([4, 4, 0, 1, 0, 0, 4])
    (5, [4, 1, 4], 'δαδ')

    Args:
        symbols: distinct, not empty: a str of characters, or a sequence of strings of any length,
            such as a tokenizer's.
        separator: its class, 0..size - 1; by default the last one.
        sign: how the separator is shown; it may look like a symbol.

    Raises:
        TypeError: symbols that are no strings, a separator that is no whole number.
        ValueError: no symbols, an empty one, the same one twice, a separator out of range.
    """

    symbols: Sequence[str]
    """In the order of their classes, the separator left out."""
    separator: int = -1
    sign: str = "_"
    places: dict[str, int] = field(init=False, repr=False, compare=False)
    """The class of each symbol."""
    single: bool = field(init=False, repr=False, compare=False)
    """Whether a str can be cut: each symbol is one character, and none compose with each other."""

    def __post_init__(self) -> None:
        if not isinstance(self.symbols, Sequence) or not isinstance(self.sign, str):
            raise TypeError(f"expected symbols and a sign as strings, got {self.symbols!r:.80}")
        if not all(isinstance(symbol, str) for symbol in self.symbols):
            raise TypeError(f"expected symbols as strings, got {self.symbols!r:.80}")
        given = _characters(self.symbols) if isinstance(self.symbols, str) else self.symbols
        symbols = tuple(normalize("NFC", symbol) for symbol in given)
        if not symbols or "" in symbols:
            raise ValueError(f"expected symbols, none of them empty, got {self.symbols!r:.80}")
        if len(set(symbols)) < len(symbols):
            twice = next(symbol for symbol in symbols if symbols.count(symbol) > 1)
            raise ValueError(f"expected distinct symbols, got {twice!r} twice")
        last = len(symbols)
        separator = last if self.separator == -1 else whole_number("a separator", self.separator)
        if not 0 <= separator <= last:
            raise ValueError(f"expected a separator's class in 0..{last}, got {separator}")
        classes = [place + (place >= separator) for place in range(last)]
        single = isinstance(self.symbols, str) or all(
            min(len(a), len(b)) == 1 for a, b in zip(given, symbols)
        )
        object.__setattr__(self, "symbols", symbols)  # frozen
        object.__setattr__(self, "separator", separator)
        object.__setattr__(self, "places", dict(zip(symbols, classes)))
        object.__setattr__(self, "single", single and not _compose(symbols))

    @classmethod
    def from_names(cls, names: Sequence[str], separator: int = 0) -> Alphabet:
        """The alphabet of a model's vocabulary, a name a class, the separator's among them.

        >>> Alphabet.from_names(["<blank>", "|", "E", "T"]).encode(["T", "|"])
        [3, 1]

        Args:
            names: of all classes, in their order.
            separator: the class that is one: a CTC model's blank, most often the first.

        Raises:
            TypeError, ValueError: no names, a separator out of range, see :class:`Alphabet`.
        """
        if not isinstance(names, Sequence) or isinstance(names, str):
            raise TypeError(f"expected names as a list of strings, got {names!r:.80}")
        separator = whole_number("a separator", separator, 0, len(names) - 1)
        return cls([*names[:separator], *names[separator + 1 :]], separator, names[separator])

    @property
    def size(self) -> int:
        """Number of classes: the symbols and the separator."""
        return len(self.symbols) + 1

    @cached_property
    def names(self) -> tuple[str, ...]:
        """How each class is shown."""
        return (*self.symbols[: self.separator], self.sign, *self.symbols[self.separator :])

    def __str__(self) -> str:
        """The symbols, ``a..z`` where they are neighbours in Unicode."""
        if self.single and len({ord(s) - i for i, s in enumerate(self.symbols)}) == 1:
            return f"{self.symbols[0]}..{self.symbols[-1]}"
        if self.single and len(self.symbols) < 80:
            return "".join(self.symbols)
        more = len(self.symbols) - 9
        return ", ".join(map(repr, self.symbols[:9])) + (f" and {more} more" if more > 0 else "")

    def encode(self, text: Word) -> list[int]:
        """The class of each symbol of a text.

        Args:
            text: a str where each symbol is one character; else a sequence of symbols, since a
                vocabulary does not say how a text is cut.

        Raises:
            TypeError: no text, or a str for symbols of several characters.
            ValueError: a symbol that is not of this alphabet.
        """
        return [self.places[symbol] for symbol in self._cut(text)]

    def encode_all(self, texts: Sequence[Word]) -> tuple[list[int], list[int]]:
        """:meth:`encode` of many texts at once: all their classes in a row, and how many of each.

        Errors: see :meth:`encode`.
        """
        if self.single and all(isinstance(text, str) and text.isascii() for text in texts):
            found = [*map(self.places.get, chain.from_iterable(texts))]
            if None not in found:
                return cast("list[int]", found), [*map(len, texts)]
        encoded = [self.encode(text) for text in texts]
        return [symbol for row in encoded for symbol in row], [*map(len, encoded)]

    def _cut(self, text: Word) -> list[str]:
        """The symbols of a text in NFC, or an error that says what is wrong with them."""
        if isinstance(text, str):
            if not self.single:
                raise TypeError(
                    "expected a sequence of symbols, since some are longer than a character, "
                    f"such as list({text!r:.40}), got a str; the symbols are {self}"
                )
            # compilers of torch can follow ASCII, which has one form only
            symbols = list(text) if text.isascii() else self._joined(_characters(text))
        elif isinstance(text, Sequence) and all(isinstance(symbol, str) for symbol in text):
            symbols = [s if s.isascii() else normalize("NFC", s) for s in text]
        else:
            raise TypeError(
                f"expected a word, a str or a sequence of symbols, got {type(text).__name__}: "
                f"{text!r:.80}"
            )
        strange = sorted({symbol for symbol in symbols if symbol not in self.places})
        if strange:
            shown = ", ".join(map(_shown, strange[:9]))
            raise ValueError(f"expected only the symbols {self}, got {shown} in {text!r:.80}")
        return symbols

    def _joined(self, characters: list[str]) -> list[str]:
        """Characters, those that are only pieces of a symbol put together."""
        found: list[str] = []
        for character in characters:
            piece = character not in self.places and found
            if piece and found[-1] + character in self.places:
                found[-1] += character
            else:
                found.append(character)
        return found

    def decode(self, classes: Sequence[int] | Tensor, separators: Separators = "required") -> str:
        """Read a text from one class a window: ``aaab_bab_`` becomes ``ab``.

        Separators cut the windows into segments; each votes for its most common symbol (of equally
        common ones, the first to appear wins). A symbol written twice survives because a separator
        stands in between. Where separators are optional, as in CTC, equal neighbours become one and
        separators go: ``aaab_bab_`` becomes ``abbab``.

        >>> LATIN.decode([0, 0, 1, 26, 1]), LATIN.decode([0, 0, 1, 26, 1], "optional")
        ('ab', 'abb')

        Args:
            classes: (L,) integers in 0..size - 1.
            separators: "required" or "optional", as the model was trained.

        Raises:
            TypeError, ValueError: not one-dimensional, not integers, or out of range.
        """
        return self.read(as_classes(classes, self.size), as_optional(separators))

    def read(self, classes: Sequence[int], optional: bool = False) -> str:
        """:meth:`decode` of classes that are known to be some."""
        if optional:
            runs = (symbol for symbol, _ in groupby(classes) if symbol != self.separator)
            return "".join(map(self.names.__getitem__, runs))
        segments = "".join(map(chr, classes)).split(chr(self.separator))
        winners = [max(dict.fromkeys(part), key=part.count) for part in segments if part]
        return "".join(self.names[ord(winner)] for winner in winners)

    def spell(self, texts: Iterable[Word]) -> tuple[Tensor, Tensor]:
        """Targets to align with, a separator behind each symbol.

        Returns:
            (B, T) int64, padded with separators, and their (B,) lengths.

        Raises:
            TypeError, ValueError: see :meth:`encode`; no texts at all.
        """
        return self.interleave([self._symbols(text) for text in as_words(texts)])

    def interleave(self, words: list[list[int]]) -> tuple[Tensor, Tensor]:
        """:meth:`spell` of words that are classes already; an empty one has the length 0."""
        # lists: pad_sequence of tensors gives other values within torch.func.linearize
        lengths = [2 * len(word) for word in words]
        gaps = max(1, *map(len, words))
        padded = [word + [self.separator] * (gaps - len(word)) for word in words]
        targets = [[c for symbol in row for c in (symbol, self.separator)] for row in padded]
        return torch.tensor(targets, dtype=torch.int64), torch.tensor(lengths)

    def spelling(self, text: Word) -> list[int]:
        """The classes of a text of at least one symbol, a separator behind each."""
        return [c for symbol in self._symbols(text) for c in (symbol, self.separator)]

    def _symbols(self, text: Word) -> list[int]:
        """:meth:`encode` of a text that may not be empty."""
        symbols = self.encode(text)
        if not symbols:
            raise ValueError(f"expected at least one symbol of {self}, got an empty text")
        return symbols

    def subset(self, charset: str | Iterable[str] | None) -> list[int]:
        """The classes of the symbols that may come, in order; of None, all of them.

        >>> LATIN.subset("a-cx")
        [0, 1, 2, 23]

        Args:
            charset: a str of characters and ranges as in ``tr``, such as ``a-z0-9``; a ``-`` that
                stands for itself comes first or last. What a range holds beyond the alphabet does
                not count. Or symbols one by one, taken literally.

        Raises:
            TypeError: neither.
            ValueError: a range that falls, a symbol that is not of this alphabet, or nothing.
        """
        if charset is None:
            return sorted(self.places.values())
        if isinstance(charset, str):
            wanted = self._ranges(_characters(charset))
        elif isinstance(charset, Iterable) and not isinstance(charset, bytes):
            wanted = set(self._cut([*charset]))
        else:
            raise TypeError(f"expected a charset such as 'a-z', or symbols, got {charset!r}")
        if not wanted:
            raise ValueError(f"expected a charset with symbols of {self}, got {charset!r}")
        return sorted(self.places[symbol] for symbol in wanted)

    def _ranges(self, charset: list[str]) -> set[str]:
        """The symbols of a charset as in ``tr``."""
        wanted: set[str] = set()
        at = 0
        while at < len(charset):
            first, *behind = charset[at : at + 3]
            if len(behind) == 2 and behind[0] == "-":
                last = behind[1]
                if first > last:
                    raise ValueError(f"expected a range that rises, got {first}-{last}")
                wanted.update(s for s in self.symbols if len(s) == 1 and first <= s <= last)
                at += 3
            else:
                wanted.update(self._cut([first]))
                at += 1
        return wanted


def _characters(text: str) -> list[str]:
    """The characters of a text, each in NFC, which a few scripts write with two code points."""
    found: list[str] = []
    for character in text:
        whole = normalize("NFC", found[-1] + character) if found else ""
        if len(whole) == 1:
            found[-1] = whole
        else:
            found.append(normalize("NFC", character))
    return found


def _shown(symbol: str) -> str:
    """A symbol for an error message; a piece of one, such as an accent alone, by its number."""
    pieces = "".join(f" U+{ord(c):04X}" for c in symbol if combining(c))
    return f"{symbol!a} (a combining mark,{pieces})" if pieces else repr(symbol)


def _compose(symbols: tuple[str, ...]) -> bool:
    """Whether two symbols side by side are another character in NFC, such as an accent's."""
    joining = [s for s in symbols if combining(s[0]) or "\u1161" <= s[0] <= "\u11c2"]
    return any(normalize("NFC", a + s) != a + s for s in joining for a in symbols)


LETTERS = string.ascii_lowercase
LATIN = Alphabet(LETTERS)
"""The homework's: a..z, and the separator as the last class, so that ``a`` is 0."""
BETWEEN = LATIN.separator
"""Class of the separator ``_``: 26, the last one."""
SYMBOLS = "".join(LATIN.names)
BEGINNINGS = (*(Alphabet(LETTERS[:n]) for n in range(1, BETWEEN)), LATIN)
"""The first letters, for models of fewer classes."""
ALPHABET_SIZE = LATIN.size


def transform_word(word: str) -> Tensor:
    """Spell a word of a..z as classes, a separator after every letter: ``cat`` becomes ``c_a_t_``.

    >>> transform_word("cat")
    tensor([ 2, 26,  0, 26, 19, 26])

    Returns:
        (2 * len(word),) int64: letters 0..25 at even places, ``BETWEEN`` at odd ones.

    Raises:
        TypeError, ValueError: not a word of at least one letter a..z, see :meth:`Alphabet.encode`.
    """
    return torch.tensor(LATIN.spelling(word))


def indices_to_str(indices: Sequence[int] | Tensor) -> str:
    """Read a word of a..z from one class per window: ``aaab_bab_`` becomes ``ab``.

    >>> indices_to_str([0, 0, 0, 1, 26, 1, 0, 1, 26])
    'ab'

    Args and errors: see :meth:`Alphabet.decode`.
    """
    return LATIN.decode(indices)


def spell(words: Sequence[str]) -> tuple[Tensor, Tensor]:
    """:func:`transform_word` for a batch, see :meth:`Alphabet.spell`.

    >>> targets, target_lengths = spell(["cat", "at"])
    >>> LATIN.decode(targets[1, : target_lengths[1]])
    'at'
    """
    return LATIN.spell(words)


def alphabet_for(alphabet: Alphabet | None, classes: int) -> Alphabet:
    """The alphabet of so many classes; None is a..z, or its first letters where there are fewer.

    Raises:
        TypeError: no alphabet.
        ValueError: another number of classes.
    """
    if alphabet is None and 2 <= classes <= LATIN.size:
        return BEGINNINGS[classes - 2]
    if alphabet is None:
        raise ValueError(
            f"expected 2..{LATIN.size} classes, letters and a separator, or alphabet=, "
            f"got {classes}"
        )
    if not isinstance(alphabet, Alphabet):
        raise TypeError(f"expected an Alphabet, got {type(alphabet).__name__}")
    if alphabet.size != classes:
        raise ValueError(
            f"expected {alphabet.size} classes, the symbols {alphabet} and a separator, "
            f"got {classes}"
        )
    return alphabet
