"""``ebm-ocr evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .read import Charset, Lexicon, Weights, read_lexicon


def evaluate(
    labels: Annotated[
        Path, typer.Argument(help="A file of lines: image TAB word; images beside the file.")
    ],
    charset: Charset = None,
    lexicon: Lexicon = None,
    worst: Annotated[
        Path | None, typer.Option(help="A picture of the worst readings (needs matplotlib).")
    ] = None,
    weights: Weights = None,
) -> None:
    """Say how well the reader does on images whose words are known.

    Words read exactly and characters read wrong, with 95 % intervals by bootstrap over the images.

    ebm-ocr evaluate samples/labels.tsv --worst worst.png
    """
    from ..reader import Reader
    from ..reader.images import to_strip
    from ..reader.scores import read_labels, score

    rows = read_labels(labels)
    reader = Reader.load(weights)
    words = None if lexicon is None else read_lexicon(lexicon)
    strips = []
    for row in rows:
        try:
            strips.append(to_strip(row.path))
        except (OSError, ValueError) as error:
            raise ValueError(f"{labels}, line {row.line}: {row.path}: {error}") from error
    found = reader.read_strips(strips, charset, words)
    texts = [row.text for row in rows]
    for name, value in score(texts, [word.text for word in found])._asdict().items():
        typer.echo(
            f"{name.replace('_', ' ')}\t{value.share:.2%}\t{value.low:.2%}..{value.high:.2%}"
        )
    typer.echo(f"images\t{len(rows)}")
    if worst is not None:
        from ..reader.picture import draw_worst

        draw_worst(strips, texts, found).savefig(worst, dpi=150)
