"""Weighted acceptors give the numbers and gradients of the engine."""

import math

import pytest
import torch
from torch.autograd import gradcheck

from ebm_ocr import (
    BETWEEN,
    Graph,
    alignment_graph,
    build_path_matrix,
    find_path,
    forward_score,
    free_energy,
    intersect,
    linear_graph,
    transform_word,
    viterbi_path,
    viterbi_score,
)


def normalised(windows, seed=0):
    raw = torch.randn(
        windows, 27, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    raw.requires_grad_()
    return raw, raw + torch.logsumexp(-raw, 1, keepdim=True)


@pytest.mark.parametrize("beta", [1.0, 2.0, math.inf])
@pytest.mark.parametrize("separators", ["required", "optional"])
@pytest.mark.parametrize(("word", "windows"), [("a", 2), ("cat", 7), ("aab", 8), ("zz", 4)])
def test_forward_score_is_the_free_energy_in_value_and_gradient(word, windows, separators, beta):
    raw, energies = normalised(windows)
    target = transform_word(word)
    graph = intersect(alignment_graph(target, separators), linear_graph(energies))
    values = (
        forward_score(graph, beta),
        free_energy(energies[None], target[None], beta=beta, separators=separators)[0],
    )
    torch.testing.assert_close(*values)
    torch.testing.assert_close(
        *(torch.autograd.grad(value, raw, retain_graph=True)[0] for value in values)
    )


@pytest.mark.parametrize(("letters", "windows"), [([2, 0, 19], 5), ([11, 11], 4)])
def test_forward_score_is_ctc_in_value_and_gradient(letters, windows):
    raw, energies = normalised(windows)
    graph = intersect(alignment_graph(letters, "optional"), linear_graph(energies))
    ctc = torch.nn.functional.ctc_loss(
        -energies[:, None],
        torch.tensor([letters]),
        [windows],
        [len(letters)],
        blank=BETWEEN,
        reduction="sum",
    )
    torch.testing.assert_close(forward_score(graph), ctc)
    gradients = (
        torch.autograd.grad(value, raw, retain_graph=True)[0]
        for value in (forward_score(graph), ctc)
    )
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("seed", range(5))
def test_viterbi_is_find_path(seed):
    _, energies = normalised(9, seed)
    target = transform_word("dog")
    graph = intersect(alignment_graph(target), linear_graph(energies))
    best = find_path(build_path_matrix(energies[None], target[None])[0])
    torch.testing.assert_close(viterbi_score(graph), best.free_energy)
    assert viterbi_path(graph) == [target[j].item() for _, j in best.points]


def test_emission_graph_sums_over_all_spellings():
    energies = torch.randn(5, 27)
    torch.testing.assert_close(
        forward_score(linear_graph(energies)), -torch.logsumexp(-energies, 1).sum()
    )


def test_gradients_are_those_of_finite_differences():
    energies = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    spellings = alignment_graph([0, 1], "optional", separator=2)
    assert gradcheck(lambda e: forward_score(intersect(spellings, linear_graph(e))), energies)


def test_too_few_windows_accept_nothing():
    graph = intersect(alignment_graph(transform_word("ab")), linear_graph(torch.zeros(3, 27)))
    assert forward_score(graph) == viterbi_score(graph) == math.inf
    with pytest.raises(ValueError, match="path from a start"):
        viterbi_path(graph)


def test_parallel_arcs_tie_to_the_first():
    graph = Graph(2, [0], [1], [0, 0], [1, 1], [7, 3], torch.zeros(2))
    assert viterbi_path(graph) == [7]


@pytest.mark.parametrize("function", [forward_score, viterbi_score, viterbi_path])
def test_cycle_is_refused(function):
    with pytest.raises(ValueError, match="cycle"):
        function(alignment_graph([0, 1]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: linear_graph(torch.zeros(3)), r"\(L, C\)"),
        (lambda: alignment_graph([]), "at least one symbol"),
        (lambda: alignment_graph([30], "optional"), r"separator="),
        (lambda: alignment_graph([0], "some"), "'some'"),
        (lambda: forward_score(linear_graph(torch.zeros(1, 2)), beta=0), "beta"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
