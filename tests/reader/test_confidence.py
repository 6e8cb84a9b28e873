"""The temperature of confidences."""

import torch

from ebm_ocr import Alphabet
from ebm_ocr.reader.confidence import fit_beta


def test_energies_that_are_too_sure_are_warmed_and_others_cooled():
    torch.manual_seed(0)
    alphabet = Alphabet("ab")
    logits = torch.randn(400, 1, 3, dtype=torch.float64)
    drawn = torch.distributions.Categorical(logits=logits[:, 0]).sample()
    texts = [["", "a", "b"][(int(k) + 1) % 3] for k in drawn]
    energies, lengths = -logits, torch.ones(400, dtype=torch.int64)
    assert 0.8 < fit_beta([energies], [texts], [lengths], alphabet) < 1.25
    assert 0.4 < fit_beta([2 * energies], [texts], [lengths], alphabet) < 0.6
