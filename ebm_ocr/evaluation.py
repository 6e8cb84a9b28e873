"""How well a network reads, measured on words that it was not trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from .decoding import greedy_decode
from .words import Sample, SimpleWordsDataset, collate_fn, simple_collate_fn

BATCH = 250
Decode = Callable[[Tensor, Tensor], list[str]]
"""(B, L, C) energies and (B,) window lengths to B words."""


def get_accuracy(model: nn.Module, dataset: Dataset[Sample]) -> float:
    """Fraction of one-letter images whose lowest energy is that of their letter."""
    hits: list[Tensor] = []
    for images, targets in DataLoader(dataset, BATCH, collate_fn=simple_collate_fn):
        hits.append(_energies(model, images)[:, 0].argmin(1).cpu() == targets)
    return torch.cat(hits).double().mean().item()


def read_words(model: nn.Module, dataset: Dataset[Sample], decode: Decode = greedy_decode) -> list[tuple[str, str]]:
    """Each word of a dataset and what the network reads in its image.

    Args:
        decode: :func:`ebm_ocr.greedy_decode`, or :func:`ebm_ocr.exact_decode` for the word of least energy.
    """
    texts: list[str] = []
    readings: list[str] = []
    for samples in DataLoader(dataset, BATCH, collate_fn=list):
        batch = collate_fn(samples)
        texts += [text for _, text in samples]
        readings += decode(_energies(model, batch.images), batch.window_lengths)
    return list(zip(texts, readings))


def get_word_accuracy(model: nn.Module, dataset: Dataset[Sample], decode: Decode = greedy_decode) -> float:
    """Fraction of words read exactly: every letter right, none missing, none added. See :func:`read_words`."""
    pairs = read_words(model, dataset, decode)
    return sum(text == reading for text, reading in pairs) / len(pairs)


def accuracy_by_length(
    model: nn.Module,
    lengths: Iterable[int] = range(2, 13),
    words: int = 500,
    seed: int = 10_000,
    decode: Decode = greedy_decode,
) -> dict[int, float]:
    """Exact-match accuracy on fresh random words of each length, shifted at random, a third with a doubled letter.

    The words come from seeds that training never uses: ``seed + length``, while training draws from seeds below 10,000.
    """
    return {
        length: get_word_accuracy(
            model, SimpleWordsDataset(length, words, jitter=True, doubled=1 / 3, seed=seed + length), decode
        )
        for length in lengths
    }


class Reliability(NamedTuple):
    """How often answers are right that were given with a certain confidence; one entry a bin that has any."""

    confidence: Tensor
    """Mean in the bin."""
    accuracy: Tensor
    """Fraction of them that is right."""
    answers: Tensor
    """How many in the bin."""
    error: float
    """Expected calibration error: mean over all answers of their bin's ``abs(accuracy - confidence)``."""


def reliability(confidence: Tensor, correct: Tensor, bins: int = 10) -> Reliability:
    """Sort answers into bins of equal width by their confidence (Guo et al. 2017, section 2).

    Args:
        confidence: (N,) probabilities, such as :func:`ebm_ocr.word_probability` of what was read.
        correct: (N,) bool, whether each answer was right.

    Raises:
        TypeError: ``correct`` is not bool.
        ValueError: shapes that differ or are empty, probabilities outside 0..1, no bins.
    """
    if confidence.dim() != 1 or confidence.shape != correct.shape or not len(confidence):
        raise ValueError(f"expected (N,) and (N,), got {tuple(confidence.shape)} and {tuple(correct.shape)}")
    if not ((confidence >= 0) & (confidence <= 1)).all():
        raise ValueError(f"expected probabilities, got {confidence.min().item():.3g}..{confidence.max().item():.3g}")
    if correct.dtype != torch.bool:
        raise TypeError(f"expected bool for what is correct, got {correct.dtype}")
    if bins < 1:
        raise ValueError(f"expected at least one bin, got {bins}")
    which = (confidence * bins).long().clamp(max=bins - 1)
    count, said, right = (
        torch.bincount(which, weights, bins) for weights in (None, confidence.double(), correct.double())
    )
    filled = count > 0
    count, said, right = count[filled], said[filled], right[filled]
    return Reliability(said / count, right / count, count, ((right - said).abs().sum() / count.sum()).item())


@torch.no_grad()
def _energies(model: nn.Module, images: Tensor) -> Tensor:
    """Energies of a batch with the network in evaluation mode, on its device; the mode is put back."""
    was_training = model.training
    model.eval()
    try:
        return model(images.to(next(model.parameters()).device))
    finally:
        model.train(was_training)
