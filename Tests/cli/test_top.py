"""bursar top, through a pseudo-terminal: its screens, its keys, and what it leaves behind."""

import json
import os
import re
import signal
import subprocess
import unittest

from homes import COMMAND, HomeCase, end, until
from terminal import Terminal

COMPANY = """
import bursar
rt = bursar.open(os.environ["BURSAR_HOME"])
rt.budget("acme/support", "$20/day", owner="grace")
rt.budget("acme/research", "$4")
held = []
for path, agent, dollars in (
        ("acme/support/triage", "triage", "1.25"), ("acme/research", "reader", "3.5"),
        ("acme/support/triage", "evil \\u202e", "0.0625"), ("acme/support/mail", "writer", "0.5")):
    s = rt.session(path, "$10", agent=agent, ladder=["gpt-4o", "gpt-4o-mini"], labels={"customer": agent[:4]})
    s.charge("$" + dollars)
    held.append(s)
rt.query("SELECT 1")
print("ready", flush=True)
sys.stdin.read()
"""


class TopCase(HomeCase):
    def setUp(self):
        super().setUp()
        company = subprocess.Popen(
            [self.env["PYTHON"], self.script("company.py", COMPANY)], env=self.env, cwd=self.folder,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # fmt: skip
        self.addCleanup(end, company)
        self.assertEqual(company.stdout.readline(), "ready\n")

    def top(self, *args, columns=100, rows=20, color=False):
        env = dict(self.env)
        if color:
            del env["NO_COLOR"]
        terminal = Terminal([COMMAND, "top", *args], env, self.folder, columns, rows)
        self.addCleanup(terminal.close)
        terminal.modes_before = terminal.modes
        terminal.shows("bursar top")
        return terminal

    def steady(self, text):
        """Without what differs from run to run."""
        text = re.sub(r"\d\d:\d\d:\d\d", "HH:MM:SS", text)
        text = re.sub(r"\b\d{10,}\b", lambda m: "ID".ljust(len(m[0]), "0"), text)
        text = re.sub(r" +(\d+m)?\d+s\b", lambda m: "AGE".rjust(len(m[0])), text)
        return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"

    def state(self, path):
        rows = json.loads(self.bursar("status", "--json", check=True).stdout)
        return next(row["state"] for row in rows if row["path"] == path)

    def assertLeft(self, terminal):
        """The terminal is as it was found."""
        self.assertFalse(terminal.screen.alternate)
        self.assertTrue(terminal.screen.cursor_shown)


class Screens(TopCase):
    def test_are_as_they_were(self):
        for columns, rows in ((100, 20), (60, 12), (132, 9)):
            terminal = self.top("--interval", "3600", columns=columns, rows=rows)
            terminal.shows("bursar top", "BUDGET", "q quit"[: columns - 2])
            self.golden(f"top-{columns}x{rows}.txt", self.steady(terminal.screen.text))
            terminal.type("q")
            self.assertEqual(terminal.end(), 0)

    def test_once_is_text(self):
        result = self.bursar("top", "--once", "--sort", "path", check=True)
        self.assertNotIn("\x1b", result.stdout)
        self.golden("top-once.txt", self.steady(result.stdout))
        self.assertEqual(self.bursar("top").returncode, 64)
        self.assertEqual(self.bursar("top", "--once", "--sort", "luck").returncode, 64)

    def test_of_an_empty_home(self):
        self.bursar("home", "create", "--home", self.folder / "empty", check=True)
        result = self.bursar("top", "--once", "--home", self.folder / "empty", check=True)
        self.assertIn("0 sessions  0 budgets", result.stdout)
        for line in (self.folder / "empty/home").read_text().splitlines():
            if line.startswith("segment "):
                os.unlink(line.split(" ", 1)[1])

    def test_fit_any_size(self):
        terminal = self.top()
        for columns, rows in ((80, 24), (20, 5), (8, 3), (3, 1), (200, 60), (1, 1), (100, 20)):
            terminal.resize(columns, rows)
            terminal.until(lambda text: text.strip())
        terminal.shows("bursar top", "acme", "q quit")
        terminal.type("q")
        self.assertEqual(terminal.end(), 0)

    def test_have_colours_unless_told_otherwise(self):
        self.bursar("kill", "acme/research", check=True)
        terminal = self.top("--interval", "3600", color=True)
        terminal.shows("q quit")
        self.assertTrue(any("killed" in line for line in terminal.screen.styled("31")))
        terminal.type("q")
        terminal.end()
        terminal = self.top("--interval", "3600")
        terminal.shows("q quit")
        self.assertEqual(terminal.screen.styled("31"), [])


class Keys(TopCase):
    def test_choose_and_sort_and_filter(self):
        terminal = self.top(columns=140)

        def chosen():
            lines = [line for line in terminal.screen.styled("7") if "STATE" not in line]
            return lines[0] if lines else ""

        terminal.until(lambda _: chosen().startswith("acme "))
        terminal.type("\x1b[B")
        terminal.until(lambda _: chosen().startswith("  research"))
        terminal.type("\x1b[A")
        terminal.until(lambda _: chosen().startswith("acme "))
        terminal.type("\t")
        terminal.until(lambda _: "reader" in chosen())
        terminal.type("s")
        terminal.shows("SESSION by burn")
        terminal.type("/mail\r")
        text = terminal.until(lambda text: "/mail" in text and "research" not in text)
        self.assertIn("acme/support/mail · writer", text)
        terminal.type("/\x15\r")
        terminal.shows("research")

    def test_stop_what_is_chosen_after_a_question(self):
        terminal = self.top("--filter", "research")
        terminal.shows("research")
        for key, question, state in (("k", "kill acme/research and all below it?", "killed"), ("v", "revive", "open"),
                                     ("p", "pause", "paused"), ("r", "resume", "open")):  # fmt: skip
            before = self.state("acme/research")
            terminal.type(key)
            terminal.shows(question, "y/n")
            terminal.type("n")
            terminal.shows("nothing was done")
            self.assertEqual(self.state("acme/research"), before)
            terminal.type(key)
            terminal.shows(question)
            terminal.type("y")
            terminal.shows("done")
            self.assertEqual(self.state("acme/research"), state)

    def test_answer_no_question_that_nobody_read(self):
        terminal = self.top("--filter", "research")
        terminal.shows("research")
        terminal.type("sky")
        terminal.shows("kill acme/research", "y/n")
        terminal.type("n")
        terminal.shows("nothing was done")
        self.assertEqual(self.state("acme/research"), "open")
        terminal.type("+$6\ry")
        terminal.shows("top up acme/research by $6?")
        for rows in (3, 2, 1):
            terminal.resize(60, rows)
            terminal.until(lambda text: "$6?" in text and "y/n" in text)

    def test_stay_where_they_were_when_what_was_chosen_ends(self):
        ids = [row["id"] for row in json.loads(self.bursar("session", "list", "--json", check=True).stdout)]
        terminal = self.top("--sort", "path", columns=140)

        def chosen():
            lines = [line for line in terminal.screen.styled("7") if "STATE" not in line]
            return lines[0] if lines else ""

        terminal.type("\t")
        terminal.until(lambda _: "reader" in chosen())
        terminal.type("\x1b[B")
        terminal.until(lambda _: "writer" in chosen())
        writer = chosen().split()[0]
        self.assertIn(int(writer), ids)
        self.bursar("session", "close", writer, check=True)
        terminal.until(lambda text: "writer" not in text and "triage" in chosen())

    def test_top_up(self):
        terminal = self.top("--filter", "research")
        terminal.shows("research", "$0.5000")
        terminal.type("+")
        terminal.shows("top up acme/research by")
        terminal.type("bananas\r")
        terminal.until(lambda text: "y/n" not in text and "banan" in text)
        terminal.type("+")
        terminal.shows("top up acme/research by")
        terminal.type("$6\r")
        terminal.shows("top up acme/research by $6?")
        terminal.type("y")
        terminal.shows("$6.50")

    def test_show_what_happens_meanwhile(self):
        terminal = self.top()
        terminal.shows("acme")
        self.bursar("budget", "declare", "newcomer", "$7", check=True)
        terminal.shows("newcomer", "$7.00")


class Ends(TopCase):
    def test_leave_the_terminal_as_it_was(self):
        for how, code in (("q", 0), ("\x03", 0), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130),
                          (signal.SIGSEGV, -11), (signal.SIGABRT, -6)):  # fmt: skip
            terminal = self.top()
            terminal.shows("q quit")
            self.assertTrue(terminal.screen.alternate)
            if isinstance(how, str):
                terminal.type(how)
            else:
                os.kill(terminal.pid, how)
            self.assertEqual(terminal.end(), code, how)
            self.assertLeft(terminal)

    def test_and_suspends(self):
        agent = Terminal(["bash", "--norc", "-im"], {**self.env, "PS1": "$ "}, self.folder, 100, 20)
        self.addCleanup(agent.close)
        agent.type(f"{COMMAND} top\n")
        agent.shows("bursar top", "q quit")
        agent.type("\x1a")
        # The shell takes the terminal back, and with it what was typed before.
        agent.until(lambda text: re.search(r"Stopped.*\n\$", text) is not None)
        agent.type("stty -a | tr ' ' '\\n' | grep icanon\n")
        agent.until(lambda text: re.search(r"^icanon", text, re.M) is not None)
        agent.type("fg\n")
        agent.until(lambda _: agent.screen.alternate)
        agent.shows("q quit")
        agent.type("q")
        agent.until(lambda _: not agent.screen.alternate)


if __name__ == "__main__":
    unittest.main()
