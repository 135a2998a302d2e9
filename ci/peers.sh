#!/usr/bin/env bash
# kahn-bench: clippy and its tests. Apart from ci/lint.sh and ci/test.sh, because it compiles the six runtimes that kahn is
# measured against. It measures nothing: ci/bench.sh does.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo clippy -p kahn-bench --all-targets -- -D warnings
cargo test -p kahn-bench
