#!/usr/bin/env bash
# The workloads on kahn and on its peers, in turns: a Markdown table of medians and ratios. Arguments go to the program.
set -euo pipefail
cd "$(dirname "$0")/.."
exec cargo run --release -p kahn-bench -- "$@"
