"""What other programs on the same cores cost a training,
by how torch's threads wait for each other.

``python -m benchmarks.busy`` trains the homework's network for some steps in a process of its own
under each setting, alone and beside a busy loop on each core, the settings taking turns, and prints
the median milliseconds of a step. With ``--command "make test"`` it times a whole command instead,
under the environment as it is, alone and beside the loops.
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

SETTINGS: dict[str, dict[str, str]] = {
    "default": {},
    "GOMP_SPINCOUNT=100": {"GOMP_SPINCOUNT": "100"},
    "GOMP_SPINCOUNT=1000": {"GOMP_SPINCOUNT": "1000"},
    "GOMP_SPINCOUNT=10000": {"GOMP_SPINCOUNT": "10000"},
    "OMP_WAIT_POLICY=passive": {"OMP_WAIT_POLICY": "passive"},
    "OMP_NUM_THREADS=1": {"OMP_NUM_THREADS": "1"},
}
WAITING = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS")
"""What a shell may have set already; each run starts without."""
ONE_TRAINING = """
import sys, time, torch
from ebm_ocr import SimpleNet, SimpleWordsDataset, collate_fn, path_cross_entropy, train_ebm_model
steps = int(sys.argv[1])
model = SimpleNet()
optimizer = torch.optim.Adam(model.parameters(), 1e-3)
words = SimpleWordsDataset(5, 32 * 20, jitter=True, min_length=2, seed=0)
batches = list(torch.utils.data.DataLoader(words, 32, collate_fn=collate_fn))
train_ebm_model(model, 1, batches[:5], path_cross_entropy, optimizer)
start = time.perf_counter()
train_ebm_model(model, 1, (batches * steps)[:steps], path_cross_entropy, optimizer)
print((time.perf_counter() - start) / steps * 1e3)
"""


@contextmanager
def busy(programs: int) -> Iterator[None]:
    """So many other programs that never wait."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(programs)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def step_milliseconds(setting: dict[str, str], steps: int) -> float:
    """Mean over the steps of one training in a fresh process; rendering left out."""
    environment = {k: v for k, v in os.environ.items() if k not in WAITING} | setting
    command = [sys.executable, "-c", ONE_TRAINING, str(steps)]
    run = subprocess.run(
        command, env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    return float(run.stdout)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument(
        "--programs", type=int, default=os.cpu_count(), help="busy loops, default one a core"
    )
    parser.add_argument("--command", help="time this command once in place of training steps")
    arguments = parser.parse_args()
    if arguments.command:
        for programs in (0, arguments.programs):
            with busy(programs):
                start = time.perf_counter()
                subprocess.run(
                    shlex.split(arguments.command), check=True, stdout=subprocess.DEVNULL
                )
                print(
                    f"{arguments.command}, {programs} busy programs: "
                    f"{time.perf_counter() - start:.0f} s",
                    flush=True,
                )
        return
    times: dict[tuple[str, int], list[float]] = {}
    for _ in range(arguments.rounds):
        for programs in (0, arguments.programs):
            for name, setting in SETTINGS.items():
                with busy(programs):
                    times.setdefault((name, programs), []).append(
                        step_milliseconds(setting, arguments.steps)
                    )
    print(
        f"Milliseconds of a training step, median of {arguments.rounds} runs "
        f"of {arguments.steps} steps:\n"
    )
    print(
        f"| setting | alone | beside {arguments.programs} busy programs | ratio |\n"
        "|---|---|---|---|"
    )
    for name in SETTINGS:
        alone, beside = (
            statistics.median(times[name, programs]) for programs in (0, arguments.programs)
        )
        print(f"| {name} | {alone:.1f} | {beside:.1f} | {beside / alone:.1f} |")


if __name__ == "__main__":
    main()
