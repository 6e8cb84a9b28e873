"""Energies to a scalar: what training makes small."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from .alignment import Separators, free_energy
from .alphabet import BETWEEN


def cross_entropy(energies: Tensor, target: Tensor, **options: Any) -> Tensor:
    """Cross-entropy of the soft-arg-min of energies: ``-log softmax(-energies)[target]``.

    Args:
        energies: (..., C), lower is better; the classes come last.
        target: (...) classes, the same leading shape.
        options: passed on to ``torch.nn.functional.cross_entropy``, such as ``reduction``.

    Returns:
        () mean over all targets, or (...) with ``reduction="none"``.

    Raises:
        ValueError: leading shapes that differ.
    """
    if energies.shape[:-1] != target.shape:
        expected = tuple(energies.shape[:-1])
        raise ValueError(f"expected target {expected} for energies {tuple(energies.shape)}, got {tuple(target.shape)}")
    logits = -energies  # border to probabilities: a low energy is a high logit
    losses = functional.cross_entropy(logits.flatten(0, -2), target.flatten(), **options)
    return losses.view(target.shape) if losses.dim() else losses


def forward_loss(
    energies: Tensor,
    targets: Tensor,
    window_lengths: Tensor | None = None,
    target_lengths: Tensor | None = None,
    separators: Separators = "optional",
) -> Tensor:
    """Negative log-likelihood of each target, all its alignments summed: the loss of graph transformer networks.

    The windows' energies are made log-probabilities, then it is ``free_energy`` at ``beta = 1``. With optional
    separators this is CTC (Graves et al. 2006, equation 7).

    Args and errors: see :func:`ebm_ocr.free_energy`.

    Returns:
        (B,), each at least 0.
    """
    normalised = energies + torch.logsumexp(-energies, dim=-1, keepdim=True)
    return free_energy(normalised, targets, window_lengths, target_lengths, beta=1.0, separators=separators)


class PathEnergyLoss(nn.Module):
    """The free energy of targets as a module, in the manner of ``nn.CTCLoss``: ``free_energy``, reduced.

    Call it with energies (B, L, C), targets (B, T), window lengths and target lengths, as :func:`ebm_ocr.free_energy`.

    Args:
        beta: inverse temperature in (0, inf]; inf counts the best path alone.
        separators: "required" or "optional".
        reduction: "none" for (B,); "sum"; or "mean" over the batch, each sample counting the same, unlike
            ``nn.CTCLoss``, which divides each by its target's length first.
        zero_infinity: False: a target that does not fit in its windows is a ``ValueError``, and one whose paths are
            all forbidden costs inf. True: both cost 0, with gradient 0.
        separator: class of the separator.

    Raises:
        ValueError: an option unknown; when called, see :func:`ebm_ocr.free_energy`.
    """

    def __init__(
        self,
        beta: float = math.inf,
        separators: Separators = "required",
        reduction: Literal["none", "mean", "sum"] = "mean",
        zero_infinity: bool = False,
        *,
        separator: int = BETWEEN,
    ) -> None:
        super().__init__()
        if not beta > 0:
            raise ValueError(f"expected beta in (0, inf], got {beta}")
        if separators not in ("required", "optional"):
            raise ValueError(f"expected separators 'required' or 'optional', got {separators!r}")
        if reduction not in ("none", "mean", "sum"):
            raise ValueError(f"expected reduction 'none', 'mean' or 'sum', got {reduction!r}")
        self.beta, self.separators, self.reduction, self.zero_infinity = beta, separators, reduction, zero_infinity
        self.separator = separator

    def forward(
        self,
        energies: Tensor,
        targets: Tensor,
        window_lengths: Tensor | None = None,
        target_lengths: Tensor | None = None,
    ) -> Tensor:
        """() or, unreduced, (B,)."""
        values = free_energy(
            energies,
            targets,
            window_lengths,
            target_lengths,
            self.beta,
            self.separators,
            self.separator,
            infeasible="inf" if self.zero_infinity else "raise",
        )
        if self.zero_infinity:
            values = values.where(values < math.inf, 0)
        return values if self.reduction == "none" else values.mean() if self.reduction == "mean" else values.sum()

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"beta={self.beta}, separators={self.separators!r}, reduction={self.reduction!r}, "
            f"zero_infinity={self.zero_infinity}"
        )


def energy_loss(good: Tensor) -> Tensor:
    """The right answer's energy alone: ``E``.

    Gradient: 1 on ``good``. No margin, and nothing raises the other answers: a model free to do so collapses to an
    energy that is the same everywhere. Source: LeCun et al. 2006, table 1.

    Args:
        good: (...) energies of the right answers.

    Returns:
        (...), one loss for each energy.
    """
    return good


def perceptron_loss(good: Tensor, lowest: Tensor) -> Tensor:
    """How far the right answer lies above the best one: ``E - min E``.

    Gradient: 1 on ``good``, -1 on ``lowest``; both cancel where the right answer is the best. No margin: a tie costs
    nothing. Source: LeCun et al. 2006, table 1.

    Args:
        good: (...) energies of the right answers.
        lowest: (...) lowest energies over all answers, the right ones included.

    Returns:
        (...), each at least 0.
    """
    return good - lowest


def hinge_loss(good: Tensor, bad: Tensor, margin: float | Tensor = 1.0) -> Tensor:
    """What the gap between a wrong and the right answer lacks of the margin: ``[m + E - Ē]⁺``.

    Gradient: 1 on ``good`` and -1 on ``bad`` while ``Ē - E < m``, else 0. At the kink ``Ē - E = m`` every number from
    0 to 1 is a subgradient; this is 0. Only the gap counts, not the level. Source: LeCun et al. 2006, table 1.

    Args:
        good: (...) energies of the right answers.
        bad: (...) energies of wrong answers, such as the most offending ones.
        margin: gap that costs nothing, in units of energy; a tensor gives each pair its own.

    Returns:
        (...), each at least 0.
    """
    return functional.relu(margin + good - bad)


def log_loss(good: Tensor, bad: Tensor) -> Tensor:
    """Soft hinge: ``log(1 + exp(E - Ē))``, stable for gaps of any size.

    Gradient: ``σ(E - Ē)`` on ``good`` and its opposite on ``bad``, σ the logistic function: 1/2 on a tie, never 0.
    The margin is infinite: every gap can be bettered. Source: LeCun et al. 2006, table 1; homework 1.3 (b).

    Args:
        good: (...) energies of the right answers.
        bad: (...) energies of wrong answers.

    Returns:
        (...), each at least 0.
    """
    return -functional.logsigmoid(bad - good)  # border to probabilities: of choosing good, of the two


def simple_loss(good: Tensor, bad: Tensor, margin: float | Tensor = 1.0) -> Tensor:
    """The right energy above 0, and the wrong one below the margin: ``[E]⁺ + [m - Ē]⁺``.

    Gradient: 1 on ``good`` while ``E > 0``, -1 on ``bad`` while ``Ē < m``, each alone. At the kinks ``E = 0`` and
    ``Ē = m`` every number from 0 to 1 is a subgradient (of the size); this is 0. Levels count, not the gap.
    Source: homework 1.3 (a).

    Args:
        good: (...) energies of the right answers.
        bad: (...) energies of wrong answers.
        margin: level from which a wrong answer costs nothing.

    Returns:
        (...), each at least 0.
    """
    return functional.relu(good) + functional.relu(margin - bad)


def square_square_loss(good: Tensor, bad: Tensor, margin: float | Tensor = 1.0) -> Tensor:
    """The simple loss with each term squared: ``([E]⁺)² + ([m - Ē]⁺)²``.

    Gradient: ``2[E]⁺`` on ``good``, ``-2[m - Ē]⁺`` on ``bad``; it fades to 0 at ``E = 0`` and ``Ē = m``, so there is
    no kink. Levels count, not the gap. Source: homework 1.3 (c); LeCun et al. 2006, table 1, has ``E²`` in place of
    ``([E]⁺)²``, the same for energies that are never negative.

    Args:
        good: (...) energies of the right answers.
        bad: (...) energies of wrong answers.
        margin: level from which a wrong answer costs nothing.

    Returns:
        (...), each at least 0.
    """
    return functional.relu(good).square() + functional.relu(margin - bad).square()


def nll_loss(good: Tensor, log_partition: Tensor, beta: float = 1.0) -> Tensor:
    """Negative log-likelihood of the right answer, times ``1/β``: ``E + 1/β log Z``, with ``Z = Σ exp(-β E)``.

    Gradient: ``1 - p`` on the right answer's energy and ``-p`` on each other one, p its Gibbs probability. No
    explicit margin: every gap can be bettered. As β grows it tends to ``perceptron_loss``.
    Source: LeCun et al. 2006, table 1; homework 1.2.

    Args:
        good: (...) energies of the right answers.
        log_partition: (...) ``log Z`` over all answers, the right ones included.
        beta: inverse temperature, above 0.

    Returns:
        (...), each at least 0 where answers are counted one by one.
    """
    return good + log_partition / beta
