#!/usr/bin/env python3
"""A year of steps, every report before and after the ledger was compacted, and its size.

    year.py PROGRAM [STEPS]       PROGRAM is year.c, linked with the library that ships

The year is lived through and written by the library, with `retention_days` 0; then it is set to
its default, and a process that only has the home open does the rest, as in production. Meanwhile
another writer asks for the write lock all the time, and says how long it was ever kept waiting.
"""
import hashlib
import itertools
import os
import pathlib
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

DIMENSIONS = """session label_set organisation team level_3 workflow agent user owner cost_center feature
    customer model_asked model tool price complexity variant attempt day hour estimated corrected unpriced
    meter""".split()
# Nearly as many values as steps: crossed with all others at once only.
FINE = {"session", "label_set", "day", "hour"}
AMOUNTS = """count steps tool_calls input_tokens cache_read_input_tokens cache_write_input_tokens
    cache_write_1h_input_tokens output_tokens reasoning_output_tokens audio_input_tokens
    cache_read_audio_input_tokens audio_output_tokens image_input_tokens image_output_tokens tokens
    fresh_tokens cost_nanos asked_cost_nanos saved_nanos extra_nanos reserved_nanos overrun_nanos units
    took_ns""".split()
# A minute of long ago is where its rows were added up: by hours it is what it was.
VIEWS = {
    "v_burn": "SELECT substr(minute, 1, 13), sum(steps), sum(tool_calls), sum(tokens), sum(cost_nanos) FROM v_burn GROUP BY 1",
    **{name: f"SELECT * FROM {name}" for name in
       "v_sessions v_budgets v_meters v_savings v_unowned v_retries v_outcomes v_revisions v_workflow_value "
       "v_outcome_value v_corrections v_events".split()},
}


def grouped(columns, source):
    sums = ", ".join(f"sum({a}) {a}" for a in AMOUNTS)
    return f"SELECT {', '.join(columns)}, {sums} FROM {source} GROUP BY {', '.join(columns)}"


def digest(rows):
    count, sums = 0, []
    for row in rows:
        count += 1
        sums.append(hashlib.blake2b(repr(row).encode(), digest_size=16).digest())
    return count, hashlib.sha256(b"".join(sorted(sums))).hexdigest()


def reports(ledger):
    """Every report's rows, as their number and a digest."""
    db = sqlite3.connect(ledger)
    db.execute("PRAGMA temp_store=FILE")
    found = {name: digest(db.execute(sql)) for name, sql in VIEWS.items()}
    coarse = [d for d in DIMENSIONS if d not in FINE]
    db.execute(f"CREATE TEMP TABLE fine AS {grouped(DIMENSIONS, 'v_steps')}")
    found["all dimensions at once"] = digest(db.execute("SELECT * FROM fine"))
    db.execute(f"CREATE TEMP TABLE coarse AS {grouped(coarse, 'fine')}")
    for d in DIMENSIONS:
        found[d] = digest(db.execute(grouped([d], "fine" if d in FINE else "coarse")))
    for pair in itertools.combinations(coarse, 2):
        found[" x ".join(pair)] = digest(db.execute(grouped(list(pair), "coarse")))
    total = db.execute("SELECT sum(cost_nanos), sum(steps) FROM v_steps").fetchone()
    db.close()
    return found, total


def size(home):
    db = sqlite3.connect(home / "ledger.db")
    rows, = db.execute("SELECT count(*) FROM steps").fetchone()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    return (home / "ledger.db").stat().st_size, rows


def ask_for_lock(ledger, waits, ends):
    db = sqlite3.connect(ledger, timeout=0, isolation_level=None)
    while not ends.is_set():
        began = time.monotonic()
        while True:
            try:
                db.execute("BEGIN IMMEDIATE")
                break
            except sqlite3.OperationalError:
                time.sleep(0.0005)
        waits.append(time.monotonic() - began)
        db.execute("ROLLBACK")
        time.sleep(0.003)
    db.close()


def main():
    program = os.path.abspath(sys.argv[1])
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else 3_000_000
    with tempfile.TemporaryDirectory(prefix="bursar-year-") as folder:
        home = pathlib.Path(folder) / "home"
        ledger = home / "ledger.db"

        def run(*arguments):
            if subprocess.run([program, home, *arguments]).returncode:
                for line in (home / "home").read_text().splitlines():
                    if line.startswith("segment /"):
                        pathlib.Path(line[8:]).unlink(missing_ok=True)
                sys.exit("year.py: the program failed")

        def keep(days):
            db = sqlite3.connect(ledger)
            db.execute("UPDATE progress SET value=? WHERE name='retention_days'", (days,))
            db.commit()
            db.close()

        run("make")
        keep(0)
        began = time.monotonic()
        run("fill", str(steps))
        print(f"a year was lived through and written in {time.monotonic() - began:.0f} s", flush=True)
        # the last day's windows close when somebody comes after it: that is no work of compaction
        keeper = subprocess.Popen([program, home, "keep"], stdin=subprocess.PIPE)
        time.sleep(1)
        keeper.communicate()
        before, total = reports(ledger)
        bytes_before, rows_before = size(home)
        keep(90)

        keeper = subprocess.Popen([program, home, "keep"], stdin=subprocess.PIPE)
        waits, ends = [], threading.Event()
        asker = threading.Thread(target=ask_for_lock, args=(ledger, waits, ends))
        asker.start()
        began = time.monotonic()
        last, still = None, 0
        while still < 20:
            time.sleep(0.1)
            db = sqlite3.connect(ledger, timeout=60)
            now = db.execute("SELECT (SELECT value FROM progress WHERE name='compacted'), page_count, freelist_count"
                             " FROM pragma_page_count, pragma_freelist_count").fetchone()
            db.close()
            still = still + 1 if now == last else 0
            if still == 0:
                took = time.monotonic() - began
            last = now
        ends.set()
        asker.join()
        keeper.communicate()
        after, total_after = reports(ledger)
        bytes_after, rows_after = size(home)
        run("verify")

    different = [name for name in before if before[name] != after[name]]
    waits.sort()
    print(f"{len(before)} reports ({len(VIEWS)} views, each of {len(DIMENSIONS)} dimensions, pairs of them, all at once:"
          f" {before['all dimensions at once'][0]} rows): {len(before) - len(different)} the same, {len(different)} different")
    print(f"in all {total[0]} nano-dollars of {total[1]} steps before, {total_after[0]} of {total_after[1]} after")
    print(f"ledger.db: {bytes_before / 1e6:.1f} MB and {rows_before} rows of steps before,"
          f" {bytes_after / 1e6:.1f} MB and {rows_after} rows after, older than 90 days compacted, in {took:.1f} s")
    print(f"another writer waited {1000 * waits[len(waits) // 2]:.1f} ms (median), {1000 * waits[len(waits) * 99 // 100]:.1f} ms"
          f" (p99), {1000 * waits[-1]:.1f} ms (most) of {len(waits)} times; aim: 50 ms")
    if different or total != total_after or rows_after >= rows_before or bytes_after >= bytes_before:
        sys.exit("year.py: compaction changed something: " + ", ".join(different[:20]))


main()
