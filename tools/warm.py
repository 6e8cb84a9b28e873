"""Compile the CPU kernels once, for all later processes: ``python tools/warm.py``."""

import time

import torch

from ebm_ocr import free_energy, lexicon_energies, n_best, viterbi


def main() -> None:
    """Call each kernel on a few numbers, of both types that they take."""
    start = time.perf_counter()
    targets = torch.tensor([[0, 2, 1, 2]])
    for dtype in (torch.float32, torch.float64):
        energies = torch.randn(1, 6, 3, dtype=dtype).requires_grad_()
        for separators in ("required", "optional"):
            viterbi(energies, targets, separators=separators)
            for beta in (1.0, float("inf")):
                free_energy(energies, targets, beta=beta, separators=separators).sum().backward()
            free_energy(energies, None, beta=1.0, separators=separators).sum().backward()
            n_best(energies, 1, separators=separators)
            lexicon_energies(energies, ["ab"], separators=separators)
    print(f"kernels compiled in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
