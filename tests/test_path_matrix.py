"""find_free_energy, the readable sum over all paths:
against enumeration, against the engine, against find_path."""

import inspect
import math
from itertools import combinations

import pytest
import torch
from conftest import required_paths

from ebm_ocr import (
    build_ce_matrix,
    build_path_matrix,
    find_free_energy,
    find_path,
    free_energy,
    path_cross_entropy,
    path_energy,
    posterior,
    viterbi,
)
from ebm_ocr.display import without_docstrings

SHAPES = [(1, 1), (3, 1), (3, 3), (5, 2), (6, 4), (7, 3)]
BETAS = [1e-3, 0.3, 1.0, 4.0]


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def every_path(windows, symbols):
    """The target index of each window, for each choice of the windows that advance."""
    for turns in combinations(range(1, windows), symbols - 1):
        yield [sum(i >= turn for turn in turns) for i in range(windows)]


def soft(energies, beta):
    return -torch.logsumexp(-beta * torch.stack(energies), 0) / beta


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize(("windows", "symbols"), SHAPES)
def test_every_cell_sums_over_the_paths_that_lead_to_it(windows, symbols, beta):
    matrix = draw(windows, symbols)
    energy, dp = find_free_energy(matrix, beta)
    assert energy == dp[-1, -1]
    for i in range(windows):
        for j in range(symbols):
            part = matrix[: i + 1, : j + 1]
            paths = [path_energy(part, path) for path in every_path(i + 1, j + 1)]
            expected = soft(paths, beta) if paths else torch.tensor(math.inf).double()
            torch.testing.assert_close(dp[i, j], expected)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_it_is_the_engines_free_energy_and_its_gradient_the_posterior(beta, dtype):
    matrix = (10 * draw(40, 12) + 100).to(dtype).requires_grad_()
    energies, target = matrix.detach()[None], torch.arange(12)[None]
    found = find_free_energy(matrix, beta)
    torch.testing.assert_close(found.free_energy, free_energy(energies, target, beta=beta)[0])
    assert found.dp.dtype == torch.promote_types(dtype, torch.float32)
    (gradient,) = torch.autograd.grad(found.free_energy, matrix)
    expected = posterior(energies, target, beta=beta)[0].to(dtype)
    torch.testing.assert_close(
        gradient, expected, atol=1e-3 if dtype is torch.float16 else 1e-6, rtol=0
    )


def test_gradcheck():
    matrix = draw(5, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda pm: find_free_energy(pm, 0.7).free_energy, matrix)


def test_cold_it_is_the_best_path_and_hot_it_counts_paths():
    matrix = draw(9, 4)
    best = find_path(matrix)
    torch.testing.assert_close(find_free_energy(matrix, 1e4).free_energy, best.free_energy)
    assert (find_free_energy(matrix, 1.0).dp <= best.dp).all()
    count = math.comb(8, 3)
    assert find_free_energy(torch.zeros(9, 4)).free_energy.item() == pytest.approx(-math.log(count))


def test_forbidden_cells_are_walked_around_and_have_no_gradient():
    matrix = draw(6, 3)
    matrix[2, 1] = matrix[0, 2] = math.inf
    matrix.requires_grad_()
    energy = find_free_energy(matrix).free_energy
    paths = [path_energy(matrix, path) for path in every_path(6, 3) if path[2] != 1]
    torch.testing.assert_close(energy, soft(paths, 1.0))
    (gradient,) = torch.autograd.grad(energy, matrix)
    torch.testing.assert_close(gradient.sum(1), torch.ones(6).double())
    assert gradient[2, 1] == 0
    matrix = torch.zeros(3, 2).fill_(math.inf).requires_grad_()
    energy = find_free_energy(matrix).free_energy
    assert energy == math.inf
    assert torch.autograd.grad(energy, matrix)[0].isfinite().all()


def test_a_sum_over_many_windows_is_wide():
    matrix = (draw(2000, 10) + 1e4).float()
    exact = find_free_energy(matrix.double()).free_energy
    assert find_free_energy(matrix).free_energy == exact.float()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: find_free_energy([[1.0]]), TypeError, "float tensor of energies, got list"),
        (lambda: find_free_energy(torch.zeros(2, 3)), ValueError, "2 windows for 3 symbols"),
        (lambda: find_free_energy(torch.zeros(3)), ValueError, r"a path matrix \(L, T\)"),
        (lambda: find_free_energy(torch.full((3, 2), math.nan)), ValueError, "got NaN or -inf"),
        (lambda: find_free_energy(torch.zeros(3, 2), 0), ValueError, r"beta in \(0, inf\), got 0"),
        (lambda: find_free_energy(torch.zeros(3, 2), math.inf), ValueError, r"\(0, inf\), got inf"),
        (lambda: find_free_energy(torch.zeros(3, 2), "1"), TypeError, "beta as a number"),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(("function", "lines"), [(find_path, 20), (find_free_energy, 12)])
def test_the_algorithms_fit_beside_the_text_that_explains_them(function, lines):
    body = without_docstrings(inspect.getsource(function)).split("\n", 1)[1].strip()
    assert len(body.splitlines()) <= lines


MANY_SHAPES = [
    (windows, symbols) for windows in range(1, 10) for symbols in range(1, min(windows, 5) + 1)
]


CLASSES = 5


def columns(matrix):
    """A path matrix (L, T) as the energies of one sample whose classes are the target indices."""
    return matrix[None], torch.arange(matrix.shape[1])[None]


@pytest.mark.parametrize(("windows", "symbols"), MANY_SHAPES)
def test_best_path_against_enumeration(windows, symbols):
    matrix = draw(windows, symbols, seed=windows)
    best = min(required_paths(windows, symbols), key=lambda path: path_energy(matrix, path))
    energy, points, dp = find_path(matrix)
    assert [j for _, j in points] == best
    assert [i for i, _ in points] == list(range(windows))
    torch.testing.assert_close(energy, path_energy(matrix, best))
    torch.testing.assert_close(energy, dp[-1, -1])
    aligned = viterbi(*columns(matrix))
    assert aligned.path.tolist() == [best]
    torch.testing.assert_close(aligned.free_energy[0], energy)


@pytest.mark.parametrize(("windows", "symbols"), MANY_SHAPES)
def test_dp_table_against_enumeration(windows, symbols):
    matrix = draw(windows, symbols)
    dp = find_path(matrix).dp
    for i in range(windows):
        for j in range(symbols):
            paths = list(required_paths(i + 1, j + 1)) if j <= i else []
            lowest = min(
                (path_energy(matrix[: i + 1, : j + 1], p).item() for p in paths), default=math.inf
            )
            assert dp[i, j].item() == pytest.approx(lowest)


def test_matrices_against_the_obvious_loop():
    energies = draw(2, 4, CLASSES).requires_grad_()
    targets = torch.tensor([[3, 0, 4], [1, 1, 2]], dtype=torch.int32)
    matrix, ce = build_path_matrix(energies, targets), build_ce_matrix(energies, targets)
    assert matrix.shape == ce.shape == (2, 4, 3)
    for b in range(2):
        for i in range(4):
            for j in range(3):
                target = targets[b, j].long()
                assert matrix[b, i, j] == energies[b, i, target]
                expected = torch.nn.functional.cross_entropy(-energies[b, i], target)
                torch.testing.assert_close(ce[b, i, j], expected)
    assert torch.autograd.grad(ce.sum(), energies)[0].abs().sum() > 0


@pytest.mark.parametrize(
    "path",
    [
        [0, 0, 1],
        [0, 1, 1, 1, 2],
        [1, 1, 1, 2],
        [0, 0, 1, 1],
        [0, 0, 2, 2],
        [0, 1, 0, 2],
        [0.0, 0.0, 1.0, 2.0],
        [],
    ],
)
def test_what_is_no_path_costs_two_to_the_thirty(path):
    assert path_energy(torch.zeros(4, 3), path).item() == 2**30


def test_path_energy_is_the_sum_of_its_cells_and_differentiable():
    matrix = draw(4, 3).requires_grad_()
    energy = path_energy(matrix, [0, 1, 1, 2])
    torch.testing.assert_close(energy, matrix[0, 0] + matrix[1, 1] + matrix[2, 1] + matrix[3, 2])
    assert torch.autograd.grad(energy, matrix)[0].sum() == 4


def test_path_cross_entropy_takes_cells_or_a_batch_of_indices():
    ce = draw(2, 4, 3)
    aligned = torch.tensor([[0, 1, 1, 2], [0, 1, -1, -1]])
    batch = path_cross_entropy(ce, aligned)
    torch.testing.assert_close(
        batch[0], path_cross_entropy(ce[0], [(0, 0), (1, 1), (2, 1), (3, 2)])
    )
    torch.testing.assert_close(batch[1], ce[1, 0, 0] + ce[1, 1, 1])


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ([(0, 3)], "target indices"),
        ([(4, 0)], "windows"),
        ([0, 1], "expected an"),
        (torch.zeros(2, 4, dtype=torch.long), "expected"),
    ],
)
def test_path_cross_entropy_refuses_other_paths(path, message):
    with pytest.raises(ValueError, match=message):
        path_cross_entropy(torch.zeros(4, 3), path)


@pytest.mark.parametrize(
    ("matrix", "error", "message"),
    [
        (torch.zeros(3), ValueError, r"\(L, T\)"),
        (torch.zeros(0, 3), ValueError, r"\(0, 3\)"),
        (torch.zeros(2, 3), ValueError, "2 windows for 3 symbols"),
        (torch.tensor([[math.nan]]), ValueError, "NaN"),
        (torch.zeros(3, 3, dtype=torch.long), TypeError, "int64"),
        ("pm", TypeError, "str"),
    ],
)
def test_find_path_refuses_what_is_no_path_matrix(matrix, error, message):
    with pytest.raises(error, match=message):
        find_path(matrix)
