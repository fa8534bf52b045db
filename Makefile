# make demo | make test: each sets up .venv first, from the pinned versions in constraints.txt.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := build/demo
GCS_EMULATOR := github.com/fsouza/fake-gcs-server@v1.56.1
AZURE_EMULATOR := azurite@3.35.0
ACTIONLINT := github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

.PHONY: install tools demo test test-all lint types arrows unit schemas deploy bench model lock clean
.DEFAULT_GOAL := install

install: $(VENV)/installed

# Made anew when the pins or the metadata change; the marker is written last, so a broken install is retried.
$(VENV)/installed: constraints.txt pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else f"digitmill needs Python 3.11 to 3.13; {sys.executable} is {v[0]}.{v[1]}; run make with PYTHON=/path/to/python3.12")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --progress-bar off --constraint constraints.txt --editable '.[dev]'
	@touch $@

# What only tests need: emulators of object stores, where there are Go and npm to install them.
tools: $(VENV)/tools/installed

$(VENV)/tools/installed: $(VENV)/installed
	@mkdir -p $(VENV)/tools
	@if command -v go > /dev/null; then \
		echo "building the GCS emulator"; GOBIN=$(abspath $(VENV))/tools go install $(GCS_EMULATOR); \
		echo "building actionlint"; GOBIN=$(abspath $(VENV))/tools go install $(ACTIONLINT); \
	else \
		echo "no Go toolchain: tests that need the GCS emulator will be skipped"; \
	fi
	@if command -v npm > /dev/null; then \
		echo "installing the Azure emulator"; npm install --silent --no-fund --no-audit --prefix $(VENV)/tools $(AZURE_EMULATOR); \
	else \
		echo "no npm: tests that need the Azure emulator will be skipped"; \
	fi
	@touch $@

demo: install
	@rm -rf $(DEMO)
	$(BIN)/digitmill sample $(DEMO)/digits
	$(BIN)/digitmill train --recipe cnn --data sample --output $(DEMO)/run
	$(BIN)/digitmill score --input $(DEMO)/digits --labels folder --model $(DEMO)/run/bundle --output $(DEMO)/scores

test: lint types arrows unit

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

arrows: install
	$(BIN)/lint-imports

unit: tools
	$(BIN)/pytest --numprocesses auto --dist loadfile -m "not cloud"

# The slow ones too: environments made from the package index.
test-all: test
	$(BIN)/pytest -m cloud

schemas: install
	$(BIN)/python -m schemas

# The Flex Template's metadata, from the flags of digitmill score.
deploy: install
	$(BIN)/python -m pipelines.flex_template metadata > deploy/dataflow/metadata.json

bench: install
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python -m benchmarks.scoring
	$(BIN)/python -m benchmarks.training

# The model that comes with the package, from a run folder: make model RUN=build/run
model: install
	$(BIN)/python -m trainer.shipping $(RUN)/bundle digitmill/model

# Pins anew: every version that pip resolves today from pyproject.toml, for Python 3.11 to 3.13.
lock:
	$(PYTHON) -m venv --clear build/lock
	build/lock/bin/pip install --quiet uv
	build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --upgrade --extra dev --extra bench --no-header \
		--no-annotate pyproject.toml --output-file constraints.txt

clean:
	rm -rf $(VENV) build *.egg-info .*_cache
