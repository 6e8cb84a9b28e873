"""Run a notebook from top to bottom and save it: ``python tools/notebook.py FILE``.

Says while it runs which part it is in, and at the end how long each took. Saved is what reads well
without a kernel: pictures and text, no progress bars, no state of sliders, no times of day. If a
cell fails, the file stays as it was.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from nbformat import NotebookNode

WIDGET = "application/vnd.jupyter.widget-view+json"


SILENCE, TRIES = 300, 3
"""Seconds that a cell may take, and how often the notebook is run: now and then a message between
client and kernel is lost, and both would wait for ever (ipykernel issue 1554; seen with 6.31 too).
Our longest cell takes four seconds on a quiet machine."""


def execute(notebook: NotebookNode, folder: Path) -> dict[str, float]:
    """Run all cells of a notebook, in place, with ``folder`` as working folder; from the top again
    if the kernel falls silent.

    Returns:
        Seconds by part: what stands under each heading of level 2, "start" before the first.

    Raises:
        CellExecutionError: a cell failed; the message holds it and what it printed.
        CellTimeoutError: the kernel fell silent in each of the tries.
    """
    for left in reversed(range(TRIES)):
        tried = deepcopy(notebook)
        try:
            seconds = _run(tried, folder)
        except CellTimeoutError:
            if not left:
                raise
            print(f"no answer in {SILENCE} s, once more from the top", file=sys.stderr, flush=True)
        else:
            break
    notebook.update(tried)
    return seconds


def _run(notebook: NotebookNode, folder: Path) -> dict[str, float]:
    """One try of :func:`execute`."""
    os.environ["TQDM_DISABLE"] = "1"  # a bar that stands still says nothing; the kernel inherits it
    seconds: dict[str, float] = {}
    part, since = "start", time.perf_counter()

    def enter(cell: NotebookNode, cell_index: int, **_: Any) -> None:
        nonlocal part, since
        heading = part_of(notebook, cell_index)
        if heading != part:
            seconds[part] = time.perf_counter() - since
            part, since = heading, time.perf_counter()
            print(f"{part} ...", file=sys.stderr, flush=True)

    NotebookClient(
        notebook,
        timeout=SILENCE,
        kernel_name="python3",  # this environment's, whatever editor saved the file
        resources={"metadata": {"path": str(folder)}},
        on_cell_start=enter,
        shutdown_kernel="immediate",  # all is said; a graceful one takes two seconds
    ).execute()
    seconds[part] = time.perf_counter() - since
    clean(notebook)
    return seconds


def part_of(notebook: NotebookNode, index: int) -> str:
    """The last heading of level 2 in front of a cell."""
    lines = (
        line
        for cell in reversed(notebook.cells[: index + 1])
        if cell.cell_type == "markdown"
        for line in reversed(cell.source.splitlines())
    )
    return next((line[3:] for line in lines if line.startswith("## ")), "start")


def clean(notebook: NotebookNode) -> None:
    """Take out what only a running kernel can use, and when each cell ran."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [out for out in cell.outputs if WIDGET not in out.get("data", {})]


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description="Run a notebook from top to bottom and save it with its outputs."
    )
    parser.add_argument("file", type=Path)
    path = parser.parse_args().file
    notebook = nbformat.read(path, as_version=4)
    try:
        seconds = execute(notebook, path.resolve().parent)
    except (CellExecutionError, CellTimeoutError) as error:
        sys.exit(f"{path} is left as it was, a cell failed:\n{str(error)[-3000:]}")
    beside = path.with_suffix(".part")
    nbformat.write(notebook, beside)
    os.replace(beside, path)
    for part, spent in seconds.items():
        print(f"{spent:6.1f} s  {part}")
    print(f"{sum(seconds.values()):6.1f} s  in all")


if __name__ == "__main__":
    main()
