#!/bin/sh
# Lets a property-based tool make requests, valid and not, from the description of the HTTP interface of a node that
# this starts, and hold the answers to it: no 5xx, no status, header or field that is not described, nothing valid
# refused and nothing invalid taken. Called by `make api`; the seed is fixed there.
#
# Needs python3 with venv. Installs schemathesis, at the version below, into target/api/venv and nowhere else.
set -eu
SCHEMATHESIS=4.32.5
here=$(cd "$(dirname "$0")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../../../target}
selvedge=$(realpath "${SELVEDGE:-$target/debug/selvedge}")
mkdir -p "$target/api"
work=$(cd "$target/api" && pwd)

if [ "$("$work/venv/bin/st" --version 2>/dev/null | grep -o '[0-9.]*$' || :)" != "$SCHEMATHESIS" ]; then
  echo "installing schemathesis $SCHEMATHESIS into $work/venv"
  python3 -m venv --clear "$work/venv"
  "$work/venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$SCHEMATHESIS"
fi

data=$(mktemp -d "$work/node-XXXXXX")
"$selvedge" dev --data-dir "$data" --quic 127.0.0.1:0 --peer 127.0.0.1:0 --http 127.0.0.1:0 \
  --ready-file "$data/ready" >"$work/node.log" 2>&1 &
node=$!
stop() {
  kill -INT "$node" 2>/dev/null || :
  wait "$node" 2>/dev/null || :
  rm -rf "$data"
}
trap stop EXIT
trap 'exit 130' INT TERM

tries=0
until [ -s "$data/ready" ]; do
  tries=$((tries + 1))
  if [ "$tries" -gt 300 ] || ! kill -0 "$node" 2>/dev/null; then
    echo "the node did not start:"
    cat "$work/node.log"
    exit 1
  fi
  sleep 0.1
done
field() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$data/ready" "$1"; }

# What the tool leaves behind it leaves here.
cd "$work"
SELVEDGE_TOKEN=$(field token)
export SELVEDGE_TOKEN
"$work/venv/bin/st" --config-file "$here/schemathesis.toml" --no-color \
  run "http://$(field http)/openapi.json" "$@"
