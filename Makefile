# make demo · make test · make coverage · make torture · make check · make bench · make bench-gpu · make docs: with .venv set up first

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
unexport PYTHONDONTWRITEBYTECODE  # of libraries, what is used is compiled at its first import, and kept

.PHONY: demo test coverage torture check format lint types bench bench-gpu docs clean
.DEFAULT_GOAL := demo

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m compileall -q letterwise
	$(BIN)/python -m letterwise.inference.cpu.ahead
	@touch $@

demo: $(READY)  ## train on the embedded text for about a minute, then write
	$(BIN)/letterwise train --minutes 1 --out out/demo --overwrite
	$(BIN)/letterwise generate --model_path out/demo/model.safetensors --seed "The " --num_tokens 400 --temperature 0.7

test: $(READY)  ## the whole suite
	$(BIN)/pytest --numprocesses 2 --dist worksteal

coverage: $(READY)  ## the same, a third slower: which lines no test runs, in this process or another
	$(BIN)/pytest --numprocesses 2 --dist worksteal --cov --cov-report=term:skip-covered --cov-fail-under=90

torture: $(READY)  ## break a run in every way for about ten minutes
	LETTERWISE_TORTURE_MINUTES=10 $(BIN)/pytest --numprocesses 2 --dist worksteal -rP tests/faults

check: format lint types test

format: $(READY)
	$(BIN)/ruff format --check .

lint: $(READY)
	$(BIN)/ruff check .

types: $(READY)
	$(BIN)/ty check --python $(VENV)

bench: $(READY)  ## every benchmark, in turn; results as JSON lines
	$(BIN)/python -m benchmarks

bench-gpu: $(READY)  ## how far a GPU is used, in less than 20 minutes; its lines are kept
	$(BIN)/python -m benchmarks.gpu --append benchmarks/results.jsonl

docs: $(READY)  ## bring the generated parts of the docs up to date
	$(BIN)/python docs/make_flags.py
	$(BIN)/python -m benchmarks.table

clean:
	rm -rf $(VENV) out .pytest_cache .ruff_cache .hypothesis .coverage*
