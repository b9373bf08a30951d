# Everything runs in .venv, which is made here; torch comes first and pinned, so that no package pulls another build.
# The first of these Pythons that runs; another one: make test PYTHON=python3.13
PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3.13 python3,$(if $(shell $(p) --version 2>/dev/null),$(p))))
BIN := .venv/bin
DEMO := runs/demo

.PHONY: demo test check bench clean

demo: .venv/ready
	$(BIN)/mtcli train data/recipes/demo.toml -o $(DEMO)
	printf '%s\n' \
		"Their father is repairing the computer because he needs it." \
		"Why is the famous teacher turning off the small lamp?" \
		"They should go to the airport to pick up your neighbours." \
		| $(BIN)/mtcli translate -m $(DEMO)
	$(BIN)/mtcli eval -m $(DEMO) data/sample/test.en data/sample/test.de

# The slow tests repeat laws over the whole catalogue, without the checks of shapes that halve their speed.
test: .venv/dev
	$(BIN)/python -m pytest -n auto -m "not slow"
	JAXTYPING_DISABLE=1 $(BIN)/python -m pytest -n auto -m slow

check: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n auto -m "not slow"

bench: .venv/dev
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/train.py
	$(BIN)/python benchmarks/decode.py

clean:
	rm -rf .venv runs build dist .mypy_cache .ruff_cache .hypothesis

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt torch
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	touch $@

.venv/dev: .venv/ready
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	touch $@
