# Everything goes through .venv, which `bootstrap` makes from the hashed locks in requirements/.
.DEFAULT_GOAL := help
.PHONY: help run test check smoke bench lock clean

PYTHON ?= python3
BOOTSTRAP = $(PYTHON) -I services/local/bootstrap.py
BIN = .venv/bin

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

run: ## Run everything on this machine until Ctrl-C (ARGS=--plain for logs only)
	@$(BOOTSTRAP) run
	@$(BIN)/python -m services up $(ARGS)

test: ## Run every test; starts its own Kafka, Postgres and Valkey (ARGS="-k candles")
	@$(BOOTSTRAP) dev
	@$(BIN)/python -m pytest $(ARGS)

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

lock: ## Resolve every dependency anew into requirements/ and Kafka's jgo.lock.toml
	@$(BOOTSTRAP) dev
	@$(BIN)/python -m services.local.lock

clean: ## Remove all that these commands made, market data included
	rm -rf .tickplane .venv .tools .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find services tests -name __pycache__ -type d -prune -exec rm -rf {} +
