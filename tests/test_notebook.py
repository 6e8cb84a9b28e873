"""The committed notebook: run once from top to bottom, without errors,
using every name of the contract.

That it runs is shown by `make submission`, which continuous integration calls.
"""

import ast
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOK = json.loads((ROOT / "hw4_impl.ipynb").read_text(encoding="utf-8"))
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
    assert len(defined) <= 1


@pytest.mark.parametrize(
    "question",
    [
        "Which classes light up on the strip",
        "still missing to transcribe words",
        "What does the matrix show",
        "Where does a good trajectory start and end",
        "How did the free energy change with training",
        "How do the energies differ from one-letter training",
        "Which training is faster",
    ],
)
def test_question_is_answered(question):
    answer = PROSE.split(question, 1)[1]
    assert len(answer.split("\n")[0]) > 200


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
        r"^ *(1\.\S+) & .* & (3\.\d)",
        (ROOT / "theory/sections/seen.tex").read_text(encoding="utf-8"),
        re.M,
    )
    assert len(rows) >= 15
    part_3 = PROSE.split("## Part 3", 1)[1]
    for answer, section in rows:
        text = re.search(rf"^### {section} .*?(?=^### |\Z)", part_3, re.M | re.S)[0]
        assert f"*{answer}*" in text, (answer, section)
    assert set(re.findall(r"\*(1\.\d\(\w+\)(?:\(\w+\))?)\*", part_3)) == {
        answer for answer, _ in rows
    }


def test_what_part_3_says_of_the_benchmark_is_in_its_table():
    table = re.findall(
        r"^\| (.+?) \| (.+?) \|",
        (ROOT / "benchmarks/results/losses.md").read_text(encoding="utf-8"),
        re.M,
    )[1:]
    worst = {
        name: min(float(share) for share in re.findall(r"(\d+\.\d)%", cell)) for name, cell in table
    }
    best = {
        name: max(float(share) for share in re.findall(r"(\d+\.\d)%", cell)) for name, cell in table
    }
    assert len(worst) == 13
    assert "eight of the thirteen read at least 99 %" in PROSE
    assert sum(share >= 99 for share in worst.values()) == 8
    some = {name for name in worst if worst[name] < 99 <= best[name]}
    assert some == {"simple", "square-square", "square-exponential"}
    assert {name for name in best if best[name] == 0} == {"energy", "MEE"}
