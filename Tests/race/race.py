"""Four processes, in Python, Go, C and Swift, of 25 agents each start together on one budget of
$1 with steps of $0.10: exactly ten are admitted in all of them together, and exactly $1.00 is
spent.

    python3 race.py [--times 20] COMMAND ...

Each command is a racer; `HOME` is appended to it. It reads a budget's path, opens a session for
each agent and says `ready`; at the next line all of them start, and it says how many were
admitted and how many refused.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile

import bursar

DOLLAR = 1_000_000_000
AGENTS = 25


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("commands", nargs="+")
    parser.add_argument("--times", type=int, default=20)
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="bursar-race-")
    shm = tempfile.mkdtemp(prefix="bursar-race-", dir="/dev/shm")
    failed = 0
    shares = [0] * len(options.commands)
    try:
        with bursar.open(os.path.join(folder, "home"), shm_dir=shm) as rt:
            racers = [
                subprocess.Popen(
                    shlex.split(command) + [rt.home], stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE, text=True, bufsize=1)
                for command in options.commands]  # fmt: skip
            for number in range(options.times):
                path = f"race/{number}"
                rt.budget(path, "$1")
                for racer in racers:
                    racer.stdin.write(path + "\n")
                for racer, command in zip(racers, options.commands):
                    if racer.stdout.readline() != "ready\n":
                        print(f"race: FAILED: {command} did not get ready", file=sys.stderr)
                        return 1
                for racer in racers:
                    racer.stdin.write("go\n")
                counts = [[int(n) for n in racer.stdout.readline().split()] for racer in racers]
                admitted, refused = (sum(column) for column in zip(*counts))
                view = rt.read(path)
                wanted = (10, AGENTS * len(racers) - 10, DOLLAR, 0)
                if (admitted, refused, view.spent_nanos, view.reserved_nanos) != wanted:
                    failed += 1
                    print(
                        f"race: FAILED: {admitted} admitted and {refused} refused ({counts}), "
                        f"{view.spent_nanos} spent, {view.reserved_nanos} held", file=sys.stderr)
                shares = [share + count[0] for share, count in zip(shares, counts)]
            for racer in racers:
                racer.stdin.close()
                failed += racer.wait(20) != 0
            rt.verify()
    finally:
        shutil.rmtree(shm, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
    if not failed:
        print(
            f"race: {options.times} of {options.times} tests passed: {AGENTS * len(shares)} agents in "
            f"{len(shares)} processes, 10 admitted and $1.00 spent each time; by process {shares}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
