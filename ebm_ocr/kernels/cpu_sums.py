"""The free energy for the CPU, compiled by numba: sums over all paths, written as those in :mod:`.cpu`.

They are taken in the linear domain, which costs an addition where the log domain costs an exponential; a bound on what
underflow can have cut off is checked for each sample, and where it does not hold (energies spread over hundreds of
nats) the sample is done again in the log domain. ``step`` is the most states that a window can advance by.
"""

from __future__ import annotations

import math

import numpy as np

from .cpu import accepted, compiled, feasible, fill_lattice

TINY = 1e-290
"""A smaller sum is taken as 0, for speed: further down arithmetic gets slow."""
SMALLEST = 1e-100
"""A row's sum must stay above this, or the next row's scale could lift up what underflow has cut off."""
DROPPED = 1e-190
"""Bound on what a cell loses by :data:`TINY` or underflow, given that its row before sums to 1."""
NEGLIGIBLE = 1e-20
"""Part of the result that may be lost in a window."""


@compiled
def boltzmann(energies, windows, used, beta, weights):
    """Write ``exp(-beta (E - lowest))`` of each window (row) and used class; the sum of the lowest energies."""
    level = 0.0
    for i in range(windows):
        lowest = math.inf
        for k in range(used.size):
            lowest = min(lowest, energies[i, used[k]])
        if lowest == math.inf:
            return lowest
        level += lowest
        for k in range(used.size):
            weights[i, k] = math.exp(-beta * (energies[i, used[k]] - lowest))
    return level


@compiled
def linear_sum(energies, windows, states, detour, slots, used, optional, beta, forward, weights, gradient):
    """Free energy of one sample in the linear domain, rows rescaled; whether that was safe, and the value.

    The gradient, unless it is empty, is the posterior: forward sums times backward sums.
    """
    count, step = used.size, 1 + optional
    level = boltzmann(energies, windows, used, beta, weights)
    if level == math.inf:
        return True, level
    logarithm, product, total, dropped = 0.0, 1.0, 1.0, False
    forward[0] = 0
    forward[0, 2] = 1  # as if a window in front had shown the first state
    for i in range(windows):
        before, row, weight = forward[i], forward[i + 1], weights[i]
        first, last = max(0, states - step * (windows - i)), min(states - 1, step * i + optional)
        for k in range(count):
            weight[k] /= total
        total = 0.0
        row[:2] = 0
        skip, advance = before[first], before[first + 1]
        for s in range(first, last + 1):
            stay = before[s + 2]
            value = (stay + advance + detour[s] * skip) * weight[slots[s]]
            value = value if value > TINY else 0.0
            row[s + 2] = value
            total += value
            dropped |= value < DROPPED
            skip, advance = advance, stay
        row[last + 3 : last + 5] = 0
        if not total > SMALLEST:
            return False, 0.0
        product *= total
        if not 1e-150 < product < 1e150:
            logarithm, product = logarithm + math.log(product), 1.0
    logarithm += math.log(product) - math.log(total)  # the last row's sum is that of its doors alone
    row = forward[windows]
    total = row[states + 1] + (row[states] if optional else 0.0)
    if not total > SMALLEST:
        return False, 0.0
    value = level - (logarithm + math.log(total)) / beta
    if gradient.size == 0 and not dropped:
        return True, value

    backward, found = np.zeros(states + 2), np.empty(2 * count)
    for s in range(max(0, states - step), states):
        backward[s] = 1
    for i in range(windows - 1, -1, -1):
        row, weight = forward[i + 1], weights[i]
        last = min(states - 1, step * i + optional)
        first = max(0, states - step * (windows - i + 1))
        found[:] = 0
        mass = advance = skip = entered = 0.0
        for s in range(last, first - 1, -1):
            share = row[s + 2] * backward[s]
            found[slots[s] + np.uint64(count * (s >> 1 & 1))] += share  # two sums: one would wait for itself
            stay = backward[s] * weight[slots[s]]
            stay = stay if stay > TINY else 0.0
            backward[s] = stay + advance + skip
            mass += backward[s]
            skip, advance, entered = advance * entered, stay, detour[s]
        if gradient.size:
            for k in range(count):
                gradient[i, used[k]] = (found[k] + found[k + count]) / total
        if not DROPPED * (mass + 3) <= NEGLIGIBLE * total:
            return False, 0.0
    return True, value


@compiled
def softmin(first, second, beta):
    """Free energy of two energies, and the Gibbs probability of the second."""
    lowest, highest = min(first, second), max(first, second)
    if lowest == math.inf:
        return lowest, 0.0
    ratio = math.exp(-beta * (highest - lowest))
    return lowest - math.log1p(ratio) / beta, (ratio if first <= second else 1.0) / (1 + ratio)


@compiled
def log_sum(energies, windows, states, detour, symbols, optional, beta, gradient):
    """Free energy of one sample in the log domain, for energies of any spread.

    The gradient, unless it is empty, is the share of all paths that is in a state, passed back along their moves.
    """
    advanced, skipped = np.zeros((windows, states)), np.zeros((windows, states if optional else 0))
    row, following = np.full(states + 2, math.inf), np.full(states + 2, math.inf)
    for s in range(min(1 + optional, states)):
        row[s + 2] = energies[0, symbols[s]]
    for i in range(1, windows):
        for s in range(states):
            value, advanced[i, s] = softmin(row[s + 2], row[s + 1], beta)
            if optional and detour[s]:
                value, skipped[i, s] = softmin(value, row[s], beta)
                advanced[i, s] *= 1 - skipped[i, s]
            following[s + 2] = value + energies[i, symbols[s]]
        row, following = following, row
    value, door = row[states + 1], 0.0
    if optional and states > 1:
        value, door = softmin(value, row[states], beta)
    if gradient.size and value < math.inf:
        share = np.zeros(states)
        share[states - 1] = 1 - door
        if door > 0:
            share[states - 2] = door
        for i in range(windows - 1, -1, -1):
            for s in range(states):
                gradient[i, symbols[s]] += share[s]
                if s > 0:
                    one, two = share[s] * advanced[i, s], share[s] * skipped[i, s] if optional else 0.0
                    share[s] -= one + two
                    share[s - 1] += one
                    if two > 0:
                        share[s - 2] += two
    return value


@compiled
def free_energies(
    energies, targets, window_lengths, target_lengths, separator, optional, strict, beta, values, gradient
):
    """Free energy over all paths of each sample into values (B,) and, unless it is empty, gradient (B, L, C).

    Returns how many samples are not accepted, or with ``strict`` not feasible.
    """
    windows_most, classes, size = energies.shape[1], energies.shape[2], 2 * targets.shape[1] + 1
    size = size if optional else targets.shape[1]
    symbols, positions, early = np.empty(size, np.uint64), np.empty(size, np.int64), np.empty(size, np.int64)
    detour, slots = np.empty(size), np.empty(size, np.uint64)
    used, slot_of = np.empty(classes, np.uint64), np.empty(classes, np.int64)
    forward, weights = np.zeros((windows_most + 1, size + 4)), np.empty((windows_most, min(size, classes)))
    nothing = np.empty((0, classes), gradient.dtype)
    refused = 0
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
        count = 0
        slot_of[:] = -1
        for s in range(states):
            if slot_of[symbols[s]] < 0:
                slot_of[symbols[s]], used[count] = count, symbols[s]
                count += 1
            slots[s] = slot_of[symbols[s]]
        part = gradient[b] if gradient.size else nothing
        safe, value = linear_sum(
            energies[b], windows, states, detour, slots, used[:count], optional, beta, forward, weights, part
        )
        if not safe:
            part[:] = 0
            value = log_sum(energies[b], windows, states, detour, symbols, optional, beta, part)
        values[b] = value
    return refused
