"""What the tests of this folder share: one provider for a class, an account for each test."""

import asyncio
import os
import unittest

os.environ.update(  # No framework asks the network for anything but its model.
    LITELLM_LOCAL_MODEL_COST_MAP="True", OPENAI_AGENTS_DISABLE_TRACING="1", LANGSMITH_TRACING="false"
)

from stub import Stub  # noqa: E402

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city", "days"],
    "additionalProperties": False,
}


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stub = Stub()
        cls.addClassCleanup(cls.stub.__exit__)

    def setUp(self):
        self.account = self.id().rpartition(".")[2]

    def url(self, scenario=""):
        return self.stub.url(scenario)

    def bill(self):
        return self.stub.bill(self.account)

    def line(self):
        """The account's last line."""
        return self.bill()["lines"][-1]

    def owes(self, line, **tokens):
        """Asserts token counts of a line, by the names of its fields without `_tokens`."""
        self.assertEqual({k: line[f"{k}_tokens"] for k in tokens}, tokens)

    def run_async(self, coroutine):
        return asyncio.run(coroutine)
