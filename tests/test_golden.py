"""Every implementation gives the answers of ``golden.json``,
which ``python tools/golden.py`` writes."""

import importlib.util
import json
import math
from pathlib import Path

import pytest
import torch

from ebm_ocr import (
    alignment_graph,
    build_path_matrix,
    find_path,
    forward_score,
    free_energy,
    intersect,
    linear_graph,
    most_offending,
    n_best,
    path_energy,
    posterior,
    viterbi,
)
from ebm_ocr.kernels import reference

FILE = Path(__file__).with_name("golden.json")
GOLDEN = json.loads(FILE.read_text(encoding="utf-8"), parse_constant=pytest.fail)
CASES = GOLDEN["cases"]
BETAS = [math.inf if beta == "inf" else beta for beta in GOLDEN["betas"]]
INF = {"inf": math.inf}
# not for implementations that know no wildcards
PLAIN = [case for case in CASES if case["kind"] != "wildcard"]
FINITE = [case for case in PLAIN if case["kind"] != "forbidden"]


def number(value):
    return INF.get(value, value) if isinstance(value, str) else value


def inputs(case):
    """Energies, targets and lengths, a batch of one; what does not count
    is filled with NaN and 99."""
    energies = torch.tensor(
        [[number(e) for e in row] for row in case["energies"]], dtype=torch.float64
    )
    energies[case["windows"] :] = math.nan
    target = torch.tensor(case["target"])
    target[case["symbols"] :] = 99
    return (
        energies[None],
        target[None],
        torch.tensor([case["windows"]]),
        torch.tensor([case["symbols"]]),
    )


def options(case, **more):
    return {"separators": case["separators"], "separator": case["separator"], **more}


def close(found, expected):
    torch.testing.assert_close(
        found.double(),
        torch.tensor(expected, dtype=torch.float64).view_as(found),
        rtol=1e-9,
        atol=1e-8,
    )


def alike(found, expected):
    """Equal, but that processors round the last digits of a sum in their own ways."""
    if isinstance(found, dict):
        return all(alike(part, expected[key]) for key, part in found.items())
    if isinstance(found, list):
        return len(found) == len(expected) and all(map(alike, found, expected))
    if isinstance(found, float) and isinstance(expected, float):
        return math.isclose(found, expected, rel_tol=1e-12, abs_tol=1e-9)
    return found == expected


def letters(case, count):
    return [c for c in range(count) if c != case["separator"]]


def test_the_cases_are_many_and_of_every_kind():
    assert len(CASES) == 300
    kinds = {(case["kind"], case["separators"]) for case in CASES}
    assert len(kinds) == 12
    assert any(case["path"] is None for case in CASES)
    assert any("inf" in str(case["free_energy"]) and case["path"] for case in CASES)
    assert any(case["windows"] < len(case["energies"]) for case in CASES)
    assert sum(case["separator"] != len(case["energies"][0]) - 1 for case in CASES) > 50


def test_the_file_is_what_its_command_writes():
    """Drawn again in full, and the answers of every tenth case computed again."""
    path = Path(__file__).parents[1] / "tools" / "golden.py"
    spec = importlib.util.spec_from_file_location("golden", path)
    golden = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(golden)
    rng = golden.random.Random(0)
    again = [
        golden.draw(rng, kind, separators)
        for kind in golden.KINDS
        for separators in ("required", "optional")
        for _ in range(golden.CASES)
    ]
    for index, (case, expected) in enumerate(zip(again, CASES, strict=True)):
        drawn = json.loads(json.dumps(golden.readable(case)))
        assert expected | drawn == expected
        if index % 10 == 0:
            answered = json.loads(json.dumps(golden.readable(golden.answer(case))))
            assert answered.keys() == expected.keys()
            assert alike(answered, expected)


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_engine_on_the_cpu(case):
    where = inputs(case)
    extra = {"wildcard": case["wildcard"], "infeasible": "inf"}
    for beta, value, every in zip(BETAS, case["free_energy"], case["all_words"]):
        close(free_energy(*where, beta, **options(case, **extra)), number(value))
        close(free_energy(where[0], None, where[2], beta=beta, **options(case)), number(every))
    counted = posterior(*where, **options(case, **extra))[0, : case["windows"], : case["symbols"]]
    close(counted, case["posterior"])
    path = viterbi(*where, **options(case, **extra)).path[0, : case["windows"]].tolist()
    assert path == (case["path"] or [-1] * case["windows"])


@pytest.mark.parametrize("case", PLAIN, ids=range(len(PLAIN)))
def test_gradients_of_the_engine_are_posteriors(case):
    where = inputs(case)
    leaf = where[0].nan_to_num(0, posinf=math.inf).requires_grad_()
    free_energy(leaf, *where[1:], 1.0, **options(case, infeasible="inf")).sum().backward()
    for symbol in letters(case, leaf.shape[2]):
        columns = [j for j in range(case["symbols"]) if case["target"][j] == symbol]
        shares = [sum(row[j] for j in columns) for row in case["posterior"]]
        close(leaf.grad[0, : case["windows"], symbol], shares)


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_search(case):
    """Classes are renamed so that the separator is the last one, as the search wants it."""
    energies, _, windows, _ = inputs(case)
    order = [*letters(case, energies.shape[2]), case["separator"]]
    found = n_best(energies[:, :, order], len(case["n_best"]) or 1, windows, case["separators"])[0]
    words = [
        (energy, "".join(chr(97 + order.index(c)) for c in word)) for energy, word in case["n_best"]
    ]
    assert [reading.energy for reading in found] == pytest.approx(
        [energy for energy, _ in words], abs=1e-8
    )
    worst = found[-1].energy - 1e-8 if found else 0  # among equals at the end any may be named
    assert {r.text for r in found if r.energy < worst} == {
        word for energy, word in words if energy < worst
    }
    if not case["most_offending"] or case["kind"] == "wildcard":
        return
    spelled = [order.index(c) for c in case["target"][: case["symbols"]] if c != case["separator"]]
    if spelled or case["separators"] == "optional":
        right = "".join(chr(97 + c) for c in spelled)
        other = most_offending(energies[:, :, order], [right], windows, case["separators"])[0]
        assert other.energy == pytest.approx(case["most_offending"][0], abs=1e-8)
        assert other.text != right


@pytest.mark.parametrize("case", FINITE, ids=range(len(FINITE)))
def test_graphs(case):
    energies, target, _, _ = inputs(case)
    symbols = target[0, : case["symbols"]]
    graph = intersect(
        linear_graph(energies[0, : case["windows"]]),
        alignment_graph(symbols, case["separators"], case["separator"]),
    )
    for beta, value in zip(BETAS, case["free_energy"]):
        close(forward_score(graph, beta), number(value))


@pytest.mark.parametrize("case", [c for c in PLAIN if c["separators"] == "required"])
def test_functions_of_one_matrix(case):
    energies, target, _, _ = inputs(case)
    matrix = build_path_matrix(energies[:, : case["windows"]], target[:, : case["symbols"]])[0]
    if case["path"] is None:
        with pytest.raises(ValueError, match="at least as many windows as symbols"):
            find_path(matrix)
        return
    found = find_path(matrix)
    assert [j for _, j in found.points] == case["path"]
    close(found.free_energy, number(case["free_energy"][-1]))
    close(path_energy(matrix, case["path"]), number(case["free_energy"][-1]))


@pytest.mark.filterwarnings("ignore:Conversion of an array:DeprecationWarning")  # Triton 3.6 itself
@pytest.mark.parametrize("case", PLAIN[::10])
def test_kernels_for_cuda(case):
    pytest.importorskip("triton")
    from ebm_ocr.kernels import cuda

    device = "cuda" if torch.cuda.is_available() else "cpu"
    energies, target, windows, symbols = (part.to(device) for part in inputs(case))
    lattice = reference.build_lattice(
        target, symbols, case["separator"] if case["separators"] == "optional" else None
    )
    for beta, value in zip(BETAS, case["free_energy"]):
        values, _, path = cuda.align(energies, lattice, windows, beta, True)
        close(values.cpu()[0], number(value))
    assert path[0, : case["windows"]].tolist() == (case["path"] or [-1] * case["windows"])


@pytest.mark.parametrize("case", PLAIN[::3])
def test_reference_for_any_device(case):
    energies, target, windows, symbols = inputs(case)
    lattice = reference.build_lattice(
        target, symbols, case["separator"] if case["separators"] == "optional" else None
    )
    for beta, value in zip(BETAS, case["free_energy"]):
        close(reference.align(energies, lattice, windows, beta, True)[0], number(value))
