#!/bin/sh
# Prints the oldest and the newest Python from 3.9 on that this machine has: from
# PATH and from pyenv, where that is installed.
set -eu
for python in $(
    for version in 9 10 11 12 13 14; do command -v "python3.$version" || true; done
    command -v python3 || true
    ls "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python3 2>/dev/null || true
); do
    "$python" -c 'import sys, ctypes; v = sys.version_info
if v >= (3, 9): print("%03d.%03d.%03d %s" % (v[0], v[1], v[2], sys.executable))' 2>/dev/null || true
done | sort -u | awk '{ print $2 }' | sed -n '1p;$p' | uniq
