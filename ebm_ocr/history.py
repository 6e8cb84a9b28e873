"""What a training leaves behind, pass by pass."""

from __future__ import annotations

from typing import NamedTuple


class History(NamedTuple):
    """One entry a pass over the data.

    As plain data, which a checkpoint may hold (``torch.load`` refuses classes):

    >>> History(**History([0.5], [1.0], [2.0], [3.0], [4.0])._asdict()).loss
    [0.5]
    """

    loss: list[float]
    """Mean training loss of a sample."""
    accuracy: list[float]
    """Fraction of samples read right, while training."""
    free_energy: list[float]
    """Mean free energy of the right answer: of its best path, or in :func:`train` at its beta."""
    gap: list[float]
    """How far the most offending answer lies above that, on average; NaN where no loop looks."""
    seconds: list[float]
    """Time since the start."""
