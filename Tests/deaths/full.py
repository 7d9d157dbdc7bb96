"""What keeps a home's ledger from being written, one after the other, while agents work on.

    python3 full.py [--seconds 6] [--seed N] AGENT

The home is on a small file system of its own (a loop-mounted ext4, else a small tmpfs; both need root,
and where neither can be mounted that is said, and those parts are left out). It is filled and freed,
filled to the last byte, made read-only; the database is locked by somebody, is overwritten. All the
while steps are admitted and settled under limits that hold exactly; an event says what is wrong, and so
does a query; afterwards the rows are there, each once.
"""

from __future__ import annotations

import argparse
import glob
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from typing import Callable, List, Optional

import bursar
from bursar import EventType

from agents import Agents, Home, wait_for_rest
from books import BUDGETS, Books, Failed, Told

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "torture"))
from record import ENTRY, Entry  # noqa: E402

DOLLAR = 1_000_000_000
TIGHT = BUDGETS[0]
JOURNAL_FULL = 11
PAGE = 4096


def run(*command: str) -> bool:
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


class Disk:
    """A small file system."""

    def __init__(self, folder: str, megabytes: int) -> None:
        self.path, image = os.path.join(folder, "disk"), os.path.join(folder, "image")
        os.mkdir(self.path)
        with open(image, "wb") as file:
            file.truncate(megabytes << 20)
        made = run("mkfs.ext4", "-q", "-m", "0", "-b", "1024", image)
        self.kind = ""
        if made and run("mount", "-o", "loop", image, self.path):
            self.kind = "ext4"
        elif run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", self.path):
            self.kind = "tmpfs"
        self.filler: Optional[threading.Thread] = None
        self.fills = threading.Event()

    def fill(self, keeps: bool = False) -> None:
        """To the last byte that there is now; `keeps`: and of all that is freed."""
        os.sync()  # what was removed is free only then
        self.fills.set()
        with open(os.path.join(self.path, "big"), "ab", buffering=0) as file:
            self.append(file)
        if keeps:
            self.filler = threading.Thread(target=self.keep_filling)
            self.filler.start()

    def append(self, file) -> None:
        for size in (1 << 20, 1 << 16, 1 << 12, 1):
            try:
                while True:
                    if file.write(b"x" * size) < size:
                        break
            except OSError:
                pass

    def keep_filling(self) -> None:
        with open(os.path.join(self.path, "big"), "ab", buffering=0) as file:
            while self.fills.is_set():
                self.append(file)
                time.sleep(0.02)

    def free(self) -> None:
        self.fills.clear()
        if self.filler is not None:
            self.filler.join()
            self.filler = None
        if os.path.exists(os.path.join(self.path, "big")):
            os.remove(os.path.join(self.path, "big"))

    def close(self) -> None:
        if self.kind:
            for _ in range(50):
                if run("umount", self.path):
                    return
                time.sleep(0.1)


class Watch:
    """Reads on in a log that agents write."""

    def __init__(self, path: str) -> None:
        self.file = open(path, "rb")
        self.settled = self.refused = self.full = 0
        self.times: List[int] = []  # of answers, steady ns

    def look(self) -> None:
        data = self.file.read()
        self.file.seek(-(len(data) % ENTRY.size), os.SEEK_CUR)
        for raw in ENTRY.iter_unpack(data[: len(data) // ENTRY.size * ENTRY.size]):
            entry = Entry._make(raw)
            if entry.kind in b"TR":
                self.times.append(entry.time)
                self.settled += entry.kind == b"T"
                self.refused += entry.kind == b"R"
                self.full += entry.kind == b"R" and entry.detail == JOURNAL_FULL

    def longest(self, start: int, end: int) -> float:
        """Seconds without an answer."""
        times = sorted([start, end] + [time for time in self.times if start < time < end])
        return max(b - a for a, b in zip(times, times[1:])) / 1e9


class Troubles:
    def __init__(self, options: argparse.Namespace, home: Home) -> None:
        self.options, self.home, self.books = options, home, Books()
        self.agents = Agents(options.agent, home, options.agents, options.seed)
        self.events: List[bursar.Event] = []
        home.make(tight="$1").close()
        self.rt = self.open()
        self.failures = 0

    def open(self) -> bursar.Runtime:
        rt = self.home.open(events_max=1 << 16)
        rt.on_event(lambda event: event.type in (EventType.LEDGER, EventType.HOME) and self.events.append(event))
        return rt

    def during(
        self, name: str, begin: Callable[[], None], end: Callable[[], None], seconds: float,
        silent: Optional[bool] = False, full: bool = False,
    ) -> None:
        """Something goes wrong for some seconds, or until it is heard of: room that was reserved lasts for
        a while. `silent`: it keeps nobody from writing; None: perhaps. `full`: until the journal is, too."""
        limit = self.rt.read(TIGHT).spent_nanos + DOLLAR
        self.rt.limits_set(TIGHT, f"${limit // DOLLAR}.{limit % DOLLAR:09d}")
        self.rt.query("SELECT 1")
        del self.events[:]
        log = self.agents.begin()
        self.agents.fill()
        watch = Watch(log)
        time.sleep(1)
        watch.look()
        begin()
        start, before = time.monotonic_ns(), watch.settled
        says, most = "", 0
        while True:
            lasted = (time.monotonic_ns() - start) / 1e9
            watch.look()
            done = watch.full > 100 if full else silent is not False or says and self.heard()
            if lasted > seconds and (done or lasted > 20 * seconds):
                break
            time.sleep(0.2)
            view = self.rt.read(TIGHT)
            most = max(most, view.spent_nanos + view.reserved_nanos)
            try:
                self.rt.query("SELECT count(*) FROM v_steps")
            except bursar.BursarError as error:
                says = str(error)
        stop = time.monotonic_ns()
        settled = watch.settled - before
        end()
        again = self.wait_for_rows()
        told = self.finish(log)
        events = self.heard()
        heard = len(events)
        spent = self.rt.read(TIGHT).spent_nanos
        print(f"{name}: {(stop - start) / 1e9:.0f} s, {settled} steps settled meanwhile, {told.kinds[b'R']} refused "
              f"({watch.full} by a full journal), {watch.longest(start, stop):.2f} s at most without an answer; "
              f"rows {again:.2f} s after its end; tight: ${spent / 1e9:.6f} of ${limit / 1e9:.6f}\n"
              f"  events ({heard}): {events[0] if events else '-'}\n"
              f"  a query: {says or 'answers'}", flush=True)
        if watch.longest(start, stop) > 10 or settled < 100 and not full:
            raise Failed(f"{name}: enforcement stopped")
        if max(most, spent) > limit or spent < limit - DOLLAR / 2 and not full:
            raise Failed(f"{name}: {TIGHT} may spend {limit}, had {most}, spent {spent}")
        if bool(heard) is silent or heard > 10 + 5 * (stop - start) / 1e9:
            raise Failed(f"{name}: {heard} events")
        if bool(says) is silent:
            raise Failed(f"{name}: a query said {says!r}")
        if full and not watch.full:
            raise Failed(f"{name}: the journal was to be full")

    def heard(self) -> List[str]:
        return [event.text for event in self.events if event.type == EventType.LEDGER]

    def wait_for_rows(self) -> float:
        start = time.monotonic()
        while True:
            try:
                self.rt.query("SELECT count(*) FROM v_steps")
                return time.monotonic() - start
            except bursar.BursarError as error:
                if time.monotonic() > start + 60:
                    raise Failed(f"no rows a minute after it was put right: {error}")
            time.sleep(0.1)

    def finish(self, log: str) -> Told:
        self.agents.end(signal.SIGTERM)
        told = Told(log)
        wait_for_rest(self.rt)
        self.books.judge(self.rt, told)
        os.remove(log)
        return told

    # ---- What goes wrong ----

    def locked(self, seconds: float) -> None:
        code = ("import sqlite3, sys; db = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None); "
                "db.execute('BEGIN EXCLUSIVE'); print('held', flush=True); sys.stdin.read(1)")
        holder: List[subprocess.Popen] = []

        def begin() -> None:
            holder.append(subprocess.Popen(
                [sys.executable, "-c", code, self.home.path + "/ledger.db"], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE))
            holder[0].stdout.readline()

        def end() -> None:
            holder[0].communicate()

        self.during("a database that somebody has locked", begin, end, seconds)

    def read_only(self, seconds: float) -> None:
        """Immutable: also what is open cannot be written any more. (But `-shm`, which SQLite maps:
        the kernel ends who writes to a map of such a file.)"""
        def files() -> List[str]:
            return [self.home.path] + [entry.path for entry in os.scandir(self.home.path)
                                       if entry.is_file() and not entry.path.endswith("-shm")]

        self.during("a read-only home", lambda: run("chattr", "+i", *files()),
                    lambda: run("chattr", "-i", *files()), seconds)

    def remounted(self, disk: Disk) -> None:
        """Nobody has it open: it is refused, or private, as was asked for; then all is as before."""
        self.rt.close()
        if not run("mount", "-o", "remount,ro", disk.path):
            raise Failed("nobody has the home open, and its disk is busy")
        try:
            self.open().close()
            raise Failed("a home that cannot be written was opened")
        except bursar.HomeError as error:
            print(f"a read-only disk: {error}")
        with self.home.open(on_unavailable="private") as rt:
            if rt.home is not None or not rt.session("a", "$1").reserve("gpt-4o", input_tokens=1, max_output_tokens=1):
                raise Failed("a private runtime instead")
        run("mount", "-o", "remount,rw", disk.path)
        self.rt = self.open()
        self.books.judge_sums(self.rt)

    def damaged(self, seconds: float) -> None:
        """The file's first pages are overwritten, and put back: a disk that lied for a while."""
        path, noise, kept = (self.home.path + "/" + name for name in ("ledger.db", "noise", "kept"))
        with open(noise, "wb") as file:
            file.write(os.urandom(16 * PAGE))
        # Holds what SQLite locks for one that writes and one that checkpoints: a page that is put
        # in place of what a checkpoint has just written would lose it for good. In a process of
        # its own, because such locks are a process's. (Who has nobody beside it removes -shm.)
        swap = """if True:
            import fcntl, sys
            path, noise, kept, page = sys.argv[1], open(sys.argv[2], "rb").read(), sys.argv[3], int(sys.argv[4])
            with open(path + "-shm", "a+b") as shm, open(path, "r+b") as file:
                fcntl.lockf(shm, fcntl.LOCK_EX, 2, 120)
                if sys.argv[5] == "begin":
                    open(kept, "wb").write(file.read(len(noise)))
                    file.seek(0)
                    file.write(noise)
                else:  # but for pages that were written since
                    for at in range(0, len(noise), page):
                        file.seek(at)
                        if file.read(page) == noise[at : at + page]:
                            file.seek(at)
                            file.write(open(kept, "rb").read()[at : at + page])
                file.flush()
            """

        def begin() -> None:
            subprocess.run(["sqlite3", "-cmd", ".timeout 20000", path, "PRAGMA wal_checkpoint(TRUNCATE)"],
                           check=True, stdout=subprocess.DEVNULL)
            subprocess.run([sys.executable, "-c", swap, path, noise, kept, str(PAGE), "begin"], check=True)

        def end() -> None:
            subprocess.run([sys.executable, "-c", swap, path, noise, kept, str(PAGE), "end"], check=True)

        self.during("a damaged database", begin, end, seconds, silent=None)  # who has its pages in memory goes on


    @staticmethod
    def repair() -> str:
        """As docs/ledger.md has it."""
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/ledger.md")) as file:
            lines = file.read().split("```sh\nmkdir aside;", 1)[1].split("```", 1)[0]
        return lines.split("\n", 1)[1]

    def set_aside(self, seconds: float) -> None:
        """What docs/ledger.md says to do with a damaged database, with agents at work."""
        home = self.home.path

        def begin() -> None:
            end = time.monotonic() + 60  # the database has what nobody else has any more
            while glob.glob(home + "/ledger.*.1.log") and time.monotonic() < end:
                time.sleep(0.2)
            os.mkdir(home + "/aside")
            for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
                try:
                    os.rename(f"{home}/{name}", f"{home}/aside/{name}")
                except FileNotFoundError:
                    pass

        def end() -> None:
            if os.path.exists(home + "/ledger.db"):
                print("(the files beside the database had all there ever was, and made it anew)")
            else:
                subprocess.run(self.repair(), shell=True, check=True, cwd=home, stdout=subprocess.DEVNULL)
            shutil.rmtree(home + "/aside")

        self.during("a database that is set aside, repaired and put back", begin, end, seconds, silent=None)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("agent")
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--agents", type=int, default=3)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = int.from_bytes(os.urandom(3), "little")
    home = Home()
    disk = Disk(home.folder, 160)
    if disk.kind:
        home.path = os.path.join(disk.path, "home")
    else:
        print("\n*** full: NOTHING CAN BE MOUNTED HERE (root is needed): full and read-only disks were NOT tested ***\n")
    seconds = options.seconds
    troubles = None
    try:
        troubles = t = Troubles(options, home)
        parts = {
            "locked": lambda: t.locked(5 * seconds),
            "damaged": lambda: t.damaged(seconds),
            "aside": lambda: t.set_aside(seconds),
        }
        if disk.kind:
            parts["full"] = lambda: [t.during("a full disk", disk.fill, disk.free, seconds) for _ in range(3)]
            parts["fuller"] = lambda: t.during(
                "a disk that is filled again whatever is freed", lambda: disk.fill(True), disk.free, seconds)
            parts["journal"] = lambda: t.during(
                "the same, until the journal is full, too", lambda: disk.fill(True), disk.free, 2 * seconds, full=True)
        if disk.kind == "ext4":
            parts["immutable"] = lambda: t.read_only(seconds)
            parts["remount"] = lambda: t.remounted(disk)
        for name, part in parts.items():
            if name in options.only.split(",") or not options.only:
                part()
        t.rt.close()
        print(f"full: seed {options.seed}, on {disk.kind or 'no disk of its own'}: {t.books.rows} rows, each done "
              f"once, ${sum(t.books.spent.values()) / 1e9:.9f}", flush=True)
        code = 0
    except BaseException as error:
        if troubles is not None:
            troubles.agents.end(signal.SIGKILL)
            troubles.rt.close()
        print(f"full: seed {options.seed}: {error}; logs are in {home.folder}", flush=True)
        code = 1
        if not isinstance(error, Failed):
            raise
    finally:
        disk.free()
        if disk.kind == "ext4":
            subprocess.run(["chattr", "-R", "-i", disk.path], stderr=subprocess.DEVNULL)
        disk.close()
        if not os.path.ismount(disk.path):
            shutil.rmtree(home.folder, ignore_errors=True)
        shutil.rmtree(home.shm, ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
