"""What is accepted, and that it is decided in one place."""

import ast
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import ebm_ocr
from ebm_ocr import validation

PACKAGE = Path(ebm_ocr.__file__).parent


@pytest.mark.parametrize("value", [3, np.int8(3), torch.tensor(3)])
def test_whole_numbers_of_any_kind(value):
    assert validation.whole_number("n", value, 0, 3) == 3


@pytest.mark.parametrize("value", [3.0, True, "3", None, torch.tensor([3]), torch.tensor(3.0)])
def test_what_is_no_whole_number(value):
    with pytest.raises(TypeError, match="expected n as a whole number, got"):
        validation.whole_number("n", value)


def test_a_number_out_of_its_range_names_both_ends():
    with pytest.raises(ValueError, match=r"expected n in 0\.\.3, got 4"):
        validation.whole_number("n", 4, 0, 3)
    with pytest.raises(ValueError, match="expected n at least 1, got 0"):
        validation.whole_number("n", 0, 1)


@pytest.mark.parametrize("beta", [0, -1.0, math.nan, -math.inf])
def test_beta_is_above_zero(beta):
    with pytest.raises(ValueError, match=r"expected beta in \(0, inf\], got"):
        validation.as_beta(beta)


def test_options_become_what_they_mean():
    assert [validation.as_optional(s) for s in ("required", "optional")] == [False, True]
    assert [validation.as_strict(s) for s in ("raise", "inf")] == [True, False]
    assert validation.as_separator(None, 5) == 4
    assert validation.as_separator(0, 5) == 0


@pytest.mark.parametrize("check", [validation.as_optional, validation.as_strict])
@pytest.mark.parametrize("value", ["Required", "", None, True, ["inf"]])
def test_unknown_options_name_the_known(check, value):
    with pytest.raises(ValueError, match=f"expected .* or .*, got {re.escape(repr(value))}"):
        check(value)


def test_an_option_is_compared_in_one_place():
    """Elsewhere ``separators`` and ``infeasible`` are handed on, or asked by their functions."""
    words = {"required", "optional", "raise", "inf"}
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name == "validation.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare):
                compared = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)}
                assert not words & compared, f"{path.name}, line {node.lineno}"


def test_padding_is_emptied():
    energies = torch.full((2, 3, 4), math.nan)
    energies[0, :2] = 1
    emptied = validation.without_padding(energies, torch.tensor([2, 0]))
    assert emptied[0, :2].eq(1).all()
    assert emptied.sum() == 8
