"""The examples in docstrings are true."""

import doctest
import pkgutil
from importlib import import_module

import pytest
import torch
from conftest import MOVED

import ebm_ocr

pytestmark = pytest.mark.usefixtures("headless")

MODULES = sorted(
    {module.name for module in pkgutil.walk_packages(ebm_ocr.__path__, "ebm_ocr.")}
    - {f"ebm_ocr.{name}" for name in MOVED}
    - {"ebm_ocr.kernels.cuda"}  # needs Triton
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name):
    module = import_module(name)
    found = doctest.testmod(module, extraglobs={"torch": torch})
    assert not found.failed


@pytest.mark.parametrize("name", ebm_ocr.__all__)
def test_each_public_name_has_an_example(name):
    value = getattr(ebm_ocr, name)
    assert not callable(value) or ">>> " in value.__doc__
