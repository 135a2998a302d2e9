#!/usr/bin/env bash
# Runs the tests of the published crates with homes that travel. ci/test.sh runs them with homes that are kernel threads. Where thread
# identities cannot travel, the runtimes fall back to kernel threads, and this repeats ci/test.sh.
# Arguments are passed to `cargo test`.
set -euo pipefail
cd "$(dirname "$0")/.."
export KAHN_HOMES=travelling
cargo build --examples
cargo test --lib --bins --tests "$@"
