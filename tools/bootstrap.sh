#!/usr/bin/env bash
# Installs what building and testing need on Debian beside the Swift toolchain.
# Does nothing where all of it is there.
set -euo pipefail
packages=(libuv1-dev libsqlite3-dev pkg-config gcc g++ make binutils tzdata python3 python3-venv ca-certificates
          groff-base man-db zsh fish)
missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    run=()
    [ "$(id -u)" -eq 0 ] || run=(sudo)
    export DEBIAN_FRONTEND=noninteractive
    "${run[@]}" apt-get update -q
    "${run[@]}" apt-get install -y -q --no-install-recommends "${missing[@]}"
fi
command -v swift >/dev/null || {
    echo "bootstrap: no swift in PATH; install the Swift 6.3 toolchain from swift.org" >&2
    exit 1
}
