"""The lowest versions that pyproject.toml names, as pip wants them: ``python tools/oldest.py``.

Of the package's dependencies and its plots; test tools as requirements.txt pins them.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ("pytest", "pytest-cov", "pytest-xdist", "hypothesis", "fonttools", "pypdf", "mypy", "ruff")
NOTEBOOK = ("jupyterlab", "ipykernel", "ipywidgets", "nbconvert")


def lowest() -> list[str]:
    """Requirements such as ``torch==2.6``."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lists = re.findall(r"^(?:dependencies|plots) = \[(.*?)\]", project, re.DOTALL | re.MULTILINE)
    named = re.findall(r'"([\w-]+)>=([\d.]+)"', "".join(lists))
    pinned = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    tools = re.findall(rf"^(?:{'|'.join((*TOOLS, *NOTEBOOK))})==\S+", pinned, re.MULTILINE)
    return [*(f"{name}=={version}" for name, version in named), *tools]


if __name__ == "__main__":
    print(*lowest())
