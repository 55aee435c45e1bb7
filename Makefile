# make demo: a whole study on a fresh machine.
# make check: lint, types and the quick tests.  make test: all tests too.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

# One worker more than there are cores, each with one thread: a test often waits for a process of
# its own. A worker begins with the files of one part of the suite, whose fixtures it makes once,
# and takes tests of another worker when it has none left.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --maxprocesses=4 --dist worksteal

# Dozens of processes of the tests import the same files: what was compiled of them is kept.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo check test lint docs clean

demo: $(VENV)/.installed
	$(BIN)/archfront run experiment=digits

check: $(VENV)/.installed-dev lint
	$(PYTEST) -m "not slow"

test: $(VENV)/.installed-dev lint
	$(PYTEST)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# docs/options.md is made from the configuration's own schema.
docs: $(VENV)/.installed-dev
	$(BIN)/python -m archfront.search.config.options > docs/options.md

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/pip install -q -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache
