"""Shared by the tests: a trained reader, ragged batches, and every path of a small matrix."""

import math
import os

# torch's threads wait without spinning, which would take the cores from whatever runs beside; set
# before torch is loaded
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # each of the parallel workers has a core

from itertools import combinations

import pytest
import torch
from hypothesis import settings

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # must be set before triton is first imported

from ebm_ocr import BETWEEN, train_from_scratch

MOVED = {
    "words": "ebm_ocr.datasets",
    "windows": "ebm_ocr.geometry",
    "paths": "ebm_ocr.path_matrix",
    "criteria": "ebm_ocr.losses",
}
"""Modules that are gone, and where what they held is now."""

# what is compiled at its first call takes its time
settings.register_profile("ebm_ocr", deadline=None)
settings.load_profile("ebm_ocr")


@pytest.fixture(scope="session")
def trained():
    """Model and history of the one recipe, trained once for all tests that need it."""
    return train_from_scratch(seed=0)


def required_paths(windows, symbols):
    """Every path as target indices: a choice of the windows that advance."""
    for turns in combinations(range(1, windows), symbols - 1):
        yield [sum(window >= turn for turn in turns) for window in range(windows)]


def optional_paths(windows, letters, gap=BETWEEN):
    """Every class sequence that collapses to the letters: repeats merged,
    then separators dropped (CTC)."""
    unfinished = [([], 0)]  # classes so far, letters shown
    for left in range(windows, 0, -1):
        longer = []
        for classes, shown in unfinished:
            ways = [(gap, shown)]
            if classes and classes[-1] != gap:
                ways.append((classes[-1], shown))  # the letter goes on
            if shown < len(letters) and (not classes or classes[-1] != letters[shown]):
                ways.append((letters[shown], shown + 1))
            longer += [([*classes, c], n) for c, n in ways if len(letters) - n < left]
        unfinished = longer
    for classes, shown in unfinished:
        if shown == len(letters):
            yield classes


def softmin(energies, beta):
    """Free energy of a list of path energies; inf if there are none."""
    energies = torch.stack(list(energies)).double()
    if math.isinf(beta):
        return energies.min()
    return -torch.logsumexp(-beta * energies, 0) / beta


def pytest_terminal_summary(terminalreporter):
    """Name and time each test that trains, set-up included."""
    seconds = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if "slow" in getattr(report, "keywords", ()):
                seconds[report.nodeid] = seconds.get(report.nodeid, 0) + report.duration
    if seconds:
        terminalreporter.section(f"{len(seconds)} tests train, {sum(seconds.values()):.0f} s")
        for test in sorted(seconds, key=seconds.__getitem__, reverse=True):
            terminalreporter.line(f"{seconds[test]:6.1f} s  {test}")


@pytest.fixture
def headless():
    """Pictures without a screen, and closed."""
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    yield
    plt.close("all")
