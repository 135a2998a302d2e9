#!/usr/bin/env bash
# Compiles every published crate with the oldest Rust that Cargo.toml promises, and runs the tests. kahn-bench is left out: the
# runtimes that it compares may need a later Rust.
set -euo pipefail
cd "$(dirname "$0")/.."
version="$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)"
if ! cargo "+$version" --version >/dev/null 2>&1; then
    echo "msrv: skipped: Rust $version is not installed (rustup toolchain install $version --profile minimal)"
    exit 0
fi
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/msrv"
cargo "+$version" check --all-targets --all-features
cargo "+$version" test
