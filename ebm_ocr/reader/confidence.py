"""How sure the reader is: Gibbs probabilities at the temperature that fits best."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..alphabet import Alphabet
from ..decoding import word_probability

BETAS = tuple(2 ** (k / 4) for k in range(-10, 5))
"""Inverse temperatures among which is chosen: 0.18 to 2."""


def fit_beta(
    energies: Sequence[Tensor],
    texts: Sequence[Sequence[str]],
    lengths: Sequence[Tensor],
    alphabet: Alphabet,
) -> float:
    """The inverse temperature at which right texts are most probable, all together.

    Args:
        energies: batches (B, L, C).
        texts: what is written on each image, a list a batch.
        lengths: (B,) windows of each.
    """

    def surprise(beta: float) -> float:
        total = 0.0
        for batch, words, windows in zip(energies, texts, lengths):
            probability = word_probability(
                batch.double(), words, windows, beta, "optional", alphabet=alphabet
            )
            total -= probability.clamp(min=torch.finfo(torch.float64).tiny).log().sum().item()
        return total

    return min(BETAS, key=surprise)
