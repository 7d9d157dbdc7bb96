"""What budget libraries of others get wrong, each as a test of its own."""

import unittest
import warnings
from concurrent.futures import ThreadPoolExecutor

import bursar
from support import DOLLAR, Case


class Defects(Case):
    def setUp(self):
        super().setUp()
        self.dime()

    def test_spend_is_not_dropped_because_an_exception_came_before_the_record(self):
        s = self.session("$1")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with self.assertRaises(ZeroDivisionError):
                with s.step("dime", input=1, max_output_tokens=0):
                    raise ZeroDivisionError("after the provider answered, before settle")
        self.assertEqual(100_000_000, s.read().spent_nanos)
        self.assertEqual([1], [row.estimated_steps for row in self.rt.spend()])

    def test_a_call_dearer_than_the_budget_is_recorded_at_its_real_cost(self):
        s = self.session("$1")
        with s.step("dime", input=1, max_output_tokens=0) as step:
            step.settle(cost="$1.50")
        self.assertEqual(1_500_000_000, s.read().spent_nanos)

    def test_a_session_limit_does_not_forget_after_an_hour(self):
        s = self.session("$0.20")
        for _ in range(2):
            s.settle(s.reserve("dime", input_tokens=1), input_tokens=1, output_tokens=0)
        [limit] = s.read().limits
        self.assertEqual((0, 0), (limit.window_start_unix_ns, limit.window_end_unix_ns))
        d = s.reserve("dime", input_tokens=1)
        self.assertEqual((False, 0), (bool(d), d.retry_after))

    def test_the_tenth_call_to_one_model_is_no_loop(self):
        s = self.session("$1000")
        for _ in range(200):
            d = s.reserve("dime", input_tokens=1)
            self.assertEqual(bursar.Verdict.ALLOW, d.verdict)
            s.settle(d, input_tokens=1, output_tokens=0)

    def test_a_final_reserve_can_be_spent(self):
        s = self.session("$0.30", holdback="$0.10")
        while True:
            d = s.reserve("dime", input_tokens=1)
            if not d:
                break
            s.settle(d, input_tokens=1, output_tokens=0)
        self.assertEqual(200_000_000, s.read().spent_nanos)
        with s.step("dime", input=1, max_output_tokens=0, final=True) as step:
            step.settle(input_tokens=1, output_tokens=0)
        self.assertEqual(300_000_000, s.read().spent_nanos)

    def test_siblings_together_never_overspend_their_parent(self):
        parent = self.session("$1")

        def sibling(number):
            with parent.child(f"searcher-{number}", "$0.50") as s:
                spent = 0
                for _ in range(20):
                    d = s.reserve("dime", input_tokens=1)
                    if d:
                        spent += s.settle(d, input_tokens=1, output_tokens=0).cost_nanos
                return spent

        with ThreadPoolExecutor(8) as pool:
            spent = list(pool.map(sibling, range(8)))
        self.assertEqual(DOLLAR, sum(spent))
        self.assertLessEqual(max(spent), DOLLAR // 2)
        self.assertEqual(DOLLAR, parent.read().spent_nanos)

    def test_an_unknown_model_is_not_free(self):
        s = self.session("$1")
        self.assertFalse(s.reserve("brand-new-model-of-tomorrow", input_tokens=1))
        with self.assertRaises(bursar.PriceError):
            self.rt.rates("brand-new-model-of-tomorrow")

    def test_a_free_model_passes_a_spent_budget(self):
        self.rt.price("local", input="$0/M", output="$0/M")
        s = self.session("$0.10")
        s.settle(s.reserve("dime", input_tokens=1), input_tokens=1, output_tokens=0)
        self.assertTrue(s.reserve("local", input_tokens=1_000, max_output_tokens=1_000))

    def test_cached_tokens_are_not_billed_twice(self):
        self.rt.price("m", input="$3/M", output="$15/M", cache_read="$0.30/M")
        s = self.session("$1")
        inside = {"prompt_tokens": 1_000, "completion_tokens": 10,
                  "prompt_tokens_details": {"cached_tokens": 900}}
        beside = {"input_tokens": 100, "output_tokens": 10, "cache_read_input_tokens": 900,
                  "cache_creation_input_tokens": 0}
        wanted = 100 * 3_000 + 900 * 300 + 10 * 15_000
        for usage, provider in ((inside, None), (beside, "anthropic")):
            d = s.reserve("m", input_tokens=1_000, max_output_tokens=10)
            self.assertEqual(wanted, s.settle(d, usage, provider=provider).cost_nanos)

    def test_a_cancelled_stream_is_billed(self):
        self.rt.price("m", input="$1/M", output="$1/M")
        s = self.session("$1")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with s.step("m", input=1_000, max_output_tokens=1_000, stream=True) as step:
                step.stream(500)
        self.assertGreaterEqual(s.read().spent_nanos, 1_500_000)
        self.assertLess(s.read().spent_nanos, 2_000_000)

    def test_a_refused_step_leaves_no_reservation_behind(self):
        self.rt.budget("acme", "$10")
        s = self.session("$0.05")
        for _ in range(50):
            self.assertFalse(s.reserve("dime", input_tokens=1))
        self.assertEqual(0, self.rt.read("acme").reserved_nanos)
        self.assertEqual(0, self.rt.health().in_flight)

    def test_retries_are_steps_of_their_own_and_counted_once_each(self):
        s = self.session("$1", "10 steps")
        first = s.reserve("dime", input_tokens=1)
        s.release(first)
        second = s.reserve("dime", input_tokens=1, attempt=1, parent=first)
        s.settle(second, input_tokens=1, output_tokens=0)
        self.assertEqual((100_000_000, 1), (s.read().spent_nanos, s.read().meters["steps"].spent))


if __name__ == "__main__":
    unittest.main()
