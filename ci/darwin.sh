#!/usr/bin/env bash
# Compiles the published crates for macOS, with the default features and with all of them. Nothing is linked, and nothing runs.
set -euo pipefail
cd "$(dirname "$0")/.."
target=x86_64-apple-darwin
if ! [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ]; then
    echo "darwin: skipped: the target $target is not installed (rustup target add $target)"
    exit 0
fi
packages=(-p kahn-core -p kahn-channels -p kahn-actors -p kahn-io -p kahn)
export RUSTFLAGS="-D warnings"
cargo check --target "$target" "${packages[@]}"
cargo check --target "$target" --all-features "${packages[@]}"
