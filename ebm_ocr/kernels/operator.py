"""One operator, ``ebm_ocr::align``: autograd, torch.compile and vmap see it whole, whatever computes it.

The gradient is computed within the forward pass, and only if somebody will ask for it. A second derivative is that of
:mod:`.reference`.
"""

from __future__ import annotations

import functools
import importlib.util
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..validation import check_values
from . import reference


def run(
    energies: Tensor,
    targets: Tensor,
    window_lengths: Tensor,
    target_lengths: Tensor,
    separator: int,
    optional: bool,
    beta: float,
    strict: bool,
    gradient: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Align (B, L, C) float32 or float64 energies with (B, T) targets.

    Returns:
        (B,) free energies; their gradient (B, L, C), empty if not wanted; and at ``beta = inf`` the (B, L) target
        index of each window on the best path, else empty.

    Raises:
        ValueError: see :func:`check`.
    """
    inputs = (energies.detach(), targets, window_lengths, target_lengths)
    if energies.device.type == "cpu":
        arrays = [tensor.contiguous().numpy() for tensor in inputs]
        shape = arrays[0].shape
        values, path = (
            np.empty(shape[0], arrays[0].dtype),
            np.empty(shape[:2] if beta == math.inf else (0, 0), np.int64),
        )
        slopes = np.empty(shape if gradient else (0, 0, 0), arrays[0].dtype)
        best_paths, free_energies = _cpu_kernels()
        if beta == math.inf:
            refused = best_paths[optional](*arrays, separator, strict, path, values, slopes)
        else:
            refused = free_energies(*arrays, separator, optional, strict, beta, values, slopes)
        if refused:
            check(*inputs, separator, optional, strict)
        return torch.from_numpy(values), torch.from_numpy(slopes), torch.from_numpy(path)
    lattice = check(*inputs, separator, optional, strict)
    if energies.device.type == "cuda" and _has_triton():
        from .cuda import align as align_on_cuda

        return align_on_cuda(inputs[0], lattice, window_lengths, beta, gradient)
    return by_reference(inputs[0], lattice, window_lengths, beta, gradient)


align = torch.library.custom_op("ebm_ocr::align", run, mutates_args=())
""":func:`run` as torch sees it."""


def is_plain(energies: Tensor) -> bool:
    """Whether nobody traces or transforms, so that torch's dispatcher may be passed by.

    It takes 10 microseconds, a third of what a small batch takes in all, and a second when it is first called.
    """
    return not (
        torch.compiler.is_compiling()
        or type(energies) not in (Tensor, torch.nn.Parameter)
        or torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack()
    )


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
        ValueError: lengths or classes out of range, NaN or -inf energies, or with ``strict`` a target that does not
            fit in its windows.
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


@functools.cache
def _cpu_kernels() -> tuple[dict[bool, Callable[..., int]], Callable[..., int]]:
    """The kernels for the CPU, loaded when they are first called: numba takes half a second."""
    from .cpu import BEST_PATHS
    from .cpu_sums import free_energies

    return BEST_PATHS, free_energies


def by_reference(
    energies: Tensor, lattice: reference.Lattice, window_lengths: Tensor, beta: float, gradient: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """What :func:`run` returns, on any device."""
    path = torch.empty(0, 0, dtype=torch.int64, device=energies.device)
    with torch.set_grad_enabled(gradient):
        leaf = energies.detach().requires_grad_(gradient)
        matrix = reference.path_matrix(leaf, lattice.symbols)
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
            (slopes,) = torch.autograd.grad(values.where(values < math.inf, 0).sum(), leaf)
    return values.detach(), slopes, path


def _has_triton() -> bool:
    """Whether the kernels for CUDA can be compiled."""
    return importlib.util.find_spec("triton") is not None


@align.register_fake
def _(energies, targets, window_lengths, target_lengths, separator, optional, beta, strict, gradient):  # type: ignore[no-untyped-def]
    batch, windows, _ = energies.shape
    slopes = energies.new_empty(energies.shape if gradient else (0, 0, 0))
    path = targets.new_empty((batch, windows) if beta == math.inf else (0, 0), dtype=torch.int64)
    return energies.new_empty(batch), slopes, path


def _save(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor, Tensor]) -> None:
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(output[1], *inputs[:4])
    ctx.options = inputs[4:7]


def _backward(ctx: Any, grad: Tensor | None, *_: Tensor) -> tuple[Tensor | None, ...]:
    if grad is None:
        return (None,) * 9
    slopes, energies, targets, window_lengths, target_lengths = ctx.saved_tensors
    separator, optional, beta = ctx.options
    if torch.is_grad_enabled() and math.isfinite(beta):  # somebody wants to differentiate again
        lattice = reference.build_lattice(targets, target_lengths, separator, optional)
        matrix = reference.path_matrix(energies, lattice.symbols)
        values = reference.free_energy(matrix, lattice, window_lengths, beta)
        (slopes,) = torch.autograd.grad(values.where(values < math.inf, 0).sum(), energies, create_graph=True)
    return grad[:, None, None] * slopes, *[None] * 8


align.register_autograd(_backward, setup_context=_save)


class Differentiable(torch.autograd.Function):
    """:func:`run` with its gradient, where torch need not see the operator."""

    forward = staticmethod(run)
    setup_context = staticmethod(_save)
    backward = staticmethod(_backward)


class AllWords(torch.autograd.Function):
    """:func:`.reference.all_words` with required separators and finite beta on the CPU, with its gradient."""

    @staticmethod
    def forward(
        energies: Tensor, window_lengths: Tensor, separator: int, beta: float, gradient: bool
    ) -> tuple[Tensor, Tensor]:
        from .cpu_words import sum_words

        array = energies.detach().contiguous().numpy()
        values, slopes = (
            np.empty(len(array), array.dtype),
            np.empty(array.shape if gradient else (0, 0, 0), array.dtype),
        )
        sum_words(array, window_lengths.contiguous().numpy(), separator, beta, values, slopes)
        return torch.from_numpy(values), torch.from_numpy(slopes)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1], *inputs[:2])
        ctx.options = inputs[2:4]

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        slopes, energies, window_lengths = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody wants to differentiate again
            separator, beta = ctx.options
            values = reference.all_words(energies, window_lengths, beta, True, separator)
            (slopes,) = torch.autograd.grad(values.where(values < math.inf, 0).sum(), energies, create_graph=True)
        return grad[:, None, None] * slopes, None, None, None, None


@align.register_vmap
def _(info: Any, in_dims: tuple, *inputs: Any) -> tuple:
    """One more dimension in front: fold it into the batch."""
    folded = []
    for value, dim in zip(inputs, in_dims):
        if isinstance(value, Tensor):
            value = value.expand(info.batch_size, *value.shape) if dim is None else value.movedim(dim, 0)
            value = value.flatten(0, 1)
        folded.append(value)
    results = align(*folded)
    shaped = [r.unflatten(0, (info.batch_size, -1)) if r.numel() else r for r in results]
    return tuple(shaped), tuple(0 if r.numel() else None for r in results)
