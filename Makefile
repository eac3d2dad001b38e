# Every target does its own set-up; a second run does none of it again. `make help` lists the targets.
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export GAITKEEPER_DATA ?= $(abspath ../shared/data)

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-long lint bench accuracy learning audit faults browser-test others lock protos clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

$(STAMP): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Gaitkeeper needs Python 3.11 as '$(PYTHON)'; or name yours: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

setup: $(STAMP) ## install the locked dependencies, the project and the pose weights into .venv
	@$(BIN)/gaitkeeper models install --quiet

demo: setup ## three clinics learn from walking videos, and the model comes back
	$(BIN)/gaitkeeper demo

lint: $(STAMP) ## ruff, formatting and strict mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: setup lint ## everything that a change must pass; under 15 minutes on 2 cores
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not e2e and not long"
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m e2e

test-long: setup ## tests that measure rather than test, and take long for that
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m long

bench: setup ## what things cost, into bench/latest.json (docs/bench.md); wants a quiet machine
	$(BIN)/python -m tests.bench

accuracy: setup ## all that can be right or wrong: walks, learning, explanations, each into its page; hours
	$(BIN)/python -m tests.accuracy
	$(BIN)/python -m tests.explanations
	$(BIN)/python -m tests.learning

learning: setup ## what the example studies learn, with and without privacy, into docs/learning.md
	$(BIN)/python -m tests.learning

audit: setup ## what a canary patient betrays, against what the ledger claims, and five planted faults; minutes
	$(BIN)/gaitkeeper privacy audit --output audit

faults: setup ## kill, cut, fill, forge, crowd and soak a real deployment, into docs/faults.md; about four hours
	$(BIN)/python -m tests.faults all

browser-test: setup ## the console in a real chromium: what people do, accessibility, hostile requests; minutes
	$(BIN)/python -m tests.browser

others: setup ## a FHIR server and an identity provider that others wrote, against ours; needs Node.js
	$(BIN)/python -m tests.others

lock: ## resolve the dependencies anew into requirements.lock (takes minutes)
	deploy/lock.sh

protos: $(STAMP) ## generate the gRPC stubs from protos/
	deploy/protos.sh

clean: ## remove what these targets made, but not the pose weights
	rm -rf $(VENV) demo audit .mypy_cache .ruff_cache .pytest_cache
