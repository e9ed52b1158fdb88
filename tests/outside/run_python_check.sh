#!/usr/bin/env bash
# Runs a check of this folder with the Python that scripts/install_outside_clients.sh made, or that FLEETUNE_OUTSIDE_PYTHON names.
# Exit code 77, which ctest shows as skipped, if there is none that has the modules.
#   run_python_check.sh CHECK.py "module, module" ARGUMENTS OF THE CHECK...
set -euo pipefail
check="$(dirname "$0")/$1"
modules="$2"
shift 2
python="${FLEETUNE_OUTSIDE_PYTHON:-${XDG_CACHE_HOME:-$HOME/.cache}/fleetune/outside/bin/python}"
if ! "$python" -c "import $modules" 2>/dev/null; then
  echo "skipped: $python has not all of $modules; scripts/install_outside_clients.sh installs them"
  exit 77
fi
HF_HUB_OFFLINE=1 exec "$python" "$check" "$@"
