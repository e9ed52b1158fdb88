#!/usr/bin/env bash
# The table of docs/results.md: federated methods against training on all texts in one place, over simulated devices
# (fleetune-sim). Needs build/release/bin/fleetune-sim: cmake --preset release && cmake --build --preset release.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  cat <<EOF
usage: scripts/results.sh [options]

  --base FILE      base model (default ../shared/data/models/stories260K-f32.gguf)
  --data DIR       one file a device (default ../shared/data/shakespeare)
  --devices N      devices a round (default 24)
  --rounds R       rounds (default 10)
  --threads T      cores (default 1)
  --only ROWS      names of rows, separated by commas: pooled-b pooled-ab fedavg fedadam fedprox scaffold
                   alternating-fedavg alternating-fedadam alternating-fedprox alternating-scaffold (default: all)
  --out DIR        where each run is put (default build/results); runs that are there are not run again
EOF
}

base=../shared/data/models/stories260K-f32.gguf data=../shared/data/shakespeare devices=24 rounds=10 threads=1
only="" out=build/results
while [ $# -gt 0 ]; do
  case "$1" in
    --base) base=${2:?--base needs a file}; shift 2 ;;
    --data) data=${2:?--data needs a folder}; shift 2 ;;
    --devices) devices=${2:?--devices needs a number}; shift 2 ;;
    --rounds) rounds=${2:?--rounds needs a number}; shift 2 ;;
    --threads) threads=${2:?--threads needs a number}; shift 2 ;;
    --only) only=${2:?--only needs names}; shift 2 ;;
    --out) out=${2:?--out needs a folder}; shift 2 ;;
    --help|-h) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
done
sim=build/release/bin/fleetune-sim
[ -x "$sim" ] || { echo "results: no $sim: build it first" >&2; exit 1; }
mkdir -p "$out"

wanted() { [ -z "$only" ] || [[ ",$only," == *",$1,"* ]]; }

# What the rows have in common stands here, what they differ in at the end.
task() {  # trained, lines of [training], lines of [server]
  cat <<EOF
name = "results"
base = "base"
secure_aggregation = "semi-honest"
[adapter]
rank = 8
alpha = 16
targets = ["q", "k", "v", "o", "gate", "up", "down"]
trained = "$1"
[training]
epochs = 1
sequence_length = 128
micro_batch = 2
$2
[update]
clip_norm = 100
lane_bits = 24
[round]
invited = $devices
needed = $devices
[server]
$3
EOF
}

run() {  # row, options of fleetune-sim...; the task comes on standard input
  local row=$1; shift
  cat >"$out/$row.toml"
  wanted "$row" || return 0
  [ -s "$out/$row/summary.json" ] && return 0
  rm -rf "${out:?}/$row"
  echo "== $row" >&2
  "$sim" "$out/$row.toml" --base "$base" --data "$data" --threads "$threads" --tuning --out "$out/$row" "$@" >&2
}

fleet() {  # row, trained, lines of [training], lines of [server]
  task "$2" "$3" "$4" | run "$1" --rounds "$rounds"
}

# --- rows: what was tried to come to these settings stands in docs/results.md --------------------------------------
rate='learning_rate = 0.005'
server='learning_rate = 1.5'
for trained in b alternating; do
  prefix=$([ "$trained" = b ] || echo alternating-)
  fleet "${prefix}fedavg" "$trained" "$rate" "$server"
  fleet "${prefix}fedadam" "$trained" 'learning_rate = 0.01' \
    $'optimizer = "fedadam"\nlearning_rate = 0.15\nbeta1 = 0.5\ntau = 0.05'
  fleet "${prefix}fedprox" "$trained" "$rate"$'\nproximal = 0.01' "$server"
  fleet "${prefix}scaffold" "$trained" "$rate"$'\ncontrol_variates = true' "$server"
done
pooled_rates=0.0005,0.001,0.0025

# The comparison reads as many tokens as FedAvg's devices did.
tokens=$(jq -r .tokens "$out/fedavg/summary.json" 2>/dev/null) || { echo "results: the other rows are measured by fedavg: run it first" >&2; exit 1; }
task b "" "" | run pooled-b --pooled --tokens "$tokens" --pooled-rates "$pooled_rates"
task factors "" "" | run pooled-ab --pooled --tokens "$tokens" --pooled-rates "$pooled_rates"

# --- the table ------------------------------------------------------------------------------------------------
summary() { cat "$out/$1/summary.json" 2>/dev/null || echo null; }
printf '| row | held-out loss | gain | of pooled B | of pooled A and B | bytes up a device and round | down |\n|---|---|---|---|---|---|---|\n'
jq -rn --argjson pooled_b "$(summary pooled-b)" --argjson pooled_ab "$(summary pooled-ab)" '
  [["base model", ($pooled_b // $pooled_ab).base_held_out_loss], ["pooled, B", $pooled_b.pooled.held_out_loss],
   ["pooled, A and B", $pooled_ab.pooled.held_out_loss]] | .[] | select(.[1] != null) |
  "| \(.[0]) | \(.[1] * 10000 | round / 10000) | | | | | |"'
for row in fedavg fedadam fedprox scaffold alternating-fedavg alternating-fedadam alternating-fedprox alternating-scaffold; do
  [ -s "$out/$row/summary.json" ] || continue
  jq -r --arg row "$row" --argjson pooled_b "$(summary pooled-b)" --argjson pooled_ab "$(summary pooled-ab)" '
    .base_held_out_loss as $base | .rounds[-1].held_out_loss as $reached |
    def percent($by): if $by == null then "" else
      "\((($base - $reached) / ($by.base_held_out_loss - $by.pooled.held_out_loss) * 1000 | round) / 10) %" end;
    "| \($row) | \($reached * 10000 | round / 10000) | \(($base - $reached) * 10000 | round / 10000) | \(percent($pooled_b)) | \(percent($pooled_ab)) | \([.rounds[] | .bytes_up / .counted] | add / length | round) | \([.rounds[] | .bytes_down / .invited] | add / length | round) |"' \
    "$out/$row/summary.json"
done
