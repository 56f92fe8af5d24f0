# The two commands of the README are run and test. Plain "make" prints the targets.

GO      ?= go
SUDO    ?= $(shell [ "$$(id -u)" = 0 ] || command -v sudo)
STRESS  ?= 1s
SOAK    ?= 10m
TIME    ?= 10s

# Go releases that "make toolchains" builds with, besides the one that runs it:
# go1.25 is its newest patch. The go command downloads them; empty for none.
TOOLCHAINS ?= go1.25 go1.27
# The Debian mirror that kernels and QEMU come from; empty for that of this
# machine's apt.
MIRROR  ?=
GUESTS  := run ./internal/guests $(if $(MIRROR),-mirror $(MIRROR))

# The modules of go.work, and so all packages: internal/layout tests that no module
# of the tree is missing there.
MODULES := $(patsubst %,%/...,$(shell sed -n 's/^[[:space:]]*\(\.[^[:space:]]*\).*/\1/p' go.work))
# Without internal/modes, which chooses how its programs are built by itself.
CORE    := ./vcpu ./rseqcs ./arena ./alloc $(addprefix ./internal/,osmem procpin regcall rseq seccomp)
HEAPS   := ./rseqcs ./arena ./alloc
STATIC  := CGO_ENABLED=0
CGO     := CGO_ENABLED=1
# The tests judge no time, so the timeout only ends what hangs.
TEST    := $(GO) test -count=1 -timeout 30m

# What the environment says must not change what a test means.
export GOWORK := $(CURDIR)/go.work
export GOFLAGS := -buildvcs=false
unexport GOARCH GOOS GOEXPERIMENT GOAMD64 GOARM64 GODEBUG GOGC GOMEMLIMIT GLIBC_TUNABLES VCPUALLOC_MODE VCPUALLOC_STALL

# What "make test" runs, and what "make test-all" runs after that.
TEST_STEPS := vet portable static race assigned stalled
REST_STEPS := long cgo tiers faults gomem peers-cgo toolchains model apimodel stepper mutants-quick

.DEFAULT_GOAL := help
.PHONY: help run test test-all $(TEST_STEPS) $(REST_STEPS) deps deps-all tmp-runs soak mutants mutants-derived harness test-kernels test-kernels-few generate golden

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## the features of this machine, and the comparison with make, sync.Pool and the C allocators there are
	@echo "building the benchmark (the first time this takes a minute, and downloads gonum/plot)..."
	@$(STATIC) $(GO) run ./bench run -time 300ms

# $(call steps,target,list) runs the steps of the list one after the other.
define steps
	@begin=$$(date +%s); number=0; \
	for step in $(2); do \
		number=$$((number + 1)); \
		echo "[$$number/$(words $(2))] $$step: $$(sed -n "s/^$$step:.*## //p" Makefile)"; \
		$(MAKE) --no-print-directory $$step || { \
			echo "make $(1): step $$number of $(words $(2)) has failed. It alone: make $$step"; exit 1; }; \
	done; \
	took=$$(($$(date +%s) - begin)); \
	echo "all tests passed in $$((took / 60)) min $$((took % 60)) s"
endef

test: deps ## every package on this machine, and the core in its modes: minutes
	$(call steps,test,$(TEST_STEPS))

test-all: test deps-all ## that, and what takes longer: all modes and ways to build, other Go releases, models, mutants
	$(call steps,test-all,$(REST_STEPS))

# $(call install,targets,how,packages) installs what $$missing says.
define install
	if [ -n "$$missing" ]; then \
		echo "installing$$missing"; \
		{ [ "$$(id -u)" = 0 ] || [ -n "$(SUDO)" ]; } && command -v apt-get >/dev/null && \
		$(SUDO) apt-get update -q && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -qy $$missing || { \
			echo; \
			echo "These packages are missing, and cannot be installed from here:$$missing"; \
			echo "What to do: install them as root, by the names that your system has for them, and try again."; \
			echo "$(1)"; \
			exit 1; }; \
	fi
endef

deps: tmp-runs ## install what "make test" needs and is missing: a C compiler
	@missing=""; \
	echo '#include <stdlib.h>' | $$($(GO) env CC) -fsyntax-only -x c - 2>/dev/null || missing=" gcc libc6-dev"; \
	$(call install,What needs no C compiler: make $(filter-out race,$(TEST_STEPS)))

deps-all: deps ## install what "make test-all" needs and is missing: redis-tools, musl-tools, spin, and herdtools7 where there is one
	@missing=""; \
	command -v redis-cli >/dev/null && command -v redis-benchmark >/dev/null || missing="$$missing redis-tools"; \
	command -v musl-gcc >/dev/null || missing="$$missing musl-tools"; \
	command -v spin >/dev/null || missing="$$missing spin"; \
	command -v herd7 >/dev/null || ! apt-cache show herdtools7 >/dev/null 2>&1 || missing="$$missing herdtools7"; \
	$(call install,What needs none of them: make $(filter-out long model,$(REST_STEPS)))

# Where programs cannot be run, go test fails with an error that does not say why.
tmp-runs:
	@folder=$$(mktemp -d "$${GOTMPDIR:-$${TMPDIR:-/tmp}}/runs.XXXXXX") && \
	printf '#!/bin/sh\n' >$$folder/program && chmod +x $$folder/program && $$folder/program; \
	runs=$$?; rm -rf "$$folder"; [ $$runs = 0 ] || { \
		echo "No program can be run in $${GOTMPDIR:-$${TMPDIR:-/tmp}}, and go test makes its programs there."; \
		echo "What to do: set GOTMPDIR to a folder that is writable and not mounted noexec."; exit 1; }

vet: ## go vet for both architectures, and gofmt
	@files=$$("$$($(GO) env GOROOT)/bin/gofmt" -l .); if [ -n "$$files" ]; then echo "gofmt would change:"; echo "$$files"; exit 1; fi
	GOARCH=amd64 $(STATIC) $(GO) vet $(MODULES)
	GOARCH=arm64 $(STATIC) $(GO) vet $(MODULES)

# A program of 386 runs on kernels for amd64 that are built for it, and the others
# only link the tests.
portable: ## build for systems without sections, and test one of them
	GOOS=darwin $(GO) build ./...
	GOOS=windows $(GO) build ./...
	GOOS=freebsd $(GO) build ./...
	GOARCH=riscv64 $(GO) build ./...
	GOARCH=arm64 $(GO) build ./...
	GOARCH=arm64 $(GO) build -tags vcpualloc_stalled ./...
	@if GOARCH=386 $(STATIC) $(GO) test -run NONE errors >/dev/null 2>&1; then \
		echo "GOARCH=386 $(TEST) -short $(HEAPS)"; GOARCH=386 $(STATIC) $(TEST) -short $(HEAPS); \
	else \
		echo "This kernel runs no programs of GOARCH=386: the tests are built only."; \
		GOARCH=386 $(STATIC) $(GO) test -exec true $(HEAPS); \
	fi

static: ## every package without cgo: rseq areas of our own
	$(STATIC) $(TEST) -short $(MODULES)

race: ## the core under the race detector: glibc's rseq areas
	$(CGO) $(TEST) -short -race $(CORE)

assigned: ## the core without sections
	VCPUALLOC_MODE=assigned $(STATIC) $(TEST) -short $(HEAPS)

stalled: ## the sections with delays between their steps
	$(STATIC) $(TEST) -tags vcpualloc_stalled ./rseqcs ./alloc -run 'Conserve|Exact|OneOwner|Point|Capped' -args -stress $(STRESS)

long: ## in full what "make test" runs in its short form
	$(STATIC) $(TEST) $(CORE) ./internal/modes ./internal/stepper ./examples/...

cgo: ## the core with cgo
	$(CGO) $(TEST) $(CORE)

tiers: ## the core by CPU number, and without sections under the race detector
	VCPUALLOC_MODE=cpu_id $(STATIC) $(TEST) $(HEAPS)
	VCPUALLOC_MODE=assigned $(CGO) $(TEST) -race $(HEAPS)

faults: ## system calls that fail, each in turn and at random
	$(STATIC) $(TEST) -tags vcpualloc_faults ./alloc ./arena -run 'Fault|Soak|UnderALock'

gomem: ## the heap on Go memory, as on systems without mmap
	$(STATIC) $(TEST) -tags vcpualloc_gomem ./arena ./alloc

peers-cgo: ## the benchmark's peers that need cgo
	$(CGO) $(TEST) -tags benchcgo ./bench/internal/workload -run 'Heaps|EveryShape/.*/(cgo|arrow-c)'

toolchains: ## programs built with other Go releases, which are downloaded
	VCPUALLOC_TOOLCHAINS="$(TOOLCHAINS)" $(TEST) ./internal/modes -run TestToolchains -v

soak: ## random operations for SOAK=10m, with system calls that fail
	$(STATIC) $(GO) test -tags vcpualloc_faults ./alloc -run TestSoak -count=1 -v -timeout 0 -args -soak $(SOAK)

mutants: ## break the sources in some hundred ways, and see each noticed (it takes long)
	$(GO) run ./internal/mutants -guest arm64-7.3

mutants-quick: ## a dozen of them
	$(GO) run ./internal/mutants -quick

mutants-derived: ## the mutants that are derived from arena/ and alloc/ (hours); SINCE=REV: those of changed lines
	$(GO) run ./internal/mutants -derive $(if $(SINCE),-changed $(SINCE)) ./arena ./alloc

model: ## check the models of draining and of memory order, and that broken ones fail
	docs/model/check.sh
	$(STATIC) $(TEST) ./internal/litmus -v -run "TestVerdicts|TestHerd"

apimodel: ## the public API against a model, for TIME in each of six builds and modes
	$(STATIC) $(GO) test ./internal/apimodel -count=1 -timeout 0 -time $(TIME)
	VCPUALLOC_MODE=cpu_id $(STATIC) $(GO) test ./internal/apimodel -count=1 -timeout 0 -time $(TIME)
	VCPUALLOC_MODE=assigned $(STATIC) $(GO) test ./internal/apimodel -count=1 -timeout 0 -time $(TIME)
	$(STATIC) $(GO) test -tags vcpualloc_gomem ./internal/apimodel -count=1 -timeout 0 -time $(TIME)
	$(STATIC) $(GO) test -tags vcpualloc_faults ./internal/apimodel -count=1 -timeout 0 -time $(TIME)
	$(CGO) $(GO) test -race ./internal/apimodel -count=1 -timeout 0 -time $(TIME)

stepper: ## interrupt every instruction of every section, and report
	$(STATIC) $(GO) run ./internal/stepper
	$(CGO) $(GO) run ./internal/stepper

test-kernels: ## the tests on other kernels, in QEMU
	$(GO) $(GUESTS)

# One old and one new kernel of each architecture, and what can go wrong there first.
test-kernels-few: ## the most important of them on four kernels
	$(GO) $(GUESTS) -row 'amd64-5.10 amd64-7.3 arm64-5.10 arm64-7.3' \
		'test:./vcpu -test.run=Probe|SelfTest' \
		'test:./rseqcs -test.run=StackConserves -stress=1s' \
		'test[vcpualloc_stalled]:./rseqcs -test.run=StackConserves -stress=1s' \
		'test:./alloc -test.run=OneOwner -stress=1s' \
		'VCPUALLOC_MODE=assigned test:./alloc -test.run=OneOwner -stress=1s' \
		'on=*-7.3 cmd[vcpualloc_stalled]:./internal/guests/churn -time=4s -offline -cpuset' \
		'on=*-5.10 cmd:./internal/guests/tiers'

harness: ## what the benchmark's own loops cost, against their limits: on a quiet machine
	$(STATIC) $(GO) test ./bench/... -run NONE -bench HarnessCost -benchtime 1x

golden: ## write the instruction counts of the fast paths anew
	$(GO) test ./internal/golden -count=1 -update

generate: ## write the generated files anew
	$(GO) generate ./... ./bench/...
