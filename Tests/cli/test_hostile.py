"""What agents, users and files write is made harmless, in every form of every command: a terminal gets
no control characters, JSON and CSV say the same, and it is what was written."""

import csv
import io
import json
import re
import subprocess
import sys
import unittest

import commands
from homes import COMMAND
from terminal import Terminal
from test_every import UNSAFE, EveryCase

# What the library takes of it, and what it refuses, is its own matter.
ANY = [
    "esc\x1b[2J\x1b]0;title\x07", "line\nbreak\r\n", "nul-free\x7f\x9b31m", "=cmd|' /C calc'!A1", "+1+1", "-1+1", "@SUM(A1)",
    "\t=1+1", "\r=1+1", "\n=1+1", "'=1+1", "''@x", "\uff1d1+1", 'quote"quote""', "comma,semi;colon", "\u202eevil\u2066\u200f\u061c",
    "\u2028\u2029\ufeff\u2060", "'", "' tis", "-5", "", " ", "<@U1> & </script>", "\\u001b \\n", "%s%n", "$(id)`id`",
]  # fmt: skip

SHOP = """
import bursar, json
rt = bursar.open(os.environ["BURSAR_HOME"], name="n\\x1b[1m\\u202e")
def take(what, function, *args, **more):
    try: return function(*args, **more)
    except bursar.BursarError as error: refused.append((what, str(error)))
refused, sessions = [], []
for k, text in enumerate(json.loads(sys.argv[1])):
    name = "acme/h%d" % k
    take(("owner", text), rt.budget, name, "$20 alert 10%", owner=text)
    take(("cost_center", text), rt.budget, name, "$20 alert 10%", owner="o", cost_center=text)
    take(("purpose", text), rt.budget, name, "$20 alert 10%", owner="o", purpose=text)
    take(("path", text), rt.budget, "acme/" + text.replace("/", "|")[:60], "$5", owner=text)
    s = take(("agent", text), rt.session, name, agent=text) or rt.session(name, agent="a%d" % k)
    sessions.append(s)
    l = take(("label", text), rt.session, name, "$10", agent="l", labels={"customer": text, "feature": text}) 
    take(("key", text), rt.session, name, labels={text: "x"})
    take(("ladder", text), rt.session, name, ladder=[text])
    if l: sessions.append(l)
    s.charge("$5")
    take(("tool", text), lambda: s.tool(text, {}).__enter__())
    take(("model", text), lambda: s.reserve(text, input_tokens=1, max_output_tokens=1))
    take(("outcome", text), s.outcome, text, "$1", id=text, reason=text, by=text)
    take(("outcome", text), s.outcome, "won", "$1", id="w" + text, reason=text, by=text)
    take(("reason", text), rt.kill, name, reason=text)
    take(("reason", text), rt.revive, name, reason=text)
    take(("reason", text), rt.pause, s, reason=text)
rt.query("SELECT 1")
for s in sessions: s.environ()
json.dump(refused, open("refused.json", "w"))
print("ready", sessions[0].id, flush=True)
os._exit(0)
"""


def plain(cell):
    """What CSV has of a value of JSON."""
    return {True: "true", False: "false", None: ""}[cell] if cell is None or isinstance(cell, bool) else str(cell)


def unescaped(field):
    """A field of CSV without the apostrophe that keeps spreadsheets from computing it."""
    return field[1:] if re.match("'+[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]", field) else field


class Hostile(EveryCase):
    """Its home is made once, for all tests."""

    shared = None

    def setUp(self):
        if self.shared:
            self.__dict__.update(self.shared)
            return
        self.addCleanup = self.addClassCleanup
        super().setUp()
        self.make()
        type(self).shared = {k: getattr(self, k) for k in ("folder", "home", "env", "good", "wrong", "session")}

    def make(self):
        texts = json.dumps(ANY + ["L" * 65_536, "\u0301" * 300, "\U0001f4a3"])
        script = self.script("hostile.py", SHOP)
        done = subprocess.run([sys.executable, script, texts], env=self.env, cwd=self.folder, capture_output=True, text=True)
        self.assertIn("ready", done.stdout, done.stderr)
        self.session = done.stdout.split()[1]

    def rows(self, args):
        """The rows that a command gives in CSV and JSON, after their bytes were looked at."""
        table, as_json, as_csv = (self.raw(*args, *form) for form in ((), ("--json",), ("--csv",)))
        self.assertFalse(UNSAFE.search(table), (args, UNSAFE.search(table)))
        self.assertFalse(UNSAFE.search(as_json), (args, UNSAFE.search(as_json)))
        found = json.loads(as_json)
        found = found if isinstance(found, list) else [found]
        lines = list(csv.reader(io.StringIO(as_csv, newline="")))
        for line in lines:
            for field in line:
                self.assertFalse(re.match("[=@\t\r\n\uff1d\uff20]|[+-](?![0-9.]+$)", field), (args, field))
        return found, [dict(zip(lines[0], map(unescaped, line))) for line in lines[1:]]

    def raw(self, *args):
        done = subprocess.run([COMMAND, *args], env=self.env, cwd=self.folder, capture_output=True, timeout=60)
        self.assertIn(done.returncode, (0, 1), (args, done.stderr))
        return done.stdout.decode()

    def test_texts_are_harmless_and_the_same_in_every_form(self):
        everything = ""
        by = ",".join(["team", "agent", "owner", "cost_center", "customer", "feature", "label:customer", "model", "tool"])
        more = {
            "report": [["--by", by], ["--by", "workflow", "--per", "outcome"]],
            "query": [["SELECT * FROM " + view] for view in ("v_outcomes", "v_revisions", "v_events", "v_sessions", "labels", "v_budgets")],
            "events": [["--since", "1h"]], "status": [["--sessions"]], "session list": [["--sort", "path"]],
            "outcome list": [["--revisions"], []],
        }  # fmt: skip
        for command in commands.every():
            for words in [*command.works, *more.get(command.name, [])]:
                if len(command.forms) < 3 or command.name == "outcome import":
                    continue
                args = [*command.words, *commands.filled(words, {**self.good, "session": self.session})]
                found, lines = self.rows(args)
                self.assertEqual(len(found), len(lines), args)
                for row, line in zip(found, lines):
                    row.pop("limits", None) if command.name.endswith("show") else None
                    for name in row.keys() & line.keys():
                        # Time goes on, and when it opened is reckoned by each process from its own clocks.
                        if name not in ("age_ns", "found", "opened_at"):
                            self.assertEqual(plain(row[name]), line[name], (args, name))
                everything += json.dumps(found, ensure_ascii=False)
        # What the library took comes back as it was given.
        refused = {tuple(what) for what, _ in json.loads((self.folder / "refused.json").read_text())}
        for kind in ("owner", "label", "agent", "outcome"):
            taken = [text for text in ANY if text and (kind, text) not in refused]
            self.assertGreater(len(taken), 8, kind)
            for text in taken:
                self.assertIn(json.dumps(text, ensure_ascii=False)[1:-1], everything, (kind, text))

    def test_focus(self):
        as_csv, as_json = (self.raw("export", *form) for form in ((), ("--json",)))
        self.assertFalse(UNSAFE.search(as_json))
        lines = list(csv.DictReader(io.StringIO(as_csv, newline="")))
        self.assertEqual(len(lines), len(json.loads(as_json)))
        for line, row in zip(lines, json.loads(as_json)):
            for name, text in row.items():
                if not isinstance(text, (int, float)):
                    self.assertEqual(text or "", unescaped(line[name]), name)
            json.loads(unescaped(line["Tags"]) or "{}")

    def test_top(self):
        for columns, rows in ((100, 40), (200, 200)):
            once = subprocess.run([COMMAND, "top", "--once"], env={**self.env, "COLUMNS": str(columns)}, capture_output=True)
            self.assertFalse(UNSAFE.search(once.stdout.decode()))
            terminal = Terminal([COMMAND, "top", "--interval", "3600"], self.env, self.folder, columns, rows)
            self.addCleanup(terminal.close)
            text = terminal.shows("q quit")
            self.assertNotIn("title", text.split("\n")[0])
            self.assertFalse(re.search("[\u202a-\u202e\u2066-\u2069]", text))
            for key, shown in (("k", "y/n"), ("n", "nothing"), ("\t", "q quit")) * 2 + (("+", "top up"), ("\x1b", "q quit")):
                terminal.type(key)
                terminal.shows(shown)
            terminal.type("q")
            self.assertEqual(terminal.end(), 0)

    def test_watch(self):
        told = self.raw("watch", "--once", "--since", "1h", "--type", "kill,threshold,pause,outcome,home")
        self.assertFalse(UNSAFE.search(told))
        alerts = [json.loads(line) for line in told.splitlines()]
        self.assertGreater(len(alerts), 30)
        command = 'cat >> got.json; printf "%s\\0" "$BURSAR_PATH" "$BURSAR_SUMMARY" "$BURSAR_EVENT" >> got; env -0 >> env'
        self.raw("watch", "--once", "--since", "1h", "--type", "kill,pause", "--exec", command)
        words = (self.folder / "got").read_bytes().decode().split("\0")[:-1]
        told = [json.loads(line) for line in (self.folder / "got.json").read_text().splitlines()]
        self.assertEqual(words[::3], [alert["path"] for alert in told])
        self.assertFalse(UNSAFE.search("".join(words[1::3])))
        self.assertEqual(len(words) // 3, len(told))

    def test_run(self):
        for option, texts in {"--agent": ANY, "--user": ANY, "--path": ANY, "--label": ANY[::3], "--limits": ANY[:3],
                              "--grace": ANY[:3]}.items():  # fmt: skip
            for text in texts:
                value = ("k=" if option == "--label" else "") + text
                done = self.bursar("run", "--path", "acme", option, value, "--", "true")
                self.assertIn(done.returncode, (0, 125, 64), (option, text, done.stderr))
                self.assertFalse(UNSAFE.search(done.stderr + done.stdout), (option, text, done.stderr))
        agent = self.script("kill.py", "import subprocess\n"
                            "subprocess.run([sys.argv[1], 'kill', str(int(os.environ['BURSAR_SESSION'], 16)), '--reason', 'a\\x1b[2Jb'])\n"
                            "time.sleep(30)\n")  # fmt: skip
        done = self.bursar("run", "--path", "acme", "--", sys.executable, agent, COMMAND)
        self.assertEqual(done.returncode, 122, done.stderr)
        self.assertFalse(UNSAFE.search(done.stderr), done.stderr)

    def test_words_of_the_command_line(self):
        """Every word of every command replaced by each text, and by bytes that are no UTF-8."""
        bad = [b"\xff\xfe\xc3", b"\x1b[2J\x07", "\u202e\u2066".encode(), b"=1+1", b"x" * 65_536, b"a\nb"]
        for command in commands.every():
            if command.name == "home create":
                continue
            words = [*command.words, *commands.filled(command.works[0], self.good)]
            for at in range(len(words)):
                text = bad[at % len(bad)]
                args = [*words[:at], text, *words[at + 1 :]]
                if command.name in ("watch", "run", "top") and words[at] in ("--once", "--"):
                    continue  # the word that lets it end
                done = subprocess.run([COMMAND, *args], env=self.env, cwd=self.folder, capture_output=True, timeout=60)
                shown = (b"" if command.name == "export" else done.stdout).decode() + done.stderr.decode()
                self.assertFalse(UNSAFE.search(shown), (args, shown))
                self.assertLess(len(shown), 40_000, args)
                self.assertGreaterEqual(done.returncode, 0, args)


if __name__ == "__main__":
    unittest.main()
