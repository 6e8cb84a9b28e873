"""Energies and a target to path matrices, paths and free energies: everything that aligns windows with symbols.

Shapes: B samples, L windows, T target symbols, C classes. ``energies`` (B, L, C) and ``targets`` (B, T) may be padded;
``window_lengths`` (B,) and ``target_lengths`` (B,) say how much of them counts (default: all), and what lies beyond
never changes a result. A path gives each window one target symbol: it starts on the first, ends on the last, and each
window stays or advances by one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from .alphabet import BETWEEN
from .kernels import reference
from .validation import check_energies, check_lengths, check_matrix, check_range, check_targets

IMPOSSIBLE = 2**30
"""What :func:`path_energy` answers for a path that is none, as the handout has it."""

Separators = Literal["required", "optional"]


class Alignment(NamedTuple):
    """A batch of best paths."""

    free_energy: Tensor
    """(B,) sum of the energies on each path; its gradient is 1 on the path and 0 elsewhere."""
    path: Tensor
    """(B, L) int64 target index of each window, -1 past a sample's end."""


class BestPath(NamedTuple):
    """The best path through one path matrix."""

    free_energy: Tensor
    """() sum of the energies on the path; its gradient is 1 on the path and 0 elsewhere."""
    points: list[tuple[int, int]]
    """The L cells (window, target index) of the path."""
    dp: Tensor
    """(L, T) lowest energy of a path from (0, 0) to each cell; inf where there is none."""


def build_path_matrix(energies: Tensor, targets: Tensor) -> Tensor:
    """Energy of each window for each symbol of the target.

    Args:
        energies: (B, L, C), lower is better.
        targets: (B, T) classes.

    Returns:
        (B, L, T) with ``[b, i, j] = energies[b, i, targets[b, j]]``, differentiable.

    Raises:
        TypeError, ValueError: see :func:`free_energy`; T may exceed L here.
    """
    check_energies(energies)
    check_targets(energies, targets)
    return reference.path_matrix(energies, targets.long())


def build_ce_matrix(energies: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of each window for each symbol of the target, laid out as :func:`build_path_matrix`.

    ``[b, i, j] = -log softmax(-energies[b, i])[targets[b, j]]``: the energies, made comparable between windows.
    """
    return build_path_matrix(energies + torch.logsumexp(-energies, dim=-1, keepdim=True), targets)


def path_energy(pm: Tensor, path: Sequence[int] | Tensor) -> Tensor:
    """Sum of the energies that a path collects, or ``2**30`` if it is not a path.

    Args:
        pm: (L, T) energies.
        path: target index of each window. A path has L of them, starts at 0, ends at T - 1, each step is 0 or +1.

    Returns:
        () in the dtype of ``pm``, differentiable.
    """
    check_matrix(pm)
    windows, symbols = pm.shape
    indices = torch.as_tensor(path, device=pm.device)
    if indices.shape != (windows,) or indices.is_floating_point():
        return pm.new_tensor(IMPOSSIBLE)
    steps = indices.diff()
    if indices[0] != 0 or indices[-1] != symbols - 1 or not ((steps == 0) | (steps == 1)).all():
        return pm.new_tensor(IMPOSSIBLE)
    return pm.gather(1, indices.long()[:, None]).sum()


def find_path(pm: Tensor) -> BestPath:
    r"""Find the lowest-energy path from (0, 0) to (L - 1, T - 1) by dynamic programming (Viterbi).

    Each step moves one window right and either stays on its symbol or advances to the next:
    :math:`D_{l,t} = E_{l,t} + \min(D_{l-1,t}, D_{l-1,t-1})`. A tie stays.

    Args:
        pm: (L, T) energies, lower is better; inf forbids a cell.

    Raises:
        TypeError: not a floating-point tensor.
        ValueError: not 2-D, empty, NaN or -inf, or T > L (no path exists).
    """
    check_matrix(pm)
    windows, symbols = pm.shape
    if symbols > windows:
        raise ValueError(f"expected at least as many windows as symbols, got {windows} windows for {symbols} symbols")
    energies = pm.detach()
    dp = torch.full_like(energies, math.inf)
    dp[0, 0] = energies[0, 0]
    for i in range(1, windows):
        stay, advance = dp[i - 1], dp[i - 1].roll(1)
        advance[0] = math.inf
        dp[i] = energies[i] + torch.minimum(stay, advance)

    j = symbols - 1
    points = [(windows - 1, j)]
    for i in range(windows - 1, 0, -1):
        must_advance = j == i  # below the diagonal there is no path
        if j > 0 and (must_advance or dp[i - 1, j - 1] < dp[i - 1, j]):
            j -= 1
        points.append((i - 1, j))
    points.reverse()
    return BestPath(path_energy(pm, [j for _, j in points]), points, dp)


def path_cross_entropy(ce: Tensor, path: Sequence[tuple[int, int]] | Tensor) -> Tensor:
    """Sum of the cross-entropies along a path.

    Args:
        ce: (L, T), or a batch (B, L, T), see :func:`build_ce_matrix`.
        path: the cells ``(i, j)`` of one path, as in :class:`BestPath`; or for a batch (B, L) target indices, -1 past
            a sample's end, as in :class:`Alignment`.

    Returns:
        () or (B,), differentiable.

    Raises:
        ValueError: shapes that don't fit, or a cell outside the matrix.
    """
    cells = torch.as_tensor(path, device=ce.device)
    if ce.dim() == 2 and cells.dim() == 2 and cells.shape[1] == 2:
        check_range("cells", cells, torch.tensor(ce.shape, device=ce.device))
        return ce[cells[:, 0], cells[:, 1]].sum()
    if ce.dim() == 3 and cells.shape == ce.shape[:2]:
        check_range("target indices", cells + 1, ce.shape[2] + 1)
        on_path = ce.gather(2, cells.clamp(min=0)[..., None])[..., 0]
        return on_path.where(cells >= 0, 0).sum(1)
    raise ValueError(
        f"expected an (L, T) matrix with (i, j) cells or a (B, L, T) batch with (B, L) target indices, "
        f"got {tuple(ce.shape)} and {tuple(cells.shape)}"
    )


def viterbi(
    energies: Tensor, targets: Tensor, window_lengths: Tensor | None = None, target_lengths: Tensor | None = None
) -> Alignment:
    """Find the lowest-energy path of every sample; :func:`find_path` for a batch of any lengths.

    Ties stay. Arguments and errors as in :func:`free_energy`. Where all paths cost inf, the path is a legal one.
    """
    window_lengths, lattice = _check(energies, targets, window_lengths, target_lengths, "required", BETWEEN)
    path = reference.best_path(_computable(energies), lattice, window_lengths)
    return Alignment(_on_path(energies, lattice, path), path)


def free_energy(
    energies: Tensor,
    targets: Tensor,
    window_lengths: Tensor | None = None,
    target_lengths: Tensor | None = None,
    beta: float = math.inf,
    separators: Separators = "required",
    separator: int = BETWEEN,
) -> Tensor:
    r"""Free energy of every sample over all its paths, at inverse temperature ``beta``.

    :math:`F_\beta = -\frac{1}{\beta} \log \sum_z e^{-\beta E(z)}`, where a path's energy is the sum over its windows.
    At ``beta = inf`` it is the energy of the best path (Viterbi), at 1 the forward score of GTN and CTC. Its gradient
    with respect to the energies is the posterior of the paths: how probable it is that a window shows a class.

    Args:
        energies: (B, L, C) floats, lower is better; +inf forbids a class.
        targets: (B, T) integer classes.
        window_lengths: (B,) integers, how many windows of each sample count; default L.
        target_lengths: (B,) integers, how many symbols of each target count; default T.
        beta: in (0, inf].
        separators: "required": every symbol of the target is passed, as in ``c_a_t_``. "optional": the target's
            letters are, and separators only where two equal letters meet; elsewhere, in front and behind included,
            they may stand or not. That is CTC (Graves et al. 2006): with ``energies = -log_softmax`` and
            ``beta = 1`` the result equals ``ctc_loss(blank=separator)``.
        separator: class of the separator; matters only where it is optional.

    Returns:
        (B,) in the dtype of ``energies`` (computed in float32 if that is narrower); inf, with gradient zero, where
        each path meets a forbidden class.

    Raises:
        TypeError: energies not floating point, targets or lengths not integers.
        ValueError: shapes that don't fit, an empty batch, NaN or -inf energies, classes or lengths out of range, fewer
            windows than the target needs, ``beta`` or ``separators`` unknown.
    """
    if not beta > 0:
        raise ValueError(f"expected beta in (0, inf], got {beta}")
    window_lengths, lattice = _check(energies, targets, window_lengths, target_lengths, separators, separator)
    if math.isinf(beta):
        return _on_path(energies, lattice, reference.best_path(_computable(energies), lattice, window_lengths))
    return reference.free_energy(_computable(energies), lattice, window_lengths, beta).to(energies.dtype)


def posterior(
    energies: Tensor,
    targets: Tensor,
    window_lengths: Tensor | None = None,
    target_lengths: Tensor | None = None,
    beta: float = 1.0,
) -> Tensor:
    """Probability that each window shows each symbol of the target, over all paths at inverse temperature ``beta``.

    It is the gradient of the free energy with respect to the path matrix: a row for each window that sums to 1, and at
    ``beta = inf`` one-hot on the best path. Rows past a sample's end, and samples without a finite path, are 0.

    Args and errors: see :func:`free_energy`.

    Returns:
        (B, L, T), without gradient.
    """
    window_lengths, lattice = _check(energies, targets, window_lengths, target_lengths, "required", BETWEEN)
    with torch.enable_grad():
        matrix = reference.path_matrix(_computable(energies.detach()), lattice.symbols).requires_grad_()
        columns = torch.arange(targets.shape[1], device=targets.device).expand_as(targets)
        total = free_energy(matrix, columns, window_lengths, lattice.lengths, beta).sum()
    return torch.autograd.grad(total, matrix)[0].to(energies.dtype)


def _computable(energies: Tensor) -> Tensor:
    """Energies in a precision that sums can be taken in."""
    return energies.float() if energies.dtype in (torch.float16, torch.bfloat16) else energies


def _on_path(energies: Tensor, lattice: reference.Lattice, path: Tensor) -> Tensor:
    """(B,) sum of the energies that each path of states collects."""
    symbols = lattice.symbols.gather(1, path.clamp(min=0))
    collected = _computable(energies).gather(2, symbols[..., None])[..., 0]
    return collected.where(path >= 0, 0).sum(1).to(energies.dtype)


def _check(
    energies: Tensor,
    targets: Tensor,
    window_lengths: Tensor | None,
    target_lengths: Tensor | None,
    separators: Separators,
    separator: int,
) -> tuple[Tensor, reference.Lattice]:
    """Validate everything; (B,) window lengths and the lattice of the topology."""
    if separators not in ("required", "optional"):
        raise ValueError(f"expected separators 'required' or 'optional', got {separators!r}")
    check_energies(energies)
    batch, windows, classes = energies.shape
    window_lengths = check_lengths("window_lengths", window_lengths, batch, windows, energies.device)
    outside = torch.arange(windows, device=energies.device) >= window_lengths[:, None]
    if not ((energies.detach() > -math.inf).all(2) | outside).all():
        raise ValueError("expected energies above -inf, got NaN or -inf")
    check_targets(energies, targets, target_lengths)
    target_lengths = check_lengths("target_lengths", target_lengths, batch, targets.shape[1], energies.device)
    targets = targets.long().clamp(0, classes - 1)  # padding may hold anything
    if separators == "required":
        lattice = reference.required_lattice(targets, target_lengths)
    else:
        check_range("separator", torch.tensor(separator), classes)
        lattice = reference.optional_lattice(targets, target_lengths, separator)
    needed = reference.needed_windows(lattice)
    short = (needed > window_lengths).nonzero()[:, 0].tolist()
    if short:
        first = short[0]
        raise ValueError(
            f"sample {first} has {int(window_lengths[first])} windows, its target needs {int(needed[first])}: "
            f"no path exists ({len(short)} of {batch} samples are too short)"
        )
    return window_lengths, lattice
