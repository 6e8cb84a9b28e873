"""What a training costs, and what it comes to.

``python -m benchmarks.homework`` trains the reader of :func:`ebm_ocr.train_from_scratch` with ten
seeds, and the first edition's network and recipe with some, by turns, on one thread, everything
counted in seconds of CPU, rendering included. It prints the fraction of fresh words read exactly,
by length, and writes ``benchmarks/results/homework.md``. No choice was made on these seeds (from
2,000 on) and words (from 80,000 on): the recipe was chosen on training seeds from 100 to 147, and
on words of seeds from 20,000 to 50,000.

``--noise`` trains and tests on words with noise, 20 passes each. ``--loops`` compares the batched
engine with Viterbi in Python loops, the way a student writes it, on the same network and words.
"""

from __future__ import annotations

import argparse
import math
import platform
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import date
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR
from torch.utils.data import DataLoader

from ebm_ocr import (
    Batch,
    SimpleWordsDataset,
    TrainConfig,
    accuracy_by_length,
    build_ce_matrix,
    build_path_matrix,
    collate_fn,
    get_word_accuracy,
    path_cross_entropy,
    prepare,
    train_ebm_model,
)

RESULTS = Path(__file__).parent / "results"
FULL = TrainConfig()
NOISY = replace(FULL, noise=True, font_size=20, epochs=20)
"""The homework's one size of letters, as the first edition had it."""


FIRST_SEED, TEST_SEED = 2_000, 80_000


class FirstNet(nn.Module):
    """The network of the first edition: three layers that keep the height, 134,091 weights."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 4, stride=2, padding=(1, 0)),
            nn.ReLU(),
            nn.Conv2d(16, 32, 4, stride=(2, 1), padding=(1, 0)),
            nn.ReLU(),
            nn.Conv2d(32, 96, (8, 5)),
            nn.ReLU(),
            nn.Conv2d(96, 27, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, 32, W) to (B, L, 27)."""
        return self.layers(images).squeeze(2).transpose(1, 2)


def first_edition(seed: int, config: TrainConfig) -> nn.Module:
    """Its recipe: one size of letters, 20 passes, words drawn again in each."""
    torch.manual_seed(seed)
    model = FirstNet()
    words = SimpleWordsDataset(5, config.words, True, config.noise, min_length=2, seed=seed)
    order = torch.Generator().manual_seed(seed)
    loader = DataLoader(words, 32, shuffle=True, collate_fn=collate_fn, generator=order)
    optimizer = Adam(model.parameters(), 4e-3)
    schedule = OneCycleLR(optimizer, 4e-3, epochs=20, steps_per_epoch=len(loader))
    train_ebm_model(model, 20, loader, path_cross_entropy, optimizer, schedule=schedule)
    return model


def this_edition(seed: int, config: TrainConfig) -> nn.Module:
    """As :func:`ebm_ocr.train_from_scratch` does it."""
    model, loader, optimizer, schedule = prepare(seed, config)
    train_ebm_model(model, config.epochs, loader, path_cross_entropy, optimizer, schedule=schedule)
    return model


EDITIONS: dict[str, Callable[[int, TrainConfig], nn.Module]] = {
    "this edition": this_edition,
    "first edition": first_edition,
}


class Reading(NamedTuple):
    """What one training cost and came to."""

    seconds: float
    """Of CPU, one thread."""
    accuracy: dict[int, float]
    """Fraction of fresh words read exactly, by the vote of the windows, by their length."""


def measure(edition: str, seed: int, config: TrainConfig, test_words: int) -> Reading:
    """Train once and read fresh words."""
    start = time.process_time()
    model = EDITIONS[edition](seed, config)
    seconds = time.process_time() - start
    if not config.noise:
        return Reading(seconds, accuracy_by_length(model, words=test_words, seed=TEST_SEED))
    tests = {
        length: SimpleWordsDataset(
            length, test_words, jitter=True, noise=True, doubled=1 / 3, seed=TEST_SEED + length
        )
        for length in (2, 5, 8, 12)
    }
    return Reading(seconds, {n: get_word_accuracy(model, words) for n, words in tests.items()})


def report(seeds: dict[str, int], config: TrainConfig, test_words: int) -> str:
    """Train all by turns; everything in Markdown."""
    for edition in EDITIONS:
        measure(
            edition, FIRST_SEED, replace(config, words=32, epochs=1), 2
        )  # kernels compiled, files read
    found: dict[str, list[Reading]] = {edition: [] for edition in EDITIONS}
    for seed in range(max(seeds.values())):
        for edition in EDITIONS:
            if seed < seeds[edition]:
                reading = measure(edition, FIRST_SEED + seed, config, test_words)
                found[edition].append(reading)
                print(edition, FIRST_SEED + seed, *reading, flush=True)
    seconds = {edition: mean(r.seconds for r in readings) for edition, readings in found.items()}
    lengths = list(found["this edition"][0].accuracy)
    lines = [
        f"Measured {date.today()} by `python -m benchmarks.homework` on {platform.system()} "
        f"{platform.machine()}, torch {torch.__version__}, one thread, by turns; {test_words} "
        f"fresh words of each length. `{config}`",
        "",
        "| edition | seeds | CPU seconds | of the first | all lengths >= 99.5 % | lowest | mean |",
        "|---|---|---|---|---|---|---|",
    ]
    for edition, readings in found.items():
        lowest = [min(reading.accuracy.values()) for reading in readings]
        overall = mean(mean(reading.accuracy.values()) for reading in readings)
        lines.append(
            f"| {edition} | {len(readings)} | {seconds[edition]:.1f} "
            f"| {seconds[edition] / seconds['first edition']:.3f} "
            f"| {sum(low >= 0.995 for low in lowest)} of {len(lowest)} "
            f"| {min(lowest):.1%} | {overall:.2%} |"
        )
    lines += [
        "",
        "| edition, seed | seconds | " + " | ".join(f"{n}" for n in lengths) + " |",
        "|---" * (len(lengths) + 2) + "|",
    ]
    for edition, readings in found.items():
        for seed, (spent, accuracy) in enumerate(readings):
            cells = " | ".join(f"{100 * share:.1f}" for share in accuracy.values())
            lines.append(f"| {edition}, {FIRST_SEED + seed} | {spent:.1f} | {cells} |")
    return "\n".join(lines) + "\n"


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
        for images, targets, window_lengths, target_lengths, _ in loader:
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
    """Print the tables and keep them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=10, help="of this edition (%(default)s)")
    parser.add_argument("--first", type=int, default=2, help="of the first one (%(default)s)")
    parser.add_argument("--words", type=int, default=FULL.words, help="to train on (%(default)s)")
    parser.add_argument("--test-words", type=int, default=1000, help="a length (%(default)s)")
    parser.add_argument("--noise", action="store_true", help="words with noise, 20 passes")
    parser.add_argument("--loops", action="store_true", help="Viterbi in Python loops instead")
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = replace(NOISY if options.noise else FULL, words=options.words)
    if options.loops:
        loops, ours = compare(config, seed=0)
        print(f"{'training':<14}{'seconds':>9}{'words read':>12}")
        for row in (loops, ours):
            print(f"{row.name:<14}{row.seconds:>9.1f}{row.accuracy:>12.1%}")
        print(f"ours / loops: {ours.seconds / loops.seconds:.3f}")
        return
    seeds = {"this edition": options.seeds, "first edition": options.first}
    text = report(seeds, config, options.test_words)
    name = "homework-noise.md" if options.noise else "homework.md"
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / name).write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
