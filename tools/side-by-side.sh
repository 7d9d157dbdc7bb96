#!/bin/sh
# Runs the commands on standard input, one a line, as many at once as there are processors. What
# each says is printed when it has ended. Fails when one of them does.
# shellcheck disable=SC2016
exec xargs -d '\n' -P "$(nproc)" -n 1 sh -c '
    said=$(mktemp)
    sh -c "$1" >"$said" 2>&1
    status=$?
    cat "$said"
    rm -f "$said"
    exit "$status"' side-by-side
