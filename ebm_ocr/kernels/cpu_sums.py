"""The free energy for the CPU, compiled by numba: sums over all paths,
written as those in :mod:`.cpu`.

They are taken in the linear domain, which costs an addition where the log domain costs an
exponential; a bound on what underflow can have cut off is checked for each sample, and where it
does not hold (energies spread over hundreds of nats) the sample is done again in the log domain.
``step`` is the most states that a window can advance by.
"""

from __future__ import annotations

import math

import numpy as np

from .cpu import accepted, compiled, feasible, fill_lattice, most_states

TINY = 1e-290
"""A smaller sum is taken as 0, for speed: further down arithmetic gets slow."""
SMALLEST = 1e-100
"""A row's sum must stay above this, or the next row's scale could lift up
what underflow has cut off."""
DROPPED = 1e-190
"""Bound on what a cell loses by :data:`TINY` or underflow, given that its row before sums to 1."""
NEGLIGIBLE = 1e-20
"""Part of the result that may be lost in a window."""
RADIX, HALF, DOWN = 2.0**512, 2.0**256, 2.0**-512
"""Base of wide exponents, its root and its inverse."""
LOG_RADIX = 512 * math.log(2)
LOG2_E, LOG_2, LOG_2_REST = 1 / math.log(2), 0.693145751953125, 1.42860682030941723e-06
"""The logarithm of 2 in two parts, the first with few bits."""
BLOCK = 32
"""Windows whose Boltzmann weights are computed at once."""
NEVER = -1e306
"""Wide exponent of 0: no energy has one so low, and 4 of them are still a number."""


@compiled
def exponentials(values, bits):
    """``exp`` of numbers within -700 and 700, in place, all at once:
    the one of the C library takes them one by one.

    ``2 ** n`` by its bits, times Taylor's sum up to the twelfth power for what is
    left, at most half of log 2.
    """
    scales = bits.view(np.float64)
    for start in range(0, values.size, bits.size):
        part = values[start : start + bits.size]
        for k in range(part.size):
            power = np.rint(part[k] * LOG2_E)
            bits[k] = (np.int64(power) + 1023) << 52
            x = part[k] - power * LOG_2 - power * LOG_2_REST
            total = 1 / 479001600
            total = total * x + 1 / 39916800
            total = total * x + 1 / 3628800
            total = total * x + 1 / 362880
            total = total * x + 1 / 40320
            total = total * x + 1 / 5040
            total = total * x + 1 / 720
            total = total * x + 1 / 120
            total = total * x + 1 / 24
            total = total * x + 1 / 6
            total = total * x + 1 / 2
            part[k] = (total * x + 1) * x + 1
        for k in range(part.size):
            part[k] *= scales[k]


@compiled
def boltzmann(energies, windows, used, beta, weights):
    """Write ``exp(-beta (E - lowest))`` of each window (row) and used class;
    the sum of the lowest energies."""
    level = 0.0
    for i in range(windows):
        lowest = math.inf
        for k in range(used.size):
            lowest = min(lowest, energies[i, used[k]])
        if lowest == math.inf:
            return lowest
        level += lowest
        for k in range(used.size):
            weights[i, k] = max(-beta * (energies[i, used[k]] - lowest), -665.0)
    cells = weights.reshape(-1)
    exponentials(cells, np.empty(256, np.int64))
    for k in range(cells.size):
        cells[k] = cells[k] if cells[k] > 1e-288 else 0.0
    return level


@compiled
def linear_sum(
    energies, windows, states, detour, slots, used, optional, beta, forward, table, gradient
):
    """Free energy of one sample in the linear domain, rows rescaled;
    whether that was safe, and the value.

    The gradient, unless it is empty, is the posterior: forward sums times backward sums.
    """
    count, step = used.size, 1 + optional
    weights = table.reshape(-1)[: windows * count].reshape(windows, count)
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
    # the last row's sum is that of its doors alone
    logarithm += math.log(product) - math.log(total)
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
            # two sums: one would wait for itself
            found[slots[s] + np.uint64(count * (s >> 1 & 1))] += share
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
def wide_boltzmann(energies, used, beta, weights, powers):
    """:func:`boltzmann` for a few windows, each ``weight * RADIX ** power``."""
    level = 0.0
    for i in range(len(energies)):
        lowest = math.inf
        for k in range(used.size):
            lowest = min(lowest, energies[i, used[k]])
        if lowest == math.inf:
            return lowest
        level += lowest
        for k in range(used.size):
            exponent = min(beta * (energies[i, used[k]] - lowest) / LOG_RADIX, -NEVER)
            powers[i, k] = -np.rint(exponent)
            weights[i, k] = -LOG_RADIX * (exponent + powers[i, k])
    exponentials(weights.reshape(-1), np.empty(256, np.int64))
    for i in range(len(energies)):
        for k in range(used.size):
            weights[i, k] = weights[i, k] if powers[i, k] > NEVER else 0.0
    return level


@compiled
def rounded_shares(row, row_power, backward, behind, share):
    """Write a window's shares by the largest among them; their sum.

    For exponents beyond 2 ** 53, which are rounded: those up to a window and from there on then do
    not add up to those of all windows.
    """
    power, most, total = np.empty(share.size), 2 * NEVER, 0.0
    for s in range(share.size):
        x, k = row[s] * backward[s], row_power[s] + behind[s]
        k = k + 1 if x >= HALF else k - 1 if x < 1 / HALF else k
        share[s] = x * DOWN if x >= HALF else x * RADIX if x < 1 / HALF else x
        power[s] = k if x > 0 else 2 * NEVER
        most = max(most, power[s])
    for s in range(share.size):
        share[s] *= 1.0 if power[s] == most else DOWN if power[s] == most - 1 else 0.0
        total += share[s]
    return total


@compiled
def wide_sum(
    energies, windows, states, detour, slots, used, optional, beta, forward, powers, gradient
):
    """:func:`linear_sum` for energies of any spread: each cell has an exponent of its
    own, so nothing is cut off.

    A cell is ``x * RADIX ** k``, with x between the roots of 1 / RADIX and RADIX, or 0. Of two
    cells that are added the one with the lower k is brought down by a RADIX for each step; two
    steps down it is nothing.
    """
    level, far, count = 0.0, np.empty(states), used.size
    weight, power = np.zeros((BLOCK, count)), np.zeros((BLOCK, count))
    weights, raised = np.empty(states), np.empty(states)
    for s in range(states):
        far[s] = 0.0 if optional and detour[s] else 4 * NEVER  # below every 0
    forward[0], powers[0] = 0, NEVER
    forward[0, 2], powers[0, 2] = 1, 0
    for i in range(windows):
        at = i % BLOCK
        if at == 0:
            lowest = wide_boltzmann(
                energies[i : min(i + BLOCK, windows)], used, beta, weight, power
            )
            if lowest == math.inf:
                return lowest
            level += lowest
        for s in range(states):
            weights[s], raised[s] = weight[at, slots[s]], power[at, slots[s]]
        before, row, before_power, row_power = forward[i], forward[i + 1], powers[i], powers[i + 1]
        row[:], row_power[:] = 0, NEVER
        for s in range(min(states, (1 + optional) * i + 1 + optional)):
            stay, advance, skip = before_power[s + 2], before_power[s + 1], before_power[s] + far[s]
            top = max(stay, advance, skip)
            x = before[s + 2] * (1.0 if stay == top else DOWN if stay == top - 1 else 0.0)
            x += before[s + 1] * (1.0 if advance == top else DOWN if advance == top - 1 else 0.0)
            x += before[s] * (1.0 if skip == top else DOWN if skip == top - 1 else 0.0)
            x, k = x * weights[s], top + raised[s]
            k = k + 1 if x >= HALF else k - 1 if x < 1 / HALF else k
            x = x * DOWN if x >= HALF else x * RADIX if x < 1 / HALF else x
            row[s + 2], row_power[s + 2] = x, k if x > 0 else NEVER
    total, top = (
        0.0,
        max(powers[windows, states + 1], powers[windows, states] if optional else NEVER),
    )
    for s in range(max(0, states - 1 - optional), states):
        k = powers[windows, s + 2]
        total += forward[windows, s + 2] * (1.0 if k == top else DOWN if k == top - 1 else 0.0)
    if total == 0:
        return math.inf
    if gradient.size:
        backward, behind = np.zeros(states), np.full(states, NEVER)
        share, found = np.empty(states), np.empty(2 * count)
        left, left_power = np.zeros(states + 2), np.full(states + 2, NEVER)
        over = np.full(states + 2, 4 * NEVER)
        over[:states] = far
        for s in range(max(0, states - 1 - optional), states):
            backward[s], behind[s] = 1, 0
        for i in range(windows - 1, -1, -1):
            at = i % BLOCK
            if at == BLOCK - 1 and i < windows - 1:
                wide_boltzmann(energies[i - at : i + 1], used, beta, weight, power)
            for s in range(states):
                weights[s], raised[s] = weight[at, slots[s]], power[at, slots[s]]
            row, row_power = forward[i + 1], powers[i + 1]
            shares = 0.0
            for s in range(states):
                k = row_power[s + 2] + behind[s] - top
                scale = 1.0 if k == 0 else DOWN if k == -1 else RADIX if k == 1 else 0.0
                share[s] = row[s + 2] * backward[s] * scale
                shares += share[s]
            if not abs(shares - total) < 1e-6 * total:
                shares = rounded_shares(row[2:], row_power[2:], backward, behind, share)
            for s in range(states):
                x, k = backward[s] * weights[s], behind[s] + raised[s]
                k = k + 1 if x >= HALF else k - 1 if x < 1 / HALF else k
                x = x * DOWN if x >= HALF else x * RADIX if x < 1 / HALF else x
                left[s], left_power[s] = x, k if x > 0 else NEVER
            for s in range(states):
                stay, advance, skip = (
                    left_power[s],
                    left_power[s + 1],
                    left_power[s + 2] + over[s + 2],
                )
                top_here = max(stay, advance, skip)
                x = left[s] * (1.0 if stay == top_here else DOWN if stay == top_here - 1 else 0.0)
                x += left[s + 1] * (
                    1.0 if advance == top_here else DOWN if advance == top_here - 1 else 0.0
                )
                x += left[s + 2] * (
                    1.0 if skip == top_here else DOWN if skip == top_here - 1 else 0.0
                )
                backward[s], behind[s] = x, top_here
            found[:] = 0
            for s in range(states):
                found[slots[s] + np.uint64(count * (s >> 1 & 1))] += share[s]
            for k in range(count):
                gradient[i, used[k]] = (found[k] + found[k + count]) / shares
    return level - (math.log(total) + top * LOG_RADIX) / beta


@compiled
def free_energies(
    energies,
    targets,
    window_lengths,
    target_lengths,
    separator,
    optional,
    strict,
    beta,
    values,
    gradient,
):
    """Free energy over all paths of each sample into values (B,) and,
    unless it is empty, gradient (B, L, C).

    Returns how many samples are not accepted, or with ``strict`` not feasible.
    """
    windows_most, classes = energies.shape[1], energies.shape[2]
    size = most_states(targets, target_lengths, separator, optional)
    symbols, positions, early = (
        np.empty(size, np.uint64),
        np.empty(size, np.int64),
        np.empty(size, np.int64),
    )
    detour, slots = np.empty(size), np.empty(size, np.uint64)
    used, slot_of = np.empty(classes, np.uint64), np.empty(classes, np.int64)
    forward, table = np.zeros((windows_most + 1, size + 4)), np.empty((windows_most + 1, size + 4))
    nothing = np.empty((0, classes), gradient.dtype)
    refused = 0
    gradient[:] = 0
    for b in range(len(energies)):
        windows, length = window_lengths[b], target_lengths[b]
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
            energies[b],
            windows,
            states,
            detour,
            slots,
            used[:count],
            optional,
            beta,
            forward,
            table,
            part,
        )
        if not safe:
            part[:] = 0
            value = wide_sum(
                energies[b],
                windows,
                states,
                detour,
                slots,
                used[:count],
                optional,
                beta,
                forward,
                table,
                part,
            )
        values[b] = value
    return refused
