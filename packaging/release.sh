#!/usr/bin/env bash
# Makes a release of the last commit, for x86-64 and arm64, in one folder: static programs with pages and completions
# (.tar.gz), their line tables, Debian packages of client and server, packages of the crates, bills of materials, and
# SHA256SUMS. Everything is made twice, from two copies of the sources in different places, and must be the same bytes.
#
#   packaging/release.sh [--to FOLDER] [--key MINISIGN-SECRET-KEY] [--arch ARCH]... [--once] [--no-verify]
#
# --once       makes it once: not shown to be reproducible
# --no-verify  packages of crates are not built to see whether they are whole
#
# Needs what packaging/static.sh and packaging/deb.sh need, python3 (3.11), and minisign for --key. `cargo semver-checks`
# compares the library's interface with the last version's, where it is installed and there is a tag of one.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
say() { echo "== $*" >&2; }
fail() { echo "release.sh: $*" >&2; exit 1; }

to=$PWD/target/release-files key='' times=2 verify='' archs=()
while [ $# -gt 0 ]; do
    case $1 in
    --to) to=$(readlink -m "$2"); shift 2 ;;
    --key) key=$(readlink -f "$2"); shift 2 ;;
    --arch) archs+=("$2"); shift 2 ;;
    --once) times=1; shift ;;
    --no-verify) verify=--no-verify; shift ;;
    *) fail "unknown argument \"$1\": the head of this file has all" ;;
    esac
done
[ ${#archs[@]} -gt 0 ] || archs=(x86_64 aarch64)
[ -z "$key" ] || command -v minisign >/dev/null || fail "minisign is missing: apt install minisign"
[ -z "$key" ] || [ -r "$key" ] || fail "$key: no such key; minisign -G makes one"
[ ! -e "$to" ] || [ -z "$(ls -A "$to")" ] || fail "$to is not empty"
native=$(uname -m)
[[ " ${archs[*]} " = *" $native "* ]] || fail "one of the types must be $native: its program prints the manual pages"

SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
# Whoever releases may have flags of their own; a release has none but those of packaging/static.sh.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CFLAGS "${!CARGO_PROFILE_@}" "${!CARGO_TARGET_X86_64@}" "${!CARGO_TARGET_AARCH64@}" CARGO_INCREMENTAL
export LC_ALL=C TZ=UTC
umask 022
version=$(cargo pkgid -p hashget-cli | sed 's/.*[#@]//')
[ -z "$(git status --porcelain)" ] || say "what is not committed is not in the release"
work=$(mktemp -d -p "${TMPDIR:-/var/tmp}")
trap 'rm -rf "$work"' EXIT

packed() { # FILE FOLDER NAME: a tar that says nothing of this machine
    tar --sort=name --format=gnu --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=u+rw,go+r,go-w \
        -C "$2" -c "$3" | gzip -9n >"$1"
}

archive_of() { # PROGRAMS PRINTER ARCH OUT, in the sources
    local name=hashget-$version-$3 folder
    folder=$(mktemp -d -p "$work")
    mkdir -p "$folder/$name/completions" "$folder/$name/packaging" "$folder/$name-debug"
    cp "$1/hashget" "$1/hashget-server" README.md CHANGELOG.md SECURITY.md LICENSE-* contrib/restore.py "$folder/$name/"
    cp packaging/config.toml packaging/server.toml packaging/hashget-server.service "$folder/$name/packaging/"
    cp -r docs "$folder/$name/"
    "$2" -q man "$folder/$name/man"
    for shell in bash zsh fish; do
        "$2" -q completions "$shell" >"$folder/$name/completions/hashget.$shell"
    done
    cp "$1"/*.debug "$folder/$name-debug/"
    packed "$4/$name.tar.gz" "$folder" "$name"
    packed "$4/$name-debug.tar.gz" "$folder" "$name-debug"
}

make() { # SOURCES OUT VERIFY
    local sources=$1 out=$2 arch target programs printer
    mkdir -p "$sources" "$out"
    git archive HEAD | tar -x -C "$sources"
    (
        cd "$sources"
        export CARGO_TARGET_DIR=$sources/target
        say "programs for $native"
        printer=$(packaging/static.sh "$native")/hashget
        for arch in "${archs[@]}"; do
            [ "$arch" = "$native" ] || say "programs for $arch"
            programs=$(packaging/static.sh "$arch")
            target=$(basename "$(dirname "$programs")")
            archive_of "$programs" "$printer" "$arch" "$out"
            say "Debian packages for $arch"
            cp "$(packaging/deb.sh --target "$target" --pages "$printer" "$programs/hashget")" "$out/"
            cp "$(packaging/deb.sh --server --target "$target" "$programs/hashget-server")" "$out/"
            packaging/sbom.py "$target" hashget-cli hashget-server >"$out/hashget-$version-$arch.cdx.json"
        done
        # Other compilers give other bytes.
        { rustc --version --verbose; cargo-zigbuild --version; python3 -m ziglang version | sed 's/^/zig /'
          cargo deb --version | sed 's/^/cargo-deb /'; } >"$out/hashget-$version-made-with.txt"
        say "packages of the crates"
        # Only crates that may be published are packed together with what they need of each other.
        sed -i 's/^publish = false$/publish = true/' Cargo.toml
        cargo package --workspace --exclude hashget-testkit --locked --quiet --allow-dirty $3
        cp target/package/*.crate "$out/"
    )
}

make "$work/one/sources" "$work/one/out" "$verify"
if [ "$times" = 2 ]; then
    # A longer path, and another folder of what is built.
    make "$work/and-again/of/the/sources" "$work/and-again/out" --no-verify
    differ=$(cd "$work/one/out" && for file in *; do cmp -s "$file" "$work/and-again/out/$file" || echo "$file"; done)
    [ -z "$differ" ] || fail "made twice, and not the same bytes:"$'\n'"$differ"
    say "made twice: the same bytes"
fi

if last=$(git describe --tags --abbrev=0 --match 'v[0-9]*' HEAD^ 2>/dev/null) && command -v cargo-semver-checks >/dev/null; then
    say "the library's interface, compared with $last"
    cargo semver-checks -p hashget --baseline-rev "$last"
else
    say "the library's interface was not compared: $([ -n "$last" ] && echo "cargo-semver-checks is missing" || echo "there is no tag of an earlier version")"
fi

mkdir -p "$to"
mv "$work/one/out/"* "$to/"
(cd "$to" && sha256sum -- * >SHA256SUMS)
if [ -n "$key" ]; then
    minisign -S -s "$key" -m "$to/SHA256SUMS" -t "hashget $version" >&2
else
    say "SHA256SUMS is not signed: no --key was given"
fi
ls -l "$to" >&2
echo "$to"
