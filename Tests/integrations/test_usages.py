"""What people write with the SDKs beside a plain call: their helpers, runners, other connections."""

import asyncio
import contextlib
import gc
import hashlib
import importlib.util
import socket
import threading
import unittest

import bursar
from casework import WEATHER
from sdks import ASK, Case, each_way, for_async

try:
    import anthropic
    import anyio
    import google.genai
    import httpx2
    import openai
    import pydantic
    from openai.lib.responses_tool_runner import RegisteredFunction, ResponsesToolRunner
    from openai.lib.responses_tool_runner import ToolRunnerError
except ImportError as error:
    raise unittest.SkipTest(f"{error}: run `make integrations`")

MESSAGES = [{"role": "user", "content": ASK}]
CHAT = {"model": "gpt-4o-mini", "messages": MESSAGES, "max_tokens": 60}
RESPONSE = {"model": "gpt-4o-mini", "input": ASK, "max_output_tokens": 60}
MESSAGE = {"model": "claude-haiku-4-5", "messages": MESSAGES, "max_tokens": 60}
GENERATE = {"model": "gemini-2.5-flash", "contents": ASK}


class City(pydantic.BaseModel):
    city: str
    days: int


def weather(city: str, days: int) -> str:
    """The weather of a city.

    Args:
        city: where
        days: how long
    """
    return f"sunny in {city} for {days} days " * 40


class Usages(Case):
    def openai(self, scenario="out=12", **options):
        return self.s.wrap(openai.OpenAI(
            base_url=self.stub.url(scenario) + "/v1", api_key=self.account, **options))

    def openai_async(self, scenario="out=12", **options):
        return self.s.wrap(openai.AsyncOpenAI(
            base_url=self.stub.url(scenario) + "/v1", api_key=self.account, **options))

    def anthropic(self, scenario="out=12", kind=anthropic.Anthropic, **options):
        return self.s.wrap(kind(base_url=self.stub.url(scenario), api_key=self.account, **options))

    def gemini(self, scenario="out=12"):
        return self.kept(self.s.wrap(google.genai.Client(
            api_key=self.account, http_options={"base_url": self.stub.url(scenario)})))

    def assert_came(self, worst):
        """A stream that was left: no less than the provider billed, and far from the worst case."""
        self.assertGreaterEqual(self.spent(), self.billed())
        self.assertGreater(self.billed(), 0)
        self.assertLess(self.spent(), worst // 2)

    def assert_ends(self, run, limit=10_000_000):
        """Refused at its budget, once, and nothing is asked after."""
        with self.assertRaises((bursar.BudgetExceeded, ToolRunnerError)) as caught:
            run()
        error = caught.exception
        if isinstance(error, ToolRunnerError):  # which shows nobody's error
            error = error.__context__
        self.assertIs(bursar.Meter.COST, error.decision.meter)
        self.assertEqual(1, self.s.read().refusals)
        self.assert_even()
        self.assertLessEqual(self.spent(), limit)
        self.assertGreater(len(self.lines()), 1)


class Helpers(Usages):
    def test_of_openai(self):
        client = self.openai("")
        chat, responses = client.chat.completions, client.responses
        chat.with_raw_response.create(**CHAT).parse()
        list(chat.with_raw_response.create(**CHAT, stream=True).parse())
        with chat.with_streaming_response.create(**CHAT) as answer:
            answer.parse()
        with chat.with_streaming_response.create(**CHAT, stream=True) as answer:
            list(answer.iter_lines())
        with responses.with_streaming_response.create(**RESPONSE) as answer:
            answer.read()
        self.assertTrue(chat.parse(**CHAT, response_format=City).choices[0].message.parsed)
        self.assertTrue(responses.parse(**RESPONSE, text_format=City).output_parsed)
        with chat.stream(**CHAT, response_format=City) as stream:
            stream.until_done()
        with responses.stream(**RESPONSE) as stream:
            stream.get_final_response()
        client.with_options(timeout=9, max_retries=0).copy().completions.create(
            model="gpt-4o-mini", prompt=ASK, timeout=5)
        client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
        chat.create(**{**CHAT, "n": 3})
        self.assertEqual(12, len(self.lines()))
        self.assertEqual(12, self.s.read().steps)
        self.assert_even()

    def test_of_anthropic(self):
        client = self.anthropic("")
        for messages in (client.messages, client.beta.messages):
            messages.with_raw_response.create(**MESSAGE).parse()
            with messages.with_streaming_response.create(**MESSAGE) as answer:
                answer.parse()
            with messages.stream(**MESSAGE) as stream:
                self.assertTrue("".join(stream.text_stream))
            with messages.stream(**MESSAGE) as stream:
                stream.get_final_message()
            self.assertTrue(messages.parse(**MESSAGE, output_format=City).parsed_output)
            messages.count_tokens(model=MESSAGE["model"], messages=MESSAGES)
        self.assertEqual(10, self.s.read().steps)
        self.assert_even()

    def test_of_gemini(self):
        client = self.gemini()
        chat = client.chats.create(model="gemini-2.5-flash")
        chat.send_message(ASK)
        list(chat.send_message_stream(ASK))
        client.models.generate_content(**GENERATE, config={"candidate_count": 3})
        self.assertTrue(client.models.generate_content(**GENERATE, config={
            "response_mime_type": "application/json", "response_schema": City}).parsed)
        self.assertEqual(4, self.s.read().steps)
        self.assert_even()

    def test_azure(self):
        client = self.s.wrap(openai.AzureOpenAI(
            azure_endpoint=self.stub.url("out=9"), api_key=self.account,
            api_version="2024-10-21", azure_deployment="gpt-4o-mini"))
        client.chat.completions.create(**CHAT)
        list(client.chat.completions.create(**CHAT, stream=True))
        self.assertEqual(2, self.s.read().steps)
        self.assert_even()

    def test_a_class_of_one_s_own(self):
        class Named(openai.OpenAI):
            def __init__(self, *arguments, **options):
                super().__init__(*arguments, **options)

        class Fixed(openai.OpenAI):
            def __init__(self, key):
                super().__init__(api_key=key)

        client = self.s.wrap(Named(api_key=self.account, base_url=self.stub.url("out=9") + "/v1"))
        client.chat.completions.create(**CHAT)
        self.assert_even()
        with self.assertRaisesRegex(bursar.UnsupportedError, "http_client=session.wrap"):
            self.s.wrap(Fixed("x"))

    def test_streams_that_are_left(self):
        long = "out=400,slow=0.005"
        chat, responses = {**CHAT, "max_tokens": 2000}, {**RESPONSE, "max_output_tokens": 2000}
        for worst, open_stream in (
            (1_200_000, lambda: self.openai(long).chat.completions.stream(**chat)),
            (1_200_000, lambda: self.openai(long).responses.stream(**responses)),
            (10_000_000, lambda: self.anthropic(long).messages.stream(
                **{**MESSAGE, "max_tokens": 2000})),
        ):
            self.fresh()
            with open_stream() as stream:
                for number, _ in enumerate(getattr(stream, "text_stream", stream)):
                    if number == 4:
                        break
            self.assert_came(worst)

    @each_way
    def test_cancel_scopes(self, way):
        async def work():
            client = self.client_async(way, "out=60,slow=0.1")

            async def read():
                async for _ in await way.ask(for_async(way, client), 1_000, stream=True):
                    pass

            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.15):
                    await read()
            with anyio.move_on_after(0.15):
                await read()
            with contextlib.suppress(ExceptionGroup):
                async with anyio.create_task_group() as group:
                    group.start_soon(read)
                    group.start_soon(way.ask, for_async(way, client), 100)
                    await anyio.sleep(0.15)
                    raise ValueError
            await way.close(client)

        asyncio.run(work())
        self.assertEqual(4, self.s.read().steps)
        self.assertGreaterEqual(self.spent(), self.billed())
        self.assertGreater(self.billed(), 0)


class Runners(Usages):
    """Loops of the SDKs' own."""

    def test_of_anthropic_with_the_conversation_kept_there(self):
        """Only what is new is sent; all of it is billed, and held before."""
        for stream in (False, True):
            with self.subTest(stream=stream):
                self.fresh("$0.01")
                self.assert_ends(lambda: [
                    list(message) if stream else message
                    for message in self.anthropic("loop,out=5").beta.messages.tool_runner(
                        **MESSAGE, stream=stream, tools=[anthropic.beta_tool(weather)])])
                sizes = [line["input_bytes"] for line in self.lines()]
                tokens = [line["input_tokens"] for line in self.lines()]
                self.assertLess(sizes[-1], 2 * sizes[1])
                self.assertGreater(tokens[-1], 4 * tokens[1])

    def test_what_is_kept_there_is_held_each_time(self):
        """And nothing wrong is learnt of it."""
        answers = iter(["sunny all over the place " * 500])

        def look(city: str, days: int) -> str:
            return next(answers, "sunny")

        self.fresh("$0.008")
        self.assert_ends(lambda: self.anthropic("loop,out=5").beta.messages.tool_runner(
            **MESSAGE, tools=[anthropic.beta_tool(look, description="Looks.")]).until_done(),
            8_000_000)  # fmt: skip
        self.assertGreater(self.spent(), 3_000_000)
        self.fresh("$0.008")
        self.anthropic().messages.create(
            **{**MESSAGE, "messages": [{"role": "user", "content": "sunny all over " * 700}]})
        self.assert_even()

    def test_in_an_event_loop(self):
        async def look(city: str, days: int) -> str:
            return weather(city, days)

        async def work():
            async with self.anthropic("loop,out=5", anthropic.AsyncAnthropic) as client:
                await client.beta.messages.tool_runner(
                    **MESSAGE, tools=[anthropic.beta_async_tool(look)]).until_done()

        self.fresh("$0.01")
        self.assert_ends(lambda: asyncio.run(work()))

    def test_of_openai(self):
        tool = {"type": "function", "name": "weather", "parameters": WEATHER}
        for stream in (False, True):
            with self.subTest(stream=stream):
                self.fresh("$0.001")
                runner = ResponsesToolRunner(functions=[
                    RegisteredFunction(tool, lambda arguments: weather(**arguments))])
                self.assert_ends(lambda: runner.run(
                    self.openai("loop,out=5"), RESPONSE, max_steps=50, stream=stream), 1_000_000)

    def test_of_gemini(self):
        config = {"tools": [weather], "max_output_tokens": 60,
                  "automatic_function_calling": {"maximum_remote_calls": 50}}
        self.fresh("$0.003")
        client = self.gemini("loop,out=5")
        chat = client.chats.create(model="gemini-2.5-flash", config=config)
        self.assert_ends(lambda: chat.send_message(ASK), 3_000_000)
        self.fresh("$0.003")
        self.assert_ends(lambda: list(self.gemini("loop,out=5").models.generate_content_stream(
            **GENERATE, config=config)), 3_000_000)


class OverAiohttp(Usages):
    """OpenAI's and Anthropic's clients on aiohttp's connections."""

    def each(self, test):
        ways = ((openai.DefaultAioHttpClient, self.openai_async, "chat.completions", CHAT),
                (anthropic.DefaultAioHttpClient, self.anthropic_async, "messages", MESSAGE))
        for connections, make, api, arguments in ways:
            with self.subTest(api):
                self.fresh()
                asyncio.run(self.in_loop(connections, make, api, arguments, test))

    async def in_loop(self, connections, make, api, arguments, test):
        async with connections() as inner:
            def ask(scenario="out=12", limit=60, **more):
                found = make(scenario, http_client=inner)
                for name in api.split("."):
                    found = getattr(found, name)
                return found.create(**{**arguments, "max_tokens": limit, **more})

            await test(ask)

    def anthropic_async(self, scenario, **options):
        return self.anthropic(scenario, anthropic.AsyncAnthropic, **options)

    def test_the_bill_is_the_provider_s(self):
        async def test(ask):
            await ask()
            async for _ in await ask(stream=True):
                pass

        self.each(test)
        self.assertEqual(2, self.s.read().steps)
        self.assert_even()

    def test_a_stream_that_is_left(self):
        async def test(ask):
            stream = await ask("out=400,slow=0.005", 2_000, stream=True)
            for _ in range(6):
                await anext(stream)
            await stream.close()
            self.assert_came(10_000_000 if "claude" in self.lines()[0]["model"] else 1_200_000)
            before = self.s.read().spent_nanos
            stream = await ask("out=400", 2_000, stream=True)
            await anext(stream)
            await asyncio.sleep(0.3)  # meanwhile all of the answer arrives
            await stream.close()
            self.assertGreater(self.spent() - before, 200 * 600)
            self.assertGreaterEqual(self.spent(), self.billed())
            stream = await ask("out=400", 2_000, stream=True)
            del stream
            gc.collect()
            await asyncio.sleep(0.1)
            gc.collect()
            self.assertGreaterEqual(self.spent(), self.billed())

        self.each(test)

    def test_killed_while_no_piece_comes(self):
        async def test(ask):
            stream = await ask("out=60,slow=5", stream=True)
            asyncio.get_running_loop().call_later(0.1, self.rt.kill, self.s)
            with self.assertRaises(bursar.Killed):
                async with asyncio.timeout(3):
                    async for _ in stream:
                        pass

        self.each(test)

    def test_a_connection_that_is_lost_is_paid_and_one_never_made_is_not(self):
        """Their transport calls both a timeout of connecting."""

        async def ask(port):
            async with openai.DefaultAioHttpClient() as inner:
                client = self.s.wrap(openai.AsyncOpenAI(
                    base_url=f"http://127.0.0.1:{port}/v1", api_key="x", http_client=inner,
                    max_retries=0))
                with self.assertRaises(openai.APIConnectionError):
                    await client.chat.completions.create(**CHAT)

        def hang_up():
            connection, _ = server.accept()
            connection.recv(1 << 16)
            connection.close()

        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            thread = threading.Thread(target=hang_up)
            thread.start()
            asyncio.run(ask(port))
            thread.join()
        lost = self.spent()
        self.assertGreater(lost, 60 * 600)
        asyncio.run(ask(port))
        self.assertEqual(lost, self.spent())


class Signed(Usages):
    """Nothing can be written into a request that is signed: it goes as it is, or not at all."""

    @unittest.skipUnless(importlib.util.find_spec("botocore"), "openai[bedrock]")
    def test_openai_on_bedrock(self):
        sent = []

        def answer(request):
            sent.append(request)
            return httpx2.Response(200, json={
                "id": "1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini",
                "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}})

        client = self.s.wrap(openai.BedrockOpenAI(
            aws_access_key_id="a", aws_secret_access_key="b", aws_region="us-east-1",
            http_client=httpx2.Client(transport=httpx2.MockTransport(answer))))
        client.chat.completions.create(**CHAT)
        self.assertEqual(
            sent[0].headers["x-amz-content-sha256"], hashlib.sha256(sent[0].content).hexdigest())
        self.assertEqual(3 * 150 + 4 * 600, self.spent())
        with self.assertRaisesRegex(bursar.UnsupportedError, "names none; pass max_"):
            client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
        self.assertEqual(1, len(sent))


class Together(Usages):
    def test_wrapped_twice_instrumented_and_in_a_turn(self):
        bursar.instrument(self.s)
        self.addCleanup(bursar.uninstrument)
        client, claude, gemini = self.s.wrap(self.openai()), self.anthropic(), self.gemini()

        async def work():
            async with openai.DefaultAioHttpClient() as inner:
                chat = self.openai_async(http_client=inner).chat.completions
                await chat.create(**CHAT)
                async for _ in await chat.create(**CHAT, stream=True):
                    pass
            await gemini.aio.models.generate_content(**GENERATE)
            await gemini.aio.aclose()

        with self.s.turn("gpt-4o-mini", input=ASK, max_output_tokens=60) as turn:
            turn.settle(client.chat.completions.create(**CHAT).usage)
        list(client.responses.create(**RESPONSE, stream=True))
        claude.messages.create(**MESSAGE)
        gemini.models.generate_content(**GENERATE)
        asyncio.run(work())
        self.assertEqual(7, len(self.lines()))
        self.assertEqual(7, self.s.read().steps)
        self.assert_even()


class Unmetered(Usages):
    def test_what_costs_money_beside_is_said(self):
        """Interactions of Gemini and decisions of OpenAI are models' work, too."""
        from bursar.wire import gate

        gate._warned.clear()
        transport = httpx2.MockTransport(lambda request: httpx2.Response(404, json={}))
        client = self.s.wrap(httpx2.Client(transport=transport))
        for url in ("https://generativelanguage.googleapis.com/v1/interactions",
                    "https://api.openai.com/v1/decisions"):
            with self.assertWarnsRegex(bursar.BursarWarning, "does not meter"):
                client.post(url, json={})


if __name__ == "__main__":
    unittest.main()
