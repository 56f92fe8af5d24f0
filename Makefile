# The two commands of the README are run and test. Plain "make" prints the targets.

GO      ?= go
SUDO    ?= $(shell [ "$$(id -u)" = 0 ] || command -v sudo)
STRESS  ?= 2s
SOAK    ?= 10m
TIME    ?= 10s

# Go releases that "make toolchains" builds with, besides the one that runs it:
# go1.25 is its newest patch. The go command downloads them; empty for none.
TOOLCHAINS ?= go1.25 go1.27
# The Debian mirror that kernels and QEMU come from; empty for that of this
# machine's apt.
MIRROR  ?=
GUESTS  := run ./internal/guests $(if $(MIRROR),-mirror $(MIRROR))

# Without internal/modes, which chooses how its programs are built by itself.
CORE    := ./vcpu ./rseqcs ./arena ./alloc $(addprefix ./internal/,osmem procpin regcall rseq seccomp)
HEAPS   := ./rseqcs ./arena ./alloc
STATIC  := CGO_ENABLED=0
CGO     := CGO_ENABLED=1

.DEFAULT_GOAL := help
.PHONY: help run test deps vet portable static cgo race modes toolchains stalled faults soak mutants mutants-quick mutants-derived gomem model apimodel outside stepper test-kernels test-kernels-few generate golden

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## the features of this machine, and the comparison with make, sync.Pool and the C allocators there are
	@echo "building the benchmark (the first time this takes a minute, and downloads gonum/plot)..."
	@$(STATIC) $(GO) run ./bench run -time 300ms

test: deps vet portable static cgo race modes toolchains stalled faults mutants-quick gomem model outside ## everything that is tested on one machine
	@echo "all tests passed"

deps: ## install what the tests need and is missing: redis-tools, gcc, musl-tools, spin, herdtools7 where there is one
	@missing=""; \
	command -v redis-cli >/dev/null && command -v redis-benchmark >/dev/null || missing="redis-tools"; \
	command -v gcc >/dev/null && [ -e /usr/include/stdlib.h ] || missing="$$missing gcc libc6-dev"; \
	command -v musl-gcc >/dev/null || missing="$$missing musl-tools"; \
	command -v spin >/dev/null || missing="$$missing spin"; \
	command -v herd7 >/dev/null || ! apt-cache show herdtools7 >/dev/null 2>&1 || missing="$$missing herdtools7"; \
	if [ -n "$$missing" ]; then \
		echo "installing $$missing"; \
		$(SUDO) apt-get update -q && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -qy $$missing; \
	fi

vet: ## go vet for both architectures, and gofmt
	@files=$$(gofmt -l .); if [ -n "$$files" ]; then echo "gofmt would change:"; echo "$$files"; exit 1; fi
	GOARCH=amd64 $(STATIC) $(GO) vet ./... ./bench/... ./examples/... ./internal/apimodel
	GOARCH=arm64 $(STATIC) $(GO) vet ./... ./bench/... ./examples/... ./internal/apimodel

portable: ## build for systems without sections, and test one of them
	GOOS=darwin $(GO) build ./...
	GOOS=windows $(GO) build ./...
	GOOS=freebsd $(GO) build ./...
	GOARCH=riscv64 $(GO) build ./...
	GOARCH=386 $(STATIC) $(GO) test $(HEAPS) -count=1
	GOARCH=arm64 $(GO) build ./...
	GOARCH=arm64 $(GO) build -tags vcpualloc_stalled ./...

static: ## the core without cgo: rseq areas of our own
	$(STATIC) $(GO) test ./... -count=1 -timeout 10m

cgo: ## the core with cgo
	$(CGO) $(GO) test $(CORE) -count=1 -timeout 10m

race: ## the core under the race detector: glibc's rseq areas
	$(CGO) $(GO) test -race $(CORE) -count=1 -timeout 10m

modes: ## the lower tiers
	VCPUALLOC_MODE=cpu_id $(STATIC) $(GO) test $(HEAPS) -count=1 -timeout 10m
	VCPUALLOC_MODE=assigned $(STATIC) $(GO) test $(HEAPS) -count=1 -timeout 10m
	VCPUALLOC_MODE=assigned $(CGO) $(GO) test -race $(HEAPS) -count=1 -timeout 10m

toolchains: ## programs built with other Go releases, which are downloaded
	VCPUALLOC_TOOLCHAINS="$(TOOLCHAINS)" $(GO) test ./internal/modes -run TestToolchains -v -count=1 -timeout 10m

stalled: ## the sections with delays between their steps
	$(STATIC) $(GO) test -tags vcpualloc_stalled ./rseqcs ./alloc -run 'Conserve|Exact|OneOwner|Point|Capped' -count=1 -timeout 10m -args -stress $(STRESS)

faults: ## system calls that fail, each in turn and at random
	$(STATIC) $(GO) test -tags vcpualloc_faults ./alloc ./arena -run "Fault|Soak|UnderALock" -count=1 -timeout 10m

soak: ## random operations for SOAK=10m, with system calls that fail
	$(STATIC) $(GO) test -tags vcpualloc_faults ./alloc -run TestSoak -count=1 -v -timeout 0 -args -soak $(SOAK)

mutants: ## break the sources in some hundred ways, and see each noticed (it takes long)
	$(GO) run ./internal/mutants -guest arm64-7.3

mutants-quick: ## a dozen of them
	$(GO) run ./internal/mutants -quick

mutants-derived: ## the mutants that are derived from arena/ and alloc/ (hours); SINCE=REV: those of changed lines
	$(GO) run ./internal/mutants -derive $(if $(SINCE),-changed $(SINCE)) ./arena ./alloc

gomem: ## the heap on Go memory, as on systems without mmap
	$(STATIC) $(GO) test -tags vcpualloc_gomem ./arena ./alloc -count=1 -timeout 10m

model: ## check the models of draining and of memory order, and that broken ones fail
	docs/model/check.sh
	$(STATIC) $(GO) test ./internal/litmus -count=1 -v -run "TestVerdicts|TestHerd"

apimodel: ## the public API against a model, for TIME in each of six builds and modes
	$(STATIC) $(GO) test ./internal/apimodel -count=1 -timeout 0 -time $(TIME)
	VCPUALLOC_MODE=cpu_id $(STATIC) $(GO) test ./internal/apimodel -count=1 -timeout 0 -time $(TIME)
	VCPUALLOC_MODE=assigned $(STATIC) $(GO) test ./internal/apimodel -count=1 -timeout 0 -time $(TIME)
	$(STATIC) $(GO) test -tags vcpualloc_gomem ./internal/apimodel -count=1 -timeout 0 -time $(TIME)
	$(STATIC) $(GO) test -tags vcpualloc_faults ./internal/apimodel -count=1 -timeout 0 -time $(TIME)
	$(CGO) $(GO) test -race ./internal/apimodel -count=1 -timeout 0 -time $(TIME)

outside: ## the benchmark program and the examples
	$(STATIC) $(GO) test ./bench/... ./examples/... -count=1 -timeout 10m
	$(CGO) $(GO) test -tags benchcgo ./bench/internal/workload -run 'Heaps|EveryShape/.*/(cgo|arrow-c)' -count=1 -timeout 10m

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

golden: ## write the instruction counts of the fast paths anew
	$(GO) test ./internal/golden -count=1 -update

generate: ## write the generated files anew
	$(GO) generate ./... ./bench/...
