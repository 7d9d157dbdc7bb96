"""Who is stopped hears by whom and why, wherever on its path that was said."""

import json
import unittest

import bursar
from bursar.wire import dialect_of
from bursar.wire.attempt import begin
from bursar.wire.gate import Gate
from support import Case

PATH = "/v1/chat/completions"
ASK = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}],
                  "max_tokens": 1_000, "stream": True}).encode()


def piece(text):
    chunk = {"choices": [{"index": 0, "delta": {"content": text}}]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


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
        reservations = []
        for target in (self.s, "acme/support/triage", "acme", None):
            attempt = begin(Gate(lambda: self.s), self.s, dialect_of("POST", PATH), PATH, "", ASK)
            self.assertEqual(0, attempt.admit())
            reservations.append(attempt._reservation)
            self.assertTrue(attempt.opened(200, "text/event-stream"))
            self.assertEqual(piece("hello"), attempt.feed(piece("hello")))
            everything = target is None
            self.rt.kill(target, everything=everything, reason="enough")
            self.assertEqual(b"", attempt.feed(piece(" world")))
            self.rt.revive(target, everything=everything)
            self.assertIsInstance(attempt.refused, bursar.Killed)
            self.assertEqual("enough", attempt.refused.decision.why)
            self.assertIn("(enough)", str(attempt.refused))
            before = self.s.read()
            attempt.close()
            attempt.close()
            after = self.s.read()
            self.assertEqual(0, after.reserved_nanos)
            self.assertTrue(0 < after.spent_nanos - before.spent_nanos < 200_000)
        for reservation in reservations:
            receipt = self.s.settle(reservation, input_tokens=10, output_tokens=4)
            self.assertEqual((True, 14_000), (receipt.late, receipt.cost_nanos))
        self.assertEqual(4 * 14_000, self.s.read().spent_nanos)


if __name__ == "__main__":
    unittest.main()
