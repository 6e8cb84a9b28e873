"""Which windows see which pixels."""

import torch

from ebm_ocr import (
    count_windows,
)


def test_count_windows():
    assert count_windows(18) == 1
    assert count_windows(torch.tensor([18, 19, 20, 36])).tolist() == [1, 1, 2, 10]
