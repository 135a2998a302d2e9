#!/usr/bin/env bash
# Imports go one way: between the crates, and inside a crate from a module to those above it in lib.rs's list.
set -euo pipefail
cd "$(dirname "$0")/.."
exec python3 ci/layers.py
