"""Other libraries' signatures, each a few lines over the engine: change one import line.

What differs from the originals: the best path is one of least energy where theirs may be off on
ties, gradients are true derivatives (torch's ``ctc_loss`` gives those of a log-softmax in front of
it; where a target does not fit, 0 in place of NaN), batches of any lengths are taken where theirs
take one sample, and half precision on the CPU too. What has no meaning is an error: NaN, targets
that are no integers or no classes, a blank among them, a mask with holes, a target that does not
fit, unless the original has an option for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor, nn

from .alignment import free_energy, viterbi
from .validation import (
    Reduction,
    as_integers,
    as_lengths,
    check_energies,
    check_floats,
    check_reduction,
    check_targets,
    narrow,
    whole_number,
)

Lengths = Tensor | Sequence[int] | int


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Lengths,
    target_lengths: Lengths,
    blank: int = 0,
    reduction: Reduction = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """``torch.nn.functional.ctc_loss``: minus the log-probability of all alignments together.

    >>> log_probs = torch.zeros(3, 1, 2).log_softmax(2)  # three windows, a blank and a letter
    >>> ctc_loss(log_probs, torch.tensor([[1]]), [3], [1])  # 6 of 8 sequences collapse to it
    tensor(0.2877)

    Args:
        log_probs: (L, B, C), or (L, C) of one sample.
        targets: (B, T) padded, or (sum of lengths,) one behind the other; (T,) of one sample.
        input_lengths, target_lengths: (B,) how many windows and symbols of each count.
        blank: class of the separator.
        reduction: "none" for (B,); "sum"; "mean" divides each by its target's length first.
        zero_infinity: targets that do not fit cost 0 with gradient 0, in place of inf.

    Raises:
        TypeError, ValueError: see :func:`ebm_ocr.free_energy`, whose energies are ``-log_probs``;
            a blank among the targets, for which torch has a number that means nothing.
    """
    check_reduction(reduction)
    check_floats("log_probs", log_probs)
    if log_probs.dim() not in (2, 3) or 0 in log_probs.shape:
        shape = tuple(log_probs.shape)
        raise ValueError(f"expected log_probs (L, B, C) or (L, C), none of them zero, got {shape}")
    single = log_probs.dim() == 2
    energies = -(log_probs[:, None] if single else log_probs).transpose(0, 1)
    windows, symbols = (
        as_integers("lengths", [n] if isinstance(n, int) else n).reshape(-1).to(energies.device)
        for n in (input_lengths, target_lengths)
    )
    rows = as_integers("targets", targets)
    rows = rows.reshape(1, -1) if single else rows
    if rows.dim() == 1:
        if symbols.sum() != len(rows):
            raise ValueError(
                f"expected {int(symbols.sum())} targets, the sum of target_lengths, got {len(rows)}"
            )
        rows = nn.utils.rnn.pad_sequence(list(rows.split(symbols.tolist())), batch_first=True)
    _check_no_blank(rows, symbols, blank)
    with _their_words():
        values = free_energy(
            energies, rows, windows, symbols, 1.0, "optional", blank, infeasible="inf"
        )
    if zero_infinity:
        values = values.where(values < math.inf, 0)
    if reduction == "sum":
        return values.sum()
    if reduction == "mean":
        return (values / symbols.clamp(min=1)).mean()
    return values[0] if single else values


class CTCLoss(nn.Module):
    """``torch.nn.CTCLoss``, see :func:`ctc_loss`.

    >>> CTCLoss(blank=2)
    CTCLoss(blank=2, reduction='mean', zero_infinity=False)
    """

    def __init__(
        self,
        blank: int = 0,
        reduction: Reduction = "mean",
        zero_infinity: bool = False,
    ) -> None:
        super().__init__()
        self.blank = whole_number("blank", blank, 0)
        check_reduction(reduction)
        self.reduction, self.zero_infinity = reduction, zero_infinity

    def forward(
        self, log_probs: Tensor, targets: Tensor, input_lengths: Lengths, target_lengths: Lengths
    ) -> Tensor:
        """See :func:`ctc_loss`."""
        options = self.blank, self.reduction, self.zero_infinity
        return ctc_loss(log_probs, targets, input_lengths, target_lengths, *options)

    def extra_repr(self) -> str:
        """The options."""
        chosen = f"blank={self.blank}, reduction={self.reduction!r}"
        return f"{chosen}, zero_infinity={self.zero_infinity}"


def forced_align(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Tensor | None = None,
    target_lengths: Tensor | None = None,
    blank: int = 0,
) -> tuple[Tensor, Tensor]:
    """``torchaudio.functional.forced_align``: the label of each window on the best alignment.

    >>> log_probs = torch.tensor([[[-9.0, -0.1], [-0.1, -9.0]]])
    >>> forced_align(log_probs, torch.tensor([[1]]))[0]
    tensor([[1, 0]])

    Args:
        log_probs: (B, L, C); B may be more than one here.
        targets: (B, T) labels without blanks; what is padded may hold anything.

    Returns:
        (B, L) labels in the type of ``targets``, blanks included, and (B, L) their log-probability;
        blank and 0 past a sample's end.

    Raises:
        ValueError: a blank among the targets; a target that does not fit in its windows.
    """
    check_energies(log_probs)
    check_targets(log_probs, targets)
    windows = as_lengths("input_lengths", input_lengths, log_probs, log_probs.shape[1])
    symbols = as_lengths("target_lengths", target_lengths, log_probs, targets.shape[1])
    _check_no_blank(targets, symbols, blank)
    with _their_words():
        path = viterbi(-log_probs, targets, windows, symbols, "optional", blank).path
    named = nn.functional.pad(targets.long(), (0, 1), value=blank)  # or there is none to gather
    found = named.gather(1, path.clamp(min=0)).where(path >= 0, blank)
    scores = log_probs.gather(2, found[..., None])[..., 0]
    beyond = torch.arange(scores.shape[1], device=scores.device) >= windows[:, None]
    return found.to(targets.dtype), scores.masked_fill(beyond, 0)


@contextmanager
def _their_words(windows: str = "windows") -> Iterator[None]:
    """Let the engine's errors speak of what was handed over."""
    try:
        yield
    except ValueError as error:
        text = str(error).replace("window_lengths", "input_lengths").replace("windows", windows)
        raise ValueError(text.replace("energies", "the negative of the values")) from error


def _check_no_blank(targets: Tensor, lengths: Tensor, blank: int) -> None:
    """Refuse a blank among the labels that count: it is between them already."""
    inside = torch.arange(targets.shape[1], device=targets.device) < lengths[:, None]
    if ((targets == blank) & inside).any():
        raise ValueError(f"expected targets without the blank {blank}, got {targets.tolist()}")


@dataclass(frozen=True)
class TokenSpan:
    """``torchaudio.functional.TokenSpan``: windows ``start`` to before ``end`` show a token."""

    token: int
    start: int
    end: int
    score: float

    def __len__(self) -> int:
        return self.end - self.start


def merge_tokens(tokens: Tensor, scores: Tensor, blank: int = 0) -> list[TokenSpan]:
    """``torchaudio.functional.merge_tokens``: runs of equal labels, blanks left out.

    >>> merge_tokens(torch.tensor([0, 3, 3]), torch.tensor([1.0, 0.5, 0.7]))
    [TokenSpan(token=3, start=1, end=3, score=0.6000000238418579)]

    Args:
        tokens: (L,) labels, as :func:`forced_align` gives them.
        scores: (L,); a span's is their mean.

    Raises:
        ValueError: not (L,) both.
    """
    tokens = as_integers("tokens", tokens)
    check_floats("scores", scores)
    if tokens.dim() != 1 or tokens.shape != scores.shape:
        shapes = f"{tuple(tokens.shape)} and {tuple(scores.shape)}"
        raise ValueError(f"expected tokens and scores (L,), got {shapes}")
    spans, end = [], 0
    for token, run in groupby(tokens.tolist()):
        start, end = end, end + len(list(run))
        if token != blank:
            spans.append(TokenSpan(token, start, end, scores[start:end].mean().item()))
    return spans


def maximum_path(value: Tensor, mask: Tensor) -> Tensor:
    """``maximum_path`` of Glow-TTS and monotonic-alignment-search: the monotonic alignment of text
    and frames whose values sum to the most. VITS has frames down: hand it ``value.mT``.

    >>> maximum_path(torch.tensor([[[5.0, 1, 0], [0, 4, 5]]]), torch.ones(1, 2, 3))[0]
    tensor([[1., 0., 0.],
            [0., 1., 1.]])

    Args:
        value: (B, T, L), text down and frames across.
        mask: (B, T, L), 1 where a sample has both, in its upper left corner.

    Returns:
        (B, T, L) in the type of ``value``: 1 on the path, 0 elsewhere.

    Raises:
        ValueError: other shapes; a mask whose rows do not all have the ones of the first, or none;
            fewer frames than text, which has no such alignment.
    """
    check_floats("value", value)
    if value.dim() != 3 or 0 in value.shape or value.shape != mask.shape:
        shapes = f"{tuple(value.shape)} and {tuple(mask.shape)}"
        raise ValueError(f"expected value and mask (B, T, L), none of them zero, got {shapes}")
    text, frames = mask[:, :, 0].count_nonzero(1), mask[:, 0].count_nonzero(1)
    rows = torch.arange(value.shape[1], device=value.device).expand(len(value), -1)
    ones = mask.sum(2, dtype=torch.float32)  # of each row: one pass over the mask, as it is large
    whole = torch.equal(ones, frames[:, None] * (rows < text[:, None]).float())
    if not (whole and (mask[:, 0, 1:] <= mask[:, 0, :-1]).all()):
        raise ValueError("expected a mask of ones in the upper left corner and zeros elsewhere")
    energies = narrow(value.detach().mT.clone(memory_format=torch.contiguous_format).neg_(), value)
    with _their_words("frames; of a value with frames down hand over .mT"):
        path = viterbi(energies, rows, frames, text).path[:, None]  # (B, 1, L)
    chosen = (path >= 0).to(value.dtype)
    return torch.zeros_like(value).scatter_(1, path.clamp(min=0), chosen)
