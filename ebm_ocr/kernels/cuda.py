"""The recurrences for CUDA, in Triton: one program a sample, one state a lane,
in the log domain and in float64.

What is kept for the way back is the table of rows D, of :mod:`.reference`. The probability of each
move into a state follows from it, and the gradient is the share of all paths in each state, handed
back along those moves. A last kernel sums the shares of the states that show the same class, in a
fixed order, so two runs give the same bits.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from . import reference

INF = tl.constexpr(float("inf"))


@triton.jit
def load_three(row, s, inside, skip):
    """What a state is entered from: itself, the one before, the one before that."""
    stay = tl.load(row + 2 + s, inside, INF)
    advance = tl.load(row + 1 + s, inside, INF)
    around = tl.where(skip, tl.load(row + s, inside, INF), INF)
    return stay, advance, around, tl.minimum(tl.minimum(stay, advance), around)


@triton.jit
def fill_rows(energies, symbols, skips, windows, states, table, classes, longest, width, doors,
              beta, hard: tl.constexpr, block: tl.constexpr):  # fmt: skip
    """Fill a sample's (L, 2 + S) rows; the two cells in front of each stand
    for no state and hold inf."""
    sample = tl.program_id(0).to(tl.int64)
    beta = tl.load(beta)  # by address: a number would arrive as float32
    s = tl.arange(0, block)
    inside = s < tl.load(states + sample)
    skip = tl.load(skips + sample * width + s, inside, 0) != 0
    energy = (
        energies + sample * longest * classes + tl.load(symbols + sample * width + s, inside, 0)
    )
    row = table + sample * longest * (width + 2)
    wide: tl.constexpr = table.dtype.element_ty
    value = tl.where(inside & (s < doors), tl.load(energy, inside, 0.0).to(wide) * beta, INF)
    tl.store(row + 2 + s, value, s < width)
    for _ in range(1, tl.load(windows + sample)):
        tl.debug_barrier()  # the row before is there for all lanes
        stay, advance, around, lowest = load_three(row, s, inside, skip)
        row += width + 2
        energy += classes
        if not hard:
            base = tl.where(lowest < INF, lowest, 0.0)
            total = tl.exp(base - stay) + tl.exp(base - advance) + tl.exp(base - around)
            lowest -= tl.log(tl.where(lowest < INF, total, 1.0))
        value = lowest + tl.load(energy, inside, 0.0).to(wide) * beta
        tl.store(row + 2 + s, tl.where(inside, value, INF), s < width)


@triton.jit
def fill_shares(
    shares, skips, windows, states, table, passed, longest, width, doors, block: tl.constexpr
):
    """Fill a sample's (L, S) shares of all paths, from the last window to the first."""
    sample = tl.program_id(0).to(tl.int64)
    s = tl.arange(0, block)
    count, last = tl.load(states + sample), tl.load(windows + sample) - 1
    inside = s < count
    skip = tl.load(skips + sample * width + s, inside, 0) != 0
    row = table + (sample * longest + last) * (width + 2)
    share_row = shares + (sample * longest + last) * width
    one_row = passed + sample * 2 * (width + 2)
    two_row = one_row + width + 2
    value = tl.load(row + 2 + s, inside & (s >= count - doors), INF)
    lowest = tl.min(value, 0)
    if lowest < INF:
        share = tl.exp(lowest - value)
        share = share / tl.sum(share, 0)
        tl.store(share_row + s, share, s < width)
        for _ in range(last):
            row -= width + 2
            share_row -= width
            stay, advance, around, lowest_in = load_three(row, s, inside, skip)
            base = tl.where(lowest_in < INF, lowest_in, 0.0)
            one, two = tl.exp(base - advance), tl.exp(base - around)
            total = tl.exp(base - stay) + one + two
            total = tl.where(total > 0, total, 1.0)
            one, two = share * one / total, share * two / total
            tl.debug_barrier()  # nobody reads any more what was passed on a window ago
            tl.store(one_row + s, one, s < width)
            tl.store(two_row + s, two, s < width)
            tl.debug_barrier()
            share = share - one - two + tl.load(one_row + s + 1, s + 1 < width, 0.0)
            share += tl.load(two_row + s + 2, s + 2 < width, 0.0)
            tl.store(share_row + s, share, s < width)


@triton.jit
def scatter_shares(shares, symbols, states, gradient, classes, longest, width, block: tl.constexpr):
    """Sum the shares of a window by class, one state after the other."""
    window, sample = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    c = tl.arange(0, block)
    share = shares + (sample * longest + window) * width
    total = tl.zeros((block,), shares.dtype.element_ty)
    for s in range(tl.load(states + sample)):
        total += tl.where(c == tl.load(symbols + sample * width + s), tl.load(share + s), 0.0)
    tl.store(gradient + (sample * longest + window) * classes + c, total, c < classes)


@triton.jit
def trace(table, skips, windows, ends, path, longest, width):
    """Walk back from a sample's end; write the state of each window."""
    sample = tl.program_id(0).to(tl.int64)
    last = tl.load(windows + sample) - 1
    s = tl.load(ends + sample)
    row = table + (sample * longest + last) * (width + 2)
    place = path + sample * longest + last
    tl.store(place, s)
    for _ in range(last):
        row -= width + 2
        place -= 1
        stay, advance = tl.load(row + 2 + s), tl.load(row + 1 + s)
        around = tl.where(tl.load(skips + sample * width + s) != 0, tl.load(row + s), INF)
        s -= tl.where(around < tl.minimum(stay, advance), 2, tl.where(advance < stay, 1, 0))
        tl.store(place, s)


def align(
    energies: Tensor,
    lattice: reference.Lattice,
    window_lengths: Tensor,
    beta: float,
    gradient: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """What :func:`.operator.run` returns, from inputs that have been checked."""
    hard, fits = math.isinf(beta), reference.feasible(lattice, window_lengths)
    walks = fits & (window_lengths > 0)  # the others are without windows, or without a path
    windows, states = window_lengths.where(walks, 1), lattice.states.where(walks, 0)
    energies = energies.contiguous()
    batch, longest, classes = energies.shape
    width, doors = lattice.symbols.shape[1], lattice.doors
    symbols, skips = lattice.symbols.contiguous(), lattice.skips.to(torch.int8).contiguous()
    table = torch.full(
        (batch, longest, width + 2), math.inf, dtype=torch.float64, device=energies.device
    )
    block = triton.next_power_of_2(width)
    sizes = longest, width
    scale = torch.tensor([1.0 if hard else beta], dtype=torch.float64, device=energies.device)
    fill_rows[(batch,)](
        energies,
        symbols,
        skips,
        windows,
        states,
        table,
        classes,
        *sizes,
        doors,
        scale,
        hard=hard,
        block=block,
    )

    ends = (states[:, None] - 1 - torch.arange(doors, device=energies.device)).clamp(min=0)
    samples = torch.arange(batch, device=energies.device)
    doorways = table[samples, windows - 1].gather(1, ends + 2)
    # a single state is one end, not two
    doorways[:, 1:] = doorways[:, 1:].where(states[:, None] > 1, math.inf)
    values = reference.softmin(doorways.T, math.inf if hard else 1.0).where(walks, math.inf)
    values = (values if hard else values / beta).where(~fits | walks, 0)
    slopes = energies.new_zeros(energies.shape if gradient else (0, 0, 0))
    path = torch.empty(0, 0, dtype=torch.int64, device=energies.device)
    if not hard:
        if gradient:
            shares, passed = table.new_zeros(batch, *sizes), table.new_zeros(batch, 2, width + 2)
            fill_shares[(batch,)](
                shares, skips, windows, states, table, passed, *sizes, doors, block=block
            )
            columns = triton.next_power_of_2(classes)
            scatter_shares[(longest, batch)](
                shares, symbols, states, slopes, classes, *sizes, block=columns
            )
        return values, slopes, path
    steps = torch.full((batch, longest), -1, dtype=torch.int64, device=energies.device)
    best = ends.gather(1, doorways.argmin(1, keepdim=True))[:, 0]
    trace[(batch,)](table, skips, windows, best, steps, *sizes)
    # all ways cost inf: the first legal one is asked of the reference
    lost = walks & ~(values < math.inf)
    if lost.any():
        matrix = reference.path_matrix(energies, lattice.symbols)
        steps = steps.where(~lost[:, None], reference.best_path(matrix, lattice, window_lengths))
    steps = steps.where(walks[:, None], -1)
    if gradient:
        on_path = (steps >= 0) & (values < math.inf)[:, None]
        classes_on_path = lattice.symbols.gather(1, steps.clamp(min=0))[..., None]
        slopes.scatter_(2, classes_on_path, on_path[..., None].to(slopes.dtype))
    return values, slopes, lattice.positions.gather(1, steps.clamp(min=0)).where(steps >= 0, -1)
