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

demo: $(VENV)/.runtime
	$(BIN)/python tools/train.py $(CONFIG) --work-dir $(WORK)
	$(BIN)/python tools/test.py $(CONFIG) "$$(cat $(WORK)/last_checkpoint)" --work-dir $(WORK) \
	    --num-steps 5 10 --show-dir $(WORK)/pictures --out $(WORK)/scores.json
	$(BIN)/python tools/analysis_tools/analyze_logs.py plot_curve $(WORK) \
	    --keys loss_image loss_noise --out $(WORK)/pictures/loss.png
	@echo
	@echo 'Steps against quality:      $(WORK)/scores.json (table above)'
	@echo 'LR | bicubic | ADM | truth: $(WORK)/pictures/comparison.png'
	@echo 'From noise to image:        $(WORK)/pictures/trajectory.png'
	@echo 'Loss curves:                $(WORK)/pictures/loss.png'

docs: $(VENV)/.runtime requirements/docs.txt
	$(BIN)/python -m pip install -q -r requirements/docs.txt
	$(BIN)/sphinx-build -W -b html docs/en docs/en/_build

clean:
	rm -rf build dist *.egg-info docs/en/_build
