"""Energies of windows and a target to a scalar: criteria to train a network with."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from .alignment import Separators, free_energy
from .alphabet import BETWEEN


def cross_entropy(energies: Tensor, target: Tensor, **options: Any) -> Tensor:
    """Cross-entropy of the soft-arg-min of energies: ``-log softmax(-energies)[target]``.

    Args:
        energies: (..., C), lower is better; the classes come last.
        target: (...) classes, the same leading shape.
        options: passed on to ``torch.nn.functional.cross_entropy``, such as ``reduction``.

    Returns:
        () mean over all targets, or (...) with ``reduction="none"``.

    Raises:
        ValueError: leading shapes that differ.
    """
    if energies.shape[:-1] != target.shape:
        expected = tuple(energies.shape[:-1])
        raise ValueError(f"expected target {expected} for energies {tuple(energies.shape)}, got {tuple(target.shape)}")
    logits = -energies  # border to probabilities: a low energy is a high logit
    losses = functional.cross_entropy(logits.flatten(0, -2), target.flatten(), **options)
    return losses.view(target.shape) if losses.dim() else losses


def normalise(energies: Tensor) -> Tensor:
    """Energies of each window moved to a common level, ``e + log Σ exp(-e)``: then ``exp(-e)`` are probabilities.

    Args:
        energies: (..., C).
    """
    return energies + torch.logsumexp(-energies, dim=-1, keepdim=True)


def forward_loss(
    energies: Tensor,
    targets: Tensor,
    window_lengths: Tensor | None = None,
    target_lengths: Tensor | None = None,
    separators: Separators = "optional",
) -> Tensor:
    """Negative log-likelihood of each target, all its alignments summed: the loss of graph transformer networks.

    The windows' energies are made log-probabilities, then it is ``free_energy`` at ``beta = 1``. With optional
    separators this is CTC (Graves et al. 2006, equation 7).

    Args and errors: see :func:`ebm_ocr.free_energy`.

    Returns:
        (B,), each at least 0.
    """
    return free_energy(normalise(energies), targets, window_lengths, target_lengths, beta=1.0, separators=separators)


class PathEnergyLoss(nn.Module):
    """The free energy of targets as a module, in the manner of ``nn.CTCLoss``: ``free_energy``, reduced.

    Call it with energies (B, L, C), targets (B, T), window lengths and target lengths, as :func:`ebm_ocr.free_energy`.

    Args:
        beta: inverse temperature in (0, inf]; inf counts the best path alone.
        separators: "required" or "optional".
        reduction: "none" for (B,); "sum"; or "mean" over the batch, each sample counting the same, unlike
            ``nn.CTCLoss``, which divides each by its target's length first.
        zero_infinity: False: a target that does not fit in its windows is a ``ValueError``, and one whose paths are
            all forbidden costs inf. True: both cost 0, with gradient 0.
        separator: class of the separator.

    Raises:
        ValueError: an option unknown; when called, see :func:`ebm_ocr.free_energy`.
    """

    def __init__(
        self,
        beta: float = math.inf,
        separators: Separators = "required",
        reduction: Literal["none", "mean", "sum"] = "mean",
        zero_infinity: bool = False,
        *,
        separator: int = BETWEEN,
    ) -> None:
        super().__init__()
        if not beta > 0:
            raise ValueError(f"expected beta in (0, inf], got {beta}")
        if separators not in ("required", "optional"):
            raise ValueError(f"expected separators 'required' or 'optional', got {separators!r}")
        if reduction not in ("none", "mean", "sum"):
            raise ValueError(f"expected reduction 'none', 'mean' or 'sum', got {reduction!r}")
        self.beta, self.separators, self.reduction, self.zero_infinity = beta, separators, reduction, zero_infinity
        self.separator = separator

    def forward(
        self,
        energies: Tensor,
        targets: Tensor,
        window_lengths: Tensor | None = None,
        target_lengths: Tensor | None = None,
    ) -> Tensor:
        """() or, unreduced, (B,)."""
        values = free_energy(
            energies,
            targets,
            window_lengths,
            target_lengths,
            self.beta,
            self.separators,
            self.separator,
            infeasible="inf" if self.zero_infinity else "raise",
        )
        if self.zero_infinity:
            values = values.where(values < math.inf, 0)
        return values if self.reduction == "none" else values.mean() if self.reduction == "mean" else values.sum()

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"beta={self.beta}, separators={self.separators!r}, reduction={self.reduction!r}, "
            f"zero_infinity={self.zero_infinity}"
        )
