# Two commands on a fresh machine (Python >= 3.10 and make): `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt
WORKERS ?= 2
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: demo test check lint unit docs test-slow test-torch test-voc test-mutants wheel test-wheel clean

demo: $(VENV)/.train
	$(BIN)/quantdet demo --out demo

test: lint unit

# The daily loop: everything but what needs TensorFlow, a browser or a trained model.
check: lint
	$(BIN)/python -m pytest --core -n $(WORKERS) --dist loadfile --no-loadscope-reorder tests/unit tests/data tests/evaluate tests/runtime

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations=15 --durations-min=5

# Pages that follow from the code; then the site, in site/.
docs: $(VENV)/.dev
	$(BIN)/python docs/reference.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

test-slow: $(VENV)/.dev
	$(PIP) -e ".[notebooks]"
	$(BIN)/python -m pytest -m slow

# QUANTDET_VOC=path/to/VOCdevkit/VOC2007 make test-voc
test-voc: $(VENV)/.dev
	$(BIN)/python -m pytest -m voc

test-torch: $(VENV)/.dev
	$(PIP) torch==2.13.0
	$(BIN)/python -m pytest -m torch

# Mutants of what judges and prints figures; `mutmut browse` shows those that live. Hours.
test-mutants: $(VENV)/.dev
	$(PIP) "mutmut>=3.8"
	QUANTDET_KEPT_RUN=$$($(BIN)/python -m tests.e2e.kept_run mutants) \
		$(BIN)/mutmut run --max-children $(WORKERS)
	$(BIN)/mutmut results

wheel: $(VENV)/bin/python
	$(PIP) build
	rm -rf dist
	$(BIN)/python -m build

# The wheel alone, in an environment of its own and from another folder.
test-wheel:
	rm -rf $(VENV)-wheel
	$(PYTHON) -m venv $(VENV)-wheel
	$(VENV)-wheel/bin/pip install --quiet --disable-pip-version-check "$$(echo dist/*.whl)[firmware]"
	cd $(VENV)-wheel && bin/quantdet --version
	cd $(VENV)-wheel && bin/python -c "from quantdet import generate_scenes; generate_scenes('.', count=3)"
	cd $(VENV)-wheel && bin/quantdet predict VOCdevkit/VOCscenes/JPEGImages --out found
	cd $(VENV)-wheel && bin/quantdet export lib/python*/site-packages/quantdet/pretrained/*.tflite --format c-array --out c
	test -s $(VENV)-wheel/c/quantdet_decode.c
	rm -rf $(VENV)-wheel

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.train: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) -e ".[train,verify]"
	touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) -e ".[dev]"
	touch $@ $(VENV)/.train

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
