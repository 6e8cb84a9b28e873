"""The recurrences in plain torch: any device and dtype, differentiable twice. This is the specification.

Both topologies are one lattice of S states in a row. A path starts in one of the first states, ends in one of the
last, and each window it stays, advances by one state, or (``skip``) passes over one:

    D[l, s] = E[l, s] + softmin_beta(D[l-1, s], D[l-1, s-1], D[l-1, s-2] if skip[s])

Required separators: the states are the target's symbols, one start, one end, no skips. Optional separators (CTC,
Graves et al. 2006, section 4.1): a separator also in front, two starts, two ends, and a separator between two
different letters may be skipped.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad


class Lattice(NamedTuple):
    """States that a path walks through from left to right."""

    symbols: Tensor
    """(B, S) int64 class of each state."""
    lengths: Tensor
    """(B,) number of states."""
    skips: Tensor
    """(B, S) bool, whether the state may be entered from two before."""
    doors: int
    """How many states at either end a path may start and end in."""


def required_lattice(targets: Tensor, target_lengths: Tensor) -> Lattice:
    """Every symbol of the target in its order."""
    return Lattice(targets, target_lengths, torch.zeros_like(targets, dtype=torch.bool), doors=1)


def optional_lattice(targets: Tensor, target_lengths: Tensor, separator: int) -> Lattice:
    """The target's letters with a separator before, between and after them; those in the target are not needed."""
    batch, width = targets.shape
    positions = torch.arange(width, device=targets.device)
    is_letter = (targets != separator) & (positions < target_lengths[:, None])
    order = (~is_letter).to(torch.uint8).argsort(dim=1, stable=True)  # letters first, in their order
    symbols = targets.new_full((batch, 2 * width + 1), separator)
    symbols[:, 1::2] = targets.gather(1, order).where(is_letter.gather(1, order), separator)
    skips = (symbols != separator) & (symbols != pad(symbols, (2, 0), value=separator)[:, :-2])
    return Lattice(symbols, 2 * is_letter.sum(1) + 1, skips, doors=2)


def needed_windows(lattice: Lattice) -> Tensor:
    """(B,) the fewest windows that a path can have."""
    if lattice.doors == 1:
        return lattice.lengths
    inside = torch.arange(lattice.symbols.shape[1], device=lattice.lengths.device) < lattice.lengths[:, None]
    letters = lattice.lengths // 2
    forced = letters - (lattice.skips & inside).sum(1)  # separators between equal letters, and one for the first
    return letters + forced


def path_matrix(energies: Tensor, symbols: Tensor) -> Tensor:
    """(B, L, C) energies and (B, S) classes to (B, L, S) energies of each window for each state."""
    return energies.gather(2, symbols[:, None, :].expand(-1, energies.shape[1], -1))


def softmin(candidates: Tensor, beta: float) -> Tensor:
    """``-1/beta log sum exp(-beta x)`` over dim 0; inf where all are inf, with gradient zero and never NaN."""
    lowest = candidates.detach().amin(0)
    if math.isinf(beta):
        return lowest
    offset = lowest.where(lowest.isfinite(), 0)
    total = torch.exp(-beta * (candidates - offset)).sum(0)
    reached = total > 0
    return torch.where(reached, offset - total.where(reached, 1).log() / beta, math.inf)


def free_energy(energies: Tensor, lattice: Lattice, window_lengths: Tensor, beta: float) -> Tensor:
    """(B,) free energy over all paths of the lattice; differentiable for finite ``beta``."""
    matrix = path_matrix(energies, lattice.symbols)
    states = torch.arange(matrix.shape[2], device=matrix.device)
    final = (states < lattice.lengths[:, None]) & (states >= lattice.lengths[:, None] - lattice.doors)
    row = matrix[:, 0].where(states < lattice.doors, math.inf)
    for window in range(1, matrix.shape[1]):
        entered = softmin(_predecessors(row, lattice.skips, math.inf), beta) + matrix[:, window]
        row = entered.where((window < window_lengths)[:, None], row)
    return softmin(row.where(final, math.inf).T, beta)


def best_path(energies: Tensor, lattice: Lattice, window_lengths: Tensor) -> Tensor:
    """(B, L) state of each window on a lowest-energy path, -1 past a sample's end.

    Of equally good moves staying wins, then advancing; of equally good ends the later one. Where every path costs
    inf the result is still a legal path, so what can be reached is tracked apart from what it costs.
    """
    matrix = path_matrix(energies.detach(), lattice.symbols)
    batch, windows, width = matrix.shape
    states = torch.arange(width, device=matrix.device)
    reached = (states < lattice.doors).expand(batch, -1)
    row = matrix[:, 0].where(reached, math.inf)
    moves = torch.zeros(matrix.shape, dtype=torch.int64, device=matrix.device)
    for window in range(1, windows):
        alive = (window < window_lengths)[:, None]
        costs, legal = _predecessors(row, lattice.skips, math.inf), _predecessors(reached, lattice.skips, False)
        moves[:, window] = _first_lowest(costs, legal)
        row = (costs.amin(0) + matrix[:, window]).where(alive, row)
        reached = legal.any(0).where(alive, reached)
    ends = (lattice.lengths - 1)[:, None] - torch.arange(lattice.doors, device=matrix.device)
    index = lattice.lengths - 1 - _first_lowest(row.gather(1, ends).T, reached.gather(1, ends).T)
    path = torch.full((batch, windows), -1, device=matrix.device)
    for window in range(windows - 1, -1, -1):
        alive = window < window_lengths
        path[:, window] = index.where(alive, -1)
        index = index - moves[:, window].gather(1, index[:, None])[:, 0].where(alive, 0)
    return path


def _predecessors(row: Tensor, skips: Tensor, missing: float | bool) -> Tensor:
    """(B, S) values to (3, B, S): those from which a state is entered by staying, advancing and skipping."""
    advance, skip = pad(row, (1, 0), value=missing)[:, :-1], pad(row, (2, 0), value=missing)[:, :-2]
    return torch.stack([row, advance, skip.where(skips, missing)])


def _first_lowest(costs: Tensor, legal: Tensor) -> Tensor:
    """Index along dim 0 of the first legal entry that costs least."""
    return (legal & (costs == costs.where(legal, math.inf).amin(0))).to(torch.uint8).argmax(0)
