"""Draw the sample images of docs/samples with test faces: ``python tools/samples.py``; and
docs/samples.png, what the reader says they are.

Needs the fonts of ``make fonts``; the images themselves are in the repository.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from ebm_ocr.reader import Reader
from ebm_ocr.reader.degradation import CLEAN, ROUGH
from ebm_ocr.reader.fonts import Face, set_of
from ebm_ocr.reader.words import draw_words, write

ROOT = Path(__file__).parents[1]


class Sample(NamedTuple):
    """A word, and how it is drawn."""

    text: str
    family: str
    size: float = 20
    rough: bool = False
    times: int = 1
    """Made larger by this, as a photograph is."""
    tint: tuple[int, int, int] = (255, 255, 255)
    """Colour of the paper where the image has one."""
    margin: int = 0


SAMPLES = {
    "coffee": Sample("Coffee", "lato", 26, times=4, tint=(255, 236, 205), margin=8),
    "price": Sample("$19.99", "roboto-slab", 24),
    "mississippi": Sample("mississippi", "open-sans", 18),
    "date": Sample("2026-11-27", "source-code-pro", 18, rough=True),
    "letter": Sample("Dearest", "dancing-script", 28, times=2, tint=(250, 250, 235)),
    "note": Sample("tomorrow", "caveat", 28),
    "sign": Sample("EXIT", "josefin-sans", 26, times=3, tint=(120, 220, 150)),
    "noise": Sample("whisper", "merriweather", 22, rough=True),
    "mail": Sample("me@home.org", "fira-sans", 18),
    "plate": Sample("BK-4071", "roboto-mono", 24, rough=True),
    "small": Sample("footnote", "crimson-text", 13),
    "doubtful": Sample("Ill1O0o", "karla", 22),
}


def draw(sample: Sample, seed: int) -> Image.Image:
    """The image of a sample, in a face that no training saw."""
    face = Face(ROOT / f"fonts/{sample.family}/{sample.family}-latin-400-normal.woff")
    if set_of(face) != "test":
        raise ValueError(f"expected a test face, got {sample.family}")
    rng = np.random.default_rng([2026, seed])
    limits = ROUGH if sample.rough else CLEAN
    batch = draw_words([write(rng, face, sample.text, sample.size, limits)])
    grey = batch.images[0, 0].numpy()
    if not sample.rough and grey[0].mean() < 0.5:
        grey = 1 - grey
    grey = np.pad(grey, sample.margin, constant_values=grey[0, 0])
    if sample.tint == (255, 255, 255):
        picture = Image.fromarray((grey * 255).astype(np.uint8))
    else:
        coloured = (30 + (np.array(sample.tint) - 30) * grey[..., None]).astype(np.uint8)
        picture = Image.fromarray(coloured)
    size = picture.width * sample.times, picture.height * sample.times
    return picture.resize(size, Image.Resampling.BICUBIC)


def main() -> None:
    """Write all samples and their labels."""
    folder = ROOT / "docs" / "samples"
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (name, sample) in enumerate(SAMPLES.items()):
        draw(sample, seed).save(folder / f"{name}.png")
    labels = "".join(f"{name}.png\t{sample.text}\n" for name, sample in SAMPLES.items())
    (folder / "labels.tsv").write_text(labels, encoding="utf-8")
    show(folder)


def show(folder: Path) -> None:
    """All samples, each with what was read and how sure that is; red where it is wrong."""
    words = Reader.load().read([folder / f"{name}.png" for name in SAMPLES])
    figure, axes = plt.subplots(3, 4, figsize=(9, 3.6))
    for ax, (name, sample), word in zip(axes.flat, SAMPLES.items(), words):
        with Image.open(folder / f"{name}.png") as picture:
            ax.imshow(picture.convert("RGB"))
        colour = "black" if word.text == sample.text else "tab:red"
        ax.set_title(f"{word.text}   {word.confidence:.0%}", color=colour, parse_math=False)
        ax.axis("off")
    figure.tight_layout()
    figure.savefig(folder.with_suffix(".png"), dpi=110)


if __name__ == "__main__":
    main()
