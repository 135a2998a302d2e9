#!/usr/bin/env bash
# AddressSanitizer over everything of core, channels and actors, green threads included: corosensei's `sanitizer` feature tells it
# of every stack switch. ThreadSanitizer cannot follow those; `--cfg kahn_threads` leaves green threads out there, and it
# sees channels, select, locks and the models of scheduler and jobs on OS threads.
#   ci/sanitize.sh [address|thread]
# ThreadSanitizer needs a std built with it (component rust-src); without it would report std's own locks.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "sanitize: skipped: no nightly toolchain is installed"
    exit 0
fi
TARGET="$(rustc -vV | sed -n 's/^host: //p')"
BASE="${CARGO_TARGET_DIR:-target}"

# Doc tests are left out: they are compiled without these flags.
address() {
    export CARGO_TARGET_DIR="$BASE/sanitize-address" RUSTFLAGS="-Zsanitizer=address"
    # The overflow handler and its alternate stack are ours; a frame on a fiber is no frame of the thread's own stack.
    export ASAN_OPTIONS=detect_stack_use_after_return=0:handle_segv=0:use_sigaltstack=0
    export LSAN_OPTIONS="suppressions=$PWD/ci/leaks.txt:print_suppressions=0"
    cargo +nightly test --target "$TARGET" -p kahn-core --features sanitizer --lib --tests
    # What is allocated is larger here, so how large it is, is not the matter.
    cargo +nightly test --target "$TARGET" -p kahn-channels --features kahn-core/sanitizer --lib --tests -- --skip idle_ones_are_small
    cargo +nightly test --target "$TARGET" -p kahn-actors --features kahn-core/sanitizer --lib --tests
}

thread() {
    export CARGO_TARGET_DIR="$BASE/sanitize-thread" RUSTFLAGS="-Zsanitizer=thread --cfg kahn_threads"
    cargo +nightly test -Zbuild-std --target "$TARGET" -p kahn-core --lib --tests
    cargo +nightly test -Zbuild-std --target "$TARGET" -p kahn-channels --lib --tests
}

case "${1:-both}" in
address | thread) "$1" ;;
both)
    (address)
    (thread)
    ;;
*)
    echo "usage: ci/sanitize.sh [address|thread]" >&2
    exit 2
    ;;
esac
