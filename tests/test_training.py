"""Training loops and the recipe."""

import pytest
import torch
from torch.optim import Adam
from torch.utils.data import DataLoader

from ebm_ocr import (
    SimpleNet,
    SimpleWordsDataset,
    TrainConfig,
    collate_fn,
    cross_entropy,
    forward_loss,
    get_accuracy,
    path_cross_entropy,
    prepare,
    simple_collate_fn,
    train_ebm_model,
    train_from_scratch,
    train_gtn_model,
    train_model,
)

TINY = TrainConfig(words=64, epochs=2)


def test_single_letters_are_learned_to_the_last():
    torch.manual_seed(0)
    model = SimpleNet()
    letters = DataLoader(
        SimpleWordsDataset(1, 1000, jitter=True, seed=0), 32, True, collate_fn=simple_collate_fn
    )
    history = train_model(model, 6, letters, cross_entropy, Adam(model.parameters(), 2e-3))
    assert [len(values) for values in history] == [6] * 5
    assert get_accuracy(model, SimpleWordsDataset(1, 300, jitter=True, seed=10_000)) == 1.0


@pytest.mark.parametrize(
    ("train", "criterion"), [(train_ebm_model, path_cross_entropy), (train_gtn_model, forward_loss)]
)
def test_words_lower_the_loss_and_history_has_an_entry_a_pass(train, criterion):
    model, loader, optimizer, schedule = prepare(0, TINY)
    before = [p.clone() for p in model.parameters()]
    history = train(model, TINY.epochs, loader, criterion, optimizer, schedule=schedule)
    assert [len(values) for values in history] == [2] * 5
    assert history.loss[1] < history.loss[0]
    assert 0 < history.seconds[0] < history.seconds[1]
    assert all(not torch.equal(old, new) for old, new in zip(before, model.parameters()))


@pytest.mark.parametrize("train", [train_ebm_model, train_gtn_model])
def test_criterion_of_another_shape_is_refused(train):
    model, loader, optimizer, schedule = prepare(0, TINY)
    with pytest.raises(ValueError, match=r"\(B,\) = \(\d+,\), got \(\)"):
        train(model, 1, loader, lambda first, *_: first.sum(), optimizer, schedule=schedule)


def test_empty_loader_is_refused():
    model = SimpleNet()
    with pytest.raises(ValueError, match="at least one batch"):
        train_ebm_model(model, 1, [], path_cross_entropy, Adam(model.parameters()))


def test_recipe_is_decided_by_the_seed_and_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    (first, history), (second, _), (other, _) = (
        train_from_scratch(seed, TINY) for seed in (3, 3, 4)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert len(history.loss) == TINY.epochs
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters()))
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters()))


@pytest.mark.parametrize("seed", [-1, 10_000])
def test_seeds_kept_for_test_words_are_refused(seed):
    with pytest.raises(ValueError, match=r"0\.\.9999"):
        train_from_scratch(seed, TINY)


def test_recipe_stays_within_the_budget():
    config = TrainConfig()
    assert (config.words, config.min_length, config.max_length, config.jitter) == (2500, 2, 6, True)
    assert config.epochs <= 10


def test_loss_is_per_word_and_padding_is_not_trained():
    model = SimpleNet()
    words = SimpleWordsDataset(1)
    short, long = ((words.draw_text(text), text) for text in ("ab", "abcdefgh"))
    together = train_ebm_model(
        model, 1, [collate_fn([short, long])], path_cross_entropy, Adam(model.parameters(), 0.0)
    )
    alone = [
        train_ebm_model(
            model, 1, [collate_fn([one])], path_cross_entropy, Adam(model.parameters(), 0.0)
        )
        for one in (short, long)
    ]
    assert together.loss[0] == pytest.approx(
        sum(history.loss[0] for history in alone) / 2, rel=1e-5
    )
