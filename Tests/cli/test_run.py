"""bursar run: exit codes, process trees that will not end, signals, the terminal."""

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import time
import unittest
from pathlib import Path

from homes import COMMAND, HomeCase, alive, end, until

# Writes its number to the file `pids`, and does not hear SIGTERM.
STUBBORN = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
def note():
    with open("pids", "a") as file: file.write(f"{os.getpid()}\\n")
"""

AGENT = """
import bursar
class Refused(Exception): pass
s = bursar.attach(os.environ)
def step(tokens=1000):
    d = s.reserve(model="gpt-4o", input_tokens=tokens, max_output_tokens=100)
    if not d: raise Refused
    s.settle(d, input_tokens=tokens, output_tokens=100)
"""


def contents(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


class RunCase(HomeCase):
    def run_(self, *args, **more):
        return self.bursar("run", "--path", "acme/ci", *args, **more)

    def pids(self):
        file = self.folder / "pids"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def wait_for_pids(self, count):
        until(lambda: len(self.pids()) >= count, what=f"{count} processes")
        return self.pids()

    def python(self, text):
        return ["--", self.env["PYTHON"], self.script("agent.py", text)]

    def sessions(self):
        return json.loads(self.bursar("session", "list", "--json", check=True).stdout)


class ExitCodes(RunCase):
    def test_are_the_commands_own(self):
        self.assertEqual(self.run_("--", "true").returncode, 0)
        self.assertEqual(self.run_("--", "sh", "-c", "exit 7").returncode, 7)
        self.assertEqual(self.run_("--", "sh", "-c", "kill -SEGV $$").returncode, 128 + signal.SIGSEGV)

    def test_say_that_it_cannot_be_executed(self):
        text = self.script("text", "")
        for command, code, words in (
            ("no-such-command", 127, "No such file"), ("/no/such", 127, "No such file"), ("", 127, "No such file"),
            ("/etc/passwd", 126, "Permission denied"), ("/", 126, "Permission denied")):  # fmt: skip
            result = self.run_("--", command)
            self.assertEqual(result.returncode, code, command)
            self.assertIn(words, result.stderr)
        os.chmod(text, 0o755)
        result = self.run_("--", text)
        self.assertEqual(result.returncode, 126)
        self.assertIn("no #! line", result.stderr)

    def test_say_that_run_itself_failed(self):
        for args in (["--limits", "5 bananas"], ["--home", "/no/such/home"], ["--label", "nothing"], ["--grace", "soon"],
                     ["--grace", "99999999w"]):  # fmt: skip
            result = self.run_(*args, "--", "true")
            self.assertEqual(result.returncode, 125, args)
            self.assertTrue(result.stderr.startswith("bursar: "), result.stderr)
        self.assertEqual(self.run_("--limits", "$5").returncode, 64)

    def test_say_that_time_was_up(self):
        result = self.run_("--limits", "1s wall", "--", "sleep", "60")
        self.assertEqual(result.returncode, 124)
        self.assertIn("stopped: its time is up (wall)", result.stderr)
        result = self.run_("--limits", "1s idle", "--", "sleep", "60")
        self.assertEqual(result.returncode, 124)
        self.assertIn("(idle)", result.stderr)

    def test_of_time_hold_where_the_command_ends_well_when_it_is_told(self):
        agent = self.python("signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\nwhile True: signal.pause()")
        self.assertEqual(self.run_("--limits", "1s wall", *agent).returncode, 124)

    def test_say_that_somebody_killed_it(self):
        for target in ("acme", "--all"):
            process = self.popen("run", "--path", "acme/ci", "--", "sleep", "60", stderr=subprocess.PIPE)
            until(self.sessions)
            self.bursar("kill", target, "--reason", "too loud", check=True)
            _, said = process.communicate(timeout=30)
            self.assertEqual(process.returncode, 122)
            self.assertIn("stopped: it was killed", said)
            self.bursar("revive", target, check=True)

    def test_say_that_a_limit_refused_it(self):
        agent = self.python(AGENT + "try:\n    while True: step()\nexcept Refused: time.sleep(60)")
        result = self.run_("--limits", "3 steps", *agent)
        self.assertEqual(result.returncode, 123, result.stderr)
        self.assertIn("in 3 steps", result.stderr)
        self.assertIn("stopped: a limit of `acme/ci` refused it", result.stderr)

    def test_say_so_too_where_the_command_gives_up_by_itself(self):
        result = self.run_("--limits", "3 steps", *self.python(AGENT + "while True: step()"))
        self.assertEqual(result.returncode, 123, result.stderr)

    def test_say_so_where_a_budget_was_used_up_before(self):
        self.bursar("budget", "declare", "acme/ci", "2 steps/day", check=True)
        agent = self.python(AGENT + "while True: step()")
        self.assertEqual([self.run_(*agent).returncode for _ in range(3)], [123] * 3)

    def test_are_the_commands_own_where_it_may_keep_going(self):
        agent = self.python(AGENT + "try:\n    while True: step()\nexcept Refused: time.sleep(0.5)")
        result = self.run_("--limits", "3 steps", "--keep-going", *agent)
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_are_the_commands_own_where_it_is_refused_and_ends_well(self):
        agent = self.python(AGENT + "try:\n    while True: step()\nexcept Refused: os._exit(0)")
        self.assertIn(self.run_("--limits", "3 steps", *agent).returncode, (0, 123))

    def test_say_that_it_was_paused_when_it_failed(self):
        agent = self.python(AGENT + "os.system(f'\"{sys.argv[1]}\" pause acme'); step()")
        result = self.run_(*agent, COMMAND)
        self.assertEqual(result.returncode, 122, result.stderr)
        self.assertIn("failed: its session is paused", result.stderr)


class Sessions(RunCase):
    def test_are_handed_over_and_closed(self):
        agent = self.python(AGENT + "step(); print(s.id, os.environ['BURSAR_HOME'])")
        result = self.run_("--user", "ada", "--agent", "critic", "--label", "feature=mail", *agent, check=True)
        self.assertTrue(result.stdout.strip().endswith(str(self.home)))
        self.assertIn("spent $0.0035 in 1 steps", result.stderr)
        self.assertEqual(self.sessions(), [])
        rows = self.query("SELECT workflow, agent, feature, steps FROM v_steps")
        self.assertEqual(rows, [("acme/ci", "critic", "mail", 1)])

    def query(self, sql):
        import sqlite3

        self.bursar("verify", check=True)
        with sqlite3.connect(f"file:{self.home}/ledger.db?mode=ro", uri=True) as ledger:
            return ledger.execute(sql).fetchall()

    def test_inside_another_are_below_it(self):
        inner = f"{COMMAND} run --limits '100 steps' -- $PYTHON agent.py"
        self.script("agent.py", AGENT + "while True: step()")
        result = self.run_("--limits", "3 steps", "--", "sh", "-c", f"{inner}; exit $?")
        self.assertEqual(result.returncode, 123, result.stderr)
        self.assertEqual(self.query("SELECT sum(steps) FROM v_steps"), [(3,)])

    def test_say_nothing_when_quiet(self):
        self.assertEqual(self.run_("--quiet", "--", "true").stderr, "")

    def test_warn_where_no_budget_is(self):
        self.assertIn("bursar budget declare lab", self.bursar("run", "--path", "lab", "--", "true").stderr)


class Trees(RunCase):
    """Each is told to end, ignores it, and is ended; nothing else is."""

    def stop(self, text, count, limits="", grace="1s"):
        self.addCleanup(self.end_survivors)
        with open(self.folder / "said", "w") as said:  # a pipe would wait for whoever survives
            process = self.popen("run", "--path", "acme/ci", "--grace", grace, *self.python(STUBBORN + text), stderr=said)
        self.wait_for_pids(count)
        began = time.monotonic()
        self.bursar("kill", "acme", check=True)
        process.wait(60)
        self.assertEqual(process.returncode, 122)
        pids = self.pids()
        self.assertEqual([pid for pid in pids if alive(pid)], [])
        return time.monotonic() - began

    def end_survivors(self):
        script = str(self.folder / "agent.py").encode()
        for _ in range(100):
            left = [int(p.parent.name) for p in Path("/proc").glob("[0-9]*/cmdline") if script in contents(p)]
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if not left:
                break

    def test_that_ignore_the_signal(self):
        self.stop("note()\nwhile True: time.sleep(1)", 1)

    def test_that_call_setsid(self):
        self.stop("if os.fork() == 0: os.setsid()\nnote()\nwhile True: time.sleep(1)", 2)

    def test_that_fork_twice_and_lose_their_parents(self):
        self.stop("""
for _ in range(5):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            note()
            while True: time.sleep(1)
        os._exit(0)
    os.wait()
note()
while True: time.sleep(1)""", 6)

    def test_of_two_hundred(self):
        self.stop("""
for _ in range(199):
    if os.fork() == 0: break
note()
while True: time.sleep(1)""", 200)

    def test_that_go_on_forking(self):
        self.stop("""
note()
if os.fork():
    while True: time.sleep(1)
while True:   # each forks the next, in a session of its own, and ends
    if os.fork():
        time.sleep(0.02)
        os._exit(0)
    os.setsid()
    note()""", 30)

    def test_that_fork_and_end_faster_than_anybody_looks(self):
        source = self.folder / "hop.c"
        source.write_text("""
            #include <signal.h>
            #include <time.h>
            #include <unistd.h>
            int main(void) {
                time_t end = time(NULL) + 4;
                signal(SIGTERM, SIG_IGN);
                if (fork()) _exit(3);
                while (time(NULL) < end && !fork()) {}
                _exit(0);
            }""")
        subprocess.run(["cc", "-o", self.folder / "hop", source], check=True)
        for _ in range(5):
            with open(self.folder / "said", "w") as said:
                process = self.popen("run", "--path", "acme/ci", "--grace", "0", "--", self.folder / "hop", stderr=said)
            self.assertEqual(process.wait(60), 3)
            for _ in range(20):
                names = [contents(path) for path in Path("/proc").glob("[0-9]*/cmdline")]
                self.assertFalse([name for name in names if str(self.folder).encode() in name])

    def test_that_are_suspended(self):
        self.stop("note()\nos.kill(os.getpid(), signal.SIGSTOP)\nwhile True: time.sleep(1)", 1)

    def test_that_hear_are_not_killed(self):
        self.stop("""
def leave(*_):
    open("left", "w").close()
    os._exit(0)
signal.signal(signal.SIGTERM, leave)
note()
while True: time.sleep(1)""", 1, grace="30s")
        self.assertTrue((self.folder / "left").exists())

    def test_that_a_command_leaves_behind_end_with_it(self):
        text = STUBBORN + "\nif os.fork() == 0:\n    os.setsid(); note(); os.closerange(0, 3)\n    while True: time.sleep(1)\n" \
            "while not os.path.exists('pids'): time.sleep(0.01)\nos._exit(5)"
        result = self.run_("--grace", "1s", *self.python(text))
        self.assertEqual(result.returncode, 5)
        self.assertFalse(alive(self.pids()[0]))
        (self.folder / "pids").unlink()
        self.assertEqual(self.run_("--leave", *self.python(text)).returncode, 5)
        self.assertTrue(alive(self.pids()[0]))
        os.kill(self.pids()[0], signal.SIGKILL)

    def test_of_others_are_left_alone(self):
        """A shell's background jobs become children of who it executes."""
        stranger = self.script("stranger.py", """
os.setsid()
if os.fork() == 0:
    for _ in range(20):   # generations of orphans, none of them ours
        time.sleep(0.05)
        if os.fork(): os._exit(0)
open("pids", "a").write(f"{os.getpid()}\\n")
time.sleep(60)""")
        result = subprocess.run(
            ["sh", "-c", f'"$PYTHON" {stranger} >stranger 2>&1 & exec "$@"', "sh", COMMAND, "run", "--path", "acme", "--limits",
             "2s wall", "--grace", "1s", "--", "sh", "-c", "trap '' TERM; setsid sleep 61 & while :; do sleep 1; done"],
            env=self.env, cwd=self.folder, capture_output=True, text=True, timeout=60)  # fmt: skip
        self.assertEqual(result.returncode, 124, result.stderr)
        pids = self.pids()
        for pid in pids:
            self.addCleanup(lambda pid=pid: alive(pid) and os.kill(pid, signal.SIGKILL))
        self.assertEqual(len(pids), 2)
        self.assertEqual([alive(pid) for pid in pids], [True, True])


class Children(RunCase):
    def test_get_the_callers_descriptors_and_no_others(self):
        read, write = os.pipe()
        text = "print(sorted(int(fd) for fd in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{fd}')))"
        result = self.run_(*self.python(text), pass_fds=[write], check=True)
        os.close(read)
        os.close(write)
        self.assertEqual(json.loads(result.stdout), [0, 1, 2, write])

    def test_get_the_callers_words(self):
        words = [b"plain", b"", b"--", b"a b", b"\xff\xfe.txt", b"\x1b[2J", b"$HOME"]
        program = "import os, sys; print([os.fsencode(word) for word in sys.argv[1:]])"
        command = [COMMAND, "run", "--path", "acme/ci", "--quiet", "--", self.env["PYTHON"], "-c", program, *words]
        done = subprocess.run(command, env=self.env, cwd=self.folder, capture_output=True)
        self.assertEqual(done.stdout.decode(), f"{words}\n", done.stderr)

    def test_get_the_callers_signals(self):
        text = """
for line in open('/proc/self/status'):
    if line[:6] in ('SigBlk', 'SigIgn'):
        print(line[:6], hex(int(line[8:], 16) & ~(3 << 31)))  # two are the C library's own
"""
        ours = subprocess.run(self.python(text)[1:], env=self.env, cwd=self.folder, capture_output=True, text=True).stdout
        self.assertEqual(self.run_(*self.python(text), check=True).stdout, ours)
        nohup = subprocess.run(
            ["nohup", COMMAND, "run", "--path", "acme", "-q", *self.python("os.kill(os.getpid(), signal.SIGHUP)")],
            env=self.env, cwd=self.folder, capture_output=True)  # fmt: skip
        self.assertEqual(nohup.returncode, 0)

    def test_get_signals_that_run_gets(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
            text = "def got(n, _): sys.exit(n)\nsignal.signal(int(sys.argv[1]), got)\nprint('ready', flush=True)\nsignal.pause()"
            process = self.popen(
                "run", "--path", "acme/ci", "-q", *self.python(text), int(number), stdout=subprocess.PIPE)
            process.stdout.readline()
            process.send_signal(number)
            self.assertEqual(process.wait(30), number)
            process.stdout.close()

    def test_end_when_run_is_killed(self):
        process = self.popen("run", "--path", "acme", *self.python("open('pids', 'a').write(f'{os.getpid()}\\n')\ntime.sleep(60)"))
        pid = self.wait_for_pids(1)[0]
        process.kill()
        until(lambda: not alive(pid))

    def test_leave_no_zombies(self):
        text = """
for _ in range(50):
    if os.fork() == 0:
        if os.fork() == 0: time.sleep(0.05)
        os._exit(0)
    os.wait()
time.sleep(0.5)
run = os.getppid()
zombies = 0
for process in filter(str.isdigit, os.listdir('/proc')):
    try:
        state, parent = open(f'/proc/{process}/stat').read().rsplit(')', 1)[1].split()[:2]
    except OSError:
        continue  # another's, that ended meanwhile
    zombies += state == 'Z' and int(parent) == run
print(zombies)"""
        self.assertEqual(self.run_(*self.python(text), check=True).stdout.strip(), "0")


class Terminal(RunCase):
    def start(self, *args):
        """The command on a terminal of its own, as the foreground group."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.folder)
            os.execvpe(args[0], [str(a) for a in args], self.env)
        self.addCleanup(os.close, terminal)
        return pid, terminal

    def read_until(self, terminal, word):
        text = b""
        while word not in text:
            if not select.select([terminal], [], [], 20)[0]:
                self.fail(f"{word!r} is not in {text!r}")
            try:
                data = os.read(terminal, 4096)
            except OSError:
                break
            text += data
        self.assertIn(word, text)
        return text

    def test_interrupts_once(self):
        text = """
count = 0
def got(*_):
    global count
    count += 1
signal.signal(signal.SIGINT, got)
print('ready', os.tcgetpgrp(0) == os.getpgrp(), flush=True)
while count == 0: signal.pause()
time.sleep(0.5)
sys.exit(40 + count)"""
        pid, terminal = self.start(COMMAND, "run", "--path", "acme", *self.python(text))
        self.read_until(terminal, b"ready True")
        os.write(terminal, b"\x03")
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 41)

    def test_interrupts_what_does_not_care(self):
        pid, terminal = self.start(COMMAND, "run", "--path", "acme", *self.python(
            "signal.signal(signal.SIGINT, signal.SIG_DFL)\nprint('ready', flush=True)\ntime.sleep(60)"))  # fmt: skip
        self.read_until(terminal, b"ready")
        os.write(terminal, b"\x03")
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 130)

    def test_suspends_and_goes_on_under_a_shell(self):
        agent = self.script("agent.py", "print('ready', flush=True)\nprint('got', input(), flush=True)")
        pid, terminal = self.start("bash", "--norc", "-im")
        os.write(terminal, f"PS1='the'' shell>'; {COMMAND} run -q --path acme -- $PYTHON {agent}\n".encode())
        self.read_until(terminal, b"ready\r\n")
        os.write(terminal, b"\x1a")
        self.read_until(terminal, b"the shell>")
        os.write(terminal, b"fg\n")
        self.read_until(terminal, b"run")
        os.write(terminal, b"hello\n")
        self.read_until(terminal, b"got hello")
        os.write(terminal, b"exit 3\n")
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 3)


if __name__ == "__main__":
    unittest.main()
