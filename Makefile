# What people and CI type. Needs Python 3.11 or newer, make, and uv or pip.

.DEFAULT_GOAL := help
SHELL := /bin/sh

# uv from the machine, else a private copy that `make setup` puts into .tools
UV ?= $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
# the first Python that is new enough, for getting that copy
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		&& { echo $$python; break; }; done)
export UV_PYTHON_DOWNLOADS := never

# one installation for `make setup` and everything after it
ENVIRONMENT := .venv/.synced
BENCH_ENVIRONMENT := .venv/.synced-bench
BIN := .venv/bin
SERVICES := $(wildcard services/*)
MEMBERS := . cli $(SERVICES)
# members are installed from their folders, where deptry finds no list of their modules
DEPTRY := $(CURDIR)/$(BIN)/deptry --package-module-name-map \
	ai-platform-shared=shared,commerce-agent=commerce_agent,llm-worker=llm_worker

.PHONY: help setup run test fault mutants bench check lock

help: ## Show this
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: $(ENVIRONMENT) ## Install everything into .venv

run: $(ENVIRONMENT) ## Start the platform here; ARGS="--port 8123 --data-dir DIR" passes arguments on
	@exec $(BIN)/ai-platform up --follow-parent $(ARGS)

test: $(ENVIRONMENT) ## Run the tests, two at a time; ARGS passes arguments on to pytest
	$(BIN)/pytest -n 2 --dist loadfile $(ARGS)

fault: $(ENVIRONMENT) ## Run every fault test, the long ones too; ARGS="--fault-seed 7" repeats a schedule
	$(BIN)/pytest -n 4 --dist loadgroup -m "" $(or $(TESTS),tests/fault) $(ARGS)

mutants: $(ENVIRONMENT) ## Plant faults in scratch copies and see that the tests catch each one
	$(BIN)/python -m tests.mutants $(ARGS)

bench: $(BENCH_ENVIRONMENT) ## Measure against limits and peers; ARGS=ingest runs one scenario
	$(BIN)/python -m bench $(ARGS)

check: $(ENVIRONMENT) ## Lint, types, import directions, dependency hygiene
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(DEPTRY) . --known-first-party shared --extend-exclude '(services|cli|tests|bench|\.ci)/'
	cd cli && $(DEPTRY) src --known-first-party ai_platform
	@for service in $(SERVICES); do \
		echo "deptry $$service"; \
		(cd $$service && $(DEPTRY) src \
			--known-first-party $$(basename $$service | tr - _)) || exit 1; done

lock: $(UV) ## Lock the dependencies anew; the lock file names the public index alone
	env -u UV_DEFAULT_INDEX -u UV_INDEX_URL -u UV_EXTRA_INDEX_URL $(UV) lock

# Where an index variable is set, uv wants that address in the lock file. So the lock is first taken
# at its word; on a machine that reaches only a mirror the same versions come from there, by hash.
$(ENVIRONMENT): uv.lock pyproject.toml cli/pyproject.toml $(wildcard services/*/pyproject.toml) | $(UV)
	@$(call install)
	@touch $@

# what only the benchmark needs: the peers that it measures beside us
$(BENCH_ENVIRONMENT): $(ENVIRONMENT)
	@$(call install,--group bench)
	@touch $@

define install
env -u UV_DEFAULT_INDEX -u UV_INDEX_URL -u UV_EXTRA_INDEX_URL $(UV) sync --locked $(1) || { \
	test -n "$$UV_DEFAULT_INDEX$$UV_INDEX_URL$$UV_EXTRA_INDEX_URL" || exit 1; \
	echo "Trying the index that this machine is set up with"; \
	$(UV) venv --allow-existing .venv \
	&& $(UV) export --frozen $(1) --no-emit-workspace --quiet --output-file .venv/requirements.txt \
	&& $(UV) pip install --require-hashes -r .venv/requirements.txt \
	&& $(UV) pip install --no-deps $(MEMBERS:%=-e ./%); }
endef

.tools/bin/uv:
	@test -n "$(PYTHON)" || { \
		echo "AI Platform needs Python 3.11 or newer, and found none. Install it and try again."; exit 1; }
	@echo "uv is not installed; getting a private copy into .tools"
	@if $(PYTHON) -m pip --version >/dev/null 2>&1; then \
		$(PYTHON) -m pip install --quiet --target .tools --upgrade 'uv>=0.13,<0.14'; \
	elif $(PYTHON) -c 'import ensurepip' 2>/dev/null; then \
		$(PYTHON) -m venv .tools && .tools/bin/pip install --quiet 'uv>=0.13,<0.14'; \
	else \
		echo "Neither uv, nor pip, nor Python's venv module is installed."; \
		echo "Install one of them and try again, on Debian and Ubuntu: apt install python3-venv"; \
		exit 1; \
	fi
