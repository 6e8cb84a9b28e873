"""The README's first example does what it says, and the files that it names are there."""

import re
from pathlib import Path

import pytest

import ebm_ocr

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


@pytest.mark.slow
def test_first_example_prints_what_the_readme_shows(trained, monkeypatch, capsys):
    monkeypatch.setattr(ebm_ocr, "train_from_scratch", lambda seed: trained)
    code, expected = re.search(r"```python\n(.*?)```\s*```\n(.*?)```", README, re.S).groups()
    exec(code, {})
    assert capsys.readouterr().out == expected


def test_files_named_in_the_map_exist():
    rows = re.findall(r"^\| (`.*?) \|", README, re.M)
    named = [name for row in rows for name in re.findall(r"`([\w./]+)`", row)]
    assert len(named) > 10
    for name in named:
        assert (ROOT / name).exists() or (ROOT / "ebm_ocr" / name).exists(), name


def test_make_targets_named_in_the_readme_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    used = set(re.findall(r"make ([a-z]+)", README))
    assert {"notebook", "test", "help"} <= used <= targets
