#!/usr/bin/env bash
# Runs all tests repeatedly, in a release build. Each round runs another number of tests in parallel, and more random cases than
# usual. The tests choose their numbers of workers themselves. Stops at the first failure, and prints how to repeat the round.
#   ci/soak.sh [MINUTES]    default: 30
set -euo pipefail
cd "$(dirname "$0")/.."
minutes="${1:-30}"
[[ "$minutes" =~ ^[0-9]+$ ]] || { echo "usage: ci/soak.sh [MINUTES]" >&2; exit 2; }
# One of the tests runs the examples.
cargo build --release --examples
cargo test --release --tests --no-run
end=$((SECONDS + minutes * 60))
round=0
while ((SECONDS < end)); do
    round=$((round + 1))
    settings=(RUST_TEST_THREADS=$((RANDOM % 8 + 1)) PROPTEST_CASES=1000)
    echo "soak: round $round: ${settings[*]}"
    if ! env "${settings[@]}" cargo test --release --tests >target/soak.log 2>&1; then
        tail -n 100 target/soak.log
        echo "soak: round $round failed; again: ${settings[*]} cargo test --release --tests" >&2
        exit 1
    fi
done
echo "soak: $round rounds passed"
