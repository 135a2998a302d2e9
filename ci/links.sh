#!/usr/bin/env bash
# Checks that the links in the tracked Markdown files, and the source files that they name, exist.
set -euo pipefail
cd "$(dirname "$0")/.."
exec python3 ci/links.py
