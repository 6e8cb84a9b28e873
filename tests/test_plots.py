"""Plots draw on the axes they are given, label them with letters,
and refuse what they can't draw."""

import matplotlib.pyplot as plt
import pytest
import torch

from ebm_ocr import (
    LETTERS,
    SYMBOLS,
    History,
    plot_alphabet,
    plot_energies,
    plot_gradient,
    plot_history,
    plot_landscape,
    plot_pm,
    plot_posterior,
    plot_reading,
    plot_word,
)

pytestmark = pytest.mark.usefixtures("headless")


def test_energies_are_drawn_windows_across_and_classes_down_by_letter():
    energies = torch.arange(5 * 27.0).view(5, 27)
    ax = plot_energies(energies)
    assert [label.get_text() for label in ax.get_yticklabels()] == list(SYMBOLS)
    assert ax.get_images()[0].get_array().shape == (27, 5)
    assert ax.get_xlabel() == "window"


def test_energies_of_another_shape_are_refused():
    with pytest.raises(
        ValueError, match=r"expected 27 classes, the symbols a..z and a separator, got 5"
    ):
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
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a"]  # no separators
    assert ax.get_images()[0].get_array().mask.sum() == 1  # inf stays white


def test_a_path_is_cased_in_white_whether_right_or_rival():
    path, rival = [0, 0, 1, 1, 2, 2, 2, 3, 3, 3], ([0] * 8 + [1] * 2, "c")
    matrix = plot_pm(torch.zeros(10, 4), path)
    _, reading = plot_reading(torch.zeros(32, 36), torch.zeros(10, 27), path, "ab", rival=rival)
    for ax in (matrix, reading):
        lines = ax.get_lines()
        cased = [line for line in lines if line.get_color() != "white"]
        for line in cased:
            casing = next(
                other
                for other in lines
                if other.get_color() == "white"
                and other.get_ydata().tolist() == line.get_ydata().tolist()
            )
            assert casing.get_zorder() < line.get_zorder()
            assert casing.get_linewidth() > line.get_linewidth() + 1
        assert len(lines) == 2 * len(cased)


def test_the_rows_of_a_long_target_are_named_by_letters_that_do_not_touch():
    ax = plot_pm(torch.zeros(162, 52), symbols="".join(f"{letter}_" for letter in LETTERS))
    figure = ax.figure
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in ax.get_yticklabels()]
    assert [label.get_text() for label in ax.get_yticklabels()] == list(LETTERS)
    assert ax.get_yticks().tolist() == list(range(0, 52, 2))
    assert min(label.get_fontsize() for label in ax.get_yticklabels()) >= 8
    spacing = boxes[0].y0 - boxes[1].y0
    assert spacing > 0.8 * 8 / 72 * figure.dpi  # a letter's height, descenders left out
    assert max(figure.get_size_inches()) <= 6.5


def test_relative_energies_stand_above_the_lowest_of_their_window():
    generator = torch.Generator().manual_seed(0)
    energies = torch.randn(10, 27, generator=generator, dtype=torch.float64)
    levels = energies + 1000 * torch.arange(10.0)[:, None]
    above = levels - levels.amin(1, keepdim=True)
    for ax in (
        plot_energies(levels, relative=True),
        plot_reading(torch.zeros(32, 36), levels, [0] * 9 + [1], "a", relative=True)[1],
    ):
        picture = ax.get_images()[0]
        torch.testing.assert_close(torch.tensor(picture.get_array().data.T), above, rtol=0, atol=0)
        low, high = picture.get_clim()
        clipped = (above > high).double().mean()
        assert low == 0
        assert 0.4 < clipped < 0.5
        assert "above the window's lowest (clipped)" in picture.colorbar.ax.get_ylabel()
        assert picture.colorbar.extend == "max"


def test_relative_energies_of_windows_without_a_choice_are_drawn():
    for energies in (torch.zeros(4, 27), torch.full((4, 27), float("inf"))):
        assert plot_energies(energies, relative=True).get_images()


@pytest.mark.parametrize("relative", [False, True])
def test_pictures_with_the_same_limits_share_a_scale(relative):
    energies = torch.arange(5 * 27.0).view(5, 27)
    options = {"relative": relative, "limits": (-1, 30)}
    reading = plot_reading(torch.zeros(32, 36), energies, [0, 0, 0, 0, 1], "a", **options)[1]
    matrix = plot_pm(energies, limits=(-1, 30))
    for ax in (plot_energies(energies, **options), reading, matrix):
        assert ax.get_images()[0].get_clim() == (-1, 30)


def test_a_gradient_is_drawn_around_zero():
    gradient = torch.zeros(5, 27)
    gradient[2, 3] = -0.5
    picture = plot_gradient(gradient).get_images()[0]
    assert picture.get_clim() == (-0.5, 0.5)
    dark, middle, bright = (sum(picture.cmap(value)[:3]) for value in (0.0, 0.5, 1.0))
    assert dark < middle - 0.5 < bright - 1
    assert plot_gradient(gradient, limit=2).get_images()[0].get_clim() == (-2, 2)
    assert plot_gradient(torch.zeros(5, 27)).get_images()[0].get_clim() == (-1, 1)


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
    (line,) = [line for line in bottom.get_lines() if line.get_label() == "c"]
    assert line.get_ydata().tolist() == [2] * 8 + [26] * 2
    assert line.is_dashed()
    assert [text.get_text() for text in bottom.get_legend().get_texts()] == ["ab", "c"]


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


def test_a_posterior_is_bright_where_it_is_probable():
    probability = torch.tensor([[1.0, 0.0], [0.25, 0.75]])
    ax = plot_posterior(probability, [0, 1], symbols="a_")
    picture = ax.get_images()[0]
    assert picture.get_clim() == (0, 1)
    brightness = [sum(picture.cmap(value)[:3]) for value in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert brightness == sorted(brightness)
    assert len(ax.get_lines()) == 2
    assert picture.colorbar.ax.get_ylabel() == "probability"


def test_a_landscape_is_sorted_by_the_last_network_and_measured_from_the_right_word():
    before = {"cat": 5.0, "cap": 4.0, "act": 5.5}
    after = {"act": 10.0, "cat": 1.0, "cap": 3.5}
    ax = plot_landscape({"before": before, "after": after}, "cat")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["cat", "cap", "act"]
    assert [label.get_fontweight() for label in ax.get_yticklabels()] == [
        "bold",
        "normal",
        "normal",
    ]
    lines = {line.get_label(): line.get_xdata() for line in ax.get_lines()}
    assert list(lines["before"]) == [0, -1, 0.5]
    assert list(lines["after"]) == [0, 2.5, 9]
    assert ax.get_xscale() == "linear"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["before", "after"]
    after["act"] = 1e4
    assert plot_landscape({"before": before, "after": after}, "cat").get_xscale() == "symlog"
