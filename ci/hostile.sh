#!/usr/bin/env bash
# Runs green threads with homes of their own that do what may depend on a thread's identity (ci/hostile), with 2 and 16 workers, in debug and
# release, and with other allocators: `ci/hostile.sh [SECONDS]`, for so long in each of the ten runs (default 10). Needs a C compiler, and
# the network at the first time.
set -euo pipefail
cd "$(dirname "$0")/hostile"
seconds="${1:-10}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/../../target}/hostile"
mkdir -p "$CARGO_TARGET_DIR"
cc -shared -fPIC -O1 -o "$CARGO_TARGET_DIR/library.so" library.c
export HOSTILE_LIBRARY="$CARGO_TARGET_DIR/library.so"
for arguments in "" "--release" "--release --features mimalloc" "--release --features jemalloc" "--release --features tcmalloc"; do
    # The words of `arguments` are separate arguments.
    # shellcheck disable=SC2086
    cargo build --quiet $arguments
    folder=debug
    [[ "$arguments" == *--release* ]] && folder=release
    for workers in 2 16; do
        echo "== $workers workers $arguments"
        KAHN_WORKERS=$workers "$CARGO_TARGET_DIR/$folder/hostile" "$seconds"
    done
done
