#!/usr/bin/env bash
# Runs all tests: units, whole stages, the program. Arguments go to the test runner (a filter, ...).
# Installs the programs that some tests need, where it may; HASHGET_INSTALL=no keeps it from that. Tests whose programs
# are missing are reported as ignored, with the reason.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
export INSTA_UPDATE=no # a snapshot that differs is a failure, never a new snapshot

tests/install-tools.sh
echo "Building the tests: about 8 minutes on two cores, the first time ..."
if cargo nextest --version >/dev/null 2>&1; then
    cargo test --workspace --doc --quiet
    # Without a filter, ignored tests are listed at the end.
    shown=()
    [ $# -gt 0 ] || shown=(--final-status-level skip)
    cargo nextest run --workspace --no-fail-fast "${shown[@]}" "$@"
else
    cargo test --workspace --no-fail-fast "$@"
fi
