#!/usr/bin/env bash
# Runs every test of the published crates, the tests of the examples, and the examples in the documentation. The tests of
# optional features run first. Arguments are passed to the last `cargo test`. ci/peers.sh tests kahn-bench.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo test -p kahn-core --features tracing --test stuck
cargo test -p kahn-actors --features tracing --test supervisor_log
cargo test "$@"
