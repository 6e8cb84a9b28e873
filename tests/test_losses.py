"""Losses of windows; then the eleven of answers: closed forms, gradients, and the conditions
that the tutorial (LeCun et al. 2006) asks of them."""

import doctest
import inspect
import math
import re
from functools import partial

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from ebm_ocr import (
    PathEnergyLoss,
    best_word,
    cross_entropy,
    energy_loss,
    forward_loss,
    free_energy,
    hinge_loss,
    log_loss,
    losses,
    lvq2_loss,
    mce_loss,
    mee_loss,
    most_offending,
    nll_loss,
    normalise,
    perceptron_loss,
    simple_loss,
    square_exponential_loss,
    square_square_loss,
    word_energy,
)


def test_cross_entropy_negates_energies_once():
    energies, target = torch.randn(6, 27), torch.tensor([0, 5, 26, 3, 3, 1])
    expected = torch.nn.functional.cross_entropy(-energies, target)
    torch.testing.assert_close(cross_entropy(energies, target), expected)


def test_cross_entropy_keeps_classes_last():
    energies, target = torch.randn(2, 5, 27), torch.randint(27, (2, 5))
    losses = cross_entropy(energies, target, reduction="none")
    assert losses.shape == (2, 5)
    torch.testing.assert_close(losses[1, 3], cross_entropy(energies[1, 3:4], target[1, 3:4]))


def test_cross_entropy_pushes_the_right_energy_down():
    energies = torch.zeros(1, 27, requires_grad=True)
    cross_entropy(energies, torch.tensor([4])).backward()
    assert energies.grad[0, 4] > 0  # gradient descent lowers it
    assert (energies.grad[0, :4] < 0).all()


def test_cross_entropy_refuses_other_shapes():
    with pytest.raises(ValueError, match=r"expected target \(2, 5\)"):
        cross_entropy(torch.zeros(2, 5, 27), torch.zeros(2, 27, dtype=torch.long))


@pytest.mark.parametrize("separators", ["required", "optional"])
def test_forward_loss_does_not_depend_on_the_level_of_the_energies(separators):
    energies, targets = torch.randn(3, 8, 27), torch.tensor([[0, 26, 1, 26]] * 3)
    shifted = energies + 100 * torch.randn(3, 8, 1)
    loss = forward_loss(energies, targets, separators=separators)
    assert (loss >= 0).all()
    torch.testing.assert_close(
        forward_loss(shifted, targets, separators=separators), loss, rtol=1e-4, atol=1e-4
    )


def test_forward_loss_is_ctc():
    energies, letters = torch.randn(3, 8, 27), torch.tensor([[0, 1], [1, 1], [2, 0]])
    ctc = torch.nn.functional.ctc_loss(
        torch.log_softmax(-energies, 2).transpose(0, 1),
        letters,
        [8] * 3,
        [2] * 3,
        blank=26,
        reduction="none",
    )
    torch.testing.assert_close(forward_loss(energies, letters), ctc)


def test_normalised_windows_are_probabilities_in_the_same_order():
    energies = 30 * torch.randn(2, 5, 27)
    normalised = normalise(energies)
    torch.testing.assert_close(torch.exp(-normalised).sum(2), torch.ones(2, 5))
    torch.testing.assert_close(
        normalised - normalised[..., :1], energies - energies[..., :1], rtol=0, atol=1e-4
    )


def test_global_likelihood_is_ctc_where_separators_are_optional_only():
    energies, targets = (
        torch.randn(3, 8, 27, dtype=torch.float64),
        torch.tensor([[0, 26, 1, 26]] * 3),
    )
    for separators in ("optional", "required"):
        everything = -free_energy(energies, beta=1.0, separators=separators)
        globally = nll_loss(
            free_energy(energies, targets, beta=1.0, separators=separators), everything
        )
        locally = forward_loss(energies, targets, separators=separators)
        assert torch.allclose(globally, locally) == (separators == "optional")
        assert (globally <= locally + 1e-9).all()  # fewer sequences to share with


BETA, MARGIN, LIMIT, WEIGHT = 0.7, 1.3, 0.9, 1.7


def sigmoid(a):
    return 1 / (1 + math.exp(-a))


# Of each loss, of two answers' energies e and w: value, and derivative by either, written by hand.
PAIRS = {
    "energy": (lambda e, w: energy_loss(e), lambda e, w: e, lambda e, w: (1, 0)),
    "perceptron": (
        lambda e, w: perceptron_loss(e, torch.minimum(e, w)),
        lambda e, w: max(0, e - w),
        lambda e, w: (e > w, -(e > w)),
    ),
    "hinge": (
        lambda e, w: hinge_loss(e, w, MARGIN),
        lambda e, w: max(0, MARGIN + e - w),
        lambda e, w: (MARGIN + e > w, -(MARGIN + e > w)),
    ),
    "log": (
        log_loss,
        lambda e, w: math.log(1 + math.exp(e - w)),
        lambda e, w: (sigmoid(e - w), -sigmoid(e - w)),
    ),
    "simple": (
        lambda e, w: simple_loss(e, w, MARGIN),
        lambda e, w: max(0, e) + max(0, MARGIN - w),
        lambda e, w: (e > 0, -(w < MARGIN)),
    ),
    "square-square": (
        lambda e, w: square_square_loss(e, w, MARGIN),
        lambda e, w: max(0, e) ** 2 + max(0, MARGIN - w) ** 2,
        lambda e, w: (2 * max(0, e), -2 * max(0, MARGIN - w)),
    ),
    "square-exponential": (
        lambda e, w: square_exponential_loss(e, w, WEIGHT),
        lambda e, w: e**2 + WEIGHT * math.exp(-w),
        lambda e, w: (2 * e, -WEIGHT * math.exp(-w)),
    ),
    "LVQ2": (
        lambda e, w: lvq2_loss(e, w, LIMIT),
        lambda e, w: min(LIMIT, max(0, e - w)),
        lambda e, w: (0 < e - w < LIMIT, -(0 < e - w < LIMIT)),
    ),
    "MCE": (
        mce_loss,
        lambda e, w: sigmoid(e - w),
        lambda e, w: (sigmoid(e - w) * sigmoid(w - e), -sigmoid(e - w) * sigmoid(w - e)),
    ),
    "MEE": (
        lambda e, w: mee_loss(e, log_partition(e, w), BETA),
        lambda e, w: 1 - sigmoid(BETA * (w - e)),
        lambda e, w: [
            BETA * s * sigmoid(BETA * (w - e)) * sigmoid(BETA * (e - w)) for s in (1, -1)
        ],
    ),
    "NLL": (
        lambda e, w: nll_loss(e, log_partition(e, w), BETA),
        lambda e, w: math.log(1 + math.exp(BETA * (e - w))) / BETA,
        lambda e, w: (sigmoid(BETA * (e - w)), -sigmoid(BETA * (e - w))),
    ),
}
LARGEST_MARGIN = {
    "hinge": MARGIN,
    "simple": MARGIN,
    "square-square": MARGIN,
    **dict.fromkeys(("log", "square-exponential", "MCE", "MEE", "NLL"), math.inf),
}
"""As table 1 has it; the energy loss, the perceptron loss and LVQ2 have none."""
numbers = st.floats(-6, 6)


def log_partition(*energies, beta=BETA):
    return torch.logsumexp(-beta * torch.stack(energies), 0)


def value(name, e, w):
    return PAIRS[name][0](
        torch.tensor(e, dtype=torch.float64), torch.tensor(w, dtype=torch.float64)
    ).item()


def bound(name, gap):
    """The least that a pair costs whose gap ``Ē - E`` is ``gap`` or less; by hand."""
    if name == "square-exponential":
        e = 0.0
        for _ in range(60):  # where the derivative of E² + γ exp(-E - gap) is 0, by Newton's method
            push = WEIGHT * math.exp(-e - gap)
            e -= (2 * e - push) / (2 + push)
        return e**2 + WEIGHT * math.exp(-e - gap)
    return {
        "hinge": MARGIN - gap,
        "simple": MARGIN - gap,
        "square-square": (MARGIN - gap) ** 2 / 2,
        "log": math.log1p(math.exp(-gap)),
        "MCE": sigmoid(-gap),
        "MEE": sigmoid(-BETA * gap),
        "NLL": math.log1p(math.exp(-BETA * gap)) / BETA,
    }[name]


def test_there_are_eleven_and_each_tells_its_formula_gradient_margin_and_source():
    functions = {
        name: function
        for name, function in inspect.getmembers(losses, inspect.isfunction)
        if "good" in function.__annotations__
    }
    assert len(functions) == len(PAIRS) == 11
    assert set(re.findall(r"^(\w+_loss)  ", losses.__doc__, re.M)) == set(functions)
    for name, function in functions.items():
        for word in ("``", "Gradient:", "argin", "Source:"):
            assert word in function.__doc__, (name, word)


def test_the_examples_are_true():
    failed, tried = doctest.testmod(losses)
    assert failed == 0 < tried


@pytest.mark.parametrize("name", PAIRS)
@given(e=numbers, w=numbers)
def test_values_and_gradients_are_the_closed_forms(name, e, w):
    kinks = [e, e - w, MARGIN + e - w, MARGIN - w, LIMIT - (e - w)]
    assume(all(abs(kink) > 1e-6 for kink in kinks))
    loss, closed, slopes = PAIRS[name]
    energies = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (e, w)]
    found = loss(*energies)
    assert found.item() == pytest.approx(closed(e, w), abs=1e-12)
    found.backward()
    gradient = [0.0 if x.grad is None else x.grad.item() for x in energies]
    assert gradient == pytest.approx([float(slope) for slope in slopes(e, w)], abs=1e-12)


@pytest.mark.parametrize(
    ("loss", "e", "w"),
    [
        (partial(hinge_loss, margin=1.0), 1.0, 2.0),
        (partial(simple_loss, margin=1.0), 0.0, 1.0),
        (partial(square_square_loss, margin=1.0), 0.0, 1.0),
        (partial(lvq2_loss, limit=1.0), 2.0, 1.0),
        (partial(lvq2_loss, limit=1.0), 1.0, 1.0),
    ],
)
def test_subgradient_at_the_kinks_is_zero(loss, e, w):
    energies = torch.tensor([e, w], requires_grad=True)
    loss(energies[0], energies[1]).backward()
    assert energies.grad.tolist() == [0, 0]


@pytest.mark.parametrize("name", ["log", "MCE", "MEE", "NLL", "hinge", "LVQ2", "perceptron"])
def test_energies_of_any_size_give_finite_losses_and_gradients(name):
    for e, w in ((800.0, -800.0), (-800.0, 800.0)):
        energies = torch.tensor([e, w], requires_grad=True)
        found = PAIRS[name][0](energies[0], energies[1])
        found.backward()
        assert found.isfinite()
        assert energies.grad.isfinite().all()


@pytest.mark.parametrize("name", PAIRS)
def test_nan_is_not_swallowed(name):
    assert math.isnan(value(name, math.nan, 0.0))


@pytest.mark.parametrize(
    "name", [name for name in PAIRS if name not in ("energy", *LARGEST_MARGIN)]
)
@given(e=numbers, w=numbers)
def test_condition_1_no_loss_means_no_wrong_answer_below(name, e, w):
    """Perceptron and LVQ2: right to within a tie; and a tie costs
    nothing, so there is no margin."""
    assert (value(name, e, w) == 0) == (e <= w)


@given(e=numbers, w=numbers, level=st.floats(0, 50))
def test_energy_loss_can_be_as_low_as_one_likes_with_a_wrong_answer(e, w, level):
    assert value("energy", e - level, w - level) == pytest.approx(value("energy", e, w) - level)
    assert value("energy", -level, -level - 1) <= -level  # wrong, and still as cheap


@pytest.mark.parametrize("name", LARGEST_MARGIN)
@given(e=numbers, w=numbers, gap=st.floats(0, 4))
def test_condition_2_a_low_loss_means_a_gap(name, e, w, gap):
    """Below what the best pair without the gap costs, there is the gap;
    with ``gap = 0``, condition 1."""
    gap = min(gap, LARGEST_MARGIN[name])
    if value(name, e, w) < bound(name, gap) - 1e-9:
        assert w - e > gap - 1e-9


@pytest.mark.parametrize("name", LARGEST_MARGIN)
@pytest.mark.parametrize("part", [0.0, 0.5, 0.9])
def test_condition_2_can_be_met(name, part):
    """Some pair costs less than all without the gap: the property above is not empty.
    No margin beyond the largest."""
    gap = part * min(LARGEST_MARGIN[name], 5.0)
    assert value(name, 0.0, gap + 12) < bound(name, gap) - 1e-4
    if math.isfinite(LARGEST_MARGIN[name]):
        # so nothing costs less than this pair, whose gap is MARGIN
        assert value(name, 0.0, MARGIN) == 0


@pytest.mark.parametrize("name", LARGEST_MARGIN)
def test_bound_is_reached(name):
    """The numbers of ``bound`` are the least costs on a grid, from above."""
    for gap in (0.0, 0.5, 1.0):
        grid = min(value(name, e / 50, e / 50 + gap) for e in range(-300, 301))
        assert bound(name, gap) <= grid + 1e-9
        assert grid == pytest.approx(bound(name, gap), abs=1e-3)


@given(st.lists(numbers, min_size=2, max_size=6), st.floats(0.2, 5))
def test_losses_of_all_answers_know_them_all(values, beta):
    """NLL, MEE: a probability of more than one half is the least energy.
    Sharper and sharper, NLL is the perceptron."""
    energies = torch.tensor(values, dtype=torch.float64)
    total = torch.logsumexp(-beta * energies, 0)
    likely = mee_loss(energies[0], total, beta).item() < 0.5 - 1e-9
    assert likely <= (nll_loss(energies[0], total, beta).item() < math.log(2) / beta)
    assert likely <= (energies.argmin().item() == 0)
    sharp = 1e4
    limit = nll_loss(energies[0], torch.logsumexp(-sharp * energies, 0), sharp)
    assert limit.item() == pytest.approx(
        perceptron_loss(energies[0], energies.min()).item(), abs=1e-3
    )


def test_log_loss_is_nll_and_mce_is_mee_where_there_are_two_answers():
    good, bad = torch.randn(2, 50, dtype=torch.float64)
    total = log_partition(good, bad, beta=1.0)
    torch.testing.assert_close(log_loss(good, bad), nll_loss(good, total))
    torch.testing.assert_close(mce_loss(good, bad), mee_loss(good, total))


@given(st.integers(0, 10_000), st.sampled_from(["a", "b", "ab", "ba", "aa"]))
def test_condition_1_for_words_is_that_the_best_word_is_the_right_one(seed, word):
    """The most offending answer stands for all: the perceptron loss is 0 if and
    only if inference is right."""
    energies = torch.randn(
        1, 5, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    good, offending = word_energy(energies, [word]), most_offending(energies, [word])[0]
    bad = word_energy(energies, [offending.text])
    assert bad.item() == pytest.approx(offending.energy)
    loss = perceptron_loss(good, torch.minimum(good, bad)).item()
    assert (loss == 0) == (best_word(energies)[0].text == word)
    assert best_word(energies)[0].energy == pytest.approx(torch.minimum(good, bad).item())
    partition = -2.0 * free_energy(energies, None, beta=2.0, separator=2)
    likelihood = nll_loss(word_energy(energies, [word], beta=2.0), partition, 2.0)
    assert likelihood.item() > 0  # many words


TOPOLOGIES = ["required", "optional"]


TARGETS = torch.tensor([[0, 3, 1], [2, 3, 2]])


LENGTHS = torch.tensor([8, 6]), torch.tensor([3, 2])


def energies(dtype=torch.float64, seed=0):
    return torch.randn(2, 8, 4, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def scores(values, beta=1.0, separators="required"):
    return free_energy(values, TARGETS, *LENGTHS, beta, separators, 3)


@pytest.mark.parametrize("zero_infinity", [False, True])
def test_loss_with_targets_that_do_not_fit(zero_infinity):
    leaf = energies().requires_grad_()
    loss = PathEnergyLoss(1.0, separator=3, zero_infinity=zero_infinity, reduction="none")
    window_lengths = torch.tensor([2, 6])
    if not zero_infinity:
        with pytest.raises(ValueError, match="sample 0 has 2 windows, its target needs 3"):
            loss(leaf, TARGETS, window_lengths, LENGTHS[1])
        return
    values = loss(leaf, TARGETS, window_lengths, LENGTHS[1])
    values.sum().backward()
    assert values[0] == 0
    assert values[1] == scores(leaf)[1]
    assert (leaf.grad[0] == 0).all()
    assert leaf.grad[1].abs().sum() > 0


def test_loss_of_a_forbidden_sample():
    values = energies()
    values[0, 2] = math.inf
    assert PathEnergyLoss(1.0, separator=3, reduction="sum")(values, TARGETS, *LENGTHS) == math.inf
    leaf = values.requires_grad_()
    PathEnergyLoss(1.0, separator=3, zero_infinity=True)(leaf, TARGETS, *LENGTHS).backward()
    assert (leaf.grad[0] == 0).all()
    torch.testing.assert_close(leaf.grad[1, :6].sum(1), torch.full((6,), 0.5, dtype=torch.float64))


@pytest.mark.parametrize("separators", TOPOLOGIES)
def test_loss_reduces_as_it_says(separators):
    losses = {
        r: PathEnergyLoss(2.0, separators, r, separator=3)(energies(), TARGETS, *LENGTHS)
        for r in ("none", "mean", "sum")
    }
    assert losses["none"].equal(scores(energies(), 2.0, separators))
    assert losses["mean"].equal(losses["none"].mean())
    assert losses["sum"].equal(losses["none"].sum())


@pytest.mark.parametrize(
    "options", [{"beta": 0.0}, {"separators": "some"}, {"reduction": "median"}]
)
def test_loss_refuses_unknown_options_when_it_is_made(options):
    with pytest.raises(ValueError, match="expected"):
        PathEnergyLoss(**options)


def test_loss_says_what_it_is():
    assert repr(PathEnergyLoss(1.0, "optional", separator=3)) == (
        "PathEnergyLoss(beta=1.0, separators='optional', "
        "reduction='mean', zero_infinity=False, separator=3)"
    )


def test_loss_without_targets_is_no_loss_over_every_word():
    with pytest.raises(TypeError, match="integer tensor of targets, got None"):
        PathEnergyLoss()(torch.zeros(1, 4, 3), None)
