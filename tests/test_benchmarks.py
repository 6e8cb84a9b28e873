"""The benchmark compares like with like."""

import pytest
import torch

from benchmarks.homework import compare, loop_find_path, loop_train
from ebm_ocr import TrainConfig, find_path, path_cross_entropy, prepare, train_ebm_model

TINY = TrainConfig(words=40, epochs=1)


def test_student_finds_the_same_paths():
    for seed in range(20):
        matrix = torch.randn(9, 4, generator=torch.Generator().manual_seed(seed))
        assert loop_find_path(matrix) == find_path(matrix).points


def test_both_trainings_end_with_the_same_weights():
    first, loader, optimizer = prepare(0, TINY)
    loop_train(first, 1, loader, optimizer)
    second, loader, optimizer = prepare(0, TINY)
    train_ebm_model(second, 1, loader, path_cross_entropy, optimizer)
    for ours, theirs in zip(first.parameters(), second.parameters()):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-3)  # Adam magnifies rounding


def test_table_has_a_row_for_each():
    rows = compare(TINY, seed=0, test_words=20)
    assert [row.name for row in rows] == ["Python loops", "ebm_ocr"]
    assert rows[1].seconds < rows[0].seconds
    assert rows[0].accuracy == pytest.approx(rows[1].accuracy)
