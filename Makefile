# Every target sets itself up: a virtual environment with all that is needed.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CONFIG := configs/adm/adm_sr_demo.py
WORK := work_dirs/adm_sr_demo

.PHONY: install test lint demo docs clean

# Stamps: an environment is only touched again when what it is made from changes.
$(VENV)/.runtime: setup.py requirements/mminstall.txt requirements/runtime.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -r requirements.txt
	$(BIN)/python -m pip install --no-deps -e .
	touch $@

$(VENV)/.tests: $(VENV)/.runtime requirements/tests.txt
	$(BIN)/python -m pip install -r requirements/tests.txt
	touch $@

install: $(VENV)/.runtime

test: $(VENV)/.tests
	$(BIN)/python -m pytest -n auto

lint: $(VENV)/.tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
