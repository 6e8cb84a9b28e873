"""What a training leaves behind."""

import torch

from ebm_ocr import History


def test_it_goes_through_a_file_as_plain_data(tmp_path):
    history = History([2.0, 1.0], [0.5, 1.0], [3.0, 2.0], [0.0, 1.0], [1.0, 2.0])
    torch.save(history._asdict(), tmp_path / "history.pt")
    assert History(**torch.load(tmp_path / "history.pt", weights_only=True)) == history
