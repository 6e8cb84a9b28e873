# `make notebook` and `make test` do all set-up on a machine with python3 (3.10 or newer) and make.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export NET_ID
# torch's threads wait without spinning, so that other programs keep their cores
export OMP_WAIT_POLICY ?= passive

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and f"Python 3.10 or newer is needed, this is {sys.version.split()[0]}: set PYTHON=...")'
	@echo "setting up $(VENV): PyTorch and the rest, some 5 GB and two minutes, then the kernels, 20 seconds"
	@$(PYTHON) -m venv $(VENV) || { echo "python's venv is missing: on Debian and Ubuntu, apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@$(BIN)/python tools/warm.py
	@touch $@

setup: $(READY)  ## create .venv with everything pinned, and this package
notebook: $(READY)  ## run hw4_impl.ipynb and reader.ipynb from top to bottom and save them with their outputs
	$(BIN)/python tools/notebook.py hw4_impl.ipynb
	$(BIN)/python tools/notebook.py reader.ipynb
read: $(READY)  ## IMAGE=word.png: read the word in an image, or in each image of a folder
	@$(BIN)/ebm-ocr read $(IMAGE)
test: $(READY)  ## run the tests, with coverage of the package
	$(BIN)/python -m pytest -n 2 --cov --cov-report=term
test-oldest:  ## the tests that are not slow, with the lowest versions that pyproject.toml names (not in CI)
	$(PYTHON) -m venv $(VENV)-oldest
	$(VENV)-oldest/bin/python -m pip install --quiet $$($(PYTHON) tools/oldest.py)
	$(VENV)-oldest/bin/python -m pytest -n 2 -m "not slow" -W ignore::DeprecationWarning tests
lab: $(READY)  ## open the notebook in JupyterLab
	$(BIN)/jupyter lab hw4_impl.ipynb
theory: $(READY)  ## draw the figures and compile theory/hw4_theory.pdf
	@command -v latexmk >/dev/null && command -v pdflatex >/dev/null || { echo "LaTeX is missing. Debian: apt install latexmk texlive-latex-recommended texlive-fonts-recommended; macOS: brew install --cask mactex-no-gui; Windows: MiKTeX and Strawberry Perl, from their sites"; exit 1; }
	$(BIN)/python theory/figures.py
	latexmk -cd -g -pdf -quiet -interaction=nonstopmode -halt-on-error theory/hw4_theory.tex
	@! grep -nE "Warning|Overfull|Underfull|undefined" theory/hw4_theory.log
submission: $(READY)  ## NET_ID=abc123: pack abc123.zip, after running its notebook alone
	@$(BIN)/python tools/submission.py --check "$$NET_ID"
	$(MAKE) theory
	$(BIN)/python tools/submission.py "$$NET_ID"
check: $(READY)  ## lint, format check and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
fonts: $(READY)  ## fetch the fonts that the reader is trained and tested on (npm; 40 MB)
	$(BIN)/python tools/fonts.py
size:  ## lines of code and tokens a line of each room, beside main's last commit
	@$(PYTHON) tools/size.py
clean:  ## remove what the other commands made, the environment too
	rm -rf $(VENV) $(VENV)-oldest build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	cd theory && rm -rf figures *.aux *.log *.out *.fls *.fdb_latexmk
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
help:  ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## */  make \1\t/' | expand -t 20

.PHONY: setup notebook read test test-oldest lab theory submission check fonts size clean help
