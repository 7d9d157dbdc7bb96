"""What sends below the client: transports that send again, and redirects. Each time is an attempt."""

import asyncio
import functools
import gc
import http.server
import threading
import time
import unittest

import bursar
from sdks import Case, OpenAIChat

import aiohttp
import httpx
import httpx2
import openai


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


    def test_a_request_that_is_sent_again_by_hand(self):
        for module in (httpx, httpx2):
            for stream in (False, True):
                with self.subTest(module.__name__, stream=stream):
                    self.fresh()
                    with self.s.wrap(module.Client(transport=retrying(module, 5))) as client:
                        request = client.build_request(
                            "POST", self.stub.url("out=8") + "/v1/chat/completions",
                            json=OpenAIChat.arguments(60, stream=stream),
                            headers={"Authorization": f"Bearer {self.account}"})
                        for _ in range(2):
                            client.send(request).read()
                    del request
                    gc.collect()
                    self.assertEqual(2, self.s.read().steps)
                    self.assert_even()


class Elsewhere(http.server.BaseHTTPRequestHandler):
    """/go/STATUS/TIMES sends on to the server's `to`, by so many steps; /loop for ever."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.append(self.path)
        _, kind, status, times = (self.path + "/307/1").split("/")[:4]
        to = self.path if kind == "loop" else self.server.to
        if kind == "go" and int(times) > 1:
            to = f"/go/{status}/{int(times) - 1}"
        self.send_response(int(status))
        self.send_header("Location", to)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"got")

    def log_message(self, *what):
        pass


class Redirects(Case):
    """From a path that nobody meters to one that has a price."""

    def setUp(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.at = f"http://127.0.0.1:{self.server.server_port}"
        super().setUp()
        self.addCleanup(bursar.uninstrument)

    def fresh(self, *limits, **more):
        super().fresh(*limits, **more)
        self.server.asked = []
        self.to("out=8")
        return self.s

    def to(self, scenario, path="/v1/chat/completions"):
        self.server.to = f"{self.stub.url(scenario)}{path}?key={self.account}"

    def ways(self, asynchronous=False):
        """A client that is wrapped, and one that is instrumented."""
        for module in (httpx, httpx2):
            for wrapped in (True, False):
                with self.subTest(module.__name__, wrapped=wrapped):
                    self.fresh()
                    client = module.AsyncClient if asynchronous else module.Client
                    client = client(follow_redirects=True)
                    if wrapped:
                        bursar.uninstrument()
                        yield module, self.s.wrap(client)
                    else:
                        bursar.instrument(self.s)
                        yield module, client

    def test_what_is_not_metered_keeps_its_login(self):
        def answer(module, request):
            if request.url.path == "/a":
                return module.Response(307, headers={"Location": "/b"})
            if "Digest" in request.headers.get("authorization", ""):
                return module.Response(200, text="ok")
            return module.Response(401, headers={
                "WWW-Authenticate": 'Digest realm="r", nonce="n", algorithm=MD5, qop="auth"'})

        bursar.instrument()
        for module in (httpx, httpx2):
            with module.Client(transport=module.MockTransport(functools.partial(answer, module)),
                               follow_redirects=True, auth=module.DigestAuth("u", "p")) as client:
                self.assertEqual(200, client.post("http://x.test/a", content=b"hi").status_code)

    def test_a_client_with_a_send_of_its_own(self):
        for module in (httpx, httpx2):
            class Own(module.Client):
                def send(self, request, *, stream=False, auth=None):
                    return super().send(request, stream=stream)

            self.fresh()
            with self.s.wrap(Own(follow_redirects=True)) as client:
                request = client.build_request("POST", f"{self.at}/go/307/1", json={})
                self.assertGreaterEqual(client.send(request).status_code, 200)

    def test_they_are_metered(self):
        body = OpenAIChat.arguments(60)
        for module, client in self.ways():
            for steps, (status, times) in enumerate(((307, 1), (308, 3)), 1):
                answer = client.post(f"{self.at}/go/{status}/{times}", json=body)
                self.assertEqual((200, [status] * times), (
                    answer.status_code, [each.status_code for each in answer.history]))
                self.assertEqual(b"", answer.history[0].content)
                self.assertIn("usage", answer.json())
                self.assertEqual(steps, self.s.read().steps)
            with client.stream("POST", f"{self.at}/go", json={**body, "stream": True}) as answer:
                self.assertIn("data: [DONE]", list(answer.iter_lines()))
            self.assertEqual((3, 3), (self.s.read().steps, len(self.lines())))
            self.assert_even()

    def test_and_so_in_an_event_loop(self):
        async def work(client):
            body = OpenAIChat.arguments(60, stream=True)
            answer = await client.post(f"{self.at}/go/308/2", json=OpenAIChat.arguments(60))
            self.assertEqual([308, 308], [each.status_code for each in answer.history])
            async with client.stream("POST", f"{self.at}/go", json=body) as answer:
                self.assertIn("data: [DONE]", [line async for line in answer.aiter_lines()])
            await client.aclose()

        for module, client in self.ways(asynchronous=True):
            asyncio.run(work(client))
            self.assertEqual((2, 2), (self.s.read().steps, len(self.lines())))
            self.assert_even()

    def test_and_so_over_aiohttp(self):
        async def post(session, path="/go", **more):
            async with session.post(
                    self.at + path, json=OpenAIChat.arguments(60, **more)) as answer:
                return answer.status, len(answer.history), (await answer.read()).decode()

        async def work():
            async with aiohttp.ClientSession() as session:
                bursar.instrument(self.s)
                status, history, text = await post(session, "/go/308/3")
                self.assertEqual((200, 3), (status, history))
                self.assertIn("usage", text)
                self.assertIn("data: [DONE]", (await post(session, stream=True))[2])
                self.assert_even()
                self.server.to = "/v1/chat/completions"
                self.assertEqual((200, 1, "got"), await post(session, "/go/303"))
                self.assertEqual(2, self.s.read().steps)
                self.to("out=8")
                self.rt.kill(self.s)
                with self.assertRaises(bursar.Killed):
                    await post(session)

        asyncio.run(work())
        self.assertEqual(2, len(self.lines()))

    def test_one_that_may_not_go_is_not_sent(self):
        for module, client in self.ways():
            self.rt.kill(self.s)
            with self.assertRaises(bursar.Killed):
                client.post(f"{self.at}/go", json=OpenAIChat.arguments(60))
            self.assertEqual((["/go"], []), (self.server.asked, self.lines()))

    def test_of_an_sdk(self):
        client = self.s.wrap(openai.OpenAI(base_url=self.at, api_key="key"))
        ask = functools.partial(client.post, "/go", body=OpenAIChat.arguments(60), cast_to=object)
        self.assertIn("usage", ask())
        self.assert_even()
        self.rt.kill(self.s)
        with self.assertRaises(bursar.Killed):
            ask()

    def test_others_are_followed_as_before(self):
        for module, client in self.ways():
            with self.assertRaises(module.TooManyRedirects):
                client.post(f"{self.at}/loop", json={})
            self.assertEqual(21, len(self.server.asked))
            self.to("out=8", "/v1/models")
            answer = client.post(f"{self.at}/go/307/2", json={})
            self.assertEqual((404, 2), (answer.status_code, len(answer.history)))
            self.server.to = "/v1/chat/completions"
            answer = client.post(f"{self.at}/go/303", json=OpenAIChat.arguments(60))
            self.assertEqual(("GET", "got"), (answer.request.method, answer.text))
            answer = client.post(f"{self.at}/go", json={}, follow_redirects=False)
            self.assertEqual((307, "POST"), (answer.status_code, answer.next_request.method))
            self.assertEqual(0, self.s.read().steps)

    def test_credentials_stay_where_they_belong(self):
        """As httpx does it: those of a client go to the host that was asked, and no other."""
        for module, client in self.ways():
            client.auth = ("somebody", "secret")
            answer = client.post(f"{self.at}/go", json=OpenAIChat.arguments(60))
            self.assertNotIn("Authorization", answer.request.headers)
            self.assertIn("Authorization", answer.history[0].request.headers)


if __name__ == "__main__":
    unittest.main()
