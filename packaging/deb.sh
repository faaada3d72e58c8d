#!/usr/bin/env bash
# Builds a Debian package: the program, its manual pages and completions; or the server, its settings and its unit. Prints its path.
# Needs dpkg-shlibdeps (Debian: dpkg-dev), without which the package of a dynamic program would name no dependencies.
#
#   packaging/deb.sh [--server] [PROGRAM]       without the program, a release build is made
#   packaging/deb.sh [--server] --target TARGET --pages HASHGET PROGRAM
#
# TARGET is the Rust name of what the program was built for. HASHGET, which runs here, prints pages and completions.
set -euo pipefail
crate=hashget-cli program=hashget target='' printer=''
while true; do
    case ${1:-} in
    --server) crate=hashget-server program=hashget-server; shift ;;
    --target) target=$2; shift 2 ;;
    --pages) printer=$(readlink -f "$2"); shift 2 ;;
    *) break ;;
    esac
done
binary=${1:+$(readlink -f "$1")}
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
command -v dpkg-shlibdeps >/dev/null || { echo "deb.sh: dpkg-shlibdeps is missing: apt install dpkg-dev" >&2; exit 1; }
command -v cargo-deb >/dev/null || cargo install --quiet cargo-deb --locked
release=${CARGO_TARGET_DIR:-target}${target:+/$target}/release
if [ -n "$binary" ]; then
    [ "$binary" -ef "$release/$program" ] || install -D -m 755 "$binary" "$release/$program"
else
    cargo build --release --quiet -p "$crate" ${target:+--target "$target"}
fi
made=$release/packaging
rm -rf "$made"
mkdir -p "$made/completions" "$made/man"
if [ "$program" = hashget ]; then
    : "${printer:=$(readlink -f "$release/hashget")}"
    "$printer" -q man "$made/man"
    gzip -9n "$made"/man/*.1
    for shell in bash zsh fish; do
        "$printer" -q completions "$shell" >"$made/completions/hashget.$shell"
    done
else
    gzip -9nc packaging/hashget-server.8 >"$made/man/hashget-server.8.gz"
fi
# Users read the project's changelog. Debian's has one line for each version of the package.
gzip -9nc CHANGELOG.md >"$made/changelog.gz"
version=$(cargo pkgid -p "$crate" | sed 's/.*[#@]//')
maintainer=$(sed -n 's/^maintainer = "\(.*\)"$/\1/p' crates/hashget-cli/Cargo.toml)
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
printf '%s (%s-1) unstable; urgency=medium\n\n  * See changelog.gz.\n\n -- %s  %s\n' \
    "$program" "$version" "$maintainer" "$(date -R -u -d "@$SOURCE_DATE_EPOCH")" |
    gzip -9n >"$made/changelog.Debian.gz"
is_dynamic() { LC_ALL=C readelf -lW "$release/$program" | grep -q INTERP; }
# What was built for a target is stripped already.
deb=$(cargo deb --quiet --no-build -p "$crate" $([ -n "$target" ] && echo "--no-strip --target $target" || echo --strip))
depends=$(dpkg-deb --field "$deb" Depends)
case $depends in
*libc6*) ;;
*) ! is_dynamic || { echo "deb.sh: $deb depends on \"$depends\": expected libc6" >&2; exit 1; } ;;
esac
echo "$deb"
