"""Exact-match accuracy on fresh words of every length, over three training seeds:
``python -m benchmarks.accuracy``.

The test words are those of :func:`ebm_ocr.accuracy_by_length`; training never sees their seeds.
"""

from __future__ import annotations

from ebm_ocr import (
    TrainConfig,
    accuracy_by_length,
    forward_loss,
    prepare,
    train_from_scratch,
    train_gtn_model,
)

SEEDS = (0, 1, 2)


def main() -> None:
    """Train both ways with every seed and print a table."""
    config = TrainConfig()
    print(config)
    for seed in SEEDS:
        reader, history = train_from_scratch(seed, config)
        _report("best path", seed, accuracy_by_length(reader), history.seconds[-1])
        reader, loader, optimizer, schedule = prepare(seed, config)
        history = train_gtn_model(
            reader, config.epochs, loader, forward_loss, optimizer, schedule=schedule
        )
        _report("all paths", seed, accuracy_by_length(reader), history.seconds[-1])


def _report(loss: str, seed: int, accuracy: dict[int, float], seconds: float) -> None:
    """One line of the table."""
    columns = "  ".join(f"{length}: {value:.3f}" for length, value in accuracy.items())
    print(f"{loss}, seed {seed}, trained {seconds:4.1f} s   {columns}", flush=True)


if __name__ == "__main__":
    main()
