#!/usr/bin/env bash
# Format, clippy, documentation: a warning is an error. All three are run, so that one look shows everything.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=()
cargo fmt --all --check || failed+=(format)
cargo clippy --workspace --all-targets -- -D warnings || failed+=(clippy)
RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --workspace || failed+=(documentation)
if ((${#failed[@]})); then
    echo "lint: failed: ${failed[*]}" >&2
    exit 1
fi
