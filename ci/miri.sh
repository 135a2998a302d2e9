#!/usr/bin/env bash
# Finds undefined behaviour, with Miri. Miri cannot follow a stack switch, so this covers only code that runs without fibers:
# channels, select and locks on OS threads, the models of the scheduler and of tasks, and unit tests of data structures (the
# ring of a mailbox, the slot of an ask). Test files that need green threads exclude themselves. Arguments are passed to the
# tests.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! cargo +nightly miri --version >/dev/null 2>&1; then
    echo "miri: skipped: miri is not installed (rustup +nightly component add miri)"
    exit 0
fi
# Miri builds into target/miri. -Zmiri-disable-isolation: the tests read the clock. -Zmiri-strict-provenance: no code that runs
# here makes a pointer from an integer, so Miri can track every pointer.
export MIRIFLAGS="${MIRIFLAGS:--Zmiri-disable-isolation -Zmiri-strict-provenance}"
cargo +nightly miri test -p kahn-core --lib --tests -- "$@"
cargo +nightly miri test -p kahn-channels --lib --tests -- "$@"
cargo +nightly miri test -p kahn-actors --lib -- ring slot "$@"
