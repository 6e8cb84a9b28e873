"""The losses of energy-based learning, as LeCun et al. 2006 (table 1) and the homework have them.

Each is a function of energies of answers: ``good`` is that of the right answer, E; ``bad`` that of
a wrong one, Ē, best the most offending one, which is the wrong answer of least energy; ``lowest``
and ``log_partition`` are over all answers. An answer's energy may itself be a free energy, over its
latent variables. :func:`ebm_ocr.train` takes any of them for words.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def energy_loss(good: Tensor) -> Tensor:
    """The right answer's energy alone: ``E``.

    Gradient: 1 on ``good``. No margin, and nothing raises the other answers: a model free to do so
    collapses to an energy that is the same everywhere. Source: LeCun et al. 2006, table 1.

    Args:
        good: (...) energies of the right answers.

    Returns:
        (...), one loss for each energy.
    """
    return good


def perceptron_loss(good: Tensor, lowest: Tensor) -> Tensor:
    """How far the right answer lies above the best one: ``E - min E``.

    Gradient: 1 on ``good``, -1 on ``lowest``; both cancel where the right answer is the best.
    No margin: a tie costs nothing. Source: LeCun et al. 2006, table 1.

    Args:
        good: (...) energies of the right answers.
        lowest: (...) lowest energies over all answers, the right ones included.

    Returns:
        (...), each at least 0.
    """
    return good - lowest


def hinge_loss(good: Tensor, bad: Tensor, margin: float | Tensor = 1.0) -> Tensor:
    """What the gap between a wrong and the right answer lacks of the margin: ``[m + E - Ē]⁺``.

    Gradient: 1 on ``good`` and -1 on ``bad`` while ``Ē - E < m``, else 0. At the kink ``Ē - E = m``
    every number from 0 to 1 is a subgradient; this is 0. Only the gap counts, not the level.
    Source: LeCun et al. 2006, table 1.

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

    Gradient: ``σ(E - Ē)`` on ``good`` and its opposite on ``bad``, σ the logistic function: 1/2 on
    a tie, never 0. The margin is infinite: every gap can be bettered. Source: LeCun et al. 2006,
    table 1; homework 1.3 (b).

    Args:
        good: (...) energies of the right answers.
        bad: (...) energies of wrong answers.

    Returns:
        (...), each at least 0.
    """
    # border to probabilities: of choosing good, of the two
    return -functional.logsigmoid(bad - good)


def simple_loss(good: Tensor, bad: Tensor, margin: float | Tensor = 1.0) -> Tensor:
    """The right energy above 0, and the wrong one below the margin: ``[E]⁺ + [m - Ē]⁺``.

    Gradient: 1 on ``good`` while ``E > 0``, -1 on ``bad`` while ``Ē < m``, each alone. At the kinks
    ``E = 0`` and ``Ē = m`` every number from 0 to 1 is a subgradient (of the size); this is 0.
    Levels count, not the gap. Source: homework 1.3 (a).

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

    Gradient: ``2[E]⁺`` on ``good``, ``-2[m - Ē]⁺`` on ``bad``; it fades to 0 at ``E = 0`` and
    ``Ē = m``, so there is no kink. Levels count, not the gap. Source: homework 1.3 (c);
    LeCun et al. 2006, table 1, has ``E²`` in place of ``([E]⁺)²``, the same for energies that are
    never negative.

    Args:
        good: (...) energies of the right answers.
        bad: (...) energies of wrong answers.
        margin: level from which a wrong answer costs nothing.

    Returns:
        (...), each at least 0.
    """
    return functional.relu(good).square() + functional.relu(margin - bad).square()


def square_exponential_loss(good: Tensor, bad: Tensor, weight: float = 1.0) -> Tensor:
    """The right energy squared, and an exponential push that never ends on the
    wrong one: ``E² + γ exp(-Ē)``.

    Gradient: ``2E`` on ``good``, ``-γ exp(-Ē)`` on ``bad``: ever smaller, never 0, and huge where Ē
    is far below 0. The margin is infinite. The right energy is held at 0, the wrong one is not
    held. Source: LeCun et al. 2006, table 1.

    Args:
        good: (...) energies of the right answers.
        bad: (...) energies of wrong answers.
        weight: γ, of the push against the pull.

    Returns:
        (...), each above 0.
    """
    return good.square() + weight * torch.exp(-bad)


def lvq2_loss(good: Tensor, bad: Tensor, limit: float = 1.0) -> Tensor:
    """How far the right answer lies above a wrong one, up to a limit: ``min(M, [E - Ē]⁺)``.

    Gradient: 1 on ``good`` and -1 on ``bad`` while ``0 < E - Ē < M``, else 0: errors too large to
    mend are let be. At both kinks every number from 0 to 1 is a subgradient; this is 0. No margin:
    a tie costs nothing. LVQ2 is learning vector quantisation, where M depends on the energies; a
    fixed one keeps what matters here. Source: LeCun et al. 2006, table 1.

    Args:
        good: (...) energies of the right answers.
        bad: (...) energies of wrong answers.
        limit: M, above 0: the most that an error costs.

    Returns:
        (...), each in 0..M.
    """
    gap = functional.relu(good - bad)
    return torch.where(gap >= limit, limit, gap)  # NaN stays NaN


def mce_loss(good: Tensor, bad: Tensor) -> Tensor:
    """Minimum classification error, a smooth count of the errors:
    ``σ(E - Ē) = 1 / (1 + exp(Ē - E))``.

    Gradient: ``σ(1 - σ)`` on ``good`` and its opposite on ``bad``: 1/4 on a tie, next to nothing
    where the answer is far from the border, right or wrong. No explicit margin: every gap can be
    bettered. Source: LeCun et al. 2006, table 1.

    Args:
        good: (...) energies of the right answers.
        bad: (...) energies of wrong answers.

    Returns:
        (...), each in 0..1.
    """
    return torch.sigmoid(good - bad)  # border to probabilities: of choosing bad, of the two


def mee_loss(good: Tensor, log_partition: Tensor, beta: float = 1.0) -> Tensor:
    """Minimum empirical error: one minus the right answer's Gibbs
    probability, ``1 - exp(-β E) / Z``.

    Gradient: ``β p (1 - p)`` on the right answer's energy and ``-β p q`` on each other one, p and q
    their Gibbs probabilities: next to nothing where p is near 0 or 1. No explicit margin: every gap
    can be bettered. Source: LeCun et al. 2006, table 1.

    Args:
        good: (...) energies of the right answers.
        log_partition: (...) ``log Z`` over all answers, the right ones included.
        beta: inverse temperature, above 0.

    Returns:
        (...), each in 0..1 where answers are counted one by one.
    """
    return -torch.expm1(-beta * good - log_partition)


def nll_loss(good: Tensor, log_partition: Tensor, beta: float = 1.0) -> Tensor:
    """Negative log-likelihood of the right answer, times ``1/β``: ``E + 1/β log Z``,
    with ``Z = Σ exp(-β E)``.

    Gradient: ``1 - p`` on the right answer's energy and ``-p`` on each other one, p its Gibbs
    probability. No explicit margin: every gap can be bettered. As β grows it tends to
    ``perceptron_loss``.

    With words as answers this is a conditional random field: one sum over all words and paths. CTC,
    see :func:`ebm_ocr.forward_loss`, makes each window's energies probabilities instead. Both are
    the same where separators are optional, since every sequence of classes then spells some word,
    and differ where they are required.

    Source: LeCun et al. 2006, table 1; homework 1.2.

    Args:
        good: (...) energies of the right answers.
        log_partition: (...) ``log Z`` over all answers, the right ones included.
        beta: inverse temperature, above 0.

    Returns:
        (...), each at least 0 where answers are counted one by one.
    """
    return good + log_partition / beta
