"""What CONTRIBUTING.md, the changelog and the packaging say is true."""

import re
import zipfile
from pathlib import Path
from subprocess import run
from sys import executable

import pytest

import ebm_ocr

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_the_worked_examples_run():
    names = {}
    examples = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert len(examples) == 5
    for code in examples:
        exec(code, names)


def test_what_is_named_is_there():
    for path in re.findall(r"(?:tests|ebm_ocr|docs)/[\w./]+\.(?:py|md)", TEXT):
        assert (ROOT / path).is_file(), path
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for name in ("Alphabet", "Font", "LATIN", "lexicon_energies"):
        assert name in ebm_ocr.__all__
        assert f"`{name}`" in changes
    assert "MIT License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    version = re.search(r'^version = "(.*)"', project, re.MULTILINE)[1]
    assert ebm_ocr.__version__ == version
    assert f"version: {version}" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"## {version}" in changes


def test_a_wheel_holds_all_files_of_the_package(tmp_path):
    """Built from a copy in a folder with spaces and umlauts, so that nothing is left here."""
    copy = tmp_path / "ein Ordner für Räder"
    copy.mkdir()
    listed = run(
        ["git", "ls-files", "ebm_ocr", "pyproject.toml", "README.md", "LICENSE"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    names = listed.stdout.split() or [
        str(path.relative_to(ROOT)) for path in (ROOT / "ebm_ocr").rglob("*") if path.is_file()
    ]
    for name in names:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((ROOT / name).read_bytes())
    pytest.importorskip("setuptools", minversion="77")  # builds without the network
    options = ["--quiet", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    build = [executable, "-m", "pip", "wheel", *options, "."]
    run(build, cwd=copy, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    assert {name for name in names if name.startswith("ebm_ocr/")} <= packed
    assert any(name.endswith("LICENSE") for name in packed)
