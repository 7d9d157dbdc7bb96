#!/usr/bin/env python3
"""Runs docs/operations.md: each `$` line of its console blocks, in one shell, on a home that it makes.

    tools/operations.py build/bin/bursar build/lib/libbursar.so

What is printed is what stands under the line. UPDATE=1 writes the page anew. Lines of shell in
`<!-- $ ... -->` run too, unseen: the agents, and waiting. What cannot be the same twice is not
compared: the RULES below, everywhere; and every number in blocks that say `console live`, whose
agents work while they are looked at. Exits non-zero when anything else differs, and when stopping
everything took ten seconds.
"""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta, timezone

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAGE = os.path.join(ROOT, "docs", "operations.md")
SEGMENT = (r"bursar-[0-9a-f]{32}-[0-9a-f]{8}", "SEGMENT")
AGE = [(r"(?m)^(built-in )?prices .*$", "prices"), (r"score (is )?\d+", "score N"),  # built-in prices grow old
       (r"(?m)^(built-in prices: .*|All is well\.)$", "All is well, but for prices.")]
DAY = (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?Z?", "TIME")
RULES = AGE + [
    SEGMENT,
    DAY,
    (r"\b\d\d:\d\d:\d\d\b", "TIME"),
    (r"\b\d+(\.\d+)?(us|ms|s)\b|\b\d+[mh] \d+[sm]\b", "SPAN"),
    (r"\b\d{9,}\b", "ID"),
    (r" +", " "),  # columns are as wide as what stands in them
    (r"-{3,}", "---"),
    (r"\d+ of \d+ steps", "N steps"),
]
LIVE = AGE + [
    SEGMENT,
    DAY,
    (r"(?m)^ +", ""),
    (r"-{3,}", "---"),
    (r"(?<![\w/-])[$\[]?\d[\d,.:]*(us|ms|[smhd%])?(\d+[smhd])?", "N"),
    (r"\|+", "|"),
    (r" +", " "),
    (r"N( N)+", "N"),
]
BLOCK = re.compile(r"^<!-- \$\n?(.*?)-->$|^```console( live)?\n(.*?)^```$", re.DOTALL | re.MULTILINE)

# An agent of the page: `agent MODEL [STEPS]`, in the session it was given, or in one of its own.
AGENT = """#!{python}
import os, signal, sys, time
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # until it has said why
import bursar
model, steps = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0
if "BURSAR_SESSION" in os.environ:
    s = bursar.attach(os.environ)
else:
    s = bursar.open(os.environ["BURSAR_HOME"]).session(
        os.environ["AGENT_PATH"], agent=os.path.basename(sys.argv[0]), labels={{"customer": "globex"}})
rt = s.runtime
rt.price("frontier", input="$10/M", output="$50/M")
rt.price("small", input="$1/M", output="$5/M")
k = 0
while not steps or k < steps:
    try:
        with s.step(model, input=20_000, max_output_tokens=800) as step:
            time.sleep(0.05)  # the provider
            step.settle(input_tokens=20_000, output_tokens=800)
        k += 1
    except bursar.Paused:
        time.sleep(0.1)
    except bursar.BursarError as refusal:
        os.write(2, f"{{os.path.basename(sys.argv[0])}}: {{refusal}}\\n".encode())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        if "BURSAR_SESSION" in os.environ:
            time.sleep(30)  # until `bursar run` stops it
        sys.exit(1)
print(f"{{os.path.basename(sys.argv[0])}}: done")
"""

# Slack, as far as it is needed: prints the path and the body of what is posted.
SLACK = """#!{python}
import http.server, sys
class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with open("slack.txt", "a") as file: file.write(body + "\\n")
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Hook)
with open("slack.url", "w") as file: file.write(f"http://127.0.0.1:{{server.server_port}}/services/T0/B0/x")
server.serve_forever()
"""

PRELUDE = """
export TZ=UTC NO_COLOR=1 COLUMNS=110 TIMEFORMAT='%R s'
until_true() { local k; for k in $(seq 400); do eval "$1" >/dev/null 2>&1 && return; sleep 0.05; done; echo "never: $1"; }
"""


def month(rt):
    """What was spent in October and yesterday, by four teams; and the limits that hold since."""
    rt.price("frontier", input="$10/M", output="$50/M", cache_read="$1/M")
    rt.price("small", input="$1/M", output="$5/M")
    rt.tool_price("web_search", "$0.01")
    rt.budget("acme", "$10k", owner="ada", cost_center="cc-100")
    rt.budget("acme/support", owner="grace", cost_center="cc-200")
    rt.budget("acme/research", owner="linus", cost_center="cc-300")
    rt.budget("acme/platform", cost_center="cc-900")
    rt.budget("lab", "$1k")  # nobody's
    times = []
    yesterday = datetime.now(timezone.utc).date() - timedelta(days=1)
    for day, share in [("2026-10-06", 5), ("2026-10-20", 7), (str(yesterday), 1)]:

        def work(path, agent, model, steps, customer=None):
            with rt.session(path, agent=agent, labels={"customer": customer} if customer else None) as s:
                times.append(day)
                for _ in range(steps * share):
                    d = s.reserve(model, input_tokens=20_000, max_output_tokens=800)
                    s.settle(d, input_tokens=20_000, output_tokens=800)
                if agent == "reader":
                    with s.tool("web_search", {"q": "x"}):
                        pass

        work("acme/support/triage", "triage", "small", 40, "initech")
        work("acme/support/triage", "triage", "frontier", 12, "globex")
        work("acme/research", "reader", "frontier", 31)
        work("acme/platform", "indexer", "small", 25)
        work("lab", "tinkerer", "frontier", 4)
    return times


def company(home):
    import bursar

    with bursar.open(home, name="worker") as rt:
        times = month(rt)
        rt.query("SELECT 1")
    path = os.path.join(home, "ledger.db")
    with sqlite3.connect(path) as db:  # to their times
        sessions = [row[0] for row in db.execute("SELECT id FROM sessions ORDER BY opened_at, id")]
        start = {s: int(datetime.fromisoformat(f"{day}T10:00:00+00:00").timestamp()) * 10**9
                 for s, day in zip(sessions, times)}
        for n, (step, session) in enumerate(db.execute("SELECT id, session FROM steps ORDER BY id").fetchall()):
            db.execute("UPDATE steps SET id = ? WHERE id = ?", (start[session] + n * 10**6, step))
        db.execute("DELETE FROM events")
    with bursar.open(home, name="worker") as rt:  # anew, so that nothing of it is today's
        for budget in ["acme/support/triage", "acme/support", "acme/research", "acme/platform", "acme", "lab"]:
            rt.remove(budget)
        rt.budget("acme", "$10k/month alert 80%", owner="ada", cost_center="cc-100")
        rt.budget("acme/support", "$200/day alert 80%", owner="grace", cost_center="cc-200")
        rt.budget("acme/research", "$20/day", owner="linus", cost_center="cc-300")
        rt.budget("acme/platform", "$1/day alert 80%", cost_center="cc-900")
        rt.budget("lab", "$25/day")


class Shell:
    """One bash for the whole page, so that `&`, `wait` and variables go on."""

    def __init__(self, folder, env):
        self.bash = subprocess.Popen(
            ["bash", "--norc", "--noprofile"], cwd=folder, env=env, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        self.run(PRELUDE)

    def run(self, command):
        self.bash.stdin.write(f"{{\n{command}\n}} </dev/null\nprintf '\\n=-=%s\\n' $?\n")
        self.bash.stdin.flush()
        out = ""
        for line in self.bash.stdout:
            if line.startswith("=-="):
                return out[:-1] if out.endswith("\n\n") or out == "\n" else out
            out += line
        raise SystemExit(f"the shell ended in\n{command}\n{out}")

    def close(self):
        """Ends it with all that it started."""
        os.killpg(self.bash.pid, signal.SIGKILL)
        self.bash.wait()


def plain(text, rules):
    for pattern, word in rules:
        text = re.sub(pattern, word, text)
    return text.strip()


def commands(block):
    """The `$` lines of a block with what stands under each; `>` lines go on."""
    found = []
    for line in block.splitlines(keepends=True):
        if line.startswith("$ "):
            found.append([line[2:], ""])
        elif line.startswith("> ") and found and not found[-1][1]:
            found[-1][0] += line[2:]
        elif found:
            found[-1][1] += line
    return found


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.split("\n\n")[1].strip())
    command, library = map(os.path.abspath, sys.argv[1:])
    os.environ["BURSAR_LIBRARY"] = library
    sys.path.insert(0, os.path.join(ROOT, "bindings", "python", "src"))
    with open(PAGE) as file:
        page = file.read()
    folder = tempfile.mkdtemp(prefix="bursar-operations-")
    home = os.path.join(folder, "home")
    failed = count = 0
    shell = None
    try:
        company(home)
        os.mkdir(os.path.join(folder, "bin"))
        os.symlink(command, os.path.join(folder, "bin", "bursar"))
        for name, text in [("triage", AGENT), ("reader", AGENT), ("tinkerer", AGENT), ("indexer", AGENT), ("slack", SLACK)]:
            path = os.path.join(folder, name)
            with open(path, "w") as file:
                file.write(text.format(python=sys.executable))
            os.chmod(path, 0o755)
        env = {k: v for k, v in os.environ.items() if not k.startswith(("BURSAR_", "LC_", "LANG"))}
        env.update(BURSAR_HOME=home, BURSAR_LIBRARY=library, LD_LIBRARY_PATH=os.path.dirname(library), USER="ada",
                   PATH=os.path.join(folder, "bin") + os.pathsep + env["PATH"],
                   PYTHONPATH=os.path.join(ROOT, "bindings", "python", "src"), PYTHONDONTWRITEBYTECODE="1")
        shell = Shell(folder, env)

        def answer(match):
            nonlocal failed, count
            hidden, live, block = match.groups()
            if hidden is not None:
                said = shell.run(hidden)
                if said.strip():
                    failed += 1
                    print(f"unseen, and it said something:\n{hidden}{said}")
                return match.group(0)
            written = ""
            for line, shown in commands(block):
                count += 1
                said = shell.run(line).replace(folder, "/srv")
                rules = LIVE if live else RULES
                if plain(said, rules) != plain(shown, rules) and not os.environ.get("UPDATE"):
                    failed += 1
                    print(f"$ {line}printed\n{said}where the page shows\n{shown}")
                took = re.search(r"^(\d+\.\d+) s$", said, re.MULTILINE)
                if "kill --all" in line and (not took or float(took[1]) >= 10):
                    failed += 1
                    print(f"$ {line}took too long:\n{said}")
                written += "$ " + line.replace("\n", "\n> ", line.count("\n") - 1) + said
            return f"```console{live or ''}\n{written}```"

        new = BLOCK.sub(answer, page)
    finally:
        if shell:
            shell.close()
        try:
            with open(os.path.join(home, "home")) as file:
                os.unlink(re.search(r"^segment (.*)$", file.read(), re.MULTILINE)[1])
        except OSError:
            pass
        shutil.rmtree(folder)
    if os.environ.get("UPDATE"):
        with open(PAGE, "w") as file:
            file.write(new)
    print(f"operations: {failed} of {count} tests failed" if failed or not count
          else f"operations: {count} tests passed")
    return 1 if failed or not count else 0


if __name__ == "__main__":
    sys.exit(main())
