"""Energies to a scalar: what training makes small."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from .alignment import Separators, free_energy


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
    normalised = energies + torch.logsumexp(-energies, dim=-1, keepdim=True)
    return free_energy(normalised, targets, window_lengths, target_lengths, beta=1.0, separators=separators)
