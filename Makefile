# Two commands: `make demo` and `make test`. README.md gives the pip lines behind them.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-all lint clean

# The stamp is newer than the requirements once they are installed.
.venv/installed: requirements.txt requirements-dev.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	touch $@

demo: .venv/installed
	rm -rf runs/demo
	$(BIN)/python train.py --crop 128x176 --scale 0.7-1.2 --learning-rate 6e-3 \
	    --epochs 6 --output runs/demo
	$(BIN)/python -m segnet_tf.datasets.synthetic predictions
	$(BIN)/python predict.py predictions/street_3_000.png --model runs/demo
	@echo "the picture: predictions/street_3_000_overlay.png"

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

test: lint
	$(BIN)/python -m pytest -q -n 2 --dist worksteal

test-all: lint
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m "slow or not slow"

clean:
	rm -rf .venv runs predictions evaluations
