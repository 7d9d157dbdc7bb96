"""What people do in a hurry: kill and wait, give a budget to somebody, see who spends; alerts that Slack takes."""

import http.server
import json
import subprocess
import threading
import unittest

from homes import HomeCase

HOLD = """
import bursar
rt = bursar.open(os.environ["BURSAR_HOME"])
s = rt.session("acme/ci", agent="holder")
d = s.reserve("gpt-4o", input_tokens=1000, max_output_tokens=100)
assert d
print("held", flush=True)
sys.stdin.read()
s.settle(d, input_tokens=1000, output_tokens=100)
s.close()
"""


class Hands(HomeCase):
    def hold(self):
        """An agent with a step in flight, which ends when its input does."""
        process = subprocess.Popen(
            [self.env["PYTHON"], self.script("hold.py", HOLD)], env=self.env, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.stdin.close)
        self.assertEqual(process.stdout.readline(), "held\n")
        return process

    def test_kill_waits_until_nothing_is_in_flight(self):
        agent = self.hold()
        for target in (["acme"], ["--all"], ["acme/ci"]):
            result = self.bursar("kill", *target, "--wait", "1s")
            self.assertEqual(result.returncode, 1)
            self.assertRegex(result.stderr, r"^bursar: \$0\.\d+ are still held for steps in flight")
        waiting = self.popen("kill", "acme", "--wait", "60s", stdout=subprocess.PIPE)
        self.assertEqual(waiting.stdout.readline(), "killed acme\n")
        agent.stdin.close()
        self.assertRegex(waiting.communicate(timeout=30)[0], r"^nothing is in flight, \S+ after\n$")
        self.assertEqual(waiting.returncode, 0)
        self.assertEqual(self.bursar("kill", "acme", "--wait", "soon").returncode, 64)

    def test_assign_leaves_everything_else(self):
        make = self.script("make.py", """
import bursar
rt = bursar.open(os.environ["BURSAR_HOME"])
rt.budget("acme", "$50/day", owner="ada", cost_center="cc-1", purpose="all", replace=True)
rt.budget("acme/mail", "$5/day alert 80%", purpose="letters", earn="$2", earn_most="$9", earn_outcome="sent",
          top_rung={"routine": 2}, complexity="complex", observe=True)
rt.top_up("acme/mail", "$7")
""")
        subprocess.run([self.env["PYTHON"], make], env=self.env, check=True)
        sql = ("SELECT path, limits, purpose, earn_nanos, earn_most_nanos, earn_outcome, top_rungs, complexity, flags "
               "FROM budgets WHERE path <> '' ORDER BY path")

        def stored():
            limits = json.loads(self.bursar("budget", "show", "acme/mail", "--json", check=True).stdout)["limits"]
            return json.loads(self.bursar("query", sql, "--json", check=True).stdout), limits

        before, extra = stored()
        self.assertEqual(extra[0]["extra"], 7_000_000_000)
        said = self.bursar("budget", "assign", "acme/mail", "--cost-center", "cc-2", check=True).stdout
        self.assertEqual(said, "acme/mail  owner ada  cost centre cc-2\n")
        after, extra_after = stored()
        own = ("flags",)  # also that the cost centre is its own now
        self.assertEqual([{k: v for k, v in row.items() if k not in own} for row in after],
                         [{k: v for k, v in row.items() if k not in own} for row in before])  # fmt: skip
        self.assertEqual(extra_after, extra)
        # What it inherited it still inherits.
        self.bursar("budget", "assign", "acme", "--owner", "grace", check=True)
        self.assertIn("grace", self.bursar("budget", "show", "acme/mail", check=True).stdout)
        self.assertEqual(self.bursar("budget", "assign", "acme").returncode, 64)
        self.assertEqual(self.bursar("budget", "assign", "acmee", "--owner", "x").returncode, 66)

    def test_check_advises_what_helps(self):
        for _ in range(10):
            rows = json.loads(self.bursar("check", "--json", check=True).stdout)
            todo = [row["todo"] for row in rows if row["todo"] and row["todo"].startswith("bursar budget ")]
            if not todo:
                break
            words = todo[0].replace("…", "x").split(" ")[1:]
            if words[1] == "limit":
                words = ["budget", "limit", words[2], "$50/day alert 80%"]
            self.bursar(*words, check=True)
        self.assertEqual(todo, [])

    def test_top_shows_the_burn_of_the_time_between(self):
        agent = subprocess.Popen(
            [self.env["PYTHON"], self.script("burn.py", """
import bursar
with bursar.open(os.environ["BURSAR_HOME"]).session("acme/ci", agent="burner") as s:
    print("on", flush=True)
    while True:
        s.charge("$0.0001")
        time.sleep(0.01)
""")], env=self.env, stdout=subprocess.PIPE)
        self.addCleanup(agent.stdout.close)
        self.addCleanup(agent.wait)
        self.addCleanup(agent.kill)
        agent.stdout.readline()
        lines = self.bursar("top", "--once", "--sort", "burn", check=True).stdout.splitlines()
        row = next(line for line in lines if "burner" in line)
        self.assertRegex(row, r"open +\$[0-9.]+ +- +- +\$[0-9.]+ ", row)

    def test_slack_gets_a_sentence_that_calls_nobody(self):
        seen = []

        class Slack(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                seen.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Slack)
        self.addCleanup(server.server_close)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.shutdown)
        self.bursar("kill", "acme", "--reason", "<!channel> \x1b[31mred & \"quoted\"", check=True)
        url = f"http://127.0.0.1:{server.server_port}/services/x"
        self.bursar("watch", "--once", "--since", "1h", "--slack", url, check=True)
        (message,) = seen
        self.assertEqual(list(message), ["text"])
        self.assertIn("`acme`: killed, &lt;!channel&gt;  [31mred &amp; \"quoted\"", message["text"])
        self.assertEqual(self.bursar("watch", "--slack", "slack.com/x").returncode, 64)

    def test_doctor_says_what_to_do_about_a_damaged_ledger(self):
        # (Prices that are built in grow old.)
        self.assertRegex(self.bursar("doctor").stdout, r"\n(All is well\.|built-in prices: .*)\n$")
        with open(self.home / "ledger.db", "r+b") as file:
            file.write(b"x" * 65536)
        result = self.bursar("doctor")
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stdout, r"(?m)^ledger: agents work on under their limits; repair it")
        rows = json.loads(self.bursar("doctor", "--json").stdout)
        self.assertEqual([row["what"] for row in rows if row["advice"] != "good" and "prices" not in row["what"]], ["ledger"])


if __name__ == "__main__":
    unittest.main()
