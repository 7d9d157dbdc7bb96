"""What is read in one go is what the dialect and `usage_of` read, whatever the body says."""

import random
import unittest

from bursar.errors import InvalidArgumentError
from bursar.usage import usage_of
from bursar.wire import dialect_of
from bursar.wire.quick import chat_ask, chat_usage
from support import LONG

VALUES = [0, 1, 5, 7, 7, 7, 12, None, "x", -1, True, False, 2**31, 2**40, 1.0, [], {}, [1],
          {"a": 1}]  # fmt: skip
TEXTS = ["", "hello", "häuser", "日本語", "x" * 300, "\ud800", None, 5,
         [{"type": "text", "text": "a"}]]  # fmt: skip


class Quick(unittest.TestCase):
    def setUp(self):
        self.random = random.Random(7)

    def maybe(self, body, share, **values):
        for name, value in values.items():
            if self.random.random() < share:
                body[name] = value
        return body

    def test_usage(self):
        pick, read = self.random.choice, 0
        for _ in range(20_000 * LONG):
            made, out = pick([0, 5, 12, 100, -1, True, "x"]), pick([0, 3, 7, None])
            total = made + (out or 0) if type(made) is int and pick([0, 1, 1]) else pick(VALUES)
            found = {"prompt_tokens": made, "completion_tokens": out, "total_tokens": total}
            self.maybe(
                found, 0.5,
                prompt_tokens_details=pick([None, {}, [1], self.maybe(
                    {}, 0.6, cached_tokens=pick(VALUES), audio_tokens=pick(VALUES))]),
                completion_tokens_details=pick([None, {}, 3, self.maybe(
                    {}, 0.6, reasoning_tokens=pick(VALUES), audio_tokens=pick(VALUES),
                    accepted_prediction_tokens=pick(VALUES))]))
            self.maybe(found, 0.03, num_cached_tokens=pick(VALUES))
            quick = chat_usage(found)
            if quick is not None:
                read += 1
                try:
                    self.assertEqual(usage_of(found, "openai"), quick, found)
                except InvalidArgumentError:
                    self.fail(f"{found} was read as {quick}")
        self.assertGreater(read, 1_000)

    def test_what_is_asked(self):
        pick, read = self.random.choice, 0
        chat = dialect_of("POST", "/v1/chat/completions")
        for _ in range(20_000 * LONG):
            messages = [
                self.maybe({"role": pick(["user", "system", "user", "é", None]),
                            "content": pick(TEXTS[: pick([5, 9])])}, 0.03, name="x")
                for _ in range(self.random.randrange(4))
            ]  # fmt: skip
            body = {"messages": messages if pick([1] * 20 + [0]) else pick(VALUES)}
            self.maybe(body, 0.95, model=pick(["gpt-4o", "gpt-5", "o3", "x/y", "", None]))
            self.maybe(body, 0.6, max_tokens=pick(VALUES))
            self.maybe(body, 0.2, max_completion_tokens=pick(VALUES), temperature=1,
                       stream=pick([True, False, None, 1]))
            self.maybe(body, 0.02, n=2, tools=[{"type": "function"}], service_tier="flex",
                       stream_options={"include_usage": True}, web_search_options={},
                       prompt_cache_options={"mode": "explicit"})
            path = pick(["/v1/chat/completions"] * 9 + ["/deployments/d/chat/completions"])
            host = pick(["", "api.openai.com", "api.mistral.ai"])
            quick = chat_ask(chat, body, path, host)
            if quick is not None:
                read += 1
                self.assertEqual(chat.ask(body, path, host), quick, (body, path, host))
        self.assertGreater(read, 500)
        for odd in (None, [], "x", 5, {"messages": None}):
            self.assertIsNone(chat_ask(chat, odd, "", ""))


if __name__ == "__main__":
    unittest.main()
