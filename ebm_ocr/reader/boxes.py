"""Where each letter of a word is: from the windows that show it to the ink around them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ..geometry import STRIDE

Box = tuple[float, float, float, float]
"""Left, top, right and bottom edges."""


def letter_boxes(ink: np.ndarray, windows: Sequence[tuple[int, int]]) -> list[Box]:
    """A box for each letter, from left to right.

    Between the middles of two neighbours the border is where there is least ink, of equal columns
    the middle one; then each box shrinks to its ink.

    >>> ink = np.zeros((5, 12), bool)
    >>> ink[1:4, [2, 3, 8, 9]] = True
    >>> letter_boxes(ink, [(1, 1), (4, 4)])
    [(2.0, 1.0, 4.0, 4.0), (8.0, 1.0, 10.0, 4.0)]

    Args:
        ink: (H, w) bool, which pixels of the strip are ink.
        windows: first and last window of each letter; window ``l`` looks at columns ``2 l`` and
            ``2 l + 1`` and around them.
    """
    if not windows:
        return []
    height, width = ink.shape
    middles = [min((STRIDE * (first + last) + STRIDE) // 2, width - 1) for first, last in windows]
    columns = ink.sum(0)
    borders = [0]
    for here, there in pairwise(middles):
        between = columns[here : there + 1]
        least = np.flatnonzero(between == between.min())
        borders.append(here + int(least[len(least) // 2]))
    boxes = []
    for left, right in zip(borders, [*borders[1:], width]):
        part = ink[:, left:right]
        across, down = np.flatnonzero(part.any(0)), np.flatnonzero(part.any(1))
        if len(across):
            right, left = left + int(across[-1]) + 1, left + int(across[0])
            top, bottom = int(down[0]), int(down[-1]) + 1
        else:
            top, bottom = 0, height
        boxes.append((float(left), float(top), float(right), float(bottom)))
    return boxes
