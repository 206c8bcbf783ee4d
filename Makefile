# The verbs of this repository; the work itself is in scripts/check.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  ?= $(shell git rev-parse --verify -q HEAD 2>/dev/null || echo unknown)

LINK     = -s -w -X main.stampedVersion=$(VERSION) -X main.stampedCommit=$(COMMIT)
PLATFORM = linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64

.PHONY: help build release test soak fmt lint fuzz mutants bench console screenshots

help: ## list these verbs
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/leat: static, with its version inside
	CGO_ENABLED=0 go build -trimpath -ldflags "$(LINK)" -o bin/leat ./cmd/leat

release: ## build bin/release/leat-OS-ARCH for every PLATFORM, and SHA256SUMS
	rm -rf bin/release && mkdir -p bin/release
	@for platform in $(PLATFORM); do \
		os=$${platform%/*} arch=$${platform#*/} name=leat-$$os-$$arch; \
		[ $$os != windows ] || name=$$name.exe; \
		echo $$name; \
		GOOS=$$os GOARCH=$$arch CGO_ENABLED=0 go build -trimpath -ldflags "$(LINK)" -o bin/release/$$name ./cmd/leat || exit 1; \
	done
	cd bin/release && sha256sum leat-* >SHA256SUMS

test: ## everything that CI runs
	@scripts/check

soak: ## the tests at length (LEAT_SOAK=1), and a minute of fuzzing per target
	@LEAT_SOAK=1 TEST_TIMEOUT=60m FUZZ_TIME=1m scripts/check test real conformance fuzz

fmt: ## rewrite the Go files with gofmt
	@scripts/check fmt

lint: ## the checks that run no test: gofmt, go vet, staticcheck, go mod tidy
	@scripts/check format vet lint tidy

fuzz: ## fuzz every target for FUZZ_TIME (2s)
	@scripts/check fuzz

mutants: ## break each guarantee on purpose and expect its test to fail
	@scripts/check mutants

bench: build ## measure Leat beside its rivals: a table, and bin/bench.json (BENCH: flags)
	@command -v npm >/dev/null && cd bench/durable-streams && { test -d node_modules || npm ci --no-audit --no-fund; } || echo "npm has not installed bench/durable-streams: that server is not measured"
	@cd bench && go run . -leat ../bin/leat -json ../bin/bench.json $(BENCH)

console: ## build the page that is embedded: console/dist from console/app
	@cd console/app && npm ci --ignore-scripts --no-audit --no-fund && npm run --silent check && npm run --silent build

screenshots: build ## pictures of the console for the documentation: docs/images
	@cd console/app && npm run --silent screenshots
