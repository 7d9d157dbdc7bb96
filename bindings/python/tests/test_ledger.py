"""The ledger: queries give rows by name; outcomes are stated once and verified by others."""

import datetime
import os
import subprocess
import sys
import tempfile
import time
import unittest
from decimal import Decimal

import bursar
from support import DOLLAR, ROOT, Case

HERE = os.path.dirname(os.path.abspath(__file__))


class Ledger(Case):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(dir="/dev/shm")
        self.home = os.path.join(self.folder.name, "home")
        self.rt = bursar.open(self.home, shm_dir=self.folder.name, name="worker")
        self.addCleanup(self.folder.cleanup)
        self.addCleanup(self.finish)
        self.rt.budget("acme", "$100", owner="ada")

    def test_rows_come_by_name_and_see_what_was_just_settled(self):
        s = self.session(labels={"customer": "hooli"})
        for k in range(1, 20):
            s.charge("$0.10")
            rows = self.rt.query(
                "SELECT workflow, owner, customer, sum(cost_nanos) cost, NULL unknown, 0.5 half"
                " FROM v_steps WHERE customer = ? AND cost_nanos > ?", "hooli", 5)
            self.assertEqual(rows, [{
                "workflow": "acme/support/triage", "owner": "ada", "customer": "hooli",
                "cost": k * DOLLAR // 10, "unknown": None, "half": 0.5}])
        self.assertEqual([], self.rt.query("SELECT 1 FROM v_steps WHERE cost_nanos < 0"))
        self.assertEqual([{"a": "é\0b", "b": b"\0\1", "c": -5, "d": 1}], self.rt.query(
            "SELECT ?||char(0)||'b' a, ? b, ? c, ? d", "é", b"\0\1", -5, True))
        with self.assertRaises(TypeError):
            self.rt.query("SELECT ?", Decimal(1))
        with self.assertRaises(OverflowError):
            self.rt.query("SELECT ?", 1 << 63)

    def test_an_error_names_the_trouble_and_its_place(self):
        with self.assertRaises(bursar.QueryError) as caught:
            self.rt.query("SELECT 1,\n  nope FROM v_steps")
        self.assertEqual((2, 3), (caught.exception.line, caught.exception.column))
        self.assertIn("no such column: nope", str(caught.exception))
        with self.assertRaises(bursar.QueryError):
            self.rt.query("DROP TABLE steps")
        with self.assertRaisesRegex(bursar.QueryError, "longer than its timeout"):
            self.rt.query("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n)"
                          " SELECT sum(i) FROM n", timeout=datetime.timedelta(milliseconds=20))
        with bursar.open() as alone, self.assertRaises(bursar.UnsupportedError):
            alone.query("SELECT 1")

    def test_an_outcome_is_stated_once_and_verified_by_somebody_else(self):
        s = self.session()
        s.charge("$0.10")
        for _ in range(3):
            s.outcome("invoice_processed", value="$3.20", id="inv-1")
        with self.assertRaises(bursar.ConflictError) as caught:
            s.outcome("invoice_processed", value="$5", id="inv-1")
        self.assertEqual((3_200_000_000, 5_000_000_000), caught.exception.values)
        with self.assertRaises(bursar.RoleError) as refused:
            self.rt.outcome("invoice_processed", id="inv-1", state="verified")
        self.assertIn("somebody else", str(refused.exception))
        self.rt.outcome("invoice_processed", id="inv-1", state="verified", by="ada")
        s.close()
        self.rt.outcome("late", Decimal("0.5"), id="1", session=s, rework="$0.10",
                        rework_time=datetime.timedelta(minutes=3))
        self.rt.outcome("deal", workflow="acme", reason="won")
        rows = self.rt.query(
            "SELECT name, state, value_nanos, rework_nanos, rework_ns, who, cost_nanos"
            " FROM v_outcomes ORDER BY id")
        self.assertEqual([
            ("invoice_processed", "verified", 3_200_000_000, 0, 0, "ada", DOLLAR // 10),
            ("late", "stated", DOLLAR // 2, DOLLAR // 10, 180 * 10**9, "worker", DOLLAR // 10),
            ("deal", "stated", None, 0, 0, "worker", None)], [tuple(r.values()) for r in rows])
        with self.assertRaises(bursar.NotFoundError):
            self.rt.outcome("never", id="1", state="disputed")

    def test_a_budget_earns_by_verified_outcomes_and_events_are_rows(self):
        self.rt.budget("shop/sales", "$5", earn="$2", earn_most=Decimal(3), earn_outcome="deal")
        for k, earned in enumerate([2, 3]):
            self.rt.outcome("deal", workflow="shop/sales", id=str(k))
            self.rt.outcome("deal", id=str(k), state="verified", by="ada")
            limit = self.rt.read("shop/sales").limits[0]
            self.assertEqual((earned * DOLLAR, (5 + earned) * DOLLAR), (limit.earned, limit.remaining))
        rows = self.rt.query("SELECT type, amount FROM v_events WHERE text='earned' ORDER BY sequence")
        self.assertEqual([("top_up", 2 * DOLLAR), ("top_up", DOLLAR)], [tuple(r.values()) for r in rows])
        with self.assertRaises(bursar.BursarError):
            self.rt.budget("shop/other", "$5", earn="$2")

    def test_what_was_withdrawn_stays_withdrawn(self):
        s = self.session()
        s.outcome("paid", "$1", id="1")
        self.rt.outcome("paid", id="1", state="withdrawn", by="ada")
        for state, value in ("disputed", None), ("verified", None), ("corrected", "$2"):
            with self.assertRaises(bursar.ConflictError):
                self.rt.outcome("paid", value, id="1", state=state, by="bob")
        s.outcome("paid", "$1", id="1")
        self.rt.outcome("paid", id="1", state="withdrawn", by="ada")
        self.assertEqual(
            [{"state": "withdrawn", "revision": 2, "counts": 0}],
            self.rt.query("SELECT state, revision, counts FROM v_outcomes"))

    def test_what_was_spent_stays_with_who_answered_for_it_then(self):
        s, other = self.session(), self.session()
        spent = {}
        for k, (owner, center) in enumerate(
            [("ada", None), ("bob", "cc-1"), ("bob", "cc-2"), ("eve", None), ("ada", "cc-1")]
        ):
            if k:
                time.sleep(0.02)  # a step's time is its tick's
                self.rt.budget("acme", "$100", owner=owner, cost_center=center, replace=True)
            if k == 3:
                other.close()  # and nothing is spent under this one
            else:
                s.charge(f"${k + 1}")
                spent[owner, center or "(unowned)"] = (k + 1) * DOLLAR
            if k == 1:
                self.rt.query("SELECT 1")
        rows = self.rt.query(
            "SELECT owner, cost_center, sum(cost_nanos) cost FROM v_steps GROUP BY 1, 2")
        self.assertEqual(spent, {(r["owner"], r["cost_center"]): r["cost"] for r in rows})
        self.assertEqual(
            [{"owner": "ada", "cost": 11 * DOLLAR}, {"owner": "eve", "cost": 0}],
            self.rt.query("SELECT owner, direct_cost_nanos cost FROM v_sessions ORDER BY session"))
        self.rt.verify()

    def test_every_price_set_has_its_name_also_within_one_block(self):
        s = self.session()
        for k in range(1, 8):
            self.rt.price("m", input=f"${k}/M", output="$1/M")
            s.settle(s.reserve("m", input_tokens=10, max_output_tokens=1),
                     input_tokens=10, output_tokens=1)
        self.assertEqual([{"price": "set by the program", "steps": 7}], self.rt.query(
            "SELECT price, sum(steps) steps FROM v_steps GROUP BY 1"))

    def test_nothing_is_lost_on_the_way_to_a_row(self):
        with self.assertRaises(bursar.QueryError):
            self.rt.query("SELECT 1 a, 2 a")
        with self.assertRaises(bursar.PathError):
            self.session(labels={"a=b": "c"})
        for label in "customer=hooli", ("a=b", "c"), ("customer",):
            with self.assertRaises(bursar.InvalidArgumentError):
                self.rt.outcome("paid", id="1", label=label)
        with self.assertRaises(TypeError):
            self.rt.query("SELECT 1", timeout=5)

    def test_another_process_asks_while_this_one_writes(self):
        s = self.session()
        source = (
            "import bursar, sys\n"
            "with bursar.open(sys.argv[1], existing=True) as rt:\n"
            "    print(rt.query('SELECT count(*) n FROM v_steps')[0]['n'])\n")
        for k in range(1, 4):
            s.charge("$0.10")
            out = subprocess.check_output(
                [sys.executable, "-c", source, self.home], text=True,
                env={**os.environ, "PYTHONPATH": os.path.join(HERE, "..", "src")})
            self.assertEqual(k, int(out))

    def test_the_questions_of_the_documentation_are_answered_as_it_says(self):
        done = subprocess.run(
            [sys.executable, os.path.join(ROOT, "tools", "ledger-questions.py"),
             bursar._abi.library().path],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(0, done.returncode, done.stdout)


if __name__ == "__main__":
    unittest.main()
