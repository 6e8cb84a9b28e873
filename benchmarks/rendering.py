"""How fast training words are made: ``python -m benchmarks.rendering``.

All degradations, on one thread, in batches of 64; every face is drawn with beforehand. Writes a
table to benchmarks/results/rendering.md and a picture of the first words beside it. The fonts are
those of ``make fonts``, else matplotlib's.

``pip install trdg`` brings the peer, TextRecognitionDataGenerator; it draws the same texts at 32 px
with its own noise, blur and skew, one after the other. Where it is missing it is named.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image

from ebm_ocr.reader.fonts import find_faces, split, why_refused
from ebm_ocr.reader.words import Words

RESULTS = Path(__file__).parent / "results"
FETCHED = Path(__file__).parents[1] / "fonts"
BATCH = 64


def rate(call: Callable[[int], object], rounds: int) -> float:
    """Words a second of ``call(n)``, which makes the n-th batch: the best round."""
    call(0)
    seconds = []
    for n in range(rounds):
        start = time.perf_counter()
        call(n)
        seconds.append(time.perf_counter() - start)
    return BATCH / float(np.median(seconds))


def peer(words: Words) -> Callable[[int], object]:
    """trdg's generator on the same texts.

    Raises:
        ImportError: it is not installed.
    """
    from PIL import ImageFont
    from trdg.generators import GeneratorFromStrings

    if not hasattr(ImageFont.FreeTypeFont, "getsize"):  # it was written for Pillow 9
        ImageFont.FreeTypeFont.getsize = lambda font, text: font.getbbox(text)[2:]  # type: ignore[attr-defined]
    fonts = sorted({str(face.path) for face in words.faces})

    def call(n: int) -> object:
        texts = [words.sample(BATCH * n + i).text for i in range(BATCH)]
        settings = {"fonts": fonts, "size": 32, "skewing_angle": 3, "random_skew": True}
        blur = {"blur": 1, "random_blur": True, "background_type": 0}
        return list(GeneratorFromStrings(texts, count=BATCH, **settings, **blur))

    return call


def picture(words: Words, count: int = 48, columns: int = 4) -> Image.Image:
    """The first words, in columns."""
    batch = words.batch(range(count))
    wide = batch.images.shape[3] + 8
    sheet = np.full((count // columns * 40, columns * wide), 128, np.uint8)
    for n, (image, width) in enumerate(zip(batch.images[:, 0].numpy(), batch.widths)):
        top, left = n // columns * 40 + 4, n % columns * wide + 4
        sheet[top : top + 32, left : left + width] = (255 * image[:, :width]).round()
    return Image.fromarray(sheet)


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20, help="batches (default: %(default)s)")
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    folder = FETCHED if FETCHED.is_dir() else Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    faces = [face for face in find_faces(folder) if why_refused(face) is None]
    words = Words(split(faces)["train"], seed=0)
    for n in range(4 * rounds):
        words.batch(range(BATCH * n, BATCH * (n + 1)))  # faces read, glyphs drawn
    ours = rate(lambda n: words.batch(range(BATCH * n, BATCH * (n + 1))), rounds)
    try:
        theirs = f"{rate(peer(words), max(2, rounds // 8)):.0f}"
    except ImportError:
        theirs = "not installed, so not measured"
    text = (
        f"Measured {date.today()} on {platform.machine()}, one thread, torch {torch.__version__}, "
        f"{len(words.faces)} faces, by `python -m benchmarks.rendering`.\n\n"
        "| | words a second |\n|---|---|\n"
        f"| all degradations and boxes | {ours:.0f} |\n| trdg | {theirs} |\n"
    )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "rendering.md").write_text(text, encoding="utf-8")
    picture(words).save(RESULTS / "rendering.png", optimize=True)
    print(text)


if __name__ == "__main__":
    main()
