#!/usr/bin/env bash
# Runs the loom models: every interleaving of a few threads, on the scheduler, tasks and waiters (core/src/models), on the
# locks, the channels and actors (tests/*loom*.rs of each crate), and on whole programs (`kahn::model`, tests/*loom*.rs).
#   ci/loom.sh [NAME…]          with at most LOOM_MAX_PREEMPTIONS (default 2) preemptions, which finds most errors
#   ci/loom.sh --full [NAME…]   without a bound; can take hours
# NAMEs select tests, as after `cargo test --`.
set -euo pipefail
cd "$(dirname "$0")/.."
if [[ "${1:-}" == --full ]]; then
    shift
    # The largest value that loom accepts. Some models have their own bound, which applies if this is not set.
    export LOOM_MAX_PREEMPTIONS=255
else
    export LOOM_MAX_PREEMPTIONS="${LOOM_MAX_PREEMPTIONS:-2}"
fi
# The flags differ, so the target directory does too. Otherwise each build would discard the other.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/loom"
export RUSTFLAGS="--cfg kahn_loom ${RUSTFLAGS:-}"
cargo test --release -p kahn-core -p kahn-channels -p kahn-actors --lib --test '*loom*' -- "$@"
# Programs have more steps than the models above, so their own bounds on preemptions apply.
unset LOOM_MAX_PREEMPTIONS
cargo test --release -p kahn --test 'model_*_loom' -- "$@"
