#!/usr/bin/env bash
# Links in the tracked Markdown files that stay inside the repository: the file is there, and so is the heading.
set -euo pipefail
cd "$(dirname "$0")/.."
exec python3 ci/links.py
