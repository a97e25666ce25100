# `make` alone lists the targets. GNU make 3.81 (macOS) is enough.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# Unless told to build in source, `sam build` runs this file in a copy of the tree that lacks .git: the version comes from
# where the file itself lies.
ROOT := $(dir $(abspath $(lastword $(MAKEFILE_LIST))))
VERSION ?= $(or $(shell git -C "$(ROOT)" describe --tags --always --dirty 2>/dev/null),unversioned)

# The functions: one line each, FUNCTION_<logical id in template.yaml> := <folder below functions/>.
FUNCTION_EventConsumerFunction := event-consumer
FUNCTION_FullSyncFunction := full-sync
FUNCTION_JWTDiagnosticsFunction := jwt-diagnostics
FUNCTION_WebhookIngestFunction := webhook-ingest

FUNCTIONS := $(patsubst FUNCTION_%,%,$(filter FUNCTION_%,$(.VARIABLES)))

# Lambda's architecture, as in template.yaml. Not called GOARCH: that would reach bin/clerksync too.
LAMBDA_GOARCH ?= arm64
# The Postgres major that Supabase gives new projects; CI has the tests run on 15, too.
POSTGRES ?= 17
# Packages whose tests run at a time: one more than there are cores, because tests wait for time-outs and repeats, and the
# last test of a package alone.
PACKAGES ?= $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))
BENCHTIME ?= 1s
FUZZTIME ?= 10s
SOAK ?= 10m
HISTORIES ?= 10
# What runs several things at once, and a bootstrap for each way into it.
RACE ?= ./shared/webhook ./shared/config ./shared/jwtdiag/keyset ./shared/fullsync ./shared/mirror ./shared/testkit/lambdatest ./functions/webhook-ingest

GOLANGCI_LINT_VERSION := v2.15.0
GOLANGCI_LINT ?= go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
DEADCODE ?= go run golang.org/x/tools/cmd/deadcode@v0.30.0

# The same source, version and Go release give the same bytes, wherever the tree lies: no paths, no times, no VCS stamp.
GO_BUILD := go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)"

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1 \2/p' $(MAKEFILE_LIST) | while read -r target text; do printf '  %-13s %s\n' "$$target" "$$text"; done

.PHONY: run
run: ## Start the local stack, seeded and syncing; pass flags with ARGS='--duration 10s --json'
	@# Not go run: it ends with an error of its own after Ctrl-C.
	@go build -o bin/clerksync ./cmd/clerksync
	@bin/clerksync dev $(ARGS)

# $(call list,<flags>,<template>,<expression>): prints the packages that sed makes of what go list prints. None is an
# error: go test without a package would try this folder, which has no test, and pass.
define list
listed=$$(go list $(1) -f '$(2)' ./...) || exit 1; \
listed=$$(echo "$$listed" | sed -n '$(3)'); \
if [ -z "$$listed" ]; then echo 'go list found none of the packages that $@ is about' >&2; exit 1; fi; \
echo "$$listed"
endef

# The packages whose tests, directly or not, start test databases.
LIST_DATABASE_PACKAGES = $(call list,-test,{{.ImportPath}}: {{join .Deps " "}} ,s|^\(.*\)\.test: .* clerksync/shared/testkit/testdb .*|\1|p)

# Linting vets the tests.
.PHONY: test
test: ## Run every test on the first Postgres of POSTGRES='17 15', those that use a database on the others too
	@failed=; packages=./...; \
	for major in $(POSTGRES); do \
		[ -n "$$packages" ] || packages=$$($(LIST_DATABASE_PACKAGES)) || exit 1; \
		echo "go test, Postgres $$major"; \
		CLERKSYNC_TEST_POSTGRES=$$major go test -p $(PACKAGES) -vet=off -shuffle=on -timeout 30m $(TESTFLAGS) $$packages || failed="$$failed $$major"; \
		packages=; \
	done; \
	if [ -n "$$failed" ]; then echo "failed on Postgres$$failed" >&2; exit 1; fi

.PHONY: test-race
test-race: ## Run the tests of what runs several things at once under the race detector, bootstraps too (needs a C compiler)
	go test -race -vet=off -shuffle=on -timeout 30m $(TESTFLAGS) $(RACE)

.PHONY: test-race-all
test-race-all: ## Run every test under the race detector, and every bootstrap that they start
	go test -race -vet=off -shuffle=on -timeout 60m $(TESTFLAGS) ./...

.PHONY: lint
lint: ## Check formatting, import directions and house rules; .ci/run and the templates where their linters are installed
	$(GOLANGCI_LINT) run
	# macOS has files of its own, which nothing above has read.
	CGO_ENABLED=0 GOOS=darwin GOARCH=arm64 go vet ./...
	@$(call unreachable,-test,^$$,nothing calls)
	@$(call unreachable,,$(KIT)|String$$,only tests call)
	@$(call optional,shellcheck,.ci/run)
	@$(call optional,cfn-lint,template.yaml infra/monitoring.yaml)

# What tests alone use may have more than the program reaches; String is called by printing.
KIT := ^(shared/(testkit|clerk/clerktest|jwtdiag/jwttest)|cmd/clerksync/internal/clitest)/

# $(call unreachable,<flags>,<what may be>,<who calls>)
define unreachable
echo 'deadcode $(1)'; all=$$($(DEADCODE) $(1) ./...) || exit 1; \
if echo "$$all" | grep -Ev '^$$|$(2)' >&2; then echo 'functions that $(3): remove them' >&2; exit 1; fi
endef

# $(call optional,<tool>,<arguments>): a laptop may lack the tool, CI may not.
define optional
if command -v $(1) >/dev/null 2>&1; then echo '$(1) $(2)'; $(1) $(2); \
elif [ "$${CI:-}" = true ]; then echo '$(1) is not installed' >&2; exit 1; \
else echo '$(1) is not installed: $(2) not checked'; fi
endef

.PHONY: build
build: $(addprefix build-,$(FUNCTIONS)) ## Build bin/clerksync and build/<function>/bootstrap
	$(GO_BUILD) -o bin/clerksync ./cmd/clerksync

# `sam build` names the folder in ARTIFACTS_DIR.
.PHONY: $(addprefix build-,$(FUNCTIONS))
$(addprefix build-,$(FUNCTIONS)): build-%:
	CGO_ENABLED=0 GOOS=linux GOARCH=$(LAMBDA_GOARCH) $(GO_BUILD) -tags lambda.norpc \
		-o "$(or $(ARTIFACTS_DIR),build/$(FUNCTION_$*))/bootstrap" ./functions/$(FUNCTION_$*)

.PHONY: bench
bench: ## Run the benchmarks; BENCHTIME=1s each
	go test -run '^$$' -bench . -benchtime $(BENCHTIME) ./functions/... ./shared/...

.PHONY: attack
attack: ## Send the built webhook function what strangers send; prints processor time and log bytes of each request
	go test ./functions/webhook-ingest -run '^$$' -bench '^BenchmarkAttack$$' -benchtime 200ms

.PHONY: soak
soak: traffic histories ## What is too long for every run of the tests

.PHONY: traffic
traffic: ## Mixed traffic for SOAK=10m, directly and through a queue, while the database is restarted and a consumer killed
	go test ./functions/event-consumer -run '^TestSoak' -count 1 -v -timeout 0 -soak $(SOAK)

# The packages whose tests play random histories.
LIST_HISTORY_PACKAGES = $(call list,,{{.ImportPath}}: {{join .XTestImports " "}} ,s|^\(.*\): .*clerksync/shared/testkit/histories .*|\1|p)

.PHONY: histories
histories: ## Play HISTORIES=10 times as many random histories as the tests do otherwise
	@packages=$$($(LIST_HISTORY_PACKAGES)) && set -x && go test -vet=off -count 1 -timeout 0 -histories $(HISTORIES) $(TESTFLAGS) $$packages

.PHONY: kills
kills: ## End a set-up before or after its writes in twenty random ways, and run it again
	go test ./shared/setup -run '^TestSetup_EndsTheSameHoweverItIsKilled$$' -count 1 -timeout 0 -histories 20

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME=10s
	@grep -rEos --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' cmd functions shared sql | sort | while IFS=: read -r file name; do \
		name=$${name#func }; \
		echo "fuzzing $$name in $${file%/*}"; \
		go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "./$${file%/*}" || exit 1; \
	done

.PHONY: schema
schema: ## Write sql/schema.sql and sql/migrate/rights.txt, what the SQL files lead to, anew (needs pg_dump 15)
	CLERKSYNC_TEST_POSTGRES=15 go test ./sql/migrate -run '^TestSchemaDump' -count 1 -update

.PHONY: settings
settings: ## Write infra/secret.json and the table of docs/configuration.md anew, as shared/config has the settings
	go test ./shared/config -run '^TestKeys' -count 1 -update

.PHONY: cli-docs
cli-docs: ## Write docs/cli.md and docs/clerksync.1 anew, as the commands explain themselves
	go test ./cmd/clerksync -run '^TestManual_IsInTheDocs' -count 1 -update

.PHONY: clean
clean: ## Remove what build and sam build made
	rm -rf bin build .aws-sam
