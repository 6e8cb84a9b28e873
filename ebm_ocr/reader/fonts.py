"""Faces to draw with: found in folders, refused by name where they cannot write, in three sets.

The test set is fixed by name (``held_out.txt``): training never sees these families, in any
packaging. Of the others a share, by the hash of the family's name, is for development.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image, ImageFont

from ..rendering import default_font
from .degradation import Ink

SUFFIXES = frozenset({".ttf", ".otf", ".ttc", ".woff"})
PRINTABLE = "".join(map(chr, range(33, 127)))
"""The 94 symbols that the reader knows."""
DEVELOPMENT = 12
"""One family in so many is for development."""
LOOK_ALIKES = frozenset("cCiIjJkKoOpPsSuUvVwWxXyYzZ")
"""Letters whose small form may be that of the capital, smaller."""
AROUND = np.stack([np.cos(np.arange(16) * np.pi / 8), np.sin(np.arange(16) * np.pi / 8)], 1)
"""Directions in which the outermost points of a symbol are kept."""
GLYPHS = 1 << 19
"""Drawn symbols that are kept, about 1 kB each: a thousand faces at three sizes."""
TWIN = 0.96
"""Faces whose letters correlate above this are one."""

FontSet = Literal["train", "development", "test"]


class Face(NamedTuple):
    """One style of a family: a file, and its place in there."""

    path: Path
    number: int = 0

    @property
    def family(self) -> str:
        """As the file says; its own name where it says nothing."""
        return names(self)[0]


def default_face() -> Face:
    """The face that comes with the package."""
    return Face(default_font())


@cache
def names(face: Face) -> tuple[str, str]:
    """Family and style."""
    family, style = load(face, 12).getname()
    return family or face.path.stem, style or ""


@lru_cache(maxsize=4096)
def load(face: Face, size: int) -> ImageFont.FreeTypeFont:
    """The font at a size in pixels, read once.

    Raises:
        ValueError: not a font.
    """
    try:
        # without raqm there are no ligatures: each symbol is drawn for itself
        layout = ImageFont.Layout.BASIC
        return ImageFont.truetype(str(face.path), size, face.number, layout_engine=layout)
    except OSError as error:
        raise ValueError(f"expected a font, could not read {str(face.path)!r}: {error}") from error


def find_faces(*folders: str | os.PathLike[str]) -> list[Face]:
    """Every face in the fonts of folders, in the order of their names.

    Raises:
        FileNotFoundError: a folder that there is not, or none with a font.
    """
    found = []
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise FileNotFoundError(f"expected a folder of fonts, found none at {str(folder)!r}")
        for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
            faces = 1
            if path.suffix.lower() == ".ttc":
                faces = int.from_bytes(path.read_bytes()[8:12], "big")
            found += [Face(path, index) for index in range(faces)]
    if not found:
        places = ", ".join(repr(os.fspath(folder)) for folder in folders)
        raise FileNotFoundError(f"expected fonts (.ttf, .otf, .ttc, .woff) in {places}, found none")
    return found


def why_refused(face: Face, symbols: str = PRINTABLE) -> str | None:
    """What is wrong with a face: unreadable, lacks symbols, or draws lower case as capitals."""
    try:
        font = load(face, 32)
    except ValueError as error:
        return str(error)
    nothing = _look(font, "\uffff")  # no character, so the box that stands for what is missing
    lacking = [symbol for symbol in symbols if _look(font, symbol) in (nothing, None)]
    if lacking:
        return f"{face.path.name} lacks {''.join(lacking)}"
    small = [s for s in symbols if s.islower() and s not in LOOK_ALIKES and s.upper() in symbols]
    alike = [s for s in small if _likeness(font, s, s.upper()) > TWIN]
    if 2 * len(alike) > len(small) > 0:
        return f"{face.path.name} draws lower case as capitals"
    return None


def set_of(face: Face) -> FontSet:
    """Which of the three sets a face belongs to, by its name."""
    known = _plain(face.family), _plain(face.path.stem), _plain(face.path.parent.name)
    if any(name in part for name in held_out() for part in known):
        return "test"
    digest = hashlib.sha256(known[0].encode()).digest()
    return "development" if int.from_bytes(digest[:8], "big") % DEVELOPMENT == 0 else "train"


@cache
def held_out() -> tuple[str, ...]:
    """Names of the test families, letters and digits alone."""
    lines = (Path(__file__).parent / "held_out.txt").read_text(encoding="utf-8").splitlines()
    return tuple(_plain(line) for line in lines if line.strip() and not line.startswith("#"))


def split(faces: Iterable[Face]) -> dict[FontSet, list[Face]]:
    """The three sets; a face that is a twin of a test face is one, by whatever name it goes."""
    faces = [*faces]
    sets: dict[FontSet, list[Face]] = {"train": [], "development": [], "test": []}
    for face in faces:
        sets[set_of(face)].append(face)
    others = [face for face in faces if face not in set(sets["test"])]
    if not (others and sets["test"]):
        return sets
    shapes, tested = letter_shapes(others), letter_shapes(sets["test"])
    is_test = np.zeros(len(others), bool)
    while len(tested):  # a twin's twin too
        twins = ((shapes @ tested.T).max(1) > TWIN) & ~is_test
        is_test |= twins
        tested = shapes[twins]
    kept = {face for face, twin in zip(others, is_test) if not twin}
    return {
        "train": [face for face in sets["train"] if face in kept],
        "development": [face for face in sets["development"] if face in kept],
        "test": [face for face in faces if face not in kept],
    }


def letter_shapes(faces: Sequence[Face]) -> np.ndarray:
    """(N, D) of unit length: how a face draws letters and digits; products are correlations."""
    rows = []
    for face in faces:
        font = load(face, 32)
        cells = [_cell(font, s) for s in PRINTABLE if s.isalnum()]
        rows.append(np.concatenate(cells) / len(cells) ** 0.5)
    return np.stack(rows)


def draw_ink(
    face: Face, size: int, text: str, spacing: float = 0.0, jumps: Sequence[float] = ()
) -> Ink:
    """Write a text, symbol by symbol.

    >>> from ebm_ocr import default_font
    >>> draw_ink(Face(default_font()), 24, "ab").boxes[:, 2] - draw_ink(
    ...     Face(default_font()), 24, "ab").boxes[:, 0]
    array([12, 12])

    Args:
        size: of the face in pixels.
        spacing: pixels between symbols beyond the face's own.
        jumps: pixels that each symbol stands below the line; default none.

    Raises:
        ValueError: a text without ink.
    """
    glyphs, cursor = [], 0.0
    for i, symbol in enumerate(text):
        mask, hull, (left, top), advance = _glyph(face, size, symbol)
        drop = jumps[i] if len(jumps) else 0.0
        glyphs.append((mask, hull, round(cursor) + left, top + round(drop)))
        cursor += max(advance + spacing, 1.0)
    edges = [(x, y, x + mask.shape[1], y + mask.shape[0]) for mask, _, x, y in glyphs]
    boxes = np.array(edges, np.int64).reshape(-1, 4)
    shown = boxes[(boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])]
    if len(shown) < max(len(text), 1):
        raise ValueError(f"expected symbols with ink, got {text!r} in {face.path.name}")
    origin = shown[:, :2].min(0)
    boxes -= [*origin, *origin]
    canvas = np.zeros((boxes[:, 3].max(), boxes[:, 2].max()), np.uint8)
    for (mask, *_), (left, top, right, bottom) in zip(glyphs, boxes):
        part = canvas[top:bottom, left:right]
        np.maximum(part, mask, out=part)
    hulls = np.stack([hull + box[:2] for (_, hull, *_), box in zip(glyphs, boxes)])
    return Ink(canvas, boxes, hulls)


def no_ink(width: int, height: int) -> Ink:
    """A place on which nothing is written."""
    nothing = np.zeros((0, 4), np.int64), np.zeros((0, len(AROUND), 2), np.float32)
    return Ink(np.zeros((height, width), np.uint8), *nothing)


@lru_cache(maxsize=GLYPHS)
def _glyph(
    face: Face, size: int, symbol: str
) -> tuple[np.ndarray, np.ndarray, tuple[int, int], float]:
    """A symbol's ink without margins, its outermost points, its place from the cursor on the line,
    and the way to the next symbol."""
    font = load(face, size)
    mask, (left, top) = font.getmask2(symbol, "L", anchor="ls")
    ink = np.frombuffer(bytes(mask), np.uint8).reshape(mask.size[::-1])
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    if len(rows):
        ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        left, top = left + int(columns[0]), top + int(rows[0])
    else:
        ink = np.zeros((0, 0), np.uint8)
    dark = ink > 96 if (ink > 96).any() else ink > 0
    shown = np.argwhere(dark)[:, ::-1]
    hull: np.ndarray = np.zeros((len(AROUND), 2), np.float32)
    if len(shown):
        furthest = (shown @ AROUND.T).argmax(0)
        corner = 0.5 + np.sign(AROUND.round(6)) / 2  # of the pixel, outwards
        hull = (shown[furthest] + corner).astype(np.float32)
    return ink, hull, (int(left), int(top)), font.getlength(symbol)


def _cell(font: ImageFont.FreeTypeFont, symbol: str, side: int = 16) -> np.ndarray:
    """A symbol's ink in a square, mean 0 and length 1."""
    left, top, right, bottom = font.getbbox(symbol)
    image = Image.new("L", (max(1, int(right - left)), max(1, int(bottom - top))))
    image.paste(Image.Image()._new(font.getmask(symbol)), (0, 0))
    cell = np.asarray(image.resize((side, side), Image.Resampling.BILINEAR), np.float32).ravel()
    cell -= cell.mean()
    return cell / max(float(np.linalg.norm(cell)), 1e-6)


def _likeness(font: ImageFont.FreeTypeFont, first: str, second: str) -> float:
    """Correlation of two symbols, each drawn to fill a square."""
    return float(_cell(font, first) @ _cell(font, second))


def _look(font: ImageFont.FreeTypeFont, symbol: str) -> tuple[tuple[int, int], bytes] | None:
    """What is drawn for a symbol; None of nothing."""
    mask = font.getmask(symbol)
    return (mask.size, bytes(mask)) if mask.getbbox() else None


def _plain(name: str) -> str:
    """Letters and digits, small."""
    return "".join(filter(str.isalnum, name.lower()))
