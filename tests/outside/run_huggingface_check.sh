#!/usr/bin/env bash
# Runs huggingface_check.py with the Python that scripts/install_outside_clients.sh made, or that
# FLEETUNE_OUTSIDE_PYTHON names. Exit code 77, which ctest shows as skipped, if there is none.
set -euo pipefail
python="${FLEETUNE_OUTSIDE_PYTHON:-${XDG_CACHE_HOME:-$HOME/.cache}/fleetune/outside/bin/python}"
if ! "$python" -c 'import google.protobuf, gguf, sentencepiece, tokenizers, torch, transformers' 2>/dev/null; then
  echo "skipped: no transformers at $python; scripts/install_outside_clients.sh installs it"
  exit 77
fi
HF_HUB_OFFLINE=1 exec "$python" "$(dirname "$0")/huggingface_check.py" "$@"
