# The commands people type. `make` alone lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
CORES ?= $(shell $(PYTHON) -c "import os; print(os.cpu_count() or 1)")
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# The environment's programs (snakemake, git-annex) come first, whatever the shell has.
export PATH := $(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help demo test test-cluster lint format docs study report train-grid train-cells clean

help:  ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.python:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || \
	  { echo "gridwell needs Python 3.11 or newer; name one with: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.run: $(VENV)/.python constraints.txt pyproject.toml
	$(PIP) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(PIP) --editable '.[dev]'
	@touch $@

# Every version has an author; where git knows none, it is the demo itself.
ifeq ($(shell git config user.email),)
demo demo/landing/.done: export GIT_AUTHOR_NAME := gridwell demo
demo demo/landing/.done: export GIT_AUTHOR_EMAIL := demo@localhost
demo demo/landing/.done: export GIT_COMMITTER_NAME := gridwell demo
demo demo/landing/.done: export GIT_COMMITTER_EMAIL := demo@localhost
endif

demo/landing/.done: | $(VENV)/.run
	@test ! -d demo || { chmod -R u+w demo; rm -rf demo; }
	@$(BIN)/gridwell new demo >/dev/null
	@$(BIN)/gridwell simulate --study demo
	@touch $@

demo: demo/landing/.done  ## simulate a small screen, run the whole workflow on it, say where the reports are
	@$(BIN)/snakemake --snakefile Snakefile --directory demo --cores $(CORES)
	@echo "The reports:"; ls -1 $(CURDIR)/demo/results/*/report.html

study: $(VENV)/.run  ## make a new study: make study DIR=path/to/study
	@test -n "$(DIR)" || { echo "say where: make study DIR=path/to/study"; exit 2; }
	@$(BIN)/gridwell new "$(DIR)"

test: $(VENV)/.dev  ## run all tests
	$(BIN)/python -m pytest --numprocesses 2 --dist loadgroup --quiet

test-cluster: $(VENV)/.dev  ## run the tests on a small Slurm cluster (as root; installs Slurm if need be)
	GRIDWELL_SLURM_INSTALL=1 $(BIN)/python -m pytest --quiet tests/cluster

# Snakemake lints the rules of a study, so there must be one.
.cache/lint/landing/.done: | $(VENV)/.run
	@rm -rf .cache/lint
	@$(BIN)/gridwell new --plain .cache/lint >/dev/null
	@$(BIN)/gridwell simulate --study .cache/lint --size tiny
	@touch $@

lint: $(VENV)/.dev .cache/lint/landing/.done  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/mypy
	$(BIN)/snakemake --snakefile Snakefile --directory .cache/lint --lint

format: $(VENV)/.dev  ## put code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile rules

docs: $(VENV)/.run  ## write the option and column pages, schemas and templates anew
	$(BIN)/python -m gridwell.config.describe
	$(BIN)/python -m gridwell.versions.tolerances

report: $(VENV)/.dev  ## Snakemake's own report of the demo's run
	$(BIN)/snakemake --snakefile Snakefile --directory demo --report report.zip

train-grid: $(VENV)/.run  ## train the network that finds elements anew (about an hour)
	$(BIN)/python scripts/train_grid.py \
	  $(if $(GRIDWELL_SHARED),--real "$(GRIDWELL_SHARED)/data/grids")

train-cells: $(VENV)/.run  ## train the networks that find cells anew (about an hour; needs GRIDWELL_SHARED)
	$(BIN)/python scripts/train_cells.py --data "$(GRIDWELL_SHARED)/data/cells/dsb2018"

clean:  ## remove the demo and caches, keep the environment
	@test ! -d demo || chmod -R u+w demo
	rm -rf demo .cache benchmarks/out
