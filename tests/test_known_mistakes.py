"""One test for each mistake that solutions of this homework are known to make."""

import math

import pytest
import torch
from conftest import required_paths
from torch.optim import SGD

from ebm_ocr import (
    BETWEEN,
    SimpleNet,
    SimpleWordsDataset,
    build_ce_matrix,
    build_path_matrix,
    collate_fn,
    cross_entropy,
    find_path,
    forward_loss,
    free_energy,
    get_word_accuracy,
    greedy_decode,
    indices_to_str,
    path_cross_entropy,
    path_energy,
    train_ebm_model,
    transform_word,
    viterbi,
)


def test_first_dp_row_is_neither_uninitialised_nor_cumulative():
    matrix = torch.tensor([[1.0, -50, -50], [1, 1, 1], [1, 1, 1], [1, 1, 1]])
    assert find_path(matrix).dp[0].tolist() == [1, math.inf, math.inf]
    assert find_path(matrix).free_energy == 4


@pytest.mark.parametrize("path", [[1, 1, 2, 2], [0, 0, 1, 1]])
def test_path_validity_minds_start_and_end(path):
    assert path_energy(torch.zeros(4, 3), path) == 2**30


@pytest.mark.parametrize(
    "loss",
    [
        lambda energies, targets: path_cross_entropy(
            build_ce_matrix(energies, targets), viterbi(energies, targets).path
        ),
        lambda energies, targets: viterbi(energies, targets).free_energy,
        lambda energies, targets: find_path(build_path_matrix(energies, targets)[0]).free_energy,
        lambda energies, targets: free_energy(energies, targets),
        forward_loss,
    ],
)
def test_energies_are_not_detached(loss):
    energies = torch.randn(1, 8, 27, requires_grad=True)
    loss(energies, transform_word("cat")[None]).sum().backward()
    assert energies.grad.abs().sum() > 0


def test_cross_entropy_has_the_right_sign():
    energies = torch.zeros(1, 27)
    energies[0, 7] = -20  # low: the model is sure of class 7
    assert (
        cross_entropy(energies, torch.tensor([7]))
        < 1e-6
        < 10
        < cross_entropy(energies, torch.tensor([8]))
    )


def test_separator_is_not_class_0():
    assert transform_word("a").tolist() == [0, BETWEEN]
    assert indices_to_str([0, BETWEEN]) == "a"
    assert indices_to_str([BETWEEN, BETWEEN]) == ""


def test_padding_is_not_trained_as_target():
    words = SimpleWordsDataset(1)
    batch = collate_fn([(words.draw_text(text), text) for text in ("ab", "abcdefgh")])
    energies = torch.randn(2, int(batch.window_lengths[1]), 27, requires_grad=True)
    best = viterbi(energies, *batch[1:4])
    path_cross_entropy(build_ce_matrix(energies, batch.targets), best.path)[0].backward()
    assert best.path[0].max() == 3
    assert (energies.grad[0, batch.window_lengths[0] :] == 0).all()
    assert (energies.grad[1] == 0).all()


@pytest.mark.parametrize("separators", ["required", "optional"])
def test_infeasible_word_is_an_error_and_not_a_loss_of_zero(separators):
    with pytest.raises(ValueError, match="sample 0 has 3 windows"):
        forward_loss(torch.zeros(1, 3, 27), transform_word("aabb")[None], separators=separators)


def test_back_trace_starts_at_the_last_symbol_and_not_at_the_cheapest():
    matrix = torch.tensor([[0.0, 9, 9], [0, 9, 9], [0, 9, 9], [0, 9, 9]])
    assert find_path(matrix).points[-1] == (3, 2)
    assert viterbi(matrix[None], torch.arange(3)[None]).path[0, -1] == 2


def test_accuracy_is_of_whole_words_so_insertions_show():
    class ReadsTwice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.anything = torch.nn.Parameter(torch.zeros(()))

        def forward(self, images):
            energies = torch.zeros(len(images), 40, 27)
            energies[:, :, BETWEEN] = -0.5
            for b in range(len(images)):
                symbols = transform_word(words[b][1] + "a")
                energies[b, range(len(symbols)), symbols] = -1
            return energies

    words = SimpleWordsDataset(3, 4, seed=0)
    batch = collate_fn(list(words))
    assert greedy_decode(ReadsTwice()(batch.images), batch.window_lengths)[0] == words[0][1] + "a"
    assert get_word_accuracy(ReadsTwice(), words) == 0


def test_doubled_letters_survive_decoding():
    assert indices_to_str(transform_word("bookkeeper")) == "bookkeeper"


def test_class_axis_is_not_taken_for_windows():
    energies = torch.randn(2, 40, 27)
    assert build_path_matrix(energies, torch.zeros(2, 3, dtype=torch.long)).shape == (2, 40, 3)
    assert SimpleNet()(torch.zeros(2, 1, 32, 90)).shape == (2, 37, 27)


def test_path_on_ties_is_a_best_one():
    matrix = torch.tensor([[0.0, 5], [0, 0], [0, 0], [1, 0]])
    best = min(path_energy(matrix, path) for path in required_paths(4, 2))
    assert path_energy(matrix, [j for _, j in find_path(matrix).points]) == best == 0


def test_training_moves_the_weights():
    model = SimpleNet()
    before = [p.clone() for p in model.parameters()]
    loader = [collate_fn(list(SimpleWordsDataset(2, 4, seed=0)))]
    train_ebm_model(model, 1, loader, path_cross_entropy, SGD(model.parameters(), 1e-3))
    assert all(not torch.equal(old, new) for old, new in zip(before, model.parameters()))
