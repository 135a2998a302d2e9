#!/usr/bin/env bash
# Checks the links in the tracked Markdown files that stay inside the repository: the file and the heading exist.
set -euo pipefail
cd "$(dirname "$0")/.."
exec python3 ci/links.py
