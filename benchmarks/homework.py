"""Training with Python loops, the way a student writes Viterbi, against the batched engine.

``python -m benchmarks.homework`` trains the same network, from the same weights, on the same words
in the same order, once each way, and prints both times, their ratio and both accuracies on fresh
words. The words are rendered before the clock starts.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ebm_ocr import (
    Batch,
    SimpleWordsDataset,
    TrainConfig,
    build_ce_matrix,
    build_path_matrix,
    get_word_accuracy,
    path_cross_entropy,
    prepare,
    train_ebm_model,
)


class Row(NamedTuple):
    """One way of training."""

    name: str
    seconds: float
    accuracy: float


def loop_find_path(pm: Tensor) -> list[tuple[int, int]]:
    """Best path through an (L, T) matrix; the table is a tensor,
    filled cell by cell as the recurrence is written."""
    windows, symbols = pm.shape
    dp = torch.full((windows, symbols), math.inf)
    dp[0, 0] = pm[0, 0]
    for i in range(1, windows):
        for j in range(symbols):
            before = dp[i - 1, j]
            if j > 0:
                before = torch.min(before, dp[i - 1, j - 1])
            dp[i, j] = pm[i, j] + before
    i, j = windows - 1, symbols - 1
    path = [(i, j)]
    while i > 0:
        if j > 0 and dp[i - 1, j - 1] < dp[i - 1, j]:
            j -= 1
        i -= 1
        path.append((i, j))
    return path[::-1]


def loop_train(
    model: nn.Module,
    epochs: int,
    loader: Iterable[Batch],
    optimizer: Optimizer,
    schedule: LRScheduler,
) -> None:
    """Train on one word of the batch after another."""
    for _ in range(epochs):
        for images, targets, window_lengths, target_lengths in loader:
            energies = model(images)
            loss = energies.new_zeros(())
            for word in range(len(images)):
                windows, symbols = int(window_lengths[word]), int(target_lengths[word])
                pm = build_path_matrix(
                    energies[word : word + 1, :windows], targets[word : word + 1, :symbols]
                )[0]
                ce = build_ce_matrix(
                    energies[word : word + 1, :windows], targets[word : word + 1, :symbols]
                )[0]
                for i, j in loop_find_path(pm.detach()):
                    loss = loss + ce[i, j]
            optimizer.zero_grad()
            (loss / len(images)).backward()
            optimizer.step()
            schedule.step()


def compare(config: TrainConfig, seed: int, test_words: int = 1000) -> list[Row]:
    """Train both ways; rows for Python loops and for the engine."""
    test = SimpleWordsDataset(5, test_words, jitter=True, min_length=2, seed=10_000)
    rows = []
    for name in ("Python loops", "ebm_ocr"):
        model, loader, optimizer, schedule = prepare(seed, config)
        batches = list(loader)
        start = time.perf_counter()
        if name == "ebm_ocr":
            train_ebm_model(
                model, config.epochs, batches, path_cross_entropy, optimizer, schedule=schedule
            )
        else:
            loop_train(model, config.epochs, batches, optimizer, schedule)
        rows.append(Row(name, time.perf_counter() - start, get_word_accuracy(model, test)))
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--words", type=int, default=1000, help="training words (default: %(default)s)"
    )
    parser.add_argument(
        "--epochs", type=int, default=10, help="passes over them (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="training seed (default: %(default)s)")
    options = parser.parse_args()
    loops, ours = compare(TrainConfig(words=options.words, epochs=options.epochs), options.seed)
    print(f"{'training':<14}{'seconds':>9}{'words read':>12}")
    for row in (loops, ours):
        print(f"{row.name:<14}{row.seconds:>9.1f}{row.accuracy:>12.1%}")
    print(f"ours / loops: {ours.seconds / loops.seconds:.3f}")


if __name__ == "__main__":
    main()
