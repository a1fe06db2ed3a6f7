# The commands of this repository. `make test` is what CI runs.

CARGO ?= cargo

.PHONY: test needs fmt lint unit demo bench

test: needs fmt lint unit

# What the tests need beyond the Rust toolchain: a C compiler, for the crypto library.
needs:
	@command -v cc >/dev/null || { \
	  echo "installing a C compiler (package build-essential)"; \
	  if [ "$$(id -u)" = 0 ]; then apt-get update -q && apt-get install -y -q build-essential; \
	  else sudo apt-get update -q && sudo apt-get install -y -q build-essential; fi; }

fmt:
	$(CARGO) fmt --all --check

lint:
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

unit:
	$(CARGO) test --workspace --locked

demo:
	$(CARGO) run --release -- demo

bench:
	$(CARGO) bench --workspace --locked
