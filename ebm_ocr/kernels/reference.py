"""The recurrences in plain torch: any device and dtype, differentiable twice.
This is the specification.

Both topologies are one lattice of S states in a row. A path starts in one of the first states, ends
in one of the last, and each window it stays, advances by one state, or (``skip``) passes over one:

    D[l, s] = E[l, s] + softmin_beta(D[l-1, s], D[l-1, s-1], D[l-1, s-2] if skip[s])

Required separators: the states are the target's symbols, one start, one end, no skips. Optional
separators (CTC, Graves et al. 2006, section 4.1): a separator also in front, two starts, two ends,
and a separator between two different letters may be skipped.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..validation import widen, without_padding


class Lattice(NamedTuple):
    """States that a path walks through from left to right.

    Here for a batch; the CPU's kernels fill one sample's, of arrays without B.
    """

    symbols: Tensor
    """(B, S) int64 class of each state."""
    positions: Tensor
    """(B, S) int64 index of each state in the target; -1 of an optional separator that
    the target does not show."""
    skips: Tensor
    """(B, S) bool, whether the state may be entered from two before."""
    earliest: Tensor
    """(B, S) int64 first window in which a path can be there."""
    states: Tensor
    """(B,) how many states count."""
    doors: int
    """How many states at either end a path may start and end in, and the most that a window can
    advance by: 1 where separators are required, 2 where they are optional."""


def build_lattice(targets: Tensor, target_lengths: Tensor, gap: int | None) -> Lattice:
    """The states of (B, T) targets; padding may hold anything.

    ``gap`` is the class of separators that are optional; None where they are required, and
    symbols of the target like others.
    """
    batch, width = targets.shape
    positions = torch.arange(width, device=targets.device).expand(batch, -1)
    inside = positions < target_lengths[:, None]
    targets = targets.where(inside, 0)
    if gap is None:
        never = torch.zeros_like(inside)
        return Lattice(targets, positions, never, positions, target_lengths, doors=1)
    is_letter = inside & (targets != gap)
    letters = is_letter.cumsum(1)
    # a separator is that after the letters before it
    states = torch.where(is_letter, 2 * letters - 1, 2 * letters)
    # later writes would win, so a padded place writes into a spare column,
    # and the first of several separators counts
    first = inside & (is_letter | (pad(states, (1, 0), value=-1)[:, :-1] != states))
    states = states.where(first, 2 * width + 1)
    spare = targets.new_full((batch, 2 * width + 2), gap)
    symbols = spare.scatter(1, states, targets)[:, :-1]
    indices = torch.full_like(spare, -1).scatter(1, states, positions)[:, :-1]
    skips = (symbols != gap) & (symbols != pad(symbols, (2, 0), value=gap)[:, :-2])
    # a letter takes a window, and one more its separator if that must be passed; a separator
    # comes a window after its letter
    takes = torch.where(skips, 1, 2)[:, 3::2]
    letter = pad(takes.cumsum(1), (1, 0))
    earliest = pad(torch.stack([letter, letter + 1], 2).flatten(1), (1, 0))
    return Lattice(symbols, indices, skips, earliest, 2 * letters[:, -1] + 1, doors=2)


def needed_windows(lattice: Lattice) -> Tensor:
    """(B,) the fewest windows that a path can have."""
    last = (lattice.states - lattice.doors).clamp(min=0)  # the first of the states it may end in
    needed = lattice.earliest.gather(1, last[:, None])[:, 0] + 1
    return needed.where(lattice.states >= lattice.doors, 0)


def feasible(lattice: Lattice, window_lengths: Tensor) -> Tensor:
    """(B,) bool, whether any path fits. Without windows only an empty target does;
    a required one fits nothing else."""
    fits = (window_lengths >= needed_windows(lattice)) & (lattice.states > 0)
    return torch.where(window_lengths > 0, fits, lattice.states == lattice.doors - 1)


def path_matrix(energies: Tensor, symbols: Tensor) -> Tensor:
    """(B, L, C) energies and (B, S) classes to (B, L, S) energies of each window for each state."""
    return energies.gather(2, symbols[:, None, :].expand(-1, energies.shape[1], -1))


def softmin(candidates: Tensor, beta: float) -> Tensor:
    """``-1/beta log sum exp(-beta x)`` over dim 0; inf where all are inf,
    with gradient zero and never NaN."""
    lowest = candidates.detach().amin(0)
    if math.isinf(beta):
        return lowest
    offset = lowest.where(lowest.isfinite(), 0)
    total = torch.exp(-beta * (candidates - offset)).sum(0)
    reached = total > 0
    return torch.where(reached, offset - total.where(reached, 1).log() / beta, math.inf)


def free_energy(matrix: Tensor, lattice: Lattice, window_lengths: Tensor, beta: float) -> Tensor:
    """(B,) free energy over all paths through a (B, L, S) matrix;
    differentiable for finite ``beta``."""
    states = torch.arange(matrix.shape[2], device=matrix.device)
    final = (states < lattice.states[:, None]) & (states >= lattice.states[:, None] - lattice.doors)
    row = matrix[:, 0].where(
        (states < lattice.doors) & (states < lattice.states[:, None]), math.inf
    )
    for window in range(1, matrix.shape[1]):
        entered = softmin(_predecessors(row, lattice.skips, math.inf), beta) + matrix[:, window]
        row = entered.where((window < window_lengths)[:, None], row)
    empty = torch.zeros_like(row[:, 0]).where(feasible(lattice, window_lengths), math.inf)
    return softmin(row.where(final, math.inf).T, beta).where(window_lengths > 0, empty)


def posterior(matrix: Tensor, lattice: Lattice, window_lengths: Tensor, beta: float) -> Tensor:
    """(B, L, S) probability that a window shows a state,
    the gradient of :func:`free_energy` written out.

    The paths up to a state in a window times those from there on, as a part of all; rows of windows
    that don't count, or that no finite path passes, are 0. Differentiable for finite ``beta``; at
    inf it is one-hot on the best path.
    """
    inside = torch.arange(matrix.shape[1], device=matrix.device) < window_lengths[:, None]
    states = torch.arange(matrix.shape[2], device=matrix.device)
    if math.isinf(beta):
        path = best_path(matrix, lattice, window_lengths)
        chosen = states == path[..., None]
        finite = matrix.where(chosen, 0).sum((1, 2)) < math.inf
        return (chosen & finite[:, None, None]).to(matrix.dtype)
    used = states < lattice.states[:, None]
    lowest = matrix.detach().where(used[:, None], math.inf).amin(2, keepdim=True)
    matrix = matrix - lowest.where(lowest.isfinite(), 0)  # the level of a window changes no part
    so_far = [matrix[:, 0].where(used & (states < lattice.doors), math.inf)]
    for window in range(1, matrix.shape[1]):
        entered = softmin(_predecessors(so_far[-1], lattice.skips, math.inf), beta)
        so_far.append(entered + matrix[:, window])
    final = used & (states >= lattice.states[:, None] - lattice.doors)
    to_come = [torch.zeros_like(matrix[:, 0]).where(final, math.inf)]
    for window in range(matrix.shape[1] - 1, 0, -1):
        left = softmin(_successors(to_come[-1] + matrix[:, window], lattice.skips), beta)
        to_come.append(left.where((window < window_lengths)[:, None], to_come[-1]))
    through = torch.stack(so_far, 1) + torch.stack(to_come[::-1], 1)
    lowest = through.detach().amin(2, keepdim=True)
    possible = inside[..., None] & (lowest < math.inf)
    shares = torch.exp(-beta * (through - lowest.where(possible, 0))).where(possible, 0)
    return shares / shares.sum(2, keepdim=True).where(possible, 1)


def class_posterior(
    energies: Tensor, lattice: Lattice, window_lengths: Tensor, beta: float
) -> Tensor:
    """(B, L, C) :func:`posterior` of the states, summed by the class that they show."""
    matrix = path_matrix(energies, lattice.symbols)
    shares = posterior(matrix, lattice, window_lengths, beta)
    places = lattice.symbols[:, None].expand_as(shares)
    return torch.zeros_like(energies).scatter_add(2, places, shares)


def best_path(matrix: Tensor, lattice: Lattice, window_lengths: Tensor) -> Tensor:
    """(B, L) state of each window on a lowest-energy path,
    -1 past a sample's end and where no path fits.

    Of equally good moves staying wins, then advancing; of equally good ends the later one. Where
    every path costs inf the result is still a legal path, so what can be reached is tracked apart
    from what it costs.
    """
    matrix = matrix.detach()
    batch, windows, width = matrix.shape
    states = torch.arange(width, device=matrix.device)
    reached = (states < lattice.doors).expand(batch, -1)
    row = matrix[:, 0].where(reached, math.inf)
    moves = torch.zeros(matrix.shape, dtype=torch.int64, device=matrix.device)
    for window in range(1, windows):
        alive = (window < window_lengths)[:, None]
        costs, legal = (
            _predecessors(row, lattice.skips, math.inf),
            _predecessors(reached, lattice.skips, False),
        )
        moves[:, window] = _first_lowest(costs, legal)
        row = (costs.amin(0) + matrix[:, window]).where(alive, row)
        reached = legal.any(0).where(alive, reached)
    ends = (lattice.states[:, None] - 1 - torch.arange(lattice.doors, device=matrix.device)).clamp(
        min=0
    )
    index = ends.gather(
        1, _first_lowest(row.gather(1, ends).T, reached.gather(1, ends).T)[:, None]
    )[:, 0]
    path = torch.full((batch, windows), -1, device=matrix.device)
    fits = feasible(lattice, window_lengths)
    for window in range(windows - 1, -1, -1):
        alive = (window < window_lengths) & fits
        path[:, window] = index.where(alive, -1)
        index = index - moves[:, window].gather(1, index[:, None])[:, 0].where(alive, 0)
    return path


def align(
    energies: Tensor, lattice: Lattice, window_lengths: Tensor, beta: float, gradient: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Free energies (B,), as wide as sums are; their gradient (B, L, C), empty if not wanted; and
    at ``beta = inf`` the target index (B, L) of each window on the best path, else empty.

    What every backend answers, here on any device.
    """
    path = torch.empty(0, 0, dtype=torch.int64, device=energies.device)
    wide = widen(energies)
    matrix = path_matrix(wide, lattice.symbols)
    if math.isinf(beta):
        states = best_path(matrix, lattice, window_lengths)
        collected = matrix.gather(2, states.clamp(min=0)[..., None])[..., 0]
        fits = feasible(lattice, window_lengths)
        values = collected.where(states >= 0, 0).sum(1).where(fits, math.inf)
        path = lattice.positions.gather(1, states.clamp(min=0)).where(states >= 0, -1)
    else:
        values = free_energy(matrix, lattice, window_lengths, beta)
    slopes = energies.new_empty(0, 0, 0)
    if gradient:
        slopes = class_posterior(wide, lattice, window_lengths, beta)
    return values, slopes.to(energies.dtype).contiguous(), path


def symbol_posterior(
    energies: Tensor, lattice: Lattice, window_lengths: Tensor, beta: float, width: int
) -> Tensor:
    """(B, L, T) :func:`posterior` of the states that the target shows, as wide as sums are."""
    wide = widen(without_padding(energies, window_lengths))
    shares = posterior(path_matrix(wide, lattice.symbols), lattice, window_lengths, beta)
    # of states that the target does not show the share is dropped
    places = lattice.positions.where(lattice.positions >= 0, width)[:, None].expand_as(shares)
    found = torch.zeros_like(shares[..., :1]).expand(-1, -1, width + 1)
    return found.scatter_add(2, places, shares)[..., :-1]


def all_words(
    energies: Tensor, window_lengths: Tensor, beta: float, required: bool, separator: int
) -> Tensor:
    """(B,) free energy over the paths of all words, differentiable.

    A path gives each window any class. With optional separators every sequence of classes spells a
    word, so windows are independent. With required ones it starts on a letter, ends on a separator,
    and a letter turns into another one only by way of a separator, so the last class is all that
    the rest depends on.
    """
    symbols = torch.arange(energies.shape[2], device=energies.device)
    inside = torch.arange(energies.shape[1], device=energies.device) < window_lengths[:, None]
    energies = energies.where(inside[..., None], 0)  # padding may hold anything
    letters = energies.movedim(2, 0)[symbols != separator]  # (C - 1, B, L)
    gap = energies[:, :, separator]
    if not required:
        values = _soft(energies.movedim(2, 0), beta).where(inside, 0).sum(1)
        # with gradient zero where nothing is possible
        return values.where(values < math.inf, math.inf)
    inf = gap[:, 0].where(window_lengths < 0, math.inf)  # part of the graph, with gradient zero
    row, after = letters[:, :, 0], inf  # (C - 1, B) ends in a letter, (B,) ends in a separator
    for window in range(1, energies.shape[1]):
        alive = window < window_lengths
        any_letter = _soft(row, beta)
        into = _soft(torch.stack([row, after.expand_as(row)]), beta) + letters[:, :, window]
        ended = _soft(torch.stack([after, any_letter]), beta) + gap[:, window]
        row, after = into.where(alive, row), ended.where(alive, after)
    return after.where((window_lengths > 0) & (after < math.inf), inf)


def all_words_posterior(
    energies: Tensor, window_lengths: Tensor, beta: float, required: bool, separator: int
) -> Tensor:
    """(B, L, C) gradient of :func:`all_words` written out:
    the share of all paths that show a class.

    From the last window to the first, each state's share is handed to those that it was
    entered from, by their part in the sum. At ``beta = inf`` all of it goes to the lowest, the
    first of equals.
    """
    windows, classes = energies.shape[1:]
    inside = torch.arange(windows, device=energies.device) < window_lengths[:, None]
    lowest = energies.detach().amin(2, keepdim=True).where(inside[..., None], 0)
    possible = (lowest < math.inf).all(1, keepdim=True)  # no window in which nothing may come
    energies = (energies - lowest.where(lowest < math.inf, 0)).where(inside[..., None], 0)
    if not required:
        parts = _parts(energies.movedim(2, 0), beta).movedim(0, 2)
        return parts.where(inside[..., None] & possible, 0)
    order = [c for c in range(classes) if c != separator]
    letters, gap = energies[:, :, order], energies[:, :, separator]
    inf = gap[:, 0].where(window_lengths < 0, math.inf)
    rows, afters = [letters[:, 0].movedim(1, 0)], [inf]  # as in all_words
    for window in range(1, windows):
        into = _soft(torch.stack([rows[-1], afters[-1].expand_as(rows[-1])]), beta)
        ended = _soft(torch.stack([afters[-1], _soft(rows[-1], beta)]), beta)
        rows.append(into + letters[:, window].movedim(1, 0))
        afters.append(ended + gap[:, window])
    ends = torch.stack(afters, 1).gather(1, (window_lengths - 1).clamp(min=0)[:, None])[:, 0]
    reached = (window_lengths > 0) & (ends < math.inf)
    # it ends on a gap
    share = torch.zeros_like(rows[0]), torch.ones_like(gap[:, 0]).where(reached, 0)
    shares = [torch.cat([share[0], share[1][None]])]
    for window in range(windows - 1, 0, -1):
        row, after = rows[window - 1], afters[window - 1]
        stay, gap_stays = (
            _parts(torch.stack([row, after.expand_as(row)]), beta)[0],
            _parts(torch.stack([after, _soft(row, beta)]), beta)[0],
        )
        entered = share[0] * stay + share[1] * (1 - gap_stays) * _parts(row, beta)
        left = (share[0] * (1 - stay)).sum(0) + share[1] * gap_stays
        alive = window < window_lengths
        share = entered.where(alive, share[0]), left.where(alive, share[1])
        shares.append(torch.cat([share[0], share[1][None]]))
    places = torch.tensor([*order, separator], device=energies.device).argsort()
    found = torch.stack(shares[::-1]).movedim(2, 0)[:, :, places]
    return found.where(inside[..., None], 0)


def _parts(candidates: Tensor, beta: float) -> Tensor:
    """The part of each in ``softmin`` over dim 0: at ``beta = inf`` all
    in the first of the lowest."""
    if not len(candidates):
        return candidates
    lowest = candidates.detach().amin(0)
    if math.isinf(beta):
        first = (candidates == lowest).to(torch.uint8).argmax(0)
        places = torch.arange(len(candidates), device=candidates.device)
        return (places.view(-1, *[1] * lowest.dim()) == first).to(candidates.dtype)
    shares = torch.exp(-beta * (candidates - lowest.where(lowest < math.inf, 0)))
    total = shares.sum(0)
    return shares / total.where(total > 0, 1)


def _soft(candidates: Tensor, beta: float) -> Tensor:
    """:func:`softmin` that is differentiable at ``beta = inf`` too; inf of none."""
    if not len(candidates):
        return candidates.new_full(candidates.shape[1:], math.inf)
    return candidates.amin(0) if math.isinf(beta) else softmin(candidates, beta)


def _predecessors(row: Tensor, skips: Tensor, missing: float | bool) -> Tensor:
    """(B, S) values to (3, B, S): those from which a state is entered by
    staying, advancing and skipping."""
    advance, skip = pad(row, (1, 0), value=missing)[:, :-1], pad(row, (2, 0), value=missing)[:, :-2]
    return torch.stack([row, advance, skip.where(skips, missing)])


def _successors(row: Tensor, skips: Tensor) -> Tensor:
    """(B, S) values to (3, B, S): those that a state leaves to by
    staying, advancing and skipping."""
    skip = pad(row.where(skips, math.inf), (0, 2), value=math.inf)[:, 2:]
    return torch.stack([row, pad(row, (0, 1), value=math.inf)[:, 1:], skip])


def _first_lowest(costs: Tensor, legal: Tensor) -> Tensor:
    """Index along dim 0 of the first legal entry that costs least."""
    return (legal & (costs == costs.where(legal, math.inf).amin(0))).to(torch.uint8).argmax(0)
