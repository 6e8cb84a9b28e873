"""How well a network reads, measured on words that it was not trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from .alphabet import LATIN
from .datasets import Sample, SimpleWordsDataset, collate_fn, simple_collate_fn
from .decoding import exact_decode, greedy_decode
from .network import alphabet_of, in_mode, lowest_class, to_model
from .validation import as_words, check_energies, check_floats, whole_number, widen

BATCH = 250
Model = Callable[[Tensor], Tensor]
"""A network, or any function of (B, 1, 32, W) images to (B, L, C) energies."""
Decode = Callable[[Tensor, Tensor], list[str]]
"""(B, L, C) energies and (B,) window lengths to B words."""


def get_accuracy(model: Model, dataset: Dataset[Sample]) -> float:
    """Fraction of one-letter images whose lowest energy is that of their letter.

    >>> from ebm_ocr import SimpleNet
    >>> 0 <= get_accuracy(SimpleNet(channels=4), SimpleWordsDataset(1, 8, seed=0)) <= 1
    True

    Args:
        model: a network or any function of (B, 1, 32, W) images to (B, L, C) energies. It is run
            in evaluation mode, where its weights are and in their type.

    Raises:
        TypeError, ValueError: no images at all, texts of several letters, energies that are none.
    """
    hits: list[Tensor] = []
    collate = partial(simple_collate_fn, alphabet=alphabet_of(model) or LATIN)
    for images, targets in DataLoader(dataset, BATCH, collate_fn=collate):
        energies = _energies(model, images)
        if energies.dim() != 3 or len(energies) != len(images):
            shape = tuple(energies.shape)
            raise ValueError(f"expected energies ({len(images)}, L, C) of the model, got {shape}")
        hits.append(lowest_class(energies[:, 0]).cpu() == targets)
    if not hits:
        raise ValueError("expected a dataset of at least one image, got none")
    return torch.cat(hits).double().mean().item()


def read_words(
    model: Model, dataset: Dataset[Sample], decode: Decode | None = None
) -> list[tuple[str, str]]:
    """Each word of a dataset and what the network reads in its image.

    >>> from ebm_ocr import SimpleNet
    >>> words = SimpleWordsDataset(3, 2, seed=0)
    >>> [word for word, read in read_words(SimpleNet(channels=4), words)]
    ['wqn', 'nxz']

    Args:
        model: see :func:`get_accuracy`.
        decode: default :func:`ebm_ocr.greedy_decode`; or :func:`ebm_ocr.exact_decode` for the word
            of least energy. Both are given the alphabet that the network carries.
    """
    alphabet = alphabet_of(model)
    if decode is None or decode is greedy_decode:
        decode = partial(greedy_decode, alphabet=alphabet)
    elif decode is exact_decode:
        decode = partial(exact_decode, alphabet=alphabet)
    pairs: list[tuple[str, str]] = []
    for samples in DataLoader(dataset, BATCH, collate_fn=list):
        batch = collate_fn(samples, alphabet or LATIN)
        read = decode(_energies(model, batch.images), batch.window_lengths)
        pairs += zip(map("".join, batch.texts), map("".join, as_words(read, len(samples))))
    return pairs


def get_word_accuracy(
    model: Model, dataset: Dataset[Sample], decode: Decode | None = None
) -> float:
    """Fraction of words read exactly: every letter right, none missing, none added.

    >>> from ebm_ocr import SimpleNet
    >>> get_word_accuracy(SimpleNet(channels=4), SimpleWordsDataset(6, 4, seed=0))
    0.0

    Args and errors: see :func:`get_accuracy` and :func:`read_words`.
    """
    pairs = read_words(model, dataset, decode)
    if not pairs:
        raise ValueError("expected a dataset of at least one word, got none")
    return sum(text == reading for text, reading in pairs) / len(pairs)


def accuracy_by_length(
    model: Model,
    lengths: Iterable[int] = range(2, 13),
    words: int = 500,
    seed: int = 10_000,
    decode: Decode | None = None,
) -> dict[int, float]:
    """Exact-match accuracy on fresh random words of each length, a third with a doubled letter.

    Words are shifted at random.
    The words come from seeds that training never uses: ``seed + length``, while training draws from
    seeds below 10,000.

    >>> from ebm_ocr import SimpleNet
    >>> sorted(accuracy_by_length(SimpleNet(channels=4), lengths=(5, 6), words=4))
    [5, 6]

    Raises:
        TypeError: lengths that are no list of whole numbers.
        ValueError: a length below 2; single letters are for :func:`get_accuracy`.
    """
    if not isinstance(lengths, Iterable):
        raise TypeError(f"expected lengths as a list of whole numbers, got {lengths!r}")
    seed = whole_number("seed", seed, 0)
    return {
        length: get_word_accuracy(
            model,
            SimpleWordsDataset(
                length,
                words,
                jitter=True,
                doubled=1 / 3,
                seed=seed + length,
                alphabet=alphabet_of(model) or LATIN,
            ),
            decode,
        )
        for length in [whole_number("each length", length, 2) for length in lengths]
    }


class Reliability(NamedTuple):
    """How often answers of a certain confidence are right; one entry a bin that has any."""

    confidence: Tensor
    """Mean in the bin."""
    accuracy: Tensor
    """Fraction of them that is right."""
    answers: Tensor
    """How many in the bin."""
    error: float
    """Expected calibration error: mean over all answers of ``abs(accuracy - confidence)`` of
    their bin."""


def reliability(confidence: Tensor, correct: Tensor, bins: int = 10) -> Reliability:
    """Sort answers into bins of equal width by their confidence (Guo et al. 2017, section 2).

    >>> sure, right = torch.tensor([0.9, 0.8, 0.3]), torch.tensor([True, True, False])
    >>> reliability(sure, right, bins=2).accuracy
    tensor([0., 1.], dtype=torch.float64)

    Args:
        confidence: (N,) probabilities, such as :func:`ebm_ocr.word_probability` of what was read.
        correct: (N,) bool, whether each answer was right.

    Raises:
        TypeError: ``correct`` is not bool.
        ValueError: shapes that differ or are empty, probabilities outside 0..1, no bins.
    """
    check_floats("confidence", confidence)
    if not isinstance(correct, Tensor) or correct.dtype != torch.bool:
        got = getattr(correct, "dtype", type(correct).__name__)
        raise TypeError(f"expected a bool tensor of what is correct, got {got}")
    confidence, correct = confidence.detach(), correct.to(confidence.device)
    if confidence.dim() != 1 or confidence.shape != correct.shape or not len(confidence):
        shapes = f"{tuple(confidence.shape)} and {tuple(correct.shape)}"
        raise ValueError(f"expected (N,) and (N,), got {shapes}")
    if not ((confidence >= 0) & (confidence <= 1)).all():
        span = f"{confidence.min().item():.3g}..{confidence.max().item():.3g}"
        raise ValueError(f"expected probabilities, got {span}")
    bins = whole_number("bins", bins, 1)
    which = (confidence * bins).long().clamp(max=bins - 1)
    count, said, right = (
        torch.bincount(which, weights, bins)
        for weights in (None, widen(confidence), widen(correct))
    )
    filled = count > 0
    count, said, right = count[filled], said[filled], right[filled]
    error = ((right - said).abs().sum() / count.sum()).item()
    return Reliability(said / count, right / count, count, error)


@torch.no_grad()
def _energies(model: Model, images: Tensor) -> Tensor:
    """Energies of a batch with the network in evaluation mode, where and of what type it is."""
    with in_mode(model, training=False):
        energies = model(to_model(model, images))
    check_energies(energies)
    return energies
