"""``ebm-ocr render``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def render(
    words: Annotated[list[str], typer.Argument(help="What to write, an image a word.")],
    out: Annotated[Path, typer.Option(help="The folder for 0000.png and so on, and labels.tsv.")],
    font: Annotated[
        Path | None, typer.Option(help="A font file; by default DejaVu Sans Mono.")
    ] = None,
    size: Annotated[float, typer.Option(min=6, max=60, help="Of the font, in pixels.")] = 20,
    rough: Annotated[bool, typer.Option("--rough", help="As a camera sees it, not clean.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of what happens to a rough image.")] = 0,
) -> None:
    """Write words as images, with the labels that evaluate takes.

    ebm-ocr render hello world --out samples --font Lato.ttf --rough
    """
    import numpy as np
    from PIL import Image

    from ..reader.degradation import CLEAN, ROUGH
    from ..reader.fonts import Face, default_face, why_refused
    from ..reader.words import draw_words, write

    face = default_face() if font is None else Face(font)
    wrong = why_refused(face, "".join(sorted({*"".join(words)})))
    if wrong:
        raise ValueError(wrong)
    samples = [
        write(np.random.default_rng([seed, number]), face, word, size, ROUGH if rough else CLEAN)
        for number, word in enumerate(words)
    ]
    batch = draw_words(samples)
    out.mkdir(parents=True, exist_ok=True)
    with (out / "labels.tsv").open("w", encoding="utf-8") as labels:
        for number, (image, width, word) in enumerate(zip(batch.images, batch.widths, words)):
            name = f"{number:04}.png"
            pixels = (image[0, :, :width] * 255).round().byte().numpy()
            Image.fromarray(pixels).save(out / name)
            labels.write(f"{name}\t{word}\n")
    typer.echo(f"{len(words)} images and labels.tsv in {out}")
