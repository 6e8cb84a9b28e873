"""A strip to energies: the homework's sliding window, deeper, and with a look at its neighbours."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..alphabet import Alphabet
from ..geometry import STRIDE, WINDOW
from .fonts import PRINTABLE

MARGIN = (WINDOW - STRIDE) // 2
"""Pixels of paper on either side of a strip, which so has a window for each two of its own."""
ASCII = Alphabet(PRINTABLE, sign="·")
"""The 94 printable symbols of ASCII; ``_`` is one of them, so the separator is shown otherwise."""


class ReaderNet(nn.Module):
    """Energies of every window and class, for words in any font.

    Input (B, 1, 32, W + 2 MARGIN) strips as :func:`batch_strips` makes them, output (B, L, C) with
    ``L = W // 2``; lower is better. Four convolutions see a window of 18 pixels, two pixels apart,
    as in the homework; residual blocks then let each window look at ``3 * depth`` neighbours to
    either side. No layer mixes samples, and beyond a strip's own windows its neighbours are 0, so
    what lies beside a word, or in another sample, never changes how it is read.

    >>> ReaderNet()(*batch_strips([torch.rand(32, 60), torch.rand(32, 41)])).shape
    torch.Size([2, 30, 95])

    Args:
        channels: of the four convolutions.
        depth: residual blocks.
        alphabet: what the C classes are.
    """

    def __init__(
        self,
        channels: tuple[int, int, int, int] = (24, 32, 64, 128),
        depth: int = 3,
        alphabet: Alphabet = ASCII,
    ) -> None:
        super().__init__()
        self.alphabet, self.channels = alphabet, channels
        first, *middle, last = channels
        layers: list[nn.Module] = [nn.Conv2d(1, first, 6, stride=STRIDE), nn.ReLU()]
        for before, after in pairwise([first, *middle]):  # half as high, as wide
            layers += [nn.Conv2d(before, after, 3, stride=(2, 1), padding=(1, 0)), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(middle[-1], last, (4, 3)), nn.ReLU())
        self.blocks = nn.ModuleList(Neighbours(last) for _ in range(depth))
        self.head = nn.Linear(last, alphabet.size)
        for weight in self.layers.parameters():
            if weight.dim() > 1:
                nn.init.kaiming_normal_(weight, nonlinearity="relu")
            else:
                nn.init.zeros_(weight)
        # the order in memory with which a CPU takes less time; contiguous() would skip one channel
        self.layers.to(memory_format=torch.channels_last)

    def forward(self, strips: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, L, C) energies.

        Args:
            strips: (B, 1, 32, W + 2 MARGIN), standardised, 0 beyond each one's own width.
            lengths: (B,) windows of each strip; default all.
        """
        features = self.layers(strips).squeeze(2).transpose(1, 2)
        inside = None
        if lengths is not None:
            places = torch.arange(features.shape[1], device=features.device)
            inside = (places < lengths[:, None])[:, :, None]
        for block in self.blocks:
            features = block(features, inside)
        return self.head(features)


class Neighbours(nn.Module):
    """What a window sees in the light of three to either side, added to what it sees."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.along = nn.Conv1d(channels, channels, 7, padding=3, groups=channels)
        self.mix = nn.Linear(channels, channels)

    def forward(self, features: Tensor, inside: Tensor | None) -> Tensor:
        """(B, L, channels) from the same; ``inside`` (B, L, 1) says which windows count."""
        seen = self.norm(features)
        if inside is not None:
            seen = seen.where(inside, 0)
        seen = self.along(seen.transpose(1, 2)).transpose(1, 2)
        return features + functional.relu(self.mix(seen))


def standardise(strip: Tensor) -> Tensor:
    """Paper 0, ink positive, standard deviation 1; a strip of one colour is all 0.

    Paper is the median, ink the side to which the pixels lean.

    >>> standardise(torch.tensor([[1.0, 1.0, 0.0, 1.0, 1.0]]))
    tensor([[-0.0000, -0.0000, 2.5000, -0.0000, -0.0000]])

    Args:
        strip: (H, W) floats, either polarity.
    """
    values = strip.numpy().ravel()
    middle = (len(values) - 1) // 2
    away = values - np.partition(values, middle)[middle]
    spread = math.sqrt(max(0.0, float(away @ away) / len(away) - float(away.mean()) ** 2))
    if not spread > 1e-3:
        return torch.zeros_like(strip)
    lean = float(away @ (away * away))
    return torch.from_numpy(away / np.float32(spread if lean >= 0 else -spread)).view(strip.shape)


def batch_strips(strips: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Strips (32, w) in [0, 1], each standardised alone, side by side in a batch.

    Returns:
        (B, 1, 32, W + 2 MARGIN), 0 around and beyond each; (B,) windows of each.
    """
    lengths = torch.tensor([strip.shape[1] // STRIDE for strip in strips])
    height, widest = strips[0].shape[0], STRIDE * int(lengths.max())
    batch = torch.zeros(len(strips), height, widest + 2 * MARGIN, 1).movedim(3, 1)
    for placed, strip, length in zip(batch[:, 0], strips, lengths.tolist()):
        width = STRIDE * length
        placed[:, MARGIN : MARGIN + width] = standardise(strip)[:, :width]
    return batch, lengths
