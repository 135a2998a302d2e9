#!/usr/bin/env bash
# The models: every interleaving of a few threads on the scheduler, tasks and parties (core/src/models), the locks, the
# channels and actors (tests/*loom*.rs).
#   ci/loom.sh [NAME…]          with at most LOOM_MAX_PREEMPTIONS (default 2) preemptions, which finds most that there is
#   ci/loom.sh --full [NAME…]   without a bound; can take hours
# NAMEs select tests, as after `cargo test --`.
set -euo pipefail
cd "$(dirname "$0")/.."
if [[ "${1:-}" == --full ]]; then
    shift
    # The most that loom takes. Models have bounds of their own for when this is not set.
    export LOOM_MAX_PREEMPTIONS=255
else
    export LOOM_MAX_PREEMPTIONS="${LOOM_MAX_PREEMPTIONS:-2}"
fi
# Other flags, so another target directory: neither build throws the other's away.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/loom"
export RUSTFLAGS="--cfg kahn_loom ${RUSTFLAGS:-}"
cargo test --release -p kahn-core -p kahn-channels -p kahn-actors --lib --test '*loom*' -- "$@"
