"""Transports that send again by themselves, below the client: each time is an attempt."""

import asyncio
import time
import unittest

import bursar
from sdks import Case, OpenAIChat

import httpx
import httpx2


def retrying(module, times, asynchronous=False):
    """A transport that tries until it gets an answer, as those of retry libraries do."""

    class Transport(module.BaseTransport):
        def __init__(self):
            self.inner = module.HTTPTransport()

        def handle_request(self, request):
            for _ in range(times):
                response = self.inner.handle_request(request)
                if response.status_code < 400:
                    break
                response.close()
            return response

        def close(self):
            self.inner.close()

    class AsyncTransport(module.AsyncBaseTransport):
        def __init__(self):
            self.inner = module.AsyncHTTPTransport()

        async def handle_async_request(self, request):
            for _ in range(times):
                response = await self.inner.handle_async_request(request)
                if response.status_code < 400:
                    break
                await response.aclose()
            return response

        async def aclose(self):
            await self.inner.aclose()

    return AsyncTransport() if asynchronous else Transport()


class Transports(Case):
    def ask(self, client, scenario, **more):
        return client.post(
            self.stub.url(scenario) + "/v1/chat/completions", json=OpenAIChat.arguments(60, **more),
            headers={"Authorization": f"Bearer {self.account}"})

    def test_each_time_is_an_attempt(self):
        for module in (httpx, httpx2):
            with self.subTest(module.__name__):
                for scenario, stream, steps in (("out=8,429=2", False, 1), ("out=8,429=1", True, 1),
                                                ("out=8,500=2,billed", False, 3)):
                    self.fresh()
                    with self.s.wrap(module.Client(transport=retrying(module, 5))) as client:
                        answer = self.ask(client, scenario, stream=stream)
                    self.assertEqual((200, stream), (answer.status_code, "[DONE]" in answer.text))
                    self.assertEqual(steps, self.s.read().steps)
                    if steps == 1:
                        self.assert_even()
                    self.assertGreaterEqual(self.spent(), self.billed())

    def test_and_so_in_an_event_loop(self):
        async def work(module):
            transport = retrying(module, 5, asynchronous=True)
            async with self.s.wrap(module.AsyncClient(transport=transport)) as client:
                self.assertEqual(200, (await self.ask(client, "out=8,500=2,billed")).status_code)
                self.assertEqual(3, self.s.read().steps)
                self.assertGreaterEqual(self.spent(), self.billed())

        for module in (httpx, httpx2):
            with self.subTest(module.__name__):
                self.fresh()
                asyncio.run(work(module))

    def test_one_that_may_not_go_is_not_sent(self):
        for module in (httpx, httpx2):
            with self.subTest(module.__name__):
                self.fresh("2 steps")
                with self.s.wrap(module.Client(transport=retrying(module, 9))) as client:
                    with self.assertRaises(bursar.BudgetExceeded):
                        self.ask(client, "500=9,billed")
                    self.assertEqual(2, len(self.lines()))
                    self.assertGreaterEqual(self.spent(), self.billed())

    def test_one_that_must_wait_waits(self):
        self.fresh("5 steps/s burst 1")
        start = time.monotonic()
        with self.s.wrap(httpx2.Client(transport=retrying(httpx2, 9))) as client:
            self.assertEqual(200, self.ask(client, "500=2,out=8").status_code)
        self.assertGreaterEqual(time.monotonic() - start, 0.3)
        self.assertEqual(3, self.s.read().steps)


if __name__ == "__main__":
    unittest.main()
