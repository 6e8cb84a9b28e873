"""Pack the submission: the theory PDF and a notebook that runs alone, proved by running it.

    python tools/submission.py abc123

writes abc123.zip with hw4_theory.pdf and hw4_impl.ipynb. The notebook carries the package's sources
in cells ahead of its first import; it is executed in an empty folder with the installed package
hidden, and only if that works is there a zip.
"""

from __future__ import annotations

import argparse
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
        if name == "ebm_ocr":
            spec = importlib.machinery.PathFinder.find_spec(name, [os.getcwd()])
            if spec is None:
                raise ModuleNotFoundError("no ebm_ocr in this folder; an installed one is hidden")
            return spec

sys.meta_path.insert(0, OnlyHere)
"""
"""A sitecustomize.py: the package can be imported from the working folder only."""


CURVES = ("benchmarks/results/accuracy.json", "benchmarks/results/losses.json")
"""Measured beforehand, drawn in Parts 2 and 3."""
LONGEST_NET_ID = 32
"""A net id has up to eight characters; file systems end at 255 bytes."""


def bundle(notebook: NotebookNode) -> NotebookNode:
    """A copy of a notebook whose first code cells write the package's sources, one file a cell,
    and the curves that it reads."""
    files = [*sorted((ROOT / "ebm_ocr").rglob("*.py")), *(ROOT / name for name in CURVES)]
    folders = sorted({path.parent.relative_to(ROOT).as_posix() for path in files})
    cells = [
        new_markdown_cell(
            "# The package `ebm_ocr`\n\n"
            "This notebook carries its package along, a file a cell, so that it runs "
            "in any folder; the homework itself starts below the last of them."
        ),
        new_code_cell(
            f"import os\n\nfor folder in {folders}:\n    os.makedirs(folder, exist_ok=True)"
        ),
    ]
    for path in files:
        name, source = path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        cells.append(new_code_cell(f"%%writefile {name}\n{source}"))
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
