"""Criteria of the homework's training."""

import pytest
import torch

from ebm_ocr import cross_entropy, forward_loss, free_energy, nll_loss, normalise


def test_cross_entropy_negates_energies_once():
    energies, target = torch.randn(6, 27), torch.tensor([0, 5, 26, 3, 3, 1])
    expected = torch.nn.functional.cross_entropy(-energies, target)
    torch.testing.assert_close(cross_entropy(energies, target), expected)


def test_cross_entropy_keeps_classes_last():
    energies, target = torch.randn(2, 5, 27), torch.randint(27, (2, 5))
    losses = cross_entropy(energies, target, reduction="none")
    assert losses.shape == (2, 5)
    torch.testing.assert_close(losses[1, 3], cross_entropy(energies[1, 3:4], target[1, 3:4]))


def test_cross_entropy_pushes_the_right_energy_down():
    energies = torch.zeros(1, 27, requires_grad=True)
    cross_entropy(energies, torch.tensor([4])).backward()
    assert energies.grad[0, 4] > 0  # gradient descent lowers it
    assert (energies.grad[0, :4] < 0).all()


def test_cross_entropy_refuses_other_shapes():
    with pytest.raises(ValueError, match=r"expected target \(2, 5\)"):
        cross_entropy(torch.zeros(2, 5, 27), torch.zeros(2, 27, dtype=torch.long))


@pytest.mark.parametrize("separators", ["required", "optional"])
def test_forward_loss_does_not_depend_on_the_level_of_the_energies(separators):
    energies, targets = torch.randn(3, 8, 27), torch.tensor([[0, 26, 1, 26]] * 3)
    shifted = energies + 100 * torch.randn(3, 8, 1)
    loss = forward_loss(energies, targets, separators=separators)
    assert (loss >= 0).all()
    torch.testing.assert_close(
        forward_loss(shifted, targets, separators=separators), loss, rtol=1e-4, atol=1e-4
    )


def test_forward_loss_is_ctc():
    energies, letters = torch.randn(3, 8, 27), torch.tensor([[0, 1], [1, 1], [2, 0]])
    ctc = torch.nn.functional.ctc_loss(
        torch.log_softmax(-energies, 2).transpose(0, 1),
        letters,
        [8] * 3,
        [2] * 3,
        blank=26,
        reduction="none",
    )
    torch.testing.assert_close(forward_loss(energies, letters), ctc)


def test_normalised_windows_are_probabilities_in_the_same_order():
    energies = 30 * torch.randn(2, 5, 27)
    normalised = normalise(energies)
    torch.testing.assert_close(torch.exp(-normalised).sum(2), torch.ones(2, 5))
    torch.testing.assert_close(
        normalised - normalised[..., :1], energies - energies[..., :1], rtol=0, atol=1e-4
    )


def test_global_likelihood_is_ctc_where_separators_are_optional_only():
    energies, targets = (
        torch.randn(3, 8, 27, dtype=torch.float64),
        torch.tensor([[0, 26, 1, 26]] * 3),
    )
    for separators in ("optional", "required"):
        everything = -free_energy(energies, beta=1.0, separators=separators)
        globally = nll_loss(
            free_energy(energies, targets, beta=1.0, separators=separators), everything
        )
        locally = forward_loss(energies, targets, separators=separators)
        assert torch.allclose(globally, locally) == (separators == "optional")
        assert (globally <= locally + 1e-9).all()  # fewer sequences to share with
