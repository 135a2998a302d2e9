#!/usr/bin/env bash
# Runs a tree of a thousand actors under load, with a kill or a panic every millisecond, in a release build.
#   ci/chaos.sh [SECONDS]    default: 60
# actors/tests/chaos.rs says what it checks.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds="${1:-60}"
[[ "$seconds" =~ ^[0-9]+$ ]] || { echo "usage: ci/chaos.sh [SECONDS]" >&2; exit 2; }
KAHN_CHAOS_SECONDS="$seconds" cargo test --release -p kahn-actors --test chaos -- --nocapture
