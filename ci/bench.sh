#!/usr/bin/env bash
# Runs the workloads on kahn and on other runtimes, and prints a Markdown table of medians and ratios. Arguments are passed to
# kahn-bench.
set -euo pipefail
cd "$(dirname "$0")/.."
exec cargo run --release -p kahn-bench -- "$@"
