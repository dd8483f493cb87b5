# The commands of this project. Everything is installed below this folder, nothing elsewhere.
#
#   make start    run the whole product on this machine; Ctrl-C stops it
#   make test     run all tests
#   make example  run an example with everything that it needs: make example NAME=chat_widget
#   make bench    run the benchmarks
#   make faults   kill, cut and restore everything while clients write; 12 minutes, prints a table
#   make doctor   check the local configuration, or a deployed app: make doctor URL=https://...
#   make picture  record the README's animated picture from the running page
#   make check    lint, types and workflows         make fix    what can be fixed automatically
#   make audit    look up known vulnerabilities of what is deployed
#   make sbom     list what is deployed, with all its dependencies: .local/sbom.json (CycloneDX)
#   make lock     resolve requirements.in into requirements.txt; ARGS=--upgrade takes new versions
#   make clean    remove what was installed, built and stored
#
# Options go into ARGS: make start ARGS='--data memory', make test ARGS='-k history'

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

# Each of these files marks a finished step; make repeats it when what it depends on is newer.
PACKAGES := $(VENV)/installed
AZURITE := local/node_modules/.package-lock.json
PAGE_TOOLS := web/node_modules/.package-lock.json
PAGE := web/dist/index.html
CLIENT := clients/javascript/node_modules/.package-lock.json
CLIENTS := emulator/tests/javascript/node_modules/.package-lock.json
LINTER := tests/openapi/node_modules/.package-lock.json
TYPE_CHECKERS := tests/clients/node_modules/.package-lock.json
SOCKETIO := benchmarks/js/node_modules/.package-lock.json

NPM_QUIET := --no-audit --no-fund --loglevel=error
OFFLINE := { echo 'The installation failed. Is this machine online?'; exit 1; }

.PHONY: start example test bench faults doctor picture check fix audit sbom lock clean
.DEFAULT_GOAL := start

start: $(PACKAGES) $(AZURITE) $(PAGE)
	@exec $(BIN)/python -m local $(ARGS)

example: $(PACKAGES) $(AZURITE) $(PAGE)
	@exec $(BIN)/python -m examples $(NAME)

# The two commands before pytest install a browser, and Azure's runtime library for Python 3.13.
# Tests also wait, so three workers keep two processors busy. Each has parts and a browser of its own.
# The last command repeats the integration tests with Entra ID and TLS, as in Azure.
WORKERS ?= 3
PARALLEL := -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test: $(PACKAGES) $(AZURITE) $(PAGE) $(CLIENT) $(CLIENTS) $(LINTER) $(TYPE_CHECKERS)
	@$(BIN)/python -m tests.browser
	@$(BIN)/python -m tests.oracle
	$(BIN)/pytest $(PARALLEL) $(ARGS)
	@$(if $(ARGS),,$(BIN)/python -m tests.entra $(PARALLEL))

bench: $(PACKAGES) $(AZURITE) $(PAGE) $(SOCKETIO)
	$(BIN)/python -m benchmarks $(ARGS)

faults: $(PACKAGES) $(AZURITE) $(PAGE) $(CLIENT)
	@$(BIN)/python -m tests.browser
	$(BIN)/python -m tests.faults $(ARGS)

doctor: $(PACKAGES)
	@$(BIN)/python -m local.doctor $(if $(URL),--url $(URL)) $(if $(KEY),--key $(KEY))

picture: $(PACKAGES) $(AZURITE) $(PAGE)
	$(BIN)/python -m tests.page.picture

check: $(PACKAGES)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/zizmor --offline --quiet .github

fix: $(PACKAGES)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# The packages of the app alone, resolved, in an environment of their own.
AUDIT := .local/audit/bin
DEPLOYED := .local/deployed

audit: $(AUDIT)/pip-audit $(DEPLOYED)/installed
	$(AUDIT)/pip-audit --path $$($(DEPLOYED)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
	cd web && npm audit --omit=dev
	cd clients/javascript && npm audit --omit=dev

sbom: $(AUDIT)/pip-audit $(DEPLOYED)/installed
	$(AUDIT)/cyclonedx-py environment --output-file .local/sbom.json $(DEPLOYED)/bin/python

# For every platform and every Python from 3.11 on, with the hashes of all files of each version.
lock: $(AUDIT)/pip-audit
	UV_CUSTOM_COMPILE_COMMAND='make lock' $(AUDIT)/uv pip compile --quiet --universal --python-version 3.11 \
		--generate-hashes --output-file requirements.txt requirements.in $(ARGS)

$(AUDIT)/pip-audit: local/requirements-audit.txt
	@$(PYTHON) -m venv .local/audit
	@$(AUDIT)/python -m pip install --quiet --disable-pip-version-check -r $< || $(OFFLINE)
	@touch $@

$(DEPLOYED)/installed: requirements.txt
	@$(PYTHON) -m venv --clear $(DEPLOYED)
	@$(DEPLOYED)/bin/python -m pip install --quiet --disable-pip-version-check -r $< || $(OFFLINE)
	@touch $@

clean:
	rm -rf $(VENV) .local web/dist tests/output
	rm -rf clients/javascript/node_modules clients/javascript/dist clients/javascript/types
	rm -rf local/node_modules web/node_modules benchmarks/js/node_modules
	rm -rf emulator/tests/javascript/node_modules emulator/dist tests/openapi/node_modules tests/clients/node_modules
	rm -rf .mypy_cache .pytest_cache .ruff_cache

$(PACKAGES): requirements.txt requirements.in requirements-dev.txt tests/requirements-oracle.txt emulator/pyproject.toml clients/python/pyproject.toml
	@command -v $(PYTHON) > /dev/null || { \
		echo 'There is no $(PYTHON). Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python'; \
		exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
		"Townsquare needs Python 3.11 or newer; $(PYTHON) is %d.%d. Name another: make PYTHON=/path/to/python" \
		% sys.version_info[:2])'
	@echo 'Installing the Python packages, and Node with them (about a minute, once) ...'
	@$(PYTHON) -m venv $(VENV) || { \
		echo 'This Python cannot make a venv. On Debian: apt-get install python3-venv'; exit 1; }
	@# Twice: where one requirement has a hash, pip demands one of all, and a folder has none.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt || $(OFFLINE)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt || $(OFFLINE)
	@touch $@

$(AZURITE): local/package.json local/package-lock.json local/.npmrc | $(PACKAGES)
	@echo 'Installing Azurite, which is Table Storage on this machine ...'
	@cd local && npm ci $(NPM_QUIET) || $(OFFLINE)
	@touch $@

$(PAGE_TOOLS): web/package.json web/package-lock.json | $(PACKAGES)
	@echo 'Installing what builds the page ...'
	@cd web && npm ci $(NPM_QUIET) || $(OFFLINE)
	@touch $@

$(CLIENT): clients/javascript/package.json clients/javascript/package-lock.json | $(PACKAGES)
	@echo 'Installing what tests the JavaScript client package ...'
	@cd clients/javascript && npm ci $(NPM_QUIET)
	@touch $@

$(CLIENTS): emulator/tests/javascript/package.json emulator/tests/javascript/package-lock.json $(PACKAGES)
	@echo "Installing Microsoft's JavaScript clients for the tests ..."
	@cd emulator/tests/javascript && npm ci $(NPM_QUIET) || $(OFFLINE)
	@touch $@

$(LINTER): tests/openapi/package.json tests/openapi/package-lock.json $(PACKAGES)
	@echo 'Installing the linter of the API document for the tests ...'
	@cd tests/openapi && npm ci $(NPM_QUIET) || $(OFFLINE)
	@touch $@

$(TYPE_CHECKERS): tests/clients/package.json tests/clients/package-lock.json | $(PACKAGES)
	@echo 'Installing what judges the types of the client packages ...'
	@cd tests/clients && npm ci $(NPM_QUIET) || $(OFFLINE)
	@touch $@

$(SOCKETIO): benchmarks/js/package.json benchmarks/js/package-lock.json $(PACKAGES)
	@echo 'Installing the Socket.IO server for the benchmarks ...'
	@cd benchmarks/js && npm ci $(NPM_QUIET) || $(OFFLINE)
	@touch $@

$(PAGE): $(PAGE_TOOLS) web/build.mjs $(wildcard web/reference/* web/src/* web/src/*/* clients/javascript/src/*)
	@echo 'Building the page ...'
	@node web/build.mjs
	@touch $@
