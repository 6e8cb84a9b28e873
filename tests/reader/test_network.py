"""The network of the reader: its size, and that nothing beside a word changes it."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ebm_ocr.reader.network import ASCII, MARGIN, ReaderNet, batch_strips, standardise


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return ReaderNet().eval()


def test_it_is_small(network):
    assert sum(weight.numel() for weight in network.parameters()) <= 450_000
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 1, 32, 128 + 2 * MARGIN))
    assert counter.get_total_flops() / 2 <= 25e6


def test_there_is_no_batch_norm(network):
    assert not any("BatchNorm" in type(part).__name__ for part in network.modules())


def test_a_strip_alone_is_read_as_in_any_batch(network):
    torch.manual_seed(1)
    strips = [torch.rand(32, width) for width in (40, 91, 17, 130)]
    with torch.inference_mode():
        together = network(*batch_strips(strips))
        for row, strip in zip(together, strips):
            energies = network(batch_strips([strip])[0])[0]
            torch.testing.assert_close(row[: len(energies)], energies, rtol=1e-4, atol=1e-5)
            assert len(energies) == strip.shape[1] // 2


def test_the_separator_is_no_symbol():
    assert ASCII.size == 95
    assert "_" in ASCII.symbols
    assert ASCII.sign not in ASCII.symbols


def test_level_contrast_and_polarity_do_not_count():
    strip = torch.ones(32, 60)
    strip[8:20, 10:14] = 0
    for other in (1 - strip, 0.3 + 0.2 * strip, 0.9 - 0.5 * strip):
        torch.testing.assert_close(standardise(other), standardise(strip), rtol=1e-4, atol=1e-4)
    assert standardise(strip).max() > 0
    assert standardise(torch.full((32, 9), 0.4)).eq(0).all()
