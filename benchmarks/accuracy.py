"""Best path or all paths, separators required or optional: ``python -m benchmarks.accuracy``.

Four trainings of which neighbours differ in one thing, the rest of the recipe as it is: the same
words, order and start. In the last one separators are optional, but a path may not begin with one:
it tells whether that makes the start slow. How fast each learns, in how many windows of an alphabet
it names a letter, and the exact-match accuracy on the words of
:func:`ebm_ocr.accuracy_by_length`, whose seeds training never sees.
Prints a table and writes what the notebook draws to ``benchmarks/results/accuracy.json``.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ebm_ocr import (
    BETWEEN,
    LETTERS,
    History,
    SimpleWordsDataset,
    TrainConfig,
    accuracy_by_length,
    forward_loss,
    free_energy,
    normalise,
    path_cross_entropy,
    prepare,
    train_ebm_model,
    train_gtn_model,
)

RESULTS = Path(__file__).parent / "results"


def begun_loss(
    energies: Tensor,
    targets: Tensor,
    window_lengths: Tensor | None = None,
    target_lengths: Tensor | None = None,
) -> Tensor:
    """:func:`ebm_ocr.forward_loss` over the paths that begin with the word's first letter."""
    closed = torch.zeros_like(energies)
    closed[:, 0, BETWEEN] = math.inf
    lengths = window_lengths, target_lengths
    return free_energy(normalise(energies) + closed, targets, *lengths, 1.0, "optional")


WAYS: dict[str, tuple[Callable[..., History], Callable[..., Tensor]]] = {
    "best path, required": (train_ebm_model, path_cross_entropy),
    "all paths, required": (train_gtn_model, partial(forward_loss, separators="required")),
    "all paths, optional": (train_gtn_model, forward_loss),
    "optional, but begun with a letter": (train_gtn_model, begun_loss),
}


def run(way: str, seed: int, config: TrainConfig, test_words: int) -> dict[str, Any]:
    """Train one way: ``accuracy`` on the training words in each pass, ``named`` windows a letter of
    the alphabet, and words ``read`` exactly by length."""
    loop, criterion = WAYS[way]
    model, loader, optimizer, schedule = prepare(seed, config)
    history = loop(model, config.epochs, loader, criterion, optimizer, schedule=schedule)
    strip = SimpleWordsDataset(1, 1).draw_text(LETTERS, 340)
    with torch.no_grad():
        named = (model(strip[None, None]).argmin(2) != BETWEEN).sum().item()
    read = accuracy_by_length(model, words=test_words)
    return {
        "accuracy": [float(f"{share:.4g}") for share in history.accuracy],
        "named": round(named / len(LETTERS), 2),
        "read": {str(length): round(share, 4) for length, share in read.items()},
    }


def main() -> None:
    """Train every way with every seed, print and keep what came of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--words", type=int, default=TrainConfig().words, help="training words")
    parser.add_argument("--seeds", type=int, default=5, help="trainings of each (%(default)s)")
    parser.add_argument("--test-words", type=int, default=500, help="a length (%(default)s)")
    options = parser.parse_args()
    config = replace(TrainConfig(), words=options.words)
    runs: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for seed in range(options.seeds):
        for way, found in runs.items():
            found.append(run(way, seed, config, options.test_words))
            columns = "  ".join(f"{n}: {share:.3f}" for n, share in found[-1]["read"].items())
            print(f"{way}, seed {seed}   {columns}", flush=True)
    made_by = f"python -m benchmarks.accuracy, {date.today()}, {config}, seeds 0 to "
    records = {"made by": f"{made_by}{options.seeds - 1}", "ways": runs}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "accuracy.json").write_text(json.dumps(records) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
