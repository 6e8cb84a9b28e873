"""How an image is cut into windows: the geometry of rendering, network and plots, in pixels."""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor

from .validation import INTEGERS, whole_number

HEIGHT = 32
WINDOW = 18
STRIDE = 2

Width = TypeVar("Width", int, Tensor)


def count_windows(width: Width) -> Width:
    """Number of windows of ``WINDOW`` px, ``STRIDE`` px apart, that fit in ``width`` px, or 0.

    >>> count_windows(18), count_windows(22)
    (1, 3)

    Args:
        width: a whole number, or a tensor of them.

    Raises:
        TypeError: no whole number.
    """
    if not isinstance(width, Tensor):
        return max(0, (whole_number("a width", width) - WINDOW) // STRIDE + 1)
    if width.dtype not in INTEGERS:
        raise TypeError(f"expected widths in whole pixels, got {width.dtype}")
    return ((width.long() - WINDOW) // STRIDE + 1).clamp(min=0)  # long: bytes have no -1
