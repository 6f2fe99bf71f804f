# Each target sets up what it needs. PYTHON names the interpreter that makes the environment.
PYTHON ?= python3
BIN := .venv/bin
WORKERS := -n auto --maxprocesses 4 --dist loadfile

.PHONY: demo test test-slow lint clean

demo: .venv/.installed
	$(BIN)/clinical-symile benchmark benchmark --cohort synthetic --out demo

test: .venv/.installed
	$(BIN)/python -m pytest $(WORKERS) -m "not slow"

test-slow: .venv/.installed
	$(BIN)/python -m pytest $(WORKERS) -m slow

lint: .venv/.lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/pyright

clean:
	rm -rf .venv demo dist

.venv/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[test]"
	touch $@

.venv/.lint: .venv/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[test,lint]"
	touch $@
