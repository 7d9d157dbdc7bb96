"""What goes wrong at the provider, on purpose, and what it bills for it."""

import json
import socket
import threading
import time
import unittest
from decimal import Decimal

import anthropic
import httpx2
import openai
from google import genai
from google.genai import types

from casework import Case

ASK = [{"role": "user", "content": "hello there"}]  # 11 bytes are 3 tokens
CHAT = {"model": "gpt-5-mini", "messages": ASK}
CLAUDE = {"model": "claude-haiku-4-5", "max_tokens": 100, "messages": ASK}


class Faults(Case):
    def openai(self, scenario, **more):
        return openai.OpenAI(base_url=self.url(scenario) + "/v1", api_key=self.account, **more)

    def anthropic(self, scenario, **more):
        return anthropic.Anthropic(base_url=self.url(scenario), api_key=self.account, **more)

    def google(self, scenario):
        retry = types.HttpRetryOptions(attempts=3, initial_delay=0.01, max_delay=0.01, jitter=0)
        options = types.HttpOptions(base_url=self.url(scenario), retry_options=retry)
        self.kept = genai.Client(api_key=self.account, http_options=options)
        return self.kept.models

    def post(self, scenario, body, **more):
        headers = {"authorization": f"Bearer {self.account}"}
        return httpx2.post(self.url(scenario) + "/v1/chat/completions", json=body, headers=headers, **more)

    def ends(self):
        return [(n["status"], n["ended"], n["output_tokens"]) for n in self.bill()["lines"]]

    def test_first_attempts_fail_and_sdks_retry(self):
        self.openai("429=1,500=1,out=9").chat.completions.create(**CHAT)
        self.anthropic("429=1,500=1,out=9").messages.create(**CLAUDE)
        self.google("429=1,500=1,out=9").generate_content(model="gemini-2.5-flash", contents="hello there")
        failed = [(429, "error", 0), (500, "error", 0), (200, "complete", 9)]
        self.assertEqual(self.ends(), failed * 3)
        attempts = [n["attempt"] for n in self.bill()["lines"]]
        self.assertEqual(attempts, [0, 1, 2, 0, 1, 2, None, None, None])

    def test_every_so_many_requests_fail(self):
        for _ in range(6):
            self.post("429every=3,out=9", CHAT)
        self.assertEqual([n["status"] for n in self.bill()["lines"]], [200, 200, 429] * 2)

    def test_what_failed_is_billed_when_told_so(self):
        self.assertEqual(self.post("500=1,billed,out=9", CHAT).status_code, 500)
        self.assertEqual(self.ends(), [(500, "error", 9)])
        self.assertEqual(self.bill()["dollars"], "0.00001875")

    def test_when_to_come_again(self):
        answer = self.post("429=1,after=2.5", CHAT)
        self.assertEqual((answer.headers["retry-after-ms"], answer.headers["retry-after"]), ("2500", "3"))
        self.assertEqual(answer.json()["error"]["code"], "rate_limit_exceeded")
        path = f"{self.url('429=1')}/v1beta/models/gemini-2.5-pro:generateContent?key={self.account}"
        error = httpx2.post(path, json={"contents": []}).json()["error"]
        self.assertEqual((error["status"], error["details"][0]["retryDelay"]), ("RESOURCE_EXHAUSTED", "0.02s"))

    def test_a_stream_is_cut(self):
        heard = ""
        with self.assertRaises(openai.APIConnectionError):
            for chunk in self.openai("out=40,piece=4,cut=3").chat.completions.create(**CHAT, stream=True):
                heard += chunk.choices[0].delta.content or ""
        self.assertEqual(len(heard), 48)
        with self.assertRaises(httpx2.RemoteProtocolError):
            for _ in self.anthropic("out=40,cut=3").messages.create(**CLAUDE, stream=True):
                pass
        with self.assertRaisesRegex(Exception, "incomplete chunked read"):  # httpx2's, or httpx's
            for _ in self.google("out=40,cut=3,reasoning=8").generate_content_stream(
                model="gemini-2.5-flash", contents="hello there"):
                pass
        self.assertEqual(self.ends(), [(200, "cut", 12), (200, "cut", 12), (200, "cut", 20)])

    def test_a_whole_answer_is_cut(self):
        with self.assertRaises(openai.APIConnectionError):
            self.openai("out=40,cut=0", max_retries=0).chat.completions.create(**CHAT)
        self.assertEqual(self.ends(), [(200, "cut", 40)])

    def test_a_stream_ends_with_an_error(self):
        with self.assertRaises(openai.APIError):
            list(self.openai("out=40,fail=2").chat.completions.create(**CHAT, stream=True))
        kinds = [e.type for e in self.openai("out=40,fail=2").responses.create(
            model="gpt-5-mini", input="hello there", stream=True)]
        self.assertEqual(kinds[-1], "error")
        with self.assertRaises(anthropic.APIStatusError):
            list(self.anthropic("out=40,fail=2").messages.create(**CLAUDE, stream=True))
        with self.assertRaises(genai.errors.APIError):
            list(self.google("out=40,fail=2").generate_content_stream(model="gemini-2.5-pro", contents="hello there"))
        self.assertEqual(self.ends(), [(200, "error", 8)] * 4)

    def test_hanging_up_is_billed_for_what_came(self):
        heard = 0
        with self.openai("out=40,slow=0.5").chat.completions.create(**CHAT, stream=True) as stream:
            for chunk in stream:
                heard += len(chunk.choices[0].delta.content or "")
                if heard >= 32:
                    break
        with self.anthropic("out=40,slow=0.5").messages.stream(**CLAUDE) as stream:
            next(iter(stream.text_stream))
        self.assertEqual(heard, 32)
        self.assertEqual(self.ends(), [(200, "hung up", 8), (200, "hung up", 4)])
        self.assertEqual(self.bill()["lines"][0]["dollars"], "0.00001675")

    def test_reasoning_that_is_not_shown_is_billed_all_the_same(self):
        with self.openai("out=8,reasoning=40,piece=8,slow=0.05").chat.completions.create(**CHAT, stream=True) as stream:
            for chunk in stream:
                if chunk.choices[0].delta.content:
                    break
        line = self.line()
        self.assertGreaterEqual(line["output_tokens"], 48)
        self.assertEqual(line["reasoning_tokens"], 40)

    def test_no_answer_ever(self):
        with self.assertRaises(openai.APITimeoutError):
            self.openai("hang", max_retries=1, timeout=0.1).chat.completions.create(**CHAT)
        self.assertEqual(self.ends(), [(200, "hung up", 0)] * 2)
        self.assertEqual(self.bill()["dollars"], "0")

    def test_a_slow_answer_is_billed_whoever_waits(self):
        with self.assertRaises(openai.APITimeoutError):
            self.openai("slow=5,out=9", max_retries=0, timeout=0.1).chat.completions.create(**CHAT)
        self.assertEqual(self.ends(), [(200, "hung up", 9)])

    def test_usage_that_is_missing_or_cannot_be(self):
        create = self.openai("nousage").chat.completions.create
        self.assertIsNone(create(**CHAT).usage)
        chunks = list(create(**CHAT, stream=True, stream_options={"include_usage": True}))
        self.assertFalse([c for c in chunks if c.usage])
        with self.anthropic("nousage").messages.stream(**CLAUDE) as stream:
            self.assertIsNone(stream.get_final_message().usage.output_tokens)
        usage = self.google("nousage").generate_content(model="gemini-2.5-pro", contents="hello there").usage_metadata
        self.assertIsNone(usage)
        told = {}
        for wrong in ("high", "low", "negative", "text"):
            told[wrong] = self.post(f"out=10,wrong={wrong}", CHAT).json()["usage"]
            for path, body in (("/v1/messages", CLAUDE), ("/v1/responses", {"model": "gpt-5", "input": "hello"}),
                               ("/v1beta/models/gemini-2.5-pro:generateContent", {"contents": []})):
                answer = httpx2.post(self.url(f"wrong={wrong}") + path, json=body, headers={"x-api-key": self.account})
                self.assertEqual(answer.status_code, 200)
        self.assertEqual(told["high"]["completion_tokens"], 11000)
        self.assertEqual(told["low"]["prompt_tokens"], 0)
        self.assertEqual(told["negative"]["completion_tokens"], -10)
        self.assertEqual(told["text"]["completion_tokens"], "few")
        self.assertTrue(all(n["input_tokens"] >= 1 and n["output_tokens"] > 0 for n in self.bill()["lines"]))

    def test_a_word_that_is_none(self):
        answer = self.post("loop,sloow=1", CHAT)
        self.assertEqual(answer.status_code, 400)
        self.assertIn("'sloow=1' is no word of a scenario", answer.text)

    def test_counting_costs_nothing(self):
        count = self.anthropic("").messages.count_tokens(model="claude-haiku-4-5", messages=ASK)
        tokens = self.google("").count_tokens(model="gemini-2.5-flash", contents="hello there")
        self.assertEqual((count.input_tokens, tokens.total_tokens), (3, 3))
        self.assertEqual(self.bill()["lines"], [])

    def test_legacy_completions(self):
        create = self.openai("out=20").completions.create
        asked = {"model": "gpt-4o-mini", "prompt": ["hello there", "you"]}
        whole = create(**asked)
        self.assertEqual([c.finish_reason for c in whole.choices], ["length"] * 2)
        chunks = list(create(**asked, max_tokens=20, stream=True, stream_options={"include_usage": True}))
        self.assertEqual(chunks[-1].usage.completion_tokens, 40)
        self.assertEqual([n["output_tokens"] for n in self.bill()["lines"]], [32, 40])


class Many(Case):
    def test_a_hundred_at_once_on_connections_that_stay(self):
        """Twenty agents with five calls each: every answer is billed once, to who asked."""
        told = []  # dollars, as the answers said

        def agent(number):
            account = f"{self.account}-{number}"
            with openai.OpenAI(base_url=self.url("out=9,slow=0.01") + "/v1", api_key=account) as client:
                inner = [threading.Thread(target=call, args=(client, i)) for i in range(5)]
                [t.start() for t in inner]
                [t.join() for t in inner]

        def call(client, number):
            usage = client.chat.completions.create(
                model="gpt-5", messages=[{"role": "user", "content": "x" * 4 * (number + 1)}]).usage
            told.append(Decimal("1.25e-6") * usage.prompt_tokens + Decimal("1e-5") * usage.completion_tokens)

        agents = [threading.Thread(target=agent, args=(n,)) for n in range(20)]
        [t.start() for t in agents]
        [t.join() for t in agents]
        bills = [self.stub.bill(f"{self.account}-{n}") for n in range(20)]
        self.assertEqual([len(b["lines"]) for b in bills], [5] * 20)
        self.assertEqual(sum(Decimal(b["dollars"]) for b in bills), sum(told))
        self.stub.reset(f"{self.account}-0")
        self.assertEqual(self.stub.bill(f"{self.account}-0"), {"dollars": "0", "lines": []})
        self.assertEqual(len(self.stub.bill(f"{self.account}-1")["lines"]), 5)

    def test_requests_in_pieces_and_one_after_another(self):
        """The socket's own view: chunked bodies, split heads, a second request behind the first."""
        body = json.dumps(CHAT).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nAuthorization: Bearer {self.account}\r\n"
        chunked = f"{head}Transfer-Encoding: chunked\r\n\r\n".encode()
        chunked += b"5\r\n" + body[:5] + b"\r\n%x;x=1\r\n" % (len(body) - 5) + body[5:] + b"\r\n0\r\n\r\n"
        sized = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        host, port = self.stub.address[7:].split(":")
        with socket.create_connection((host, int(port)), timeout=10) as client:
            for byte in chunked:
                client.sendall(bytes([byte]))
            client.sendall(sized + sized)
            client.sendall(sized.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            heard = b""
            while data := client.recv(65536):
                heard += data
        self.assertEqual(heard.count(b"HTTP/1.1 200 OK"), 4)
        self.assertEqual(len(self.bill()["lines"]), 4)

    def test_what_is_in_flight(self):
        def ask():
            try:
                httpx2.post(self.url("hang") + "/v1/chat/completions", json=CHAT, timeout=0.3,
                            headers={"authorization": f"Bearer {self.account}"})
            except httpx2.TimeoutException:
                pass

        thread = threading.Thread(target=ask)
        thread.start()
        until = time.monotonic() + 5
        while not self.stub.inflight(self.account):
            self.assertLess(time.monotonic(), until)
        thread.join()
        self.assertEqual(self.line()["ended"], "hung up")


if __name__ == "__main__":
    unittest.main()
