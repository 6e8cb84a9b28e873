"""How sure the reader is: Gibbs probabilities at the temperature that fits best."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..alignment import free_energy
from ..alphabet import Alphabet
from ..decoding import word_energy

BETAS = tuple(2 ** (k / 4) for k in range(-10, 5))
"""Inverse temperatures among which is chosen: 0.18 to 2."""


def judge(
    energies: Tensor, texts: Sequence[str], lengths: Tensor, beta: float, alphabet: Alphabet
) -> tuple[Tensor, Tensor]:
    """(B,) free energies of texts, and the logarithms of their Gibbs probabilities among all texts,
    which do not end where the probabilities do.

    Args:
        energies: (B, L, C) float64; inf is what may not come.
        texts: one a sample.
        lengths: (B,) windows of each.
    """
    values = word_energy(energies, texts, lengths, beta, "optional", alphabet=alphabet)
    every = free_energy(energies, None, lengths, None, beta, "optional", alphabet.separator)
    return values, (beta * (every - values)).clamp(max=0)


def fit_beta(
    energies: Sequence[Tensor],
    texts: Sequence[Sequence[str]],
    lengths: Sequence[Tensor],
    alphabet: Alphabet,
) -> float:
    """The inverse temperature at which right texts are most probable, all together.

    Args:
        energies: batches (B, L, C) float64.
        texts: what is written on each image, a list a batch.
        lengths: (B,) windows of each.
    """
    batches = [*zip(energies, texts, lengths)]

    def likelihood(beta: float) -> float:
        return sum(judge(*batch, beta, alphabet)[1].sum().item() for batch in batches)

    return max(BETAS, key=likelihood)
