#!/usr/bin/env bash
# Every test of every crate, the examples' own tests and the examples in the documentation. More arguments go to cargo.
set -euo pipefail
cd "$(dirname "$0")/.."
# What only an optional feature brings.
cargo test -p kahn-core --features tracing --test stuck
cargo test -p kahn-actors --features tracing --test supervisor_log
cargo test --workspace "$@"
