"""The README's first example does what it says, and the files that it names are there."""

import json
import re
import sys
from pathlib import Path

import pytest
import torch

import ebm_ocr
from ebm_ocr.cli import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_first_example_prints_what_the_readme_shows(trained, monkeypatch, capsys):
    monkeypatch.setattr(ebm_ocr, "train_from_scratch", lambda seed: trained)
    code, expected = re.search(r"```python\n(.*?)```\s*```\n(.*?)```", README, re.S).groups()
    exec(code, {})
    assert capsys.readouterr().out == expected


def test_reader_example_reads_the_samples(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    exec(re.findall(r"```python\n(.*?)```", README, re.S)[1], {})
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == "Coffee True"
    assert second.startswith("['C', 'o', 'f', 'f', 'e', 'e'] (")
    assert third == "True"


def test_commands_of_the_readme_say_what_it_shows(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    shown = re.search(r"make read IMAGE=(\S+)\n(.*)\n```", README)
    monkeypatch.setattr(sys, "argv", ["ebm-ocr", "read", shown[1]])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert capsys.readouterr().out.strip() == shown[2]


def test_table_of_readers_is_the_one_that_the_benchmark_wrote():
    measured = (ROOT / "benchmarks/results/reading.md").read_text(encoding="utf-8").splitlines()
    rows = [row for row in README.splitlines() if re.match(r"\| (ebm_ocr|Tess|Rapid|rapid)", row)]
    assert len(rows) == 5
    assert set(rows) <= set(measured)


def test_engine_example_runs_and_prints_a_span_for_each_letter(capsys):
    exec(re.findall(r"```python\n(.*?)```", README, re.S)[2], {})
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["2", "8"]


def test_example_of_a_ctc_head_says_what_it_found(capsys):
    names = {}
    exec(re.findall(r"```python\n(.*?)```", README, re.S)[3], names)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 + 1 + 5
    assert not any(set(line.split()[0]) & set("<>") for line in lines[:3])
    assert [line.split()[0] for line in lines[4:]] == list("HELLO")
    probability = names["word_probability"](
        names["energies"], names["words"], beta=1.0, **names["ctc"]
    )
    log = names["every"] - names["word_energy"](
        names["energies"], names["words"], beta=1.0, **names["ctc"]
    )
    torch.testing.assert_close(probability, log.exp())


def test_example_of_other_alphabets_runs(capsys):
    exec(re.findall(r"```python\n(.*?)```", README, re.S)[4], {})
    voted, *found, limited = capsys.readouterr().out.splitlines()
    assert voted.startswith("[")
    assert len(found) == 3
    assert limited
    assert set(limited) <= set("αβγ")


@pytest.mark.slow
def test_example_of_whole_words_runs():
    names = {}
    exec(re.findall(r"```python\n(.*?)```", README, re.S)[5], names)
    assert len(names["history"].loss) == 10
    assert len(names["texts"]) == len(names["batch"].images)


def test_times_of_ranking_are_those_that_the_benchmark_wrote():
    measured = (ROOT / "benchmarks/results/losses.md").read_text(encoding="utf-8")
    for seconds, beta in re.findall(r"([\d.]+) s at beta = (\w+)", measured):
        assert f"in {seconds} s" in " ".join(README.split()), beta
    assert re.search(r"Measured (\S+)", measured)[1] in README


def test_what_the_losses_read_is_what_the_benchmark_wrote():
    measured = json.loads((ROOT / "benchmarks/results/losses.json").read_text(encoding="utf-8"))
    lowest = {name: min(run["exact"] for run in runs) for name, runs in measured["losses"].items()}
    best = {name: max(run["exact"] for run in runs) for name, runs in measured["losses"].items()}
    every = {"perceptron", "hinge", "log", "LVQ2", "NLL (CRF)"}
    every |= {"energy, windows normalised", "NLL of windows, separators required"}
    assert {name for name, share in lowest.items() if share >= 0.99} == every
    assert 0.97 <= lowest["simple"] < 0.98
    reads_all_or_nothing = {run["exact"] for run in measured["losses"]["MCE"]}
    assert all(share < 0.01 or share >= 0.99 for share in reads_all_or_nothing)
    assert lowest["MCE"] < 0.01 < 0.99 <= best["MCE"]
    nothing = {"energy", "MEE", "square-exponential"}
    assert {name for name, share in best.items() if share < 0.01} == nothing
    assert 0.01 < best["square-square"] < 0.06
    claim = (
        "LVQ2 and NLL read at least 99 % of fresh words with every seed, simple at least 97 %, "
        "MCE all or nothing, by the seed; square-square at most 6 %; "
        "square-exponential, MEE and the bare energy loss next to none"
    )
    assert claim in " ".join(README.split())


def test_records_are_those_that_the_benchmark_wrote():
    measured = (ROOT / "benchmarks/results/homework.md").read_text(encoding="utf-8").splitlines()
    rows = [row for row in README.splitlines() if re.match(r"\| (this|first) edition ", row)]
    assert len(rows) == 2
    assert set(rows) <= set(measured)


def test_table_of_times_is_the_one_that_the_benchmark_wrote():
    measured = (ROOT / "benchmarks/results/alignment.md").read_text(encoding="utf-8")
    rows = [row for row in README.splitlines() if re.match(r"\| (viterbi|free energy|wide)", row)]
    assert len(rows) == 6
    for row in rows:
        assert row in measured.splitlines()
    assert re.search(r"Measured (\S+)", measured)[1] in README
    for name in ("ctc_loss", "forced_align", "maximum_path"):
        row, _ = re.findall(rf"^\| compat\.{name} .*", measured, re.M)
        shown = ", ".join(re.findall(r"(\d\.\d\d) \(", row))
        assert f"import {name}" in README.split(f"| {shown}")[0].splitlines()[-1]


def test_files_named_in_the_map_exist():
    rows = re.findall(r"^\| (`.*?) \|", README, re.M)
    named = [name for row in rows for name in re.findall(r"`([\w./]+)`", row)]
    assert len(named) > 10
    for name in named:
        assert (ROOT / name).exists() or (ROOT / "ebm_ocr" / name).exists(), name


def test_make_targets_named_in_the_readme_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    used = set(re.findall(r"make ([a-z]+)", README))
    assert {"notebook", "test", "help"} <= used <= targets


def test_what_is_guaranteed_is_held_by_tests_that_exist():
    text = (ROOT / "docs/guarantees.md").read_text(encoding="utf-8")
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    rows = [row for row in text.splitlines() if re.match(r"\| (?!what|---)", row)]
    assert len(rows) > 25
    for row in rows:
        named = re.findall(r"`(test_\w+)(\.py)?`", row)
        assert named, row
        for name, file in named:
            found = (ROOT / "tests" / f"{name}.py").exists() if file else f"def {name}(" in sources
            assert found, name


def test_times_beside_other_programs_are_those_that_the_benchmark_wrote():
    measured = (ROOT / "benchmarks/results/busy.md").read_text(encoding="utf-8").splitlines()
    rows = [row for row in README.splitlines() if re.match(r"\| (default|OMP_)", row)]
    assert len(rows) == 3
    assert set(rows) <= set(measured)
