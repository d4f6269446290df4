# What each target does: make help

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV   := .venv
BIN    := $(VENV)/bin
INSTALL := sh tools/install.sh $(BIN)/python
NPM    := sh tools/npm.sh $(BIN)/python
RUN    := data/run
PID    := $(RUN)/server.pid
LOG    := $(RUN)/server.log
# The file holds pid and start time, as pids are given to others in time; and the process must be this checkout's run.py.
SERVER := sh deploy/server-process.sh $(PID)
# Arguments for run.py, demo.py, pytest or the benchmarks: make dev ARGS="--port 9000"
ARGS   ?=
# The server that make smoke asks; with WRITE=1 it may start a training there.
URL    ?= http://127.0.0.1:8080
WRITE  ?=
# Of make simulate.
SEED   ?=
COUNT  ?=
HOURS  ?=
NODES  ?=
# Of make install: scenes, celery, otel.
EXTRAS ?=
# Of make backup and make restore.
FILE   ?=
FORCE  ?=

.DEFAULT_GOAL := help
.PHONY: help install install-dev charts dev background stop status logs key keys backup restore test test-all test-long simulate test-launcher test-pixels smoke audit-verify worker lint script-types format coverage check bench demo lock release clean

help: ## This list
	@echo "Diffusion-Pipe API: GPUs and diffusion training by HTTP"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo '  ARGS="..." is handed on: make dev ARGS="--port 9000", make test ARGS="tests/unit -k history"'

# Compiled by who may write here: a service of another user would compile all at each start, and for each training.
install: $(BIN)/.installed $(BIN)/.charts $(EXTRAS:%=$(BIN)/.installed-%) ## Make .venv and install what the service needs; EXTRAS="scenes celery otel" what only some need
	@[ ! -w api ] || $(BIN)/python -m compileall -q -j 0 api

install-dev: $(BIN)/.installed-dev $(BIN)/.charts node_modules/.installed ## The same, and what tests, checks and benchmarks need

# Half an environment, as where Debian's python3-venv is missing, would count as made.
$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; none was found on PATH." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -f $@ $@3*; \
	  echo "The environment $(VENV) could not be made; on Debian and Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; }

# What the lock files name and nothing else: the same versions everywhere, each file known by its hash.
$(BIN)/.installed: requirements.lock | $(BIN)/python
	$(INSTALL) requirements.lock
	@touch $@

$(BIN)/.installed-%: requirements-%.lock | $(BIN)/.installed
	$(INSTALL) $<
	@touch $@

$(BIN)/.installed-dev: requirements-dev.lock requirements.lock | $(BIN)/python
	$(INSTALL) requirements-dev.lock
	@touch $@ $(BIN)/.installed

# Fetched once: what could not be had then is not asked for again at each start.
$(BIN)/.charts: api/dashboard/package.json | $(BIN)/python
	@sh api/dashboard/fetch.sh $(BIN)/python
	@touch $@

# What checks the scripts, and what the tests make clients with. Those tests are skipped without it, so a failure is told
# and no more; make lint fails then.
node_modules/.installed: package-lock.json | $(BIN)/.installed-dev
	@$(NPM) ci --ignore-scripts --no-audit --no-fund --loglevel=error || \
	  echo "What package.json names could not be fetched: the tests of clients are skipped, and make lint fails." >&2
	@mkdir -p node_modules; touch $@

charts: | $(BIN)/python ## Fetch the dashboard's charts again
	@sh api/dashboard/fetch.sh $(BIN)/python

dev: install ## Serve on 127.0.0.1:8080 in this terminal; Ctrl-C ends it
	@$(BIN)/python run.py $(ARGS)

background: install ## Serve in the background; see stop, status and logs
	@umask 077; mkdir -p $(RUN)
	@if pid=$$($(SERVER) find); then echo "It runs already, with pid $$pid."; else \
	  umask 077; touch $(LOG); before=$$(wc -c < $(LOG)); \
	  nohup $(BIN)/python run.py $(ARGS) >> $(LOG) 2>&1 < /dev/null & $(SERVER) note $$!; \
	  sleep 2; \
	  if pid=$$($(SERVER) find); then echo "It runs with pid $$pid; its log is $(LOG)."; \
	  else echo "It did not start:" >&2; tail -c +$$((before + 1)) $(LOG) >&2; rm -f $(PID); exit 1; fi; fi

stop: ## End the server in the background
	@if pid=$$($(SERVER) find); then kill $$pid; \
	  for i in $$(seq 100); do $(SERVER) find > /dev/null || break; sleep 0.1; done; \
	  if $(SERVER) find > /dev/null; then echo "Pid $$pid has not ended in 10 s." >&2; exit 1; fi; \
	  rm -f $(PID); echo "Ended."; else rm -f $(PID); echo "Nothing runs in the background."; fi

status: ## Whether the server in the background runs
	@if pid=$$($(SERVER) find); then echo "It runs with pid $$pid; its log is $(LOG)."; else echo "Nothing runs in the background."; fi

logs: ## Follow the log of the server in the background
	@test -f $(LOG) || { echo "There is no log yet: make background starts the server." >&2; exit 1; }
	@tail -n 50 -f $(LOG)

backup: install ## Write the database into a file, FILE=..., while servers may run; FORCE=1 replaces a file
	@$(BIN)/python run.py backup $${FILE:+"$$FILE"} $(if $(FORCE),--force) $(ARGS)

restore: install ## Put a backup back, FILE=..., while no server runs; FORCE=1 replaces a database, which is kept beside it
	@test -n "$(FILE)" || { echo "Which one? make restore FILE=data/backups/..." >&2; exit 2; }
	@$(BIN)/python run.py restore "$$FILE" $(if $(FORCE),--force) $(ARGS)

# Only the key goes to standard output, so that it can be piped. make exports ROLE, which is also a setting.
key: install ## Make a key: NAME=anna ROLE=trainer, and USER_ID= where it is not the name; the key alone is printed
	@env -u ROLE $(BIN)/python -m api key new --name "$${NAME:?give NAME=...}" --role "$${ROLE:?give ROLE=viewer, trainer or admin}" \
	  $${USER_ID:+--user-id "$$USER_ID"} $(ARGS)

keys: install ## List the keys; ARGS="--state active"
	@$(BIN)/python -m api key list $(ARGS)

audit-verify: install ## Whether the audit is what was written; ARGS="--anchor ID:HASH" holds it against a line kept elsewhere
	@$(BIN)/python run.py audit-verify $(ARGS)

worker: install ## Deliver alerts that servers hand over by CELERY_BROKER_URL
	@$(BIN)/python run.py worker $(ARGS)

PYTEST := $(BIN)/python -m pytest -n auto --dist worksteal

test: install-dev ## Install what tests need, and run the quick ones: units, the API, one whole path of each part
	$(PYTEST) -m quick $(ARGS)

test-all: install-dev ## The quick and the slow tests: whole servers, kills, browsers, nginx, Slurm, PostgreSQL, generated clients
	$(PYTEST) -m "quick or slow" $(ARGS)

test-long: install-dev ## The slow tests at full length and the long ones: soaks, fresh seeds of the simulator, the image; hours
	TEST_LENGTH=full $(PYTEST) -m "slow or long" $(ARGS)

simulate: install-dev ## An hour of ten nodes with bad luck, from a seed: SEED=7, HOURS=24 NODES=50, or COUNT=200 fresh ones
	$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED)) $(if $(COUNT),--count $(COUNT)) $(if $(HOURS),--hours $(HOURS)) $(if $(NODES),--nodes $(NODES)) $(ARGS)

# The version that the trainer pins; torch comes with it: 900 MB, and minutes.
test-launcher: install-dev ## The tests that start DeepSpeed's own launcher, in an environment of its own
	@test -x build/deepspeed/bin/python || $(PYTHON) -m venv build/deepspeed
	DS_BUILD_OPS=0 build/deepspeed/bin/python -m pip install --quiet --disable-pip-version-check torch 'deepspeed==0.18.4' toml
	DEEPSPEED_PYTHON=$(CURDIR)/build/deepspeed/bin/python $(BIN)/python -m pytest -n 0 tests/e2e/test_deepspeed.py $(ARGS)

# TRAINER_ROOT is a checkout with ComfyUI in it; torch comes with it: 900 MB, and minutes.
test-pixels: install-dev ## What is shown as trained against the trainer's own code: TRAINER_ROOT=/path, TRAINER_ITEMS=1000
	@test -x build/trainer-pixels/bin/python || $(PYTHON) -m venv build/trainer-pixels
	build/trainer-pixels/bin/python -m pip install --quiet --disable-pip-version-check torch torchvision imageio \
	  $$($(BIN)/python -m pip list --format=freeze | grep -iE '^(pillow|av|numpy)==')
	TRAINER_ROOT="$(TRAINER_ROOT)" TRAINER_PYTHON=$(CURDIR)/build/trainer-pixels/bin/python \
	  $(BIN)/python -m pytest -n 0 tests/e2e/test_trainer_pixels.py $(ARGS)

# Where it asks for keys: DIFFUSION_PIPE_API_KEY in the environment.
smoke: install-dev ## Whether a running server keeps its word: URL=http://host:8080, and WRITE=1 to start a training there
	@SMOKE_URL="$(URL)" WRITE="$(WRITE)" $(BIN)/python -m pytest -n 0 tests/smoke $(ARGS)

lint: install-dev ## Formatting, rules, types, import layers, spelling: of Python and of the dashboard's scripts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(NPM) run --silent lint
	@$(MAKE) --no-print-directory script-types

# Against the types of the document that the service gives.
script-types: install-dev ## Types of the dashboard's scripts; lint does this too
	$(BIN)/python tools/openapi.py build/openapi.json
	$(NPM) run --silent types

format: install-dev ## Put the code into its format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(NPM) run --silent format

# Without the tests of whole servers, which run in processes of their own: minutes instead of a quarter of an hour.
# Those that bound the time of a reader are left out: each line that is counted takes longer.
coverage: install-dev ## How much of api/ is reached by the tests within one process; fails below the floor in pyproject.toml
	$(BIN)/python -m pytest -n auto --cov --cov-report=term:skip-covered -k 'not less_than_50_ms' tests/unit tests/api $(ARGS)

check: lint test ## lint and test

bench: install-dev ## Measure, and print a table with versions and machine
	$(BIN)/python -m benchmarks $(ARGS)

demo: install ## A guided walk; starts a server of its own unless ARGS="--url http://..." names one
	@$(BIN)/python demo.py $(ARGS)

# The lock files hold for every Python from the oldest on; what they pin already stays unless ARGS say otherwise.
LOCK   := build/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
  --custom-compile-command "make lock"
lock: | $(BIN)/python ## Write the lock files by requirements*.txt and package.json; ARGS=--upgrade takes the newest
	$(INSTALL) requirements.lock
	$(LOCK) $(ARGS) tools/uv.txt --output-file tools/uv.lock
	$(LOCK) $(ARGS) requirements.txt --output-file requirements.lock
	for extra in otel celery scenes; do \
	  $(LOCK) $(ARGS) --constraints requirements.lock requirements-$$extra.txt --output-file requirements-$$extra.lock; done
	$(LOCK) $(ARGS) --constraints requirements.lock $$(printf -- '--constraints requirements-%s.lock ' otel celery scenes) \
	  requirements-dev.txt --output-file requirements-dev.lock
	$(NPM) install --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund

release: install-dev charts ## Check the version, build it into dist/, and try it in an empty environment
	@$(BIN)/python tools/release.py

clean: ## Remove .venv and caches; keep data/
	rm -rf $(VENV) build/uv api/dashboard/vendor node_modules dist build/openapi.json build/openapi.d.ts .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
