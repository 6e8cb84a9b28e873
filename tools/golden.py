"""Write ``tests/golden.json``: small cases and their answers,
for every implementation to be held to.

    python tools/golden.py

The answers come from ``ebm_ocr/kernels/reference.py`` in float64, and from trying every word; each
free energy is checked here against the sum over all paths, walked one by one. In the file ``"inf"``
stands for infinity. A case is one sample: ``energies`` (L, C) of which ``windows`` count, a
``target`` of classes (-1 is a wildcard, at ``wildcard`` a window) of which ``symbols`` count, and
``separators``. Its answers: for each of ``betas`` the free energy of the target and that over all
words; the ``posterior`` (windows, symbols) at beta = 1; the best ``path`` (symbol of each window,
-1 on an optional separator that the target does not show; null where nothing fits); the energies
and words, as classes, of the ``n_best``; and the ``most_offending`` word, of least energy but not
the target's.
"""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ebm_ocr.kernels import reference

TARGET = Path(__file__).resolve().parents[1] / "tests" / "golden.json"
BETAS = [0.01, 0.3, 1.0, 5.0, 30.0, math.inf]
KINDS = ["normal", "tied", "forbidden", "wide", "far", "wildcard"]
CASES = 25
"""Of each kind and topology."""
N_BEST = 5


def walks(states: list[int], gap: int, optional: bool, windows: int) -> Iterator[list[int]]:
    """The states of every legal path, by the rules alone: stay, advance, or pass over a gap."""

    def follow(path: list[int]) -> Iterator[list[int]]:
        if len(path) == windows:
            if path[-1] >= len(states) - 1 - optional:
                yield path
            return
        for s in range(path[-1], min(path[-1] + 2 + optional, len(states))):
            skips = s - path[-1] == 2
            other = states[s] != states[path[-1]] or states[s] == -1
            if not skips or (states[s] != gap and other):
                yield from follow([*path, s])

    for first in range(min(1 + optional, len(states))):
        yield from follow([first])


def by_walking(case: dict[str, Any], beta: float) -> float:
    """Free energy of a case's target over all its paths."""
    gap, optional = case["separator"], case["separators"] == "optional"
    states = case["target"][: case["symbols"]]
    if optional:
        letters = [symbol for symbol in states if symbol != gap]
        states = [gap, *itertools.chain.from_iterable((letter, gap) for letter in letters)]
    costs = [
        math.fsum(
            case["wildcard"] if states[s] == -1 else energies[states[s]]
            for s, energies in zip(path, case["energies"])
        )
        for path in walks(states, gap, optional, case["windows"])
    ]
    lowest = min(costs, default=math.inf)
    if math.isinf(beta) or lowest == math.inf:
        return lowest
    return lowest - math.log(math.fsum(math.exp(-beta * (cost - lowest)) for cost in costs)) / beta


def draw(rng: random.Random, kind: str, separators: str) -> dict[str, Any]:
    """A case without its answers."""
    windows, classes = rng.randint(1, 6), rng.randint(2, 4)
    longest, width = windows + rng.randint(0, 2), rng.randint(1, 5)
    scale, level = {"wide": 300.0, "tied": 1.0}.get(kind, 2.0), 1e6 if kind == "far" else 0.0
    energies = [
        [round(rng.gauss(level, scale), 0 if kind == "tied" else 3) for _ in range(classes)]
        for _ in range(longest)
    ]
    if kind == "forbidden":
        energies = [[math.inf if rng.random() < 0.2 else e for e in row] for row in energies]
    gap = rng.choice([classes - 1, classes - 1, rng.randrange(classes)])
    letters = [c for c in range(classes) if c != gap]
    if rng.random() < 0.7:  # a word as it is spelled, else any classes
        target = [c for _ in range((width + 1) // 2) for c in (rng.choice(letters), gap)]
    else:
        target = [rng.randrange(classes) for _ in range(width)]
    if kind == "wildcard":
        target = [-1 if c != gap and rng.random() < 0.6 else c for c in target]
    return {
        "kind": kind,
        "separators": separators,
        "separator": gap,
        "energies": energies,
        "windows": windows,
        "target": target,
        "symbols": rng.randint(max(1, len(target) - 2), len(target)),
        "wildcard": round(rng.gauss(0, 2), 3) if kind == "wildcard" else None,
    }


def answer(case: dict[str, Any]) -> dict[str, Any]:
    """The case with its answers."""
    energies = torch.tensor(case["energies"], dtype=torch.float64)[None, : case["windows"]]
    classes, optional = energies.shape[2], case["separators"] == "optional"
    symbols = torch.tensor(case["target"][: case["symbols"]])
    windows, gap = torch.tensor([case["windows"]]), case["separator"]
    wild = symbols == -1  # two classes more, by turns, so that neighbours differ
    wider = torch.nn.functional.pad(energies, (0, 2), value=case["wildcard"] or 0.0)
    symbols = symbols.where(~wild, classes + wild.cumsum(0) % 2)
    lattice = reference.build_lattice(
        symbols[None], torch.tensor([len(symbols)]), gap if optional else None
    )
    matrix = reference.path_matrix(wider, lattice.symbols)
    found = {"free_energy": [], "all_words": []}
    for beta in BETAS:
        value = by_walking(case, beta)
        if math.isfinite(beta):
            again = reference.free_energy(matrix, lattice, windows, beta).item()
            assert again == value or math.isclose(again, value, rel_tol=1e-12, abs_tol=1e-9), case
        found["free_energy"].append(value)
        every = reference.all_words(energies, windows, beta, not optional, gap)
        found["all_words"].append(every.item())
    shares = reference.posterior(matrix, lattice, windows, 1.0)[0]
    places = lattice.positions[0].where(lattice.positions[0] >= 0, len(symbols)).expand_as(shares)
    columns = shares.new_zeros(len(shares), len(symbols) + 1).scatter_add(1, places, shares)
    found["posterior"] = [[round(share, 10) for share in row[:-1]] for row in columns.tolist()]
    states = reference.best_path(matrix, lattice, windows)[0]
    fits = reference.feasible(lattice, windows).item()
    found["path"] = lattice.positions[0][states].tolist() if fits else None
    words = by_trying(energies, gap, optional)
    found["n_best"] = words[:N_BEST]
    spelled = [c for c in case["target"][: case["symbols"]] if c != gap]
    others = [word for word in words if word[1] != spelled]
    found["most_offending"] = others[0] if others else None
    return case | found


def by_trying(energies: Tensor, gap: int, optional: bool) -> list[tuple[float, list[int]]]:
    """Energy on the best path of every word that has a finite one, lowest first."""
    windows, classes = energies.shape[1:]
    letters = [c for c in range(classes) if c != gap]
    most = windows if optional else windows // 2
    words = [
        list(word)
        for length in range(0 if optional else 1, most + 1)
        for word in itertools.product(letters, repeat=length)
    ]
    found = []
    for word in words:
        target = torch.tensor([[c for letter in word for c in (letter, gap)] or [gap]])
        lengths = torch.tensor([2 * len(word)])
        lattice = reference.build_lattice(target, lengths, gap if optional else None)
        if reference.feasible(lattice, torch.tensor([windows])):
            matrix = reference.path_matrix(energies, lattice.symbols)
            states = reference.best_path(matrix, lattice, torch.tensor([windows]))[0]
            energy = matrix[0, torch.arange(windows), states].sum().item()
            found += [(energy, word)] if energy < math.inf else []
    return sorted(found)


def readable(value: Any) -> Any:
    """Infinity by name, which JSON has no number for."""
    if isinstance(value, dict):
        return {key: readable(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [readable(part) for part in value]
    return "inf" if value == math.inf else value


def main() -> None:
    """Draw, answer and write all cases."""
    rng = random.Random(0)
    cases = [
        answer(draw(rng, kind, separators))
        for kind in KINDS
        for separators in ("required", "optional")
        for _ in range(CASES)
    ]
    lines = ",\n".join(json.dumps(readable(case)) for case in cases)
    text = f'{{"betas": {json.dumps(readable(BETAS))}, "cases": [\n{lines}\n]}}\n'
    TARGET.write_text(text, encoding="utf-8")
    print(f"{len(cases)} cases, {len(text) / 1e3:.0f} KB in {TARGET.name}")


if __name__ == "__main__":
    main()
