"""Every command that there is: its help, what it prints, and what it says when something is wrong.
UPDATE=1 writes the golden files anew."""

import os
import pty
import re
import signal
import sqlite3
import subprocess
import tempfile
import termios
import threading
import unittest
from pathlib import Path

import commands
from homes import COMMAND, HomeCase

# What differs from run to run, and what stands for it.
STEADY = [
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?", "TIME"),
    (r"\d{4}-\d\d-\d\d", "DAY"),
    (r"\b\d\d:\d\d:\d\d\b", "CLOCK"),
    (r'("age_ns": |,open,\d+,\d*,\d+,)\d+', r"\1AGE"),
    (r" +((\d+m )?\d+(\.\d)?m?s|AGE)\b", " AGE"),
    (r"\b[0-9a-f]{32}(-[0-9a-f]+)?\b", "HEX"),
    (r"\d+ \((bursar|shop)\)", r"PID (\1)"),
    (r"\buid \d+ pid \d+", "uid U pid P"),
]

# The built-in prices grow old: a table is as wide as their age, and after a month more is said of it.
AGE = [(r"  +", "  "), (r"\b\d+ days old", "N days old")]
MONTH = 30  # days
OLD = [
    (r"(?m)^.*\bprices\b.*N days old.*$", "PRICES"),
    (r"(?m)^(built-in prices: .*|All is well\.)$", "All is well, but for prices."),
    (r"score\b(\D*)\d+", r"score\1N"),
    (r"\nexit 1\n", "\n"),
]

# What moves a terminal's cursor, or the direction of its text.
UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def but_for_age(text):
    """Every command's words, where they say how old the prices are."""
    blocks = text.split("\n$ ")
    for k, block in enumerate(blocks):
        for pattern, name in OLD if "days old" in block else []:
            block = re.sub(pattern, name, block)
        blocks[k] = block
    return "\n$ ".join(blocks)


class EveryCase(HomeCase):
    """A shop's home, made once: a test that changes it has a copy of its own made by `fresh`."""

    days = 0  # that the built-in prices are old, where a command said it

    def setUp(self):
        super().setUp()
        self.remove_segment()
        self.folder = Path(tempfile.mkdtemp(prefix="bursar-every-", dir=self.folder))
        self.home = self.folder / "home"
        self.env.update(BURSAR_HOME=str(self.home), USER="worker")
        self.good = commands.shop(self.folder, self.env["PYTHON"], self.env)
        self.addCleanup(self.remove_segments)
        self.wrong = []

    def remove_segments(self):
        """Of every home in the folder."""
        for file in self.folder.rglob("home"):
            for segment in re.findall("^s.gment (.*)", file.read_text() if file.is_file() else "", re.M):
                Path(segment).unlink(missing_ok=True)

    def tearDown(self):
        self.assertFalse(self.wrong, "\n\n".join(["", *self.wrong]))

    def said(self, args, result, codes):
        """What an error said, in a line; and everything that is so of every error."""
        lines = result.stderr.splitlines() or [""]
        wrong = []
        if result.stdout:
            wrong.append(f"printed {result.stdout[:80]!r}")
        if result.returncode not in codes:
            wrong.append(f"ended with {result.returncode}, not {codes}")
        if not re.match(r"(bursar( watch| run)?|Error|\S+\.json): \S.{14,900}$", lines[0]):
            wrong.append("is no sentence")
        if UNSAFE.search(result.stderr):
            wrong.append("has control characters")
        if not all(re.match(r"Usage: |  See |Help:  ", line) for line in lines[1:]):
            wrong.append("goes on")
        if wrong:
            self.wrong.append(f"$ bursar {commands.shown(args)}\n{result.stderr}{'; '.join(wrong)}")
        return lines[0]

    def steady(self, text):
        if str(self.folder) in text:  # a table's columns are as wide as that
            text = re.sub("  +", "  ", text)
        text = text.replace(str(self.folder), "FOLDER")
        for place, name in (("session", "SESSION"), ("done", "DONE")):
            text = re.sub(rf"\b{self.good[place]}\b", name, text)
        age = re.search(r"\b(\d+) days old", text)
        self.days = int(age[1]) if age else self.days
        for pattern, name in STEADY + (AGE if age else []):
            text = re.sub(pattern, name, text)
        return re.sub(r" +(?=\n)", "", text)

    def golden(self, name, text):
        super().golden(name, text, but_for_age if self.days > MONTH else str)

    def transcript(self, args, result):
        text = f"$ bursar {commands.shown(args)}\n{result.stdout}"
        text += "".join(f"! {line}\n" for line in result.stderr.splitlines())
        return text + (f"exit {result.returncode}\n" if result.returncode else "") + "\n"


class Help(unittest.TestCase):
    maxDiff = None
    golden = HomeCase.golden

    def test_of_every_command_is_as_it_was(self):
        text = ""
        env = {k: v for k, v in os.environ.items() if k != "COLUMNS"}
        for words, _ in commands.tree():
            done = subprocess.run([COMMAND, *words, "--help"], env=env, capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stderr), (0, ""), words)
            text += f"$ bursar {' '.join([*words, '--help'])}\n{done.stdout}\n"
        self.golden("help.txt", text)

    def test_every_command_is_in_these_tests(self):
        for command in commands.every():
            self.assertTrue(command.works, f"bursar {command.name} has no line in commands.py")


class Output(EveryCase):
    def test_of_every_command_is_as_it_was(self):
        text = ""
        for command in commands.every():
            for words in command.works:
                for form in command.forms:
                    args = [*command.words, *commands.filled(words, self.good)]
                    at = args.index("--") if "--" in args else len(args)
                    args[at:at] = [form] if form else []
                    text += self.steady(self.transcript(args, self.bursar(*args)))
        self.golden("every-output.txt", text)

    def test_of_an_empty_home_says_so(self):
        """Whatever can be asked without naming something."""
        self.bursar("home", "create", "--home", "bare", check=True)
        asked = {"file", "time", "sort", "dimensions", "focus", "period", "money", "spread", "sql", "types", "count", "model"}
        text = ""
        for command in commands.every():
            if not command.has_home or command.words[0] in ("home", "outcome", "run") and command.name != "outcome list":
                continue
            for words in command.works:
                if set(commands.placeholders(words)) <= asked and (words or command.words[0] != "prices"):
                    for form in command.forms[:2]:
                        args = [*command.words, *commands.filled(words, self.good), "--home", "bare", *[form][: bool(form)]]
                        text += self.steady(self.transcript(args, self.bursar(*args)))
        self.golden("every-empty.txt", text)


class Mistakes(EveryCase):
    def test_of_what_is_typed_get_a_sentence(self):
        text = ""
        for command in commands.every():
            seen = set()
            for words in command.works:
                for at, kind in enumerate(commands.placeholders(words)):
                    for bad, code in commands.BAD[kind]:
                        args = [*command.words, *commands.filled(words, self.good, at, bad)]
                        before = args[: args.index(bad)] if bad in args else args
                        option = before[-1] if before and str(before[-1]).startswith("--") else str(at)
                        if (option, bad) in seen:
                            continue
                        seen.add((option, bad))
                        result = self.bursar(*args)
                        if command.name in ("prices show", "outcome import"):  # they show the rest all the same
                            result.stdout, result.stderr = "", result.stderr.splitlines()[0]
                        first = self.said(args, result, [code, 64] if command.name != "run" else [125, 64])
                        text += f"$ bursar {commands.shown(args)}\n{first}\nexit {result.returncode}\n\n"
        for place, name in (("session", "SESSION"), ("done", "DONE"), ("folder", "FOLDER")):
            text = text.replace({**self.good, "folder": str(self.folder)}[place], name)
        self.golden("every-mistake.txt", text)
        self.bursar("verify", check=True)


class Homes(EveryCase):
    """What is said of a home that is none, or cannot be used: the same by every command."""

    def strange(self):
        """Places that are no home: (what, where)."""
        there = self.folder / "strange"
        there.mkdir(mode=0o755)
        (there / "empty").mkdir()
        (there / "text").write_text("to do: nothing\n")
        (there / "others").mkdir()
        (there / "others/home").write_text("sweet home\n")
        sqlite3.connect(there / "foreign.db").execute("CREATE TABLE t (a)").connection.close()
        for name, change in (("future", ("bursar-home 1", "bursar-home 2")), ("damaged", ("segment ", "sagment "))):
            self.bursar("home", "create", "--home", there / name, check=True)
            text = (there / name / "home").read_text()
            (there / name / "home").write_text(text.replace(*change))
        self.bursar("home", "create", "--home", there / "ledger", check=True)
        (there / "ledger/ledger.db").write_bytes((there / "foreign.db").read_bytes())
        os.symlink("loop", there / "loop")
        return [("missing", there / "missing"), ("missing", there / "text/below"), *sorted((p.name, p) for p in there.iterdir())]

    def test_that_are_none(self):
        text = ""
        for what, place in self.strange():
            said = {}
            for command in commands.every():
                args = [*command.words, *commands.filled(command.works[-1], self.good), "--home", str(place)]
                if not command.has_home or command.name == "home create" or what == "ledger":
                    continue
                if "--" in args:
                    args = args[: args.index("--")] + ["--home", str(place), "--", "true"]
                result = self.bursar(*args)
                self.said(args, result, [125] if command.name == "run" else [66, 69])
                said.setdefault(result.stderr, []).append(command.name)
            for sentence, names in said.items():
                text += f"{place.name} ({len(names)} commands)\n{sentence.replace(str(self.folder), 'FOLDER')}\n"
        self.golden("every-home.txt", text)

    def each(self, env=None, **more):
        """Every command with a home, in each of its ways: (command, args, result)."""
        for command in commands.every():
            if command.has_home and command.name != "home create":
                for words in command.works:
                    if command.words[0] == "prices" and words:
                        continue  # these need none
                    args = [*command.words, *commands.filled(words, self.good)]
                    yield command, args, self.bursar(*args, **more)

    def test_whose_ledger_is_another_database(self):
        (self.home / "ledger.db").unlink()
        sqlite3.connect(self.home / "ledger.db").execute("CREATE TABLE t (a)").connection.close()
        text = ""
        for command, args, result in self.each():
            if command.name == "doctor":
                self.assertIn("is not a ledger", result.stdout)
            elif result.returncode:
                said = self.said(args, result, [69, 70, 125]).replace(str(self.folder), "FOLDER")
                text += f"$ bursar {commands.shown(args)}\n{said}\n"
        self.golden("every-ledger.txt", text)

    def test_that_may_not_be_written_or_read(self):
        """As somebody to whom permissions apply."""
        self.folder.chmod(0o755)
        self.folder.parent.chmod(0o755)
        more = {}
        if os.geteuid() == 0:
            for place in [self.home, *self.home.iterdir()]:
                os.chown(place, 65534, 65534)
            os.chown(re.search("segment (.*)", (self.home / "home").read_text())[1], 65534, 65534)
            more = {"user": 65534, "group": 65534, "extra_groups": []}
        text = ""
        for what, modes in (("read-only", (0o555, 0o444)), ("unreadable", (0o000, 0o000))):
            for place in self.home.iterdir():
                place.chmod(modes[1])
            self.home.chmod(modes[0])
            said = {}
            for command, args, result in self.each(**more):
                self.said(args, result, [66, 69, 125])
                said.setdefault(result.stderr, []).append(command.name)
            for sentence, names in said.items():
                text += f"{what} ({len(names)} ways)\n{sentence}\n"
            self.home.chmod(0o755)
        self.golden("every-permission.txt", text.replace(str(self.folder), "FOLDER"))


class Streams(EveryCase):
    """Where output goes, and what the environment says of it."""

    def each(self):
        for command in commands.every():
            yield command, [*command.words, *commands.filled(command.works[0], self.good)]

    def run_to(self, stdout, args, **env):
        kept = {k: v for k, v in {**self.env, **env}.items() if v is not None}
        return subprocess.run([COMMAND, *args], env=kept, cwd=self.folder, stdout=stdout, stderr=subprocess.PIPE, timeout=60)

    def test_nobody_reads(self):
        for words in ["--help"], ["--version"], ["report", "--help"]:
            reader, writer = os.pipe()
            os.close(reader)
            self.assertEqual(self.run_to(writer, words).returncode, -signal.SIGPIPE)
            os.close(writer)
        for command, args in self.each():
            reader, writer = os.pipe()
            os.close(reader)
            done = self.run_to(writer, args)
            os.close(writer)
            silent = done.returncode in (0, 1) and command.name in ("run", "outcome import")
            self.assertTrue(silent or done.returncode == -signal.SIGPIPE, (args, done))
            self.assertNotIn(b"rror", done.stderr)

    def test_nothing_more_fits(self):
        with open("/dev/full", "wb") as full:
            for words in ["--help"], ["--version"], ["report", "--help"]:
                done = self.run_to(full, words)
                self.assertEqual((done.returncode, done.stderr), (71, b"bursar: cannot write: No space left on device\n"))
            for command, args in self.each():
                done = self.run_to(full, args)
                if command.name == "run":
                    self.assertEqual(done.returncode, 0)  # it prints nothing
                    continue
                self.assertEqual(done.returncode, 71, (args, done.stderr))
                self.assertIn(b"bursar: cannot write: No space left on device\n", done.stderr)

    def test_nothing_is_open(self):
        def close():
            for descriptor in range(3):
                os.close(descriptor)

        for _, args in self.each():
            done = subprocess.run([COMMAND, *args], env=self.env, cwd=self.folder, preexec_fn=close, timeout=60)
            self.assertGreaterEqual(done.returncode, 0, args)

    def on_terminal(self, args, **env):
        """What it prints to a terminal."""
        master, slave = pty.openpty()
        attributes = termios.tcgetattr(slave)
        attributes[1] &= ~termios.OPOST
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        out = []
        thread = threading.Thread(target=lambda: out.append(drain(master)))
        thread.start()
        done = self.run_to(slave, args, **env)
        os.close(slave)
        thread.join(20)
        self.assertIn(done.returncode, (0, 1), (args, done.stderr))
        return out[0].decode()

    def test_the_environment_changes_colours_alone(self):
        self.bursar("budget", "declare", "acme/zürich", "$5", "--owner", "Zoë 東京", check=True)
        coloured = 0
        for command, args in self.each():
            if command.name.split()[0] not in ("status", "session", "report", "query", "events", "prices", "price", "check", "budget"):
                continue
            if command.name in ("session attend", "session close") or command.words[0] == "budget" and len(command.forms) < 2:
                continue
            plain = self.steady(self.bursar(*args).stdout)
            colours = self.on_terminal(args, TERM="xterm", NO_COLOR=None)
            coloured += "\x1b[1m" in colours
            self.assertEqual(self.steady(re.sub("\x1b\\[[01]m", "", colours)), plain)
            for env in ({"TERM": "xterm", "NO_COLOR": "1"}, {"TERM": None, "NO_COLOR": None}, {"TERM": "dumb", "NO_COLOR": None},
                        {"TERM": "xterm", "COLUMNS": "20"}, {"LANG": "C", "LC_ALL": "C"}, {"LANG": None, "TZ": "nonsense"}):  # fmt: skip
                self.assertEqual(self.steady(self.on_terminal(args, **env)), plain, (args, env))
        self.assertGreater(coloured, 8)
        self.assertIn("Zoë 東京", self.on_terminal(["status"], LANG="C", LC_ALL="C"))

    def test_narrow(self):
        for columns in ("1", "20", "0", "-5", "99999999999999999999", "x"):
            top = [["top", "--once"]] if columns in ("20", "x") else []  # takes a second
            for args in (["--help"], ["report", "--help"], *top, ["status"], ["status", "--nonsense"]):
                done = self.run_to(subprocess.PIPE, args, COLUMNS=columns)
                self.assertEqual(done.returncode, 64 if args[-1] == "--nonsense" else 0, (args, columns, done.stderr))
                self.assertTrue(done.stdout or done.stderr)


def drain(descriptor):
    data = b""
    while True:
        try:
            piece = os.read(descriptor, 65_536)
        except OSError:  # the other end is closed
            piece = b""
        if not piece:
            os.close(descriptor)
            return data
        data += piece


if __name__ == "__main__":
    unittest.main()
