"""Shared by the tests: a trained reader, ragged batches, and every path of a small matrix."""

import math
from itertools import combinations, product

import pytest
import torch

from ebm_ocr import BETWEEN, train_from_scratch


@pytest.fixture(scope="session")
def trained():
    """Model and history of the one recipe, trained once for all tests that need it."""
    return train_from_scratch(seed=0)


def required_paths(windows, symbols):
    """Every path as target indices: a choice of the windows that advance."""
    for turns in combinations(range(1, windows), symbols - 1):
        yield [sum(window >= turn for turn in turns) for window in range(windows)]


def optional_paths(windows, letters):
    """Every class sequence that collapses to the letters: repeats merged, then separators dropped (CTC)."""
    for classes in product([*dict.fromkeys(letters), BETWEEN], repeat=windows):
        merged = [c for i, c in enumerate(classes) if i == 0 or c != classes[i - 1]]
        if [c for c in merged if c != BETWEEN] == list(letters):
            yield list(classes)


def softmin(energies, beta):
    """Free energy of a list of path energies; inf if there are none."""
    energies = torch.stack(list(energies)).double()
    if math.isinf(beta):
        return energies.min()
    return -torch.logsumexp(-beta * energies, 0) / beta
