"""The kernels' door: five questions to energies, answered on their device.

Who asks has checked shapes and types; values are looked at here, on the way. Shapes as in
:mod:`ebm_ocr.alignment`; ``gap`` is the class of separators that are optional, None where they are
required. :mod:`.reference` says what is computed, :mod:`.operator` what torch sees of it.
"""

from __future__ import annotations

import functools
import importlib.util
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Optional

import numpy as np
import torch
from torch import Tensor

from ..validation import as_array, check_values, widen, without_padding
from . import operator, reference
from .operator import GRADIENT

STRICT, WIDE, OPTIONAL = 2, 4, 8
"""Flags: a target that does not fit is an error; values are to be as wide as sums are; separators
are optional."""

PATIENCE = 32
"""Samples that are aligned without compiled kernels."""
_plain = ContextVar("plain", default=False)
_asked = 0


def run_align(
    energies: Tensor,
    targets: Tensor,
    window_lengths: Tensor,
    target_lengths: Tensor,
    gap: Optional[int],  # noqa: UP045 - torch reads the annotations
    beta: float,
    flags: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Align (B, L, C) float32 or float64 energies with (B, T) targets.

    Args:
        flags: any of :data:`STRICT`, :data:`WIDE` and :data:`GRADIENT`.

    Returns:
        What :func:`.reference.align` does.

    Raises:
        ValueError: see :func:`check`.
    """
    strict, wide, gradient = flags & STRICT, flags & WIDE, flags & GRADIENT
    energies = (energies.detach() if energies.requires_grad else energies).resolve_neg()
    inputs = (energies, targets, window_lengths, target_lengths)
    if energies.is_cpu and not _plain.get():
        arrays = tuple([tensor.contiguous().numpy() for tensor in inputs])
        shape, narrow = energies.shape, arrays[0].dtype
        results = (
            np.empty(shape[0], np.float64 if wide else narrow),
            np.empty(shape, narrow) if gradient else _nothing(narrow)[0],
            np.empty(shape[:2] if beta == math.inf else (0, 0), np.int64),
        )
        best_paths, free_energies, no_path = _on_cpu()
        if beta == math.inf:
            worst = best_paths(arrays, gap, results)
        else:
            worst = free_energies(arrays, gap, beta, results)
        if worst < (0 if strict else no_path):
            check(*inputs, gap, strict)
        slopes = torch.from_numpy(results[1]) if gradient else _nothing(narrow)[1]
        return torch.from_numpy(results[0]), slopes, torch.from_numpy(results[2])
    lattice = check(*inputs, gap, strict)
    values, slopes, path = _backend(energies)(energies, lattice, window_lengths, beta, gradient)
    return values if wide else values.to(energies.dtype), slopes, path


def check(
    energies: Tensor,
    targets: Tensor,
    window_lengths: Tensor,
    target_lengths: Tensor,
    gap: int | None,
    strict: int,
) -> reference.Lattice:
    """Look at every value; the lattice of the topology.

    Raises:
        ValueError: lengths or classes out of range, NaN or -inf energies,
            or with ``strict`` a target that does not fit in its windows.
    """
    check_values(energies, targets, window_lengths, target_lengths)
    lattice = reference.build_lattice(targets, target_lengths, gap)
    short = (~reference.feasible(lattice, window_lengths)).nonzero()[:, 0].tolist()
    if strict and short:
        first = short[0]
        needed = int(reference.needed_windows(lattice)[first]) if lattice.states[first] else "0"
        raise ValueError(
            f"sample {first} has {int(window_lengths[first])} windows, its target needs {needed}: "
            f"no path exists ({len(short)} of {len(energies)} samples do not fit)"
        )
    return lattice


def align_slopes(
    energies: Tensor,
    targets: Tensor,
    window_lengths: Tensor,
    target_lengths: Tensor,
    gap: int | None,
    beta: float,
    flags: int,
) -> Tensor:
    """The gradient of :func:`run_align`'s values in plain torch."""
    lattice = reference.build_lattice(targets, target_lengths, gap)
    wide = widen(without_padding(energies, window_lengths))
    return reference.class_posterior(wide, lattice, window_lengths, beta).to(energies.dtype)


def fake_align(
    energies: Tensor,
    targets: Tensor,
    window_lengths: Tensor,
    target_lengths: Tensor,
    gap: int | None,
    beta: float,
    flags: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Shapes and types of :func:`run_align`'s results."""
    batch, windows, _ = energies.shape
    path_shape = (batch, windows) if beta == math.inf else (0, 0)
    path = targets.new_empty(path_shape, dtype=torch.int64)
    values, slopes = _fake_sums(energies, flags)
    return values if flags & WIDE else values.to(energies.dtype), slopes, path


def run_all_words(
    energies: Tensor,
    window_lengths: Tensor,
    separator: int,
    beta: float,
    flags: int,
) -> tuple[Tensor, Tensor]:
    """Sum over the paths of all words.

    Args:
        flags: :data:`OPTIONAL` separators or not, and :data:`GRADIENT`.

    Returns:
        (B,) free energies, as wide as sums are; their gradient (B, L, C), empty if not wanted.
    """
    optional, gradient = flags & OPTIONAL, flags & GRADIENT
    energies = energies.detach().resolve_neg()
    nothing = window_lengths.new_zeros(len(energies), 1)
    check_values(energies, nothing, window_lengths, nothing[:, 0])
    if energies.is_cpu and not optional and beta < math.inf:
        from .cpu_words import sum_words

        array = energies.contiguous().numpy()
        summed = np.empty(len(array))
        found = np.empty(array.shape if gradient else (0, 0, 0), array.dtype)
        sum_words(array, window_lengths.contiguous().numpy(), separator, beta, summed, found)
        return torch.from_numpy(summed), torch.from_numpy(found)
    values = reference.all_words(widen(energies), window_lengths, beta, not optional, separator)
    slopes = energies.new_empty(0, 0, 0)
    if gradient:
        slopes = all_words_slopes(energies, window_lengths, separator, beta, flags)
    return values, slopes.contiguous()


def all_words_slopes(
    energies: Tensor,
    window_lengths: Tensor,
    separator: int,
    beta: float,
    flags: int,
) -> Tensor:
    """The gradient of :func:`run_all_words`' values in plain torch."""
    required = not flags & OPTIONAL
    slopes = reference.all_words_posterior(
        widen(energies), window_lengths, beta, required, separator
    )
    return slopes.to(energies.dtype)


def run_posterior(
    energies: Tensor,
    targets: Tensor,
    window_lengths: Tensor,
    target_lengths: Tensor,
    gap: Optional[int],  # noqa: UP045
    beta: float,
    strict: bool,
) -> Tensor:
    """(B, L, T) probability that a window shows a symbol of the target, as wide as sums are."""
    inputs = energies.detach(), targets, window_lengths, target_lengths
    check(*inputs, gap, strict)
    return plain_posterior(*inputs, gap, beta, strict).contiguous()


def plain_posterior(
    energies: Tensor,
    targets: Tensor,
    window_lengths: Tensor,
    target_lengths: Tensor,
    gap: int | None,
    beta: float,
    strict: bool,
) -> Tensor:
    """:func:`run_posterior` in plain torch, nothing checked."""
    lattice = reference.build_lattice(targets, target_lengths, gap)
    return reference.symbol_posterior(energies, lattice, window_lengths, beta, targets.shape[1])


align = operator.operation("align", run_align, align_slopes, fake_align)
"""``align(energies, targets, window_lengths, target_lengths, gap, beta, flags)``:
:func:`run_align`, differentiable, for whoever traces or transforms."""

all_words = operator.operation(
    "all_words",
    run_all_words,
    all_words_slopes,
    lambda energies, *rest: _fake_sums(energies, rest[-1]),
)
"""``all_words(energies, window_lengths, separator, beta, flags)``: :func:`run_all_words`
likewise."""

posterior = operator.function(
    "posterior",
    run_posterior,
    plain_posterior,
    lambda energies, targets, *_: widen(energies.new_empty(*energies.shape[:2], targets.shape[1])),
)
""":func:`run_posterior` likewise."""


def search(
    energies: Tensor, lengths: Sequence[int], kept: Sequence[int], optional: bool, n: int
) -> Iterator[list[tuple[tuple[int, ...], float]]]:
    """The ``n`` words of least energy of each sample, on the CPU: their classes, their energies.

    Args:
        energies: (B, L, C), looked at already.
        lengths: windows of each sample.
        kept: the classes that may come, the separator last.
    """
    from .cpu_words import best_words

    for sample in _samples(energies, lengths, kept):
        if not len(sample):  # no windows show no letters
            yield [((), 0.0)] if optional else []
            continue
        words, values = best_words(sample, optional, n)
        classes = (tuple(kept[c] for c in word if c >= 0) for word in words.tolist())
        yield sorted(zip(classes, values.tolist()), key=lambda found: found[1])


def lexicon(
    energies: Tensor,
    lengths: Sequence[int],
    separator: int,
    optional: bool,
    beta: float,
    words: np.ndarray,
) -> Tensor:
    """(B, N) float64 free energy of each word in each sample, on the CPU.

    Args:
        energies: (B, L, C), looked at already.
        lengths: windows of each sample.
        words: (N, W) classes, -1 behind each word.
    """
    from .cpu_words import rank_words

    classes = energies.shape[2]
    kept = [c for c in range(classes) if c != separator] + [separator]
    place = np.full(classes + 1, -1)  # what stands for no letter stays that
    place[kept] = np.arange(classes)
    table = place[words]
    order = np.lexsort(table.T[::-1])
    table = np.ascontiguousarray(table[order])
    shared = np.zeros(len(table), np.int64)  # letters, with the word in front
    shared[1:] = (table[1:] == table[:-1]).cumprod(1).sum(1)
    found = np.empty((len(lengths), len(table)))
    for b, sample in enumerate(_samples(energies, lengths, kept)):
        values = np.empty(len(table))
        rank_words(sample, optional, beta, table, shared, values)
        found[b, order] = values
    return torch.from_numpy(found)


@contextmanager
def compile_later(samples: int) -> Iterator[None]:
    """Align in plain torch as long as the kernels are not loaded and fewer than ``PATIENCE``
    samples were asked for in this process: loading them takes longer, and compiling, once, much
    longer. Sums agree to the rounding of float64.

    Args:
        samples: that are asked for now.
    """
    global _asked
    _asked += samples
    token = _plain.set(_asked <= PATIENCE and not _on_cpu.cache_info().currsize)
    try:
        yield
    finally:
        _plain.reset(token)


def _samples(energies: Tensor, lengths: Sequence[int], kept: Sequence[int]) -> Iterator[np.ndarray]:
    """(L, C) float64 of one sample after another: its own windows, and the classes that may come,
    the separator last."""
    values = energies.detach().resolve_neg()
    whole = [*kept] == list(range(energies.shape[2]))
    for sample, length in zip(values, lengths):
        rows = sample[:length] if whole else sample[:length, kept]
        yield as_array(rows.cpu().double().contiguous())


def _backend(energies: Tensor) -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    """Who aligns on a device that is not the CPU."""
    if energies.device.type == "cuda" and importlib.util.find_spec("triton") is not None:
        from .cuda import align as align_on_cuda

        return align_on_cuda
    return reference.align


def _fake_sums(energies: Tensor, flags: int) -> tuple[Tensor, Tensor]:
    """Shapes and types of free energies and their gradient."""
    slopes = energies.new_empty(energies.shape if flags & GRADIENT else (0, 0, 0))
    return widen(energies.new_empty(energies.shape[0])), slopes


@functools.cache
def _on_cpu() -> tuple[Callable[..., int], Callable[..., int], int]:
    """The kernels for the CPU, and what they call a target that does not fit; loaded when they are
    first called: numba takes half a second."""
    from .cpu import NO_PATH, best_paths
    from .cpu_sums import free_energies

    return best_paths, free_energies, NO_PATH


@functools.cache
def _nothing(dtype: np.dtype) -> tuple[np.ndarray, Tensor]:
    """What stands for a gradient that nobody wants; made once: it takes longer than the checks."""
    array = np.empty((0, 0, 0), dtype)
    return array, torch.from_numpy(array)
