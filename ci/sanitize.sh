#!/usr/bin/env bash
# AddressSanitizer and ThreadSanitizer over the machine code of channels, select and locks on OS threads. Neither can
# follow a stack switch, so `--cfg kahn_threads` leaves green threads out: what stands on fibers is not covered here.
#   ci/sanitize.sh [address|thread]
# ThreadSanitizer needs a std built with it (component rust-src); without it would report std's own locks.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "sanitize: skipped: no nightly toolchain is installed"
    exit 0
fi
source ci/without-fibers.sh
TARGET="$(rustc -vV | sed -n 's/^host: //p')"
BASE="${CARGO_TARGET_DIR:-target}"

run() {
    local sanitizer="$1"
    shift
    export CARGO_TARGET_DIR="$BASE/sanitize-$sanitizer"
    export RUSTFLAGS="-Zsanitizer=$sanitizer --cfg kahn_threads"
    cargo +nightly test "$@" --target "$TARGET" -p kahn-channels "${CHANNELS_WITHOUT_FIBERS[@]}"
    cargo +nightly test "$@" --target "$TARGET" -p kahn-core "${CORE_WITHOUT_FIBERS[@]}"
}

case "${1:-both}" in
address) run address ;;
thread) run thread -Zbuild-std ;;
both)
    (run address)
    (run thread -Zbuild-std)
    ;;
*)
    echo "usage: ci/sanitize.sh [address|thread]" >&2
    exit 2
    ;;
esac
