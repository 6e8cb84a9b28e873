"""The order of the modules, and what importing costs."""

import ast
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import MOVED

import ebm_ocr

PACKAGE = Path(ebm_ocr.__file__).parent
ORDER = {
    "validation": set(),
    "alphabet": {"validation"},
    "geometry": {"validation"},
    "rendering": {"alphabet", "geometry", "validation"},
    "datasets": {"alphabet", "geometry", "rendering", "validation"},
    "network": {"alphabet", "geometry", "validation"},
    "kernels": {"validation"},
    "path_matrix": {"validation"},
    "graphs": {"alphabet", "path_matrix", "validation"},
    "alignment": {"kernels", "path_matrix", "validation"},
    "decoding": {"alignment", "alphabet", "kernels", "validation"},
    "compat": {"alignment", "validation"},
    "losses": {"alignment", "alphabet", "decoding", "path_matrix", "validation"},
    "history": set(),
    "training": {
        "alignment",
        "datasets",
        "decoding",
        "history",
        "losses",
        "network",
        "path_matrix",
        "rendering",
        "validation",
    },
    "evaluation": {"alphabet", "datasets", "decoding", "network", "validation"},
    "plots": {"alphabet", "geometry", "history", "validation"},
    "diagrams": {"alphabet", "graphs", "path_matrix", "plots", "validation"},
    "display": set(),
}


def imported(path):
    """Modules of the package that a file imports."""
    nodes = [
        n
        for n in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(n, ast.ImportFrom) and n.level
    ]
    up = len(path.relative_to(PACKAGE).parts)  # a kernel may import its neighbours
    return {
        name
        for n in nodes
        if n.level == up
        for name in ([n.module.split(".")[0]] if n.module else [n.names[0].name])
    }


@pytest.mark.parametrize("module", sorted(ORDER))
def test_data_flows_in_one_direction(module):
    path = PACKAGE / module
    files = path.glob("*.py") if path.is_dir() else [path.with_suffix(".py")]
    for file in files:
        assert imported(file) <= ORDER[module]


def test_every_module_is_in_the_order():
    found = {
        path.stem for path in PACKAGE.iterdir() if path.name not in ("__init__.py", "__pycache__")
    }
    assert found == {*ORDER, *MOVED, "py", "fonts", "reader", "cli", "__main__"}


def test_what_stands_on_top_is_not_leant_on():
    """Nothing in the top folder or among the kernels imports what stands on it; ``__main__`` alone
    imports the command line, and what draws or trains only those who show or train."""
    for path in [*PACKAGE.glob("*.py"), *PACKAGE.glob("kernels/*.py")]:
        if path.stem != "__main__":
            assert not imported(path) & {"reader", "compat", "cli"}, path.name
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert path.stem == "__main__" or not re.search(r"import cli\b|from \.+cli\b", text), (
            path.name
        )
        if "reader" in path.parts and path.stem != "picture":
            assert "matplotlib" not in text, path.name


def test_the_reader_needs_no_extra():
    for path in PACKAGE.glob("reader/*.py"):
        modules = [
            name
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, (ast.Import, ast.ImportFrom)) and not getattr(node, "level", 0)
            for name in (
                [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            )
        ]
        extra = {"picture": "matplotlib", "words": "english_words"}.get(path.stem)
        allowed = {*sys.stdlib_module_names, "numpy", "torch", "PIL", "safetensors", extra}
        assert {str(name).split(".")[0] for name in modules} <= allowed, path.name


@pytest.mark.parametrize("module", sorted(ORDER))
def test_every_module_has_a_test_file_of_its_name(module):
    assert (PACKAGE.parent / "tests" / f"test_{module}.py").is_file()


@pytest.mark.parametrize(("name", "place"), MOVED.items())
def test_a_room_that_moved_says_where_it_is(name, place):
    with pytest.raises(ImportError, match=f"ebm_ocr.{name} is now .*{place}"):
        importlib.import_module(f"ebm_ocr.{name}")


def test_a_function_that_was_renamed_says_its_name():
    with pytest.raises(ImportError, match=r"ebm_ocr\.rank is now ebm_ocr\.lexicon_energies"):
        from ebm_ocr import rank  # noqa: F401


def test_types_are_declared_of_what_is_loaded():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    declared = {alias.name: node.module for node in block.body for alias in node.names}
    assert all(alias.name == alias.asname for node in block.body for alias in node.names)
    assert declared == ebm_ocr._MODULE_OF


DOWNSTREAM = """
import torch
from ebm_ocr import Alphabet, Answers, find_path, free_energy, hinge_loss, n_best, viterbi

def loss(answers: Answers) -> torch.Tensor:
    return hinge_loss(answers.good, answers.bad, margin=2.0)

energies = torch.randn(2, 9, 4)
value: torch.Tensor = free_energy(energies, torch.tensor([[0, 3], [1, 3]]), beta=1.0)
path: torch.Tensor = viterbi(energies, torch.tensor([[0, 3], [1, 3]])).path
points: list[tuple[int, int]] = find_path(torch.zeros(4, 2)).points
text: str = n_best(energies, 3, alphabet=Alphabet("abc"))[0][0].text
wrong: int = n_best(energies, 3)[0][0].text
free_energy(energies, None, separators="perhaps")
reveal_type(loss)
"""


def test_a_strict_type_checker_knows_the_public_names(tmp_path):
    (tmp_path / "downstream.py").write_text(DOWNSTREAM, encoding="utf-8")
    (tmp_path / "mypy.ini").write_text(
        "[mypy]\n[mypy-torch.*,numpy.*,numba.*]\nfollow_imports = skip\n",  # most of the time
        encoding="utf-8",
    )
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "downstream.py"],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(PACKAGE.parent)},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    shown = [line for line in run.stdout.splitlines() if line.startswith("downstream.py")]
    wrong, choice, note = shown
    assert 'has type "str", variable has type "int"' in wrong
    assert "Literal['required', 'optional']" in choice
    assert "answers: ebm_ocr.losses.Answers" in note


BLOCKED = """
import sys
for name in ("matplotlib", "torchvision", "IPython", "pygments"):
    sys.modules[name] = None
import torch
from ebm_ocr import SimpleWordsDataset, accuracy_by_length, free_energy, prepare, train_from_scratch
from ebm_ocr import TrainConfig, best_word, collate_fn
model, _ = train_from_scratch(0, TrainConfig(words=40, epochs=1, channels=4))
batch = collate_fn(list(SimpleWordsDataset(3, 4, seed=0)))
print(best_word(model(batch.images), batch.window_lengths)[0].energy < 0)
names = {}
exec("from ebm_ocr import *", names)
print("best_word" in names and "plot_pm" not in names)
try:
    from ebm_ocr import plot_pm
except ImportError as error:
    print(error)
"""


def test_engine_dataset_and_training_need_no_extra():
    run = subprocess.run(
        [sys.executable, "-c", BLOCKED], capture_output=True, encoding="utf-8", check=True
    )
    worked, starred, said = run.stdout.splitlines()
    assert worked == starred == "True"
    assert said == "plot_pm needs matplotlib, an extra: pip install 'ebm-ocr[plots]'"


@pytest.mark.parametrize("name", ebm_ocr.__all__)
def test_public_name_is_there_and_documented(name):
    value = getattr(ebm_ocr, name)
    assert name in dir(ebm_ocr)
    if callable(value):
        assert value.__doc__


def test_other_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="nothing_here"):
        _ = ebm_ocr.nothing_here


def test_import_loads_no_heavy_module():
    code = "import sys, ebm_ocr; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True
    ).stdout.split()
    assert "ebm_ocr" in loaded
    assert not {"torch", "torchvision", "matplotlib", "PIL"} & set(loaded)


def test_the_kernels_have_one_door():
    for path in PACKAGE.rglob("*.py"):
        inside = path.parent.name == "kernels"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level and not inside:
                assert not str(node.module).startswith("kernels"), path.name


def test_at_most_seven_parameters_behind_the_public_names():
    """Triton's kernels excepted: they take no tuples."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and path.name != "cuda.py":
                names = [a.arg for a in node.args.args + node.args.kwonlyargs if a.arg != "self"]
                public = node.name in ebm_ocr.__all__ or node.name == "__init__"
                public |= path.parent.name == "cli" and path.stem == node.name  # its options
                assert public or len(names) <= 7, f"{path.name}: {node.name}"
