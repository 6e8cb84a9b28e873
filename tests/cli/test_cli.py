"""The command line: what it prints, and what it does with bad input."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from ebm_ocr import __version__
from ebm_ocr.cli import main
from ebm_ocr.cli.read import COLUMNS


@pytest.fixture
def run(monkeypatch, capsys):
    """Call the command line; exit code, output, what it said on the other side."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["ebm-ocr", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        return (code, *capsys.readouterr())

    return call


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Three words as files: 0000.png says hello."""
    folder = tmp_path_factory.mktemp("samples")
    command = [sys.executable, "-m", "ebm_ocr", "render", "hello", "World", "42", "--out", folder]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def test_a_single_image_is_its_text(run, samples):
    assert run("read", samples / "0000.png") == (0, "hello\n", "")


def test_folders_and_patterns_name_their_files(run, samples):
    expected = f"{samples}/0000.png\thello\n{samples}/0001.png\tWorld\n{samples}/0002.png\t42\n"
    assert run("read", samples) == (0, expected, "")
    assert run("read", f"{samples}/*.png") == (0, expected, "")


def test_tsv_has_tesseracts_columns(run, samples):
    _, out, _ = run("read", samples, "--format", "tsv")
    head, *rows = (line.split("\t") for line in out.splitlines())
    assert head == COLUMNS.split()
    assert [row[-1] for row in rows] == ["hello", "World", "42"]
    for page, row in enumerate(rows, 1):
        level, number, *_, left, top, width, height = map(int, row[:10])
        assert (level, number) == (5, page)
        assert min(left, top) >= 0 < min(width, height)
        assert 0 <= float(row[10]) <= 100


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_json_has_letters_and_alternatives(run, samples, form):
    _, out, _ = run("read", samples, "-f", form, "--n-best", 3, "--min-confidence", 1)
    found = json.loads(out) if form == "json" else [*map(json.loads, out.splitlines())]
    assert [word["text"] for word in found] == ["hello", "World", "42"]
    for word in found:
        assert "".join(letter["symbol"] for letter in word["letters"]) == word["text"]
        assert len(word["alternatives"]) == 2
        assert word["unsure"] is True
        assert 0 < word["confidence"] < 1


def test_stdin_is_an_image(samples):
    command = [sys.executable, "-m", "ebm_ocr", "read", "-"]
    with (samples / "0001.png").open("rb") as file:
        run = subprocess.run(command, stdin=file, capture_output=True, encoding="utf-8", check=True)
    assert run.stdout == "World\n"


def test_charset_lexicon_and_lower_say_what_may_come(run, samples, tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("hello\nyellow\n\nhallo\n", encoding="utf-8-sig")
    assert run("read", samples / "0000.png", "--lexicon", words)[1] == "hello\n"
    assert run("read", samples / "0001.png", "--lower")[1] == "world\n"
    assert set(run("read", samples / "0001.png", "--charset", "0-9")[1]) <= set("0123456789\n")


def test_what_is_less_sure_is_marked_and_stays(run, samples):
    code, out, _ = run("read", samples / "0000.png", "--min-confidence", 1)
    assert (code, out) == (0, "hello\t(unsure)\n")


def test_timings_and_pictures(run, samples, tmp_path):
    code, _, said = run("read", samples, "--timings", "--cores", 1, "--plot", tmp_path / "seen")
    assert code == 0
    assert "3 images read in" in said
    assert sorted(path.name for path in (tmp_path / "seen").iterdir()) == [
        "0000.png",
        "0001.png",
        "0002.png",
    ]


def test_pictures_of_the_same_name_are_numbered(run, samples, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.png").write_bytes((samples / "0000.png").read_bytes())
    Image.new("L", (60, 32), 255).save(tmp_path / "blank.png")
    assert run("read", tmp_path, "--plot", tmp_path / "seen")[0] == 0
    names = sorted(path.name for path in (tmp_path / "seen").iterdir())
    assert names == ["blank.png", "x-2.png", "x.png"]


def test_a_reader_of_the_output_may_have_enough(samples):
    command = f"{sys.executable} -m ebm_ocr read {samples} -f jsonl | head -c 5"
    run = subprocess.run(command, shell=True, capture_output=True, encoding="utf-8", check=True)
    assert (run.stdout, run.stderr) == ('{"fil', "")


def test_bad_files_are_named_and_the_others_are_read(run, samples, tmp_path):
    (tmp_path / "a.png").write_bytes((samples / "0000.png").read_bytes())
    (tmp_path / "b.png").write_bytes(b"no image")
    (tmp_path / "c.png").write_bytes((samples / "0000.png").read_bytes()[:60])
    Image.fromarray(np.zeros((1, 50), np.uint8)).save(tmp_path / "d.png")
    code, out, said = run("read", tmp_path, "-f", "jsonl")
    assert code == 1
    rows = [*map(json.loads, out.splitlines())]
    assert [row.get("text") for row in rows] == ["hello", None, None, None]
    assert [row.get("error", "")[:8] for row in rows] == ["", *["expected"] * 3]
    lines = said.splitlines()
    assert len(lines) == 4
    assert lines[-1] == "ebm-ocr: 3 of 4 images could not be read"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["read", "nowhere.png"], "nowhere.png: No such file"),
        (["read", "nowhere/*.png"], "expected files that match"),
        (["read", "README.md"], "another kind"),
        (["read", "docs/hello.png", "--charset", "z-a"], "a range that rises"),
        (["read", "docs/hello.png", "--charset", "ä"], "'ä'"),
        (["read", "docs/hello.png", "--lexicon", "nowhere.txt"], "No such file"),
        (["read", "docs/hello.png", "--lexicon", "docs/hello.png"], "lexicon in UTF-8"),
        (["read", "docs/hello.png", "--weights", "docs/hello.png"], "safetensors"),
        (["read", "docs/hello.png", "--n-best", "0"], "n-best"),
        (["read", "docs/hello.png", "--format", "pdf"], "pdf"),
        (["read"], "Usage"),
        (["write"], "write"),
        (["evaluate", "README.md"], "line 1: expected 'image TAB word'"),
        (["evaluate", "nowhere.tsv"], "No such file"),
        (["render", "grün", "--out", "x", "--font", "README.md"], "expected a font"),
        (["train", "--out", "x", "--fonts", "nowhere"], "folder of fonts"),
    ],
)
def test_a_call_that_is_wrong_is_one_line_and_code_2(run, arguments, message):
    code, out, said = run(*arguments)
    assert code == 2
    assert message in out + said
    assert "Traceback" not in said


def test_evaluate_gives_scores_with_intervals_and_the_worst(run, samples, tmp_path):
    labels = samples / "wrong.tsv"
    labels.write_text("0000.png\thello\n0001.png\tword\n", encoding="utf-8")
    code, out, _ = run("evaluate", labels, "--worst", tmp_path / "worst.png")
    assert code == 0
    rows = dict(line.split("\t", 1) for line in out.splitlines())
    assert rows["words exact"].startswith("50.00%\t0.00%..100.00%")
    assert rows["character error"].startswith("22.22%")
    assert rows["images"] == "2"
    with Image.open(tmp_path / "worst.png") as picture:
        assert picture.size[0] > 300


def test_render_refuses_what_a_font_cannot_write(run, tmp_path):
    code, _, said = run("render", "漢", "--out", tmp_path)
    assert code == 2
    assert "lacks 漢" in said


def test_version_and_help(run):
    assert run("--version")[:2] == (0, f"ebm-ocr {__version__}\n")
    code, out, _ = run("read", "--help")
    assert code == 0
    assert "Nothing is downloaded, ever." in out.splitlines()[2]
    for option in ("--charset", "--lexicon", "--lower", "--min-confidence", "--plot"):
        assert option in out
    assert "Nothing is downloaded, ever" in " ".join(run("--help")[1].split())
