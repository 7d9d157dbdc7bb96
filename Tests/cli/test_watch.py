"""bursar events and bursar watch: what happened, each crossing told once, and told to be over."""

import http.server
import json
import os
import signal
import subprocess
import threading
import unittest

from homes import HomeCase, until

SPEND = """
import bursar
rt = bursar.open(os.environ["BURSAR_HOME"])
with rt.session("acme/ci") as s:
    for _ in range(int(sys.argv[1])):
        s.charge("$1")
"""


class EventCase(HomeCase):
    limits = "$10 alert 50% 80%"

    def spend(self, dollars):
        """Spends, and waits until what it crossed is told, which is the keeper's work, soon after."""
        subprocess.run([self.env["PYTHON"], self.script("spend.py", SPEND), str(dollars)], env=self.env, check=True)
        crossed = (dollars >= 5) + (dollars >= 8)
        until(lambda: self.bursar("events", "--json", check=True).stdout.count('"threshold"') >= crossed)

    def lines(self, process):
        """What a process prints, line by line, read by a thread."""
        found = []
        thread = threading.Thread(target=lambda: [found.append(line) for line in process.stdout])
        thread.daemon = True
        thread.start()
        return found


class Events(EventCase):
    def test_are_in_the_order_in_which_they_happened(self):
        self.spend(9)
        self.bursar("kill", "acme", "--reason", "too \x1b[31mloud", check=True)
        self.bursar("revive", "acme", check=True)
        rows = json.loads(self.bursar("events", "--json", check=True).stdout)
        self.assertEqual([(r["type"], r["percent"]) for r in rows], [
            ("threshold", 50), ("threshold", 80), ("kill", None), ("revive", None)])  # fmt: skip
        self.assertEqual(rows[1]["limit"], 10_000_000_000)
        table = self.bursar("events", check=True).stdout
        self.assertNotIn("\x1b", table)
        self.assertIn(" of $10", table)
        rows = json.loads(self.bursar("events", "--json", "--type", "kill,halt", "--path", "acme", check=True).stdout)
        self.assertEqual([r["type"] for r in rows], ["kill"])
        self.assertEqual(json.loads(self.bursar("events", "--json", "--path", "acm", check=True).stdout), [])

    def test_are_none_at_first(self):
        self.assertTrue(self.bursar("events", check=True).stdout.startswith("Nothing happened since "))
        self.assertEqual(self.bursar("events", "--type", "kil").returncode, 64)
        self.assertEqual(self.bursar("events", "--since", "whenever").returncode, 64)

    def test_that_follow_come_once(self):
        self.spend(6)
        process = self.popen("events", "--follow", "--json", stdout=subprocess.PIPE)
        lines = self.lines(process)
        until(lambda: len(lines) == 1)
        self.bursar("pause", "acme", check=True)
        until(lambda: len(lines) == 2)
        self.bursar("resume", "acme", check=True)
        until(lambda: len(lines) == 3)
        self.assertEqual([json.loads(line)["type"] for line in lines], ["threshold", "pause", "resume"])
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(20), -signal.SIGINT)


class Watch(EventCase):
    def test_tells_a_crossing_once_and_when_it_is_over(self):
        process = self.popen("watch", stdout=subprocess.PIPE)
        lines = self.lines(process)
        until(lambda: self.bursar("doctor", check=True).stdout.count("bursar") >= 2, what="watching")
        self.spend(6)
        until(lambda: len(lines) == 1)
        self.spend(1)
        self.bursar("budget", "topup", "acme", "$10", check=True)
        until(lambda: len(lines) == 2)
        alerts = [json.loads(line) for line in lines]
        self.assertEqual([(a["status"], a["type"], a["percent"]) for a in alerts], [
            ("firing", "threshold", 50), ("resolved", "threshold", 50)])  # fmt: skip
        for reason in ("once", "twice"):
            self.bursar("kill", "acme", "--reason", reason, check=True)
        until(lambda: len(lines) == 3)
        self.bursar("revive", "acme", check=True)
        until(lambda: len(lines) == 4)
        self.bursar("kill", "acme", check=True)
        until(lambda: len(lines) == 5)
        self.assertEqual([json.loads(line)["status"] for line in lines[2:]], ["firing", "resolved", "firing"])

    def test_executes_a_command(self):
        self.spend(6)
        command = 'cat > got.json; echo "$BURSAR_ALERT $BURSAR_EVENT $BURSAR_PATH $BURSAR_PERCENT" > got'
        self.bursar("watch", "--once", "--since", "1h", "--exec", command, check=True)
        self.assertEqual((self.folder / "got").read_text(), "firing threshold acme 50\n")
        alert = json.loads((self.folder / "got.json").read_text())
        self.assertEqual((alert["status"], alert["limit"]), ("firing", 10_000_000_000))

    def test_posts_until_it_is_taken(self):
        seen = []

        class Taker(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                seen.append((self.path, self.headers["Content-Type"], json.loads(body)["type"]))
                self.send_response(503 if len(seen) < 3 else 204)
                self.end_headers()

            def log_message(self, *_):
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Taker)
        self.addCleanup(server.server_close)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.shutdown)
        self.spend(6)
        url = f"http://127.0.0.1:{server.server_port}/hook?a=1"
        result = self.bursar("watch", "--once", "--since", "1h", "--webhook", url, check=True)
        self.assertEqual(seen, [("/hook?a=1", "application/json", "threshold")] * 3)
        self.assertEqual(result.stderr, "")

    def test_says_what_it_could_not_deliver(self):
        self.spend(6)
        result = self.bursar(
            "watch", "--once", "--since", "1h", "--exec", "exit 3", "--webhook", "http://127.0.0.1:9/", check=True)
        self.assertIn("`exit 3`: `/bin/sh` ended with 3", result.stderr)
        self.assertIn("Connection refused", result.stderr)
        self.assertEqual(self.bursar("watch", "--webhook", "ftp://x/").returncode, 64)


if __name__ == "__main__":
    unittest.main()
