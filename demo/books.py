"""The end of the demo: who spent what, who was stopped and why, and both sets of books."""

from collections import defaultdict
from decimal import Decimal

from screen import excess, usd

NANOS = 10**9


def report(runtime, paths, agents, screen, bill):
    """Prints it all. Returns the exit status: 0 if the books are equal and nothing exceeded."""
    rows = runtime.spend()
    spend(rows)
    throttled(agents)
    stopped(agents)
    savings(rows)
    return verdict(runtime, paths, agents, screen, rows, bill)


def spend(rows):
    print("\nSpend by workflow and agent")
    by_path = defaultdict(lambda: defaultdict(int))
    for row in rows:
        by_path[row.path][row.agent] += row.cost_nanos
    for path, costs in sorted(by_path.items()):
        steps = sum(row.steps for row in rows if row.path == path)
        print(f"  {path:<28}{steps:>6} steps {usd(sum(costs.values()), 9):>14}")
        items = [f"{name.rpartition('-')[2]} {usd(cost)}" for name, cost in sorted(costs.items())]
        for start in range(0, len(items), 6):
            print("      " + "   ".join(items[start : start + 6]))


def throttled(agents):
    print("\nThrottled, and went on")
    by_path = defaultdict(list)
    for agent in agents:
        if agent.state == "finished" and agent.refusals:
            by_path[agent.path].append(agent.refusals)
    for path, waits in sorted(by_path.items()):
        print(f"  {path}: {len(waits)} agents waited {sum(waits)} times")


def stopped(agents):
    print("\nStopped, and why")
    by_sentence = defaultdict(list)
    for agent in agents:
        if agent.state in ("stopped", "failed"):
            by_sentence[agent.sentence].append(agent)
    for sentence, who in sorted(by_sentence.items(), key=lambda item: item[1][0].name):
        names = ", ".join(agent.name for agent in who)
        ran_away = " (would never have stopped)" if who[0].workflow.steps is None else ""
        print(f"  {names}{ran_away}\n      {sentence}")
    cut = sum(agent.cut for agent in agents)
    print(f"  {cut} streams were cut in the middle, settled at an estimate and corrected")


def savings(rows):
    print("\nDowngrading")
    moved = defaultdict(lambda: [0, 0, 0])
    for row in rows:
        if row.model != row.asked_model:
            entry = moved[row.asked_model, row.model]
            for column, value in enumerate((row.steps, row.asked_cost_nanos, row.cost_nanos)):
                entry[column] += value
    for (asked, model), (steps, asked_cost, cost) in sorted(moved.items()):
        print(f"  {steps:>4} steps {asked} -> {model}: {usd(cost)} instead of {usd(asked_cost)}")
    saved = sum(entry[1] - entry[2] for entry in moved.values())
    print(f"  saved {usd(saved, 9)}")


def verdict(runtime, paths, agents, screen, rows, bill):
    ours, theirs = defaultdict(int), defaultdict(int)
    for row in rows:
        ours[row.agent, row.model] += row.cost_nanos
    for row in bill:
        theirs[row["key"], row["model"]] += int(Decimal(row["dollars"]) * NANOS)
    total = runtime.read("acme").spent_nanos
    billed = sum(theirs.values())
    differ = [key for key in {*ours, *theirs} if ours[key] != theirs[key]]
    exceeded = set(screen.exceeded)
    for view in [runtime.read(path) for path in paths] + [agent.view for agent in agents]:
        exceeded.update(excess(view))
    health = runtime.health()
    runtime.verify()  # committed = spent + held + settled and not folded, at every budget
    states = defaultdict(int)
    for agent in agents:
        states[agent.state] += 1

    print(f"\n{len(agents)} agents: " + ", ".join(f"{n} {s}" for s, n in sorted(states.items())))
    steps = sum(row["steps"] for row in bill)
    print(f"{steps} steps billed in {screen.seconds:.1f} s, {health.refusals} refusals, "
          f"{health.late_settles} estimates corrected, {usd(health.overrun_nanos, 9)} of overruns")
    print(f"budgets exceeded: {len(exceeded)} (limits compared {screen.looks} times while running)")
    print(*(f"  {line}" for line in sorted(exceeded)), sep="\n", end="\n" if exceeded else "")
    print(f"Bursar's total   {usd(total, 9):>16}")
    print(f"the server's bill{usd(billed, 9):>16}")
    for key in sorted(differ):
        print(f"  {' '.join(key)}: {usd(ours[key], 9)} here, {usd(theirs[key], 9)} there")
    good = total == billed and not (differ or exceeded or states["failed"])
    print("equal, for each agent and model" if good else "FAILED")
    return 0 if good else 1
