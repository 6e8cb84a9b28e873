"""What alignment accepts: each function raises, naming what was expected and what came.

Shapes and types are looked at on each call; values by the kernels as they go, and here when there is something to say.
"""

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


def check_targets(energies: Tensor, targets: Tensor) -> None:
    """(B, T) integers beside the energies."""
    if not isinstance(targets, Tensor) or targets.is_floating_point() or targets.dtype == torch.bool:
        raise TypeError(f"expected an integer tensor of targets, got {_kind(targets)}")
    if targets.dim() != 2 or targets.shape[0] != energies.shape[0] or targets.shape[1] == 0:
        shape = tuple(energies.shape)
        raise ValueError(f"expected targets ({shape[0]}, T) for energies {shape}, got {tuple(targets.shape)}")
    if targets.device != energies.device:
        raise ValueError(f"expected targets on {energies.device} with the energies, got {targets.device}")


def as_lengths(name: str, lengths: Tensor | None, energies: Tensor, longest: int) -> Tensor:
    """(B,) int64 on the device of the energies; all ``longest`` where none are given."""
    batch = energies.shape[0]
    if lengths is None:
        return torch.full((batch,), longest, device=energies.device)
    if not isinstance(lengths, Tensor) or lengths.device != energies.device:
        lengths = torch.as_tensor(lengths, device=energies.device)
    if lengths.is_floating_point() or lengths.dtype == torch.bool:
        raise TypeError(f"expected integer {name}, got {lengths.dtype}")
    if lengths.shape != (batch,):
        raise ValueError(f"expected {name} ({batch},), got {tuple(lengths.shape)}")
    return lengths.long()


def check_values(energies: Tensor, targets: Tensor, window_lengths: Tensor, target_lengths: Tensor) -> None:
    """Lengths and classes in range, and no energy that counts NaN or -inf."""
    _, windows, classes = energies.shape
    width = targets.shape[1]
    for name, lengths, longest in (("window", window_lengths, windows), ("target", target_lengths, width)):
        if not ((lengths >= 0) & (lengths <= longest)).all():
            raise ValueError(f"expected {name}_lengths in 0..{longest}, got {lengths.tolist()}")
    outside = torch.arange(windows, device=energies.device) >= window_lengths[:, None]
    if not ((energies > -math.inf).all(2) | outside).all():
        raise ValueError("expected energies above -inf, got NaN or -inf")
    inside = torch.arange(width, device=targets.device) < target_lengths[:, None]
    check_range("targets", targets.where(inside, 0), classes)


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
