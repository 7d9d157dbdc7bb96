"""What SDKs and their clients can be made to do that would leave money uncounted."""

import asyncio
import contextlib
import gc
import os
import time
import unittest

import bursar
from sdks import WAYS, Case, Gemini, OpenAIChat, each_way, for_async

import aiohttp
import httpx
import httpx2
import openai
import websockets.asyncio.client


class Hooks(Case):
    def sdk(self, http, scenario="out=8", asynchronous=False):
        kind = openai.AsyncOpenAI if asynchronous else openai.OpenAI
        return kind(base_url=self.stub.url(scenario) + "/v1", api_key=self.account,
                    http_client=http, max_retries=0)

    def body(self, text):
        return {"model": "gpt-4o-mini", "max_tokens": 60,
                "messages": [{"role": "user", "content": text}]}

    def send(self, client, text="Another question."):
        return client.post(
            self.stub.url("out=9") + "/v1/chat/completions", json=self.body(text),
            headers={"Authorization": f"Bearer {self.account}"})

    def test_one_that_cannot_reach_its_own_server(self):
        """The answer came and is billed; only then a hook fails to report it somewhere."""
        for module in (httpx, httpx2):
            for dead in (lambda r: module.get("http://127.0.0.1:9/"), self.refused):
                with self.subTest(module.__name__):
                    self.fresh()
                    client = self.s.wrap(module.Client(event_hooks={"response": [dead]}))
                    with self.assertRaises((module.ConnectError, ConnectionRefusedError)):
                        self.send(client)
                    self.assertGreaterEqual(self.spent(), self.billed())
                    self.assertGreater(self.billed(), 0)

    def refused(self, response):
        raise ConnectionRefusedError("of the hook's own")

    def test_one_that_asks_a_model(self):
        """Requests that a hook makes, or starts, are none of the one that is being sent."""
        for module, kind in ((httpx, httpx), (httpx2, httpx2), (httpx2, httpx)):
            with self.subTest(f"{kind.__name__} in {module.__name__}"):
                self.fresh()
                other = self.s.wrap(kind.Client())
                client = module.Client(
                    event_hooks={"request": [lambda request: self.send(other, "A hook's.")]})
                self.send(self.s.wrap(client))
                self.assertEqual(2, len(self.lines()))
                self.assert_even()

    def test_and_so_in_an_event_loop(self):
        async def work(way):
            started = []

            async def hook(request):
                started.append(asyncio.create_task(self.aside(way)))

            http = httpx2.AsyncClient(event_hooks={"request": [hook]})
            async with self.sdk(http, "out=8,slow=0.2", True) as client:
                await OpenAIChat.ask(client)
            await asyncio.gather(*started)

        for way in ("httpx2", "aiohttp"):
            with self.subTest(way):
                self.fresh()
                bursar.instrument(self.s)
                self.addCleanup(bursar.uninstrument)
                self.run_async(work(way))
                self.assertEqual(2, len(self.lines()))
                self.assert_even()

    async def aside(self, way):
        if way == "httpx2":
            async with httpx2.AsyncClient() as client:
                await self.send(client)
            return
        async with aiohttp.ClientSession() as client:
            async with client.post(
                    self.stub.url("out=9") + "/v1/chat/completions", json=self.body("Aside."),
                    headers={"Authorization": f"Bearer {self.account}"}) as answer:
                await answer.read()


class Middlewares(Case):
    def test_each_time_is_an_attempt(self):
        """Those of aiohttp send again below the session's request."""

        async def retry(request, handler):
            for _ in range(3):
                answer = await handler(request)
                if answer.status < 400:
                    break
            return answer

        async def work(session, each):
            async with aiohttp.ClientSession(middlewares=session) as client:
                async with client.post(
                        self.stub.url("out=8,500=2,billed") + "/v1/chat/completions", **each,
                        json=OpenAIChat.arguments(60),
                        headers={"Authorization": f"Bearer {self.account}"}) as answer:
                    return (await answer.json())["choices"]

        for session, each in (((retry,), {}), ((), {"middlewares": (retry,)})):
            self.fresh()
            bursar.instrument(self.s)
            self.addCleanup(bursar.uninstrument)
            self.assertTrue(self.run_async(work(session, each)))
            self.assertEqual(3, len(self.lines()))
            self.assertEqual(3, self.s.read().steps)
            self.assertGreaterEqual(self.spent(), self.billed())


class Sockets(Case):
    def test_they_do_not_pass_in_silence(self):
        from bursar.wire import gate

        gate._warned.discard("WebSockets")
        bursar.instrument(self.s)
        self.addCleanup(bursar.uninstrument)
        client = self.client(OpenAIChat, wrap=False)
        with self.assertWarnsRegex(bursar.BursarWarning, "does not meter WebSockets"):
            with self.assertRaises(Exception):
                client.responses.connect(
                    max_retries=0, websocket_connection_options={"open_timeout": 1}).enter()

        async def live():
            async with websockets.asyncio.client.connect(
                    self.stub.url().replace("http", "ws") + "/v1/realtime?model=m"):
                pass

        gate._warned.discard("WebSockets")
        gate._warned.discard("realtime")
        with self.assertWarnsRegex(bursar.BursarWarning, "does not meter"):
            with self.assertRaises(websockets.WebSocketException):
                self.run_async(live())
        self.rt.kill(self.s)
        with self.assertRaises(bursar.Killed):
            self.run_async(live())

    def wrapped(self):
        """Every WebSocket of a wrapped client, as what opens it."""
        quick = {"max_retries": 0, "websocket_connection_options": {"open_timeout": 1}}
        client = self.client(OpenAIChat)
        azure = self.s.wrap(openai.AzureOpenAI(
            base_url=self.stub.url() + "/openai", api_key=self.account, api_version="1"))
        yield lambda: client.responses.connect(**quick).enter()
        yield lambda: client.with_options(timeout=1).realtime.connect(model="m", **quick).enter()
        yield lambda: azure.realtime.connect(model="m", **quick).enter()
        if hasattr(client, "live"):
            yield lambda: client.live.connect(**quick).enter()

        async def connect(make):
            await make(self.client_async(OpenAIChat)).enter()

        async def live():
            async with self.client(Gemini).aio.live.connect(model="m"):
                pass

        for make in (lambda c: c.realtime.connect(model="m", **quick),
                     lambda c: c.responses.connect(**quick)):
            yield lambda make=make: self.run_async(connect(make))
        yield lambda: self.run_async(live())

    def test_nor_do_those_of_a_wrapped_client(self):
        from bursar.wire import gate

        for number, connect in enumerate(self.wrapped()):
            with self.subTest(number):
                gate._warned.discard("WebSockets")
                with self.assertWarnsRegex(
                        bursar.BursarWarning, r"does not meter WebSockets.*session\.charge"):
                    with self.assertRaises(Exception) as caught:
                        connect()
                self.assertNotIsInstance(caught.exception, bursar.BursarError)
                self.assertEqual((0, 0), (self.s.read().steps, self.s.read().reserved_nanos))
        self.assertGreaterEqual(number, 6)

    def test_none_is_opened_where_nothing_is_left(self):
        def spent():
            self.fresh("$0.001")
            self.s.charge("$0.001")

        def killed():
            self.fresh()
            self.rt.kill(self.s)

        def closed():
            self.fresh()
            self.s.close()

        for end, error in ((spent, bursar.BudgetExceeded), (killed, bursar.Killed),
                           (closed, bursar.Halted)):
            end()
            for number, connect in enumerate(self.wrapped()):
                with self.subTest(f"{end.__name__} {number}"):
                    with self.assertRaises(error):
                        connect()
            self.assertEqual([], self.lines())


class Copies(Case):
    def test_another_http_client_is_metered_as_well(self):
        for way in WAYS[:-1]:
            for name in ("copy", "with_options"):
                with self.subTest(f"{way.__name__}.{name}"):
                    self.fresh()
                    client = self.client(way, "out=8")
                    with httpx2.Client() as http:
                        way.ask(getattr(client, name)(http_client=http))
                        own = self.rt.session("acme/integrations", "$1")
                        way.ask(client.copy(http_client=own.wrap(http)))
                    self.assertEqual(own.read().spent_nanos, self.spent())
                    self.assertEqual(2 * self.spent(), self.billed())
                    own.close()


class Left(Case):
    """Streams that are left: the provider bills what it sent, also what nobody has read."""

    def assert_covered(self):
        self.assertGreaterEqual(self.spent(), self.billed())
        self.assertGreater(self.billed(), 0)

    def leave(self, stream, how):
        next(iter(stream))
        time.sleep(0.3)  # meanwhile all of the answer arrives
        if how == "closed":
            getattr(stream, "close", lambda: None)()
        elif how == "killed":
            self.rt.kill(self.s)
            with self.assertRaises(bursar.Killed):
                list(stream)

    @each_way
    def test_after_it_dawdled(self, way):
        for how in ("closed", "dropped", "killed"):
            with self.subTest(how):
                self.fresh()
                self.leave(way.stream_with_limit(self.client(way, "out=400"), 1_000), how)
                gc.collect()
                self.assert_covered()

    @each_way
    def test_and_so_in_an_event_loop(self, way):
        async def work(how):
            client = self.client_async(way, "out=400")
            stream = await way.stream_with_limit(for_async(way, client), 1_000)
            iterator = stream.__aiter__()
            await iterator.__anext__()
            await asyncio.sleep(0.3)
            if how == "killed":
                self.rt.kill(self.s)
                with self.assertRaises(bursar.Killed):
                    async for _ in iterator:
                        pass
            elif hasattr(stream, "close"):
                await stream.close()
            else:
                await iterator.aclose()
            await way.close(client)

        for how in ("closed", "killed"):
            with self.subTest(how):
                self.fresh()
                self.run_async(work(how))
                self.assert_covered()

    @each_way
    def test_unread(self, way):
        stream = way.stream_with_limit(self.client(way, "out=400"), 1_000)
        if way is Gemini:  # which asks when it is read
            next(stream)
        time.sleep(0.3)
        del stream
        gc.collect()
        self.assert_covered()

    def test_far_behind(self):
        """So much is held up in the server that nobody can tell what it has billed."""
        arguments = OpenAIChat.arguments(8_000, stream=True)

        async def work():
            client = self.client_async(OpenAIChat, "out=3000,piece=1")
            stream = await client.chat.completions.create(**arguments)
            await anext(stream)
            await asyncio.sleep(1)
            await stream.close()
            await client.close()

        async def plain():
            async with aiohttp.ClientSession() as client:
                answer = await client.post(
                    self.stub.url("out=3000,piece=1") + "/v1/chat/completions", json=arguments,
                    headers={"Authorization": f"Bearer {self.account}"})
                await answer.content.readline()
                await asyncio.sleep(1)
                answer.close()

        stream = OpenAIChat.ask(self.client(OpenAIChat, "out=3000,piece=1"), 8_000, stream=True)
        next(stream)
        time.sleep(1)
        stream.close()
        self.assert_covered()
        self.fresh()
        self.run_async(work())
        self.assert_covered()
        self.fresh()
        bursar.instrument(self.s)
        self.addCleanup(bursar.uninstrument)
        self.run_async(plain())
        self.assert_covered()

    def test_its_client_was_closed(self):
        for end in ("read", "drop"):
            with self.subTest(end):
                self.fresh()
                client = self.client(OpenAIChat, "out=400")
                stream = OpenAIChat.ask(client, 1_000, stream=True)
                next(stream)
                time.sleep(0.3)
                client.close()
                if end == "read":
                    with contextlib.suppress(Exception):  # unless it was all in one piece
                        list(stream)
                del stream
                gc.collect()
                self.assert_covered()

    def test_garbage_in_any_order(self):
        client = self.s.wrap(httpx.Client())
        self.addCleanup(client.close)
        answer = client.send(client.build_request(
            "POST", self.stub.url("out=400") + "/v1/chat/completions",
            json=OpenAIChat.arguments(1_000, stream=True),
            headers={"Authorization": f"Bearer {self.account}"}), stream=True)
        answer.pieces = answer.iter_raw()
        next(answer.pieces)
        time.sleep(0.3)
        del answer
        gc.collect()
        self.assert_covered()

    def test_garbage_of_an_event_loop(self):
        async def work():
            client = self.client_async(OpenAIChat, "out=400")

            async def read():
                async for _ in await OpenAIChat.ask(client, 1_000, stream=True):
                    await asyncio.sleep(0.3)

            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(read(), 0.5)
            await client.close()

        self.run_async(work())
        gc.collect()
        self.assert_covered()

    def test_in_the_child_of_a_fork(self):
        """What a child drops is its parent's, who reads on."""
        stream = OpenAIChat.ask(self.client(OpenAIChat, "out=40,slow=0.05"), stream=True)
        next(stream)
        child = os.fork()
        if not child:
            try:
                stream.close()
                del stream
                gc.collect()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        self.assertGreater(len(list(stream)), 5)
        self.assert_even()

    def test_while_it_thinks_unseen(self):
        def chat(client):
            return client.chat.completions.create(
                model="gpt-5-mini", max_completion_tokens=900, stream=True,
                messages=[{"role": "user", "content": "Why?"}])

        def responses(client):
            return client.responses.create(
                model="gpt-5-mini", max_output_tokens=900, stream=True, input="Why?")

        for ask in (chat, responses):
            for scenario in ("out=100,reasoning=200,cut=1", "out=100,reasoning=300,nousage"):
                with self.subTest(f"{ask.__name__} {scenario}"):
                    self.fresh()
                    client = self.client(OpenAIChat, scenario, max_retries=0)
                    try:
                        list(ask(client))
                    except openai.APIConnectionError:
                        pass
                    self.assert_covered()
        self.fresh()
        client = self.client(Gemini, "out=100,reasoning=300,nousage")
        list(Gemini.stream_with_limit(client, 900))
        self.assert_covered()


if __name__ == "__main__":
    unittest.main()
