"""Text to symbols and back."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ebm_ocr import ALPHABET_SIZE, BETWEEN, LETTERS, SYMBOLS, indices_to_str, transform_word

WORDS = st.text(LETTERS, min_size=1, max_size=12)


def test_constants():
    assert (BETWEEN, ALPHABET_SIZE, len(LETTERS), SYMBOLS[BETWEEN]) == (26, 27, 26, "_")


def test_cat_is_spelled_with_a_separator_after_each_letter():
    symbols = transform_word("cat")
    assert symbols.dtype == torch.int64
    assert symbols.tolist() == [2, 26, 0, 26, 19, 26]


@given(WORDS, st.data())
def test_round_trip_survives_any_number_of_windows_per_symbol(word, data):
    repeats = data.draw(st.lists(st.integers(1, 4), min_size=2 * len(word), max_size=2 * len(word)))
    assert indices_to_str(transform_word(word).repeat_interleave(torch.tensor(repeats))) == word


@pytest.mark.parametrize(
    ("windows", "text"),
    [("aaab_bab_", "ab"), ("___", ""), ("ab_", "a"), ("_l_l_", "ll"), ("ba_", "b"), ("", "")],
)
def test_segments_vote_and_the_first_letter_wins_ties(windows, text):
    assert indices_to_str([SYMBOLS.index(symbol) for symbol in windows]) == text


@pytest.mark.parametrize("word", ["", "Cat", "c4t", "caf\u00e9", "two words", "a_b", "a\n"])
def test_other_words_are_refused(word):
    with pytest.raises(ValueError, match="expected"):
        transform_word(word)


@pytest.mark.parametrize("word", [None, 7, b"cat", ["c"]])
def test_other_types_are_refused(word):
    with pytest.raises(TypeError, match=type(word).__name__):
        transform_word(word)


@pytest.mark.parametrize(
    ("indices", "error"),
    [
        ([27], ValueError),
        ([-1, 0], ValueError),
        (torch.zeros(2, 2, dtype=torch.long), ValueError),
        (torch.zeros(3), TypeError),
    ],
)
def test_bad_indices_are_refused(indices, error):
    with pytest.raises(error, match="expected"):
        indices_to_str(indices)
