"""Other libraries' signatures, held to the originals where these are installed."""

import math
from itertools import product

import pytest
import torch

from ebm_ocr import compat, free_energy

spoiled = torch.zeros(1, 2, 3)
spoiled[0, 1, 2] = math.nan


def draw_ctc(batch, windows, classes, longest, seed, blank):
    """Logits (L, B, C), padded targets without blanks, and lengths."""
    torch.manual_seed(seed)
    logits = torch.randn(windows, batch, classes, dtype=torch.float64)
    targets = torch.randint(classes - 1, (batch, longest))
    targets += targets >= blank
    lengths = torch.randint(windows // 2, windows + 1, (batch,))
    sizes = torch.randint(0, longest + 1, (batch,))
    return logits, targets, lengths, sizes


@pytest.mark.parametrize("blank", [0, 2, 4])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("layout", ["padded", "concatenated", "lists"])
def test_ctc_loss_is_torchs_in_value_and_gradient(layout, seed, reduction, blank):
    logits, targets, lengths, sizes = draw_ctc(4, 12, 5, 4, seed, blank)
    if layout == "concatenated":
        targets = torch.cat([row[:size] for row, size in zip(targets, sizes)])
    given = (lengths.tolist(), sizes.tolist()) if layout == "lists" else (lengths, sizes)
    found = []
    for loss in (compat.ctc_loss, torch.nn.functional.ctc_loss):
        leaf = logits.clone().requires_grad_()
        value = loss(leaf.log_softmax(2), targets, *given, blank, reduction)
        found.append((value, torch.autograd.grad(value.sum(), leaf)[0]))
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_ctc_loss_of_one_sample_without_a_batch(reduction):
    log_probs = torch.randn(9, 5, dtype=torch.float64).log_softmax(1)
    targets = torch.tensor([1, 1, 4])
    for lengths in ((9, 3), (torch.tensor(9), torch.tensor(3)), (torch.tensor([9]), [3])):
        expected = torch.nn.functional.ctc_loss(
            log_probs, targets, torch.tensor(9), torch.tensor(3), reduction=reduction
        )
        found = compat.ctc_loss(log_probs, targets, *lengths, reduction=reduction)
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("zero_infinity", [False, True])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_what_does_not_fit_is_inf_or_zero_as_in_torch(reduction, zero_infinity):
    logits = torch.randn(2, 2, 4, dtype=torch.float64)
    targets, lengths, sizes = torch.tensor([[1, 1], [2, 3]]), torch.tensor([2, 2]), [2, 2]
    found = []
    for module in (compat.CTCLoss, torch.nn.CTCLoss):
        leaf = logits.clone().requires_grad_()
        loss = module(0, reduction, zero_infinity)
        value = loss(leaf.log_softmax(2), targets, lengths, torch.tensor(sizes))
        gradient = torch.autograd.grad(value.sum(), leaf)[0] if zero_infinity else None
        found.append((value, gradient))
    torch.testing.assert_close(found[0][0], found[1][0])
    if zero_infinity:
        torch.testing.assert_close(found[0][1], found[1][1])


def test_the_gradient_is_the_true_one_of_log_probabilities_that_are_none():
    scores = torch.randn(6, 1, 4, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([[1, 2]])

    def loss(values):
        return compat.ctc_loss(values, targets, [6], [2])

    assert torch.autograd.gradcheck(loss, scores)


def every_alignment(windows, target, blank):
    """All sequences of labels that collapse to a target."""
    labels = sorted({blank, *target})
    for sequence in product(labels, repeat=windows):
        runs = [s for i, s in enumerate(sequence) if i == 0 or s != sequence[i - 1]]
        if [s for s in runs if s != blank] == list(target):
            yield sequence


@pytest.mark.parametrize("target", [(1,), (1, 2), (2, 2), (3, 1, 3)])
@pytest.mark.parametrize("blank", [0, 4])
def test_forced_align_is_the_best_of_all_alignments(blank, target):
    torch.manual_seed(len(target))
    log_probs = torch.randn(1, 6, 5, dtype=torch.float64).log_softmax(2)
    labels, scores = compat.forced_align(
        log_probs, torch.tensor([target], dtype=torch.int32), blank=blank
    )
    totals = {
        sequence: sum(log_probs[0, i, s].item() for i, s in enumerate(sequence))
        for sequence in every_alignment(6, target, blank)
    }
    assert labels.dtype == torch.int32
    assert totals[tuple(labels[0].tolist())] == pytest.approx(max(totals.values()))
    assert scores.sum().item() == pytest.approx(max(totals.values()))


def test_forced_align_takes_batches_of_any_lengths():
    torch.manual_seed(0)
    log_probs = torch.randn(3, 8, 5).log_softmax(2)
    targets, lengths, sizes = torch.tensor([[1, 2], [3, 0], [2, 2]]), [8, 5, 4], [2, 1, 2]
    targets[1, 1] = 4  # padding
    labels, scores = compat.forced_align(
        log_probs, targets, torch.tensor(lengths), torch.tensor(sizes)
    )
    for b in range(3):
        one = compat.forced_align(
            log_probs[b : b + 1, : lengths[b]], targets[b : b + 1, : sizes[b]]
        )
        assert labels[b, : lengths[b]].equal(one[0][0])
        assert scores[b, : lengths[b]].equal(one[1][0])
        assert not scores[b, lengths[b] :].any()
    with pytest.raises(ValueError, match="without the blank 2"):
        compat.forced_align(log_probs, targets, blank=2)


def test_merge_tokens_cuts_runs_and_leaves_out_blanks():
    tokens = torch.tensor([0, 3, 3, 0, 3, 1, 1])
    spans = compat.merge_tokens(tokens, torch.arange(7.0))
    assert [(s.token, s.start, s.end, s.score, len(s)) for s in spans] == [
        (3, 1, 3, 1.5, 2),
        (3, 4, 5, 4.0, 1),
        (1, 5, 7, 5.5, 2),
    ]
    with pytest.raises(ValueError, match=r"\(L,\)"):
        compat.merge_tokens(tokens[None], torch.ones(1, 7))


@pytest.mark.parametrize("seed", range(20))
def test_maximum_path_is_the_best_of_all_monotonic_alignments(seed):
    torch.manual_seed(seed)
    value = torch.randn(2, 3, 6).round() if seed % 2 else torch.randn(2, 3, 6)
    mask = torch.ones(2, 3, 6)
    mask[1, 2:], mask[1, :, 4:] = 0, 0
    path = compat.maximum_path(value, mask)
    assert path.dtype == value.dtype
    assert (path.sum(1) == mask[:, 0]).all()  # one symbol a frame
    for b, (text, frames) in enumerate(((3, 6), (2, 4))):
        best = free_energy(
            -value[b : b + 1, :text, :frames].transpose(1, 2), torch.arange(text)[None]
        )
        assert (path[b] * value[b]).sum().item() == pytest.approx(-best.item(), abs=1e-5)
        assert not path[b, text:].any()


def test_original_maximum_path_agrees():
    original = pytest.importorskip("monotonic_alignment_search")
    torch.manual_seed(0)
    value, mask = torch.randn(8, 7, 20), torch.ones(8, 7, 20)
    found = original.maximum_path(value.clone(), mask.clone())
    assert compat.maximum_path(value, mask).equal(torch.as_tensor(found).to(value.dtype))


def test_original_forced_align_agrees():
    audio = pytest.importorskip("torchaudio").functional
    torch.manual_seed(0)
    for _ in range(50):
        log_probs = torch.randn(1, 12, 6).log_softmax(2)
        targets = torch.randint(1, 6, (1, 4))
        expected, found = (
            audio.forced_align(log_probs, targets),
            compat.forced_align(log_probs, targets),
        )
        assert found[0].equal(expected[0])
        torch.testing.assert_close(found[1], expected[1])
        ours, theirs = (
            compat.merge_tokens(*(x[0] for x in found)),
            audio.merge_tokens(*(x[0] for x in expected)),
        )
        assert [(s.token, s.start, s.end) for s in ours] == [
            (s.token, s.start, s.end) for s in theirs
        ]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: compat.ctc_loss(torch.zeros(3), torch.ones(1), 3, 1), r"\(L, B, C\)"),
        (lambda: compat.CTCLoss(reduction="all"), "'all'"),
        (lambda: compat.maximum_path(torch.zeros(2, 3), torch.ones(2, 3)), r"\(B, T, L\)"),
        (
            lambda: compat.maximum_path(torch.zeros(1, 4, 3), torch.ones(1, 4, 3)),
            r"3 frames; .* \.mT, its target needs 4",
        ),
        (lambda: compat.maximum_path(torch.zeros(1, 2, 3), torch.eye(3)[None, :2]), "mask of ones"),
        (lambda: compat.maximum_path(torch.zeros(1, 1, 3), torch.full((1, 1, 3), 0.5)), "mask"),
        (lambda: compat.maximum_path(torch.zeros(1, 1, 3), torch.tensor([[[1, 0, 1]]])), "mask"),
        (
            lambda: compat.maximum_path(torch.full((1, 1, 2), math.nan), torch.ones(1, 1, 2)),
            "NaN in",
        ),
        (lambda: compat.ctc_loss(torch.zeros(2, 0, 3), torch.ones(0, 1), 2, 1), r"\(2, 0, 3\)"),
        (
            lambda: compat.ctc_loss(torch.zeros(2, 1, 3), torch.ones(1, 1).int(), 3, 1),
            "input_lengths",
        ),
        (
            lambda: compat.forced_align(spoiled, torch.ones(1, 1).int()),
            "sample 0, window 1, class 2",
        ),
        (lambda: compat.ctc_loss(torch.zeros(2, 1, 3), -torch.ones(1, 1).int(), 2, 1), "padding"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_inf_is_no_zero_without_the_option():
    log_probs = torch.zeros(2, 1, 3).log_softmax(2)
    assert compat.ctc_loss(log_probs, torch.tensor([[1, 1]]), [2], [2]).item() == math.inf


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.half, torch.bool, torch.int8])
def test_masks_of_any_type_count(dtype):
    path = compat.maximum_path(torch.zeros(1, 2, 2049), torch.ones(1, 2, 2049).to(dtype))
    assert path.sum() == 2049


def test_a_blank_among_targets_is_refused_and_padding_is_not():
    log_probs, padded = torch.zeros(6, 2, 5).log_softmax(2), torch.tensor([[1, 2], [3, 0]])
    assert compat.ctc_loss(log_probs, padded, [6, 5], [2, 1]).isfinite()
    labels, _ = compat.forced_align(log_probs.transpose(0, 1), padded, [6, 5], [2, 1])
    assert labels[1].unique().tolist() == [0, 3]
    with pytest.raises(ValueError, match="without the blank 0"):
        compat.ctc_loss(log_probs, padded, [6, 5], [2, 2])
    with pytest.raises(ValueError, match=r"3 targets, the sum of target_lengths, got 2"):
        compat.ctc_loss(log_probs, torch.tensor([1, 2]), [6, 5], [2, 1])


def test_nothing_to_align_is_all_blanks():
    labels, _ = compat.forced_align(
        torch.randn(1, 6, 5).log_softmax(2), torch.zeros(1, 0, dtype=torch.long)
    )
    assert labels.tolist() == [[0] * 6]


def test_an_unbatched_target_may_be_a_row():
    log_probs = torch.randn(9, 5).log_softmax(1)
    row = compat.ctc_loss(log_probs, torch.tensor([[1, 1, 4]]), 9, 3)
    assert row == compat.ctc_loss(log_probs, torch.tensor([1, 1, 4]), 9, 3)
