"""Training loops, and the one recipe that trains a reader from scratch."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from .alignment import Separators, free_energy, viterbi
from .alphabet import indices_to_str
from .criteria import normalise
from .decoding import greedy_decode, most_offending, word_energy
from .network import SimpleNet
from .paths import build_ce_matrix, path_cross_entropy
from .words import Batch, SimpleWordsDataset, collate_fn


@dataclass(frozen=True)
class TrainConfig:
    """Every hyperparameter of :func:`train_from_scratch`."""

    words: int = 2500
    min_length: int = 2
    max_length: int = 5
    jitter: bool = True
    noise: bool = False
    epochs: int = 20
    batch_size: int = 32
    learning_rate: float = 4e-3
    """Peak of the one-cycle schedule (Smith & Topin 2018), which rises to it and falls to nearly zero."""
    channels: int = 16


class History(NamedTuple):
    """One entry a pass over the data."""

    loss: list[float]
    """Mean training loss of a sample."""
    accuracy: list[float]
    """Fraction of samples read right, while training."""
    free_energy: list[float]
    """Mean free energy of the right answer: its energy on the best path, or in :func:`train` at its beta."""
    gap: list[float]
    """How far the most offending answer lies above that, on average; NaN where a loop does not look for it."""
    seconds: list[float]
    """Time since the start."""


class Step(NamedTuple):
    """What a loop learns from one batch; each (B,)."""

    losses: Tensor
    correct: Tensor
    free_energies: Tensor
    gaps: Tensor = torch.tensor([math.nan])


def train_model(
    model: nn.Module,
    epochs: int,
    dataloader: Iterable[tuple[Tensor, Tensor]],
    criterion: Callable[[Tensor, Tensor], Tensor],
    optimizer: Optimizer,
) -> History:
    """Train on images of one letter each, batched by ``simple_collate_fn``.

    Args:
        criterion: (B, C) energies and (B,) classes to a scalar, such as ``cross_entropy``.
    """

    def step(batch: tuple[Tensor, Tensor]) -> Step:
        images, targets = (tensor.to(_device(model)) for tensor in batch)
        energies = model(images)[:, 0]
        loss = criterion(energies, targets)
        right = energies.gather(1, targets[:, None])[:, 0]
        others = energies.scatter(1, targets[:, None], math.inf).amin(1)
        return Step(loss.expand(len(targets)), energies.argmin(1) == targets, right, others - right)

    return _fit(model, epochs, dataloader, optimizer, step)


def train_ebm_model(
    model: nn.Module,
    num_epochs: int,
    train_loader: Iterable[Batch],
    criterion: Callable[[Tensor, Tensor], Tensor],
    optimizer: Optimizer,
) -> History:
    """Train on words batched by ``collate_fn``: the best path says which symbol each window shows, then learn that.

    Args:
        criterion: (B, L, T) cross-entropies and (B, L) target indices of the lowest-energy paths to (B,) losses:
            ``path_cross_entropy``.
    """

    def step(batch: Batch) -> Step:
        images, targets, window_lengths, target_lengths = (tensor.to(_device(model)) for tensor in batch)
        energies = model(images)
        best = viterbi(energies.detach(), targets, window_lengths, target_lengths)
        losses = criterion(build_ce_matrix(energies, targets), best.path)
        return Step(losses, _read_right(energies, batch), best.free_energy)

    return _fit(model, num_epochs, train_loader, optimizer, step)


def train_gtn_model(
    model: nn.Module,
    num_epochs: int,
    train_loader: Iterable[Batch],
    criterion: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor],
    optimizer: Optimizer,
) -> History:
    """Train on words batched by ``collate_fn``: every path counts, by its probability.

    Args:
        criterion: (B, L, C) energies, targets, window and target lengths to (B,) losses: ``forward_loss``.
    """

    def step(batch: Batch) -> Step:
        images, targets, window_lengths, target_lengths = (tensor.to(_device(model)) for tensor in batch)
        energies = model(images)
        losses = criterion(energies, targets, window_lengths, target_lengths)
        best = free_energy(energies.detach(), targets, window_lengths, target_lengths)
        return Step(losses, _read_right(energies, batch), best)

    return _fit(model, num_epochs, train_loader, optimizer, step)


def train(
    model: nn.Module,
    num_epochs: int,
    train_loader: Iterable[Batch],
    loss: Callable[..., Tensor],
    optimizer: Optimizer,
    *,
    beta: float = math.inf,
    separators: Separators = "required",
    normalised: bool = False,
) -> History:
    """Train on words batched by ``collate_fn`` with a loss of energies: words are the answers, their paths are latent.

    A word counts as read if every other word has a best path of more energy, see :func:`ebm_ocr.best_word`.

    Args:
        loss: gives (B,) from those of these that its parameters name, each (B,): ``good``, the free energy of the
            right word; ``bad``, that of the most offending one, see :func:`ebm_ocr.most_offending`; ``lowest``, the
            lower of both; ``log_partition``, over all words; and the number ``beta``. Every loss of
            :mod:`ebm_ocr.losses` is one; ``functools.partial(hinge_loss, margin=10.0)`` sets an option.
        beta: inverse temperature in (0, inf] of the free energies. The most offending word is the one that is so at
            inf: at a low beta another may have a lower free energy, by many paths that are each worse.
        separators: "required" or "optional", see :func:`ebm_ocr.free_energy`.
        normalised: make each window's energies log-probabilities first, see :func:`ebm_ocr.normalise`.

    Raises:
        ValueError: a loss with other parameters; ``log_partition`` at infinite beta.
    """
    offers = ("good", "bad", "lowest", "log_partition", "beta")
    signature = inspect.signature(loss.forward if isinstance(loss, nn.Module) else loss)
    given = set(getattr(loss, "keywords", {}))  # by functools.partial
    asked = set(signature.parameters) & set(offers) - given
    if any(p.name not in offers and p.default is p.empty for p in signature.parameters.values()):
        raise ValueError(f"expected a loss of {', '.join(offers)}, got one of {signature}")
    if "log_partition" in asked and not beta < math.inf:
        raise ValueError(f"expected a finite beta for a loss of log_partition, got {beta}")

    def step(batch: Batch) -> Step:
        images, targets, window_lengths, target_lengths = (tensor.to(_device(model)) for tensor in batch)
        energies = normalise(model(images)) if normalised else model(images)
        where = targets, window_lengths, target_lengths
        offending = most_offending(energies, _texts(batch), window_lengths, separators)
        good = free_energy(energies, *where, beta, separators)
        bad = word_energy(energies, [reading.text for reading in offending], window_lengths, beta, separators)
        terms = {"good": good, "bad": bad, "lowest": torch.minimum(good, bad), "beta": beta}
        if "log_partition" in asked:
            terms["log_partition"] = -beta * free_energy(energies, None, window_lengths, None, beta, separators)
        best = free_energy(energies.detach(), *where, separators=separators)
        correct = best < best.new_tensor([reading.energy for reading in offending])
        return Step(loss(**{name: terms[name] for name in asked}), correct, good, bad - good)

    return _fit(model, num_epochs, train_loader, optimizer, step)


def train_from_scratch(seed: int = 0, config: TrainConfig = TrainConfig()) -> tuple[SimpleNet, History]:
    """Train a reader with the assigned loss: path cross-entropy, no single letters first.

    The seed decides words, shuffling and initial weights; torch's global generator is left as it was.

    Raises:
        ValueError: a seed outside 0..9,999; those above are kept for test words.
    """
    model, loader, optimizer = prepare(seed, config)
    return model, train_ebm_model(model, config.epochs, loader, path_cross_entropy, optimizer)


def prepare(seed: int, config: TrainConfig) -> tuple[SimpleNet, DataLoader, Adam]:
    """A new network, its training words in batches, and its optimizer, all decided by the seed."""
    if not 0 <= seed < 10_000:
        raise ValueError(f"expected a training seed in 0..9999, got {seed}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SimpleNet(config.channels)
    words = SimpleWordsDataset(
        config.max_length, config.words, config.jitter, config.noise, min_length=config.min_length, seed=seed
    )
    order = torch.Generator().manual_seed(seed)
    loader = DataLoader(words, config.batch_size, shuffle=True, collate_fn=collate_fn, generator=order)
    optimizer = Adam(model.parameters(), config.learning_rate)
    schedule = OneCycleLR(optimizer, config.learning_rate, epochs=config.epochs, steps_per_epoch=len(loader))
    optimizer.register_step_post_hook(lambda *_: schedule.step())
    return model, loader, optimizer


def _fit(model: nn.Module, epochs: int, loader: Iterable, optimizer: Optimizer, step: Callable[..., Step]) -> History:
    """The loop that all trainings share: mean loss down, progress shown, history kept."""
    history = History([], [], [], [], [])
    model.train()
    start = time.perf_counter()
    progress = tqdm(range(epochs), desc="training", unit="pass", mininterval=5)
    for _ in progress:
        steps = []
        for batch in loader:
            result = step(batch)
            if result.losses.shape != result.correct.shape:
                expected, got = tuple(result.correct.shape), tuple(result.losses.shape)
                raise ValueError(f"expected the criterion to return one loss a word (B,) = {expected}, got {got}")
            optimizer.zero_grad()
            result.losses.mean().backward()
            optimizer.step()
            steps.append(Step(*(value.detach().double() for value in result)))
        if not steps:
            raise ValueError("expected a loader with at least one batch, got none")
        for values, kept in zip(zip(*steps), history):
            kept.append(torch.cat(values).mean().item())
        history.seconds.append(time.perf_counter() - start)
        progress.set_postfix(loss=f"{history.loss[-1]:.3g}", accuracy=f"{history.accuracy[-1]:.1%}")
    return history


def _read_right(energies: Tensor, batch: Batch) -> Tensor:
    """(B,) bool: whether each word is read exactly, by the vote of the windows."""
    readings = greedy_decode(energies.detach(), batch.window_lengths)
    return torch.tensor([a == b for a, b in zip(readings, _texts(batch))], device=energies.device)


def _texts(batch: Batch) -> list[str]:
    """The words of a batch."""
    lengths = batch.target_lengths.tolist()
    return [indices_to_str(target[:length]) for target, length in zip(batch.targets, lengths)]


def _device(model: nn.Module) -> torch.device:
    """Where the network's parameters are."""
    return next(model.parameters()).device
