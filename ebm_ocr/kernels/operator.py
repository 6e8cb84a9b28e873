"""What torch sees of a kernel: autograd, torch.compile, torch.func and vmap see each one whole.

A kernel is ``run(energies, *tensors, *options)``: what is differentiated by comes first, tensors
before options. The gradient is computed within the forward pass, and only if somebody will ask for
it. What comes after it, second derivatives and further ones, are those of plain torch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function, forward_ad

from ..validation import can_look_at, widen

GRADIENT = 1
"""The flag that asks a kernel for its gradient too."""


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
    """``run(energies, *tensors, *options, flags) -> values, slopes, ...`` as torch sees it.

    Args:
        run: computes ``slopes`` if the flags hold :data:`GRADIENT`; else they are empty.
        slopes: the gradient in plain torch, from the same inputs.
        fake: shapes and types of the results, for who traces.

    Returns:
        The kernel, to be called without that flag.
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

    def traced(*inputs: Any) -> tuple[Tensor, ...]:
        wanted = torch.is_grad_enabled() and inputs[0].requires_grad
        return op(*inputs[:-1], inputs[-1] | (GRADIENT if wanted else 0))

    return choice(
        run,
        lambda *inputs: Differentiable.apply(*inputs[:-1], inputs[-1] | GRADIENT),
        traced,
    )


def function(name: str, run: Callable, same: Callable, fake: Callable) -> Callable[..., Tensor]:
    """``run(energies, *tensors, *options) -> values`` as torch sees it; ``same`` in plain torch."""
    op = torch.library.custom_op(f"ebm_ocr::{name}", run, mutates_args=())
    op.register_fake(fake)
    op.register_vmap(functools.partial(_fold, op))
    either = formula(lambda *inputs: (run if can_look_at(inputs[0]) else op)(*inputs), same)
    return choice(run, either.apply, op)


def choice(plain: Callable, differentiable: Callable, traced: Callable) -> Callable:
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
