#!/usr/bin/env bash
# Undefined behaviour, by interpretation: what runs without fibers (Miri cannot follow a stack switch), which is channels,
# select and locks on OS threads, the models of scheduler and jobs, and the data structures' unit tests (a mailbox's ring, an
# answer's slot). Test files that need green threads leave themselves out. More arguments go to the tests.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! cargo +nightly miri --version >/dev/null 2>&1; then
    echo "miri: skipped: miri is not installed (rustup +nightly component add miri)"
    exit 0
fi
# Its target directory is apart, under target/miri. -Zmiri-disable-isolation: the tests read the clock.
# -Zmiri-strict-provenance: nothing that runs here makes a pointer of an integer, so Miri can follow every one.
export MIRIFLAGS="${MIRIFLAGS:--Zmiri-disable-isolation -Zmiri-strict-provenance}"
cargo +nightly miri test -p kahn-core --lib --tests -- "$@"
cargo +nightly miri test -p kahn-channels --lib --tests -- "$@"
cargo +nightly miri test -p kahn-actors --lib -- ring slot "$@"
