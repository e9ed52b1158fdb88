#!/bin/sh
# Makes models/household-base-q8_0.gguf, the base model of the quickstart: a Llama-family model of 0.85 M parameters
# that knows the direct commands of examples/household. Some 2 minutes on one core; the same bytes each time on one
# machine (matrix products round differently on processors of another kind).
#
#   scripts/make_base_model.sh [FOLDER_OF_PROGRAMS [OUT.gguf]]
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
bin=${1:-$root/build/release/bin}
out=${2:-$root/models/household-base-q8_0.gguf}

for program in fleetune-household fleetune-model fleetune-model-train; do
  if [ ! -x "$bin/$program" ]; then
    echo "make_base_model: $bin/$program is missing: cmake --preset release && cmake --build --preset release" >&2
    exit 1
  fi
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$bin/fleetune-household" base --out "$work/base.txt" --records 60000 --seed 1
mkdir -p "$(dirname "$out")"
"$bin/fleetune-model" pretrain --text "$work/base.txt" --out "$work/household-base-q8_0.gguf" --type q8_0 \
  --vocabulary 512 --width 128 --layers 4 --heads 4 --kv-heads 2 --feed-forward 384 --context 256 \
  --steps 300 --batch 16 --sequence 256 --learning-rate 0.003 --seed 1 --threads 1
mv "$work/household-base-q8_0.gguf" "$out"

# What it was made for: a direct command, word by word.
prompt='request: turn on the lamp in the den
command:'
expected=' {"room":"den","device":"lamp","action":"on"}'
answer=$("$bin/fleetune-model" generate "$prompt" --model "$out" --max-tokens 40)
if [ "$answer" != "$expected" ]; then
  echo "make_base_model: expected the answer $expected, got $answer" >&2
  exit 1
fi
sha256sum "$out"
