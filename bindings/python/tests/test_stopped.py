"""Who is stopped hears by whom and why, wherever on its path that was said."""

import types
import unittest

import bursar
from bursar.streams import StreamAccount
from support import Case


def piece(text):
    delta = types.SimpleNamespace(content=text)
    return types.SimpleNamespace(choices=[types.SimpleNamespace(delta=delta)], usage=None)


class Stopped(Case):
    def stops(self):
        """Kills at every level, and how it is undone."""
        for target in (self.s, "acme/support/triage", "acme", None):
            if target is None:
                self.rt.kill(everything=True, reason="enough")
            else:
                self.rt.kill(target, reason="enough")
            yield target
            if target is None:
                self.rt.revive(everything=True)
            else:
                self.rt.revive(target)

    def setUp(self):
        super().setUp()
        self.rt.price("m", input=1_000_000, output=1_000_000)
        self.s = self.session("$1")

    def test_a_refusal_has_the_reason(self):
        for _ in self.stops():
            with self.assertRaises(bursar.Killed) as caught:
                self.s.step("m", input=1, max_output_tokens=1)
            self.assertEqual("enough", caught.exception.decision.why)
            self.assertIn("(enough)", str(caught.exception))

    def test_a_stream_that_is_cut_has_the_reason_and_is_settled_at_what_was_seen(self):
        steps = []
        for target in (self.s, "acme/support/triage", "acme", None):
            d = self.s.reserve("m", input_tokens=10, max_output_tokens=1_000, stream=True)
            account = StreamAccount(bursar.Step(self.s, d), 1, False)
            self.assertTrue(account.take(piece("hello")))
            everything = target is None
            self.rt.kill(target, everything=everything, reason="enough")
            with self.assertRaises(bursar.Killed) as caught:
                account.take(piece(" world"))
            self.rt.revive(target, everything=everything)
            self.assertEqual("enough", caught.exception.decision.why)
            self.assertIn("(enough)", str(caught.exception))
            account.finish()
            steps.append(account.step)
        for step in steps:
            self.assertTrue(step.receipt.estimated)
            self.assertLess(step.receipt.cost_nanos, 200_000)
            receipt = self.s.settle(step.reservation, input_tokens=10, output_tokens=4)
            self.assertEqual((True, 14_000), (receipt.late, receipt.cost_nanos))
        self.assertEqual(4 * 14_000, self.s.read().spent_nanos)


if __name__ == "__main__":
    unittest.main()
