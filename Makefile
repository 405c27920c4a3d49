# `make` lists the targets; each of them installs first whatever is missing.
.DEFAULT_GOAL := help
.PHONY: help install demo test test-ray test-others test-foreign lint docs constraints clean force
.DELETE_ON_ERROR:

# What Python compiles is kept, whatever the variables say: without it every process compiles all it imports again.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
STAMP := .venv/.installed
COMPILED := .venv/.compiled
PROJECTS := pyproject.toml $(wildcard plugins/*/pyproject.toml)
EXAMPLES := $(wildcard examples/*/gym_*)
PACKAGES := gym_core $(wildcard plugins/*/gym_*) $(EXAMPLES)
TESTS := tests $(wildcard plugins/*/tests examples/*/tests)

# The tests may use nothing but loopback: whoever asks a package index fails at once.
OFFLINE := UV_OFFLINE=1 PIP_NO_INDEX=1
RAY := plugins/ray/tests/test_ray.py
# Extra arguments for pytest or the demo: make test ARGS="-k retry"; ARGS="-m 'not slow'" is the quick loop.
ARGS ?=

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 20

install: $(STAMP) ## Create .venv with gym, its plugins and the development tools

$(STAMP): $(PROJECTS) constraints.txt scripts/install.sh $(if $(wildcard .wheelhouse),,force)
	@PYTHON="$(PYTHON)" sh scripts/install.sh

demo: install ## Watch a small language model use a tool and earn rewards
	$(BIN)/gym run --model local --env simple_weather --limit 8 $(ARGS)

test: install ## Run every test in parallel, without network
	@# A Ray sees no network but loopback, and waits more than it works: it runs beside all others.
	@$(MAKE) --no-print-directory -j 2 test-ray test-others

test-ray:
	@# What it says comes in one piece, in between what the others say.
	@log=$$(mktemp) && { $(OFFLINE) sh scripts/loopback_only.sh $(BIN)/python -m pytest $(RAY) $(ARGS) >"$$log" 2>&1 || test $$? -eq 5; }; \
		status=$$?; echo; cat "$$log"; rm -f "$$log"; exit $$status

test-others:
	@# Once after an installation all tests are compiled, which every worker would do otherwise.
	test $(COMPILED) -nt $(STAMP) || { $(BIN)/python -m pytest --collect-only -qq >$(COMPILED).part 2>&1 && mv $(COMPILED).part $(COMPILED); } || true
	$(OFFLINE) $(BIN)/python -m pytest -n auto --dist worksteal --ignore $(RAY) $(ARGS)

test-foreign: install ## Load what gym writes with the packages that it is for, each in a venv of its own
	rm -f .foreign/results.jsonl
	$(BIN)/python -m pytest -m foreign $(ARGS); status=$$?; $(BIN)/python scripts/foreign_table.py; \
		$(BIN)/python scripts/parity_table.py; exit $$status

lint: install ## Check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict $(PACKAGES)
	for tests in $(TESTS); do $(BIN)/mypy --strict $$tests || exit; done
	$(BIN)/basedpyright --level error $(EXAMPLES)
	$(BIN)/lint-imports

docs: install ## Build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

constraints: install ## Update constraints.txt to the newest versions that resolve together
	printf -- '-e ./%s\n' $(dir $(PROJECTS)) \
	| $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate \
	    --all-extras --group dev $(PROJECTS) - >.venv/resolved.txt
	grep '==' .venv/resolved.txt >constraints.txt

clean: ## Remove what the other targets made, results excepted
	rm -rf .venv .wheelhouse .wheelhouse.part site dist build
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
