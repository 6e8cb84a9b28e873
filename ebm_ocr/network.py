"""Image to energies: a convolutional network that looks through a sliding window."""

from __future__ import annotations

from torch import Tensor, nn

from .alphabet import ALPHABET_SIZE
from .windows import HEIGHT, WINDOW


def check_images(images: Tensor) -> Tensor:
    """Return ``images`` if the network can look at them.

    Args:
        images: (B, 1, 32, W) floats in [0, 1], ink is 1, at least one window of 18 px wide.

    Raises:
        TypeError: not a floating-point tensor.
        ValueError: wrong rank, height or width, no image at all, or values outside [0, 1] (NaN included).
    """
    if not isinstance(images, Tensor) or not images.is_floating_point():
        raise TypeError(f"expected a float tensor of images, got {getattr(images, 'dtype', type(images).__name__)}")
    shape = tuple(images.shape)
    if images.dim() != 4 or shape[1:3] != (1, HEIGHT):
        raise ValueError(f"expected images (B, 1, {HEIGHT}, W), got {shape}")
    if shape[0] == 0 or shape[3] < WINDOW:
        raise ValueError(f"expected at least one image, at least {WINDOW} px wide, got {shape}")
    lowest, highest = images.aminmax()
    if not (lowest >= 0 and highest <= 1):
        raise ValueError(f"expected pixel values in [0, 1], got {lowest.item():.3g}..{highest.item():.3g}")
    return images


class SimpleNet(nn.Module):
    """Energies of every window and class.

    Input (B, 1, 32, W) in [0, 1], output (B, L, 27) with ``L = count_windows(W)``; lower is better. No layer pads
    sideways, so window ``l`` depends on the pixels ``2 l .. 2 l + 17`` and on nothing else: what lies beside a
    word never changes how it is read.

    Args:
        channels: width of the first layer; the others follow from it.
    """

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self.layers = nn.Sequential(  # comments: what is left of a window, high x wide
            nn.Conv2d(1, channels, kernel_size=4, stride=2, padding=(1, 0)),  # 16 x 8
            nn.ReLU(),
            nn.Conv2d(channels, 2 * channels, kernel_size=4, stride=(2, 1), padding=(1, 0)),  # 8 x 5
            nn.ReLU(),
            nn.Conv2d(2 * channels, 6 * channels, kernel_size=(HEIGHT // 4, 5)),  # 1 x 1
            nn.ReLU(),
            nn.Conv2d(6 * channels, ALPHABET_SIZE, kernel_size=1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, 32, W) images to (B, L, 27) energies. Bad images raise, see :func:`check_images`."""
        return self.layers(check_images(images)).squeeze(2).transpose(1, 2)
