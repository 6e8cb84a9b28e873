"""Diagrams of algorithms: the dynamic programming table of a small matrix, weighted automata.

Each function draws on ``ax`` if given, and returns it, as those of :mod:`.plots` do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Arc, FancyArrowPatch, Rectangle
from torch import Tensor

from .alphabet import SYMBOLS
from .graphs import Graph, check_graph
from .path_matrix import check_has_path, find_free_energy, find_path
from .plots import PATH_COLOUR, axes_for
from .validation import as_beta, real_number, whole_number

CELL = 0.66
"""Width and height of a cell in the table's grid; what is left is for the arrows."""
WORTH_DRAWING = 0.02
"""Share of a predecessor from which on its arrow is drawn."""


def plot_dp(
    pm: Tensor,
    beta: float = math.inf,
    *,
    windows: int | None = None,
    traced: int | None = None,
    symbols: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    r"""Draw the dynamic programming table of a small matrix: windows across, symbols down.

    In each cell stand its energy :math:`E_{l,t}`, small, and, where the table is filled,
    :math:`D_{l,t}`; a hatched one cannot be reached. Arrows point back to the predecessors: at
    ``beta = inf`` to the one that was taken (and dotted to the one that was as good: a tie stays),
    else to both, as wide as their shares of the soft minimum. Walking back, cells are coloured by
    the probability that a path runs through them, and so are the arrows.

    >>> len(plot_dp(torch.tensor([[1.0, 9.0], [2.0, 3.0], [9.0, 1.0]]), symbols="a_").texts) > 6
    True

    Args:
        pm: (L, T) energies; about six windows and four symbols can be read.
        beta: inverse temperature, inf for the best path.
        windows: how many are filled, from the first; None is all.
        traced: how many are walked back through, from the last; None is all once the table is full.
        symbols: names of the target's symbols, such as ``a_b_``.

    Raises:
        TypeError, ValueError: what :func:`ebm_ocr.find_path` says; more windows than there are, or
            a way back through a table that is not full; another number of names.
    """
    energies, table, shares, probability = _table(pm, as_beta(beta))
    length, width = table.shape
    filled = length if windows is None else whole_number("windows", windows, 0, length)
    walked = filled // length * length if traced is None else traced
    walked = whole_number("traced", walked, 0, filled // length * length)
    names = list(map(str, range(width))) if symbols is None else list(symbols)
    if len(names) != width:
        raise ValueError(f"expected {width} symbols, one a column, got {len(names)}: {symbols!r}")
    ax = axes_for(ax, (0.4 + 0.98 * length, 0.9 + 0.68 * width))
    for window, symbol in np.ndindex(length, width):
        row = (energies, table) if window < filled else (energies,)
        passed = probability[window, symbol] if window >= length - walked else 0.0
        numbers = [_number(values, window, symbol) for values in row]
        _draw_cell(ax, window, symbol, numbers, passed)
        if 0 < window < filled and np.isfinite(table[window, symbol]):
            onward = passed if window > length - walked else 0.0
            _draw_pointers(ax, window, symbol, shares[:, window, symbol], onward)
    tied = (shares[:, :filled].sum(0) > 1.5).any()
    note = "\ndotted: as good, not taken (a tie stays)" if tied else ""
    ax.set(xlim=(-0.6, length - 0.4), ylim=(width - 0.4, -0.6), ylabel="symbol of the target")
    ax.set(xlabel=f"window (in a cell: its energy, and D, the larger){note}")
    ax.set_xticks(range(length))
    ax.set_yticks(range(width), names)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def _table(pm: Tensor, beta: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(L, T) energies and table, (2, L, T) shares of staying and advancing, (L, T) probability that
    a path runs through a cell. Two shares of 1 are a tie."""
    check_has_path(pm)
    soft = not math.isinf(beta)
    with torch.enable_grad():
        energies = pm.detach().cpu().double().requires_grad_()
        found = find_free_energy(energies, beta) if soft else find_path(energies)
        (probability,) = torch.autograd.grad(found.free_energy, energies)
    if not found.free_energy.isfinite():
        probability.zero_()
    table = found.dp.detach()
    before = torch.full((2, *table.shape), math.inf, dtype=table.dtype)
    before[0, 1:] = table[:-1]
    before[1, 1:, 1:] = table[:-1, :-1]
    reached = before.isfinite()
    if soft:
        shares = torch.softmax(-beta * before.where(reached.any(0), 0), 0)
    else:
        shares = (before == before.amin(0)).double()
    shares = shares.where(reached, 0)
    return energies.detach().numpy(), table.numpy(), shares.numpy(), probability.numpy()


def _number(values: np.ndarray, window: int, symbol: int) -> str:
    """A number of a table, without decimals where the table has none or it has two digits."""
    value, finite = values[window, symbol], values[np.isfinite(values)]
    if np.isinf(value):
        return "\N{INFINITY}"
    whole = abs(value) >= 9.95 or (finite == finite.round()).all()
    return f"{value:.{0 if whole else 1}f}"


def _draw_cell(ax: Axes, x: int, y: int, numbers: list[str], probability: float) -> None:
    """A cell with its energy and, if filled, its D."""
    ink = plt.rcParams["text.color"]
    corner = (x - CELL / 2, y - CELL / 2)
    filled = len(numbers) > 1
    impossible = filled and numbers[1] == "\N{INFINITY}"
    rim = PATH_COLOUR if probability > 0.5 else ink if filled and not impossible else "0.7"
    ax.add_patch(
        Rectangle(
            corner,
            CELL,
            CELL,
            facecolor=(*to_rgb(PATH_COLOUR), 0.4 * probability),
            edgecolor=rim,
            linewidth=0.8 + 1.7 * probability,
            linestyle="-" if filled else ":",
            hatch="///" if impossible else None,
        )
    )
    ax.text(x - 0.29, y - 0.15, numbers[0], ha="left", va="center", fontsize=9, color="0.4")
    if filled:
        ax.text(x, y + 0.12, numbers[1], ha="center", va="center", fontsize=11, color=ink)


def _draw_pointers(ax: Axes, x: int, y: int, shares: np.ndarray, probability: float) -> None:
    """Arrows from a cell back to where it was come from, as wide as the share of each; on the way
    back once more, as wide as the probability that a path goes there."""
    edge, gap = CELL / 2, 1 - CELL
    tie = shares.sum() > 1.5
    for share, rise in zip(shares, (0, 1)):
        start = (x - edge, y - rise * edge)
        end = (start[0] - gap, start[1] - rise * gap)
        dotted = tie and rise == 1
        for colour, width in (
            ("0.65", share),
            (PATH_COLOUR, 0.0 if dotted else share * probability),
        ):
            if width >= WORTH_DRAWING:
                ax.add_patch(
                    FancyArrowPatch(
                        start,
                        end,
                        arrowstyle="-|>",
                        mutation_scale=6 + 4 * width,
                        linewidth=0.8 if dotted else 0.6 + 2.4 * width,
                        linestyle=":" if dotted else "-",
                        color=colour,
                        shrinkA=1,
                        shrinkB=1,
                    )
                )


def plot_graph(
    graph: Graph,
    labels: Sequence[str] = SYMBOLS,
    *,
    names: Sequence[str] | None = None,
    highlight: Sequence[int] | Tensor = (),
    widths: Sequence[float] | Tensor | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a weighted acceptor from left to right, arcs named by label/energy.

    >>> from ebm_ocr import alignment_graph
    >>> len(plot_graph(alignment_graph([0, 1])).patches) > 0
    True

    Args:
        graph: a small one. Starts are bold, accepts have a thick rim, self loops stand above their
            node; nodes that no start reaches are drawn too.
        labels: name of each label.
        names: of the nodes; by default their numbers, or in an intersection the numbers in both
            graphs, such as state and window, which then also say where a node stands.
        highlight: arcs (their indices) to draw in colour, such as the best path's: those where the
            gradient of :func:`ebm_ocr.viterbi_score` is 1.
        widths: of the arcs, each in [0, 1], such as their probabilities: the gradient of
            :func:`ebm_ocr.forward_score`.

    Raises:
        ValueError: a graph without nodes, such as an intersection that accepts nothing; arcs that
            don't fit its nodes; a label without a name; another number of names or widths; an arc
            to highlight that is none; a width outside [0, 1].
    """
    check_graph(graph)
    if not graph.nodes:
        raise ValueError("expected a graph of at least one node, got none: it accepts nothing")
    for label in graph.labels:
        whole_number("a label with a name", label, least=0, most=len(labels) - 1)
    marked = {whole_number("an arc", arc, 0, len(graph.labels) - 1) for arc in highlight}
    shown, sizes = _node_names(graph, names), _arc_widths(graph, widths)
    place = _places(graph)
    xs, ys = zip(*place.values())
    ax = axes_for(ax, (0.75 * (max(xs) + 2), 0.75 * (max(ys) - min(ys) + 3)))
    # both from the style: a dark one has light ink, and a white node would hide its number and rim
    ink, paper = plt.rcParams["text.color"], plt.rcParams["figure.facecolor"]
    parallel: dict[tuple[int, int], int] = {}
    arcs = zip(graph.sources, graph.targets, graph.labels, graph.weights.tolist(), sizes)
    for index, (source, target, label, weight, size) in enumerate(arcs):
        rank = parallel[source, target] = parallel.get((source, target), -1) + 1
        colour = PATH_COLOUR if index in marked else ink
        size = 0.5 if index in marked and widths is None else size
        middle = _draw_arc(ax, place[source], place[target], rank, colour, size)
        name = f"{labels[label]}/{weight:.1f}" if weight else labels[label]
        text = ax.text(*middle, name, ha="center", va="center", fontsize=8, color=colour)
        text.set_bbox({"facecolor": paper, "edgecolor": "none", "pad": 0.8})
        text.set_fontweight("bold" if index in marked else "normal")  # in grey, red is no mark
    for node, (x, y) in place.items():
        rim = 3 if node in graph.accepts else 1
        ax.plot(x, y, "o", markersize=19, mfc=paper, mec=ink, mew=rim)
        number = ax.text(x, y, shown[node], ha="center", va="center", fontsize=8, color=ink)
        number.set_fontweight("bold" if node in graph.starts else "normal")
    ax.set(xlim=(min(xs) - 0.6, max(xs) + 0.6), ylim=(min(ys) - 0.9, max(ys) + 1.1), aspect="equal")
    ax.set_axis_off()
    return ax


def _node_names(graph: Graph, names: Sequence[str] | None) -> list[str]:
    """The given names; else the numbers of the nodes, or of those that they stand for."""
    numbers = [",".join(map(str, pair)) for pair in graph.pairs] or [*map(str, range(graph.nodes))]
    shown = numbers if names is None else list(names)
    if len(shown) != graph.nodes:
        raise ValueError(f"expected {graph.nodes} names, one a node, got {len(shown)}")
    return shown


def _arc_widths(graph: Graph, widths: Sequence[float] | Tensor | None) -> list[float]:
    """The given widths; else all the same."""
    arcs = len(graph.labels)
    sizes = [0.2] * arcs if widths is None else [real_number("a width", size) for size in widths]
    if len(sizes) != arcs:
        raise ValueError(f"expected {arcs} widths, one an arc, got {len(sizes)}")
    if not all(0 <= size <= 1 + 1e-6 for size in sizes):
        raise ValueError(f"expected widths in [0, 1], got {min(sizes):g}..{max(sizes):g}")
    return sizes


def _draw_arc(
    ax: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    rank: int,
    colour: str,
    size: float,
) -> tuple[float, float]:
    """Draw the arc of that rank among parallel ones; returns where its name goes."""
    (x0, y0), (x1, y1) = start, end
    width = 0.3 + 3.5 * size
    if start == end:
        loop = Arc((x0, y0 + 0.45), 0.5, 0.6, theta1=-60, theta2=240, color=colour, lw=width)
        ax.add_patch(loop)
        return x0, y0 + 0.95  # above it, or `_` would be a piece of the loop
    # arcs that pass over a node go round below it
    passes_over = y0 == y1 and x1 - x0 >= 3
    bend = 0.4 if passes_over else (0.0, 0.4, -0.4)[rank % 3]
    ends = {"arrowstyle": "-|>", "mutation_scale": 8 + 4 * size, "shrinkA": 11, "shrinkB": 11}
    line = {"color": colour, "linewidth": width, "connectionstyle": f"arc3,rad={bend}"}
    ax.annotate("", (x1, y1), (x0, y0), arrowprops={**ends, **line})
    along = 0.5 if bend else 0.33  # straight arcs cross others in their middle
    lift = bend * 2 * along * (1 - along)
    return x0 + along * (x1 - x0) + lift * (y1 - y0), y0 + along * (y1 - y0) - lift * (x1 - x0)


def _places(graph: Graph) -> dict[int, tuple[float, float]]:
    """Where to draw each node: across by the longest way there, equal depths above one another; in
    an intersection across by the node of the second graph, down by that of the first."""
    if graph.pairs:
        return {node: (2.0 * x, -1.2 * y) for node, (y, x) in enumerate(graph.pairs)}
    entered = {target for source, target in zip(graph.sources, graph.targets) if source != target}
    first = {*graph.starts, *(node for node in range(graph.nodes) if node not in entered)}
    depth = dict.fromkeys(first, 0)
    for _ in range(graph.nodes):
        for source, target in zip(graph.sources, graph.targets):
            if source != target and source in depth:
                depth[target] = min(max(depth.get(target, 0), depth[source] + 1), graph.nodes)
    columns: dict[int, list[int]] = {}
    for node in range(graph.nodes):  # what is reached only in a circle stands with the first
        columns.setdefault(depth.get(node, 0), []).append(node)
    return {
        node: (2.0 * x, 1.5 * ((len(column) - 1) / 2 - row))
        for x, column in columns.items()
        for row, node in enumerate(column)
    }
