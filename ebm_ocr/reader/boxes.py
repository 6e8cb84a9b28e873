"""Where each letter of a word is: from the windows that show it to the ink around them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ..geometry import STRIDE

Box = tuple[float, float, float, float]
"""Left, top, right and bottom edges."""


def letter_boxes(ink: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """A box for each letter, from left to right.

    Between the middles of two neighbours the border is where there is least ink, of equal columns
    the middle one; then each box shrinks to its ink. Without ink it is as high as the strip.

    >>> ink = np.zeros((5, 12), bool)
    >>> ink[1:4, [2, 3, 8, 9]] = True
    >>> letter_boxes(ink, np.array([[1, 1], [4, 4]])).tolist()
    [[2, 1, 4, 4], [8, 1, 10, 4]]

    Args:
        ink: (H, w) bool, which pixels of the strip are ink.
        windows: (n, 2) first and last window of each letter; window ``l`` looks at columns ``2 l``
            and ``2 l + 1`` and around them.

    Returns:
        (n, 4) whole pixels: left, top, right and bottom of each, ends excluded.
    """
    height, width = ink.shape
    if not len(windows):
        return np.zeros((0, 4), np.int64)
    middles = np.minimum(windows.sum(1) * STRIDE // 2 + STRIDE // 2, width - 1).tolist()
    columns = ink.sum(0)
    edges = [0]
    for here, there in pairwise(middles):
        between = columns[here : there + 1]
        least = np.flatnonzero(between == between.min())
        edges.append(max(here + int(least[len(least) // 2]), edges[-1] + 1))
    borders = np.minimum([*edges, width], width)
    shown = np.flatnonzero(columns)
    first, beyond = np.searchsorted(shown, borders[:-1]), np.searchsorted(shown, borders[1:])
    empty = first == beyond
    padded = np.append(shown, 0)
    left = np.where(empty, borders[:-1], padded[first])
    right = np.where(empty, borders[1:], padded[beyond - 1] + 1)
    rows = np.logical_or.reduceat(ink, np.minimum(borders[:-1], width - 1), 1)
    top = np.where(empty, 0, rows.argmax(0))
    bottom = np.where(empty, height, height - rows[::-1].argmax(0))
    return np.stack([left, top, right, bottom], 1)
