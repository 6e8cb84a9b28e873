"""Energies of windows and a target to a scalar: criteria to train a network with."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from .alignment import TOPOLOGIES, Separators, free_energy
from .kernels import reference
from .validation import (
    as_beta,
    as_lengths,
    check_choice,
    check_energies,
    check_floats,
    narrow,
    truth,
    whole_number,
    widen,
)


def cross_entropy(energies: Tensor, target: Tensor, **options: Any) -> Tensor:
    """Cross-entropy of the soft-arg-min of energies: ``-log softmax(-energies)[target]``.

    Args:
        energies: (..., C), lower is better; the classes come last.
        target: (...) classes, the same leading shape.
        options: passed on to ``torch.nn.functional.cross_entropy``, such as ``reduction``.

    Returns:
        () mean over all targets, or (...) with ``reduction="none"``; inf where every class is
        forbidden.

    Raises:
        TypeError: energies not floating point.
        ValueError: leading shapes that differ.
    """
    check_floats("energies", energies)
    energies = energies.to(torch.promote_types(energies.dtype, torch.float32))
    if energies.shape[:-1] != target.shape:
        expected = tuple(energies.shape[:-1])
        raise ValueError(
            f"expected target {expected} for energies {tuple(energies.shape)}, "
            f"got {tuple(target.shape)}"
        )
    # or there is no probability to share out
    open_ = energies.detach().amin(-1, keepdim=True) != math.inf
    chosen = torch.arange(energies.shape[-1], device=energies.device) == target[..., None]
    logits = -energies.where(open_, 0)  # border to probabilities: a low energy is a high logit
    logits = logits.masked_fill(~open_ & chosen, -math.inf)
    losses = functional.cross_entropy(logits.flatten(0, -2), target.flatten(), **options)
    return losses.view(target.shape) if losses.dim() else losses


def normalise(energies: Tensor) -> Tensor:
    """Energies of each window moved to a common level, ``e + log Σ exp(-e)``:
    then ``exp(-e)`` are probabilities.

    A window in which every class is forbidden stays inf.

    Args:
        energies: (..., C).

    Raises:
        TypeError: energies not floating point.
    """
    check_floats("energies", energies)
    return reference.normalise(energies)


def forward_loss(
    energies: Tensor,
    targets: Tensor,
    window_lengths: Tensor | None = None,
    target_lengths: Tensor | None = None,
    separators: Separators = "optional",
    separator: int | None = None,
) -> Tensor:
    """Negative log-likelihood of each target, all its alignments summed:
    the loss of graph transformer networks.

    The windows' energies are made log-probabilities, then it is ``free_energy`` at ``beta = 1``.
    With optional separators this is CTC (Graves et al. 2006, equation 7).

    Args and errors: see :func:`ebm_ocr.free_energy`.

    Returns:
        (B,), each at least 0.
    """
    check_energies(energies)
    window_lengths = as_lengths("window_lengths", window_lengths, energies, energies.shape[1])
    wide = normalise(widen(reference.without_padding(energies, window_lengths)))
    lengths = window_lengths, target_lengths  # float64: near 0 a loss would be its rounding
    values = free_energy(wide, targets, *lengths, 1.0, separators, separator)
    return narrow(values.clamp(min=0), energies)


class PathEnergyLoss(nn.Module):
    """The free energy of targets as a module, in the manner of ``nn.CTCLoss``:
    ``free_energy``, reduced.

    Call it with energies (B, L, C), targets (B, T), window lengths and target lengths,
    as :func:`ebm_ocr.free_energy`.

    Args:
        beta: inverse temperature in (0, inf]; inf counts the best path alone.
        separators: "required" or "optional".
        reduction: "none" for (B,); "sum"; or "mean" over the batch, each sample counting the same,
            unlike ``nn.CTCLoss``, which divides each by its target's length first.
        zero_infinity: False: a target that does not fit in its windows is a ``ValueError``,
            and one whose paths are all forbidden costs inf. True: both cost 0, with gradient 0.
        separator: class of the separator; default the last one.

    Raises:
        TypeError, ValueError: an option unknown; when called, see :func:`ebm_ocr.free_energy`.
    """

    def __init__(
        self,
        beta: float = math.inf,
        separators: Separators = "required",
        reduction: Literal["none", "mean", "sum"] = "mean",
        zero_infinity: bool = False,
        *,
        separator: int | None = None,
    ) -> None:
        super().__init__()
        check_choice("separators", separators, TOPOLOGIES)
        check_choice("reduction", reduction, ("none", "mean", "sum"))
        self.beta, self.separators, self.reduction = as_beta(beta), separators, reduction
        self.zero_infinity = truth("zero_infinity", zero_infinity)
        self.separator = None if separator is None else whole_number("a separator", separator, 0)

    def forward(
        self,
        energies: Tensor,
        targets: Tensor,
        window_lengths: Tensor | None = None,
        target_lengths: Tensor | None = None,
    ) -> Tensor:
        """() or, unreduced, (B,)."""
        check_energies(energies)
        values = free_energy(
            energies,
            targets,
            window_lengths,
            target_lengths,
            self.beta,
            self.separators,
            self.separator,
            infeasible="inf" if self.zero_infinity else "raise",
            dtype=torch.float64 if self.zero_infinity and energies.device.type != "mps" else None,
        )
        if self.zero_infinity:  # looked at while wide: what overflows later is not impossible
            values = values.where(values < math.inf, 0)
        if self.reduction != "none":
            values = values.mean() if self.reduction == "mean" else values.sum()
        return narrow(values, energies)

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"beta={self.beta}, separators={self.separators!r}, reduction={self.reduction!r}, "
            f"zero_infinity={self.zero_infinity}, separator={self.separator}"
        )
