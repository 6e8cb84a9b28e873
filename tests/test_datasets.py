"""Rendering, random words, batches."""

from itertools import pairwise

import pytest
import torch
from torch.utils.data import DataLoader

from ebm_ocr import (
    BETWEEN,
    SimpleWordsDataset,
    collate_fn,
    count_windows,
    indices_to_str,
    simple_collate_fn,
)
from ebm_ocr.datasets import AugmentedBatches


def ink_columns(image):
    return image.sum(0).nonzero()[:, 0]


def test_items_are_words_of_exactly_max_length_by_default():
    samples = list(SimpleWordsDataset(4, 30, seed=0))
    assert len(samples) == 30
    assert {len(text) for _, text in samples} == {4}
    assert all(image.shape == (32, 72) for image, _ in samples)


def test_min_length_draws_every_length():
    assert {len(text) for _, text in SimpleWordsDataset(5, 100, min_length=2, seed=0)} == {
        2,
        3,
        4,
        5,
    }


def test_doubled_makes_that_part_of_the_words_double():
    words = [text for _, text in SimpleWordsDataset(6, 60, doubled=0.5, seed=0)]
    assert all(any(a == b for a, b in pairwise(word)) for word in words[:30])
    assert not all(any(a == b for a, b in pairwise(word)) for word in words[30:])


def test_same_seed_same_items_in_any_order_and_in_workers():
    first, second = (SimpleWordsDataset(3, 12, jitter=True, noise=True, seed=5) for _ in range(2))
    backwards = [second[i] for i in reversed(range(12))][::-1]
    [in_worker] = DataLoader(second, 12, num_workers=1, collate_fn=list)
    for (image, text), *others in zip(first, backwards, in_worker):
        assert all(torch.equal(image, other) and text == name for other, name in others)


def test_other_seeds_and_default_seeds_give_other_words():
    texts = [
        [text for _, text in SimpleWordsDataset(5, 10, seed=seed)] for seed in (0, 1, None, None)
    ]
    assert len({tuple(words) for words in texts}) == 4


def test_jitter_shifts_right_by_0_to_7_pixels():
    words = SimpleWordsDataset(2, seed=0)
    still = ink_columns(words.draw_text("on"))
    shifts = {
        int((ink_columns(words.draw_text("on", jitter=True)) - still).unique()) for _ in range(200)
    }
    assert shifts == set(range(8))


def test_jitter_never_cuts_a_letter():
    words = SimpleWordsDataset(1, seed=0)
    for letter in "mw":
        ink = len(ink_columns(words.draw_text(letter)))
        assert all(len(ink_columns(words.draw_text(letter, jitter=True))) == ink for _ in range(50))


def test_noise_sets_a_tenth_of_the_pixels():
    words = SimpleWordsDataset(1, seed=0)
    clean, noisy = words.draw_text("q" * 20), words.draw_text("q" * 20, noise=True)
    changed = noisy != clean
    assert 0.08 < changed.float().mean() < 0.12
    assert (noisy[changed] == 1).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 0}, "min_length"),
        ({"max_length": 3, "min_length": 4}, "min_length"),
        ({"max_length": 3, "len": 0}, "len"),
        ({"max_length": 3, "doubled": 1.5}, "doubled"),
        ({"max_length": 1, "doubled": 0.5}, "min_length >= 2"),
        ({"max_length": 1, "font_size": 0}, "font_size"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SimpleWordsDataset(**options)


def test_index_past_the_end():
    with pytest.raises(IndexError):
        SimpleWordsDataset(1, 3)[3]


def test_too_few_windows_names_word_windows_and_need():
    small = SimpleWordsDataset(1, font_size=6)
    with pytest.raises(ValueError, match="'hello' has 2 windows, but its 10 symbols"):
        small.draw_text("hello", 20)


@pytest.mark.parametrize("word", ["", "Ab", "\u00e9"])
def test_bad_words_are_refused(word):
    with pytest.raises(ValueError, match="expected"):
        SimpleWordsDataset(1).draw_text(word)


def test_single_letters_are_batched_with_their_classes():
    images, targets = simple_collate_fn(list(SimpleWordsDataset(1, 5, seed=0)))
    assert images.shape == (5, 1, 32, 18)
    assert [chr(97 + target) for target in targets] == [
        text for _, text in SimpleWordsDataset(1, 5, seed=0)
    ]


def test_words_are_padded_with_background_and_separators_and_know_their_lengths():
    words = SimpleWordsDataset(1)
    batch = collate_fn([(words.draw_text("ab"), "ab"), (words.draw_text("hello"), "hello")])
    assert batch.images.shape == (2, 1, 32, 90)
    assert batch.images[0, :, :, 36:].sum() == 0
    assert batch.targets[0].tolist() == [0, 26, 1, 26] + 6 * [BETWEEN]
    assert batch.window_lengths.tolist() == [count_windows(36), count_windows(90)]
    assert batch.target_lengths.tolist() == [4, 10]


@pytest.mark.parametrize("collate", [simple_collate_fn, collate_fn])
def test_batch_of_zero_words(collate):
    with pytest.raises(ValueError, match="at least one"):
        collate([])


def test_words_that_cannot_be_batched():
    image = SimpleWordsDataset(1).draw_text("a")
    with pytest.raises(ValueError, match="one letter, got 'ab'"):
        simple_collate_fn([(image, "ab")])
    with pytest.raises(ValueError, match="'a' has 1 windows, but its 2 symbols"):
        collate_fn([(image, "a")])


def test_sizes_are_drawn_from_a_range_and_one_size_draws_as_before():
    sizes = SimpleWordsDataset(3, 60, font_size=(16, 18), seed=0)
    words = [SimpleWordsDataset(3, font_size=size) for size in (16, 17, 18)]
    seen = set()
    for image, text in sizes:
        same = [torch.equal(image, one.draw_text(text)) for one in words]
        assert sum(same) == 1
        seen.add(same.index(True))
    assert seen == {0, 1, 2}
    alike = [SimpleWordsDataset(3, 5, font_size=size, seed=0) for size in (20, (20, 20))]
    assert all(torch.equal(a[0], b[0]) for a, b in zip(*alike))


@pytest.mark.parametrize("font_size", [(16,), (24, 16), (16, 20, 24), (0, 3), ("a", "b"), 1.5])
def test_odd_sizes_are_refused(font_size):
    with pytest.raises((ValueError, TypeError), match="font_size"):
        SimpleWordsDataset(1, font_size=font_size)


def test_a_dataset_of_several_sizes_has_no_one_font():
    with pytest.raises(ValueError, match=r"one font_size, got 16\.\.18"):
        _ = SimpleWordsDataset(1, font_size=(16, 18)).font


def batches_of(words, jitter=True, specks=0.0, seed=0):
    chance = torch.Generator().manual_seed(seed)
    return AugmentedBatches(words, 8, jitter, specks, chance)


def test_augmented_batches_move_words_but_keep_them_whole():
    words = SimpleWordsDataset(4, 30, min_length=2, seed=0)
    clean = {text: image for image, text in words}
    batches, shifts = batches_of(words), []
    for _ in range(10):
        seen = []
        for batch in batches:
            expected = collate_fn([(clean[text], text) for text in texts_of(batch)])
            assert all(torch.equal(a, b) for a, b in zip(batch[1:4], expected[1:4]))
            assert batch.texts == expected.texts == texts_of(batch)
            for (image,), text in zip(batch.images, texts_of(batch)):
                seen.append(text)
                (shift,) = [s for s in range(8) if torch.equal(clean[text].roll(s, 1), image)]
                shifts.append(shift)
        assert sorted(seen) == sorted(clean)
    assert len(list(batches)) == len(batches)
    assert set(shifts) == set(range(8))
    assert 0.4 < shifts.count(0) / len(shifts) < 0.65


def texts_of(batch):
    return [indices_to_str(row[:n]) for row, n in zip(batch.targets, batch.target_lengths)]


def test_augmented_batches_add_specks():
    words = SimpleWordsDataset(4, 1, seed=0)
    clean = words[0][0]
    batches = batches_of(words, jitter=False, specks=0.2)
    images = torch.stack([next(iter(batches)).images[0, 0] for _ in range(100)])
    assert images[:, clean == 0].mean().item() == pytest.approx(0.2, abs=0.02)
    assert (images[:, clean == 1] == 1).all()


def test_augmented_batches_follow_their_generator_and_refuse_words_disturbed_already():
    words = SimpleWordsDataset(3, 20, seed=0)
    first, again, other = (list(batches_of(words, specks=0.1, seed=seed)) for seed in (3, 3, 4))
    assert all(torch.equal(a.images, b.images) for a, b in zip(first, again))
    assert not all(torch.equal(a.images, b.images) for a, b in zip(first, other))
    with pytest.raises(ValueError, match="without jitter and noise"):
        batches_of(SimpleWordsDataset(3, jitter=True))
    with pytest.raises(ValueError, match=r"specks in \[0, 1\]"):
        batches_of(words, specks=1.5)
