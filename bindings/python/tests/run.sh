#!/bin/sh
# Runs the binding's tests: run.sh [PYTHON ...], each interpreter in turn; python3 by default.
#
# The library is BURSAR_LIBRARY, or build/lib/libbursar.so. With OPENAI_TESTS=1 the openai package
# and gunicorn are installed into build/venv-<version> and the tests with them run too, else they
# are skipped.
# Nothing is written outside build/.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
: "${BURSAR_LIBRARY:=$root/build/lib/libbursar.so}"
export BURSAR_LIBRARY
export PYTHONPATH="$here/../src:$here" PYTHONDONTWRITEBYTECODE=1
[ $# -gt 0 ] || set -- python3
for python in "$@"; do
    if [ "${OPENAI_TESTS:-0}" != 0 ]; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        venv="$root/build/venv-$version"
        [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
        "$venv/bin/python" -c 'import openai, gunicorn' 2>/dev/null ||
            "$venv/bin/python" -m pip install --quiet --disable-pip-version-check openai gunicorn
        python="$venv/bin/python"
    fi
    "$python" --version
    (cd "$here" && "$python" -X dev -m unittest discover -p 'test_*.py')
done
