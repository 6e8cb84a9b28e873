"""Wildcards, spans, posteriors and the sum over all words,
each against what an enumeration says."""

import math
from itertools import product

import pytest
import torch
from conftest import optional_paths, required_paths, softmin

from ebm_ocr import WILDCARD, Span, free_energy, posterior, spans, viterbi
from ebm_ocr.kernels import reference

BETAS = [0.5, 1.0, math.inf]
GAP = 2


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize(
    "target", [[WILDCARD], [0, WILDCARD, 1], [WILDCARD, WILDCARD], [WILDCARD, GAP, 0, GAP]]
)
def test_wildcard_costs_the_same_in_each_window(target, beta):
    energies = draw(1, 6, GAP + 1)
    costs = [
        sum(
            0.25 if target[j] == WILDCARD else energies[0, window, target[j]]
            for window, j in enumerate(path)
        )
        for path in required_paths(6, len(target))
    ]
    expected = softmin([torch.as_tensor(cost, dtype=torch.float64) for cost in costs], beta)
    found = free_energy(energies, torch.tensor([target]), beta=beta, wildcard=0.25)
    torch.testing.assert_close(found[0], expected)
    path = viterbi(energies, torch.tensor([target]), wildcard=0.25).path[0].tolist()
    assert path in list(required_paths(6, len(target)))


def test_wildcard_among_optional_separators_stands_for_a_letter():
    """Between windows 0 and 3, whose letters are sure, the two windows of any
    content are the wildcard's."""
    energies = torch.full((1, 4, 3), 9.0)
    energies[0, 0, 0] = energies[0, 3, 1] = 0
    found = viterbi(
        energies,
        torch.tensor([[0, WILDCARD, 1]]),
        separators="optional",
        separator=GAP,
        wildcard=0.5,
    )
    assert found.free_energy.item() == 1.0
    assert found.path.tolist() == [[0, 1, 1, 2]]


def test_wildcard_has_no_gradient_of_its_own():
    energies = draw(1, 5, GAP + 1).requires_grad_()
    value = free_energy(energies, torch.tensor([[0, WILDCARD]]), beta=1.0, wildcard=0.0)
    (gradient,) = torch.autograd.grad(value.sum(), energies)
    shares = posterior(energies, torch.tensor([[0, WILDCARD]]), wildcard=0.0)
    torch.testing.assert_close(gradient[0, :, 0], shares[0, :, 0])
    assert (gradient[..., 1:] == 0).all()


def test_minus_one_without_a_wildcard_is_no_class():
    with pytest.raises(ValueError, match="-1"):
        free_energy(draw(1, 3, 3), torch.tensor([[WILDCARD]]))


@pytest.mark.parametrize("wildcard", [-math.inf, math.nan])
def test_wildcard_needs_an_energy(wildcard):
    with pytest.raises(ValueError, match="wildcard energy above -inf"):
        free_energy(draw(1, 3, 3), torch.tensor([[WILDCARD]]), wildcard=wildcard)


@pytest.mark.parametrize("separators", ["required", "optional"])
def test_spans_cover_the_path_and_add_up_to_its_energy(separators):
    energies, lengths = draw(3, 12, 5).float(), torch.tensor([12, 7, 5])
    targets, target_lengths = (
        torch.tensor([[0, 4, 1, 4], [2, 4, 2, 4], [3, 4, 0, 0]]),
        torch.tensor([4, 4, 2]),
    )
    found = viterbi(energies, targets, lengths, target_lengths, separators, separator=4)
    for b, sample in enumerate(spans(found)):
        for span in sample:
            assert 0 <= span.start < span.end <= lengths[b]
            windows = energies[b, span.start : span.end]
            assert span.energy == pytest.approx(windows[:, span.symbol].sum().item(), abs=1e-5)
            sure = torch.softmax(-windows, 1)[:, span.symbol].mean().item()
            assert span.confidence == pytest.approx(sure, abs=1e-6)
            assert (found.path[b, span.start : span.end] == found.path[b, span.start]).all()
        symbols = [span.symbol for span in sample if span.symbol != 4]
        assert symbols == [c for c in targets[b, : target_lengths[b]].tolist() if c != 4]
        if separators == "required":
            assert [span.start for span in sample[1:]] == [span.end for span in sample[:-1]]
            assert sum(span.energy for span in sample) == pytest.approx(
                found.free_energy[b].item(), abs=1e-4
            )


def test_spans_as_a_reader_would_write_them():
    energies = torch.tensor([[[0.0, 5, 5], [0, 5, 5], [5, 5, 0], [5, 0, 5]]])
    plain = spans(viterbi(energies, torch.tensor([[0, 2, 1]])))[0]
    assert [(span.symbol, span.start, span.end) for span in plain] == [
        (0, 0, 2),
        (2, 2, 3),
        (1, 3, 4),
    ]
    wild = spans(viterbi(energies, torch.tensor([[0, WILDCARD, 1]]), wildcard=-0.5))[0]
    assert wild[1] == Span(WILDCARD, 1, 3, -1.0, 1.0)


def test_nothing_is_aligned_where_no_path_fits():
    found = viterbi(
        draw(2, 3, 3),
        torch.tensor([[0, 1, 0, 1], [0, 1, 0, 0]]),
        None,
        torch.tensor([4, 2]),
        infeasible="inf",
    )
    assert found.free_energy.isinf().tolist() == [True, False]
    assert (found.path[0] == -1).all()
    assert spans(found)[0] == []
    assert len(spans(found)[1]) == 2


@pytest.mark.parametrize("beta", BETAS)
def test_posterior_of_optional_separators_against_enumeration(beta):
    """Only what stands in the target has a column: separators between,
    that it does not name, have none."""
    energies, letters = draw(1, 6, GAP + 1), [0, 1]
    found = posterior(
        energies, torch.tensor([[0, 1, GAP]]), beta=beta, separators="optional", separator=GAP
    )
    every = list(optional_paths(6, letters, GAP))
    costs = torch.stack([energies[0, range(6), path].sum() for path in every])
    weights = (
        torch.softmax(-beta * costs, 0) if beta < math.inf else (costs == costs.min()).double()
    )
    for window, column in product(range(6), range(3)):
        expected = sum(
            weight
            for weight, path in zip(weights, every)
            if path[window] == [0, 1, GAP][column] and (column < 2 or 1 in path[:window])
        )
        torch.testing.assert_close(
            found[0, window, column], torch.as_tensor(expected, dtype=torch.float64)
        )


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("separators", ["required", "optional"])
@pytest.mark.parametrize("windows", [1, 2, 5])
def test_sum_over_all_words_against_the_words_one_by_one(windows, separators, beta):
    """Every word that fits, each by its own free energy."""
    energies = draw(1, windows, GAP + 1, seed=windows)
    values = []
    for length in range(windows + 1):
        for letters in product(range(GAP), repeat=length):
            target = [symbol for letter in letters for symbol in (letter, GAP)]
            if separators == "required" and not target:
                continue
            padded = torch.tensor([target or [0]])
            lengths = None, torch.tensor([len(target)])
            options = {
                "beta": beta,
                "separators": separators,
                "separator": GAP,
                "infeasible": "inf",
            }
            values.append(free_energy(energies, padded, *lengths, **options)[0])
    expected = softmin(values, beta)
    found = free_energy(energies, beta=beta, separators=separators, separator=GAP)
    torch.testing.assert_close(found[0], expected)


@pytest.mark.parametrize("separators", ["required", "optional"])
def test_gradient_of_the_sum_over_all_words_is_how_often_a_class_is_shown(separators):
    energies = draw(2, 7, 4).requires_grad_()
    value = free_energy(
        energies, None, torch.tensor([7, 4]), beta=1.0, separators=separators, separator=3
    )
    (gradient,) = torch.autograd.grad(value.sum(), energies)
    torch.testing.assert_close(
        gradient.sum(2), (torch.arange(7) < torch.tensor([[7], [4]])).double()
    )
    assert torch.autograd.gradcheck(
        lambda e: free_energy(e, None, beta=0.7, separators=separators, separator=3), energies
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("separator", [0, 3, 5])
@pytest.mark.parametrize("beta", [0.3, 1.0, 7.0])
def test_kernel_of_the_sum_over_all_words_against_the_reference(beta, separator, dtype):
    """Ragged, with forbidden cells, one sample without any path and one without windows."""
    energies = 3 * draw(5, 9, 6).to(dtype)
    energies[0, 3], energies[1, 2, 2] = float("inf"), float("inf")
    energies.requires_grad_()
    lengths = torch.tensor([9, 9, 4, 1, 0])
    ours = free_energy(energies, None, lengths, beta=beta, separator=separator)
    theirs = reference.all_words(energies, lengths, beta, True, separator)
    assert ours.isinf().tolist() == [True, False, False, True, True]
    torch.testing.assert_close(ours, theirs)
    gradients = [
        torch.autograd.grad(values[1:3].sum(), energies, retain_graph=True)[0]
        for values in (ours, theirs)
    ]
    torch.testing.assert_close(*gradients)
    assert (torch.autograd.grad(ours.sum(), energies)[0][[0, 3, 4]] == 0).all()


def test_sum_over_all_words_has_second_derivatives():
    energies = draw(2, 5, 4).requires_grad_()
    assert torch.autograd.gradgradcheck(
        lambda e: free_energy(e, None, beta=0.7, separator=3), energies
    )


@pytest.mark.parametrize("offset", [-1e12, 1e12])
def test_posterior_of_all_words_is_one_a_window_at_any_level(offset):
    energies = (draw(1, 100, 27) + offset).requires_grad_()
    for beta in (1.0, 1e3):
        (gradient,) = torch.autograd.grad(free_energy(energies, beta=beta).sum(), energies)
        torch.testing.assert_close(gradient.sum(2), torch.ones(1, 100, dtype=torch.float64))


@pytest.mark.parametrize("separators", ["required", "optional"])
@pytest.mark.parametrize("beta", [1.0, math.inf])
def test_sum_over_all_words_ignores_padding_and_forbids_without_gradient(beta, separators):
    energies = draw(4, 3, 3)
    energies[1, 1:], energies[2, 1:], energies[3, 1] = math.nan, -math.inf, math.inf
    energies.requires_grad_()
    values = free_energy(
        energies, None, torch.tensor([3, 1, 1, 3]), beta=beta, separators=separators, separator=2
    )
    assert values[3].isinf()
    (gradient,) = torch.autograd.grad(values.sum(), energies)
    assert gradient.isfinite().all()
    assert (gradient[3] == 0).all()
    assert (gradient[1:3, 1:] == 0).all()


@pytest.mark.parametrize("beta", [1.0, math.inf])
def test_no_word_fits_in_one_window_and_the_graph_stays_whole(beta):
    energies = draw(1, 1, 3).requires_grad_()
    value = free_energy(energies, beta=beta, separator=2)
    assert value.isinf().all()
    value.sum().backward()
    assert (energies.grad == 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"separators": "requird"}, "'required' or 'optional', got 'requird'"),
        ({"infeasible": "bogus"}, "'raise' or 'inf', got 'bogus'"),
        ({"wildcard": 1.0}, "expected targets with target_lengths or a wildcard"),
        (
            {"target_lengths": torch.tensor([2])},
            "expected targets with target_lengths or a wildcard",
        ),
    ],
)
def test_options_are_looked_at_without_targets_too(options, message):
    with pytest.raises(ValueError, match=message):
        free_energy(draw(1, 6, 3), separator=2, **options)
