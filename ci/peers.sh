#!/usr/bin/env bash
# Runs clippy on kahn-bench, and its tests. ci/lint.sh and ci/test.sh leave kahn-bench out, because it compiles the six runtimes
# that kahn is compared with. This measures nothing: ci/bench.sh does.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo clippy -p kahn-bench --all-targets -- -D warnings
cargo test -p kahn-bench
