"""Weighted acceptors: what graph transformer networks do, small and readable, for graphs that can be drawn.

An acceptor is a graph whose arcs carry a label and an energy. A path from a start to an accept spells a sequence of
labels, and its energy is the sum over its arcs. Scores in the library gtn (Hannun et al. 2020) are the negatives of the
energies here: a high score there is a low energy here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from .alphabet import BETWEEN
from .kernels.reference import softmin


class Graph(NamedTuple):
    """A weighted acceptor with ``nodes`` nodes, numbered from 0, and A arcs."""

    nodes: int
    starts: list[int]
    accepts: list[int]
    sources: list[int]
    """Of each arc, where it comes from."""
    targets: list[int]
    """Of each arc, where it leads to."""
    labels: list[int]
    weights: Tensor
    """(A,) energies, lower is better."""


def linear_graph(energies: Tensor) -> Graph:
    """The emission graph: L + 1 nodes in a row, and between neighbours an arc for each class.

    Args:
        energies: (L, C); gradients flow back to them.
    """
    if energies.dim() != 2 or 0 in energies.shape:
        raise ValueError(f"expected energies (L, C), none of them zero, got {tuple(energies.shape)}")
    windows, classes = energies.shape
    sources = [window for window in range(windows) for _ in range(classes)]
    targets = [window + 1 for window in sources]
    return Graph(windows + 1, [0], [windows], sources, targets, [*range(classes)] * windows, energies.flatten())


def alignment_graph(
    symbols: Sequence[int] | Tensor, separators: Literal["required", "optional"] = "required", separator: int = BETWEEN
) -> Graph:
    """All spellings of a target, at no cost: each of its symbols one or more times, in their order.

    Args:
        symbols: (T,) classes, such as those of ``c_a_t_``.
        separators: "optional" lets a path leave out separators, except between equal letters, and add one in front,
            as CTC does; the separators among ``symbols`` then say nothing.
    """
    if separators not in ("required", "optional"):
        raise ValueError(f"expected separators 'required' or 'optional', got {separators!r}")
    states = torch.as_tensor(symbols).tolist()
    doors = 1
    if separators == "optional":
        letters = [symbol for symbol in states if symbol != separator]
        states = [separator, *(symbol for letter in letters for symbol in (letter, separator))]
        doors = 2
    if len(states) < doors:
        raise ValueError(f"expected at least one symbol to align, got {symbols}")
    arcs = []  # node 0 is the start, node i + 1 has just read state i
    for state, symbol in enumerate(states):
        node = state + 1
        arcs += [(node, node, symbol), (node - 1, node, symbol)]
        may_skip = doors == 2 and state % 2 == 1 and (state == 1 or states[state - 2] != symbol)
        if may_skip:
            arcs.append((max(node - 2, 0), node, symbol))
    sources, targets, labels = (list(column) for column in zip(*arcs))
    last = len(states)
    return Graph(
        last + 1, [0], [last - door for door in range(doors)], sources, targets, labels, torch.zeros(len(arcs))
    )


def intersect(first: Graph, second: Graph) -> Graph:
    """What both accept: an arc for each pair of arcs with the same label, their energies added.

    Only nodes on a way from a start to an accept are kept.
    """
    arcs_of: list[list[int]] = [[] for _ in range(second.nodes)]
    for arc, source in enumerate(second.sources):
        arcs_of[source].append(arc)
    reached = {(a, b): None for a in first.starts for b in second.starts}
    pairs: list[tuple[tuple[int, int], tuple[int, int], int, int]] = []
    queue = list(reached)
    for node in queue:
        for i in (i for i, source in enumerate(first.sources) if source == node[0]):
            for j in (j for j in arcs_of[node[1]] if second.labels[j] == first.labels[i]):
                into = (first.targets[i], second.targets[j])
                pairs.append((node, into, i, j))
                if into not in reached:
                    reached[into] = None
                    queue.append(into)
    useful = {(a, b) for a in first.accepts for b in second.accepts if (a, b) in reached}
    grew = True
    while grew:
        before = len(useful)
        useful |= {source for source, target, _, _ in pairs if target in useful}
        grew = len(useful) > before
    number = {node: index for index, node in enumerate(node for node in reached if node in useful)}
    kept = [pair for pair in pairs if pair[0] in number and pair[1] in number]
    weights = (
        first.weights[[i for _, _, i, _ in kept]].to(second.weights.device) + second.weights[[j for _, _, _, j in kept]]
    )
    return Graph(
        len(number),
        [number[node] for node in number if node[0] in first.starts and node[1] in second.starts],
        [number[node] for node in number if node[0] in first.accepts and node[1] in second.accepts],
        [number[source] for source, _, _, _ in kept],
        [number[target] for _, target, _, _ in kept],
        [first.labels[i] for _, _, i, _ in kept],
        weights,
    )


def forward_score(graph: Graph, beta: float = 1.0) -> Tensor:
    """Free energy over all accepted paths, ``-1/beta log sum exp(-beta energy)``; inf if there are none.

    Its gradient with respect to ``graph.weights`` is the probability that a path uses an arc. gtn's forward score is
    its negative, at ``beta = 1``.

    Raises:
        ValueError: the graph has a cycle, so its paths cannot be counted off; or ``beta`` is not positive.
    """
    if not beta > 0:
        raise ValueError(f"expected beta in (0, inf], got {beta}")
    if math.isinf(beta):
        return viterbi_score(graph)
    free: dict[int, Tensor] = {}
    zero, never = graph.weights.new_zeros(()), graph.weights.new_full((), math.inf)
    for node, arcs in _in_order(graph):
        entering = [free[graph.sources[arc]] + graph.weights[arc] for arc in arcs]
        entering += [zero] * (node in graph.starts)
        free[node] = softmin(torch.stack(entering), beta) if entering else never
    ends = [free[node] for node in graph.accepts]
    return softmin(torch.stack(ends), beta) if ends else never


def viterbi_score(graph: Graph) -> Tensor:
    """Energy of the best accepted path, differentiable; inf if there is none. Errors as in :func:`forward_score`."""
    arcs = _best_arcs(graph)
    return graph.weights.new_full((), math.inf) if arcs is None else graph.weights[arcs].sum()


def viterbi_path(graph: Graph) -> list[int]:
    """Labels along the best accepted path; of equally good ways into a node the arc listed first wins.

    Raises:
        ValueError: the graph has a cycle, or accepts nothing.
    """
    arcs = _best_arcs(graph)
    if arcs is None:
        raise ValueError("expected a graph with a path from a start to an accept, got one without")
    return [graph.labels[arc] for arc in arcs]


def _best_arcs(graph: Graph) -> list[int] | None:
    """The arcs of the best accepted path, or None if nothing is accepted."""
    weights = graph.weights.tolist()
    best: dict[int, tuple[float, list[int]]] = {node: (0.0, []) for node in graph.starts}
    for node, arcs in _in_order(graph):
        for arc in arcs:
            energy, path = best.get(graph.sources[arc], (math.inf, None))
            if path is not None and (node not in best or energy + weights[arc] < best[node][0]):
                best[node] = (energy + weights[arc], [*path, arc])
    return min(
        (best[node] for node in graph.accepts if node in best), default=(math.inf, None), key=lambda end: end[0]
    )[1]


def _in_order(graph: Graph) -> list[tuple[int, list[int]]]:
    """Every node after all that lead to it, with the arcs that enter it."""
    entering: list[list[int]] = [[] for _ in range(graph.nodes)]
    for arc, target in enumerate(graph.targets):
        entering[target].append(arc)
    waiting = [len(arcs) for arcs in entering]
    order = [node for node in range(graph.nodes) if not waiting[node]]
    for node in order:
        for arc in (arc for arc, source in enumerate(graph.sources) if source == node):
            waiting[graph.targets[arc]] -= 1
            if not waiting[graph.targets[arc]]:
                order.append(graph.targets[arc])
    if len(order) < graph.nodes:
        raise ValueError("expected an acyclic graph, got one with a cycle: intersect it with a linear graph first")
    return [(node, entering[node]) for node in order]
