"""The best path for the CPU, compiled by numba: one sample after the other,
nothing of size (B, L, T) is ever built.

Same lattice as in :mod:`.reference`; sums are taken in float64. Everything is serial and releases
the GIL, so callers may use several threads or processes. In each function ``s`` is a state, ``i`` a
window, and rows of states start with two cells that stand for no state.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable

import numpy as np
from numba import njit

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
def accepted(energies, targets, length, windows):
    """Whether a sample's lengths, classes and energies are what the door
    promises: no NaN, no -inf."""
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

    Of each state: class, index in the target or -1, 1 if two states may be passed at once to enter
    it else 0, and the first window that can reach it.
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
    """Whether any path fits; without windows only that of an empty target with
    optional separators does."""
    if windows == 0 or states == 0:
        return windows == 0 and states == optional
    return early[max(states - 1 - optional, 0)] < windows


@compiled
def legal_move(early, s, i, move):
    """The move back from state ``s`` at window ``i``; where all ways cost inf,
    the first that leads to the start."""
    if early[s - move] < i:
        return move
    return 0 if early[s] < i else 1 if early[s - 1] < i else 2


@compiled
def most_states(targets, target_lengths, separator, optional):
    """States that the largest lattice of a batch has."""
    if not optional:
        return targets.shape[1]
    most = 0
    for b in range(len(targets)):
        letters = 0
        for i in range(max(0, min(target_lengths[b], targets.shape[1]))):
            letters += targets[b, i] != separator
        most = max(most, letters)
    return 2 * most + 1


def specialised(optional):
    """:func:`best_paths` for one topology: as a variable,
    ``optional`` would keep loops from being vectorised."""

    @compiled
    def best_paths(
        energies,
        targets,
        window_lengths,
        target_lengths,
        separator,
        strict,
        paths,
        values,
        gradient,
    ):
        """Best path of each sample into paths (B, L), values (B,) and,
        unless it is empty, gradient (B, L, C).

        Returns how many samples are not accepted, or with ``strict`` not feasible.
        """
        windows_most, size = (
            energies.shape[1],
            most_states(targets, target_lengths, separator, optional),
        )
        symbols, positions, early = (
            np.empty(size, np.uint64),
            np.empty(size, np.int64),
            np.empty(size, np.int64),
        )
        detour, barrier = np.empty(size), np.empty(size)
        table = np.full((windows_most, size + 2), math.inf)
        refused = 0
        gradient[:] = 0
        for b in range(len(energies)):
            windows, length = window_lengths[b], target_lengths[b]
            paths[b, max(windows, 0) :] = -1
            if not accepted(energies[b], targets[b], length, windows):
                refused += 1
                continue
            states = fill_lattice(
                targets[b], length, separator, optional, symbols, positions, detour, early
            )
            possible = feasible(states, optional, early, windows)
            if windows == 0 or not possible:
                refused += strict and not possible
                values[b] = 0.0 if possible else math.inf
                paths[b] = -1
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
                if optional:
                    gap = energy[separator]
                    # a separator and the letter behind it, which alone a detour may enter
                    for j in range(states // 2):
                        before, stay, letter = row[2 * j + 1], row[2 * j + 2], row[2 * j + 3]
                        following[2 * j + 2] = (before if before < stay else stay) + gap
                        lowest = stay if stay < letter else letter
                        around = before + barrier[2 * j + 1]
                        following[2 * j + 3] = (around if around < lowest else lowest) + energy[
                            symbols[2 * j + 1]
                        ]
                    before, stay = row[states], row[states + 1]
                    following[states + 1] = (before if before < stay else stay) + gap
                elif states < WIDE:
                    advance = row[1]
                    for s in range(states):
                        stay = row[s + 2]
                        following[s + 2] = (advance if advance < stay else stay) + energy[
                            symbols[s]
                        ]
                        advance = stay
                else:
                    for s in range(states):
                        stay, advance = row[s + 2], row[s + 1]
                        following[s + 2] = (advance if advance < stay else stay) + energy[
                            symbols[s]
                        ]
            s, row = states - 1, table[windows - 1]
            if optional and s > 0 and (row[s + 1] < row[s + 2] or early[s] >= windows):
                s -= 1
            values[b] = row[s + 2]
            finite = row[s + 2] < math.inf
            for i in range(windows - 1, 0, -1):
                paths[b, i] = positions[s]
                if gradient.size and finite:
                    gradient[b, i, symbols[s]] = 1
                stay, advance = table[i - 1, s + 2], table[i - 1, s + 1]
                move = int(advance < stay)  # arithmetic, not branches: nobody can predict them
                if optional:
                    around = table[i - 1, s] + barrier[s]
                    move += (2 - move) * int(around < (advance if advance < stay else stay))
                s -= move if finite else legal_move(early, s, i, move)
            paths[b, 0] = positions[s]
            if gradient.size and finite:
                gradient[b, 0, symbols[s]] = 1
        return refused

    return best_paths


BEST_PATHS = {optional: specialised(optional) for optional in (False, True)}
