"""bursar events and bursar watch: what happened, each crossing told once, and told to be over."""

import http.server
import json
import os
import shutil
import signal
import ssl
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
        self.assertEqual(self.bursar("events", "--json", "--path", "acm").returncode, 66)

    def test_are_none_at_first(self):
        self.assertTrue(self.bursar("events", check=True).stdout.startswith("Nothing happened since "))
        self.assertEqual(self.bursar("events", "--type", "kil").returncode, 64)
        self.assertEqual(self.bursar("events", "--since", "whenever").returncode, 64)

    def test_that_come_while_nobody_reads_are_told_as_the_ledger_has_them(self):
        process = self.popen("events", "--follow", "--json", "--type", "threshold,kill", stdout=subprocess.PIPE)
        flood = """
import bursar
with bursar.open(os.environ["BURSAR_HOME"]) as rt:
    for _ in range(1500):
        with rt.session("acme", "$1 alert 50%") as s:
            for dollars in ("$0.1", "$0.6", "$0.6"):
                s.charge(dollars, force=True)
            time.sleep(0.001)
    rt.query("SELECT 1")
"""
        self.spend(6)
        subprocess.run([self.env["PYTHON"], self.script("flood.py", flood)], env=self.env, check=True)
        lines = self.lines(process)
        until(lambda: len(lines) > 100)
        self.bursar("kill", "acme", check=True)
        until(lambda: '"kill"' in lines[-1])
        rows = json.loads(self.bursar("events", "--json", "--type", "threshold,kill", check=True).stdout)
        self.assertEqual({row["at"] for row in rows} - {json.loads(line)["at"] for line in lines}, set())

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
        until(lambda: self.bursar("doctor").stdout.count("bursar") >= 2, what="watching")
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

    def test_waits_once_for_a_place_that_is_down(self):
        self.spend(6)
        self.spend(3)
        self.bursar("watch", "--once", "--since", "1h", "--exec", "echo >> tried; exit 3",
                    "--exec", "echo >> got", check=True)  # fmt: skip
        alerts = len((self.folder / "got").read_text())
        self.assertGreaterEqual(alerts, 2)
        self.assertEqual(len((self.folder / "tried").read_text()), 4 + alerts - 1)

    @unittest.skipUnless(shutil.which("curl") and shutil.which("openssl"), "needs curl and openssl")
    def test_posts_to_https_that_it_trusts_and_says_what_it_could_not_deliver(self):
        key, certificate = self.folder / "key.pem", self.folder / "certificate.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out",
             certificate, "-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
            check=True, capture_output=True)  # fmt: skip
        seen = []

        class Taker(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                seen.append((self.headers["Content-Type"], json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(http.server.HTTPServer):
            def handle_error(self, *_):  # who does not trust it hangs up
                pass

        server = Server(("127.0.0.1", 0), Taker)
        self.addCleanup(server.server_close)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.shutdown)
        self.spend(6)
        args = ["watch", "--once", "--since", "1h", "--webhook", f"https://127.0.0.1:{server.server_port}/hook"]
        result = self.bursar(*args, "--exec", "exit 3", "--webhook", "http://127.0.0.1:9/", check=True)
        self.assertEqual(seen, [])
        self.assertIn("certificate", result.stderr)
        self.assertIn("`curl` ended with 60", result.stderr)
        self.assertIn("`exit 3`: `/bin/sh` ended with 3", result.stderr)
        self.assertIn("Connection refused", result.stderr)
        self.env["CURL_CA_BUNDLE"] = str(certificate)
        self.assertEqual(self.bursar(*args, check=True).stderr, "")
        self.assertEqual([(kind, alert["type"]) for kind, alert in seen], [("application/json", "threshold")])

    def test_goes_on_where_it_was(self):
        """With --state every crossing is told once, whoever watches when, and so is its end."""
        state = self.folder / "state"

        def told(*more):
            result = self.bursar("watch", "--once", "--state", state, *more, check=True)
            return [(a["status"], a["type"], a["percent"]) for a in map(json.loads, result.stdout.splitlines())]

        self.assertEqual(told(), [])
        self.spend(6)
        self.assertEqual(told(), [("firing", "threshold", 50)])
        self.assertEqual(told(), [])
        self.assertEqual(told("--since", "1h"), [])
        process = self.popen("watch", "--state", state, stdout=subprocess.PIPE)
        lines = self.lines(process)
        until(lambda: self.bursar("doctor").stdout.count("bursar") >= 2, what="watching")
        self.bursar("kill", "acme", check=True)
        until(lambda: len(lines) == 1)
        until(lambda: '"kill"' in state.read_text())
        process.kill()
        process.wait()
        self.assertEqual(told(), [])
        self.bursar("revive", "acme", check=True)
        self.bursar("budget", "topup", "acme", "$20", check=True)
        self.assertEqual(sorted(told()), [("resolved", "kill", None), ("resolved", "threshold", 50)])
        self.assertEqual(told(), [])
        self.bursar("kill", "acme", check=True)
        self.bursar("revive", "acme", check=True)
        self.assertEqual(told(), [("firing", "kill", None), ("resolved", "kill", None)])
        self.assertEqual(told(), [])

    def test_keeps_no_others_state(self):
        state = self.folder / "state"
        for text in ("", "{}", "[]", "\0\x1b[2J", '{"bursar_watch": 2, "open": []}', '{"bursar_watch": 1, "open": [7]}'):
            state.write_text(text)
            result = self.bursar("watch", "--once", "--state", state)
            self.assertEqual(result.returncode, 65, text)
            self.assertRegex(result.stderr, "is no state of a watch|is the state of another")
            self.assertEqual(state.read_text(), text)
        self.assertEqual(self.bursar("watch", "--once", "--state", self.folder / "no/such").returncode, 71)
        state.unlink()
        self.bursar("watch", "--once", "--state", state, check=True)
        self.assertEqual(state.stat().st_mode & 0o777, 0o600)
        state.write_text(state.read_text().replace('"home": "', '"home": "0'))
        self.assertIn("another home", self.bursar("watch", "--once", "--state", state).stderr)


if __name__ == "__main__":
    unittest.main()
