"""What happens to ink on its way through a printer and a camera.

Each sample draws its parameters and its noise from a generator of its own, so it is the same in any
batch and any process. The batch applies them together: one resampling by a field for each sample
(scale, rotation, shear, perspective, elastic warp), one blur by kernels for each sample.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

HEIGHT = 32
"""Pixels of a strip."""
WARP_ROWS, WARP_STEP = 3, 24
"""Knots of the elastic field: rows of it, and pixels between its columns."""
BLUR = 4
"""Pixels that a blur reaches to either side."""
FOLLOWED = 4
"""Steps to the place in the strip that a point of the ink goes to: then within 0.1 pixels."""
Rng = np.random.Generator


@dataclass(frozen=True)
class Limits:
    """The most that may happen; every sample draws evenly up to it, or does without."""

    rotation: float = 3.0
    """Degrees to either side."""
    shear: float = 0.2
    perspective: float = 0.15
    """Change of scale from one end of the word to the other."""
    warp: float = 1.5
    """Pixels that a knot of the elastic field moves, as standard deviation."""
    blur: float = 1.4
    """Standard deviation of the blur, in pixels, along and across."""
    contrast: float = 0.25
    """The least difference between ink and paper, of 1."""
    shade: float = 0.3
    """How uneven the paper may be, of 1."""
    noise: float = 25 / 255
    """Standard deviation of Gaussian noise."""
    specks: float = 0.1
    """Share of pixels that become black or white."""
    marks: int = 6
    """Lines and dots of ink."""
    jpeg: int = 20
    """The lowest quality."""
    share: float = 0.5
    """How probable each of these is."""


ROUGH = Limits()
"""What the reader is trained with."""
CLEAN = Limits(0, 0, 0, 0, 0, 1.0, 0, 0, 0, 0, 95, 0)
"""Nothing happens: black ink on white paper, or white on black."""


class Ink(NamedTuple):
    """A word as it was drawn."""

    mask: np.ndarray
    """(h, w) uint8, 255 is ink."""
    boxes: np.ndarray
    """(n, 4) left, top, right, bottom of each symbol's ink in pixels, ends excluded."""
    hulls: np.ndarray
    """(n, P, 2) the outermost points of each symbol's ink, which turning and shearing keep so."""


class Plan(NamedTuple):
    """What will happen to one word."""

    width: int
    """Of the strip, in pixels."""
    back: np.ndarray
    """(3, 3) homography from pixels of the strip to those of the ink."""
    warp: np.ndarray
    """(2, WARP_ROWS, K) pixels of ink by which a knot's place is moved."""
    blur: tuple[float, float]
    levels: tuple[float, float]
    """Of ink and paper, 0 black to 1 white."""
    shade: np.ndarray
    """(2, 3) what the paper's knots differ by."""
    marks: np.ndarray
    """(m, 4) left, top, right, bottom of rectangles of ink."""
    noise: np.ndarray | None
    """(HEIGHT, width) added."""
    specks: np.ndarray | None
    """(HEIGHT, width) int8: 1 white, -1 black."""
    quality: int | None


def plan(rng: Rng, ink: Ink, size: float, limits: Limits) -> Plan:
    """Draw what will happen to a word whose ink is to be scaled by ``size``."""
    at_most = _maker(rng, limits.share)
    height, width = ink.mask.shape
    angle, shear = math.radians(at_most(limits.rotation)), at_most(limits.shear)
    bend = at_most(limits.perspective) / max(width, 1)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    ahead = np.eye(3)  # from ink to strip, around the middle
    ahead[:2, :2] = size * turn @ np.array([[1, -shear], [0, 1]])
    ahead[2, 0] = bend
    middle = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1]])
    corners = np.array([[0, width, width, 0], [0, 0, height, height], [1.0] * 4])
    ahead = ahead @ middle
    placed = ahead @ corners
    placed = placed[:2] / placed[2]
    tall, long = np.ptp(placed[1]), np.ptp(placed[0])
    fit = min(1.0, (HEIGHT - 2) / tall)
    ahead = np.diag([fit, fit, 1]) @ ahead
    left, right = rng.uniform(1, 9, 2)
    top = float(rng.uniform(1, max(1, HEIGHT - 1 - fit * tall)))
    move = left - fit * placed[0].min(), top - fit * placed[1].min()
    ahead = np.array([[1, 0, move[0]], [0, 1, move[1]], [0, 0, 1]]) @ ahead
    strip = math.ceil(left + fit * long + right)
    knots = strip // WARP_STEP + 2
    warp: np.ndarray = np.zeros((2, WARP_ROWS, knots))
    if rng.random() < limits.share:
        warp = rng.normal(0, limits.warp * rng.random() / size, warp.shape)
    contrast = 1 - at_most(1 - limits.contrast, True)
    dark = float(rng.uniform(0, 1 - contrast))
    levels = (dark, dark + contrast) if rng.random() < 0.7 else (dark + contrast, dark)
    marks = np.zeros((0, 4), np.int64)
    if limits.marks and rng.random() < limits.share / 2:
        marks = _draw_marks(rng, int(rng.integers(1, limits.marks + 1)), strip)
    shape = HEIGHT, strip
    sd, share = at_most(limits.noise, True), at_most(limits.specks, True)
    noise = rng.standard_normal(shape, np.float32) * np.float32(sd) if sd else None
    chance = rng.random(shape, np.float32) if share else None
    specks = None
    if chance is not None:
        specks = (chance < share / 2).astype(np.int8) - (chance > 1 - share / 2).astype(np.int8)
    quality = int(rng.integers(limits.jpeg, 96)) if rng.random() < limits.share / 2 else None
    return Plan(
        width=strip,
        back=np.linalg.inv(ahead),
        warp=warp,
        blur=(at_most(limits.blur, True), at_most(limits.blur, True)),
        levels=levels,
        shade=rng.uniform(-1, 1, (2, 3)) * at_most(limits.shade, True) * contrast,
        marks=marks,
        noise=noise,
        specks=specks,
        quality=quality,
    )


def degrade(inks: Sequence[Ink], plans: Sequence[Plan]) -> Tensor:
    """(B, 1, HEIGHT, W) in [0, 1], 0 black: each word as planned, white beyond its width."""
    width = max(plan.width for plan in plans)
    ink = _resample(inks, plans, width)
    for sample, plan in zip(ink, plans):
        for left, top, right, bottom in plan.marks:
            sample[0, top:bottom, left:right] = 1
    ink = _blur(ink, np.array([plan.blur for plan in plans]))
    levels = torch.tensor([plan.levels for plan in plans])[:, :, None, None]
    shade = torch.from_numpy(np.stack([plan.shade for plan in plans])).float()
    along = torch.arange(width) / torch.tensor([plan.width for plan in plans])[:, None]
    across = _weights(torch.arange(HEIGHT), HEIGHT, 2)
    shades = torch.einsum("hr,brk,bwk->bhw", across, shade, _weights(along, 0.5, 3))
    paper = levels[:, 1:] + shades[:, None]
    images = paper + (levels[:, :1] - levels[:, 1:]) * ink
    for sample, plan in zip(images[:, 0], plans):
        inside = sample[:, : plan.width]
        if plan.noise is not None:
            inside += torch.from_numpy(plan.noise)
        if plan.specks is not None:
            specks = torch.from_numpy(plan.specks)
            inside.masked_fill_(specks > 0, 1).masked_fill_(specks < 0, 0)
        sample[:, plan.width :] = 1
    images = images.clamp_(0, 1)
    for sample, plan in zip(images[:, 0], plans):
        if plan.quality is not None:
            inside = sample[:, : plan.width]
            inside.copy_(torch.from_numpy(_through_jpeg(inside.numpy(), plan.quality)))
    return images


def boxes_after(inks: Sequence[Ink], plans: Sequence[Plan]) -> list[np.ndarray]:
    """Of each word (n, 4), where its symbols' ink is in the strip: left, top, right, bottom in
    pixels."""
    most, points = max(len(ink.hulls) for ink in inks), inks[0].hulls.shape[1]
    hulls = torch.zeros(len(inks), most, points, 2)
    for b, ink in enumerate(inks):
        hulls[b, : len(ink.hulls)] = torch.from_numpy(ink.hulls)
    wanted = hulls.flatten(1, 2).mT  # (B, 2, n P)
    ahead = torch.from_numpy(np.linalg.inv(np.stack([plan.back for plan in plans]))).float()
    warp, moved = _knots(plans), wanted
    for _ in range(FOLLOWED):  # the warp is that of the place in the strip, which is sought
        place = ahead @ torch.cat([moved, torch.ones_like(moved[:, :1])], 1)
        place = place[:, :2] / place[:, 2:]
        rows = _weights(place[:, 1], HEIGHT / (WARP_ROWS - 1), WARP_ROWS)
        columns = _weights(place[:, 0], WARP_STEP, warp.shape[3])
        moved = wanted - torch.einsum("bpr,bcrk,bpk->bcp", rows, warp, columns)
    place = place.unflatten(2, (most, points))
    found = torch.cat([place.amin(3), place.amax(3)], 1).mT.numpy()
    return [edges[: len(ink.hulls)] for edges, ink in zip(found, inks)]


def _maker(rng: Rng, share: float) -> Callable[..., float]:
    """How much of something happens: evenly up to the most, to either side, or nothing."""

    def at_most(most: float, one_side: bool = False) -> float:
        happens, amount = rng.random() < share, rng.random()
        return most * (amount if one_side else 2 * amount - 1) if happens else 0.0

    return at_most


def _draw_marks(rng: Rng, count: int, width: int) -> np.ndarray:
    """Dots, and lines along the strip or across it."""
    marks = []
    for _ in range(count):
        x, y, kind = rng.integers(0, (width, HEIGHT, 6)).tolist()
        wide, high = rng.integers(1, 4, 2).tolist()
        if kind == 0:
            x, wide, high = x - width // 2, width, min(high, 2)
        elif kind == 1:
            y, high, wide = 0, HEIGHT, 1
        marks.append((max(x, 0), y, min(x + wide, width), min(y + high, HEIGHT)))
    return np.array(marks)


def _resample(inks: Sequence[Ink], plans: Sequence[Plan], width: int) -> Tensor:
    """(B, 1, HEIGHT, W) ink in the strips, 0 to 1."""
    high = max(ink.mask.shape[0] for ink in inks)
    wide = max(ink.mask.shape[1] for ink in inks)
    sources = torch.zeros(len(inks), 1, high, wide)
    for b, ink in enumerate(inks):
        rows, columns = ink.mask.shape
        sources[b, 0, :rows, :columns] = torch.from_numpy(ink.mask)
    sources /= 255
    back = torch.from_numpy(np.stack([plan.back for plan in plans])).float()
    x, y = torch.arange(width) + 0.5, torch.arange(HEIGHT) + 0.5
    by_x, by_y, fixed = back[..., None, None].unbind(2)  # (B, 3, 1, 1) each
    place = by_x * x + (by_y * y[:, None] + fixed)
    place = place[:, :2] / place[:, 2:]
    rows = _weights(y, HEIGHT / (WARP_ROWS - 1), WARP_ROWS)
    warp = _knots(plans)
    columns = _weights(x, WARP_STEP, warp.shape[3])
    place += torch.einsum("hr,bcrk,wk->bchw", rows, warp, columns)
    size = torch.tensor([wide, high])[None, :, None, None]
    grid = (2 * place / size - 1).movedim(1, -1)
    return functional.grid_sample(sources, grid, align_corners=False)


def _knots(plans: Sequence[Plan]) -> Tensor:
    """(B, 2, WARP_ROWS, K) of all elastic fields."""
    most = max(plan.warp.shape[2] for plan in plans)
    warp = np.zeros((len(plans), 2, WARP_ROWS, most), np.float32)
    for field, plan in zip(warp, plans):
        field[..., : plan.warp.shape[2]] = plan.warp
    return torch.from_numpy(warp)


def _weights(places: Tensor, step: float, knots: int) -> Tensor:
    """(..., K) of each knot at each place: a cosine from one to the next."""
    distance = (places[..., None] / step - torch.arange(knots)).abs().clamp(max=1)
    return (1 + torch.cos(math.pi * distance)) / 2


def _blur(images: Tensor, deviations: np.ndarray) -> Tensor:
    """Each image by a Gaussian of its own, along and across."""
    blurred = np.flatnonzero(deviations.max(1) > 0.2)
    if not len(blurred):
        return images
    reach = np.arange(-BLUR, BLUR + 1)
    sd = np.maximum(deviations[blurred], 0.2)[..., None]
    kernels = np.exp(-0.5 * (reach / sd) ** 2)
    kernels = torch.from_numpy(kernels / kernels.sum(2, keepdims=True)).float()
    part = images[blurred].movedim(0, 1)  # (1, b, H, W): a group for each
    count = len(blurred)
    along, across = kernels[:, 0, None, None], kernels[:, 1, None, :, None]
    part = functional.conv2d(part, along, padding=(0, BLUR), groups=count)
    images[blurred] = functional.conv2d(part, across, padding=(BLUR, 0), groups=count).movedim(1, 0)
    return images


def _through_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """What is left of an image in [0, 1] after compression."""
    file = io.BytesIO()
    Image.fromarray((image * 255 + 0.5).astype(np.uint8)).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file), np.float32) / 255
