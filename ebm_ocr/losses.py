"""Energies to the scalar that training lowers: losses of windows, and losses of answers.

A loss of windows takes energies of windows and a target, as a network and a loader give them. A
loss of answers takes one energy for each answer and compares answers, whatever these are; an
answer's energy may be a free energy, over its latent variables. Words are answers whose latent
variable is the path, and :class:`Answers` has their energies:

>>> energies = torch.tensor([[[0.0, 5.0, 9.0], [9.0, 9.0, 0.0]]])  # two windows that show a_
>>> answers = Answers(energies, ["b"])
>>> answers.good, answers.bad
(tensor([5.]), tensor([0.]))
>>> hinge_loss(answers.good, answers.bad, margin=10.0)
tensor([15.])

In their formulas E is ``good``, the energy of the right answer; Ē is ``bad``, that of a wrong one,
best the most offending one, which is the wrong answer of least energy; min E is ``lowest``, over
all answers, the right one included; and log Z is ``log_partition``, with ``Z = Σ exp(-β E)`` over
the same, at the inverse temperature ``beta`` above 0. σ is the logistic function, and ``[x]⁺`` the
larger of x and 0.

=======================  =====================  ===========================================
loss                     formula                asks for
=======================  =====================  ===========================================
energy_loss              E                      a low right energy, and nothing else
perceptron_loss          E - min E              the right answer first, or in a tie
lvq2_loss                min(M, [E - Ē]⁺)       the same, but gives up on errors beyond M
hinge_loss               [m + E - Ē]⁺           a gap of m, at any level
log_loss                 log(1 + exp(E - Ē))    any gap, the wider the better
mce_loss                 σ(E - Ē)               few errors, counted smoothly
simple_loss              [E]⁺ + [m - Ē]⁺        levels: E at most 0, Ē at least m
square_square_loss       ([E]⁺)² + ([m - Ē]⁺)²  the same
square_exponential_loss  E² + γ exp(-Ē)         E at 0, Ē as high as can be
mee_loss                 1 - exp(-β E) / Z      a probability near 1
nll_loss                 E + 1/β log Z          the same, and never content
=======================  =====================  ===========================================

Each takes energies (...) and gives (...), a loss for each. At a kink, every number from 0 to 1 is a
subgradient, of the size; here it is 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .alignment import free_energy
from .alphabet import Alphabet, Word, alphabet_for
from .decoding import Reading, most_offending, word_energy
from .path_matrix import normalise
from .validation import (
    Reduction,
    Separators,
    as_beta,
    as_integers,
    as_lengths,
    as_optional,
    can_look_at,
    check_classes,
    check_energies,
    check_range,
    check_reduction,
    narrow,
    truth,
    whole_number,
    widen,
    without_padding,
)

# Losses of windows: energies and targets, as network and loader give them


def cross_entropy(energies: Tensor, target: Tensor, **options: Any) -> Tensor:
    """Cross-entropy of the soft-arg-min of energies: ``-log softmax(-energies)[target]``.

    >>> cross_entropy(torch.zeros(1, 4), torch.tensor([3]))  # log 4
    tensor(1.3863)

    Args:
        energies: (..., C), lower is better; the classes come last.
        target: (...) classes, the same leading shape.
        options: passed on to ``torch.nn.functional.cross_entropy``, such as ``reduction``.

    Returns:
        () mean over all targets, or (...) with ``reduction="none"``; inf where every class is
        forbidden.

    Raises:
        TypeError: energies not floating point, targets not integers.
        ValueError: no classes, leading shapes that differ, a class that there is not.
    """
    check_classes(energies)
    energies, target = narrow(energies, energies), as_integers("targets", target)
    target = target.to(energies.device)
    if energies.shape[:-1] != target.shape:
        expected = tuple(energies.shape[:-1])
        raise ValueError(
            f"expected target {expected} for energies {tuple(energies.shape)}, "
            f"got {tuple(target.shape)}"
        )
    if can_look_at(target):
        counts = target != options.get("ignore_index", -100)
        check_range("targets", target.where(counts, 0), energies.shape[-1])
    if isinstance(options.get("weight"), Tensor):
        options["weight"] = options["weight"].to(energies)
    # or there is no probability to share out
    open_ = energies.detach().amin(-1, keepdim=True) != math.inf
    chosen = torch.arange(energies.shape[-1], device=energies.device) == target[..., None]
    logits = -energies.where(open_, 0)  # border to probabilities: a low energy is a high logit
    logits = logits.masked_fill(~open_ & chosen, -math.inf)
    flat = logits.reshape(-1, energies.shape[-1]), target.reshape(-1)
    losses = functional.cross_entropy(*flat, **options)
    return losses.view(target.shape) if losses.dim() else losses


def forward_loss(
    energies: Tensor,
    targets: Tensor,
    window_lengths: Tensor | None = None,
    target_lengths: Tensor | None = None,
    separators: Separators = "optional",
    separator: int | None = None,
) -> Tensor:
    """Negative log-likelihood of each target, all its alignments summed:
    the loss of graph transformer networks.

    The windows' energies are made log-probabilities, then it is ``free_energy`` at ``beta = 1``.
    With optional separators this is CTC (Graves et al. 2006, equation 7).

    >>> forward_loss(torch.zeros(1, 2, 3), torch.tensor([[0]]))  # aa, a_, _a of nine: log 3
    tensor([1.0986])

    Args and errors: see :func:`ebm_ocr.free_energy`.

    Returns:
        (B,), each at least 0.
    """
    check_energies(energies)
    window_lengths = as_lengths("window_lengths", window_lengths, energies, energies.shape[1])
    wide = normalise(widen(without_padding(energies, window_lengths)))
    lengths = window_lengths, target_lengths  # float64: near 0 a loss would be its rounding
    values = free_energy(wide, targets, *lengths, 1.0, separators, separator)
    return narrow(values.clamp(min=0), energies)


class PathEnergyLoss(nn.Module):
    """The free energy of targets as a module, in the manner of ``nn.CTCLoss``:
    ``free_energy``, reduced. CTC itself is ``PathEnergyLoss(beta=1.0, separators="optional",
    separator=blank)`` of ``-log_probs``, but for its mean.

    Call it with energies (B, L, C), targets (B, T), window lengths and target lengths,
    as :func:`ebm_ocr.free_energy`.

    >>> loss = PathEnergyLoss(beta=1.0, reduction="sum")
    >>> loss(torch.zeros(1, 3, 3), torch.tensor([[0, 2]]))  # two paths: -log 2
    tensor(-0.6931)

    Args:
        beta: inverse temperature in (0, inf]; inf counts the best path alone.
        separators: "required" or "optional".
        reduction: "none" for (B,); "sum"; or "mean" over the batch, each sample counting the same,
            unlike ``nn.CTCLoss``, which divides each by its target's length first.
        zero_infinity: False: a target that does not fit in its windows is a ``ValueError``,
            and one whose paths are all forbidden costs inf. True: both cost 0, with gradient 0.
        separator: class of the separator; default the last one.

    Raises:
        TypeError, ValueError: an option unknown; when called, see :func:`ebm_ocr.free_energy`.
    """

    def __init__(
        self,
        beta: float = math.inf,
        separators: Separators = "required",
        reduction: Reduction = "mean",
        zero_infinity: bool = False,
        *,
        separator: int | None = None,
    ) -> None:
        super().__init__()
        as_optional(separators)
        check_reduction(reduction)
        self.beta, self.separators, self.reduction = as_beta(beta), separators, reduction
        self.zero_infinity = truth("zero_infinity", zero_infinity)
        self.separator = None if separator is None else whole_number("a separator", separator, 0)

    def forward(
        self,
        energies: Tensor,
        targets: Tensor,
        window_lengths: Tensor | None = None,
        target_lengths: Tensor | None = None,
    ) -> Tensor:
        """() or, unreduced, (B,)."""
        check_energies(energies)
        if targets is None:  # free_energy would sum over every word
            raise TypeError("expected an integer tensor of targets, got None")
        # what overflows later is not impossible, and its mean need not overflow
        wide = self.zero_infinity or self.reduction != "none"
        values = free_energy(
            energies,
            targets,
            window_lengths,
            target_lengths,
            self.beta,
            self.separators,
            self.separator,
            infeasible="inf" if self.zero_infinity else "raise",
            dtype=torch.float64 if wide and energies.device.type != "mps" else None,
        )
        if self.zero_infinity:
            values = values.where(values < math.inf, 0)
        if self.reduction != "none":
            values = values.mean() if self.reduction == "mean" else values.sum()
        return narrow(values, energies)

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"beta={self.beta}, separators={self.separators!r}, reduction={self.reduction!r}, "
            f"zero_infinity={self.zero_infinity}, separator={self.separator}"
        )


# Losses of answers: the energies of words, and functions of the energies of any answers


@dataclass(frozen=True, eq=False)
class Answers:
    """Words as answers to a batch: their free energies, each computed once, and only if asked for.

    All have a gradient with respect to the energies of the windows. Errors: see
    :func:`ebm_ocr.free_energy` and :func:`ebm_ocr.most_offending`.

    >>> answers = Answers(torch.tensor([[[0.0, 2.0, 9.0], [9.0, 9.0, 0.0]]]), ["a"])
    >>> answers.good, answers.bad, answers.offending[0].text
    (tensor([0.]), tensor([2.]), 'b')
    """

    energies: Tensor = field(repr=False)
    """(B, L, C), lower is better, as the network or :func:`normalise` gives them."""
    words: Sequence[Word]
    """B right words; one that does not fit in its windows has the energy inf."""
    window_lengths: Tensor | None = None
    """(B,) how many windows of each sample count; default L."""
    beta: float = math.inf
    """Inverse temperature in (0, inf]; inf counts each word's best path alone."""
    separators: Separators = "required"
    """Or "optional", see :func:`ebm_ocr.free_energy`."""
    alphabet: Alphabet | None = None
    """Of the C classes; default a..z, or its first letters."""

    @cached_property
    def good(self) -> Tensor:
        """(B,) free energy of the right word."""
        return self._energy(self.words)

    @cached_property
    def bad(self) -> Tensor:
        """(B,) free energy of the most offending word."""
        alphabet = alphabet_for(self.alphabet, self.energies.shape[2])
        names = alphabet.names.__getitem__
        return self._energy([[*map(names, reading.classes)] for reading in self.offending])

    @cached_property
    def lowest(self) -> Tensor:
        """(B,) the lower of both; at ``beta = inf``, the lowest of all words."""
        return torch.minimum(self.good, self.bad)

    @cached_property
    def log_partition(self) -> Tensor:
        """(B,) log Z over all words; a ``ValueError`` at ``beta = inf``."""
        if self.beta == math.inf:
            raise ValueError("expected a finite beta for the log-partition, got inf")
        gap = alphabet_for(self.alphabet, self.energies.shape[2]).separator
        where = self.window_lengths, None, self.beta, self.separators, gap
        return -self.beta * free_energy(self.energies, None, *where)

    @cached_property
    def offending(self) -> list[Reading]:
        """The most offending words. They are so at ``beta = inf``: at a low beta another may have a
        lower free energy, by many paths that are each worse."""
        where = self.window_lengths, self.separators
        return most_offending(self.energies, self.words, *where, alphabet=self.alphabet)

    def _energy(self, words: Sequence[Word]) -> Tensor:
        """(B,) free energies of one word a sample."""
        where = self.window_lengths, self.beta, self.separators
        return word_energy(self.energies, words, *where, alphabet=self.alphabet)


def energy_loss(good: Tensor) -> Tensor:
    """``E``: the right answer's energy alone.

    Gradient: 1 on ``good``. No margin, and nothing raises the other answers: a model free to do so
    collapses to an energy that is the same everywhere. Source: LeCun et al. 2006, table 1.

    >>> energy_loss(torch.tensor([2.0]))
    tensor([2.])
    """
    return good


def perceptron_loss(good: Tensor, lowest: Tensor) -> Tensor:
    """``E - min E``, at least 0: how far the right answer lies above the best one.

    Gradient: 1 on ``good``, -1 on ``lowest``, which includes the right answer: both cancel where it
    is the best. No margin: a tie costs nothing. Source: LeCun et al. 2006, table 1.

    >>> perceptron_loss(torch.tensor([2.0, 3.0]), lowest=torch.tensor([2.0, 1.0]))
    tensor([0., 2.])
    """
    return good - lowest


def lvq2_loss(good: Tensor, bad: Tensor, limit: float = 1.0) -> Tensor:
    """``min(M, [E - Ē]⁺)``, in 0..M: how far the right answer lies above a wrong one, at most M.

    Gradient: 1 on ``good`` and -1 on ``bad`` while ``0 < E - Ē < M``, else 0, kinks at both ends
    included: errors too large to mend are let be. No margin: a tie costs nothing. LVQ2 is learning
    vector quantisation, where M depends on the energies; a fixed one, above 0, keeps what matters
    here. Source: LeCun et al. 2006, table 1.

    >>> lvq2_loss(torch.tensor([1.0, 1.5, 9.0]), torch.tensor([2.0, 1.0, 1.0]))
    tensor([0.0000, 0.5000, 1.0000])
    """
    gap = functional.relu(good - bad)
    return torch.where(gap >= limit, limit, gap)  # NaN stays NaN


def hinge_loss(good: Tensor, bad: Tensor, margin: float | Tensor = 1.0) -> Tensor:
    """``[m + E - Ē]⁺``, at least 0: what the gap lacks of the margin m.

    Gradient: 1 on ``good`` and -1 on ``bad`` while ``Ē - E < m``, else 0, the kink included. The
    margin is in units of energy; a tensor gives each pair its own. Only the gap counts, not the
    level. Source: LeCun et al. 2006, table 1.

    >>> hinge_loss(torch.tensor([1.0, 1.0]), torch.tensor([1.5, 4.0]), margin=2.0)
    tensor([1.5000, 0.0000])
    """
    return functional.relu(margin + good - bad)


def log_loss(good: Tensor, bad: Tensor) -> Tensor:
    """``log(1 + exp(E - Ē))``, at least 0: the soft hinge, stable for gaps of any size.

    Gradient: ``σ(E - Ē)`` on ``good`` and its opposite on ``bad``: 1/2 on a tie, never 0. The
    margin is infinite: every gap can be bettered. Source: LeCun et al. 2006, table 1; homework
    1.3 (b).

    >>> log_loss(torch.tensor([1.0]), torch.tensor([1.0]))  # a tie: log 2
    tensor([0.6931])
    """
    # border to probabilities: of choosing good, of the two
    return -functional.logsigmoid(bad - good)


def mce_loss(good: Tensor, bad: Tensor) -> Tensor:
    """``σ(E - Ē) = 1 / (1 + exp(Ē - E))``, in 0..1: minimum classification error, a smooth count.

    Gradient: ``σ(1 - σ)`` on ``good`` and its opposite on ``bad``: 1/4 on a tie, next to nothing
    where the answer is far from the border, right or wrong. No explicit margin: every gap can be
    bettered. Source: LeCun et al. 2006, table 1.

    >>> mce_loss(torch.tensor([1.0]), torch.tensor([1.0]))  # a tie
    tensor([0.5000])
    """
    return torch.sigmoid(good - bad)  # border to probabilities: of choosing bad, of the two


def simple_loss(good: Tensor, bad: Tensor, margin: float | Tensor = 1.0) -> Tensor:
    """``[E]⁺ + [m - Ē]⁺``, at least 0: the right energy above 0, the wrong one below the margin m.

    Gradient: 1 on ``good`` while ``E > 0``, -1 on ``bad`` while ``Ē < m``, each alone, else 0,
    kinks included. Levels count, not the gap. Source: homework 1.3 (a).

    >>> simple_loss(torch.tensor([0.5]), torch.tensor([0.25]))
    tensor([1.2500])
    """
    return functional.relu(good) + functional.relu(margin - bad)


def square_square_loss(good: Tensor, bad: Tensor, margin: float | Tensor = 1.0) -> Tensor:
    """``([E]⁺)² + ([m - Ē]⁺)²``, at least 0: the simple loss, margin m, with each term squared.

    Gradient: ``2[E]⁺`` on ``good``, ``-2[m - Ē]⁺`` on ``bad``; it fades to 0 at ``E = 0`` and
    ``Ē = m``, so there is no kink. Levels count, not the gap. Source: homework 1.3 (c); LeCun et
    al. 2006, table 1, has ``E²`` in place of ``([E]⁺)²``, the same for energies never negative.

    >>> square_square_loss(torch.tensor([0.5]), torch.tensor([0.5]))
    tensor([0.5000])
    """
    return functional.relu(good).square() + functional.relu(margin - bad).square()


def square_exponential_loss(good: Tensor, bad: Tensor, weight: float = 1.0) -> Tensor:
    """``E² + γ exp(-Ē)``, above 0: a pull to 0, and a push of weight γ that never ends.

    Gradient: ``2E`` on ``good``, ``-γ exp(-Ē)`` on ``bad``: ever smaller, never 0, and huge where Ē
    is far below 0. The margin is infinite. The right energy is held at 0, the wrong one is not
    held. Source: LeCun et al. 2006, table 1.

    >>> square_exponential_loss(torch.tensor([2.0]), torch.tensor([0.0]))
    tensor([5.])
    """
    return good.square() + weight * torch.exp(-bad)


def mee_loss(good: Tensor, log_partition: Tensor, beta: float = 1.0) -> Tensor:
    """``1 - exp(-β E) / Z``, minimum empirical error, one minus the Gibbs probability.

    In 0..1 where answers are counted one by one. Gradient: ``β p (1 - p)`` on the right answer's
    energy and ``-β p q`` on each other one, p and q their Gibbs probabilities: next to nothing
    where p is near 0 or 1. No explicit margin: every gap can be bettered. Source: LeCun et al.
    2006, table 1.

    >>> energies = torch.tensor([0.0, 0.0, 0.0, 0.0])  # of four answers
    >>> mee_loss(energies[0], torch.logsumexp(-energies, 0))
    tensor(0.7500)
    """
    return -torch.expm1(-beta * good - log_partition)


def nll_loss(good: Tensor, log_partition: Tensor, beta: float = 1.0) -> Tensor:
    """``E + 1/β log Z``: negative log-likelihood of the right answer, times ``1/β``.

    At least 0 where answers are counted one by one. Gradient: ``1 - p`` on the right answer's
    energy and ``-p`` on each other one, p its Gibbs probability. No explicit margin: every gap can
    be bettered. As β grows it tends to :func:`perceptron_loss`.

    With words as answers this is a conditional random field: one sum over all words and paths. CTC,
    see :func:`forward_loss`, makes each window's energies probabilities instead. Both are the same
    where separators are optional, since every sequence of classes then spells some word, and differ
    where they are required. Source: LeCun et al. 2006, table 1; homework 1.2.

    >>> energies = torch.tensor([0.0, 0.0, 0.0, 0.0])  # of four answers: log 4
    >>> nll_loss(energies[0], torch.logsumexp(-energies, 0))
    tensor(1.3863)
    """
    return good + log_partition / beta
