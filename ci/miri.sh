#!/usr/bin/env bash
# Undefined behaviour, by interpretation: what runs without fibers (Miri cannot follow a stack switch), which is channels,
# select and locks on OS threads, and the data structures' unit tests. More arguments go to the tests.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! cargo +nightly miri --version >/dev/null 2>&1; then
    echo "miri: skipped: miri is not installed (rustup +nightly component add miri)"
    exit 0
fi
# Its target directory is apart, under target/miri. -Zmiri-disable-isolation: the tests read the clock.
# -Zmiri-permissive-provenance is not given: nothing that runs here may make a pointer of an integer.
export MIRIFLAGS="${MIRIFLAGS:--Zmiri-disable-isolation}"
source ci/without-fibers.sh
cargo +nightly miri test -p kahn-channels "${CHANNELS_WITHOUT_FIBERS[@]}" -- "$@"
cargo +nightly miri test -p kahn-core "${CORE_WITHOUT_FIBERS[@]}" -- "$@"
