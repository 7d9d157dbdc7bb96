"""The SDKs as the tests use them: each way to ask a model, sync and async, whole and streamed.

A way is a class with `make`, `make_async`, `ask` and `stream`; what it gives is text. `Case` is a
test with a provider, a runtime whose prices are the provider's, and an account of its own.
"""

import asyncio
import functools
import itertools
import unittest
import warnings
from decimal import Decimal

import bursar
from double.bill import PRICES
from stub import Stub

try:
    import google.genai
    import openai
except ImportError as error:
    raise unittest.SkipTest(f"{error}: run `make integrations`")
try:
    import anthropic
except ImportError:
    anthropic = None  # the second set has none

ASK = "How much is ten and two? Say it in a few words."
_accounts = itertools.count(1)


class OpenAIChat:
    model = "gpt-4o-mini"
    module = openai

    def make(url, key, **options):
        return openai.OpenAI(base_url=url + "/v1", api_key=key, **options)

    def make_async(url, key, **options):
        return openai.AsyncOpenAI(base_url=url + "/v1", api_key=key, **options)

    def close(client):
        return client.close()

    def arguments(limit, stream=False, model=None):
        return {"model": model or OpenAIChat.model, "max_tokens": limit, "stream": stream,
                "messages": [{"role": "user", "content": ASK}]}

    def ask(client, limit=60, **more):
        return client.chat.completions.create(**OpenAIChat.arguments(limit, **more))

    stream_with_limit = staticmethod(lambda client, limit: OpenAIChat.ask(client, limit, stream=True))

    def text(answer):
        return answer.choices[0].message.content

    def piece(event):
        return event.choices[0].delta.content if event.choices else None


class OpenAIResponses(OpenAIChat):
    def ask(client, limit=60, stream=False, model=None):
        return client.responses.create(model=model or OpenAIChat.model, input=ASK,
                                       max_output_tokens=limit, stream=stream)

    stream_with_limit = staticmethod(
        lambda client, limit: OpenAIResponses.ask(client, limit, stream=True))

    def text(answer):
        return answer.output_text

    def piece(event):
        return event.delta if event.type == "response.output_text.delta" else None


class Anthropic:
    model = "claude-haiku-4-5"
    module = anthropic

    def make(url, key, **options):
        return anthropic.Anthropic(base_url=url, api_key=key, **options)

    def make_async(url, key, **options):
        return anthropic.AsyncAnthropic(base_url=url, api_key=key, **options)

    def close(client):
        return client.close()

    def ask(client, limit=60, stream=False, model=None):
        return client.messages.create(
            model=model or Anthropic.model, max_tokens=limit, stream=stream,
            messages=[{"role": "user", "content": ASK}])

    stream_with_limit = staticmethod(lambda client, limit: Anthropic.ask(client, limit, stream=True))

    def text(answer):
        return answer.content[0].text

    def piece(event):
        return event.delta.text if event.type == "content_block_delta" else None


class Gemini:
    model = "gemini-2.5-flash"
    module = google.genai

    def make(url, key, **options):
        return google.genai.Client(api_key=key, http_options={
            "base_url": url, "retry_options": {"attempts": options.get("max_retries", 2) + 1,
                                               "initial_delay": 0.01, "max_delay": 0.05}})

    def make_async(url, key, **options):
        return Gemini.make(url, key, **options)

    async def close(client):
        await client.aio.aclose()

    def _arguments(client, limit, model):
        return {"model": model or Gemini.model, "contents": ASK,
                "config": {"max_output_tokens": limit}}

    def ask(client, limit=60, stream=False, model=None):
        arguments = Gemini._arguments(client, limit, model)
        models = client.models
        return (models.generate_content_stream if stream else models.generate_content)(**arguments)

    stream_with_limit = staticmethod(lambda client, limit: Gemini.ask(client, limit, stream=True))

    def text(answer):
        return answer.text

    def piece(event):
        return event.text


WAYS = [OpenAIChat, OpenAIResponses, *([Anthropic] if anthropic else []), Gemini]


def for_async(way, client):
    """What a way's functions take in an event loop."""
    return client.aio if way is Gemini else client


def each_way(test):
    """A test for every way, each with an account and a session of its own."""

    @functools.wraps(test)
    def run(self):
        for way in WAYS:
            with self.subTest(way.__name__):
                self.fresh()
                test(self, way)

    return run


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stub = Stub()
        cls.addClassCleanup(cls.stub.__exit__)

    def setUp(self):
        warnings.simplefilter("ignore", ResourceWarning)
        self.rt = bursar.open()
        self.addCleanup(self.rt.close)
        for model, (new, cached, output, *write) in PRICES.items():
            writes = {"cache_write": write[0], "cache_write_1h": write[1]} if write else {}
            self.rt.price(model, **{
                name: f"${price}/M" for name, price in {
                    "input": new, "cache_read": cached, "output": output, **writes}.items()})
        self.fresh()

    def fresh(self, *limits, path="acme/integrations"):
        """A new account and a session of its own; the account of this test."""
        self.account = f"{self._testMethodName}-{next(_accounts)}"
        self.s = self.rt.session(path, *(limits or ("$1",)))
        self.addCleanup(self.s.close)
        return self.s

    def client(self, way, scenario="", wrap=True, **options):
        client = way.make(self.stub.url(scenario), self.account, **{"max_retries": 2, **options})
        return self.kept(self.s.wrap(client) if wrap else client)

    def client_async(self, way, scenario="", wrap=True, **options):
        client = way.make_async(
            self.stub.url(scenario), self.account, **{"max_retries": 2, **options})
        return self.kept(self.s.wrap(client) if wrap else client)

    def kept(self, client):
        """google-genai closes a client that is dropped, also under a stream that is not read."""
        self.addCleanup(repr, client)
        return client

    def run_async(self, work):
        return asyncio.run(work)

    # What was spent, and what the provider billed, in nano-dollars

    def spent(self):
        view = self.s.read()
        self.assertEqual(0, view.reserved_nanos, "still held")
        return view.spent_nanos

    def billed(self):
        return Decimal(self.stub.bill(self.account)["dollars"]).scaleb(9)

    def lines(self):
        return self.stub.bill(self.account)["lines"]

    def assert_even(self):
        """Bursar's books are the provider's, but for a rounding of each step."""
        self.assertLessEqual(abs(self.spent() - self.billed()), len(self.lines()))
        self.assertGreater(self.spent(), 0)
