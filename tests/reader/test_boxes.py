"""Boxes of letters."""

import numpy as np

from ebm_ocr.reader.boxes import letter_boxes
from ebm_ocr.reader.degradation import CLEAN
from ebm_ocr.reader.fonts import default_face
from ebm_ocr.reader.images import see_ink
from ebm_ocr.reader.words import draw_words, write


def test_boxes_of_a_clean_word_are_those_that_were_drawn():
    rng = np.random.default_rng(0)
    batch = draw_words([write(rng, default_face(), "hamper", 20, CLEAN)])
    truth, image = batch.boxes[0], batch.images[0, 0, :, : batch.widths[0]].numpy()
    middles = truth[:, [0, 2]].mean(1)
    windows = [(int(x) // 2, int(x) // 2) for x in middles]
    found = letter_boxes(see_ink(image)[1], np.array(windows))
    assert np.abs(found - truth).max() <= 1.5


def test_borders_are_where_there_is_least_ink():
    ink = np.ones((4, 20), bool)
    ink[1:, 9] = False
    first, _ = letter_boxes(ink, np.array([[1, 2], [7, 8]]))
    assert first[2] in (9.0, 10.0)


def test_without_ink_a_box_is_as_high_as_the_strip():
    blank = np.zeros((32, 10), bool)
    assert letter_boxes(blank, np.array([[1, 1]])).tolist() == [[0, 0, 10, 32]]
    assert letter_boxes(blank, np.zeros((0, 2), int)).shape == (0, 4)


def test_letters_that_crowd_still_have_a_box_each():
    ink = np.ones((4, 6), bool)
    crowd = letter_boxes(ink, np.array([[0, 0], [0, 0], [1, 1], [2, 2]]))
    assert crowd.shape == (4, 4)
    assert (crowd[:, 0] < crowd[:, 2]).all()
    assert (np.diff(crowd[:, 0]) > 0).all()
