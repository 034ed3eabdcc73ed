# The habits of this repository. `make test` is what must hold before a change lands.

.PHONY: run build test lint bench soak zookeeper

run: ## one node on this machine
	go run ./cmd/registrard dev

build: ## bin/registrard
	go build -o bin/registrard ./cmd/registrard

test: lint zookeeper ## everything that must hold; under eight minutes on two cores
	go test -race -timeout 8m ./...

lint: ## formatting, vet, staticcheck
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "not formatted:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go tool staticcheck ./...

zookeeper: ## the server that the tests of log/zklog run, where root may install it; they say that they skip otherwise
	@.ci/zookeeper

bench: ## what single pieces cost; the whole is measured as docs/performance.md says
	go test -run '^$$' -bench . -benchmem ./fsm ./registrar/... ./log/...

SOAK ?= 1h
soak: ## clusters under all faults for an hour, or SOAK=…; ends with one table
	SOAK=$(SOAK) go test -timeout 0 -parallel 16 -count 1 -v -run TestSoak ./cluster-tests
