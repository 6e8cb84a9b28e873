"""What torch sees of the kernels: autograd, torch.compile, torch.func and vmap see each one whole.

The gradient is computed within the forward pass, and only if somebody will ask for it. What comes
after it, second derivatives and further ones, are those of :mod:`.reference`.
"""

from __future__ import annotations

import functools
import importlib.util
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function, forward_ad

from ..validation import can_look_at, check_values, widen
from . import reference


def run_align(
    energies: Tensor,
    targets: Tensor,
    window_lengths: Tensor,
    target_lengths: Tensor,
    separator: int,
    optional: bool,
    beta: float,
    strict: bool,
    wide: bool,
    gradient: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Align (B, L, C) float32 or float64 energies with (B, T) targets.

    Returns:
        (B,) free energies, if ``wide`` as wide as sums are; their gradient (B, L, C), empty if
        not wanted; and at ``beta = inf`` the (B, L) target index of each window on the best
        path, else empty.

    Raises:
        ValueError: see :func:`check`.
    """
    energies = (energies.detach() if energies.requires_grad else energies).resolve_neg()
    inputs = (energies, targets, window_lengths, target_lengths)
    if energies.is_cpu:
        arrays = [tensor.contiguous().numpy() for tensor in inputs]
        shape = energies.shape
        values = np.empty(shape[0], np.float64 if wide else arrays[0].dtype)
        path = np.empty(shape[:2] if beta == math.inf else (0, 0), np.int64)
        slopes = np.empty(shape, arrays[0].dtype) if gradient else _nothing(arrays[0].dtype)[0]
        best_paths, free_energies = _cpu_kernels()
        if beta == math.inf:
            refused = best_paths[optional](*arrays, separator, strict, path, values, slopes)
        else:
            refused = free_energies(*arrays, separator, optional, strict, beta, values, slopes)
        if refused:
            check(*inputs, separator, optional, strict)
        kept = torch.from_numpy(slopes) if gradient else _nothing(slopes.dtype)[1]
        return torch.from_numpy(values), kept, torch.from_numpy(path)
    lattice = check(*inputs, separator, optional, strict)
    if energies.device.type == "cuda" and _has_triton():
        from .cuda import align as align_on_cuda

        results = align_on_cuda(inputs[0], lattice, window_lengths, beta, gradient)
    else:
        results = by_reference(inputs[0], lattice, window_lengths, beta, gradient)
    return results[0] if wide else results[0].to(energies.dtype), *results[1:]


def run_all_words(
    energies: Tensor,
    window_lengths: Tensor,
    separator: int,
    optional: bool,
    beta: float,
    gradient: bool,
) -> tuple[Tensor, Tensor]:
    """Sum over the paths of all words: (B,) free energies, and their gradient as above."""
    energies = energies.detach().resolve_neg()
    nothing = window_lengths.new_zeros(len(energies), 1)
    check_values(energies, nothing, window_lengths, nothing[:, 0])
    if energies.device.type == "cpu" and not optional and beta < math.inf:
        from .cpu_words import sum_words

        array = energies.contiguous().numpy()
        summed = np.empty(len(array))
        found = np.empty(array.shape if gradient else (0, 0, 0), array.dtype)
        sum_words(array, window_lengths.contiguous().numpy(), separator, beta, summed, found)
        return torch.from_numpy(summed), torch.from_numpy(found)
    wide = widen(energies)
    values = reference.all_words(wide, window_lengths, beta, not optional, separator)
    slopes = energies.new_empty(0, 0, 0)
    if gradient:
        slopes = _all_words_slopes(energies, window_lengths, separator, optional, beta)
    return values, slopes.contiguous()


def run_posterior(
    energies: Tensor,
    targets: Tensor,
    window_lengths: Tensor,
    target_lengths: Tensor,
    separator: int,
    optional: bool,
    beta: float,
    strict: bool,
) -> Tensor:
    """(B, L, T) probability that a window shows a symbol of the target, as wide as sums are."""
    inputs = energies.detach(), targets, window_lengths, target_lengths
    check(*inputs, separator, optional, strict)
    return _plain_posterior(*inputs, separator, optional, beta).contiguous()


def check(
    energies: Tensor,
    targets: Tensor,
    window_lengths: Tensor,
    target_lengths: Tensor,
    separator: int,
    optional: bool,
    strict: bool,
) -> reference.Lattice:
    """Look at every value; the lattice of the topology.

    Raises:
        ValueError: lengths or classes out of range, NaN or -inf energies,
            or with ``strict`` a target that does not fit in its windows.
    """
    check_values(energies, targets, window_lengths, target_lengths)
    lattice = reference.build_lattice(targets, target_lengths, separator, optional)
    short = (~reference.feasible(lattice, window_lengths)).nonzero()[:, 0].tolist()
    if strict and short:
        first = short[0]
        needed = int(reference.needed_windows(lattice)[first]) if lattice.lengths[first] else "0"
        raise ValueError(
            f"sample {first} has {int(window_lengths[first])} windows, its target needs {needed}: "
            f"no path exists ({len(short)} of {len(energies)} samples do not fit)"
        )
    return lattice


def by_reference(
    energies: Tensor,
    lattice: reference.Lattice,
    window_lengths: Tensor,
    beta: float,
    gradient: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """What :func:`run_align` returns, on any device."""
    path = torch.empty(0, 0, dtype=torch.int64, device=energies.device)
    wide = widen(energies)
    matrix = reference.path_matrix(wide, lattice.symbols)
    if math.isinf(beta):
        states = reference.best_path(matrix, lattice, window_lengths)
        collected = matrix.gather(2, states.clamp(min=0)[..., None])[..., 0]
        fits = reference.feasible(lattice, window_lengths)
        values = collected.where(states >= 0, 0).sum(1).where(fits, math.inf)
        path = lattice.positions.gather(1, states.clamp(min=0)).where(states >= 0, -1)
    else:
        values = reference.free_energy(matrix, lattice, window_lengths, beta)
    slopes = energies.new_empty(0, 0, 0)
    if gradient:
        slopes = reference.class_posterior(wide, lattice, window_lengths, beta)
    return values, slopes.to(energies.dtype).contiguous(), path


def _align_slopes(
    energies: Tensor,
    targets: Tensor,
    window_lengths: Tensor,
    target_lengths: Tensor,
    separator: int,
    optional: bool,
    beta: float,
    *_: bool,
) -> Tensor:
    """The gradient of :func:`run_align`'s values in plain torch."""
    lattice = reference.build_lattice(targets, target_lengths, separator, optional)
    wide = widen(reference.without_padding(energies, window_lengths))
    return reference.class_posterior(wide, lattice, window_lengths, beta).to(energies.dtype)


def _all_words_slopes(
    energies: Tensor,
    window_lengths: Tensor,
    separator: int,
    optional: bool,
    beta: float,
    *_: bool,
) -> Tensor:
    """The gradient of :func:`run_all_words`' values in plain torch."""
    wide = widen(energies)
    slopes = reference.all_words_posterior(wide, window_lengths, beta, not optional, separator)
    return slopes.to(energies.dtype)


def _plain_posterior(
    energies: Tensor,
    targets: Tensor,
    window_lengths: Tensor,
    target_lengths: Tensor,
    separator: int,
    optional: bool,
    beta: float,
    *_: bool,
) -> Tensor:
    """:func:`run_posterior` in plain torch, nothing checked."""
    lattice = reference.build_lattice(targets, target_lengths, separator, optional)
    wide = widen(reference.without_padding(energies, window_lengths))
    matrix = reference.path_matrix(wide, lattice.symbols)
    shares = reference.posterior(matrix, lattice, window_lengths, beta)
    width = targets.shape[1]  # of the states that the target does not show the share is dropped
    places = lattice.positions.where(lattice.positions >= 0, width)[:, None].expand_as(shares)
    found = torch.zeros_like(shares[..., :1]).expand(-1, -1, width + 1)
    return found.scatter_add(2, places, shares)[..., :-1]


def formula(value: Callable, same: Callable) -> type[Function]:
    """``value(*inputs)`` as a function of torch, whose derivatives are those of ``same(*inputs)``.

    The first input is what is differentiated by, tensors come before options, and ``same`` is plain
    torch: so there are derivatives of any order, in either mode.
    """

    class Formula(Function):
        forward = staticmethod(value)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
            _save(ctx, *_split(inputs))

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
            first, *rest = ctx.saved_tensors
            pull = torch.func.vjp(lambda inner: same(inner, *rest, *ctx.options), first)[1]
            return pull(grad)[0], *[None] * (len(rest) + len(ctx.options))

        @staticmethod
        @_nested
        def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:
            first, *rest = _primals(ctx)
            pulled = torch.func.vjp(lambda inner: same(inner, *rest, *ctx.options), first)
            # pull is linear, so what it pulls back is pushed forward;
            # torch nests no jvp in dual numbers
            push = torch.func.vjp(lambda grad: pulled[1](grad)[0], torch.zeros_like(pulled[0]))[1]
            return push(tangent)[0]

        @staticmethod
        def vmap(info: Any, in_dims: tuple, *inputs: Any) -> tuple:
            return _fold(Formula.apply, info, in_dims, *inputs)

    return Formula


def operation(name: str, run: Callable, slopes: Callable, fake: Callable) -> Callable[..., tuple]:
    """``run(energies, *tensors, *options, gradient) -> values, slopes, ...`` as torch sees it.

    Args:
        slopes: the gradient in plain torch, from the same inputs.
        fake: shapes and types of the results, for who traces.

    Returns:
        The kernel, to be called without ``gradient``.
    """
    found = formula(lambda _, known, *__: known.clone(), lambda e, _, *rest: slopes(e, *rest))
    op = torch.library.custom_op(f"ebm_ocr::{name}", run, mutates_args=())

    def save(ctx: Any, inputs: tuple, output: tuple) -> None:
        tensors, options = _split(inputs)
        ctx.set_materialize_grads(False)
        ctx.dtype, ctx.results = output[0].dtype, len(output)
        _save(ctx, [tensors[0], output[1], *tensors[1:]], options)

    def gradient(ctx: Any, saved: Sequence[Tensor]) -> Tensor:
        energies, known, *rest = saved
        if not known.numel():  # traced when nobody wanted it
            known = slopes(energies, *rest, *ctx.options)
        if torch.is_grad_enabled() or torch._C._are_functorch_transforms_active():
            return found.apply(energies, known, *rest, *ctx.options)  # or differentiated again
        return known

    def pull(ctx: Any, grad: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors  # once: checkpoints give them only once
        nothing = [None] * (len(saved) - 2 + len(ctx.options))
        if grad is None:
            return None, *nothing
        part = gradient(ctx, saved)
        # multiplied wide: what overflows in a narrow type makes NaN of a slope of 0
        return (grad[:, None, None] * part).to(part.dtype), *nothing

    class Differentiable(Function):
        @staticmethod
        def forward(*inputs: Any) -> tuple[Tensor, ...]:
            return (run if can_look_at(inputs[0]) else op)(*inputs)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
            ctx.mark_non_differentiable(*output[1:])
            save(ctx, inputs, output)

        @staticmethod
        def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
            return pull(ctx, *grads)

        @staticmethod
        @_nested
        def jvp(ctx: Any, tangent: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
            rest = [None] * (ctx.results - 1)
            if tangent is None:
                return None, *rest
            part = gradient(ctx, _primals(ctx))
            moved = tangent.where(part != 0, 0)  # padding may move to NaN
            return widen(part * moved).sum((1, 2)).to(ctx.dtype), *rest

        @staticmethod
        def vmap(info: Any, in_dims: tuple, *inputs: Any) -> tuple:
            return _fold(Differentiable.apply, info, in_dims, *inputs)

    op.register_fake(fake)
    op.register_autograd(pull, setup_context=save)
    op.register_vmap(functools.partial(_fold, op))

    return _door(
        lambda *inputs: run(*inputs, False),
        lambda *inputs: Differentiable.apply(*inputs, True),
        lambda *inputs: op(*inputs, torch.is_grad_enabled() and inputs[0].requires_grad),
    )


def _door(plain: Callable, differentiable: Callable, traced: Callable) -> Callable:
    """Which of three ways into a kernel is taken: nobody looks on, somebody derives, or traces."""

    def call(energies: Tensor, *rest: Any) -> Any:
        if can_look_at(energies):  # past torch's dispatcher: 10 microseconds, and a second at first
            wanted = torch.is_grad_enabled() and energies.requires_grad
            if wanted or forward_ad._current_level >= 0:
                return differentiable(energies, *rest)
            return plain(energies, *rest)
        forward = forward_ad._current_level >= 0
        if torch.compiler.is_compiling():
            if forward:  # the operator would drop the tangents, silently
                raise NotImplementedError("forward mode within a compiled function")
        elif forward or torch._C._are_functorch_transforms_active():
            return differentiable(energies, *rest)
        return traced(energies, *rest)

    return call


def _nested(jvp: Callable) -> Callable:
    """A jvp that may itself be pushed forward: torch disables that inside of one, silently."""

    @functools.wraps(jvp)
    def enabled(*inputs: Any) -> Any:
        with forward_ad._set_fwd_grad_enabled(True):
            return jvp(*inputs)

    return enabled


def _primals(ctx: Any) -> list[Tensor]:
    """What was saved, without the tangents of the level that is being pushed."""
    if forward_ad._current_level < 0:
        return list(ctx.saved_tensors)
    return [forward_ad.unpack_dual(tensor).primal for tensor in ctx.saved_tensors]


def _split(inputs: tuple) -> tuple[list[Tensor], tuple]:
    """The tensors in front, and the options behind them."""
    tensors = [value for value in inputs if isinstance(value, Tensor)]
    return tensors, inputs[len(tensors) :]


def _save(ctx: Any, tensors: list[Tensor], options: tuple) -> None:
    """Keep both for either mode."""
    ctx.save_for_backward(*tensors)
    if isinstance(ctx, torch.autograd.function.FunctionCtx):
        ctx.save_for_forward(*tensors)
    ctx.options = options


def _fold(function: Callable, info: Any, in_dims: tuple, *inputs: Any) -> tuple:
    """vmap's rule: one more dimension in front becomes part of the batch."""
    folded = []
    for value, dim in zip(inputs, in_dims):
        if isinstance(value, Tensor):
            repeated = value.expand(info.batch_size, *value.shape) if dim is None else None
            value = (value.movedim(dim, 0) if repeated is None else repeated).flatten(0, 1)
        folded.append(value)
    results = function(*folded)
    several = isinstance(results, tuple)
    shaped = [
        result.unflatten(0, (info.batch_size, -1)) if result.numel() else result
        for result in (results if several else [results])
    ]
    dims = [0 if result.numel() else None for result in shaped]
    return (tuple(shaped), tuple(dims)) if several else (shaped[0], dims[0])


def _fake_align(
    energies: Tensor,
    targets: Tensor,
    window_lengths: Tensor,
    target_lengths: Tensor,
    separator: int,
    optional: bool,
    beta: float,
    strict: bool,
    wide: bool,
    gradient: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    batch, windows, _ = energies.shape
    path_shape = (batch, windows) if beta == math.inf else (0, 0)
    path = targets.new_empty(path_shape, dtype=torch.int64)
    values, slopes = _fake_sum(energies, gradient)
    return values if wide else values.to(energies.dtype), slopes, path


def _fake_sum(energies: Tensor, gradient: bool) -> tuple[Tensor, Tensor]:
    slopes = energies.new_empty(energies.shape if gradient else (0, 0, 0))
    return widen(energies.new_empty(energies.shape[0])), slopes


@functools.cache
def _cpu_kernels() -> tuple[dict[bool, Callable[..., int]], Callable[..., int]]:
    """The kernels for the CPU, loaded when they are first called: numba takes half a second."""
    from .cpu import BEST_PATHS
    from .cpu_sums import free_energies

    return BEST_PATHS, free_energies


@functools.cache
def _nothing(dtype: np.dtype) -> tuple[np.ndarray, Tensor]:
    """What stands for a gradient that nobody wants; made once: it takes longer than the checks."""
    array = np.empty((0, 0, 0), dtype)
    return array, torch.from_numpy(array)


def _has_triton() -> bool:
    """Whether the kernels for CUDA can be compiled."""
    return importlib.util.find_spec("triton") is not None


align = operation("align", run_align, _align_slopes, _fake_align)
""":func:`run_align`, differentiable, for whoever traces or transforms."""
all_words = operation(
    "all_words",
    run_all_words,
    _all_words_slopes,
    lambda energies, *rest: _fake_sum(energies, rest[-1]),
)
""":func:`run_all_words` likewise."""

_posterior_op = torch.library.custom_op("ebm_ocr::posterior", run_posterior, mutates_args=())
_posterior_op.register_fake(
    lambda energies, targets, *_: widen(energies.new_empty(*energies.shape[:2], targets.shape[1]))
)
_posterior_op.register_vmap(functools.partial(_fold, _posterior_op))
posterior = _door(
    run_posterior,
    formula(
        lambda *inputs: (run_posterior if can_look_at(inputs[0]) else _posterior_op)(*inputs),
        _plain_posterior,
    ).apply,
    _posterior_op,
)
""":func:`run_posterior` likewise."""
