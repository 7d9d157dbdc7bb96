"""`bursar.instrument()` around SDKs, LiteLLM and bare HTTP clients, which know nothing of it."""

import contextlib
import os
import time
import unittest

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import bursar  # noqa: E402
from sdks import ASK, Case, Gemini, OpenAIChat, each_way, for_async  # noqa: E402

try:
    import litellm
except ImportError:
    litellm = None  # the second set has none

MESSAGES = [{"role": "user", "content": ASK}]


class Instrumented(Case):
    def setUp(self):
        super().setUp()
        self.addCleanup(bursar.uninstrument)

    def fresh(self, *limits, path="acme/integrations"):
        super().fresh(*limits, path=path)
        bursar.instrument(self.s)
        return self.s


class SDKs(Instrumented):
    @each_way
    def test_the_bill_is_the_provider_s(self, way):
        client = self.client(way, "out=12,429every=3", wrap=False, max_retries=5)
        for _ in range(3):
            self.assertTrue(way.text(way.ask(client)))
        self.assertTrue(list(way.stream_with_limit(client, 60)))
        self.assert_even()

        async def work():
            client = self.client_async(way, "out=12", wrap=False)
            inner = for_async(way, client)
            self.assertTrue(way.text(await way.ask(inner)))
            self.assertTrue([e async for e in await way.stream_with_limit(inner, 60)])
            await way.close(client)

        self.run_async(work())
        self.assert_even()
        self.assertEqual(6, len([line for line in self.lines() if line["status"] == 200]))

    @each_way
    def test_a_refusal_comes_at_once_as_itself(self, way):
        self.fresh("$0.0000001")
        start = time.monotonic()
        with self.assertRaises(bursar.BudgetExceeded):
            way.ask(self.client(way, wrap=False, max_retries=5))

        async def work():
            client = self.client_async(way, wrap=False, max_retries=5)
            with self.assertRaises(bursar.BudgetExceeded):
                await way.ask(for_async(way, client))
            await way.close(client)

        self.run_async(work())
        self.assertLess(time.monotonic() - start, 2)
        self.assertEqual([], self.lines())

    @each_way
    def test_a_wrapped_one_is_counted_once(self, way):
        inside = self.s
        bursar.instrument(self.rt.session("acme/default", "$1"))
        way.ask(self.client(way, "out=12"))

        async def work():
            client = self.client_async(way, "out=12")
            await way.ask(for_async(way, client))
            [e async for e in await way.stream_with_limit(for_async(way, client), 60)]
            await way.close(client)

        self.run_async(work())
        self.assertIs(inside, self.s)
        self.assert_even()
        self.assertEqual(3, len(self.lines()))

    def test_gemini_without_aiohttp(self):
        import httpx

        async def work():
            import google.genai

            inner = httpx.AsyncClient()
            client = google.genai.Client(api_key=self.account, http_options={
                "base_url": self.stub.url("out=12"), "httpx_async_client": inner})
            await Gemini.ask(client.aio)
            [e async for e in await Gemini.stream_with_limit(client.aio, 60)]
            wrapped = self.s.wrap(client)
            await Gemini.ask(wrapped.aio)
            await inner.aclose()

        self.run_async(work())
        self.assert_even()
        self.assertEqual(3, len(self.lines()))


@unittest.skipIf(litellm is None, "litellm is not in this set")
class LiteLLM(Instrumented):
    """Its own httpx clients, one over aiohttp, and OpenAI's SDK."""

    MODELS = {"openai/gpt-4o-mini": "/v1", "anthropic/claude-haiku-4-5": "",
              "gemini/gemini-2.5-flash": None}  # fmt: skip

    def options(self, model, scenario="out=12"):
        end = self.MODELS[model]
        base = self.stub.url(scenario) + (end or "")
        if end is None:  # it puts what follows the model behind it
            base = f"{base}/v1beta/models/{model.partition('/')[2]}"
        return {"model": model, "messages": MESSAGES, "max_tokens": 60, "api_key": self.account,
                "api_base": base, "num_retries": 0}  # fmt: skip

    def test_the_bill_is_the_provider_s(self):
        for model in self.MODELS:
            with self.subTest(model):
                self.fresh()
                answer = litellm.completion(**self.options(model))
                self.assertTrue(answer.choices[0].message.content)
                self.assertTrue(list(litellm.completion(**self.options(model), stream=True)))
                self.assert_even()
                self.assertEqual(2, len(self.lines()))

    def test_and_so_in_an_event_loop(self):
        async def work():
            for model in self.MODELS:
                with self.subTest(model):
                    self.fresh()
                    answer = await litellm.acompletion(**self.options(model))
                    self.assertTrue(answer.choices[0].message.content)
                    stream = await litellm.acompletion(**self.options(model), stream=True)
                    self.assertTrue([e async for e in stream])
                    self.assert_even()
                    self.assertEqual(2, len(self.lines()))

        self.run_async(work())


class Aiohttp(Instrumented):
    """The client by itself."""

    def post(self, session, scenario="out=12", **body):
        return session.post(
            self.stub.url(scenario) + "/v1/chat/completions",
            headers={"Authorization": f"Bearer {self.account}"},
            json={**OpenAIChat.arguments(60), **body})

    def test_every_way_to_read(self):
        import aiohttp

        async def lines(response):
            return b"".join([line async for line in response.content])

        async def chunks(response):
            return b"".join([data async for data, _ in response.content.iter_chunks()])

        async def small(response):
            return b"".join([data async for data in response.content.iter_chunked(3)])

        async def any_size(response):
            return b"".join([data async for data in response.content.iter_any()])

        async def work():
            async with aiohttp.ClientSession() as session:
                bodies = []
                for read in (lines, chunks, small, any_size, lambda r: r.read()):
                    async with self.post(session, stream=True) as response:
                        bodies.append(await read(response))
                    async with self.post(session) as response:
                        whole = await read(response)
                        self.assertIn(b'"usage"', whole)
                        self.assertEqual(whole, await response.read())
                return bodies

        bodies = self.run_async(work())
        self.assertEqual([1] * 5, [body.count(b"[DONE]") for body in bodies])
        self.assertEqual([0] * 5, [body.count(b'"prompt_tokens"') for body in bodies])
        self.assert_even()
        self.assertEqual(10, len(self.lines()))

    def test_the_limit_is_what_was_granted(self):
        import aiohttp

        async def work():
            async with aiohttp.ClientSession() as session:
                async with self.post(session, max_tokens=100_000) as response:
                    await response.json()

        self.fresh("$0.001")
        self.run_async(work())
        self.assertLess(self.lines()[0]["limit"], 100_000)
        self.assert_even()

    def test_left_early_cut_and_refused(self):
        import aiohttp

        async def work():
            async with aiohttp.ClientSession() as session:
                async with self.post(session, "out=50,slow=0.02", stream=True) as response:
                    await response.content.readline()
                self.assertEqual(0, self.s.read().reserved_nanos)
                async with self.post(session, "out=50,slow=0.02", stream=True) as response:
                    with self.assertRaises(bursar.Killed):
                        async for _ in response.content:
                            self.rt.kill(self.s)
                self.assertEqual(0, self.s.read().reserved_nanos)
                with self.assertRaises(bursar.Killed):
                    await self.post(session)
                self.rt.revive(self.s)
                with self.assertRaises(bursar.UnsupportedError):
                    await session.post(self.stub.url() + "/v1/chat/completions", data=_parts())
                with contextlib.suppress(aiohttp.ClientResponseError):
                    await session.post(self.stub.url("500=9") + "/v1/chat/completions",
                                       json=OpenAIChat.arguments(60), raise_for_status=True)

        self.run_async(work())
        self.assertGreaterEqual(self.spent(), self.billed())
        self.assertEqual(2, len(self.lines()))


async def _parts():
    yield b"{}"


class Httpx(Instrumented):
    def test_both_of_them(self):
        import httpx
        import httpx2

        for module in (httpx, httpx2):
            with self.subTest(module.__name__):
                self.fresh()
                with module.Client(base_url=self.stub.url("out=12")) as client:
                    ask = {"json": OpenAIChat.arguments(60), "headers": {
                        "Authorization": f"Bearer {self.account}"}}
                    client.post("/v1/chat/completions", **ask)
                    ask["json"] = OpenAIChat.arguments(60, stream=True)
                    whole = client.post("/v1/chat/completions", **ask)
                    self.assertIn("[DONE]", whole.text)
                    with client.stream("POST", "/v1/chat/completions", **ask) as response:
                        self.assertIn("data: [DONE]", list(response.iter_lines()))
                    self.s.wrap(client).post("/v1/chat/completions", **ask)
                    self.assert_even()
                    self.assertEqual(4, len(self.lines()))
                    self.assertEqual(200, client.get(f"{self.stub.address}/bill").status_code)


if __name__ == "__main__":
    unittest.main()
