"""The sliding window."""

import pytest
import torch

from ebm_ocr import STRIDE, WINDOW, SimpleNet, count_windows


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return SimpleNet().double()


@pytest.mark.parametrize("width", [18, 19, 20, 90, 340])
def test_one_row_of_energies_a_window(net, width):
    energies = net(torch.rand(3, 1, 32, width, dtype=torch.float64))
    assert energies.shape == (3, count_windows(width), 27)


def test_each_window_sees_its_own_pixels_only(net):
    images = torch.rand(1, 1, 32, 60, dtype=torch.float64)
    energies = net(images)[0]
    for window in range(energies.shape[0]):
        alone = net(images[..., STRIDE * window : STRIDE * window + WINDOW])[0, 0]
        torch.testing.assert_close(alone, energies[window])


def test_same_energies_alone_and_in_a_padded_batch(net):
    image = torch.rand(1, 1, 32, 40, dtype=torch.float64)
    padded = torch.nn.functional.pad(image, (0, 50))
    alone = net(image)
    torch.testing.assert_close(
        net(torch.cat([padded, torch.rand_like(padded)]))[:1, : alone.shape[1]], alone
    )


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (torch.zeros(32, 18), ValueError, r"\(32, 18\)"),
        (torch.zeros(1, 32, 18), ValueError, r"\(1, 32, 18\)"),
        (torch.zeros(1, 1, 31, 18), ValueError, "31"),
        (torch.zeros(1, 3, 32, 18), ValueError, "3"),
        (torch.zeros(1, 1, 32, 17), ValueError, "18 px wide"),
        (torch.zeros(0, 1, 32, 18), ValueError, "at least one image"),
        (torch.full((1, 1, 32, 18), 255.0), ValueError, r"\[0, 1\], got 255"),
        (torch.full((1, 1, 32, 18), -0.5), ValueError, "-0.5"),
        (torch.full((1, 1, 32, 18), torch.nan), ValueError, "nan"),
        (torch.zeros(1, 1, 32, 18, dtype=torch.uint8), TypeError, "uint8"),
        ("image", TypeError, "str"),
    ],
)
def test_bad_images_are_refused(images, error, message):
    with pytest.raises(error, match=message):
        SimpleNet()(images)
