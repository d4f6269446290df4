# What each target does: make help

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV   := .venv
BIN    := $(VENV)/bin
INSTALL := sh tools/install.sh $(BIN)/python
NPM    := sh tools/npm.sh $(BIN)/python
RUN    := data/run
PID    := $(RUN)/server.pid
LOG    := $(RUN)/server.log
# The file contains pid and start time, since pids are reused; and the process must be this checkout's run.py.
SERVER := sh deploy/server-process.sh $(PID)
# Arguments for run.py, demo.py, pytest or the benchmarks: make dev ARGS="--port 9000"
ARGS   ?=
# The server that make smoke tests; WRITE=1 allows it to start a training there.
URL    ?= http://127.0.0.1:8080
WRITE  ?=
# For make simulate.
SEED   ?=
COUNT  ?=
HOURS  ?=
NODES  ?=
# For make install: scenes, celery, otel, wandb, mlflow, trackio.
EXTRAS ?=
# For make backup and make restore.
FILE   ?=
FORCE  ?=

.DEFAULT_GOAL := help
.PHONY: help install install-dev charts dev background stop status logs key keys backup restore test test-all test-long simulate test-launcher test-pixels test-trainer test-comfyui smoke audit-verify worker lint script-types docs format coverage check bench demo lock migration examples release clean

help: ## Show this list
	@echo "Diffusion-Pipe API: GPUs and diffusion training over HTTP"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo '  ARGS="..." is passed on: make dev ARGS="--port 9000", make test ARGS="tests/unit -k history"'

# Bytecode is compiled here: a service user without write access would compile at each start and for each training.
install: $(BIN)/.installed $(BIN)/.charts $(EXTRAS:%=$(BIN)/.installed-%) ## Create .venv and install the service's dependencies; EXTRAS="scenes celery otel" adds optional ones
	@[ ! -w api ] || $(BIN)/python -m compileall -q -j 0 api

install-dev: $(BIN)/.installed-dev $(BIN)/.charts node_modules/.installed ## The same, with the dependencies of tests, checks and benchmarks

# An incomplete environment, as without Debian's python3-venv, must not count as created.
$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is required, but not on PATH: install it, or name it with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -f $@ $@3*; \
	  echo "The environment $(VENV) could not be created; on Debian and Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; }

# Only packages of the lock files: the same versions everywhere, verified by hash.
$(BIN)/.installed: requirements/service.lock | $(BIN)/python
	@$(INSTALL) requirements/service.lock
	@touch $@

$(BIN)/.installed-%: requirements/%.lock | $(BIN)/.installed
	@$(INSTALL) $<
	@touch $@

$(BIN)/.installed-dev: requirements/dev.lock requirements/service.lock | $(BIN)/python
	@$(INSTALL) requirements/dev.lock
	@touch $@ $(BIN)/.installed

# Fetched once: a failed download is not repeated at each start.
$(BIN)/.charts: api/dashboard/package.json | $(BIN)/python
	@sh api/dashboard/fetch.sh $(BIN)/python
	@touch $@

# Linters of the scripts, and generators of clients for tests. Without them those tests are skipped, so a failure here is
# only a warning; make lint fails then.
node_modules/.installed: package-lock.json | $(BIN)/.installed-dev
	@$(NPM) ci --ignore-scripts --no-audit --no-fund --loglevel=error || \
	  echo "The packages of package.json could not be fetched: tests of clients are skipped, and make lint fails." >&2
	@mkdir -p node_modules; touch $@

charts: | $(BIN)/python ## Fetch the dashboard's charts again
	@sh api/dashboard/fetch.sh $(BIN)/python

dev: install ## Serve on 127.0.0.1:8080 in this terminal; Ctrl-C stops it
	@$(BIN)/python run.py $(ARGS)

background: install ## Serve in the background; see stop, status and logs
	@umask 077; mkdir -p $(RUN)
	@if pid=$$($(SERVER) find); then echo "The server runs already, with pid $$pid."; else \
	  umask 077; touch $(LOG); before=$$(wc -c < $(LOG)); \
	  nohup $(BIN)/python run.py $(ARGS) >> $(LOG) 2>&1 < /dev/null & $(SERVER) note $$!; \
	  sleep 2; \
	  if pid=$$($(SERVER) find); then echo "The server runs with pid $$pid; its log is $(LOG)."; \
	  else echo "The server did not start:" >&2; tail -c +$$((before + 1)) $(LOG) >&2; rm -f $(PID); exit 1; fi; fi

stop: ## Stop the server in the background
	@if pid=$$($(SERVER) find); then kill $$pid; \
	  for i in $$(seq 100); do $(SERVER) find > /dev/null || break; sleep 0.1; done; \
	  if $(SERVER) find > /dev/null; then echo "The server (pid $$pid) has not stopped after 10 s." >&2; exit 1; fi; \
	  rm -f $(PID); echo "Stopped."; else rm -f $(PID); echo "No server runs in the background."; fi

status: ## Show whether the server in the background runs
	@if pid=$$($(SERVER) find); then echo "The server runs with pid $$pid; its log is $(LOG)."; else echo "No server runs in the background."; fi

logs: ## Follow the log of the server in the background
	@test -f $(LOG) || { echo "There is no log yet: start the server with make background." >&2; exit 1; }
	@tail -n 50 -f $(LOG)

backup: install ## Back up the database to a file, FILE=..., also while servers run; FORCE=1 replaces a file
	@$(BIN)/python run.py backup $${FILE:+"$$FILE"} $(if $(FORCE),--force) $(ARGS)

restore: install ## Restore a backup, FILE=..., while no server runs; FORCE=1 replaces a database and saves the old one beside it
	@test -n "$(FILE)" || { echo "No backup is named: make restore FILE=data/backups/..." >&2; exit 2; }
	@$(BIN)/python run.py restore "$$FILE" $(if $(FORCE),--force) $(ARGS)

# Only the key goes to standard output, so that it can be piped. make exports ROLE, which is also a setting.
key: install ## Create a key: NAME=anna ROLE=trainer, and USER_ID= if it differs from the name; prints only the key
	@env -u ROLE $(BIN)/python -m api key new --name "$${NAME:?give NAME=...}" --role "$${ROLE:?give ROLE=viewer, trainer or admin}" \
	  $${USER_ID:+--user-id "$$USER_ID"} $(ARGS)

keys: install ## List the keys; ARGS="--state active"
	@$(BIN)/python -m api key list $(ARGS)

audit-verify: install ## Verify that the audit is unchanged; ARGS="--anchor ID:HASH" compares it with an entry stored elsewhere
	@$(BIN)/python run.py audit-verify $(ARGS)

worker: install ## Run a worker that delivers alerts for servers with CELERY_BROKER_URL
	@$(BIN)/python run.py worker $(ARGS)

PYTEST := $(BIN)/python -m pytest -n auto --dist worksteal

test: install-dev ## Install test dependencies and run the quick tests: units, the API, one complete path of each part
	$(PYTEST) -m quick $(ARGS)

test-all: install-dev ## Run quick and slow tests: servers, kills, browsers, nginx, Slurm, PostgreSQL, generated clients
	$(PYTEST) -m "quick or slow" $(ARGS)

test-long: install-dev ## Run slow tests at full length, and long tests: soaks, new seeds of the simulator, the image; takes hours
	TEST_LENGTH=full $(PYTEST) -m "slow or long" $(ARGS)

simulate: install-dev ## Simulate ten nodes with faults for an hour: SEED=7, HOURS=24 NODES=50, or COUNT=200 new seeds
	$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED)) $(if $(COUNT),--count $(COUNT)) $(if $(HOURS),--hours $(HOURS)) $(if $(NODES),--nodes $(NODES)) $(ARGS)

# DeepSpeed in the version that the trainer pins. It installs torch: 900 MB, some minutes.
test-launcher: install-dev ## Run the tests of DeepSpeed's launcher in a separate environment
	@test -x build/deepspeed/bin/python || $(PYTHON) -m venv build/deepspeed
	DS_BUILD_OPS=0 build/deepspeed/bin/python -m pip install --quiet --disable-pip-version-check torch 'deepspeed==0.18.4' toml
	DEEPSPEED_PYTHON=$(CURDIR)/build/deepspeed/bin/python $(BIN)/python -m pytest -n 0 tests/e2e/test_deepspeed.py $(ARGS)

# TRAINER_ROOT is a checkout with ComfyUI in it. This installs torch: 900 MB, some minutes.
test-pixels: install-dev ## Compare previews of training pixels with the trainer's code: TRAINER_ROOT=/path, TRAINER_ITEMS=1000
	@test -x build/trainer-pixels/bin/python || $(PYTHON) -m venv build/trainer-pixels
	build/trainer-pixels/bin/python -m pip install --quiet --disable-pip-version-check torch torchvision imageio \
	  $$($(BIN)/python -m pip list --format=freeze | grep -iE '^(pillow|av|numpy)==')
	TRAINER_ROOT="$(TRAINER_ROOT)" TRAINER_PYTHON=$(CURDIR)/build/trainer-pixels/bin/python \
	  $(BIN)/python -m pytest -n 0 tests/e2e/test_trainer_pixels.py $(ARGS)

# Without both variables it skips with one line. docs/trainer-tests.md says how to get them.
test-trainer: install-dev ## Run the service with the real trainer on the CPU: TRAINER_ROOT=/path, TRAINER_PYTHON=/path
	TRAINER_ROOT="$(TRAINER_ROOT)" TRAINER_PYTHON="$(TRAINER_PYTHON)" $(BIN)/python -m pytest -n 0 -v -rs tests/trainer $(ARGS)

# COMFYUI_PYTHON is by default that of its venv. Without ComfyUI it skips with one line.
test-comfyui: install-dev ## Render samples with the real ComfyUI on the CPU: COMFYUI_ROOT=/path, COMFYUI_PYTHON=/path
	COMFYUI_ROOT="$(COMFYUI_ROOT)" COMFYUI_PYTHON="$(COMFYUI_PYTHON)" $(BIN)/python -m pytest -n 0 -v -rs tests/comfyui $(ARGS)

# For a server that requires keys, set DIFFUSION_PIPE_API_KEY in the environment.
smoke: install-dev ## Test a running server: URL=http://host:8080, and WRITE=1 to start a training there
	@SMOKE_URL="$(URL)" WRITE="$(WRITE)" $(BIN)/python -m pytest -n 0 tests/smoke $(ARGS)

# Texts for readers use the words of docs/glossary.md, whose own list of words that are not used is left out.
PLAIN := $(filter-out docs/glossary.md dpipe/src/dpipe/glossary.md,$(shell git ls-files '*.md' 2> /dev/null || echo README.md)) api/dashboard/locales/en.json

lint: install-dev ## Check formatting, rules, types, import layers and spelling of Python and the dashboard's scripts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/codespell --dictionary tools/plain_words.txt --ignore-regex '`[^`]*`' $(PLAIN)
	$(NPM) run --silent lint
	@$(MAKE) --no-print-directory script-types

# Uses the types of the service's OpenAPI document.
script-types: install-dev ## Check types of the dashboard's scripts; lint does this, too
	$(BIN)/python tools/openapi.py build/openapi.json --known-values
	$(NPM) run --silent types

DOCS   := build/docs-venv/bin
docs: install $(DOCS)/.installed ## Build the documents as a site into build/site; every link is checked
	SERVICE_PYTHON=$(CURDIR)/$(BIN)/python NO_MKDOCS_2_WARNING=1 $(DOCS)/mkdocs build $(ARGS)

$(DOCS)/.installed: requirements/docs.lock | $(BIN)/python
	@test -x $(DOCS)/python || $(PYTHON) -m venv build/docs-venv
	@sh tools/install.sh $(DOCS)/python $<
	@touch $@

format: install-dev ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(NPM) run --silent format

# Without end-to-end tests, whose servers run in other processes: minutes instead of a quarter of an hour.
# Tests with time limits are excluded, since measuring coverage slows each line.
coverage: install-dev ## Measure the coverage of api/ by in-process tests; fails below the limit in pyproject.toml
	$(BIN)/python -m pytest -n auto --cov --cov-report=term:skip-covered -k 'not less_than_50_ms' tests/unit tests/api $(ARGS)

check: lint test ## Run lint and test

bench: install-dev ## Run benchmarks and print a table with versions and machine
	$(BIN)/python -m benchmarks $(ARGS)

demo: install ## Run a guided tour; starts a temporary server unless ARGS="--url http://..." names one
	@$(BIN)/python demo.py $(ARGS)

# The lock files are valid for every supported Python. Pinned versions stay unless ARGS=--upgrade.
LOCK   := build/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
  --custom-compile-command "make lock"
lock: | $(BIN)/python ## Update the lock files from requirements.txt, requirements/ and package.json; ARGS=--upgrade takes the newest versions
	@$(INSTALL) requirements/service.lock
	$(LOCK) $(ARGS) tools/uv.txt --output-file tools/uv.lock
	$(LOCK) $(ARGS) requirements.txt --output-file requirements/service.lock
	for extra in otel celery scenes wandb mlflow; do \
	  $(LOCK) $(ARGS) --constraints requirements/service.lock requirements/$$extra.txt --output-file requirements/$$extra.lock; done
	@# Trackio needs an older Pillow.
	sed '/^pillow==/,/[^\\]$$/d' requirements/service.lock > build/trackio-constraints.txt
	$(LOCK) $(ARGS) --constraints build/trackio-constraints.txt requirements/trackio.txt --output-file requirements/trackio.lock
	$(LOCK) $(ARGS) --constraints requirements/service.lock $$(printf -- '--constraints requirements/%s.lock ' otel celery scenes) \
	  requirements/dev.txt --output-file requirements/dev.lock
	$(LOCK) $(ARGS) requirements/docs.txt --output-file requirements/docs.lock
	$(NPM) install --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund

migration: install-dev ## Write the migration for changed tables: SUBJECT="comments of channels"
	@$(BIN)/python tools/migration.py "$(SUBJECT)"

# Takes some minutes: it plays tools/touring/script.txt against servers.
examples: install-dev ## Record missing examples of /openapi.json from real servers; ARGS="OPERATION_ID ..." or ARGS=--all records again
	$(BIN)/python tools/examples.py $(ARGS)

release: install-dev charts ## Check the version, run all tests (CHECKED=1: not again), build it into dist/, test it in an empty environment, tag it
	@$(BIN)/python tools/release.py

clean: ## Remove .venv and caches, but not data/
	rm -rf $(VENV) build/uv build/docs-venv build/site api/dashboard/vendor node_modules dist build/openapi.json build/openapi.d.ts .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
