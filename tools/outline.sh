#!/bin/bash
# From the library as one optimised program (LLVM bitcode) to the library.
#
#     tools/outline.sh program.bc libbursar.so [argument of the linker]...
#
# What stands in many places (releases, tails that give up, spills around a call) becomes
# small functions that are called, except in what a step runs: the methods of Core, and the
# functions of bursar.h that call them, are "nooutline", and stay as they were compiled.
# Other libraries' functions are called through the table of addresses, without a stub each;
# constants are made where they are used, not kept for a loop. Words of sentences are packed
# (texts.py).
# Needs the Swift toolchain's own clang, which reads the bitcode that its compiler writes.
set -euo pipefail

program=$1 library=$2
shift 2
clang=$(dirname "$(readlink -f "$(command -v swift)")")/clang
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

hot='BursarCore0B0V|bursar_(reserve|settle|charge)|bursar__clock'
"$clang" -x ir -S -emit-llvm -Xclang -disable-llvm-passes -o - "$program" |
    sed -E -e "/^define [^@]*@[^(]*($hot)/ s/ (#[0-9]+) / \1 \"nooutline\" /" \
        -e '/^declare/ s/ (#[0-9]+)$/ nonlazybind \1/' |
    python3 -B "$(dirname "$0")/texts.py" > "$work/program.ll"
# Without the attribute a step would pay for every byte: that is no library.
grep -q '^define .*@bursar_reserve(.*"nooutline"' "$work/program.ll"
"$clang" -x ir -c -Oz -fPIC -ffunction-sections -fdata-sections \
    $(printf ' -mllvm -%s' inline-threshold=0 ir-outliner enable-machine-outliner=always \
        split-spill-mode=size disable-machine-licm disable-lsr disable-constant-hoisting \
        disable-block-placement) \
    -o "$work/program.o" "$work/program.ll"
"$clang" -shared -fuse-ld=lld "$work/program.o" -o "$library" "$@"
