# `make demo` and `make test` need Python 3.11 or later and nothing else; everything they install goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo fast lint test shapes docs long versions oldest newest clean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1  \2/p' Makefile

demo: $(VENV)/.installed ## draw one prompt with ar, hawk, ssd and spatial from one seed, into demo.png
	$(BIN)/spatialspec generate "red apple, 3d" --method hawk,ssd,spatial --compare --seed 0 --out demo.png

TESTS := -m pytest -q -n auto --maxprocesses 4 --dist worksteal
unexport PYTHONDONTWRITEBYTECODE # Python is started some hundred times, and two phases collect the same tests

fast: $(VENV)/.installed-dev ## the quickest tests that say most, in a few minutes
	$(BIN)/python $(TESTS) -m fast

lint: $(VENV)/.installed-dev ## style, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

test: lint shapes ## lint, types, all tests but those of `make long`, and a quick audit
	$(BIN)/python $(TESTS) -m "not fast and not long"
	$(BIN)/spatialspec audit --quick

shapes: $(VENV)/.installed-dev ## the fast tests with every annotated shape of an array checked
	PYTHONPATH=tests $(BIN)/python $(TESTS) -p helpers.arrays -m fast

long: $(VENV)/.installed-dev ## what takes minutes: Ray, slow tests one by one, and the audit of every method
	$(BIN)/python -m pytest -q -m "slow or long"
	$(BIN)/spatialspec audit

versions: oldest newest ## the fast tests with the oldest and with the newest versions that are allowed

oldest: PINS := -c constraints-oldest.txt
oldest newest:
	$(PYTHON) -m venv --clear $(VENV)-$@
	$(VENV)-$@/bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt $(PINS) -e '.[dev]'
	$(VENV)-$@/bin/python $(TESTS) -m "fast or law"

docs: $(VENV)/.installed-docs ## build the documentation site in build/site; any broken link stops it
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean: ## remove .venv, caches and build outputs
	rm -rf $(VENV) $(VENV)-oldest $(VENV)-newest .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist demo.png
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: a second call installs nothing unless pyproject.toml or the pins changed. The install is editable, so
# that changed sources need no stamp; tests/test_package.py proves the wheel.
$(VENV)/.created:
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; \
	  sys.exit(sys.version_info < (3, 11) and f"got Python {v}, expected 3.11 or later: make PYTHON=python3.11 ...")'
	@echo "creating $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { echo "no virtual environment: install Python's venv module and run again" >&2; exit 1; }
	@touch $@

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/.created
	@echo "installing spatialspec (a few minutes the first time)"
	@$(INSTALL) -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/.created
	@echo "installing spatialspec and its test tools (a few minutes the first time)"
	@$(INSTALL) -e '.[dev]'
	@touch $(VENV)/.installed $@

# Sources are read, not imported: the site needs neither torch nor the package.
$(VENV)/.installed-docs: pyproject.toml | $(VENV)/.created
	@echo "installing the tools of the site"
	@$(INSTALL) $$($(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"])')
	@touch $@
