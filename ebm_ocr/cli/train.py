"""``ebm-ocr train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train(
    out: Annotated[Path, typer.Option(help="The run's folder: checkpoints, then weights.")],
    fonts: Annotated[
        list[Path] | None, typer.Option(help="Folders of fonts; by default fonts/ (make fonts).")
    ] = None,
    words: Annotated[
        int | None,
        typer.Option(min=64, help="Words to see, each once: the dial. [default: as shipped]"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, words and order.")] = 0,
    init: Annotated[
        Path | None,
        typer.Option(help="Weights to begin with, such as an earlier run's; by default random."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    workers: Annotated[int, typer.Option(min=0, help="Processes that draw words.")] = 1,
) -> None:
    """Train a reader on words drawn with fonts; broken off, it goes on where it was.

    The command that made the weights in the package. Every 64,000 words it says how many words
    of development fonts are read, and keeps a checkpoint; a second call with the same --out
    resumes from the last one, to the same bits. With more --words a run goes on longer.

    ebm-ocr train --fonts fonts --out runs/print94
    """
    from ..reader import Reader
    from ..reader.checkpoint import write_checkpoint
    from ..reader.fonts import find_faces, split, why_refused
    from ..reader.recipe import Material, Recipe, Report, finish, train_reader
    from ..reader.words import load_dictionary

    recipe = Recipe(seed=seed) if words is None else Recipe(words=words, seed=seed)
    begun = None if init is None else Reader.load(init)
    found = find_faces(*(fonts or [Path("fonts")]))
    reasons = [why_refused(face) for face in found]
    for reason in filter(None, reasons):
        typer.echo(f"left out: {reason}", err=True)
    faces = split(face for face, reason in zip(found, reasons) if reason is None)
    counts = ", ".join(f"{len(part)} {name}" for name, part in faces.items())
    typer.echo(f"faces: {counts}", err=True)

    def say(report: Report) -> None:
        typer.echo(
            f"{report.words:,} words, {report.seconds / 60:.1f} min: loss {report.loss:.3f}, "
            f"development clean {report.clean:.1%}, rough {report.rough:.1%}"
        )

    material = Material(faces, load_dictionary())
    training = train_reader(
        recipe,
        material,
        out,
        device=device,
        workers=workers,
        init=begun,
        say=say,
    )
    path = out / "reader.safetensors"
    write_checkpoint(path, finish(training, material))
    typer.echo(f"weights: {path}")
