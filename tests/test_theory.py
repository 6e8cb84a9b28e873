"""What the theory claims in words, in its table and in its figures, named after the answer; its
formulas are read and checked by test_formulas.py."""

import math
import re
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from pypdf import PdfReader

from ebm_ocr.losses import (
    hinge_loss,
    log_loss,
    nll_loss,
    perceptron_loss,
    simple_loss,
    square_square_loss,
)
from theory import figures

THEORY = Path(__file__).parents[1] / "theory"
PDF = THEORY / "hw4_theory.pdf"
ANSWERS = [
    *(f"1.1({letter})" for letter in "abcdefgh"),
    *(f"1.2({number})" for number in ("i", "ii", "iii", "iv")),
    *(f"1.3({part})" for part in ("a", "b", "c", "d)(i", "d)(ii", "d)(iii")),
]
BETAS = [0.3, 1.0, 4.0]
MARGIN = 1.5


@pytest.fixture(autouse=True)
def _double():
    """Theory is checked in float64, from one seed."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def gibbs(energies, beta):
    """Equation (1), written out."""
    return torch.exp(-beta * energies) / torch.exp(-beta * energies).sum()


@pytest.mark.parametrize("beta", BETAS)
def test_1_1c_gibbs_is_a_distribution_that_prefers_low_energy(beta):
    energies = 3 * torch.randn(9)
    probability = gibbs(energies, beta)
    torch.testing.assert_close(probability.sum(), torch.tensor(1.0))
    assert (probability > 0).all()
    assert probability.argsort(descending=True).tolist() == energies.argsort().tolist()
    torch.testing.assert_close(gibbs(energies + 7, beta), probability)


def test_1_1c_gibbs_from_uniform_to_one_hot():
    energies = torch.randn(9)
    torch.testing.assert_close(gibbs(energies, 1e-9), torch.full((9,), 1 / 9))
    assert gibbs(torch.linspace(-1, 1, 9).flip(0), 100.0)[-1] > 1 - 1e-6


@pytest.fixture(scope="module")
def collapsed():
    return figures.train_collapse(contrastive=False), figures.train_collapse(contrastive=True)


def test_1_1e_figure_1_positives_only_collapse(collapsed):
    flat, shaped = collapsed
    assert flat.surface.max() < 0.05
    assert flat.on_data[-1] < shaped.on_data[-1] / 1000  # better where the data are, and useless
    assert flat.off_data[-1] < 0.01


def test_1_1e_figure_1_only_a_faint_order_is_left(collapsed):
    flat, shaped = collapsed
    inside = figures.AXIS.abs() < 0.95
    for run in collapsed:  # either one's lowest answer is near the circle, but one has no scale
        lowest = figures.AXIS[run.surface[inside].argmin(1)]
        off = (figures.AXIS[inside].square() + lowest.square()).sqrt() - 1
        assert (off.abs() < 0.15).double().mean() > 0.8
    assert flat.surface.max() < shaped.surface[inside].max() / 50


def test_1_2_iv_figure_2_the_hinge_stops_when_the_lowest_wrong_answer_is_a_margin_above():
    grid, history = figures.sharpen("hinge", 2000)
    wrong = history[-1].clone()
    wrong[20] = torch.inf
    assert abs(grid[wrong.argmin()] - 0.5) < 0.1
    assert 1 <= wrong.min() - history[-1][20] < 1.05


def test_1_2_iv_a_density_may_exceed_one_and_the_slopes_of_a_well_grow():
    grid = torch.linspace(-1, 1, 2001)
    density = torch.exp(-(grid**2) / (2 * 0.1**2))
    assert (density / torch.trapezoid(density, grid)).max() > 3.9
    slopes = [(grid / s**2).abs()[grid != 0] for s in (0.5, 0.1)]
    assert (slopes[1] > slopes[0]).all()


def test_1_1e_figure_1_negatives_keep_the_wrong_answers_up(collapsed):
    _, shaped = collapsed
    assert shaped.off_data[-1] > 10 * shaped.on_data[-1]
    axis, column = figures.AXIS, (figures.AXIS - 0.0).abs().argmin()
    valley = shaped.surface[column]  # x = 0: right answers are -1 and 1, wrong between
    lowest_above = axis[axis > 0][valley[axis > 0].argmin()]
    lowest_below = axis[axis < 0][valley[axis < 0].argmin()]
    assert abs(lowest_above - 1) < 0.25
    assert abs(lowest_below + 1) < 0.25
    assert valley[axis.abs().argmin()] > 1


def test_1_1e_a_regression_energy_cannot_be_flat():
    prediction, answers = torch.randn(()), torch.randn(50)
    assert ((answers - prediction).square() > 0).all()


def test_1_1f_architecture_bounds_the_low_energy_space():
    basis = torch.linalg.qr(torch.randn(6, 2))[0]
    inside, outside = (basis @ torch.randn(2, 20)).T, torch.randn(20, 6)

    def energy(y):
        return (y - y @ basis @ basis.T).square().sum(1)

    torch.testing.assert_close(energy(inside), torch.zeros(20))
    assert (energy(outside) > 1e-3).all()


def test_1_1h_minimum_is_the_limit_of_marginalising():
    latent = torch.randn(200, 6)
    gaps = [
        (latent.amin(1) + torch.logsumexp(-beta * latent, 1) / beta).max()
        for beta in (1, 10, 100, 1000)
    ]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < math.log(6) / 1000
    answers = torch.randn(8, 6)  # G(x, y, z) for 8 answers
    marginal = -torch.logsumexp(-1e4 * answers, 1) / 1e4
    assert marginal.argmin() == answers.amin(1).argmin() == answers.argmin() // 6


def test_1_2_ii_nll_tends_to_the_perceptron_loss():
    energies, right = torch.randn(7), 3
    perceptron = perceptron_loss(energies[right], energies.min())
    gaps = [
        nll_loss(energies[right], torch.logsumexp(-beta * energies, 0), beta) - perceptron
        for beta in (1.0, 10.0, 100.0, 1000.0)
    ]
    assert gaps == sorted(gaps, reverse=True)
    assert 0 <= gaps[-1] < 1e-3


def test_1_2_iii_langevin_steps_sample_the_gibbs_distribution():
    beta, rate = 2.0, 0.02
    samples = torch.zeros(20_000)
    # energy y^2 / 2, whose Gibbs distribution is normal with variance 1 / beta
    for _ in range(500):
        samples = samples - rate * samples + math.sqrt(2 * rate / beta) * torch.randn(20_000)
    assert samples.mean().abs() < 0.02
    assert samples.var().item() == pytest.approx(1 / beta, rel=0.05)


@pytest.mark.parametrize("beta", BETAS)
def test_1_2_iv_weights_never_vanish_and_sum_to_zero(beta):
    energies, right = (3 * torch.randn(7)).requires_grad_(), 3
    loss = nll_loss(energies[right], torch.logsumexp(-beta * energies, 0), beta)
    (weights,) = torch.autograd.grad(loss, energies)
    expected = -gibbs(energies.detach(), beta)
    expected[right] += 1
    torch.testing.assert_close(weights, expected)
    assert weights[right] > 0
    assert (weights[torch.arange(7) != right] < 0).all()
    assert weights.sum().abs() < 1e-12
    gaps = (energies - energies[right])[torch.arange(7) != right]
    torch.testing.assert_close(loss, torch.log1p(torch.exp(-beta * gaps).sum()) / beta)


@pytest.mark.parametrize("beta", BETAS)
def test_1_2_iv_wrong_energies_of_a_free_table_rise_together(beta):
    energies = (2 * torch.randn(7)).requires_grad_()
    nll_loss(energies[0], torch.logsumexp(-beta * energies, 0), beta).backward()
    velocity = -energies.grad
    assert velocity[0] < 0
    assert (velocity[1:] > 0).all()
    torch.testing.assert_close(velocity.sum(), torch.tensor(0.0))
    growth = (beta * velocity * torch.exp(beta * energies.detach()))[1:]  # of exp(beta F)
    torch.testing.assert_close(growth, growth[:1].expand(6))


def test_1_2_iv_figure_2_a_margin_bounds_the_depth_and_not_the_slope():
    depths, slopes = zip(*(figures.edge("hinge", points) for points in figures.GRIDS))
    assert all(1 <= depth < 1.2 for depth in depths)
    assert all(9 < fine / coarse < 11 for coarse, fine in pairwise(slopes))
    steeper = [figures.edge("nll", points)[1] for points in figures.GRIDS]
    assert all(fine > 9 * coarse for coarse, fine in pairwise(steeper))


def test_1_2_iv_figure_2_beside_the_canyon_the_land_has_only_become_flatter():
    first, *_, last = figures.sharpen("nll", 2000)[1]
    beside = torch.tensor([i for i in range(40) if i not in (19, 20)])  # steps off the answer
    shares = (last.diff() / first.diff())[beside]
    assert ((shares > 0.7) & (shares < 0.95)).all()


def test_1_2_iii_with_shared_weights_one_step_may_raise_the_right_energy_too():
    weight = torch.tensor(1.0, requires_grad=True)
    energies = weight * torch.tensor([1.0, 3.0])  # right, wrong
    nll_loss(energies[0], torch.logsumexp(-energies, 0)).backward()
    assert ((weight - 0.1 * weight.grad) * torch.tensor([1.0, 3.0]) > energies).all()


def test_1_2_iii_the_mean_over_samples_estimates_the_expectation():
    energies, slopes = torch.randn(6), torch.randn(6, 4)
    samples = torch.multinomial(gibbs(energies, 1.0), 40_000, replacement=True)
    exact = (gibbs(energies, 1.0)[:, None] * slopes).sum(0)
    torch.testing.assert_close(slopes[samples].mean(0), exact, rtol=0, atol=0.03)


def test_1_1f_sparse_coding_needs_columns_of_bounded_length():
    answer, columns, code = torch.randn(5), torch.randn(5, 3), torch.randn(3)
    for scale in (10.0, 100.0):
        grown, shrunk = scale * columns, code / scale
        torch.testing.assert_close(answer - grown @ shrunk, answer - columns @ code)
        torch.testing.assert_close(shrunk.abs().sum(), code.abs().sum() / scale)


def test_1_1f_k_means_is_zero_on_its_points_only():
    points, answers = torch.randn(4, 2), torch.randn(1000, 2)
    energy = torch.cdist(torch.cat([points, answers]), points).square().amin(1)
    assert (energy[:4] < 1e-12).all()
    assert (energy[4:] > 1e-12).all()


def test_1_1b_numbers_added_for_an_input_change_no_answer():
    energies, added = torch.randn(50, 7), torch.randn(50, 1)
    assert torch.equal((energies + added).argmin(1), energies.argmin(1))
    normalised = energies + torch.logsumexp(-energies, 1, keepdim=True)
    torch.testing.assert_close((-normalised).exp().sum(1), torch.ones(50))


def test_1_3d_iii_steps_on_simple_overshoot_and_on_square_square_fade():
    def descend(loss):
        level = torch.tensor(1.03)
        for _ in range(200):
            by_good, _ = figures.slope(lambda g, b: loss(g, b, MARGIN), level, torch.tensor(9.0))
            level = level - 0.1 * by_good
        return level.item()

    assert -0.1 < descend(simple_loss) < -0.01
    assert 0 < descend(square_square_loss) < 1e-6


def test_figure_4_where_each_loss_pushes():
    grid = torch.linspace(-2, 3, 51)
    bad, good = (part.flatten() for part in torch.meshgrid(grid, grid, indexing="ij"))
    push = {
        name: torch.stack(figures.slope(loss, good, bad)).neg()
        for name, loss in figures.PAIRS.items()
    }
    for name in ("hinge", "log", "perceptron"):  # across the lines of equal difference
        torch.testing.assert_close(push[name][0], -push[name][1])
    apart = (good - bad).abs() > 1e-6
    assert torch.equal((push["perceptron"][0] != 0)[apart], (good > bad)[apart])
    assert not push["energy"][1].any()
    corner = (good <= 0) & (bad >= figures.MARGIN)
    for name in ("simple", "square-square"):
        assert torch.equal((push[name] != 0).any(0), ~corner)
        assert (push[name][0] <= 0).all()
        assert (push[name][1] >= 0).all()


def test_1_3_d_iii_weight_of_the_right_answer_may_be_large_where_one_rival_is_far():
    energies = torch.tensor([0.0, 10.0, -10.0])  # right, far above it, far below it
    probability = gibbs(energies, 1.0)
    assert 1 - probability[0] > 0.9999
    assert probability[1] <= math.exp(energies[0] - energies[1])


def test_1_2_iv_figure_2_nll_digs_for_ever_and_the_hinge_stops():
    nll = figures.gap(figures.sharpen("nll", 2000)[1])
    hinge = figures.gap(figures.sharpen("hinge", 2000)[1])
    assert (nll.diff() > 0).all()
    # like the logarithm of the time
    assert (nll[2000] - nll[200]).item() == pytest.approx(math.log(10), rel=0.15)
    assert hinge[-1] == hinge[200]
    assert MARGIN - 0.6 < hinge[-1] < 1.25


def test_1_2_iv_nll_keeps_the_mean_of_a_free_table():
    _, history = figures.sharpen("nll", 500)
    torch.testing.assert_close(history.mean(1), history[0].mean().expand(501))
    assert history[-1, 20] < history[100, 20] < history[0, 20]


def test_1_3_every_number_from_0_to_1_is_a_subgradient_at_the_kink():
    points = torch.linspace(-3, 3, 61)
    for slope in (0.0, 0.3, 1.0):
        assert (points.relu() >= slope * points).all()
    for slope in (-0.1, 1.1):
        assert not (points.relu() >= slope * points).all()


def test_1_3d_i_log_loss_is_nll_of_two_answers():
    pair = torch.randn(100, 2)
    torch.testing.assert_close(
        log_loss(pair[:, 0], pair[:, 1]), nll_loss(pair[:, 0], torch.logsumexp(-pair, 1))
    )


def test_1_3d_i_simple_and_square_square_stop_and_nll_does_not():
    good, bad = torch.tensor([-0.5, -3.0]), torch.tensor([2.0, 9.0])
    for loss in (simple_loss, square_square_loss):
        by_good, by_bad = figures.slope(lambda g, b, loss=loss: loss(g, b, MARGIN), good, bad)
        assert not by_good.any()
        assert not by_bad.any()
    by_good, by_bad = figures.slope(log_loss, good, bad)
    assert (by_good > 0).all()
    assert (by_bad < 0).all()


def test_1_3d_ii_log_loss_is_a_rounded_hinge():
    difference = torch.linspace(-30, 30, 601)
    loss, zero = log_loss(difference, torch.zeros(601)), torch.zeros(601)
    assert (difference.relu() <= loss).all()
    assert (loss <= difference.relu() + math.log(2) + 1e-12).all()
    sharp = [log_loss(beta * (difference + MARGIN), zero) / beta for beta in (1, 10, 100)]
    errors = [(value - hinge_loss(difference, zero, MARGIN)).abs().max() for value in sharp]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] <= math.log(2) / 100 + 1e-12


@pytest.mark.parametrize("loss", [hinge_loss, log_loss])
def test_1_3d_iii_hinge_and_log_see_the_gap_only(loss):
    good, bad, level = torch.randn(3, 100)
    torch.testing.assert_close(loss(good + level, bad + level), loss(good, bad))


def test_1_3d_iii_table_1():
    def weights(loss, good, bad):
        by_good, by_bad = figures.slope(loss, torch.tensor(good), torch.tensor(bad))
        return by_good.item(), -by_bad.item()

    def with_margin(loss):
        return lambda good, bad: loss(good, bad, MARGIN)

    hinge, simple, square = map(with_margin, (hinge_loss, simple_loss, square_square_loss))
    assert weights(hinge, 5.0, -5.0) == weights(hinge, 2.0, 2.0) == (1, 1)
    assert weights(hinge, 0.0, MARGIN) == weights(hinge, -5.0, 5.0) == (0, 0)
    assert weights(log_loss, 9.0, -9.0) == pytest.approx((1, 1))
    assert weights(log_loss, 2.0, 2.0) == (0.5, 0.5)
    assert weights(log_loss, -9.0, 9.0) == pytest.approx((math.exp(-18), math.exp(-18)), rel=1e-6)
    assert weights(square, 3.0, -2.0) == (2 * 3, 2 * (MARGIN + 2))
    for tie in torch.linspace(-3, 4, 57).tolist():
        assert max(weights(simple, tie, tie)) == 1
        assert sum(weights(square, tie, tie)) >= 2 * MARGIN - 1e-12
    assert weights(simple, -1.0, 2.0) == weights(square, -1.0, 2.0) == (0, 0)


def test_table_1_nll_shares_one_weight_among_the_wrong_answers():
    energies = (2 * torch.randn(6)).requires_grad_()
    (weights,) = torch.autograd.grad(nll_loss(energies[0], torch.logsumexp(-energies, 0)), energies)
    torch.testing.assert_close(weights[0], 1 - gibbs(energies.detach(), 1.0)[0])
    torch.testing.assert_close(-weights[1:].sum(), weights[0])


def test_figure_3_slopes_on_the_drawn_line():
    difference = torch.tensor([-3.0, -1.5, -0.5, 1.0])
    good, bad = difference / 2, -difference / 2
    slopes = {name: figures.slope(loss, good, bad) for name, loss in figures.PAIRS.items()}
    along = {name: ((by_good - by_bad) / 2).tolist() for name, (by_good, by_bad) in slopes.items()}
    assert along["hinge"] == [0, 0, 1, 1]
    assert along["log"] == pytest.approx(difference.sigmoid().tolist())
    assert along["simple"] == [0, 0.5, 0.5, 1]
    assert along["square-square"] == pytest.approx([0, 0.25, 0.75, 1 + 1])


def test_figures_are_grey_and_the_numbers_of_the_text_are_theirs(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "FOLDER", tmp_path)
    monkeypatch.setattr(figures, "NUMBERS", tmp_path / "numbers.tex")
    with figures.plt.rc_context():
        figures.main()
    written = (tmp_path / "numbers.tex").read_text(encoding="utf-8")
    assert written == (THEORY / "numbers.tex").read_text(encoding="utf-8")
    text = "".join(path.read_text(encoding="utf-8") for path in THEORY.glob("sections/*.tex"))
    assert all(f"\\{name}{{}}" in text for name in re.findall(r"\{\\(\w+)\}", written))
    assert {path.name for path in tmp_path.glob("*.pdf")} == {
        "collapse.pdf",
        "loss_difference.pdf",
        "loss_plane.pdf",
        "sharpening.pdf",
    }
    for path in tmp_path.glob("*.pdf"):
        content = PdfReader(path).pages[0].get_contents().get_data().decode("latin-1")
        assert re.search(r"[\d.]+ [gG]\b", content)
        assert not re.search(r"\b(?:rg|RG)\b", content)


def test_sources_can_be_read_in_a_terminal():
    for path in [*THEORY.glob("*.tex"), *THEORY.glob("sections/*.tex")]:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert max(map(len, lines)) <= 80, path.name


def test_pdf_was_made_from_these_sources_and_is_short():
    pdf = PdfReader(PDF)
    stale = "theory/hw4_theory.pdf is not of these sources: run `make theory`"
    assert pdf.metadata["/Keywords"] == f"sources {figures.digest()}", stale
    assert len(pdf.pages) <= 9


def test_pdf_holds_all_answers_in_order():
    text = "\n".join(page.extract_text() for page in PdfReader(PDF).pages)
    places = [re.search(rf"{re.escape(answer)}\s*\[\d points?\]", text) for answer in ANSWERS]
    assert len(ANSWERS) == 18
    assert all(places), [answer for answer, place in zip(ANSWERS, places) if not place]
    starts = [place.start() for place in places]
    assert starts == sorted(starts)
    assert all(end - start > 100 for start, end in zip(starts, [*starts[1:], len(text)]))
    points = [int(re.search(r"\[(\d)", place.group()).group(1)) for place in places]
    assert (sum(points[:8]), sum(points[8:12]), sum(points[12:])) == (15, 20, 15)
    assert "??" not in text
