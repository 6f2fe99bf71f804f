# Each target sets up what it needs. PYTHON names the interpreter that makes the environment.
PYTHON ?= python3
BIN := .venv/bin
# Keep compiled modules whatever the shell says: tests start many processes.
export PYTHONDONTWRITEBYTECODE :=
WORKERS := -n auto --maxprocesses 4 --dist loadfile
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable

# Each worker has a core of its own: more threads would only wait for one another.
test test-slow coverage: export OMP_NUM_THREADS := 1

.PHONY: demo test test-slow coverage lint docs clean

demo: .venv/.installed
	$(BIN)/clinical-symile benchmark benchmark --cohort synthetic --out demo

test: .venv/.installed
	$(BIN)/python -m pytest $(WORKERS) -m "not slow"

test-slow: .venv/.installed
	$(BIN)/python -m pytest $(WORKERS) -m slow --check-every-call

coverage: .venv/.installed
	$(BIN)/python -m pytest $(WORKERS) -m "not slow" --check-every-call --cov --cov-report=term:skip-covered --cov-report=xml

lint: .venv/.lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell
	$(BIN)/lint-imports
	$(BIN)/pyright

docs: .venv/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

clean:
	rm -rf .venv demo dist site

.venv/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv .venv
	$(INSTALL) ".[test]"
	touch $@

.venv/.lint: .venv/.installed
	$(INSTALL) ".[test,lint]"
	touch $@

.venv/.docs: .venv/.installed
	$(INSTALL) ".[docs]"
	touch $@
