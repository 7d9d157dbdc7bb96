"""What the integrations have in common, without a framework."""

import gc
import time
import unittest
import warnings

import bursar
from bursar.instrument import uninstrument
from bursar.integrations.common import Children, Passage, Patience, close_turn, is_below, open_turn
from bursar.integrations.common import session_of, told


class Case(unittest.TestCase):
    def setUp(self):
        self.rt = bursar.open()
        self.addCleanup(self.rt.close)
        self.addCleanup(uninstrument)
        self.rt.price("m", input="$1/M", output="$2/M")
        self.s = self.session("$0.01")

    def session(self, *limits):
        session = self.rt.session("acme/common", *limits)
        self.addCleanup(session.close)
        return session

    def open(self, kind="kind", over_http=False, wanted=100, **more):
        return open_turn(self.s, kind, "m", over_http, lambda: 2, wanted, **more)


class Turns(Case):
    def test_held_before_and_settled_after(self):
        with self.open() as turn:
            self.assertEqual(202_000, self.s.read().reserved_nanos)
            self.assertIs(self.s, bursar.current())
            close_turn(turn, "kind", bursar.Usage(10, output_tokens=5))
        self.assertEqual((20_000, 0), (self.s.read().spent_nanos, self.s.read().reserved_nanos))

    def test_what_nobody_knows_is_the_worst(self):
        with self.assertWarns(bursar.BursarWarning), self.open() as turn:
            close_turn(turn, "kind", None)
        self.assertEqual(202_000, self.s.read().spent_nanos)

    def test_fewer_tokens_than_wanted(self):
        self.s = self.session("$0.001")
        turn = self.open(wanted=1_000)
        self.assertIn(turn.max_output_tokens, range(256, 500))
        turn.release()
        with self.assertRaises(bursar.BudgetExceeded):
            self.open(wanted=1_000, whole=True)

    def test_over_http_nothing_is_held(self):
        with self.open(over_http=True) as turn:
            self.assertIsInstance(turn, Passage)
            self.assertEqual(0, self.s.read().reserved_nanos)
            turn.make_room()  # as a metered request does
            close_turn(turn, "learnt", {"input_tokens": 10, "output_tokens": 5}, "openai")
        self.assertEqual(0, self.s.read().spent_nanos)
        with self.open("learnt") as turn:
            self.assertIsInstance(turn, Passage)

    def test_what_went_another_way_is_recorded(self):
        with self.open(over_http=True) as turn:
            close_turn(turn, "kind", bursar.Usage(10, output_tokens=5))
        self.assertEqual(20_000, self.s.read().spent_nanos)
        self.s = self.session("$0.00001")
        with self.open(over_http=True) as turn:
            close_turn(turn, "kind", bursar.Usage(10, output_tokens=50))  # more than there was
        self.assertEqual(110_000, self.s.read().spent_nanos)

    def test_nothing_came(self):
        with self.assertRaises(ZeroDivisionError), self.open(over_http=True):
            1 / 0
        self.assertEqual(0, self.s.read().spent_nanos)
        gc.collect()


class Sessions(Case):
    def assert_children(self, count):
        until = time.monotonic() + 10
        while len(self.rt.children(self.s)) != count:
            self.assertLess(time.monotonic(), until, "closed sessions stay")
            time.sleep(0.01)

    def test_given_or_entered(self):
        with self.assertRaisesRegex(bursar.InvalidArgumentError, "no session"):
            session_of(None)
        self.assertIs(self.s, session_of(self.s))
        with self.session("$1") as other:
            self.assertIs(other, session_of(None))
            self.assertIs(self.s, session_of(self.s))
            self.assertFalse(is_below(other, self.s))
        with self.s.child("below") as below:
            self.assertIs(below, session_of(self.s))
            self.assertTrue(is_below(below, self.s))
            below.close()  # by another agent that had it, too
            self.assertIs(self.s, session_of(self.s))

    def test_children_are_closed_with_what_is_below(self):
        children = Children()
        one = children.session(self.s, "a", "one", "$0.001")
        self.assertIs(one, children.session(self.s, "a", "one", "$0.001"))
        children.session(one, "a|b", "two", ())
        children.session(self.s, "ab", "three", ())
        self.assertEqual(2, len(self.rt.children(self.s)))
        children.close("a")
        self.assert_children(1)
        children.close("ab")
        self.assert_children(0)
        self.assertIsNot(one, children.session(self.s, "a", "one", ()))
        children.close("a")

    def test_a_runtime_that_was_closed(self):
        children = Children()
        children.session(self.s, "a", "one", ())
        self.rt.close()
        children.close("a")


class Refusals(Case):
    def refusal(self, *limits):
        with self.assertRaises(bursar.Refused) as caught:
            session = self.session(*limits)
            for _ in range(3):
                session.step("m", input=1, max_output_tokens=100).settle(
                    input_tokens=1, output_tokens=1)
        return caught.exception

    def test_waiting_is_vain(self):
        refused = self.refusal("$0.0000001")
        with self.assertRaises(bursar.BudgetExceeded) as caught:
            Patience(60).delay(refused)
        self.assertIs(refused, caught.exception)

    def test_or_not(self):
        refused = self.refusal("20 steps/s burst 1")
        delay = Patience(60).delay(refused)
        self.assertGreater(delay, 0)
        self.assertEqual(refused.decision.retry_after, delay)
        with self.assertRaises(bursar.Throttled):
            Patience(0.0001).delay(refused)
        patience = Patience(0.05)
        time.sleep(0.06)
        with self.assertRaises(bursar.Throttled):
            patience.delay(refused)

    def test_told_in_plain_words(self):
        import json

        said = told(self.refusal("$0.0000001").decision)
        self.assertEqual(said, json.loads(json.dumps(said)))
        self.assertEqual(["halt", "limit", "cost"],
                         [said[name] for name in ("verdict", "reason", "meter")])
        self.assertEqual(100, said["limit"])


if __name__ == "__main__":
    warnings.simplefilter("ignore", ResourceWarning)
    unittest.main()
