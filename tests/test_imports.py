"""The order of the modules, and what importing costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ebm_ocr

PACKAGE = Path(ebm_ocr.__file__).parent
ORDER = {
    "validation": set(),
    "alphabet": {"validation"},
    "windows": {"validation"},
    "words": {"alphabet", "validation", "windows"},
    "network": {"alphabet", "validation", "windows"},
    "kernels": {"validation"},
    "graphs": {"alphabet", "kernels", "validation"},
    "paths": {"kernels", "validation"},
    "alignment": {"kernels", "validation"},
    "decoding": {"alignment", "alphabet", "kernels", "validation"},
    "losses": {"alignment", "alphabet", "decoding", "kernels", "validation"},
    "training": {
        "alignment",
        "decoding",
        "losses",
        "network",
        "paths",
        "validation",
        "words",
    },
    "evaluation": {"alphabet", "decoding", "network", "validation", "words"},
    "plots": {"alphabet", "windows", "training", "validation"},
    "diagrams": {"alphabet", "graphs", "paths", "plots", "validation"},
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
    assert found == set(ORDER)


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
