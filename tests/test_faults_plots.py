"""Kinds of fault in pictures, graphs, submission and notebook that public reports showed."""

import ast
import dis
import hashlib
import importlib.util
import json
import math
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb

from ebm_ocr import (
    BETWEEN,
    Graph,
    History,
    SimpleWordsDataset,
    alignment_graph,
    count_windows,
    forward_score,
    free_energy,
    intersect,
    linear_graph,
    plot_alphabet,
    plot_dp,
    plot_energies,
    plot_gradient,
    plot_graph,
    plot_history,
    plot_landscape,
    plot_pm,
    plot_posterior,
    plot_reading,
    plot_word,
    posterior,
    transform_word,
    viterbi,
    viterbi_path,
    viterbi_score,
)
from tools.submission import ROOT, bundle, check_net_id

pytestmark = pytest.mark.usefixtures("headless")

NOTEBOOK = json.loads((ROOT / "hw4_impl.ipynb").read_text(encoding="utf-8"))
CELLS = {
    cell["id"]: "".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"
}

IMAGE = SimpleWordsDataset(1).draw_text("cat")
SEEDED = torch.Generator().manual_seed(0)
ENERGIES = torch.randn(count_windows(IMAGE.shape[1]), 27, generator=SEEDED)
TARGET = transform_word("cat")
GAPPED = viterbi(
    ENERGIES[None] - 9 * (torch.arange(27) == BETWEEN), TARGET[None], separators="optional"
)
PATH = GAPPED.path[0]
GAPPED_POSTERIOR = posterior(ENERGIES[None], TARGET[None], beta=0.01)[0]
HISTORY = History([2.0, 1.0], [0.1, 0.9], [3.0, -3.0], [math.nan, math.nan], [1.0, 2.0])
TENSOR_PLOTS = {
    "word": (IMAGE, plot_word),
    "energies": (ENERGIES, plot_energies),
    "gradient": (ENERGIES, plot_gradient),
    "matrix": (ENERGIES[:, TARGET], partial(plot_pm, path=PATH, symbols="c_a_t_")),
    "image of a reading": (IMAGE, lambda t: plot_reading(t, ENERGIES, PATH, "cat")[0]),
    "energies of a reading": (ENERGIES, lambda t: plot_reading(IMAGE, t, PATH, "cat")[1]),
    "posterior": (GAPPED_POSTERIOR, partial(plot_posterior, path=PATH, symbols="c_a_t_")),
    "alphabet": (IMAGE, lambda t: plot_alphabet([t], ["cat"])[0]),
}
"""For each plot of a tensor: the tensor, and what draws it."""
AB = {"a": 1.0, "b": 2.0}
EMPTY = intersect(alignment_graph([0, 1, 2]), linear_graph(torch.zeros(2, 27)))
ARC = Graph(2, [0], [1], [0], [1], [0], torch.zeros(1))


def each_plot():
    return pytest.mark.parametrize(("values", "draw"), TENSOR_PLOTS.values(), ids=TENSOR_PLOTS)


@pytest.mark.fault(
    "plots of tensors with gradient, on another device, in half precision", "visdom #366"
)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@each_plot()
def test_what_the_engine_takes_is_drawn_whatever_its_type_and_gradient(values, draw, dtype):
    asked = values.clone().to(dtype).requires_grad_()
    image = draw(asked).get_images()[0].get_array()
    assert sorted(image.ravel().tolist()) == sorted(asked.detach().double().ravel().tolist())


@pytest.mark.fault("plots of tensors on another device", "visdom #366")
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@each_plot()
def test_what_is_on_a_gpu_is_drawn(values, draw):
    image = draw(values.cuda()).get_images()[0].get_array()
    assert sorted(image.ravel().tolist()) == sorted(values.double().ravel().tolist())


@pytest.mark.fault("plots of what is no tensor say so", "visdom #366")
@pytest.mark.parametrize(
    "wrong", [lambda t: t.numpy(), lambda t: t.tolist(), lambda t: t.to_sparse()]
)
@each_plot()
def test_what_is_no_dense_tensor_is_refused_before_a_figure_is_made(values, draw, wrong):
    with pytest.raises(TypeError, match=r"expected a (float|dense) tensor of .*, got"):
        draw(wrong(values))
    assert not plt.get_fignums()


@pytest.mark.fault("plots of another shape", "visdom #366")
@pytest.mark.parametrize("wrong", [lambda t: t[None], lambda t: t[0], lambda t: t[:0]])
@each_plot()
def test_another_rank_or_nothing_at_all_is_refused(values, draw, wrong):
    with pytest.raises(ValueError, match=r"expected .* \(\w, \w+\), none of them zero, got \("):
        draw(wrong(values))
    assert not plt.get_fignums()


@pytest.mark.fault("an image of 0..255 drawn all black", "visdom #366")
@pytest.mark.parametrize("draw", [plot_word, lambda t: plot_alphabet([t], ["a"])])
def test_an_image_of_bytes_is_refused_and_one_of_booleans_drawn(draw):
    draw(IMAGE > 0.5)
    with pytest.raises(ValueError, match=r"expected an image in \[0, 1\], got 0\.\.255"):
        draw((IMAGE * 255).round().to(torch.uint8))


@pytest.mark.fault("dark style", "manim #4500")
@pytest.mark.parametrize("style", ["default", "dark_background", "grayscale", "Solarize_Light2"])
def test_graphs_are_readable_in_any_style(style):
    def contrast(one, other):
        light, dark = sorted((sum(to_rgb(colour)) / 3 for colour in (one, other)), reverse=True)
        return light - dark

    with plt.style.context(style):
        ax = plot_graph(alignment_graph([0, BETWEEN]))
        paper = ax.figure.get_facecolor()
    for disc in ax.get_lines():
        assert contrast(disc.get_markeredgecolor(), paper) > 0.4
    face = ax.get_lines()[0].get_markerfacecolor()
    for text in ax.texts:
        inside = text.get_text().isdigit()
        assert text.get_text() == "" or contrast(text.get_color(), face if inside else paper) > 0.4


@pytest.mark.fault("dark style", "manim #4500")
def test_impossible_cells_are_white_where_low_energies_are_dark():
    with plt.style.context("dark_background"):
        ax = plot_pm(torch.tensor([[0.0, math.inf], [1.0, 2.0]]))
    picture = ax.get_images()[0]
    assert picture.to_rgba(picture.get_array())[1, 0].tolist() == [1, 1, 1, 1]


@pytest.mark.fault("a path with -1", "optional separators, padding")
def test_a_window_without_a_symbol_is_a_gap_in_the_line():
    missing = (PATH < 0).numpy()
    assert missing.any()
    for ax in (
        plot_pm(ENERGIES[:, TARGET], PATH),
        plot_pm(ENERGIES[:, TARGET], list(enumerate(PATH.tolist()))),
        plot_reading(IMAGE, ENERGIES, PATH, "cat")[1],
        plot_reading(IMAGE, ENERGIES, TARGET.new_zeros(len(PATH)), "c", rival=(PATH, "cat"))[1],
    ):
        lines = {line.get_label(): line for line in ax.get_lines()}
        line = lines["cat"] if "cat" in lines else lines["path"]
        assert np.isnan(line.get_ydata()).tolist() == missing.tolist()


@pytest.mark.fault("a path that does not fit its matrix", "optional separators, padding")
@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda path: path[:-1], ValueError),
        (lambda path: [*path, 5], ValueError),
        (lambda path: [*path[:-1], 6], ValueError),
        (lambda path: [*path[:-1], -2], ValueError),
        (lambda path: [(i, 0) for i in range(len(path) + 1)], ValueError),
        (lambda path: [(i + 1, 0) for i in range(len(path))], ValueError),
        (lambda path: [], ValueError),
        (lambda path: torch.as_tensor(path).double(), TypeError),
        (lambda path: [[0]] + [[0, 1]] * (len(path) - 1), TypeError),
    ],
)
@pytest.mark.parametrize(
    "draw",
    [
        lambda path: plot_pm(ENERGIES[:, TARGET], path),
        lambda path: plot_reading(IMAGE, ENERGIES, path, "cat"),
        lambda path: plot_reading(IMAGE, ENERGIES, PATH, "cat", rival=(path, "cat")),
    ],
    ids=["matrix", "reading", "rival of a reading"],
)
def test_a_path_that_does_not_fit_is_refused_before_a_figure_is_made(draw, change, error):
    path = change(PATH.tolist())
    with pytest.raises(error, match="expected a path"):
        draw(path)
    assert not plt.get_fignums()


@pytest.mark.fault("unclear errors of plots", "faults found by reading")
@pytest.mark.parametrize(
    ("draw", "error", "message"),
    [
        (lambda: plot_reading(IMAGE, ENERGIES, PATH, "c"), ValueError, "indices below 2"),
        (lambda: plot_reading(IMAGE, ENERGIES, PATH, "CAT"), ValueError, "symbols a..z"),
        (lambda: plot_reading(IMAGE, ENERGIES, PATH, 3), TypeError, "expected a word, a str"),
        (lambda: plot_reading(IMAGE, ENERGIES, PATH, "cat", rival="cat"), TypeError, "rival"),
        (lambda: plot_reading(IMAGE[:, :20], ENERGIES, PATH, "cat"), ValueError, "windows than 20"),
        (lambda: plot_reading(IMAGE, ENERGIES, PATH, "cat", axes=[1]), ValueError, "two axes"),
        (lambda: plot_pm(ENERGIES, symbols="c_a"), ValueError, "expected 27 symbols.*got 3"),
        (lambda: plot_pm(ENERGIES, symbols=""), ValueError, "expected 27 symbols.*got 0"),
        (lambda: plot_pm(ENERGIES, ax=plt), TypeError, "Axes"),
        (lambda: plot_energies(ENERGIES, relative=1), TypeError, "relative True or False"),
        (lambda: plot_energies(ENERGIES, limits=3), TypeError, "limits as two numbers, got 3"),
        (lambda: plot_energies(ENERGIES, limits=(1, "2")), TypeError, "a limit as a number"),
        (lambda: plot_pm(ENERGIES, limits=(1, 1)), ValueError, "limits that rise, got 1 and 1"),
        (lambda: plot_gradient(ENERGIES, limit=0), ValueError, "a limit above 0, got 0"),
        (lambda: plot_gradient(ENERGIES, limit="1"), TypeError, "a limit as a number"),
        (lambda: plot_alphabet([], []), ValueError, "got 0 images and 0 titles"),
        (lambda: plot_alphabet([IMAGE], ["a"], columns=0), ValueError, "columns at least 1, got 0"),
        (lambda: plot_alphabet([IMAGE], ["a"], columns=1.5), TypeError, "columns as a whole"),
        (lambda: plot_alphabet([IMAGE] * 2, ["a"]), ValueError, "got 2 images and 1 titles"),
        (lambda: plot_history({}), ValueError, "at least one history"),
        (lambda: plot_history(HISTORY), TypeError, "histories by their names"),
        (lambda: plot_history({"a": HISTORY}, "count"), ValueError, "'accuracy'.*got 'count'"),
        (lambda: plot_graph(ARC, highlight=[1]), ValueError, r"an arc in 0\.\.0, got 1"),
        (lambda: plot_graph(ARC, names="a"), ValueError, "expected 2 names, one a node, got 1"),
        (lambda: plot_graph(ARC, widths=[]), ValueError, "expected 1 widths, .*got 0"),
        (lambda: plot_graph(ARC, widths=[2]), ValueError, r"widths in \[0, 1\], got 2..2"),
        (lambda: plot_graph(ARC, widths="a"), TypeError, "a width as a number, got str"),
        (lambda: plot_posterior(ENERGIES), ValueError, r"probabilities in \[0, 1\], got -"),
        (lambda: plot_dp([[1.0]]), TypeError, "float tensor of energies, got list"),
        (lambda: plot_dp(torch.zeros(2, 3)), ValueError, "2 windows for 3 symbols"),
        (lambda: plot_dp(torch.zeros(3, 2), -1), ValueError, "beta"),
        (lambda: plot_dp(torch.zeros(3, 2), windows=4), ValueError, r"windows in 0\.\.3, got 4"),
        (lambda: plot_dp(torch.zeros(3, 2), traced=4), ValueError, r"traced in 0\.\.3, got 4"),
        (lambda: plot_dp(torch.zeros(3, 2), windows=2, traced=1), ValueError, r"traced in 0\.\.0"),
        (lambda: plot_dp(torch.zeros(3, 2), symbols="a"), ValueError, "expected 2 symbols.*got 1"),
        (lambda: plot_landscape([], "a"), TypeError, "energies by words by networks, got"),
        (lambda: plot_landscape({"n": 1.0}, "a"), TypeError, "energies by words by networks"),
        (lambda: plot_landscape({}, "a"), ValueError, "at least one network"),
        (lambda: plot_landscape({"n": {"a": 1.0}}, "a"), ValueError, "'a' and other words"),
        (lambda: plot_landscape({"n": AB, "m": {"a": 1.0}}, "a"), ValueError, "the same for each"),
        (lambda: plot_landscape({"n": AB}, "c"), ValueError, "expected 'c' and other words"),
        (lambda: plot_landscape({"n": {**AB, "c": math.inf}}, "a"), ValueError, "finite energies"),
        (lambda: plot_landscape({"n": {**AB, "c": "1"}}, "a"), TypeError, "an energy as a number"),
    ],
)
def test_what_cannot_be_drawn_says_what_was_expected_and_leaves_no_figure(draw, error, message):
    with pytest.raises(error, match=message):
        draw()
    assert not plt.get_fignums()


@pytest.mark.fault("each redraw adds a colour bar and shrinks the axes", "faults found by reading")
@pytest.mark.parametrize(
    ("cleared", "layout"), [(False, None), (True, None), (True, "constrained")]
)
@pytest.mark.parametrize(
    ("rows", "draw"),
    [
        (1, lambda axes, level: plot_pm(ENERGIES + level, ax=axes[0])),
        (1, lambda axes, level: plot_energies(ENERGIES + level, ax=axes[0])),
        (2, lambda axes, level: plot_reading(IMAGE, ENERGIES + level, PATH, "cat", axes=axes)),
    ],
)
def test_drawing_again_on_the_same_axes_keeps_their_size_and_one_colour_bar(
    rows, draw, cleared, layout
):
    figure, axes = plt.subplots(rows, 1, squeeze=False, layout=layout)
    sizes = []
    for level in (1000, 2000):
        if cleared:
            for ax in axes[:, 0]:
                ax.clear()
        draw(axes[:, 0], level)
        if layout:
            figure.draw_without_rendering()
        sizes.append([ax.get_position().bounds for ax in figure.axes])
    assert len(figure.axes) == rows + 1
    np.testing.assert_allclose(
        sizes[1:], sizes[:1], atol=2e-3
    )  # numbers that differ need a little room
    low, high = figure.axes[-1].get_ylim()
    assert low == pytest.approx((ENERGIES + level).min().item())
    assert high == pytest.approx((ENERGIES + level).max().item())


@pytest.mark.fault("each redraw adds a colour bar and shrinks the axes", "faults found by reading")
def test_axes_that_share_a_figure_have_a_colour_bar_each():
    figure, axes = plt.subplots(1, 2)
    for _ in range(2):
        for ax in axes:
            plot_pm(ENERGIES, ax=ax)
    assert len(figure.axes) == 4


@pytest.mark.fault("a history named _x is missing in the legend", "faults found by reading")
def test_every_training_is_in_the_legend_whatever_its_name():
    ax = plot_history({"_x": HISTORY, "x": HISTORY, 0.1: HISTORY}, "gap")
    assert [text.get_text().strip() for text in ax.get_legend().get_texts()] == ["_x", "x", "0.1"]


@pytest.mark.fault("graphs without a path", "networkx #114")
def test_a_node_that_no_start_reaches_is_drawn_apart_from_the_others():
    circle_and_tail = Graph(5, [0], [1], [0, 2, 3, 4, 3], [1, 1, 4, 3, 3], [0] * 5, torch.zeros(5))
    ax = plot_graph(circle_and_tail)
    places = {(*line.get_xdata(), *line.get_ydata()) for line in ax.get_lines()}
    assert len(places) == 5


@pytest.mark.fault("graphs without a path", "networkx #114")
def test_a_graph_that_accepts_nothing_is_refused_by_name():
    with pytest.raises(ValueError, match="accepts nothing"):
        plot_graph(EMPTY)


@pytest.mark.fault("a label past the names", "networkx #114")
@pytest.mark.parametrize("label", [2, -1])
def test_a_label_without_a_name_is_refused_by_name(label):
    with pytest.raises(ValueError, match=rf"a label with a name in 0\.\.1, got {label}"):
        plot_graph(ARC._replace(labels=[label]), "ab")


@pytest.mark.fault("graphs that contradict themselves", "networkx #114")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": [-1]}, "expected nodes at least 0 and below 2, got -1"),
        ({"accepts": [2]}, "expected nodes at least 0 and below 2, got 2"),
        ({"labels": [0, 1]}, "for each arc"),
        ({"weights": torch.zeros(2)}, "for each arc"),
        ({"weights": torch.zeros(1, 1)}, "for each arc"),
        ({"weights": torch.tensor([math.nan])}, "got NaN or -inf"),
    ],
)
@pytest.mark.parametrize(
    "use", [forward_score, viterbi_score, viterbi_path, plot_graph, partial(intersect, ARC)]
)
def test_a_graph_that_contradicts_itself_is_refused(use, change, message):
    with pytest.raises(ValueError, match=message):
        use(ARC._replace(**change))


@pytest.mark.fault("other blanks", "engine: forward_loss with C = 40")
def test_a_symbol_above_the_homeworks_asks_for_the_separator():
    with pytest.raises(ValueError, match=r"expected symbols 0\.\.26, or separator=.*got 30"):
        alignment_graph([30], "optional")
    energies = torch.randn(4, 40, dtype=torch.float64)
    graph = intersect(alignment_graph([30], "optional", separator=39), linear_graph(energies))
    value = free_energy(
        energies[None], torch.tensor([[30]]), separators="optional", separator=39, beta=1.0
    )
    torch.testing.assert_close(forward_score(graph), value[0])


@pytest.mark.fault("the empty word", 'alignment_graph([], "optional")')
@pytest.mark.parametrize("symbols", [[], [BETWEEN], torch.tensor([], dtype=torch.int64)])
def test_the_empty_word_is_separators_only_where_they_are_optional(symbols):
    graph, energies = alignment_graph(symbols, "optional"), torch.randn(3, 27, dtype=torch.float64)
    assert set(graph.starts) <= set(graph.accepts)  # no window either
    score = forward_score(intersect(graph, linear_graph(energies)))
    torch.testing.assert_close(score, energies[:, BETWEEN].sum())
    with pytest.raises(ValueError, match="at least one symbol"):
        alignment_graph([])


@pytest.mark.fault(
    "errors from deep inside", "engine: separator as tensor, beta with several elements"
)
@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: alignment_graph([0.0]), TypeError),
        (lambda: alignment_graph("ab"), TypeError),
        (lambda: alignment_graph([[0]]), TypeError),
        (lambda: alignment_graph([-1]), ValueError),
        (lambda: alignment_graph([0], "optional", separator=1.0), TypeError),
        (lambda: alignment_graph([0], "optional", separator=-1), ValueError),
        (lambda: linear_graph(np.zeros((2, 3))), TypeError),
        (lambda: linear_graph(torch.zeros(2, 3, dtype=torch.int64)), TypeError),
        (lambda: forward_score(ARC, torch.ones(2)), TypeError),
        (lambda: forward_score(ARC, math.nan), ValueError),
        (lambda: forward_score(None), TypeError),
    ],
)
def test_arguments_of_graphs_say_what_was_expected(call, error):
    with pytest.raises(error, match="expected"):
        call()


@pytest.mark.fault("float32 far from 0", "engine: free energy at level 1e4")
@pytest.mark.parametrize("score", [forward_score, viterbi_score])
def test_scores_of_graphs_are_summed_in_float64(score):
    energies = torch.randn(400, 2) + 1e4
    graph = linear_graph(energies)
    exact = score(graph._replace(weights=graph.weights.double()))
    assert score(graph) == exact.float()


@pytest.mark.fault("an accept named twice", "engine: sums")
def test_an_accept_named_twice_counts_once():
    assert forward_score(ARC._replace(accepts=[1, 1])) == forward_score(ARC)


@pytest.mark.fault("encoding", "pyannote-audio #1142")
def test_sources_travel_as_they_are_in_a_locale_without_utf8():
    code = (
        "import hashlib; from tools.submission import *\n"
        "cells = bundle(nbformat.v4.new_notebook(cells=[new_code_cell()])).cells\n"
        "text = ''.join(cell.source for cell in cells)\n"
        "print(hashlib.sha256(text.encode('utf-8')).hexdigest())"
    )
    warnings = ["-X", "warn_default_encoding", "-W", "error::EncodingWarning"]
    run = subprocess.run(
        [sys.executable, *warnings, "-c", code],
        cwd=ROOT,
        env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell()])
    text = "".join(cell.source for cell in bundle(notebook).cells)
    assert run.stdout.split() == [hashlib.sha256(text.encode()).hexdigest()]


@pytest.mark.fault("encoding", "pyannote-audio #1142")
def test_every_text_file_is_read_and_written_as_utf8():
    folders = ("ebm_ocr", "tools", "tests", "docs", "theory", "benchmarks")
    sources = {
        path: path.read_text(encoding="utf-8")
        for name in folders
        for path in Path(ROOT, name).rglob("*.py")
    }
    assert len(sources) > 50
    for path, source in {**sources, **CELLS}.items():
        for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
            name = getattr(call.func, "attr", getattr(call.func, "id", ""))
            words = {word.arg for word in call.keywords}
            binary = ast.unparse(call.func) in ("Image.open", "tarfile.open") or any(
                isinstance(a, ast.Constant) and str(a.value) in ("rb", "wb") for a in call.args
            )
            opens = name in ("read_text", "write_text") or (name == "open" and not binary)
            opens |= "text" in words and name != "_replace"  # a child that is read as text
            assert not opens or "encoding" in words, (path, ast.unparse(call))


@pytest.mark.fault("a name too long for a file", "engine: a NET_ID of 300 letters")
def test_a_net_id_too_long_for_a_file_name_is_refused():
    check_net_id("a" * 32)
    with pytest.raises(ValueError, match=r"at most 32.*got 'aaa") as raised:
        check_net_id("a" * 300)
    assert len(str(raised.value)) < 200


def written_and_borrowed(code):
    """Names that a cell's code sets, and those that it reads before it sets them."""
    written, borrowed = set(), set()
    for step in dis.get_instructions(code):
        if step.opname == "STORE_NAME":
            written.add(step.argval)
        elif step.opname in ("LOAD_NAME", "LOAD_GLOBAL") and step.argval not in written:
            borrowed.add(step.argval)
        elif hasattr(step.argval, "co_code"):
            borrowed |= written_and_borrowed(step.argval)[1] - written
    return written, borrowed


@pytest.mark.fault("a cell run after a later one", "faults found by running the notebook")
def test_a_name_that_cells_share_is_set_by_one_cell_and_never_by_one_that_reads_it():
    names = {
        cell: written_and_borrowed(compile(source, cell, "exec")) for cell, source in CELLS.items()
    }
    for cell, (_, borrowed) in names.items():
        for name in borrowed:
            writers = [other for other, (written, _) in names.items() if name in written]
            assert len(writers) <= 1, (name, writers, cell)
            assert cell not in writers, (name, cell)


@pytest.mark.fault("a smaller budget", "faults found by running the notebook")
def test_cells_stand_what_a_smaller_budget_leaves_out(capsys):
    for cell, source in CELLS.items():
        for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
            if ast.unparse(call.func) == "next" and isinstance(call.args[0], ast.GeneratorExp):
                assert len(call.args) == 2, (cell, ast.unparse(call))
    tour = next(source for source in CELLS.values() if "nearest rival has it" in source)
    exec(tour, {"members": {"a letter missing": []}})
    assert "a letter missing: no" in capsys.readouterr().out


@pytest.mark.fault("the notebook without the package", "faults found by opening it in Colab")
def test_the_first_cell_says_how_to_get_the_package(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"make setup.*pip install \."):
        exec(next(iter(CELLS.values())), {})


@pytest.mark.fault("threads that spin", "engine: on a busy machine")
def test_threads_are_told_to_wait_before_torch_is_loaded():
    source = next(iter(CELLS.values()))
    assert source.index("OMP_WAIT_POLICY") < source.index("import torch")
    assert source.startswith("import os")
