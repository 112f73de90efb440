# Backlit. `make` alone lists the targets; `make demo` and `make test` set everything up themselves.

VENV := .venv
PYTHON := $(VENV)/bin/python
LOCK := requirements/dev.txt
READY := $(VENV)/ready
PARITY_READY := $(VENV)/ready-parity
BENCH_READY := $(VENV)/ready-bench
PIP := $(PYTHON) -m pip --disable-pip-version-check --quiet install
PYTEST := $(PYTHON) -m pytest --quiet
PARALLEL := --numprocesses auto

# The first of these that is Python 3.11 or newer makes the environment.
PYTHONS := python3 python3.15 python3.14 python3.13 python3.12 python3.11 python
IS_NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))

define MAKE_VENV
	for python in $(PYTHONS); do \
		if $$python -c "$(IS_NEW_ENOUGH)" 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "Backlit needs Python 3.11 or newer. None of these is: $(PYTHONS)."; \
		echo "Install one, or name yours: make $(MAKECMDGOALS) PYTHONS=/path/to/python3"; \
		exit 1; \
	fi; \
	echo "Setting up $(VENV) with $$($$found --version) ..."; \
	$$found -m venv --clear $(VENV) || { \
		echo "$$found cannot make virtual environments; on Debian and Ubuntu, install python3-venv."; \
		exit 1; \
	}
endef

.DEFAULT_GOAL := help
.PHONY: help demo test test-all parity bench lint format lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(READY) ## train a network on handwritten digits
	@$(VENV)/bin/backlit train digits --show-source --force

test: lint ## check style and types, run the quick tests
	@$(PYTEST) $(PARALLEL) -m "not slow" --ignore=tests/parity

test-all: lint $(PARITY_READY) ## run every test, with many more random examples
	@HYPOTHESIS_PROFILE=full $(PYTEST) $(PARALLEL)

parity: $(PARITY_READY) ## compare with PyTorch (downloads it once)
	@$(PYTEST) $(PARALLEL) -m "not slow" tests/parity tests/laws/test_programs.py

bench: $(BENCH_READY) ## measure speed beside PyTorch, JAX and scikit-learn (downloads them once)
	@$(PYTHON) -m benchmarks

lint: $(READY) ## check style, format and types
	@$(PYTHON) -m ruff check --quiet .
	@$(PYTHON) -m ruff format --check --quiet . || \
		{ echo "Some files are not formatted: run \`make format\`."; exit 1; }
	@$(PYTHON) -m mypy --no-error-summary

format: $(READY) ## format the code and mend what can be mended
	@$(PYTHON) -m ruff check --quiet --fix-only .
	@$(PYTHON) -m ruff format --quiet .

lock: $(READY) ## renew the pinned versions
	@$(PIP) uv
	@UV_CUSTOM_COMPILE_COMMAND="make lock" $(PYTHON) -m uv pip compile --quiet --upgrade \
		--universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url \
		--no-emit-find-links --group dev pyproject.toml --output-file $(LOCK)

clean: ## remove the environment and every cache
	@rm -rf $(VENV) build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): $(LOCK) pyproject.toml
	@if ! $(PYTHON) -m pip --version >/dev/null 2>&1; then $(MAKE_VENV); fi
	@echo "Installing the pinned dependencies into $(VENV) ..."
	@$(PIP) --require-hashes --requirement $(LOCK)
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(BENCH_READY): $(PARITY_READY)
	@$(PIP) jax jaxlib
	@touch $@

$(PARITY_READY): $(READY)
	@echo "Installing PyTorch into $(VENV), for comparison only ..."
	@$(PIP) torch==2.13.0 expecttest
	@touch $@
