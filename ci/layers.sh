#!/usr/bin/env bash
# The structure of the code: imports go one way, between the crates and between the modules of a crate, in the order of
# lib.rs; and ARCHITECTURE.md lists the modules that exist.
set -euo pipefail
cd "$(dirname "$0")/.."
python3 ci/layers.py
python3 ci/modules.py
