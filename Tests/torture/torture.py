"""Torture: processes in C, Python and Go on one home, killed, stopped and forked at random.

    python3 torture.py [--minutes 10 | --seconds 20] [--seed N] [--go PROGRAM] WORKER

A round lets workers run for a few seconds while a tormentor kills, stops and continues them and
starts new ones. Then all of them end (killed together, told to end, or killed while nobody else
has the home open), and a judge that has its own record of every acknowledged step looks at the
home. What must hold is in judge.py and in `Torture.judge` below; what held is printed at the end.
"""

from __future__ import annotations

import argparse
import collections
import ctypes
import heapq
import os
import queue
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import Dict, List, Optional, Set, Tuple

import bursar
from bursar import EventType
from bursar.words import Status

from judge import BUDGETS, Failed, Orphan, Round
from record import read

HERE = os.path.dirname(os.path.abspath(__file__))
DOLLAR = 1_000_000_000
SECOND = 1_000_000_000
UNLIMITED = (1 << 63) - 1


class Zygote:
    """The C program that workers are forked from, and its news of them."""

    def __init__(self, program: str, home: str) -> None:
        self.process = subprocess.Popen(
            [program, home], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.live: Set[int] = set()
        self.crashed: List[Tuple[int, int]] = []
        self._started: "queue.Queue[int]" = queue.Queue()
        self._rested: "queue.Queue[int]" = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in self.process.stdout:
            word, pid, *rest = line.split()
            if word == "start":
                self.live.add(int(pid))
                self._started.put(int(pid))
            elif word == "rest":
                self._rested.put(int(pid))
            else:
                self.live.discard(int(pid))
                status = int(rest[0])
                if status not in (0, signal.SIGKILL, signal.SIGTERM):
                    self.crashed.append((int(pid), status))

    def say(self, line: str) -> None:
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def spawn(self, seed: int) -> int:
        self.say(f"spawn {seed}")
        return self._started.get(timeout=120)

    def rest(self, kill: bool) -> int:
        """Waits until all are gone, with what they forked. How many were killed for it."""
        self.say("rest kill" if kill else "rest")
        return self._rested.get(timeout=300)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(10)


class Others:
    """Workers in Python and Go: processes of our own."""

    def __init__(self, home: str, go: Optional[str]) -> None:
        self.commands = [[sys.executable, os.path.join(HERE, "worker.py"), home]]
        if go:
            self.commands.append([go, home])
        self.live: Dict[int, subprocess.Popen] = {}
        self.kind: Dict[int, int] = {}
        self.crashed: List[Tuple[int, int]] = []

    def missing(self) -> List[int]:
        running = {self.kind[pid] for pid in self.live}
        return [kind for kind in range(len(self.commands)) if kind not in running]

    def spawn(self, kind: int, log: str, seed: int) -> None:
        process = subprocess.Popen(self.commands[kind] + [log, str(seed)], stdin=subprocess.DEVNULL)
        self.live[process.pid], self.kind[process.pid] = process, kind

    def rest(self, kill: bool, mine: int) -> int:
        """As Zygote's. What they forked is this process's own now; `mine` is the zygote."""
        killed = 0
        while True:
            self.reap()
            with open(f"/proc/self/task/{os.getpid()}/children") as file:
                children = [int(pid) for pid in file.read().split() if int(pid) != mine]
            if not children:
                return killed
            for pid in children:
                if kill:
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
                if pid not in self.live:
                    os.waitpid(pid, 0)
                else:
                    self.live[pid].wait()

    def reap(self) -> None:
        for pid, process in list(self.live.items()):
            if process.poll() is not None:
                del self.live[pid]
                if process.returncode not in (0, -signal.SIGKILL, -signal.SIGTERM):
                    self.crashed.append((pid, process.returncode))


class Witness:
    """Sees processors stand still: a thread on each, which wants to run every 20 ms. What could
    not run meanwhile was not slow, and the time is not counted against it."""

    def __init__(self) -> None:
        self.gaps: List[Tuple[float, float]] = []  # when it began, seconds
        for cpu in os.sched_getaffinity(0):
            threading.Thread(target=self._look, args=(cpu,), daemon=True).start()

    def _look(self, cpu: int) -> None:
        os.sched_setaffinity(0, {cpu})  # of this thread
        last = time.monotonic()
        while True:
            time.sleep(0.02)
            now = time.monotonic()
            if now - last > 0.25:
                self.gaps.append((last, now - last))
            last = now

    def since(self, start: float) -> float:
        """Seconds in which at least one of them stood still, after `start`."""
        time.sleep(0.05)  # who was late has said so
        still, end = 0.0, start
        for began, gap in sorted(self.gaps):
            still += max(0.0, began + gap - max(began, end))
            end = max(end, began + gap)
        return still

    def longest(self) -> float:
        return max((gap for _, gap in self.gaps), default=0.0)


class Patient:
    """A runtime whose calls are made again as long as somebody who stands still holds them up:
    as `patiently` in worker.c, for a minute and more."""

    def __init__(self, runtime: bursar.Runtime) -> None:
        self._runtime = runtime
        self.waits = 0

    def __getattr__(self, name: str):
        found = getattr(self._runtime, name)
        if not callable(found):
            return found

        def call(*arguments, **named):
            end = time.monotonic() + 60
            while True:
                try:
                    return found(*arguments, **named)
                except bursar.BursarError as error:
                    if error.code != Status.E_BUSY or time.monotonic() > end:
                        raise
                    self.waits += 1
        return call


class Figures:
    """What is printed at the end."""

    def __init__(self) -> None:
        self.rounds = self.kills = self.stops = self.forks = self.starts = 0
        self.granted = self.refused = self.settled = self.acknowledged = 0
        self.orphans = self.orphans_unnamed = self.lates = self.charges = 0
        self.unknown = 0  # nano-dollars between what was certainly and what was possibly spent
        self.spent = 0
        self.longest_held = self.longest_gone = 0.0
        self.dead_sessions = 0
        self.opens: List[int] = []
        self.events_lost = 0
        self.busy = 0  # times that somebody who stood still held a call up for ten seconds
        self.over: int = 0


class Torture:
    def __init__(self, options: argparse.Namespace, folder: str, shm: str) -> None:
        self.options = options
        self.random = random.Random(options.seed)
        self.folder, self.home = folder, os.path.join(folder, "home")
        self.shm = shm
        self.figures, self.witness = Figures(), Witness()
        self.lock = threading.Lock()  # of the events below, which come on another thread
        self.orphans: List[Orphan] = []
        self.markers: "queue.Queue[str]" = queue.Queue()
        for _ in range(70):  # a process keeps what it closed last for late calls, up to 64
            rt = self.open()
            rt.read(rt.budget("torture", "$1M"))
            rt.close()
        self.rt = self.open()
        for path in BUDGETS:
            self.rt.budget(path, "$1")
        self.ids = [self.rt._id(path) for path in BUDGETS]
        self.rt.budget("marker", "$1")
        self.nodes = self.rt.health().nodes
        self.zygote = Zygote(options.worker, self.home)
        self.others = Others(self.home, options.go)
        self.limits = [0, 0, 0]
        self.excess = [0, 0, 0]  # the most seen above a limit in this round
        self.descriptors: Optional[List[str]] = None
        self.files: Optional[List[Tuple[str, int, int]]] = None

    def open(self) -> Patient:
        rt = bursar.open(self.home, shm_dir=self.shm, events_max=1 << 20)
        rt.on_event(self.heard)
        return Patient(rt)

    def heard(self, event: bursar.Event) -> None:
        if event.type == EventType.ORPHAN:
            with self.lock:
                self.orphans.append(Orphan(event.reservation, event.session, event.amount))
        elif event.type == EventType.LOST:
            with self.lock:
                self.figures.events_lost += event.amount
        elif event.type == EventType.KILL and event.path == "marker":
            self.markers.put(event.text)

    # ---- A round ----

    def run(self) -> None:
        end = time.monotonic() + self.options.length
        while time.monotonic() < end:
            self.round(min(self.random.uniform(1, 4), max(0.5, end - time.monotonic())))
            if self.options.kills and self.figures.kills >= self.options.kills:
                return

    def round(self, seconds: float) -> None:
        self.figures.rounds += 1
        log = os.path.join(self.folder, f"round-{self.figures.rounds}.log")
        self.zygote.say(f"log {log}")
        self.set_limits()
        before = self.spent()
        self.orphans.clear()
        watching = threading.Event()
        watcher = threading.Thread(target=self.watch, args=(watching,))
        watcher.start()
        self.torment(seconds, log)
        watching.set()
        watcher.join()
        self.look_at_the_dead(log)
        self.end_all()
        self.judge(log, before)
        if not self.options.keep:
            os.remove(log)
        if self.figures.rounds % 20 == 0:
            f = self.figures
            print(f"torture: round {f.rounds}, {f.kills} kills, {f.settled} steps settled", flush=True)

    def set_limits(self) -> None:
        """Some rounds are mostly refusals, some have room for everything."""
        self.rt.revive(everything=True)
        for path in ("torture",) + BUDGETS:
            self.rt.revive(path)
        views = [self.rt.read(path) for path in BUDGETS]
        rooms = [(0.5, 5, 50, 500), (2, 50, 500), (20, 5000)]
        for k, (path, view) in enumerate(zip(BUDGETS, views)):
            room = self.random.choice(rooms[k])
            self.limits[k] = view.spent_nanos + int(room * DOLLAR)
            text = f"${self.limits[k] // DOLLAR}.{self.limits[k] % DOLLAR:09d}"
            more = ["", ", 6 in_flight", ", 50M tokens/5s, 3000 steps/s burst 100"][k]
            self.rt.limits_set(path, text + more + " alert 50% 90%")
            self.excess[k] = 0

    def spent(self) -> List[int]:
        return [self.rt.read(path).spent_nanos for path in BUDGETS]

    def watch(self, stop: threading.Event) -> None:
        """Reads every limit all the time: none may ever show more than it allows."""
        while not stop.wait(0.002):
            for k, id in enumerate(self.ids):
                limit = self.rt._limit(id, 0)
                if limit is not None and limit.committed > limit.amount + limit.extra:
                    over = limit.committed - limit.amount - limit.extra
                    self.excess[k] = max(self.excess[k], over)

    def torment(self, seconds: float, log: str) -> None:
        rng, end = self.random, time.monotonic() + seconds
        self.killed: Dict[int, float] = {}
        stopped: List[Tuple[float, int]] = []  # when to go on, whom
        held: Set[int] = set()
        while time.monotonic() < end:
            while len(self.zygote.live) < self.options.workers:
                self.zygote.spawn(rng.getrandbits(48))
                self.figures.starts += 1
            self.others.reap()
            for kind in self.others.missing():
                self.others.spawn(kind, log, rng.getrandbits(48))
                self.figures.starts += 1
            time.sleep(rng.uniform(0, 2 * self.options.every))
            while stopped and stopped[0][0] <= time.monotonic():
                _, pid = heapq.heappop(stopped)
                held.discard(pid)
                self.signal(pid, signal.SIGCONT)
            everybody = list(self.zygote.live) + list(self.others.live)
            if not everybody:
                continue
            pid = rng.choice(everybody)
            if pid in self.others.live and rng.random() < 0.6:
                continue  # they take longer to start
            what = rng.random()
            if what < 0.72:
                if self.signal(pid, signal.SIGKILL):
                    self.figures.kills += 1
                    self.killed[pid] = time.monotonic()
            elif what < 0.95:
                if pid not in held and self.signal(pid, signal.SIGSTOP):
                    self.figures.stops += 1
                    held.add(pid)
                    span = rng.choice((0.001, 0.01, 0.05, 0.2, 0.7))
                    heapq.heappush(stopped, (time.monotonic() + span, pid))
            else:
                self.signal(pid, signal.SIGTERM)
        for _, pid in stopped:
            self.signal(pid, signal.SIGCONT)

    def look_at_the_dead(self, log: str) -> None:
        """While others go on: sessions of who was killed a second ago hold nothing."""
        long_ago = time.monotonic() - self.options.patience
        long_ago -= self.witness.since(min(self.killed.values(), default=long_ago))
        dead = {pid for pid, at in self.killed.items() if at < long_ago}
        theirs = {entry.session for entry in read(log) if entry.kind == b"S" and entry.pid in dead}
        for session in theirs:
            try:
                held = self.rt.read(session).reserved_nanos
            except bursar.NotFoundError:
                continue
            self.figures.dead_sessions += 1
            if held:
                raise Failed(f"session {session:x} of a process killed a second ago holds {held}")

    def signal(self, pid: int, number: int) -> bool:
        """False when it is gone. Nobody else gets its number: whoever reaps it says so first."""
        if pid not in self.zygote.live and pid not in self.others.live:
            return False
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        return True

    def end_all(self) -> None:
        """Everybody goes, in one of three ways."""
        way = self.random.choice(("kill", "kill", "end", "alone"))
        if way == "alone":  # whoever opens the home next finds the dead
            self.barrier()
            self.rt.close()
        everybody = list(self.zygote.live) + list(self.others.live)
        for pid in everybody:
            if way == "end":
                self.signal(pid, signal.SIGTERM)
        self.figures.kills += self.others.rest(way != "end", self.zygote.process.pid)
        self.figures.kills += self.zygote.rest(way != "end")
        self.gone_at = time.monotonic()
        if way == "alone":
            self.rt = self.open()
            self.gone_at = time.monotonic()

    def barrier(self) -> None:
        """Waits until every event up to now was heard."""
        word = str(time.monotonic_ns())
        self.rt.kill("marker", reason=word)
        self.rt.revive("marker")
        while self.markers.get(timeout=120) != word:
            pass

    # ---- The judgement ----

    def judge(self, log: str, before: List[int]) -> None:
        for who in (self.zygote, self.others):
            if who.crashed:
                raise Failed(f"workers ended otherwise than killed: {who.crashed}")
        self.wait_until_nothing_is_held()
        self.barrier()
        round = Round(read(log), self.orphans)
        self.rt.verify()
        root = self.rt.read("torture")
        children = [self.rt.read(path) for path in BUDGETS]
        for name in ("spent_nanos", "reserved_nanos", "steps", "input_tokens", "output_tokens"):
            parts = sum(getattr(view, name) for view in children)
            if getattr(root, name) != parts:
                raise Failed(f"{name} of the parent is {getattr(root, name)}, of the children {parts}")
        for k, (view, total) in enumerate(zip(children, round.totals())):
            spent = view.spent_nanos - before[k]
            if not total.low <= spent <= total.high:
                raise Failed(
                    f"{BUDGETS[k]} spent {spent} in this round; it must be {total.low} to {total.high}")
            self.figures.unknown += total.high - total.low
            overruns = round.overruns(k)
            over = max(self.excess[k], view.spent_nanos - self.limits[k])
            self.figures.over = max(self.figures.over, over)
            if over > overruns:
                raise Failed(f"{BUDGETS[k]} was {over} above its limit, with {overruns} of overruns")
            money, steps = round.most_held(k)
            if before[k] + money > self.limits[k] + overruns:
                raise Failed(f"{BUDGETS[k]} granted {before[k] + money}, its limit is {self.limits[k]}")
            if k == 1 and steps > 6:
                raise Failed(f"{BUDGETS[k]} had {steps} steps in flight, its limit is 6")
        self.count(round, sum(self.spent()) - sum(before))
        self.look_for_leaks()

    def wait_until_nothing_is_held(self) -> None:
        while True:
            view, health = self.rt.read("torture"), self.rt.health()
            if view.reserved_nanos == 0 and health.in_flight == 0:
                break
            waited = time.monotonic() - self.gone_at
            most = self.options.patience
            if waited > most and waited > most + self.witness.since(self.gone_at):
                time.sleep(5)
                later, exact = self.rt.read("torture"), "exact"
                try:
                    self.rt.verify()
                except bursar.BursarError as error:
                    exact = str(error)
                raise Failed(
                    f"{view.reserved_nanos} held and {health.in_flight} in flight "
                    f"{waited:.3f} s after the last process died; {later.reserved_nanos} held 5 s "
                    f"later; the books are {exact}; {self.rt.health()}")
            time.sleep(0.002)
        waited = time.monotonic() - self.gone_at - self.witness.since(self.gone_at)
        self.figures.longest_held = max(self.figures.longest_held, waited)
        while True:
            nodes, processes = self.rt.health().nodes, self.rt.home_info().processes
            if nodes <= self.nodes and processes == 1:
                break
            waited = time.monotonic() - self.gone_at
            most = 2 * self.options.patience
            if waited > most and waited > most + self.witness.since(self.gone_at):
                left = [(f"{id:x}", self.rt.read(id).state.name) for path in BUDGETS
                        for id in self.rt.children(path)]
                raise Failed(
                    f"{processes} processes and {nodes} budgets and sessions (there were {self.nodes} "
                    f"at the beginning) {waited:.3f} s after the last process died; {left}")
            time.sleep(0.002)
        waited = time.monotonic() - self.gone_at - self.witness.since(self.gone_at)
        self.figures.longest_gone = max(self.figures.longest_gone, waited)

    def look_for_leaks(self) -> None:
        descriptors: List[str] = []
        bells: List[str] = []
        ledger: collections.Counter[str] = collections.Counter()
        for entry in os.listdir("/proc/self/fd"):
            try:
                path = os.readlink(f"/proc/self/fd/{entry}")
            except FileNotFoundError:
                continue  # the listing's own
            if path.startswith(self.home + "/bells/"):
                bells.append(path)  # kept for the next ring: one for each slot that was ever used
            elif path.startswith(self.home + "/ledger."):
                # As many as it needs now: it writes the ledger in this moment, or asks it, or does
                # not. The outbox goes on in another file.
                ledger[re.sub(r"\.\d+\.log$", ".log", path)] += 1
            else:
                descriptors.append(path.split(":")[0])  # of a pipe or socket without its number
        descriptors.sort()
        if len(bells) > len(set(bells)) + 1:  # its own is open for reading too
            raise Failed(f"bells were opened more than once: {bells}")
        if any(count > 4 for count in ledger.values()):
            raise Failed(f"the ledger's files were opened too often: {ledger}")
        files = sorted(
            (entry.name, entry.stat().st_size, entry.stat().st_blocks) for entry in os.scandir(self.shm))
        if self.descriptors is None:
            self.descriptors, self.files = descriptors, files
        if descriptors != self.descriptors:
            raise Failed(f"descriptors {descriptors}, after the first round {self.descriptors}")
        if files != self.files:
            raise Failed(f"the segment changed from {self.files} to {files}")

    def count(self, round: Round, spent: int) -> None:
        f = self.figures
        f.granted += len(round.held)
        f.refused += round.kinds[b"R"]
        f.settled += len(round.settled)
        f.charges += len(round.charged)
        f.orphans += len(round.orphans)
        f.orphans_unnamed += sum(1 for handle in round.orphans if handle not in round.held)
        f.lates += round.lates
        f.forks += len(round.forks)
        f.busy += round.kinds[b"B"] + self.rt.waits
        self.rt.waits = 0
        f.opens += round.opens
        f.spent += spent

    def report(self) -> None:
        f, health = self.figures, self.rt.health()
        opens = sorted(f.opens) or [0]
        print(
            f"torture: seed {self.options.seed}, {f.rounds} rounds, {f.starts} processes started\n"
            f"  kill -9                   {f.kills}\n"
            f"  stopped and continued     {f.stops}\n"
            f"  forked children           {f.forks}\n"
            f"  homes opened              {len(f.opens)} (median {opens[len(opens) // 2] / 1e6:.2f} ms, "
            f"max {opens[-1] / 1e6:.1f} ms, under this load)\n"
            f"  steps granted             {f.granted}, {f.refused} refused\n"
            f"  steps settled             {f.settled} acknowledged, each in the totals once\n"
            f"  charges                   {f.charges}\n"
            f"  orphans                   {f.orphans}, {f.orphans_unnamed} of them granted to the dead "
            f"before they knew\n"
            f"  late settles              {f.lates}\n"
            f"  spent                     ${f.spent / DOLLAR:.6f}, of it not certain by the record "
            f"${f.unknown / DOLLAR:.6f}\n"
            f"  most above a limit        ${f.over / DOLLAR:.6f}, all of it overruns, forced and late\n"
            f"  longest until nothing was held for the dead: {f.longest_held * 1000:.0f} ms\n"
            f"  longest until their slots and sessions were free: {f.longest_gone * 1000:.0f} ms\n"
            f"  sessions of the killed    {f.dead_sessions} looked at after a second while others went on\n"
            f"  waited in vain            {f.busy} times for a process that stood still, and asked again\n"
            f"  a processor stood still   {self.witness.longest():.1f} s at the longest\n"
            f"  events lost               {f.events_lost}\n"
            f"  descriptors               {len(self.descriptors or ())} after the first round and after the last\n"
            f"  {health}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("worker")
    parser.add_argument("--go")
    parser.add_argument("--minutes", type=float, default=0)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--kills", type=int, default=0, help="end after so many")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--workers", type=int, default=6, help="in C, at a time")
    parser.add_argument("--every", type=float, default=0.02, help="seconds between two blows")
    parser.add_argument("--keep", action="store_true", help="keep what the workers wrote down")
    parser.add_argument("--patience", type=float, default=1.0, help="seconds that the dead may hold")
    options = parser.parse_args()
    options.length = options.minutes * 60 or options.seconds
    if options.seed is None:
        options.seed = int.from_bytes(os.urandom(4), "little")
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: forks of Python workers
    folder = tempfile.mkdtemp(prefix="bursar-torture-")
    shm = tempfile.mkdtemp(prefix="bursar-torture-", dir="/dev/shm")
    torture = None
    try:
        torture = Torture(options, folder, shm)
        torture.run()
        torture.report()
    except BaseException as error:
        print(f"torture: FAILED with seed {options.seed}: {error}\n  what was recorded: {folder}",
              file=sys.stderr, flush=True)
        if torture is not None and isinstance(error, Failed):
            return 1
        raise
    finally:
        if torture is not None:
            torture.zygote.close()
            for process in torture.others.live.values():
                process.kill()
        shutil.rmtree(shm, ignore_errors=True)
    if not options.keep:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
