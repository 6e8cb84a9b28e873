"""The recipe: from fonts to weights. One dial is the number of words; the rest is in ``Recipe``.

Everything that is left to chance is a function of the seed and of the step, so a training that was
broken off goes on to the same bits.
"""

from __future__ import annotations

import itertools
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW
from torch.utils.data import DataLoader, Dataset

from ..decoding import exact_decode
from ..losses import forward_loss
from .checkpoint import Checkpoint, keep, latest, read_checkpoint
from .confidence import fit_beta
from .degradation import CLEAN, ROUGH
from .fonts import Face, FontSet
from .network import ASCII, ReaderNet, batch_strips
from .reading import Reader, to_weights
from .words import Sample, Words, draw_words

BUCKET = 32
"""Batches that are drawn together and sorted by width, so that little of a batch is padding."""
REPORT = 64_000
"""Words from one report and checkpoint to the next."""
JUDGED = 512
"""Development words that a report reads, clean and rough."""
DEVELOPMENT_SEED = 1_000_003
WIDTH = attrgetter("plan.width")


@dataclass(frozen=True)
class Recipe:
    """Every number that a training depends on."""

    words: int = 840_000
    """Words seen, each once."""
    batch: int = 16
    learning_rate: float = 2e-3
    warmup: float = 0.001
    """Share of the steps in which the rate rises."""
    cooldown: float = 0.69
    """Share of the steps, at the end, in which it falls to 0."""
    weight_decay: float = 0.01
    clip: float = 5.0
    """Norm of the gradient at most."""
    seed: int = 0
    sizes: tuple[int, int] = (11, 34)
    """Pixels of the face; words too high for a strip are made smaller."""
    channels: tuple[int, int, int, int] = (24, 32, 64, 128)
    depth: int = 3

    @property
    def steps(self) -> int:
        """Batches in all."""
        return -(-self.words // self.batch)

    def rate(self, step: int) -> float:
        """The learning rate of a step: up, level, down."""
        up = (step + 1) / max(1, self.warmup * self.steps)
        down = (self.steps - step) / max(1, self.cooldown * self.steps)
        return self.learning_rate * min(1.0, up, down)


class Material(NamedTuple):
    """What words are drawn with, and what is written."""

    faces: dict[FontSet, list[Face]]
    """To train with, and to develop on, as :func:`ebm_ocr.reader.fonts.split` gives them."""
    dictionary: Sequence[str] = ()
    """Words that are written now and then."""


class Report(NamedTuple):
    """How far a training has come."""

    words: int
    seconds: float
    loss: float
    """Mean since the last report."""
    clean: float
    """Share of development words read exactly, nothing having happened to them."""
    rough: float
    """And with all degradations."""


class Strips(NamedTuple):
    """A batch to train on."""

    strips: Tensor
    lengths: Tensor
    targets: Tensor
    target_lengths: Tensor
    texts: list[str]


@dataclass(frozen=True)
class Buckets(Dataset):
    """Words without end; item ``i`` is ``BUCKET`` batches, a function of ``i`` alone."""

    words: Words
    batch: int

    def __getitem__(self, index: int) -> list[Strips]:
        count = self.batch * BUCKET
        numbers = range(index * count, (index + 1) * count)
        samples = [self.words.sample(number) for number in numbers]
        samples.sort(key=WIDTH)
        order = np.random.Generator(np.random.Philox(key=[self.words.seed, index]))
        places = self.batch * order.permutation(BUCKET)
        return [make_strips(samples[p : p + self.batch]) for p in places]


def make_strips(samples: Sequence[Sample]) -> Strips:
    """Draw some words; those with too few windows for their symbols are left out."""
    drawn = draw_words(samples)
    strips, lengths = batch_strips([i[0, :, :w] for i, w in zip(drawn.images, drawn.widths)])
    fits = [
        i
        for i, (text, length) in enumerate(zip(drawn.texts, lengths.tolist()))
        if len(text) + sum(a == b for a, b in itertools.pairwise(text)) <= length
    ]
    texts = [drawn.texts[i] for i in fits]
    targets = ASCII.interleave([ASCII.encode(text) for text in texts])
    return Strips(strips[fits], lengths[fits], *targets, texts)


@dataclass
class Training:
    """A network on its way, and all that its next step depends on."""

    recipe: Recipe
    network: ReaderNet
    optimizer: AdamW
    step: int = 0
    reports: list[Report] = field(default_factory=list)
    seconds: float = 0.0
    loss: list[float] = field(default_factory=list)

    @classmethod
    def begin(
        cls, recipe: Recipe, device: torch.device | str = "cpu", init: Reader | None = None
    ) -> Training:
        """At the first step, with the weights of ``init`` or random ones; torch's global generator
        is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            network = ReaderNet(recipe.channels, recipe.depth)
        if init is not None:
            try:
                network.load_state_dict(init.network.state_dict())
            except RuntimeError as error:
                shape = f"{recipe.channels} channels, depth {recipe.depth}"
                raise ValueError(f"expected weights to begin with of {shape}") from error
        network.to(device)
        rates = recipe.learning_rate, (0.9, 0.98)
        weights = network.parameters()
        return cls(recipe, network, AdamW(weights, *rates, weight_decay=recipe.weight_decay))

    def save(self, folder: Path) -> Path:
        """A checkpoint from which :meth:`resume` goes on."""
        tensors = {f"network.{n}": t for n, t in self.network.state_dict().items()}
        for number, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{n}": t for n, t in state.items()}
        about = {
            "recipe": asdict(self.recipe),
            "step": self.step,
            "seconds": self.seconds,
            "loss": self.loss,
            "reports": self.reports,
        }
        return keep(folder, self.step, Checkpoint(tensors, about))

    @classmethod
    def resume(cls, path: Path, recipe: Recipe, device: torch.device | str = "cpu") -> Training:
        """Where a checkpoint left off.

        Raises:
            ValueError: no checkpoint, or one of another recipe; the number of words may differ.
        """
        tensors, about = read_checkpoint(path)
        begun = {k: tuple(v) if isinstance(v, list) else v for k, v in about["recipe"].items()}
        differ = {k for k, v in asdict(recipe).items() if begun.get(k) != v} - {"words"}
        if differ:
            shown = ", ".join(f"{k}={begun.get(k)!r}" for k in sorted(differ))
            raise ValueError(f"expected the recipe that {str(path)!r} was begun with: {shown}")
        training = cls.begin(recipe, device)
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "optimizer": {}}
        for name, tensor in tensors.items():
            part, _, name = name.partition(".")
            parts[part][name] = tensor
        training.network.load_state_dict(parts["network"])
        state = training.optimizer.state_dict()
        for name, tensor in parts["optimizer"].items():
            number, _, name = name.partition(".")
            state["state"].setdefault(int(number), {})[name] = tensor
        training.optimizer.load_state_dict(state)
        training.step, training.seconds, training.loss = (
            about[k] for k in ("step", "seconds", "loss")
        )
        training.reports = [Report(*row) for row in about["reports"]]
        return training


def train_reader(
    recipe: Recipe,
    material: Material,
    folder: Path,
    *,
    device: torch.device | str = "cpu",
    workers: int = 1,
    init: Reader | None = None,
    say: Callable[[Report], None] = print,
) -> Training:
    """Train, or go on where the last checkpoint in ``folder`` left off.

    Args:
        folder: of the checkpoints.
        workers: processes that draw words ahead; the words are the same for any number.
        init: whose weights a new run begins with; a run that goes on has its own.
        say: is called with each report.

    Raises:
        ValueError: no faces, a checkpoint of another recipe.
        FloatingPointError: a loss that is not finite.
    """
    faces = material.faces
    if not (faces["train"] and faces["development"]):
        counts = f"{len(faces['train'])} and {len(faces['development'])}"
        raise ValueError(f"expected faces to train with and to develop on, got {counts}")
    last = latest(folder)
    if last:
        training = Training.resume(last, recipe, device)
    else:
        training = Training.begin(recipe, device, init)
    words = Words(faces["train"], recipe.seed, dictionary=material.dictionary, sizes=recipe.sizes)
    judge = development(recipe, material)
    autocast = torch.autocast(torch.device(device).type, torch.bfloat16, has_bfloat16(device))
    before = time.perf_counter() - training.seconds
    for batch in batches(words, recipe, training.step, workers):
        with autocast:
            energies = training.network(batch.strips.to(device), batch.lengths.to(device))
        loss = descend(training, energies.float(), batch)
        training.loss.append(loss)
        training.step += 1
        if training.step % (REPORT // recipe.batch) and training.step < recipe.steps:
            continue
        training.seconds = time.perf_counter() - before
        scores = [accuracy(training.network, part, autocast) for part in judge]
        mean = sum(training.loss) / len(training.loss)
        training.reports.append(
            Report(training.step * recipe.batch, training.seconds, mean, *scores)
        )
        training.loss.clear()
        training.save(folder)
        say(training.reports[-1])
    return training


def finish(training: Training, material: Material) -> Checkpoint:
    """The weights of a training in half precision, the temperature of confidences fitted on
    development words, clean and rough."""
    about = {
        "recipe": asdict(training.recipe),
        "reports": training.reports,
        "commit": commit(),
        "torch": torch.__version__,
    }
    network = ReaderNet(training.recipe.channels, training.recipe.depth)
    weights = training.network.state_dict().items()
    network.load_state_dict({name: tensor.half().float() for name, tensor in weights})
    batches = [*itertools.chain.from_iterable(development(training.recipe, material))]
    with torch.inference_mode():
        energies = [network(batch.strips, batch.lengths).double() for batch in batches]
    texts, lengths = [batch.texts for batch in batches], [batch.lengths for batch in batches]
    return to_weights(network, fit_beta(energies, texts, lengths, ASCII), about)


def commit() -> str:
    """Of the sources; empty outside a repository, or without git."""
    command = ["git", "describe", "--always", "--dirty"]
    try:
        run = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, encoding="utf-8"
        )
    except OSError:
        return ""
    return run.stdout.strip()


def development(recipe: Recipe, material: Material) -> list[list[Strips]]:
    """Words of development fonts in batches, clean and rough."""
    found = []
    for limits in (CLEAN, ROUGH):
        faces, dictionary = material.faces["development"], material.dictionary
        words = Words(faces, DEVELOPMENT_SEED, limits, dictionary, recipe.sizes)
        samples = sorted(map(words.sample, range(JUDGED)), key=WIDTH)
        size = recipe.batch
        found.append([make_strips(samples[i : i + size]) for i in range(0, JUDGED, size)])
    return found


def batches(words: Words, recipe: Recipe, step: int, workers: int) -> Iterator[Strips]:
    """The batches from a step on."""
    buckets = range(step // BUCKET, -(-recipe.steps // BUCKET))
    loader: DataLoader = DataLoader(
        Buckets(words, recipe.batch), None, sampler=buckets, num_workers=workers
    )
    stream = itertools.chain.from_iterable(loader)
    return itertools.islice(stream, step % BUCKET, recipe.steps - step + step % BUCKET)


def descend(training: Training, energies: Tensor, batch: Strips) -> float:
    """One step down the mean loss of a word."""
    targets, lengths, sizes = (
        part.to(energies.device) for part in (batch.targets, batch.lengths, batch.target_lengths)
    )
    loss = forward_loss(energies, targets, lengths, sizes).mean()
    if not loss.isfinite():
        raise FloatingPointError(f"step {training.step}: expected a finite loss, got {loss.item()}")
    for group in training.optimizer.param_groups:
        group["lr"] = training.recipe.rate(training.step)
    training.optimizer.zero_grad()
    loss.backward()
    clip_grad_norm_(training.network.parameters(), training.recipe.clip)
    training.optimizer.step()
    return loss.item()


def accuracy(network: ReaderNet, batches: list[Strips], autocast: torch.autocast) -> float:
    """Share of words that are read exactly."""
    right = total = 0
    device = next(network.parameters()).device
    for batch in batches:
        with torch.inference_mode(), autocast:
            energies = network(batch.strips.to(device), batch.lengths.to(device)).float()
        found = exact_decode(energies, batch.lengths, "optional", alphabet=ASCII)
        right += sum(a == b for a, b in zip(found, batch.texts))
        total += len(found)
    return right / total


def has_bfloat16(device: torch.device | str) -> bool:
    """Whether the device calculates in bfloat16 faster than in float32."""
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported()
    return getattr(torch.cpu, "_is_avx512_bf16_supported", bool)()
