"""A home of its own for each test, and the command on it.

BURSAR names the command (build/bin/bursar), BURSAR_LIBRARY the library, for agents in Python.
UPDATE=1 writes golden files anew.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

# What a shell starts in the background ignores it, and so would the commands.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[2]
COMMAND = os.environ.get("BURSAR", str(ROOT / "cli/.build/release/bursar"))
LIBRARY = os.environ.get("BURSAR_LIBRARY", str(ROOT / "build/lib/libbursar.so"))
GOLDEN = Path(__file__).parent / "golden"


class HomeCase(unittest.TestCase):
    """`self.home` is made and removed; `self.bursar(...)` runs the command there."""

    limits = "$50/day"
    maxDiff = None

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="bursar-cli-"))
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.home = self.folder / "home"
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("BURSAR_", "LC_", "COLUMNS"))}
        self.env.update(
            BURSAR_HOME=str(self.home), BURSAR_LIBRARY=LIBRARY, LD_LIBRARY_PATH=str(Path(LIBRARY).parent),
            PYTHONPATH=str(ROOT / "bindings/python/src"), PYTHONDONTWRITEBYTECODE="1", TZ="UTC",
            PYTHON=sys.executable, NO_COLOR="1")
        self.bursar("home", "create", check=True)
        self.addCleanup(self.remove_segment)
        self.bursar("budget", "declare", "acme", self.limits, check=True)

    def remove_segment(self):
        for line in (self.home / "home").read_text().splitlines():
            if line.startswith("segment "):
                Path(line.split(" ", 1)[1]).unlink(missing_ok=True)

    def bursar(self, *args, check=False, timeout=60, **more):
        result = subprocess.run(
            [COMMAND, *map(str, args)], env=self.env, capture_output=True, text=True, timeout=timeout,
            **{"cwd": self.folder, **more})  # fmt: skip
        if check:
            self.assertEqual(result.returncode, 0, result.stderr)
        return result

    def popen(self, *args, **more):
        process = subprocess.Popen([COMMAND, *map(str, args)], env=self.env, cwd=self.folder, text=True, **more)
        self.addCleanup(end, process)
        return process

    def script(self, name, text):
        """A Python program: its file."""
        path = self.folder / name
        path.write_text("import os, signal, sys, time\n" + text)
        return path

    def golden(self, name, text, but=str):
        """Compares with a golden file, `but` for what differs."""
        path = GOLDEN / name
        if os.environ.get("UPDATE"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        self.assertTrue(path.exists(), f"{path} is not there: UPDATE=1 writes it")
        self.assertEqual(but(text), but(path.read_text()))


def end(process):
    if process.poll() is None:
        process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()


def alive(pid):
    """Whether a process runs: one that ended and was not reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def until(condition, seconds=20, what="it"):
    """Waits until something is true; what it was."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {seconds} s")
        time.sleep(0.02)
