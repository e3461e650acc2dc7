# The commands that people and CI use. `make` or `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/sh
# The system's own interpreter is built with every optimisation. What a version manager has compiled
# often is not, and takes half as long again for everything.
PYTHON ?= $(shell for python in /usr/bin/python3 python3; do \
  $$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && \
  echo $$python && exit; done; echo python3)
VENV := .venv
BIN := $(VENV)/bin

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Of a hundred processes that the tests start, each would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: $(VENV)/runtime.stamp ## Start everything on this machine (PORT=8000 DATA_DIR=./var)
	@exec $(BIN)/python -m billionmail.embedded

.PHONY: demo
demo: $(VENV)/runtime.stamp ## The same with weeks of made-up mail (PORT=8000 DATA_DIR=./var/demo)
	@DATA_DIR=$${DATA_DIR:-var/demo} exec $(BIN)/python -m billionmail.embedded --demo

.PHONY: test
test: $(VENV)/dev.stamp ## Run every test, on SQLite and on PostgreSQL
	@sh tests/rig/ensure.sh faketime:faketime
	@exec $(BIN)/python -m tests.rig.run_all

.PHONY: unit
unit: $(VENV)/dev.stamp ## Run the tests that need no server (under a minute)
	@exec $(BIN)/pytest -q -n 2 -m "not integration"

N ?= 36
.PHONY: faults
faults: $(VENV)/dev.stamp ## Break things N times, at random, under load (N=36 SEED=...)
	@sh tests/rig/ensure.sh faketime:faketime
	@exec $(BIN)/python -m tests.faults --rounds $(N) $(if $(SEED),--seed $(SEED))

.PHONY: bench
bench: $(VENV)/dev.stamp var/yardsticks/stamp ## Measure beside yardsticks (ARGS=--quick: two minutes)
	@UNPACK=nginx sh tests/rig/ensure.sh smtp-sink:postfix wrk:wrk
	@exec $(BIN)/python -m tests.bench $(ARGS)

# Where BillionMail and its tests do not see it.
var/yardsticks/stamp: tests/bench/requirements.txt | $(BIN)/python
	@$(BIN)/python -m pip install --quiet --upgrade --no-deps --require-hashes --target var/yardsticks --requirement $<
	@touch $@

.PHONY: lint lint-types lint-rest
lint: lint-types lint-rest ## Check style, types, import directions and migrations

lint-types: $(VENV)/dev.stamp
	$(BIN)/mypy .

# What is collected here is compiled once, before four processes of `make test` would do it at once.
lint-rest: $(VENV)/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/python -m tests.rig.check_project
	@collected="$$($(BIN)/pytest --collect-only -qqq)" || { echo "$$collected"; exit 1; }

MESSAGES := unsubscribe/locale/zh_Hans/LC_MESSAGES/django
.PHONY: messages
messages: ## Compile the translations (needs msgfmt of gettext); both files are kept in git
	msgfmt --check -o $(MESSAGES).mo $(MESSAGES).po

.PHONY: lock
lock: ## Resolve requirements*.in into exact versions with hashes (needs uv)
	uv pip compile requirements.in --upgrade --python-version 3.11.2 --generate-hashes --no-emit-index-url --no-header -o requirements.txt
	uv pip compile requirements-dev.in --upgrade --python-version 3.11.2 --generate-hashes --no-emit-index-url --no-header -o requirements-dev.txt

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "BillionMail needs Python 3.11 or newer; set PYTHON=/path/to/it."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "Python's venv module is missing: install python3-venv."; exit 1; }

$(VENV)/runtime.stamp: requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install -qq --require-hashes --requirement requirements.txt
	@touch $@

$(VENV)/dev.stamp: requirements-dev.txt $(VENV)/runtime.stamp
	$(BIN)/python -m pip install -qq --require-hashes --requirement requirements-dev.txt
	@touch $@
