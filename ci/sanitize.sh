#!/usr/bin/env bash
# Runs the tests of core, channels and actors under the sanitizers.
#   ci/sanitize.sh [address|thread]    default: both
# AddressSanitizer covers green threads: corosensei's feature `sanitizer` reports every stack switch to it.
# ThreadSanitizer cannot follow a stack switch. `--cfg kahn_threads` excludes green threads there, and the tests run
# channels, select, locks and the models of the scheduler and of tasks on OS threads. ThreadSanitizer needs a std that
# is built with it (component rust-src); otherwise it reports the locks of std.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "sanitize: skipped: no nightly toolchain is installed"
    exit 0
fi
TARGET="$(rustc -vV | sed -n 's/^host: //p')"
BASE="${CARGO_TARGET_DIR:-target}"

# Doc tests are left out, because they are compiled without these flags.
address() {
    export CARGO_TARGET_DIR="$BASE/sanitize-address" RUSTFLAGS="-Zsanitizer=address"
    # kahn has its own overflow handler and alternate stack. A frame on a fiber is not a frame of the OS thread's stack.
    export ASAN_OPTIONS=detect_stack_use_after_return=0:handle_segv=0:use_sigaltstack=0
    export LSAN_OPTIONS="suppressions=$PWD/ci/leaks.txt:print_suppressions=0"
    cargo +nightly test --target "$TARGET" -p kahn-core --features sanitizer --lib --tests
    # Allocations are larger here, so the test of their size is skipped.
    cargo +nightly test --target "$TARGET" -p kahn-channels --features kahn-core/sanitizer --lib --tests -- --skip idle_servers_are_small
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
