# Everything a fresh machine with Python 3.11+ and make needs. Targets make what they stand on.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# The folder of events that `make stream` reads.
STREAM := ANALYTICS_STREAM_FOLDER=$${ANALYTICS_STREAM_FOLDER:-.analytics/events}

.PHONY: help run dev api dashboards schema test test-slow stream kafka lint bench pictures docs snapshot clean lock

help:            ## what can be made
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/'

run: $(VENV)/.made   ## sample data through every asset; then says what was made and where to look
	$(BIN)/analytics-assets run

dev: $(VENV)/.made   ## the Dagster UI (dg dev), with the instance set up
	$(BIN)/analytics-assets dev

api: $(VENV)/.made   ## the published build over HTTP, on http://127.0.0.1:8000
	$(BIN)/analytics-assets api

dashboards: $(VENV)/.made   ## pages over the published build for people, on http://127.0.0.1:8501
	$(BIN)/analytics-assets dashboards

schema: $(VENV)/.made  ## the YAML of the dbt models, from analytics_assets/schemas
	$(BIN)/python -m analytics_assets.schemas.dbt_yaml

# Each process would compile the project and its tests again where bytecode is not kept.
test test-slow: export PYTHONDONTWRITEBYTECODE :=
PYTEST := $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

test: $(VENV)/.made  ## the fast tests, on all cores
	$(PYTEST) -m "not slow"

test-slow: $(VENV)/.streaming  ## the others: whole pipelines, servers, the real data, faults
	$(PYTEST) -m slow --durations 25

stream: $(VENV)/.streaming  ## sample events through the stream: the lake, live numbers, what became of each
	$(STREAM) $(BIN)/analytics-assets stream-sample
	$(STREAM) $(BIN)/analytics-assets stream --once
	$(STREAM) $(BIN)/analytics-assets live
	$(STREAM) $(BIN)/analytics-assets dead-letters list

kafka: $(VENV)/.streaming  ## a Kafka broker of one node, to try the stream with
	$(BIN)/analytics-assets kafka

lint: $(VENV)/.made  ## style, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.made ## this project against hand-written code, ten million lines; about an hour
	$(BIN)/python benchmarks/run.py --write

pictures: docs ## the pictures of the README, from the published sample of make run
	PYTHONPATH=. $(BIN)/python docs/images/make.py cohorts

docs: $(VENV)/.made  ## what is generated in docs/: the settings, the graph and the list of assets
	$(BIN)/analytics-assets settings --markdown > docs/settings.md
	PYTHONPATH=. $(BIN)/python docs/images/make.py graph

snapshot: $(VENV)/.made  ## the graph as text, in analytics_assets_tests/snapshots
	$(BIN)/python -m analytics_assets_tests.snapshots.write

clean:           ## forget the environment; data under .analytics stays
	rm -rf $(VENV)

$(VENV)/.made: constraints.txt setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one with make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt setuptools
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation \
		--editable '.[dev]'
	touch $@

# Spark is large, and only the stream needs it. Its jars come with Maven, once.
$(VENV)/.streaming: $(VENV)/.made
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation \
		--editable '.[dev,streaming]'
	$(BIN)/analytics-assets stream-jars
	touch $@

lock:            ## pin the newest packages that setup.cfg allows
	$(PYTHON) -m venv .lock
	.lock/bin/python -m pip install --quiet --upgrade setuptools
	.lock/bin/python -m pip install --quiet --no-build-isolation '.[dev,streaming]'
	.lock/bin/python -m pip freeze --all --exclude pip --exclude analytics_assets > constraints.txt
	rm -rf .lock build
