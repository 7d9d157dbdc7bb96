"""What run, events, watch, top and check say of mistakes; and what check finds."""

import json
import subprocess
import unittest

from homes import HomeCase

MISTAKES = [
    ["run"], ["run", "--limits", "$5", "sleep", "1"], ["run", "--limits", "5 bananas", "--", "true"],
    ["run", "--grace", "soon", "--", "true"], ["run", "--label", "x", "--", "true"],
    ["run", "--path", "a//b", "--", "true"], ["run", "--path", "a\x1b[2Jb", "--", "true"],
    ["run", "--path", "acme", "--", "no-such-\x1b[2Jcommand"], ["run", "--home", "/no/such", "--", "true"],
    ["events", "--since", "whenever"], ["events", "--type", "kil\x1bl"], ["events", "--json", "--csv"],
    ["watch", "--webhook", "ftp://example.com"], ["watch", "--webhook", "http://a b/"], ["watch", "--type", "all"],
    ["top"], ["top", "--sort", "luck"], ["top", "--interval", "0"], ["check", "--least", "101"],
    ["check", "--since", "10-2026"],
]  # fmt: skip


class Mistakes(HomeCase):
    def test_get_a_sentence(self):
        lines = []
        for args in MISTAKES:
            result = self.bursar(*args, stdin=subprocess.DEVNULL)
            self.assertNotEqual(result.returncode, 0, args)
            self.assertEqual(result.stdout, "")
            self.assertNotIn("\x1b", result.stderr)
            lines.append(f"$ bursar {' '.join(map(repr, args))}\n{result.stderr}-> {result.returncode}\n")
        self.golden("mistakes-live.txt", "\n".join(lines))


class Check(HomeCase):
    def rows(self, *args):
        return {row["check"]: row for row in json.loads(self.bursar("check", "--json", *args).stdout)}

    def test_says_what_to_do(self):
        rows = self.rows()
        self.assertEqual(rows["owners"]["share"], 0)
        self.assertEqual(rows["owners"]["todo"], "bursar budget assign acme --owner …")
        self.assertEqual((rows["limits"]["share"], rows["limits"]["todo"]), (1, None))
        self.assertIn("not `acme`", rows["alerts"]["found"])
        self.assertEqual(self.bursar("check", "--least", "90").returncode, 1)
        self.bursar("budget", "declare", "acme", "$50/day alert 80%", "--owner", "ada", "--cost-center", "cc", "--replace", check=True)
        rows = self.rows()
        self.assertEqual([rows[name]["share"] for name in ("owners", "cost centres", "alerts")], [1, 1, 1])
        shares = [row["share"] for row in rows.values() if row["share"] is not None]
        self.assertEqual(sum(shares) - rows["prices"]["share"], len(shares) - 1)  # which grow old
        score = int(sum(share * 100 for share in shares) / len(shares))
        self.bursar("check", "--least", str(score), check=True)
        if score < 100:
            self.assertEqual(self.bursar("check", "--least", str(score + 1)).returncode, 1)

    def test_finds_work_without_results_and_prices(self):
        agent = self.script("agent.py", """
import bursar
rt = bursar.open(os.environ["BURSAR_HOME"])
with rt.session("acme/support") as s:
    s.charge("$1")
    s.outcome("solved", "$3", id="1")
with rt.session("acme/research") as s: s.charge("$2")
""")
        subprocess.run([self.env["PYTHON"], agent], env=self.env, check=True)
        rows = self.rows()
        self.assertEqual(rows["outcomes"]["share"], 0.5)
        self.assertIn("not `acme/research`", rows["outcomes"]["found"])


if __name__ == "__main__":
    unittest.main()
