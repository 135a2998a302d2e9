#!/usr/bin/env bash
# Checks formatting, clippy and documentation. A warning is an error. All three run, even if one fails, so that one run reports
# everything. ci/peers.sh runs clippy on kahn-bench.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=()
ci/fmt.sh || failed+=(format)
cargo clippy --all-targets -- -D warnings || failed+=(clippy)
RUSTDOCFLAGS="-D warnings" cargo doc --no-deps || failed+=(documentation)
if ((${#failed[@]})); then
    echo "lint: failed: ${failed[*]}" >&2
    exit 1
fi
