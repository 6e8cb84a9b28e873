"""What is written, and that a word depends on its seed and number alone."""

import string
from collections import Counter
from itertools import pairwise

import numpy as np
import torch

from ebm_ocr import default_font
from ebm_ocr.reader.fonts import PRINTABLE, Face
from ebm_ocr.reader.words import LONGEST, Words, draw_text

MONO = Face(default_font())


def texts(count=4000, dictionary=("apple", "tree")):
    rng = np.random.default_rng(0)
    return [draw_text(rng, dictionary) for _ in range(count)]


def test_texts_are_printable_and_not_too_long():
    for text in texts():
        assert 1 <= len(text) <= LONGEST
        assert set(text) <= set(PRINTABLE)


def test_every_symbol_is_written_and_letters_are_doubled():
    found = texts()
    counts = Counter("".join(found))
    assert len(PRINTABLE) == 94
    assert min(counts[symbol] for symbol in PRINTABLE) >= 8
    assert sum(any(a == b for a, b in pairwise(t)) for t in found) > 400


def test_all_kinds_of_words_come():
    found = texts()
    assert {"apple", "Apple", "APPLE"} <= set(found)
    assert any(t.startswith("$") and t[1:].replace(".", "").isdigit() for t in found)
    assert any(t.count(".") == 2 and t.replace(".", "").isdigit() for t in found)
    assert any(set(t) <= set(string.digits) for t in found)
    assert sum(len(t) <= 2 for t in found) > 150


def test_without_a_dictionary_there_are_no_words_of_one():
    assert draw_text(np.random.default_rng(5)) == "zbh_56"
    assert "apple" not in texts(500, ())


def test_a_word_depends_on_seed_and_number_alone():
    words = Words([MONO], seed=3)
    first, again = words.batch([5, 1000, 7]), words.batch([7, 5])
    assert first.texts[0] == again.texts[1]
    width = first.widths[2]
    assert again.widths[0] == width
    alike = first.images[2, 0, :, :width] - again.images[0, 0, :, :width]
    assert alike.abs().max() < 0.02
    assert Words([MONO], seed=4).batch([5]).texts != first.texts[:1]


def test_a_batch_has_an_image_a_text_and_a_box_for_each_symbol():
    batch = Words([MONO], seed=0).batch(range(30))
    assert batch.images.shape[:3] == (30, 1, 32)
    assert batch.images.shape[3] == max(batch.widths)
    assert batch.images.dtype is torch.float32
    for text, boxes in zip(batch.texts, batch.boxes):
        assert boxes.shape == (len(text), 4)
