"""LiteLLM with install() and with instrument() alone: real calls, whose bill is the judge."""

import asyncio
import contextlib
import os
import pickle
import subprocess
import sys
import tempfile
import threading
import unittest

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
from sdks import Case  # noqa: E402

try:
    import litellm
except ImportError as error:
    raise unittest.SkipTest(f"{error}: the other environment has it")

import bursar  # noqa: E402
from bursar.integrations import litellm as integration, litellm_calls  # noqa: E402

from litellm import acompletion, completion, text_completion  # noqa: E402  # before anything is installed

MESSAGES = [{"role": "user", "content": "How much is ten and two? Say it in a few words."}]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}
MODELS = {"openai/gpt-4o-mini": "/v1", "anthropic/claude-haiku-4-5": "",
          "gemini/gemini-2.5-flash": None}


class Calls(Case):
    def setUp(self):
        super().setUp()
        litellm.suppress_debug_info = True
        self.addCleanup(bursar.uninstrument)
        self.addCleanup(integration.uninstall)
        integration.install(self.s)

    def fresh(self, *limits, **more):
        super().fresh(*limits, **more)
        if integration.state.installed:
            integration.install(self.s)
        return self.s

    def options(self, model="openai/gpt-4o-mini", scenario="out=12", **more):
        end = MODELS[model]
        base = self.stub.url(scenario) + (end or "")
        if end is None:  # it puts what follows the model behind it
            base = f"{base}/v1beta/models/{model.partition('/')[2]}"
        return {"model": model, "messages": MESSAGES, "max_tokens": 60, "api_key": self.account,
                "api_base": base, **more}

    def router(self, scenarios=("out=12",), **more):
        deployments = []
        for number, scenario in enumerate(scenarios):
            options = self.options(scenario=scenario)
            options.pop("messages")
            deployments.append({"model_name": f"m{number}", "litellm_params": options})
        return litellm.Router(model_list=deployments, **{"num_retries": 0, **more})

    def assert_exact(self):
        self.assertEqual(self.spent(), self.billed())
        self.assertGreater(self.spent(), 0)

    def each(self, test, *limits):
        """Sync and not, whole and streamed, of each provider."""
        for model in MODELS:
            for is_async in (False, True):
                for stream in (False, True):
                    with self.subTest(model=model, is_async=is_async, stream=stream):
                        self.fresh(*limits)

                        def ask(scenario="out=12", **more):
                            more["stream"] = stream
                            return self.ask(is_async, **self.options(model, scenario, **more))

                        ask.is_async = is_async
                        ask.lazy = stream and model.startswith("gemini")  # sent when it is read
                        test(ask)

    def ask(self, is_async, **options):
        if not is_async:
            answer = litellm.completion(**options)
            return list(answer) if options.get("stream") else answer

        async def work():
            answer = await litellm.acompletion(**options)
            return [piece async for piece in answer] if options.get("stream") else answer

        return asyncio.run(work())


class Ways(Calls):
    def test_the_bill_is_the_provider_s(self):
        def test(ask):
            self.assertTrue(ask())
            self.assertEqual(1, len(self.lines()))
            self.assert_exact()

        self.each(test)

    def test_a_refusal_is_litellm_s_own_and_not_retried(self):
        def test(ask):
            with self.assertRaises(litellm.BudgetExceededError) as caught:
                ask(num_retries=3)
            error = caught.exception
            self.assertIsInstance(error, bursar.BudgetExceeded)
            self.assertIs(bursar.Reason.LIMIT, error.decision.reason)
            self.assertAlmostEqual(1e-6, error.max_budget)
            copied = pickle.loads(pickle.dumps(error))
            self.assertEqual((str(error), error.decision), (str(copied), copied.decision))
            self.assertEqual([], self.lines())
            self.assertEqual(1, self.s.read().refusals)

        self.each(test, "$0.000001")

    def test_nor_are_other_models_asked(self):
        def test(ask):
            if ask.lazy and not ask.is_async:
                return  # LiteLLM itself does not get there: it reads a coroutine as a stream
            with self.assertRaises(integration.BudgetExceeded):
                ask(fallbacks=["openai/gpt-4o-mini", self.options("anthropic/claude-haiku-4-5")])
            self.assertEqual([], self.lines())
            self.assertEqual(1, self.s.read().refusals)

        self.each(test, "$0.000001")

    def test_retries_are_steps(self):
        def test(ask):
            if ask.lazy:
                return  # it is not LiteLLM's to try again
            ask("out=12,429=2", num_retries=3)
            self.assertEqual([429, 429, 200], [line["status"] for line in self.lines()])
            self.assert_exact()

        self.each(test)

    def test_what_failed_and_was_billed_is_paid(self):
        def test(ask):
            if ask.lazy:
                return
            ask("out=12,500=1,billed", num_retries=3)
            self.assertEqual([500, 200], [line["status"] for line in self.lines()])
            self.assertEqual(2, self.s.read().steps)
            self.assertGreaterEqual(self.spent(), self.billed())

        self.each(test)

    def test_responses_and_embeddings(self):
        base = self.stub.url("out=12") + "/v1"
        common = {"api_key": self.account, "api_base": base}
        asked = {"model": "openai/gpt-4o-mini", "input": "hello", "max_output_tokens": 60, **common}
        embedded = {"model": "openai/text-embedding-3-small", "input": ["a b c"], **common}

        async def work():
            await litellm.aresponses(**asked)
            [e async for e in await litellm.aresponses(**asked, stream=True)]
            await litellm.aembedding(**embedded)

        asyncio.run(work())
        litellm.responses(**asked)
        list(litellm.responses(**asked, stream=True))
        litellm.embedding(**embedded)
        self.assertEqual(6, len(self.lines()))
        self.assert_even()
        self.rt.kill(self.s, reason="enough")
        for call in (lambda: litellm.responses(**asked), lambda: litellm.embedding(**embedded),
                     lambda: litellm.responses(**asked, stream=True)):
            with self.assertRaises(integration.Killed):
                call()
        self.assertEqual(6, len(self.lines()))

    def test_anthropic_s_messages(self):
        os.environ["LITELLM_RUST"] = "1"  # an HTTP client that is not Python's
        self.addCleanup(os.environ.pop, "LITELLM_RUST")

        async def work():
            await litellm.anthropic_messages(
                model="anthropic/claude-haiku-4-5", messages=MESSAGES, max_tokens=60,
                api_key=self.account, api_base=self.stub.url("out=12"))

        asyncio.run(work())
        self.assertEqual(1, len(self.lines()))
        self.assert_exact()
        self.rt.kill(self.s)
        with self.assertRaises(integration.Killed):
            asyncio.run(work())

    def test_the_entered_session_and_a_ladder(self):
        below = self.s.child("sub", "$0.000020", ladder=["gpt-4o-mini", "gpt-5-nano"])
        self.rt.price("gpt-5-nano", input="$0.01/M", output="$0.01/M")
        with below:
            litellm.completion(**self.options())
            self.assertEqual(1, below.read().steps)
        self.assertEqual(["gpt-5-nano"], [line["model"] for line in self.lines()])

    def test_a_loop_ends(self):
        def test(ask):
            messages, calls = list(MESSAGES), 0
            with self.assertRaises(litellm.BudgetExceededError):
                while True:
                    answer = litellm.completion(**self.options(
                        scenario="loop,parallel=5", tools=[TOOL], messages=messages))
                    message = answer.choices[0].message
                    messages.append(message.model_dump(exclude_none=True))
                    for call in message.tool_calls:
                        calls += 1
                        messages.append(
                            {"role": "tool", "tool_call_id": call.id, "content": "rain"})
            self.assertEqual(5 * len(self.lines()), calls)
            self.assertGreater(calls, 10)
            self.assert_exact()

        self.fresh("$0.0005")
        test(None)


class Imported(Calls):
    """Functions that somebody imported before."""

    def ask(self, is_async, **options):
        if not is_async:
            answer = completion(**options)
            return list(answer) if options.get("stream") else answer

        async def work():
            answer = await acompletion(**options)
            return [piece async for piece in answer] if options.get("stream") else answer

        return asyncio.run(work())

    test_the_bill_is_the_provider_s = Ways.test_the_bill_is_the_provider_s
    test_a_refusal_is_litellm_s_own_and_not_retried = (
        Ways.test_a_refusal_is_litellm_s_own_and_not_retried)
    test_nor_are_other_models_asked = Ways.test_nor_are_other_models_asked
    test_retries_are_steps = Ways.test_retries_are_steps


class ImportedAndInstrumented(Imported):
    """The same with nothing but instrument()."""

    def fresh(self, *limits, **more):
        super().fresh(*limits, **more)
        integration.uninstall()
        bursar.instrument(self.s)
        return self.s


class Streams(Calls):
    def setUp(self):
        super().setUp()
        for model in MODELS:  # what it imports at the first call takes longer than a piece
            self.ask(False, **self.options(model, stream=True))
            self.ask(True, **self.options(model, stream=True))

    def test_killed(self):
        def test(is_async, model):
            async def read():
                stream = await litellm.acompletion(
                    **self.options(model, "text,out=900,slow=0.05", stream=True, max_tokens=1000))
                async for _ in stream:
                    self.rt.kill(self.s, reason="enough")

            with self.assertRaises(litellm.BudgetExceededError) as caught:
                if is_async:
                    asyncio.run(read())
                else:
                    for _ in litellm.completion(**self.options(
                            model, "text,out=900,slow=0.05", stream=True, max_tokens=1000)):
                        self.rt.kill(self.s, reason="enough")
            self.assertIsInstance(caught.exception, bursar.Killed)
            self.assert_paid()

        for model in MODELS:
            for is_async in (False, True):
                with self.subTest(model=model, is_async=is_async):
                    self.fresh()
                    test(is_async, model)

    def test_cancelled(self):
        async def read(model):
            stream = await litellm.acompletion(
                **self.options(model, "text,out=900,slow=0.05", stream=True, max_tokens=1000))
            async for _ in stream:
                pass

        async def work(model):
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(read(model), 0.6)

        for model in MODELS:
            with self.subTest(model):
                self.fresh()
                asyncio.run(work(model))
                self.assert_paid()

    def assert_paid(self):
        """No less than the provider billed, and far from the worst case."""
        line = self.lines()[-1]
        self.assertLess(line["output_tokens"], 500)
        self.assertGreaterEqual(self.spent(), self.billed())
        self.assertGreater(self.billed(), 0)


class Routers(Calls):
    def both(self, test):
        for is_async in (False, True):
            with self.subTest(is_async=is_async):
                def ask(router, **more):
                    options = {"model": "m0", "messages": MESSAGES, **more}
                    if not is_async:
                        answer = router.completion(**options)
                        return list(answer) if more.get("stream") else answer

                    async def work():
                        answer = await router.acompletion(**options)
                        return [e async for e in answer] if more.get("stream") else answer

                    return asyncio.run(work())

                test(ask)

    def test_retries_and_fallbacks_are_steps(self):
        def test(ask):
            for stream in (False, True):
                self.fresh()
                router = self.router(["out=12,500every=2"], num_retries=3)
                ask(router, stream=stream)
                ask(router, stream=stream)
                self.assertEqual([200, 500, 200], [line["status"] for line in self.lines()])
                self.assertEqual(3, self.s.read().steps)
                self.fresh()
                router = self.router(["500=99", "out=12"], fallbacks=[{"m0": ["m1"]}])
                ask(router, stream=stream)
                self.assertEqual([500, 200], [line["status"] for line in self.lines()])
                self.assertEqual(2, self.s.read().steps)
                self.assertGreaterEqual(self.spent(), self.billed())

        self.both(test)

    def test_a_refusal_ends_it(self):
        def test(ask):
            for stream in (False, True):
                self.fresh("$0.000001")
                router = self.router(
                    ["out=12"] * 3, num_retries=3, allowed_fails=0,
                    fallbacks=[{"m0": ["m1", "m2"]}])
                with self.assertRaises(litellm.BudgetExceededError) as caught:
                    ask(router, stream=stream)
                self.assertIsInstance(caught.exception, bursar.BudgetExceeded)
                self.assertEqual([], self.lines())
                self.assertEqual(1, self.s.read().refusals)
                self.rt.top_up(self.s, "$1")  # no deployment was cooled down
                self.assertTrue(ask(router, stream=stream))
                self.assertEqual(1, len(self.lines()))

        self.both(test)

    def test_killed_in_a_stream_it_does_not_fall_back(self):
        async def work():
            router = self.router(["text,out=900,slow=0.01", "out=12"], fallbacks=[{"m0": ["m1"]}])
            with self.assertRaises(integration.Killed):
                async for _ in await router.acompletion(
                        model="m0", messages=MESSAGES, stream=True, max_tokens=1000):
                    self.rt.kill(self.s)

        asyncio.run(work())
        self.assertEqual(1, len(self.lines()))

    def test_a_stream_that_breaks_falls_back_in_the_budget(self):
        async def work():
            router = self.router(["text,out=900,cut=5", "out=12"], fallbacks=[{"m0": ["m1"]}])
            with contextlib.suppress(Exception):
                async for _ in await router.acompletion(
                        model="m0", messages=MESSAGES, stream=True, max_tokens=1000):
                    pass

        asyncio.run(work())
        self.assertEqual(len(self.lines()), self.s.read().steps)
        self.assertGreaterEqual(self.spent(), self.billed())


class Concurrency(Calls):
    LIMIT = "$0.005"

    def check(self, ends):
        self.assertEqual([integration.BudgetExceeded] * 20, ends)
        self.assert_even()
        self.assertLessEqual(self.spent(), 5_000_000)
        self.assertGreater(self.spent(), 4_000_000)

    def loop(self, n):
        return self.options(scenario="loop,parallel=5,429every=9", tools=[TOOL], num_retries=5,
                            messages=[{"role": "user", "content": f"hello {n}"}])

    def test_twenty_tasks_on_one_budget(self):
        self.fresh(self.LIMIT)

        async def agent(n):
            while True:
                try:
                    await asyncio.gather(*(litellm.acompletion(**self.loop(n)) for _ in range(5)))
                except bursar.Refused as error:
                    return type(error)

        async def work():
            return await asyncio.gather(*(agent(n) for n in range(20)))

        self.check(asyncio.run(work()))

    def test_twenty_threads_on_one_budget(self):
        self.fresh(self.LIMIT)
        ends = []

        def agent(n):
            try:
                while True:
                    litellm.completion(**self.loop(n))
            except bursar.Refused as error:
                ends.append(type(error))

        threads = [threading.Thread(target=agent, args=(n,)) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        self.check(ends)


class Instrumented(Calls):
    """Nothing but instrument()."""

    def setUp(self):
        super().setUp()
        integration.uninstall()
        bursar.uninstrument()

    def test_the_same_without_install(self):
        for model in MODELS:
            with self.subTest(model):
                self.fresh("$0.0012")
                bursar.instrument(self.s)
                with self.assertRaises(litellm.BudgetExceededError) as caught:
                    while True:
                        litellm.completion(**self.options(model, num_retries=2))
                self.assertIsInstance(caught.exception, bursar.BudgetExceeded)
                self.assertGreaterEqual(len(self.lines()), 1)
                self.assert_exact()
                with self.assertRaises(integration.BudgetExceeded):
                    asyncio.run(litellm.acompletion(**self.options(model, num_retries=2)))

    def test_an_unmodified_script(self):
        with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
            file.write("from litellm import completion\nwhile True:\n"
                       f"    completion(**{self.options(num_retries=2)!r})\n")
            file.flush()
            done = subprocess.run(
                [sys.executable, "-m", "bursar", "run", "--limits", "$0.0002", file.name],
                capture_output=True, text=True, timeout=60)
        self.assertEqual(123, done.returncode, done.stderr[-500:])
        self.assertIn("left of $0.0002", done.stderr)
        self.assertGreater(len(self.lines()), 3)
        self.assertLessEqual(self.billed(), 200_000)

    def test_everything_is_put_back(self):
        def there():
            below = [getattr(owner, name) for each in (completion, text_completion)
                     for owner, name in litellm_calls._below(each)]
            return litellm.completion, litellm.Router.function_with_fallbacks, below

        before = there()
        bursar.instrument(self.s)
        self.assertIsNot(before[0], litellm.completion)
        self.assertEqual(2, len(before[2]))
        self.assertNotIn(before[2][0], there()[2])
        bursar.uninstrument()
        self.assertEqual(before, there())


if __name__ == "__main__":
    unittest.main()
