"""Weighted acceptors: what graph transformer networks do, small and readable, to be drawn.

An acceptor is a graph whose arcs carry a label and an energy. A path from a start to an accept
spells a sequence of labels, and its energy is the sum over its arcs. Scores in the library gtn
(Hannun et al. 2020) are the negatives of the energies here: a high score is a low energy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral
from typing import NamedTuple

import torch
from torch import Tensor

from .alphabet import BETWEEN
from .path_matrix import softmin
from .validation import (
    Separators,
    as_beta,
    as_optional,
    can_look_at,
    check_floats,
    narrow,
    whole_number,
    widen,
)


class Graph(NamedTuple):
    """A weighted acceptor with ``nodes`` nodes, numbered from 0, and A arcs.

    >>> once_a_then_b = Graph(3, [0], [2], [0, 1], [1, 2], [0, 1], torch.tensor([0.5, 2.0]))
    >>> forward_score(once_a_then_b)
    tensor(2.5000)
    """

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
    pairs: Sequence[tuple[int, int]] = ()
    """Of each node of an intersection, the nodes of both graphs that it stands for."""


def check_graph(graph: Graph) -> None:
    """Raise unless each arc has a label and an energy, and leads from node to node of the graph."""
    if not isinstance(graph, Graph):
        raise TypeError(f"expected a Graph, got {type(graph).__name__}")
    check_floats("weights", graph.weights)
    arcs = len(graph.sources), len(graph.targets), len(graph.labels)
    if len({*arcs, *graph.weights.shape}) != 1 or graph.weights.dim() != 1:
        raise ValueError(
            "expected a source, a target, a label and an energy for each arc, "
            f"got {arcs} and weights {tuple(graph.weights.shape)}"
        )
    named = [*graph.starts, *graph.accepts, *graph.sources, *graph.targets]
    odd = [value for value in [*named, *graph.labels] if not isinstance(value, Integral)]
    if odd:  # tensors that are equal are two nodes all the same
        raise TypeError(f"expected nodes and labels as whole numbers, got {odd[0]!r}")
    strange = [node for node in named if not 0 <= node < graph.nodes]
    if strange:
        raise ValueError(f"expected nodes at least 0 and below {graph.nodes}, got {strange[0]}")
    if can_look_at(graph.weights) and not (graph.weights > -math.inf).all():
        raise ValueError("expected energies above -inf, got NaN or -inf")


def linear_graph(energies: Tensor) -> Graph:
    """The emission graph: L + 1 nodes in a row, and between neighbours an arc for each class.

    >>> graph = linear_graph(torch.tensor([[1.0, 2.0], [4.0, 3.0]]))
    >>> graph.nodes, graph.labels, graph.weights
    (3, [0, 1, 0, 1], tensor([1., 2., 4., 3.]))

    Args:
        energies: (L, C); gradients flow back to them.

    Raises:
        TypeError: not a tensor of floats.
        ValueError: not (L, C), or none of one of them.
    """
    check_floats("energies", energies)
    if energies.dim() != 2 or 0 in energies.shape:
        shape = tuple(energies.shape)
        raise ValueError(f"expected energies (L, C), none of them zero, got {shape}")
    windows, classes = energies.shape
    sources = [window for window in range(windows) for _ in range(classes)]
    targets = [window + 1 for window in sources]
    labels = [*range(classes)] * windows
    return Graph(windows + 1, [0], [windows], sources, targets, labels, energies.flatten())


def alignment_graph(
    symbols: Sequence[int] | Tensor,
    separators: Separators = "required",
    separator: int | None = None,
) -> Graph:
    """All spellings of a target, at no cost: each symbol one or more times, in their order.

    >>> spellings = alignment_graph([0, 1])  # a, any number of times, then b
    >>> list(zip(spellings.sources, spellings.targets, spellings.labels))
    [(1, 1, 0), (0, 1, 0), (2, 2, 1), (1, 2, 1)]

    Args:
        symbols: (T,) classes, such as those of ``c_a_t_``. None at all, with optional separators,
            is the empty word: separators only, or no window.
        separators: "optional" lets a path leave out separators, except between equal letters, and
            add one in front, as CTC does; the separators among ``symbols`` then say nothing.
        separator: its class. A graph alone does not know how many classes there are, so None is
            the homework's 26, not the last one.

    Raises:
        TypeError: symbols that are not whole numbers.
        ValueError: no symbols where separators are required; a negative symbol; one above 26
            beside optional separators without a ``separator``.
    """
    optional = as_optional(separators)
    states = _states(symbols, optional, separator)
    last = len(states)
    arcs = []  # node 0 is the start, node i + 1 has just read state i
    for state, symbol in enumerate(states):
        node = state + 1
        arcs += [(node, node, symbol), (node - 1, node, symbol)]  # once more, or for the first time
        is_letter = optional and state % 2 == 1
        if is_letter and (state == 1 or states[state - 2] != symbol):
            arcs.append((max(node - 2, 0), node, symbol))  # past the separator before it
    sources, targets, labels = (list(column) for column in zip(*arcs))
    accepts = [last, last - 1] if optional else [last]
    return Graph(last + 1, [0], accepts, sources, targets, labels, torch.zeros(len(arcs)))


def _states(symbols: Sequence[int] | Tensor, optional: bool, separator: int | None) -> list[int]:
    """The symbols to align; with optional separators one before, between and behind the letters."""
    states = [whole_number("a symbol", symbol, least=0) for symbol in symbols]
    if not optional:
        if not states:
            raise ValueError("expected at least one symbol, or separators optional, got none")
        return states
    if separator is None and max(states, default=0) > BETWEEN:
        raise ValueError(
            f"expected symbols 0..{BETWEEN}, or separator= where there are more classes, "
            f"got {max(states)}"
        )
    gap = BETWEEN if separator is None else whole_number("a separator", separator, least=0)
    letters = [symbol for symbol in states if symbol != gap]
    return [gap, *(symbol for letter in letters for symbol in (letter, gap))]


def intersect(first: Graph, second: Graph) -> Graph:
    """What both accept: an arc for each pair of arcs with the same label, their energies added,
    in float32 at least.

    Only nodes on a way from a start to an accept are kept; where there is none, no node is.

    >>> energies = torch.tensor([[0.0, 9.0], [2.0, 1.0], [9.0, 0.0]])
    >>> both = intersect(linear_graph(energies), alignment_graph([0, 1]))
    >>> viterbi_path(both), viterbi_score(both)
    ([0, 1, 1], tensor(1.))
    """
    check_graph(first)
    check_graph(second)
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
    useful, size = {(a, b) for a in first.accepts for b in second.accepts if (a, b) in reached}, -1
    while len(useful) > size:  # as long as it grows
        size = len(useful)
        useful |= {source for source, target, _, _ in pairs if target in useful}
    number = {node: index for index, node in enumerate(node for node in reached if node in useful)}
    kept = [pair for pair in pairs if pair[0] in number and pair[1] in number]
    theirs = first.weights[[i for _, _, i, _ in kept]].to(second.weights.device)
    weights = narrow(theirs, theirs) + second.weights[[j for _, _, _, j in kept]]
    return Graph(
        len(number),
        [number[node] for node in number if node[0] in first.starts and node[1] in second.starts],
        [number[node] for node in number if node[0] in first.accepts and node[1] in second.accepts],
        [number[source] for source, _, _, _ in kept],
        [number[target] for _, target, _, _ in kept],
        [first.labels[i] for _, _, i, _ in kept],
        weights,
        list(number),
    )


def forward_score(graph: Graph, beta: float = 1.0) -> Tensor:
    """Free energy over all accepted paths, ``-1/beta log sum exp(-beta energy)``; inf if none are.

    Its gradient with respect to ``graph.weights`` is the probability that a path uses an arc. Sums
    are float64. gtn's forward score is its negative, at ``beta = 1``.

    >>> two_ways = Graph(2, [0], [1], [0, 0], [1, 1], [0, 1], torch.tensor([1.0, 1.0]))
    >>> forward_score(two_ways)  # 1 - log 2
    tensor(0.3069)

    Raises:
        ValueError: the graph has a cycle, so its paths cannot be counted off; arcs that don't fit
            its nodes; energies of NaN or -inf; ``beta`` outside (0, inf].
    """
    beta = as_beta(beta)
    if math.isinf(beta):
        return viterbi_score(graph)
    order = _in_order(graph)
    weights = widen(graph.weights)
    free: dict[int, Tensor] = {}
    zero, never = weights.new_zeros(()), weights.new_full((), math.inf)
    for node, arcs in order:
        entering = [free[graph.sources[arc]] + weights[arc] for arc in arcs]
        entering += [zero] * (node in graph.starts)
        free[node] = softmin(torch.stack(entering), beta) if entering else never
    ends = [energy for node, energy in free.items() if node in graph.accepts]
    return narrow(softmin(torch.stack(ends), beta) if ends else never, like=graph.weights)


def viterbi_score(graph: Graph) -> Tensor:
    """Energy of the best accepted path, differentiable; inf if there is none.

    >>> two_ways = Graph(2, [0], [1], [0, 0], [1, 1], [0, 1], torch.tensor([1.0, 3.0]))
    >>> viterbi_score(two_ways)
    tensor(1.)

    Raises:
        ValueError: see :func:`forward_score`.
    """
    arcs = _best_arcs(graph)
    weights = widen(graph.weights)
    energy = weights.new_full((), math.inf) if arcs is None else weights[arcs].sum()
    energy = energy.where(energy < math.inf, math.inf)  # with gradient zero
    return narrow(energy, like=graph.weights)


def viterbi_path(graph: Graph) -> list[int]:
    """Labels along the best accepted path; of equally good ways the arc listed first wins.

    >>> two_ways = Graph(2, [0], [1], [0, 0], [1, 1], [7, 8], torch.tensor([3.0, 1.0]))
    >>> viterbi_path(two_ways)
    [8]

    Raises:
        ValueError: the graph accepts nothing, or see :func:`forward_score`.
    """
    arcs = _best_arcs(graph)
    if arcs is None:
        raise ValueError("expected a graph with a path from a start to an accept, got one without")
    return [graph.labels[arc] for arc in arcs]


def _best_arcs(graph: Graph) -> list[int] | None:
    """The arcs of the best accepted path, or None if nothing is accepted."""
    order = _in_order(graph)
    weights = graph.weights.tolist()
    best: dict[int, tuple[float, list[int]]] = {node: (0.0, []) for node in graph.starts}
    for node, arcs in order:
        for arc in arcs:
            energy, path = best.get(graph.sources[arc], (math.inf, None))
            if path is not None and (node not in best or energy + weights[arc] < best[node][0]):
                best[node] = (energy + weights[arc], [*path, arc])
    ends = (best[node] for node in graph.accepts if node in best)
    return min(ends, default=(math.inf, None), key=lambda end: end[0])[1]


def _in_order(graph: Graph) -> list[tuple[int, list[int]]]:
    """Every node after all that lead to it, with the arcs that enter it; checks the graph."""
    check_graph(graph)
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
        raise ValueError(
            "expected an acyclic graph, got one with a cycle: intersect it with a linear one"
        )
    return [(node, entering[node]) for node in order]
