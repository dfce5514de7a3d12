# memstill: every verb. `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
# On all cores at once, which pip does not do; a package with a broken file of its own may stay.
COMPILE_ALL := $(BIN)/python -m compileall -q -j 0 $(VENV)/lib >/dev/null || true
.DEFAULT_GOAL := help
.PHONY: help install demo test tests check code lint types imports unit contract integration acceptance eval \
	chaos rabbitmq eval-pairs eval-replay bench bench-full bench-capacity bench-checkpoints bench-decay bench-langgraph fuzz upgrade year \
	lock clean

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-17s %s\n", $$1, $$2}'

$(VENV)/.installed: requirements.lock pyproject.toml clients/python/pyproject.toml
	@echo "installing memstill into $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --no-compile --require-hashes --no-deps -r requirements.lock
	@$(PIP) install --no-compile --no-deps --no-build-isolation -e clients/python -e .
	@$(COMPILE_ALL)
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.lock requirements-render.lock
	@echo "installing what lint and tests need ..."
	@$(PIP) install --no-compile --require-hashes --no-deps -r requirements-dev.lock
	@$(PIP) install --no-compile --require-hashes --no-deps --ignore-requires-python -r requirements-render.lock
	@$(COMPILE_ALL)
	@touch $@

install: $(VENV)/.installed ## make .venv with the locked packages and the command .venv/bin/memstill

demo: install ## the main job on an embedded stack: sessions in, memories out, no key needed
	@$(BIN)/memstill demo

# What only reads the code goes on beside the tests, which wait for servers now and then. The
# processes of the tests have servers of their own.
test: $(VENV)/.installed-dev ## everything that CI runs
	@$(MAKE) --no-print-directory -j 2 code tests
code: lint types imports
tests: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 3 --dist worksteal $(NO_RABBITMQ)

check: test ## lint, types, import contracts, tests

lint: $(VENV)/.installed-dev ## style of the code (ruff)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev ## types (mypy, strict)
	$(BIN)/mypy

imports: $(VENV)/.installed-dev ## the layers import only downwards (import-linter)
	$(BIN)/lint-imports

unit contract integration acceptance: $(VENV)/.installed-dev ## one folder of tests
	$(BIN)/python -m pytest tests/$@ $(NO_RABBITMQ)

# It takes a RabbitMQ, which no package index has: fetched from Debian where none is installed.
RABBITMQ_TESTS := tests/acceptance/test_rabbitmq.py
NO_RABBITMQ := --ignore=$(RABBITMQ_TESTS)
$(VENV)/.rabbitmq: .ci/rabbitmq $(VENV)/.installed-dev
	@echo "fetching RabbitMQ into $(VENV)/rabbitmq ..."
	@.ci/rabbitmq $(CURDIR)/$(VENV)/rabbitmq
	@touch $@
rabbitmq: $(VENV)/.rabbitmq ## RabbitMQ in the place of Redis: nothing acknowledged is lost
	$(BIN)/python -m pytest $(RABBITMQ_TESTS)

# SEED, SESSIONS, USERS, FAULTS, WORKERS, GAP, DATASET, REPORT name options of tests.chaos.
CHAOS_VALUES := SEED SESSIONS USERS FAULTS WORKERS GAP DRAIN DATASET REPORT
CHAOS_OPTIONS = $(foreach name,$(CHAOS_VALUES),$(if $($(name)),--$(call lower,$(name)) $($(name)))) \
	$(if $(KEEP),--keep)
lower = $(shell echo $(1) | tr A-Z a-z)
chaos: $(VENV)/.installed-dev ## SEED= SESSIONS= USERS= FAULTS= DATASET= REPORT=: lose nothing while all is killed
	@$(BIN)/python -m tests.chaos $(CHAOS_OPTIONS)

NAMED_SET = $(or $(DATASET),$(error name a data set: make $@ DATASET=folder))
eval: $(VENV)/.installed ## DATASET=folder: recall measured offline and with recorded model outputs
	$(BIN)/python -m benchmarks.recall $(NAMED_SET)

eval-pairs: $(VENV)/.installed ## PAIRS=folder: what becomes of pairs of statements
	$(BIN)/python -m benchmarks.pairs $(or $(PAIRS),$(error name the pairs: make $@ PAIRS=folder))

eval-replay: $(VENV)/.installed ## DATASET=folder: what is known, told again in the same or other words
	$(BIN)/python -m benchmarks.replay $(NAMED_SET)

bench: $(VENV)/.installed-dev ## what memstill carries, each figure beside its ceiling in the same run
	@$(BIN)/python -m benchmarks.load
bench-full: $(VENV)/.installed-dev ## the same with 50,000 memories and 20,000 sessions: what grows
	@$(BIN)/python -m benchmarks.load --full
bench-capacity: $(VENV)/.installed-dev ## what so many users need, simulated by the costs that bench measured
	@$(BIN)/python -m benchmarks.capacity $(BENCH_OPTIONS)

MEMORIES ?= 1000000
bench-decay: $(VENV)/.installed ## MEMORIES=1000000: what a run of decay costs, and what others notice
	@$(BIN)/python -m benchmarks.decay --memories $(MEMORIES)

# THREADS, STEPS and KEEP name options of benchmarks.langgraph.
BENCH_OPTIONS = $(foreach name,THREADS STEPS KEEP,$(if $($(name)),--$(call lower,$(name)) $($(name))))
bench-langgraph: $(VENV)/.installed-dev ## 200 threads x 50 steps of LangGraph: cleaned, and each goes on
	@$(BIN)/python -m benchmarks.langgraph $(BENCH_OPTIONS)
bench-checkpoints: $(VENV)/.installed ## what checkpoints take, and how soon the newest one is loaded
	$(BIN)/python -m benchmarks.checkpoints

COUNT ?= 10000
SEED ?= 1
fuzz: $(VENV)/.installed-dev ## COUNT=10000 SEED=1: hostile transcripts, API input and interleavings
	$(BIN)/python -m tests.fuzzing --count $(COUNT) --seed $(SEED)

# SESSIONS, USERS and SECONDS name options of tests.upgrade.
UPGRADE_OPTIONS = $(foreach name,SESSIONS USERS SECONDS,$(if $($(name)),--$(call lower,$(name)) $($(name))))
upgrade: $(VENV)/.installed-dev ## FROM=commit: from that release to this tree under load, nothing lost
	@$(BIN)/python -m tests.upgrade --from $(or $(FROM),$(error name a commit: make $@ FROM=HEAD~5)) \
		$(UPGRADE_OPTIONS)

# USERS, DAYS and SESSIONS (of each user, a day) name options of tests.year.
YEAR_OPTIONS = $(foreach name,USERS DAYS SESSIONS,$(if $($(name)),--$(call lower,$(name)) $($(name))))
year: $(VENV)/.installed-dev ## USERS= DAYS= SESSIONS=: a simulated year, decay and retention included
	@$(BIN)/python -m tests.year $(YEAR_OPTIONS)

LOCK = $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version
lock: $(VENV)/.installed-dev ## resolve the packages anew into the hashed lock files
	$(LOCK) 3.11 --no-emit-package memstill-client --group build pyproject.toml -o requirements.lock
	$(LOCK) 3.11 --group dev -c requirements.lock -o requirements-dev.lock
	$(LOCK) 3.14 --group render -o requirements-render.lock

clean: ## remove what the other verbs made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .demo .eval .year
