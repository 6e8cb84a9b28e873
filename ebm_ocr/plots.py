"""Pictures of images, energies, alignments and trainings.

Each function draws on ``ax`` if given, and returns it. What the engine takes can be drawn: tensors
with a gradient, on any device, of any width; anything else is an error, before a figure is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle, groupby
from typing import TYPE_CHECKING, NamedTuple
from weakref import ReferenceType, WeakKeyDictionary, ref

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from .alphabet import LATIN, Alphabet, alphabet_for
from .geometry import STRIDE, WINDOW, count_windows
from .validation import check_choice, check_floats, real_number, truth, whole_number

if TYPE_CHECKING:
    from .history import History

ENERGY_MAP = "viridis"
"""Low energies dark, high ones bright: readable in grey and by the colour-blind."""
GRADIENT_MAP = "cividis"
"""Below 0 dark and blue, 0 grey, above 0 bright and yellow: a sign that survives grey printing."""
PROBABILITY_MAP = "magma"
"""Impossible black, certain nearly white."""
PATH_COLOUR, RIVAL_COLOUR = "tab:red", "black"
WIDEST, HIGHEST = 6.5, 5.5
"""Inches of a figure made here, at most: text of 8 points is still read on a phone."""
MANY = 100
"""Windows from which on a path is drawn with a fine line."""
LANDSCAPE_MARKS = (("o", "white"), ("s", "0.7"), ("^", "0.4"))
"""Of all networks but the last: shapes and greys."""
CLIP = 0.5
"""Share of the energies that relative colours tell apart; those above have one colour."""


def plot_word(image: Tensor, *, ax: Axes | None = None) -> Axes:
    """Draw an image (H, W) in [0, 1] as black ink on white, axes in pixels.

    >>> plot_word(torch.rand(32, 54)).get_xlabel()
    'pixel'
    """
    ink = _image(image)
    height, width = ink.shape
    ax = axes_for(ax, (max(2.0, width / 40), 1.3))
    extent = (0, width, height, 0)
    ax.imshow(ink, cmap="gray_r", vmin=0, vmax=1, aspect="auto", extent=extent)
    ax.set(xlabel="pixel", yticks=[0, height])
    return ax


def plot_energies(
    energies: Tensor,
    *,
    relative: bool = False,
    limits: tuple[float, float] | None = None,
    alphabet: Alphabet | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw energies (L, C) as a heat map: windows across, classes down, with a colour bar.

    >>> plot_energies(torch.rand(9, 27)).get_xlabel()
    'window'

    Args:
        energies: (L, C), lower is better.
        relative: draw how far each class lies above the window's lowest: a level that all classes
            of a window share says nothing. The upper half is drawn in one colour.
        limits: the energies at the ends of the colour bar, so that two pictures share a scale.
        alphabet: of the C classes; default a..z.

    Raises:
        TypeError: not a tensor of floats, or limits that are no numbers.
        ValueError: another shape, or limits that don't rise.
    """
    matrix, letters = _energies(energies, alphabet)
    heights, colours = _colours(matrix, relative, limits)
    ax = axes_for(ax, (max(4.0, len(heights) / 14), 4.6))
    return _heat_map(ax, heights, letters.names, "class", colours)


def plot_gradient(
    gradient: Tensor,
    *,
    limit: float | None = None,
    alphabet: Alphabet | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw what a loss asks of each energy (L, C): windows across, classes down, 0 in mid-grey.

    >>> plot_gradient(torch.randn(9, 27)).get_ylabel()
    'class'

    Args:
        gradient: (L, C); dark is negative, bright is positive.
        limit: the size at both ends of the colour bar; by default the largest there is.
        alphabet: of the C classes; default a..z.

    Raises:
        TypeError: not a tensor of floats, or a limit that is no number.
        ValueError: another shape, or a limit that is not above 0.
    """
    heights, letters = _energies(gradient, alphabet)
    if limit is None:
        limit = np.abs(heights[np.isfinite(heights)]).max(initial=0) or 1.0
    size = real_number("a limit", limit)
    if not size > 0:
        raise ValueError(f"expected a limit above 0, got {size:g}")
    colours = _colours(heights, False, (-size, size))[1]._replace(
        label="gradient", map=GRADIENT_MAP
    )
    ax = axes_for(ax, (max(4.0, len(heights) / 14), 4.6))
    return _heat_map(ax, heights, letters.names, "class", colours)


def plot_pm(
    pm: Tensor,
    path: Sequence[int] | Sequence[tuple[int, int]] | Tensor | None = None,
    *,
    symbols: Sequence[str] | None = None,
    label: str = "energy",
    limits: tuple[float, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw an (L, T) matrix as a heat map: windows across, symbols down; and a path on top.

    >>> plot_pm(torch.rand(5, 2), path=[0, 0, 1, 1, 1], symbols="a_").get_ylabel()
    'letter of the target'

    Args:
        pm: path matrix, cross-entropies or dynamic programming table; inf is white.
        path: target index of each window (L,), or cells (window, target index) as in
            ``BestPath.points``. Where it is -1 (a separator that the target doesn't show, a window
            past the sample's end) the line has a gap.
        symbols: names of the target's symbols, such as ``c_a_t_``; letters are written at their
            rows, separators not.
        label: what the colours mean.
        limits: the numbers at the ends of the colour bar.

    Raises:
        TypeError: not a tensor of floats; a path of anything but whole numbers.
        ValueError: another shape; a path that is not one of this matrix; another number of names.
    """
    heights, colours = _colours(_array("a matrix", pm, "(L, T)"), False, limits)
    return _matrix(ax, heights, path, symbols, colours._replace(label=label))


def plot_posterior(
    probability: Tensor,
    path: Sequence[int] | Sequence[tuple[int, int]] | Tensor | None = None,
    *,
    symbols: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the (L, T) probability that a window shows a symbol, bright = probable; and a path.

    >>> plot_posterior(torch.full((5, 2), 0.5), symbols="a_").get_xlabel()
    'window'

    Args:
        probability: (L, T) in [0, 1], see :func:`ebm_ocr.posterior`.
        path, symbols: see :func:`plot_pm`.

    Raises:
        TypeError, ValueError: see :func:`plot_pm`; numbers that are no probabilities.
    """
    heights = _array("probabilities", probability, "(L, T)")
    if not ((heights >= 0) & (heights <= 1 + 1e-6)).all():
        low, high = heights.min(), heights.max()
        raise ValueError(f"expected probabilities in [0, 1], got {low:g}..{high:g}")
    colours = _Colours("probability", PROBABILITY_MAP, 0.0, 1.0)
    return _matrix(ax, heights, path, symbols, colours)


def plot_reading(
    image: Tensor,
    energies: Tensor,
    path: Sequence[int] | Tensor,
    word: str,
    *,
    rival: tuple[Sequence[int] | Tensor, str] | None = None,
    relative: bool = False,
    limits: tuple[float, float] | None = None,
    alphabet: Alphabet | None = None,
    axes: Sequence[Axes] | None = None,
) -> Sequence[Axes]:
    """Draw a word above its energies, windows under their pixels, the path and the letters' spans.

    >>> len(plot_reading(torch.rand(32, 24), torch.rand(4, 27), path=[0, 0, 1, 1], word="a"))
    2

    Args:
        image: (H, W) in [0, 1].
        energies: (L, C).
        path: (L,) index into ``c_a_t_`` of each window; -1 is a gap.
        word: the word that the path spells.
        rival: another path and its word, dashed: where do they part?
        relative, limits, alphabet: see :func:`plot_energies`.
        axes: two axes, one above the other; made if not given.

    Raises:
        TypeError: not tensors of floats; a path of anything but whole numbers; a word not a str.
        ValueError: another shape; more windows than the image has; a path that does not fit the
            windows or the word; a word of other symbols.
    """
    ink = _image(image)
    matrix, letters = _energies(energies, alphabet)
    heights, colours = _colours(matrix, relative, limits)
    windows = len(heights)
    if windows > count_windows(ink.shape[1]):
        raise ValueError(f"expected no more windows than {ink.shape[1]} pixels have, got {windows}")
    if rival is not None and (not isinstance(rival, tuple) or len(rival) != 2):
        raise TypeError(f"expected rival as a path and its word, got {rival!r}")
    indices, rows = _rows(path, windows, word, letters)
    lines = [(rows, word)]
    if rival is not None:
        other, wrong = rival
        lines.append((_rows(other, windows, wrong, letters)[1], wrong))
    axes = _reading_axes(axes, ink.shape[1])
    top, bottom = axes
    plot_word(image, ax=top)
    top.set_xlabel("")
    centres = WINDOW / 2 + STRIDE * np.arange(windows)
    left, right = centres[0] - STRIDE / 2, centres[-1] + STRIDE / 2
    extent = (left, right, letters.size - 0.5, -0.5)
    _draw_matrix(bottom, heights, letters.names, [top, bottom], colours, extent)
    bottom.set(xlabel="pixel (a window stands under its middle)", ylabel="class")
    for (rows, spelling), rank in zip(lines, (0, 1)):
        _draw_path(bottom, centres, rows, spelling, rank, steps=True)
    if rival is not None:
        bottom.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2, handlelength=4)
    _mark_letters(top, indices, word)
    return axes


def plot_alphabet(
    images: Sequence[Tensor], titles: Sequence[str], *, columns: int = 9
) -> Sequence[Axes]:
    """Draw small images (H, W) in [0, 1] in a grid, each under its title.

    >>> len(plot_alphabet([torch.zeros(32, 18)] * 2, titles=["a", "b"], columns=2))
    2

    Raises:
        TypeError: images that are not tensors of floats; columns that are not a whole number.
        ValueError: no images, another number of titles, or no columns.
    """
    columns = whole_number("columns", columns, least=1)
    inks, names = [_image(image) for image in images], list(titles)
    if not inks or len(names) != len(inks):
        raise ValueError(
            f"expected images and a title for each, got {len(inks)} images and {len(names)} titles"
        )
    rows = -(-len(inks) // columns)
    size = (columns, 0.95 * rows)
    _, grid = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    axes = list(grid.flat)
    for ax in axes:
        ax.set_axis_off()
    for ax, ink, title in zip(axes, inks, names):
        ax.imshow(ink, cmap="gray_r", vmin=0, vmax=1)
        ax.set_title(title, fontsize=9)
    return axes


def plot_history(
    histories: Mapping[str, History], quantity: str = "loss", *, ax: Axes | None = None
) -> Axes:
    """Draw one quantity of :class:`ebm_ocr.History` against the passes, one line a training.

    >>> from ebm_ocr import History
    >>> passes = History([2.0, 1.0], [0.5, 1.0], [3.0, 2.0], [0.0, 1.0], [1.0, 2.0])
    >>> plot_history({"hinge": passes}, "accuracy").get_ylabel()
    'accuracy'

    Raises:
        TypeError: not trainings by their names.
        ValueError: none at all, or a quantity that a history does not keep.
    """
    if not isinstance(histories, Mapping) or not all(
        hasattr(history, "_fields") for history in histories.values()
    ):
        raise TypeError(f"expected histories by their names, got {type(histories).__name__}")
    if not histories:
        raise ValueError("expected at least one history, got none")
    for history in histories.values():
        check_choice("quantity", quantity, history._fields)
    ax = axes_for(ax, (4.2, 3.0))
    for (name, history), style in zip(histories.items(), cycle(("-", "--", ":", "-."))):
        values = getattr(history, quantity)
        shown = f" {name}" if str(name).startswith("_") else name  # legends leave out "_name"
        ax.plot(range(1, len(values) + 1), values, style, marker=".", label=shown)
    ax.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))
    ax.set(xlabel="pass over the words", ylabel=quantity.replace("_", " "))
    if len(histories) > 1:
        ax.legend()
    return ax


def plot_landscape(
    energies: Mapping[str, Mapping[str, float]], right: str, *, ax: Axes | None = None
) -> Axes:
    """Draw how far words lie above the right one, as a network, or several, see one image.

    Words are sorted by the last network; left of the line are those that it would read instead.
    Where differences go over more than two powers of ten, the axis is logarithmic beyond its
    linear middle, and says so.

    >>> plot_landscape({"trained": {"cat": -3.0, "cot": 1.0}}, right="cat").get_xlabel()
    'energy above that of cat'

    Args:
        energies: of each network, by its name, the energy of each word; the same words for all.
        right: the word that the image shows.

    Raises:
        TypeError: not energies by words by networks; an energy that is no number.
        ValueError: no networks, other words, no word but the right one, or not the right one; an
            energy that is not finite.
    """
    above = _above(energies, right)
    *_, last = above.values()
    words = sorted(last, key=lambda word: (last[word], word))
    ax = axes_for(ax, (5.2, 0.9 + 0.24 * len(words)))
    rows = np.arange(len(words))
    ax.axvline(0, color="0.6", lw=1, zorder=1)
    for (name, heights), (mark, face) in zip(above.items(), cycle(LANDSCAPE_MARKS)):
        values = [heights[word] for word in words]
        final = heights is last
        if final:
            ax.hlines(rows, 0, values, color="0.75", lw=1.5, zorder=1)
        ax.plot(
            values, rows, mark, mfc="black" if final else face, mec="black", ms=6, ls="", label=name
        )
    sizes = np.abs([value for heights in above.values() for value in heights.values() if value])
    if sizes.max(initial=0) > 100 * sizes.min(initial=np.inf):
        linear = 10 ** np.floor(np.log10(np.median(sizes))) / 10
        ax.set_xscale("symlog", linthresh=linear)
    ax.set(xlabel=f"energy above that of {right}", ylim=(len(words) - 0.5, -0.5))
    ax.set_yticks(rows, words, fontsize=9)
    ax.get_yticklabels()[words.index(right)].set(color=PATH_COLOUR, fontweight="bold")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(above), frameon=False)
    return ax


def _above(energies: Mapping[str, Mapping[str, float]], right: str) -> dict[str, dict[str, float]]:
    """The energies of a landscape, the right word's taken off."""
    if not isinstance(energies, Mapping) or not all(
        isinstance(words, Mapping) for words in energies.values()
    ):
        raise TypeError(f"expected energies by words by networks, got {energies!r:.80}")
    if not energies:
        raise ValueError("expected at least one network, got none")
    first = next(iter(energies.values())).keys()
    for name, words in energies.items():
        if words.keys() != first or right not in first or len(first) < 2:
            raise ValueError(
                f"expected {right!r} and other words, the same for each network, "
                f"got {sorted(words)} of {name!r}"
            )
    above = {}
    for name, words in energies.items():
        numbers = {word: real_number("an energy", energy) for word, energy in words.items()}
        if not np.isfinite([*numbers.values()]).all():
            raise ValueError(f"expected finite energies, got {numbers} of {name!r}")
        above[name] = {word: energy - numbers[right] for word, energy in numbers.items()}
    return above


def _array(name: str, values: Tensor, shape: str) -> np.ndarray:
    """A non-empty matrix of real numbers, from any device and with any gradient, as float64."""
    if isinstance(values, Tensor) and not values.is_floating_point() and not values.is_complex():
        values = values.double()
    check_floats(name, values)
    if values.dim() != 2 or 0 in values.shape:
        raise ValueError(f"expected {name} {shape}, none of them zero, got {tuple(values.shape)}")
    return values.detach().cpu().double().numpy()


def _image(image: Tensor) -> np.ndarray:
    """(H, W) of ink in [0, 1]."""
    ink = _array("an image", image, "(H, W)")
    if not ((ink >= 0) & (ink <= 1)).all():
        raise ValueError(f"expected an image in [0, 1], got {ink.min():g}..{ink.max():g}")
    return ink


def _energies(energies: Tensor, alphabet: Alphabet | None) -> tuple[np.ndarray, Alphabet]:
    """(L, C), and the alphabet of the classes."""
    heights = _array("energies", energies, "(L, C)")
    return heights, alphabet_for(LATIN if alphabet is None else alphabet, heights.shape[1])


def _path(
    path: Sequence[int] | Sequence[tuple[int, int]] | Tensor, windows: int, width: int
) -> np.ndarray:
    """(L,) target indices, -1 for none, from indices or from cells in the order of the windows."""
    values = path.detach().cpu() if isinstance(path, Tensor) else path
    try:
        indices = np.asarray(values)
    except ValueError:  # rows of different lengths
        raise TypeError(f"expected a path as whole numbers, one a window, got {path!r}") from None
    if indices.ndim == 2 and indices.shape[1] == 2:
        if not np.array_equal(indices[:, 0], np.arange(windows)):
            raise ValueError(
                f"expected a path with a cell in each of {windows} windows, got {path!r}"
            )
        indices = indices[:, 1]
    if indices.shape != (windows,):
        raise ValueError(f"expected a path ({windows},), one index a window, got {indices.shape}")
    if indices.dtype.kind not in "iu":
        raise TypeError(f"expected a path as whole numbers, got {indices.dtype}")
    if indices.min() < -1 or indices.max() >= width:
        raise ValueError(
            f"expected a path of indices below {width}, or -1 for none, "
            f"got {indices.min()}..{indices.max()}"
        )
    return indices.astype(np.int64)


def _rows(
    path: Sequence[int] | Tensor, windows: int, word: str, alphabet: Alphabet
) -> tuple[np.ndarray, np.ndarray]:
    """(L,) index into a word's spelling and (L,) class that each window shows, NaN where the path
    is -1."""
    spelling = np.array(alphabet.spelling(word))
    indices = _path(path, windows, len(spelling))
    return indices, np.where(indices < 0, np.nan, spelling[indices])


def _mark_letters(ax: Axes, path: np.ndarray, word: str) -> None:
    """Name and shade what the windows of each letter stand on."""
    position = 0
    for index, run in groupby(path.tolist()):
        count = len(list(run))
        if index >= 0 and index % 2 == 0:
            start = WINDOW / 2 + STRIDE * (position - 0.5)
            ax.axvspan(start, start + STRIDE * count, color=PATH_COLOUR, alpha=0.2, linewidth=0)
            middle = start + STRIDE * count / 2
            ax.text(middle, -2, word[index // 2], ha="center", color=PATH_COLOUR)
        position += count


def axes_for(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """The given axes, or those of a new figure of that size in inches, or as large as a page."""
    if ax is None:
        size = (min(size[0], WIDEST), min(size[1], HIGHEST))
        return plt.subplots(figsize=size, layout="constrained")[1]
    if not isinstance(ax, Axes):
        raise TypeError(f"expected ax as matplotlib's Axes, got {type(ax).__name__}")
    return ax


def _reading_axes(axes: Sequence[Axes] | None, width: int) -> Sequence[Axes]:
    """The two given axes, or those of a new figure for an image of that width."""
    if axes is None:
        _, axes = plt.subplots(
            2,
            1,
            figsize=(min(max(4.5, width / 28), WIDEST), 5.2),
            sharex=True,
            height_ratios=[1, 4.5],
            layout="constrained",
        )
    if not isinstance(axes, (Sequence, np.ndarray)) or len(axes) != 2:
        raise ValueError(f"expected two axes, one above the other, got {axes!r}")
    return axes


class _Colours(NamedTuple):
    """What the colours of a heat map mean."""

    label: str
    map: str = ENERGY_MAP
    low: float | None = None
    high: float | None = None


def _colours(
    matrix: np.ndarray, relative: bool, limits: tuple[float, float] | None
) -> tuple[np.ndarray, _Colours]:
    """The numbers to draw, as they are or above the lowest of their window, and their colours."""
    low, high, label = None, None, "energy"
    if truth("relative", relative):
        with np.errstate(invalid="ignore"):  # a window in which all are inf
            matrix = matrix - matrix.min(1, keepdims=True)
        above = matrix[np.isfinite(matrix) & (matrix > 0)]
        low, high = (0.0, float(np.quantile(above, CLIP))) if above.size else (None, None)
        label = "energy above the window's lowest (clipped)"
    if limits is not None:
        if not isinstance(limits, Sequence) or len(limits) != 2:
            raise TypeError(f"expected limits as two numbers, got {limits!r}")
        low, high = (real_number("a limit", limit) for limit in limits)
        if not low < high:
            raise ValueError(f"expected limits that rise, got {low:g} and {high:g}")
    return matrix, _Colours(label, low=low, high=high)


def _matrix(
    ax: Axes | None,
    matrix: np.ndarray,
    path: Sequence[int] | Sequence[tuple[int, int]] | Tensor | None,
    symbols: Sequence[str] | None,
    colours: _Colours,
) -> Axes:
    """(L, T) matrix with windows across, the target's symbols down and a path on top."""
    windows, width = matrix.shape
    if symbols is not None and len(symbols) != width:
        raise ValueError(f"expected {width} symbols, one a column, got {len(symbols)}: {symbols!r}")
    line = None if path is None else _path(path, windows, width)
    ax = axes_for(ax, (max(3.6, windows / 12), max(2.0, 1.1 + width / 12)))
    axis = "target index" if symbols is None else "letter of the target"
    names = None if symbols is None else ["" if s == LATIN.sign else s for s in symbols]
    _heat_map(ax, matrix, names, axis, colours)
    if line is not None:
        _draw_path(ax, np.arange(windows), np.where(line < 0, np.nan, line), "path")
    return ax


def _draw_path(
    ax: Axes, xs: np.ndarray, rows: np.ndarray, label: str, rank: int = 0, steps: bool = False
) -> None:
    """A line with a dot a window, cased in white; the second, dashed, lies on the first. A path of
    many windows is drawn finer, or it would hide its own cells."""
    colour, dashes, width = ((PATH_COLOUR, "-", 2.0), (RIVAL_COLOUR, (0, (2, 1.5)), 1.2))[rank]
    width = width / 2 if len(xs) > MANY else width
    (casing,) = ax.plot(xs, rows, ".-", c="white", lw=2 * width, ms=3.75 * width, zorder=2.5)
    (line,) = ax.plot(xs, rows, ".", c=colour, lw=width, ms=2.5 * width, zorder=3 + rank)
    line.set(linestyle=dashes, label=label)
    for drawn in (casing, line):
        drawn.set_drawstyle("steps-mid" if steps else "default")


def _heat_map(
    ax: Axes, matrix: np.ndarray, names: Sequence[str] | None, axis: str, colours: _Colours
) -> Axes:
    """(L, N) matrix with windows across and named rows down."""
    _draw_matrix(ax, matrix, names, [ax], colours)
    ax.set(xlabel="window", ylabel=axis)
    return ax


def _draw_matrix(
    ax: Axes,
    matrix: np.ndarray,
    names: Sequence[str] | None,
    beside: list[Axes],
    colours: _Colours,
    extent: tuple[float, float, float, float] | None = None,
) -> None:
    """(L, N) matrix across, its rows named unless the name is empty, with a colour bar."""
    picture = ax.imshow(
        np.ma.masked_invalid(matrix.T),
        cmap=plt.get_cmap(colours.map).with_extremes(bad="white"),
        aspect="auto",
        interpolation="nearest",
        extent=extent,
        vmin=colours.low,
        vmax=colours.high,
    )
    _colour_bar(picture, beside, colours.label)
    if names is None:
        ax.yaxis.set_major_locator(MaxNLocator(integer=True))
        return
    named = [row for row, name in enumerate(names) if name]
    ax.set_yticks(named, [names[row] for row in named], fontsize=8)


_BARS: WeakKeyDictionary[Axes, ReferenceType[Axes]] = WeakKeyDictionary()
"""Where each heat map's colour bar stands, so that drawing again does not shrink the axes again."""


def _colour_bar(picture: AxesImage, beside: list[Axes], label: str) -> None:
    """A colour bar in the place of the last one of these axes, or in a new place beside them."""
    ax, cells = picture.axes, np.ma.compressed(picture.get_array())
    below, above = (cells < picture.norm.vmin).any(), (cells > picture.norm.vmax).any()
    ends = ("neither", "min", "max", "both")[int(below) + 2 * int(above)]
    place = _BARS[ax]() if ax in _BARS else None
    if place is not None and place in ax.figure.axes:
        place.clear()
        ax.figure.colorbar(picture, cax=place, label=label, extend=ends)
        return
    bar = ax.figure.colorbar(picture, ax=beside, label=label, pad=0.02, extend=ends)
    _BARS[ax] = ref(bar.ax)
