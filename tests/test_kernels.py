"""The kernels against the enumeration of all paths, against the reference,
and at the edges of arithmetic."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import optional_paths, required_paths, softmin
from hypothesis import given, settings
from hypothesis import strategies as st

from ebm_ocr import (
    alignment_graph,
    forward_score,
    free_energy,
    intersect,
    kernels,
    linear_graph,
    viterbi,
    viterbi_score,
)
from ebm_ocr.kernels import GRADIENT, STRICT, reference

TOPOLOGIES = ["required", "optional"]


def gap_of(separators):
    """As the kernels take it."""
    return GAP if separators == "optional" else None


BETAS = [0.2, 1.0, 6.0, math.inf]
GAP = 3


def random_energies(generator, batch, windows, classes, kind="normal", dtype=torch.float64):
    """Energies of one kind: plain, spread wide or narrow, constant in each window,
    tied, or with forbidden cells."""
    energies = torch.randn(batch, windows, classes, generator=generator, dtype=dtype)
    if kind == "tied":
        energies = energies.round()
    elif kind == "constant rows":
        energies = energies[..., :1].expand(-1, -1, classes).clone()
    elif kind == "forbidden":
        forbidden = torch.rand(energies.shape, generator=generator) < 0.25
        energies = energies.masked_fill(forbidden, math.inf)
    elif isinstance(kind, float):
        energies = energies * kind
    return energies


KINDS = ["normal", "tied", "constant rows", "forbidden", 1e-3, 1e2, 1e4]


def enumerated(energies, target, separators, beta):
    """Value, posterior over classes, and the class sequences of all paths of one sample (L, C)."""
    if separators == "required":
        every = [[target[j] for j in path] for path in required_paths(len(energies), len(target))]
    else:
        every = list(optional_paths(len(energies), [c for c in target if c != GAP], GAP))
    if not every:
        return None
    costs = torch.stack([energies[range(len(energies)), path].sum() for path in every])
    value = softmin(costs, beta)
    if math.isinf(beta):
        weights = torch.zeros_like(costs)
    else:
        weights = (
            torch.softmax(-beta * (costs - costs.min()), 0)
            if value < math.inf
            else torch.zeros_like(costs)
        )
    classes = torch.nn.functional.one_hot(torch.tensor(every), energies.shape[1]).double()
    return value, torch.einsum("p,plc->lc", weights.double(), classes), costs, every


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("separators", TOPOLOGIES)
@pytest.mark.parametrize("windows", range(1, 10))
def test_equal_to_enumeration(windows, separators, kind):
    generator = torch.Generator().manual_seed(windows)
    for symbols in range(1, 6):
        target = torch.randint(0, GAP + 1, (symbols,), generator=generator).tolist()
        energies = random_energies(generator, 1, windows, GAP + 1, kind)
        for beta in BETAS:
            arguments = {"separators": separators, "separator": GAP, "beta": beta}
            expected = enumerated(energies[0], target, separators, beta)
            if expected is None:
                with pytest.raises(ValueError, match="no path exists"):
                    free_energy(energies, torch.tensor([target]), **arguments)
                continue
            leaf = energies.clone().requires_grad_()
            value = free_energy(leaf, torch.tensor([target]), **arguments)
            torch.testing.assert_close(value[0], expected[0], rtol=1e-9, atol=1e-9)
            (slope,) = torch.autograd.grad(value.sum(), leaf)
            if math.isfinite(beta):
                torch.testing.assert_close(slope[0], expected[1], rtol=0, atol=1e-7)
            else:
                assert slope[0].sum() == (windows if value[0] < math.inf else 0)
                path = slope[0].argmax(1).tolist()
                assert value[0] == math.inf or path in expected[3]


@pytest.mark.parametrize("separators", TOPOLOGIES)
def test_ties_stay_then_advance(separators):
    """Of the best paths, the one that a walk back from the end takes by staying wherever it may."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        windows, symbols = int(torch.randint(1, 9, (), generator=generator)), 4
        target = torch.randint(0, GAP + 1, (1, symbols), generator=generator)
        energies = torch.randint(0, 2, (1, windows, GAP + 1), generator=generator).double()
        lattice = reference.build_lattice(target, torch.tensor([symbols]), gap_of(separators))
        states = reference.best_path(
            reference.path_matrix(energies, lattice.symbols), lattice, torch.tensor([windows])
        )
        expected = lattice.positions.gather(1, states.clamp(min=0)).where(states >= 0, -1)
        assert viterbi(
            energies, target, separators=separators, separator=GAP, infeasible="inf"
        ).path.equal(expected)


@pytest.mark.parametrize("kind", ["normal", "forbidden", 1e4])
@pytest.mark.parametrize("separators", TOPOLOGIES)
@given(st.data())
@settings(max_examples=170)
def test_kernel_against_reference_on_ragged_batches(separators, kind, data):
    """6 x 170 = 1,020 batches, some of whose samples are empty or do not fit."""
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 10**6)))
    batch, windows, symbols = (
        data.draw(st.integers(1, 5)),
        data.draw(st.integers(1, 30)),
        data.draw(st.integers(1, 12)),
    )
    dtype = data.draw(st.sampled_from([torch.float32, torch.float64]))
    beta = data.draw(st.sampled_from([0.1, 1.0, 10.0, math.inf]))
    energies = random_energies(generator, batch, windows, GAP + 1, kind, dtype)
    targets = torch.randint(0, GAP + 1, (batch, symbols), generator=generator)
    window_lengths = torch.randint(0, windows + 1, (batch,), generator=generator)
    target_lengths = torch.randint(0, symbols + 1, (batch,), generator=generator)
    inputs = (energies, targets, window_lengths, target_lengths)
    values, slopes, path = kernels.run_align(*inputs, gap_of(separators), beta, GRADIENT)
    lattice = reference.build_lattice(targets, target_lengths, gap_of(separators))
    expected = reference.align(energies.double(), lattice, window_lengths, beta, True)
    torch.testing.assert_close(values.double(), expected[0], rtol=1e-6, atol=1e-6)
    if kind != "forbidden" or math.isfinite(beta):
        torch.testing.assert_close(slopes.double(), expected[1], rtol=0, atol=1e-5)
    assert path.equal(expected[2])


@pytest.mark.parametrize("separators", TOPOLOGIES)
@pytest.mark.parametrize("beta", [1.0, math.inf])
def test_two_hundred_cases_against_the_graphs(separators, beta):
    generator = torch.Generator().manual_seed(1)
    for case in range(50):
        windows, symbols = int(torch.randint(6, 10, (), generator=generator)), 1 + case % 3
        target = torch.randint(0, GAP, (symbols,), generator=generator)
        energies = random_energies(generator, 1, windows, GAP + 1)
        graph = intersect(linear_graph(energies[0]), alignment_graph(target, separators, GAP))
        expected = viterbi_score(graph) if math.isinf(beta) else forward_score(graph, beta)
        found = free_energy(energies, target[None], beta=beta, separators=separators, separator=GAP)
        torch.testing.assert_close(found[0], expected)


@pytest.mark.parametrize("separators", TOPOLOGIES)
@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("kind", ["normal", 1e3, "forbidden"])
def test_neither_padding_nor_neighbours_nor_a_second_run_change_a_bit(separators, beta, kind):
    generator = torch.Generator().manual_seed(2)
    energies = random_energies(generator, 6, 60, GAP + 1, kind, torch.float32)
    targets = torch.randint(0, GAP + 1, (6, 9), generator=generator)
    window_lengths, target_lengths = (
        torch.tensor([60, 30, 41, 0, 59, 8]),
        torch.tensor([9, 8, 1, 0, 3, 9]),
    )
    options = (gap_of(separators), beta, GRADIENT)
    whole = kernels.run_align(energies, targets, window_lengths, target_lengths, *options)
    again = kernels.run_align(energies, targets, window_lengths, target_lengths, *options)
    outside = torch.arange(60) >= window_lengths[:, None]
    padded = energies.masked_fill(outside[..., None], math.nan)
    targets_padded = targets.masked_fill(torch.arange(9) >= target_lengths[:, None], -99)
    other = kernels.run_align(padded, targets_padded, window_lengths, target_lengths, *options)
    for first, second, third in zip(whole, again, other):
        assert first.equal(second)
        assert first.equal(third)
    assert (whole[1][outside] == 0).all()
    for b in range(6):
        rows, columns = max(int(window_lengths[b]), 1), max(int(target_lengths[b]), 1)
        inputs = energies[b : b + 1, :rows], targets[b : b + 1, :columns]
        alone = kernels.run_align(
            *inputs, window_lengths[b : b + 1], target_lengths[b : b + 1], *options
        )
        assert alone[0].equal(whole[0][b : b + 1])
        assert alone[1][0].equal(whole[1][b, :rows])


@pytest.mark.parametrize("separators", TOPOLOGIES)
@pytest.mark.parametrize("spread", [1.0, 1e2, 1e4])
def test_long_samples_neither_overflow_nor_underflow(separators, spread):
    generator = torch.Generator().manual_seed(3)
    energies = random_energies(generator, 1, 1500, GAP + 1, spread)
    target = torch.tensor([[0, GAP, 1, GAP, 1, GAP, 2, GAP] * 20])
    inputs = energies, target, torch.tensor([1500]), torch.tensor([160])
    values, slopes, _ = kernels.run_align(*inputs, gap_of(separators), 1.0, STRICT | GRADIENT)
    lattice = reference.build_lattice(target, inputs[3], gap_of(separators))
    expected = reference.align(energies, lattice, inputs[2], 1.0, True)
    torch.testing.assert_close(values, expected[0], rtol=1e-9, atol=0)
    torch.testing.assert_close(slopes, expected[1], rtol=0, atol=1e-7)
    torch.testing.assert_close(slopes.sum(2), torch.ones(1, 1500, dtype=torch.float64))


@pytest.mark.parametrize("separators", TOPOLOGIES)
def test_a_path_that_looks_hopeless_until_the_last_window_is_not_lost(separators):
    """The best prefix is forbidden at the end: what is left is e^-3000 of all that came before."""
    energies = torch.zeros(1, 40, GAP + 1, dtype=torch.float64)
    energies[0, :30, 1] = 100.0
    energies[0, 30, [0, 2, 3]] = math.inf
    energies[0, 2:30, 0] = 200.0
    target = torch.tensor([[0, 1, 2]])
    found = free_energy(energies, target, beta=1.0, separators=separators, separator=GAP)
    lattice = reference.build_lattice(target, torch.tensor([3]), gap_of(separators))
    matrix = reference.path_matrix(energies, lattice.symbols)
    torch.testing.assert_close(
        found, reference.free_energy(matrix, lattice, torch.tensor([40]), 1.0)
    )


@pytest.mark.parametrize("separators", TOPOLOGIES)
def test_empty_targets_and_no_windows(separators):
    energies = torch.arange(12.0).view(1, 3, 4).expand(4, 3, 4)
    targets = torch.zeros(4, 2, dtype=torch.long)
    lengths = torch.tensor([3, 0, 0, 2]), torch.tensor([0, 0, 1, 1])
    found = free_energy(
        energies, targets, *lengths, separators=separators, separator=GAP, infeasible="inf"
    )
    separators_only = 3.0 + 7 + 11 if separators == "optional" else math.inf
    assert found.tolist() == [separators_only, 0.0, math.inf, 4.0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_layouts_and_integer_types_do_not_matter(dtype):
    energies = torch.randn(7, 3, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    strided, targets = (
        energies.transpose(0, 1),
        torch.tensor([[0, 1], [2, 2], [1, 0]], dtype=torch.int16),
    )
    found = free_energy(
        strided, targets.T.contiguous().T, torch.tensor([7, 6, 5], dtype=torch.int32), beta=2.0
    )
    expected = free_energy(strided.contiguous(), targets.long(), torch.tensor([7, 6, 5]), beta=2.0)
    assert found.dtype == torch.promote_types(dtype, torch.float32)
    assert found.equal(expected)


def test_nothing_the_kernels_were_given_is_written_to():
    energies = torch.randn(2, 9, 4)
    copy, targets = energies.numpy().copy(), torch.tensor([[0, 1], [1, 1]])
    free_energy(energies, targets, beta=1.0)
    viterbi(energies, targets)
    assert np.array_equal(energies.numpy(), copy)
    assert targets.tolist() == [[0, 1], [1, 1]]


def test_kernels_stay_within_their_arrays():
    """As plain Python, where an index past the end is an error;
    compiled it would be a silent read of what is there."""
    cases = "enumeration or neither or hopeless or empty or noticed"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-W",
        "ignore::RuntimeWarning",
        "-p",
        "no:cacheprovider",
    ]
    result = subprocess.run(
        [*command, __file__, "-k", cases],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        encoding="utf-8",
    )
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("separators", TOPOLOGIES)
def test_what_is_cut_off_on_the_way_there_and_on_the_way_back_is_noticed(separators):
    steps = [(0, 9e3, 9e3), (0, 670, 9e3)] + [(225, 670, 0)] * 10
    steps += [(0, 670, 460)] * 2 + [(9e3, 0, 0), (9e3, 9e3, 0)]
    energies = torch.tensor([steps], dtype=torch.float64)
    energies = torch.nn.functional.pad(energies, (0, 1), value=math.inf)
    gap = 3 if separators == "optional" else None
    value = free_energy(energies, torch.tensor([[0, 1, 2]]), beta=1.0, separators=separators)
    lattice = reference.build_lattice(torch.tensor([[0, 1, 2]]), torch.tensor([3]), gap)
    matrix = reference.path_matrix(energies, lattice.symbols)
    expected = reference.free_energy(matrix, lattice, torch.tensor([16]), 1.0)
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)
    assert value < 10 * 225  # what is left without the path that is cut off twice


@pytest.mark.parametrize("seed", range(40))
def test_energies_that_come_and_go_by_hundreds(seed):
    """Levels at which a product of weights just falls below what a float holds, or just not."""
    numbers = torch.Generator().manual_seed(seed)
    levels = torch.tensor([0, 0, 0, 1, 100, 225, 340, 460, 600, 664, 670, 700, 9e3, math.inf])
    levels = levels.double()[torch.randperm(14, generator=numbers)[:7]]
    batch, windows = 200, 18
    runs = torch.randint(7, (batch, windows, 5), generator=numbers)
    for window in range(1, windows):  # a level lasts a while
        stays = torch.rand(batch, 5, generator=numbers) < 0.7
        runs[:, window] = runs[:, window - 1].where(stays, runs[:, window])
    energies = levels[runs]
    targets = torch.randint(5, (batch, 6), generator=numbers)
    lengths = torch.full((batch,), windows), torch.randint(1, 7, (batch,), generator=numbers)
    for gap in (None, 4):
        values, slopes, _ = kernels.run_align(energies, targets, *lengths, gap, 1.0, GRADIENT)
        lattice = reference.build_lattice(targets, lengths[1], gap)
        expected = reference.align(energies, lattice, lengths[0], 1.0, True)
        torch.testing.assert_close(values, expected[0], rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(slopes, expected[1], rtol=0, atol=1e-9)
        assert not slopes[expected[1] == 0].any()
