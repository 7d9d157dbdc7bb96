"""Decisions, receipts and refusals are copied, and go to other processes."""

import copy
import pickle
import unittest

import bursar
from support import Case


class Carried(Case):
    def refuse(self):
        with self.assertRaises(bursar.BudgetExceeded) as caught:
            self.session("$0.05").step(self.dime(), input=1, max_output_tokens=0)
        return caught.exception

    def test_a_grant_is_copied_and_pickled(self):
        d = self.session("$1").reserve(self.dime(), input_tokens=1)
        for other in (copy.copy(d), copy.deepcopy(d), pickle.loads(pickle.dumps(d))):
            self.assertEqual(d, other)
            self.assertEqual((True, "dime"), (bool(other), other.model))
        self.rt.release(pickle.loads(pickle.dumps(d)))

    def test_a_refusal_is_copied_and_pickled_with_its_decision(self):
        error = self.refuse()
        carried = pickle.loads(pickle.dumps(error))
        self.rt.close()
        for other in (copy.copy(error), copy.deepcopy(error), carried, copy.copy(carried)):
            self.assertIs(bursar.BudgetExceeded, type(other))
            self.assertEqual(str(error), str(other))
            self.assertEqual(error.decision, other.decision)
            self.assertEqual(50_000_000, other.decision.limit)
        self.assertEqual("acme/support/triage", carried.decision.path)
        self.assertIn("acme/support/triage", carried.decision.explain())
        again = pickle.loads(pickle.dumps(carried))
        self.assertEqual(carried.decision.as_dict(), again.decision.as_dict())

    def test_a_decision_is_pickled_when_its_runtime_is_closed(self):
        error = self.refuse()
        self.rt.close()
        self.assertEqual(error.decision, pickle.loads(pickle.dumps(error)).decision)

    def test_a_receipt_is_pickled(self):
        r = self.session("$1").charge("$0.10")
        self.assertEqual(r, pickle.loads(pickle.dumps(r)))

    def test_a_label_may_have_any_line_separator_of_unicode(self):
        labels = {"a": "x\u2028y\u0085z", "b": "2"}
        self.assertEqual(labels, self.session("$1", labels=labels).read().labels)


if __name__ == "__main__":
    unittest.main()
