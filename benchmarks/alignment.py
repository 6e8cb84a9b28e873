"""The engine against its peers: ``python -m benchmarks.alignment`` writes a table
and a plot to benchmarks/results/.

``pip install .[bench]`` brings the peers; those that are missing are left out and named. All run on
one thread, in one interleaved run: in each round every contender is called once unmeasured, then
five times, and the median counts. Times drift from machine to machine, so what is reported are
fractions of the peer's time.

Each target is ``c_a_t_`` with T symbols. For CTC that are T/2 labels,
which give T + 1 states: as many as ours has.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import torch
from torch import Tensor

from ebm_ocr import BETWEEN, compat, free_energy, viterbi
from ebm_ocr.validation import Separators

matplotlib.use("Agg")
from matplotlib import pyplot as plt

RESULTS = Path(__file__).parent / "results"
WORKLOADS = {
    "small": (32, 40, 10),
    "medium": (128, 128, 24),
    "long": (16, 1024, 200),
    "huge": (1024, 64, 16),
}
"""Batch, windows, target symbols."""
CLASSES = 27
LIMITS = {
    ("viterbi", "monotonic-alignment-search"): (0.50, 0.25, 0.06, 0.28),
    ("free energy + gradient", "ctc_loss"): (0.45, 0.20, 0.10, 0.25),
    ("free energy + gradient", "optax.ctc_loss"): (0.50, 0.40, 0.20, 0.40),
    ("viterbi, optional", "viterbi"): (1.3,) * 4,
    ("free energy + gradient, optional", "free energy + gradient"): (1.3,) * 4,
    ("wide energies + gradient", "ctc_loss"): (0.8,) * 4,
    ("compat.ctc_loss", "ctc_loss"): (0.6, 0.25, 0.12, 0.3),
    ("compat.maximum_path", "monotonic-alignment-search"): (2.0, 1.2, 0.9, 1.2),
    ("compat.forced_align", "torchaudio.forced_align"): (0.3,) * 4,
}
"""What we want to stay below: ours, its peer, and the fraction for each workload."""


class Inputs(NamedTuple):
    """One workload's data."""

    energies: Tensor
    letters: Tensor
    targets: Tensor
    windows: Tensor
    symbols: Tensor


def make_inputs(batch: int, windows: int, symbols: int) -> Inputs:
    """Normalised random energies and random words."""
    generator = torch.Generator().manual_seed(0)
    energies = -torch.log_softmax(torch.randn(batch, windows, CLASSES, generator=generator), 2)
    letters = torch.randint(0, BETWEEN, (batch, symbols // 2), generator=generator)
    targets = torch.stack([letters, torch.full_like(letters, BETWEEN)], 2).flatten(1)
    return Inputs(
        energies, letters, targets, torch.full((batch,), windows), torch.full((batch,), symbols)
    )


def contenders(data: Inputs) -> dict[str, Callable[[], Any]]:
    """What is timed on one workload, ours and the peers that are installed."""

    def ours(separators: Separators = "required", scale: float = 1.0) -> Callable[[], Any]:
        energies = data.energies * scale

        def call() -> None:
            leaf = energies.detach().requires_grad_()
            free_energy(
                leaf, data.targets, data.windows, data.symbols, 1.0, separators
            ).sum().backward()

        return call

    def ctc(loss: Callable[..., Tensor]) -> Callable[[], Any]:
        lengths = data.windows, data.symbols // 2

        def call() -> None:
            leaf = (-data.energies).requires_grad_()
            scores = leaf.transpose(0, 1)
            loss(scores, data.letters, *lengths, blank=BETWEEN, reduction="sum").backward()

        return call

    arguments = data.energies, data.targets, data.windows, data.symbols
    found = {
        "viterbi": lambda: viterbi(*arguments),
        "viterbi, optional": lambda: viterbi(*arguments, "optional"),
        "free energy + gradient": ours(),
        "free energy + gradient, optional": ours("optional"),
        "wide energies + gradient": ours(scale=300.0),
        "ctc_loss": ctc(torch.nn.functional.ctc_loss),
        "compat.ctc_loss": ctc(compat.ctc_loss),
        "compat.maximum_path": _through_a_mask(data, compat.maximum_path),
        "compat.forced_align": lambda: compat.forced_align(
            -data.energies, data.letters.int(), blank=BETWEEN
        ),
    }
    for name, peer in (
        ("monotonic-alignment-search", _monotonic_alignment_search),
        ("optax.ctc_loss", _optax),
        ("torchaudio.forced_align", _torchaudio),
    ):
        try:
            found[name] = peer(data)
        except ImportError:
            continue
    return found


def _monotonic_alignment_search(data: Inputs) -> Callable[[], Any]:
    from monotonic_alignment_search import maximum_path

    return _through_a_mask(data, maximum_path)


def _through_a_mask(data: Inputs, maximum_path: Callable[..., Tensor]) -> Callable[[], Any]:
    """The path matrix is part of the call: such a function does not gather it."""
    mask = torch.ones(data.targets.shape + data.energies.shape[1:2])

    def call() -> Any:
        index = data.targets[:, None].expand(-1, data.energies.shape[1], -1)
        return maximum_path(data.energies.gather(2, index).neg().transpose(1, 2).contiguous(), mask)

    return call


def _optax(data: Inputs) -> Callable[[], Any]:
    import jax
    import optax

    logits = jax.numpy.asarray((-data.energies).numpy())
    labels = jax.numpy.asarray(data.letters.numpy())
    nothing = jax.numpy.zeros(logits.shape[:2]), jax.numpy.zeros(labels.shape)

    @jax.jit
    def step(values: Any) -> Any:
        def loss(v: Any) -> Any:
            return optax.ctc_loss(v, nothing[0], labels, nothing[1], blank_id=BETWEEN).sum()

        return jax.value_and_grad(loss)(values)

    return lambda: jax.block_until_ready(step(logits))


def _torchaudio(data: Inputs) -> Callable[[], Any]:
    """One sample after the other: it takes no batches."""
    from torchaudio.functional import forced_align

    scores, words = -data.energies, data.letters.int()
    return lambda: [
        forced_align(scores[b : b + 1], words[b : b + 1], blank=BETWEEN) for b in range(len(words))
    ]


def interleave(calls: dict[str, Callable[[], Any]], rounds: int, row: int = 5) -> dict[str, float]:
    """Median seconds of each call, ``row`` calls at a time."""
    for call in calls.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            call()  # the one before it has filled the caches with its own
            for _ in range(row):
                start = time.perf_counter()
                call()
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def scaling(rounds: int) -> dict[str, tuple[list[int], dict[str, list[float]]]]:
    """Seconds against B, L and T separately, the others kept."""
    base = {"B": 16, "L": 256, "T": 32}
    sizes = {"B": [16, 32, 64, 128], "L": [256, 512, 1024, 2048], "T": [64, 96, 128, 192, 256]}
    found = {}
    for axis, values in sizes.items():
        rows: dict[str, list[float]] = {"viterbi": [], "free energy + gradient": []}
        for value in values:
            shape = {**base, "L": 1024 if axis == "T" else base["L"], axis: value}
            calls = contenders(make_inputs(*shape.values()))
            for name, seconds in interleave(
                {name: calls[name] for name in rows}, rounds, 3
            ).items():
                rows[name].append(seconds)
        found[axis] = (values, rows)
    return found


FRESH = """
import time, torch
start = time.perf_counter()
import ebm_ocr
ebm_ocr.viterbi, ebm_ocr.free_energy
print(time.perf_counter() - start)
energies, targets = torch.zeros(2, 9, 27), torch.tensor([[0, 26], [1, 26]])
start = time.perf_counter()
ebm_ocr.viterbi(energies, targets)
ebm_ocr.free_energy(energies.requires_grad_(), targets, beta=1.0).sum().backward()
print(time.perf_counter() - start)
"""
MEMORY = """
import torch, ebm_ocr
def peak():  # Linux: the most memory that this process has held
    return next(1024 * int(line.split()[1]) \
for line in open("/proc/self/status", "rb") if line.startswith(b"VmHWM"))
arguments = dict(beta={beta}, separators={separators!r})
L, T = 8000, 1000
energies, targets = torch.rand(1, L, 27) * {scale}, torch.tensor([[0, 26] * (T // 2)])
energies.requires_grad_({gradient})
few = energies.detach()[:, :9].requires_grad_({gradient})
small = ebm_ocr.free_energy(few, targets[:, :4], **arguments)
if {gradient}: small.sum().backward()
outputs = torch.ones(3, L, 27)
before = peak()
ebm_ocr.free_energy(energies, targets, **arguments)
print((peak() - before) / (8 * L * (T + ({separators!r} == "optional"))))
"""


def fresh(code: str) -> list[float]:
    """What a fresh process prints."""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True
    )
    return [float(line) for line in run.stdout.split()]


def report(rounds: int) -> str:
    """Measure all; Markdown, and the plot as a side effect."""
    torch.set_num_threads(1)
    times = {}
    for name, shape in WORKLOADS.items():
        calls = contenders(make_inputs(*shape))
        times[name] = interleave(calls, max(3, rounds if name != "small" else 10 * rounds))
    lines = [
        f"Measured {date.today()} on {platform.machine()}, {os.cpu_count()} cores, "
        f"one thread used; Python {platform.python_version()}, torch {torch.__version__}, "
        "by `python -m benchmarks.alignment`.",
        "",
        "Time as a fraction of the peer's (the limit that we set ourselves in brackets):",
        "",
        "| ours | of | " + " | ".join(WORKLOADS) + " |",
        "|---|---|" + "---|" * len(WORKLOADS),
    ]
    for (ours, peer), limits in LIMITS.items():
        if peer not in times["small"]:
            continue
        cells = [
            f"{t[ours] / t[peer]:.2f} ({limit:.2f})" for t, limit in zip(times.values(), limits)
        ]
        lines.append(f"| {ours} | {peer} | " + " | ".join(cells) + " |")
    shapes = ", ".join(f"{name} {shape}" for name, shape in WORKLOADS.items())
    lines += [
        "",
        f"Workloads (B, L, T): {shapes}, {CLASSES} classes. Median milliseconds of the same run:",
        "",
    ]
    lines += ["| | " + " | ".join(WORKLOADS) + " |", "|---|" + "---|" * len(WORKLOADS)]
    for name in times["small"]:
        lines.append(
            f"| {name} | " + " | ".join(f"{t[name] * 1e3:.3g}" for t in times.values()) + " |"
        )
    wanted = {"monotonic-alignment-search", "optax.ctc_loss", "torchaudio.forced_align"}
    missing = sorted(wanted - set(times["small"]))
    lines += ["", f"Not installed, so not measured: {', '.join(missing) or 'nothing'}.", ""]

    grown = scaling(max(3, rounds // 2))
    lines += [
        "Time grows with each size to the power of (T stays below 1: "
        "cells that no path can pass through are skipped,",
        "and the sums have a cost for each window and class besides):",
        "",
        "| | B | L | T |",
        "|---|---|---|---|",
    ]
    for name in ("viterbi", "free energy + gradient"):
        powers = [
            np.polyfit(np.log(sizes), np.log(rows[name]), 1)[0] for sizes, rows in grown.values()
        ]
        lines.append(f"| {name} | " + " | ".join(f"{power:.2f}" for power in powers) + " |")
    importing, first = fresh(FRESH), fresh(FRESH)
    lines += [
        "",
        "In a fresh process, compiled code in the cache: importing adds "
        f"{min(importing[0], first[0]):.2f} s to torch's, the first calls of both functions take "
        f"{min(importing[1], first[1]):.2f} s.",
        "",
        "Peak memory beyond inputs and outputs, in float64 tables of one sample "
        "(8,000 windows, 1,000 symbols):",
        "",
        "| viterbi | free energy + gradient | optional | wide energies |",
        "|---|---|---|---|",
    ]
    cases = [
        {"beta": "float('inf')", "separators": "required", "scale": 1, "gradient": False},
        {"beta": 1.0, "separators": "required", "scale": 1, "gradient": True},
        {"beta": 1.0, "separators": "optional", "scale": 1, "gradient": True},
        {"beta": 1.0, "separators": "optional", "scale": 300, "gradient": True},
    ]
    lines.append(
        "| " + " | ".join(f"{fresh(MEMORY.format(**case))[0]:.2f}" for case in cases) + " |"
    )
    plot(times, grown)
    return "\n".join(lines) + "\n"


def plot(
    times: dict[str, dict[str, float]], grown: dict[str, tuple[list[int], dict[str, list[float]]]]
) -> None:
    """Bars of milliseconds, and how time grows."""
    figure, (bars, lines) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    names = [
        name
        for name in times["small"]
        if name not in ("viterbi, optional", "free energy + gradient, optional")
    ]
    shades = plt.get_cmap("viridis")(np.linspace(0, 0.95, len(names)))
    for index, (name, shade) in enumerate(zip(names, shades)):
        places = np.arange(len(times)) + (index - len(names) / 2) * 0.11
        bars.bar(places, [t[name] * 1e3 for t in times.values()], 0.1, color=shade, label=name)
    bars.set(yscale="log", ylabel="median time [ms]", xlabel="workload", xticks=range(len(times)))
    bars.set_xticklabels(times)
    figure.legend(
        *bars.get_legend_handles_labels(), loc="outside upper center", ncols=len(names), fontsize=7
    )
    for (axis, (sizes, rows)), marker in zip(grown.items(), "osd"):
        for name, style in zip(rows, ("-", "--")):
            scaled = np.array(rows[name]) / rows[name][0]
            lines.plot(
                np.array(sizes) / sizes[0],
                scaled,
                style + marker,
                color="0.3",
                label=f"{axis}, {name}",
            )
    lines.plot([1, 8], [1, 8], ":", color="0.7", label="linear")
    lines.set(
        xscale="log",
        yscale="log",
        xlabel="size / smallest size",
        ylabel="time / time at the smallest size",
    )
    for axis in (lines.xaxis, lines.yaxis):
        axis.set_ticks([1, 2, 4, 8], labels=["1", "2", "4", "8"])
        axis.set_ticks([], minor=True)
    lines.legend(fontsize=7)
    figure.savefig(RESULTS / "alignment.png", dpi=120)
    plt.close(figure)


def main() -> None:
    """Print the report and keep it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rounds", type=int, default=15, help="rounds of five calls each (default: %(default)s)"
    )
    RESULTS.mkdir(exist_ok=True)
    if hasattr(os, "sched_setaffinity"):  # before XLA is loaded, which counts the cores
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    text = report(parser.parse_args().rounds)
    (RESULTS / "alignment.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
