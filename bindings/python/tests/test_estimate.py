"""Estimates learn: from steps, from wrapped requests, with a tokenizer of one's own."""

import json
import random
import unittest

import bursar
from bursar import BursarWarning, Content, InvalidArgumentError, NotFoundError, estimate_tokens
from bursar.wire.attempt import begin
from bursar.wire.dialects import dialect_of
from bursar.wire.gate import Gate
from bursar.wire.guess import conversation
from support import Case

ONE = 1 << 24


class Reference:
    """The method again, for one model and kind, in Python's numbers."""

    def __init__(self):
        self.rate, self.seen = [ONE * 5 // 16] * 2, [0, 0]
        self.width = [ONE // 2 - ONE * 5 // 16, ONE - ONE * 5 // 16]
        self.last = {}

    def margin(self, width, size):
        return min(width, ONE) * size + width * 256

    def guess(self, session, size):
        """Which way, the likely number, the one to reserve, and the span."""
        margin = self.margin(self.width[0], size)
        rate, judged, base, way, span = self.rate[0], size, 0, 0, size + 256
        if session in self.last:
            before, tokens, output = self.last[session]
            grown = size - before
            growth = self.margin(self.width[1], abs(grown) + 4 * output)
            if growth <= margin:
                way, margin, base, rate, span = 1, growth, tokens, self.rate[1], abs(grown) + 256
                judged = grown if grown < 0 else span
            else:
                way, rate = 2, min((tokens * ONE + rate * 256) // (before + 256), ONE)
        likely = max(base * ONE + rate * judged, 0)
        return way, (likely + ONE // 2) >> 24, -(-(likely + margin) >> 24), span

    def learn(self, session, size, tokens, output):
        way, likely, most, span = self.guess(session, size)
        i, width = way & 1, self.width[way & 1]
        self.width[i] = (
            min(width * 2, 4_096 * ONE) if tokens > most else max(width - width // 576, ONE // 256))
        if way < 2:
            self.seen[i] = min(self.seen[i] + 1, 16)
            off = toward_zero((tokens - likely) * ONE, span)
            off = toward_zero(max(-ONE, min(ONE, off)), self.seen[i])
            self.rate[i] = max(0, min(ONE, self.rate[i] + off))
        self.last[session] = size, tokens, output


def toward_zero(number, by):
    return number // by if number >= 0 else -(-number // by)


class Estimates(Case):
    def test_it_answers_as_the_reference_does(self):
        dice = random.Random(5)
        reference = Reference()
        sessions = [self.session("$9", path=f"acme/{n}") for n in range(4)]
        sizes = [0] * 4
        for step in range(3_000):
            n = dice.randrange(4)
            sizes[n] = dice.randrange(100_000) if not dice.randrange(9) else sizes[n] + dice.randrange(3_000)
            tokens, output = 1 + int(sizes[n] * dice.choice([0.2, 0.3, 0.9])), dice.randrange(900)
            guess = sessions[n].estimate("gpt-4o", sizes[n])
            self.assertEqual(reference.guess(n, sizes[n])[1:3], (guess.tokens, guess.tokens_max), step)
            guess.learn(tokens, output)
            reference.learn(n, sizes[n], tokens, output)
        seen = self.rt.estimate_error("gpt-4o")
        self.assertEqual(3_000, seen.steps)
        self.assertLessEqual(seen.below, 3_000 / 400 + 14)

    def test_a_step_learns_from_what_it_settles(self):
        s = self.session("$100")
        messages = [{"role": "user", "content": "word " * 2_000}]
        before = s.estimate("gpt-4o", messages).tokens_max
        for _ in range(3):
            with s.step("gpt-4o", input=messages, max_output_tokens=10) as step:
                step.settle({"prompt_tokens": 2_010, "completion_tokens": 3, "total_tokens": 2_013})
        after = s.estimate("gpt-4o", messages)
        self.assertGreater(before, 4_000)
        self.assertAlmostEqual(2_010, after.tokens, delta=100)
        self.assertEqual(3, self.rt.estimate_error("gpt-4o").steps)
        with s.step("gpt-4o", input=messages, max_output_tokens=10) as step:
            step.settle(input_tokens=2_010, output_tokens=3, incomplete=True)
        with s.step("gpt-4o", input=messages, max_output_tokens=10) as step:
            step.settle(worst=True)
        with s.step("gpt-4o", input=2_010, max_output_tokens=10) as step:
            step.settle(input_tokens=2_010, output_tokens=3)
        self.assertEqual(3, self.rt.estimate_error().steps, "what says nothing of the input")

    def test_a_downgraded_step_teaches_the_model_that_was_granted(self):
        self.rt.budget("acme/support", "$9", top_rung={"routine": 2})
        s = self.session("$1", ladder="gpt-4o, gpt-4o-mini", complexity="routine")
        with s.step("gpt-4o", input="x" * 4_000, max_output_tokens=10) as step:
            self.assertEqual("gpt-4o-mini", step.model)
            step.settle(input_tokens=1_000, output_tokens=3)
        self.assertEqual(0, self.rt.estimate_error("gpt-4o").steps)
        self.assertEqual(1, self.rt.estimate_error("gpt-4o-mini").steps)

    def test_what_is_beyond_ascii_has_a_kind_of_its_own(self):
        s = self.session("$1")
        plain, wide = s.estimate("gpt-4o", "abc" * 1_000), s.estimate("gpt-4o", "日" * 1_000)
        self.assertLess(plain.tokens_max, 1_600)
        self.assertGreater(wide.tokens_max, 3_000)
        self.assertLess(s.estimate("gpt-4o", "日" * 10 + "a" * 9_000).tokens_max, 5_000)
        picture = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
        self.assertGreater(s.estimate("gpt-4o", picture).tokens_max, 5_000)
        s.estimate("gpt-4o", 100, kind="json").learn(40)
        self.assertEqual(1, self.rt.estimate_error(kind=Content.JSON).steps)

    def test_words_beside_a_picture_count(self):
        picture, words = "data:image/png;base64," + "A" * 90_000, "word " * 4_000
        alone = [
            {"type": "image_url", "image_url": {"url": picture, "detail": "high"}},
            {"type": "input_image", "image_url": picture},
            {"type": "input_image", "image_url": "https://example.com/a.png"},
            {"type": "image", "source": {"type": "base64", "data": "A" * 90_000}},
            {"image_url": {"url": picture}},
            {"inline_data": {"mime_type": "image/png", "data": b"A" * 90_000}},
        ]
        for part in alone:
            with self.subTest(str(part)[:60]):
                self.assertEqual(5_000, estimate_tokens(part) // 100 * 100)
                for beside in ({"text": words}, {"role": "user", "content": words},
                               {"content": [{"type": "text", "text": words}]}):
                    more = estimate_tokens({**part, **beside}) - estimate_tokens(part)
                    self.assertGreaterEqual(more, 8_000)
                    self.assertLess(more, 8_100)
        self.assertGreater(estimate_tokens({"image_url": {"url": picture, "text": words}}), 13_000)
        self.assertGreater(estimate_tokens({"image_url": words}), 13_000)
        sound = {"type": "input_audio", "input_audio": {"data": "A" * 40_000, "format": "wav"}}
        self.assertEqual(1_000, estimate_tokens(sound) // 100 * 100)
        self.assertGreater(estimate_tokens({**sound, "text": words}), 9_000)

    def test_a_tokenizer_counts_and_its_error_is_learnt(self):
        s = self.session("$1")
        self.rt.tokenizer("gpt-", lambda text: 10)
        self.rt.tokenizer("gpt-4o", lambda text: len(text.split()))
        text = "one two three four " * 100
        self.assertEqual(400, s.estimate("gpt-4o", text).tokens)
        self.assertEqual(10, s.estimate("gpt-5", text).tokens)
        self.assertNotEqual(400, s.estimate("claude-sonnet-4-5", text).tokens)
        for _ in range(40):  # it leaves out a quarter
            self.rt.estimate("gpt-4o", text).learn(500)
        self.assertAlmostEqual(500, self.rt.estimate("gpt-4o", text).tokens, delta=10)
        self.rt.tokenizer("gpt-4o", None)
        self.assertEqual(12, s.estimate("gpt-4o", text).tokens)  # of the other, and a quarter
        with self.assertRaises(InvalidArgumentError):
            self.rt.tokenizer("gpt-", "tiktoken")

    def test_a_tokenizer_that_fails_is_told_of_and_does_without(self):
        for bad in (lambda text: 1 // 0, lambda text: -1, lambda text: "9"):
            self.rt.tokenizer("", bad)
            with self.assertWarns(BursarWarning):
                self.assertGreater(self.rt.estimate("gpt-4o", "x" * 1_000).tokens_max, 400)

    def test_bad_input_gets_an_error(self):
        for arguments, error in (
                (("gpt-4o", -1), InvalidArgumentError), (("gpt-4o", 1 << 31), InvalidArgumentError),
                (("gpt-4o", 1.5), TypeError), (("gpt-4o", True), TypeError)):
            with self.assertRaises(error):
                self.rt.estimate(*arguments)
        with self.assertRaises(InvalidArgumentError):
            self.rt.estimate("gpt-4o", 1, kind=256)
        with self.assertRaises(InvalidArgumentError):
            self.rt.estimate("gpt-4o", 1).learn(-1)
        self.assertTrue(issubclass(NotFoundError, bursar.BursarError))
        self.assertEqual((0, 0, 0.0, 0.0, 0, 0), self.rt.estimate_error())


class Requests(Case):
    def ask(self, s, messages, tokens, **answer):
        """One wrapped request; what was reserved for it, in dollars."""
        gate = Gate(lambda: s)
        path = "/v1/chat/completions"
        body = {"model": "plain", "messages": messages, "max_tokens": 1}
        dialect = dialect_of("POST", path)
        attempt = begin(gate, s, dialect, path, "api.openai.com", json.dumps(body).encode())
        self.assertEqual(0.0, attempt.admit())
        held = s.read().reserved_nanos
        usage = {"prompt_tokens": tokens, "completion_tokens": 1, "total_tokens": tokens + 1}
        attempt.answered(200, json.dumps({"choices": [], "usage": usage, **answer}).encode())
        return held // 1_000 - 1

    def setUp(self):
        super().setUp()
        self.rt.price("plain", input="$1/M", output="$1/M")

    def test_a_conversation_over_http_is_soon_reserved_at_what_it_costs(self):
        s = self.session("$9")
        messages = [{"role": "system", "content": "You are brief. " * 400}]
        for n in range(60):
            messages.append({"role": "user", "content": f"question {n} " * 40})
            tokens = len(json.dumps(messages)) // 4
            reserved = self.ask(s, messages, tokens)
            if n == 0:
                self.assertGreater(reserved, tokens * 3 // 2)
        self.assertGreater(reserved, tokens)
        self.assertLess(reserved, tokens * 107 // 100)
        seen = self.rt.estimate_error("plain")
        self.assertEqual((60, 0), (seen.steps, seen.below))

    def test_what_the_provider_s_tools_brought_is_not_learnt(self):
        s = self.session("$9")
        tooled = {"output": [{"type": "web_search_call", "status": "completed"}]}
        path = "/v1/responses"
        body = {"model": "plain", "input": "news?", "max_output_tokens": 16,
                "tools": [{"type": "web_search"}]}
        dialect = dialect_of("POST", path)
        attempt = begin(Gate(lambda: s), s, dialect, path, "api.openai.com", json.dumps(body).encode())
        attempt.admit()
        usage = {"input_tokens": 9_000, "output_tokens": 5, "total_tokens": 9_005}
        attempt.answered(200, json.dumps({**tooled, "usage": usage}).encode())
        self.assertEqual(0, self.rt.estimate_error().steps)

    def test_a_tokenizer_counts_wrapped_requests_too(self):
        seen = []
        self.rt.tokenizer("plain", lambda text: seen.append(text) or 700)
        s = self.session("$9")
        reserved = self.ask(s, [{"role": "user", "content": "hello"}], 700)
        self.assertIn("hello", seen[0])
        self.assertTrue(700 < reserved < 1_000, reserved)
        self.assertEqual(1, self.rt.estimate_error("plain", Content.COUNTED).steps)

    def test_a_conversation_is_told_by_how_it_begins(self):
        first = {"role": "user", "content": "book a flight"}
        one = {"messages": [{"role": "system", "content": "S" * 999}, first]}
        more = {"messages": one["messages"] + [{"role": "assistant", "content": "to where?"}]}
        other = {"messages": [one["messages"][0], {"role": "user", "content": "cancel it"}]}
        self.assertEqual(conversation(one), conversation(more))
        self.assertNotEqual(conversation(one), conversation(other))
        a, b = ({"system": name, "messages": [first]} for name in "ab")
        self.assertNotEqual(conversation(a), conversation(b))
        for odd in ({}, {"messages": 5}, {"messages": []}, {"input": [[[[[[]]]]]]},
                    {"contents": [{"parts": [{"text": "x", "n": {"deep": {"er": {}}}}]}]}):
            conversation(odd)


if __name__ == "__main__":
    unittest.main()
