"""Energies to text: the vote of the windows, and exact search among all words.

The classes of C are the letters from ``a`` on, and the separator last. A word's energy is that of
its best path, or its free energy at inverse temperature beta, as in :func:`ebm_ocr.free_energy`.
Where separators are required a word has one or more letters; where they are optional the empty word
counts too. Searches run on the CPU, in float64, without gradient.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .alignment import TOPOLOGIES, Separators, free_energy
from .alphabet import ALPHABET_SIZE, BETWEEN, LETTERS, SYMBOLS, spell, vote
from .validation import (
    as_beta,
    as_lengths,
    as_words,
    check_choice,
    check_energies,
    check_values,
    narrow,
    whole_number,
    widen,
)


class Reading(NamedTuple):
    """A word, and how badly it fits."""

    text: str
    energy: float


def greedy_decode(energies: Tensor, window_lengths: Tensor | None = None) -> list[str]:
    """Read each sample from the lowest-energy class of every window,
    see :func:`ebm_ocr.indices_to_str`.

    Args:
        energies: (B, L, 27).
        window_lengths: (B,) how many windows of each sample count; default L.

    Raises:
        TypeError, ValueError: not (B, L, 27) floats, NaN or -inf energies, a window in which every
            class is inf, or lengths that don't fit.
    """
    lengths = _check_windows(energies, window_lengths)
    if energies.shape[2] != ALPHABET_SIZE:
        raise ValueError(f"expected energies (B, L, {ALPHABET_SIZE}), got {tuple(energies.shape)}")
    lowest, classes = energies.detach().min(2)
    inside = torch.arange(energies.shape[1]) < torch.tensor(lengths)[:, None]
    if ((lowest == math.inf).cpu() & inside).any():
        raise ValueError("expected a lowest class in each window, got one with nothing but inf")
    symbols = "".join(map(SYMBOLS.__getitem__, classes.flatten().tolist()))
    starts = range(0, len(symbols), energies.shape[1])
    return [vote(symbols[start : start + length]) for start, length in zip(starts, lengths)]


def best_word(
    energies: Tensor,
    window_lengths: Tensor | None = None,
    separators: Separators = "required",
) -> list[Reading]:
    """The word of least energy of each sample, over all words of any length and all their paths.

    Args and errors: see :func:`n_best`.

    Raises:
        ValueError: a sample in which no word has a finite energy.
    """
    return [
        _first(found, b) for b, found in enumerate(n_best(energies, 1, window_lengths, separators))
    ]


def exact_decode(
    energies: Tensor, window_lengths: Tensor | None = None, separators: Separators = "required"
) -> list[str]:
    """The texts of :func:`best_word`: a reader to put in the place of :func:`greedy_decode`."""
    return [reading.text for reading in best_word(energies, window_lengths, separators)]


def n_best(
    energies: Tensor,
    n: int,
    window_lengths: Tensor | None = None,
    separators: Separators = "required",
) -> list[list[Reading]]:
    """The ``n`` words of least energy of each sample, in order;
    fewer where fewer have a finite energy.

    Exact, by A* in the tree of prefixes (Hart, Nilsson & Raphael 1968) with the true cost of the
    cheapest way to go on, so only prefixes of the words found are ever opened: about ``n * L``
    steps of O(C L). Of words with the same energy any may come first.

    Args:
        energies: (B, L, C), lower is better, C from 2 to 27.
        n: how many, at least 1.
        window_lengths: (B,) how many windows of each sample count; default L.
        separators: "required" or "optional", see :func:`ebm_ocr.free_energy`.

    Raises:
        TypeError, ValueError: see :func:`ebm_ocr.free_energy`; more than 27 classes; ``n`` below 1.
    """
    n = whole_number("n", n, 1)
    from .kernels.cpu_words import best_words

    readings = []
    for sample in _samples(energies, window_lengths, separators):
        if not len(sample):  # no windows show no letters
            readings.append([Reading("", 0.0)] if separators == "optional" else [])
            continue
        words, values = best_words(sample, separators == "optional", n)
        texts = ["".join(LETTERS[c] for c in word if c >= 0) for word in words.tolist()]
        readings.append(
            sorted(map(Reading, texts, values.tolist()), key=lambda reading: reading.energy)
        )
    return readings


def most_offending(
    energies: Tensor,
    words: Sequence[str],
    window_lengths: Tensor | None = None,
    separators: Separators = "required",
) -> list[Reading]:
    """The word of least energy other than the right one, of each sample:
    what training should raise first.

    Args:
        words: B right words.

    Args and errors otherwise: see :func:`n_best`.

    Raises:
        ValueError: a sample in which no other word has a finite energy.
    """
    words = _check_words(words, energies, separators, one_a_sample=True)
    first_two = n_best(energies, 2, window_lengths, separators)
    others = [
        [reading for reading in pair if reading.text != word]
        for pair, word in zip(first_two, words)
    ]
    return [_first(found, b) for b, found in enumerate(others)]


def rank(
    energies: Tensor,
    words: Sequence[str],
    window_lengths: Tensor | None = None,
    beta: float = math.inf,
    separators: Separators = "required",
) -> Tensor:
    """Free energy of each word of a list in each sample;
    work is shared among words that begin alike.

    Args:
        words: N words, in any order; where separators are optional the empty one may be among them.
        beta: inverse temperature in (0, inf].

    Args and errors otherwise: see :func:`n_best`.

    Returns:
        (B, N) in the dtype of the energies, at least float32, and on their device;
        inf for words that do not fit. ``argmin(1)`` is the best.
    """
    beta = as_beta(beta)
    samples = _samples(energies, window_lengths, separators)
    words = _check_words(words, energies, separators)
    order = sorted(range(len(words)), key=words.__getitem__)
    # with more letters than windows, none fits
    width = min(max(map(len, words)), energies.shape[1] + 1)
    text = "".join(words[i][:width].ljust(width) for i in order).encode()
    table = np.frombuffer(text, np.uint8).reshape(len(words), width).astype(np.int64) - ord("a")
    table[table < 0] = -1  # the blanks behind a word
    shared = np.zeros(len(words), np.int64)
    shared[1:] = (table[1:] == table[:-1]).cumprod(1).sum(1)
    from .kernels.cpu_words import rank_words

    found = np.empty((len(samples), len(words)))
    for b, sample in enumerate(samples):
        values = np.empty(len(words))
        rank_words(sample, separators == "optional", beta, table, shared, values)
        found[b, order] = values
    return narrow(torch.from_numpy(found), energies).to(energies.device)


def word_probability(
    energies: Tensor,
    words: Sequence[str],
    window_lengths: Tensor | None = None,
    beta: float = 1.0,
    separators: Separators = "required",
) -> Tensor:
    """Gibbs probability of a word among all words:
    ``exp(-beta (F(x, y) - F(x)))``, F(x) over all words.

    Args:
        words: B words, one a sample.
        beta: inverse temperature, finite.

    Args and errors otherwise: see :func:`ebm_ocr.free_energy`.

    Returns:
        (B,) differentiable, at least float32; 0 for words that do not fit.
    """
    if as_beta(beta) == math.inf:
        raise ValueError(f"expected a finite beta above 0, got {beta}")
    check_energies(energies)
    wide = widen(energies)
    # a window's level cancels, and large ones would round
    lowest = wide.detach().amin(2, keepdim=True)
    wide = wide - lowest.where(lowest.isfinite(), 0)
    word = word_energy(wide, words, window_lengths, beta, separators)
    every = free_energy(wide, None, window_lengths, None, beta, separators)
    fits = word < math.inf
    probability = torch.exp(beta * (every.where(fits, 0) - word.where(fits, 0))).clamp(max=1)
    return narrow(probability.where(fits, 0), energies)


def word_energy(
    energies: Tensor,
    words: Sequence[str],
    window_lengths: Tensor | None = None,
    beta: float = math.inf,
    separators: Separators = "required",
) -> Tensor:
    """Free energy of one word a sample, given as text; inf where it does not fit.

    Where separators are optional the empty word may be given too: it is separators from end to end.

    Args and errors: see :func:`ebm_ocr.free_energy`.

    Returns:
        (B,) differentiable.
    """
    words = _check_words(words, energies, separators, one_a_sample=True)
    targets, lengths = spell([word or LETTERS[0] for word in words])
    lengths = lengths.where(torch.tensor([bool(word) for word in words]), 0)
    last = energies.shape[2] - 1
    targets = targets.where(targets != BETWEEN, last).to(energies.device)
    return free_energy(
        energies, targets, window_lengths, lengths, beta, separators, infeasible="inf"
    )


def _samples(
    energies: Tensor, window_lengths: Tensor | None, separators: Separators
) -> list[np.ndarray]:
    """(L, C) float64 of each sample, its own windows only, checked."""
    check_choice("separators", separators, TOPOLOGIES)
    lengths = _check_windows(energies, window_lengths)
    classes = energies.shape[2]
    if not 2 <= classes <= ALPHABET_SIZE:
        raise ValueError(
            f"expected 2..{ALPHABET_SIZE} classes, letters and a separator, got {classes}"
        )
    values = energies.detach().cpu().double().contiguous().resolve_neg()
    transformed = torch._C._are_functorch_transforms_active()  # such tensors have no storage
    array = np.array(values.tolist()) if transformed else values.numpy()
    return [array[b, :length] for b, length in enumerate(lengths)]


def _check_windows(energies: Tensor, window_lengths: Tensor | None) -> list[int]:
    """How many windows of each sample count, all values looked at."""
    check_energies(energies)
    lengths = as_lengths("window_lengths", window_lengths, energies, energies.shape[1])
    nothing = lengths.new_zeros(len(lengths), 1)
    check_values(energies.detach(), nothing, lengths, nothing[:, 0])
    return lengths.tolist()


def _check_words(
    words: Sequence[str], energies: Tensor, separators: Separators, one_a_sample: bool = False
) -> list[str]:
    """The words as a list; those whose letters have no class are refused."""
    check_energies(energies)
    words = as_words(words, len(energies) if one_a_sample else None)
    if energies.shape[2] < 2:
        raise ValueError("expected at least 2 classes, letters and a separator, got 1")
    letters = set(LETTERS[: energies.shape[2] - 1])
    if not set("".join(words)) <= letters or ("" in words and separators == "required"):
        wrong = next(word for word in words if not set(word) <= letters or not word)
        raise ValueError(
            f"expected words of the letters {min(letters)}..{max(letters)}, got {wrong!r}"
        )
    return words


def _first(found: list[Reading], sample: int) -> Reading:
    """The best of the words found."""
    if not found:
        raise ValueError(f"sample {sample} has no such word of finite energy")
    return found[0]
