"""`session.wrap` around the real OpenAI SDK, against a server on the loopback."""

import asyncio
import socket
import threading
import time
import unittest
import warnings

import bursar
from support import Case

try:
    import openai
except ImportError:
    openai = None

from stub_server import INPUT, OUTPUT, Stub

MESSAGES = [{"role": "user", "content": "hello there, how are you?"}]
IN_NANOS, OUT_NANOS = 1_000, 10_000
COST = INPUT * IN_NANOS + OUTPUT * OUT_NANOS


@unittest.skipIf(openai is None, "the openai package is not installed")
class Wrapped(Case):
    def setUp(self):
        super().setUp()
        self.stub = Stub()
        self.addCleanup(self.stub.close)
        self.rt.price("big", input="$1/M", output="$10/M")
        self.rt.price("small", input="$0.10/M", output="$1/M")
        self.s = self.session("$1", path="acme/demo")

    def client(self, session=None, retries=2, **options):
        inner = openai.OpenAI(base_url=self.stub.url, api_key="k", max_retries=retries)
        self.addCleanup(inner.close)
        return (session or self.s).wrap(inner, **options)

    def ask(self, client, **options):
        return client.chat.completions.create(**{
            "model": "big", "messages": MESSAGES, "max_tokens": 50, **options})

    def spent(self):
        view = self.s.read()
        self.assertEqual(0, view.reserved_nanos)
        return view.spent_nanos


class Sync(Wrapped):
    def test_a_call_is_reserved_and_settled_from_its_usage(self):
        client = self.client()
        answer = self.ask(client)
        self.assertEqual("word " * OUTPUT, answer.choices[0].message.content)
        self.assertEqual(COST, self.spent())
        self.assertEqual([("big", INPUT, OUTPUT)], self.stub.billed)
        self.assertIsInstance(client, openai.OpenAI)
        self.assertEqual("k", client.api_key)

    def test_it_sends_the_model_and_the_limit_that_were_granted(self):
        s = self.session("$0.002", path="acme/other", ladder=["big", "small"])
        self.ask(self.client(s), max_tokens=1_000)
        _, body = self.stub.requests[0]
        self.assertEqual(("small", 1_000), (body["model"], body["max_tokens"]))
        for name in ("max_tokens", "max_completion_tokens"):
            self.ask(self.client(self.session("$0.004", path="acme/other")), **{
                "max_tokens": openai.NOT_GIVEN, name: 10_000})
            _, body = self.stub.requests[-1]
            self.assertTrue(256 <= body[name] < 400, body)
            self.assertEqual(1, len({"max_tokens", "max_completion_tokens"} & set(body)))

    def test_a_call_without_a_limit_gets_one(self):
        self.ask(self.client(max_output_tokens=777), max_tokens=openai.NOT_GIVEN)
        _, body = self.stub.requests[0]
        self.assertEqual(777, body["max_tokens"])

    def test_a_refused_call_is_never_sent(self):
        s = self.session("$0.00001", path="acme/poor")
        with self.assertRaises(bursar.BudgetExceeded):
            self.ask(self.client(s))
        self.rt.kill("acme")
        with self.assertRaises(bursar.Killed):
            self.ask(self.client())
        self.assertEqual([], self.stub.requests)

    def test_every_attempt_is_a_step_of_its_own(self):
        quick = {"retry-after-ms": "1"}
        self.stub.plan = [{"status": 429, "headers": quick}, {"status": 500, "headers": quick}, {}]
        self.ask(self.client())
        self.assertEqual(3, len(self.stub.requests))
        [row] = self.rt.spend()
        self.assertEqual((2, 1), (row.steps, row.estimated_steps))  # 429 released, 500 at worst
        worst = self.spent() - COST
        self.assertGreaterEqual(worst, 50 * OUT_NANOS)

    def test_the_client_s_patience_is_kept(self):
        quick = {"retry-after-ms": "1"}
        self.stub.plan = [{"status": 429, "headers": quick}] * 5
        with self.assertRaises(openai.RateLimitError):
            self.ask(self.client(retries=1))
        self.assertEqual(2, len(self.stub.requests))
        with self.assertRaises(openai.RateLimitError):
            self.ask(self.client(retries=2).with_options(max_retries=0))
        self.assertEqual(3, len(self.stub.requests))
        self.assertEqual(0, self.spent())

    def test_retry_after_is_honoured(self):
        self.stub.plan = [{"status": 429, "headers": {"retry-after": "0.3"}}]
        start = time.monotonic()
        self.ask(self.client())
        self.assertGreaterEqual(time.monotonic() - start, 0.3)

    def test_a_mistake_of_the_caller_costs_nothing_and_is_not_tried_again(self):
        self.stub.plan = [{"status": 400}]
        with self.assertRaises(openai.BadRequestError):
            self.ask(self.client())
        self.assertEqual((1, 0), (len(self.stub.requests), self.spent()))

    def test_a_connection_that_is_lost_may_have_been_billed(self):
        self.stub.plan = [{"drop": True}]
        with self.assertRaises(openai.APIConnectionError):
            self.ask(self.client(retries=0))
        self.assertGreaterEqual(self.spent(), 50 * OUT_NANOS)

    def test_a_connection_that_was_never_made_was_not(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        inner = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="k", max_retries=0)
        self.addCleanup(inner.close)
        with self.assertRaises(openai.APIConnectionError):
            self.ask(self.s.wrap(inner))
        self.assertEqual(0, self.spent())

    def test_an_answer_without_usage_is_paid_at_the_worst_case(self):
        self.stub.plan = [{"no_usage": True}]
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            self.assertTrue(self.ask(self.client()).choices)
        self.assertEqual([bursar.BursarWarning], [w.category for w in seen if
                                                  w.category is bursar.BursarWarning])
        self.assertGreaterEqual(self.spent(), 50 * OUT_NANOS)

    def test_a_throttled_call_waits_as_long_as_it_may(self):
        s = self.session("5 steps/s burst 1", path="acme/slow")
        client = self.client(s)
        start = time.monotonic()
        for _ in range(3):
            self.ask(client)
        self.assertGreaterEqual(time.monotonic() - start, 0.35)
        with self.assertRaises(bursar.Throttled):
            self.ask(self.client(s, wait=0.01))

    def test_calls_wait_for_what_others_hold(self):
        s = self.session("1 in_flight", path="acme/narrow")
        client = self.client(s)
        threads = [threading.Thread(target=self.ask, args=(client,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(4 * COST, s.read().spent_nanos)

    def test_responses_and_embeddings_are_metered_too(self):
        client = self.client()
        client.responses.create(model="big", input="hello", max_output_tokens=50)
        self.assertEqual(COST, self.spent())
        client.embeddings.create(model="big", input="hello")
        self.assertEqual(COST + INPUT * IN_NANOS, self.spent())

    def test_raw_responses_are_metered(self):
        client = self.client()
        ask = {"model": "big", "messages": MESSAGES, "max_tokens": 50}
        raw = client.chat.completions.with_raw_response.create(**ask)
        self.assertEqual("word " * OUTPUT, raw.parse().choices[0].message.content)
        self.assertEqual(COST, self.spent())
        raw = client.with_raw_response.chat.completions.create(**ask, stream=True)
        self.assertEqual(OUTPUT, len(list(raw.parse())))
        self.assertEqual(2 * COST, self.spent())
        with client.chat.completions.with_streaming_response.create(**ask) as raw:
            self.assertEqual(0, self.s.read().spent_nanos - 2 * COST)  # nothing of it was read
            self.assertIn(b"word", b"".join(raw.iter_bytes(7)))
        self.assertEqual(3 * COST, self.spent())
        with client.chat.completions.with_streaming_response.create(**ask):
            pass  # billed, and nobody read what
        self.assertGreaterEqual(self.spent(), 3 * COST + 50 * OUT_NANOS)

    def test_parsing_is_metered(self):
        try:
            import pydantic
        except ImportError:
            self.skipTest("no pydantic")

        class Answer(pydantic.BaseModel):
            text: str

        with self.assertRaises(pydantic.ValidationError):  # the stub answers in words, not JSON
            self.client().chat.completions.parse(
                model="big", messages=MESSAGES, max_tokens=50, response_format=Answer)
        self.assertEqual(COST, self.spent())


class Streams(Wrapped):
    def test_a_stream_is_settled_from_its_last_chunk_which_nobody_sees(self):
        chunks = list(self.ask(self.client(), stream=True))
        self.assertEqual(OUTPUT, len(chunks))
        self.assertTrue(all(chunk.choices for chunk in chunks))
        self.assertEqual({"include_usage": True}, self.stub.requests[0][1]["stream_options"])
        self.assertEqual(COST, self.spent())

    def test_unless_it_was_asked_for(self):
        chunks = list(self.ask(self.client(), stream=True, stream_options={"include_usage": True}))
        self.assertEqual(OUTPUT, chunks[-1].usage.completion_tokens)

    def test_a_killed_stream_is_cut_and_paid_for(self):
        self.stub.plan = [{"output": 400, "pause": 0.005}]
        seen = 0
        with self.assertRaises(bursar.Killed):
            for _ in self.ask(self.client(), stream=True, max_tokens=1_000):
                seen += 1
                if seen == 3:
                    self.rt.kill("acme")
        self.assertEqual(3, seen)
        self.assertTrue(self.stub.cut.wait(10))
        self.assertGreaterEqual(self.spent(), 4 * OUT_NANOS)
        self.assertLess(self.spent(), 1_000 * OUT_NANOS)

    def test_a_stream_left_early_is_paid_for(self):
        self.stub.plan = [{"output": 400, "pause": 0.002}] * 3
        client = self.client()
        with self.ask(client, stream=True, max_tokens=1_000) as stream:
            next(stream)
        first = self.spent()
        self.assertTrue(OUT_NANOS < first < 1_000 * OUT_NANOS)
        for _ in self.ask(client, stream=True, max_tokens=1_000):
            break
        self.assertGreater(self.spent(), first)
        stream = self.ask(client, stream=True, max_tokens=1_000)
        stream.close()
        stream.close()
        self.spent()

    def test_one_that_ends_without_usage_is_paid_at_what_was_seen(self):
        self.stub.plan = [{"cut": 3}]
        self.assertEqual(3, len(list(self.ask(self.client(), stream=True))))
        self.assertGreaterEqual(self.spent(), 3 * OUT_NANOS)

    def test_the_sdk_s_stream_helper_is_metered(self):
        with self.client().chat.completions.stream(
                model="big", messages=MESSAGES, max_tokens=50) as stream:
            text = "".join(e.delta for e in stream if e.type == "content.delta")
        self.assertEqual("word " * OUTPUT, text)
        self.assertEqual(COST, self.spent())

    def test_streamed_responses_are_metered(self):
        events = list(self.client().responses.create(
            model="big", input="hello", max_output_tokens=50, stream=True))
        self.assertEqual("response.completed", events[-1].type)
        self.assertEqual(COST, self.spent())


class Async(Wrapped):
    def run_async(self, body):
        async def run():
            async with openai.AsyncOpenAI(base_url=self.stub.url, api_key="k") as inner:
                await body(self.s.wrap(inner))

        asyncio.run(run())

    def test_calls_retries_and_streams(self):
        async def body(client):
            self.assertIsInstance(client, openai.AsyncOpenAI)
            self.stub.plan = [{"status": 429, "headers": {"retry-after-ms": "1"}}]
            await self.ask(client)
            self.assertEqual(2, len(self.stub.requests))
            chunks = [c async for c in await self.ask(client, stream=True)]
            self.assertEqual(OUTPUT, len(chunks))
            await client.responses.create(model="big", input="hello", max_output_tokens=50)
            async with client.chat.completions.stream(
                    model="big", messages=MESSAGES, max_tokens=50) as stream:
                async for _ in stream:
                    pass

        self.run_async(body)
        self.assertEqual(4 * COST, self.spent())

    def test_a_killed_stream_is_cut(self):
        async def body(client):
            self.stub.plan = [{"output": 400, "pause": 0.005}]
            with self.assertRaises(bursar.Killed):
                async for _ in await self.ask(client, stream=True, max_tokens=1_000):
                    self.rt.kill("acme")

        self.run_async(body)
        self.assertTrue(0 < self.spent() < 1_000 * OUT_NANOS)

    def test_a_cancelled_call_may_have_been_billed(self):
        async def body(client):
            self.stub.plan = [{"output": 400, "pause": 0.05}]
            stream = await self.ask(client, stream=True, max_tokens=1_000)

            async def read():
                async for _ in stream:
                    pass

            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(read(), 0.2)

        self.run_async(body)
        self.assertTrue(OUT_NANOS < self.spent() < 1_000 * OUT_NANOS)

    def test_many_at_once_never_pass_the_budget(self):
        s = self.session("$0.001", path="acme/shared")

        async def run():
            async with openai.AsyncOpenAI(base_url=self.stub.url, api_key="k") as inner:
                client = s.wrap(inner)
                return await asyncio.gather(
                    *(self.ask(client) for _ in range(40)), return_exceptions=True)

        results = asyncio.run(run())
        refused = [r for r in results if isinstance(r, bursar.BudgetExceeded)]
        self.assertEqual(len(results), len(refused) + len(self.stub.billed))
        self.assertTrue(refused)
        self.assertLessEqual(s.read().spent_nanos, 1_000_000)
        self.assertEqual(len(self.stub.billed) * COST, s.read().spent_nanos)


if __name__ == "__main__":
    unittest.main()
