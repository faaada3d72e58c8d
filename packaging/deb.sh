#!/usr/bin/env bash
# Builds the Debian package: the program, its manual pages and completions, the nightly service. Prints its path.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
command -v cargo-deb >/dev/null || cargo install --quiet cargo-deb --locked
target=${CARGO_TARGET_DIR:-target}
cargo build --release --quiet -p hashget-cli
made=$target/release/packaging
rm -rf "$made"
mkdir -p "$made/completions"
"$target/release/hashget" -q man "$made/man"
gzip -9n "$made"/man/*.1
for shell in bash zsh fish; do
    "$target/release/hashget" -q completions "$shell" >"$made/completions/hashget.$shell"
done
cargo deb --quiet --no-build -p hashget-cli
