"""What makes files for the repository."""

from pathlib import Path

from PIL import Image

from ebm_ocr.reader.fonts import held_out
from tools import animation, size
from tools.samples import SAMPLES

ROOT = Path(__file__).parents[1]


def test_the_animation_is_small_moves_and_is_the_same_each_time(tmp_path):
    steps = [(0, 0), (3, 0), (6, 0), (6, 6)]
    for name in ("one.gif", "other.gif"):
        animation.save(tmp_path / name, steps)
    assert (tmp_path / "one.gif").read_bytes() == (tmp_path / "other.gif").read_bytes()
    with Image.open(animation.TARGET) as shipped, Image.open(tmp_path / "one.gif") as made:
        assert made.n_frames == len(steps)
        assert made.size == shipped.size
        windows = len(animation.MATRIX)
        assert shipped.n_frames == 2 * windows + 1
    assert animation.TARGET.stat().st_size < 1e6


def test_the_size_counts_code_and_neither_docstrings_nor_comments():
    source = '"""Two\nlines."""\n\n# a comment\nx = [1,\n     2]  # behind\n"""what x is"""\n'
    assert size.measure(source) == (2, 7)


def test_the_size_of_each_room_is_shown_beside_that_of_a_commit():
    rows = size.report("no such commit").splitlines()
    assert rows[-1].split()[:2] == ["in", "all"]
    assert any(row.startswith("kernels/__init__.py") for row in rows)


def test_samples_are_there_and_of_families_that_no_training_saw():
    folder = ROOT / "docs" / "samples"
    labels = (folder / "labels.tsv").read_text(encoding="utf-8")
    assert labels == "".join(f"{name}.png\t{s.text}\n" for name, s in SAMPLES.items())
    for name, sample in SAMPLES.items():
        assert (folder / f"{name}.png").is_file()
        plain = sample.family.replace("-", "")
        assert any(known in plain for known in held_out()), sample.family
