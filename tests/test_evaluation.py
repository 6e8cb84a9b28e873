"""Accuracy counts whole words, on words that training cannot draw."""

import pytest
import torch
from torch import nn

from ebm_ocr import (
    SimpleNet,
    SimpleWordsDataset,
    accuracy_by_length,
    get_accuracy,
    get_word_accuracy,
    read_words,
    reliability,
)


class Always(nn.Module):
    """Reads the same class everywhere, then separators."""

    def __init__(self, letter):
        super().__init__()
        self.letter = nn.Parameter(torch.tensor(float(letter)))

    def forward(self, images):
        energies = torch.zeros(images.shape[0], 30, 27)
        energies[:, 0, int(self.letter)] = -1
        energies[:, 1:, 26] = -1
        return energies


def test_one_letter_accuracy_is_the_fraction_of_right_letters():
    letters = SimpleWordsDataset(1, 200, seed=0)
    share = sum(text == "e" for _, text in letters) / 200
    assert 0 < share < 1
    assert get_accuracy(Always(4), letters) == pytest.approx(share)


def test_word_accuracy_counts_only_exact_words():
    words = SimpleWordsDataset(2, 50, seed=0)
    assert get_word_accuracy(Always(4), words) == 0.0
    assert {reading for _, reading in read_words(Always(4), words)} == {"e"}


def test_mode_of_the_network_is_put_back():
    model = SimpleNet().train()
    get_accuracy(model, SimpleWordsDataset(1, 2))
    assert model.training


@pytest.mark.slow
def test_recipe_reads_99_percent_of_fresh_words_of_every_length(trained):
    model, history = trained
    accuracy = accuracy_by_length(model)
    assert list(accuracy) == list(range(2, 13))
    assert min(accuracy.values()) >= 0.99, accuracy
    assert history.accuracy[-1] > 0.95  # of words with a tenth of their pixels dropped


def test_reliability_counts_by_hand():
    confidence = torch.tensor([0.05, 0.92, 0.98, 1.0, 0.55, 0.51])
    found = reliability(confidence, torch.tensor([False, True, True, False, True, True]))
    torch.testing.assert_close(
        found.confidence, torch.tensor([0.05, 0.53, 2.9 / 3], dtype=torch.float64)
    )
    torch.testing.assert_close(found.accuracy, torch.tensor([0.0, 1.0, 2 / 3], dtype=torch.float64))
    assert found.answers.tolist() == [1, 2, 3]
    assert found.error == pytest.approx((0.05 + 2 * 0.47 + 0.9) / 6)


def test_reliability_of_honest_probabilities_has_no_error():
    confidence = torch.full((1000,), 0.7)
    assert reliability(confidence, torch.arange(1000) % 10 < 7).error == pytest.approx(0, abs=1e-6)


def test_reliability_refuses_no_bins_and_what_is_not_bool():
    with pytest.raises(ValueError, match="bins at least 1, got 0"):
        reliability(torch.rand(2), torch.tensor([True, False]), bins=0)
    with pytest.raises(TypeError, match=r"expected a bool .* got torch\.float32"):
        reliability(torch.rand(2), torch.rand(2))


@pytest.mark.parametrize(
    ("confidence", "message"), [([0.5], r"\(1,\) and \(2,\)"), ([0.5, 1.5], r"got 0.5\.\.1.5")]
)
def test_reliability_refuses_what_is_no_probability(confidence, message):
    with pytest.raises(ValueError, match=message):
        reliability(torch.tensor(confidence), torch.tensor([True, False]))
