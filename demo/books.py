"""The end of the demo: who spent what on what and for what, and all sets of books."""

import re
from collections import Counter, defaultdict
from decimal import Decimal

import bursar
from company import WORKFLOWS
from screen import usd

MODELS = {"deepseek-chat": "deepseek", "acme-coder": "acme-coder", "web_search": "search"}
SHORT = re.compile(r"^bursar: |(bursar: )?halted: | \(\S+ spent or reserved\).*|; stop$")


def report(runtime, screen, fates, bill, folder):
    """Prints it all. Returns the exit status: 0 if the books are equal and nothing exceeded."""
    stopped(fates)
    crossed(runtime)
    outcomes(runtime)
    good = verdict(runtime, screen, fates, bill)
    more(folder)
    return 0 if good else 1


def stopped(fates):
    print("\nStopped, and why")
    kinds = defaultdict(list)
    for fate in fates:
        if fate["state"] != "finished":
            kinds[fate["path"].split("/")[1], fate["sentence"]].append(fate["agent"])
    for (team, sentence), names in sorted(kinds.items()):
        who = f"{len(names)} of {team}" if len(names) > 1 else names[0]
        endless = any(w.steps is None for w in WORKFLOWS if names[0].startswith(w.name))
        print(f"  {who:<17} {SHORT.sub('', sentence)}"
              + (" (would never have stopped)" if endless else ""))
    counts = Counter(fate["state"] for fate in fates)
    print(f"  {counts['finished']} finished, {sum(f['refusals'] for f in fates)} refusals in all, "
          f"{sum(f['cut'] for f in fates)} streams cut in the middle, estimated and corrected")


def crossed(runtime):
    """Any two dimensions of v_steps can be crossed; here team and model."""
    rows = runtime.query(
        "SELECT team, coalesce(model, tool) model, owner, sum(cost_nanos) cost, sum(saved_nanos) saved"
        " FROM v_steps GROUP BY 1, 2, 3")
    cells, columns = Counter(), Counter()
    for row in rows:
        name = row["team"] + (" (unowned)" if row["owner"] == "(unowned)" else "")
        cells[name, row["model"]] += row["cost"]
        cells[name, ""] += row["cost"]
        columns[row["model"]] += row["cost"]
    models = [model for model, _ in columns.most_common()]
    print("\n" + f"{'team x model':<19}" + "".join(f"{MODELS.get(m, m):>11}" for m in models)
          + f"{'all':>11}")
    for team in sorted({team for team, _ in cells}):
        print(f"  {team:<17}" + "".join(
            f"{usd(cells[team, m]) if cells[team, m] else '':>11}" for m in [*models, ""]))
    print(f"  {'all':<17}" + "".join(f"{usd(columns[m]):>11}" for m in models)
          + f"{usd(sum(columns.values())):>11}")
    [unowned] = runtime.query("SELECT coalesce(sum(cost_nanos), 0) cost FROM v_unowned")
    [retries] = runtime.query("SELECT sum(requests) requests, sum(retries) retries,"
                              " sum(retries_cost_nanos) cost FROM v_retries")
    print(f"  nobody answers for {usd(unowned['cost'])}; "
          f"downgrading saved {usd(sum(row['saved'] for row in rows))}; "
          f"{retries['retries']} of {retries['requests']} were asked again, for {usd(retries['cost'])}")


def outcomes(runtime):
    rows = runtime.query(
        "SELECT workflow, outcomes, verified, cost_nanos, cost_per_outcome_nanos each,"
        " value_nanos, net_value_nanos net FROM v_workflow_value WHERE outcomes > 0 ORDER BY 1")
    print(f"\n{'cost per outcome':<26}{'outcomes':>9}{'verified':>9}{'cost':>10}{'each':>10}"
          f"{'value':>9}{'net':>10}")
    for row in rows:
        value, net = ("unknown" if row[k] is None else usd(row[k], 2)
                      for k in ("value_nanos", "net"))
        print(f"  {row['workflow']:<24}{row['outcomes']:>9}{row['verified']:>9}"
              f"{usd(row['cost_nanos']):>10}{usd(row['each']):>10}{value:>9}{net:>10}")


def verdict(runtime, screen, fates, bill):
    """All books side by side, altogether and for each agent and model."""
    theirs, spend, steps = Counter(), Counter(), Counter()
    for line in bill:
        theirs[line["key"], line["model"]] += int(Decimal(line["dollars"]).scaleb(9))
    for row in runtime.spend():
        spend[row.agent, row.model] += row.cost_nanos
    for row in runtime.query("SELECT agent, coalesce(model, '') model, sum(cost_nanos) cost"
                             " FROM v_steps GROUP BY 1, 2"):
        steps[row["agent"], row["model"]] = row["cost"]

    def one(sql):
        return list(runtime.query(sql)[0].values())[0]

    billed = sum(theirs.values())
    books = {
        "the server's bill": billed,
        "rt.read('acme')      counters": runtime.read("acme").spent_nanos,
        "rt.spend()           counters by agent, models": sum(spend.values()),
        "v_steps              SQL, each step": one("SELECT sum(cost_nanos) FROM v_steps"),
        "v_sessions           SQL, each session's own":
            one("SELECT sum(direct_cost_nanos) FROM v_sessions"),
        "v_sessions           SQL, sub-agents included":
            one("SELECT sum(inclusive_cost_nanos) FROM v_sessions WHERE parent_session IS NULL"),
        "v_budgets            SQL, all below acme":
            one("SELECT cost_nanos FROM v_budgets WHERE path = 'acme'"),
    }
    print("\nThe books, in nano-dollars")
    for name, amount in books.items():
        print(f"  {name:<48}{amount:>15,}" + ("" if amount == billed else "  DIFFERS"))
    bad = [name for name, amount in books.items() if amount != billed]
    for name, ours in (("rt.spend()", spend), ("v_steps", steps)):
        for key in sorted({*theirs, *ours}):
            if theirs[key] != ours[key]:
                bad.append(name)
                print(f"  {' '.join(key)}: {name} {ours[key]:,}, billed {theirs[key]:,}")
    try:
        runtime.verify()
        print("  bursar_verify        adds up each budget, session, step: nothing differs")
    except bursar.BursarError as error:
        bad.append("bursar_verify")
        print(f"  bursar_verify: {error}")
    exceeded = screen.exceeded.union(*(fate["exceeded"] for fate in fates))
    failed = [f"{fate['agent']}: {fate['sentence']}" for fate in fates if fate["state"] == "failed"]
    for line in sorted(exceeded) + failed:
        print(f"  {line}")
    good = not (bad or exceeded or failed)
    print(f"{'equal' if good else 'FAILED'}: {len(bill)} lines of the bill, {len(theirs)} agents and "
          f"models, {screen.seconds:.0f} s; {len(exceeded)} budgets exceeded in {screen.looks} looks")
    return good


def more(folder):
    print(f"""
Home and bill stay in {folder}. Ask more, as docs/ledger.md does:
  sqlite3 -box {folder}/home/ledger.db 'SELECT feature, customer, sum(cost_nanos) / 1e9 usd FROM v_steps GROUP BY 1, 2'
  BURSAR_LIBRARY=build/lib/libbursar.so PYTHONPATH=bindings/python/src python3 -c 'import bursar
print(*bursar.open("{folder}/home").query("SELECT * FROM v_unowned"), sep="\\n")'""")
