# Plain venv and pip. `make demo` needs Python 3.11 or 3.12 and a package registry, nothing else.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false

RECIPE ?= demo
RUN ?= runs/$(RECIPE)
EDITS ?=

.PHONY: help setup demo test check format clean

help:
	@echo "make demo    install and train the demo: intents of a help desk"
	@echo "make test    install what the tests need and run them"
	@echo "make check   format, lint, types, import layers"
	@echo "make setup   install everything for work on Fathom"
	@echo "make format  format the code"
	@echo "make clean   remove .venv and caches; runs/ is kept"

.venv/bin/python:
	@$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info[:2] <= (3, 12), "Fathom needs Python 3.11 or 3.12; say make PYTHON=..."'
	$(PYTHON) -m venv .venv

.venv/demo.stamp: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) -e '.[demo]'
	@touch $@

.venv/dev.stamp: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) -e '.[dev]'
	@touch $@ .venv/demo.stamp

setup: .venv/dev.stamp

demo: .venv/demo.stamp
	$(BIN)/fathom train $(RECIPE) output=$(RUN) $(EDITS)
	@echo
	$(BIN)/fathom predict $(RUN)/model \
	  "my parcel still says out for delivery, its been 4 days??" \
	  "Could you move the drop-off to Friday evening instead?" \
	  "the name on the bill is wrong, can I get a new one for my company" \
	  "I don't want a refund, just send me the blue one in a larger size"
	@echo
	@echo "Next:"
	@echo "  $(BIN)/fathom predict $(RUN)/model 'your own sentence'"
	@echo "  $(BIN)/fathom inspect $(RUN)/model            where its parameters, memory and work sit"
	@echo "  $(BIN)/fathom train demo tuning=lora          the same with LoRA"
	@echo "  $(BIN)/fathom train helpdesk-ner              find order numbers, products, dates in text"
	@echo "  $(BIN)/fathom init your.csv                   a recipe for your own data"

test: .venv/dev.stamp
	$(BIN)/python -m pytest

check: .venv/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/dev.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis src/*.egg-info
