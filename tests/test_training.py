"""Training loops and the recipe."""

import functools
import math
from functools import partial

import pytest
import torch
from torch.optim import SGD, Adam
from torch.utils.data import DataLoader

from ebm_ocr import (
    Alphabet,
    SimpleNet,
    SimpleWordsDataset,
    TrainConfig,
    accuracy_by_length,
    collate_fn,
    count_windows,
    cross_entropy,
    energy_loss,
    exact_decode,
    forward_loss,
    free_energy,
    get_accuracy,
    get_word_accuracy,
    hinge_loss,
    most_offending,
    nll_loss,
    normalise,
    path_cross_entropy,
    perceptron_loss,
    plot_reading,
    prepare,
    read_words,
    simple_collate_fn,
    square_square_loss,
    train,
    train_ebm_model,
    train_from_scratch,
    train_gtn_model,
    train_model,
    word_energy,
)
from ebm_ocr.datasets import AugmentedBatches

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


SMALL = TrainConfig(words=1000, epochs=10)


LOSSES = {
    "energy": (lambda answers: energy_loss(answers.good), {}),
    "energy, normalised": (lambda answers: energy_loss(answers.good), {"normalised": True}),
    "perceptron": (lambda answers: perceptron_loss(answers.good, answers.lowest), {}),
    "hinge": (lambda answers: hinge_loss(answers.good, answers.bad), {}),
    "square-square": (lambda answers: square_square_loss(answers.good, answers.bad), {}),
    "NLL": (lambda answers: nll_loss(answers.good, answers.log_partition), {"beta": 1.0}),
}


@functools.cache
def small_run(name):
    """History and accuracy on fresh words; the same words, start and budget for each loss."""
    loss, options = LOSSES[name]
    model, loader, optimizer, schedule = prepare(0, SMALL)
    history = train(model, SMALL.epochs, loader, loss, optimizer, schedule=schedule, **options)
    words = SimpleWordsDataset(6, 200, jitter=True, min_length=2, seed=10_000)
    return history, get_word_accuracy(model, words, exact_decode)


@pytest.mark.slow
def test_energy_loss_collapses_where_windows_are_not_normalised():
    history, accuracy = small_run("energy")
    assert accuracy == 0
    assert history.free_energy[-1] < 1e6 * history.free_energy[0] < 0  # as low as the steps allow
    assert history.gap[-1] < 0  # and something else lower still


@pytest.mark.slow
def test_normalised_windows_keep_the_energy_loss_from_collapse():
    history, accuracy = small_run("energy, normalised")
    assert accuracy > 0.95
    assert min(history.free_energy) > 0  # minus the logarithm of a probability


@pytest.mark.slow
def test_perceptron_has_no_margin():
    history, accuracy = small_run("perceptron")
    assert accuracy > 0.9
    assert history.loss[-1] < 0.02
    assert 0 < history.gap[-1] < small_run("hinge")[0].gap[-1] / 3


@pytest.mark.slow
def test_hinge_reaches_its_margin_and_stops():
    history, accuracy = small_run("hinge")
    assert accuracy > 0.95
    assert history.gap[-1] > 1.0
    assert history.loss[-1] < 0.1


@pytest.mark.slow
def test_levels_are_held_by_square_square_only():
    levels = {
        name: small_run(name)[0].free_energy[-1] for name in ("square-square", "hinge", "NLL")
    }
    assert abs(levels["square-square"]) < 1.5
    assert min(-levels["hinge"], -levels["NLL"]) > 10


@pytest.mark.slow
def test_likelihood_goes_on_when_all_words_are_read():
    history, accuracy = small_run("NLL")
    assert accuracy > 0.95
    assert history.accuracy[-1] > 0.99
    assert history.gap[-1] > 20 * small_run("perceptron")[0].gap[-1]
    assert all(late > early for early, late in zip(history.gap[-4:], history.gap[-3:]))


@pytest.mark.parametrize("separators", ["required", "optional"])
@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("beta", [0.5, 2.0])
def test_answers_have_the_free_energies_of_words(beta, normalised, separators):
    model = SimpleNet()
    words = SimpleWordsDataset(3, min_length=2, seed=1)
    texts = ["cat", "aa"]
    batch = collate_fn([(words.draw_text(text), text) for text in texts])
    seen = []

    def loss(answers):
        seen.append(answers)
        assert "log_partition" not in vars(answers)  # computed when asked for
        assert answers.log_partition is answers.log_partition  # and once
        return answers.good

    with torch.no_grad():
        energies = normalise(model(batch.images)) if normalised else model(batch.images)
    history = train(
        model,
        1,
        [batch],
        loss,
        SGD(model.parameters(), 0.0),
        beta=beta,
        separators=separators,
        normalised=normalised,
    )
    lengths = batch.window_lengths
    others = [reading.text for reading in most_offending(energies, texts, lengths, separators)]
    good = word_energy(energies, texts, lengths, beta, separators)
    bad = word_energy(energies, others, lengths, beta, separators)
    (answers,) = seen
    torch.testing.assert_close(answers.good, good)
    torch.testing.assert_close(answers.bad, bad)
    torch.testing.assert_close(answers.lowest, torch.minimum(good, bad))
    total = free_energy(energies, None, lengths, beta=beta, separators=separators)
    torch.testing.assert_close(answers.log_partition, -beta * total)
    assert answers.beta == beta
    assert all(
        getattr(answers, name).requires_grad for name in ("good", "bad", "lowest", "log_partition")
    )
    assert history.gap[0] == pytest.approx((bad - good).mean().item(), rel=1e-4)
    assert history.free_energy[0] == history.loss[0] == pytest.approx(good.mean().item(), rel=1e-4)


@pytest.mark.slow
def test_accuracy_is_that_of_exact_inference(trained):
    # specks that it was not trained on: some are read, some are not
    words = list(SimpleWordsDataset(4, 96, noise=True, seed=10_000))
    model = trained[0]
    expected = get_word_accuracy(model, words, exact_decode)
    assert get_word_accuracy(model, words) < expected < 0.95  # the search reads more than the vote
    loss, _ = LOSSES["hinge"]
    history = train(model, 1, [collate_fn(words)], loss, SGD(model.parameters(), 0.0))
    assert history.accuracy[0] == pytest.approx(expected)


@pytest.mark.parametrize("name", LOSSES)
def test_optional_separators_train_too(name):
    """The most offending word may be the empty one."""
    loss, options = LOSSES[name]
    config = TrainConfig(words=160, epochs=3)
    model, loader, optimizer, schedule = prepare(0, config)
    options = {**options, "schedule": schedule, "separators": "optional"}
    history = train(model, config.epochs, loader, loss, optimizer, **options)
    assert all(math.isfinite(value) for values in history for value in values)


def test_a_tie_is_not_read():
    model, loader, *_ = prepare(0, TrainConfig(words=32, epochs=1))
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    history = train(model, 1, loader, LOSSES["hinge"][0], SGD(model.parameters(), 0.0))
    assert (history.accuracy, history.gap) == ([0.0], [0.0])


def test_modules_are_losses_too():
    class Sharp(torch.nn.Module):
        def forward(self, answers):
            return hinge_loss(answers.good, answers.bad, 3.0)

    def first_loss(loss):
        model, loader, *_ = prepare(0, TrainConfig(words=32, epochs=1))
        return train(model, 1, loader, loss, SGD(model.parameters(), 0.0)).loss[0]

    assert first_loss(Sharp()) == first_loss(lambda a: hinge_loss(a.good, a.bad, margin=3.0))


def test_log_partition_needs_a_finite_beta():
    model, loader, *_ = prepare(0, TrainConfig(words=32, epochs=1))
    optimizer = SGD(model.parameters(), 0.1)
    message = "pass 1, step 1: expected a finite beta for the log-partition, got inf"
    with pytest.raises(ValueError, match=message):
        train(model, 1, loader, lambda answers: answers.log_partition, optimizer, beta=math.inf)


def test_scalar_loss_is_refused():
    model, loader, optimizer, schedule = prepare(0, TrainConfig(words=32, epochs=1))
    for loss, got in (
        (lambda answers: answers.good.mean(), r"\(\)"),
        (lambda answers: answers.good.mean()[None], r"\(1,\)"),
    ):
        with pytest.raises(ValueError, match=rf"\(B,\) = \(\d+,\), got {got}"):
            train(model, 1, loader, loss, optimizer, schedule=schedule)


def test_a_reader_learns_another_alphabet_with_its_separator_first():
    """Dataset, network, batches, loops, answers and evaluation, with letters that are not a..z."""
    greek = Alphabet("αβγδ", separator=0)
    words = SimpleWordsDataset(3, 600, min_length=2, seed=0, alphabet=greek)
    torch.manual_seed(0)
    model = SimpleNet(16, alphabet=greek)
    chance = torch.Generator().manual_seed(0)
    loader = AugmentedBatches(words, 16, jitter=True, specks=0.0, generator=chance)
    batch = next(iter(loader))
    assert all(greek.decode(row) == text for row, text in zip(batch.targets, batch.texts))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    history = train_ebm_model(model, 12, loader, path_cross_entropy, optimizer)
    assert history.loss[-1] < history.loss[0] / 2
    fresh = SimpleWordsDataset(3, 60, seed=10_000, alphabet=greek)
    assert get_word_accuracy(model, fresh) > 0.8
    assert accuracy_by_length(model, (2,), words=30)[2] > 0.7
    letters = SimpleNet(8, alphabet=greek)
    singles = SimpleWordsDataset(1, 200, seed=0, alphabet=greek)
    batches = DataLoader(singles, 16, collate_fn=partial(simple_collate_fn, alphabet=greek))
    train_model(letters, 3, batches, cross_entropy, torch.optim.Adam(letters.parameters(), 1e-2))
    assert get_accuracy(letters, SimpleWordsDataset(1, 40, seed=10_001, alphabet=greek)) > 0.9
    train(model, 4, loader, lambda a: nll_loss(a.good, a.log_partition), optimizer, beta=1.0)
    assert get_word_accuracy(model, fresh, exact_decode) > 0.8
    optional = partial(forward_loss, separator=greek.separator)
    train_gtn_model(model, 2, loader, optional, optimizer)
    assert get_word_accuracy(model, fresh) > 0.8
    axes = plot_reading(
        fresh.draw_text("βαγ"),
        model(fresh.draw_text("βαγ")[None, None])[0],
        torch.full((count_windows(54),), -1),
        "βαγ",
        alphabet=greek,
    )
    assert "δ" in [label.get_text() for label in axes[1].get_yticklabels()]


def test_a_loop_reads_with_the_alphabet_of_the_network():
    sounds = Alphabet(["th", "e", "n"])
    words = SimpleWordsDataset(2, 12, seed=0, alphabet=sounds)
    _, text = words[0]
    assert isinstance(text, tuple)
    batch = collate_fn([words[i] for i in range(12)], sounds)
    assert batch.texts[0] == text
    model = SimpleNet(4, alphabet=sounds)
    history = train_ebm_model(
        model, 1, [batch], path_cross_entropy, torch.optim.SGD(model.parameters(), 0.01)
    )
    assert 0 <= history.accuracy[0] <= 1
    assert [pair[0] for pair in read_words(model, words)] == ["".join(t) for t in batch.texts]
