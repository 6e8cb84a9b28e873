"""Make docs/viterbi.gif: ``python tools/animation.py`` fills the tables of the best path and of
all paths window by window, one above the other, and walks back.
"""

from __future__ import annotations

import io
import math
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from PIL import Image

from ebm_ocr import plot_dp

TARGET = Path(__file__).resolve().parents[1] / "docs" / "viterbi.gif"
MATRIX = torch.tensor(
    [[1, 4, 3, 2], [2, 1, 5, 3], [4, 1, 2, 2], [3, 2, 1, 3], [5, 3, 2, 1], [2, 4, 2, 1.0]]
)
SYMBOLS = "a_b_"
TABLES = {"best path: D = E + min": math.inf, "all paths, beta = 1: D = E + softmin": 1.0}
SIZE, DPI = (5.4, 6.6), 120
STEP, STAY = 1100, 4000
"""Milliseconds of a picture, and of those to be looked at longer."""


def draw(filled: int, walked: int) -> Image.Image:
    """Both tables, so many windows filled from the first and walked back through from the last."""
    figure, axes = plt.subplots(2, 1, figsize=SIZE, dpi=DPI)
    figure.subplots_adjust(left=0.1, right=0.99, top=0.9, bottom=0.08, hspace=0.3)
    for ax, (title, beta) in zip(axes, TABLES.items()):
        plot_dp(MATRIX, beta, windows=filled, traced=walked, symbols=SYMBOLS, ax=ax)
        ax.set_title(title, fontsize=11, loc="left")
    axes[0].set_xlabel("")
    if walked:
        step = f"walk back to window {len(MATRIX) - walked}: from where did it come?"
    else:
        step = f"fill window {filled - 1}: stay or advance?" if filled else "the energies"
    figure.suptitle(step, fontsize=12, fontweight="bold", x=0.1, ha="left")
    drawing = io.BytesIO()
    figure.savefig(drawing, format="png")
    plt.close(figure)
    with Image.open(drawing) as image:
        picture = image.convert("RGB")
    return picture.quantize(128, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)


def save(path: Path, steps: list[tuple[int, int]]) -> None:
    """Write an animation of these steps; the table when it is full and the end stand longer."""
    windows = len(MATRIX)
    times = [STAY if step in ((windows, 0), steps[-1]) else STEP for step in steps]
    first, *others = [draw(*step) for step in steps]
    first.save(path, save_all=True, append_images=others, duration=times, loop=0)


if __name__ == "__main__":
    windows = len(MATRIX)
    filling = [(window, 0) for window in range(windows + 1)]
    save(TARGET, filling + [(windows, walked) for walked in range(1, windows + 1)])
    print(f"{TARGET.name}: {TARGET.stat().st_size / 1e3:.0f} kB")
