"""What CONTRIBUTING.md, the changelog and the packaging say is true."""

import os
import re
import tarfile
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


SMOKE = """
import sys, torch, ebm_ocr
from ebm_ocr import default_font, free_energy, spell, best_word
from ebm_ocr.reader.fonts import Face, held_out, why_refused
assert ebm_ocr.__file__.startswith(sys.argv[1]), ebm_ocr.__file__
targets, lengths = spell(["cat"])
energies = torch.zeros(1, 9, 27)
assert free_energy(energies, targets, None, lengths).item() == 0
assert best_word(energies)[0].energy == 0
assert why_refused(Face(default_font())) is None and "roboto" in held_out()
"""


def test_wheel_and_sdist_hold_all_files_and_work_elsewhere(tmp_path):
    """Built from a copy in a folder with spaces and umlauts, so that nothing is left here: the
    source archive, a wheel from that, the wheel installed in another such folder."""
    copy, unpacked = tmp_path / "ein Ordner für Räder", tmp_path / "aus dem Archiv"
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
    pack = "from setuptools.build_meta import build_sdist; build_sdist('dist')"
    run([executable, "-c", pack], cwd=copy, check=True, capture_output=True)
    (archive,) = copy.glob("dist/*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(unpacked, filter="data")
    (source,) = unpacked.iterdir()
    kept = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    assert set(names) <= kept
    options = ["--quiet", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    run([executable, "-m", "pip", "wheel", *options, "."], cwd=source, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    assert {name for name in names if name.startswith("ebm_ocr/")} <= packed
    assert any(name.endswith("LICENSE") for name in packed)
    elsewhere = tmp_path / "hier läuft es"
    options = ["--quiet", "--no-deps", "--no-index", "--target", str(elsewhere)]
    run([executable, "-m", "pip", "install", *options, str(wheel)], check=True)
    environment = {**os.environ, "PYTHONPATH": str(elsewhere), "NUMBA_DISABLE_JIT": "1"}
    smoke = [executable, "-W", "ignore", "-c", SMOKE, str(elsewhere)]
    run(smoke, cwd=tmp_path, env=environment, check=True)
