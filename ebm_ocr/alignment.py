"""Energies and a target to paths and free energies, for batches: the one door to the kernels.

Shapes: B samples, L windows, T target symbols, C classes. ``energies`` (B, L, C) and ``targets`` (B, T) may be padded;
``window_lengths`` (B,) and ``target_lengths`` (B,) say how much of them counts (default: all), and what lies beyond
never changes a result. A path gives each window one target symbol: it starts on the first, ends on the last, and each
window stays or advances by one. With optional separators it may also pass over them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from .alphabet import BETWEEN
from .kernels import reference
from .kernels.operator import AllWords, Differentiable, align, check, is_plain, run
from .validation import as_lengths, check_energies, check_targets

WILDCARD = -1
"""A target symbol that any class matches, see ``wildcard`` of :func:`free_energy`."""

Separators = Literal["required", "optional"]
Infeasible = Literal["raise", "inf"]


@dataclass(frozen=True, eq=False)
class Alignment:
    """A batch of best paths; unpacks as ``free_energy, path``."""

    free_energy: Tensor
    """(B,) sum of the energies on each path; its gradient is 1 on the path and 0 elsewhere."""
    path: Tensor
    """(B, L) int64 target index of each window; -1 past a sample's end, on an optional separator that is not in the
    target, and where no path fits."""
    energies: Tensor = field(repr=False)
    """(B, L, C) what was aligned."""
    targets: Tensor = field(repr=False)
    """(B, T) what it was aligned with."""
    wildcard: float | None = None
    """Energy of a wildcard in each window."""

    def __iter__(self) -> Iterator[Tensor]:
        return iter((self.free_energy, self.path))


class Span(NamedTuple):
    """Neighbouring windows that show one symbol of the target."""

    symbol: int
    """Its class; :data:`WILDCARD` for a wildcard."""
    start: int
    """First window."""
    end: int
    """One past the last window."""
    energy: float
    """Sum over the windows of the symbol's energy."""
    confidence: float
    """Mean over the windows of the symbol's probability among all classes, ``softmax(-energies)``; 1 for a wildcard."""


def viterbi(
    energies: Tensor,
    targets: Tensor,
    window_lengths: Tensor | None = None,
    target_lengths: Tensor | None = None,
    separators: Separators = "required",
    separator: int = BETWEEN,
    *,
    wildcard: float | None = None,
    infeasible: Infeasible = "raise",
) -> Alignment:
    """Find the lowest-energy path of every sample; :func:`ebm_ocr.find_path` for a batch of any lengths.

    Ties stay, else advance; of equally good ends the later one counts. Arguments and errors as in
    :func:`free_energy`. Where all paths cost inf, the path is a legal one.
    """
    inputs = _prepare(energies, targets, window_lengths, target_lengths, separators, separator, wildcard, infeasible)
    values, _, path = _align(inputs, separator, separators, math.inf, infeasible)
    return Alignment(_narrow(values, energies), path, energies, targets, wildcard)


def free_energy(
    energies: Tensor,
    targets: Tensor | None = None,
    window_lengths: Tensor | None = None,
    target_lengths: Tensor | None = None,
    beta: float = math.inf,
    separators: Separators = "required",
    separator: int = BETWEEN,
    *,
    wildcard: float | None = None,
    infeasible: Infeasible = "raise",
) -> Tensor:
    r"""Free energy of every sample over all its paths, at inverse temperature ``beta``.

    :math:`F_\beta = -\frac{1}{\beta} \log \sum_z e^{-\beta E(z)}`, where a path's energy is the sum over its windows.
    At ``beta = inf`` it is the energy of the best path (Viterbi), at 1 the forward score of GTN and CTC. Its gradient
    with respect to the energies is the posterior of the paths: how probable it is that a window shows a class.

    Args:
        energies: (B, L, C) floats, lower is better; +inf forbids a class.
        targets: (B, T) integer classes. None sums over the paths of every word, of any length: :math:`e^{-\beta F}` is
            then the partition function. A word is one or more letters with a separator behind each where separators
            are required, and any letters, none included, where they are optional.
        window_lengths: (B,) integers, how many windows of each sample count; default L.
        target_lengths: (B,) integers, how many symbols of each target count; default T.
        beta: in (0, inf].
        separators: "required": every symbol of the target is passed, as in ``c_a_t_``. "optional": the target's
            letters are, and separators only where two equal letters meet; elsewhere, in front and behind included,
            they may stand or not. That is CTC (Graves et al. 2006): with ``energies = -log_softmax`` and
            ``beta = 1`` the result equals ``ctc_loss(blank=separator)``.
        separator: class of the separator; matters only where it is optional, or for every word.
        wildcard: energy per window of the symbol :data:`WILDCARD` (-1) in the targets, which any class matches.
        infeasible: what a target that does not fit in its windows is: "raise" an error, or of energy "inf" with
            gradient zero. An empty target fits optional separators, or no windows.

    Returns:
        (B,) in the dtype of ``energies`` (float32 under autocast), computed in float64 on a CPU and in at least
        float32 elsewhere; inf, with gradient zero, where each path meets a forbidden class.

    Raises:
        TypeError: energies not floating point, targets or lengths not integers.
        ValueError: shapes that don't fit, an empty batch, NaN or -inf energies, classes or lengths out of range, fewer
            windows than the target needs, an option unknown.
    """
    if not beta > 0:
        raise ValueError(f"expected beta in (0, inf], got {beta}")
    if targets is None:
        _check_options(separators, infeasible)
        if target_lengths is not None or wildcard is not None:
            raise ValueError("expected targets with target_lengths or a wildcard, got None: the sum over all words")
        return _all_words(energies, window_lengths, beta, separators, separator)
    inputs = _prepare(energies, targets, window_lengths, target_lengths, separators, separator, wildcard, infeasible)
    return _narrow(_align(inputs, separator, separators, float(beta), infeasible)[0], energies)


def posterior(
    energies: Tensor,
    targets: Tensor,
    window_lengths: Tensor | None = None,
    target_lengths: Tensor | None = None,
    beta: float = 1.0,
    separators: Separators = "required",
    separator: int = BETWEEN,
    *,
    wildcard: float | None = None,
    infeasible: Infeasible = "raise",
) -> Tensor:
    """Probability that each window shows each symbol of the target, over all paths at inverse temperature ``beta``.

    It is the gradient of the free energy with respect to the path matrix: a row for each window that sums to 1, and at
    ``beta = inf`` one-hot on the best path. Of optional separators only those in the target have a place in it. Rows
    past a sample's end, and samples without a finite path, are 0. For reading and plotting: plain torch, not the
    fast kernels.

    Args and errors: see :func:`free_energy`.

    Returns:
        (B, L, T), without gradient.
    """
    if not beta > 0:
        raise ValueError(f"expected beta in (0, inf], got {beta}")
    inputs = _prepare(energies, targets, window_lengths, target_lengths, separators, separator, wildcard, infeasible)
    lattice = check(inputs[0].detach(), *inputs[1:], separator, separators == "optional", infeasible == "raise")
    matrix = reference.path_matrix(inputs[0].detach(), lattice.symbols)
    if math.isinf(beta):
        states = reference.best_path(matrix, lattice, inputs[2])
        chosen = torch.arange(matrix.shape[2], device=matrix.device) == states[..., None]
        finite = matrix.where(chosen, 0).sum((1, 2)).isfinite()
        shares = (chosen & finite[:, None, None]).to(matrix.dtype)
    else:
        with torch.enable_grad():
            matrix.requires_grad_()
            values = reference.free_energy(matrix, lattice, inputs[2], beta)
            (shares,) = torch.autograd.grad(values.where(values.isfinite(), 0).sum(), matrix)
    places = lattice.positions.where(lattice.positions >= 0, targets.shape[1])[:, None].expand_as(shares)
    found = shares.new_zeros(*shares.shape[:2], targets.shape[1] + 1).scatter_add(2, places, shares)
    return found[..., :-1].to(energies.dtype)


def spans(alignment: Alignment) -> list[list[Span]]:
    """Say of each sample where each symbol of the target is, from left to right.

    Optional separators that are not in the target have no span; where no path fits there is none.
    """
    energies = alignment.energies.detach().float()
    probabilities = torch.softmax(-energies, 2)  # border to probabilities: a low energy is a high logit
    index = alignment.path.clamp(min=0)
    on_path = alignment.targets.long().gather(1, index).clamp(min=0)[..., None]
    costs, sure = (matrix.gather(2, on_path)[..., 0].tolist() for matrix in (energies, probabilities))
    found: list[list[Span]] = []
    for sample, (path, symbols) in enumerate(zip(alignment.path.tolist(), alignment.targets.tolist())):
        found.append([])
        end = 0
        for position, same in groupby(path):
            start, end = end, end + len(list(same))
            if position < 0:
                continue
            symbol, length = symbols[position], end - start
            if alignment.wildcard is not None and symbol == WILDCARD:
                found[-1].append(Span(symbol, start, end, alignment.wildcard * length, 1.0))
            else:
                energy, confidence = sum(costs[sample][start:end]), sum(sure[sample][start:end]) / length
                found[-1].append(Span(symbol, start, end, energy, confidence))
    return found


def _prepare(
    energies: Tensor,
    targets: Tensor,
    window_lengths: Tensor | None,
    target_lengths: Tensor | None,
    separators: Separators,
    separator: int,
    wildcard: float | None,
    infeasible: Infeasible,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Shapes and types checked, the wildcard made a class; values are looked at by the kernels."""
    _check_options(separators, infeasible)
    check_energies(energies)
    check_targets(energies, targets)
    if separators == "optional" and not 0 <= separator < energies.shape[2]:
        raise ValueError(f"expected a separator in 0..{energies.shape[2] - 1}, got {separator}")
    window_lengths = as_lengths("window_lengths", window_lengths, energies, energies.shape[1])
    target_lengths = as_lengths("target_lengths", target_lengths, energies, targets.shape[1])
    if energies.dtype in (torch.float16, torch.bfloat16):
        energies = energies.float()
    targets = targets.long()
    if wildcard is not None:
        if not wildcard > -math.inf:
            raise ValueError(f"expected a wildcard energy above -inf, got {wildcard}")
        energies = torch.nn.functional.pad(energies, (0, 1), value=wildcard)
        targets = targets.where(targets != WILDCARD, energies.shape[2] - 1)
    return energies, targets, window_lengths, target_lengths


def _check_options(separators: Separators, infeasible: Infeasible) -> None:
    """Refuse other names than there are."""
    if separators not in ("required", "optional"):
        raise ValueError(f"expected separators 'required' or 'optional', got {separators!r}")
    if infeasible not in ("raise", "inf"):
        raise ValueError(f"expected infeasible 'raise' or 'inf', got {infeasible!r}")


def _align(
    inputs: tuple[Tensor, Tensor, Tensor, Tensor],
    separator: int,
    separators: Separators,
    beta: float,
    infeasible: Infeasible,
) -> tuple[Tensor, Tensor, Tensor]:
    """Run the operator; the gradient is computed with the values if autograd will ask for it."""
    gradient = torch.is_grad_enabled() and inputs[0].requires_grad
    function = align if not is_plain(inputs[0]) else Differentiable.apply if gradient else run
    return function(*inputs, separator, separators == "optional", beta, infeasible == "raise", gradient)


def _narrow(values: Tensor, energies: Tensor) -> Tensor:
    """Values in the dtype of the energies; under autocast in float32, as torch's own losses."""
    if energies.dtype == values.dtype or torch.is_autocast_enabled(energies.device.type):
        return values
    return values.to(energies.dtype)


def _all_words(
    energies: Tensor, window_lengths: Tensor | None, beta: float, separators: Separators, separator: int
) -> Tensor:
    """(B,) free energy over the paths of every word."""
    check_energies(energies)
    inner = energies
    while not torch.compiler.is_compiling() and torch._C._functorch.is_functorch_wrapped_tensor(inner):
        if torch._C._functorch.is_batchedtensor(inner):
            raise NotImplementedError("vmap over the sum over all words: put that dimension into the batch instead")
        inner = torch._C._functorch.get_unwrapped(inner)
    window_lengths = as_lengths("window_lengths", window_lengths, energies, energies.shape[1])
    nothing = torch.zeros(len(energies), 1, dtype=torch.long, device=energies.device)
    if not 0 <= separator < energies.shape[2]:
        raise ValueError(f"expected a separator in 0..{energies.shape[2] - 1}, got {separator}")
    check(energies.detach(), nothing, window_lengths, nothing[:, 0], separator, True, False)
    wide = energies.float() if energies.dtype in (torch.float16, torch.bfloat16) else energies
    if separators == "required" and beta < math.inf and energies.device.type == "cpu" and is_plain(energies):
        gradient = torch.is_grad_enabled() and wide.requires_grad
        values, _ = AllWords.apply(wide, window_lengths, separator, float(beta), gradient)
    else:
        values = reference.all_words(wide, window_lengths, beta, separators == "required", separator)
    return _narrow(values, energies)
