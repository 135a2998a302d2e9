#!/usr/bin/env bash
# Every crate that is published can be packaged: its manifest is complete, and what it includes is there. With --verify the
# packages are also compiled, each from what is in it alone. More arguments go to cargo.
set -euo pipefail
cd "$(dirname "$0")/.."
verify=(--no-verify)
if [[ "${1:-}" == --verify ]]; then
    verify=()
    shift
fi
cargo package --workspace --exclude kahn-bench "${verify[@]}" "$@"
