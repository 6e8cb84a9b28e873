"""Search among all words for the CPU, compiled by numba:
every word is a path in the tree of prefixes.

What is known of a prefix are the sums (2, L + 1) over its paths through the first l windows:
row 0 of those that end in its last letter, row 1 of those that end in a separator. A prefix's sums
give those of one more letter in O(L), so words that begin alike share the work. The separator is
the last class.
"""

from __future__ import annotations

import math
from heapq import heappop, heappush

import numpy as np

from .cpu import compiled

SLACK = 4e-16
"""Sums that differ by less than this part a window count as equal:
the order of additions may differ."""
FINE, FAR = 128, 40
"""Steps of the table to a unit, and from where on there is nothing to add."""
KNOTS = np.arange(FAR * FINE + 1) / FINE
SOFT, SLOPE = np.log1p(np.exp(-KNOTS)), -1 / (1 + np.exp(KNOTS)) / FINE
"""``log(1 + exp(-x))`` and its derivative for a step."""


@compiled
def soften(first, second, beta):
    """``softmin`` of two, by cubic Hermite interpolation: to 2e-12,
    faster than an exponential and a logarithm."""
    lowest, x = min(first, second), beta * abs(first - second) * FINE
    if x < FAR * FINE:  # not so if beta or one of the two is inf
        k = int(x)
        x -= k
        rise = SOFT[k + 1] - SOFT[k]
        bend = (1 - x) * (SLOPE[k] - rise) + x * (rise - SLOPE[k + 1])
        lowest -= (SOFT[k] + x * (rise + (1 - x) * bend)) / beta
    return lowest


@compiled
def levelled(energies):
    """Energies less the lowest of each window, so that large ones leave no
    rounding, and all that was taken."""
    reduced, taken = energies.astype(np.float64), 0.0
    for i in range(len(energies)):
        lowest = reduced[i].min()
        if lowest < math.inf:
            reduced[i] -= lowest
            taken += lowest
    return reduced, taken


@compiled
def start(energies, optional, sums):
    """Sums of the empty prefix: separators only, if they are optional."""
    sums[:] = math.inf
    sums[1, 0] = 0
    if optional:
        for i in range(len(energies)):
            sums[1, i + 1] = sums[1, i] + energies[i, -1]


@compiled
def append(energies, before, letter, direct, first, beta, after):
    """Sums of a prefix with a letter more; ``direct`` if it may follow its
    neighbour without a separator.

    No path reaches the letter in a window in front of ``first``.
    """
    after[:, : first + 1] = math.inf
    letters = separators = math.inf
    for i in range(first, len(energies)):
        enter = soften(before[0, i], before[1, i], beta) if direct else before[1, i]
        separators = energies[i, -1] + soften(separators, letters, beta)
        letters = energies[i, letter] + soften(letters, enter, beta)
        after[0, i + 1], after[1, i + 1] = letters, separators


@compiled
def ended(sums, optional, beta):
    """Free energy of the word that a prefix is."""
    return soften(sums[0, -1], sums[1, -1], beta) if optional else sums[1, -1]


@compiled
def cheapest_rests(energies, optional):
    """(L, C) energy of showing a class in a window and, over all words and paths,
    of what is cheapest from there."""
    windows, classes = energies.shape
    rests = np.empty((windows, classes))
    for i in range(windows - 1, -1, -1):
        stop, turn, any_class = 0.0, 0.0, 0.0
        if i < windows - 1:
            stop = rests[i + 1, -1]
            any_class = rests[i + 1].min()
        for c in range(classes):
            if optional or c == classes - 1:
                turn = any_class
            else:
                turn = math.inf if i == windows - 1 else min(rests[i + 1, c], stop)
            rests[i, c] = energies[i, c] + turn
    return rests


@compiled
def cheapest_children(here, rests, optional, last, best):
    """Write for each letter (C - 1,) the least energy of a word that goes on with it from a prefix
    with these sums, whose last letter is ``last``, or -1."""
    best[:] = math.inf
    letters = len(best)
    for i in range(len(rests)):
        enter = min(here[0, i], here[1, i]) if optional else here[1, i]
        if enter < math.inf:
            row = rests[i]
            for c in range(letters):
                total = enter + row[c]
                best[c] = total if total < best[c] else best[c]
    if optional and last >= 0:  # the same letter again needs a separator in front
        best[last] = math.inf
        for i in range(len(rests)):
            best[last] = min(best[last], here[1, i] + rests[i, last])


@compiled
def best_words(energies, optional, n):
    """One sample's ``n`` words of least energy, or all there are: classes (N, L),
    -1 behind; energies (N,).

    A* with the exact cost of the cheapest way to go on: prefixes are taken by the energy of
    the best word that begins with them, so each one taken begins one of the words sought, N
    times L at most. Of a prefix's children only the cheapest waits in the queue; the next one
    follows when it is taken, so that thousands of classes cost no queue of thousands.
    """
    windows, classes = energies.shape
    reduced, taken = levelled(energies)  # none is below 0, so neither are sums
    rests, beta = cheapest_rests(reduced, optional), math.inf
    root, children = np.empty((2, windows + 1)), np.empty(classes - 1)
    start(reduced, optional, root)
    parents, letters, depths, keys, sums, bounds = [-1], [-1], [0], [-math.inf], [root], [children]
    words, values = np.empty((min(n, 16), windows), np.int64), np.empty(min(n, 16))
    found = 0
    # least energy, 0 for a whole word, the deeper first, the prefix or its parent, and its letter
    queue = [(-math.inf, 1, 0, -1, -1)]
    while queue and found < n:
        key, prefix, _, node, letter = heappop(queue)
        if not prefix:
            if found == len(words):  # there may be far fewer than were asked for
                words, values = np.concatenate((words, words)), np.concatenate((values, values))
            values[found] = ended(sums[node], optional, beta) + taken
            words[found] = -1
            while node > 0:
                words[found, depths[node] - 1] = letters[node]
                node = parents[node]
            found += 1
            continue
        if node >= 0:
            push_next(queue, keys[node], bounds[node], SLACK * windows, depths[node], node, letter)
            after = np.empty((2, windows + 1))
            direct = optional and letter != letters[node]
            append(reduced, sums[node], letter, direct, 0, beta, after)
            parents.append(node)
            letters.append(letter)
            depths.append(depths[node] + 1)
            keys.append(key)
            sums.append(after)
            bounds.append(np.empty(classes - 1))
            node = len(parents) - 1
        else:
            node = 0
        if node > 0 or optional:
            total = ended(sums[node], optional, beta)
            if total < math.inf:
                slack = SLACK * windows * max(key, 0.0)
                least = key if total <= key + slack else total
                heappush(queue, (least, 0, -depths[node], node, -1))
        cheapest_children(sums[node], rests, optional, letter, bounds[node])
        push_next(queue, key, bounds[node], SLACK * windows, depths[node], node, -1)
    return words[:found], values[:found]


@compiled
def push_next(queue, key, bounds, slack, depth, node, letter):
    """Queue the cheapest child of a prefix, of those that were not taken yet; ``letter`` now is."""
    if letter >= 0:
        bounds[letter] = math.inf
    if len(bounds):
        child = bounds.argmin()
        least = bounds[child]
        if least < math.inf:
            least = key if least <= key + slack * max(key, 0.0) else least
            heappush(queue, (least, 1, -depth - 1, node, child))


@compiled
def rank_words(energies, optional, beta, words, shared, values):
    """Write the free energies (N,) of words, classes (N, W) and -1 behind,
    given how many letters each shares with the one in front of it."""
    sums = np.empty((words.shape[1] + 1, 2, len(energies) + 1))
    start(energies, optional, sums[0])
    for n in range(len(words)):
        length = words.shape[1]
        while length > 0 and words[n, length - 1] < 0:
            length -= 1
        for k in range(shared[n], length):
            letter = words[n, k]
            direct = optional and (k == 0 or letter != words[n, k - 1])
            first = min(k if optional else 2 * k, len(energies))
            append(energies, sums[k], letter, direct, first, beta, sums[k + 1])
        values[n] = ended(sums[length], optional, beta)


@compiled
def sum_words(energies, window_lengths, separator, beta, values, slopes):
    """Write the free energies (B,) over the paths of all words, separators required,
    and their gradient (B, L, C).

    See :func:`ebm_ocr.kernels.reference.all_words` for what a path may do. What a path costs up to
    a class in a window and from there on gives the part of the paths that pass it.
    """
    classes = energies.shape[2]
    for b in range(len(energies)):
        windows = window_lengths[b]
        values[b] = math.inf
        if slopes.size:
            slopes[b] = 0
        if not windows:
            continue
        reduced, taken = levelled(energies[b, :windows])
        sums, rests, through = (
            np.empty((windows, classes)),
            np.empty((windows, classes)),
            np.empty(classes),
        )
        letters = gap = math.inf  # all letters together, and the separator, one window before
        for i in range(windows):
            together = math.inf
            for c in range(classes):
                enter = 0.0 if i == 0 else soften(sums[i - 1, c], gap, beta)
                if c == separator:
                    enter = math.inf if i == 0 else soften(letters, gap, beta)
                sums[i, c] = reduced[i, c] + enter
                if c != separator:
                    together = soften(together, sums[i, c], beta)
            letters, gap = together, sums[i, separator]
        values[b] = gap + taken
        if not (gap < math.inf and slopes.size):
            continue
        letters = gap = math.inf  # from here on one window later
        for i in range(windows - 1, -1, -1):
            together = math.inf
            for c in range(classes):
                after = math.inf if i == windows - 1 else soften(rests[i + 1, c], gap, beta)
                if c == separator:
                    after = 0.0 if i == windows - 1 else soften(letters, gap, beta)
                through[c], rests[i, c] = sums[i, c] + after, reduced[i, c] + after
                if c != separator:
                    together = soften(together, rests[i, c], beta)
            letters, gap = together, rests[i, separator]
            shares = np.exp(-beta * (through - through.min()))
            slopes[b, i] = shares / shares.sum()
