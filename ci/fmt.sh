#!/usr/bin/env bash
# Formatting of every tracked Rust file. `cargo fmt` follows `mod` declarations, and does not see those inside a macro
# (`production! { … }`), so it leaves files out.
#   ci/fmt.sh            lists the files that are not formatted, and fails if there are any
#   ci/fmt.sh --diff     shows what is to change in them
#   ci/fmt.sh --write    formats them
# Left out: tests/compile_fail, whose programs are laid out for reading beside what the compiler has to say.
set -euo pipefail
cd "$(dirname "$0")/.."
options=(--edition 2024 --config-path rustfmt.toml)
mapfile -t files < <(git ls-files '*.rs' ':!tests/compile_fail/')
((${#files[@]})) || { echo "fmt: no tracked files: this needs a git checkout" >&2; exit 2; }
case "${1:-}" in
--write) exec rustfmt "${options[@]}" "${files[@]}" ;;
--diff) exec rustfmt "${options[@]}" --check "${files[@]}" ;;
"") ;;
*)
    echo "usage: ci/fmt.sh [--diff|--write]" >&2
    exit 2
    ;;
esac
# A file that a `mod` declares is looked at twice. rustfmt's exit status is 1 if it lists a file, or cannot read one.
status=0
listed="$(rustfmt "${options[@]}" --check -l "${files[@]}")" || status=$?
if [[ -n "$listed" ]]; then
    sort -u <<<"$listed" | sed "s|^$PWD/||"
    echo "fmt: $(sort -u <<<"$listed" | wc -l) files are not formatted: ci/fmt.sh --write formats them" >&2
    exit 1
fi
exit "$status"
