#!/usr/bin/env bash
# Builds hashget and shows its main job on real input, the sources of the crates that the build has downloaded: packs
# them, unpacks the archive without a network, and compares.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"

echo "Building hashget: about 8 minutes on two cores, the first time ..."
cargo build --release --locked -p hashget-cli
hashget=${CARGO_TARGET_DIR:-$PWD/target}/release/hashget

registry=${CARGO_HOME:-$HOME/.cargo}/registry
tree=$registry/src
if [ -z "$(ls -A "$tree" 2>/dev/null)" ] || [ -z "$(ls -A "$registry/cache" 2>/dev/null)" ]; then
    echo "no crates in $registry: there is nothing to pack" >&2
    exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The demo has its own HashDB, cache and configuration; yours are neither used nor changed.
export HASHGET_DB=$work/hashdb HASHGET_CACHE=$work/cache HASHGET_CONFIG=/dev/null
unset HASHGET_POOL

listing() { # type, mode, owner, group, time, link target and size of every entry
    (cd "$1" && find . -type d -printf '%P %y %m %U %G %T@\n' -o -printf '%P %y %m %U %G %T@ %s %l\n' |
        LC_ALL=C sort)
}

echo
echo "Packing $tree without a network; the downloaded crates are next to it ..."
"$hashget" pack "$tree" -f "$work/crates.tar.zst" --offline --unasked 2>&1

# A restore usually runs on another machine: without the HashDB, and with an empty cache. Here, the folder of downloaded
# crates stands in for the network.
echo
echo "Unpacking the archive without a HashDB or a network ..."
rm -rf "$work/hashdb" "$work/cache"
"$hashget" unpack "$work/crates.tar.zst" -C "$work/restored" --offline --pool "$registry/cache" 2>&1

echo
echo "Comparing the unpacked files with the original ..."
diff -r --no-dereference "$tree" "$work/restored"
diff <(listing "$tree") <(listing "$work/restored")
echo "Identical: contents, types, modes, owners, times, links."

files=$(find "$tree" -type f | wc -l)
bytes=$(find "$tree" -type f -printf '%s\n' | awk '{ sum += $1 } END { printf "%.0f", sum }')
row() { # label, bytes
    awk -v label="$1" -v size="$2" -v all="$bytes" 'BEGIN {
        printf "  %-28s %15.0f bytes   %9.1f times smaller\n", label, size, all / size }'
}
echo
echo "Crate sources: $files files"
printf '  %-28s %15.0f bytes\n' "the folder" "$bytes"
row "tar + gzip" "$(tar -C "$tree" -c . | gzip -6 | wc -c)"
if command -v zstd >/dev/null; then
    row "tar + zstd" "$(tar -C "$tree" -c . | zstd -q -3 | wc -c)"
fi
row "hashget (.tar.zst)" "$(wc -c <"$work/crates.tar.zst")"
