# make run, make test: everything on this machine, from Python 3.11, make and git alone.

PYTHON ?= python3.11
PORT ?= 8080
SERVER ?= daphne
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: run test lint format bench bench-quick faults faults-machines soak upgrade-check fuzz psql clean
.DEFAULT_GOAL := run

run: $(VENV)/.run
	@$(BIN)/python manage.py up --port $(PORT) --server $(SERVER)

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 3 $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python manage.py makemigrations --check --dry-run

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Every scenario and the peers beside us; writes docs/benchmarks.md. ARGS="--only fanout" for one.
bench: $(VENV)/.bench
	-$(BIN)/python -m bench.peers
	$(BIN)/python -m bench --docs $(ARGS)

# The same, smaller and shorter, and only printed.
bench-quick: $(VENV)/.bench
	-$(BIN)/python -m bench.peers
	$(BIN)/python -m bench --quick $(ARGS)

# Breaks things while writers write and clients read, and counts what went wrong.
faults: $(VENV)/.dev
	$(BIN)/python -m bench.faults $(ARGS)

# The same on eight hosts, each cut off from each; needs root, for network namespaces.
faults-machines: $(VENV)/.dev
	$(BIN)/python -m bench.faults --only machines --only redis-failover $(ARGS)

# Load and random faults for so many minutes; nothing may be lost, and nothing may grow.
MINUTES ?= 60
soak: $(VENV)/.dev
	$(BIN)/python -m bench.soak --minutes $(MINUTES) $(ARGS)

# Every migration, there and back, on a table of so many rows that is written to meanwhile.
ROWS ?= 10000000
upgrade-check: $(VENV)/.dev
	$(BIN)/python -m bench.upgrade --rows $(ROWS) $(ARGS)

# 100,000 made-up requests to either web server; ARGS="--requests 1000000 --seed 7".
fuzz: $(VENV)/.dev
	$(BIN)/python -m tests.fuzz $(ARGS)

# A psql on the database of `make run`.
psql: $(VENV)/.run
	@$(BIN)/python manage.py psql

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "attune needs Python 3.11 or newer; say which: make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements.txt requirements-server.txt | $(BIN)/python
	$(PIP) -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt requirements.txt requirements-server.txt | $(BIN)/python
	$(PIP) -r requirements-dev.txt
	@touch $@ $(VENV)/.run

$(VENV)/.bench: requirements-bench.txt requirements-dev.txt requirements.txt requirements-server.txt | $(BIN)/python
	$(PIP) -r requirements-bench.txt
	@touch $@ $(VENV)/.dev $(VENV)/.run

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
