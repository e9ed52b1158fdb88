#!/usr/bin/env bash
# The main job on one machine: a coordinator and several devices over mutual TLS train a LoRA adapter on data that stays
# on each device, and get a signed update back. Installs missing packages and builds first.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  cat <<EOF
usage: scripts/quickstart.sh [--base FILE.gguf --data DIR] [--devices N] [--rounds R] [options]

Without --base: a small household assistant (models/household-base-q8_0.gguf) and 5 homes of our own making, 3 rounds.
With --base and --data: your model, and one file of DIR (.txt or .jsonl, in order of name) for each device.

  --devices N          devices (default 5)
  --rounds R           rounds (default 3)
  --rank R             rank of the adapter (default 8)
  --local-epochs E     passes over its data that a device makes a round (default depends on the data)
  --learning-rate X    of the devices' AdamW
  --prompt TEXT        the prompt that is answered before and after
  --secure MODE        who sees single updates: semi-honest (nobody, if the coordinator follows the
                       protocol; default), malicious (nobody, even if it lies), off (the coordinator)
  --trained WHAT       what devices train: b (default), alternating (B and A in turn), factors (A and B, averaged
                       separately: inexact, for comparison)
  --refactor-every R   every R versions the adapter gets an orthonormal A (default 0: never)
  --kill N             devices that are killed (kill -9) at a random moment of each round and start again after it;
                       the round then needs three quarters of the others (default 0)
  --noise Z            differential privacy: noise of Z times the most that one device adds, on every sum
                       (default 0: none). Few devices and much noise: expect to learn little, or nothing
  --clip C             most that a device may add, as the L2 norm of its update (default 20, with --noise 0.2)
  --out DIR            where everything is put (default build/quickstart; emptied first)
  --no-build           use the programs in build/release/bin as they are
EOF
}
fail() { echo "quickstart: $*" >&2; exit 1; }

base="" data="" devices=5 rounds=3 rank=8 epochs="" rate="" prompt="" secure="" trained=b refactor=0 kill=0 noise=0
clip="" out=build/quickstart build=1
while [ $# -gt 0 ]; do
  case "$1" in
    --base) base=${2:?--base needs a file}; shift 2 ;;
    --data) data=${2:?--data needs a folder}; shift 2 ;;
    --devices) devices=${2:?--devices needs a number}; shift 2 ;;
    --rounds) rounds=${2:?--rounds needs a number}; shift 2 ;;
    --rank) rank=${2:?--rank needs a number}; shift 2 ;;
    --local-epochs) epochs=${2:?--local-epochs needs a number}; shift 2 ;;
    --learning-rate) rate=${2:?--learning-rate needs a number}; shift 2 ;;
    --prompt) prompt=${2:?--prompt needs a text}; shift 2 ;;
    --secure) secure=${2:?--secure needs semi-honest, malicious or off}; shift 2 ;;
    --trained) trained=${2:?--trained needs b, alternating or factors}; shift 2 ;;
    --refactor-every) refactor=${2:?--refactor-every needs a number}; shift 2 ;;
    --kill) kill=${2:?--kill needs a number}; shift 2 ;;
    --noise) noise=${2:?--noise needs a number}; shift 2 ;;
    --clip) clip=${2:?--clip needs a number}; shift 2 ;;
    --out) out=${2:?--out needs a folder}; shift 2 ;;
    --no-build) build=0; shift ;;
    --help|-h) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
done
if { [ -n "$base" ] && [ -z "$data" ]; } || { [ -z "$base" ] && [ -n "$data" ]; }; then
  echo "quickstart: --base and --data go together" >&2; exit 2
fi
for number in "$devices" "$rounds" "$rank"; do
  [[ "$number" =~ ^[1-9][0-9]*$ ]] || { echo "quickstart: expected a whole number above 0, got '$number'" >&2; exit 2; }
done
case "$trained" in
  b|alternating|factors) ;;
  *) echo "quickstart: --trained: expected b, alternating or factors, got '$trained'" >&2; exit 2 ;;
esac
[[ "$refactor" =~ ^[0-9]+$ ]] || { echo "quickstart: --refactor-every: expected a whole number, got '$refactor'" >&2; exit 2; }
[[ "$kill" =~ ^[0-9]+$ ]] || { echo "quickstart: --kill: expected a whole number, got '$kill'" >&2; exit 2; }
needed=$devices
[ "$kill" = 0 ] || needed=$(((devices - kill) * 3 / 4))
for number in "$noise" "${clip:-1}"; do
  [[ "$number" =~ ^[0-9]+(\.[0-9]+)?$ ]] || { echo "quickstart: expected a number, got '$number'" >&2; exit 2; }
done
# So that TOML takes them for floats, too.
noise=$(awk -v z="$noise" 'BEGIN { printf "%.6f", z }')
private=$(awk -v z="$noise" 'BEGIN { print (z > 0) }')
: "${clip:=$([ "$private" = 1 ] && echo 0.2 || echo 20.0)}"
lane=$([ "$private" = 1 ] && echo 24 || echo 16)  # noise needs finer steps
# A sum of two tells each of the two about the other.
[ -n "$secure" ] || { [ "$devices" -ge 3 ] && secure=semi-honest || secure=off; }
case "$secure" in
  semi-honest|malicious) [ "$devices" -ge 3 ] || fail "--secure $secure needs at least 3 devices, got $devices" ;;
  off) ;;
  *) echo "quickstart: --secure: expected semi-honest, malicious or off, got '$secure'" >&2; exit 2 ;;
esac
[ "$secure" = off ] && least=1 || least=3
[ "$needed" -ge "$least" ] || fail "--kill $kill of $devices devices: a round would need $needed, and cannot do with fewer than $least"
[ "$private" = 0 ] || [ "$secure" != off ] || fail "--noise hides a device in a sum: it needs 3 devices, and not --secure off"
if [ -n "$base" ]; then
  [ -f "$base" ] || fail "no base model at $base"
  [ -d "$data" ] || fail "no folder of data at $data"
fi

step() { printf '\n== %s\n' "$*"; }

if [ "$build" = 1 ]; then
  step "packages"
  scripts/install_deps.sh
  step "build (release)"
  cmake --preset release >build-configure.log 2>&1 || { cat build-configure.log; rm -f build-configure.log; exit 1; }
  rm -f build-configure.log
  cmake --build --preset release --target fleetune-coordinator fleetune fleetune-client fleetune-trainer \
    fleetune-model fleetune-model-train fleetune-household
fi
bin=$PWD/build/release/bin
[ -x "$bin/fleetune-coordinator" ] || fail "no programs in $bin: run without --no-build"

started=$(date +%s)
rm -rf "$out"; mkdir -p "$out"; out=$(cd "$out" && pwd)
pids=()
stop_all() {
  trap - EXIT INT TERM
  [ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
  for pid in ${pids[@]+"${pids[@]}"}; do
    for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
  done
}
trap stop_all EXIT
trap 'exit 130' INT TERM

# --- data: one training file a device, and a part of each held out for judging -------------------------------
step "data for $devices devices"
mkdir -p "$out/data" "$out/held_out"
if [ -z "$base" ]; then
  base=$PWD/models/household-base-q8_0.gguf
  "$bin/fleetune-household" homes --out "$out/homes" --homes "$devices" --records 400 --held-out 40 --seed 7 >/dev/null
  files=("$out"/homes/*.jsonl)
  for file in "${files[@]}"; do
    cp "$file" "$out/data/"; cp "$out/homes/held_out/$(basename "$file")" "$out/held_out/"
  done
  : "${epochs:=4}" "${rate:=0.005}" "${prompt:=$(printf "request: it is too dark in the kitchen\ncommand:")}"
else
  base=$(cd "$(dirname "$base")" && pwd)/$(basename "$base")
  mapfile -t files < <(find "$data" -maxdepth 1 -type f \( -name '*.txt' -o -name '*.jsonl' \) | LC_ALL=C sort | head -n "$devices")
  [ ${#files[@]} -eq "$devices" ] || fail "$devices devices need as many .txt or .jsonl files in $data; found ${#files[@]}"
  for file in "${files[@]}"; do
    name=$(basename "$file")
    # Every tenth record is held out.
    case "$name" in
      *.txt) split='BEGIN { RS = ""; ORS = "\n\n" }' ;;
      *) split='' ;;
    esac
    awk "$split"' NR % 10 != 0' "$file" >"$out/data/$name"
    awk "$split"' NR % 10 == 0' "$file" >"$out/held_out/$name"
    [ -s "$out/held_out/$name" ] || fail "$file has fewer than 10 records: nothing to hold out"
  done
  if [ -z "$prompt" ]; then
    first=$(find "$out/held_out" -type f | LC_ALL=C sort | head -n 1)
    case "$first" in
      *.txt) prompt=$(awk 'BEGIN { RS = "" } NR == 1 { print; exit }' "$first" | head -c 60) ;;
      *) prompt=$(head -n 1 "$first" | jq -r '.prompt // .question // .text // .messages[0].content' | head -c 200) ;;
    esac
  fi
  : "${epochs:=2}" "${rate:=0.005}"
fi
wc -c "$out"/data/* | tail -n 1 | awk '{print "   " $1 " bytes of private text in all"}'

held_out_loss() {  # [adapter]
  "$bin/fleetune-model" perplexity --model "$base" ${1:+--adapter "$1"} --data "$out/held_out" --json | jq -r .mean_loss
}

# --- coordinator ----------------------------------------------------------------------------------------------
step "coordinator"
"$bin/fleetune-coordinator" init --dir "$out/coordinator" --host 127.0.0.1
"$bin/fleetune-coordinator" serve --dir "$out/coordinator" --listen 127.0.0.1:0 >"$out/coordinator.log" 2>&1 &
pids+=($!)
for _ in $(seq 100); do [ -s "$out/coordinator/listening" ] && break; sleep 0.1; done
[ -s "$out/coordinator/listening" ] || { cat "$out/coordinator.log"; fail "the coordinator did not start"; }
address=$(cat "$out/coordinator/listening")
echo "   listening on $address (mutual TLS)"
admin() { "$bin/fleetune" --credentials "$out/coordinator/admin" --address "$address" "$@"; }

admin model add "$base" --name base
cat >"$out/task.toml" <<EOF
name = "quickstart"
base = "base"
secure_aggregation = "$secure"

[adapter]
rank = $rank
alpha = $((2 * rank))
targets = ["q", "k", "v", "o", "gate", "up", "down"]
trained = "$trained"

[training]
learning_rate = $rate
epochs = $epochs
sequence_length = 128
micro_batch = 1

[update]
clip_norm = $clip
lane_bits = $lane

[round]
invited = $devices
needed = $needed
deadline_seconds = 900
linger_seconds = $([ "$kill" = 0 ] && echo 900 || echo 30)  # for devices that were killed, once enough others are counted
poll_seconds = 1

[server]
refactor_every = $refactor
EOF
[ "$secure" = off ] || printf '\n[secure]\n' >>"$out/task.toml"
# Who was killed is waited for only so long.
[ "$kill" = 0 ] || [ "$secure" = off ] || cat >>"$out/task.toml" <<EOF
seat_seconds = 30
share_seconds = 20
input_seconds = 30
view_seconds = 20
unmask_seconds = 20
EOF
# The limits are for the show: a fleet that means it asks for 8 or less, and its devices' owners, too.
epsilon_limit=100
[ "$private" = 0 ] || cat >>"$out/task.toml" <<EOF
min_cohort = $((devices - kill))
min_survivors = $(((9 * (devices - kill) + 9) / 10))

[privacy]
noise_multiplier = $noise
device_epsilon_limit = $epsilon_limit
EOF
admin task create "$out/task.toml"

# --- devices --------------------------------------------------------------------------------------------------
step "$devices devices enrol and take in their data"
token=$(admin token create --uses "$devices" --json | jq -r .token)
names=()
declare -A device_pids
run_device() {  # name
  "$bin/fleetune-client" --dir "$out/devices/$1" run >>"$out/devices/$1/daemon.log" 2>&1 &
  device_pids[$1]=$!; pids+=($!)
  disown  # no word from the shell when it is killed
}
for file in "$out"/data/*; do
  name=$(basename "${file%.*}"); names+=("$name"); dir=$out/devices/$name
  mkdir -p "$dir"
  printf 'threads = 1\ntrainer_niceness = 10\nanswer_milliseconds = 20000\nmodels = ["%s"]\n' "$base" >"$dir/client.toml"
  [ "$private" = 0 ] || printf '[privacy]\nepsilon_limit = %s\n' "$epsilon_limit" >>"$dir/client.toml"
  "$bin/fleetune-client" --dir "$dir" enroll --token "$token" --name "$name" >"$dir/enroll.log" 2>&1 || { cat "$dir/enroll.log"; fail "$name could not enrol"; }
  "$bin/fleetune-client" --dir "$dir" data add "$file" >>"$dir/enroll.log" 2>&1 || { cat "$dir/enroll.log"; fail "$name could not take in its data"; }
  run_device "$name"
  echo "   $name"
done

# --- rounds ---------------------------------------------------------------------------------------------------
base_loss=$(held_out_loss)
echo; printf '   held-out loss of the base model: %.4f\n' "$base_loss"
all_at_version() {
  for name in "${names[@]}"; do
    [ "$("$bin/fleetune-client" --dir "$out/devices/$name" status --json | jq -r '.tasks[] | select(.task == "quickstart") | .version' 2>/dev/null)" = "$1" ] || return 1
  done
}
rows="[]"
span=20  # seconds in which devices are killed: at first a guess, then what the last round took
for round in $(seq "$rounds"); do
  step "round $round of $rounds"
  id=$(admin round start quickstart --json | jq -r .id)
  round_started=$(date +%s)
  mapfile -t victims < <([ "$kill" = 0 ] || shuf -n "$kill" -e "${names[@]}")
  killers=()
  for name in ${victims[@]+"${victims[@]}"}; do
    moment=$((RANDOM % (span * 1000)))
    (sleep "$((moment / 1000)).$(printf %03d $((moment % 1000)))"; kill -9 "${device_pids[$name]}") & killers+=($!)
    printf '   %s will be killed after %d.%03d s\n' "$name" $((moment / 1000)) $((moment % 1000))
  done
  admin round watch "$id" >/dev/null || fail "round $round did not finish: $(admin round show "$id")"
  span=$(($(date +%s) - round_started + 1))
  for killer in ${killers[@]+"${killers[@]}"}; do wait "$killer" || true; done
  for name in ${victims[@]+"${victims[@]}"}; do run_device "$name"; done
  for _ in $(seq 300); do all_at_version "$round" && break; sleep 0.2; done
  all_at_version "$round" || fail "not every device came to version $round; see $out/devices/*/daemon.log"
  admin adapter export quickstart "$round" --format fleetune --out "$out/adapters" >/dev/null
  loss=$(held_out_loss "$(ls -t "$out"/adapters/*.fta | head -n 1)")
  rows=$(admin round show "$id" --json | jq --argjson rows "$rows" --argjson loss "$loss" \
    '$rows + [{round: .number, held_out_loss: $loss, counted, bytes_up, bytes_down, seconds: ((.ended_unix_ms - .started_unix_ms) / 1000)}]')
  printf '   held-out loss: %.4f\n' "$loss"
done

# --- the same prompt before and after -------------------------------------------------------------------------
step "the same prompt, before and after"
dir=$out/devices/${names[0]}
before=$("$bin/fleetune-client" --dir "$dir" generate --base --max-tokens 40 "$prompt")
after=$("$bin/fleetune-client" --dir "$dir" generate --max-tokens 40 "$prompt")
printf 'prompt:\n%s\n\nbase model:\n%s\n\nwith the adapter of %s rounds:\n%s\n' "$prompt" "$before" "$rounds" "$after"

shown=$(admin task show quickstart --json)
parameters=$(jq -r .trained_parameters <<<"$shown")
privacy=$(jq '.privacy // null' <<<"$shown")
jq -n --argjson devices "$devices" --argjson rounds "$rows" --argjson base_loss "$base_loss" --argjson parameters "$parameters" --argjson privacy "$privacy" \
  --arg secure "$secure" --arg trained "$trained" --argjson refactor "$refactor" --arg base "$base" --arg prompt "$prompt" --arg before "$before" --arg after "$after" \
  --argjson seconds "$(($(date +%s) - started))" \
  '{devices: $devices, secure_aggregation: $secure, trained: $trained, refactor_every: $refactor, base: $base, trained_parameters: $parameters, privacy: $privacy,
    base_held_out_loss: $base_loss, rounds: $rounds,
    prompt: $prompt, answer_before: $before, answer_after: $after, seconds: $seconds}' >"$out/summary.json"

step "summary"
printf '%-7s %14s %22s %22s %9s\n' round "held-out loss" "bytes up (a device)" "bytes down (a device)" seconds
printf '%-7s %14.4f\n' base "$base_loss"
jq -r --argjson n "$devices" '.rounds[] | [.round, .held_out_loss, .bytes_up, .bytes_up / $n, .bytes_down, .bytes_down / $n, .seconds] | @tsv' "$out/summary.json" |
  while IFS=$'\t' read -r round loss up up1 down down1 seconds; do
    printf '%-7s %14.4f %12d (%7.0f) %12d (%7.0f) %9.1f\n' "$round" "$loss" "$up" "$up1" "$down" "$down1" "$seconds"
  done
if [ "$private" = 1 ]; then
  echo
  jq -r '.privacy | "differential privacy: epsilon \(.epsilon * 1000 | round / 1000) at delta \(.delta) for a device that was in all \(.cells) rounds, to the coordinator"' "$out/summary.json"
  "$bin/fleetune-client" --dir "$dir" status | grep '^epsilon'
fi
cat <<EOF

$parameters trained parameters; $(($(date +%s) - started)) s after the build.
Everything is in $out: summary.json, task.toml, adapters/, coordinator/, devices/NAME/ (logs beside them).
Try next:
  $bin/fleetune-client --dir $dir generate "..."        answer a prompt with the new adapter
  $bin/fleetune-client --dir $dir audit                 what left the device
  $bin/fleetune-model inspect $base
  scripts/quickstart.sh --base MODEL.gguf --data DIR --devices N --rounds R     your own model and texts
EOF
