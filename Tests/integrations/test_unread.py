"""Streams that end while more of them has arrived than was read: what arrived is billed, read or not.

The event loop is held up, as by anything that does not wait, and meanwhile pieces arrive. Then the
task is cancelled, leaves, or its session is killed. What was settled must not be below the
provider's bill, and where little was unread, not the worst case either.
"""

import asyncio
import contextlib
import gc
import inspect
import json
import os
import shutil
import ssl
import subprocess
import tempfile
import time
import unittest

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import bursar  # noqa: E402
from double.bill import PRICES  # noqa: E402
from sdks import ASK, WAYS, Case, OpenAIChat, for_async  # noqa: E402
from stub import Stub  # noqa: E402

import aiohttp  # noqa: E402
import httpx  # noqa: E402
import httpx2  # noqa: E402

try:
    import litellm

    litellm.suppress_debug_info = True
except ImportError:
    litellm = None  # the second set has none

SCENARIO = "text,out=900,piece=8,slow=0.005"
LIMIT = 1_000
HELD_UP = 0.12  # seconds: some 24 pieces of 8 tokens, far below 16 KB
LITTLE = 300  # tokens: with so many billed, less than 16 KB was unread
MODELS = {"openai/gpt-4o-mini": "/v1", "anthropic/claude-haiku-4-5": "",
          "gemini/gemini-2.5-flash": None}  # fmt: skip


class Lines:
    def __init__(self, lines):
        self.lines = lines

    def __aiter__(self):
        return self.lines


class Connections(Case):
    """Streams over aiohttp whose connection, or whose runtime, is no longer theirs."""

    async def serve(self, reader, writer):
        def event(**more):
            data = b"data: " + json.dumps(more).encode() + b"\n\n"
            return b"%x\r\n%s\r\n" % (len(data), data)

        word = {"index": 0, "delta": {"content": "word"}}
        with contextlib.suppress(
                asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET"):
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8000000\r\n\r\n" + bytes(8_000_000))
                    continue
                size = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
                await reader.readexactly(int(size.partition(b":")[2]))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                             b"Transfer-Encoding: chunked\r\n\r\n" + event(choices=[word]))
                await asyncio.sleep(0.05)
                writer.write(event(choices=[{**word, "finish_reason": "stop"}]) + event(choices=[], usage={
                    "prompt_tokens": 8, "completion_tokens": 2, "total_tokens": 10}))
                if b"whole" in head:
                    writer.write(b"0\r\n\r\n")

    async def opened(self, client, kind):
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        at = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/{kind}"
        response = await client.post(f"{at}/v1/chat/completions", json={**OpenAIChat.arguments(60), "stream": True})
        await response.content.readline()
        await asyncio.sleep(0.3)
        return server, at, response

    def instrumented(self):
        self.fresh()
        bursar.instrument(self.s)
        self.addCleanup(bursar.uninstrument)

    def test_one_that_came_whole_is_paid_as_it_says(self):
        async def test():
            async with aiohttp.ClientSession() as client:
                server, at, response = await self.opened(client, "whole")
                other = await client.get(f"{at}/large")  # on the same connection, and unread
                await asyncio.sleep(0.3)
                response.close()
                other.close()
                server.close()

        self.instrumented()
        asyncio.run(test())
        [spent] = [row for row in self.rt.spend() if row.model]
        self.assertEqual((8, 2), (spent.input_tokens, spent.output_tokens))

    def test_one_whose_runtime_is_closed_can_be_closed(self):
        async def test():
            async with aiohttp.ClientSession() as client:
                server, _, response = await self.opened(client, "open")
                self.s.close()
                self.rt.close()
                response.close()
                self.assertTrue(response.closed)
                server.close()

        self.instrumented()
        asyncio.run(test())


class Unread(Case):
    def setUp(self):
        super().setUp()
        self.addCleanup(bursar.uninstrument)

    def fresh(self, *limits, **more):
        super().fresh(*limits, **more)
        self.budget = self.rt.read(self.s.id).parent  # outlives the session
        self.before = self.rt.read(self.budget).spent_nanos
        bursar.instrument(self.s)
        return self.s

    def check(self, name, open_stream):
        for end in (self.cancelled, self.timed_out, self.left, self.killed, self.killed_waiting):
            with self.subTest(f"{name} {end.__name__}"):
                self.fresh()
                asyncio.run(self.run_one(end, open_stream))
                gc.collect()
                self.judge()

    async def run_one(self, end, open_stream):
        """Two pieces are read, then it ends in some way."""
        async with contextlib.AsyncExitStack() as stack:
            self.stream = await open_stream(stack)
            pieces = self.stream.__aiter__()
            await pieces.__anext__()
            await pieces.__anext__()
            await end(pieces)

    # ---- How it ends ----

    async def rest(self, pieces):
        async for _ in pieces:
            pass

    async def cancelled(self, pieces):
        task = asyncio.create_task(self.rest(pieces))
        await asyncio.sleep(0.02)
        time.sleep(HELD_UP)
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task
        await self.close(pieces)

    async def timed_out(self, pieces):
        asyncio.get_running_loop().call_later(0.02, time.sleep, HELD_UP)
        with self.assertRaises(asyncio.TimeoutError):
            await asyncio.wait_for(self.rest(pieces), 0.05)
        await self.close(pieces)

    async def left(self, pieces):
        time.sleep(HELD_UP)
        await self.close(pieces)

    async def killed(self, pieces):
        time.sleep(HELD_UP)
        self.rt.kill(self.s)
        with self.assertRaises(bursar.Killed):
            await self.rest(pieces)

    async def killed_waiting(self, pieces):
        def kill():
            self.rt.kill(self.s)
            time.sleep(HELD_UP)

        asyncio.get_running_loop().call_later(0.02, kill)
        with self.assertRaises(bursar.Killed):
            await self.rest(pieces)

    async def close(self, pieces):
        """As the stream itself says; one of httpx or aiohttp leaves with its answer."""
        if not isinstance(self.stream, Lines):
            ends = [getattr(each, name, None) for each in (self.stream, pieces)
                    for name in ("aclose", "close")]
            ended = next(filter(None, ends), lambda: None)()
            if inspect.isawaitable(ended):
                await ended

    def judge(self):
        lines = self.stub.bill(self.account)["lines"]
        view, until = self.rt.read(self.budget), time.monotonic() + 5
        while view.reserved_nanos and time.monotonic() < until:
            time.sleep(0.01)
            view = self.rt.read(self.budget)
        self.assertEqual((0, 1), (view.reserved_nanos, len(lines)))
        spent = view.spent_nanos - self.before
        self.assertGreaterEqual(spent + 1, self.billed())
        if lines[0]["output_tokens"] <= LITTLE:
            output = float(PRICES[lines[0]["priced_as"]][2]) * 1_000
            self.assertLess(spent, LIMIT * output, "the worst case")

    # ---- What is read ----

    def bare(self, kind):
        """A client by itself: aiohttp, httpx or httpx2."""
        ask = {"json": OpenAIChat.arguments(LIMIT, stream=True), "headers": {
            "Authorization": f"Bearer {self.account}"}}
        url = self.stub.url(SCENARIO) + "/v1/chat/completions"
        trusted = ssl._create_unverified_context()

        async def of_aiohttp(stack):
            session = await stack.enter_async_context(aiohttp.ClientSession())
            response = await stack.enter_async_context(session.post(url, ssl=trusted, **ask))
            return response.content

        async def of_httpx(stack):
            client = await stack.enter_async_context(kind.AsyncClient(verify=trusted))
            response = await stack.enter_async_context(client.stream("POST", url, **ask))
            return Lines(response.aiter_lines())

        return of_aiohttp if kind is aiohttp else of_httpx

    def test_of_bare_clients(self):
        for kind in (aiohttp, httpx, httpx2):
            self.check(kind.__name__, lambda stack, kind=kind: self.bare(kind)(stack))

    def test_of_sdks(self):
        for way in WAYS:
            async def open_stream(stack, way=way):
                client = for_async(way, way.make_async(
                    self.stub.url(SCENARIO), self.account, max_retries=0))
                self.kept(client)
                return await way.stream_with_limit(client, LIMIT)

            self.check(way.__name__, open_stream)

    @unittest.skipIf(litellm is None, "litellm is not in this set")
    def test_of_litellm(self):
        for model, end in MODELS.items():
            async def open_stream(stack, model=model, end=end):
                base = self.stub.url(SCENARIO) + (end or "")
                if end is None:  # it puts what follows the model behind it
                    base = f"{base}/v1beta/models/{model.partition('/')[2]}"
                return await litellm.acompletion(
                    model=model, messages=[{"role": "user", "content": ASK}], max_tokens=LIMIT,
                    api_key=self.account, api_base=base, stream=True, num_retries=0)

            self.check(model, open_stream)

    def test_a_read_that_is_cancelled_may_be_tried_again(self):
        async def read(stack):
            content, parts = await self.bare(aiohttp)(stack), []
            while not parts or parts[-1]:
                with contextlib.suppress(asyncio.TimeoutError):
                    parts.append(await asyncio.wait_for(content.readany(), 0.01))
            return b"".join(parts)

        async def work():
            async with contextlib.AsyncExitStack() as stack:
                return await read(stack)

        self.fresh()
        self.assertIn(b"[DONE]", asyncio.run(work()))
        self.assert_even()


@unittest.skipIf(shutil.which("openssl") is None, "openssl makes the certificate")
class OverTLS(Unread):
    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as folder:
            key, certificate = f"{folder}/key.pem", f"{folder}/certificate.pem"
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                 "-subj", "/CN=127.0.0.1", "-keyout", key, "-out", certificate],
                check=True, capture_output=True)
            with open(key, "a") as both, open(certificate) as other:
                both.write(other.read())
            cls.stub = Stub(key)
        cls.addClassCleanup(cls.stub.__exit__)

    test_of_sdks = test_of_litellm = None  # they are on the same clients


if __name__ == "__main__":
    unittest.main()
