"""What a notebook shows: sources without docstrings, small pictures with words, tables."""

import ast
import base64
import inspect
import io
import math

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
import torch
from nbconvert import HTMLExporter
from PIL import Image

from ebm_ocr import SimpleNet, display, find_path, plot_pm, plot_reading
from ebm_ocr.display import edited, show, show_source, show_table, without_docstrings

pytestmark = pytest.mark.usefixtures("headless")


@pytest.fixture
def outputs(monkeypatch):
    """The data and the metadata of each output."""
    found = []

    def keep(data, *, metadata=None, raw=False):
        found.append((data, metadata) if raw else (data, None))

    monkeypatch.setattr(display, "display", keep)
    return found


SOURCES = {
    "a line": ('def f(x):\n    "Say x."\n    return x\n', "def f(x):\n    return x\n"),
    "several lines, a blank one below": (
        'def f(x):\n    """Say x.\n\n    Or é: more.\n    """\n\n    return x\n',
        "def f(x):\n    return x\n",
    ),
    "nothing else": ('def f(x):\n    """Say x."""\n', "def f(x):\n    ...\n"),
    "comments, decorators and other strings": (
        '@cached\n@wrap("""no docstring""")\ndef f(x):  # é\n    # why\n    r"""Say \\x."""  # x\n'
        '    # here\n    x = """no\n    docstring"""\n    """Nor this."""\n    return x  # x\n',
        '@cached\n@wrap("""no docstring""")\ndef f(x):  # é\n    # why\n    # x\n'
        '    # here\n    x = """no\n    docstring"""\n    """Nor this."""\n    return x  # x\n',
    ),
    "in a class, and nested": (
        'class A:\n    """An A."""\n\n    b: int\n    """Of b."""\n\n    async def c(self):\n'
        '        """Say c."""\n\n        def d():\n            "D."\n            return 1\n\n'
        "        return d\n",
        'class A:\n    b: int\n    """Of b."""\n\n    async def c(self):\n'
        "        def d():\n            return 1\n\n        return d\n",
    ),
    "on one line": ('def f(): "é"; return 1\n', "def f(): return 1\n"),
    "indented": ('    def f():\n        "F."\n        return 1\n', "def f():\n    return 1\n"),
    "none": ("def f():\n    return f'{1}'\n", "def f():\n    return f'{1}'\n"),
}


@pytest.mark.parametrize(("source", "expected"), SOURCES.values(), ids=SOURCES)
def test_docstrings_are_removed_and_nothing_else(source, expected):
    assert without_docstrings(source) == expected


@pytest.mark.parametrize("shown", [find_path, SimpleNet, without_docstrings])
def test_what_is_shown_is_the_code_that_runs(shown):
    def bare(source):
        tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
                node.body = node.body[1:]
        return ast.dump(tree)

    source = inspect.getsource(shown)
    assert bare(without_docstrings(source)) == bare(source)


def test_sources_are_shown_one_below_another_in_colour(outputs):
    show_source(find_path, SimpleNet.forward)
    ((shown, _),) = outputs
    source = shown["text/plain"]
    assert source.startswith("def find_path(pm: Tensor)")
    assert "\n\n\ndef forward(self" in source
    assert "Find the lowest" not in source
    assert '<span class="k">def</span>' in shown["text/html"]
    assert (
        "<pre><span></span><code>" in shown["text/html"]
    )  # of even width in nbconvert's pages too


@pytest.mark.parametrize("axes", [1, 2])
def test_a_figure_is_shown_as_a_small_png_with_its_text_and_closed(outputs, axes):
    drawn = (
        plot_pm(torch.randn(40, 10), [*range(10)] + [9] * 30, symbols="h_e_l_l_o_")
        if axes == 1
        else plot_reading(torch.rand(32, 36), torch.randn(10, 27), [0] * 9 + [1], "a")
    )
    show(drawn, "a path | through <cells>", caption="A *path*.")
    assert not plt.get_fignums()
    (data, metadata), (caption, _) = outputs
    assert caption.data == "A *path*."
    assert data["text/plain"] == metadata["image/png"]["alt"] == "a path | through <cells>"
    png = base64.b64decode(data["image/png"])
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        assert image.mode == "P"
        assert abs(image.width - 2 * metadata["image/png"]["width"]) <= 1
        assert image.width < 2 * 6.6 * 100
        assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    assert len(png) < 70_000


def test_a_figure_fits_its_picture_without_empty_margins(outputs):
    """Also one that nothing was to lay out, whose title is too high for it."""
    figure, ax = plt.subplots(figsize=(2, 2))
    ax.set_ylabel("on two\n lines")
    ax.set_title("five\nlines\nof\na\ntitle")
    show(figure, "empty axes")
    with Image.open(io.BytesIO(base64.b64decode(outputs[0][0]["image/png"]))) as image:
        ink = 255 - np.asarray(image.convert("L"))
    pad = round(0.04 * 200)
    for side in (ink, ink[::-1], ink.T, ink.T[::-1]):
        assert not side[:pad].any()
        assert side[pad].any()


def test_a_whole_figure_or_a_grid_of_axes_can_be_shown(outputs):
    show(plt.figure(), "nothing")
    show(plt.subplots(2, 2)[1], "four times nothing")
    assert [data["text/plain"] for data, _ in outputs] == ["nothing", "four times nothing"]
    assert not plt.get_fignums()


def test_nbconvert_reads_the_alternative_text(outputs):
    show(plt.figure(figsize=(1, 1)), 'an "empty" page')
    data, metadata = outputs[0]
    cell = nbformat.v4.new_code_cell(
        outputs=[nbformat.v4.new_output("display_data", data, metadata=metadata)]
    )
    page, _ = HTMLExporter(template_name="classic").from_notebook_node(
        nbformat.v4.new_notebook(cells=[cell], metadata={"title": "x"})
    )
    assert 'alt="an &quot;empty&quot; page"' in page or "alt='an \"empty\" page'" in page


def test_a_table_is_rendered_and_aligned(outputs):
    show_table([("hinge", 1.23456, 10), ("a|b", math.inf, 2)], ("loss", "gap", "words"))
    ((data, _),) = outputs
    assert data["text/markdown"].splitlines() == [
        "| loss | gap | words |",
        "| :--- | ---: | ---: |",
        "| hinge | 1.235 | 10 |",
        r"| a\|b | inf | 2 |",
    ]
    assert data["text/plain"].splitlines() == [
        "loss     gap  words",
        "hinge  1.235     10",
        "a|b      inf      2",
    ]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: show_source(), ValueError, "at least one function"),
        (lambda: show_source(3), TypeError, "expected functions or classes, got int: 3"),
        (lambda: show_source(len), TypeError, "expected .* with a source in Python, got .*len"),
        (lambda: show(plt.figure(), " "), ValueError, "says what is to be seen"),
        (lambda: show(plt.figure(), None), TypeError, "alternative text as str, got NoneType"),
        (lambda: show(plt.figure(), "x", caption=1), TypeError, "a caption as str, got int"),
        (lambda: show(torch.zeros(1), "x"), TypeError, "a figure or axes to show, got Tensor"),
        (lambda: show([], "x"), TypeError, "a figure or axes to show, got list"),
        (lambda: show_table([], ["a"]), ValueError, "at least one row"),
        (lambda: show_table([[1, 2]], ["a"]), ValueError, "expected 1 cells a row, got 2"),
        (lambda: show_table(["a"], ["a"]), TypeError, "a row of cells, got str"),
        (lambda: show_table([{"a": 1}], ["a"]), TypeError, "a row of cells, got dict"),
    ],
)
def test_what_cannot_be_shown_says_what_was_expected(outputs, call, error, message):
    with pytest.raises(error, match=message):
        call()
    assert not outputs


def test_edited_runs_the_change_and_nothing_else():
    wrong = edited(find_path, "dp[0, 0] = energies[0, 0]", "dp[0] = energies[0].cumsum(0)")
    matrix = torch.tensor([[1.0, -9.0], [0.0, 0.0], [0.0, 0.0]])
    assert wrong(matrix).dp[0].tolist() == [1.0, -8.0]
    assert find_path(matrix).dp[0].tolist() == [1.0, math.inf]


@pytest.mark.parametrize(
    ("function", "line", "error", "message"),
    [
        (find_path, "no such line", ValueError, "once in find_path, found it 0 times"),
        (find_path, "dp", ValueError, "found it"),
        (len, "dp", TypeError, "a function with a source"),
    ],
)
def test_edited_refuses_what_it_cannot_change(function, line, error, message):
    with pytest.raises(error, match=message):
        edited(function, line, "")
