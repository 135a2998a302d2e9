#!/usr/bin/env bash
# Checks the formatting of every tracked Rust file. `cargo fmt` follows `mod` declarations, so it misses files that are declared
# inside a macro, or not at all.
#   ci/fmt.sh [FILE…]            lists the files that are not formatted, and fails if there are any
#   ci/fmt.sh --diff [FILE…]     shows what has to change in them
#   ci/fmt.sh --write [FILE…]    formats them, and the modules that they declare
# FILEs are relative to the root of the repository. tests/compile_fail is left out: its programs are laid out for reading beside
# the compiler's messages.
set -euo pipefail
cd "$(dirname "$0")/.."
mode=--list
case "${1:-}" in
--diff | --write)
    mode="$1"
    shift
    ;;
-*)
    echo "usage: ci/fmt.sh [--diff|--write] [FILE…]" >&2
    exit 2
    ;;
esac
(($#)) || set -- '*.rs'
mapfile -t files < <(git ls-files -- "$@" ':!tests/compile_fail/')
((${#files[@]})) || { echo "fmt: no tracked Rust file; this needs a git checkout" >&2; exit 2; }
rustfmt=(rustfmt --edition 2024 --config-path rustfmt.toml)
case "$mode" in
--write) exec "${rustfmt[@]}" "${files[@]}" ;;
--diff) exec "${rustfmt[@]}" --check "${files[@]}" ;;
esac
# rustfmt lists a file once for each file that declares it. Its exit status is 1 if it lists one, or cannot read one.
status=0
listed="$("${rustfmt[@]}" --check -l "${files[@]}")" || status=$?
if [[ -n "$listed" ]]; then
    sort -u <<<"$listed" | sed "s|^$PWD/||"
    echo "fmt: $(sort -u <<<"$listed" | wc -l) files are not formatted: ci/fmt.sh --write formats them" >&2
    exit 1
fi
exit "$status"
