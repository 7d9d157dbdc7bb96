"""One attempt by itself: what each way to end does to its reservation."""

import json
import os
import types
import unittest
import warnings
from unittest import mock

import bursar
from bursar.wire import dialect_of
from bursar.wire import settling
from bursar.wire.attempt import begin
from bursar.wire.gate import Carrier, Gate, carrying
from support import Case

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"


def chunk(text):
    said = {"choices": [{"index": 0, "delta": {"content": text}}]}
    return b"data: " + json.dumps(said).encode() + b"\n\n"


class Attempts(Case):
    def setUp(self):
        super().setUp()
        warnings.simplefilter("ignore")
        self.addCleanup(warnings.resetwarnings)
        self.rt.price("m", input="$1/M", output="$10/M")
        self.rt.price("small", input="$0.1/M", output="$1/M")
        self.s = self.session("$1")
        self.gate = Gate(lambda: self.s)

    def attempt(self, path=CHAT, is_new=False, **more):
        body = {"model": "m", "max_tokens": 1_000, "messages": [{"role": "user", "content": "hi"}]}
        if path == RESPONSES:
            body = {"model": "m", "max_output_tokens": 1_000, "input": "hi"}
        content = json.dumps({**body, **more}).encode()
        made = begin(self.gate, self.gate.session(), dialect_of("POST", path), path, "", content)
        if is_new:
            made.request = types.SimpleNamespace(headers={"x-stainless-retry-count": "0"})
        self.assertEqual(0, made.admit())
        return made

    def spent(self):
        view = self.s.read()
        self.assertEqual(0, view.reserved_nanos)
        return view.spent_nanos

    def test_statuses(self):
        for status in (301, 400, 401, 403, 404, 413, 422, 429):
            self.attempt().answered(status, b"{}")
            self.assertFalse(self.attempt(stream=True).opened(status, "application/json"))
            self.assertEqual(0, self.spent(), status)
        for status in (408, 409, 500, 502, 503, 504, 529):
            before = self.spent()
            self.attempt().answered(status, b"{}")
            self.assertGreaterEqual(self.spent() - before, 10_000_000, status)

    def test_errors(self):
        refused, unknown = ConnectionRefusedError(), OSError("lost")
        named = type("ConnectTimeout", (Exception,), {})()
        behind = RuntimeError("wrapped")
        behind.__cause__ = refused
        for error in (refused, named, behind):
            self.attempt().failed(error)
        self.assertEqual(0, self.spent())
        # what was being handled when it was sent again says nothing of it
        unknown.__context__ = refused
        self.attempt().failed(unknown)
        self.assertGreaterEqual(self.spent(), 10_000_000)

    def test_answers(self):
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        self.attempt().answered(200, json.dumps({"usage": usage}).encode())
        self.assertEqual(60_000, self.spent())
        for content in (b"", b"no json", b"[]", b"{}", b'{"usage": null}', b'{"usage": {"a": 1}}',
                        b'{"usage": {"prompt_tokens": -1, "completion_tokens": 5}}'):
            before = self.spent()
            self.attempt().answered(200, content)
            self.assertGreaterEqual(self.spent() - before, 10_000_000, content)

    def test_it_ends_once(self):
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        attempt = self.attempt()
        attempt.answered(200, json.dumps({"usage": usage}).encode())
        attempt.answered(500, b"")
        attempt.failed(OSError())
        attempt.close()
        del attempt
        self.assertEqual((60_000, 1), (self.spent(), self.s.read().steps))

    def test_one_that_is_dropped_is_paid_for(self):
        self.attempt()
        self.assertGreaterEqual(self.spent(), 10_000_000)

    def test_a_retry_knows_its_first(self):
        def options():
            made = self.attempt()
            found = made._options()
            made.answered(500, b"")
            return found.get("attempt"), found.get("parent")

        self.assertEqual((None, None), options())
        attempt, parent = options()
        self.assertEqual(1, attempt)
        self.assertEqual((2, parent), options())
        made = self.attempt(is_new=True)  # the same words, and no retry
        self.assertNotIn("attempt", made._options())
        made.answered(429, b"")
        self.assertEqual({}, self.attempt(temperature=1)._options().keys() & {"attempt"} or {})

    def test_a_stream_that_gives_more_than_granted_is_cut(self):
        attempt = self.attempt(stream=True, max_tokens=3)
        attempt.opened(200, "text/event-stream")
        for _ in range(3):
            self.assertTrue(attempt.feed(chunk("word")))
        self.assertEqual(b"", attempt.feed(chunk("word")))
        self.assertIsInstance(attempt.refused, bursar.BudgetExceeded)
        attempt.close()
        self.assertGreater(self.spent(), 3 * 10_000)

    def test_pieces_before_the_cut_are_handed_on(self):
        attempt = self.attempt(stream=True, max_tokens=2)
        attempt.opened(200, "text/event-stream")
        granted = chunk("a") + chunk("b")
        self.assertEqual(granted, attempt.feed(granted + chunk("c")))
        self.assertIsNotNone(attempt.refused)
        self.assertEqual((b"", b""), (attempt.feed(chunk("d")), attempt.finish()))
        self.spent()

    def test_a_tool_that_the_provider_ran_is_charged(self):
        self.rt.tool_price("web_search", "$0.01")
        answer = {"id": "resp_1", "output": [
            {"type": "web_search_call", "status": "completed", "action": {"type": "search"}}] * 2,
            "usage": {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}}
        self.attempt(RESPONSES, tools=[{"type": "web_search"}]).answered(
            200, json.dumps(answer).encode())
        self.assertEqual(60_000 + 20_000_000, self.spent())
        self.assertEqual(2, self.s.read().tool_calls)

    def test_what_a_stored_answer_brings_is_held(self):
        answer = {"id": "resp_2", "output": [],
                  "usage": {"input_tokens": 50_000, "output_tokens": 0, "total_tokens": 50_000}}
        first = self.attempt(RESPONSES)
        held = self.s.read().reserved_nanos
        first.answered(200, json.dumps(answer).encode())
        second = self.attempt(RESPONSES, previous_response_id="resp_2")
        self.assertGreaterEqual(self.s.read().reserved_nanos - held, 50_000_000)
        second.answered(400, b"")

    def test_answers_of_another_provider_push_none_out(self):
        answer = {"id": "resp_3", "output": [],
                  "usage": {"input_tokens": 50_000, "output_tokens": 0, "total_tokens": 50_000}}
        self.attempt(RESPONSES).answered(200, json.dumps(answer).encode())
        with mock.patch.object(settling, "_STORED_MAX", 3):
            for n in range(9):
                told = {"id": f"msg_{n}", "usage": {"input_tokens": 1, "output_tokens": 1}}
                self.attempt(MESSAGES).answered(200, json.dumps(told).encode())
        held = self.s.read().reserved_nanos
        second = self.attempt(RESPONSES, previous_response_id="resp_3")
        self.assertGreaterEqual(self.s.read().reserved_nanos - held, 50_000_000)
        second.answered(400, b"")

    def test_a_runtime_that_was_closed_is_no_trouble(self):
        attempt = self.attempt(stream=True)
        attempt.opened(200, "text/event-stream")
        self.rt.close()
        attempt.close()
        del attempt

    def test_a_body_that_says_nothing_is_not_billed_and_passes(self):
        for content in (b"{}", b"[]", b'"x"'):
            self.assertIsNone(begin(
                self.gate, self.s, dialect_of("POST", CHAT), CHAT, "", content))
        with self.assertRaises(bursar.UnsupportedError):
            begin(self.gate, self.s, dialect_of("POST", CHAT), CHAT, "", b"{")

    def test_no_model_is_an_unknown_one(self):
        with self.assertRaises(bursar.Halted) as caught:
            self.attempt(model=None)
        self.assertIs(bursar.Reason.PRICE_UNKNOWN, caught.exception.decision.reason)

    def test_a_signed_request_goes_as_it_is_or_not_at_all(self):
        s = self.s = self.session("$0.012", ladder=["m", "small"])
        body = {"model": "m", "max_tokens": 1_000, "messages": [{"role": "user", "content": "hi"}]}

        def signed():
            made = begin(self.gate, s, dialect_of("POST", "/v1/messages"), "/v1/messages", "",
                         json.dumps(body).encode())  # fmt: skip
            made.signed = True
            self.assertEqual(0, made.admit())
            return made

        first = signed()
        self.assertIsNone(first.content)
        first.answered(200, b'{"usage": {"input_tokens": 10, "output_tokens": 500}}')
        with self.assertRaises(bursar.BudgetExceeded):
            signed()

    def test_a_child_of_fork_settles_nothing_of_its_parent_s(self):
        attempt = self.attempt()
        child = os.fork()
        if child == 0:
            attempt.close()
            os._exit(0 if attempt._reservation else 1)
        self.assertEqual(0, os.waitpid(child, 0)[1])
        attempt.answered(429, b"")
        self.assertEqual(0, self.spent())

    def test_a_refusal_is_carried_where_exceptions_are_swallowed(self):
        error = bursar.UnsupportedError("x")
        self.assertIs(error, self.gate.raised(error))
        token = carrying.set(True)
        try:
            self.assertIsInstance(self.gate.raised(error), Carrier)
        finally:
            carrying.reset(token)


if __name__ == "__main__":
    unittest.main()
