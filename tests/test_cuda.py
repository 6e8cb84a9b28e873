"""The Triton kernels against the reference: on a GPU where there is one,
else small cases in Triton's interpreter."""

import math

import pytest
import torch

pytest.importorskip("triton")

from ebm_ocr import free_energy, viterbi
from ebm_ocr.kernels import cuda, reference

# Triton 3.6 itself
pytestmark = pytest.mark.filterwarnings("ignore:Conversion of an array:DeprecationWarning")

GPU = torch.cuda.is_available()
DEVICE = "cuda" if GPU else "cpu"
GAP = 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["normal", "tied", "wide", "forbidden"])
@pytest.mark.parametrize("beta", [0.1, 1.0, math.inf])
@pytest.mark.parametrize("optional", [False, True])
def test_kernels_against_the_reference(optional, beta, kind, dtype):
    generator = torch.Generator().manual_seed(0)
    energies = torch.randn(5, 9, 4, generator=generator, dtype=dtype)
    if kind == "tied":
        energies = energies.round()
    elif kind == "wide":
        energies = energies * 1e4
    elif kind == "forbidden":
        energies = energies.masked_fill(
            torch.rand(energies.shape, generator=generator) < 0.2, math.inf
        )
        energies[3, 2] = math.inf
    targets = torch.randint(0, GAP + 1, (5, 4), generator=generator)
    window_lengths, target_lengths = torch.tensor([9, 6, 0, 7, 2]), torch.tensor([4, 2, 0, 3, 4])
    lattice = reference.build_lattice(targets, target_lengths, GAP if optional else None)
    expected = reference.align(energies, lattice, window_lengths, beta, True)
    lattice = reference.Lattice(*(part.to(DEVICE) for part in lattice[:5]), lattice.doors)
    found = cuda.align(energies.to(DEVICE), lattice, window_lengths.to(DEVICE), beta, True)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-9
    scale = 1e4 if kind == "wide" else 1.0
    torch.testing.assert_close(
        found[0].cpu() / scale, expected[0] / scale, rtol=tolerance, atol=tolerance
    )
    torch.testing.assert_close(
        found[1].cpu(), expected[1], rtol=0, atol=1e-4 if dtype == torch.float32 else 1e-8
    )
    assert found[2].cpu().equal(expected[2])


@pytest.mark.skipif(not GPU, reason="no GPU")
@pytest.mark.parametrize("separators", ["required", "optional"])
@pytest.mark.parametrize("beta", [1.0, math.inf])
def test_a_gpu_gets_what_the_cpu_gets(separators, beta):
    energies = torch.randn(16, 200, 27)
    letters = torch.randint(0, 26, (16, 20))
    targets = torch.stack([letters, torch.full_like(letters, 26)], 2).flatten(1)
    results = []
    for device in ("cpu", "cuda"):
        leaf = energies.clone().to(device).requires_grad_()
        value = free_energy(leaf, targets.to(device), beta=beta, separators=separators)
        value.sum().backward()
        path = viterbi(leaf.detach(), targets.to(device), separators=separators).path
        results.append((value.detach().cpu(), leaf.grad.cpu(), path.cpu()))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(results[0][1], results[1][1], rtol=0, atol=1e-4)
    # float32 on one side: near ties may differ
    assert (results[0][2] == results[1][2]).float().mean() > 0.99


def test_two_runs_are_equal_to_the_bit():
    energies = torch.randn(3, 8, 4, generator=torch.Generator().manual_seed(1)).to(DEVICE)
    targets, lengths = torch.tensor([[0, 3, 1]] * 3), torch.tensor([8, 7, 5])
    lattice = reference.build_lattice(targets.to(DEVICE), torch.tensor([3, 2, 3]).to(DEVICE), GAP)
    first, second = (cuda.align(energies, lattice, lengths.to(DEVICE), 1.0, True) for _ in range(2))
    assert first[0].equal(second[0])
    assert first[1].equal(second[1])
