"""What `bursar top` costs: its own share of a core on many live sessions, and what agents notice.

    make bench-top [SESSIONS=10000]

An agent reserves and settles as fast as it can, in spells with `top` beside it and spells without,
in turns; `top` refreshes every second on a terminal.
"""

import os
import pty
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import bursar

COMMAND = os.environ["BURSAR"]
PAIRS, SPELL = 8, 3.0  # spells of each kind, seconds
AGENT = """
import sys, time
import bursar
rt = bursar.open(sys.argv[1])
s = rt.session("acme/team-0", "$1000000")
for line in sys.stdin:
    until, steps, begin = time.monotonic() + float(line), 0, time.perf_counter_ns()
    while time.monotonic() < until:
        for _ in range(1000):
            d = s.reserve("gpt-4o", input_tokens=1000, max_output_tokens=100)
            s.settle(d, input_tokens=1000, output_tokens=50)
        steps += 1000
    print((time.perf_counter_ns() - begin) // steps, flush=True)
"""


def cpu(pid: int) -> float:
    """Seconds that a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Top:
    """`bursar top` on a terminal of 50 rows that somebody reads."""

    def __init__(self, home: str) -> None:
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm", LINES="50", COLUMNS="160")
            os.execv(COMMAND, [COMMAND, "top", "--home", home, "--interval", "1"])
        self.bytes = 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            while True:
                self.bytes += len(os.read(self.terminal, 65536))
        except OSError:
            pass

    def end(self) -> None:
        os.write(self.terminal, b"q")
        os.waitpid(self.pid, 0)
        os.close(self.terminal)


def main() -> None:
    sessions = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory(prefix="bursar-top-") as folder:
        home = folder + "/home"
        rt = bursar.open(home, sessions_max=sessions + 200)
        for k in range(100):
            rt.budget(f"acme/team-{k}", "$1000000/month")
        open_ = [rt.session(f"acme/team-{k % 100}", "$50", agent="reader") for k in range(sessions)]
        for s in open_[::7]:
            s.charge("$0.01")
        agent = subprocess.Popen(
            [sys.executable, "-c", AGENT, home], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

        def spell() -> int:
            agent.stdin.write(f"{SPELL}\n")
            agent.stdin.flush()
            return int(agent.stdout.readline())

        spell()
        alone, beside, shares = [], [], []
        for _ in range(PAIRS):
            alone.append(spell())
            top = Top(home)
            time.sleep(1.5)
            began, used = time.monotonic(), cpu(top.pid)
            beside.append(spell())
            shares.append((cpu(top.pid) - used) / (time.monotonic() - began))
            drawn = top.bytes
            top.end()
        agent.stdin.close()
        agent.wait()
        segment = rt.home_info().segment_path
        for s in open_:
            s.close()
        rt.close()
        os.remove(segment)
    ratios = [b / a for a, b in zip(alone, beside)]
    print(f"top on {sessions:,} live sessions, every second: {100 * statistics.median(shares):.1f} % of a core (median of "
          f"{PAIRS}), {100 * max(shares):.1f} % at most; aim: 5 %; {drawn:,} bytes drawn in the last spell")
    print(f"an agent's reserve + settle (Python): {statistics.median(alone):,.0f} ns alone, {statistics.median(beside):,.0f} ns "
          f"beside top; ratio {statistics.median(ratios):.3f} (median of pairs; {min(ratios):.3f} to {max(ratios):.3f})")


if __name__ == "__main__":
    main()
