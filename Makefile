# make demo   train a score network on handwritten digits and sample it (ARGS="--steps 500" and the like are passed on)
# make test   the test suite        make slow   the tests marked slow        make lint   style and types
# The first call makes .venv and installs the pinned dependencies; PYTHON=/path/to/python chooses the interpreter.
PY := .venv/bin/python
ARGS ?=

.PHONY: demo test slow lint setup clean
.DEFAULT_GOAL := test

setup: .venv/.installed

# The stamp is written last, so an interrupted set-up is taken up again and a finished one never repeated.
.venv/.installed: pyproject.toml constraints.txt
	@sh tools/setup.sh

demo: .venv/.installed
	.venv/bin/scoresde demo --out runs/demo --overwrite $(ARGS)

test: .venv/.installed
	OMP_NUM_THREADS=1 $(PY) -m pytest -m "not slow" -n auto --maxprocesses 8 $(ARGS)

# Status 5 says that no test is marked slow, which is no failure.
slow: .venv/.installed
	$(PY) -m pytest -m slow $(ARGS) || [ $$? -eq 5 ]

lint: .venv/.installed
	$(PY) -m ruff check .
	$(PY) -m pyright

clean:
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache .hypothesis
