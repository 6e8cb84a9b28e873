"""The engine against the enumeration of all paths, and what it promises at the edges."""

import math
from itertools import product

import pytest
import torch
from conftest import optional_paths, required_paths, softmin
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck

from ebm_ocr import (
    BETWEEN,
    WILDCARD,
    Span,
    build_path_matrix,
    find_path,
    free_energy,
    path_energy,
    posterior,
    spans,
    viterbi,
)
from ebm_ocr.kernels import reference

SHAPES = [
    (windows, symbols) for windows in range(1, 10) for symbols in range(1, min(windows, 5) + 1)
]
BETAS = [0.3, 1.0, 5.0, math.inf]
CLASSES = 5
GAP = CLASSES - 1


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def columns(matrix):
    """A path matrix (L, T) as the energies of one sample whose classes are the target indices."""
    return matrix[None], torch.arange(matrix.shape[1])[None]


@pytest.mark.parametrize(("windows", "symbols"), SHAPES)
def test_enumerator_finds_every_path(windows, symbols):
    paths = list(required_paths(windows, symbols))
    assert len({tuple(path) for path in paths}) == len(paths) == math.comb(windows - 1, symbols - 1)


@pytest.mark.parametrize("letters", [[], [0], [0, 0], [0, 1, 0], [1, 1, 0]])
@pytest.mark.parametrize("windows", range(1, 7))
def test_enumerator_of_optional_separators_finds_what_collapses_to_the_letters(windows, letters):
    expected = set()
    for classes in product([0, 1, BETWEEN], repeat=windows):
        merged = [c for i, c in enumerate(classes) if i == 0 or c != classes[i - 1]]
        if [c for c in merged if c != BETWEEN] == letters:
            expected.add(classes)
    paths = [tuple(path) for path in optional_paths(windows, letters)]
    assert len(paths) == len(expected)
    assert set(paths) == expected


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize(("windows", "symbols"), SHAPES)
def test_free_energy_against_enumeration(windows, symbols, beta):
    matrix = draw(windows, symbols)
    every = [path_energy(matrix, path) for path in required_paths(windows, symbols)]
    torch.testing.assert_close(free_energy(*columns(matrix), beta=beta)[0], softmin(every, beta))


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("letters", [[0], [0, 1], [0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0]])
@pytest.mark.parametrize("windows", range(1, 8))
def test_optional_separators_against_enumeration(windows, letters, beta):
    energies = draw(1, windows, CLASSES, seed=windows)
    every = [
        energies[0, range(windows), [GAP if c == BETWEEN else c for c in path]].sum()
        for path in optional_paths(windows, letters)
    ]
    targets = torch.tensor([letters])
    if not every:
        with pytest.raises(ValueError, match="no path exists"):
            free_energy(energies, targets, beta=beta, separators="optional", separator=GAP)
        return
    found = free_energy(energies, targets, beta=beta, separators="optional", separator=GAP)[0]
    torch.testing.assert_close(found, softmin(every, beta))


@given(st.data())
@settings(max_examples=60)
def test_optional_separators_at_beta_1_are_ctc(data):
    batch, windows, letters = (data.draw(st.integers(1, high)) for high in (5, 14, 5))
    lengths = torch.tensor(
        data.draw(st.lists(st.integers(1, letters), min_size=batch, max_size=batch))
    )
    seed = data.draw(st.integers(0, 10_000))
    # doubles are common
    words = torch.randint(0, 3, (batch, letters), generator=torch.Generator().manual_seed(seed))
    repeats = torch.tensor(
        [int((w[1:n] == w[: n - 1]).sum()) for w, n in zip(words, lengths.tolist())]
    )
    window_lengths = torch.tensor([data.draw(st.integers(1, windows)) for _ in range(batch)])
    window_lengths = torch.maximum(window_lengths, lengths + repeats)
    raw = draw(batch, int(window_lengths.max()), 27, seed=seed).requires_grad_()
    log_probabilities = torch.log_softmax(-raw, 2)
    spelled = torch.stack([words, torch.full_like(words, BETWEEN)], 2).flatten(1)
    ctc = torch.nn.functional.ctc_loss(
        log_probabilities.transpose(0, 1),
        words,
        window_lengths,
        lengths,
        blank=BETWEEN,
        reduction="none",
    )
    for targets, target_lengths in ((words, lengths), (spelled, 2 * lengths)):
        ours = free_energy(
            -log_probabilities, targets, window_lengths, target_lengths, 1.0, "optional"
        )
        torch.testing.assert_close(ours, ctc)
        gradients = [torch.autograd.grad(f.sum(), raw, retain_graph=True)[0] for f in (ours, ctc)]
        torch.testing.assert_close(*gradients)


def test_ties_stay():
    assert find_path(torch.zeros(5, 3)).points == [(0, 0), (1, 1), (2, 2), (3, 2), (4, 2)]
    assert viterbi(*columns(torch.zeros(5, 3))).path.tolist() == [[0, 1, 2, 2, 2]]


@given(st.integers(0, 10_000))
@settings(max_examples=50)
def test_ties_in_batches_are_those_of_find_path(seed):
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randint(0, 2, (8, 4), generator=generator).float()
    points = find_path(matrix).points
    assert viterbi(*columns(matrix)).path[0].tolist() == [j for _, j in points]


@given(st.integers(0, 10_000), st.sampled_from(BETAS), st.sampled_from(["required", "optional"]))
@settings(max_examples=60)
def test_padding_changes_no_bit_and_a_sample_alone_is_as_in_a_batch(seed, beta, separators):
    generator = torch.Generator().manual_seed(seed)
    energies = draw(4, 12, CLASSES, seed=seed).requires_grad_()
    targets = torch.randint(0, GAP, (4, 5), generator=generator)
    window_lengths, target_lengths = torch.tensor([12, 9, 10, 11]), torch.tensor([5, 1, 3, 4])
    options = {"beta": beta, "separators": separators, "separator": GAP}
    whole = free_energy(energies, targets, window_lengths, target_lengths, **options)
    (gradient,) = torch.autograd.grad(whole.sum(), energies)
    for b, (windows, symbols) in enumerate(zip(window_lengths.tolist(), target_lengths.tolist())):
        energies_other, targets_other = energies.detach().clone(), targets.clone()
        energies_other[b, windows:] = math.nan
        targets_other[b, symbols:] = -99
        energies_other.requires_grad_()
        other = free_energy(
            energies_other, targets_other, window_lengths, target_lengths, **options
        )
        assert torch.equal(other, whole)
        assert torch.equal(torch.autograd.grad(other.sum(), energies_other)[0], gradient)
        alone = free_energy(energies[b : b + 1, :windows], targets[b : b + 1, :symbols], **options)
        torch.testing.assert_close(alone[0], whole[b], rtol=1e-14, atol=1e-14)
        assert (gradient[b, windows:] == 0).all()


@pytest.mark.parametrize("separators", ["required", "optional"])
@pytest.mark.parametrize("beta", [0.5, 1.0, 4.0])
def test_gradients_are_those_of_finite_differences(separators, beta):
    energies = draw(2, 6, CLASSES).requires_grad_()
    targets, windows, symbols = (
        torch.tensor([[0, 1, 1], [2, 0, 0]]),
        torch.tensor([6, 4]),
        torch.tensor([3, 2]),
    )

    def function(energies):
        return free_energy(energies, targets, windows, symbols, beta, separators, GAP)

    assert gradcheck(function, energies)
    assert gradgradcheck(function, energies)


def test_gradient_of_viterbi_is_the_path():
    matrix = draw(7, 3).requires_grad_()
    for energy in (
        viterbi(*columns(matrix)).free_energy[0],
        free_energy(*columns(matrix))[0],
        find_path(matrix)[0],
    ):
        (gradient,) = torch.autograd.grad(energy, matrix)
        expected = torch.zeros_like(matrix)
        expected[tuple(zip(*find_path(matrix).points))] = 1
        assert torch.equal(gradient, expected)


@pytest.mark.parametrize("beta", BETAS)
def test_posterior_is_the_gradient_and_its_rows_sum_to_one(beta):
    energies, targets = draw(3, 9, CLASSES), torch.tensor([[0, 1, 2, 3]] * 3)
    lengths = torch.tensor([9, 6, 4]), torch.tensor([4, 2, 4])
    found = posterior(energies, targets, *lengths, beta=beta)
    inside = torch.arange(9) < lengths[0][:, None]
    torch.testing.assert_close(found.sum(2), inside.double())
    matrix = build_path_matrix(energies, targets)
    for b, (windows, symbols) in enumerate(zip(*(part.tolist() for part in lengths))):
        every = list(required_paths(windows, symbols))
        costs = torch.stack([path_energy(matrix[b, :windows, :symbols], path) for path in every])
        weights = (
            (costs == costs.min()).double() if math.isinf(beta) else torch.softmax(-beta * costs, 0)
        )
        expected = sum(
            w * torch.nn.functional.one_hot(torch.tensor(p), 4) for w, p in zip(weights, every)
        )
        torch.testing.assert_close(found[b, :windows], expected)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("separators", ["required", "optional"])
def test_forbidden_cells_give_the_right_answer_and_no_nan(separators, beta):
    energies = draw(1, 5, CLASSES)
    energies[0, 2, 0] = math.inf
    energies[0, 4, [0, 1]] = math.inf
    energies.requires_grad_()
    targets = torch.tensor([[0, 1, 0, GAP]])
    value = free_energy(energies, targets, beta=beta, separators=separators, separator=GAP)
    (gradient,) = torch.autograd.grad(value.sum(), energies)
    if separators == "required":
        paths = [[targets[0, t] for t in path] for path in required_paths(5, 4)]
    else:
        paths = list(optional_paths(5, [0, 1, 0], GAP))
    torch.testing.assert_close(
        value[0], softmin([energies[0, range(5), path].sum() for path in paths], beta)
    )
    assert gradient.isfinite().all()
    torch.testing.assert_close(gradient[0].sum(1), torch.ones(5, dtype=torch.float64))
    assert gradient[0, 2, 0] == gradient[0, 4, 0] == 0


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("separators", ["required", "optional"])
def test_sample_without_a_finite_path_is_inf_with_zero_gradient_and_spares_the_others(
    separators, beta
):
    energies = draw(2, 5, CLASSES)
    energies[0, 3] = math.inf
    energies.requires_grad_()
    targets = torch.tensor([[0, GAP], [0, GAP]])
    value = free_energy(energies, targets, beta=beta, separators=separators, separator=GAP)
    assert value[0] == math.inf
    assert value[1].isfinite()
    (gradient,) = torch.autograd.grad(value[value.isfinite()].sum(), energies)
    assert (gradient[0] == 0).all()
    assert gradient.isfinite().all()
    path = viterbi(energies, targets).path[0].tolist()
    assert path in list(required_paths(5, 2))


def test_large_beta_tends_to_viterbi():
    energies, targets = draw(4, 10, CLASSES), torch.tensor([[0, 1, 2]] * 4)
    exact = viterbi(energies, targets).free_energy
    gaps = [
        (exact - free_energy(energies, targets, beta=beta)).max().item()
        for beta in (1, 10, 100, 1000)
    ]
    assert gaps == sorted(gaps, reverse=True)
    assert 0 <= gaps[-1] < 1e-2 < gaps[0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_is_summed_wider_and_answered_in_float32(dtype):
    energies = draw(2, 300, CLASSES).to(dtype)
    targets = torch.tensor([[0, 1, 2]] * 2)
    for beta in (1.0, math.inf):
        found = free_energy(energies, targets, beta=beta)
        assert found.equal(free_energy(energies.double(), targets, beta=beta).float())
        assert free_energy(energies, targets, beta=beta, dtype=torch.float64).dtype == torch.float64


ENERGIES, TARGETS = torch.zeros(2, 6, CLASSES), torch.tensor([[0, 1], [2, 3]])


@pytest.mark.parametrize("function", [viterbi, free_energy, posterior])
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((ENERGIES.long(), TARGETS), TypeError, "int64"),
        (([[0.0]], TARGETS), TypeError, "list"),
        ((ENERGIES[0], TARGETS), ValueError, r"\(B, L, C\)"),
        ((ENERGIES[:0], TARGETS[:0]), ValueError, r"\(0, 6, 5\)"),
        ((ENERGIES[:, :0], TARGETS), ValueError, r"\(2, 0, 5\)"),
        ((ENERGIES.index_fill(1, torch.tensor([3]), math.nan), TARGETS), ValueError, "NaN"),
        ((ENERGIES.index_fill(1, torch.tensor([3]), -math.inf), TARGETS), ValueError, "-inf"),
        ((ENERGIES, TARGETS.float()), TypeError, "float32"),
        ((ENERGIES, TARGETS[0]), ValueError, r"targets \(2, T\)"),
        ((ENERGIES, TARGETS[:1]), ValueError, r"targets \(2, T\)"),
        ((ENERGIES, TARGETS[:, :0]), ValueError, "6 windows, its target needs 0"),
        ((ENERGIES, TARGETS + 2), ValueError, "below 5, got 2..5"),
        ((ENERGIES, TARGETS - 1), ValueError, "got -1..2"),
        ((ENERGIES, TARGETS, torch.tensor([6])), ValueError, r"window_lengths \(2,\), got \(1,\)"),
        ((ENERGIES, TARGETS, torch.tensor([6, 7])), ValueError, "window_lengths in 0..6"),
        ((ENERGIES, TARGETS, torch.tensor([6, -1])), ValueError, "window_lengths in 0..6"),
        ((ENERGIES, TARGETS, torch.tensor([6.0, 6.0])), TypeError, "integer window_lengths"),
        ((ENERGIES, TARGETS, None, torch.tensor([2, 3])), ValueError, "target_lengths in 0..2"),
        ((ENERGIES, TARGETS, None, torch.tensor([-1, 2])), ValueError, "target_lengths in 0..2"),
        (
            (ENERGIES, TARGETS, torch.tensor([6, 0])),
            ValueError,
            "sample 1 has 0 windows, its target needs 2",
        ),
        (
            (ENERGIES, TARGETS, None, torch.tensor([0, 2])),
            ValueError,
            "sample 0 has 6 windows, its target needs 0",
        ),
        (
            (ENERGIES, TARGETS, torch.tensor([6, 1])),
            ValueError,
            "sample 1 has 1 windows, its target needs 2",
        ),
    ],
)
def test_bad_input_is_refused(function, arguments, error, message):
    with pytest.raises(error, match=message):
        function(*arguments)


@pytest.mark.parametrize(
    "options", [{"beta": 0}, {"beta": -1}, {"beta": math.nan}, {"separators": "some"}]
)
def test_bad_options_are_refused(options):
    with pytest.raises(ValueError, match="expected"):
        free_energy(ENERGIES, TARGETS, **options)


def test_separator_that_is_no_class_is_refused():
    with pytest.raises(ValueError, match="separator"):
        free_energy(ENERGIES, TARGETS, separators="optional", separator=CLASSES)


THREE_BETAS = [0.5, 1.0, math.inf]


THIRD = 2


@pytest.mark.parametrize("beta", THREE_BETAS)
@pytest.mark.parametrize(
    "target", [[WILDCARD], [0, WILDCARD, 1], [WILDCARD, WILDCARD], [WILDCARD, THIRD, 0, THIRD]]
)
def test_wildcard_costs_the_same_in_each_window(target, beta):
    energies = draw(1, 6, THIRD + 1)
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
        separator=THIRD,
        wildcard=0.5,
    )
    assert found.free_energy.item() == 1.0
    assert found.path.tolist() == [[0, 1, 1, 2]]


def test_wildcard_has_no_gradient_of_its_own():
    energies = draw(1, 5, THIRD + 1).requires_grad_()
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


@pytest.mark.parametrize("beta", THREE_BETAS)
def test_posterior_of_optional_separators_against_enumeration(beta):
    """Only what stands in the target has a column: separators between,
    that it does not name, have none."""
    energies, letters = draw(1, 6, THIRD + 1), [0, 1]
    found = posterior(
        energies, torch.tensor([[0, 1, THIRD]]), beta=beta, separators="optional", separator=THIRD
    )
    every = list(optional_paths(6, letters, THIRD))
    costs = torch.stack([energies[0, range(6), path].sum() for path in every])
    weights = (
        torch.softmax(-beta * costs, 0) if beta < math.inf else (costs == costs.min()).double()
    )
    for window, column in product(range(6), range(3)):
        expected = sum(
            weight
            for weight, path in zip(weights, every)
            if path[window] == [0, 1, THIRD][column] and (column < 2 or 1 in path[:window])
        )
        torch.testing.assert_close(
            found[0, window, column], torch.as_tensor(expected, dtype=torch.float64)
        )


@pytest.mark.parametrize("beta", THREE_BETAS)
@pytest.mark.parametrize("separators", ["required", "optional"])
@pytest.mark.parametrize("windows", [1, 2, 5])
def test_sum_over_all_words_against_the_words_one_by_one(windows, separators, beta):
    """Every word that fits, each by its own free energy."""
    energies = draw(1, windows, THIRD + 1, seed=windows)
    values = []
    for length in range(windows + 1):
        for letters in product(range(THIRD), repeat=length):
            target = [symbol for letter in letters for symbol in (letter, THIRD)]
            if separators == "required" and not target:
                continue
            padded = torch.tensor([target or [0]])
            lengths = None, torch.tensor([len(target)])
            options = {
                "beta": beta,
                "separators": separators,
                "separator": THIRD,
                "infeasible": "inf",
            }
            values.append(free_energy(energies, padded, *lengths, **options)[0])
    expected = softmin(values, beta)
    found = free_energy(energies, beta=beta, separators=separators, separator=THIRD)
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


def test_spans_are_of_what_viterbi_returned():
    with pytest.raises(TypeError, match="what viterbi returned, got Tensor"):
        spans(torch.zeros(1, 3, 2))


def test_what_a_row_of_the_posterior_lacks_to_one_is_on_separators_outside_the_target():
    rows = posterior(torch.zeros(1, 3, 3), torch.tensor([[1]]), separators="optional", separator=0)
    torch.testing.assert_close(rows[0, :, 0], torch.tensor([1 / 2, 2 / 3, 1 / 2]))


def test_the_place_of_a_value_that_is_no_energy_is_named():
    energies = torch.zeros(2, 4, 3)
    energies[1, 2, 0] = math.nan
    with pytest.raises(ValueError, match="got NaN in sample 1, window 2, class 0"):
        viterbi(energies, torch.tensor([[0, 2], [1, 2]]))
