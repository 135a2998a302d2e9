#!/usr/bin/env bash
# Every test of the crates that are published, the examples' own tests, and the examples in the documentation: `cargo test`,
# after the tests of what only an optional feature brings. More arguments go to `cargo test`. ci/peers.sh tests kahn-bench.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo test -p kahn-core --features tracing --test stuck
cargo test -p kahn-actors --features tracing --test supervisor_log
cargo test "$@"
