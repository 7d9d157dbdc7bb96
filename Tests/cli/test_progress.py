"""Long work says on a terminal that it goes on: one line, which is gone when it ends; else nothing."""

import os
import pty
import re
import select
import subprocess
import time
import unittest

from homes import COMMAND, HomeCase, end

# Counts until its time is over.
ENDLESS = "WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n) SELECT max(k) FROM n"


class Progress(HomeCase):
    def start(self, *args, stdout=subprocess.DEVNULL, **env):
        """The command with its standard error on a terminal: the process, and the terminal."""
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        process = subprocess.Popen(
            [COMMAND, *args], env={**self.env, "TERM": "xterm", **env}, cwd=self.folder, stdout=stdout, stderr=theirs)
        self.addCleanup(end, process)
        os.close(theirs)
        return process, ours

    def read(self, terminal, wanted=None, seconds=30):
        """What is shown, until it has `wanted`, or until it is closed."""
        said, deadline = b"", time.monotonic() + seconds
        while not (wanted and re.search(wanted, said)):
            self.assertGreater(deadline, time.monotonic(), said)
            if not select.select([terminal], [], [], 1)[0]:
                continue
            try:
                piece = os.read(terminal, 4096)
            except OSError:
                piece = b""
            if not piece:
                break
            said += piece
        return said

    def test_of_a_query_is_taken_away_before_anything_else_is_said(self):
        process, terminal = self.start("query", ENDLESS, "--timeout", "3s")
        said = self.read(terminal).decode()
        self.assertRegex(said, r"^(\rbursar query: asking a ledger[^\r\n]*, \ds\x1b\[K)+\r\x1b\[Kbursar: [^\r]*\r\n$")
        self.assertNotEqual(process.wait(20), 0)

    def test_of_an_import_says_what_it_waits_for(self):
        os.mkfifo(self.folder / "deals.csv")
        process, terminal = self.start("outcome", "import", "deals.csv", "--default", "workflow=acme")
        with open(self.folder / "deals.csv", "w") as file:
            said = self.read(terminal, rb"reading deals\.csv, 1s")
            file.write("name,id,value\nwon,1,$5\n")
        self.read(terminal)
        self.assertEqual(process.wait(20), 0)
        self.assertNotIn(b"\n", said)

    def test_of_an_export_counts_rows(self):
        self.spend(400)
        process, terminal = self.start("export", "--json", stdout=subprocess.PIPE)
        self.read(terminal, rb"export: writing rows, \d+, \ds")  # nobody reads what it writes
        rows = process.stdout.read()
        self.assertTrue(rows.rstrip().endswith(b"]"))
        self.assertEqual(self.read(terminal)[-4:], b"\r\x1b[K")
        self.assertEqual(process.wait(20), 0)

    def test_is_not_wanted_everywhere(self):
        for args, env in ((["--quiet"], {}), (["-q"], {}), ([], {"TERM": "dumb"})):
            process, terminal = self.start("query", ENDLESS, "--timeout", "2s", *args, **env)
            self.assertRegex(self.read(terminal), rb"^bursar: [^\r]*\r\n$")
            process.wait(20)
        result = self.bursar("query", ENDLESS, "--timeout", "2s")
        self.assertTrue(result.stderr.startswith("bursar: "), result.stderr)
        self.assertNotIn("\r", result.stderr)

    def test_is_of_no_work_that_is_quick(self):
        for args in (["verify"], ["report"], ["report", "--waste", "-q"], ["export"]):
            process, terminal = self.start(*args)
            self.assertEqual(self.read(terminal), b"", args)
            self.assertEqual(process.wait(20), 0)

    def spend(self, sessions):
        script = self.script("spend.py", """
import bursar
rt = bursar.open(os.environ["BURSAR_HOME"])
for k in range(int(sys.argv[1])):
    with rt.session("acme/ci", agent=f"agent-{k}") as s: s.charge("$0.01")
""")
        subprocess.run([self.env["PYTHON"], script, str(sessions)], env=self.env, check=True)


if __name__ == "__main__":
    unittest.main()
