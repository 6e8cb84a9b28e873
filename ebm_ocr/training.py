"""Training loops, and the one recipe that trains a reader from scratch."""

from __future__ import annotations

import inspect
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR
from tqdm.auto import tqdm

from .alignment import free_energy, viterbi
from .datasets import AugmentedBatches, Batch, SimpleWordsDataset
from .decoding import greedy_decode
from .history import History
from .losses import Answers, normalise
from .network import SimpleNet, alphabet_of, in_mode, lowest_class, to_model
from .path_matrix import build_ce_matrix, path_cross_entropy
from .rendering import NOISE, as_sizes
from .validation import Separators, as_beta, real_number, truth, whole_number, widen


@dataclass(frozen=True)
class TrainConfig:
    """Every hyperparameter of :func:`train_from_scratch`.

    As plain data, which a checkpoint may hold (``torch.load`` refuses classes):

    >>> from dataclasses import asdict
    >>> TrainConfig(**asdict(TrainConfig(words=100))).words
    100

    Raises:
        TypeError, ValueError: numbers that are not whole or below 1, flags that are no bool.
    """

    words: int = 2500
    min_length: int = 2
    max_length: int = 6
    doubled: float = 0.2
    """Share of the words with a doubled letter for certain; chance doubles a pair now and then."""
    font_size: int | tuple[int, int] = (17, 23)
    """In pixels; of a pair, each word's is drawn evenly from these and all sizes between."""
    jitter: bool = True
    noise: bool = False
    """Words with noise, drawn anew in each pass."""
    epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 3e-2
    """Peak of the one-cycle schedule (Smith & Topin 2018); it ends at nearly 0."""
    channels: int = 32

    def __post_init__(self) -> None:
        checks: dict[str, Callable[[str, Any], object]]
        checks = {"int": partial(whole_number, least=1), "bool": truth, "float": real_number}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "font_size":
                sizes = as_sizes(value)
                value = (sizes[0], sizes[-1]) if isinstance(value, (tuple, list)) else sizes[0]
            else:
                value = checks[str(field.type)](field.name, value)
            object.__setattr__(self, field.name, value)  # frozen, and numpy's numbers become plain


class Setup(NamedTuple):
    """What a training starts from, see :func:`prepare`."""

    model: SimpleNet
    loader: AugmentedBatches
    optimizer: Adam
    schedule: OneCycleLR


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
    *,
    schedule: LRScheduler | None = None,
    history: History | None = None,
) -> History:
    """Train on images of one letter each, batched by ``simple_collate_fn``.

    All loops are alike. The network trains where its weights are, in their type, in training mode
    (modules in it that are in evaluation mode stay so, unless the whole network is); afterwards its
    mode is as before.

    >>> from ebm_ocr import cross_entropy, simple_collate_fn
    >>> model, letters = SimpleNet(channels=4), SimpleWordsDataset(1, 8, seed=0)
    >>> loader = torch.utils.data.DataLoader(letters, 4, collate_fn=simple_collate_fn)
    >>> len(train_model(model, 1, loader, cross_entropy, Adam(model.parameters())).loss)
    1

    Args:
        epochs: passes over the data, 0 or more.
        criterion: (B, C) energies and (B,) classes to a scalar, such as ``cross_entropy``.
        schedule: of the learning rate, stepped after each step of the optimizer.
        history: where to write an entry after each pass, so that a training that is interrupted
            keeps what it has and one that is resumed goes on; default a new one.

    Raises:
        TypeError: an optimizer or schedule whose ``step()`` needs something (LBFGS, plateaus);
            batches that are not those of the collate function.
        ValueError: an optimizer of no weight that trains, a schedule of another optimizer or with
            too few steps left, no batch; and in a pass that is named, a loss, energies or weights
            that are NaN, a loss that does not depend on the weights.
    """

    def step(batch: tuple[Tensor, Tensor]) -> Step:
        images, targets = _bring(model, batch, letters=True)
        energies = model(images)[:, 0]
        read = lowest_class(energies.detach())
        loss = criterion(energies, targets)
        right = energies.gather(1, targets[:, None])[:, 0]
        others = energies.scatter(1, targets[:, None], math.inf).amin(1)
        return Step(loss.expand(len(targets)), read == targets, right, others - right)

    return _fit(model, epochs, dataloader, optimizer, step, schedule, history)


def train_ebm_model(
    model: nn.Module,
    num_epochs: int,
    train_loader: Iterable[Batch],
    criterion: Callable[[Tensor, Tensor], Tensor],
    optimizer: Optimizer,
    *,
    schedule: LRScheduler | None = None,
    history: History | None = None,
) -> History:
    """Train on words batched by ``collate_fn``: learn what the best path says that windows show.

    >>> model, loader, optimizer, schedule = prepare(0, TrainConfig(words=20, epochs=1, channels=4))
    >>> history = train_ebm_model(
    ...     model, 1, loader, path_cross_entropy, optimizer, schedule=schedule
    ... )
    >>> len(history.loss)
    1

    Args:
        criterion: (B, L, T) cross-entropies and (B, L) target indices of the lowest-energy paths
            to (B,) losses: ``path_cross_entropy``.

    Args and errors otherwise: see :func:`train_model`.
    """

    def step(batch: Batch) -> Step:
        images, targets, window_lengths, target_lengths = _bring(model, batch)
        energies = model(images)
        best = viterbi(energies.detach(), targets, window_lengths, target_lengths)
        losses = criterion(build_ce_matrix(energies, targets), best.path)
        return Step(losses, _read_right(model, energies, batch), best.free_energy)

    return _fit(model, num_epochs, train_loader, optimizer, step, schedule, history)


def train_gtn_model(
    model: nn.Module,
    num_epochs: int,
    train_loader: Iterable[Batch],
    criterion: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor],
    optimizer: Optimizer,
    *,
    schedule: LRScheduler | None = None,
    history: History | None = None,
) -> History:
    """Train on words batched by ``collate_fn``: every path counts, by its probability.

    >>> from ebm_ocr import forward_loss
    >>> model, loader, optimizer, schedule = prepare(0, TrainConfig(words=20, epochs=1, channels=4))
    >>> len(train_gtn_model(model, 1, loader, forward_loss, optimizer, schedule=schedule).loss)
    1

    Args:
        criterion: (B, L, C) energies, targets, window and target lengths to (B,) losses:
            ``forward_loss``.

    Args and errors otherwise: see :func:`train_model`.
    """

    def step(batch: Batch) -> Step:
        images, targets, window_lengths, target_lengths = _bring(model, batch)
        energies = model(images)
        losses = criterion(energies, targets, window_lengths, target_lengths)
        best = free_energy(energies.detach(), targets, window_lengths, target_lengths)
        return Step(losses, _read_right(model, energies, batch), best)

    return _fit(model, num_epochs, train_loader, optimizer, step, schedule, history)


def train(
    model: nn.Module,
    num_epochs: int,
    train_loader: Iterable[Batch],
    loss: Callable[[Answers], Tensor],
    optimizer: Optimizer,
    *,
    beta: float = math.inf,
    separators: Separators = "required",
    normalised: bool = False,
    schedule: LRScheduler | None = None,
    history: History | None = None,
) -> History:
    """Train on words batched by ``collate_fn`` with a loss of energies of whole words.

    Words are the answers, their paths are latent. A word counts as read if every other word has a
    best path of more energy, see :func:`ebm_ocr.best_word`.

    >>> model, loader, optimizer, schedule = prepare(0, TrainConfig(words=20, epochs=1, channels=4))
    >>> def hinge(answers):
    ...     return answers.good - answers.bad + 10
    >>> len(train(model, 1, loader, hinge, optimizer, schedule=schedule).loss)
    1

    Args:
        loss: :class:`ebm_ocr.Answers`, which offer what each loss of answers takes, to (B,) losses:
            ``lambda answers: hinge_loss(answers.good, answers.bad, margin=10.0)``.
        beta: inverse temperature in (0, inf] of the free energies.
        separators: "required" or "optional", see :func:`ebm_ocr.free_energy`.
        normalised: make each window's energies log-probabilities first, see
            :func:`ebm_ocr.normalise`.

    Raises:
        TypeError: a loss that does not take ``Answers``, or does not return a tensor.
        ValueError: a loss of ``log_partition`` at infinite beta.

    Args and errors otherwise: see :func:`train_model`.
    """
    beta = as_beta(beta)

    def step(batch: Batch) -> Step:
        images, targets, window_lengths, target_lengths = _bring(model, batch)
        energies = normalise(model(images)) if normalised else model(images)
        where = targets, window_lengths, target_lengths
        best = free_energy(energies.detach(), *where, separators=separators)
        alphabet = alphabet_of(model)
        answers = Answers(energies, batch.texts, window_lengths, beta, separators, alphabet)
        correct = best < best.new_tensor([reading.energy for reading in answers.offending])
        losses = _losses(loss, answers)
        return Step(losses, correct, answers.good, answers.bad - answers.good)

    return _fit(model, num_epochs, train_loader, optimizer, step, schedule, history)


def train_from_scratch(
    seed: int = 0, config: TrainConfig = TrainConfig()
) -> tuple[SimpleNet, History]:
    """Train a reader with the assigned loss: path cross-entropy, no single letters first.

    The seed decides words, shuffling and initial weights; torch's global generator is left as it
    was.

    >>> model, history = train_from_scratch(0, TrainConfig(words=20, epochs=1, channels=4))
    >>> model.training, len(history.accuracy)
    (False, 1)

    Returns:
        The network, in evaluation mode, and its history.

    Raises:
        TypeError: a seed that is no whole number.
        ValueError: a seed outside 0..9,999; those above are kept for test words.
    """
    model, loader, optimizer, schedule = prepare(seed, config)
    history = train_ebm_model(
        model, config.epochs, loader, path_cross_entropy, optimizer, schedule=schedule
    )
    return model.eval(), history


def prepare(seed: int, config: TrainConfig) -> Setup:
    """A new network, its words in batches, its optimizer and schedule, all decided by the seed.

    The optimizer waits at the low rate where the schedule begins, so hand both to the loop, which
    warns if the schedule is left out.

    A training that is to go on later as if unbroken has five states, all plain data for
    ``torch.save``: the ``state_dict()`` of model, optimizer and schedule, what is left to chance in
    ``loader.generator.get_state()``, and ``history._asdict()``. Set them in a new ``prepare`` of
    the same seed and config.

    >>> setup = prepare(0, TrainConfig(words=64, epochs=1, channels=4))
    >>> len(setup.loader), setup.model.alphabet.size
    (5, 27)
    """
    seed = whole_number("a training seed", seed, 0, 9_999)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SimpleNet(config.channels)
    words = SimpleWordsDataset(
        config.max_length,
        config.words,
        min_length=config.min_length,
        doubled=config.doubled,
        seed=seed,
        font_size=config.font_size,
    )
    chance = torch.Generator().manual_seed(seed)  # of order, shifts and noise
    specks = NOISE if config.noise else 0.0
    loader = AugmentedBatches(words, config.batch_size, config.jitter, specks, chance)
    optimizer = Adam(model.parameters(), config.learning_rate, betas=(0.85, 0.99), fused=True)
    schedule = OneCycleLR(
        optimizer,
        config.learning_rate,
        epochs=config.epochs,
        steps_per_epoch=len(loader),
        pct_start=0.4,
        cycle_momentum=False,
    )
    return Setup(model, loader, optimizer, schedule)


def _fit(
    model: nn.Module,
    epochs: int,
    loader: Iterable,
    optimizer: Optimizer,
    step: Callable[..., Step],
    schedule: LRScheduler | None,
    history: History | None,
) -> History:
    """The loop that all trainings share: mean loss down, progress shown, history kept."""
    epochs = whole_number("epochs", epochs, 0)
    history = History([], [], [], [], []) if history is None else history
    _check_run(model, epochs, loader, optimizer, schedule, history)
    first = len(history.loss) + 1
    start = time.perf_counter() - (history.seconds[-1] if history.seconds else 0)
    with in_mode(model, training=True), _progress(range(first, first + epochs)) as progress:
        for number in progress:
            steps: list[Step] = []
            for batch in loader:
                with _named(f"pass {number}, step {len(steps) + 1}"):
                    steps.append(_descend(step(batch), optimizer))
                if schedule is not None:
                    schedule.step()
            with _named(f"pass {number}"):
                _check_pass(model, steps)
            for values, kept in zip(zip(*steps), history):
                kept.append(torch.cat(values).mean().item())
            history.seconds.append(time.perf_counter() - start)
            progress.set_postfix(
                loss=f"{history.loss[-1]:.3g}", accuracy=f"{history.accuracy[-1]:.1%}"
            )
    return history


def _descend(result: Step, optimizer: Optimizer) -> Step:
    """One step down the mean loss; what the batch showed, ready to be averaged."""
    if result.losses.shape != result.correct.shape:
        expected, got = tuple(result.correct.shape), tuple(result.losses.shape)
        raise ValueError(
            f"expected the criterion to return one loss a word (B,) = {expected}, got {got}"
        )
    if not result.losses.requires_grad:
        raise ValueError("expected a loss that depends on the weights, got one without a gradient")
    if result.losses.isnan().any():
        raise ValueError("expected a loss, got NaN")
    optimizer.zero_grad()
    result.losses.mean().backward()
    optimizer.step()
    return Step(*(widen(value.detach()) for value in result))


def _losses(loss: Callable[[Answers], Tensor], answers: Answers) -> Tensor:
    """(B,) losses, or an error that shows how a loss is written."""
    expected = "expected a loss such as lambda answers: hinge_loss(answers.good, answers.bad)"
    try:
        losses = loss(answers)
    except TypeError as error:
        raise TypeError(f"{expected}: {error}") from error
    if not isinstance(losses, Tensor):
        raise TypeError(f"{expected}, got one that returns {type(losses).__name__}")
    return losses


@contextmanager
def _progress(passes: range) -> Iterator[tqdm]:
    """A bar that shows the passes, where there is a console; no warnings of copied schedules."""
    no_console = sys.stderr is None or getattr(sys.stderr, "closed", False)
    quiet = no_console or bool(os.environ.get("TQDM_DISABLE"))  # notebooks' bars do not ask
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Seems like `optimizer.step")
        yield tqdm(passes, desc="training", unit="pass", mininterval=5, disable=quiet)


@contextmanager
def _named(place: str) -> Iterator[None]:
    """Say in each ``ValueError`` where in the training it was raised."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error


def _check_pass(model: nn.Module, steps: list[Step]) -> None:
    """Refuse to go on after a pass that taught nothing, or ruined the weights."""
    if not steps:
        raise ValueError("expected a loader with at least one batch, got none")
    if any(weights.isnan().any() for weights in model.parameters()):
        raise ValueError("weights became NaN")


def _check_run(
    model: nn.Module,
    epochs: int,
    loader: Iterable,
    optimizer: Optimizer,
    schedule: LRScheduler | None,
    history: History,
) -> None:
    """Refuse a training that could not run to its end, or would train nothing."""
    _check_optimizer(model, optimizer)
    if schedule is not None:
        _check_schedule(schedule, optimizer, epochs, loader)
    elif any("max_lr" in group for group in optimizer.param_groups):
        warnings.warn(
            "the optimizer waits at the low rate where a one-cycle schedule begins: pass schedule=",
            stacklevel=4,
        )
    if not isinstance(history, History):
        raise TypeError(f"expected a History, got {type(history).__name__}")


def _check_optimizer(model: nn.Module, optimizer: Optimizer) -> None:
    """Refuse an optimizer that these loops cannot use, or that would train nothing."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"expected a torch optimizer, got {type(optimizer).__name__}")
    _check_step("optimizer", optimizer)
    trained = {id(weights) for weights in model.parameters() if weights.requires_grad}
    held = {id(weights) for group in optimizer.param_groups for weights in group["params"]}
    if not trained & held:
        raise ValueError(
            "expected an optimizer that holds weights of the network, not all frozen, got "
            + ("another's" if trained else "a network whose weights are all frozen")
        )


def _check_schedule(
    schedule: LRScheduler, optimizer: Optimizer, epochs: int, loader: Iterable
) -> None:
    """Refuse a schedule that would do nothing, or end before the training."""
    if not isinstance(schedule, LRScheduler):
        raise TypeError(f"expected a schedule of torch.optim, got {type(schedule).__name__}")
    _check_step("schedule", schedule)
    if getattr(schedule, "optimizer", optimizer) is not optimizer:
        raise ValueError("expected a schedule of this optimizer, got another's")
    if hasattr(schedule, "total_steps") and isinstance(loader, Sized):
        left, needed = schedule.total_steps - schedule.last_epoch, epochs * len(loader)
        if needed > left:
            raise ValueError(
                f"expected at most the {left} steps that the schedule has left, got {needed}, "
                f"{len(loader)} a pass"
            )


def _check_step(name: str, stepper: Optimizer | LRScheduler) -> None:
    """Refuse what asks for more at each step than the loops have."""
    kind = type(stepper)  # a schedule wraps its optimizer's own step
    needed = _needed(inspect.signature(kind.step))[1:]
    if needed:
        raise TypeError(
            f"expected step() of the {name} to need nothing, {kind.__name__} needs {needed}"
        )


def _needed(signature: inspect.Signature) -> list[str]:
    """The parameters without which a function cannot be called."""
    optional = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
    return [
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.default is parameter.empty and parameter.kind not in optional
    ]


def _bring(model: nn.Module, batch: Sequence[Any], letters: bool = False) -> tuple[Tensor, ...]:
    """The tensors of a batch where the network is, the images in its type."""
    if not letters and not isinstance(batch, Batch):
        raise TypeError(f"expected a Batch, as collate_fn makes it, got {type(batch).__name__}")
    parts, size = (batch, 2) if letters else (batch[:-1], 4)
    if not isinstance(parts, Sequence) or not all(isinstance(part, Tensor) for part in parts):
        raise TypeError(f"expected batches of {size} tensors, made by a collate function of words")
    if len(parts) != size:
        raise ValueError(f"expected batches of {size} tensors, got {len(parts)}")
    images, *others = parts
    images = to_model(model, images)
    return images, *(part.to(images.device) for part in others)


def _read_right(model: nn.Module, energies: Tensor, batch: Batch) -> Tensor:
    """(B,) bool: whether each word is read exactly, by the vote of the windows."""
    lengths = batch.window_lengths
    readings = greedy_decode(energies.detach(), lengths, alphabet=alphabet_of(model))
    right = [reading == text for reading, text in zip(readings, batch.texts)]
    return torch.tensor(right, device=energies.device)
