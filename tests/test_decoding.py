"""Energies to text."""

import pytest
import torch

from ebm_ocr import greedy_decode, transform_word


def energies_of(*words, windows):
    """Energies whose lowest class spells each word, one window a symbol, separators behind."""
    energies = torch.zeros(len(words), windows, 27)
    energies[:, :, 26] = -1
    for b, word in enumerate(words):
        for i, symbol in enumerate(transform_word(word)):
            energies[b, i, symbol] = -2
    return energies


def test_words_are_read_from_the_lowest_classes():
    assert greedy_decode(energies_of("ab", "hello", windows=12)) == ["ab", "hello"]


def test_windows_past_the_end_do_not_count():
    energies = energies_of("abc", "abc", windows=6)
    assert greedy_decode(energies, torch.tensor([2, 6])) == ["a", "abc"]


@pytest.mark.parametrize("lengths", [[1], [7, 1], [-1, 1]])
def test_bad_lengths_are_refused(lengths):
    with pytest.raises(ValueError, match="window_lengths"):
        greedy_decode(torch.zeros(2, 6, 27), torch.tensor(lengths))


def test_bad_rank_is_refused():
    with pytest.raises(ValueError, match=r"\(B, L, C\)"):
        greedy_decode(torch.zeros(6, 27))


def test_nan_is_no_energy():
    with pytest.raises(ValueError, match="got NaN"):
        greedy_decode(torch.full((1, 4, 27), float("nan")))
