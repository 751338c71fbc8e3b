# The few verbs of this project. `make help` lists them.
SHELL := /bin/sh
.SHELLFLAGS := -ec
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
SAM_VENV ?= .venv-sam
SCAN_VENV ?= .venv-scan
ARCH ?= arm64
CONFIG_ENV ?= dev
WORKERS ?= auto
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SAM := PATH="$(CURDIR)/$(SAM_VENV)/bin:$$PATH" SAM_CLI_TELEMETRY=0 ARCH=$(ARCH) sam
SAM_READY := $(SAM_VENV)/.ready
SCAN_READY := $(SCAN_VENV)/.ready
export PYTHONPATH := layers/gatehouse
CODE := layers/gatehouse functions local tests bench
# A file's tests stay with one worker and in order, so what a file or a folder of tests starts is started once by each.
SHARED_OUT := -n $(WORKERS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: help run test check scan format bench build sam-local deploy lock clean

help: ## list these verbs
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

run: $(READY) ## serve the whole gateway on http://127.0.0.1:3000 (PORT=, HOST=, PROJECTS= change it)
	@exec $(BIN)/python -m local

test: $(READY) ## run every test that needs no container engine, with branch coverage
	@$(BIN)/python -m pytest --cov --cov-report=term $(SHARED_OUT) $(ARGS)

check: $(READY) ## lint, types, template and project files
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/mypy
	@for app in functions/*/app.py; do $(BIN)/mypy $$app || exit 1; done
	@MYPYPATH=functions/proxy $(BIN)/mypy functions/proxy/serve.py
	@$(BIN)/cfn-lint template.yaml
	@$(BIN)/python -m gatehouse check layers/config/projects --template template.yaml

# checkov ends well when it cannot read the template at all, so what it says is looked at.
scan: $(SCAN_READY) ## look for what is unsafe in the template (checkov; .checkov.yaml says what is not asked for, and why)
	@said=$$($(SCAN_VENV)/bin/checkov --config-file .checkov.yaml) || { echo "$$said"; exit 1; }; \
	echo "$$said" | grep '^Passed checks: [1-9][0-9]*, Failed checks: 0, Skipped checks: [0-9]*$$' || { echo "$$said"; exit 1; }

format: $(READY) ## let ruff rewrite what it can
	@$(BIN)/ruff check --fix $(CODE)
	@$(BIN)/ruff format $(CODE)

bench: $(READY) ## measure the gateway beside the peers found on this machine
	@$(BIN)/python -m bench $(ARGS)

build: $(SAM_READY) ## validate the template and build what `sam deploy` uploads (needs python3.13 on PATH; ARCH=x86_64|arm64)
	@$(SAM) validate --lint
	@$(SAM) build --parameter-overrides Architecture=$(ARCH)

sam-local: $(READY) ## build, then serve through `sam local start-api` with local stores (needs a container engine)
	@$(MAKE) build ARCH=$$(uname -m | sed 's/aarch64/arm64/')
	@PATH="$(CURDIR)/$(SAM_VENV)/bin:$$PATH" exec $(BIN)/python -m local.sam start-api

# With DEPLOYMENT this one deploy goes another way than samconfig.toml says: back at once, while an alarm rings.
deploy: ## build and deploy (CONFIG_ENV=dev|staging|prod; DEPLOYMENT=AllAtOnce for once)
	@[ "$(ARCH)" = arm64 ] || { echo "gatehouse: to deploy another architecture than arm64, set it in samconfig.toml and use sam deploy"; exit 1; }
	@$(MAKE) build
	@PATH="$(CURDIR)/$(SAM_VENV)/bin:$$PATH" SAM_CLI_TELEMETRY=0 $(PYTHON) -m local.deploy $(CONFIG_ENV) $(DEPLOYMENT)

lock: $(READY) ## resolve the requirements anew and write the lock files
	@sh requirements/lock $(BIN)

clean: ## remove what the verbs above made
	@rm -rf .venv .venv-* .venv3* .aws-sam .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage htmlcov

$(READY): requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "gatehouse needs Python 3.11 or newer: make run PYTHON=python3.13"; exit 1; }
	@echo "gatehouse: installing into $(VENV) (once)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.txt
# So that `$(BIN)/python -m gatehouse` works without PYTHONPATH.
	@echo "$(CURDIR)/layers/gatehouse" > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/gatehouse.pth"
	@touch $@

$(SAM_READY): requirements/sam.txt
	@echo "gatehouse: installing the SAM command line into $(SAM_VENV) (once)"
	@$(PYTHON) -m venv --clear $(SAM_VENV)
	@$(SAM_VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/sam.txt
	@touch $@

$(SCAN_READY): requirements/scan.txt
	@echo "gatehouse: installing checkov into $(SCAN_VENV) (once)"
	@$(PYTHON) -m venv --clear $(SCAN_VENV)
	@$(SCAN_VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/scan.txt
	@touch $@
