# Everything runs in .venv, which is made here; torch comes first and pinned, so that no package pulls another build.
PYTHON ?= python3.11
BIN := .venv/bin
DEMO := runs/demo

.PHONY: demo test check bench clean

demo: .venv/ready
	$(BIN)/mtcli train data/recipes/demo.toml -o $(DEMO)
	printf '%s\n' "The old woman is reading a book." "Yesterday he bought three apples." "I hope that you have time." | $(BIN)/mtcli translate -m $(DEMO)
	$(BIN)/mtcli eval -m $(DEMO) data/sample/test.en data/sample/test.de

test: .venv/ready
	$(BIN)/python -m pytest

check: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not slow"

bench: .venv/ready
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/train.py
	$(BIN)/python benchmarks/decode.py

clean:
	rm -rf .venv runs build dist .mypy_cache .ruff_cache .hypothesis

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt torch
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	touch $@
