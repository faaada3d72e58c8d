#!/usr/bin/env bash
# Runs all tests: units, whole stages, the program. Arguments go to the test runner (a filter, ...).
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
export INSTA_UPDATE=no # a snapshot that differs is a failure, never a new snapshot

if cargo nextest --version >/dev/null 2>&1; then
    cargo test --workspace --doc --quiet
    cargo nextest run --workspace --no-fail-fast "$@"
else
    cargo test --workspace --no-fail-fast "$@"
fi
