"""Energies and a target to paths and free energies, for batches, any classes and any separator.

Shapes: B samples, L windows, T target symbols, C classes. ``energies`` (B, L, C) and ``targets``
(B, T) may be padded; ``window_lengths`` (B,) and ``target_lengths`` (B,) say how much of them
counts (default: all), and what lies beyond never changes a result. A path gives each window one
target symbol: it starts on the first, ends on the last, and each window stays or advances by one.
With optional separators it may also pass over them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from . import kernels
from .path_matrix import normalise
from .validation import (
    Infeasible,
    Separators,
    as_beta,
    as_lengths,
    as_optional,
    as_separator,
    as_strict,
    can_look_at,
    check_dtype,
    check_energies,
    check_range,
    check_targets,
    narrow,
    real_number,
    widen,
)

WILDCARD = -1
"""A target symbol that any class matches, see ``wildcard`` of :func:`free_energy`."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """A batch of best paths; unpacks as ``free_energy, path``.

    >>> energies = torch.tensor([[[0.0, 9.0], [0.0, 9.0], [9.0, 0.0]]])
    >>> value, path = viterbi(energies, torch.tensor([[0, 1]]))
    >>> value, path
    (tensor([0.]), tensor([[0, 0, 1]]))
    """

    free_energy: Tensor
    """(B,) sum of the energies on each path; its gradient is 1 on the path and 0 elsewhere."""
    path: Tensor
    """(B, L) int64 target index of each window; -1 past a sample's end,
    on an optional separator that is not in the target, and where no path fits."""
    energies: Tensor = field(repr=False)
    """(B, L, C) what was aligned."""
    targets: Tensor = field(repr=False)
    """(B, T) what it was aligned with."""
    wildcard: float | None = None
    """Energy of a wildcard in each window."""
    versions: tuple[int, ...] = field(default=(), repr=False)
    """State of both tensors when they were aligned, where torch counts it; see :func:`spans`."""

    def __iter__(self) -> Iterator[Tensor]:
        return iter((self.free_energy, self.path))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"versions": self._unchanged()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        same = state["versions"]  # a copy counts anew
        versions = _versions(self.energies, self.targets) if same else (-1, -1)
        object.__setattr__(self, "versions", versions)  # frozen

    def _unchanged(self) -> bool:
        """Whether energies and targets are what was aligned, as far as torch tells."""
        return self.versions in ((), _versions(self.energies, self.targets))


class Span(NamedTuple):
    """Neighbouring windows that show one symbol of the target.

    >>> energies = torch.tensor([[[0.0, 9.0], [0.0, 9.0], [9.0, 0.0]]])
    >>> first, _ = spans(viterbi(energies, torch.tensor([[0, 1]])))[0]
    >>> first.symbol, first.start, first.end, round(first.confidence, 3)
    (0, 0, 2, 1.0)
    """

    symbol: int
    """Its class; :data:`WILDCARD` for a wildcard."""
    start: int
    """First window."""
    end: int
    """One past the last window."""
    energy: float
    """Sum over the windows of the symbol's energy."""
    confidence: float
    """Mean over the windows of the symbol's probability among all classes,
    ``softmax(-energies)``; 1 for a wildcard."""


def viterbi(
    energies: Tensor,
    targets: Tensor,
    window_lengths: Tensor | None = None,
    target_lengths: Tensor | None = None,
    separators: Separators = "required",
    separator: int | None = None,
    *,
    wildcard: float | None = None,
    infeasible: Infeasible = "raise",
) -> Alignment:
    """Find the lowest-energy path of every sample; :func:`ebm_ocr.find_path`
    for a batch of any lengths.

    Ties stay, else advance; of equally good ends the later one counts. Arguments and errors as in
    :func:`free_energy`. Where all paths cost inf, the path is a legal one. Under
    ``torch.func.vmap`` return what you need of the result, such as ``.path``: vmap hands on
    tensors only.

    >>> energies = torch.tensor([[[0.0, 9.0], [0.0, 9.0], [9.0, 0.0]]])
    >>> viterbi(energies, torch.tensor([[0, 1]])).path
    tensor([[0, 0, 1]])
    """
    lengths = window_lengths, target_lengths
    inputs = _prepare(energies, targets, *lengths, separators, separator, wildcard)
    values, _, path = kernels.align(*inputs, math.inf, kernels.STRICT * as_strict(infeasible))
    versions = _versions(energies, targets)
    wildcard = None if wildcard is None else real_number("wildcard", wildcard)
    return Alignment(narrow(values, energies), path, energies, targets, wildcard, versions)


def free_energy(
    energies: Tensor,
    targets: Tensor | None = None,
    window_lengths: Tensor | None = None,
    target_lengths: Tensor | None = None,
    beta: float = math.inf,
    separators: Separators = "required",
    separator: int | None = None,
    *,
    wildcard: float | None = None,
    infeasible: Infeasible = "raise",
    dtype: torch.dtype | None = None,
) -> Tensor:
    r"""Free energy of every sample over all its paths, at inverse temperature ``beta``.

    :math:`F_\beta = -\frac{1}{\beta} \log \sum_z e^{-\beta E(z)}`, where a path's energy is the sum
    over its windows. At ``beta = inf`` it is the energy of the best path (Viterbi), at 1 the
    forward score of GTN and CTC. Its gradient with respect to the energies is the posterior of the
    paths: how probable it is that a window shows a class.

    >>> energies, targets = torch.zeros(1, 4, 3), torch.tensor([[0, 2]])  # three paths
    >>> free_energy(energies, targets), free_energy(energies, targets, beta=1.0)  # -log 3
    (tensor([0.]), tensor([-1.0986]))

    Args:
        energies: (B, L, C) floats, lower is better; +inf forbids a class.
        targets: (B, T) integer classes. None sums over the paths of every word, of any length:
            :math:`e^{-\beta F}` is then the partition function. A word is one or more letters with
            a separator behind each where separators are required, and any letters, none included,
            where they are optional.
        window_lengths: (B,) integers, how many windows of each sample count; default L.
        target_lengths: (B,) integers, how many symbols of each target count; default T.
        beta: in (0, inf].
        separators: "required": every symbol of the target is passed, as in ``c_a_t_``. "optional":
            the target's letters are, and separators only where two equal letters meet; elsewhere,
            in front and behind included, they may stand or not. That is CTC (Graves et al. 2006):
            with ``energies = -log_softmax`` and ``beta = 1`` the result equals
            ``ctc_loss(blank=separator)``.
        separator: class of the separator, default the last;
            matters only where it is optional, or for every word.
        wildcard: energy per window of the symbol :data:`WILDCARD` (-1) in the targets,
            which any class matches. Neighbouring wildcards need no separator between them.
        infeasible: what a target that does not fit in its windows is: "raise" an error, or
            of energy "inf" with gradient zero. An empty target fits optional separators,
            or no windows.
        dtype: of the result; default that of ``energies``, but at least float32, as half precision
            ends at 65,504.

    Returns:
        (B,) computed in float64, in float32 where the device has no float64; inf,
        with gradient zero, where each path meets a forbidden class.

    Raises:
        TypeError: energies not floating point, targets or lengths not integers; ``beta``,
            ``wildcard`` or ``separator`` no single number, or one that asks for a gradient.
        ValueError: shapes that don't fit, an empty batch, NaN or -inf energies,
            classes or lengths out of range, fewer windows than the target needs, an option unknown.
    """
    beta, strict = as_beta(beta), as_strict(infeasible)
    check_dtype(dtype)
    if targets is not None:
        lengths = window_lengths, target_lengths
        inputs = _prepare(energies, targets, *lengths, separators, separator, wildcard)
        flags = kernels.STRICT * strict | kernels.WIDE * (dtype == torch.float64)
        values, *_ = kernels.align(*inputs, beta, flags)
        return narrow(values, energies, dtype)
    if target_lengths is not None or wildcard is not None:
        raise ValueError(
            "expected targets with target_lengths or a wildcard, got None: the sum over all words"
        )
    check_energies(energies)
    window_lengths = as_lengths("window_lengths", window_lengths, energies, energies.shape[1])
    separator = as_separator(separator, energies.shape[2])
    flags = kernels.OPTIONAL * as_optional(separators)
    values, *_ = kernels.all_words(_single(energies), window_lengths, separator, beta, flags)
    return narrow(values, energies, dtype)


def posterior(
    energies: Tensor,
    targets: Tensor,
    window_lengths: Tensor | None = None,
    target_lengths: Tensor | None = None,
    beta: float = 1.0,
    separators: Separators = "required",
    separator: int | None = None,
    *,
    wildcard: float | None = None,
    infeasible: Infeasible = "raise",
) -> Tensor:
    """Probability that each window shows each symbol of the target,
    over all paths at inverse temperature ``beta``.

    It is the gradient of the free energy with respect to the path matrix: a row for each window
    that sums to 1, and at ``beta = inf`` one-hot on the best path. Of optional separators only
    those in the target have a place in it; what a row lacks to 1 is on the others. Rows past a
    sample's end, and samples without a finite path, are 0. For reading and plotting: plain torch,
    not the fast kernels, but differentiable.

    >>> posterior(torch.zeros(1, 3, 3), torch.tensor([[0, 2]]))  # two paths
    tensor([[[1.0000, 0.0000],
             [0.5000, 0.5000],
             [0.0000, 1.0000]]])

    Args and errors: see :func:`free_energy`.

    Returns:
        (B, L, T), at least float32.
    """
    beta, strict = as_beta(beta), as_strict(infeasible)
    lengths = window_lengths, target_lengths
    inputs = _prepare(energies, targets, *lengths, separators, separator, wildcard)
    found = kernels.posterior(*inputs, beta, strict)
    return narrow(found[..., : targets.shape[1]], energies)


def spans(alignment: Alignment) -> list[list[Span]]:
    """Say of each sample where each symbol of the target is, from left to right.

    Optional separators that are not in the target have no span; where no path fits there is none. A
    window in which every class is forbidden has confidence 0.

    >>> energies = torch.tensor([[[0.0, 9.0], [0.0, 9.0], [9.0, 0.0]]])
    >>> found = spans(viterbi(energies, torch.tensor([[0, 1]])))[0]
    >>> [(span.symbol, span.start, span.end) for span in found]
    [(0, 0, 2), (1, 2, 3)]

    Raises:
        ValueError: the energies or targets were changed in place after they were aligned.
    """
    if not isinstance(alignment, Alignment):
        raise TypeError(f"expected what viterbi returned, got {type(alignment).__name__}")
    if not alignment._unchanged():
        raise ValueError(
            "expected what was aligned, got energies or targets changed in place since"
        )
    energies = widen(alignment.energies.detach().cpu())
    path, targets = alignment.path.cpu(), pad(alignment.targets.cpu().long(), (0, 1))
    on_path = targets.gather(1, path.where(path >= 0, targets.shape[1] - 1)).clamp(min=0)
    # border to probabilities: a low energy is a high logit
    probabilities = torch.exp(-normalise(energies))
    costs, sure = (m.gather(2, on_path[..., None])[..., 0] for m in (energies, probabilities))
    found: list[list[Span]] = []
    for sample, (places, symbols) in enumerate(zip(path.tolist(), targets.tolist())):
        found.append([])
        end = 0
        for place, same in groupby(places):
            start, end = end, end + len(list(same))
            if place < 0:
                continue
            symbol, length = symbols[place], end - start
            if alignment.wildcard is not None and symbol == WILDCARD:
                found[-1].append(Span(symbol, start, end, alignment.wildcard * length, 1.0))
            else:
                energy, confidence = (m[sample, start:end].sum().item() for m in (costs, sure))
                found[-1].append(Span(symbol, start, end, energy, confidence / length))
    return found


def _prepare(
    energies: Tensor,
    targets: Tensor,
    window_lengths: Tensor | None,
    target_lengths: Tensor | None,
    separators: Separators,
    separator: int | None,
    wildcard: float | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, int | None]:
    """Shapes and types checked, wildcards made classes; values are looked at by the kernels."""
    optional = as_optional(separators)
    check_energies(energies)
    check_targets(energies, targets)
    separator = as_separator(separator, energies.shape[2])
    window_lengths = as_lengths("window_lengths", window_lengths, energies, energies.shape[1])
    target_lengths = as_lengths("target_lengths", target_lengths, energies, targets.shape[1])
    energies, targets = _single(energies), targets.long()
    if targets.shape[1] == 0:
        targets = pad(targets, (0, 1))  # the kernels want a column, of which nothing counts
    if wildcard is not None:
        energies, targets = _with_wildcards(energies, targets, target_lengths, wildcard)
    return energies, targets, window_lengths, target_lengths, separator if optional else None


def _single(energies: Tensor) -> Tensor:
    """Half precision in float32, which the kernels read."""
    return energies if energies.dtype in (torch.float32, torch.float64) else energies.float()


def _with_wildcards(
    energies: Tensor, targets: Tensor, target_lengths: Tensor, wildcard: float
) -> tuple[Tensor, Tensor]:
    """Two classes more, which wildcards take by turns: between equal ones a separator is forced."""
    energy, classes = real_number("wildcard", wildcard), energies.shape[2]
    most = torch.finfo(energies.dtype).max
    if not -most <= energy <= most and energy != math.inf:
        kind = f"above -inf that {energies.dtype} holds"
        raise ValueError(f"expected a wildcard energy {kind}, got {wildcard}")
    wild = targets == WILDCARD
    if can_look_at(targets):
        inside = torch.arange(targets.shape[1], device=targets.device) < target_lengths[:, None]
        check_range("targets that are no wildcards", targets.where(inside & ~wild, 0), classes)
    beyond = targets.where(targets < classes, classes + 2)  # stays no class
    return pad(energies, (0, 2), value=energy), beyond.where(~wild, classes + wild.cumsum(1) % 2)


def _versions(energies: Tensor, targets: Tensor) -> tuple[int, ...]:
    """How often each was changed in place, as far as torch counts it."""
    if torch.compiler.is_compiling() or energies.is_inference() or targets.is_inference():
        return ()
    return energies._version, targets._version
