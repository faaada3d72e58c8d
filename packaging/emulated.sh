#!/usr/bin/env bash
# Runs the core of the tests with a program for another type of processor, which qemu runs: the tests are built for this
# machine, and call that program in place of the one that is built with them. Needs qemu-user (Debian: qemu-user-static).
#
#   packaging/emulated.sh PROGRAM [TEST]...       such as: packaging/emulated.sh hashget-0.1.0-aarch64/hashget
#
# TEST is a file of crates/hashget-cli/tests without its ending; without one, those that pack, read and restore.
set -euo pipefail
fail() { echo "emulated.sh: $*" >&2; exit 1; }
program=$(readlink -e "${1:?packaging/emulated.sh PROGRAM [TEST]...}") || fail "$1: no such program"
shift
[ $# -gt 0 ] || set -- at_once changed derived end_to_end in_place parity pieces several_paths streams verify
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
kind=$(LC_ALL=C readelf -h "$program" | sed -n 's/^ *Machine: *//p')
case $kind in
AArch64) emulator=qemu-aarch64 ;;
*X86-64) emulator=qemu-x86_64 ;;
*) fail "$program is for \"$kind\": expected AArch64 or X86-64" ;;
esac
emulator=$(command -v "$emulator-static" || command -v "$emulator") || fail "$emulator is missing: apt install qemu-user-static"

echo "== building the tests"
tests=()
for test in "$@"; do tests+=(--test "$test"); done
built=$(cargo test --locked -p hashget-cli "${tests[@]}" --no-run 2>&1) || { echo "$built" >&2; exit 1; }
mapfile -t built < <(sed -n 's/^ *Executable .* (\(.*\))$/\1/p' <<<"$built" | xargs -d '\n' readlink -e)
own=$(readlink -m "${CARGO_TARGET_DIR:-target}")/debug/hashget
[ -x "$own" ] || fail "$own: no such program; the tests call it"
mv "$own" "$own.native"
trap 'mv -f "$own.native" "$own"' EXIT
printf '#!/bin/sh\nexec %s %s "$@"\n' "$emulator" "$program" >"$own"
chmod +x "$own"
"$own" --version

cd crates/hashget-cli
export CARGO_MANIFEST_DIR=$PWD
failed=()
for test in "${built[@]}"; do
    echo "== $(basename "${test%-*}")"
    "$test" || failed+=("$(basename "${test%-*}")")
done
[ ${#failed[@]} -eq 0 ] || fail "failed: ${failed[*]}"
