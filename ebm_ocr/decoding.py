"""Energies to text."""

from __future__ import annotations

from torch import Tensor

from .alphabet import indices_to_str


def greedy_decode(energies: Tensor, window_lengths: Tensor | None = None) -> list[str]:
    """Read each sample from the lowest-energy class of every window, see :func:`ebm_ocr.indices_to_str`.

    Args:
        energies: (B, L, 27).
        window_lengths: (B,) how many windows of each sample count; default L.

    Raises:
        ValueError: not (B, L, C), or lengths that don't fit.
    """
    if energies.dim() != 3:
        raise ValueError(f"expected energies (B, L, C), got {tuple(energies.shape)}")
    batch, windows, _ = energies.shape
    lengths = [windows] * batch if window_lengths is None else window_lengths.tolist()
    if len(lengths) != batch or not all(0 <= length <= windows for length in lengths):
        raise ValueError(f"expected {batch} window_lengths in 0..{windows}, got {lengths}")
    return [indices_to_str(row[:length]) for row, length in zip(energies.argmin(2).tolist(), lengths)]
