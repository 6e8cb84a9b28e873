"""Fetch the fonts that the reader is trained and tested on: ``make fonts``.

``tools/fonts.txt`` names the families, their versions and licences. npm packs each as
``@fontsource/NAME``; of its files the latin ones of a few styles are kept, with the licence, in
``fonts/NAME/``. What is there already is not fetched again.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

ROOT = Path(__file__).parents[1]
STYLES = ("400-normal", "700-normal", "400-italic")
AT_ONCE = 20


class Family(NamedTuple):
    """A line of the list."""

    name: str
    version: str
    licence: str


def listed() -> list[Family]:
    """The families of the list."""
    lines = (ROOT / "tools" / "fonts.txt").read_text(encoding="utf-8").splitlines()
    return [Family(*line.split()) for line in lines if not line.startswith("#")]


def fetch(families: list[Family], folder: Path) -> None:
    """Pack some families and unpack what is wanted of them.

    Raises:
        RuntimeError: npm could not.
    """
    with tempfile.TemporaryDirectory() as place:
        specs = [f"@fontsource/{family.name}@{family.version}" for family in families]
        run = subprocess.run(
            ["npm", "pack", "--silent", *specs], cwd=place, capture_output=True, encoding="utf-8"
        )
        if run.returncode:
            raise RuntimeError(f"npm pack failed: {run.stderr.strip()[-500:]}")
        for family in families:
            unpack(Path(place) / f"fontsource-{family.name}-{family.version}.tgz", family, folder)


def unpack(archive: Path, family: Family, folder: Path) -> None:
    """Write a family's files, all or none."""
    wanted = {f"package/files/{family.name}-latin-{style}.woff" for style in STYLES}
    with tempfile.TemporaryDirectory(dir=folder) as place:
        with tarfile.open(archive) as packed:
            for member in packed:
                if member.isfile() and (member.name in wanted or member.name == "package/LICENSE"):
                    content = packed.extractfile(member)
                    assert content is not None  # it is a file
                    (Path(place) / Path(member.name).name).write_bytes(content.read())
        target = folder / family.name
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(place, target)


def main() -> None:
    """Fetch what is missing."""
    if shutil.which("npm") is None:
        sys.exit("npm is missing: on Debian and Ubuntu, apt install npm")
    folder = ROOT / "fonts"
    folder.mkdir(exist_ok=True)
    missing = [family for family in listed() if not (folder / family.name).is_dir()]
    for start in tqdm(range(0, len(missing), AT_ONCE), desc="fetching fonts", unit=f"{AT_ONCE}"):
        fetch(missing[start : start + AT_ONCE], folder)
    files = len([*folder.rglob("*.woff")])
    print(f"{folder.relative_to(ROOT)}: {len(listed())} families, {files} files")


if __name__ == "__main__":
    main()
