"""The recipe: what is broken off goes on to the same bits."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from ebm_ocr.reader import recipe as module
from ebm_ocr.reader.checkpoint import latest, read_checkpoint
from ebm_ocr.reader.fonts import default_face
from ebm_ocr.reader.reading import Reader, from_weights
from ebm_ocr.reader.recipe import (
    ASCII,
    BUCKET,
    Buckets,
    Material,
    Recipe,
    Training,
    finish,
    train_reader,
)
from ebm_ocr.reader.words import Words

MATERIAL = Material({"train": [default_face()], "development": [default_face()], "test": []})
SMALL = Recipe(words=64, batch=4, channels=(4, 4, 4, 8), depth=1)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(module, "REPORT", 24)
    monkeypatch.setattr(module, "JUDGED", 8)


def weights(training):
    return torch.cat([weight.flatten() for weight in training.network.parameters()])


@pytest.mark.parametrize("workers", [0, 1])
def test_a_training_that_was_broken_off_goes_on_to_the_same_bits(small, tmp_path, workers):
    said = []
    whole = train_reader(SMALL, MATERIAL, tmp_path / "whole", workers=0, say=said.append)
    assert [report.words for report in said] == [24, 48, 64]
    assert whole.step == 16

    def stop(report):
        if report.words == 24:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_reader(SMALL, MATERIAL, tmp_path / "parts", workers=workers, say=stop)
    assert latest(tmp_path / "parts").name == "step-00000006.safetensors"
    rest = []
    parts = train_reader(SMALL, MATERIAL, tmp_path / "parts", workers=workers, say=rest.append)
    assert torch.equal(weights(parts), weights(whole))
    assert [r._replace(seconds=0) for r in parts.reports] == [r._replace(seconds=0) for r in said]
    assert len(rest) == 2
    kept = [read_checkpoint(latest(tmp_path / name)).tensors for name in ("whole", "parts")]
    assert all(torch.equal(kept[0][name], kept[1][name]) for name in kept[0])


KILLED = """
import sys
from pathlib import Path
from ebm_ocr.reader import recipe as module
from ebm_ocr.reader.fonts import default_face
module.REPORT, module.JUDGED = 8, 8
faces = {"train": [default_face()], "development": [default_face()], "test": []}
material = module.Material(faces)
recipe = module.Recipe(words=64, batch=4, channels=(4, 4, 4, 8), depth=1)
module.train_reader(recipe, material, Path(sys.argv[1]), workers=0, say=lambda _: None)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9")
def test_kill_9_at_any_moment_loses_nothing(tmp_path):
    def run(folder):
        return subprocess.Popen([sys.executable, "-c", KILLED, str(folder)])

    assert run(tmp_path / "whole").wait() == 0
    parts = tmp_path / "parts"
    for _ in range(3):
        child, seen = run(parts), latest(parts)
        while child.poll() is None and latest(parts) == seen:
            time.sleep(0.005)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    assert run(parts).wait() == 0
    kept = [read_checkpoint(latest(tmp_path / name)).tensors for name in ("whole", "parts")]
    assert all(torch.equal(kept[0][name], kept[1][name]) for name in kept[0])


def test_a_run_goes_on_longer_but_not_with_another_recipe(small, tmp_path):
    train_reader(SMALL, MATERIAL, tmp_path, workers=0, say=lambda _: None)
    longer = Recipe(words=72, batch=4, channels=(4, 4, 4, 8), depth=1)
    assert train_reader(longer, MATERIAL, tmp_path, workers=0, say=lambda _: None).step == 18
    other = Recipe(words=72, batch=4, channels=(4, 4, 4, 8), depth=1, learning_rate=1.0)
    with pytest.raises(ValueError, match=r"was begun with: learning_rate=0\.002"):
        train_reader(other, MATERIAL, tmp_path, workers=0)


def test_a_run_may_begin_with_the_weights_of_another(small, tmp_path):
    first = train_reader(SMALL, MATERIAL, tmp_path / "first", workers=0, say=lambda _: None)
    begun = Training.begin(SMALL, init=Reader(first.network))
    assert torch.equal(weights(begun), weights(first))
    assert begun.step == 0
    other = Recipe(words=4, batch=4, channels=(4, 4, 4, 8), depth=2)
    with pytest.raises(ValueError, match=r"begin with of .* depth 2"):
        Training.begin(other, init=Reader(first.network))


def test_without_faces_there_is_nothing_to_train_with(tmp_path):
    with pytest.raises(ValueError, match="develop on, got 1 and 0"):
        train_reader(SMALL, Material({**MATERIAL.faces, "development": []}), tmp_path)


def test_buckets_hold_each_word_once_and_depend_on_their_number_alone():
    words = Words([default_face()], 0)
    one, again = (Buckets(words, 4)[3] for _ in range(2))
    numbers = range(3 * 4 * BUCKET, 4 * 4 * BUCKET)
    texts = sorted(text for batch in one for text in batch.texts)
    assert set(texts) <= {words.sample(number).text for number in numbers}
    assert len(texts) > 0.97 * 4 * BUCKET
    assert all(torch.equal(a.strips, b.strips) for a, b in zip(one, again))
    spread = [int(batch.lengths.max() - batch.lengths.min()) for batch in one]
    assert np.mean(spread) < 6


def test_targets_are_the_texts():
    for batch in Buckets(Words([default_face()], 1), 4)[0]:
        for target, size, text in zip(batch.targets, batch.target_lengths, batch.texts):
            symbols = target[:size:2].tolist()
            assert "".join(ASCII.names[symbol] for symbol in symbols) == text


def test_the_rate_goes_up_stays_and_falls():
    recipe = Recipe(words=16_000)
    rates = [recipe.rate(step) for step in range(recipe.steps)]
    assert max(rates) == recipe.learning_rate
    assert rates[0] <= recipe.learning_rate
    assert rates[recipe.steps // 5] == recipe.learning_rate > rates[recipe.steps // 2]
    assert rates[-1] < 0.01 * recipe.learning_rate


def test_weights_know_alphabet_geometry_and_how_they_came_about(small, tmp_path):
    training = train_reader(SMALL, MATERIAL, tmp_path, workers=0, say=lambda _: None)
    checkpoint = finish(training, MATERIAL)
    assert checkpoint.about["recipe"]["words"] == 64
    assert len(checkpoint.about["reports"]) == 3
    reader = from_weights(checkpoint, "some")
    assert reader.alphabet == ASCII
    assert reader.beta == checkpoint.about["beta"] > 0
    assert all(tensor.dtype is torch.float16 for tensor in checkpoint.tensors.values())
