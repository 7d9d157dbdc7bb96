"""Real agent sessions replayed: each step costs what was billed, to the nano-dollar, and a session
with half of what it spent never passes that half. AGENT_STEPS names another file of the same form."""

import csv
import os
import pathlib
import unittest
from decimal import Decimal

import bursar

ROOT = pathlib.Path(__file__).resolve().parents[3]
FILE = os.environ.get("AGENT_STEPS", str(ROOT / "Tests" / "data" / "agent-steps-sample.csv"))
MODEL = "replayed-model"


def sessions():
    by_name = {}
    with open(FILE, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            by_name.setdefault(row["session"], []).append(row)
    return by_name


def nanos(row):
    value = Decimal(row["cost_usd"]) * 10**9
    assert value == value.to_integral_value(), row
    return int(value)


def usage(row, most=None):
    output = int(row["output_tokens"])
    return {
        "input_tokens": int(row["input_tokens"]),
        "cache_read_input_tokens": int(row["cached_input_tokens"]),
        "output_tokens": output if most is None else min(output, most),
    }


class Replay(unittest.TestCase):
    def open(self):
        rt = bursar.open()
        self.addCleanup(rt.close)
        rt.price(MODEL, input="$0.28/M", cache_read="$0.028/M", output="$0.42/M")
        return rt

    def test_each_step_and_the_total_cost_what_was_billed(self):
        rt = self.open()
        billed = 0
        for name, rows in sessions().items():
            session = rt.session("replay", agent=name)
            for row in rows:
                held = session.reserve(
                    model=MODEL, input_tokens=int(row["input_tokens"]), max_output_tokens=16384
                )
                self.assertTrue(held, held)
                receipt = session.settle(held.reservation, **usage(row))
                self.assertEqual(receipt.cost_nanos, nanos(row), row)
                self.assertEqual(receipt.overrun_nanos, 0)
                billed += nanos(row)
            session.close()
        self.assertEqual(rt.read("replay").spent_nanos, billed)
        rt.verify()

    def test_with_half_its_budget_no_session_passes_it(self):
        rt = self.open()
        for name, rows in sessions().items():
            half = sum(map(nanos, rows)) // 2
            session = rt.session("replay", agent=name, limits=[bursar.Limit(half)])
            refused = 0
            for row in rows:
                held = session.reserve(
                    model=MODEL,
                    input_tokens=int(row["input_tokens"]),
                    max_output_tokens=4096,
                    min_output_tokens=16,
                )
                if not held:
                    refused += 1
                    continue
                receipt = session.settle(held.reservation, **usage(row, held.max_output_tokens))
                self.assertEqual(receipt.overrun_nanos, 0)
                self.assertLessEqual(session.read().spent_nanos, half)
            self.assertGreater(refused, 0, name)
            session.close()
        rt.verify()


if __name__ == "__main__":
    unittest.main()
