# `make demo` and `make test` start from nothing: they build .venv when it is missing or out of date.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory --no-builtin-rules

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# -qq keeps pip's errors and drops its notices, e.g. about index settings of the machine
PIP_INSTALL := $(BIN)/python -m pip install -qq --no-input --progress-bar off

# A test holds deploy/kubernetes against its schema, which needs nothing of what it depends on
OPERATOR := dask-kubernetes==2026.3.0

DEMO_SURVEY := runs/demo_survey
DEMO_RUN := runs/demo
MOCK_SOURCES := $(wildcard src/kidsclf/mock/*.py src/kidsclf/mock/*.npz)
# some tests wait, others compute with one thread: two processes keep two cores at work
PYTEST_ARGS ?= --numprocesses 2 --dist loadfile

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

.PHONY: demo
demo: $(INSTALLED) $(DEMO_SURVEY)/survey.json ## make a small synthetic survey and classify it
	@echo "== demo: classifying $(DEMO_SURVEY) into $(DEMO_RUN)"
	@$(BIN)/kidsclf configs/demo.toml --workdir $(DEMO_RUN)

.PHONY: test
test: $(INSTALLED) ## run the tests
	@bash tests/tools/debian_packages.sh
	@echo "== tests"
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

.PHONY: lint
lint: $(INSTALLED) ## check style, types and the direction of imports
	@echo "== ruff check"
	@$(BIN)/ruff check .
	@echo "== ruff format --check"
	@$(BIN)/ruff format --check .
	@echo "== mypy"
	@$(BIN)/mypy
	@echo "== lint-imports"
	@$(BIN)/lint-imports --no-logo

.PHONY: benchmark
benchmark: $(INSTALLED) ## measure the parts that work on every source
	@$(BIN)/python -m benchmarks

.PHONY: environment
environment: $(INSTALLED) ## build .venv and nothing else

.PHONY: constraints
constraints: $(BIN)/python ## write constraints.txt anew: the newest versions that fit together
	@scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	$(PYTHON) -m venv "$$scratch/venv"; \
	echo "== constraints: resolving in a fresh environment (minutes)"; \
	"$$scratch/venv/bin/python" -m pip install -qq --no-input --progress-bar off '.[dev]'; \
	"$$scratch/venv/bin/python" -m pip freeze --exclude kidsclf | sort -f > constraints.txt

.PHONY: clean
clean: ## remove the demo, caches and build leftovers, keep .venv and other runs
	@rm -rf $(DEMO_SURVEY) $(DEMO_RUN) build dist .pytest_cache .mypy_cache .ruff_cache \
	  .import_linter_cache .hypothesis
	@find src tests benchmarks tools -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

.PHONY: distclean
distclean: clean ## clean, and remove .venv
	@rm -rf $(VENV) src/*.egg-info

# survey.json is the last file that the mock writes, so it stands for the whole survey
$(DEMO_SURVEY)/survey.json: $(MOCK_SOURCES) | $(INSTALLED)
	@echo "== demo: drawing a synthetic survey of 0.3 square degrees into $(DEMO_SURVEY)"
	@rm -rf $(DEMO_SURVEY)
	@$(BIN)/python -m kidsclf.mock $(DEMO_SURVEY) --area 0.3 --seed 1 --labelled 4500 --compress --workers "$$(nproc)"

$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/python
	@echo "== environment: installing kidsclf and its dependencies into $(VENV) (one to five minutes)"
	@$(PIP_INSTALL) -c constraints.txt -e '.[dev]'
	@$(PIP_INSTALL) --no-deps $(OPERATOR)
	@touch $@
	@echo "== environment: ready"

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "kidsclf needs Python 3.11, and '$(PYTHON)' was not found: install it (Debian 12:" \
	    "apt-get install python3.11 python3.11-venv) or name it, e.g. make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; \
	  exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot make virtual environments, because its ensurepip module is missing:" \
	    "install it (Debian 12: apt-get install python3.11-venv)" >&2; \
	  exit 1; }
	@echo "== environment: creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)
