"""Pack the submission: the theory PDF and a notebook that runs alone, proved by running it.

    python tools/submission.py abc123

writes abc123.zip with hw4_theory.pdf and hw4_impl.ipynb. The notebook carries those sources of the
package that it imports, followed to their end, in cells ahead of its first import; it is executed
in an empty folder with the installed package hidden, and only if that works is there a zip.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

ROOT = Path(__file__).resolve().parents[1]
HIDE = """
import importlib.machinery, os, sys

class OnlyHere:
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] == "ebm_ocr":
            places = [os.getcwd()] if path is None else path
            spec = importlib.machinery.PathFinder.find_spec(name, places)
            if spec is None:
                raise ModuleNotFoundError(f"no {name} in this folder; an installed one is hidden")
            return spec

sys.meta_path.insert(0, OnlyHere)
"""
"""A sitecustomize.py: the package can be imported from the working folder only."""


CURVES = ("benchmarks/results/accuracy.json", "benchmarks/results/losses.json")
"""Measured beforehand, drawn in Parts 2 and 3."""
ROOMS = (
    *("alphabet", "geometry", "rendering", "datasets", "network", "path_matrix", "graphs"),
    *("losses", "history", "training", "evaluation", "decoding", "alignment"),
)
"""In the order of the homework; what else is packed follows, and the kernels come last."""
LONGEST_NET_ID = 32
"""A net id has up to eight characters; file systems end at 255 bytes."""


def closure(notebook: NotebookNode) -> list[Path]:
    """The files of the package that a notebook imports, and those that these import in turn, also
    within their functions."""
    import ebm_ocr

    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    waiting = {"__init__"}
    for node in ast.walk(ast.parse("\n".join(code))):
        if isinstance(node, ast.ImportFrom) and node.module == "ebm_ocr":
            waiting |= {ebm_ocr._MODULE_OF.get(name.name, name.name) for name in node.names}
        elif isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "ebm_ocr":
            waiting.add(ebm_ocr._MODULE_OF.get(node.attr, node.attr))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ebm_ocr."):
            waiting.add(str(node.module).removeprefix("ebm_ocr.").replace(".", "/"))
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        path = ROOT / "ebm_ocr" / f"{name}.py"
        if name in found or not path.is_file():
            continue
        found.add(name)
        waiting |= _imported(path) if name != "__init__" else set()
    order = {room: place for place, room in enumerate(ROOMS)}
    ranked = sorted(found, key=lambda name: ("/" in name, order.get(name, len(order)), name))
    return [ROOT / "ebm_ocr" / f"{name}.py" for name in ranked]


def _imported(path: Path) -> set[str]:
    """Files that a file of the package imports, by their names in it without ``.py``."""
    inside = path.parent.name == "kernels"
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = "kernels/" if inside and node.level == 1 else ""
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found |= {folder + str(name).replace(".", "/") for name in names}
            found |= {f"{name}/__init__" for name in names}  # a package
    return found | ({"kernels/__init__"} if inside else set())


def bundle(notebook: NotebookNode) -> NotebookNode:
    """A copy of a notebook whose first code cells write the package's sources, one file a cell,
    and the curves that it reads."""
    files = [*closure(notebook), *(ROOT / name for name in CURVES)]
    folders = sorted({path.parent.relative_to(ROOT).as_posix() for path in files})
    cells = [
        new_markdown_cell(
            "# The package `ebm_ocr`\n\n"
            "This notebook carries its package along, a file a cell, so that it runs "
            "in any folder; the homework itself starts below the last of them. The compiled "
            "kernels are folded: `path_matrix.py` and `graphs.py` hold the algorithms to read."
        ),
        new_code_cell(
            f"import os\n\nfor folder in {folders}:\n    os.makedirs(folder, exist_ok=True)"
        ),
    ]
    for path in files:
        name, source = path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        cell = new_code_cell(f"%%writefile {name}\n{source}")
        if "kernels" in name:
            cell["metadata"]["jupyter"] = {"source_hidden": True}
        cells.append(cell)
    for number, cell in enumerate(cells):
        cell["id"] = f"package-{number:02d}"
    alone = nbformat.from_dict(notebook)
    for cell in alone.cells:
        if cell.cell_type == "markdown":  # what a link leads to stays behind
            cell["source"] = re.sub(r"\[([^]]+)\]\(docs/[^)]+\)", r"`\1`", cell["source"])
    first = next(index for index, cell in enumerate(alone.cells) if cell.cell_type == "code")
    alone.cells[first:first] = cells
    return alone


def run_alone(notebook: NotebookNode) -> NotebookNode:
    """Execute a notebook in an empty folder where only its own ebm_ocr can be imported.

    Raises:
        RuntimeError: a cell failed; the message holds what it printed.
    """
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as hide:
        (Path(hide) / "sitecustomize.py").write_text(HIDE, encoding="utf-8")
        path = Path(folder) / "hw4_impl.ipynb"
        nbformat.write(notebook, path)
        run = subprocess.run(
            [sys.executable, str(ROOT / "tools" / "notebook.py"), path.name],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": hide},
            capture_output=True,
            encoding="utf-8",
            errors="replace",  # what a failing cell prints may be in any encoding
            check=False,
        )
        if run.returncode:
            failure = run.stderr[-3000:]
            raise RuntimeError(f"the notebook does not run alone, so there is no zip:\n{failure}")
        return nbformat.read(path, as_version=4)


def check_net_id(net_id: str) -> None:
    """Raise ValueError unless a net id is letters and digits, few enough for a file's name."""
    if not re.fullmatch(rf"[A-Za-z0-9]{{1,{LONGEST_NET_ID}}}", net_id):
        raise ValueError(
            f"expected NET_ID as letters and digits, at most {LONGEST_NET_ID}, such as abc123, "
            f"got {net_id!r:.80}"
        )


def pack(net_id: str, notebook: Path, pdf: Path, folder: Path) -> Path:
    """Write ``folder/<net_id>.zip``, or nothing.

    Raises:
        ValueError: a net id that is not letters and digits, or of more than 32.
        FileNotFoundError: no PDF or no notebook.
        RuntimeError: the notebook does not run alone.
    """
    check_net_id(net_id)
    for path in (notebook, pdf):
        if not path.is_file():
            raise FileNotFoundError(
                f"expected {path}: `make theory` and `make notebook` write what is packed"
            )
    executed = nbformat.writes(run_alone(bundle(nbformat.read(notebook, as_version=4))))
    target = folder / f"{net_id}.zip"
    with tempfile.TemporaryDirectory(dir=folder) as beside:
        part = Path(beside) / target.name
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(pdf, "hw4_theory.pdf")
            archive.writestr("hw4_impl.ipynb", executed)
        os.replace(part, target)
    return target


def main() -> None:
    """Pack from the command line."""
    parser = argparse.ArgumentParser(
        description="Pack hw4_theory.pdf and a notebook that runs alone into NET_ID.zip."
    )
    parser.add_argument("net_id", help="letters and digits, such as abc123")
    parser.add_argument("--check", action="store_true", help="only check the net id")
    arguments = parser.parse_args()
    try:
        if arguments.check:
            return check_net_id(arguments.net_id)
        target = pack(
            arguments.net_id, ROOT / "hw4_impl.ipynb", ROOT / "theory" / "hw4_theory.pdf", ROOT
        )
    except (ValueError, FileNotFoundError, RuntimeError) as error:
        sys.exit(str(error))
    print(f"{target.name}, its notebook executed alone:")
    with zipfile.ZipFile(target) as archive:
        archive.printdir()


if __name__ == "__main__":
    main()
