"""Money is exact: real agent steps with their rates, and random ones beside a decimal oracle."""

import csv
import os
import random
import unittest
from decimal import ROUND_HALF_EVEN, Decimal

import bursar
from bursar import Usage
from support import LONG, ROOT, Case

NANO = Decimal("0.000000001")


class RealSteps(Case):
    def test_every_step_and_the_total_cost_what_was_billed(self):
        self.rt.price("agent", input="$0.28/M", cache_read="$0.028/M", output="$0.42/M")
        s = self.session("$1000")
        total = Decimal(0)
        with open(os.path.join(ROOT, "Tests", "data", "agent-steps-sample.csv")) as file:
            for row in csv.DictReader(file):
                used, cached, out = (int(row[n]) for n in (
                    "input_tokens", "cached_input_tokens", "output_tokens"))
                d = s.reserve("agent", input_tokens=used, max_output_tokens=out)
                r = s.settle(d, input_tokens=used, output_tokens=out,
                             cache_read_input_tokens=cached)
                self.assertEqual(Decimal(row["cost_usd"]), r.cost_usd, row)
                self.assertLessEqual(r.cost_nanos, d.reserved_nanos)
                total += Decimal(row["cost_usd"])
        self.assertEqual(int(total / NANO), s.read().spent_nanos)


class Oracle(Case):
    def test_random_steps_of_random_rates_cost_what_decimal_says_half_to_even(self):
        seed = random.randrange(1 << 30)
        dice = random.Random(seed)
        s = self.session("$1000000000")
        halves = 0
        for number in range(300 * LONG):
            rates = [dice.randrange(0, 100_000) * dice.choice([1, 500]) for _ in range(4)]
            self.rt.price(f"m{number}", input=rates[0], output=rates[1], cache_read=rates[2],
                          cache_write=rates[3])
            used = Usage(dice.randrange(2_000), output_tokens=dice.randrange(2_000))
            read = dice.randrange(used.input_tokens + 1)
            write = dice.randrange(used.input_tokens - read + 1)
            used = used._replace(cache_read_input_tokens=read, cache_write_input_tokens=write)
            fresh = used.input_tokens - read - write
            picos = Decimal(fresh * rates[0] + used.output_tokens * rates[1]
                            + read * rates[2] + write * rates[3])
            halves += picos % 1_000 == 500
            wanted = int((picos / 1_000).quantize(Decimal(1), ROUND_HALF_EVEN))
            d = s.reserve(f"m{number}", input_tokens=used.input_tokens,
                          max_output_tokens=used.output_tokens, cache_write=True)
            self.assertEqual(wanted, s.settle(d, used).cost_nanos, f"seed {seed}: {rates} {used}")
            self.assertEqual(wanted, self.rt.quote(f"m{number}", used))
        self.assertGreater(halves, 0)

    def test_no_session_passes_half_of_what_it_would_need(self):
        self.rt.price("agent", input="$0.28/M", cache_read="$0.028/M", output="$0.42/M")
        with open(os.path.join(ROOT, "Tests", "data", "agent-steps-sample.csv")) as file:
            rows = list(csv.DictReader(file))
        sessions = {}
        for row in rows:
            sessions.setdefault(row["session"], []).append(row)
        for name, steps in sessions.items():
            budget = sum(Decimal(r["cost_usd"]) for r in steps) / 2
            budget -= budget % NANO
            with self.rt.session("acme", bursar.Limit(budget), agent="a") as s:
                for row in steps:
                    used, cached, out = (int(row[n]) for n in (
                        "input_tokens", "cached_input_tokens", "output_tokens"))
                    d = s.reserve("agent", input_tokens=used, max_output_tokens=out)
                    if d and d.max_output_tokens >= out:
                        s.settle(d, input_tokens=used, output_tokens=out,
                                 cache_read_input_tokens=cached)
                    elif d:
                        s.release(d)
                self.assertLessEqual(s.read().spent_nanos, budget / NANO, name)


if __name__ == "__main__":
    unittest.main()
