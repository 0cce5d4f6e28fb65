# Every target makes .venv by itself when it is missing or when the dependencies have changed.
# Exact versions stand in constraints.txt; `make PYTHON=python3.12 ...` takes another Python.

PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --constraint constraints.txt
SHELL := /bin/sh

.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint types walls format reference docs bench clean

help:
	@echo "make demo      install, train a small classifier, show what comes out (a few minutes)"
	@echo "make test      install and run the tests, without the slow ones"
	@echo "make test-all  all tests"
	@echo "make lint      ruff: rules and format        make types  basedpyright"
	@echo "make walls     who may import whom           make format  mend the format"
	@echo "make docs      build the site into site/     make bench  layers beside their peers"
	@echo "make clean     remove what was built; .venv and runs/ too"

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "elman needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.11"; exit 1; }
	@echo "Making .venv ..."
	@$(PYTHON) -m venv .venv

.venv/.test: .venv/bin/python pyproject.toml constraints.txt
	@echo "Installing elman and what its tests and its demo need into .venv (a minute or two) ..."
	@$(INSTALL) --editable '.[test]'
	@touch $@

.venv/.lint: .venv/.test
	@echo "Installing ruff and basedpyright ..."
	@$(INSTALL) --editable '.[lint]'
	@touch $@

.venv/.docs: .venv/.test
	@echo "Installing the site builder ..."
	@$(INSTALL) --editable '.[docs]'
	@touch $@

demo: .venv/.test
	@$(BIN)/elman demo

test: .venv/.test
	@$(BIN)/python -m pytest -q -m 'not slow'

test-all: .venv/.test
	@$(BIN)/python -m pytest -q

lint: .venv/.lint
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: .venv/.lint
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: .venv/.lint
	@$(BIN)/basedpyright --level error

walls: .venv/.test
	@$(BIN)/lint-imports --no-cache

reference: .venv/.test
	@$(BIN)/python tools/command_line_page.py

docs: .venv/.docs reference
	@$(BIN)/zensical build --clean --strict

.venv/.bench: .venv/.test
	@echo "Installing the peers that benchmarks stand beside ..."
	@$(INSTALL) --editable '.[bench]'
	@touch $@

bench: .venv/.bench
	@$(BIN)/python benchmarks/cpu.py

clean:
	@rm -rf .venv site build dist runs .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	@find elman tests -name __pycache__ -type d -prune -exec rm -rf {} +
