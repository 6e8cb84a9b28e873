"""How an image is cut into windows: the geometry that rendering, network and plots share. Units are pixels."""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor

HEIGHT = 32
WINDOW = 18
STRIDE = 2

Width = TypeVar("Width", int, Tensor)


def count_windows(width: Width) -> Width:
    """Number of windows of ``WINDOW`` px, ``STRIDE`` px apart, that fit in ``width`` px (an int or a tensor)."""
    return (width - WINDOW) // STRIDE + 1
