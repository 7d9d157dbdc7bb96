"""A small company's sixty agents under one set of budgets: the main job. Run it with `make demo`.

The agents are written with OpenAI's SDK (and three in Go) and run in four processes against the
stub of server.py. Some finish, some are downgraded, some throttled, three run away and would never
stop by themselves, and an operator kills one subtree in the middle of its work. What was spent, for
whom and for what is in the home's ledger, which stays. At the end all books are compared with the
server's bill. Exits with 0 only if they are equal to the nano-dollar and no budget was exceeded.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import threading
import urllib.request

import bursar
from books import report
from company import BUDGETS, WORKFLOWS, crew
from screen import Screen

HERE = os.path.dirname(os.path.abspath(__file__))
STEPS = os.path.join(HERE, "..", "Tests", "data", "agent-steps-sample.csv")
PROCESSES = [["support"], ["engineering"], ["research", "growth"]]  # and one in Go


def started(folder):
    """A home as nobody has used it yet, with the company's budgets."""
    for name in ("home", "live"):
        shutil.rmtree(os.path.join(folder, name), ignore_errors=True)
    os.makedirs(os.path.join(folder, "live"))
    runtime = bursar.open(os.path.join(folder, "home"), shm_dir=os.path.join(folder, "live"),
                          name="operator")
    for budget in BUDGETS:
        runtime.budget(budget.path, budget.limits, owner=budget.owner,
                       cost_center=budget.cost_center)
    return runtime


def operator(runtime, screen):
    """Somebody outside the agents: watches the events, and kills research on its alert."""

    def on_event(event):
        screen.tell(event)
        if event.type == bursar.EventType.THRESHOLD and event.path == "acme/research":
            runtime.kill(event.path, reason=f"on call: {event.percent}% of the day's money is gone")

    return on_event


def work(home, url, given):
    """Runs the agents to their end, in processes of their own; what became of them."""
    size = "small" if given.small else "whole"
    commands = [[sys.executable, os.path.join(HERE, "agents.py"), home, url, size, *teams]
                for teams in PROCESSES]
    commands.append([given.nightly, home, url] + [
        f"{w.model}:{w.limits}" for w in WORKFLOWS if w.work == "go"])
    workers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
               for command in commands]
    fates = []

    def hear(worker):
        fates.extend(json.loads(line) for line in worker.stdout)

    for worker in workers:
        if worker.stdout.readline() != "ready\n":
            raise SystemExit(f"{worker.args[0]} did not start")
    threads = [threading.Thread(target=hear, args=(worker,)) for worker in workers]
    for worker, thread in zip(workers, threads):
        thread.start()
        worker.stdin.close()
    for worker, thread in zip(workers, threads):
        thread.join()
        if worker.wait():
            raise SystemExit(f"{worker.args} answered {worker.returncode}")
    return fates


def reviewed(runtime, fates):
    """The next day: others than the agents look at what these say that they have brought about."""
    owners = {budget.path: budget.owner for budget in BUDGETS}
    for fate in fates:
        kind = next(w for w in WORKFLOWS if w.path == fate["path"])
        owner = owners["/".join(fate["path"].split("/")[:2])]
        if fate["state"] != "finished" or not owner:
            continue
        say = {"id": fate["agent"], "by": owner}
        if fate["agent"] == "voice-01":
            runtime.outcome(kind.outcome, state="disputed", reason="she called again", **say)
        elif fate["agent"] == "fix-01":
            runtime.outcome(kind.outcome, state="corrected", rework="$4", reason="broke the build",
                            **say)
        elif not fate["agent"].endswith("4"):
            runtime.outcome(kind.outcome, state="verified", **say)


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--plain", action="store_true", help="no cursor movements")
    options.add_argument("--small", action="store_true", help="one agent of each kind")
    options.add_argument("--pace", default="0.05", help="of the real time that a step took")
    options.add_argument("--folder", default="build/demo", help="where home and bill are left")
    options.add_argument("--nightly", default="build/demo-nightly", help="the agents in Go")
    given = options.parse_args()
    server = subprocess.Popen(
        [sys.executable, os.path.join(HERE, "server.py"), STEPS, "--pace", given.pace],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        url = server.stdout.readline().strip()
        with started(given.folder) as runtime:
            agents = len(list(crew({w.team for w in WORKFLOWS}, given.small)))
            print(f"{agents} agents of a small company, in {len(PROCESSES)} processes of Python and one of Go, "
                  f"on one home: {given.folder}/home\n", flush=True)
            with Screen(runtime, [budget.path for budget in BUDGETS], given.plain) as screen:
                runtime.on_event(operator(runtime, screen))
                fates = work(runtime.home, url, given)
            reviewed(runtime, fates)
            with urllib.request.urlopen(url + "/bill") as answer:
                bill = json.load(answer)
            with open(os.path.join(given.folder, "bill.csv"), "w", newline="") as file:
                lines = csv.DictWriter(file, list(bill[0]))
                lines.writeheader()
                lines.writerows(bill)
            return report(runtime, screen, fates, bill, given.folder)
    finally:
        server.stdin.close()
        server.wait()


if __name__ == "__main__":
    sys.exit(main())
