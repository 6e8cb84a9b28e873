"""The engine inside of what people build around it: compile, vmap, autocast, workers,
threads, second derivatives."""

import math
import multiprocessing
import threading
import warnings

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.utils.data import DataLoader, Dataset

from ebm_ocr import free_energy, viterbi
from ebm_ocr.kernels import GRADIENT, STRICT

TOPOLOGIES = ["required", "optional"]
TARGETS = torch.tensor([[0, 3, 1], [2, 3, 2]])
LENGTHS = torch.tensor([8, 6]), torch.tensor([3, 2])


def energies(dtype=torch.float64, seed=0):
    return torch.randn(2, 8, 4, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def scores(values, beta=1.0, separators="required"):
    return free_energy(values, TARGETS, *LENGTHS, beta, separators, 3)


@pytest.mark.parametrize("separators", TOPOLOGIES)
@pytest.mark.parametrize("beta", [1.0, math.inf])
# torch's own, inside of the check
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")
def test_torch_accepts_the_operator(beta, separators):
    gap = 3 if separators == "optional" else None
    inputs = energies().requires_grad_(), TARGETS, *LENGTHS, gap, beta, STRICT | GRADIENT
    results = torch.library.opcheck(torch.ops.ebm_ocr.align.default, inputs, raise_exception=True)
    assert set(results.values()) == {"SUCCESS"}


@pytest.mark.parametrize("separators", TOPOLOGIES)
@pytest.mark.parametrize("beta", [1.0, math.inf])
def test_compiled_whole_with_the_same_values_and_gradients(beta, separators):
    def loss(values):
        path = viterbi(values.detach(), TARGETS, *LENGTHS, separators, 3).path
        return scores(2 * values, beta, separators).sum(), path

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    results = []
    for function in (loss, compiled):
        leaf = energies().requires_grad_()
        value, path = function(leaf)
        value.backward()
        results.append((value.detach(), leaf.grad, path))
    for eager, other in zip(*results):
        assert eager.equal(other)


@pytest.mark.parametrize("beta", [1.0, math.inf])
def test_vmap_is_a_loop(beta):
    many = torch.stack([energies(seed=seed) for seed in range(3)])
    mapped = torch.func.vmap(lambda values: scores(values, beta))(many)
    assert mapped.equal(torch.stack([scores(values, beta) for values in many]))
    paths = torch.func.vmap(lambda values: viterbi(values, TARGETS, *LENGTHS).path)(many)
    assert paths.equal(torch.stack([viterbi(values, TARGETS, *LENGTHS).path for values in many]))


def test_vmap_over_targets_alone():
    values, targets = energies(), torch.stack([TARGETS, TARGETS.flip(1)])
    mapped = torch.func.vmap(lambda t: free_energy(values, t, beta=1.0))(targets)
    assert mapped.equal(torch.stack([free_energy(values, t, beta=1.0) for t in targets]))


@pytest.mark.parametrize("beta", [1.0, math.inf])
@pytest.mark.parametrize("separators", TOPOLOGIES)
def test_vmap_over_the_sum_over_all_words_is_a_loop(separators, beta):
    def total(values):
        return free_energy(values, beta=beta, separators=separators, separator=3).sum()

    many = torch.stack([energies(), energies(seed=1)])
    for function in (total, torch.func.grad(total)):
        expected = torch.stack([function(values) for values in many])
        assert torch.func.vmap(function)(many).equal(expected)


@pytest.mark.parametrize("separators", TOPOLOGIES)
# torch's own, inside of the compiler
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")
def test_sum_over_all_words_compiles_and_differentiates(separators):
    def total(values):
        return free_energy(values, beta=1.0, separators=separators, separator=3).sum()

    results = []
    for function in (total, torch.compile(total, fullgraph=True, backend="aot_eager")):
        leaf = energies().requires_grad_()
        value = function(leaf)
        value.backward()
        results.append((value.detach(), leaf.grad))
    for eager, other in zip(*results):
        torch.testing.assert_close(eager, other)


@pytest.mark.parametrize("separators", TOPOLOGIES)
def test_second_derivatives_are_those_of_finite_differences(separators):
    leaf = energies().requires_grad_()
    assert gradcheck(lambda values: scores(values, 2.0, separators), leaf)
    assert gradgradcheck(lambda values: scores(values, 2.0, separators), leaf)


def test_autocast_adds_up_in_float32():
    layer = torch.nn.Linear(4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        narrow = layer(energies(torch.float32))
        loss = scores(narrow)
    assert narrow.dtype == torch.bfloat16
    assert loss.dtype == torch.float32
    loss.sum().backward()
    assert layer.weight.grad.isfinite().all()
    assert layer.weight.grad.abs().sum() > 0


def test_no_gradient_is_computed_when_none_is_wanted():
    leaf = energies().requires_grad_()
    with torch.no_grad():
        assert not scores(leaf).requires_grad
    assert not scores(leaf.detach()).requires_grad
    inputs = (leaf.detach(), TARGETS, *LENGTHS, None, 1.0, STRICT)
    assert torch.ops.ebm_ocr.align(*inputs)[1].numel() == 0


def test_several_threads_get_what_one_gets():
    many = [energies(seed=seed) for seed in range(40)]
    expected = [scores(values) for values in many]
    found = [None] * len(many)

    def work(start):
        for index in range(start, len(many), 4):
            found[index] = scores(many[index])

    threads = [threading.Thread(target=work, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(*pair) for pair in zip(expected, found))


class Scores(Dataset):
    """Computes with the engine where it is read."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return scores(energies(seed=index))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_loader_workers_and_forks_get_what_the_parent_gets(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot {method}")
    expected = torch.stack([Scores()[index] for index in range(4)])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
        loader = DataLoader(Scores(), batch_size=2, num_workers=2, multiprocessing_context=method)
        assert torch.cat(list(loader)).equal(expected)
