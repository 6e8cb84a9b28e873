"""What happens to ink, and that each word's fate is its own."""

import numpy as np
import pytest
import torch

from ebm_ocr import default_font
from ebm_ocr.reader.degradation import CLEAN, HEIGHT, Limits, boxes_after, degrade, plan
from ebm_ocr.reader.fonts import Face, draw_ink

MONO = Face(default_font())
ROUGH = Limits(share=1.0)


def planned(text="example", limits=ROUGH, seed=0, size=24, scale=1.0):
    ink = draw_ink(MONO, size, text)
    return ink, plan(np.random.default_rng(seed), ink, scale, limits)


def test_nothing_happens_to_clean_words_but_their_place_and_polarity():
    ink, fate = planned(limits=CLEAN)
    (image,) = degrade([ink], [fate])[:, 0]
    assert image.shape == (HEIGHT, fate.width)
    assert {fate.levels} <= {(0.0, 1.0), (1.0, 0.0)}
    shown = image if fate.levels == (1.0, 0.0) else 1 - image
    assert shown.sum().item() == pytest.approx(ink.mask.sum() / 255, rel=0.02)


@pytest.mark.parametrize("seed", range(4))
def test_a_word_is_the_same_alone_and_in_any_batch(seed):
    words = [planned(text, seed=seed + n) for n, text in enumerate(["a", "wide", "Zq"])]
    inks, fates = zip(*words)
    together = degrade(inks, fates)
    for n, (ink, fate) in enumerate(words):
        alone = degrade([ink], [fate])[0, 0]
        torch.testing.assert_close(together[n, 0, :, : fate.width], alone, rtol=0, atol=0.02)
        assert (together[n, 0, :, fate.width :] == 1).all()


@pytest.mark.parametrize("seed", range(20))
def test_boxes_hold_the_ink_after_all_that_moves_it(seed):
    """Each symbol alone, by the plan of the whole word: where its ink is, its box is."""
    moved = Limits(blur=0, contrast=1, shade=0, noise=0, specks=0, marks=0, jpeg=95, share=1)
    ink, fate = planned("gW.ij", moved, seed, 32, 0.8)
    fate = fate._replace(levels=(1.0, 0.0), quality=None)
    boxes = boxes_after([ink], [fate])[0]
    for n, (left, top, right, bottom) in enumerate(ink.boxes):
        mask = np.zeros_like(ink.mask)
        mask[top:bottom, left:right] = ink.mask[top:bottom, left:right]
        image = degrade([ink._replace(mask=mask)], [fate])[0, 0] > 0.1
        columns, rows = image.any(0).nonzero()[:, 0], image.any(1).nonzero()[:, 0]
        seen = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        assert np.abs(boxes[n] - np.array([int(edge) for edge in seen])).max() < 2


def test_the_word_stays_within_its_strip():
    for seed in range(50):
        ink, fate = planned("Qgj", seed=seed, size=32, scale=1.2)
        ((left, top, right, bottom),) = [
            (*b[:, :2].min(0), *b[:, 2:].max(0)) for b in boxes_after([ink], [fate])
        ]
        assert left > -3
        assert top > -3
        assert right < fate.width + 3
        assert bottom < HEIGHT + 3


def test_noise_specks_and_contrast_keep_their_limits():
    fates = [planned(seed=seed)[1] for seed in range(60)]
    assert all(abs(fate.levels[0] - fate.levels[1]) >= 0.25 for fate in fates)
    assert max(fate.noise.std() for fate in fates if fate.noise is not None) <= 26 / 255
    assert max(np.abs(fate.specks).mean() for fate in fates if fate.specks is not None) <= 0.12
    assert {fate.levels[0] > fate.levels[1] for fate in fates} == {True, False}


def test_images_are_numbers_between_black_and_white():
    words = [planned(seed=seed) for seed in range(30)]
    images = degrade(*zip(*words))
    assert images.min() >= 0
    assert images.max() <= 1
