#!/usr/bin/env bash
# Installs what tests/outside compares with, outside of the tree: Hugging Face's PEFT and transformers, sentencepiece and the gguf package, in
# a Python environment over Debian's own PyTorch (PyPI's brings gigabytes of CUDA); and, where there is Node, OpenAI's client.
set -euo pipefail

# Versions that run with Debian 12's PyTorch 1.13. Without their dependencies: PyTorch would be among them.
wheels=(
  peft==0.17.1 transformers==4.46.3 accelerate==1.0.1 huggingface-hub==0.26.5 tokenizers==0.20.3
  safetensors==0.4.5 regex==2024.11.6 pyyaml==6.0.2 tqdm==4.67.1 packaging==24.2 filelock==3.16.1
  fsspec==2024.10.0 gguf==0.10.0 sentencepiece==0.2.0 jinja2==3.1.4
  markupsafe==3.0.2
)
openai=5.23.2  # has no dependencies
cache="${XDG_CACHE_HOME:-$HOME/.cache}/fleetune"
scripts="$(dirname "$0")"

case "${1:-}" in
  "") ;;
  --help|-h)
    echo "usage: scripts/install_outside_clients.sh [--help]"
    echo "Makes, if they are not there, for tests/outside: the Python environment $cache/outside (about 160 MB) and, where"
    echo "npm is installed, $cache/outside-node with OpenAI's client (about 12 MB)."
    exit 0 ;;
  *) echo "usage: scripts/install_outside_clients.sh [--help]" >&2; exit 2 ;;
esac

install_python() {
  local folder="$cache/outside"
  local modules="google.protobuf, gguf, peft, sentencepiece, torch, transformers"
  if ! "$folder/bin/python" -c "import $modules" 2>/dev/null; then
    "$scripts/install_deps.sh" python3-protobuf python3-torch python3-requests python3-venv
    rm -rf "$folder"
    /usr/bin/python3 -m venv --system-site-packages "$folder"
    timeout 150 "$folder/bin/pip" install -q --no-deps "${wheels[@]}"
    "$folder/bin/python" -c "import $modules"
  fi
  echo "outside clients: PEFT is installed in $folder"
}

install_node() {
  local folder="$cache/outside-node"
  if ! command -v npm >/dev/null; then
    echo "outside clients: no npm, so OpenAI's client is left out"
    return
  fi
  if [ ! -f "$folder/node_modules/openai/package.json" ]; then
    mkdir -p "$folder"
    timeout 150 npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$folder" "openai@$openai"
  fi
  echo "outside clients: OpenAI's client is installed in $folder"
}

# One that cannot be installed keeps no other from being so.
failed=0
( set -e; install_node ) || failed=1
( set -e; install_python ) || failed=1
exit "$failed"
