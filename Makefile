# make demo | make test: each sets up .venv first, from the pinned versions in constraints.txt.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := build/demo
LOCKS := deploy/locks
# Nothing is installed whose hash is not in a lock, and nothing is built by what is in none. --no-deps: a lock is whole
# (`pip check` sees that), and older versions of pip take the newest release of a package that a lock has with an extra.
INSTALL_SELF := pip install --quiet --disable-pip-version-check --progress-bar off --no-build-isolation --no-deps
INSTALL := $(INSTALL_SELF) --require-hashes
CHECK_PYTHON = $(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else f"digitmill needs Python 3.11 to 3.13, but {sys.executable} is {v[0]}.{v[1]}. Run make with PYTHON=/path/to/python3.12")'
# Names of other projects (Future.cancelled, NumPy's writeable, the Paeth filter), and words that tests misspell on purpose.
OTHER_WORDS := cancelled,cancelling,writeable,paeth,caf,notin,crashers,scroe,sampel,lables,acuracy
PRISM := github.com/apache/beam/sdks/v2/go/cmd/prism@v2.77.0
GCS_EMULATOR := github.com/fsouza/fake-gcs-server@v1.56.1
AZURE_EMULATOR := azurite@3.35.0
ACCESSIBILITY := axe-core@4.10.3
ACTIONLINT := github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

.PHONY: install tools demo test slow-test flink-test spark-test cloud-test shared-test test-all coverage lint types arrows unit schemas deploy scorer terraform-check docs linkcheck bench bench-quick bench-publish bench-page bench-scale gpu-check peers model lock sbom provenance clean
.DEFAULT_GOAL := install

install: $(VENV)/installed

# Made anew when the pins or the metadata change; the marker is written last, so a broken install is retried.
$(VENV)/installed: constraints.txt $(LOCKS)/build.txt pyproject.toml setup.py
	@$(CHECK_PYTHON)
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/$(INSTALL) --requirement $(LOCKS)/build.txt
	$(BIN)/$(INSTALL) --requirement constraints.txt
	$(BIN)/$(INSTALL_SELF) --editable .
	$(BIN)/pip check --disable-pip-version-check
	@touch $@

# What only tests need, where there are Go, npm and apt to install it: emulators of object stores, a browser.
tools: $(VENV)/tools/installed

$(VENV)/tools/installed: $(VENV)/installed
	@mkdir -p $(VENV)/tools
	@if command -v go > /dev/null; then \
		echo "building the GCS emulator"; GOBIN=$(abspath $(VENV))/tools go install $(GCS_EMULATOR); \
		echo "building Prism"; GOBIN=$(abspath $(VENV))/tools go install $(PRISM); \
		echo "building actionlint"; GOBIN=$(abspath $(VENV))/tools go install $(ACTIONLINT); \
	else \
		echo "no Go toolchain: tests that need the GCS emulator or Prism will be skipped"; \
	fi
	@if command -v npm > /dev/null; then \
		echo "installing the Azure emulator and axe-core"; \
		npm install --silent --no-fund --no-audit --prefix $(VENV)/tools $(AZURE_EMULATOR) $(ACCESSIBILITY); \
	else \
		echo "no npm: tests that need the Azure emulator or axe-core will be skipped"; \
	fi
	@if command -v chromium || command -v chromium-browser || command -v google-chrome; then \
		:; \
	elif command -v apt-get > /dev/null && [ "$$(id -u)" = 0 ]; then \
		echo "installing Chromium"; \
		{ apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; } > /dev/null \
			|| echo "Chromium cannot be installed: tests of pages will be skipped"; \
	else \
		echo "no Chromium: tests of pages will be skipped"; \
	fi
	@if command -v magick || command -v convert-im6.q16; then \
		:; \
	elif command -v apt-get > /dev/null && [ "$$(id -u)" = 0 ]; then \
		echo "installing ImageMagick"; \
		{ apt-get update -qq && apt-get install -y -qq --no-install-recommends imagemagick; } > /dev/null \
			|| echo "ImageMagick cannot be installed: the test of what it writes will be skipped"; \
	else \
		echo "no ImageMagick: the test of what it writes will be skipped"; \
	fi
	@touch $@

# In .venv if that is installed; else in an environment without the tools of developers.
DEMO_VENV := $(if $(wildcard $(VENV)/installed),$(VENV),build/demo-env)

demo: $(DEMO_VENV)/installed
	@rm -rf $(DEMO)
	$(DEMO_VENV)/bin/digitmill sample $(DEMO)/digits
	$(DEMO_VENV)/bin/digitmill train --recipe cnn --data sample --output $(DEMO)/run
	$(DEMO_VENV)/bin/digitmill score $(DEMO)/digits --labels folder --model $(DEMO)/run/bundle --output $(DEMO)/scores

build/demo-env/installed: $(LOCKS)/build.txt $(LOCKS)/all.txt pyproject.toml setup.py
	@$(CHECK_PYTHON)
	@echo "Installing digitmill and TensorFlow into build/demo-env. This downloads about 1.2 GB, takes 3.5 GB of disk and"
	@echo "3 to 7 minutes; the demo itself takes about one minute after that."
	$(PYTHON) -m venv --clear build/demo-env
	build/demo-env/bin/$(INSTALL) --requirement $(LOCKS)/build.txt
	build/demo-env/bin/pip install --disable-pip-version-check --no-build-isolation --no-deps --require-hashes --requirement $(LOCKS)/all.txt
	build/demo-env/bin/$(INSTALL_SELF) --editable .
	@touch $@

test: lint types arrows unit

# What `test` leaves out: tests that need an emulator, Prism or a browser, soaks, and properties on more examples.
slow-test: tools
	$(BIN)/pytest --numprocesses auto --dist worksteal -m 'hypothesis and not (slow or emulator or browser)' --hypothesis-profile thorough
	$(BIN)/pytest --numprocesses auto --dist worksteal -m '(slow or emulator or browser) and not (shared or flink or spark or cloud)' --hypothesis-profile thorough

# These need Java, Maven, downloads of hundreds of MB and minutes of a cluster's own.
flink-test: tools
	$(BIN)/pytest -m flink

spark-test: tools
	$(BIN)/pytest -m spark

# Environments made from the package index, as the images make theirs.
cloud-test: tools
	$(BIN)/pytest -m cloud

# Tests on public data sets in ../shared/data, where they are there.
shared-test: install
	$(BIN)/pytest -m shared

test-all: test slow-test shared-test flink-test spark-test cloud-test

# Which lines and branches the fast tests run, also in processes that they start: by room on the terminal, line by
# line in build/coverage/html.
coverage: install
	$(BIN)/pytest --numprocesses auto --dist worksteal --cov --cov-report=html --cov-report=json
	$(BIN)/python tests/coverage_by_room.py build/coverage/coverage.json

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell docs README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md
	$(BIN)/codespell --ignore-words-list $(OTHER_WORDS) digitmill pipelines schemas trainer examples tests benchmarks
	$(BIN)/python -m tests.vocabulary
	$(BIN)/python -m tests.code_limits
	$(BIN)/python -m tests.room_exports
	$(BIN)/zizmor --quiet --offline .github

types: install
	$(BIN)/mypy

arrows: install
	$(BIN)/lint-imports

unit: install
	$(BIN)/pytest --numprocesses auto --dist worksteal

schemas: install
	$(BIN)/python -m schemas

# The Flex Template's metadata, from the flags of digitmill score.
deploy: install
	$(BIN)/python -m pipelines.flex_template metadata > deploy/dataflow/metadata.json

# What the nightly run takes, and nothing of tests or training: build/scorer/bin/digitmill.
scorer: build/scorer/installed

build/scorer/installed: $(LOCKS)/build.txt $(LOCKS)/launcher.txt pyproject.toml setup.py
	$(PYTHON) -m venv --clear build/scorer
	build/scorer/bin/$(INSTALL) --requirement $(LOCKS)/build.txt
	build/scorer/bin/$(INSTALL) --requirement $(LOCKS)/launcher.txt
	build/scorer/bin/$(INSTALL_SELF) --editable .
	@touch $@

# Google's provider comes from Terraform's registry, or from the mirror that TF_CLI_CONFIG_FILE names. The plan is made
# by a stand-in for the provider's API: no project and no credentials.
terraform-check:
	terraform -chdir=deploy/terraform fmt -check -diff -recursive
	terraform -chdir=deploy/terraform init -backend=false -input=false
	terraform -chdir=deploy/terraform validate
	terraform -chdir=deploy/terraform test

# The site; a warning, such as a link that leads nowhere, is an error.
docs: install
	$(BIN)/python -m sphinx -W --keep-going -b html docs build/docs

# Asks every address outside that the docs name; needs the network.
linkcheck: install
	$(BIN)/python -m sphinx -b linkcheck docs build/linkcheck

# digitmill beside its peers, in turns: a quarter of an hour on fast cores, forty minutes on slow ones; bench-quick
# takes minutes.
bench: peers
	$(BIN)/python -m benchmarks

bench-quick: peers
	$(BIN)/python -m benchmarks --quick

# The same as bench, and its figures into docs/benchmarks.md and README.md.
bench-publish: peers
	$(BIN)/python -m benchmarks --publish

# The pages anew from docs/benchmarks, where they or their tables have changed.
bench-page: install
	$(BIN)/python -m benchmarks.page

# What the launcher takes for 1M and 10M images, step by step; it goes on where it was stopped. SCALE="--images 100M
# --publish" adds a hundred million, for which it takes hours and some 30 GB of disk, and fills docs/scale.md.
bench-scale: install
	$(BIN)/python -m benchmarks.scale $(SCALE)

# Everything that only a GPU can show, in under eight minutes on one: build/gpu-check. Needs no network and nothing but
# installed wheels with CUDA's libraries. GPU_CHECK="--allow-cpu --tiny" tries the check itself.
gpu-check:
	$(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) -m benchmarks.gpu_check $(GPU_CHECK)

peers: tools
	$(BIN)/$(INSTALL) --requirement $(LOCKS)/bench.txt

# The model that comes with the package, from a run folder: make model RUN=build/run
model: install
	$(BIN)/python -m trainer.bundle.shipping $(RUN)/bundle digitmill/model

# Pins anew, with the hashes of all platforms' files, for Python 3.11 to 3.13: today's versions, or with UPGRADE= those
# that are pinned already. constraints.txt is what development installs, and no other lock has another version.
UPGRADE ?= --upgrade
COMPILE := build/tools/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate

lock: build/tools/installed
	$(COMPILE) $(UPGRADE) --extra dev pyproject.toml --output-file constraints.txt
	$(COMPILE) $(UPGRADE) --constraint constraints.txt --extra gcp --extra tune pyproject.toml --output-file $(LOCKS)/all.txt
	for name in bench build cuda worker; do \
		$(COMPILE) $(UPGRADE) --constraint constraints.txt $(LOCKS)/$$name.in --output-file $(LOCKS)/$$name.txt || exit 1; \
	done
	$(COMPILE) $(UPGRADE) --constraint constraints.txt $(LOCKS)/worker.in $(LOCKS)/launcher.in --output-file $(LOCKS)/launcher.txt
	$(COMPILE) $(UPGRADE) $(LOCKS)/tools.in --output-file $(LOCKS)/tools.txt

# What the package and each image are made of, as CycloneDX.
sbom: build/tools/installed
	@mkdir -p build/sbom
	for name in all cuda worker launcher; do \
		PYTHONWARNINGS=ignore build/tools/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --of JSON \
			--output-file build/sbom/$$name.cdx.json $(LOCKS)/$$name.txt || exit 1; \
	done

# Builds sdist and wheel, and writes who made what from what as a signed in-toto link: make provenance KEY=key.pem
provenance: build/tools/installed
	@test -f "$(KEY)" || { echo "give KEY=key.pem, an Ed25519 key: openssl genpkey -algorithm ed25519 -out key.pem"; exit 2; }
	@rm -rf build/dist && mkdir -p build/dist
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) build/tools/bin/in-toto-run --step-name build --use-dsse --signing-key $(KEY) \
		--materials digitmill pipelines schemas trainer pyproject.toml setup.py constraints.txt $(LOCKS) \
		--exclude '__pycache__' '*.pyc' --products build/dist --metadata-directory build/dist -- \
		build/tools/bin/python -m build --no-isolation --outdir build/dist .

build/tools/installed: $(LOCKS)/tools.txt
	$(PYTHON) -m venv --clear build/tools
	build/tools/bin/$(INSTALL) --requirement $(LOCKS)/tools.txt
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info .*_cache
