"""How well words were read: labels, and scores with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

DRAWS = 2_000
"""Bootstrap samples."""


class Label(NamedTuple):
    """A line of a file of labels."""

    line: int
    path: Path
    text: str


class Share(NamedTuple):
    """A share and its 95 % interval."""

    share: float
    low: float
    high: float


class Scores(NamedTuple):
    """Of many words."""

    words_exact: Share
    character_error: Share


def read_labels(file: Path) -> list[Label]:
    """The lines ``image TAB word`` of a file; images are beside it.

    Raises:
        OSError: no such file.
        ValueError: a line of another form, named by its number; no lines; not UTF-8.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"expected labels in UTF-8, got {file}: {error}") from error
    labels = []
    for number, line in enumerate(lines, 1):
        line = line.removesuffix("\r")
        if not line:
            continue
        parts = line.split("\t")
        if len(parts) != 2 or not all(parts):
            raise ValueError(f"{file}, line {number}: expected 'image TAB word', got {line!r:.80}")
        path = file.parent / parts[0]
        if not path.is_file():
            raise ValueError(f"{file}, line {number}: expected an image, found none at {path}")
        labels.append(Label(number, path, parts[1]))
    if not labels:
        raise ValueError(f"expected lines 'image TAB word', got none in {file}")
    return labels


def score(texts: Sequence[str], found: Sequence[str], seed: int = 0) -> Scores:
    """Words read exactly, and edits for each character, with intervals by bootstrap over the words.

    >>> score(["cat", "dog"], ["cat", "dig"]).words_exact.share
    0.5
    """
    exact = np.array([text == other for text, other in zip(texts, found)], float)
    edits = np.array([edit_distance(text, other) for text, other in zip(texts, found)], float)
    sizes = np.array([max(len(text), 1) for text in texts], float)
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, len(texts), (DRAWS, len(texts)))
    errors = edits[chosen].sum(1) / sizes[chosen].sum(1)
    return Scores(
        _share(exact.mean(), exact[chosen].mean(1)), _share(edits.sum() / sizes.sum(), errors)
    )


def _share(value: float, draws: np.ndarray) -> Share:
    """A share, and where 95 % of its bootstrap draws are."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return Share(float(value), float(low), float(high))


def edit_distance(first: str, second: str) -> int:
    """Insertions, deletions and replacements from one text to the other (Levenshtein 1966).

    >>> edit_distance("kitten", "sitting")
    3
    """
    row = [*range(len(second) + 1)]
    for i, a in enumerate(first, 1):
        above, row[0] = row[0], i
        for j, b in enumerate(second, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (a != b))
    return row[-1]
