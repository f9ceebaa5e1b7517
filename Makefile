# The short way to everything. `make help` lists what there is; each line of work is in scripts/.

DIR ?= examples/site
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help serve test lint fmt doc bench fuzz bun bun-package setup

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

serve: ## build and serve DIR (default examples/site) over HTTP/3; ARGS="--listen [::]:8443"
	@scripts/setup build
	cargo build --release --package lorraine-cli
	$${CARGO_TARGET_DIR:-target}/release/lorraine serve $(DIR) $(ARGS)

test: ## run every test: Rust, C, Bun, QPACK against another stack, Python clients, Chromium, Firefox
	@scripts/check test

lint: ## check formatting, clippy, documentation, the layout and the dependencies
	@scripts/check lint

fmt: ## format the Rust sources
	cargo fmt --all

doc: ## build the API documentation
	@scripts/setup build
	cargo doc --workspace --no-deps

bench: ## measure Lorraine beside other servers; ARGS go to the script
	@scripts/bench $(ARGS)

fuzz: ## fuzz each target for SECONDS (default 30)
	@scripts/fuzz $(SECONDS)

bun: ## build the native library and install Bun, for bun/: `cd bun && npx bun run examples/hello.ts`
	@scripts/ffi build
	@scripts/setup bun
	@printf 'Bun is at bun/node_modules/.bin/bun\n'

bun-package: bun ## make bun/dist/*.tgz for this platform, and install them in an empty folder to see that they work
	@scripts/bun-package

setup: ## only install what the other commands need
	@scripts/setup build clients browser firefox
