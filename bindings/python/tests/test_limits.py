"""Every row of Tests/limits.tsv, and limits as objects."""

import datetime
import os
import re
import unittest
from decimal import Decimal

import bursar
from bursar import Limit
from support import DOLLAR, ROOT, Case


def unescaped(text):
    """Escapes are bytes; what is not UTF-8 becomes lone surrogates, as Python does it."""
    data = re.sub(
        rb"\\(x[0-9A-Fa-f]{2}|.)",
        lambda m: {b"t": b"\t", b"n": b"\n", b"r": b"\r", b"\\": b"\\"}.get(m[1])
        or bytes([int(m[1][1:], 16)]), text.encode())
    return data.decode("utf-8", "surrogateescape")


def rows():
    with open(os.path.join(ROOT, "Tests", "limits.tsv"), encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip() and not line.startswith("#"):
                yield number, [unescaped(cell) for cell in line.rstrip("\n").split("\t")]


class Table(Case):
    def test_every_row_parses_or_is_refused_as_the_table_says(self):
        self.rt.meter("credits")
        self.rt.meter("gpu_seconds")
        count = 0
        for number, (where, text, outcome, expected, column) in rows():
            session = where == "session"
            with self.subTest(line=number, text=text):
                count += 1
                if outcome == "ok":
                    canonical = self.rt.limits_parse(text, session=session)
                    self.assertEqual(expected, canonical)
                    self.assertEqual(canonical, self.rt.limits_parse(canonical, session=session))
                else:
                    with self.assertRaises(ValueError) as caught:
                        self.rt.limits_parse(text, session=session)
                    if isinstance(caught.exception, UnicodeEncodeError):
                        continue  # not UTF-8: no Python text, so it never reaches the library
                    self.assertIn(expected, str(caught.exception))
                    self.assertEqual(int(column), caught.exception.column)
        self.assertGreaterEqual(count, 200)


class Objects(Case):
    def test_an_object_is_the_text_it_prints(self):
        for limit, text in (
            (Limit("$500", per="month", alert=(50, 80)), "$500/month alert 50% 80%"),
            (Limit(Decimal("0.25"), per="day", downgrade=80), "$0.25/day downgrade 80%"),
            (Limit(2 * DOLLAR), "$2"),
            (Limit(60, "steps", per="min", burst=10), "60 steps/min burst 10"),
            (Limit("2M", "tokens", per="day"), "2M tokens/day"),
            (Limit(datetime.timedelta(minutes=10), "wall", then="pause"), "10m wall then pause"),
            (Limit(10, "calls(web_search)", per="session"), "10 calls(web_search)/session"),
        ):
            self.assertEqual(text, self.rt.limits_parse(limit), limit)

    def test_a_float_is_no_amount(self):
        for limit in (Limit(0.1), Limit(1.5, "steps"), 0.1, ["$1", 2.0]):
            with self.assertRaises(TypeError):
                self.rt.budget("acme", limit)

    def test_texts_objects_and_lists_may_be_mixed(self):
        self.rt.budget("acme", "$5/day", [Limit(9, "steps"), "3 in_flight"])
        self.assertEqual("$5/day, 9 steps, 3 in_flight", self.rt.read("acme").limits_text)

    def test_deadline_and_idle_are_the_wall_and_idle_limits(self):
        s = self.session("$2", deadline=datetime.timedelta(minutes=10), idle="2m")
        self.assertEqual("$2, 10m wall, 2m idle", s.read().limits_text)

    def test_limits_change_while_they_are_in_force(self):
        self.dime()
        self.rt.budget("acme", "$1")
        s = self.session()
        d = s.reserve("dime", input_tokens=1)
        self.rt.limits_set("acme", "$0.10")
        self.assertFalse(s.reserve("dime", input_tokens=1))
        self.rt.limits_set("acme", "$0.05")  # below what is committed: allowed, holds at once
        s.settle(d, input_tokens=1, output_tokens=0)
        self.assertFalse(s.reserve("dime", input_tokens=1))
        self.rt.top_up("acme", "$0.20", reason="approved")
        self.assertTrue(s.reserve("dime", input_tokens=1))
        self.rt.limits_set("acme", "unlimited")
        self.assertTrue(all(s.reserve("dime", input_tokens=1) for _ in range(20)))

    def test_a_top_up_is_money_of_any_kind_but_float(self):
        self.rt.budget("acme", "$1")
        for amount in ("$1", DOLLAR, Decimal(1)):
            self.rt.top_up("acme", amount, for_=datetime.timedelta(hours=1))
        self.assertEqual(4 * DOLLAR, self.rt.read("acme").remaining_nanos)
        with self.assertRaises(TypeError):
            self.rt.top_up("acme", 1.0)
        with self.assertRaises(bursar.NotFoundError):
            self.rt.top_up("acme", "5 steps")

    def test_declaring_again_never_undoes_a_cut(self):
        self.rt.budget("acme", "$100")
        self.rt.limits_set("acme", "$1")
        self.rt.budget("acme", "$100")
        self.assertEqual("$1", self.rt.read("acme").limits_text)
        self.rt.budget("acme", "$100", replace=True)
        self.assertEqual("$100", self.rt.read("acme").limits_text)


if __name__ == "__main__":
    unittest.main()
