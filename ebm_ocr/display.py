"""What a notebook shows: sources without their docstrings, figures with words for those who
cannot see them, tables.

The only module that needs IPython and Pygments, which every notebook has.
"""

from __future__ import annotations

import ast
import base64
import inspect
import io
import re
import textwrap
from collections.abc import Callable, Sequence
from numbers import Real

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown, display
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageChops
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

SHARPNESS = 2
"""Pixels of a shown figure for each of its own: 200 an inch where ``figure.dpi`` is 100."""
COLOURS = 256
MARGIN = 0.04
"""Inches of empty paper around what is drawn, as constrained layouts keep it."""


def show_source(*functions: Callable | type) -> None:
    """Display the source of functions and classes, coloured, without docstrings.

    What the docstrings say stands in the text around the cell; comments and decorators stay.

    >>> show_source(textwrap.dedent)  # doctest: +ELLIPSIS
    {'text/html': ...}

    Raises:
        TypeError: what has no source, such as a built-in function or a value.
        ValueError: nothing to show.
    """
    if not functions:
        raise ValueError("expected at least one function or class, got none")
    sources = []
    for function in functions:
        if not isinstance(function, type) and not inspect.isroutine(function):
            kind = type(function).__name__
            raise TypeError(f"expected functions or classes, got {kind}: {function!r:.80}")
        try:
            sources.append(without_docstrings(inspect.getsource(function)))
        except (OSError, TypeError):
            raise TypeError(
                f"expected functions with a source in Python, got {function!r}"
            ) from None
    source = "\n\n".join(sources).rstrip()
    # within <code>: nbconvert gives a <pre> in an output the font of the text
    form = HtmlFormatter(wrapcode=True, cssclass="source")
    colours = f"<style>{form.get_style_defs('.source')}</style>"
    html = colours + highlight(source, PythonLexer(), form)
    display({"text/html": html, "text/plain": source}, raw=True)


def edited(function: Callable, line: str, instead: str) -> Callable:
    """The function that a change of its source makes, to see what a mistake does.

    >>> halve = edited(without_docstrings, "return code.decode()", "return code.decode()[:4]")
    >>> halve("pass  # on")
    'pass'

    Args:
        function: written in Python, at the top level of its module.
        line: a piece of its source that stands there once.
        instead: what takes its place.

    Raises:
        TypeError: a function that has no source.
        ValueError: a piece that does not stand there once.
    """
    try:
        source = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        raise TypeError(f"expected a function with a source, got {function!r:.80}") from None
    if source.count(line) != 1:
        found = source.count(line)
        raise ValueError(f"expected {line!r} once in {function.__name__}, found it {found} times")
    names = dict(vars(inspect.getmodule(function)))
    exec(
        compile(
            "from __future__ import annotations\n" + source.replace(line, instead), "edited", "exec"
        ),
        names,
    )
    return names[function.__name__]


def without_docstrings(source: str) -> str:
    """Python source, moved to the left margin, without the docstrings of what it defines.

    A body that was nothing but its docstring becomes ``...``.

    >>> print(without_docstrings('    def f(x):\\n        "Say x."\\n        return x  # itself'))
    def f(x):
        return x  # itself
    """
    code = textwrap.dedent(source).encode()  # ast counts columns in bytes
    starts = [0, *np.cumsum([len(line) for line in code.splitlines(keepends=True)]).tolist()]
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    spans = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
            text = node.body[0]
            begin = starts[text.lineno - 1] + text.col_offset
            end = starts[(text.end_lineno or 0) - 1] + (text.end_col_offset or 0)
            spans.append((begin, end, len(node.body) == 1))
    for begin, end, alone in sorted(spans, reverse=True):
        before, after = code[:begin], code[end:]
        if alone:
            code = before + b"..." + after
        elif rest := re.match(rb"([ \t]*\r?\n)+", after):  # its lines, and blank ones below it
            code = before.rstrip(b" \t") + after[rest.end() :]
        else:
            code = before + after.lstrip(b" \t;")
    return code.decode()


def show(
    drawn: Figure | Axes | Sequence[Axes] | np.ndarray, alt: str, *, caption: str | None = None
) -> None:
    """Display a figure as a small PNG that carries a text for those who cannot see it; close it.

    >>> show(plt.figure().subplots(), "Empty axes")  # doctest: +ELLIPSIS
    {'image/png': ...}

    Args:
        drawn: a figure, its axes, or several axes of one figure.
        alt: what there is to be seen, in a sentence. It goes into the output's metadata, where
            Jupyter's tools look for it, and is what a terminal prints.
        caption: a line of Markdown below the figure.

    Raises:
        TypeError: neither a figure nor axes; a text that is no str.
        ValueError: an empty text.
    """
    figure = _figure(drawn)
    for name, text in (("an alternative text", alt), ("a caption", caption or "")):
        if not isinstance(text, str):
            raise TypeError(f"expected {name} as str, got {type(text).__name__}: {text!r}")
    if not alt.strip():
        raise ValueError("expected an alternative text that says what is to be seen, got none")
    png, width = _palette_png(figure, SHARPNESS * figure.dpi)
    plt.close(figure)
    data = {"image/png": base64.b64encode(png).decode(), "text/plain": alt}
    metadata = {"image/png": {"alt": alt, "width": width // SHARPNESS}}
    display(data, metadata=metadata, raw=True)
    if caption:
        display(Markdown(caption))


def _figure(drawn: object) -> Figure:
    """The figure that was drawn, or that the axes stand on."""
    if isinstance(drawn, np.ndarray):
        drawn = drawn.ravel().tolist()
    if isinstance(drawn, Sequence) and drawn:
        drawn = drawn[0]
    figure = drawn.get_figure() if isinstance(drawn, Axes) else drawn
    if not isinstance(figure, Figure):
        kind = type(drawn).__name__
        raise TypeError(f"expected a figure or axes to show, got {kind}: {drawn!r:.80}")
    return figure


def _palette_png(figure: Figure, dpi: float) -> tuple[bytes, int]:
    """A figure as PNG of at most 256 colours without empty margins, and its width in pixels."""
    if figure.get_layout_engine() is None:
        figure.set_layout_engine("constrained")  # or labels may reach beyond the figure
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawing = Image.fromarray(np.asarray(canvas.buffer_rgba()))
    paper = Image.new("RGB", drawing.size, "white")
    paper.paste(drawing, mask=drawing.getchannel("A"))
    empty = Image.new("RGB", paper.size, paper.getpixel((0, 0)))
    drawn = ImageChops.difference(paper, empty).getbbox() or (0, 0, *paper.size)
    pad = round(MARGIN * dpi)
    left, top = (max(0, place - pad) for place in drawn[:2])
    right, bottom = (min(size, place + pad) for size, place in zip(paper.size, drawn[2:]))
    paper = paper.crop((left, top, right, bottom))
    small = paper.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    png = io.BytesIO()
    small.save(png, format="PNG")
    return png.getvalue(), small.width


def show_table(rows: Sequence[Sequence[object]], header: Sequence[object]) -> None:
    """Display a table: rendered in a notebook, in aligned columns in a terminal.

    Cells are Markdown. Floats are shown with four digits; a column of numbers is aligned right.

    >>> show_table([["hinge", 0.5], ["log", 12.25]], ("loss", "value"))  # doctest: +ELLIPSIS
    {'text/markdown': '| loss | value |...'}

    Raises:
        TypeError: rows that are not rows of cells.
        ValueError: no rows, or one of another length than the header.
    """
    table = [list(row) for row in map(_row, [header, *rows])]
    if len(table) < 2:
        raise ValueError("expected at least one row, got none")
    for row in table:
        if len(row) != len(table[0]):
            raise ValueError(f"expected {len(table[0])} cells a row, got {len(row)}: {row!r}")
    numeric = [all(isinstance(cell, Real) for cell in column[1:]) for column in zip(*table)]
    texts = [[_cell(cell) for cell in row] for row in table]
    widths = [max(map(len, column)) for column in zip(*texts)]
    lines = [
        "  ".join(f"{cell:{'>' if right else '<'}{width}}" for cell, right, width in line).rstrip()
        for line in (zip(row, numeric, widths) for row in texts)
    ]
    rule = ["---:" if right else ":---" for right in numeric]
    escaped = [[cell.replace("|", r"\|") for cell in row] for row in texts]
    rendered = [f"| {' | '.join(row)} |" for row in (escaped[0], rule, *escaped[1:])]
    display({"text/markdown": "\n".join(rendered), "text/plain": "\n".join(lines)}, raw=True)


def _row(row: object) -> Sequence[object]:
    """A row of cells."""
    if isinstance(row, str) or not isinstance(row, Sequence):
        raise TypeError(f"expected a row of cells, got {type(row).__name__}: {row!r}")
    return row


def _cell(cell: object) -> str:
    """A cell on one line; floats with four digits."""
    return f"{cell:.4g}" if isinstance(cell, float) else " ".join(str(cell).split())
