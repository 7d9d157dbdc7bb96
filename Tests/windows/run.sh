#!/bin/sh
# Compares calendar windows with Python's zoneinfo: all zones and 60 years, or
# with QUICK=1 the tricky zones in a few seconds. WINDOW_DUMP may name a built tool.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
if [ -z "${WINDOW_DUMP:-}" ]; then
    swift build --package-path "$root" -c release --product window-dump
    WINDOW_DUMP=$(swift build --package-path "$root" -c release --show-bin-path)/window-dump
fi
PYTHONTZPATH=/usr/share/zoneinfo exec "${PYTHON:-python3}" "$here/oracle.py" "$WINDOW_DUMP" ${QUICK:+--quick} "$@"
