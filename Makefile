# Two commands on a fresh machine with Python >= 3.11:
#   make demo   sets everything up and answers a published case
#   make test   sets everything up and passes the tests
# The first interpreter that runs, is new enough and can make environments: a name on the
# PATH may be a version manager's shim for a version that is not switched on.
USABLE := import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11 python; do \
  "$$name" -c "$(USABLE)" >/dev/null 2>&1 && { echo "$$name"; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
CASE ?= medbullets-017

.PHONY: demo test lint bench bench-cohort bench-learning browser graphviz java pictures clean

demo: $(VENV)/.installed
	$(BIN)/bayesnet diagnose --case $(CASE)

test: $(VENV)/.installed-dev browser graphviz java
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist worksteal

# The browser of the explorer's tests and screenshots.
browser:
	@command -v chromium chromium-browser >/dev/null || \
	{ [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium >/dev/null; } || \
	echo "Chromium is missing and cannot be installed here: the browser tests are skipped" \
	  "(on Debian, as root: apt-get install chromium)."

# The other engine of the network pictures' layout.
graphviz:
	@command -v dot >/dev/null || \
	{ [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  apt-get update -qq && apt-get install -qq -y --no-install-recommends graphviz >/dev/null; } || \
	echo "Graphviz is missing and cannot be installed here: its two tests are skipped" \
	  "(on Debian, as root: apt-get install graphviz)."

# What the test of Spark runs on.
java:
	@command -v java >/dev/null || \
	{ [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  apt-get update -qq && apt-get install -qq -y --no-install-recommends default-jre-headless >/dev/null; } || \
	echo "Java is missing and cannot be installed here: the test of Spark is skipped" \
	  "(on Debian, as root: apt-get install default-jre-headless)."

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/mypy

$(BIN)/python:
	@"$(PYTHON)" -c "$(USABLE)" || { echo "bayesnet needs Python >= 3.11 with venv" \
	  "(on Debian: apt install python3-venv); name one with make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/.installed

bench: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/bench.py
	$(BIN)/python benchmarks/cohort.py --rows $(ROWS)
	$(BIN)/python benchmarks/learning.py

bench-learning: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/learning.py

ROWS ?= 1000000
bench-cohort: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/cohort.py --rows $(ROWS)

# The pictures of README.md and MODEL_CARD.md.
pictures: $(VENV)/.installed-dev browser
	mkdir -p docs/images
	$(BIN)/bayesnet plot network -o docs/images/network.svg
	$(BIN)/bayesnet plot patient --case $(CASE) -o docs/images/patient.svg
	$(BIN)/bayesnet plot intervals --case $(CASE) -o docs/images/causes.svg
	$(BIN)/bayesnet rehearse --seed 1 --plot docs/images/rehearsal.svg
	$(BIN)/python docs/screenshots.py
	$(BIN)/bayesnet model card models/pt_failure -o MODEL_CARD.md

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
