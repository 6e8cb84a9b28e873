"""What is kept of a training: tensors in safetensors, everything else as JSON in their header.

A checkpoint is written beside its place and then moved there, so that there is never half of one.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

KEPT = 2
"""Checkpoints of a run that stay."""


class Checkpoint(NamedTuple):
    """Tensors by name, and what else is to be known, as plain data."""

    tensors: dict[str, Tensor]
    about: dict[str, Any]


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all.

    Raises:
        OSError: the disk is full, the folder cannot be written.
    """
    tensors = {name: tensor.contiguous() for name, tensor in checkpoint.tensors.items()}
    header = {name: json.dumps(value) for name, value in checkpoint.about.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(tensors, beside, header)
        with beside.open("rb") as written:
            os.fsync(written.fileno())
        beside.replace(path)
    except SafetensorError as error:
        raise OSError(f"could not write {str(path)!r}: {error}") from error
    finally:
        beside.unlink(missing_ok=True)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is none: a pickle, cut short, or another program's.
    """
    if not path.is_file():
        raise FileNotFoundError(f"expected a checkpoint, found none at {str(path)!r}")
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            header = file.metadata() or {}
        return Checkpoint(tensors, {name: json.loads(value) for name, value in header.items()})
    except (SafetensorError, json.JSONDecodeError) as error:
        raise ValueError(
            f"expected a checkpoint of ebm_ocr (safetensors), could not read {str(path)!r}: {error}"
        ) from error


def latest(folder: Path) -> Path | None:
    """The last whole checkpoint of a run."""
    return max(folder.glob("step-*.safetensors"), default=None)


def keep(folder: Path, step: int, checkpoint: Checkpoint) -> Path:
    """Write the checkpoint of a step, and remove all but the last ``KEPT``."""
    path = folder / f"step-{step:08}.safetensors"
    write_checkpoint(path, checkpoint)
    for old in sorted(folder.glob("step-*.safetensors"))[:-KEPT]:
        old.unlink()
    return path
