#!/usr/bin/env bash
# Builds hashget and hashget-server as static programs, which run on every Linux with this type of processor, with any C
# library. Prints the folder that has them: stripped, and beside each a file NAME.debug with its line tables.
# The same sources give the same bytes, wherever they lie: of the line tables, only with the same folder and cache of zig.
# Needs rustup, and zig as the C compiler for all types of processors: pip install cargo-zigbuild ziglang
#
#   packaging/static.sh [x86_64|aarch64]        without one, the type of this machine
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
fail() { echo "static.sh: $*" >&2; exit 1; }
case ${1:-$(uname -m)} in
x86_64 | amd64) target=x86_64-unknown-linux-musl ;;
aarch64 | arm64) target=aarch64-unknown-linux-musl ;;
*) fail "no build for \"${1:-$(uname -m)}\": expected x86_64 or aarch64" ;;
esac
command -v cargo-zigbuild >/dev/null || fail "cargo-zigbuild is missing: pip install cargo-zigbuild ziglang"
command -v rustup >/dev/null || fail "rustup is missing: it has the standard library for $target"
rustup --quiet target add "$target"

sysroot=$(rustc --print sysroot)
built=$(readlink -m "${CARGO_TARGET_DIR:-target}")
# Paths of this machine are in no program.
flags=() c_flags=
for place in "$PWD=/hashget" "${CARGO_HOME:-$HOME/.cargo}=/cargo" "$sysroot=/rust" "$built=/target"; do
    flags+=("--remap-path-prefix=$place")
    c_flags+=" -ffile-prefix-map=$place"
done
export CARGO_ENCODED_RUSTFLAGS
CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f' && echo "${flags[*]}")
variable=CFLAGS_${target//-/_}
declare -x "$variable=$(sed -n "s/^$variable = \"\(.*\)\"$/\1/p" .cargo/config.toml)$c_flags"
# The line tables are split off below.
export CARGO_PROFILE_RELEASE_STRIP=none
cargo zigbuild --release --locked --quiet --target "$target" -p hashget-cli -p hashget-server

objcopy=$(echo "$sysroot"/lib/rustlib/*/bin/rust-objcopy)
[ -x "$objcopy" ] || fail "$sysroot has no rust-objcopy: expected it in lib/rustlib/*/bin"
objcopy() { LD_LIBRARY_PATH=$sysroot/lib "$objcopy" "$@"; }
programs=$built/$target/static
rm -rf "$programs"
mkdir -p "$programs"
for program in hashget hashget-server; do
    linked=$built/$target/release/$program
    # No link to the line tables: it has a checksum of them, and they name the folder of zig's C library.
    objcopy --only-keep-debug "$linked" "$programs/$program.debug"
    objcopy --strip-all "$linked" "$programs/$program"
done
echo "$programs"
