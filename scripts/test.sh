#!/usr/bin/env bash
# Builds Fleetune and runs all its tests, then those of all code without LibTorch again under
# AddressSanitizer and UndefinedBehaviorSanitizer.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  cat <<EOF
usage: scripts/test.sh [--preset NAME]... [--help] [-- CTEST ARGUMENT...]
Installs missing packages, builds and runs the tests of the presets (default: asan, then release).
Presets: dev, release, asan, tsan. PEFT and the other clients of tests/outside are installed outside of the tree
(scripts/install_outside_clients.sh); where that fails their tests are named as skipped.
EOF
}

presets=()
while [ $# -gt 0 ]; do
  case "$1" in
    --preset) presets+=("${2:?--preset needs a name}"); shift 2 ;;
    --help|-h) usage; exit 0 ;;
    --) shift; break ;;
    *) usage >&2; exit 2 ;;
  esac
done
[ ${#presets[@]} -gt 0 ] || presets=(asan release)

scripts/install_deps.sh
scripts/install_outside_clients.sh || echo "outside clients: not installed, so tests/outside is skipped"
failed=()
for preset in "${presets[@]}"; do
  echo "== $preset: configure and build"
  cmake --preset "$preset" >"/tmp/fleetune-configure-$preset.$$" 2>&1 || { cat "/tmp/fleetune-configure-$preset.$$"; exit 1; }
  rm -f "/tmp/fleetune-configure-$preset.$$"
  cmake --build --preset "$preset"
  echo "== $preset: tests"
  ctest --preset "$preset" -j "$(nproc)" "$@" || failed+=("$preset")
done
[ ${#failed[@]} -eq 0 ] && exit 0
# What failed in one preset would lie far above the last one's summary: say it again, with what the tests printed.
for preset in "${failed[@]}"; do
  printf '\n== %s: FAILED\n' "$preset"
  logs=build/$preset/Testing/Temporary
  [ ! -f "$logs/LastTestsFailed.log" ] || sed 's/^[0-9]*:/   /' "$logs/LastTestsFailed.log"
  awk '/^[0-9]+\/[0-9]+ Testing: / { block = "" }
       { block = block $0 "\n" }
       /^Test (Failed|Timeout)/ { printf "\n%s", block; block = "" }' "$logs/LastTest.log" | cut -c 1-400 | tail -n 400
done
exit 1
