# Every target does its own set-up on a machine that has Go, git, make and apt, and says so when it installs something.

GO    ?= go
BIN   := bin/obscura
# What the compiler knows of where a server spends its time. It has not Go's own name for it, default.pgo, so that the
# builds of tests do not compile every package a second time.
PGO   := cmd/obscura/server.pgo
# Tests that need these tools are skipped by `go test ./...` where they are missing, and fail here.
NEEDS := ffmpeg,aws,openssl

.PHONY: help build demo test race proofs lint generate check-generated bench profile fuzz clean tools

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

build: ## build bin/obscura
	@$(GO) build -pgo=$(PGO) -o $(BIN) ./cmd/obscura

demo: build ## start a server and a camera, and show how to watch
	@$(BIN) demo

test: tools ## run every test, those with real clients too
	OBSCURA_TEST_REQUIRE=$(NEEDS) $(GO) test -timeout 15m ./...

race: ## run the tests under the race detector
	$(GO) test -race -timeout 30m ./...

proofs: ## have the models of end-to-end encryption proved; needs proverif
	OBSCURA_TEST_REQUIRE=proverif $(GO) test -count=1 -v ./test/proofs

lint: ## gofumpt, vet, staticcheck, and govulncheck where its database is reached
	@fmt=$$($(GO) tool gofumpt -l . ); if [ -n "$$fmt" ]; then echo "not gofumpt'ed:"; echo "$$fmt"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	@sh scripts/govulncheck.sh

generate: ## make the wire packages from the service models, and the tables of docs/compat
	$(GO) run ./internal/codegen

check-generated: ## fail when generated files, go.mod or docs/compat are not current
	$(GO) run ./internal/codegen -check
	$(GO) mod tidy -diff

bench: build ## measure, by the method in docs/benchmarks.md
	$(GO) run ./bench

profile: ## make cmd/obscura/server.pgo anew, by ten minutes of load at most
	rm -rf bin/profiles && mkdir -p bin/profiles
	$(GO) run -trimpath ./bench -only kms,latency,ingest -calls "8 callers" -rounds 1 -round 6s -out "" -profiles bin/profiles
	$(GO) tool pprof -proto -output=$(PGO) bin/profiles/*.pprof

tools:
	@sh scripts/tools.sh $(NEEDS)

clean: ## remove what was built
	rm -rf bin
