"""The figures of hw4_theory.pdf and the numbers in its text,
computed with the package's own losses.

    python theory/figures.py

writes theory/figures/*.pdf, theory/numbers.tex, which is committed, and the digest of the
sources that the PDF carries. tests/test_theory.py checks what the figures claim.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import matplotlib
import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from torch import Tensor, nn

from ebm_ocr import losses

THEORY = Path(__file__).parent
FOLDER = THEORY / "figures"
NUMBERS = THEORY / "numbers.tex"
MARGIN = 1.0
GRIDS = (41, 401, 4001)
"""Values of y in Figure 2, from a coarse grid to a fine one."""
STYLE = {
    "font.family": "cmr10",
    "mathtext.fontset": "cm",
    "axes.formatter.use_mathtext": True,
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,
    "lines.linewidth": 1.3,
    "figure.constrained_layout.use": True,
}
STEPS = [-0.2, 0.5, 1, 2, 4, 8]
"""Losses at which the grey of Figure 4 changes."""
GOOD, BAD = r"$F_W(x,y)$", r"$F_W(x,\bar{y})$"
Pair = Callable[[Tensor, Tensor], Tensor]
PAIRS: dict[str, Pair] = {
    "energy": lambda good, bad: losses.energy_loss(good) + 0 * bad,
    "perceptron": lambda good, bad: losses.perceptron_loss(good, torch.minimum(good, bad)),
    "hinge": lambda good, bad: losses.hinge_loss(good, bad, MARGIN),
    "log": losses.log_loss,
    "simple": lambda good, bad: losses.simple_loss(good, bad, MARGIN),
    "square-square": lambda good, bad: losses.square_square_loss(good, bad, MARGIN),
}


class Collapse(NamedTuple):
    """An energy over the plane, trained; energies by step on the data and off it."""

    surface: Tensor  # (x, y) on AXIS
    on_data: Tensor  # (steps,) mean energy of right answers
    off_data: Tensor  # (steps,) mean energy of answers drawn anywhere


AXIS = torch.linspace(-1.5, 1.5, 61, dtype=torch.float64)


def slope(loss: Pair, good: Tensor, bad: Tensor) -> tuple[Tensor, Tensor]:
    """Derivatives of a loss with respect to both energies."""
    good, bad = good.clone().requires_grad_(), bad.clone().requires_grad_()
    return torch.autograd.grad(loss(good, bad).sum(), (good, bad))


def train_collapse(contrastive: bool, steps: int = 400, seed: int = 0) -> Collapse:
    """Fit ``F(x, y) = |h(x) - g(y)|^2`` to a circle, on which most x have two right y.

    With ``contrastive`` the square-square loss, each wrong answer drawn uniformly;
    without it the energy loss.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [nn.Linear(*sizes, dtype=torch.float64) for sizes in ((1, 32), (32, 4)) * 2]
    h, g = (
        nn.Sequential(layers[0], nn.Tanh(), layers[1]),
        nn.Sequential(layers[2], nn.Tanh(), layers[3]),
    )
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam([*h.parameters(), *g.parameters()], lr=0.01)

    def energy(x: Tensor, y: Tensor) -> Tensor:
        return (h(x[..., None]) - g(y[..., None])).square().sum(-1)

    on_data, off_data = [], []
    for _ in range(steps):
        angle = 2 * torch.pi * torch.rand(256, generator=generator, dtype=torch.float64)
        wrong = 3 * torch.rand(256, generator=generator, dtype=torch.float64) - 1.5
        good, bad = energy(angle.cos(), angle.sin()), energy(angle.cos(), wrong)
        loss = (
            losses.square_square_loss(good, bad, MARGIN)
            if contrastive
            else losses.energy_loss(good)
        )
        optimiser.zero_grad()
        loss.mean().backward()
        optimiser.step()
        on_data.append(good.mean().detach())
        off_data.append(bad.mean().detach())
    with torch.no_grad():
        surface = energy(AXIS[:, None].expand(61, 61), AXIS[None].expand(61, 61))
    return Collapse(surface, torch.stack(on_data), torch.stack(off_data))


def sharpen(kind: str, steps: int, points: int = 41) -> tuple[Tensor, Tensor]:
    """Descend on a free table of energies over y in [-1, 1]; the right answer is 0.

    ``kind`` is "nll" (beta = 1) or "hinge" (mean over all wrong answers).
    Returns the grid (points,) and the energies after each step (steps + 1, points).
    """
    grid = torch.linspace(-1, 1, points, dtype=torch.float64)
    right = grid.abs().argmin()
    wrong = torch.arange(points) != right
    energies = (0.5 * (grid - 0.5) ** 2).requires_grad_()
    history = [energies.detach().clone()]
    for _ in range(steps):
        if kind == "nll":
            loss = losses.nll_loss(energies[right], torch.logsumexp(-energies, 0))
        else:
            loss = losses.hinge_loss(energies[right], energies[wrong], MARGIN).mean()
        (gradient,) = torch.autograd.grad(loss, energies)
        energies = (energies - 0.2 * gradient).detach().requires_grad_()
        history.append(energies.detach().clone())
    return grid, torch.stack(history)


def gap(energies: Tensor) -> Tensor:
    """Energy of the right answer's nearest neighbour, less its own: (..., points) -> (...)."""
    middle = energies.shape[-1] // 2
    return energies[..., middle + 1] - energies[..., middle]


def scientific(value: Tensor) -> str:
    """A number in TeX, to one digit."""
    digit, exponent = f"{value.item():.0e}".split("e")
    return rf"\ensuremath{{{digit}\cdot10^{{{int(exponent)}}}}}"


def plot_difference(name: str, style: str, value: Axes, derivative: Axes) -> None:
    """Loss and derivative against the energies' difference, along ``F(x, y) = -F(x, ybar)``."""
    difference = torch.linspace(-4, 4, 801, dtype=torch.float64)
    good, bad = difference / 2, -difference / 2
    by_good, by_bad = slope(PAIRS[name], good, bad)
    # the first lies under the others, broad: simple runs along it
    look = {"color": "0.7", "linewidth": 3.5} if style == "-" else {"color": "black"}
    value.plot(difference, PAIRS[name](good, bad), style, label=name, **look)
    derivative.plot(difference, (by_good - by_bad) / 2, style, label=name, **look)


def draw_difference() -> plt.Figure:
    """Four losses and their slopes, side by side."""
    figure, (value, derivative) = plt.subplots(1, 2, figsize=(6.3, 2.4))
    for name, style in {"hinge": "-", "log": "--", "simple": "-.", "square-square": ":"}.items():
        plot_difference(name, style, value, derivative)
    value.set(ylim=(-0.1, 4.5), ylabel=r"loss $\ell$")
    derivative.set(ylim=(-0.1, 3), ylabel=r"$d\ell\,/\,d\Delta$")
    for ax in (value, derivative):
        ax.set_xlabel(rf"$\Delta=\,${GOOD}$\,-\,${BAD}")
        ax.axvline(-MARGIN, color="0.75", linewidth=0.6)
        ax.axvline(0, color="0.75", linewidth=0.6)
    lines = value.get_legend_handles_labels()
    figure.legend(*lines, frameon=False, loc="outside upper center", ncols=4, handlelength=3)
    return figure


def draw_plane() -> plt.Figure:
    """Height and descent direction of every pair loss, in the plane that LeCun et al. 2006 draw."""
    figure, axes = plt.subplots(2, 3, figsize=(6.3, 3.2), sharex=True, sharey=True)
    levels = torch.linspace(-2, 3, 101, dtype=torch.float64)
    coarse = torch.linspace(-1.75, 2.75, 8, dtype=torch.float64)
    for ax, (name, loss) in zip(axes.flat, PAIRS.items()):
        bad, good = torch.meshgrid(levels, levels, indexing="ij")
        heights = loss(good, bad).clamp(min=-0.1)
        # white up to 0.5, then darker and darker, and never so dark that an arrow is lost
        greys = [f"{shade:.2f}" for shade in (1, 0.92, 0.84, 0.76, 0.68, 0.6)]
        surface = good.numpy(), bad.numpy(), heights.numpy()  # matplotlib 3.8 takes no tensors
        picture = ax.contourf(*surface, STEPS, colors=greys, extend="max")
        picture.set_edgecolor("face")
        bad, good = torch.meshgrid(coarse, coarse, indexing="ij")
        by_good, by_bad = slope(loss, good, bad)
        moved = (by_good.abs() + by_bad.abs()) > 0
        arrows = [part[moved].numpy() for part in (good, bad, -by_good, -by_bad)]
        ax.quiver(*arrows, angles="xy", scale=30, width=0.008, headwidth=4)
        ax.plot([-2, 3], [-2, 3], "k--", linewidth=0.7)
        ax.plot([-2, 3 - MARGIN], [-2 + MARGIN, 3], "k:", linewidth=0.9)
        ax.set(title=name, xlim=(-2, 3), ylim=(-2, 3), aspect="equal", xticks=(-2, 0, 2))
    for ax in axes[1]:
        ax.set_xlabel(GOOD)
    for ax in axes[:, 0]:
        ax.set_ylabel(BAD)
    return figure


def draw_collapse(flat: Collapse, shaped: Collapse) -> plt.Figure:
    """Both trained energies over the plane, and their means while training."""
    figure, axes = plt.subplots(1, 3, figsize=(6.3, 2.15), width_ratios=[1, 1, 1.15])
    for ax, run, title, ring in zip(
        axes, (flat, shaped), ("energy loss", "square-square loss"), ("white", "black")
    ):
        picture = ax.contourf(
            AXIS,
            AXIS,
            run.surface.T,
            torch.linspace(0, 1.5, 11).tolist(),
            cmap="gray",
            extend="max",
        )
        picture.set_edgecolor("face")
        ax.add_patch(plt.Circle((0, 0), 1, fill=False, color=ring, linestyle="--", linewidth=0.9))
        ax.set(title=title, xlabel="$x$", aspect="equal", xticks=[-1, 0, 1], yticks=[-1, 0, 1])
    axes[0].set_ylabel("$y$")
    axes[0].text(0, 0, "everywhere\nnear 0", color="white", ha="center", va="center", fontsize=8)
    bar = figure.colorbar(picture, ax=axes[1], ticks=[0, 0.5, 1, 1.5], shrink=0.9)
    bar.ax.set_title("$F_W(x,y)$", fontsize=8)
    for run, shade, name in ((flat, "0.5", "energy"), (shaped, "black", "square-square")):
        for energies, style, where, above in (
            (run.off_data, "-", "off", 3.0),
            (run.on_data, "--", "on", 0.2 if name != "energy" else 3.0),
        ):
            axes[2].semilogy(energies, style, color=shade)
            axes[2].text(
                390,
                energies[-1].item() * above,
                f"{name}, {where} data",
                fontsize=7,
                ha="right",
                va="center",
            )
    axes[2].set(xlabel="step", ylabel="mean energy", ylim=(3e-6, 30))
    return figure


def edge(kind: str, points: int) -> tuple[Tensor, Tensor]:
    """Gap and slope beside the right answer after 2000 steps on a grid."""
    grid, history = sharpen(kind, 2000, points)
    depth = gap(history[-1])
    return depth, depth / (grid[1] - grid[0])


def draw_sharpening() -> plt.Figure:
    """The table of energies after more and more steps, and the slope beside the right answer on
    finer and finer grids."""
    figure, axes = plt.subplots(1, 3, figsize=(6.3, 1.95))
    axes[1].sharey(axes[0])
    for ax, kind, title, style in zip(
        axes, ("nll", "hinge"), ("NLL", "hinge, $m=1$"), ("o-", "s--")
    ):
        grid, history = sharpen(kind, 2000)
        for step, grey in {0: "0.8", 20: "0.6", 200: "0.35", 2000: "0"}.items():
            ax.plot(grid, history[step], color=grey, linewidth=2 - 1.2 * (1 - float(grey)))
            name = f"{step}" if kind == "nll" else "20, 200, 2000" * (step == 2000)
            if step:
                ax.text(0.08, history[step].min().item(), name, fontsize=7.5, va="center")
        ax.set(title=title, xlabel="$y'$  (right answer $y=0$)", xlim=(-1, 1))
        slopes = [edge(kind, points)[1] for points in GRIDS]
        axes[2].loglog(GRIDS, slopes, style, color="black", label=title, markersize=4)
    axes[0].set_ylabel("$F_W(x,y')$")
    axes[2].set(title="slope beside the right answer", xlabel="number of values of $y$")
    axes[2].set_ylim(top=1e6)  # room for the legend
    axes[2].legend(frameon=False, loc="upper left", fontsize=7, handlelength=2.8)
    return figure


def numbers() -> dict[str, str]:
    """What the text and the captions quote, by the names of their macros."""
    flat, shaped = train_collapse(False), train_collapse(True)
    early, late = gap(sharpen("nll", 2000)[1])[[200, 2000]]
    found = {
        "CollapseHighest": f"{flat.surface.max():.3f}",
        "CollapsedOn": scientific(flat.on_data[-1]),
        "CollapsedOff": scientific(flat.off_data[-1]),
        "ShapedOn": f"{shaped.on_data[-1]:.2f}",
        "ShapedOff": f"{shaped.off_data[-1]:.2f}",
        "GapEarly": f"{early:.1f}",
        "GapLate": f"{late:.1f}",
    }
    for name, points in zip(("Coarse", "Middle", "Fine"), GRIDS):
        depth, steepness = edge("hinge", points)
        found |= {f"GapHinge{name}": f"{depth:.2f}", f"SlopeHinge{name}": f"{steepness:.0f}"}
    return found


def macros(values: dict[str, str]) -> str:
    """Numbers as TeX, a macro a line."""
    return "".join(rf"\newcommand{{\{name}}}{{{value}}}" + "\n" for name, value in values.items())


def digest() -> str:
    """SHA-256 of the sources of hw4_theory.pdf, their names included."""
    found = sha256()
    for path in sorted([*THEORY.glob("*.tex"), *THEORY.glob("sections/*.tex"), Path(__file__)]):
        found.update(path.name.encode() + b"\0" + path.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return found.hexdigest()


def main() -> None:
    """Write every figure, the numbers that the text quotes, and the digest of all sources."""
    matplotlib.use("Agg")
    # it doubts the dates in matplotlib's own fonts
    logging.getLogger("fontTools").setLevel(logging.ERROR)
    plt.rcParams.update(STYLE)
    torch.set_num_threads(1)
    FOLDER.mkdir(exist_ok=True)
    figures = {
        "loss_difference": draw_difference(),
        "loss_plane": draw_plane(),
        "collapse": draw_collapse(train_collapse(False), train_collapse(True)),
        "sharpening": draw_sharpening(),
    }
    for name, figure in figures.items():
        figure.savefig(FOLDER / f"{name}.pdf", metadata={"CreationDate": None})
    NUMBERS.write_text(macros(numbers()), encoding="utf-8")
    (FOLDER / "digest.tex").write_text(macros({"SourcesDigest": digest()}), encoding="utf-8")
    print(NUMBERS.read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    main()
