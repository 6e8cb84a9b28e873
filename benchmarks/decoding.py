"""What exact search costs with many classes: ``python -m benchmarks.decoding 27 1000 50000``.

Energies as a trained model has them, with the blank first: 35 symbols in 200 windows, sure of most.
Prints for each number of classes the seconds of ``n_best(5)`` on one thread, the best of three, and
the megabytes by which they made the process grow beyond the energies.
"""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path

import torch
from torch import Tensor

from ebm_ocr import Alphabet, n_best

WINDOWS, SYMBOLS, BLANK = 200, 35, 0


def peaky(classes: int) -> tuple[Tensor, tuple[int, ...]]:
    """(1, L, C) energies, and the classes of the word that they show."""
    generator = torch.Generator().manual_seed(0)
    energies = torch.randn(1, WINDOWS, classes, generator=generator) + 8
    energies[..., BLANK] = 0
    word = torch.randint(1, classes, (SYMBOLS,), generator=generator).tolist()
    for place, symbol in enumerate(word):
        start = place * WINDOWS // SYMBOLS
        energies[0, start : start + 2, BLANK] = 8
        energies[0, start : start + 2, symbol] = 0
    return energies, tuple(word)


def peak() -> float:
    """Most megabytes that this process has held; on Linux, where getrusage tells a parent's too."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 2**10  # type: ignore[index]


def measure(classes: int) -> tuple[float, float]:
    """Seconds and megabytes of five words from so many classes."""
    alphabet = Alphabet([f"piece{i}" for i in range(classes - 1)], BLANK)
    energies, word = peaky(classes)
    seconds = []
    before = peak()
    for _ in range(3):
        start = time.perf_counter()
        found = n_best(energies, 5, separators="optional", alphabet=alphabet)[0]
        seconds.append(time.perf_counter() - start)
    if found[0].classes != word or len({reading.classes for reading in found}) < 5:
        raise RuntimeError(f"expected the word {word} and four others, got {found}")
    return min(seconds), peak() - before


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("classes", type=int, nargs="*", default=[27, 1000, 50_000])
    torch.set_num_threads(1)
    measure(10)  # compiles
    for classes in parser.parse_args().classes:
        seconds, megabytes = measure(classes)
        print(f"{classes} classes: {seconds:.4f} s, {megabytes:.0f} MB")


if __name__ == "__main__":
    main()
