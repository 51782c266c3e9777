# `make demo` and `make test` need only Python and a package index.
# CONTRIBUTING.md explains the other commands.
PYTHON ?= python3
BIN := .venv/bin
REQUIREMENTS := requirements-predict.txt requirements.txt requirements-dev.txt

.PHONY: demo test test-all lint docs clean

# This file is newer than the requirements if they are installed.
.venv/installed: $(REQUIREMENTS)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	touch $@

demo: .venv/installed
	rm -rf runs/demo
	$(BIN)/python train.py --recipe demo --output runs/demo
	$(BIN)/python -m segnet_tf data synthetic --write predictions --split test --count 1
	$(BIN)/python predict.py predictions/test_000.png --model runs/demo
	@echo "the picture: predictions/test_000_overlay.png"

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

test: lint
	$(BIN)/python -m pytest -q -n 2 --dist worksteal

test-all: lint
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m "slow or not slow"

docs: .venv/installed
	$(BIN)/python -m docs.api_reference

clean:
	rm -rf .venv runs predictions evaluations build dist
