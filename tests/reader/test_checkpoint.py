"""Checkpoints: whole or not at all, and never a pickle."""

import pickle

import pytest
import torch

from ebm_ocr.reader import checkpoint
from ebm_ocr.reader.checkpoint import Checkpoint, keep, latest, read_checkpoint, write_checkpoint

SOME = Checkpoint(
    {"a": torch.arange(3.0), "b.c": torch.zeros(2, 2).half()}, {"step": 7, "x": [1.5]}
)


def test_what_was_written_is_read(tmp_path):
    write_checkpoint(tmp_path / "new" / "some.safetensors", SOME)
    tensors, about = read_checkpoint(tmp_path / "new" / "some.safetensors")
    assert about == SOME.about
    assert all(torch.equal(tensors[name], SOME.tensors[name]) for name in SOME.tensors)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["some.safetensors"]


def test_the_last_two_are_kept(tmp_path):
    assert latest(tmp_path) is None
    for step in (9, 10, 200):
        keep(tmp_path, step, SOME)
    assert latest(tmp_path).name == "step-00000200.safetensors"
    assert len([*tmp_path.iterdir()]) == 2


def test_a_write_that_fails_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "some.safetensors"
    write_checkpoint(path, SOME)
    before = path.read_bytes()

    def full(tensors, file, header):
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint(path, SOME._replace(about={}))
    assert path.read_bytes() == before
    assert len([*tmp_path.iterdir()]) == 1


def test_what_is_no_checkpoint_says_so(tmp_path):
    path = tmp_path / "some.safetensors"
    with pytest.raises(FileNotFoundError, match="expected a checkpoint, found none"):
        read_checkpoint(path)
    write_checkpoint(path, SOME)
    whole = path.read_bytes()
    for content in (pickle.dumps([1]), whole[:-3], b"", b"\xff" * 40):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"expected a checkpoint of ebm_ocr \(safetensors\)"):
            read_checkpoint(path)
