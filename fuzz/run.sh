#!/usr/bin/env bash
# Builds all fuzz targets on the stable toolchain and runs each for SECONDS (default 60), at low priority,
# with the files of testdata/hostile as the first inputs. Findings land in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
seconds=${1:-60}
shift || true
host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Coverflow-checks"
nice -n 15 cargo build --release --target "$host"
targets=("$@")
[ "${#targets[@]}" -gt 0 ] || targets=(package tar manifest detectors unpack)
for target in "${targets[@]}"; do
    corpus=corpus/$target
    mkdir -p "$corpus" "artifacts/$target"
    case $target in
        manifest) cp ../testdata/hostile/manifests/* "$corpus" ;;
        unpack | tar) cp ../testdata/hostile/archives/* ../testdata/hostile/*.tar "$corpus" ;;
        *) cp $(find ../testdata/hostile -maxdepth 1 -type f) "$corpus" ;;
    esac
    echo "== $target"
    nice -n 15 "target/$host/release/$target" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=20 \
        -max_len=65536 -artifact_prefix="artifacts/$target/" -print_final_stats=1 "$corpus" 2>&1 |
        grep -E 'stat::number_of_executed_units|panicked|ERROR|SUMMARY|Test unit' || true
done
