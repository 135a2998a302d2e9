#!/usr/bin/env bash
# Packages every published crate. This fails if a manifest is incomplete, or if an included file is missing. With --verify each
# package is also compiled from its own content alone. Other arguments are passed to cargo.
set -euo pipefail
cd "$(dirname "$0")/.."
verify=(--no-verify)
if [[ "${1:-}" == --verify ]]; then
    verify=()
    shift
fi
cargo package --workspace --exclude kahn-bench "${verify[@]}" "$@"
