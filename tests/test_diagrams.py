"""The dynamic programming table and automata, drawn."""

import math

import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.patches import FancyArrowPatch, Rectangle

from ebm_ocr import (
    BETWEEN,
    SYMBOLS,
    alignment_graph,
    find_free_energy,
    find_path,
    forward_score,
    intersect,
    linear_graph,
    plot_dp,
    plot_graph,
    viterbi_score,
)
from ebm_ocr.plots import PATH_COLOUR

pytestmark = pytest.mark.usefixtures("headless")

SMALL = torch.tensor(
    [[1, 4, 3, 2], [2, 1, 5, 3], [4, 1, 2, 2], [3, 2, 1, 3], [5, 3, 2, 1], [2, 4, 2, 1.0]]
)


def written(ax):
    return [text.get_text() for text in ax.texts]


def pointers(ax):
    """(from, to) in cells, colour, width and style of each arrow of a table."""
    found = []
    for arrow in ax.patches:
        if isinstance(arrow, FancyArrowPatch):
            (x0, y0), (x1, y1) = arrow._posA_posB
            cells = (round(x0 + 0.3), round(y0)), (round(x1 - 0.3), round(y1))
            red = to_rgb(arrow.get_edgecolor()) == to_rgb(PATH_COLOUR)
            found.append((cells, red, arrow.get_linewidth(), arrow.get_linestyle()))
    return found


@pytest.mark.parametrize("beta", [math.inf, 0.7])
def test_a_table_shows_every_number_and_a_hatch_where_no_path_leads(beta):
    ax = plot_dp(SMALL, beta, symbols="a_b_")
    table = find_path(SMALL).dp if beta == math.inf else find_free_energy(SMALL, beta).dp
    expected = []
    for energies, values in zip(SMALL.tolist(), table.tolist()):
        for energy, value in zip(energies, values):
            digits = 0 if beta == math.inf or value >= 9.95 else 1
            shown = "\N{INFINITY}" if math.isinf(value) else f"{value:.{digits}f}"
            expected += [f"{energy:.0f}", shown]
    assert written(ax) == expected
    cells = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    hatched = [patch.get_hatch() is not None for patch in cells]
    assert hatched == table.isinf().flatten().tolist()
    assert [label.get_text() for label in ax.get_yticklabels()] == list("a_b_")


def test_a_table_points_back_along_the_best_path_in_colour():
    ax = plot_dp(SMALL)
    points = find_path(SMALL).points
    red = [cells for cells, red, *_ in pointers(ax) if red]
    assert sorted(red) == sorted(zip(points[1:], points[:-1]))
    rims = [patch.get_linewidth() > 2 for patch in ax.patches if isinstance(patch, Rectangle)]
    assert rims == [(i, j) in points for i in range(6) for j in range(4)]
    grey = [cells for cells, red, *_ in pointers(ax) if not red]
    assert len(grey) == find_path(SMALL).dp.isfinite().sum() - 1  # one way into each cell


def test_a_soft_table_points_to_both_by_their_shares():
    beta = 0.7
    found = {cells: width for cells, red, width, _ in pointers(plot_dp(SMALL, beta)) if not red}
    dp = find_free_energy(SMALL, beta).dp
    for ((i, j), (before, k)), width in found.items():
        candidates = dp[before, max(j - 1, 0) : j + 1] if j <= before else dp[before, j - 1 : j]
        share = torch.exp(-beta * (dp[before, k] - 0)) / torch.exp(-beta * candidates).sum()
        assert before == i - 1
        assert width == pytest.approx(0.6 + 2.4 * share.item(), abs=1e-4)
    assert len(found) > 20


def test_on_the_way_back_cells_are_as_red_as_they_are_probable():
    matrix = SMALL.double().requires_grad_()
    (expected,) = torch.autograd.grad(find_free_energy(matrix, 0.7).free_energy, matrix)
    for walked in (0, 2, 6):
        ax = plot_dp(SMALL, 0.7, traced=walked)
        cells = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
        shown = [patch.get_facecolor()[3] / 0.4 for patch in cells]
        probability = expected.clone()
        probability[: 6 - walked] = 0
        torch.testing.assert_close(torch.tensor(shown).view(6, 4).double(), probability)
        sources = {cells[0][0] for cells, red, *_ in pointers(ax) if red}
        assert sources == set(range(6 - walked + 1, 6))


def test_a_table_that_is_not_full_has_energies_only_in_the_windows_to_come():
    ax = plot_dp(SMALL, windows=2)
    assert len(written(ax)) == 2 * 2 * 4 + 4 * 4
    assert {cells[0][0] for cells, *_ in pointers(ax)} == {1}
    assert not any(red for _, red, *_ in pointers(ax))


def test_a_tie_is_shown_and_stays():
    ax = plot_dp(torch.zeros(3, 2))
    dotted = [cells for cells, _, _, style in pointers(ax) if style != "-"]
    assert dotted == [((2, 1), (1, 0))]
    assert ((2, 1), (1, 1)) in [cells for cells, red, *_ in pointers(ax) if red]
    assert "a tie stays" in ax.get_xlabel()
    assert "tie" not in plot_dp(SMALL).get_xlabel()


def test_a_table_without_a_path_is_drawn():
    matrix = torch.zeros(3, 2)
    matrix[1] = math.inf
    for beta in (math.inf, 1.0):
        assert "\N{INFINITY}" in written(plot_dp(matrix, beta))


@pytest.mark.parametrize("separators", ["required", "optional"])
def test_graph_is_drawn_with_a_name_on_every_arc(separators):
    spelling = alignment_graph([0, BETWEEN, 1, BETWEEN], separators=separators)
    both = intersect(spelling, linear_graph(torch.zeros(6, 27)))
    for graph in (spelling, both):
        ax = plot_graph(graph, highlight=[0])
        names = [
            text.get_text() for text in ax.texts if text.get_text() in SYMBOLS and text.get_text()
        ]
        assert len(names) == len(graph.labels)


def test_nodes_of_an_intersection_are_named_and_placed_by_state_and_window():
    both = intersect(alignment_graph([0, BETWEEN]), linear_graph(torch.zeros(3, 27)))
    ax = plot_graph(both)
    assert sorted(both.pairs) == [(0, 0), (1, 1), (1, 2), (2, 2), (2, 3)]
    discs = [line for line in ax.get_lines() if line.get_marker() == "o"]
    assert [(disc.get_ydata()[0] / -1.2, disc.get_xdata()[0] / 2) for disc in discs] == [
        pytest.approx(pair) for pair in both.pairs
    ]
    assert [text for text in written(ax) if "," in text] == [f"{a},{b}" for a, b in both.pairs]
    names = ["start", "w", "x", "y", "end"]
    assert [text for text in written(plot_graph(both, names=names)) if text in names] == names


def test_arcs_are_as_wide_as_they_are_probable_and_marked_where_they_are_best():
    energies = torch.arange(8.0).view(4, 2).requires_grad_()
    graph = intersect(alignment_graph([0, 1], separator=1), linear_graph(energies))
    weights = graph.weights
    probability = torch.autograd.grad(forward_score(graph), weights, retain_graph=True)[0]
    best = torch.autograd.grad(viterbi_score(graph), weights, retain_graph=True)[0]
    ax = plot_graph(graph, "ab", widths=probability, highlight=best.nonzero().flatten())
    arrows = [text.arrow_patch for text in ax.texts if getattr(text, "arrow_patch", None)]
    for arrow, width, marked in zip(arrows, probability.tolist(), best.tolist()):
        assert arrow.get_linewidth() == pytest.approx(0.3 + 3.5 * width)
        assert (to_rgb(arrow.get_edgecolor()) == to_rgb(PATH_COLOUR)) == bool(marked)
    assert len(arrows) == len(probability)


def test_labels_of_arcs_that_cross_do_not_touch():
    spellings = alignment_graph([0, 1], "optional", separator=2)
    ax = plot_graph(intersect(spellings, linear_graph(torch.rand(4, 3) + 1)), "ab_")
    ax.figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in ax.texts if text.get_text()]
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])
    assert max(ax.figure.get_size_inches()) <= 6.5
