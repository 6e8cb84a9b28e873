"""What alignment accepts: each function raises, naming what was expected and what came."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def check_energies(energies: Tensor) -> None:
    """(B, L, C) floats, nothing empty."""
    if not isinstance(energies, Tensor) or not energies.is_floating_point():
        raise TypeError(f"expected a float tensor of energies, got {_kind(energies)}")
    if energies.dim() != 3 or 0 in energies.shape:
        raise ValueError(f"expected energies (B, L, C), none of them zero, got {tuple(energies.shape)}")


def check_targets(energies: Tensor, targets: Tensor, lengths: Tensor | None = None) -> None:
    """(B, T) classes of the energies, within their lengths."""
    if not isinstance(targets, Tensor) or targets.is_floating_point() or targets.dtype == torch.bool:
        raise TypeError(f"expected an integer tensor of targets, got {_kind(targets)}")
    if targets.dim() != 2 or targets.shape[0] != energies.shape[0] or targets.shape[1] == 0:
        shape = tuple(energies.shape)
        raise ValueError(f"expected targets ({shape[0]}, T) for energies {shape}, got {tuple(targets.shape)}")
    if targets.device != energies.device:
        raise ValueError(f"expected targets on {energies.device} with the energies, got {targets.device}")
    if lengths is not None:
        batch, width = targets.shape
        lengths = check_lengths("target_lengths", lengths, batch, width, energies.device)
        targets = targets.where(torch.arange(targets.shape[1], device=targets.device) < lengths[:, None], 0)
    check_range("targets", targets, energies.shape[2])


def check_lengths(name: str, lengths: Tensor | None, batch: int, longest: int, device: torch.device) -> Tensor:
    """(B,) integers in 1..longest."""
    if lengths is None:
        return torch.full((batch,), longest, device=device)
    lengths = torch.as_tensor(lengths, device=device)
    if lengths.is_floating_point() or lengths.dtype == torch.bool:
        raise TypeError(f"expected integer {name}, got {lengths.dtype}")
    if lengths.shape != (batch,):
        raise ValueError(f"expected {name} ({batch},), got {tuple(lengths.shape)}")
    if not ((lengths >= 1) & (lengths <= longest)).all():
        raise ValueError(f"expected {name} in 1..{longest}, got {lengths.tolist()}")
    return lengths.long()


def check_range(name: str, values: Tensor, size: int | Tensor) -> None:
    """Integers in 0..size - 1."""
    if not ((values >= 0) & (values < size)).all():
        raise ValueError(f"expected {name} at least 0 and below {size}, got {int(values.min())}..{int(values.max())}")


def check_matrix(pm: Tensor) -> None:
    """(L, T) floats, none of them NaN or -inf."""
    if not isinstance(pm, Tensor) or not pm.is_floating_point():
        raise TypeError(f"expected a float tensor, got {_kind(pm)}")
    if pm.dim() != 2 or 0 in pm.shape:
        raise ValueError(f"expected a path matrix (L, T), none of them zero, got {tuple(pm.shape)}")
    if not (pm > -math.inf).all():
        raise ValueError("expected energies above -inf, got NaN or -inf")


def _kind(value: object) -> str:
    """What a value is, for an error message."""
    return str(value.dtype) if isinstance(value, Tensor) else type(value).__name__
