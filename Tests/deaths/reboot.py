"""The machine is started anew under load: everybody killed, the segment gone, another boot id.

    python3 reboot.py [--boots 50] [--seed N] AGENT

Agents spend; a governor kills, pauses, cuts, tops up, declares and removes budgets, and writes down what
it saw after each. Then all are killed at a random moment. Half of the time somebody looks at the home
before the memory is lost, and all that was acknowledged must be back: rows, totals, windows, kills,
pauses, cuts, top-ups. Else what the ledger was not told of yet is lost with the memory, whole steps and
whole changes; all that was acknowledged before the governor's last query must be back. Some who bring
the home back are killed while they do.
"""

from __future__ import annotations

import argparse
import ctypes
import datetime
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import Dict, List, Optional

import bursar

from agents import Agents, Home, wait_for_rest
from books import Books, Failed, Told

LIMITS = ("$50/month, $20/day alert 50% 90%", "$8/day", "$30", "unlimited", "$9/6h", "500k tokens/day, $2000/month",
          "$40/5h, 100 steps/s")
GOVERNED = [f"gov/{name}" for name in ("a", "b", "c", "d")]
HOUR = datetime.timedelta(hours=1)


def seen(rt: bursar.Runtime, path: str) -> List[object]:
    """A budget, as far as it must be the same after a reboot."""
    try:
        view = rt.read(path)
    except bursar.NotFoundError:
        return []
    limits = [[limit.text, limit.amount, limit.extra, limit.spent, limit.committed, limit.window_start_unix_ns]
              if "6h" not in limit.text and "5h" not in limit.text and "/s" not in limit.text
              else [limit.text, limit.amount, limit.extra] for limit in view.limits]
    return [view.state.name, view.effective_state.name, view.reason.name, view.why, view.limits_text,
            view.spent_nanos, view.steps, view.input_tokens, view.output_tokens, view.owner, view.cost_center, limits]


def govern(home: str, log: str, seed: int) -> None:
    """Another process: changes budgets that nobody else touches."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
    rng, rt = random.Random(seed), bursar.open(home, name="governor")
    file = os.open(log, os.O_WRONLY | os.O_APPEND)

    def note(**what) -> None:
        os.write(file, json.dumps(what).encode() + b"\n")

    def spend(path: str) -> None:
        with rt.session(path, agent="governor") as session:
            for _ in range(rng.randrange(1, 10)):
                step = session.reserve("gpt-4o", input_tokens=1000, max_output_tokens=100)
                if step:
                    session.settle(step.reservation, input_tokens=1000, output_tokens=rng.randrange(101))

    def change(path: str) -> None:
        limits = rng.choice(LIMITS)
        state = rt.read(path).state
        what = rng.randrange(9)
        if what == 0:
            rt.kill(path, reason=f"killed {rng.random()}")
        elif what == 1 and state == bursar.State.KILLED:
            rt.revive(path, reason="it was well")
        elif what == 2:
            rt.pause(path, reason=f"paused {rng.random()}")
        elif what == 3 and state == bursar.State.PAUSED:
            rt.resume(path)
        elif what == 4:
            rt.limits_set(path, limits)
        elif what == 5 and rt.read(path).limits and "$" in rt.read(path).limits_text:
            rt.top_up(path, f"${rng.randrange(1, 9)}", for_=rng.choice((None, 5 * HOUR)), reason="more")
        elif what == 6:
            rt.budget(path, limits, owner=rng.choice(("ada", "grace")), replace=True)
        elif what == 7 and path == GOVERNED[3]:
            rt.remove(path)
            rt.budget(path, limits)
        else:
            spend(path)

    for path in GOVERNED:
        rt.budget(path, LIMITS[0])
    while True:
        path = rng.choice(GOVERNED)
        note(changing=path)
        change(path)
        note(path=path, seen=seen(rt, path))
        if rng.random() < 0.2:
            before = time.monotonic_ns()
            rt.query("SELECT 1")
            note(sure=before)
        time.sleep(rng.uniform(0, 0.01))


class Reboots:
    def __init__(self, options: argparse.Namespace, home: Home) -> None:
        self.options, self.home, self.books = options, home, Books()
        self.random = random.Random(options.seed)
        self.agents = Agents(options.agent, home, options.agents, options.seed)
        self.did: Counter = Counter()
        self.slowest = 0.0
        self.governed: Dict[str, List[object]] = {}  # as it was at the end of the round before
        home.make().close()

    def round(self) -> None:
        self.did["boots"] += 1
        log = self.agents.begin()
        governing = log + ".governor"
        open(governing, "xb").close()
        governor = subprocess.Popen([sys.executable, os.path.abspath(__file__), "--govern", self.home.path, governing,
                                     str(self.random.getrandbits(30))])
        self.agents.fill()
        time.sleep(self.random.uniform(0.5, 3))
        if governor.poll() is not None:
            raise Failed(f"the governor ended with {governor.returncode}")
        governor.kill()
        governor.wait()
        self.agents.end(signal.SIGKILL)
        told, changes = Told(log), self.changes(governing)
        looks = self.random.random() < 0.5
        if looks:
            with self.home.open() as rt:
                wait_for_rest(rt)
                self.look_at_governed(rt, changes, sure=False)
                before = {path: seen(rt, path) for path in GOVERNED}
        self.boot()
        self.books.has_report = False
        while self.random.random() < 0.4:
            self.kill_who_brings_back()
        start = time.monotonic()
        with self.home.open() as rt:
            self.slowest = max(self.slowest, time.monotonic() - start)
            if rt.query("SELECT count(*) n FROM v_sessions WHERE closed_at IS NULL")[0]["n"]:
                raise Failed("a session of before the reboot goes on")
            if looks:
                self.did["after somebody had looked"] += 1
                for path, was in before.items():
                    if seen(rt, path) != was:
                        raise Failed(f"{path} was\n  {was}\nand is\n  {seen(rt, path)}")
                self.books.judge(rt, told)
            else:
                sure = max((change["sure"] for change in changes if "sure" in change), default=0)
                self.look_at_governed(rt, changes, sure=True)
                self.books.judge(rt, told, sure)
            self.governed = {path: seen(rt, path) for path in GOVERNED}
        os.remove(log)
        os.remove(governing)

    @staticmethod
    def changes(path: str) -> List[dict]:
        with open(path) as file:
            return [json.loads(line) for line in file]

    def look_at_governed(self, rt: bursar.Runtime, changes: List[dict], sure: bool) -> None:
        """Each is as it was seen last, or, when memory was lost, at some time since the last query.
        What was being changed at the end may be in between."""
        possible: Dict[str, List[List[object]]] = {path: [was] for path, was in self.governed.items()}
        last: Dict[str, List[object]] = dict(self.governed)
        changing: Optional[str] = None
        for change in changes:
            if "sure" in change:
                possible = {path: [was] for path, was in last.items()}
            elif "changing" in change:
                changing = change["changing"]
            else:
                changing = None
                last[change["path"]] = change["seen"]
                possible.setdefault(change["path"], []).append(change["seen"])
                self.did["changes of budgets"] += 1
        for path, states in possible.items():
            if path == changing or path not in last:
                continue
            now = json.loads(json.dumps(seen(rt, path)))
            if now not in (states if sure else [last[path]]):
                raise Failed(f"{path} was\n  " + "\n  ".join(map(str, states)) + f"\nand is\n  {now}")

    def boot(self) -> None:
        """As Tests/c/home_boot.c does it."""
        path = self.home.path + "/home"
        with open(path) as file:
            lines = [line.split(" ", 1) for line in file.read().splitlines()]
        for line in lines:
            if line[0] == "segment":
                os.unlink(line[1])
            elif line[0] == "boot":
                line[1] = "00000000-0000-0000-0000-000000000000"
        with open(path, "w") as file:
            file.write("".join(" ".join(line) + "\n" for line in lines))

    def kill_who_brings_back(self) -> None:
        code = "import bursar, sys; print(flush=True); bursar.open(sys.argv[1]); sys.stdin.read()"
        process = subprocess.Popen([sys.executable, "-c", code, self.home.path], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(self.random.uniform(0, 0.06))
        process.kill()
        process.communicate()
        self.did["killed while they brought it back, or after"] += 1

    def report(self) -> None:
        books = self.books
        print(f"reboot: seed {self.options.seed}, {self.agents.started} agents")
        for name, count in self.did.items():
            print(f"  {name:44} {count}")
        print(f"  {'rows judged':44} {books.rows}, each done once; {books.lost} acknowledged after the last query of "
              f"the governor\n{'':47}were lost with the memory\n"
              f"  {'spent':44} ${sum(books.spent.values()) / 1e9:.9f}: by rows, sessions, budgets, counters\n"
              f"  {'the slowest open after a boot':44} {self.slowest * 1000:.0f} ms", flush=True)


def main() -> int:
    if sys.argv[1:2] == ["--govern"]:
        govern(sys.argv[2], sys.argv[3], int(sys.argv[4]))
        return 0
    parser = argparse.ArgumentParser()
    parser.add_argument("agent")
    parser.add_argument("--boots", type=int, default=50)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--agents", type=int, default=3)
    options = parser.parse_args()
    if options.seed is None:
        options.seed = int.from_bytes(os.urandom(3), "little")
    home = Home()
    reboots = None
    try:
        reboots = Reboots(options, home)
        for _ in range(options.boots):
            reboots.round()
        reboots.report()
    except BaseException as error:
        print(f"reboot: seed {options.seed}: {error}; all of it is in {home.folder} and {home.shm}", flush=True)
        if reboots is not None:
            print(dict(reboots.did), flush=True)
            for process in reboots.agents.live.values():
                process.kill()
        if not isinstance(error, Failed):
            raise
        return 1
    shutil.rmtree(home.folder)
    shutil.rmtree(home.shm)
    return 0


if __name__ == "__main__":
    sys.exit(main())
