# Everything goes through .venv, which `bootstrap` makes from the hashed locks in requirements/.
.DEFAULT_GOAL := help
.PHONY: help run dashboard dashboard-dev test check smoke e2e e2e-alerts bench bench-fanout bench-operator bench-matching lock image kind-up deploy clean

PYTHON ?= python3
BOOTSTRAP = $(PYTHON) -I services/local/bootstrap.py
BIN = .venv/bin
DASHBOARD = $(BIN)/python -I services/local/dashboard.py
IMAGE ?= tickplane:0.1.0
BUILDER ?= docker
VALUES ?= charts/tickplane/values-kind.yaml
NAMESPACE ?= tickplane

help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 10

run: ## Run everything on this machine until Ctrl-C (ARGS=--plain for logs only)
	@$(BOOTSTRAP) run
	@$(DASHBOARD) build || true
	@$(BIN)/python -m services up $(ARGS)

dashboard: ## Build the dashboard (`make run` does so too when its sources changed)
	@$(BOOTSTRAP) run
	@$(DASHBOARD) build

dashboard-dev: ## Serve the dashboard's sources with hot reload; REST and WebSockets come from what `make run` has started
	@$(BOOTSTRAP) run
	@$(DASHBOARD) dev

test: ## Run every test; starts its own Kafka, Postgres and Valkey (ARGS="-k candles")
	@$(BOOTSTRAP) dev
	@$(BIN)/python -m pytest $(ARGS)

e2e: ## Put chart, operator and image through their life on the cluster of KUBECONFIG, which has IMAGE
	@$(BOOTSTRAP) dev
	@TICKPLANE_E2E_IMAGE=$(IMAGE) $(BIN)/python -m pytest tests/operator tests/chart tests/e2e --ignore=tests/e2e/browser $(ARGS)

e2e-alerts: ## Break each thing on the cluster of KUBECONFIG, which has IMAGE, and see its alert fire and clear
	@$(BOOTSTRAP) dev
	@TICKPLANE_E2E_IMAGE=$(IMAGE) $(BIN)/python -m pytest tests/alerts $(ARGS)

check: ## Lint, format, types, imports
	@$(BOOTSTRAP) dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

smoke: ## Try every piece of what `make run` has started
	@$(BOOTSTRAP) run
	@$(BIN)/python -m services smoke

bench: ## Measure speed and memory: a table, and one JSON line
	@$(BOOTSTRAP) bench
	@$(BIN)/python -m tests.bench $(ARGS)

bench-fanout: ## Measure the gateway beside Fastify and FastAPI (ARGS=--quick to try it)
	@$(BOOTSTRAP) bench
	@$(BIN)/python -m tests.bench.fanout $(ARGS)

bench-operator: ## Measure the operator on the cluster that KUBECONFIG names (ARGS=--quick to try it)
	@$(BOOTSTRAP) dev
	@$(BIN)/python -m tests.bench.operator $(ARGS)

bench-matching: ## Measure the matching engine: its core beside pure-Python peers, then the service (ARGS=--quick to try it)
	@$(BOOTSTRAP) bench
	@$(BIN)/python -m tests.bench.matching $(ARGS)

lock: ## Resolve every dependency anew into requirements/ and Kafka's jgo.lock.toml
	@$(BOOTSTRAP) dev
	@$(BIN)/python -m services.local.lock

image: ## Build the container image (IMAGE=tickplane:0.1.0 BUILDER=podman ARGS="--build-arg ...")
	$(BUILDER) build --tag $(IMAGE) $(ARGS) .

kind-up: image ## A cluster on this machine by kind, with the operators of Kafka and Postgres, and the image
	kind get clusters | grep -qx tickplane || kind create cluster --config kind-config.yaml
	kind load docker-image $(IMAGE) --name tickplane
	k8s/install-operators

deploy: ## Install the chart on the current cluster, or upgrade it (VALUES=my-values.yaml NAMESPACE=tickplane ARGS="--set ...")
	kubectl create namespace $(NAMESPACE) --dry-run=client -o yaml | kubectl apply -f -
	kubectl label namespace $(NAMESPACE) pod-security.kubernetes.io/enforce=restricted --overwrite
	helm upgrade --install tickplane charts/tickplane --namespace $(NAMESPACE) --values $(VALUES) --wait --timeout 15m $(ARGS)

clean: ## Remove all that these commands made, market data included
	rm -rf .tickplane .venv .tools .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	rm -rf services/gateway/dashboard/node_modules services/gateway/dashboard/dist services/gateway/dashboard/dist.new
	find services tests -name __pycache__ -type d -prune -exec rm -rf {} +
