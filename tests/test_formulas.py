"""Each display of theory/sections/*.tex, read from the source and evaluated: every member against
the one before it, definitions and gradients against the package's losses and autograd; and that no
sign, factor or name in a display can change unseen."""

import math
import re
from itertools import combinations, pairwise, product
from pathlib import Path

import pytest
import torch

from ebm_ocr import find_free_energy, find_path, free_energy, path_energy
from ebm_ocr.losses import hinge_loss, log_loss, nll_loss, simple_loss, square_square_loss
from theory.formulas import read

THEORY = Path(__file__).parents[1] / "theory"
SOURCE = "\n".join(
    path.read_text(encoding="utf-8") for path in sorted((THEORY / "sections").glob("*.tex"))
)
DISPLAYS = {
    re.search(r"\\label\{eq:(\w+)\}", found[0])[1]: found[2]
    for found in re.finditer(r"\\begin\{(equation|align)\}(.*?)\\end\{\1\}", SOURCE, re.DOTALL)
}
INLINE = [
    formula
    for formula in re.findall(r"\$([^$]*)\$", re.sub(r"\\why\{.*", "", SOURCE))
    if re.search(r"=|\\le", formula) and re.search(r"\\loss|\\by\[a\]|\\relu\{\\Delta\}", formula)
]
MACROS = {  # what the grammar takes them for
    r"\F": "{F_W}",
    r"\good": r"{\F(x,y)}",
    r"\ybar": r"{\bar y}",
    r"\bad": r"{\F(x,\ybar)}",
    r"\by": r"[2][W]{\frac{\partial #2}{\partial #1}}",
    r"\relu": r"[1]{\left[#1\right]^{+}}",
    r"\one": r"[1]{\mathbf 1\!\left[#1\right]}",
    r"\loss": r"[1]{\ell_{\text{#1}}}",
}
HOLDS = {
    "=": lambda a, b: a.shape == b.shape and torch.allclose(a, b, rtol=1e-6, atol=1e-7),
    r"\ne": torch.ne,
    "<": torch.lt,
    ">": torch.gt,
    r"\le": lambda a, b: a <= b + 1e-9,
    r"\ge": lambda a, b: a >= b - 1e-9,
}
CLASSES, LABEL, MARGIN = 7, 2, 1.5
WAYS = [
    torch.tensor([sum(i >= turn for turn in turns) for i in range(5)])
    for turns in combinations(range(1, 5), 2)
]
"""All paths through five windows of three symbols: what z runs over."""
SIDES = list(product((-2.0, -0.1, 0.0, 0.1, 3.0), (-1.0, 0.05, 1.4, MARGIN, 1.6, 4.0)))
"""Energies of the right and of the most offending answer, on both sides of each kink, and on it."""


@pytest.fixture(autouse=True)
def _double():
    """Theory is checked in float64."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def make_world(good, bad, beta, seed, wrong=None):
    """Energies by a small network, moved to given levels, what the package says of them, and a
    path matrix for each answer; the wrong answer is the most offending one unless given."""
    torch.manual_seed(seed)
    weights = torch.randn(21, 1, requires_grad=True)
    first, second = weights[:16, 0].view(4, 4), weights[16:, 0]
    inputs = torch.cat([torch.randn(CLASSES, 3), torch.ones(CLASSES, 1)], 1)
    raw = torch.tanh(inputs @ first.T) @ second[:4] + second[4]
    levels = bad + 0.3 + 2 * torch.rand(CLASSES)
    levels[LABEL], levels[4] = good, bad
    energies = (raw - raw.detach() + levels).unbind()
    table = torch.stack(energies)
    matrices = torch.randn(CLASSES, 5, 3) * (0.2 if seed % 2 else 2.0)
    matrices[5] -= 2  # the best one by any temperature
    by_path = torch.stack([torch.stack([path_energy(pm, way) for way in WAYS]) for pm in matrices])

    def partition(world):
        return (-world[r"\beta"] * all_of(world)).exp()

    def all_of(world):  # one window, in which every class is some word
        return free_energy(
            table[None, None], None, beta=world[r"\beta"].item(), separators="optional"
        )[0]

    def nll(world, label):
        return nll_loss(table[label], -world[r"\beta"] * all_of(world), world[r"\beta"].item())

    def offending(label):
        return min((i for i in range(CLASSES) if i != label), key=lambda i: table[i].item())

    def pair(loss, *options):
        def of(world, label):
            other = world["<ybar>"] if label == world["y"] else offending(label)
            return loss(table[label], table[other], *options)

        return of

    def gibbs(world, label):
        return (-world[r"\beta"] * nll(world, label)).exp()

    def free(world, label):
        beta = world[r"\beta"].item()
        pm = matrices[label]
        found = find_path(pm) if math.isinf(beta) else find_free_energy(pm, beta)
        return found.free_energy

    def lowest(world, label):
        return find_path(matrices[label]).free_energy

    return {
        "W": weights,
        "N": torch.tensor(21),
        "n": torch.tensor(CLASSES),
        "K": torch.tensor(float(len(WAYS))),
        "e": torch.tensor(math.e),
        "m": torch.tensor(MARGIN),
        "a": torch.tensor(good, requires_grad=True),
        r"\Delta": torch.tensor(good - bad, requires_grad=True),
        r"\beta": torch.tensor(beta),
        r"\infty": torch.tensor(math.inf),
        "y": torch.tensor(LABEL),
        "<ybar>": torch.tensor(offending(LABEL) if wrong is None else wrong),
        "<y*>": torch.stack([lowest({}, label) for label in range(CLASSES)]).argmin(),
        "over": {"<y'>": CLASSES, "<ybar>": CLASSES, "y": CLASSES, "z": len(WAYS)},
        "<F_W>": lambda world, label: energies[label],
        "<p_W>": gibbs,
        "p": gibbs,
        "Z": partition,
        "G": lambda world, label, way: by_path[label, way],
        "<F_beta>": free,
        "<F_infty>": lowest,
        "<NLL>": nll,
        "<hinge>": pair(hinge_loss, MARGIN),
        "<simple>": pair(simple_loss, MARGIN),
        "<sq-sq>": pair(square_square_loss, MARGIN),
        "<log>": pair(log_loss),
    }


def make_well(d, s, beta):
    """A quadratic well of width s around y in d dimensions, its integral as a sum over a grid."""
    right = torch.arange(1.0, d + 1)
    axis = s / math.sqrt(beta) * torch.linspace(-9, 9, 181)
    points = right + torch.cartesian_prod(*[axis] * d).view(-1, d)
    cell = (axis[1] - axis[0]) ** d
    log_integral = (
        torch.logsumexp(-beta * (points - right).square().sum(1) / (2 * s**2), 0) + cell.log()
    )
    return {
        "e": torch.tensor(math.e),
        r"\pi": torch.tensor(math.pi),
        r"\infty": torch.tensor(math.inf),
        r"\beta": torch.tensor(beta),
        "d": torch.tensor(float(d)),
        "s": torch.tensor(s),
        "y": right,
        "<ybar>": right + 50,
        "points": points,
        "cell": cell,
        "<NLL>": lambda world, label: nll_loss(torch.tensor(0.0), log_integral, beta),
    }


def worlds_of(formula):
    """The worlds in which a formula must hold."""
    if r"\int" in formula:
        return [make_well(d, s, beta) for d, s, beta in product((1, 2), (0.3, 2.0), (0.5, 4.0))]
    sides = [
        make_world(good, bad, (0.3, 1.0, 4.0)[seed % 3], seed)
        for seed, (good, bad) in enumerate(SIDES)
    ]
    if r"\argmin" in formula:
        return sides
    others = [i for i in range(CLASSES) if i != LABEL]
    return sides + [make_world(1.0, 0.5, 0.7, 50 + wrong, wrong) for wrong in others]


def goes_to(member, world, variable, target):
    """Whether a member passes every bound, in a variable that goes to zero by powers of ten."""
    values = [member(world | {variable: torch.tensor(10.0**-k)}).item() for k in range(1, 30, 4)]
    steps = [(b - a) * math.copysign(1, target) for a, b in pairwise(values)]
    return math.isinf(target) and min(steps) > 0.5 * max(steps) > 0


def holds(formula, worlds):
    """Whether all statements of a formula are true in all worlds."""
    statements = read(formula)
    assert statements
    assert all(relations for _, relations in statements), formula
    for world in worlds:
        for members, relations in statements:
            values = [torch.as_tensor(member(world)) for member in members]
            for index, relation in enumerate(relations):
                left, right = values[index : index + 2]
                if isinstance(relation, tuple):
                    if not goes_to(members[index], world, relation[0], right.item()):
                        return False
                elif not HOLDS[relation](left.double(), right.double()):
                    return False
    return True


def mutants(formula):
    """The formula with one thing changed: a sign, a relation, an extremum, which answer is right,
    a 2 or a beta."""
    plain = re.sub(
        r"\\why\{(?:[^{}]|\{[^{}]*\})*\}|\\text\{[^}]*\}|\\label\{[^}]*\}|\\notag", " ", formula
    )
    changes = {
        r"(?<!sq)-": "+",
        r"(?<!\{)\+": "-",
        r"\\le(?![a-z])": r"\\ge",
        r"<": ">",
        r">": "<",
        r"(?<!\\le\\;)\\min(?![a-z])": r"\\max",  # but a looser bound is true
        r"\\argmin": r"\\argmax",
        r"\\good(?![a-z])": r"\\bad",
        r"\\bad(?![a-z])": r"\\good",
        r"\\ybar(?![a-z])": "y",
        r"(?<![\\a-z])y(?!['^])": r"\\ybar ",
        r"2": "1",
        r"(?<!_)(?<!_\{)\\beta": "1",
    }
    for old, new in changes.items():
        for found in re.finditer(old, plain):
            start, end = found.span()
            yield plain[:start] + found.expand(new) + plain[end:]


def test_every_display_is_numbered_and_found():
    assert len(DISPLAYS) == 12
    assert SOURCE.count(r"\begin{equation}") + SOURCE.count(r"\begin{align}") == len(DISPLAYS)
    assert r"\[" not in re.sub(r"\\\[0", "", SOURCE)
    assert len(INLINE) >= 7


def test_the_grammar_reads_the_macros_as_they_are_defined():
    preamble = (THEORY / "hw4_theory.tex").read_text(encoding="utf-8")
    for name, body in MACROS.items():
        assert f"\\newcommand{{{name}}}{body}\n" in preamble


@pytest.mark.parametrize("label", DISPLAYS)
def test_display(label):
    assert holds(DISPLAYS[label], worlds_of(DISPLAYS[label]))


@pytest.mark.parametrize("formula", INLINE)
def test_inline(formula):
    assert holds(formula, worlds_of(formula))


@pytest.mark.parametrize("label", DISPLAYS)
def test_no_change_of_a_display_goes_unseen(label):
    worlds = worlds_of(DISPLAYS[label])
    changed = list(mutants(DISPLAYS[label]))
    assert len(changed) >= 6
    unseen = [formula for formula in changed if holds(formula, worlds)]
    assert not unseen, unseen


@pytest.mark.parametrize("formula", INLINE)
def test_no_change_of_an_inline_formula_goes_unseen(formula):
    worlds = worlds_of(formula)
    assert not any(holds(changed, worlds) for changed in mutants(formula))


@pytest.mark.parametrize("formula", [r"\beta\unknown", r"\good\good)", r"=\good", r"\frac{1}"])
def test_what_the_grammar_does_not_know_is_refused(formula):
    with pytest.raises(ValueError, match="expected"):
        read(formula)
