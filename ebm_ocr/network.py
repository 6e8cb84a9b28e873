"""Image to energies: a network that looks through a sliding window; and how any one is run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import torch
import torch.fx
from torch import Tensor, nn

from .alphabet import LATIN, Alphabet
from .geometry import HEIGHT, STRIDE, WINDOW
from .validation import FLOATS, can_look_at, check_floats, whole_number

COLUMN = 6
"""Pixels that the first layer sees at a time, across; a window is made of such columns."""


def check_images(images: Tensor) -> Tensor:
    """Return ``images`` if the network can look at them.

    Args:
        images: (B, 1, 32, W) floats in [0, 1], ink is 1, at least one window of 18 px wide.

    Raises:
        TypeError: not a floating-point tensor.
        ValueError: wrong rank, height or width, no image at all, or values outside [0, 1] (NaN
            included); values are not looked at where a call is traced or simulated.
    """
    check_floats("images", images)
    shape = tuple(images.shape)
    if images.dim() != 4 or shape[1:3] != (1, HEIGHT):
        raise ValueError(f"expected images (B, 1, {HEIGHT}, W), got {shape}")
    if shape[0] == 0 or shape[3] < WINDOW:
        raise ValueError(f"expected at least one image, at least {WINDOW} px wide, got {shape}")
    if can_look_at(images):
        lowest, highest = images.aminmax()
        if not (lowest >= 0 and highest <= 1):
            span = f"{lowest.item():.3g}..{highest.item():.3g}"
            raise ValueError(f"expected pixel values in [0, 1], got {span}")
    return images


torch.fx.wrap("check_images")  # a call of its own in a graph: symbols have no shape to look at


class SimpleNet(nn.Module):
    """Energies of every window and class.

    Input (B, 1, 32, W) in [0, 1], output (B, L, C) with ``L = count_windows(W)``; lower is better.
    No layer pads, so window ``l`` depends on the pixels ``2 l .. 2 l + 17`` and on nothing else:
    what lies beside a word never changes how it is read.

    Weights start as He et al. 2015 have it (equation 10), biases at 0, but that of the separator at
    -1: in words it is by far the most common class.

    >>> SimpleNet()(torch.zeros(2, 1, 32, 60)).shape
    torch.Size([2, 22, 27])

    Args:
        channels: kinds of strokes that the first layer tells apart; the second has twice as many.
        alphabet: what its C classes are; kept as ``alphabet``.

    Raises:
        TypeError, ValueError: channels that are no whole number, or below 1.
    """

    def __init__(self, channels: int = 32, alphabet: Alphabet = LATIN) -> None:
        super().__init__()
        self.alphabet = alphabet
        channels = whole_number("channels", channels, 1)
        columns = (WINDOW - COLUMN) // STRIDE + 1
        self.layers = nn.Sequential(
            nn.Conv2d(1, channels, (HEIGHT, COLUMN), stride=(1, STRIDE)),  # strokes in a column
            nn.ReLU(),
            nn.Conv2d(channels, 2 * channels, (1, columns)),  # the seven columns of a window
            nn.ReLU(),
            nn.Conv2d(2 * channels, alphabet.size, 1),
        )
        *weights, last = self.parameters()
        for weight in weights:
            if weight.dim() > 1:
                nn.init.kaiming_normal_(weight, nonlinearity="relu")
                # the order in memory with which a step takes a fifth less time on a CPU
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
            else:
                nn.init.zeros_(weight)
        with torch.no_grad():
            last.zero_()[alphabet.separator] = -1.0  # the last layer's bias

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, 32, W) images to (B, L, C) energies. Errors: see :func:`check_images`."""
        if not (torch.jit.is_scripting() or torch.jit.is_tracing()):
            check_images(images)
        return self.layers(images).squeeze(2).transpose(1, 2)


def to_model(model: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Images where a network's weights are and of their type; as they are for one without."""
    weights = [*model.parameters(), *model.buffers()] if isinstance(model, nn.Module) else []
    like = next((weight for weight in weights if weight.dtype in FLOATS), None)
    return images if like is None else images.to(like.device, like.dtype)


def alphabet_of(model: Callable[[Tensor], Tensor]) -> Alphabet | None:
    """The alphabet that a network carries; None says that it carries none."""
    found = getattr(model, "alphabet", None)
    return found if isinstance(found, Alphabet) else None


@contextmanager
def in_mode(model: Callable[[Tensor], Tensor], training: bool) -> Iterator[None]:
    """Hold a network in training or evaluation mode, then put back each module as it was.

    A network that is to train and is in training mode already is left alone: modules in it that
    are frozen stay so. What has no modes (functions, frozen and exported programs) is used as it
    is.
    """
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    modes = [(module, module.training) for module in modules if hasattr(module, "training")]
    if not modes or (training and modes[0][1]):
        yield
        return
    whole = modes[0][0]
    with suppress(NotImplementedError):  # exported
        whole.train(training)
    try:
        yield
    finally:
        with suppress(NotImplementedError):
            whole.train(modes[0][1])  # a module may do more here than set its flag
        for module, mode in modes:
            module.training = mode


def lowest_class(energies: Tensor) -> Tensor:
    """(..., C) energies to (...) the class of the lowest.

    Raises:
        ValueError: no lowest one, because of NaN or because all are inf.
    """
    lowest, classes = energies.min(-1)
    if not (lowest < math.inf).all():
        raise ValueError("expected energies with a lowest class, got NaN or nothing but inf")
    return classes
