#!/usr/bin/env bash
# A tree of a thousand actors under load, with a kill or a panic every millisecond, in release, for so many seconds
# (default 60). What must hold then is in actors/tests/chaos.rs.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds="${1:-60}"
[[ "$seconds" =~ ^[0-9]+$ ]] || { echo "usage: ci/chaos.sh [SECONDS]" >&2; exit 2; }
KAHN_CHAOS_SECONDS="$seconds" cargo test --release -p kahn-actors --test chaos -- --nocapture
