#!/usr/bin/env bash
# Runs fuzz targets of tests/fuzz with libFuzzer, from the corpus that ctest replays. What it finds goes to build/fuzz/found/TARGET;
# new inputs that reach more code stay in build/fuzz/inputs/TARGET, and the next run goes on from them.
set -euo pipefail

usage() {
  echo "usage: scripts/fuzz.sh [--seconds S] [--help] TARGET..."
  echo "Builds the targets (clang is installed if it is missing) and runs each for S seconds (60). Targets:"
  sed -n 's/^fleetune_fuzz_target(\([a-z0-9_]*\) .*/  \1/p' "$root/tests/fuzz/CMakeLists.txt"
}

root="$(cd "$(dirname "$0")/.." && pwd)"
seconds=60
targets=()
while [ $# -gt 0 ]; do
  case "$1" in
    --help|-h) usage; exit 0 ;;
    --seconds) seconds="${2:?--seconds needs a number}"; shift 2 ;;
    -*) usage >&2; exit 2 ;;
    *) targets+=("$1"); shift ;;
  esac
done
[ ${#targets[@]} -gt 0 ] || { usage >&2; exit 2; }

cd "$root"
scripts/install_deps.sh
scripts/install_deps.sh clang-14 libclang-rt-14-dev
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz --target "${targets[@]}"
for target in "${targets[@]}"; do
  corpus="tests/fuzz/$(sed -n "s/^fleetune_fuzz_target($target .*CORPUS \\([a-z0-9_/]*\\) .*/\\1/p" tests/fuzz/CMakeLists.txt)"
  mkdir -p "build/fuzz/inputs/$target" "build/fuzz/found/$target"
  echo "$target: $seconds seconds from $corpus"
  "build/fuzz/tests/$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -print_final_stats=1 -verbosity=0 \
    -artifact_prefix="build/fuzz/found/$target/" "build/fuzz/inputs/$target" "$corpus"
done
