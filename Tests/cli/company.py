"""A small company's September and October in a home, for the tests of reports.

    python3 company.py FOLDER [--old]     makes FOLDER/home and FOLDER/prices.json

Prices are the file's own, so that answers stay when the built-in ones are renewed. Steps settle now,
whenever that is; once the home is closed the ledger's rows are moved to fixed times. They are kept
as they are however old they get; with --old they are a year older, and the library may add them up.
"""

import json
import sqlite3
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

PRICES = {
    "format": "bursar-prices-1", "as_of": "2026-09-01", "source": "a test",
    "models": {
        "frontier": {"input": "$10/M", "output": "$50/M", "cache_read": "$1/M", "cache_write": "$12.5/M",
                     "tiers": [{"above": 100000, "input": "$20/M", "output": "$75/M"}],
                     "batch": {"input": "$5/M", "output": "$25/M"}},
        "small": {"input": "$0.333/M", "output": "$5/M", "cache_read": "$0.033/M", "request": "$0.0001"},
        "tiny": {"input": "$0.1/M", "output": "$0.4/M"},
    },
}  # fmt: skip
HOSTILE = "=HYPERLINK(\"http://x\",\"y\")"


def at(text):
    """Unix nanoseconds of a time in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()) * 10**9


def make(folder, old=False):
    import bursar

    folder = Path(folder)
    (folder / "prices.json").write_text(json.dumps(PRICES))
    times = {}  # of a session, by its agent and number
    with bursar.open(folder / "home", shm_dir=str(folder), name="worker") as rt:
        rt.prices_load(folder / "prices.json")
        rt.price("house", input="$2/M", output="$3/M")
        rt.tool_price("web_search", "$0.01")
        rt.budget("acme", "$1000/month", owner="ada", cost_center="cc-100")
        rt.budget("acme/support", "$200/month", owner="grace", cost_center="cc-200")
        rt.budget("acme/research", "$300/month", cost_center="cc-300")
        rt.budget("acme/platform", cost_center="cc-900")
        rt.budget("lab", "$20")

        def step(s, model, given, taken, read=0, write=0, **options):
            time.sleep(0.01)  # a step's time has the resolution of the system's coarse clock
            settle = {k: options.pop(k) for k in ("cost", "worst") if k in options}
            d = s.reserve(model, input_tokens=given, max_output_tokens=max(taken, 1), **options)
            assert d, d.explain()
            s.settle(d, **settle) if "worst" in settle else s.settle(
                d, input_tokens=given, output_tokens=taken, cache_read_input_tokens=read,
                cache_write_input_tokens=write, **settle)

        def month(number, month_, reads):
            for k, customer in enumerate(["initech", "globex", "hooli"][: 2 + number]):
                labels = {"customer": customer, "feature": "mail", "tier": "gold" if k else "free"}
                with rt.session("acme/support/triage", "$9", agent="triage", labels=labels) as s:
                    times[s.id] = f"{month_}-0{k + 1} 10:00"
                    for n in range(3 + number):
                        step(s, "frontier", 9_000 + 1_001 * n, 301 + 7 * n, read=reads * n, write=77 if n == 0 else 0)
                    step(s, "frontier", 6_000, 200, attempt=1)
                    for n in range(4):
                        step(s, "small", 3_333 + n, 111, complexity="routine")
                    with s.child("searcher", "$1") as child:
                        times[child.id] = f"{month_}-0{k + 1} 11:00"
                        for _ in range(1 + number):
                            with child.tool("web_search", {"q": customer}):
                                pass
                        step(child, "tiny", 999, 55)
                    if k != 1:
                        s.outcome("mail_answered", "$3.20" if k == 0 else None, id=f"{month_}-{k}")
            with rt.session("acme/research", "$30 downgrade 7%", agent="reader", ladder=("frontier", "small"),
                            labels={"feature": HOSTILE}) as s:
                times[s.id] = f"{month_}-10 09:00"
                for n in range(8):
                    step(s, None, 60_000 + 11 * n, 1_003, complexity="complex")
                step(s, "frontier", 150_000, 2_000, as_asked=True)
                step(s, "frontier", 7_001, 301, variant="batch", as_asked=True)
            with rt.session("acme/platform", agent=HOSTILE) as s:
                times[s.id] = f"{month_}-15 00:00"
                s.charge("$1.250000007" if number else "$1")
                step(s, "house", 12_345, 678)
                step(s, "house", 1_000, 1)
            with rt.session("lab", "$9", agent="tinkerer") as s:
                times[s.id] = f"{month_}-20 23:59"
                step(s, "frontier", 5_000, 400, cost="$0.0777777")
                step(s, "small", 1_000, 100, worst=True)
                for n in range(2):  # less than providers cache
                    step(s, "small", 500 + n, 10)
                assert not s.reserve("frontier", input_tokens=2_000_000, max_output_tokens=1)

        month(0, "2026-09", 900)
        month(1, "2026-10", 2_000)
        rt.outcome("deal_won", "$12", id="d-1", workflow="acme/platform")
        rt.outcome("case_closed", "$0.50", id="c-1", label=("customer", "hooli"))
        rt.outcome("deal_won", "$99", id="d-2", workflow="acme/platform")
        rt.outcome("deal_won", id="d-2", state="withdrawn", by="ada")
        rt.outcome("mail_answered", id="2026-09-0", state="verified", by="grace")
        rt.outcome("mail_answered", "$1.60", id="2026-10-0", state="corrected", by="grace", rework="$0.25")
        rt.query("SELECT 1")
        rows = {node["node"]: node["session"] for node in _sessions(rt, times)}
    if old:
        times = {node: when.replace("2026-", "2025-") for node, when in times.items()}
    _move(folder / "home" / "ledger.db", {rows[node]: when for node, when in times.items()}, old)


def _sessions(rt, times):
    """The ledger's keys, by the runtime's ids: outcomes tell nothing, so by the order of opening."""
    keys = [row["session"] for row in rt.query("SELECT session FROM v_sessions ORDER BY opened_at, session")]
    assert len(keys) == len(times)
    return [{"node": node, "session": key} for node, key in zip(times, keys)]


def _move(path, times, old):
    """To their times; and numbers sessions as they were opened, as the writer's numbers depend on when it wrote."""
    with sqlite3.connect(path) as db:
        columns = {"sessions": ("id", "parent"), "steps": ("session",), "outcomes": ("session",),
                   "events": ("session",), "corrections": ("session",)}  # fmt: skip
        for table, names in columns.items():
            for name in names:
                for sign in (1_000_000, -1_000_000):
                    for number, node in enumerate(times, 1):
                        before, after = (node, number + sign) if sign > 0 else (number - sign, number)
                        db.execute(f"UPDATE {table} SET {name} = ? WHERE {name} = ?", (after, before))
        times = {number: when for number, when in enumerate(times.values(), 1)}
        if not old:  # compaction has come as far as 2096
            db.execute("INSERT OR REPLACE INTO progress VALUES ('compacted', 4000000000000000000)")
        steps = db.execute("SELECT id, session FROM steps ORDER BY id").fetchall()
        count = {}
        for id, session in steps:
            count[session] = count.get(session, 0) + 1
            new = at(times[session]) + count[session] * 10**9 + session
            db.execute("UPDATE steps SET id = ?, took_ns = 0 WHERE id = ?", (new, id))
        for session, when in times.items():
            db.execute("UPDATE sessions SET opened_at = ?, closed_at = ? WHERE id = ?",
                       (at(when), at(when) + int(timedelta(minutes=5).total_seconds()) * 10**9, session))
        for id, key in db.execute("SELECT id, key FROM outcomes").fetchall():
            when = at(key[:7] + "-28 12:00") if key.startswith("2026") else at("2026-10-29 12:00")
            db.execute("UPDATE outcomes SET at = ? WHERE id = ?", (when + id * 10**9, id))


if __name__ == "__main__":
    make(sys.argv[1], "--old" in sys.argv)
