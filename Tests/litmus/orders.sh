#!/usr/bin/env bash
# Compiles the library's atomic words for ARM (nothing of it runs) and compares
# the instructions with those that the litmus tests use: once for cores with the
# atomic instructions of ARMv8.1 and the weaker acquire load of 8.3, once without.
set -euo pipefail
cd "$(dirname "$0")"
out=../../build/litmus
mkdir -p "$out"
words="../../Sources/BursarCore/Support/Word.swift ../../Sources/BursarCore/Support/Seam.swift"

compile() {
    ${SWIFTC:-swiftc} -target aarch64-none-none-elf -enable-experimental-feature Embedded -wmo -O \
        -parse-as-library -emit-assembly -o "$out/orders.s" "$@" $words orders.swift
    # Name and memory instructions of each probe, a line each.
    awk '/^order_[a-z_]*:/ { sub(/:.*/, ""); line = $1; open = 1; next }
         open && $1 ~ /^(ld|st|cas|dmb|bl$)/ { line = line " " $1 ($1 == "dmb" ? "." $2 : "") }
         open && $1 == "ret" { print line; open = 0 }' "$out/orders.s" | sort
}

if ! ${SWIFTC:-swiftc} -target aarch64-none-none-elf -enable-experimental-feature Embedded -wmo \
    -parse-as-library -emit-assembly -o /dev/null - <<<'import Synchronization' 2>/dev/null; then
    echo "orders: skipped: this toolchain has no Embedded modules for aarch64"
    exit 0
fi
diff -u - <(compile) <<'END' || { echo "orders: other instructions than the litmus tests use" >&2; exit 1; }
order_acquire_fence ldr dmb.ishld ldr
order_add ldxr stlxr
order_exchange ldaxr stlxr
order_load_acquiring ldar
order_load_sequential ldar
order_sequential_fence dmb.ish
order_store_releasing stlr
order_store_sequential stlr
order_subtract ldxr stlxr
END
diff -u - <(compile -target-cpu apple-a12) <<'END' || { echo "orders: other instructions than the litmus tests use" >&2; exit 1; }
order_acquire_fence ldr dmb.ishld ldr
order_add ldaddl
order_exchange casal
order_load_acquiring ldapr
order_load_sequential ldar
order_sequential_fence dmb.ish
order_store_releasing stlr
order_store_sequential stlr
order_subtract ldaddl
END
echo "orders: the 9 accesses compile to the instructions of the litmus tests"
