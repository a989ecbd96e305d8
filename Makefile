# Few targets; each makes what it needs. `make demo` and `make test` work as the only command typed.
.DEFAULT_GOAL := help
.PHONY: help setup demo test nightly lint bench docs check clean

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --quiet
# Another active environment must not be written to.
unexport VIRTUAL_ENV PYTHONHOME PYTHONPATH

help:  ## Show the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/:/' | awk -F: '{printf "  make %-8s %s\n", $$1, $$2}'

$(PY):
	python3 -m venv $(VENV)

$(VENV)/.demo: $(PY) pyproject.toml constraints.txt
	$(PIP) install -c constraints.txt torch==2.13.0
	$(PIP) install -c constraints.txt -e '.[examples]'
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $@

setup: $(VENV)/.demo  ## Install into .venv; leaves .venv/bin/helio

demo: setup  ## Build and assess the examples
	$(VENV)/bin/helio demo build/demo

test: $(VENV)/.dev  ## Run the tests
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 -m 'not nightly'

nightly: $(VENV)/.dev  ## Run the tests that take longer
	OMP_NUM_THREADS=1 $(PY) -m pytest -m nightly

lint: $(VENV)/.dev  ## Style, types, layers, dependencies
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/deptry src

bench: $(VENV)/.dev  ## Measure, and write docs/benchmarks.md
	OMP_NUM_THREADS=1 $(PY) bench/run.py

docs: $(VENV)/.dev  ## Write the reference pages from the code, and build the site in site/
	$(PY) -m heliotrope.cli._reference docs/reference
	rm -rf site
	$(PY) -m sphinx -b html -W --keep-going -n -q docs site
	@echo "open site/index.html"

check: lint test  ## Lint and test

clean:  ## Remove what was built
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache site
