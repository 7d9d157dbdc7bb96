#!/bin/sh
# Builds the C tests and runs them against a library, then looks at the library
# itself: exactly the header's functions are exported, nothing but the C library,
# libuv and SQLite is needed, which glibc it asks for, and its size.
#
#     Tests/c/run.sh [--full] path/to/libbursar.so [words of a sentence]
#
# --full: the library is built in full Swift mode; the Swift runtime in it exports
# and needs more, so only the header's functions are looked for.
set -eu

full=no
if [ "${1:-}" = --full ]; then
    full=yes
    shift
fi
if [ $# -lt 1 ]; then
    echo "usage: $0 [--full] path/to/libbursar.so [words of a sentence]" >&2
    exit 2
fi
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(dirname -- "$(dirname -- "$here")")
directory=$(CDPATH='' cd -- "$(dirname -- "$1")" && pwd)
library=$directory/$(basename -- "$1")
words=${2:-}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
failed=0

warnings="-O1 -g -Wall -Wextra -Werror -pedantic"
export LIMITS_TSV="$root/Tests/limits.tsv"
export LD_LIBRARY_PATH="$directory"

program() { # source compiler flags...
    source=$1
    shift
    name=$(basename -- "${source%.*}")
    if [ "${name#home}" != "$name" ] && [ "$full" = yes ]; then
        # They lock a futex with a thread's id that they keep, which a child of fork has
        # from its parent: two threads of such a child can wait for ever. The library
        # that ships has no Swift runtime; see the look at its symbols below.
        echo "$name: NOT RUN on the full build: the Swift runtime's own locks do not outlive fork"
        return
    fi
    # shellcheck disable=SC2086
    "$@" $warnings -I"$root/include" "$source" -o "$out/$name" "$library" -pthread
    if [ -n "$words" ]; then set -- "$words"; else set --; fi
    if [ "$name" = home_stuck ]; then # it waits, for the most part: beside the others
        "$out/$name" "$@" >"$out/stuck" 2>&1 &
        stuck=$!
        return
    fi
    printf '%s: ' "$name"
    if ! "$out/$name" "$@"; then failed=1; fi
}
stuck=

for source in "$here/home_stuck.c" "$here"/*.c; do
    if [ -n "$stuck" ] && [ "$source" = "$here/home_stuck.c" ]; then continue; fi
    program "$source" "${CC:-gcc}" -std=c11 -D_POSIX_C_SOURCE=200809L
done
program "$here/header.cpp" "${CXX:-g++}" -std=c++17
if [ -n "$stuck" ]; then
    if ! wait "$stuck"; then failed=1; fi
    printf 'home_stuck: '
    cat "$out/stuck"
fi

# The header's functions, as the preprocessor leaves them: a name before a parenthesis.
"${CC:-gcc}" -E -P -I"$root/include" "$root/include/bursar.h" |
    grep -o 'bursar_[a-z_]*(' | tr -d '(' | sort -u >"$out/declared"
nm -D --defined-only --extern-only "$library" | awk '{ sub(/@.*/, "", $3); print $3 }' | sort -u >"$out/exported"
if [ "$full" = yes ]; then grep '^bursar_[a-z]' "$out/exported" >"$out/e" && mv "$out/e" "$out/exported"; fi
if ! diff "$out/declared" "$out/exported" >"$out/diff"; then
    echo "symbols: the header (<) and the library (>) differ:"
    cat "$out/diff"
    failed=1
else
    echo "symbols: $(wc -l <"$out/declared") functions, as in the header"
fi

readelf -d "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' >"$out/needed"
echo "needs: $(tr '\n' ' ' <"$out/needed")"
if [ "$full" = no ] &&
    grep -v -E '^(libc\.so\.6|libm\.so\.6|libuv\.so\.1|libsqlite3\.so\.0|ld-linux-[a-z0-9-]*\.so\.[0-9])$' "$out/needed"; then
    echo "needs more than libc, libm, libuv and libsqlite3"
    failed=1
fi
echo "glibc: $(objdump -T "$library" | grep -o 'GLIBC_[0-9][0-9.]*' | sort -V | tail -n 1)"
if [ "$full" = no ] && nm -D --undefined-only "$library" | grep -E ' (syscall|gettid)(@|$)'; then
    echo "has locks of the Swift runtime, which do not outlive fork"
    failed=1
fi
strip --strip-unneeded -o "$out/stripped.so" "$library"
size=$(wc -c <"$out/stripped.so")
echo "size: $size bytes stripped"
if [ "$full" = no ] && [ "$size" -gt 524288 ]; then
    echo "larger than 512 KiB"
    failed=1
fi
exit $failed
