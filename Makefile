# make demo    train a score network on handwritten digits and sample it (ARGS="--steps 500" is passed on)
# make test    the quick tests        make slow    the tests marked slow
# make docs    the documentation site, in build/docs
# make lint    style and types        make format  lay the code out anew
# make setup   .venv with the pinned dependencies, which every other target makes if it is missing
# make clean   remove what was made here
# PYTHON=/path/to/python chooses the interpreter, ARGS passes options on.
PY := .venv/bin/python
ARGS ?=

.PHONY: help demo test slow docs lint format setup clean
.DEFAULT_GOAL := test

help:
	@sed -n "1,8s/^# //p" Makefile

setup: .venv/.installed

# The stamp is written last, so an interrupted set-up is taken up again and a finished one never repeated.
.venv/.installed: pyproject.toml constraints.txt
	@sh tools/setup.sh

demo: .venv/.installed
	.venv/bin/scoresde demo --out runs/demo --overwrite $(ARGS)

test: .venv/.installed
	OMP_NUM_THREADS=1 $(PY) -m pytest -m "not slow and not docs" -n auto --maxprocesses 8 --durations=15 $(ARGS)

# Status 5 says that no test is marked slow, which is no failure.
slow: .venv/.installed
	$(PY) -m pytest -m slow $(ARGS) || [ $$? -eq 5 ]

docs: .venv/.installed
	$(PY) -m docs.builder

lint: .venv/.installed
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m pyright

format: .venv/.installed
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

clean:
	rm -rf .venv build docs/generated docs/runs *.egg-info .pytest_cache .ruff_cache .hypothesis
