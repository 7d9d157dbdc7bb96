#!/usr/bin/env bash
# Runs the fuzzers side by side for MINUTES (default 3), or with SECONDS_EACH for so
# many seconds. What is found is kept in build/fuzz/corpus, so that the next run
# goes on from there; the first begins with programs of bytes made from SEED. A crash,
# a leak of memory, a report of ASan or a run of more than two minutes is a finding: its
# input is kept in build/fuzz/findings, and `build/fuzz/fuzz-NAME FILE` shows it again.
set -euo pipefail
cd "$(dirname "$0")/../.."
Tests/fuzz/build.sh
for function in $(sed -n '/^BURSAR_API/s/(.*//p' include/bursar.h | grep -o 'bursar_[a-z_]*$'); do
    grep -qw "$function" Tests/fuzz/*.c || {
        echo "fuzz: no fuzzer calls $function" >&2
        exit 1
    }
done
out=build/fuzz
seed=${SEED:-1}
names=(calls texts segment)
each=${SECONDS_EACH:-$((${MINUTES:-3} * 60))}
mkdir -p $out/findings
passed=0
failed=0

# A generator of its own, so that everybody's first run is the same.
seeds() { # folder, longest
    [ -n "$(ls -A "$1")" ] && return
    python3 - "$1" "$2" "$seed" <<'END'
import random, sys
folder, longest, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
source = random.Random(seed)
for n in range(200):
    length = source.randrange(1, longest)
    with open(f"{folder}/seed-{n}", "wb") as file:
        file.write(bytes(source.randrange(256) for _ in range(length)))
END
    if [ "$(basename "$1")" = texts ]; then
        python3 - "$1" <<'END'
import pathlib, re, sys
folder = pathlib.Path(sys.argv[1])
rows = [line.split("\t") for line in open("Tests/limits.tsv") if "\t" in line and line[0] != "#"]
texts = [row[1] for row in rows] + ["$1.25", "2 USD", "$0.28/M", "$0.00000028/token"]
books = re.findall(r"```json\n(.*?)```", open("docs/prices.md").read(), re.S)
books += ['{"m":{"input_cost_per_token":1e-6,"output_cost_per_token":2e-6,"litellm_provider":"x"}}']
names = ["acme/support", "0000000300000007", "gpt-5"]
for kinds, list in (((0, 1, 3), texts), ((4,), books), ((6, 7), names)):
    for n, text in enumerate(list):
        for kind in kinds:
            (folder / f"seed-{kind}-{n}").write_bytes(bytes([kind]) + text.encode())
END
    fi
}

pids=()
for name in "${names[@]}"; do
    longest=2048
    [ "$name" = texts ] && longest=400
    corpus=$out/corpus/$name
    mkdir -p "$corpus"
    seeds "$corpus" "$longest"
    ASAN_OPTIONS=detect_leaks=0 "$out/fuzz-$name" -seed="$seed" -timeout=120 -len_control=0 \
        -max_len="$longest" -max_total_time="$each" -rss_limit_mb=4096 -print_final_stats=1 \
        -artifact_prefix="$out/findings/$name-" "$corpus" >"$out/$name.log" 2>&1 &
    pids+=($!)
done
for n in "${!names[@]}"; do
    name=${names[$n]}
    log=$out/$name.log
    if wait "${pids[$n]}"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        grep -m1 -A20 ERROR "$log" || tail -20 "$log"
        grep 'Test unit written' "$log" || true
    fi
    awk -v name="$name" '/number_of_executed_units/ { runs = $2 } / cov: / { for (i = 1; i < NF; i++) if ($i == "cov:") edges = $(i + 1) }
        END { printf "fuzz-%s: %d runs, %d edges\n", name, runs, edges }' "$log"
done
echo "fuzz: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
