"""The engine's kinds of faults that public bug reports of comparable tools showed,
held for all functions at once.

Right is the float64 recursion on the rounded input. Each test is a kind; its rows run over the
public functions, both topologies, the dtypes, levels and sizes that a dtype holds, and the ways in
which torch looks at a function.
"""

import copy
import itertools
import math
import os
import pickle
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.autograd import forward_ad
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, linearize, vmap
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.checkpoint import checkpoint

import ebm_ocr
from ebm_ocr import (
    Answers,
    Graph,
    PathEnergyLoss,
    best_word,
    build_ce_matrix,
    build_path_matrix,
    cross_entropy,
    exact_decode,
    find_free_energy,
    find_path,
    forward_loss,
    forward_score,
    free_energy,
    greedy_decode,
    hinge_loss,
    indices_to_str,
    intersect,
    lexicon_energies,
    most_offending,
    n_best,
    normalise,
    path_cross_entropy,
    path_energy,
    posterior,
    spans,
    spell,
    viterbi,
    viterbi_score,
    word_energy,
    word_probability,
)

# torch's own, when it loads forward mode or its compiler; the category differs by version
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit")

TOPOLOGIES = ["required", "optional"]
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
TARGETS = torch.tensor([[0, 3, 1, 3], [2, 3, 2, 3]])
LENGTHS = torch.tensor([9, 7]), torch.tensor([4, 3])
PATH = [0, 0, 1, 2, 2, 2, 3, 3, 3]


def draw(dtype=torch.float64, level=0.0, size=1.0, seed=0, shape=(2, 9, 4)):
    """Energies that are rounded to a grid, so that adding a level that
    is a power of two is exact."""
    plain = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (size * plain + level).to(dtype)


def targeted(function):
    return lambda energies, separators: function(energies, TARGETS, *LENGTHS, separators=separators)


def loss(**options):
    return lambda energies, separators: PathEnergyLoss(separators=separators, **options)(
        energies, TARGETS, *LENGTHS
    )


DIFFERENTIABLE = {
    "viterbi": targeted(lambda *a, **o: viterbi(*a, **o).free_energy),
    "free energy": targeted(lambda *a, **o: free_energy(*a, beta=0.7, **o)),
    "best energy": targeted(free_energy),
    "all words": lambda e, separators: free_energy(
        e, None, LENGTHS[0], beta=0.7, separators=separators
    ),
    "lowest of all words": lambda e, separators: free_energy(
        e, None, LENGTHS[0], separators=separators
    ),
    "posterior": targeted(posterior),
    "forward loss": targeted(forward_loss),
    "loss": loss(beta=1.0, reduction="none"),
    "mean loss": loss(beta=1.0, zero_infinity=True),
    "word energy": lambda e, separators: word_energy(e, ["ab", "cc"], LENGTHS[0], 0.7, separators),
    "word probability": lambda e, separators: word_probability(
        e, ["ab", "cc"], LENGTHS[0], 0.7, separators
    ),
    "normalise": lambda e, separators: normalise(e),
    "cross entropy": lambda e, separators: cross_entropy(e[:, :4], TARGETS, reduction="none"),
    "path matrix": lambda e, separators: build_path_matrix(e, TARGETS),
    "ce matrix": lambda e, separators: build_ce_matrix(e, TARGETS),
    "path cross entropy": lambda e, separators: path_cross_entropy(
        e, torch.tensor([PATH, [*PATH[1:], -1]])
    ),
}
OF_ONE_MATRIX = {
    "path energy": lambda e, separators: path_energy(e[0], PATH),
    "find_path": lambda e, separators: find_path(e[0]).free_energy,
    "find_free_energy": lambda e, separators: find_free_energy(e[0], 0.7).free_energy,
    "cells": lambda e, separators: path_cross_entropy(e[0], list(enumerate(PATH))),
}
OTHERS = {
    "path": targeted(lambda *a, **o: viterbi(*a, **o).path),
    "find_path's points": lambda e, separators: torch.tensor(find_path(e[0]).points),
    "find_path's table": lambda e, separators: find_path(e[0]).dp,
    "hard posterior": targeted(lambda *a, **o: posterior(*a, beta=math.inf, **o)),
    "spans": lambda e, separators: torch.tensor(
        [s for part in spans(viterbi(e, TARGETS, *LENGTHS, separators)) for s in part],
        dtype=torch.float64,
    ),
    "lexicon": lambda e, separators: lexicon_energies(
        e, ["ab", "cc", "a"], LENGTHS[0], 0.7, separators
    ),
    "n best": lambda e, separators: torch.tensor(
        [[r.energy for r in found] for found in n_best(e, 3, LENGTHS[0], separators)],
        dtype=torch.float64,
    ),
}
SMOOTH = [
    n
    for n in DIFFERENTIABLE
    if n not in ("viterbi", "best energy", "lowest of all words", "path matrix")
]
EVERY = DIFFERENTIABLE | OF_ONE_MATRIX | OTHERS
in_both = pytest.mark.parametrize("separators", TOPOLOGIES)
for_each = pytest.mark.parametrize("name", DIFFERENTIABLE)


def rows(dtype):
    """Level and size of the energies: near 0, far from it, spread wide,
    and as large as the dtype holds."""
    largest = torch.finfo(dtype).max
    far = {
        torch.float16: 2.0**10,
        torch.bfloat16: 2.0**8,
        torch.float32: 2.0**17,
        torch.float64: 2.0**30,
    }[dtype]
    return [
        (0.0, 1.0),
        (far, 1.0),
        (-far, 1.0),
        (0.0, 1e3),
        (0.0, largest / 8),
        (largest / 2, largest / 32),
    ]


def close(found, expected, dtype):
    """Equal but for the rounding of the result, and NaN nowhere."""
    assert not found.isnan().any()
    assert found.dtype == torch.promote_types(dtype, torch.float32) or not dtype.is_floating_point
    eps = torch.finfo(found.dtype).eps
    torch.testing.assert_close(found, expected.to(found.dtype), rtol=4 * eps, atol=4 * eps)


@pytest.mark.fault(
    "sums as narrow as their input", "pytorch #17798, speechbrain #1803, madmom #100"
)
@pytest.mark.parametrize(("dtype", "row"), [(d, i) for d in DTYPES[:3] for i in range(6)])
@in_both
@pytest.mark.parametrize("name", EVERY)
def test_values_are_those_of_float64_on_the_rounded_input(name, separators, dtype, row):
    energies = draw(dtype, *rows(dtype)[row])
    found, expected = (EVERY[name](e, separators) for e in (energies, energies.double()))
    if name == "path matrix":  # of single energies, in their own type
        assert found.equal(expected.to(dtype))
    elif found.is_floating_point() and name not in ("spans", "n best"):
        close(found, expected, dtype)
    else:
        assert found.equal(expected)


@pytest.mark.fault("gradients that a narrow sum lost", "speechbrain #1803")
@pytest.mark.parametrize(("dtype", "row"), [(d, i) for d in DTYPES[:3] for i in range(6)])
@in_both
@pytest.mark.parametrize(
    "name", ["viterbi", "free energy", "all words", "forward loss", "loss", "mean loss"]
)
def test_gradients_are_those_of_float64_on_the_rounded_input(name, separators, dtype, row):
    slopes = []
    for kind in (dtype, torch.float64):
        leaf = draw(dtype, *rows(dtype)[row]).to(kind).requires_grad_()
        slopes += torch.autograd.grad(DIFFERENTIABLE[name](leaf, separators).sum(), leaf)
    assert slopes[0].abs().sum() > 0.9
    eps = 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(slopes[0], slopes[1].to(dtype), rtol=eps, atol=eps)


@pytest.mark.fault("what depends on the level of the energies", "float32 far from 0")
@pytest.mark.parametrize("level", [2.0**20, -(2.0**20), 2.0**40])
@in_both
@pytest.mark.parametrize(
    "name",
    [
        "posterior",
        "hard posterior",
        "forward loss",
        "word probability",
        "path",
        "cross entropy",
        "normalise",
    ],
)
def test_a_level_changes_no_probability_and_no_path(name, separators, level):
    energies = (draw() * 2**10).round() / 2**10  # so that the level is added without rounding
    assert (
        EVERY[name](energies + level, separators).sub(EVERY[name](energies, separators)).abs().max()
        < 1e-9
    )
    plain, lifted = (
        spans(viterbi(e, TARGETS, *LENGTHS, separators)) for e in (energies, energies + level)
    )
    for first, second in zip(itertools.chain(*plain), itertools.chain(*lifted)):
        assert first[:3] == second[:3]
        assert first.confidence == pytest.approx(second.confidence, abs=1e-12)


@pytest.mark.fault("float32 far from 0 over many windows", "engine list")
def test_long_samples_far_from_zero():
    energies, target = draw(torch.float32, 1e5, shape=(1, 200, 27)), torch.tensor([[0, 1]])
    torch.testing.assert_close(
        posterior(energies, target), posterior(energies.double(), target).float()
    )
    for separators in TOPOLOGIES:
        long = draw(torch.float32, 1e4, shape=(1, 2000, 27))
        for beta in (1.0, math.inf):
            found = free_energy(long, beta=beta, separators=separators)
            assert found.equal(free_energy(long.double(), beta=beta, separators=separators).float())


@pytest.mark.fault("another path than the lowest in narrow floats", "engine list")
@pytest.mark.parametrize(
    ("dtype", "windows", "symbols", "level"),
    [(torch.bfloat16, 200, 20, 10), (torch.float16, 200, 20, 10), (torch.float32, 5000, 20, 1000)],
)
def test_find_path_finds_the_lowest_path_of_narrow_floats(dtype, windows, symbols, level):
    matrix = draw(dtype, level, shape=(windows, symbols))
    found, expected = find_path(matrix), find_path(matrix.double())
    assert found.points == expected.points
    assert found.free_energy == expected.free_energy.float()
    assert path_energy(matrix, [0] * windows) == 2**30


@pytest.mark.fault("half precision overflows before the test for inf", "speechbrain #1803")
@pytest.mark.parametrize("flag", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sums_beyond_half_precision(dtype, flag):
    leaf = (
        (70 + torch.rand(1, 1000, 5, generator=torch.Generator().manual_seed(0)))
        .to(dtype)
        .requires_grad_()
    )
    value = PathEnergyLoss(1.0, zero_infinity=flag)(leaf, torch.tensor([[0, 1]]))
    value.backward()
    expected = free_energy(leaf.double(), torch.tensor([[0, 1]]), beta=1.0)
    assert value.item() == pytest.approx(expected.item(), rel=1e-7)
    assert 65_504 < value < 80_000
    assert leaf.grad.double().sum() == pytest.approx(1000, rel=0.01)
    wide = (1500 + torch.rand(1, 100, 4)).half().requires_grad_()
    PathEnergyLoss(1.0, "optional", zero_infinity=flag, separator=0)(
        wide, torch.tensor([[1, 2]])
    ).backward()
    assert wide.grad.sum() == pytest.approx(100, rel=0.01)


@pytest.mark.fault("a float32 sum that overflows is not impossible", "sibling")
@in_both
def test_sums_beyond_float32_keep_their_gradient(separators):
    leaf = torch.full((1, 9, 4), 3e38, requires_grad=True)
    value = PathEnergyLoss(separators=separators, zero_infinity=True)(leaf, torch.tensor([[0, 1]]))
    value.backward()
    assert value == math.inf
    assert leaf.grad.sum() == 9
    value = free_energy(leaf, torch.tensor([[0, 1]]), separators=separators, dtype=torch.float64)
    assert value.item() == pytest.approx(2.7e39)


@pytest.mark.fault("derivatives of 0 in forward mode", "pytorch #10223")
@in_both
@for_each
def test_forward_mode_is_reverse_mode(name, separators):
    energies, direction = draw(), draw(seed=1)
    weights = draw(seed=2, shape=DIFFERENTIABLE[name](energies, separators).shape)

    def function(e):
        return (DIFFERENTIABLE[name](e, separators) * weights).sum()

    leaf = energies.clone().requires_grad_()
    (slopes,) = torch.autograd.grad(function(leaf), leaf)
    expected = (slopes * direction).sum()
    assert expected != 0
    torch.testing.assert_close(jvp(function, (energies,), (direction,))[1], expected)
    torch.testing.assert_close(grad(function)(energies), slopes)
    torch.testing.assert_close(jacfwd(function)(energies), slopes)
    torch.testing.assert_close(jacrev(function)(energies), slopes)
    with forward_ad.dual_level():
        dual = function(forward_ad.make_dual(energies, direction))
        torch.testing.assert_close(forward_ad.unpack_dual(dual).tangent, expected)


@pytest.mark.fault("second derivatives", "pytorch #168393, functorch #207")
@pytest.mark.parametrize(
    "name", ["free energy", "all words", "posterior", "forward loss", "word probability"]
)
@in_both
def test_second_derivatives_in_all_modes(name, separators):
    energies = draw(shape=(2, 9, 4))
    weights = draw(seed=2, shape=DIFFERENTIABLE[name](energies, separators).shape)

    def function(row):
        whole = torch.cat([energies[:, :4], row.view(2, 1, 4), energies[:, 5:]], 1)
        return (DIFFERENTIABLE[name](whole, separators) * weights).sum()

    start = energies[:, 4].reshape(-1)
    assert torch.autograd.gradgradcheck(function, start.clone().requires_grad_())
    expected = torch.autograd.functional.hessian(function, start)
    for found in (
        hessian(function),
        jacfwd(jacfwd(function)),
        jacrev(jacrev(function)),
        jacrev(jacfwd(function)),
    ):
        torch.testing.assert_close(found(start), expected)


@pytest.mark.fault("vmap, alone, of a gradient, and then backward", "pytorch #102720, #141834")
@in_both
@for_each
def test_vmap_is_a_loop(name, separators):
    def function(e):
        return DIFFERENTIABLE[name](e, separators)

    def total(e):
        return function(e).square().sum()

    many = torch.stack([draw(seed=seed) for seed in range(3)])
    torch.testing.assert_close(vmap(function)(many), torch.stack([function(e) for e in many]))
    slopes = torch.stack([grad(total)(e) for e in many])
    torch.testing.assert_close(vmap(grad(total))(many), slopes)
    leaf = many.clone().requires_grad_()
    vmap(total)(leaf).sum().backward()
    torch.testing.assert_close(leaf.grad, slopes)
    turned = many.movedim(0, 2)
    torch.testing.assert_close(vmap(total, in_dims=2)(turned), vmap(total)(many))


@pytest.mark.fault("vmap over targets and lengths", "sibling")
@in_both
def test_vmap_over_everything_but_the_energies(separators):
    energies, shorter = draw(), torch.stack([LENGTHS[0], LENGTHS[0] - 1])
    for function in (
        lambda t, n: free_energy(energies, t, n, beta=1.0, separators=separators),
        lambda t, n: posterior(energies, t, n, separators=separators),
        lambda t, n: viterbi(energies, t, n, separators=separators).path,
    ):
        targets = torch.stack([TARGETS, TARGETS.flip(1)])
        expected = torch.stack([function(*both) for both in zip(targets, shorter)])
        assert vmap(function)(targets, shorter).equal(expected)


@pytest.mark.fault("a traced function that answers with its example's values", "pytorch #21774")
@in_both
@pytest.mark.parametrize("name", [*DIFFERENTIABLE, "path"])
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:`torch.jit:FutureWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_trace_computes_with_what_it_is_given(name, separators):
    function = (DIFFERENTIABLE | OTHERS)[name]
    traced = torch.jit.trace(lambda e: function(e, separators), (draw(),), check_trace=False)
    other = draw(seed=3)
    torch.testing.assert_close(traced(other), function(other, separators))


@pytest.mark.fault("graph breaks and wrong values when compiled", "engine list, faults-2 #143222")
@in_both
@for_each
# torch's own, inside of the compiler
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")
def test_compiled_in_one_graph(name, separators):
    torch.compiler.reset()

    def function(e):
        return DIFFERENTIABLE[name](2 * e, separators)

    results = []
    for f in (function, torch.compile(function, fullgraph=True, backend="aot_eager")):
        leaf = draw(torch.float32).requires_grad_(name != "posterior")
        value = f(leaf)
        if leaf.requires_grad:
            value.square().sum().backward()
        results.append((value.detach(), leaf.grad))
    torch.testing.assert_close(results[0], results[1])


@pytest.mark.fault("derivatives of 0 in forward mode", "sibling: within torch.compile")
@pytest.mark.parametrize("name", ["free energy", "all words"])
def test_transforms_within_a_compiled_function(name):
    def total(e):
        return DIFFERENTIABLE[name](e, "required").square().sum()

    def pushed(e):
        return jvp(total, (e,), (torch.ones_like(e),))[1]

    for function in (grad(total), pushed, lambda e: vmap(total)(e[None])):
        torch.compiler.reset()
        compiled = torch.compile(function, backend="aot_eager")  # may break where it cannot follow
        refusal = "it must override the setup_context"  # of older compilers
        try:
            found = compiled(draw())
        except torch._dynamo.exc.TorchRuntimeError as error:
            if torch.__version__ >= (2, 15) or refusal not in str(error):
                raise
        else:
            torch.testing.assert_close(found, function(draw()))


@pytest.mark.fault("a derivative that nobody may ask for is silent", "sibling")
def test_a_compiled_posterior_has_no_derivative_and_says_so():
    torch.compiler.reset()
    compiled = torch.compile(lambda e: posterior(2 * e, TARGETS, *LENGTHS), backend="aot_eager")
    assert compiled(draw()).equal(posterior(2 * draw(), TARGETS, *LENGTHS))
    with pytest.raises(RuntimeError, match="no autograd formula was registered"):
        compiled(draw().requires_grad_()).square().sum().backward()


@pytest.mark.fault("compiled by inductor", "engine list")
@pytest.mark.filterwarnings("ignore")  # of a compiler that is not ours
def test_compiled_by_inductor():
    def function(e):
        return free_energy(2 * e, TARGETS, *LENGTHS, beta=1.0) + posterior(
            e.detach(), TARGETS, *LENGTHS
        ).sum((1, 2))

    leaf = draw(torch.float32).requires_grad_()
    value = torch.compile(function, fullgraph=True)(leaf)
    value.sum().backward()
    torch.testing.assert_close(value, function(leaf))
    assert leaf.grad.sum() == pytest.approx(2 * (9 + 7), rel=1e-5)


@pytest.mark.fault("shapes without values", "faults-2 #143222, engine list")
@in_both
@for_each
def test_meta_and_fake_tensors_have_the_right_shapes(name, separators):
    from torch._subclasses import FakeTensorMode

    expected = DIFFERENTIABLE[name](draw(torch.float32), separators)
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode:
        found = DIFFERENTIABLE[name](mode.from_tensor(draw(torch.float32)), separators)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)


@pytest.mark.fault("shapes without values", "engine list")
@in_both
def test_meta_tensors(separators):
    meta = [part.to("meta") for part in (draw(), TARGETS, *LENGTHS)]
    assert free_energy(*meta, beta=1.0, separators=separators).is_meta
    assert viterbi(*meta, separators=separators).path.shape == (2, 9)
    assert posterior(*meta, separators=separators).shape == (2, 9, 4)
    assert free_energy(meta[0], None, meta[2], separators=separators).shape == (2,)


@pytest.mark.fault("a derivative that nobody may ask for is silent", "issue")
@in_both
def test_a_derivative_with_respect_to_beta_or_wildcard_is_refused(separators):
    asked = torch.tensor(1.0, requires_grad=True)

    inputs = draw(), TARGETS, *LENGTHS

    def by_beta(beta):
        return free_energy(*inputs, beta, separators).sum()

    def by_wildcard(wildcard):
        return free_energy(*inputs, 1.0, separators, wildcard=wildcard).sum()

    for function in (by_beta, by_wildcard):
        for call in (
            lambda f=function: f(asked),
            lambda f=function: grad(f)(asked.detach()),
            lambda f=function: jvp(f, (asked.detach(),), (asked.detach(),)),
            lambda f=function: vmap(f)(torch.ones(2)),
        ):
            with pytest.raises(TypeError, match="asks for a gradient"):
                call()
        with forward_ad.dual_level(), pytest.raises(TypeError, match="asks for a gradient"):
            function(forward_ad.make_dual(asked.detach(), torch.ones(())))
        assert function(asked.detach()) == function(1) == function(np.float32(1))


@pytest.mark.fault("a gradient inside of inference_mode", "Lightning #19910")
@in_both
@pytest.mark.parametrize("name", EVERY)
def test_inference_mode(name, separators):
    expected = EVERY[name](draw(), separators)
    with torch.inference_mode():
        assert EVERY[name](draw(), separators).equal(expected)


@pytest.mark.fault("beta so large that its products leave the range", "engine list")
@pytest.mark.parametrize("beta", [1e15, 1e20, 1e30, 1e300])
@in_both
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_huge_beta_is_the_best_path(beta, separators, dtype):
    energies = draw(dtype).requires_grad_()
    for targets in (TARGETS, None):
        lengths = LENGTHS if targets is not None else LENGTHS[:1]
        found, best = (
            free_energy(energies, targets, *lengths, beta=b, separators=separators)
            for b in (beta, math.inf)
        )
        torch.testing.assert_close(found, best, rtol=1e-6, atol=1e-6)
        slopes = [torch.autograd.grad(value.sum(), energies)[0] for value in (found, best)]
        torch.testing.assert_close(*slopes)
    shares = posterior(energies, TARGETS, *LENGTHS, beta, separators)
    torch.testing.assert_close(shares, posterior(energies, TARGETS, *LENGTHS, math.inf, separators))


@pytest.mark.fault("a huge finite mask", "engine list")
@pytest.mark.parametrize("mask", [1e10, 1e18, 1e30, 1e37])
@in_both
def test_huge_finite_masks_that_no_path_avoids(mask, separators):
    energies = torch.zeros(1, 6, 4, dtype=torch.float64)
    energies[0, 2] = mask
    energies[0, 3, 1:] = mask
    leaf = energies.requires_grad_()
    for beta in (1e-3, 1.0, 50.0, math.inf):
        value = free_energy(leaf, torch.tensor([[0, 1]]), beta=beta, separators=separators)
        assert value.item() == pytest.approx(mask, rel=1e-6)
        (slopes,) = torch.autograd.grad(value, leaf)
        torch.testing.assert_close(slopes.sum(2), torch.ones(1, 6, dtype=torch.float64))
        assert slopes[0, 3, 0] == pytest.approx(1)


@pytest.mark.fault("tiny beta", "sibling")
@in_both
def test_tiny_beta_counts_paths(separators):
    for beta in (1e-3, 1e-9, 1e-100):
        value = free_energy(draw(size=0.0), TARGETS, *LENGTHS, beta, separators)
        count = free_energy(draw(size=0.0), TARGETS, *LENGTHS, 1.0, separators)
        torch.testing.assert_close(value * beta, count, rtol=1e-9, atol=0)


@pytest.mark.fault("a class one too far is taken for the wildcard", "ctc-forced-aligner #75")
@in_both
def test_classes_beyond_the_energies_are_no_wildcards(separators):
    for function in (viterbi, free_energy, posterior):
        for target in ([0, 4, 1], [0, 5, 1], [0, -2, 1]):
            with pytest.raises(ValueError, match="below 4"):
                function(draw()[:1], torch.tensor([target]), separators=separators, wildcard=1.0)
    with pytest.raises(ValueError, match="expected targets"):
        vmap(lambda e: free_energy(e, torch.tensor([[0, 4, 1]]), wildcard=1.0))(draw()[:, None])


@pytest.mark.fault("neighbouring wildcards force a separator", "engine list")
def test_neighbouring_wildcards_need_no_separator():
    energies = torch.full((1, 2, 4), 2.0)
    found = free_energy(energies, torch.tensor([[-1, -1]]), separators="optional", wildcard=1.0)
    assert found == 2
    three = viterbi(
        energies[:, :1].expand(-1, 3, -1),
        torch.tensor([[-1, -1, -1]]),
        None,
        None,
        "optional",
        wildcard=1,
    )
    assert three.path.tolist() == [[0, 1, 2]]
    assert [span.symbol for span in spans(three)[0]] == [-1, -1, -1]


@pytest.mark.fault("another blank than the last of 27", "ctc_loss users")
@pytest.mark.parametrize("blank", [0, 5, 39, None])
def test_losses_take_any_blank(blank):
    energies, place = draw(shape=(1, 12, 40)), 39 if blank is None else blank
    targets = torch.tensor([[7, 7, 26, 31]])
    expected = torch.nn.functional.ctc_loss(
        (-energies).log_softmax(2).transpose(0, 1),
        targets,
        (12,),
        (4,),
        blank=place,
        reduction="sum",
    )
    assert forward_loss(energies, targets, separator=blank).item() == pytest.approx(expected.item())
    module = PathEnergyLoss(1.0, "optional", separator=blank)
    assert module(normalise(energies), targets).item() == pytest.approx(expected.item())
    assert f"separator={blank}" in repr(module)


@pytest.mark.fault("a loss below 0", "optax #1771")
@in_both
def test_the_forward_loss_is_never_below_zero(separators):
    energies = torch.full((1, 2, 27), 60.0)
    energies[..., 26], energies[..., 0] = 0, -17
    value = forward_loss(energies, torch.tensor([[0]]), separators="optional")
    assert value.item() == pytest.approx(math.log1p(math.exp(-34)), rel=1e-2)
    sure = torch.full((64, 9, 4), 40.0).scatter(
        2, torch.tensor(PATH).clamp(max=1)[None, :, None].expand(64, -1, 1), 0
    )
    assert (
        forward_loss(
            sure + torch.rand(64, 9, 1), TARGETS[:1, :2].expand(64, -1), separators=separators
        )
        >= 0
    ).all()


@pytest.mark.fault("a window in which every class is forbidden", "madmom #100")
@in_both
def test_a_forbidden_window_costs_inf_and_is_never_nan(separators):
    energies = draw()
    energies[0, 3] = math.inf
    leaf = energies.requires_grad_()
    assert normalise(leaf)[0, 3].tolist() == [math.inf] * 4
    losses = forward_loss(leaf, TARGETS, *LENGTHS, separators)
    assert losses[0] == math.inf
    path = viterbi(leaf, TARGETS, *LENGTHS, separators)
    on_path = path.path.where(path.path != -1, 0)
    assert path_cross_entropy(build_ce_matrix(leaf, TARGETS), on_path)[0] == math.inf
    assert cross_entropy(leaf[0], TARGETS.new_zeros(9), reduction="none").isinf().tolist() == [
        i == 3 for i in range(9)
    ]
    assert all(0 <= span.confidence <= 1 for part in spans(path) for span in part)
    assert (posterior(leaf, TARGETS, *LENGTHS, separators=separators)[0] == 0).all()
    for value in (
        losses,
        path.free_energy,
        normalise(leaf),
        cross_entropy(leaf[0], TARGETS.new_zeros(9)),
    ):
        (slopes,) = torch.autograd.grad(value[value < math.inf].sum(), leaf, retain_graph=True)
        assert slopes.isfinite().all()


@pytest.mark.fault("padding that is no class", "engine list")
def test_spans_mind_no_padding():
    aligned = viterbi(draw()[:, :8], torch.tensor([[0, 1], [99, 99]]), None, [2, 0], "optional")
    first, second = spans(aligned)
    assert [span.symbol for span in first] == [0, 1]
    assert second == []


@pytest.mark.fault("sums of spans in float32", "peers 3")
def test_spans_sum_in_float64():
    (found,) = spans(
        viterbi(torch.full((1, 2, 3), 2.0**40 + 0.25, dtype=torch.float64), torch.tensor([[0]]))
    )
    assert found[0].energy == 2.0**41 + 0.5


@pytest.mark.fault("what was aligned is changed later", "engine list")
def test_spans_of_changed_energies_are_refused():
    energies = draw()
    aligned = viterbi(energies, TARGETS, *LENGTHS)
    assert len(spans(aligned)) == 2
    energies.add_(1)
    with pytest.raises(ValueError, match="changed in place"):
        spans(aligned)


@pytest.mark.fault("NaN beyond a sample's end", "engine list")
@in_both
def test_what_lies_beyond_a_samples_end_never_matters(separators):
    energies = draw(shape=(2, 9, 27))
    outside = (torch.arange(9) >= torch.tensor([9, 6])[:, None])[..., None]
    for filling in (math.nan, -math.inf, math.inf):
        filled = energies.masked_fill(outside, filling)
        for function in (greedy_decode, lambda e, n: exact_decode(e, n, separators)):
            assert function(filled, [9, 6]) == function(energies, [9, 6])
        for function in (
            lambda e: free_energy(e, None, [9, 6], separators=separators),
            lambda e: posterior(e, TARGETS, [9, 6], separators=separators),
            lambda e: lexicon_energies(e, ["ab", "c"], [9, 6], 1.0, separators),
        ):
            assert function(filled).equal(function(energies))


@pytest.mark.fault("targets without a column", "engine list")
@in_both
def test_targets_of_no_symbols(separators):
    nothing = torch.zeros(2, 0, dtype=torch.long)
    if separators == "required":
        with pytest.raises(ValueError, match="needs 0"):
            free_energy(draw(), nothing)
        assert free_energy(draw(), nothing, infeasible="inf").tolist() == [math.inf] * 2
        return
    expected = free_energy(
        draw(), torch.zeros(2, 1, dtype=torch.long), None, [0, 0], 1.0, separators
    )
    assert free_energy(draw(), nothing, beta=1.0, separators=separators).equal(expected)
    assert posterior(draw(), nothing, separators=separators).shape == (2, 9, 0)
    assert spans(viterbi(draw(), nothing, separators=separators)) == [[], []]


@pytest.mark.fault("words asked by label", "sentence-transformers #3371")
def test_words_are_taken_in_their_order():
    class Series:
        """In order when iterated, by label when indexed: as a sorted pandas Series."""

        def __init__(self, words):
            self.words = words

        def __iter__(self):
            return iter(self.words)

        def __len__(self):
            return len(self.words)

        def __getitem__(self, label):
            return self.words[-1 - label]

        def __array__(self, dtype=None, copy=None):
            return np.array(self.words)

    energies, words = draw(shape=(2, 9, 27)), ["ab", "c"]
    for given in (Series(words), tuple(words), np.array(words), (word for word in words)):
        assert lexicon_energies(energies, given).equal(lexicon_energies(energies, words))
    assert word_energy(energies, Series(words)).equal(word_energy(energies, words))
    assert most_offending(energies, Series(words)) == most_offending(energies, words)
    assert spell(Series(words))[0].equal(spell(words)[0])
    assert greedy_decode(energies, Series([9, 6])) == greedy_decode(energies, [9, 6])


@pytest.mark.fault("torch.func.linearize", "attack")
@in_both
@for_each
@pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr Node")  # torch's own
def test_linearize_is_forward_mode(name, separators):
    def function(e):
        return DIFFERENTIABLE[name](e, separators)

    value, push = linearize(function, draw())
    expected = jvp(function, (draw(),), (draw(seed=1),))
    torch.testing.assert_close((value, push(draw(seed=1))), expected)


@pytest.mark.fault("tensor subclasses lose their tangents", "attack")
@in_both
def test_subclasses_are_pushed_forward(separators):
    class Mine(torch.Tensor):
        pass

    def function(e):
        return free_energy(e, TARGETS, *LENGTHS, 1.0, separators).sum()

    expected = jvp(function, (draw(),), (draw(seed=1),))[1]
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(draw().as_subclass(Mine), draw(seed=1).as_subclass(Mine))
        tangent = forward_ad.unpack_dual(function(dual)).tangent
    torch.testing.assert_close(tangent.as_subclass(torch.Tensor), expected)


@pytest.mark.fault("NaN padding reaches derivatives", "attack")
@pytest.mark.parametrize("filling", [math.nan, -math.inf, math.inf])
@pytest.mark.parametrize(
    "name", ["free energy", "viterbi", "posterior", "forward loss", "all words"]
)
@in_both
def test_padding_changes_no_derivative(name, separators, filling):
    outside = (torch.arange(9) >= LENGTHS[0][:, None])[..., None]
    weights = draw(seed=2, shape=DIFFERENTIABLE[name](draw(), separators).shape)

    def total(e):
        return (DIFFERENTIABLE[name](e, separators) * weights).sum()

    found = []
    for fill in (0.0, filling):
        leaf = draw().masked_fill(outside, fill).requires_grad_()
        (slopes,) = torch.autograd.grad(total(leaf), leaf, create_graph=True)
        assert (slopes[1, 7:] == 0).all()
        again = torch.zeros(())
        if slopes.requires_grad:
            (again,) = torch.autograd.grad(slopes.square().sum(), leaf, allow_unused=True)
        tangent = draw(seed=1).masked_fill(outside, fill)
        pushed = jvp(total, (leaf.detach(),), (tangent,))[1]
        found.append((slopes.detach(), torch.zeros(()) if again is None else again, pushed))
    torch.testing.assert_close(*found)


@pytest.mark.fault("activation checkpointing", "attack")
@pytest.mark.parametrize("reentrant", [False, True])
@in_both
@for_each
def test_checkpointing(name, separators, reentrant):
    slopes = []
    for wrap in (lambda f, e: f(e), lambda f, e: checkpoint(f, e, use_reentrant=reentrant)):
        leaf = draw().requires_grad_()
        wrap(lambda e: DIFFERENTIABLE[name](2 * e, separators), leaf).square().sum().backward()
        slopes.append(leaf.grad)
    assert slopes[0].equal(slopes[1])


@pytest.mark.fault("a graph that was traced before anybody wanted a gradient", "attack")
@pytest.mark.parametrize("name", ["viterbi", "free energy", "all words"])
@in_both
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:`torch.jit:FutureWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_traced_without_a_gradient_and_differentiated_later(name, separators):
    def function(e):
        return DIFFERENTIABLE[name](e, separators).sum()

    expected = grad(function)(draw())
    for traced in (
        torch.jit.trace(function, (draw(),), check_trace=False),
        make_fx(function)(draw()),
    ):
        leaf = draw().requires_grad_()
        torch.testing.assert_close(torch.autograd.grad(traced(leaf), leaf)[0], expected)


@pytest.mark.fault("whole numbers of narrow types as indices", "attack")
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32])
def test_indices_of_any_integer_type(dtype):
    cells = torch.tensor([[0, 0], [1, 1], [2, 2]])
    assert path_cross_entropy(torch.ones(3, 3), cells.to(dtype)) == 3
    batch = draw(shape=(2, 4, 127 if dtype == torch.int8 else 200))
    indices = torch.full((2, 4), batch.shape[2] - 1)
    assert path_cross_entropy(batch, indices.to(dtype)).equal(path_cross_entropy(batch, indices))
    assert build_path_matrix(draw(), TARGETS.to(dtype)).equal(build_path_matrix(draw(), TARGETS))
    turned = np.array([1, 0, 0])[::-1]  # numpy arrays that run backwards
    assert path_energy(torch.ones(3, 2), turned) == 3
    assert indices_to_str(turned) == "ab"[:1]
    assert greedy_decode(draw(shape=(2, 9, 27)), np.array([7, 9])[::-1]) == greedy_decode(
        draw(shape=(2, 9, 27)), [9, 7]
    )
    assert path_energy(torch.ones(3, 2), torch.tensor([0, 1, 1 + 5j])) == 2**30


@pytest.mark.fault("sums of half precision in a criterion", "attack")
def test_cross_entropies_of_half_precision_are_summed_wider():
    energies = torch.zeros(1000, 5, dtype=torch.float16)
    energies[:, 0] = 70
    found = cross_entropy(energies, torch.zeros(1000, dtype=torch.long), reduction="sum")
    assert found.item() == pytest.approx(1000 * (70 + math.log(4)), rel=1e-6)


@pytest.mark.fault("second derivatives as narrow as their input", "attack")
def test_second_derivatives_of_float32_are_those_of_float64():
    found = []
    for dtype in (torch.float32, torch.float64):
        leaf = draw(torch.float32, 1000.0, shape=(1, 200, 4)).to(dtype).requires_grad_()
        value = free_energy(leaf, TARGETS[:1], beta=1.0)
        (slopes,) = torch.autograd.grad(value.sum(), leaf, create_graph=True)
        direction = draw(seed=1, shape=slopes.shape).to(dtype)
        found += torch.autograd.grad((slopes * direction).sum(), leaf)
    torch.testing.assert_close(found[0], found[1].float(), rtol=1e-5, atol=1e-5)


@pytest.mark.fault("a mean overflows where none of its numbers does", "attack")
@in_both
@pytest.mark.parametrize("zero_infinity", [False, True])
def test_a_mean_is_taken_wide(separators, zero_infinity):
    energies = torch.full((4, 3, 4), 1e38).requires_grad_()
    module = PathEnergyLoss(separators=separators, zero_infinity=zero_infinity)
    value = module(energies, torch.tensor([[0, 3]]).expand(4, -1))
    value.backward()
    assert value.item() == pytest.approx(3e38)
    assert energies.grad.sum() == 3


@pytest.mark.fault("a gradient that overflows makes NaN of slopes of 0", "attack")
@in_both
@pytest.mark.parametrize("beta", [1.0, math.inf])
def test_gradients_beyond_float32_are_no_nan(separators, beta):
    options = {"beta": beta, "separators": separators, "dtype": torch.float64}
    leaf = torch.full((1, 3, 4), 2e38, requires_grad=True)

    def function(energies):
        return free_energy(energies, torch.tensor([[0, 3]]), **options)

    (slopes,) = torch.autograd.grad(function(leaf).square().sum(), leaf)
    assert slopes[0, :, 1:3].eq(0).all()
    assert slopes.sum() == math.inf
    assert jvp(function, (leaf.detach(),), (leaf.detach(),))[1].item() == pytest.approx(6e38)


@pytest.mark.fault("numpy arrays that are changed before the derivative is taken", "attack")
def test_numpy_arguments_are_copied():
    cells, indices, lengths = np.array([[0, 0], [1, 0], [2, 1]]), np.array([0, 0, 1]), [9, 7]
    kept, leaf = np.array(lengths), draw().requires_grad_()
    matrix = torch.randn(3, 2, requires_grad=True)
    values = [path_cross_entropy(matrix, cells), path_energy(matrix, indices)]
    values.append(path_cross_entropy(matrix[None], indices[None]).sum())
    shares = posterior(leaf, TARGETS, kept).square().sum()
    cells[1, 1] = indices[1] = kept[0] = 1
    for value in values:
        assert torch.autograd.grad(value, matrix)[0].tolist() == [[1, 0], [1, 0], [0, 1]]
    expected = posterior(leaf, TARGETS, lengths).square().sum()
    assert torch.autograd.grad(shares, leaf)[0].equal(torch.autograd.grad(expected, leaf)[0])


@pytest.mark.fault("a copy of an alignment is taken for a changed one", "attack")
@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda found: pickle.loads(pickle.dumps(found))]
)
def test_spans_of_copies(copied):
    energies = torch.zeros(2, 9, 4).copy_(draw())  # changed in place, but before
    alignment = viterbi(energies, TARGETS, *LENGTHS)
    again = copied(alignment)
    assert spans(again) == spans(alignment)
    again.energies[0, 0, 0] += 1
    for changed in (again, copied(again)):
        with pytest.raises(ValueError, match="changed in place since"):
            spans(changed)


@pytest.mark.fault("an alignment of a compiled function is taken for a changed one", "attack")
def test_spans_of_a_compiled_alignment():
    found = torch.compile(lambda e: viterbi(e, TARGETS), backend="aot_eager")(draw())
    assert spans(found) == spans(viterbi(draw(), TARGETS))


@pytest.mark.fault("a wildcard's energy that is a tensor, in spans", "attack")
@pytest.mark.parametrize("kind", [torch.tensor, np.float32])
def test_the_energy_of_a_span_is_a_float(kind):
    target = torch.tensor([[-1, 3]])
    assert type(spans(viterbi(draw()[:1], target, wildcard=kind(2.0)))[0][0].energy) is float


@pytest.mark.fault("gradients of 1 where every path costs inf", "attack")
def test_what_cannot_be_has_no_gradient_of_one_matrix():
    matrix = torch.tensor([[0.0, 1.0], [math.inf, math.inf], [0.0, 1.0]], requires_grad=True)
    for function in (find_path, find_free_energy):
        found = function(matrix)
        assert found.free_energy == math.inf
        assert not torch.autograd.grad(found.free_energy, matrix)[0].any()
    graph = Graph(2, [0], [1], [0], [1], [0], torch.tensor([math.inf], requires_grad=True))
    for score in (viterbi_score, forward_score):
        assert score(graph) == math.inf
        assert not torch.autograd.grad(score(graph), graph.weights)[0].any()


@pytest.mark.fault("nodes that are tensors are told apart though equal", "attack")
def test_nodes_are_whole_numbers():
    ends, weights = (torch.tensor([0]), torch.tensor([1])), torch.ones(1)
    with pytest.raises(TypeError, match="expected nodes and labels as whole numbers, got tensor"):
        viterbi_score(Graph(2, [0], [1], *ends, [3], weights))
    assert viterbi_score(Graph(2, [0], [1], *(e.numpy() for e in ends), [3], weights)) == 1


@pytest.mark.fault("sums of half precision in an intersection", "attack")
def test_energies_of_an_intersection_are_added_wider():
    half = Graph(2, [0], [1], [0], [1], [0], torch.tensor([6e4], dtype=torch.float16))
    assert viterbi_score(intersect(half, half)) == 2 * half.weights.double()


@pytest.mark.fault("searches within torch.func.grad", "attack")
@in_both
def test_answers_are_searched_within_transforms(separators):
    def function(energies):
        answers = Answers(energies, ["ab", "cc"], LENGTHS[0], separators=separators)
        return hinge_loss(answers.good, answers.bad, 9.0).sum()

    for dtype in DTYPES:
        leaf = draw(dtype).requires_grad_()
        (expected,) = torch.autograd.grad(function(leaf), leaf)
        assert grad(function)(leaf.detach()).equal(expected)
        assert expected.any()


@pytest.mark.fault("views that are negated only when they are read", "attack")
@for_each
@in_both
def test_lazily_negated_energies(name, separators):
    function = DIFFERENTIABLE[name]
    found = function(torch._neg_view(-draw()), separators)
    torch.testing.assert_close(found, function(draw(), separators), rtol=0, atol=0)


@pytest.mark.fault("targets of a cross-entropy, of any kind and shape", "attack")
def test_targets_of_a_cross_entropy():
    energies = draw(torch.float16, shape=(2, 4))
    expected = cross_entropy(energies, torch.tensor([1, 3]))
    for dtype in (torch.int8, torch.int32, torch.uint16):
        assert cross_entropy(energies, torch.tensor([1, 3], dtype=dtype)) == expected
    assert cross_entropy(energies, [1, 3]) == expected
    rows = [cross_entropy(row, torch.tensor(c)) for row, c in zip(energies, (1, 3))]
    torch.testing.assert_close(torch.stack(rows).mean(), expected)
    weight = torch.tensor([0, 1, 0, 0], dtype=torch.float16)
    assert cross_entropy(energies, [1, 3], weight=weight) == rows[0]
    assert cross_entropy(energies, [1, -100]) == rows[0]
    assert cross_entropy(energies, [1, 9], ignore_index=9) == rows[0]


@pytest.mark.fault("second derivatives where there are no words", "attack")
def test_one_class_has_second_derivatives():
    leaf = torch.zeros(1, 3, 1, requires_grad=True)
    (slopes,) = torch.autograd.grad(free_energy(leaf, beta=1.0).sum(), leaf, create_graph=True)
    assert slopes.tolist() == [[[0]] * 3]
    assert not hessian(lambda e: free_energy(e, beta=1.0).sum())(leaf.detach()).any()


@pytest.mark.fault("one class", "attack")
def test_one_class():
    for beta in (1.0, math.inf):
        assert free_energy(torch.zeros(1, 3, 1), beta=beta) == math.inf
        assert free_energy(torch.ones(1, 3, 1), beta=beta, separators="optional") == 3


ODD = {
    "result in integers": (lambda: free_energy(draw(), TARGETS, dtype=torch.int64), TypeError),
    "result in a named type": (lambda: free_energy(draw(), TARGETS, dtype="x"), TypeError),
    "targets of uint64": (lambda: viterbi(draw(), TARGETS.to(torch.uint64)), TypeError),
    "lengths with a bool": (lambda: greedy_decode(draw(shape=(2, 9, 27)), [True, 7]), TypeError),
    "words of one class": (lambda: word_energy(draw()[..., :1], ["a", "a"]), ValueError),
    "classes as text": (lambda: indices_to_str("abc"), TypeError),
    "classes as None": (lambda: indices_to_str(None), TypeError),
    "windows of nothing but inf": (
        lambda: greedy_decode(torch.full((1, 3, 27), math.inf)),
        ValueError,
    ),
    "separator tensor of two": (
        lambda: free_energy(draw(), TARGETS, separator=torch.tensor([1, 2])),
        TypeError,
    ),
    "separator float": (lambda: free_energy(draw(), TARGETS, separator=1.0), TypeError),
    "separator bool": (lambda: viterbi(draw(), TARGETS, separator=True), TypeError),
    "separator beyond": (lambda: posterior(draw(), TARGETS, separator=4), ValueError),
    "separator below": (lambda: forward_loss(draw(), TARGETS, separator=-1), ValueError),
    "separator of all words": (lambda: free_energy(draw(), separator=7), ValueError),
    "separator of a module": (lambda: PathEnergyLoss(separator="x"), TypeError),
    "separator beyond, module": (lambda: PathEnergyLoss(separator=9)(draw(), TARGETS), ValueError),
    "wildcard beyond float32": (
        lambda: free_energy(draw(torch.float32), TARGETS, wildcard=1e40),
        ValueError,
    ),
    "wildcard NaN": (lambda: free_energy(draw(), TARGETS, wildcard=math.nan), ValueError),
    "wildcard -inf": (lambda: viterbi(draw(), TARGETS, wildcard=-math.inf), ValueError),
    "wildcard text": (lambda: viterbi(draw(), TARGETS, wildcard="1"), TypeError),
    "beta of several elements": (
        lambda: free_energy(draw(), TARGETS, beta=torch.ones(2)),
        TypeError,
    ),
    "beta complex": (lambda: free_energy(draw(), TARGETS, beta=1j), TypeError),
    "beta text": (lambda: posterior(draw(), TARGETS, beta="1"), TypeError),
    "beta NaN": (lambda: free_energy(draw(), beta=math.nan), ValueError),
    "beta None": (lambda: lexicon_energies(draw(), ["a"], beta=None), TypeError),
    "beta True": (lambda: PathEnergyLoss(True), TypeError),
    "beta zero": (lambda: word_probability(draw(), ["a", "b"], beta=0), ValueError),
    "beta inf of a probability": (
        lambda: word_probability(draw(), ["a", "b"], beta=math.inf),
        ValueError,
    ),
    "lengths with None": (lambda: viterbi(draw(), TARGETS, [5, None]), TypeError),
    "lengths float": (lambda: greedy_decode(draw(shape=(2, 9, 27)), [5.0, 6.0]), TypeError),
    "lengths 0-d": (lambda: greedy_decode(draw(shape=(2, 9, 27)), torch.tensor(5)), ValueError),
    "lengths nested": (lambda: greedy_decode(draw(shape=(2, 9, 27)), [[5], [6]]), ValueError),
    "lengths ragged": (lambda: n_best(draw(), 1, [[5], [6, 7]]), TypeError),
    "lengths text": (lambda: best_word(draw(), "56"), TypeError),
    "lengths bool": (lambda: viterbi(draw(), TARGETS, torch.ones(2, dtype=torch.bool)), TypeError),
    "numpy energies, decode": (lambda: greedy_decode(draw().numpy()), TypeError),
    "numpy energies, loss": (lambda: forward_loss(draw().numpy(), TARGETS), TypeError),
    "numpy energies, module": (lambda: PathEnergyLoss()(draw().numpy(), TARGETS), TypeError),
    "numpy energies, matrix": (lambda: build_ce_matrix(draw().numpy(), TARGETS), TypeError),
    "numpy energies, normalise": (lambda: normalise(draw().numpy()), TypeError),
    "numpy energies, cross entropy": (lambda: cross_entropy(draw().numpy(), TARGETS), TypeError),
    "numpy energies, path": (lambda: path_cross_entropy(draw()[0].numpy(), [(0, 0)]), TypeError),
    "numpy energies, rank": (lambda: lexicon_energies(draw().numpy(), ["a"]), TypeError),
    "numpy energies, word": (lambda: word_probability(draw().numpy(), ["a", "b"]), TypeError),
    "numpy energies, find_path": (lambda: find_path(draw()[0].numpy()), TypeError),
    "numpy targets": (lambda: free_energy(draw(), TARGETS.numpy()), TypeError),
    "float8 energies": (lambda: free_energy(draw().to(torch.float8_e4m3fn), TARGETS), TypeError),
    "complex energies": (lambda: free_energy(draw() + 0j, TARGETS), TypeError),
    "sparse energies": (lambda: free_energy(draw().to_sparse(), TARGETS), TypeError),
    "1-D concatenated targets": (lambda: free_energy(draw(), TARGETS.flatten()), ValueError),
    "unbatched energies": (lambda: free_energy(draw()[0], TARGETS[0]), ValueError),
    "padding of -1 in a matrix": (
        lambda: build_ce_matrix(draw(), TARGETS.where(TARGETS != 3, -1)),
        ValueError,
    ),
    "n float": (lambda: n_best(draw(), 2.0), TypeError),
    "n True": (lambda: n_best(draw(), True), TypeError),
    "n zero": (lambda: n_best(draw(), 0), ValueError),
    "words as text": (lambda: lexicon_energies(draw(), "ab"), TypeError),
    "words as a set": (lambda: lexicon_energies(draw(), {"a", "b"}), TypeError),
    "words as a dict": (lambda: lexicon_energies(draw(), {"ab": 1}), TypeError),
    "words as a number": (lambda: word_energy(draw(), 3), TypeError),
    "words of the wrong number": (lambda: most_offending(draw(), ["a"]), ValueError),
    "words with a number": (lambda: lexicon_energies(draw(), ["a", 3]), TypeError),
    "no words": (lambda: lexicon_energies(draw(), []), ValueError),
    "text spelled by letters": (lambda: spell("cat"), TypeError),
    "classes that are bool": (lambda: indices_to_str(torch.ones(3, dtype=torch.bool)), TypeError),
    "separators unknown": (lambda: n_best(draw(), 1, None, "some"), ValueError),
    "separators a bool": (lambda: free_energy(draw(), TARGETS, separators=True), ValueError),
    "infeasible unknown": (lambda: posterior(draw(), TARGETS, infeasible="zero"), ValueError),
    "infeasible of all words": (lambda: free_energy(draw(), infeasible="zero"), ValueError),
    "beta beyond floats": (lambda: free_energy(draw(), TARGETS, beta=10**400), ValueError),
    "energies without classes": (lambda: normalise(torch.zeros(2, 0)), ValueError),
    "a single energy": (lambda: cross_entropy(torch.tensor(1.0), torch.tensor(0)), ValueError),
    "targets as floats": (lambda: cross_entropy(torch.zeros(1, 3), torch.zeros(1)), TypeError),
    "a target beyond": (lambda: cross_entropy(torch.zeros(2, 3), [0, 3]), ValueError),
    "path of floats": (lambda: path_cross_entropy(draw()[0], [(0.0, 1.0)]), TypeError),
    "path beyond": (lambda: path_cross_entropy(draw(), torch.full((2, 9), -2)), ValueError),
    "zero_infinity a number": (lambda: PathEnergyLoss(zero_infinity=1), TypeError),
}


@pytest.mark.fault("errors from deep inside", "engine list, faults-2")
@pytest.mark.parametrize("name", ODD)
def test_odd_arguments_are_refused_by_what_was_expected(name):
    call, error = ODD[name]
    with pytest.raises(error, match=r"(?s)expected .*(got|given)") as caught:
        call()
    assert type(caught.value) is error


@pytest.mark.fault("numpy's and torch's whole numbers", "onnxruntime #8489")
def test_whole_numbers_of_any_kind_are_taken():
    expected = free_energy(draw(), TARGETS, *LENGTHS, separators="optional", separator=3)
    for separator in (np.int64(3), np.uint8(3), torch.tensor(3), None):
        found = free_energy(draw(), TARGETS, *LENGTHS, separators="optional", separator=separator)
        assert found.equal(expected)
    assert len(n_best(draw(), np.int8(2))[0]) == 2
    lengths = np.array([9, 7]), [torch.tensor(4), torch.tensor(3)]
    assert free_energy(draw(), TARGETS, *lengths, separators="optional").equal(expected)


@pytest.mark.fault("memory for answers that do not exist", "engine list")
def test_asking_for_more_words_than_there_are():
    energies = draw(shape=(1, 4, 3))
    every = n_best(energies, 10**9)[0]
    assert len(every) == len({reading.text for reading in every}) == 6  # a, b and their pairs
    long = n_best(draw(shape=(1, 8, 4)), 100, None, "optional")[0]
    assert len(long) == 100
    assert [reading.energy for reading in long] == sorted(reading.energy for reading in long)


@pytest.mark.fault("masked tensors", "faults-2")
@pytest.mark.filterwarnings("ignore")  # torch's own, of a prototype
def test_masked_tensors_are_refused():
    masked = torch.masked.masked_tensor(draw(), torch.ones(2, 9, 4, dtype=torch.bool))
    with pytest.raises(TypeError, match="expected a plain tensor of energies, got a MaskedTensor"):
        free_energy(masked, TARGETS)


@pytest.mark.fault("nested tensors", "faults-2")
@pytest.mark.filterwarnings("ignore")  # torch's own, of a prototype
def test_nested_tensors_are_refused():
    nested = torch.nested.nested_tensor([draw()[0], draw()[1, :7]], layout=torch.jagged)
    with pytest.raises(TypeError, match="expected a dense tensor of energies, got a nested one"):
        free_energy(nested, TARGETS)


@pytest.mark.fault("a read-only package, and no home", "numba #7248")
def test_without_a_place_to_keep_kernels_they_are_compiled_each_time():
    code = """
import warnings, torch
import numba.core.caching as caching
caching.CacheImpl._locator_classes = []
from ebm_ocr import free_energy
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    print(free_energy(torch.ones(1, 3, 2), torch.tensor([[0]])).item())
assert [str(w.message) for w in said if "NUMBA_CACHE_DIR" in str(w.message)].__len__() == 1
"""
    environment = os.environ | {"NUMBA_DISABLE_JIT": "0"}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", env=environment
    )
    assert run.stdout == "3.0\n", run.stderr


@pytest.mark.fault("modules that are loaded again", "IPython autoreload")
def test_the_package_can_be_loaded_again():
    code = """
import importlib, sys, torch, ebm_ocr
def value():
    return ebm_ocr.alignment.free_energy(torch.ones(1, 3, 2), torch.tensor([[0]]), beta=1.0).item()
import ebm_ocr.alignment
first = value()
for name in [n for n in sys.modules if n.startswith("ebm_ocr.")]:
    importlib.reload(sys.modules[name])
assert value() == first
"""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, encoding="utf-8"
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.fault("modules in a functional call", "torch.func")
def test_the_loss_module_in_a_functional_call():
    layer = torch.nn.Sequential(torch.nn.Linear(4, 4, dtype=torch.float64))
    module = PathEnergyLoss(1.0)

    def total(parameters, e):
        return module(functional_call(layer, parameters, (e,)), TARGETS, *LENGTHS)

    parameters = dict(layer.named_parameters())
    many = torch.stack([draw(seed=seed) for seed in range(3)])
    each = vmap(grad(total), in_dims=(None, 0))(parameters, many)
    alone = grad(total)(parameters, many[1])
    for name, value in alone.items():
        torch.testing.assert_close(each[name][1], value)


def test_every_public_function_of_the_engine_is_in_the_table():
    source = Path(__file__).read_text(encoding="utf-8")
    homes = ("alphabet", "path_matrix", "alignment", "losses", "decoding")
    functions = [
        name
        for home in homes
        for name in ebm_ocr._HOMES[home].split()
        if isinstance(getattr(ebm_ocr, name), types.FunctionType)
        and "good" not in getattr(ebm_ocr, name).__annotations__  # a loss of answers
    ]
    assert len(functions) > 20
    missing = [name for name in functions if f"{name}(" not in source and f"({name}" not in source]
    assert missing == ["transform_word"]  # takes no energies
