"""From images to words: the reader itself."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .. import kernels
from ..alignment import viterbi
from ..alphabet import Alphabet
from ..decoding import greedy_decode, lexicon_energies, n_best
from ..geometry import HEIGHT, STRIDE, WINDOW
from ..path_matrix import normalise
from ..validation import as_words, truth, whole_number
from .boxes import Box, letter_boxes
from .checkpoint import Checkpoint, read_checkpoint
from .confidence import judge
from .images import Strip, as_images, see_ink, to_strip
from .network import ReaderNet, batch_strips

WEIGHTS = Path(__file__).parent / "weights" / "print94.safetensors"
"""The weights that come with the package; beside them is the model's card."""
GEOMETRY = {"height": HEIGHT, "window": WINDOW, "stride": STRIDE}
BATCH = 64
"""Strips of like width that are looked at together."""


class Letter(NamedTuple):
    """A symbol of a word that was read."""

    symbol: str
    box: Box
    """Left, top, right, bottom in pixels of the image."""
    confidence: float
    """Its probability in the window that shows it best, of all that may come."""


class Alternative(NamedTuple):
    """Another text that the image may show."""

    text: str
    confidence: float
    energy: float


class Word(NamedTuple):
    """What an image shows."""

    text: str
    confidence: float
    """Gibbs probability of the text among all that may come, at the reader's ``beta``."""
    energy: float
    """Free energy of the text at ``beta``, each window's energies normalised; lower is better."""
    letters: tuple[Letter, ...]
    alternatives: tuple[Alternative, ...]
    """The next best texts, where more than one was asked for."""


@dataclass(frozen=True)
class Reader:
    """Reads the word in an image, in any font.

    >>> Reader.load().read(np.full((32, 60), 255, np.uint8))[0].text  # an empty sheet
    ''
    """

    network: ReaderNet
    beta: float = 1.0
    """Inverse temperature of confidences, fitted on development fonts."""

    @classmethod
    def load(cls, path: str | os.PathLike[str] | None = None, device: str = "cpu") -> Reader:
        """The reader that comes with the package, or one from a file of weights.

        Raises:
            FileNotFoundError: no such file.
            ValueError: no weights of this program, or of another network.
        """
        file = WEIGHTS if path is None else Path(path)
        return from_weights(read_checkpoint(file), file.name, device)

    @property
    def alphabet(self) -> Alphabet:
        """What it can read."""
        return self.network.alphabet

    def read(
        self,
        images: Any,
        charset: str | Iterable[str] | None = None,
        lexicon: Sequence[str] | None = None,
        n_best: int = 1,
        letters: bool = True,
    ) -> list[Word]:
        """The word in each image; of one image, a list of one. A blank image reads as ``""``.

        An image is read as one word: a line of several is one long word without spaces.

        Args:
            images: one, or a sequence: see :func:`ebm_ocr.reader.images.to_strip`.
            charset: what may come, as in ``tr``: ``"a-z0-9"``, or symbols one by one. Others cost
                inf, so of what is written the nearest that may come is read.
            lexicon: words, of which the best is read.
            n_best: how many texts, the best and its alternatives.
            letters: whether to find their places too; without them ``Word.letters`` is empty, and
                reading is faster.

        Raises:
            TypeError, ValueError: see :func:`ebm_ocr.reader.images.to_strip`; a charset or lexicon
                with symbols that the reader does not know.
        """
        strips = [to_strip(image) for image in as_images(images)]
        return self.read_strips(strips, charset, lexicon, n_best, letters)

    def read_strips(
        self,
        strips: Sequence[Strip],
        charset: str | Iterable[str] | None = None,
        lexicon: Sequence[str] | None = None,
        n_best: int = 1,
        letters: bool = True,
    ) -> list[Word]:
        """:meth:`read` of strips."""
        wanted = Wanted(
            [*self.alphabet.subset(charset), self.alphabet.separator],
            None if lexicon is None else [*map(str, as_words(lexicon))],
            whole_number("n_best", n_best, 1),
            truth("letters", letters),
        )
        words: dict[int, Word] = {}
        order = sorted(range(len(strips)), key=lambda i: strips[i].pixels.shape[1])
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            words |= zip(chosen, self._read_batch([strips[i] for i in chosen], wanted))
        return [words[i] for i in range(len(strips))]

    def energies(self, strips: Sequence[Strip]) -> tuple[Tensor, Tensor]:
        """(B, L, C) float64 energies, each window's normalised: ``-log`` of probabilities; and (B,)
        how many windows count."""
        batch, lengths = batch_strips([strip.pixels for strip in strips])
        device = self.network.head.weight.device
        with torch.inference_mode():
            found = self.network(batch.to(device), lengths.to(device)).float().cpu()
        return normalise(found.double()), lengths

    def _read_batch(self, strips: Sequence[Strip], wanted: Wanted) -> list[Word]:
        energies, lengths = self.energies(strips)
        with kernels.compile_later(len(strips)):
            return self._decode(energies, lengths, strips, wanted)

    def _decode(
        self, energies: Tensor, lengths: Tensor, strips: Sequence[Strip], wanted: Wanted
    ) -> list[Word]:
        if len(wanted.classes) < self.alphabet.size:
            closed = torch.ones(self.alphabet.size, dtype=torch.bool)
            closed[wanted.classes] = False
            energies = normalise(energies.masked_fill(closed, math.inf))
        if wanted.lexicon is None:
            found = self._search(energies, lengths, wanted)
        else:
            found = self._choose(energies, lengths, wanted.lexicon, wanted.n_best)
        letters: Sequence[tuple[Letter, ...]] = [()] * len(found)
        if wanted.letters:
            letters = self._letters(energies, lengths, [first.text for first, *_ in found], strips)
        return [Word(*best, shown, tuple(others)) for (best, *others), shown in zip(found, letters)]

    def _search(self, energies: Tensor, lengths: Tensor, wanted: Wanted) -> list[list[Alternative]]:
        """The best of all texts of each sample."""
        alphabet = self.alphabet
        if wanted.n_best == 1:  # where separators are optional, the lowest classes spell it
            found = [[t] for t in greedy_decode(energies, lengths, "optional", alphabet=alphabet)]
        else:
            names = [alphabet.names[c] for c in wanted.classes[:-1]]
            readings = n_best(
                energies, wanted.n_best, lengths, "optional", alphabet=alphabet, charset=names
            )
            found = [[reading.text for reading in row] for row in readings]
        flat = [(sample, text) for sample, row in enumerate(found) for text in row]
        rows, texts = torch.tensor([sample for sample, _ in flat]), [text for _, text in flat]
        values, logs = judge(energies[rows], texts, lengths[rows], self.beta, alphabet)
        answers: list[list[Alternative]] = [[] for _ in found]
        for (sample, text), probability, value in zip(flat, logs.exp().tolist(), values.tolist()):
            answers[sample].append(Alternative(text, probability, value))
        return answers

    def _choose(
        self, energies: Tensor, lengths: Tensor, words: list[str], count: int
    ) -> list[list[Alternative]]:
        """The best of a lexicon."""
        values = lexicon_energies(
            energies, words, lengths, self.beta, "optional", alphabet=self.alphabet
        )
        shares = torch.softmax(-self.beta * values, 1).nan_to_num(0)
        best = values.topk(min(count, len(words)), largest=False).indices
        return [
            [Alternative(words[i], shares[sample, i].item(), values[sample, i].item()) for i in row]
            for sample, row in enumerate(best.tolist())
        ]

    def _letters(
        self,
        energies: Tensor,
        lengths: Tensor,
        texts: Sequence[str],
        strips: Sequence[Strip],
    ) -> list[tuple[Letter, ...]]:
        """Where each symbol of a text is, on its best path."""
        classes = [self.alphabet.encode(text) for text in texts]
        targets, sizes = self.alphabet.interleave(classes)
        gap = self.alphabet.separator
        paths = viterbi(
            energies, targets, lengths, sizes, "optional", gap, infeasible="inf"
        ).path.numpy()
        probabilities = (-energies).exp().numpy()
        every = zip(paths, probabilities, classes, strips)
        return [self._place(*one) for one in every]

    def _place(
        self, path: np.ndarray, probabilities: np.ndarray, classes: list[int], strip: Strip
    ) -> tuple[Letter, ...]:
        """The letters of one text by its path: target index of each window, separators odd."""
        on = np.flatnonzero((path >= 0) & (path % 2 == 0))
        starts = np.flatnonzero(np.diff(path[on], prepend=-1))
        if not classes or len(starts) < len(classes):  # nothing is written, or it does not fit
            return ()
        ends = np.append(starts[1:], len(on)) - 1
        ink = see_ink(strip.pixels.numpy())[1]
        boxes = strip.in_image(letter_boxes(ink, np.stack([on[starts], on[ends]], 1)))
        shown = probabilities[on, np.array(classes)[path[on] // 2]]
        sure = np.maximum.reduceat(shown, starts)
        names = [self.alphabet.names[symbol] for symbol in classes]
        return tuple(map(Letter, names, map(tuple, boxes.tolist()), sure.tolist()))


class Wanted(NamedTuple):
    """What may come."""

    classes: list[int]
    lexicon: list[str] | None
    n_best: int
    letters: bool


def to_weights(network: ReaderNet, beta: float, about: dict[str, Any]) -> Checkpoint:
    """What :meth:`Reader.load` reads, in half precision."""
    alphabet = network.alphabet
    known = {
        "kind": "ebm_ocr reader",
        "alphabet": [*alphabet.symbols],
        "separator": alphabet.separator,
        "sign": alphabet.sign,
        "geometry": GEOMETRY,
        "channels": list(network.channels),
        "depth": len(network.blocks),
        "beta": beta,
    }
    tensors = {name: tensor.half() for name, tensor in network.state_dict().items()}
    return Checkpoint(tensors, known | about)


def from_weights(checkpoint: Checkpoint, name: str, device: str = "cpu") -> Reader:
    """A reader of weights. Errors: see :meth:`Reader.load`."""
    tensors, about = checkpoint
    if about.get("kind") != "ebm_ocr reader":
        raise ValueError(f"expected weights of a reader, got {name} of another kind")
    if about["geometry"] != GEOMETRY:
        raise ValueError(f"expected weights for {GEOMETRY}, got {name} for {about['geometry']}")
    alphabet = Alphabet(about["alphabet"], about["separator"], about["sign"])
    first, second, third, fourth = about["channels"]
    network = ReaderNet((first, second, third, fourth), about["depth"], alphabet)
    try:
        network.load_state_dict({key: tensor.float() for key, tensor in tensors.items()})
    except RuntimeError as error:
        raise ValueError(f"expected the weights of a reader, got others in {name}") from error
    return Reader(network.to(device).eval(), float(about["beta"]))
