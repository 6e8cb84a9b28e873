"""Energies to text: the vote of the windows, and exact search among all words.

Classes are those of an alphabet, by default a..z with the separator last; the searches take its
first letters where there are fewer classes. A word's energy is that of its best path, or its free
energy at inverse temperature beta, as in :func:`ebm_ocr.free_energy`. Where separators are required
a word has one or more symbols; where they are optional the empty word counts too. A charset is what
may come: of the other symbols each costs inf. Searches run on the CPU, in float64, without
gradient.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from . import kernels
from .alignment import free_energy
from .alphabet import LATIN, Alphabet, Word, alphabet_for
from .validation import (
    Separators,
    as_array,
    as_beta,
    as_lengths,
    as_optional,
    as_words,
    check_energies,
    check_values,
    narrow,
    whole_number,
    widen,
)


class Reading(NamedTuple):
    """A word, and how badly it fits.

    >>> Reading("ab", 1.5, (0, 1)).text
    'ab'
    """

    text: str
    energy: float
    classes: tuple[int, ...] = ()
    """Of its symbols, without separators."""


def greedy_decode(
    energies: Tensor,
    window_lengths: Tensor | None = None,
    separators: Separators = "required",
    *,
    alphabet: Alphabet | None = None,
    charset: str | Iterable[str] | None = None,
) -> list[str]:
    """Read each sample from the lowest-energy class of every window, see :meth:`Alphabet.decode`.

    >>> energies = torch.tensor([[[0.0, 1.0, 9.0], [9.0, 9.0, 0.0], [5.0, 1.0, 9.0]]])
    >>> greedy_decode(energies, alphabet=Alphabet("ab"))
    ['ab']

    Args:
        energies: (B, L, C).
        window_lengths: (B,) how many windows of each sample count; default L.
        separators: "required", the vote between two separators; "optional", CTC's way: equal
            neighbours are one symbol.
        alphabet: of the C classes; default a..z.
        charset: what may come, see :meth:`Alphabet.subset`; default everything.

    Raises:
        TypeError, ValueError: not (B, L, C) floats, NaN or -inf energies, a window in which every
            class is inf, lengths that don't fit, another number of classes than the alphabet's.
    """
    optional, lengths = as_optional(separators), _check_windows(energies, window_lengths)
    alphabet = alphabet_for(LATIN if alphabet is None else alphabet, energies.shape[2])
    lowest, classes = _restricted(energies.detach(), alphabet, charset).min(2)
    inside = torch.arange(energies.shape[1]) < torch.tensor(lengths)[:, None]
    if ((lowest == math.inf).cpu() & inside).any():
        raise ValueError("expected a lowest class in each window, got one with nothing but inf")
    rows = zip(classes.tolist(), lengths)
    return [alphabet.read(row[:length], optional) for row, length in rows]


def best_word(
    energies: Tensor,
    window_lengths: Tensor | None = None,
    separators: Separators = "required",
    *,
    alphabet: Alphabet | None = None,
    charset: str | Iterable[str] | None = None,
) -> list[Reading]:
    """The word whose best path has the least energy, of each sample, among all words of any length.

    By the sum over all of its paths another word may be more probable: :func:`word_probability`.

    >>> energies = torch.tensor([[[0.0, 9.0, 9.0], [1.0, 0.0, 9.0], [9.0, 9.0, 0.0]]])
    >>> best_word(energies, alphabet=Alphabet("ab"))
    [Reading(text='a', energy=1.0, classes=(0,))]

    Args and errors: see :func:`n_best`.

    Raises:
        ValueError: a sample in which no word has a finite energy.
    """
    found = n_best(energies, 1, window_lengths, separators, alphabet=alphabet, charset=charset)
    return [_first(readings, sample) for sample, readings in enumerate(found)]


def exact_decode(
    energies: Tensor,
    window_lengths: Tensor | None = None,
    separators: Separators = "required",
    *,
    alphabet: Alphabet | None = None,
    charset: str | Iterable[str] | None = None,
) -> list[str]:
    """The texts of :func:`best_word`: a reader to put in the place of :func:`greedy_decode`.

    >>> energies = torch.tensor([[[0.0, 9.0, 9.0], [1.0, 0.0, 9.0], [9.0, 9.0, 0.0]]])
    >>> exact_decode(energies, alphabet=Alphabet("ab"), charset="b")
    ['b']
    """
    found = best_word(energies, window_lengths, separators, alphabet=alphabet, charset=charset)
    return [reading.text for reading in found]


def n_best(
    energies: Tensor,
    n: int,
    window_lengths: Tensor | None = None,
    separators: Separators = "required",
    *,
    alphabet: Alphabet | None = None,
    charset: str | Iterable[str] | None = None,
) -> list[list[Reading]]:
    """The ``n`` words of least energy of each sample, each by its best path, in order; fewer where
    fewer have a finite energy.

    Exact, by A* in the tree of prefixes (Hart, Nilsson & Raphael 1968) with the true cost of the
    cheapest way to go on, so only prefixes of the words found are ever opened: about ``n * L``
    steps of O(C L). Of words with the same energy any may come first.

    >>> energies = torch.tensor([[[0.0, 2.0, 9.0], [9.0, 9.0, 0.0]]])
    >>> found = n_best(energies, 3, alphabet=Alphabet("ab"))[0]
    >>> [(reading.text, reading.energy) for reading in found]
    [('a', 0.0), ('b', 2.0)]

    Args:
        energies: (B, L, C), lower is better.
        n: how many, at least 1.
        window_lengths: (B,) how many windows of each sample count; default L.
        separators: "required": one behind each symbol, as the homework's network learns them;
            "optional": only between two equal symbols, as a CTC model learns them.
        alphabet: of the C classes, and which of them is the separator.
        charset: what may come, see :meth:`Alphabet.subset`; default everything.

    Raises:
        TypeError, ValueError: see :func:`ebm_ocr.free_energy`; another number of classes than the
            alphabet's, or more than a..z has without one; ``n`` below 1.
    """
    n = min(whole_number("n", n, 1), 2**31)  # more there are not
    optional, lengths = as_optional(separators), _check_windows(energies, window_lengths)
    alphabet = alphabet_for(alphabet, energies.shape[2])
    kept = [*alphabet.subset(charset), alphabet.separator]
    return [
        [
            Reading("".join(map(alphabet.names.__getitem__, word)), value, word)
            for word, value in found
        ]
        for found in kernels.search(energies, lengths, kept, optional, n)
    ]


def most_offending(
    energies: Tensor,
    words: Sequence[Word],
    window_lengths: Tensor | None = None,
    separators: Separators = "required",
    *,
    alphabet: Alphabet | None = None,
    charset: str | Iterable[str] | None = None,
) -> list[Reading]:
    """The word of least energy other than the right one, of each sample:
    what training should raise first.

    >>> energies = torch.tensor([[[0.0, 2.0, 9.0], [9.0, 9.0, 0.0]]])
    >>> most_offending(energies, ["a"], alphabet=Alphabet("ab"))[0].text
    'b'

    Args:
        words: B right words.

    Args and errors otherwise: see :func:`n_best`.

    Raises:
        ValueError: a sample in which no other word has a finite energy.
    """
    rights = _encode(words, energies, separators, alphabet)
    first_two = n_best(energies, 2, window_lengths, separators, alphabet=alphabet, charset=charset)
    others = [
        [reading for reading in pair if reading.classes != tuple(right)]
        for pair, right in zip(first_two, rights)
    ]
    return [_first(found, sample) for sample, found in enumerate(others)]


def lexicon_energies(
    energies: Tensor,
    words: Sequence[Word],
    window_lengths: Tensor | None = None,
    beta: float = math.inf,
    separators: Separators = "required",
    *,
    alphabet: Alphabet | None = None,
    charset: str | Iterable[str] | None = None,
) -> Tensor:
    """Free energy of each word of a list in each sample;
    work is shared among words that begin alike.

    >>> energies = torch.tensor([[[0.0, 2.0, 9.0], [9.0, 9.0, 0.0]]])
    >>> lexicon_energies(energies, ["a", "b", "ab"], alphabet=Alphabet("ab"))
    tensor([[0., 2., inf]])

    Args:
        words: N words, in any order; where separators are optional the empty one may be among them.
        beta: inverse temperature in (0, inf].

    Args and errors otherwise: see :func:`n_best`.

    Returns:
        (B, N) in the dtype of the energies, at least float32, and on their device;
        inf for words that do not fit, or are not of the charset. ``argmin(1)`` is the best.
    """
    beta, optional = as_beta(beta), as_optional(separators)
    lengths = _check_windows(energies, window_lengths)
    texts = as_words(words)
    alphabet = alphabet_for(alphabet, energies.shape[2])
    flat, sizes = alphabet.encode_all(texts)
    if not optional:
        _check_not_empty(sizes, alphabet)
    counts = np.array(sizes)
    table = np.full((len(texts), max(1, counts.max())), -1)
    table[np.arange(table.shape[1]) < counts[:, None]] = flat
    table = table[:, : energies.shape[1] + 1]  # with more letters than windows, none fits
    possible = _restricted(energies, alphabet, charset)
    found = kernels.lexicon(possible, lengths, alphabet.separator, optional, beta, table)
    return narrow(found, energies).to(energies.device)


def word_probability(
    energies: Tensor,
    words: Sequence[Word],
    window_lengths: Tensor | None = None,
    beta: float = 1.0,
    separators: Separators = "required",
    *,
    alphabet: Alphabet | None = None,
    charset: str | Iterable[str] | None = None,
) -> Tensor:
    """Gibbs probability of a word among all words:
    ``exp(-beta (F(x, y) - F(x)))``, F(x) over all words of the charset.

    Of a word that fits badly it is 0, as its gradient. What does not end is its logarithm, ``beta *
    (free_energy(energies, None, ..., separator=alphabet.separator) - word_energy(energies, ...))``.

    >>> word_probability(torch.zeros(1, 2, 3), ["a"], alphabet=Alphabet("ab"))  # a_ or b_
    tensor([0.5000])

    Args:
        words: B words, one a sample.
        beta: inverse temperature, finite.

    Args and errors otherwise: see :func:`n_best`.

    Returns:
        (B,) differentiable, at least float32; 0 for words that do not fit, or are not of the
        charset.
    """
    if as_beta(beta) == math.inf:
        raise ValueError(f"expected a finite beta above 0, got {beta}")
    check_energies(energies)
    letters = alphabet_for(alphabet, energies.shape[2])
    wide = _restricted(widen(energies), letters, charset)
    # a window's level cancels, and large ones would round
    lowest = wide.detach().amin(2, keepdim=True)
    wide = wide - lowest.where(lowest.isfinite(), 0)
    word = word_energy(wide, words, window_lengths, beta, separators, alphabet=alphabet)
    every = free_energy(wide, None, window_lengths, None, beta, separators, letters.separator)
    fits = word < math.inf
    probability = torch.exp(beta * (every.where(fits, 0) - word.where(fits, 0))).clamp(max=1)
    return narrow(probability.where(fits, 0), energies)


def word_energy(
    energies: Tensor,
    words: Sequence[Word],
    window_lengths: Tensor | None = None,
    beta: float = math.inf,
    separators: Separators = "required",
    *,
    alphabet: Alphabet | None = None,
    charset: str | Iterable[str] | None = None,
) -> Tensor:
    """Free energy of one word a sample, given as text; inf where it does not fit, or is not of the
    charset.

    Where separators are optional the empty word may be given too: it is separators from end to end.

    >>> energies = torch.tensor([[[0.0, 2.0, 9.0], [9.0, 9.0, 0.0]]])
    >>> word_energy(energies, ["b"], alphabet=Alphabet("ab"))
    tensor([2.])

    Args and errors: see :func:`ebm_ocr.free_energy` and :func:`n_best`.

    Returns:
        (B,) differentiable.
    """
    encoded = _encode(words, energies, separators, alphabet)
    letters = alphabet_for(alphabet, energies.shape[2])
    targets, lengths = letters.interleave(encoded)
    return free_energy(
        _restricted(energies, letters, charset),
        targets.to(energies.device),
        window_lengths,
        lengths,
        beta,
        separators,
        letters.separator,
        infeasible="inf",
    )


def _restricted(
    energies: Tensor, alphabet: Alphabet, charset: str | Iterable[str] | None
) -> Tensor:
    """Energies in which what may not come costs inf."""
    if charset is None:
        return energies
    closed = torch.ones(alphabet.size, dtype=torch.bool, device=energies.device)
    closed[[*alphabet.subset(charset), alphabet.separator]] = False
    return energies.masked_fill(closed, math.inf)


def _check_windows(energies: Tensor, window_lengths: Tensor | None) -> list[int]:
    """How many windows of each sample count, all values looked at."""
    check_energies(energies)
    lengths = as_lengths("window_lengths", window_lengths, energies, energies.shape[1])
    nothing = lengths.new_zeros(len(lengths), 1)
    check_values(energies.detach(), nothing, lengths, nothing[:, 0])
    if (window := energies[0, 0].detach()).max() <= 0 and abs(window.exp().sum() - 1) < 1e-3:
        warnings.warn(
            "expected energies, lower is better: these look like log-probabilities: "
            "pass -log_probs",
            stacklevel=4,
        )
    return as_array(lengths.cpu()).tolist()


def _encode(
    words: Sequence[Word],
    energies: Tensor,
    separators: Separators,
    alphabet: Alphabet | None,
) -> list[list[int]]:
    """The classes of the symbols of one word a sample."""
    check_energies(energies)
    texts = as_words(words, len(energies))
    letters = alphabet_for(alphabet, energies.shape[2])
    encoded = [letters.encode(text) for text in texts]
    if not as_optional(separators):
        _check_not_empty([*map(len, encoded)], letters)
    return encoded


def _check_not_empty(sizes: list[int], alphabet: Alphabet) -> None:
    """Refuse the word of no symbols."""
    if not all(sizes):
        raise ValueError(f"expected words of at least one symbol of {alphabet}, got ''")


def _first(found: list[Reading], sample: int) -> Reading:
    """The best of the words found."""
    if not found:
        raise ValueError(
            f"sample {sample} has no such word of finite energy (a word needs a window a symbol, "
            "and where separators are required another one)"
        )
    return found[0]
