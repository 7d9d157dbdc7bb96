"""What bad input gets: each row of the design's table, through Python."""

import datetime
import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
import unittest
import warnings
from decimal import Decimal

import bursar
from bursar import Reason, Usage
from support import DOLLAR, Case

HUGE = 1 << 63


def child(code, **environment):
    """Runs Python in a process of its own; its output."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60,
        env={**os.environ, **environment})
    return done.stdout + done.stderr


class Arguments(Case):
    def test_negative_and_overflowing_amounts_change_nothing(self):
        s = self.session("$1")
        for fields in ({"input_tokens": -1}, {"max_output_tokens": -1}, {"min_output_tokens": -1},
                       {"input_tokens": HUGE}, {"input_tokens": HUGE - 1, "choices": 1 << 30},
                       {"input_tokens": 1.5}, {"input_tokens": "1"}, {"choices": HUGE},
                       {"choices": 1 << 31}, {"choices": -1}, {"units": -1}, {"ttl": -1},
                       {"extra": -1}, {"variant": "economy"}, {"variant": 77}, {"complexity": 9}):
            with self.assertRaises((bursar.InvalidArgumentError, TypeError), msg=fields):
                s.reserve("gpt-4o", **{"max_output_tokens": 1, **fields})
        d = s.reserve("gpt-4o", input_tokens=10, max_output_tokens=10)
        for used in ({"input_tokens": -5}, {"input_tokens": HUGE}, {"cost": -1},
                     {"cache_read_input_tokens": 11}, {"cache_write_1h_input_tokens": 1},
                     {"reasoning_output_tokens": 99}, {"audio_input_tokens": -1}, {"key": 0},
                     {"key": 1 << 128}):
            with self.assertRaises((bursar.InvalidArgumentError, TypeError), msg=used):
                s.settle(d, **{"input_tokens": 10, "output_tokens": 1, **used})
        self.assertEqual(d.reserved_nanos, s.read().reserved_nanos)
        s.settle(d, input_tokens=10, output_tokens=1)
        for bad in (-1, HUGE, 1 << 70):
            with self.assertRaises(bursar.InvalidArgumentError):
                s.charge(bad, "ocr")

    def test_an_option_that_does_not_exist_is_an_error(self):
        s = self.session("$1")
        with self.assertRaises(TypeError):
            s.reserve("gpt-4o", max_tokens=1)
        d = s.reserve("gpt-4o", input_tokens=1)
        with self.assertRaises(TypeError):
            s.settle(d, input_tokens=1, output_tokens=0, cached=1)
        with self.assertRaises(TypeError):
            self.rt.session("acme", dollars=5)
        s.release(d)

    def test_a_settle_without_usage_is_not_a_settle_at_zero(self):
        s = self.session("$1")
        d = s.reserve("gpt-4o", input_tokens=10, max_output_tokens=10)
        for used in ({}, {"input_tokens": 1}, {"output_tokens": 1}):
            with self.assertRaisesRegex(bursar.InvalidArgumentError, "give input_tokens"):
                s.settle(d, **used)
        self.assertEqual(0, s.settle(d, input_tokens=0, output_tokens=0).cost_nanos)

    def test_unknown_ids_and_paths(self):
        s = self.session("$1")
        for call in (lambda: s.settle(12345, input_tokens=0, output_tokens=0),
                     lambda: s.settle(0, input_tokens=0, output_tokens=0),
                     lambda: s.release(99), lambda: self.rt.read("no/such"),
                     lambda: self.rt.read(1 << 40), lambda: self.rt.kill("no/such"),
                     lambda: self.rt.limits_set(1 << 40, "$1"), lambda: self.rt.remove("no")):
            with self.assertRaises(bursar.NotFoundError):
                call()
        for path in ("", "/a", "a//b", "a/", "a\x00b", "x" * 300, "/".join("abcdefghi")):
            with self.assertRaises(bursar.BursarError, msg=path):
                self.rt.budget(path, "$1")
        for target in (0, -1, True, None, 1.5):
            with self.assertRaises((bursar.InvalidArgumentError, TypeError)):
                self.rt.kill(target)
        with self.assertRaises(TypeError):
            self.rt.kill("acme", everything=True)

    def test_one_that_was_closed_and_settled_refuses_as_before(self):
        s = self.session("$1")
        d = s.reserve("gpt-4o", input_tokens=10, max_output_tokens=10)
        s.close()
        before = s.reserve("gpt-4o", max_output_tokens=10)
        used = bursar.Usage(input_tokens=10, output_tokens=10)
        receipt, refused = s.settle_and_reserve(d, used, "gpt-4o", max_output_tokens=10)
        self.assertEqual((Reason.CLOSED, False), (refused.reason, bool(refused)))
        with self.assertRaises(bursar.NotFoundError):
            for _ in range(2_000):
                s.read()  # until it is forgotten
                time.sleep(0.01)
        again, refused = s.settle_and_reserve(d, used, "gpt-4o", max_output_tokens=10)
        self.assertEqual(receipt.cost_nanos, again.cost_nanos)
        for after in (refused, s.reserve("gpt-4o", max_output_tokens=10),
                      s.reserve("gpt-4o", max_output_tokens=10, stream=True, as_asked=True,
                                parent=d, attempt=1)):
            self.assertEqual(
                (False, before.verdict, before.reason, before.remedy, before.explain()),
                (bool(after), after.verdict, after.reason, after.remedy, after.explain()))
        for call in (lambda: s.step("gpt-4o", max_output_tokens=9), lambda: s.tool("search"),
                     lambda: s.turn("gpt-4o", max_output_tokens=9)):
            with self.assertRaises(bursar.Halted) as caught:
                call()
            self.assertEqual(Reason.CLOSED, caught.exception.decision.reason)

    def test_text_errors_point_at_the_word(self):
        with self.assertRaises(bursar.LimitTextError) as caught:
            self.rt.budget("acme", "$5/day", "2m tokens/day")
        self.assertEqual(10, caught.exception.column)
        self.assertEqual(bursar.Status.E_LIMIT_TEXT, caught.exception.code)
        with self.assertRaises(bursar.MoneyTextError):
            self.rt.price("m", input="cheap", output="$1/M")
        with self.assertRaises(bursar.PriceError) as caught:
            self.rt.prices_load(b'{"m": {"input_cost_per_token": }}')
        self.assertEqual(1, caught.exception.line)
        self.assertGreater(caught.exception.column, 1)

    def test_money_is_never_a_float(self):
        for call in (lambda: self.rt.price("m", input=0.1, output="$1/M"),
                     lambda: self.rt.tool_price("t", 0.1),
                     lambda: self.rt.session("acme", holdback=0.1),
                     lambda: self.rt.price("m", input=True, output="$1/M")):
            with self.assertRaisesRegex(TypeError, "never"):
                call()
        for endless in (Decimal("NaN"), Decimal("Infinity")):
            with self.assertRaises(TypeError):
                self.rt.tool_price("t", endless)
        for vast in (Decimal("1e25"), Decimal("1e999999")):
            with self.assertRaises((TypeError, bursar.InvalidArgumentError)):
                self.rt.tool_price("t", vast)

    def test_rates_are_exact_in_every_form(self):
        for rate in ("$0.28/M", Decimal("0.00000028"), 280_000):
            self.rt.price("m", input=rate, output="$0.42/M", cache_read="$0.028/M")
            self.assertEqual((280_000, 420_000, 28_000), self.rt.rates("m")[:3])
        self.assertEqual(280, self.rt.quote("m", Usage(1_000)) // 1_000)


class Models(Case):
    def test_an_unknown_model_is_refused_under_a_money_limit(self):
        s = self.session("$1")
        d = s.reserve("no-such-model-9", input_tokens=1)
        self.assertEqual((bursar.Reason.PRICE_UNKNOWN, bursar.Remedy.PRICE), (d.reason, d.remedy))
        with self.assertRaises(bursar.Halted):
            s.step("no-such-model-9", input=1, max_output_tokens=1)
        with self.assertRaises(bursar.PriceError):
            self.rt.quote("no-such-model-9", Usage(1))

    def test_or_priced_as_the_policy_says(self):
        for policy, free in (("dearest", False), ("free", True)):
            with bursar.open(unknown_model=policy) as rt, rt.session("acme", "$1") as s:
                d = s.reserve("no-such-model-9", input_tokens=1)
                self.assertEqual(free, d.reserved_nanos == 0)
                self.assertTrue(d.flags & bursar.DecisionFlag.UNPRICED)
                r = s.settle(d, input_tokens=1, output_tokens=0)
                self.assertTrue(r.unpriced)

    def test_undeclared_sessions_are_flagged_or_refused(self):
        s = self.session()
        d = s.reserve("gpt-4o", input_tokens=1)
        self.assertTrue(d.flags & bursar.DecisionFlag.UNDECLARED)
        s.release(d)
        with bursar.open(undeclared="refuse") as rt, rt.session("acme") as s:
            self.assertEqual(bursar.Reason.UNDECLARED, s.reserve("gpt-4o", input_tokens=1).reason)


class Settling(Case):
    def setUp(self):
        super().setUp()
        self.dime()
        self.s = self.session("$1")

    def test_twice_is_the_first_result_again_or_a_conflict(self):
        d = self.s.reserve("dime", input_tokens=1)
        first = self.s.settle(d, input_tokens=1, output_tokens=0)
        again = self.s.settle(d, input_tokens=1, output_tokens=0)
        self.assertEqual((first.cost_nanos, False, True),
                         (again.cost_nanos, first.replay, again.replay))
        with self.assertRaises(bursar.ConflictError) as caught:
            self.s.settle(d, input_tokens=0, output_tokens=0)
        self.assertEqual(bursar.Status.E_CONFLICT, caught.exception.code)

    def test_after_release(self):
        d = self.s.reserve("dime", input_tokens=1)
        self.s.release(d)
        self.s.release(d)
        with self.assertRaises(bursar.ConflictError) as caught:
            self.s.settle(d, input_tokens=1, output_tokens=0)
        self.assertEqual(bursar.Status.E_RELEASED, caught.exception.code)
        self.assertEqual(0, self.s.read().spent_nanos)

    def test_after_expiry_is_accepted_and_corrects_the_estimate(self):
        expired = threading.Event()
        with bursar.open(ttl=datetime.timedelta(milliseconds=50)) as rt:
            rt.on_event(lambda event: event.type == bursar.EventType.ORPHAN and expired.set())
            rt.price("dime", input="$100000/M", output="$0/M")
            with rt.session("acme", "$5") as s:
                d = s.reserve("dime", input_tokens=10)
                self.assertTrue(expired.wait(20))
                self.assertEqual(1_000_000_000, s.read().spent_nanos)
                r = s.settle(d, input_tokens=3, output_tokens=0)
                self.assertEqual((300_000_000, True), (r.cost_nanos, r.late))
                self.assertEqual(300_000_000, s.read().spent_nanos)
            rt.verify()

    def test_a_key_makes_a_settle_safe_to_repeat(self):
        d = self.s.reserve("dime", input_tokens=1)
        first = self.s.settle(d, Usage(1), key="request-1")
        self.assertTrue(self.s.settle(d, Usage(1), key="request-1").replay)
        self.assertEqual(first.cost_nanos, self.s.read().spent_nanos)

    def test_release_after_settle(self):
        d = self.s.reserve("dime", input_tokens=1)
        self.s.settle(d, input_tokens=1, output_tokens=0)
        with self.assertRaises(bursar.ConflictError):
            self.s.release(d)

    def test_more_than_reserved_is_recorded_in_full_and_trips_the_next(self):
        d = self.s.reserve("dime", input_tokens=1)
        r = self.s.settle(d, input_tokens=11, output_tokens=0)
        self.assertTrue(r.overrun)
        self.assertEqual((1_100_000_000, DOLLAR), (r.cost_nanos, r.overrun_nanos))
        self.assertEqual(1_100_000_000, self.s.read().spent_nanos)
        self.assertFalse(self.s.reserve("dime", input_tokens=1))
        self.assertEqual(DOLLAR, self.rt.health().overrun_nanos)

    def test_nothing_seen_of_an_aborted_stream_is_not_zero_but_an_explicit_zero_is(self):
        with self.s.step("dime", input=1, max_output_tokens=0, stream=True) as step:
            step.settle(input_tokens=0, output_tokens=0, incomplete=True)
        self.assertEqual((100_000_000, True), (step.receipt.cost_nanos, step.receipt.estimated))
        with self.s.step("dime", input=1, max_output_tokens=0) as step:
            step.settle({"prompt_tokens": 0, "completion_tokens": 0})
        self.assertEqual((0, False), (step.receipt.cost_nanos, step.receipt.estimated))

    def test_a_usage_that_contradicts_itself_leaves_the_step_open(self):
        with self.s.step("dime", input=1, max_output_tokens=0) as step:
            with self.assertRaises(bursar.AmbiguousUsage):
                step.settle({"input_tokens": 1, "output_tokens": 0, "cache_read_input_tokens": 1})
            step.settle({"input_tokens": 0, "output_tokens": 0, "cache_read_input_tokens": 1},
                        provider="anthropic")
        self.assertEqual(100_000_000, step.receipt.cost_nanos)


class Lifecycle(unittest.TestCase):
    def test_after_close_every_call_raises_and_close_itself_does_not(self):
        rt = bursar.open()
        rt.budget("acme", "$1")
        s = rt.session("acme/x")
        d = s.reserve("gpt-4o", input_tokens=1)
        for _ in range(3):
            rt.close()
        for call in (lambda: rt.read("acme"), lambda: rt.budget("b", "$1"), rt.health, rt.verify,
                     rt.spend, lambda: s.reserve("gpt-4o", input_tokens=1), s.read, lambda: s.path,
                     lambda: s.settle(d, input_tokens=1, output_tokens=0), lambda: s.release(d),
                     lambda: s.stream(d, 1), lambda: s.charge("$1"), lambda: s.child("c"),
                     lambda: s.settle_and_reserve(d, Usage(1)), lambda: rt.kill(everything=True),
                     lambda: rt.price("m", input="$1/M", output="$1/M"), lambda: rt.events(),
                     lambda: rt.on_event(print)):
            with self.assertRaises((bursar.ClosedError, RuntimeError)) as caught:
                call()
            if isinstance(caught.exception, bursar.ClosedError):
                self.assertEqual(bursar.Status.E_CLOSED, caught.exception.code)
        s.close()
        self.assertTrue(rt.closed)

    def test_what_was_raised_and_answered_can_be_printed_after_close(self):
        with bursar.open() as rt, rt.session("acme", "$0.01") as s:
            d = s.reserve("gpt-4o", input_tokens=1)
            with self.assertRaises(bursar.BudgetExceeded) as caught:
                s.charge("$1")
        self.assertIn("$0.01", str(caught.exception))
        for value in (d, s, caught.exception, caught.exception.decision):
            self.assertTrue(repr(value))

    def test_a_closed_session_admits_nothing_more_but_settles(self):
        with bursar.open() as rt:
            s = rt.session("acme", "$1")
            d = s.reserve("gpt-4o", input_tokens=1)
            s.close()
            s.close()
            r = s.settle(d, input_tokens=1, output_tokens=0)
            self.assertGreater(r.cost_nanos, 0)
            with self.assertRaises(bursar.BursarError):
                if not s.reserve("gpt-4o", input_tokens=1):
                    raise bursar.ClosedError

    def test_what_was_never_closed_warns(self):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            rt = bursar.open()
            s = rt.session("acme")
            del s
            gc.collect()
            del rt
            gc.collect()
        self.assertEqual([bursar.BursarWarning] * 2, [w.category for w in seen])

    def test_many_runtimes_come_and_go(self):
        for _ in range(80):
            with bursar.open() as rt, rt.session("acme", "$1") as s:
                s.charge("$0.5", "x")

    def test_a_forked_child_is_told_and_never_hangs(self):
        said = child("""
            import os, bursar
            s = bursar.session("acme", "$1")
            bursar.runtime().on_event(print)
            if os.fork() == 0:
                for call in (lambda: s.reserve("gpt-4o", input_tokens=1), s.read,
                             lambda: bursar.session("acme")):
                    try:
                        call()
                        print("no error")
                    except bursar.ForkedError:
                        print("forked")
                bursar.use(bursar.open())
                with bursar.session("acme", "$1") as t:
                    print("anew", bool(t.reserve("gpt-4o", input_tokens=1)))
                raise SystemExit
            os.wait()
            print("parent", bool(s.reserve("gpt-4o", input_tokens=1)))
            s.close()
        """)
        self.assertEqual(["forked"] * 3 + ["anew True", "parent True"], said.split("\n")[:5], said)

    def test_a_missing_library_names_every_path(self):
        said = child("import bursar; bursar.open()", BURSAR_LIBRARY="/no/such/libbursar.so")
        self.assertIn("LibraryError", said)
        self.assertIn("/no/such/libbursar.so", said)
        said = child("import os; del os.environ['BURSAR_LIBRARY']; import bursar; bursar.open()")
        self.assertIn(os.path.join("bursar", "_lib", "libbursar.so"), said)

    def test_the_report_at_exit_is_asked_for(self):
        code = """
            import bursar
            with bursar.session("acme/x", "$1", agent="a") as s:
                s.charge("$0.25", "ocr")
        """
        self.assertEqual("", child(code, BURSAR_REPORT=""))
        self.assertIn("$0.25", child(code, BURSAR_REPORT="1"))


if __name__ == "__main__":
    unittest.main()
