"""The ledger's writer killed at random, a thousand times under load: nothing is lost or doubled.

    python3 killed.py [--kills 1000 | --seconds 20] [--seed N] AGENT

Agents work on one home. Whoever writes the ledger's database (the kernel says who has SQLite's lock)
or was elected to write it is killed at a random moment, most of them in the middle of a transaction;
some are stopped for a while instead, which shows whether they were in one, and then killed or let go.
After some seconds all end, and the judge compares what they wrote down with rows, sums and counters.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from typing import Optional

from agents import Agents, CHECKPOINT, Home, Locks, wait_for_rest
from books import Books, Failed, Told


class Killer:
    def __init__(self, options: argparse.Namespace, home: Home) -> None:
        self.options, self.home = options, home
        self.random = random.Random(options.seed)
        self.agents = Agents(options.agent, home, options.agents, options.seed)
        self.locks, self.books = Locks(home), Books()
        self.did: Counter = Counter()
        self.rounds = 0
        home.make().close()

    def run(self) -> None:
        options = self.options
        end = time.monotonic() + (options.seconds or 1e9)
        while self.did["kills"] < (options.kills or 1e9) and time.monotonic() < end:
            self.round(min(time.monotonic() + self.random.uniform(2, 10), end))
            if self.rounds % 10 == 0:
                print(f"killed: round {self.rounds}, {dict(self.did)}, {self.books.rows} rows", flush=True)

    def round(self, end: float) -> None:
        self.rounds += 1
        log = self.agents.begin()
        self.agents.fill()
        while time.monotonic() < end and self.did["kills"] < (self.options.kills or 1e9):
            time.sleep(self.random.uniform(0, 0.1))
            self.strike()
            self.agents.fill()
        self.did["ends"] += 1
        self.agents.end(self.random.choice((signal.SIGKILL, signal.SIGTERM)))
        self.locks.close()
        told = Told(log)
        with self.home.open() as rt:
            wait_for_rest(rt)
            self.books.judge(rt, told)
        self.books.look_at_events(told)
        os.remove(log)

    def strike(self) -> None:
        what = self.random.random()
        if what < 0.1:
            self.kill(self.random.choice(list(self.agents.live)))
        elif what < 0.25:
            pid = self.agents.keeper()
            if pid is not None:
                self.did["of them elected, at any moment"] += 1
                self.kill(pid)
        else:
            pid = self.hunt()
            if pid is None:
                self.did["nobody wrote"] += 1
            elif what < 0.6:
                self.kill(pid)
            else:
                self.hold(pid)

    def hunt(self) -> Optional[int]:
        """Who writes, at a random moment while it does."""
        end = time.monotonic() + 1
        while time.monotonic() < end:
            found = self.locks.holder()
            if found is not None and found[0] in self.agents.live:
                time.sleep(self.random.expovariate(1 / self.random.choice((0.00002, 0.0002, 0.002))))
                if self.locks.holder() == found:
                    return found[0]
            time.sleep(self.random.uniform(0, 0.0004))
        return None

    def kill(self, pid: int) -> None:
        self.count(pid)
        self.agents.kill(pid)

    def count(self, pid: int) -> None:
        self.did["kills"] += 1
        holder = self.locks.holder()
        if holder is not None and holder[0] == pid:
            self.did["of them in a checkpoint" if holder[1] == CHECKPOINT else "of them in a transaction"] += 1

    def hold(self, pid: int) -> None:
        """It stands still, and others go on, or wait for it. Then it is killed, or goes on."""
        self.agents.stop(pid)
        self.did["stops"] += 1
        if self.random.random() < 0.1:
            self.did["of them for a second or more"] += 1
            time.sleep(self.random.uniform(1, 3))
        if self.random.random() < 0.8:
            self.kill(pid)
        else:
            os.kill(pid, signal.SIGCONT)

    def report(self) -> None:
        did, books, totals = self.did, self.books, self.books.totals
        print(f"killed: seed {self.options.seed}, {self.rounds} rounds, {self.agents.started} processes")
        for name, count in did.items():
            print(f"  {name:32} {count}")
        print(f"  {'rows judged':32} {books.rows}, each done once; {books.estimated} at an estimate, "
              f"{books.unknown} of steps that the dead had no answer of")
        print(f"  {'acknowledged':32} " + ", ".join(f"{count} {name}" for name, count in totals.items()))
        print(f"  {'outcomes':32} {len(books.stated)}, each once")
        print(f"  {'spent':32} ${sum(books.spent.values()) / 1e9:.9f}: by rows, sessions, budgets, counters", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("agent")
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--agents", type=int, default=5)
    options = parser.parse_args()
    if options.seed is None:
        options.seed = int.from_bytes(os.urandom(3), "little")
    home = Home()
    killer = None
    try:
        killer = Killer(options, home)
        killer.run()
        killer.report()
    except BaseException as error:
        print(f"killed: seed {options.seed}: {error}; all of it is in {home.folder} and {home.shm}", flush=True)
        if killer is not None:
            print(dict(killer.did), flush=True)
            for process in killer.agents.live.values():
                process.kill()
        if not isinstance(error, Failed):
            raise
        return 1
    shutil.rmtree(home.folder)
    shutil.rmtree(home.shm)
    return 0


if __name__ == "__main__":
    sys.exit(main())
