# runsc-recover: an OCI runtime whose containers survive their own bugs.
#
#   make build    the binary, bin/runsc-recover
#   make test     everything that says whether the tree is good
#   make demo     a program that fails, is rolled back, is told, and goes on
#   make bench    what it costs, beside plain runsc; ONLY=pause,rollback measures those alone
#   make install  the binary and shell completion, under PREFIX

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
PREFIX  ?= /usr/local
OUT     ?= build
FUZZTIME ?= 20s

# Runs of its own module, so that nothing of it comes into ours.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.7.0

# gVisor's own version is left as it is: a sandbox refuses a checkpoint of
# another version, and rebuilding must not make ours unreadable.
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)

.PHONY: all build guests examples deps test unit lint soak fuzz bench demo arm64 install clean

all: build

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/runsc-recover ./runsc-recover

# Programs that run inside the sandboxes of the tests.
guests: examples
	$(MAKE) --no-print-directory -C test/guest OUT=$(abspath $(OUT))/guest

examples:
	$(MAKE) --no-print-directory -C examples OUT=$(abspath $(OUT))/examples

deps:
	tools/install-deps.sh

lint:
	@test -z "$$(gofmt -l $$(git ls-files '*.go') | tee /dev/stderr)" || { echo 'not formatted: run gofmt -w' >&2; exit 1; }
	$(GO) mod tidy -diff
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) test -count=1 ./tools/rules

test: deps build guests lint
	$(GO) run ./tools/testrun

unit:
	$(GO) run ./tools/testrun unit

# Ten minutes of every way to change memory, under checkpoints that are compared.
soak: build guests
	MUTATE_SECONDS=600 $(GO) test -count=1 -v -timeout 20m -run TestNothingIsMissed ./test/soak

fuzz:
	$(GO) run ./tools/testrun -fuzztime $(FUZZTIME) fuzz

bench: deps build guests
	CGO_ENABLED=0 $(GO) build -trimpath -o $(OUT)/runsc gvisor.dev/gvisor/runsc
	$(GO) run ./tools/bench -only "$(ONLY)" -recover bin/runsc-recover -runsc $(OUT)/runsc -guests $(OUT)/guest -json $(OUT)/bench.json

demo: deps build examples
	EXAMPLES=$(OUT)/examples tools/demo.sh

# Only that it compiles: nothing of it runs on another machine.
arm64:
	GOOS=linux GOARCH=arm64 CGO_ENABLED=0 $(GO) build -trimpath -o /dev/null ./runsc-recover

install: build
	install -D -m 755 bin/runsc-recover $(DESTDIR)$(PREFIX)/bin/runsc-recover
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions
	bin/runsc-recover completion bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/runsc-recover
	bin/runsc-recover completion zsh >$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_runsc-recover

clean:
	rm -rf bin $(OUT)
