"""The benchmark compares like with like."""

import json
import math
import random
import re
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import accuracy, alignment, losses, reading
from benchmarks.alignment import BETWEEN, CLASSES, contenders, interleave, make_inputs
from benchmarks.homework import compare, loop_find_path, loop_train
from ebm_ocr import (
    ALPHABET_SIZE,
    LETTERS,
    TrainConfig,
    find_path,
    forward_loss,
    free_energy,
    lexicon_energies,
    normalise,
    path_cross_entropy,
    prepare,
    spell,
    train_ebm_model,
    transform_word,
)

TINY = TrainConfig(words=40, epochs=1)


def test_student_finds_the_same_paths():
    for seed in range(20):
        matrix = torch.randn(9, 4, generator=torch.Generator().manual_seed(seed))
        assert loop_find_path(matrix) == find_path(matrix).points


def test_both_trainings_end_with_the_same_weights():
    first, loader, optimizer, schedule = prepare(0, TINY)
    loop_train(first, 1, loader, optimizer, schedule)
    second, loader, optimizer, schedule = prepare(0, TINY)
    train_ebm_model(second, 1, loader, path_cross_entropy, optimizer, schedule=schedule)
    for ours, theirs in zip(first.parameters(), second.parameters()):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-3)  # Adam magnifies rounding


def test_table_has_a_row_for_each():
    rows = compare(TINY, seed=0, test_words=20)
    assert [row.name for row in rows] == ["Python loops", "ebm_ocr"]
    assert rows[1].seconds < rows[0].seconds
    assert rows[0].accuracy == pytest.approx(rows[1].accuracy)


def test_engine_and_peers_are_given_the_same_words():
    data = make_inputs(3, 14, 4)
    ours = free_energy(data.energies, data.targets, data.windows, data.symbols, 1.0, "optional")
    scores = -data.energies.transpose(0, 1)
    lengths = data.windows, data.symbols // 2
    theirs = torch.nn.functional.ctc_loss(
        scores, data.letters, *lengths, blank=BETWEEN, reduction="none"
    )
    torch.testing.assert_close(ours, theirs)
    assert data.energies.shape == (3, 14, CLASSES)


def test_every_contender_is_timed_and_missing_ones_are_left_out(monkeypatch):
    def missing(_):
        raise ImportError

    # its threads would be in the way of tests that fork
    monkeypatch.setattr(alignment, "_optax", missing)
    calls = contenders(make_inputs(3, 14, 4))
    assert {"viterbi", "free energy + gradient", "ctc_loss"} <= set(calls)
    assert "optax.ctc_loss" not in calls
    times = interleave(calls, rounds=1, row=1)
    assert set(times) == set(calls)
    assert all(seconds > 0 for seconds in times.values())


@pytest.mark.parametrize("way", accuracy.WAYS)
def test_ways_of_training_are_compared_on_one_start(way):
    found = accuracy.run(way, 0, TINY, test_words=2)
    assert len(found["accuracy"]) == TINY.epochs
    assert list(found["read"]) == [str(length) for length in range(2, 13)]
    assert 0 <= found["named"] < 170 / 26  # windows of the alphabet


@pytest.mark.parametrize("name", ["hinge", "NLL (CRF)"])
def test_losses_are_trained_and_read(name):
    found = losses.run(name, 0, TINY, test_words=2)
    assert 0 <= found.worst <= found.exact <= 1
    assert found.passes == math.inf
    assert math.isfinite(found.level)
    assert math.isfinite(found.gap)


def test_table_of_losses_shows_spread_and_what_never_happened():
    one = losses.Run(1.0, 0.5, 0.9, 7.0, -3.0, 2.0, 1.0, {})
    two = one._replace(exact=0.8, passes=math.inf)
    row = losses.table({"hinge": [one, two]})[-1]
    assert row == "| hinge | 90.0% (80.0%..100.0%) | 90.0% | 50.0% | 7, 1 never | -3 | 2 | 1 |"
    assert losses.spread((math.inf, math.inf), "{:.0f}") == "never"


def test_all_eleven_losses_are_in_the_benchmark():
    from ebm_ocr import losses as functions

    source = Path(functions.__file__).read_text(encoding="utf-8")
    used = {name for loss, _ in losses.RUNS.values() for name in loss.__code__.co_names}
    assert used >= set(re.findall(r"^def (\w+_loss)\(good", source, re.M))


def test_ranking_words_is_faster_than_one_by_one():
    """All paths counted or only the best, beside the engine in the same run on any machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert losses.ranking_time(words=100).keys() == {"beta = inf", "beta = 1"}
        draw = random.Random(0)
        words = ["".join(draw.choices(LETTERS, k=draw.randint(2, 12))) for _ in range(5_000)]
        targets, lengths = spell(words)
        one = normalise(torch.randn(1, 64, 27))
        each = one.expand(len(words), -1, -1)
        for beta in (math.inf, 1.0):
            calls = {
                "lexicon": lambda beta=beta: lexicon_energies(one, words, beta=beta),
                "one by one": lambda beta=beta: free_energy(each, targets, None, lengths, beta),
            }
            best = dict.fromkeys(calls, math.inf)
            for _ in range(8):  # by turns, so that what else runs slows both
                for name, call in calls.items():
                    start = time.perf_counter()
                    call()
                    best[name] = min(best[name], time.perf_counter() - start)
            assert best["lexicon"] < 1.5 * best["one by one"]  # measured: 0.5 and 0.8 of it
    finally:
        torch.set_num_threads(threads)


def test_a_begun_loss_counts_the_paths_that_begin_with_a_letter():
    energies = torch.randn(3, 6, ALPHABET_SIZE, dtype=torch.float64)
    targets = transform_word("ab").expand(3, -1)
    begins_empty = (-normalise(energies)[:, 0, BETWEEN]).exp()  # and then any path of the rest
    goes_on = (-forward_loss(energies[:, 1:], targets)).exp()
    begun = (-forward_loss(energies, targets)).exp() - begins_empty * goes_on
    torch.testing.assert_close((-accuracy.begun_loss(energies, targets)).exp(), begun)


def test_readers_are_judged_on_what_is_written(tmp_path, monkeypatch):
    image = np.full((32, 40), 255, np.uint8)
    image[8:24, 10:14] = 0
    about = [{"name": "some", "texts": ["l", "x"], "lower": True}]
    about += [{"name": "any", "texts": ["L", "l"], "lower": False}]
    np.savez(
        tmp_path / "sets.npz",
        about=json.dumps(about),
        **dict.fromkeys(["1_0", "1_1", "0_0"], image),
        **{"0_1": 255 - image},
    )
    seen = []

    def contender():
        def read(images, lower):
            seen.extend(images)
            return ["L " if lower else "L"] * len(images)

        return read, 1.5

    monkeypatch.setitem(reading.CONTENDERS, "some", contender)
    found = reading.judge("some", tmp_path / "sets.npz")
    assert found["exact"] == {"some": 0.5, "any": 0.5}  # a-z: capitals and spaces are forgiven
    assert found["case_apart"] == 1
    assert found["megabytes"] == 1.5
    assert found["words_a_second"] > 0 < found["ms_alone"]
    assert all(np.array_equal(one, image) for one in seen)  # dark on light, for peers
    sets = [reading.TestSet("some", [image, image], ["l", "x"], True)]
    monkeypatch.setattr(reading, "RESULTS", tmp_path)
    monkeypatch.setattr(reading, "draw", lambda *_: None)
    reading.write_results(sets, {"some": found})
    assert "| some | 50.0 | 1.5 |" in (tmp_path / "reading.md").read_text(encoding="utf-8")


def test_a_crop_holds_the_ink_and_paper_around_it():
    image = np.full((32, 40), 200, np.uint8)
    image[8:24, 10:14] = 0
    part = reading.cropped(image, (10, 8, 14, 24), 3)
    assert part.shape == (16 + 6, 4 + 6)
    assert (part[3:-3, 3:-3] == 0).all()
    assert part.min(0)[0] == part.min(1)[0] == 200
    edge = reading.cropped(image, (0, 0, 40, 32), 2)
    assert edge.shape == (36, 44)
