# `make train` and `make test` are all one needs; both make .venv when it is missing.

PYTHON ?= python3
BIN := .venv/bin
# What runs TFLite files in a browser.
LITERTJS := @litertjs/core@2.5.3
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: train test test-slow test-browser coverage fuzz docs bench lint clean

# Extra flags: make train ARGS="--depth=50 --shortcut=B"
train: .venv/runtime-installed
	$(BIN)/python train.py $(ARGS)

# Two at a time: much of it is one thread's work.
test: .venv/test-installed lint
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile $(ARGS)

# What is too long for every run, and is run before an issue is called done.
test-slow: .venv/test-installed
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile -m slow $(ARGS)

# Which lines no test reaches, of the tests of every run.
coverage: .venv/test-installed
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest --numprocesses=2 --dist=loadfile $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# Damaged files of weights, images, checkpoints and nets, and what becomes of them; ten minutes.
FUZZ ?= 5000
fuzz: .venv/test-installed
	$(BIN)/python tests/helpers/fuzz.py --count=4000
	FUZZ=$(FUZZ) $(BIN)/python -m pytest --hypothesis-show-statistics tests/data/test_fuzz_images.py \
		tests/training/test_fuzz_checkpoints.py tests/inference/test_fuzz_predictor.py

# The exported web page in headless Chromium; needs npm, and chromium-driver of the system's packages.
test-browser: .venv/browser-installed
	$(BIN)/python -m pytest -m browser $(ARGS)

# The documentation as a site, in site/; a link or an anchor that leads nowhere is an error.
docs: .venv/docs-installed
	$(BIN)/properdocs build --strict --config-file mkdocs.yml

# Side by side with what users would pick instead; an hour, with nothing else running.
bench: .venv/bench-installed
	@set -e; for work in "train_imagenet.py --batch=16" "train_imagenet.py --batch=32" train_resnext.py \
		"train_cifar.py --depth=20" "train_cifar.py --depth=56" startup.py memory.py graph.py \
		weights.py "inference.py --batch=32" "inference.py --batch=1" "tflite.py --threads=1" "tflite.py --threads=2" \
		"tflite.py --bits=8 --threads=1" "tflite.py --bits=8 --threads=2" \
		"tflite.py --depth=20 --threads=1" "tflite.py --depth=20 --threads=2" \
		"tflite.py --depth=20 --bits=8 --threads=1" "tflite.py --depth=20 --bits=8 --threads=2" \
		fed.py evaluation.py views.py "precision.py --depth=50" "precision.py --depth=20" xla.py \
		images_train.py images_large.py images_validation.py images_cifar.py images_memory.py depth.py "depth.py --kind=rematerialized" "depth.py --kind=flat" \
		"scaling.py --by=batch" "scaling.py --by=size" "scaling.py --by=depth"; \
	do date +%T; echo "benchmarks/$$work"; $(BIN)/python benchmarks/$$work; done; $(BIN)/python benchmarks/table.py

lint: .venv/test-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv build dist site *.egg-info

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv

.venv/runtime-installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable .
	touch $@

.venv/bench-installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[bench]'
	touch $@

.venv/browser-installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[test,browser]'
	npm install --silent --no-audit --no-fund --prefix .venv/litertjs $(LITERTJS)
	touch $@

.venv/docs-installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[docs]'
	touch $@

.venv/test-installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[test]'
	touch $@
