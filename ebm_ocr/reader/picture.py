"""What the reader saw, as pictures; needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch.nn import functional

from ..alignment import viterbi
from ..alphabet import Alphabet
from ..plots import plot_energies, plot_reading, plot_word
from .images import Strip
from .network import MARGIN, standardise
from .reading import Reader, Word
from .scores import edit_distance

DOUBT = 0.02
"""Classes are shown that a window gives this probability."""


def draw_reading(reader: Reader, strip: Strip, word: Word) -> Figure:
    """Image, letters' boxes, energies of the classes in question, and the path of the word."""
    energies, lengths = reader.energies([strip])
    energies, alphabet = energies[0, : lengths[0]], reader.alphabet
    doubted = ((-energies).exp() > DOUBT).any(0)
    symbols = sorted({*word.text, *(s for s in alphabet.symbols if doubted[alphabet.places[s]])})
    shown = Alphabet(symbols or [*alphabet.symbols[:1]], sign=alphabet.sign)
    kept = energies[:, [*map(alphabet.places.get, shown.symbols), alphabet.separator]]
    ink = standardise(strip.pixels).clamp(min=0)
    ink = functional.pad(ink / ink.max().clamp(min=1), (MARGIN, MARGIN))
    if word.text:
        targets, sizes = shown.interleave([shown.encode(word.text)])
        path = viterbi(kept[None], targets, None, sizes, "optional", infeasible="inf").path[0]
        top, _ = plot_reading(ink, kept, path, word.text, alphabet=shown)
    else:  # nothing that a path could spell
        _, (top, bottom) = plt.subplots(2, 1, layout="constrained")
        plot_word(ink, ax=top)
        plot_energies(kept, alphabet=shown, ax=bottom)
    for letter in word.letters:
        left, upper, right, lower = letter.box
        x, y = (left - strip.left) * strip.scale + MARGIN, (upper - strip.top) * strip.scale
        size = (right - left) * strip.scale, (lower - upper) * strip.scale
        top.add_patch(Rectangle((x - 0.5, y - 0.5), *size, fill=False, edgecolor="tab:orange"))
    figure = cast(Figure, top.figure)
    figure.suptitle(f"{word.text!r}, confidence {word.confidence:.1%}", parse_math=False)
    return figure


def draw_worst(
    strips: Sequence[Strip], texts: Sequence[str], found: Sequence[Word], most: int = 24
) -> Figure:
    """The readings with most edits, the surest ones first."""
    edits = [edit_distance(text, word.text) for text, word in zip(texts, found)]
    wrong = [i for i, count in enumerate(edits) if count]
    wrong.sort(key=lambda i: (-edits[i], -found[i].confidence))
    wrong = wrong[:most]
    rows = max(1, -(-len(wrong) // 3))
    figure, axes = plt.subplots(rows, 3, figsize=(10, 0.9 * rows + 0.4), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, i in zip(axes.flat, wrong):
        ax.imshow(strips[i].pixels.numpy(), cmap="gray", vmin=0, vmax=1)
        title = f"{texts[i]} read as {found[i].text} ({found[i].confidence:.0%})"
        ax.set_title(title, fontsize=8, parse_math=False)
    if not wrong:
        axes[0, 0].set_title("no word was read wrong")
    figure.tight_layout()
    return figure
