#!/usr/bin/env bash
# Builds a Debian package: the program, its manual pages and completions; or the server, its settings and its unit. Prints its path.
# Needs dpkg-shlibdeps (Debian: dpkg-dev), without which the package would name no dependencies.
#
#   packaging/deb.sh [--server] [PROGRAM]       without the program, a release build is made
set -euo pipefail
crate=hashget-cli program=hashget
if [ "${1:-}" = --server ]; then
    crate=hashget-server program=hashget-server
    shift
fi
binary=${1:+$(readlink -f "$1")}
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
command -v dpkg-shlibdeps >/dev/null || { echo "deb.sh: dpkg-shlibdeps is missing: apt install dpkg-dev" >&2; exit 1; }
command -v cargo-deb >/dev/null || cargo install --quiet cargo-deb --locked
target=${CARGO_TARGET_DIR:-target}
if [ -n "$binary" ]; then
    install -D -m 755 "$binary" "$target/release/$program"
else
    cargo build --release --quiet -p "$crate"
fi
made=$target/release/packaging
rm -rf "$made"
mkdir -p "$made/completions" "$made/man"
if [ "$program" = hashget ]; then
    "$target/release/hashget" -q man "$made/man"
    gzip -9n "$made"/man/*.1
    for shell in bash zsh fish; do
        "$target/release/hashget" -q completions "$shell" >"$made/completions/hashget.$shell"
    done
else
    gzip -9nc packaging/hashget-server.8 >"$made/man/hashget-server.8.gz"
fi
# Users read the project's changelog. Debian's has one line for each version of the package.
gzip -9nc CHANGELOG.md >"$made/changelog.gz"
version=$(cargo pkgid -p "$crate" | sed 's/.*[#@]//')
maintainer=$(sed -n 's/^maintainer = "\(.*\)"$/\1/p' crates/hashget-cli/Cargo.toml)
printf '%s (%s-1) unstable; urgency=medium\n\n  * See changelog.gz.\n\n -- %s  %s\n' \
    "$program" "$version" "$maintainer" "$(date -R -u -d "@${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}")" |
    gzip -9n >"$made/changelog.Debian.gz"
deb=$(cargo deb --quiet --no-build --strip -p "$crate")
depends=$(dpkg-deb --field "$deb" Depends)
case $depends in
*libc6*) ;;
*) echo "deb.sh: $deb depends on \"$depends\": expected libc6" >&2; exit 1 ;;
esac
echo "$deb"
