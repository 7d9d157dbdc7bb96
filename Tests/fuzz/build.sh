#!/usr/bin/env bash
# Builds the library with libFuzzer's and ASan's instrumentation, and a fuzzer of
# each .c file here, into build/fuzz. Needs the toolchain only: its libFuzzer.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$PWD/build/fuzz
modules=$out/modules
mkdir -p "$modules"/{CPlatform,CPrices,CLedger}
toolchain=$(dirname "$(readlink -f "$(command -v "${SWIFTC:-swiftc}")")")
cc=$toolchain/clang
[ -x "$cc" ] || cc=clang

for module in CPlatform CPrices CLedger; do
    header=$PWD/Sources/$module/include/$module.h
    printf 'module %s { umbrella header "%s" export * }\n' "$module" "$header" >"$modules/$module/module.modulemap.new"
    cmp -s "$modules/$module/module.modulemap.new" "$modules/$module/module.modulemap" ||
        cp "$modules/$module/module.modulemap.new" "$modules/$module/module.modulemap"
done

c() { "$cc" -O1 -g -fsanitize=fuzzer-no-link,address -Iinclude -ISources/CPlatform/include -ISources/CPrices/include -ISources/CLedger/include -Wall -Wextra "$@"; }
swift_module() { # name, sources
    local name=$1
    shift
    # Nothing newer than the object: nothing to do.
    if [ -f "$out/$name.o" ] && [ -z "$(find "$@" include Sources/CPlatform Sources/CPrices Sources/CLedger \
        "$out"/BursarCore.swiftmodule -newer "$out/$name.o" \( -name '*.swift' -o -name '*.h' -o -name '*.swiftmodule' \) -print -quit 2>/dev/null)" ]; then
        return
    fi
    "${SWIFTC:-swiftc}" -swift-version 6 -O -g -wmo -parse-as-library -module-name "$name" \
        -package-name bursar -sanitize=fuzzer,address \
        -enable-upcoming-feature ExistentialAny -enable-upcoming-feature MemberImportVisibility \
        -enable-upcoming-feature InternalImportsByDefault \
        -I "$out" -I include -I Sources/CLibuv -I Sources/CSQLite -I "$modules/CPlatform" -I "$modules/CPrices" -I "$modules/CLedger" \
        -emit-module -emit-module-path "$out/$name.swiftmodule.new" -c -o "$out/$name.o" \
        $(find "$@" -name '*.swift' | sort)
    mv "$out/$name.swiftmodule.new" "$out/$name.swiftmodule"
}

objects=()
for source in Sources/CPlatform/*.c Sources/CPrices/*.c Sources/CLedger/*.c; do
    object=$out/$(basename "$source" .c).o
    [ "$object" -nt "$source" ] || c -c "$source" -o "$object"
    objects+=("$object")
done
swift_module BursarCore Sources/BursarCore
swift_module BursarABI Sources/BursarABI
objects+=("$out/BursarCore.o" "$out/BursarABI.o")

for source in Tests/fuzz/*.c; do
    name=$(basename "$source" .c)
    object=$out/fuzz-$name.o
    binary=$out/fuzz-$name
    if [ ! "$object" -nt "$source" ] || [ ! "$object" -nt Tests/fuzz/fuzz.h ]; then
        c -Werror -c "$source" -o "$object"
    fi
    newest=$(ls -t "${objects[@]}" "$object" | head -1)
    [ "$binary" -nt "$newest" ] || "${SWIFTC:-swiftc}" -sanitize=fuzzer,address -static-stdlib -use-ld=lld \
        -o "$binary" "${objects[@]}" "$object" $(pkg-config --libs libuv sqlite3) -lm
done
