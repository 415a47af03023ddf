# Everything is installed into .venv and into ${XDG_CACHE_HOME:-~/.cache}/plumbline; the system is not touched.
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed
# Test files at once: they mostly wait for servers, and every process of pytest has servers of its own. What promises a time
# in which something is answered is run after them, with nothing beside it.
JOBS ?= 3
# ARGS may leave one of the two nothing to run (pytest's 5).
NONE_CHOSEN = $(if $(ARGS),|| test $$? -eq 5)

.DEFAULT_GOAL := help
.PHONY: help setup tools demo test test-all check truth threats bench clean

help:  ## what there is
	@echo "make demo          play the whole of it on this machine (ONCE=1: play, check and end)"
	@echo "make test          set everything up and run every test"
	@echo "make check         formatting, lint, types, imports, house rules"
	@echo "make test-all      the same, with every commit of the corpora and long random tests"
	@echo "make truth         replay other people's repositories and count what came true"
	@echo "make threats       run the tests of attacks and faults and print their table"
	@echo "make bench         measure against real peers, as ratios"
	@echo "make setup         only install, into $(VENV)"
	@echo "make tools         only find or build the sandbox's programs"
	@echo "make clean         remove $(VENV) and what tests leave"

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) sandbox/requirements_check.py
	@echo "installing into $(VENV) (about two minutes the first time)"
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

setup: $(STAMP)  ## the virtual environment

tools: $(STAMP)
	@$(VENV)/bin/python -m plumbline sandbox tools --forge > /dev/null

demo: $(STAMP)
	@$(VENV)/bin/python -m plumbline demo $(if $(ONCE),--once)

check: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/python -m pytest -q tests/test_house.py

test: tools check
	$(VENV)/bin/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -m "not timed" $(ARGS) $(NONE_CHOSEN)
	$(VENV)/bin/python -m pytest -m timed $(ARGS) $(NONE_CHOSEN)

test-all: tools check
	PLUMBLINE_TRUTH_COMMITS=100000 PLUMBLINE_PROOF_EXAMPLES=2500 PLUMBLINE_ALL_FAULTS=1 $(VENV)/bin/python -m pytest --timeout 3600 $(ARGS)

truth: tools
	@$(VENV)/bin/python -m tests.truth $(ARGS)

threats: tools
	@PLUMBLINE_ALL_FAULTS=1 $(VENV)/bin/python -m tests.threats $(ARGS)

bench: tools
	$(VENV)/bin/python -m tests.bench $(ARGS)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache build *.egg-info
