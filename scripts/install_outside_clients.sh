#!/usr/bin/env bash
# Installs what tests/outside compares with: Hugging Face's PEFT and transformers, and the gguf package, in a
# Python environment outside of the tree, over Debian's own PyTorch (PyPI's brings gigabytes of CUDA).
set -euo pipefail

# Versions that run with Debian 12's PyTorch 1.13. Without their dependencies: PyTorch would be among them.
wheels=(
  peft==0.17.1 transformers==4.46.3 accelerate==1.0.1 huggingface-hub==0.26.5 tokenizers==0.20.3
  safetensors==0.4.5 regex==2024.11.6 pyyaml==6.0.2 tqdm==4.67.1 packaging==24.2 filelock==3.16.1
  fsspec==2024.10.0 gguf==0.10.0 sentencepiece==0.2.0 jinja2==3.1.4
  markupsafe==3.0.2
)
folder="${XDG_CACHE_HOME:-$HOME/.cache}/fleetune/outside"

case "${1:-}" in
  "") ;;
  --help|-h)
    echo "usage: scripts/install_outside_clients.sh [--help]"
    echo "Makes the Python environment $folder (about 160 MB) for tests/outside, if it is not there."
    exit 0 ;;
  *) echo "usage: scripts/install_outside_clients.sh [--help]" >&2; exit 2 ;;
esac

if "$folder/bin/python" -c 'import gguf, peft, torch, transformers' 2>/dev/null; then
  echo "outside clients: installed in $folder"
  exit 0
fi
scripts="$(dirname "$0")"
"$scripts/install_deps.sh" python3-torch python3-requests python3-venv
rm -rf "$folder"
/usr/bin/python3 -m venv --system-site-packages "$folder"
timeout 150 "$folder/bin/pip" install -q --no-deps "${wheels[@]}"
"$folder/bin/python" -c 'import gguf, peft, torch, transformers'
echo "outside clients: installed in $folder"
