#!/usr/bin/env bash
# Packs trees that change all the time, for SECONDS (default 600) on each FILESYSTEM (default: ext4, xfs, btrfs), and unpacks every
# archive: what is not as it ever was must be named. As root. The same runs for some seconds with the other tests.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
seconds=${1:-600}
shift || true
file_systems=("$@")
[ "${#file_systems[@]}" -gt 0 ] || file_systems=(ext4 xfs btrfs)
export HASHGET_TEST_TURMOIL=$seconds HASHGET_REQUIRE_TOOLS=1
for file_system in "${file_systems[@]}"; do
    cargo test -p hashget-cli --test needs -- --nocapture "turmoil::every_archive_of_a_tree_in_turmoil_comes_back_on_$file_system"
done
