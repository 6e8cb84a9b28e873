"""One path matrix at a time, as the handout has it: build it, find the best path,
add up what a path collects.

Here each recurrence can be read; :mod:`.alignment` does the same for batches, fast.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from .validation import (
    as_beta,
    as_integers,
    can_look_at,
    check_classes,
    check_energies,
    check_floats,
    check_matrix,
    check_range,
    check_targets,
    narrow,
    widen,
)

IMPOSSIBLE = 2**30
"""What :func:`path_energy` answers for a path that is none, as the handout has it."""


class BestPath(NamedTuple):
    """The best path through one path matrix.

    >>> energy, points, dp = find_path(torch.tensor([[1.0, 9.0], [9.0, 2.0]]))
    >>> energy, points
    (tensor(3.), [(0, 0), (1, 1)])
    """

    free_energy: Tensor
    """() sum of the energies on the path; its gradient is 1 on the path and 0 elsewhere, or 0
    where every path costs inf."""
    points: list[tuple[int, int]]
    """The L cells (window, target index) of the path."""
    dp: Tensor
    """(L, T) lowest energy of a path from (0, 0) to each cell; inf where there is none."""


class FreeEnergy(NamedTuple):
    """All paths through one path matrix.

    >>> find_free_energy(torch.zeros(2, 2)).dp
    tensor([[0., inf],
            [0., 0.]])
    """

    free_energy: Tensor
    """() ``-1/beta log sum exp(-beta energy)`` over the paths; its gradient is their posterior: the
    probability that a path runs through a cell."""
    dp: Tensor
    """(L, T) the same over the paths from (0, 0) to each cell; inf where there is none."""


def build_path_matrix(energies: Tensor, targets: Tensor) -> Tensor:
    """Energy of each window for each symbol of the target.

    >>> energies = torch.tensor([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]])
    >>> build_path_matrix(energies, torch.tensor([[2, 0]]))
    tensor([[[3., 1.],
             [6., 4.]]])

    Args:
        energies: (B, L, C), lower is better.
        targets: (B, T) classes, padded with any class: nothing says here what is padding.

    Returns:
        (B, L, T) with ``[b, i, j] = energies[b, i, targets[b, j]]``, differentiable.

    Raises:
        TypeError, ValueError: see :func:`ebm_ocr.free_energy`; T may exceed L here.
    """
    check_energies(energies)
    check_targets(energies, targets)
    targets = targets.long()
    if can_look_at(targets):
        check_range("targets", targets, energies.shape[2])
    return energies.gather(2, targets[:, None, :].expand(-1, energies.shape[1], -1))


def normalise(energies: Tensor) -> Tensor:
    """Energies of each window moved to a common level, ``e + log Σ exp(-e)``:
    then ``exp(-e)`` are probabilities.

    A window in which every class is forbidden stays inf.

    >>> torch.exp(-normalise(torch.tensor([7.0, 7.0])))
    tensor([0.5000, 0.5000])

    Args:
        energies: (..., C).

    Returns:
        (..., C), at least float32: twice what half precision holds is inf there.

    Raises:
        TypeError: energies not floating point.
        ValueError: no classes.
    """
    check_classes(energies)
    energies = narrow(energies, energies)
    possible = energies.detach().amin(-1, keepdim=True) != math.inf
    return -torch.log_softmax(-energies.where(possible, 0), -1).where(possible, -math.inf)


def build_ce_matrix(energies: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of each window for each symbol of the target,
    laid out as :func:`build_path_matrix`.

    ``[b, i, j] = -log softmax(-energies[b, i])[targets[b, j]]``: the energies, made comparable
    between windows; inf in a window in which every class is.

    >>> build_ce_matrix(torch.zeros(1, 1, 4), torch.tensor([[3]]))  # log 4
    tensor([[[1.3863]]])
    """
    check_energies(energies)
    return build_path_matrix(normalise(energies), targets)


def path_energy(pm: Tensor, path: Sequence[int] | Tensor) -> Tensor:
    """Sum of the energies that a path collects, or ``2**30`` if it is not a path.

    >>> pm = torch.tensor([[1.0, 9.0], [2.0, 3.0], [9.0, 1.0]])
    >>> path_energy(pm, [0, 0, 1]), path_energy(pm, [1, 0, 1])
    (tensor(4.), tensor(1.0737e+09))

    Args:
        pm: (L, T) energies.
        path: target index of each window. A path has L of them, starts at 0,
            ends at T - 1, each step is 0 or +1.

    Returns:
        () in the dtype of ``pm``, at least float32, differentiable; the sum is taken in float64.
    """
    check_matrix(pm)
    windows, symbols = pm.shape
    impossible = narrow(pm.new_tensor(IMPOSSIBLE, dtype=torch.float32), pm)
    try:
        indices = as_integers("indices of a path", path).to(pm.device)
    except TypeError:
        return impossible
    steps = indices.diff()
    if indices.shape != (windows,) or indices[0] != 0 or indices[-1] != symbols - 1:
        return impossible
    if not ((steps == 0) | (steps == 1)).all():
        return impossible
    return narrow(widen(pm.gather(1, indices[:, None])).sum(), pm)


def find_path(pm: Tensor) -> BestPath:
    r"""Find the lowest-energy path from (0, 0) to (L - 1, T - 1) by dynamic programming (Viterbi).

    Each step moves one window right and either stays on its symbol or advances to the next:
    :math:`D_{l,t} = E_{l,t} + \min(D_{l-1,t}, D_{l-1,t-1})`. A tie stays.

    >>> find_path(torch.tensor([[1.0, 9.0], [2.0, 3.0], [9.0, 1.0]])).points
    [(0, 0), (1, 0), (2, 1)]

    Args:
        pm: (L, T) energies, lower is better; inf forbids a cell.

    Raises:
        TypeError: not a floating-point tensor.
        ValueError: not 2-D, empty, NaN or -inf, or T > L (no path exists).
    """
    check_has_path(pm)
    windows, symbols = pm.shape
    energies = widen(pm.detach())  # a sum of many float32 would find another path
    dp = torch.full_like(energies, math.inf)
    dp[0, 0] = energies[0, 0]
    for i in range(1, windows):
        stay, advance = dp[i - 1], pad(dp[i - 1, :-1], (1, 0), value=math.inf)
        dp[i] = energies[i] + torch.minimum(stay, advance)

    j = symbols - 1
    path = [j]
    for i in range(windows - 1, 0, -1):  # walk back from the last cell
        must_advance = j == i  # below the diagonal there is no path
        if j > 0 and (must_advance or dp[i - 1, j - 1] < dp[i - 1, j]):
            j -= 1
        path.insert(0, j)
    energy = path_energy(pm, path)
    energy = energy.where(dp[-1, -1] < math.inf, math.inf)  # with gradient zero
    return BestPath(energy, list(enumerate(path)), narrow(dp, pm))


def find_free_energy(pm: Tensor, beta: float = 1.0) -> FreeEnergy:
    r"""Sum over all paths from (0, 0) to (L - 1, T - 1): :func:`find_path` with a soft minimum.

    With :math:`\mathrm{softmin}_\beta(a, b) = -\frac1\beta \log(e^{-\beta a} + e^{-\beta b})`,
    :math:`D_{l,t} = E_{l,t} + \mathrm{softmin}_\beta(D_{l-1,t}, D_{l-1,t-1})`.

    >>> find_free_energy(torch.zeros(4, 2)).free_energy  # three paths: -log 3
    tensor(-1.0986)

    Args:
        pm: (L, T) energies, lower is better; inf forbids a cell.
        beta: inverse temperature above 0, finite: what it tends to is :func:`find_path`.

    Raises:
        TypeError: not a floating-point tensor.
        ValueError: not 2-D, empty, NaN or -inf, or T > L (no path exists); a ``beta`` of inf.
    """
    check_has_path(pm)
    beta = as_beta(beta, most=sys.float_info.max)
    energies = widen(pm)
    start = torch.arange(pm.shape[1], device=pm.device) == 0
    dp = [energies[0].where(start, math.inf)]
    for window in energies[1:]:
        stay, advance = dp[-1], pad(dp[-1][:-1], (1, 0), value=math.inf)
        dp.append(window + softmin(torch.stack([stay, advance]), beta))
    table = torch.stack(dp)
    table = narrow(table.where(table < math.inf, math.inf), pm)  # with gradient zero
    return FreeEnergy(table[-1, -1], table)


def softmin(candidates: Tensor, beta: float) -> Tensor:
    """``-1/beta log Σ exp(-beta x)`` over dim 0, for finite ``beta``; inf where all are, with
    gradient zero and never NaN."""
    lowest = candidates.detach().amin(0)
    level = lowest.where(lowest < math.inf, 0)  # the largest exponential is 1
    total = torch.exp(-beta * (candidates - level)).sum(0)
    return torch.where(total > 0, level - total.where(total > 0, 1).log() / beta, math.inf)


def check_has_path(pm: Tensor) -> None:
    """Raise unless it is a path matrix with a window for each symbol."""
    check_matrix(pm)
    windows, symbols = pm.shape
    if symbols > windows:
        raise ValueError(
            f"expected at least as many windows as symbols, "
            f"got {windows} windows for {symbols} symbols"
        )


def path_cross_entropy(ce: Tensor, path: Sequence[tuple[int, int]] | Tensor) -> Tensor:
    """Sum of the cross-entropies along a path.

    >>> ce = torch.tensor([[1.0, 9.0], [9.0, 2.0]])
    >>> path_cross_entropy(ce, [(0, 0), (1, 1)])
    tensor(3.)

    Args:
        ce: (L, T), or a batch (B, L, T), see :func:`build_ce_matrix`.
        path: the cells ``(i, j)`` of one path, as in :class:`BestPath`; or for a batch (B, L)
            target indices, -1 past a sample's end, as in :class:`Alignment`.

    Returns:
        () or (B,), differentiable.

    Raises:
        ValueError: shapes that don't fit, or a cell outside the matrix.
    """
    check_floats("cross-entropies", ce)
    cells = as_integers("cells of a path", path).to(ce.device)
    if ce.dim() == 2 and cells.dim() == 2 and cells.shape[1] == 2:
        for name, index, size in zip(("windows", "target indices"), cells.T, ce.shape):
            check_range(name, index, size)
        return narrow(widen(ce[cells[:, 0], cells[:, 1]]).sum(), ce)
    if ce.dim() == 3 and cells.shape == ce.shape[:2]:
        if can_look_at(cells):
            check_range("target indices, or -1,", cells + 1, ce.shape[2] + 1)
        counts = cells != -1
        on_path = widen(ce.gather(2, cells.where(counts, 0)[..., None])[..., 0])
        return narrow(on_path.where(counts, 0).sum(1), ce)
    raise ValueError(
        "expected an (L, T) matrix with (i, j) cells "
        "or a (B, L, T) batch with (B, L) target indices, "
        f"got {tuple(ce.shape)} and {tuple(cells.shape)}"
    )
