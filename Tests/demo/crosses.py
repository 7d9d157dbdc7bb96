"""Crosses every two dimensions of v_steps, and compares each table with the server's bill.

    crosses.py FOLDER docs/ledger.md

FOLDER is what demo/demo.py left: a home, opened anew here, and bill.csv. The dimensions are those
that docs/ledger.md lists. Where the server knows both (whose key, project, model, tool, customer,
feature), every cell is added up again from the lines of the bill; where it knows one, every row of
it is; where none, the whole table. Money, calls and tokens must be equal to the last digit.
"""

import csv
import itertools
import os
import re
import sys
from collections import defaultdict
from decimal import Decimal

import bursar

KNOWN = {  # to the server: a dimension, of a line of its bill
    "agent": lambda line: line["key"],
    "workflow": lambda line: line["project"],
    "organisation": lambda line: line["project"].split("/")[0],
    "team": lambda line: line["project"].split("/")[1],
    "level_3": lambda line: line["project"].split("/")[2],
    "customer": lambda line: line["customer"],
    "feature": lambda line: line["feature"],
    "model": lambda line: line["model"],
    "tool": lambda line: line["tool"],
}
AMOUNTS = "sum(cost_nanos), sum(steps + tool_calls), sum(input_tokens), sum(output_tokens)"


def dimensions(docs):
    """What docs/ledger.md calls a dimension of v_steps."""
    with open(docs) as file:
        [listed] = re.findall(r"^\*\*Dimensions of `v_steps`\*\*(.*?)\*\*Amounts", 
                               file.read(), re.M | re.S)
    levels = " ".join(f"`level_{n}`" for n in range(3, 9))
    listed = re.sub(r"`level_3` to\s+`level_8`", levels, listed)
    return [name for name in re.findall(r"`(\w+)`", listed) if name != "labels"]


def added(rows):
    """The sums of rows of (key, amounts) by key."""
    sums = defaultdict(lambda: (0, 0, 0, 0))
    for key, amounts in rows:
        sums[key] = tuple(a + b for a, b in zip(sums[key], amounts))
    return dict(sums)


def main():
    folder, docs = sys.argv[1:]
    with open(os.path.join(folder, "bill.csv"), newline="") as file:
        bill = [(line, (int(Decimal(line["dollars"]).scaleb(9)), 1, int(line["input_tokens"]),
                        int(line["output_tokens"]))) for line in csv.DictReader(file)]
    names, failed, cells, count = dimensions(docs), [], 0, 0
    missing = KNOWN.keys() - set(names)
    if missing or len(names) < 20:
        sys.exit(f"crosses: {docs} lists {names}, without {missing}")
    with bursar.open(os.path.join(folder, "home"), existing=True) as rt:
        for first, second in itertools.combinations(names, 2):
            table = [tuple(row.values()) for row in rt.query(
                f"SELECT {first} x, {second} y, {AMOUNTS} FROM v_steps GROUP BY 1, 2")]
            known = [k for k, name in enumerate((first, second)) if name in KNOWN]
            ours = added((tuple(row[k] or "" for k in known), row[2:]) for row in table)
            theirs = added((tuple(KNOWN[(first, second)[k]](line) for k in known), amounts)
                           for line, amounts in bill)
            count += 1
            cells += len(table)
            if ours != theirs:
                failed.append(f"{first} x {second}")
                for key in sorted(ours.keys() | theirs.keys()):
                    if ours.get(key) != theirs.get(key) and len(failed) < 4:
                        print(f"{first} x {second}, {key}: {ours.get(key)} here, {theirs.get(key)} billed")
        # Tried again, and billed again: by hand only. What was turned away unbilled is no try.
        [tried] = rt.query("SELECT sum(tries) tries, sum(requests + retries) both, sum(iif(workflow IN"
                           " ('acme/growth/leads', 'acme/research/sweep'), 0, retries)) wrapped,"
                           " sum(retries) retries FROM v_retries")
        if (tried["tries"], tried["both"], tried["wrapped"]) != (len(bill), len(bill), 0):
            failed.append("v_retries")
            print(f"v_retries: {tried} of {len(bill)}")
        [unowned] = rt.query("SELECT sum(cost_nanos) cost FROM v_unowned")
        billed = sum(amounts[0] for line, amounts in bill if line["project"].startswith("acme/growth"))
        if unowned["cost"] != billed:
            failed.append("unowned")
            print(f"unowned: {unowned['cost']} here, {billed} billed")
    print(f"{len(names)} dimensions, {cells} cells, {len(bill)} lines of the bill")
    print(f"crosses: {len(failed)} of {count + 2} tests failed: {', '.join(failed)}" if failed
          else f"crosses: {count + 2} tests passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
