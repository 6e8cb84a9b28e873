"""The best path for the CPU, compiled by numba: one sample after the other, nothing of size (B, L, T) is ever built.

Same lattice as in :mod:`.reference`; sums are taken in float64. Everything is serial and releases the GIL, so callers
may use several threads or processes. In each function ``s`` is a state, ``i`` a window, and rows of states start with
two cells that stand for no state.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

WIDE = 48
"""From so many states on, vector instructions beat a loop that keeps its neighbours in registers."""

# What IEEE arithmetic is bent for: sums in any order and fused multiplication; NaN and inf keep their meaning.
compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "nsz", "contract"})


@compiled
def accepted(energies, targets, length, windows):
    """Whether a sample's lengths, classes and energies are what the door promises: no NaN, no -inf."""
    if not (0 <= windows <= energies.shape[0] and 0 <= length <= targets.size):
        return False
    for i in range(length):
        if not 0 <= targets[i] < energies.shape[1]:
            return False
    cells, bad = energies[:windows].reshape(-1), 0
    for i in range(cells.size):
        bad += not cells[i] > -math.inf  # counted, not left at the first: so it is vectorised
    return bad == 0


@compiled
def fill_lattice(targets, length, separator, optional, symbols, positions, detour, early):
    """Write the lattice of one target; return its number of states.

    Of each state: class, index in the target or -1, 1 if two states may be passed at once to enter it else 0, and the
    first window that can reach it.
    """
    if optional:
        symbols[0], positions[0], states = separator, -1, 1
        for i in range(length):
            if targets[i] != separator:
                symbols[states], positions[states] = targets[i], i
                symbols[states + 1], positions[states + 1] = separator, -1
                states += 2
            elif positions[states - 1] < 0:
                positions[states - 1] = i
    else:
        states = length
        for i in range(length):
            symbols[i], positions[i] = targets[i], i
    for s in range(states):
        passes = optional and s > 1 and s % 2 == 1 and symbols[s] != symbols[s - 2]
        detour[s] = 1.0 if passes else 0.0
        early[s] = 0 if s <= optional else early[s - 2 if detour[s] else s - 1] + 1
    return states


@compiled
def feasible(states, optional, early, windows):
    """Whether any path fits; without windows only that of an empty target with optional separators does."""
    if windows == 0 or states == 0:
        return windows == 0 and states == optional
    return early[max(states - 1 - optional, 0)] < windows


@compiled
def best_paths(energies, targets, window_lengths, target_lengths, separator, optional, strict, paths, values, gradient):
    """Best path of each sample into paths (B, L), values (B,) and, unless it is empty, gradient (B, L, C).

    Returns how many samples are not accepted, or with ``strict`` not feasible.
    """
    windows_most, size = energies.shape[1], 2 * targets.shape[1] + 1 if optional else targets.shape[1]
    symbols, positions, early = np.empty(size, np.uint64), np.empty(size, np.int64), np.empty(size, np.int64)
    detour, barrier = np.empty(size), np.empty(size)
    table = np.full((windows_most, size + 2), math.inf)
    refused = 0
    paths[:] = -1
    gradient[:] = 0
    for b in range(len(energies)):
        windows, length = window_lengths[b], target_lengths[b]
        if not accepted(energies[b], targets[b], length, windows):
            refused += 1
            continue
        states = fill_lattice(targets[b], length, separator, optional, symbols, positions, detour, early)
        possible = feasible(states, optional, early, windows)
        if windows == 0 or not possible:
            refused += strict and not possible
            values[b] = 0.0 if possible else math.inf
            continue
        row = table[0]
        row[:] = math.inf
        for s in range(min(1 + optional, states)):
            row[s + 2] = energies[b, 0, symbols[s]]
        if optional:
            for s in range(states):
                barrier[s] = 0.0 if detour[s] else math.inf
        for i in range(1, windows):
            row, following, energy = table[i - 1], table[i], energies[b, i]
            if states < WIDE:
                skip, advance = row[0], row[1]
                for s in range(states):
                    stay = row[s + 2]
                    lowest = advance if advance < stay else stay
                    if optional:
                        around = skip + barrier[s]
                        lowest = around if around < lowest else lowest
                    following[s + 2] = lowest + energy[symbols[s]]
                    skip, advance = advance, stay
            elif optional:
                for s in range(states):
                    stay, advance, around = row[s + 2], row[s + 1], row[s] + barrier[s]
                    lowest = advance if advance < stay else stay
                    following[s + 2] = (around if around < lowest else lowest) + energy[symbols[s]]
            else:
                for s in range(states):
                    stay, advance = row[s + 2], row[s + 1]
                    following[s + 2] = (advance if advance < stay else stay) + energy[symbols[s]]
        s, row = states - 1, table[windows - 1]
        if optional and s > 0 and (row[s + 1] < row[s + 2] or early[s] >= windows):
            s -= 1
        values[b] = row[s + 2]
        finite = row[s + 2] < math.inf
        for i in range(windows - 1, -1, -1):
            paths[b, i] = positions[s]
            if gradient.size and finite:
                gradient[b, i, symbols[s]] = 1
            if i > 0:
                stay, advance = table[i - 1, s + 2], table[i - 1, s + 1]
                move = int(advance < stay)
                if optional and detour[s] and table[i - 1, s] < min(stay, advance):
                    move = 2
                if not finite and early[s - move] >= i:  # all ways cost inf: take the first that is legal
                    move = 0 if early[s] < i else 1 if early[s - 1] < i else 2
                s -= move
    return refused
