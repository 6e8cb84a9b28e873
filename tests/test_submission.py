"""The submission: what is in the zip, that it runs alone,
and that nothing is left behind when it does not."""

import zipfile

import nbformat
import pytest
from nbclient.exceptions import CellTimeoutError
from nbformat.v4 import new_code_cell, new_notebook

from tools import notebook as runner
from tools.submission import ROOMS, ROOT, bundle, check_net_id, closure, pack, run_alone

READS = (
    'import ebm_ocr\nprint(ebm_ocr.indices_to_str(ebm_ocr.transform_word("cat")), ebm_ocr.__file__)'
)


@pytest.fixture
def pdf(tmp_path):
    path = tmp_path / "hw4_theory.pdf"
    path.write_bytes(b"%PDF-1.5 theory")
    return path


def notebook_of(folder, code):
    path = folder / "source.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(code)]), path)
    return path


def test_zip_holds_two_files_and_its_notebook_uses_its_own_package(tmp_path, pdf):
    target = pack("abc123", notebook_of(tmp_path, READS), pdf, tmp_path)
    assert target == tmp_path / "abc123.zip"
    with zipfile.ZipFile(target) as archive:
        assert sorted(archive.namelist()) == ["hw4_impl.ipynb", "hw4_theory.pdf"]
        assert archive.read("hw4_theory.pdf") == b"%PDF-1.5 theory"
        inside = nbformat.reads(archive.read("hw4_impl.ipynb").decode(), as_version=4)
    printed = inside.cells[-1].outputs[0].text
    assert printed.startswith("cat ")
    assert str(ROOT) not in printed


@pytest.mark.parametrize("code", ["1 / 0", "import ebm_ocr.nothing_of_this_name"])
def test_a_notebook_that_fails_leaves_no_zip(tmp_path, pdf, code):
    with pytest.raises(RuntimeError, match="does not run alone"):
        pack("abc123", notebook_of(tmp_path, code), pdf, tmp_path)
    assert not list(tmp_path.glob("*.zip"))


def test_the_installed_package_is_hidden(tmp_path, pdf, monkeypatch):
    monkeypatch.setattr("tools.submission.bundle", lambda notebook: notebook)
    with pytest.raises(RuntimeError, match="an installed one is hidden"):
        pack("abc123", notebook_of(tmp_path, READS), pdf, tmp_path)


def test_what_is_imported_travels_readable_and_ahead_of_the_first_code():
    notebook = nbformat.read(ROOT / "hw4_impl.ipynb", as_version=4)
    cells = bundle(notebook).cells
    names = [path.relative_to(ROOT).as_posix() for path in closure(notebook)]
    for name in names:
        (cell,) = [cell for cell in cells if cell.source.startswith(f"%%writefile {name}\n")]
        assert (ROOT / name).read_text(encoding="utf-8") in cell.source
        assert bool(cell.metadata.get("jupyter")) == ("kernels" in name)
    assert len(names) <= 25
    assert names[:7] == [f"ebm_ocr/{room}.py" for room in ROOMS[:7]]
    assert "kernels" in names[-1]
    left_out = {"compat", "words", "paths", "windows", "criteria"}
    assert not left_out & {name.split("/")[-1].removesuffix(".py") for name in names}
    last = max(i for i, cell in enumerate(cells) if cell.source.startswith("%%writefile"))
    assert not any("import" in cell.source for cell in cells[:1])
    assert "from ebm_ocr import" in next(
        c.source for c in cells[last + 1 :] if c.cell_type == "code"
    )


def test_imports_within_functions_are_packed_too():
    code = "from ebm_ocr import best_word"
    names = [path.name for path in closure(new_notebook(cells=[new_code_cell(code)]))]
    assert "cpu_words.py" in names
    assert "training.py" not in names


def test_what_is_not_packed_is_not_found_elsewhere(tmp_path):
    code = 'import importlib\nimportlib.import_module("ebm_ocr" + ".alphabet")'
    notebook = nbformat.read(notebook_of(tmp_path, code), as_version=4)
    with pytest.raises(RuntimeError, match=r"no ebm_ocr\.alphabet in this folder"):
        run_alone(bundle(notebook))


def test_no_link_leads_to_what_stays_behind():
    notebook = nbformat.read(ROOT / "hw4_impl.ipynb", as_version=4)
    assert any("](docs/" in cell.source for cell in notebook.cells)
    packed = [cell.source for cell in bundle(notebook).cells if cell.cell_type == "markdown"]
    assert not any("](docs/" in source for source in packed)
    assert any("`docs/viterbi.gif`" in source for source in packed)


@pytest.mark.parametrize(
    "net_id", ["", " ", "a b", "../abc", "a/b", "a\\b", ".", "abc.zip", "abc\n", "é1"]
)
def test_bad_net_id(net_id, tmp_path, pdf):
    with pytest.raises(ValueError, match="expected NET_ID as letters and digits"):
        check_net_id(net_id)
    with pytest.raises(ValueError, match="expected NET_ID"):
        pack(net_id, tmp_path / "source.ipynb", pdf, tmp_path)
    assert not list(tmp_path.glob("**/*.zip"))


@pytest.mark.parametrize("missing", ["source.ipynb", "hw4_theory.pdf"])
def test_missing_files_are_named(tmp_path, pdf, missing):
    notebook_of(tmp_path, READS)
    (tmp_path / missing).unlink()
    with pytest.raises(FileNotFoundError, match=missing):
        pack("abc123", tmp_path / "source.ipynb", pdf, tmp_path)


STALLS_ONCE = """
import pathlib, time
seen = pathlib.Path("seen")
first = not seen.exists()
seen.touch()
time.sleep(60 if first else 0)
print("answered")
"""


def test_a_kernel_that_falls_silent_is_started_anew(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runner, "SILENCE", 5)
    notebook = new_notebook(cells=[new_code_cell(STALLS_ONCE)])
    runner.execute(notebook, tmp_path)
    assert notebook.cells[0].outputs[0].text == "answered\n"
    assert "once more from the top" in capsys.readouterr().err
    monkeypatch.setattr(runner, "TRIES", 1)
    (tmp_path / "seen").unlink()
    with pytest.raises(CellTimeoutError):
        runner.execute(notebook, tmp_path)
