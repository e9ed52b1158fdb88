#!/usr/bin/env bash
# Runs openai_check.mjs with OpenAI's client of scripts/install_outside_clients.sh, or of the folder that FLEETUNE_OUTSIDE_NODE
# names, against a server of its own. Exit code 77, which ctest shows as skipped, if there is none.
#   run_openai_check.sh --tool FLEETUNE_MODEL --data FOLDER
set -euo pipefail
[ "$1" = --tool ] && [ "$3" = --data ]
tool="$2"
data="$4"
folder="${FLEETUNE_OUTSIDE_NODE:-${XDG_CACHE_HOME:-$HOME/.cache}/fleetune/outside-node}"
if ! command -v node >/dev/null || [ ! -f "$folder/node_modules/openai/package.json" ]; then
  echo "skipped: no Node with OpenAI's client at $folder; scripts/install_outside_clients.sh installs it"
  exit 77
fi
scratch="$(mktemp -d)"
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$scratch"' EXIT
cp "$(dirname "$0")/openai_check.mjs" "$scratch/"
ln -s "$folder/node_modules" "$scratch/node_modules"
mkfifo "$scratch/said"
"$tool" serve --model "$data/models/stories260K-q8_0.gguf" --packed "$scratch" --adapter "home=$data/golden/peft-adapter" \
  --listen 127.0.0.1:0 --token-file "$scratch/token" >"$scratch/said" &
server=$!
read -r said <"$scratch/said"  # "listening on 127.0.0.1:PORT", once it does
timeout 240 node "$scratch/openai_check.mjs" "http://${said##* }/v1" "$(cat "$scratch/token")"
