"""Plots draw on the axes they are given, label them with letters,
and refuse what they can't draw."""

import matplotlib.pyplot as plt
import pytest
import torch

from ebm_ocr import (
    BETWEEN,
    SYMBOLS,
    History,
    alignment_graph,
    intersect,
    linear_graph,
    plot_alphabet,
    plot_energies,
    plot_graph,
    plot_history,
    plot_pm,
    plot_reading,
    plot_word,
)


@pytest.fixture(autouse=True)
def _headless():
    plt.switch_backend("agg")
    yield
    plt.close("all")


def test_energies_are_drawn_windows_across_and_classes_down_by_letter():
    energies = torch.arange(5 * 27.0).view(5, 27)
    ax = plot_energies(energies)
    assert [label.get_text() for label in ax.get_yticklabels()] == list(SYMBOLS)
    assert ax.get_images()[0].get_array().shape == (27, 5)
    assert ax.get_xlabel() == "window"


def test_energies_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"expected energies \(L, 27\), got \(27, 5\)"):
        plot_energies(torch.zeros(27, 5))


def test_given_axes_are_used_and_no_figure_is_made():
    _, ax = plt.subplots()
    figures = plt.get_fignums()
    assert plot_pm(torch.zeros(4, 2), ax=ax) is ax
    assert plot_word(torch.zeros(32, 36), ax=ax) is ax
    assert plot_history({"a": History([1.0], [0.5], [3.0], [2.0], [1.0])}, ax=ax) is ax
    assert plt.get_fignums() == figures


@pytest.mark.parametrize("path", [[0, 0, 1, 1], [(0, 0), (1, 0), (2, 1), (3, 1)]])
def test_path_matrix_takes_indices_and_cells(path):
    matrix = torch.tensor([[0.0, float("inf")], [1, 2], [3, 4], [5, 6]])
    ax = plot_pm(matrix, path, symbols="a_")
    assert ax.get_lines()[0].get_ydata().tolist() == [0, 0, 1, 1]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "_"]
    assert ax.get_images()[0].get_array().mask.sum() == 1  # inf stays white


def test_path_matrix_of_another_rank_is_refused():
    with pytest.raises(ValueError, match=r"\(L, T\)"):
        plot_pm(torch.zeros(3))


def test_reading_names_each_letter_over_its_span():
    top, bottom = plot_reading(
        torch.zeros(32, 36), torch.zeros(10, 27), [0, 0, 1, 1, 2, 2, 2, 3, 3, 3], "ab"
    )
    assert [text.get_text() for text in top.texts] == ["a", "b"]
    assert bottom.get_lines()[0].get_ydata().tolist() == [0, 0, 26, 26, 1, 1, 1, 26, 26, 26]


def test_reading_shows_a_rival_path_on_the_same_matrix():
    rival = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1], "c"
    path = [0, 0, 1, 1, 2, 2, 2, 3, 3, 3]
    _, bottom = plot_reading(torch.zeros(32, 36), torch.zeros(10, 27), path, "ab", rival=rival)
    assert bottom.get_lines()[0].get_ydata().tolist() == [2] * 8 + [26] * 2
    assert [text.get_text() for text in bottom.get_legend().get_texts()] == ["c", "ab"]


def test_alphabet_grid_has_a_title_for_each_image():
    axes = plot_alphabet([torch.zeros(32, 18)] * 3, ["x", "y", "z"], columns=2)
    assert [ax.get_title() for ax in axes] == ["x", "y", "z", ""]


def test_history_names_its_lines_when_there_are_several():
    history = History([2.0, 1.0], [0.1, 0.9], [3.0, -3.0], [0.5, 4.0], [1.0, 2.0])
    names = ["one", "two", "three", "four", "five"]
    ax = plot_history(dict.fromkeys(names, history), "free_energy")
    assert ax.get_ylabel() == "free energy"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == names
    assert len(ax.get_lines()) == len(names)


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
