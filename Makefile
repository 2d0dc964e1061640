# The project's commands; `make` lists them. Each prepares what it needs.

JOBS ?= 2
LAB ?= lab
SUITE ?= 12
COUNT ?= 20

export ANSIBLE_HOME := $(CURDIR)/.ansible
export MOLECULE_GLOB := molecule/*/molecule.yml
export PATH := $(CURDIR)/.venv/bin:$(PATH)

lab := python tests/lab/lab.py --lab $(LAB)
run := python tools/run_tests.py --jobs $(JOBS)

.DEFAULT_GOAL := help
.PHONY: help deps browser lock lint unit page sanity molecule e2e test build demo bench-rebuild bench-guard bench-repoint bench-restore \
    bench-drift drift-table execution-environment faults guard-holes restore-faults backup-faults kill-runs lab-up lab-down lab-shell clean

help:  ## List the commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps:  ## Install what is missing: system packages, .venv, collections
	@tools/bootstrap.sh

lock: deps  ## Renew requirements/*.txt from the *.in files
	@for name in uv dev; do \
	    uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	        --no-emit-index-url --no-header requirements/$$name.in -o requirements/$$name.txt || exit; \
	done

browser: deps
	@tools/bootstrap.sh browser

test: browser  ## Run every check and every test
	@$(run)

lint: deps  ## Check style, types, documentation and the build
	@$(run) lint

unit: deps  ## Run the unit tests (ARGS="-k name")
	@python -m pytest tests/unit $(ARGS)

page: browser  ## Look at the page of drift in a real browser, wide and narrow (pictures in .cache/page)
	@python -m pytest tests/page $(ARGS)

sanity: deps  ## Run ansible-test sanity
	@$(run) sanity

molecule: deps  ## Test the roles in containers (SCENARIO=name for one, JOBS=2 beside each other)
	@$(run) molecule $(addprefix --scenario=,$(SCENARIO))

e2e: deps  ## Lose a web server and rebuild it, end to end (ARGS="-k name")
	@python -m pytest tests/e2e $(ARGS)

build: deps  ## Build the collection's tarball
	@ansible-galaxy collection build --force

execution-environment: deps  ## Build a container of Ansible and the collection, for AWX and the like (ARGS="--tag name")
	@mkdir -p .cache/execution-environment
	@rm -f .cache/execution-environment/*.tar.gz
	@ansible-galaxy collection build --force --output-path .cache/execution-environment >/dev/null
	@mv .cache/execution-environment/phoenix-webstack-*.tar.gz .cache/execution-environment/phoenix-webstack.tar.gz
	@cd execution-environment && ansible-builder build --container-runtime podman \
	    --context ../.cache/execution-environment/context --tag webstack $(ARGS)

demo: deps  ## Watch the whole story: provision, lock out, rebuild, timeline (ARGS=--keep: look around)
	@python tests/lab/demo.py $(ARGS)

bench-rebuild: deps  ## Measure how long a rebuild takes
	@python tests/bench/rebuild.py

bench-guard: deps  ## Measure what the guard of SSH costs, and whether a storm of faults leaks (ARGS="--minutes 2")
	@python tests/bench/guard.py $(ARGS)

bench-repoint: deps  ## Count what a repoint loses (ARGS="--suite 13 --scenario swap" for a part)
	@python tests/bench/repoint.py $(ARGS)

bench-drift: deps  ## Measure what a look for drift costs, beside plain modules (ARGS="--hosts 1,5")
	@python tests/bench/drift.py $(ARGS)

drift-table: deps  ## Do to hosts what people do, and see each deed found, told and mended (ARGS="-k name")
	@python -m pytest tests/drift $(ARGS)

faults: deps  ## Lock admins out in every way we know (FAULT=U06 OS=13 for some, GUARD=no: unguarded)
	@python -m tests.faults $(addprefix --fault=,$(FAULT)) $(addprefix --os=,$(OS)) $(addprefix --guard=,$(GUARD)) $(ARGS)

guard-holes: deps  ## See that the guard of SSH opens nothing else, and that no user commands it (ARGS="--os 13")
	@python -m tests.faults.holes $(ARGS)

bench-restore: deps  ## Compare restores with mysql_db and a raw copy (MIB=1024 SYSTEM=12|13|mysql)
	@python -m tests.database.bench --mib $(or $(MIB),1024) --system $(or $(SYSTEM),12) $(ARGS)

restore-faults: deps  ## Break restores in every way we know (SYSTEM=12|13|mysql FAULT=disk_full for some)
	@python -m tests.database.faults --system $(or $(SYSTEM),12) $(addprefix --fault=,$(FAULT)) $(ARGS)

backup-faults: deps  ## Break the timer's dumps in every way we know (SYSTEM=12|13|mysql FAULT=disk_full for some)
	@python -m tests.database.timer --system $(or $(SYSTEM),12) $(addprefix --fault=,$(FAULT)) $(ARGS)

kill-runs: deps  ## Kill runs that close SSH, and see the host open it again (COUNT=20 SUITE=12|13)
	@python tests/lab/kills.py --count $(COUNT) --suite $(SUITE)

lab-up: deps  ## Start lb-01, web-01, web-02 and a spare (LAB=name SUITE=12|13)
	@$(lab) up --suite $(SUITE)

lab-down:  ## Remove them (LAB=name)
	@$(lab) down

lab-shell:  ## Open a root shell without SSH (HOST=web-01 LAB=name)
	@$(lab) shell $(or $(HOST),$(error name one: make lab-shell HOST=web-01))

clean: lab-down  ## Remove the lab and everything the tools keep in this checkout
	@rm -rf .ansible .cache .venv phoenix-webstack-*.tar.gz
