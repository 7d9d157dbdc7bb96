"""Processes of agents on one home, and what there is to know of them from outside."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
import tempfile
import time
from typing import Dict, List, Optional

import bursar
from books import BUDGETS, Failed

FLOCK = struct.Struct("hhqqi4x")  # struct flock
WRITE, CHECKPOINT = 120, 121  # SQLite's locks in `ledger.db-shm`
KEEPER = 2  # the elected writer's byte in the home's lock file


class Home:
    """A home of a test's own, its segment in a directory of its own."""

    def __init__(self, folder: Optional[str] = None) -> None:
        self.folder = tempfile.mkdtemp(prefix="bursar-deaths-")
        self.shm = tempfile.mkdtemp(prefix="bursar-deaths-", dir="/dev/shm")
        self.path = os.path.join(folder or self.folder, "home")

    def open(self, **options) -> bursar.Runtime:
        return bursar.open(self.path, shm_dir=self.shm, **options)

    def make(self, tight: str = "$1M") -> bursar.Runtime:
        rt = self.open()
        rt.budget("deaths", "$10M/month alert 50%", owner="ada")
        for path in BUDGETS:
            rt.budget(path, tight if path == BUDGETS[0] else "$1M, 1B tokens/day", cost_center="cc-7")
        return rt


class Agents:
    """All write to one log at a time."""

    def __init__(self, program: str, home: Home, count: int, seed: int) -> None:
        self.program, self.home, self.count = program, home, count
        self.seed = seed % (1 << 19) << 12
        self.live: Dict[int, subprocess.Popen] = {}
        self.started = self.logs = 0
        self.log = ""

    def begin(self) -> str:
        self.logs += 1
        self.log = os.path.join(self.home.folder, f"{self.logs}.log")
        open(self.log, "xb").close()
        return self.log

    def fill(self) -> None:
        """As many as there should be."""
        self.reap()
        while len(self.live) < self.count:
            self.started += 1
            process = subprocess.Popen(
                [self.program, self.home.path, self.log, str(self.seed + self.started)],
                stdin=subprocess.DEVNULL)
            self.live[process.pid] = process

    def reap(self) -> None:
        for pid, process in list(self.live.items()):
            if process.poll() is not None:
                self.gone(pid)

    def gone(self, pid: int) -> None:
        code = self.live.pop(pid).wait(300)
        if code not in (0, -signal.SIGKILL, -signal.SIGTERM):
            raise Failed(f"agent {pid} ended with {code}, and nobody killed it so")

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        self.gone(pid)

    def end(self, number: int) -> None:
        """Everybody, at once: killed, or told to."""
        for pid in self.live:
            os.kill(pid, number)
            os.kill(pid, signal.SIGCONT)
        for pid in list(self.live):
            self.gone(pid)

    def stop(self, pid: int) -> None:
        """It stands still when this returns."""
        os.kill(pid, signal.SIGSTOP)
        for _ in range(2000):
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] in "TZ":
                    return
            time.sleep(0.0001)

    def keeper(self) -> Optional[int]:
        """Who was elected to write: whose descriptor has the lock."""
        for pid in list(self.live):
            try:
                for number in os.listdir(f"/proc/{pid}/fd"):
                    if not os.readlink(f"/proc/{pid}/fd/{number}").startswith(self.home.path + "/lock"):
                        continue
                    with open(f"/proc/{pid}/fdinfo/{number}") as file:
                        for line in file:
                            if line.startswith("lock:") and line.split()[-2:] == [str(KEEPER)] * 2:
                                return pid
            except OSError:
                pass
        return None


class Locks:
    """Who holds SQLite's locks: they are the processes', and the kernel says whose. In a process
    that has the database open nobody may use this, as closing the file lets its locks go."""

    def __init__(self, home: Home) -> None:
        self.path = home.path + "/ledger.db-shm"
        self.fd, self.inode = -1, 0

    def holder(self) -> Optional[List[int]]:
        """Process and lock, if somebody writes or checkpoints."""
        try:
            if self.fd < 0 or os.stat(self.path).st_ino != self.inode:
                self.close()
                self.fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
                self.inode = os.fstat(self.fd).st_ino
        except FileNotFoundError:
            return None
        for byte in (WRITE, CHECKPOINT):
            asked = FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
            kind, _, _, _, pid = FLOCK.unpack(fcntl.fcntl(self.fd, fcntl.F_GETLK, asked))
            if kind != fcntl.F_UNLCK:
                return [pid, byte]
        return None

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1


def wait_for_rest(rt: bursar.Runtime, seconds: float = 60) -> None:
    """Until what the dead held was given back, and nobody else is there."""
    end = time.monotonic() + seconds
    while rt.health().in_flight or rt.home_info().processes > 1:
        if time.monotonic() > end:
            raise Failed(f"{seconds} s after the last process ended: {rt.health()} {rt.home_info()}")
        time.sleep(0.01)
