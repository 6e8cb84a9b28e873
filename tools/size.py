"""The package's size, room by room, beside that of the last commit on main: ``make size``.

Lines are those with code on them: neither docstrings nor comments count. Tokens a line tell a file
that became shorter from one whose lines became fuller.
"""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).parents[1]
SILENT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def measure(source: str) -> tuple[int, int]:
    """Lines with code, and the tokens on them."""
    documented: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            documented |= set(range(node.lineno, (node.end_lineno or 0) + 1))
    lines: set[int] = set()
    tokens = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in SILENT and token.start[0] not in documented:
            lines |= set(range(token.start[0], token.end[0] + 1))
            tokens += 1
    return len(lines), tokens


def git(*arguments: str) -> str:
    """What git says; nothing where it knows no such thing, or is not there."""
    try:
        run = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, encoding="utf-8")
    except FileNotFoundError:
        return ""
    return run.stdout if run.returncode == 0 else ""


def report(commit: str) -> str:
    """A row a room: lines and tokens a line, now and in a commit."""
    now = {p.relative_to(ROOT).as_posix() for p in (ROOT / "ebm_ocr").rglob("*.py")}
    names = git("ls-tree", "-r", "--name-only", commit, "ebm_ocr").split()
    then = {name for name in names if name.endswith(".py")}
    rows, sums = [], [0, 0, 0, 0]
    for name in sorted(now | then):
        path = ROOT / name
        numbers = (
            *measure(path.read_text(encoding="utf-8") if name in now else ""),
            *measure(git("show", f"{commit}:{name}") if name in then else ""),
        )
        sums = [total + number for total, number in zip(sums, numbers)]
        rows.append((name.removeprefix("ebm_ocr/"), *numbers))
    rows.append(("in all", *sums))
    lines = [f"{'':24}{'now':>12}{'at ' + commit:>18}", f"{'':24}" + "  lines  t/line" * 2]
    for name, lines_now, tokens_now, lines_then, tokens_then in rows:
        cells = [(lines_now, tokens_now), (lines_then, tokens_then)]
        lines.append(f"{name:24}" + "".join(f"{n:7}{t / max(n, 1):8.1f}" for n, t in cells))
    return "\n".join(lines)


if __name__ == "__main__":
    print(report(sys.argv[1] if len(sys.argv) > 1 else "main"))
