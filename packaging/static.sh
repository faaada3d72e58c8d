#!/usr/bin/env bash
# Builds hashget as a static program that runs on every Linux with this type of processor, with any C library.
# Prints its path. Needs musl-gcc (Debian: musl-tools) and rustup.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
command -v musl-gcc >/dev/null || { echo "static.sh: musl-gcc is missing: apt install musl-tools" >&2; exit 1; }
target=$(uname -m)-unknown-linux-musl
rustup --quiet target add "$target"
cargo build --release --quiet --target "$target" -p hashget-cli
echo "${CARGO_TARGET_DIR:-target}/$target/release/hashget"
