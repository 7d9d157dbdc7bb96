#!/bin/sh
# Makes the virtual environment that the integrations run in.
#
#     Tests/integrations/env.sh DIR           requirements.txt
#     Tests/integrations/env.sh DIR google    requirements-google.txt
#
# Nothing happens when DIR has been made from the same list. PYTHON names the Python to use (3.11 or
# newer; python3).
set -eu
dir=$1
list=$(cd "$(dirname "$0")" && pwd)/requirements${2:+-$2}.txt
python=${PYTHON:-python3}
cmp -s "$list" "$dir/.ready" && exit 0
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "$0: $python is older than 3.11; name a newer one with PYTHON=" >&2
    exit 1
}
rm -f "$dir/.ready"
"$python" -m venv "$dir"
"$dir/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$list"
cp "$list" "$dir/.ready"
