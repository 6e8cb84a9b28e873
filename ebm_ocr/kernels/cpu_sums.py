"""The free energy for the CPU, compiled by numba: sums over all paths,
written as those in :mod:`.cpu`.

They are taken in the linear domain, which costs an addition where the log domain costs an
exponential. What may get lost there is bounded for each sample, see :func:`linear_posterior`; where
it may be too much (energies spread over hundreds of nats) the sample is done again with an exponent
for each cell, :func:`wide_sum`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .cpu import EMPTY, compiled, enter, room_for
from .reference import Lattice

DEEPEST, FAINT = -665.0, 1e-288
"""The lowest exponent that is taken, and just above its exponential the weight that counts as 0."""
TINY = 1e-290
"""A smaller sum is taken as 0, for speed: further down arithmetic gets slow."""
LOST = 1e-287
"""More than a cell can lose at once, see :func:`linear_posterior`."""
UNHURT = 1e-270
"""A cell above this cannot have lost a part that shows."""
SMALLEST = 1e-100
"""A row's sum must stay above this, so that the next one's scale stays a number."""
NEGLIGIBLE = 1e-20
"""Part of the result that a window may lose."""
RADIX, HALF, DOWN = 2.0**512, 2.0**256, 2.0**-512
"""Base of wide exponents, its root and its inverse."""
LOG_RADIX = 512 * math.log(2)
LOG2_E, LOG_2, LOG_2_REST = 1 / math.log(2), 0.693145751953125, 1.42860682030941723e-06
"""The logarithm of 2 in two parts, the first with few bits."""
CHUNK = 256
"""Exponentials taken at once."""
BLOCK = 32
"""Windows whose wide weights are computed at once."""
NEVER = -1e306
"""Wide exponent of 0: no energy has one so low, and 4 of them are still a number."""
ROUNDED = 1e-6
"""Exponents beyond 2 ** 53 are rounded; the sums over two windows then differ by more than this."""


class Sample(NamedTuple):
    """What is computed with: one sample, and what its kernels share."""

    energies: Any
    """(L, C), the windows that count."""
    lattice: Lattice
    """Its first ``states`` states."""
    states: int
    used: Any
    """(K,) the classes that the lattice shows, each once."""
    slots: Any
    """(S,) which of them a state shows."""
    beta: float
    forward: Any
    """(L + 1, 2 + S + 2) rows of sums over the paths up to a window and state; the first is that
    of a window in front that shows the first state."""
    table: Any
    """As large: the weights (L, K) of the linear sum, the exponents of the wide one's rows."""


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
def lowest_used(energy, used):
    """The lowest energy of a window among the classes used."""
    lowest = math.inf
    for k in range(used.size):
        lowest = min(lowest, energy[used[k]])
    return lowest


@compiled
def boltzmann(energies, used, beta, weights):
    """Write ``exp(-beta (E - lowest))`` of each window (row) and used class;
    the sum of the lowest energies."""
    level = 0.0
    for i in range(len(energies)):
        lowest = lowest_used(energies[i], used)
        if lowest == math.inf:
            return lowest
        level += lowest
        for k in range(used.size):
            weights[i, k] = max(-beta * (energies[i, used[k]] - lowest), DEEPEST)
    cells = weights.reshape(-1)
    exponentials(cells, np.empty(CHUNK, np.int64))
    for k in range(cells.size):
        cells[k] = cells[k] if cells[k] > FAINT else 0.0
    return level


@compiled
def linear_sum(sample, weights, gap):
    """Free energy of one sample in the linear domain, rows rescaled: the value, the last sum, 0 if
    it may not be used, and whether a cell may have lost something.

    The weights (L, K) of a window come out divided by the sum of the row before it.
    """
    energies, lattice, states, used, slots, beta, forward, _ = sample
    doors, skips, windows = lattice.doors, lattice.skips, len(energies)
    level = boltzmann(energies, used, beta, weights)
    if level == math.inf:
        return level, 1.0, False
    logarithm, product, total, hurt = 0.0, 1.0, 1.0, False
    forward[0] = 0
    forward[0, 2] = 1
    for i in range(windows):
        before, row, weight = forward[i], forward[i + 1], weights[i]
        # those that can be reached, and from which the end can be
        first, last = max(0, states - doors * (windows - i)), min(states, doors * (i + 1)) - 1
        for k in range(used.size):
            weight[k] /= total
        total = 0.0
        row[:2] = 0
        skip, advance = before[first], before[first + 1]
        for s in range(first, last + 1):
            stay = before[s + 2]
            entered = stay + advance
            if gap is not None:
                entered += skips[s] * skip
            value = entered * weight[slots[s]]
            value = value if value > TINY else 0.0
            row[s + 2] = value
            total += value
            hurt |= value < UNHURT
            skip, advance = advance, stay
        row[last + 3 : last + 5] = 0
        if not total > SMALLEST:
            return 0.0, 0.0, True
        product *= total
        if not 1e-150 < product < 1e150:
            logarithm, product = logarithm + math.log(product), 1.0
    # of the last row only the doors count
    logarithm += math.log(product) - math.log(total)
    total = forward[windows, states + 1]
    if doors == 2:
        total += forward[windows, states]
    if not total > SMALLEST:
        return 0.0, 0.0, True
    return level - (logarithm + math.log(total)) / beta, total, hurt


@compiled
def linear_posterior(sample, weights, total, hurt, gap, slopes):
    """Write the posterior (L, C), unless that is None: forward sums times backward sums, as a part
    of the last sum. Whether what was cut off is a negligible part of it.

    Take the rows as they stand, each from the row before it divided by its sum. A cell adds up to
    three cells of such a row, at most 1, and multiplies by a weight of at most 1. It loses the
    weight where that is taken as 0 (:data:`FAINT`), itself where it is (:data:`TINY`), or an
    underflow: less than :data:`LOST` in all. What a cell loses would have gone on to the last sum
    by the weights of all ways from there, its backward sum. A path that is missing is missed for
    the first time somewhere, so the last sum lacks at most ``LOST * mass`` for each window, mass
    the sum of a row's backward sums: at most :data:`NEGLIGIBLE` of it.

    These must not come out too small, or what is cut off on the way back hides what was cut off on
    the way there. So where anything may have been lost they are rounded up: a weight counts at
    least as FAINT, in the row's scale, a product at least as TINY; what overflows fails the test.
    That adds to the shares of a window what a later one would lose, by the same sum at most
    NEGLIGIBLE for each: smaller shares than all of that are not known, and written as 0. Where
    nothing was lost each cell of a row is above :data:`UNHURT`; what falls below TINY on the way
    back is nothing beside that.
    """
    _, lattice, states, used, slots, _, forward, _ = sample
    doors, skips, windows, count = lattice.doors, lattice.skips, len(weights), used.size
    backward, found = np.zeros(states + 2), np.zeros(2 * count)
    backward[max(0, states - doors) : states] = 1
    # neighbours that show the same class add to different sums: none waits for the other
    places = slots[:states] + (np.arange(states) // 2 % 2 * count).astype(np.uint64)
    floor, known = (TINY, 2 * windows * NEGLIGIBLE * total) if hurt else (0.0, 0.0)
    for i in range(windows - 1, -1, -1):
        row, weight = forward[i + 1], weights[i]
        faint = FAINT * weight.max() if hurt else 0.0  # the largest was 1 before it was divided
        last = min(states, doors * (i + 1)) - 1
        first = max(0, states - doors * (windows - i + 1))
        mass = advance = skip = entered = 0.0
        for s in range(last, first - 1, -1):
            if slopes is not None:
                found[places[s]] += row[s + 2] * backward[s]
            factor = weight[slots[s]]
            stay = backward[s] * (factor if factor > faint else faint)
            stay = stay if stay > TINY else floor
            backward[s] = stay + advance
            if gap is not None:
                backward[s] += skip
                skip, entered = advance * entered, skips[s]
            mass += backward[s]
            advance = stay
        if hurt and not LOST * mass <= NEGLIGIBLE * total:
            return False
        if slopes is not None:
            for k in range(count):
                share = found[k] + found[k + count]
                slopes[i, used[k]] = share / total if share > known else 0.0
                found[k] = found[k + count] = 0
    return True


@compiled
def rescaled(x, k):
    """``x * RADIX ** k`` with x between the roots of 1 / RADIX and RADIX, or 0."""
    power = k + 1 if x >= HALF else k - 1 if x < 1 / HALF else k
    return x * DOWN if x >= HALF else x * RADIX if x < 1 / HALF else x, power


@compiled
def brought_down(x, k, top):
    """``x * RADIX ** k`` in units of ``RADIX ** top``; two steps down it is nothing."""
    return x * (1.0 if k == top else DOWN if k == top - 1 else 0.0)


@compiled
def wide_boltzmann(energies, used, beta, weights, powers):
    """:func:`boltzmann` for a few windows, each ``weight * RADIX ** power``."""
    level = 0.0
    for i in range(len(energies)):
        lowest = lowest_used(energies[i], used)
        if lowest == math.inf:
            return lowest
        level += lowest
        for k in range(used.size):
            exponent = min(beta * (energies[i, used[k]] - lowest) / LOG_RADIX, -NEVER)
            powers[i, k] = -np.rint(exponent)
            weights[i, k] = -LOG_RADIX * (exponent + powers[i, k])
    exponentials(weights.reshape(-1), np.empty(CHUNK, np.int64))
    for i in range(len(energies)):
        for k in range(used.size):
            weights[i, k] = weights[i, k] if powers[i, k] > NEVER else 0.0
    return level


@compiled
def wide_sum(sample, slopes):
    """:func:`linear_sum` for energies of any spread: each cell has an exponent of its
    own, so nothing is cut off.

    A cell is ``x * RADIX ** k``, see :func:`rescaled`.
    """
    energies, lattice, states, used, slots, beta, forward, powers = sample
    doors, windows, count = lattice.doors, len(energies), used.size
    level, far = 0.0, np.empty(states)
    weight, power = np.zeros((BLOCK, count)), np.zeros((BLOCK, count))
    weights, raised = np.empty(states), np.empty(states)
    for s in range(states):
        far[s] = 0.0 if lattice.skips[s] else 4 * NEVER  # below every 0
    forward[0], powers[0] = 0, NEVER
    forward[0, 2], powers[0, 2] = 1, 0
    for i in range(windows):
        at = i % BLOCK
        if at == 0:
            lowest = wide_boltzmann(energies[i : i + BLOCK], used, beta, weight, power)
            if lowest == math.inf:
                return lowest
            level += lowest
        for s in range(states):
            weights[s], raised[s] = weight[at, slots[s]], power[at, slots[s]]
        before, row, before_power, row_power = forward[i], forward[i + 1], powers[i], powers[i + 1]
        row[:], row_power[:] = 0, NEVER
        for s in range(min(states, doors * (i + 1))):
            stay, advance, skip = before_power[s + 2], before_power[s + 1], before_power[s] + far[s]
            top = max(stay, advance, skip)
            x = brought_down(before[s + 2], stay, top)
            x += brought_down(before[s + 1], advance, top)
            x += brought_down(before[s], skip, top)
            x, k = rescaled(x * weights[s], top + raised[s])
            row[s + 2], row_power[s + 2] = x, k if x > 0 else NEVER
    total, top = 0.0, powers[windows, states + 1]
    if doors == 2:
        top = max(top, powers[windows, states])
    for s in range(max(0, states - doors), states):
        total += brought_down(forward[windows, s + 2], powers[windows, s + 2], top)
    if total == 0:
        return math.inf
    if slopes.size:
        wide_posterior(sample, far, total, top, slopes)
    return level - (math.log(total) + top * LOG_RADIX) / beta


@compiled
def wide_posterior(sample, far, total, top, slopes):
    """:func:`linear_posterior` with an exponent for each cell; the last sum is that of
    ``total * RADIX ** top``."""
    energies, lattice, states, used, slots, beta, forward, powers = sample
    doors, windows, count = lattice.doors, len(energies), used.size
    weight, power = np.zeros((BLOCK, count)), np.zeros((BLOCK, count))
    weights, raised = np.empty(states), np.empty(states)
    backward, behind = np.zeros(states), np.full(states, NEVER)
    share, found = np.empty(states), np.empty(2 * count)
    left, left_power = np.zeros(states + 2), np.full(states + 2, NEVER)
    over = np.full(states + 2, 4 * NEVER)
    over[:states] = far
    for s in range(max(0, states - doors), states):
        backward[s], behind[s] = 1, 0
    for i in range(windows - 1, -1, -1):
        at = i % BLOCK
        if at == BLOCK - 1 or i == windows - 1:
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
        if not abs(shares - total) < ROUNDED * total:
            shares = rounded_shares(row[2:], row_power[2:], backward, behind, share)
        for s in range(states):
            x, k = rescaled(backward[s] * weights[s], behind[s] + raised[s])
            left[s], left_power[s] = x, k if x > 0 else NEVER
        for s in range(states):
            stay, advance, skip = left_power[s], left_power[s + 1], left_power[s + 2] + over[s + 2]
            behind[s] = max(stay, advance, skip)
            x = brought_down(left[s], stay, behind[s])
            x += brought_down(left[s + 1], advance, behind[s])
            backward[s] = x + brought_down(left[s + 2], skip, behind[s])
        found[:] = 0
        for s in range(states):
            found[slots[s] + np.uint64(count * (s >> 1 & 1))] += share[s]
        for k in range(count):
            slopes[i, used[k]] = (found[k] + found[k + count]) / shares


@compiled
def rounded_shares(row, row_power, backward, behind, share):
    """Write a window's shares by the largest among them; their sum.

    For exponents that are rounded: those up to a window and from there on then do not add up to
    those of all windows.
    """
    power, most, total = np.empty(share.size), 2 * NEVER, 0.0
    for s in range(share.size):
        share[s], k = rescaled(row[s] * backward[s], row_power[s] + behind[s])
        power[s] = k if share[s] > 0 else 2 * NEVER
        most = max(most, power[s])
    for s in range(share.size):
        share[s] = brought_down(share[s], power[s], most)
        total += share[s]
    return total


@compiled
def assign_slots(symbols, used, slots, slot_of):
    """Write which classes a lattice shows, and which of them each state; how many there are."""
    count = 0
    slot_of[:] = -1
    for s in range(slots.size):
        if slot_of[symbols[s]] < 0:
            slot_of[symbols[s]], used[count] = count, symbols[s]
            count += 1
        slots[s] = slot_of[symbols[s]]
    return count


@compiled
def free_energies(inputs, gap, beta, results):
    """Free energy over all paths of each sample into ``values`` (B,) and ``slopes`` (B, L, C),
    unless that is empty.

    Returns the worst that a sample is, 0 where each has a path.
    """
    energies, targets, window_lengths, target_lengths = inputs
    values, gradient, _ = results
    lattice = room_for(targets, target_lengths, gap)
    size, longest, classes = lattice.states, energies.shape[1], energies.shape[2]
    slots, used = np.empty(size, np.uint64), np.empty(classes, np.uint64)
    slot_of = np.empty(classes, np.int64)
    forward, table = np.zeros((longest + 1, size + 4)), np.empty((longest + 1, size + 4))
    nothing = np.empty((0, classes), gradient.dtype)
    worst = 0
    gradient[:] = 0
    for b in range(len(energies)):
        states, windows = enter(inputs, b, gap, lattice), window_lengths[b]
        if states <= 0:
            values[b] = 0.0 if states == EMPTY else math.inf
            worst = min(worst, states)
            continue
        count = assign_slots(lattice.symbols, used, slots[:states], slot_of)
        shown = energies[b, :windows]
        sample = Sample(shown, lattice, states, used[:count], slots, beta, forward, table)
        weights = table.reshape(-1)[: windows * count].reshape(windows, count)
        slopes = gradient[b] if gradient.size else nothing
        value, total, hurt = linear_sum(sample, weights, gap)
        safe = total > 0
        if safe and value < math.inf:
            if slopes.size:
                safe = linear_posterior(sample, weights, total, hurt, gap, slopes)
            elif hurt:
                safe = linear_posterior(sample, weights, total, hurt, gap, None)
        if not safe:
            slopes[:] = 0
            value = wide_sum(sample, slopes)
        values[b] = value
    return worst
