#!/usr/bin/env bash
# Runs each litmus test in herd7's model of ARMv8 and compares what it observed
# with what the test's comment expects: Never for the orders that the library
# uses, Sometimes for a weaker one, so that each test is known to be able to fail.
#
# HERD7 may name the program with options: HERD7='/opt/herd7 -I /opt/libdir'.
set -euo pipefail
cd "$(dirname "$0")"
read -ra herd <<<"${HERD7:-herd7}"
if ! command -v "${herd[0]}" >/dev/null; then
    echo "litmus: skipped: no herd7 in PATH. It is not in Debian 12: install it with" \
        "\`opam install herdtools7\`, or name it with HERD7=path."
    exit 0
fi
failed=0
passed=0
for test in *.litmus; do
    expected=$(sed -n 's/^(\* expect: \([A-Z][a-z]*\)$/\1/p' "$test")
    output=$("${herd[@]}" "$test" 2>&1) || true
    observed=$(awk '$1 == "Observation" { print $3 }' <<<"$output")
    printf '%-28s %s\n' "${test%.litmus}" "${observed:-no answer}"
    if [ -n "$expected" ] && [ "$observed" = "$expected" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "$test: expected ${expected:-something}: $output" >&2
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
