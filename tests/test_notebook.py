"""The committed notebook: run once from top to bottom, without errors,
using every name of the contract.

That it runs is shown by `make submission`, which continuous integration calls.
"""

import ast
import json
import re
from pathlib import Path

import nbformat
import pytest
from nbconvert import HTMLExporter, ScriptExporter, SlidesExporter

from benchmarks.accuracy import WAYS
from ebm_ocr import TrainConfig

ROOT = Path(__file__).parents[1]
NOTEBOOK_TEXT = (ROOT / "hw4_impl.ipynb").read_text(encoding="utf-8")
NOTEBOOK = json.loads(NOTEBOOK_TEXT)
CODE = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
SOURCE = "\n".join("".join(cell["source"]) for cell in CODE)
PROSE = "\n".join(
    "".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "markdown"
)
CONTRACT = [
    *(
        "SimpleWordsDataset",
        "SimpleNet",
        "cross_entropy",
        "simple_collate_fn",
        "train_model",
        "get_accuracy",
    ),
    *(
        "plot_energies",
        "transform_word",
        "build_path_matrix",
        "build_ce_matrix",
        "plot_pm",
        "path_energy",
        "find_path",
    ),
    *("path_cross_entropy", "collate_fn", "train_ebm_model", "indices_to_str", "train_gtn_model"),
]


@pytest.mark.parametrize("name", CONTRACT)
def test_contract_name_is_used(name):
    used = {node.id for node in ast.walk(ast.parse(SOURCE)) if isinstance(node, ast.Name)}
    assert name in used


def test_outputs_are_of_one_run_from_top_to_bottom():
    assert [cell["execution_count"] for cell in CODE] == list(range(1, len(CODE) + 1))


def test_no_cell_shows_an_error_or_a_warning():
    shown = [
        (output["output_type"], output.get("name")) for cell in CODE for output in cell["outputs"]
    ]
    assert ("error", None) not in shown
    assert ("stream", "stderr") not in shown


def test_algorithms_are_imported_not_defined():
    defined = [
        n.name for n in ast.walk(ast.parse(SOURCE)) if isinstance(n, ast.FunctionDef | ast.ClassDef)
    ]
    helpers = {"shows_whole", "redraw", "symptom", "by_graphs", "along_best_path", "measured"}
    assert set(defined) <= helpers | {"draw_family", "labels_of", "lowest_of", "span", "mean_of"}


@pytest.mark.parametrize(
    "question",
    [
        "Which classes light up on the strip",
        "still missing to transcribe words",
        "What does the matrix show",
        "Where does a good trajectory start and end",
        "how did the free energy change with training",
        "how do the energies differ from one-letter training",
        "which training is faster",
    ],
)
def test_question_is_answered(question):
    answer = PROSE.split(question, 1)[1].split("\n#", 1)[0]
    assert max(len(line) for line in answer.split("\n")) > 200


def test_pictures_stand_in_the_committed_notebook():
    pictures = [
        output
        for cell in CODE
        for output in cell["outputs"]
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) >= 15


def test_theory_and_part_3_point_at_each_other():
    rows = re.findall(
        r"(1\.\S+) & [^&]* & (3\.\d)",
        (ROOT / "theory/sections/seen.tex").read_text(encoding="utf-8"),
    )
    assert len(rows) >= 15
    part_3 = PROSE.split("## Part 3", 1)[1]
    for answer, section in rows:
        text = re.search(rf"^### {section} .*?(?=^### |\Z)", part_3, re.M | re.S)[0]
        assert f"*{answer}*" in text, (answer, section)
    assert set(re.findall(r"\*(1\.\d\(\w+\)(?:\(\w+\))?)\*", part_3)) == {
        answer for answer, _ in rows
    }


def test_curves_of_part_3_are_of_thirteen_losses_and_three_seeds():
    measured = json.loads((ROOT / "benchmarks/results/losses.json").read_text(encoding="utf-8"))
    table = (ROOT / "benchmarks/results/losses.md").read_text(encoding="utf-8")
    assert len(measured["losses"]) == 13
    for name, runs in measured["losses"].items():
        assert f"| {name} |" in table
        assert len(runs) == 3
        assert len({len(run["accuracy"]) for run in runs}) == 1


def test_curves_of_part_2_are_of_three_trainings_with_the_recipe_of_the_notebook():
    measured = json.loads((ROOT / "benchmarks/results/accuracy.json").read_text(encoding="utf-8"))
    assert f"{TrainConfig()}, seeds 0 to 4" in measured["made by"]
    assert list(measured["ways"]) == list(WAYS)
    for runs in measured["ways"].values():
        assert len(runs) == 5
        assert {len(run["accuracy"]) for run in runs} == {TrainConfig().epochs}


def test_every_picture_says_in_words_what_it_shows():
    pictures = [
        output
        for cell in CODE
        for output in cell["outputs"]
        if "image/png" in output.get("data", {})
    ]
    assert all(len(output["metadata"]["image/png"]["alt"]) > 15 for output in pictures)


def test_nbconvert_makes_pages_slides_and_a_script():
    notebook = nbformat.reads(NOTEBOOK_TEXT, as_version=4)
    page, _ = HTMLExporter(template_name="classic").from_notebook_node(notebook)
    pictures = re.findall(r"<img[^>]*src=.data:image/png[^>]*>", page)
    outputs = [output for cell in CODE for output in cell["outputs"]]
    assert len(pictures) == sum("image/png" in output.get("data", {}) for output in outputs)
    assert all(re.search(r"""alt=(["']).{15,}?\1""", picture) for picture in pictures)
    slides, _ = SlidesExporter().from_notebook_node(notebook)
    assert "reveal" in slides
    script, _ = ScriptExporter().from_notebook_node(notebook)
    ast.parse(script)


def test_nothing_is_left_of_bars_widgets_and_times_of_day():
    assert "widgets" not in NOTEBOOK["metadata"]
    text = json.dumps(NOTEBOOK)
    assert "widget-view" not in text
    assert "it/s" not in text
    assert "pass/s" not in text
    assert all("execution" not in cell["metadata"] for cell in CODE)
    assert (ROOT / "hw4_impl.ipynb").stat().st_size < 3.5e6


SOLUTIONS = re.findall(r"```python\n(.*?)```", PROSE, re.S)


def test_there_are_five_exercises():
    assert len(SOLUTIONS) == PROSE.count("<details>") == 5


@pytest.mark.parametrize("number", range(5))
def test_solution_of_an_exercise_runs_by_itself(number, capsys):
    exec(SOLUTIONS[number], {})
    assert capsys.readouterr().out or number in (1,)


def test_each_function_of_the_contract_is_shown_where_it_is_used():
    shown = {
        argument.id
        for node in ast.walk(ast.parse(SOURCE))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "show_source"
        for argument in node.args
        if isinstance(argument, ast.Name)
    }
    kept = {"SimpleWordsDataset", "get_accuracy", "plot_energies", "plot_pm"}
    assert set(CONTRACT) - kept <= shown
