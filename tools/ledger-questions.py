#!/usr/bin/env python3
"""Runs every ```sql block of docs/ledger.md on a home that it makes, against the built library.

    tools/ledger-questions.py [--write] build/lib/libbursar.so [docs/ledger.md]

A block answers what the ```text block after it shows, to the character, and at least one row;
--write writes that. Exits non-zero when a query fails or answers anything else, or when there are
fewer than twenty.
"""

import datetime
import os
import re
import shutil
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SAMPLE = re.compile(r"^```sql\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)


def work(rt):
    """A day of a small company. Prices are this script's own, so that answers stay."""
    rt.price("frontier", input="$10/M", output="$50/M", cache_read="$1/M")
    rt.price("small", input="$1/M", output="$5/M")
    rt.tool_price("web_search", "$0.01")
    rt.budget("acme", "$1000/month", owner="ada", cost_center="cc-100")
    rt.budget("acme/support", "$200/month", owner="grace", cost_center="cc-200")
    rt.budget("acme/support/triage", "$50/day", purpose="answers mail", earn="$2", earn_most="$10",
              earn_outcome="mail_answered")
    rt.budget("acme/research", "$100/month", cost_center="cc-300")
    rt.budget("lab", "$20")  # nobody's

    def step(s, model, given, taken, cached=0, **options):
        d = s.reserve(model, input_tokens=given, max_output_tokens=max(taken, 1), **options)
        assert d, d.explain()
        s.settle(d, input_tokens=given, output_tokens=taken, cache_read_input_tokens=cached)

    for k, customer in enumerate(["initech", "globex", "initech", "hooli"]):
        labels = {"customer": customer, "feature": "invoices" if k % 2 else "mail"}
        with rt.session("acme/support/triage", "$5", agent="triage", labels=labels) as s:
            step(s, "frontier", 20_000, 1_000, cached=8_000)
            step(s, "small", 4_000, 400, complexity="routine")
            with s.child("searcher", "$1") as child, child.tool("web_search", {"q": customer}):
                pass
            if k == 1:
                step(s, "frontier", 6_000, 0)
                step(s, "frontier", 6_000, 500, attempt=1)
            s.outcome("mail_answered", "$3.20" if k < 3 else None, id=f"mail-{k}")
    ladder = ("frontier", "small")
    with rt.session("acme/research", "$0.80 downgrade 50%", agent="reader", ladder=ladder) as s:
        for _ in range(6):
            step(s, None, 12_000, 800)
        with s.child("critic") as critic:
            step(critic, "small", 30_000, 2_000, complexity="complex")
        s.outcome("report_written", "$25", id="report-1", by="reader")
    with rt.session("lab", "$2", agent="tinkerer") as s:
        step(s, "frontier", 50_000, 4_000)
        assert not s.reserve("frontier", input_tokens=500_000, max_output_tokens=1)
        s.settle(s.reserve("small", input_tokens=1_000, max_output_tokens=100), worst=True)
    with rt.session("acme", agent="import") as s:
        s.charge("$1.25")
    rt.outcome("mail_answered", id="mail-0", state="verified", by="grace")
    rt.outcome("mail_answered", id="mail-1", state="disputed", by="globex", reason="wrong invoice")
    rt.outcome("mail_answered", "$1.60", id="mail-1", state="corrected", by="grace",
               rework_time=datetime.timedelta(minutes=12))
    rt.outcome("report_written", id="report-1", state="verified", by="ada")
    rt.kill("lab", reason="nobody answers for it")


def table(rows):
    """As people read it: names, then rows; money stays in nano-dollars, NULL is -."""
    lines = [list(rows[0])] + [["-" if v is None else str(v) for v in r.values()] for r in rows]
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    return "".join(
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths)).rstrip() + "\n"
        for line in lines)


def main():
    arguments = [a for a in sys.argv[1:] if a != "--write"]
    if not arguments:
        sys.exit(__doc__.split("\n\n")[1].strip())
    os.environ["BURSAR_LIBRARY"] = os.path.abspath(arguments[0])
    sys.path.insert(0, os.path.join(ROOT, "bindings", "python", "src"))
    import bursar

    path = arguments[1] if len(arguments) > 1 else os.path.join(ROOT, "docs", "ledger.md")
    with open(path) as file:
        text = file.read()
    folder, failed, count = tempfile.mkdtemp(), 0, 0
    try:
        with bursar.open(os.path.join(folder, "home"), shm_dir=folder, name="worker") as rt:
            work(rt)

            def answer(match):
                nonlocal failed, count
                count += 1
                sql, shown = match.groups()
                try:
                    rows = rt.query(sql)
                    found = table(rows) if rows else "(no rows)\n"
                except bursar.BursarError as error:
                    rows, found = None, f"{error}\n"
                if not rows or (shown != found and "--write" not in sys.argv):
                    failed += 1
                    print(f"question {count} failed:\n{sql}answered\n{found}shown is\n{shown}")
                    return match.group(0)
                return f"```sql\n{sql}```\n\n```text\n{found}```\n"

            written = SAMPLE.sub(answer, text)
            rt.verify()
    finally:
        shutil.rmtree(folder)
    if "--write" in sys.argv:
        with open(path, "w") as file:
            file.write(written)
    if count < 20:
        failed += 1
        print(f"there are {count} questions, and twenty are wanted")
    print(f"ledger_questions: {failed} of {count} tests failed" if failed
          else f"ledger_questions: {count} tests passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
