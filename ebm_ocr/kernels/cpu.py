"""The best path for the CPU, compiled by numba: one sample after the other,
nothing of size (B, L, T) is ever built.

Same :class:`Lattice` as in :mod:`.reference`, of one sample; sums are taken in float64. Everything
is serial and releases the GIL, so callers may use several threads or processes. In each function
``b`` is a sample, ``i`` a window, ``s`` a state, and rows of states start with two cells that stand
for no state. ``gap`` is the class of optional separators, None where they are required: then the
compiler drops what is behind ``if gap is not None``, so each topology has code of its own.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable

import numpy as np
from numba import njit

from .reference import Lattice

EMPTY, NO_PATH, REFUSED = 0, -1, -2
"""What a sample can be instead of states to walk through: a path without windows, a target that
does not fit in them, and what the door does not let in."""
WIDE = 48
"""From so many states on, vector instructions beat a loop that keeps
its neighbours in registers."""


def compiled(function: Callable) -> Callable:
    """A kernel, kept for later processes where there is a place to keep it.

    IEEE arithmetic is bent for sums in any order and fused multiplication; NaN and inf keep their
    meaning.
    """
    kernel = functools.partial(
        njit, nogil=True, error_model="numpy", fastmath={"reassoc", "nsz", "contract"}
    )
    try:
        return kernel(cache=True)(function)
    except (RuntimeError, OSError):  # a read-only package, and no home to put a cache
        _warn_uncached()
        return kernel()(function)


@functools.cache
def _warn_uncached() -> None:
    """Say once why each process waits."""
    warnings.warn(
        "no folder to keep compiled kernels in: each process compiles them anew, some ten seconds. "
        "Set NUMBA_CACHE_DIR to a folder that can be written to",
        stacklevel=2,
    )


@compiled
def accepted(energies, target, windows, length):
    """Whether a sample's lengths, classes and energies are what the door
    promises: no NaN, no -inf."""
    if not (0 <= windows <= energies.shape[0] and 0 <= length <= target.size):
        return False
    for k in range(length):
        if not 0 <= target[k] < energies.shape[1]:
            return False
    cells, bad = energies[:windows].reshape(-1), 0
    for k in range(cells.size):
        bad += not cells[k] > -math.inf  # counted, not left at the first: so it is vectorised
    return bad == 0


@compiled
def room_for(targets, target_lengths, gap):
    """A lattice to be filled, large enough for each sample of a batch.

    ``skips`` are numbers, 1.0 or 0.0: sums multiply by them.
    """
    size, doors = targets.shape[1], 1
    if gap is not None:
        most, doors = 0, 2
        for b in range(len(targets)):
            letters = 0
            for k in range(max(0, min(target_lengths[b], targets.shape[1]))):
                letters += targets[b, k] != gap
            most = max(most, letters)
        size = 2 * most + 1
    symbols, skips = np.empty(size, np.uint64), np.empty(size)
    positions, earliest = np.empty(size, np.int64), np.empty(size, np.int64)
    return Lattice(symbols, positions, skips, earliest, size, doors)  # type: ignore[arg-type]


@compiled
def fill_lattice(target, gap, lattice):
    """Write the lattice of one target; return its number of states."""
    symbols, positions, earliest = lattice.symbols, lattice.positions, lattice.earliest
    lattice.skips[:] = 0
    if gap is None:
        for s in range(target.size):
            symbols[s], positions[s], earliest[s] = target[s], s, s
        return target.size
    symbols[0], positions[0], earliest[0], states = gap, -1, 0, 1
    for k in range(target.size):
        if target[k] != gap:
            skips = states > 1 and target[k] != symbols[states - 2]
            lattice.skips[states] = 1.0 if skips else 0.0
            symbols[states], positions[states] = target[k], k
            earliest[states] = 0 if states == 1 else earliest[states - 2] + (1 if skips else 2)
            symbols[states + 1], positions[states + 1] = gap, -1
            earliest[states + 1] = earliest[states] + 1
            states += 2
        elif positions[states - 1] < 0:
            positions[states - 1] = k
    return states


@compiled
def enter(inputs, b, gap, lattice):
    """Look at a sample and write its lattice: the number of states, or what it is instead."""
    energies, targets, window_lengths, target_lengths = inputs
    windows, length = window_lengths[b], target_lengths[b]
    if not accepted(energies[b], targets[b], windows, length):
        return REFUSED
    states = fill_lattice(targets[b, :length], gap, lattice)
    if windows == 0 or states == 0:
        return EMPTY if windows == 0 and states == lattice.doors - 1 else NO_PATH
    fits = lattice.earliest[max(states - lattice.doors, 0)] < windows
    return states if fits else NO_PATH


@compiled
def legal_move(earliest, s, i, move):
    """The move back from state ``s`` at window ``i``; where all ways cost inf,
    the first that leads to the start."""
    if earliest[s - move] < i:
        return move
    return 0 if earliest[s] < i else 1 if earliest[s - 1] < i else 2


@compiled
def fill_table(energies, lattice, states, gap, barriers, table):
    """Write for each window and state the least energy of a path to it; and of each state what a
    skip into it costs, 0 or inf."""
    symbols = lattice.symbols
    row = table[0]
    row[:] = math.inf
    for s in range(min(lattice.doors, states)):
        row[s + 2] = energies[0, symbols[s]]
    for s in range(states):
        barriers[s] = 0.0 if lattice.skips[s] else math.inf
    for i in range(1, len(energies)):
        row, following, energy = table[i - 1], table[i], energies[i]
        if gap is not None:
            # a separator and the letter behind it, which alone a skip may enter
            for k in range(states // 2):
                before, stay, letter = row[2 * k + 1], row[2 * k + 2], row[2 * k + 3]
                following[2 * k + 2] = (before if before < stay else stay) + energy[gap]
                lowest = stay if stay < letter else letter
                skip = before + barriers[2 * k + 1]
                lowest = skip if skip < lowest else lowest
                following[2 * k + 3] = lowest + energy[symbols[2 * k + 1]]
            before, stay = row[states], row[states + 1]
            following[states + 1] = (before if before < stay else stay) + energy[gap]
        elif states < WIDE:
            advance = row[1]
            for s in range(states):
                stay = row[s + 2]
                following[s + 2] = (advance if advance < stay else stay) + energy[symbols[s]]
                advance = stay
        else:
            for s in range(states):
                stay, advance = row[s + 2], row[s + 1]
                following[s + 2] = (advance if advance < stay else stay) + energy[symbols[s]]


@compiled
def walk_back(table, lattice, states, gap, barriers, chosen):
    """Write the state of each window on the best path; its energy."""
    windows, earliest = len(table), lattice.earliest
    s, row = states - 1, table[-1]
    if gap is not None:  # noqa: SIM102 - by itself the compiler drops it
        if s > 0 and (row[s + 1] < row[s + 2] or earliest[s] >= windows):
            s -= 1
    energy = row[s + 2]
    for i in range(windows - 1, 0, -1):
        chosen[i] = s
        stay, advance = table[i - 1, s + 2], table[i - 1, s + 1]
        move = int(advance < stay)  # arithmetic, not branches: nobody can predict them
        if gap is not None:
            skip = table[i - 1, s] + barriers[s]
            move += (2 - move) * int(skip < (advance if advance < stay else stay))
        s -= move if energy < math.inf else legal_move(earliest, s, i, move)
    chosen[0] = s
    return energy


@compiled
def best_paths(inputs, gap, results):
    """Best path of each sample into ``values`` (B,), ``slopes`` (B, L, C) unless that is empty, and
    ``path`` (B, L).

    Returns the worst that a sample is, 0 where each has a path.
    """
    energies, targets, window_lengths, target_lengths = inputs
    values, slopes, path = results
    lattice = room_for(targets, target_lengths, gap)
    table = np.full((energies.shape[1], lattice.states + 2), math.inf)
    barriers, chosen = np.empty(lattice.states), np.empty(energies.shape[1], np.int64)
    worst = 0
    slopes[:] = 0
    for b in range(len(energies)):
        states, windows = enter(inputs, b, gap, lattice), window_lengths[b]
        if states <= 0:
            values[b] = 0.0 if states == EMPTY else math.inf
            path[b] = -1
            worst = min(worst, states)
            continue
        fill_table(energies[b, :windows], lattice, states, gap, barriers, table)
        energy = walk_back(table[:windows], lattice, states, gap, barriers, chosen)
        values[b] = energy
        for i in range(windows):
            path[b, i] = lattice.positions[chosen[i]]
        path[b, windows:] = -1
        if slopes.size and energy < math.inf:
            for i in range(windows):
                slopes[b, i, lattice.symbols[chosen[i]]] = 1
    return worst
