# The same commands for a person, for pre-commit and for CI.  `make up` and `make test` need nothing before them.

# The lock covers these versions of Python; the first one found is used.
FIND_PYTHON = for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	if $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null; \
	then echo $$python; break; fi; done
NO_PYTHON = echo "no Python 3.11 to 3.14 on the PATH (python3 is: $$(python3 --version 2>&1)); install one, with its venv module" >&2
NO_VENV = echo "$$python cannot make a virtual environment (the message above says why); on Debian and Ubuntu install python3-venv" >&2

UV = .uv/bin/uv
BIN = .venv/bin
INSTALLED = .venv/.installed
ARGS ?=

# An interpreter is never fetched behind the user's back: the one found above is the one used.
export UV_PYTHON_DOWNLOADS = never

.DEFAULT_GOAL := help
.PHONY: help install up test check format soak docs lock clean

help:
	@echo "make up       install what is missing and start the platform on paper   ARGS='--feed synthetic'"
	@echo "make test     install what is missing and run the tests                 ARGS='tests/engine -x'"
	@echo "make install  install the locked dependencies and .venv/bin/promethean"
	@echo "make check    formatting, lint, types, import contracts, generated pages"
	@echo "make format   put every file into the house format"
	@echo "make soak     the tests that run for minutes"
	@echo "make docs     write the generated pages again"
	@echo "make lock     resolve the dependencies again                            ARGS='--upgrade-package rich'"
	@echo "make clean    remove .venv, .uv and every cache in this folder"

$(UV):
	@python=$$($(FIND_PYTHON)); \
	if [ -z "$$python" ]; then $(NO_PYTHON); exit 2; fi; \
	echo "bootstrapping uv with $$($$python --version)"; \
	$$python -m venv .uv || { $(NO_VENV); exit 2; }
	.uv/bin/python -m pip install --quiet 'uv>=0.11,<1'

$(BIN)/python: | $(UV)
	$(UV) venv --quiet --clear --python .uv/bin/python .venv

# One environment for `up` and for `test`: `sync` removes what its files do not list, so two sets in one folder would
# take turns uninstalling each other, and the tools for tests add little to a gigabyte of libraries.
# The package itself comes last, and offline: uv carries its own build backend and needs to fetch none.
# The loops of backtests are compiled now, so that nobody waits for them at the first one; later changes compile anew.
$(INSTALLED): requirements.lock requirements-dev.lock pyproject.toml | $(BIN)/python
	$(UV) pip sync --python $(BIN)/python --require-hashes requirements.lock requirements-dev.lock
	$(UV) pip install --quiet --python $(BIN)/python --offline --no-deps --editable .
	@echo "compiling the loops of backtests"
	@$(BIN)/promethean bench backtest >/dev/null
	@$(BIN)/promethean bench sweep >/dev/null
	@touch $@

install: $(INSTALLED)

up: install
	@exec $(BIN)/promethean up $(ARGS)

# Two workers, not one a core: the suite starts real database servers and real platforms.
test: install
	$(BIN)/pytest -n 2 $(ARGS)

# `uv pip check` says whether what the locks installed still fits what pyproject.toml asks for.
check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(UV) pip check --python $(BIN)/python
	@$(BIN)/python -c 'import promethean.config.pages as c; print(c.reference_page(), end="")' | diff -u docs/configuration.md - \
		|| { echo "docs/configuration.md is not what the settings say; run: make docs" >&2; exit 1; }

# What cannot be mended by itself is for `make check` to refuse.
format: install
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .

soak: install
	$(BIN)/pytest -m soak --timeout 0 $(ARGS)

docs: install
	$(BIN)/python -c 'from pathlib import Path; import promethean.config.pages as c; Path("docs/configuration.md").write_text(c.reference_page(), encoding="utf-8")'

# uv.lock holds the addresses of the index that was asked, so it stays out of version control; these files hold none.
lock: $(UV)
	$(UV) lock $(ARGS)
	$(UV) export --quiet --frozen --no-dev --no-header --no-annotate --no-emit-project -o requirements.lock
	$(UV) export --quiet --frozen --only-dev --no-header --no-annotate --no-emit-project -o requirements-dev.lock

clean:
	rm -rf .venv .uv build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.*
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
