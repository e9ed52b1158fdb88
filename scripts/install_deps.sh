#!/usr/bin/env bash
# Installs what Fleetune is built with: Debian 12 packages, only those that are missing.
set -euo pipefail

packages=(
  g++ cmake ninja-build ccache pkg-config git jq time ca-certificates
  libtorch-dev libopenblas-dev
  libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc
  libssl-dev libsqlite3-dev libabsl-dev libspdlog-dev libfmt-dev
  libcli11-dev libtomlplusplus-dev nlohmann-json3-dev libcpp-httplib-dev prometheus-cpp-dev
  libpcre2-dev libzstd-dev libhwy-dev
  libgtest-dev libgmock-dev libbenchmark-dev
)

usage() {
  cat <<EOF
usage: scripts/install_deps.sh [--list] [--help] [PACKAGE...]
Installs the Debian packages that the build needs and that are not there yet; asks for
root only then. --list prints the packages. PACKAGEs are installed instead of these.
EOF
}

case "${1:-}" in
  "") ;;
  --list) printf '%s\n' "${packages[@]}"; exit 0 ;;
  --help|-h) usage; exit 0 ;;
  -*) usage >&2; exit 2 ;;
  *) packages=("$@") ;;
esac

missing=()
for package in "${packages[@]}"; do
  state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$state" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "packages: all ${#packages[@]} are installed"
  exit 0
fi

echo "packages: installing ${missing[*]}"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "not root, and there is no sudo: run as root: apt-get install ${missing[*]}" >&2; exit 1; }
  as_root=(sudo)
fi
"${as_root[@]}" apt-get update -q
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
