# Everything here works in a fresh clone. `make test` needs nothing but Go; `make system` needs a container engine too.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# kgo blocks on channels instead of mutexes with this tag, which virtual time in tests depends on. It changes nothing else.
TAGS := synctests
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT := $(shell git rev-parse HEAD 2>/dev/null)
DATE := $(shell TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.date=$(DATE)

# Tools live outside the module's own dependency graph, one file per version, kept between clones. Those that replace
# modules have a module of their own below tools, which says their versions.
TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/leadsink/tools
version_of = $(shell awk '$$1 == "$(2)" { print $$2 }' tools/$(1)/go.mod)
GOLANGCI_LINT_VERSION := v2.15.0
ACTIONLINT_VERSION := v1.7.12
HELM_VERSION := v4.3.1
HELM_UNITTEST_VERSION := $(call version_of,helm-unittest,github.com/helm-unittest/helm-unittest)
COMPOSE_VERSION := $(call version_of,compose,github.com/docker/compose/v2)
KUBERNETES_VERSION := $(call version_of,kubernetes,k8s.io/kubernetes)
GOLANGCI_LINT := $(TOOLS)/golangci-lint-$(GOLANGCI_LINT_VERSION)
COLLECTOR_VERSION := v0.155.0
COLLECTOR := $(TOOLS)/otelcol-$(COLLECTOR_VERSION)
ACTIONLINT := $(TOOLS)/actionlint-$(ACTIONLINT_VERSION)
HELM := $(TOOLS)/helm-$(HELM_VERSION)
HELM_UNITTEST := $(TOOLS)/helm-unittest-$(HELM_UNITTEST_VERSION)
COMPOSE := $(TOOLS)/compose-$(COMPOSE_VERSION)
KUBE_APISERVER := $(TOOLS)/kube-apiserver-$(KUBERNETES_VERSION)
KUBECTL := $(TOOLS)/kubectl-$(KUBERNETES_VERSION)

BINARY ?= bin/leadsink
IMAGE ?= leadsink:dev
KAFKA_IMAGE := apache/kafka:4.3.1
REGISTRY_VERSION := 2.6.13.Final
FUZZTIME ?= 10s
RECORDS ?= 50000
FAULTS ?= 24
SCREENSHOTS ?= bin

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## the program, as bin/leadsink
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "$(LDFLAGS)" -o $(BINARY) ./cmd/leadsink

.PHONY: demo
demo: build ## everything in one process: Kafka, LeadSquared, events, the connector
	bin/leadsink demo

.PHONY: test
test: ## all tests that need no broker, with the race detector; the engine's also whole, which is too much for it
	go test -race -short -tags=$(TAGS) -shuffle=on -timeout 25m ./...
	go test -tags=$(TAGS) -shuffle=on -timeout 25m ./connector

.PHONY: system
system: ## the suite against a real Apache Kafka in a container, or at KAFKA_SEEDS
	TESTCONTAINERS_RYUK_DISABLED=true go test -tags=system,$(TAGS) -count=1 -timeout 25m -v -run '^TestSystem' ./cmd/leadsink/...

.PHONY: endurance
endurance: ## the long forms of tests of the system suite: shares of a limit, and static members that are killed and suspended
	TESTCONTAINERS_RYUK_DISABLED=true go test -tags=system,$(TAGS) -count=1 -timeout 25m -v -run '^TestSystem(Shares|StaticMembers)' ./cmd/leadsink -args -long

.PHONY: chaos
chaos: ## three members and three brokers while everything fails: RECORDS (50000), FAULTS (24), SEED to repeat
	TESTCONTAINERS_RYUK_DISABLED=true go test -tags=system,$(TAGS) -count=1 -timeout 90m -v -run '^TestChaos$$' ./cmd/leadsink \
		-args -chaos.records=$(RECORDS) -chaos.faults=$(FAULTS) -chaos.seed=$(or $(SEED),0)

.PHONY: scenarios
scenarios: ## ten thousand random scenarios of the engine, in virtual time
	go test -tags=$(TAGS) -count=1 -timeout 90m -run '^TestEngineKeepsItsInvariantsInRandomScenarios$$' ./connector -args -scenarios=10000

.PHONY: breakages
breakages: ## one deliberate breakage after another: a named test must notice each
	go test -tags=breakages,$(TAGS) -count=1 -timeout 25m -v -run '^TestEveryBreakageIsCaught$$' ./connector

.PHONY: observability
observability: $(COLLECTOR) ## dashboard and alerts by promtool, and traces in a real OpenTelemetry Collector
	go test -tags=observability,$(TAGS) -count=1 -v ./deploy/observability
	LEADSINK_COLLECTOR=$(COLLECTOR) go test -tags=collector,$(TAGS) -count=1 -timeout 10m -v -run '^TestCollector' ./cmd/leadsink

$(COLLECTOR):
	deploy/observability/collector/build $(COLLECTOR_VERSION) $@

.PHONY: browser
browser: ## the status page in headless Chromium; its pictures go to SCREENSHOTS (bin)
	mkdir -p $(SCREENSHOTS)
	go test -tags=browser,$(TAGS) -count=1 -timeout 10m -v -artifacts -outputdir $(abspath $(SCREENSHOTS)) -run '^TestThePage' ./cmd/leadsink

.PHONY: image
image: ## the image, as leadsink:dev or IMAGE
	@# The classic builder has to be told the platform; its bridge may not reach what the machine does.
	if docker buildx version >/dev/null 2>&1; then build="buildx build --load"; else \
		export DOCKER_BUILDKIT=0; build="build --network host --build-arg BUILDPLATFORM=linux/$$(go env GOARCH)"; fi; \
	docker $$build --build-arg VERSION=$(VERSION) --build-arg COMMIT=$(COMMIT) --build-arg DATE=$(DATE) \
		-f deploy/docker/Dockerfile -t $(IMAGE) .
	@# What the classic builder leaves of a build is the next one's cache, and soon too much of it.
	docker image prune --force --filter label=leadsink.stage=build --filter until=24h

.PHONY: image-test
image-test: $(HELM) ## the image beside a real Apache Kafka: its size, its bytes, and a pod's life; needs make image
	TESTCONTAINERS_RYUK_DISABLED=true HELM=$(HELM) LEADSINK_IMAGE=$(IMAGE) \
		go test -tags=system,$(TAGS) -count=1 -timeout 15m -v -run '^TestImage' ./cmd/leadsink

.PHONY: chart
chart: $(HELM) $(HELM_UNITTEST) ## the Helm chart: lint, unit tests, every set of values through leadsink validate
	$(HELM_UNITTEST) deploy/helm/leadsink
	HELM=$(HELM) go test -tags=deploy -count=1 -timeout 10m -v -run '^TestChart' ./deploy

.PHONY: package
package: $(HELM) ## the chart as an archive in bin, under the version of the tag
	$(HELM) package deploy/helm/leadsink --destination bin --version $(patsubst v%,%,$(VERSION)) --app-version $(patsubst v%,%,$(VERSION))

.PHONY: helm
helm: $(HELM) # its path, for the release
	@echo $(HELM)

.PHONY: kubernetes
kubernetes: $(HELM) $(KUBE_APISERVER) $(KUBECTL) ## the chart in a Kubernetes API server; needs etcd
	HELM=$(HELM) KUBECTL=$(KUBECTL) KUBE_APISERVER=$(KUBE_APISERVER) \
		go test -tags=deploy -count=1 -timeout 15m -v -run '^TestKubernetes' ./deploy

.PHONY: compose
compose: $(COMPOSE) ## the compose file, up and down; needs make image
	COMPOSE=$(COMPOSE) go test -tags=deploy -count=1 -timeout 15m -v -run '^TestCompose' ./deploy

.PHONY: go-image
go-image: ## golang's stand-in from this machine's Go, where no image registry can be reached
	deploy/go-image/build

.PHONY: kafka-image
kafka-image: ## apache/kafka's stand-in from Maven Central's jars, where no image registry can be reached
	deploy/kafka-image/build $(KAFKA_IMAGE)

.PHONY: registry
registry: ## the schema registry that the system suite starts, from Maven Central
	deploy/registry/fetch $(or $(LEADSINK_REGISTRY),$(dir $(TOOLS))registry) $(REGISTRY_VERSION)

.PHONY: fuzz
fuzz: ## every fuzz test, FUZZTIME (10s) each
	go list -tags=$(TAGS) -f '{{.ImportPath}}' ./... | while read -r package; do \
		go test -tags=$(TAGS) -list '^Fuzz' "$$package" | { grep '^Fuzz' || true; } | while read -r name; do \
			echo "$$package $$name"; \
			go test -tags=$(TAGS) -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x "$$package"; \
		done; \
	done

.PHONY: bench
bench: ## leadsink's rows a second and memory beside the floor's, as ratios; a few minutes
	go run ./cmd/bench

.PHONY: lint
lint: $(GOLANGCI_LINT) $(ACTIONLINT) ## format, vet, linters, imports' directions, tidy module file, modern Go, workflows
	$(GOLANGCI_LINT) run ./...
	$(ACTIONLINT)
	go vet -tags=system,browser,collector,observability,deploy,$(TAGS) ./...
	go mod tidy -diff
	go fix -diff ./...
	@go list -m -f '{{if not (or .Main .Indirect)}}{{.Path}}{{end}}' all | while read -r module; do \
		grep -qF "\`$$module\`" docs/dependencies.md || { echo "docs/dependencies.md gives no reason for $$module"; exit 1; }; \
	done
	@# A sleep in a test moves virtual time inside a bubble; outside one it only makes the test slow and unsure.
	@# The world of the engine's tests lives in a bubble.
	@sleeps=$$(git ls-files -co --exclude-standard '*_test.go' | xargs -r grep -l 'time\.Sleep(' | xargs -r grep -LE '"testing/synctest"|\*world\b|in[A-Za-z]*World\(t') || true; \
		if [ -n "$$sleeps" ]; then echo "time.Sleep in a test without testing/synctest: $$sleeps"; exit 1; fi

.PHONY: tools
tools: $(GOLANGCI_LINT) $(ACTIONLINT) $(HELM) $(HELM_UNITTEST) $(COMPOSE) $(KUBE_APISERVER) $(KUBECTL) ## the pinned tools; a quarter of an hour the first time

# install puts the program of a package and its version where the target says.
define install
mkdir -p $(TOOLS)
GOBIN=$(TOOLS) go install -ldflags '-s -w' $(1)
mv $(TOOLS)/$(firstword $(subst -v, ,$(notdir $@))) $@
endef

# build_tool does the same with a package of a module below tools, and what the linker is to set.
define build_tool
mkdir -p $(TOOLS)
cd tools/$(1) && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w $(3)' -o $@ $(2)
endef

kubernetes_version := k8s.io/component-base/version
kubernetes_ldflags := -X $(kubernetes_version).gitVersion=$(KUBERNETES_VERSION) \
	-X $(kubernetes_version).gitMajor=$(patsubst v%,%,$(firstword $(subst ., ,$(KUBERNETES_VERSION)))) \
	-X $(kubernetes_version).gitMinor=$(word 2,$(subst ., ,$(KUBERNETES_VERSION)))

$(GOLANGCI_LINT):
	$(call install,github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION))
$(ACTIONLINT):
	$(call install,github.com/rhysd/actionlint/cmd/actionlint@$(ACTIONLINT_VERSION))
$(HELM):
	$(call install,helm.sh/helm/v4/cmd/helm@$(HELM_VERSION))
$(HELM_UNITTEST):
	$(call build_tool,helm-unittest,github.com/helm-unittest/helm-unittest/cmd/helm-unittest)
$(COMPOSE):
	$(call build_tool,compose,github.com/docker/compose/v2/cmd,-X github.com/docker/compose/v2/internal.Version=$(COMPOSE_VERSION))
$(KUBE_APISERVER) $(KUBECTL):
	$(call build_tool,kubernetes,k8s.io/kubernetes/cmd/$(firstword $(subst -v, ,$(notdir $@))),$(kubernetes_ldflags))

.PHONY: format
format: $(GOLANGCI_LINT) ## rewrite files as gofumpt wants them
	$(GOLANGCI_LINT) fmt ./...
