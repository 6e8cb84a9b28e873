"""Pictures of images, energies, alignments and trainings. Each function draws on ``ax`` if given, and returns it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle, groupby
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Arc
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from .alphabet import SYMBOLS
from .windows import STRIDE, WINDOW

if TYPE_CHECKING:
    from .graphs import Graph
    from .training import History

ENERGY_MAP = "viridis"
"""Low energies dark, high ones bright: readable in grey and by the colour-blind."""
PATH_COLOUR = "tab:red"


def plot_word(image: Tensor, *, ax: Axes | None = None) -> Axes:
    """Draw an image (32, W) in [0, 1] as black ink on white, axes in pixels."""
    ax = _axes(ax, (max(2.0, image.shape[1] / 40), 1.3))
    ax.imshow(
        image.detach().numpy(),
        cmap="gray_r",
        vmin=0,
        vmax=1,
        aspect="auto",
        extent=(0, image.shape[1], image.shape[0], 0),
    )
    ax.set(xlabel="pixel", yticks=[0, image.shape[0]])
    return ax


def plot_energies(energies: Tensor, *, ax: Axes | None = None) -> Axes:
    """Draw energies (L, 27) as a heat map: windows across, classes down, with a colour bar."""
    if energies.dim() != 2 or energies.shape[1] != len(SYMBOLS):
        raise ValueError(f"expected energies (L, {len(SYMBOLS)}), got {tuple(energies.shape)}")
    ax = _axes(ax, (max(4.0, energies.shape[0] / 14), 4.6))
    return _heat_map(ax, energies, list(SYMBOLS), "class")


def plot_pm(
    pm: Tensor,
    path: Sequence[int] | Tensor | None = None,
    *,
    symbols: str | None = None,
    label: str = "energy",
    ax: Axes | None = None,
) -> Axes:
    """Draw an (L, T) matrix as a heat map: windows across, symbols of the target down; optionally a path on top.

    Args:
        pm: path matrix, cross-entropies, dynamic programming table or posterior; inf is left white.
        path: target index of each window (L,), or cells (window, target index) as in ``BestPath.points``.
        symbols: names of the target's symbols, such as ``c_a_t_``.
        label: what the colours mean.
    """
    if pm.dim() != 2:
        raise ValueError(f"expected an (L, T) matrix, got {tuple(pm.shape)}")
    windows, width = pm.shape
    ax = _axes(ax, (max(3.6, windows / 12), max(2.0, width / 5)))
    _heat_map(
        ax, pm, list(symbols or map(str, range(width))), "symbol of the target" if symbols else "target index", label
    )
    if path is not None:
        indices = torch.as_tensor(path)
        indices = indices[:, 1] if indices.dim() == 2 else indices
        ax.plot(
            range(len(indices)),
            indices.tolist(),
            color=PATH_COLOUR,
            linewidth=2,
            marker=".",
            markersize=4,
            label="path",
        )
    return ax


def plot_reading(
    image: Tensor,
    energies: Tensor,
    path: Sequence[int] | Tensor,
    word: str,
    *,
    rival: tuple[Sequence[int] | Tensor, str] | None = None,
    axes: Sequence[Axes] | None = None,
) -> Sequence[Axes]:
    """Draw a word above its energies, each window under its pixels, and the best path with the span of every letter.

    Args:
        image: (32, W).
        energies: (L, 27).
        path: (L,) index into ``c_a_t_`` of each window.
        word: the word that the path spells.
        rival: another path and its word, drawn below it: where do they part?
        axes: two axes, one above the other; made if not given.
    """
    if axes is None:
        size = (max(4.5, image.shape[1] / 28), 5.2)
        _, axes = plt.subplots(2, 1, figsize=size, sharex=True, height_ratios=[1, 4.5], layout="constrained")
    top, bottom = axes
    plot_word(image, ax=top)
    top.set_xlabel("")
    windows = len(energies)
    left, right = WINDOW / 2 - STRIDE / 2, WINDOW / 2 + STRIDE * (windows - 0.5)
    picture = bottom.imshow(
        energies.detach().T.numpy(),
        cmap=ENERGY_MAP,
        aspect="auto",
        interpolation="nearest",
        extent=(left, right, len(SYMBOLS) - 0.5, -0.5),
    )
    top.figure.colorbar(picture, ax=list(axes), label="energy", pad=0.02)
    bottom.set_yticks(range(len(SYMBOLS)), list(SYMBOLS), fontsize=7)
    bottom.set(xlabel="pixel (a window stands under its middle)", ylabel="class")
    centres = [WINDOW / 2 + STRIDE * i for i in range(windows)]
    lines = [(*rival, "white", 3.0)] if rival else []
    for indices, spelling, colour, width in [*lines, (path, word, PATH_COLOUR, 1.0)]:
        spelled = [
            SYMBOLS.index(spelling[i // 2]) if i % 2 == 0 else len(SYMBOLS) - 1 for i in torch.as_tensor(indices)
        ]
        bottom.plot(centres, spelled, c=colour, lw=width, marker=".", ms=4, drawstyle="steps-mid", label=spelling)
    if rival:
        bottom.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2, fontsize=8, facecolor="0.6")
    position = 0
    for index, run in groupby(torch.as_tensor(path).tolist()):
        count = len(list(run))
        if index % 2 == 0:
            start = WINDOW / 2 + STRIDE * (position - 0.5)
            top.axvspan(start, start + STRIDE * count, color=PATH_COLOUR, alpha=0.2, linewidth=0)
            top.text(start + STRIDE * count / 2, -2, word[index // 2], ha="center", color=PATH_COLOUR)
        position += count
    return axes


def plot_alphabet(images: Sequence[Tensor], titles: Sequence[str], *, columns: int = 9) -> Sequence[Axes]:
    """Draw small images in a grid, each under its title."""
    rows = -(-len(images) // columns)
    _, grid = plt.subplots(rows, columns, figsize=(columns, 0.95 * rows), squeeze=False, layout="constrained")
    axes = list(grid.flat)
    for ax in axes:
        ax.set_axis_off()
    for ax, image, title in zip(axes, images, titles):
        ax.imshow(image.numpy(), cmap="gray_r", vmin=0, vmax=1)
        ax.set_title(title, fontsize=9)
    return axes


def plot_history(histories: Mapping[str, History], quantity: str = "loss", *, ax: Axes | None = None) -> Axes:
    """Draw one quantity of :class:`ebm_ocr.History` against the passes, one line a training."""
    ax = _axes(ax, (4.2, 3.0))
    for (name, history), style in zip(histories.items(), cycle(("-", "--", ":", "-."))):
        values = getattr(history, quantity)
        ax.plot(range(1, len(values) + 1), values, style, marker=".", label=name)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="pass over the words", ylabel=quantity.replace("_", " "))
    if len(histories) > 1:
        ax.legend()
    return ax


def plot_graph(graph: Graph, labels: str = SYMBOLS, *, highlight: Sequence[int] = (), ax: Axes | None = None) -> Axes:
    """Draw a weighted acceptor: nodes from left to right by their distance to the start, arcs named by label/energy.

    Args:
        graph: a small one. Starts are bold, accepts have a thick rim, self loops stand above their node.
        labels: name of each label.
        highlight: arcs (their indices) to draw in colour, such as the best path's.
    """
    place = _places(graph)
    xs, ys = zip(*place.values())
    ax = _axes(ax, (0.75 * (max(xs) + 2), 0.75 * (max(ys) - min(ys) + 3)))
    parallel: dict[tuple[int, int], int] = {}
    for index, (source, target, label) in enumerate(zip(graph.sources, graph.targets, graph.labels)):
        (x0, y0), (x1, y1) = place[source], place[target]
        rank = parallel[source, target] = parallel.get((source, target), -1) + 1
        colour = PATH_COLOUR if index in highlight else "0.25"
        weight = graph.weights[index].item()
        name = f"{labels[label]}/{weight:.1f}" if weight else labels[label]
        if source == target:
            ax.add_patch(Arc((x0, y0 + 0.45), 0.5, 0.6, theta1=-60, theta2=240, color=colour))
            middle = (x0, y0 + 0.78)
        else:
            bend = (0.0, 0.4, -0.4)[rank % 3] if x1 - x0 < 3 else 0.4  # arcs that pass over a node go round below it
            arrow = {"arrowstyle": "-|>", "color": colour, "connectionstyle": f"arc3,rad={bend}"}
            ax.annotate("", (x1, y1), (x0, y0), arrowprops={**arrow, "shrinkA": 11, "shrinkB": 11})
            along = 0.33 if y0 != y1 else 0.5  # arcs that cross are named beside the crossing
            lift = bend * 2 * along * (1 - along)
            middle = (x0 + along * (x1 - x0) + lift * (y1 - y0), y0 + along * (y1 - y0) - lift * (x1 - x0) + 0.05)
        ax.text(*middle, name, ha="center", va="bottom", fontsize=8, color=colour)
    for node, (x, y) in place.items():
        rim = 3 if node in graph.accepts else 1
        ax.plot(x, y, "o", markersize=19, markerfacecolor="white", markeredgecolor="black", markeredgewidth=rim)
        weight_of_font = "bold" if node in graph.starts else "normal"
        ax.text(x, y, str(node), ha="center", va="center", fontsize=8, fontweight=weight_of_font)
    ax.set(xlim=(min(xs) - 0.6, max(xs) + 0.6), ylim=(min(ys) - 1.2, max(ys) + 1.2), aspect="equal")
    ax.set_axis_off()
    return ax


def _places(graph: Graph) -> dict[int, tuple[float, float]]:
    """Where to draw each node: across by the longest way from a start, nodes of equal depth above one another."""
    depth = dict.fromkeys(graph.starts, 0)
    for _ in range(graph.nodes):
        for source, target in zip(graph.sources, graph.targets):
            if source != target and source in depth:
                depth[target] = min(max(depth.get(target, 0), depth[source] + 1), graph.nodes)
    columns: dict[int, list[int]] = {}
    for node in sorted(depth):
        columns.setdefault(depth[node], []).append(node)
    return {
        node: (2.0 * x, 1.5 * ((len(column) - 1) / 2 - row))
        for x, column in columns.items()
        for row, node in enumerate(column)
    }


def _axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """The given axes, or those of a new figure of that size in inches."""
    return plt.subplots(figsize=size, layout="constrained")[1] if ax is None else ax


def _heat_map(ax: Axes, matrix: Tensor, names: Sequence[str], axis: str, label: str = "energy") -> Axes:
    """(L, N) matrix with windows across and named rows down."""
    values = matrix.detach().cpu()
    picture = ax.imshow(np.ma.masked_invalid(values.T.numpy()), cmap=ENERGY_MAP, aspect="auto", interpolation="nearest")
    ax.figure.colorbar(picture, ax=ax, label=label)
    ax.set_yticks(range(len(names)), names, fontsize=7)
    ax.set(xlabel="window", ylabel=axis)
    return ax
