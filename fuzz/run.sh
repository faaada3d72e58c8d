#!/usr/bin/env bash
# Builds all fuzz targets with the stable toolchain and runs each for SECONDS (default 60) at low priority. The first
# inputs are the files of testdata/hostile and fuzz/seeds. Findings are written to fuzz/artifacts. Root runs the targets
# as nobody.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
seconds=${1:-60}
shift || true
host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Coverflow-checks"
nice cargo build --release --target "$host"
targets=("$@")
[ "${#targets[@]}" -gt 0 ] || targets=(package tar manifest detectors debian rules http parity unpack archive published)

# A hostile archive could do harm as root: `unpack` never runs as root, and the others need not.
as_nobody=()
if [ "$(id -u)" -eq 0 ]; then
    command -v setpriv >/dev/null || { echo "run this as a user without rights, or install setpriv" >&2; exit 1; }
    as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
for target in "${targets[@]}"; do
    mkdir -p "corpus/$target" "artifacts/$target" "$work/corpus" "$work/found"
    seeds=$(find seeds/"$target" -type f 2>/dev/null || true)
    case $target in
        manifest) seeds+=" $(find ../testdata/hostile/manifests -type f)" ;;
        unpack | tar) seeds+=" $(find ../testdata/hostile/archives ../testdata/hostile/*.tar -type f)" ;;
        parity) seeds+=" $(find ../testdata/frozen -name '*.par2')" ;;
        package | detectors) seeds+=" $(find ../testdata/hostile -maxdepth 1 -type f)" ;;
    esac
    # shellcheck disable=SC2086
    for seed in $seeds; do cp "$seed" "$work/corpus/$(sha256sum <"$seed" | cut -c1-40)"; done
    find "corpus/$target" -type f -exec cp -t "$work/corpus" {} +
    cp "target/$host/release/$target" "$work/fuzz"
    [ "${#as_nobody[@]}" -eq 0 ] || chown -R 65534:65534 "$work"
    echo "== $target"
    (cd "$work" && "${as_nobody[@]}" nice -n 15 ./fuzz -max_total_time="$seconds" -rss_limit_mb=2048 \
        -timeout=20 -max_len=65536 -artifact_prefix=found/ -print_final_stats=1 corpus 2>&1 |
        grep -E 'stat::number_of_executed_units|panicked|ERROR|SUMMARY|Test unit') || true
    find "$work/corpus" -type f -exec cp -t "corpus/$target" {} +
    find "$work/found" -type f -exec cp -t "artifacts/$target" {} +
    rm -rf "$work/corpus" "$work/found" "$work/fuzz"
done
