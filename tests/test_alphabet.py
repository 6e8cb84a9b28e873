"""Text to symbols and back."""

import ast
import pickle
from dataclasses import FrozenInstanceError
from pathlib import Path
from unicodedata import normalize

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import ebm_ocr
from ebm_ocr import (
    ALPHABET_SIZE,
    BETWEEN,
    LETTERS,
    SYMBOLS,
    Alphabet,
    indices_to_str,
    transform_word,
)
from ebm_ocr.alphabet import alphabet_for

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


@pytest.mark.parametrize("word", [None, 7, b"cat"])
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


GREEK = Alphabet("αβγδε", separator=2, sign="·")
PIECES = Alphabet(["er", "e", "r"])


def test_an_alphabet_puts_its_separator_anywhere():
    assert GREEK.size == 6
    assert GREEK.names == ("α", "β", "·", "γ", "δ", "ε")
    assert GREEK.encode("αγε") == [0, 3, 5]
    assert GREEK.spelling("γα") == [3, 2, 0, 2]
    targets, lengths = GREEK.spell(["γα", "ε"])
    assert targets.tolist() == [[3, 2, 0, 2], [5, 2, 2, 2]]
    assert lengths.tolist() == [4, 2]
    assert Alphabet("ab", separator=0).encode("ab") == [1, 2]
    assert Alphabet("ab").separator == Alphabet("ab", separator=2).separator == 2


@given(
    st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=3), min_size=1),
    st.data(),
)
def test_a_text_comes_back_with_any_symbols_and_any_separator(symbols, data):
    distinct = dict.fromkeys(normalize("NFC", symbol) for symbol in symbols)
    alphabet = Alphabet([*distinct], data.draw(st.integers(0, len(distinct))))
    word = data.draw(st.lists(st.sampled_from([*distinct]), min_size=1, max_size=6))
    repeats = data.draw(st.lists(st.integers(1, 3), min_size=2 * len(word), max_size=2 * len(word)))
    windows = torch.tensor(alphabet.spelling(word)).repeat_interleave(torch.tensor(repeats))
    assert alphabet.decode(windows) == "".join(word)
    assert all(alphabet.names[c] == symbol for c, symbol in zip(alphabet.encode(word), word))
    assert alphabet.separator not in alphabet.encode(word)


def test_symbols_are_compared_in_composed_form():
    accents = Alphabet("e\u0301a")  # e and a combining accent are one symbol, written in two
    assert accents.symbols == ("é", "a")
    assert accents.encode("ae\u0301") == accents.encode("aé") == [1, 0]
    with pytest.raises(ValueError, match="distinct symbols, got 'é' twice"):
        Alphabet(["é", "e\u0301"])


def test_symbols_of_several_characters_are_given_one_by_one():
    pieces = Alphabet(["th", "e", "t", "h"])
    assert pieces.encode(["th", "e"]) == [0, 1]
    assert pieces.decode([0, 4, 1]) == "the"
    with pytest.raises(TypeError, match="sequence of symbols"):
        pieces.encode("the")


def test_a_separator_may_look_like_a_letter():
    snake = Alphabet("a_b", sign="·")
    assert snake.decode(snake.spelling("a_b")) == "a_b"


def test_an_alphabet_is_a_value():
    assert Alphabet("abc") == Alphabet(["a", "b", "c"]) != Alphabet("abc", separator=0)
    assert len({Alphabet("abc"), Alphabet("abc")}) == 1
    assert pickle.loads(pickle.dumps(GREEK)) == GREEK
    with pytest.raises(FrozenInstanceError):
        GREEK.separator = 0


@pytest.mark.parametrize(
    ("charset", "text"),
    [
        ("a-e", "abcde"),
        ("c", "c"),
        ("xa-c", "abcx"),
        ("-a", "-a"),
        ("a-", "-a"),
        ("0-9", "01"),
        (["a", "-"], "-a"),
        (None, "01abcdexyz-"),
    ],
)
def test_charsets_are_ranges_as_in_tr_or_symbols_one_by_one(charset, text):
    alphabet = Alphabet("01abcdexyz-", separator=3)
    assert sorted(alphabet.subset(charset)) == sorted(alphabet.encode(text))
    assert alphabet.separator not in alphabet.subset(charset)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Alphabet(""), ValueError, "none of them empty"),
        (lambda: Alphabet(["a", ""]), ValueError, "none of them empty"),
        (lambda: Alphabet("aa"), ValueError, "distinct"),
        (lambda: Alphabet("ab", separator=3), ValueError, r"0\.\.2, got 3"),
        (lambda: Alphabet("ab", separator=True), TypeError, "whole number"),
        (lambda: Alphabet(7), TypeError, "strings, got 7"),
        (lambda: Alphabet([1, 2]), TypeError, "strings"),
        (lambda: Alphabet({"a", "b"}), TypeError, "strings"),
        (lambda: GREEK.encode("αω"), ValueError, "'ω' in 'αω'"),
        (lambda: GREEK.spelling(""), ValueError, "at least one symbol"),
        (lambda: GREEK.subset("ω"), ValueError, "'ω'"),
        (lambda: GREEK.subset("γ-α"), ValueError, "rises, got γ-α"),
        (lambda: GREEK.subset("0-9"), ValueError, "charset with symbols"),
        (lambda: GREEK.subset(7), TypeError, "charset"),
        (lambda: GREEK.decode([6]), ValueError, r"0\.\.5"),
        (lambda: alphabet_for(None, 40), ValueError, "alphabet=, got 40"),
        (
            lambda: alphabet_for(GREEK, 5),
            ValueError,
            r"expected 6 classes, .* and a separator, got 5",
        ),
        (lambda: alphabet_for("abc", 4), TypeError, "an Alphabet, got str"),
        (lambda: Alphabet.from_names("abc"), TypeError, "a list of strings, got 'abc'"),
        (lambda: Alphabet.from_names(["a", "b"], 2), ValueError, r"0\.\.1, got 2"),
        (lambda: GREEK.encode(["α", "\u0301"]), ValueError, r"combining mark, U\+0301"),
        (lambda: GREEK.encode(["|", "x"]), ValueError, r"got 'x', '\|' in"),
        (lambda: PIECES.encode("er"), TypeError, r"list\('er'\), got a str"),
    ],
)
def test_alphabets_that_are_none_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_vocabulary_names_its_separator_too():
    names = ["<pad>", "|", "E", "th"]
    for separator in range(4):
        alphabet = Alphabet.from_names(names, separator)
        assert list(alphabet.names) == names
        assert alphabet.separator == separator
    assert Alphabet.from_names(names) == Alphabet(["|", "E", "th"], 0, "<pad>")


def test_many_symbols_are_counted():
    assert str(Alphabet([f"p{i}" for i in range(12)])).endswith("'p8' and 3 more")
    assert str(PIECES) == "'er', 'e', 'r'"


def test_equal_neighbours_are_one_where_separators_are_optional():
    assert GREEK.decode([1, 1, 2, 0, 2, 0, 0], "optional") == "βαα"
    with pytest.raises(ValueError, match="'required' or 'optional'"):
        GREEK.decode([1], "maybe")


def test_the_number_of_classes_stands_in_no_other_file():
    for path in sorted(Path(ebm_ocr.__file__).parent.rglob("*.py")):
        if path.name == "alphabet.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            number = isinstance(node, ast.Constant) and type(node.value) is int
            assert not (number and node.value in (26, 27)), (path.name, node.lineno)
            assert not (isinstance(node, ast.Name) and node.id in ("ord", "LETTERS")), path.name


def test_symbols_that_compose_are_given_one_by_one():
    """Or what was read as an e and an accent would be encoded as one letter."""
    for symbols in (["e", "\u0301", "é"], ["\u1112", "\u1161", "\u11ab"]):
        alphabet = Alphabet(symbols)
        assert alphabet.encode(symbols) == [0, 1, 2]
        with pytest.raises(TypeError, match="sequence of symbols"):
            alphabet.encode("".join(symbols[:2]))


@pytest.mark.parametrize(
    "letters", ["ক\u09a1\u09a2\u09af\u09dc\u09dd\u09df", "\u05e9\ufb2a\ufb2b", "\u0958k"]
)
def test_letters_that_unicode_writes_with_two_code_points_are_letters(letters):
    alphabet = Alphabet(letters)
    assert alphabet.size == len(letters) + 1
    assert alphabet.encode(letters) == list(range(len(letters)))
    assert alphabet.encode(normalize("NFC", letters)) == list(range(len(letters)))
    assert alphabet.decode(alphabet.spelling(letters)) == normalize("NFC", letters)
