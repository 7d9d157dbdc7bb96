"""What the tests share."""

import os
import unittest
import warnings

import bursar

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
DOLLAR = 1_000_000_000
LONG = 20 if os.environ.get("BURSAR_LONG_TESTS") else 1


class Case(unittest.TestCase):
    """A test with a runtime of its own, closed and verified at the end."""

    options: dict = {}

    def setUp(self):
        self.rt = bursar.open(**self.options)
        self.addCleanup(self.finish)

    def finish(self):
        if not self.rt.closed:
            self.rt.verify()
            self.rt.close()

    def session(self, *limits, path="acme/support/triage", **options):
        s = self.rt.session(path, *limits, **options)
        self.addCleanup(s.close)
        return s

    def dime(self):
        """A model whose every step of 1 input and 0 output tokens costs $0.10."""
        self.rt.price("dime", input="$100000/M", output="$0/M")
        return "dime"

    def warned(self):
        """Collects warnings: `with self.warned() as seen`."""
        catcher = warnings.catch_warnings(record=True)
        self.addCleanup(warnings.resetwarnings)
        seen = catcher.__enter__()
        self.addCleanup(catcher.__exit__, None, None, None)
        warnings.simplefilter("always")
        return seen
