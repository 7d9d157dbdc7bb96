"""pydantic-ai's agents with the Bursar capability, against the provider."""

import asyncio
import pickle
import unittest
import warnings

import bursar
import casework  # noqa: F401  (what the frameworks read in the environment)
from agent_cases import CLAUDE, FLEET, MODEL, Case, run

try:
    import anthropic
    import openai
    from pydantic import BaseModel
    from pydantic_ai import Agent, ModelRetry, RunContext, capture_run_messages
    from pydantic_ai.exceptions import ModelHTTPError, UsageLimitExceeded
    from pydantic_ai.messages import ModelResponse, TextPart
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.models.fallback import FallbackModel
    from pydantic_ai.models.function import FunctionModel
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.models.test import TestModel
    from pydantic_ai.providers.anthropic import AnthropicProvider
    from pydantic_ai.providers.openai import OpenAIProvider
    from pydantic_ai.usage import RequestUsage
except ImportError as error:
    raise unittest.SkipTest(f"{error}: run `make integrations`")

from bursar.integrations import pydantic_ai as hooks
from bursar.integrations.pydantic_ai import Bursar
from bursar.turn import current_turn


class Agents(Case):
    """A case with models of pydantic-ai, whose account is the test's."""

    def openai(self, scenario, kind=OpenAIChatModel, limit=50, retries=2):
        client = self.closed(openai.AsyncOpenAI(
            base_url=self.stub.url(scenario) + "/v1", api_key=self.account, max_retries=retries))
        return kind(MODEL, provider=OpenAIProvider(openai_client=client),
                    settings={"max_tokens": limit})

    def closed(self, client):
        """A client that is closed, not dropped: the SDKs' clients close sockets when they are
        collected that asyncio still counts as theirs, and it then forgets others of that number."""
        self.addCleanup(lambda: run(client.close()))
        return client

    def responses(self, scenario):
        return self.openai(scenario, OpenAIResponsesModel)

    def anthropic(self, scenario):
        provider = AnthropicProvider(anthropic_client=self.closed(anthropic.AsyncAnthropic(
            base_url=self.stub.url(scenario), api_key=self.account)))
        return AnthropicModel(CLAUDE, provider=provider, settings={"max_tokens": 50})

    def models(self, scenario):
        for make in (self.openai, self.responses, self.anthropic):
            with self.subTest(make.__name__):
                self.fresh("$0.01")
                yield make(scenario)

    def agent(self, served, tools=None, session=None, name=None, output_type=str, **options):
        return Agent(served, tools=[self.weather] if tools is None else tools, name=name,
                     output_type=output_type, capabilities=[Bursar(session or self.s, **options)])


class Ends(Agents):
    def assert_ends(self, ask):
        with self.assertRaises(UsageLimitExceeded) as caught:
            ask()
        error = caught.exception
        self.assertIsInstance(error, bursar.BudgetExceeded)
        self.assertIsInstance(error, hooks.BudgetExceeded)
        self.assertEqual("cost", error.decision.meter.name.lower())
        self.assertEqual(error.decision.explain(), str(error))
        self.assertGreater(len(self.lines()), 2)
        self.assert_exact()
        self.assertLessEqual(self.spent(), 10_000_000)
        return error

    def test_a_loop_ends_at_its_budget(self):
        for model in self.models("loop,out=10,parallel=2"):
            self.assert_ends(lambda: run(self.agent(model).run("hi")))

    def test_streamed(self):
        async def work(agent):
            async def read(ctx, events):
                async for _ in events:
                    pass

            await agent.run("hi", event_stream_handler=read)

        for model in self.models("loop,out=10"):
            self.assert_ends(lambda: run(work(self.agent(model))))

    def test_step_by_step(self):
        async def work(agent):
            async with agent.iter("hi") as steps:
                async for _ in steps:
                    pass

        for model in self.models("loop,out=10"):
            self.assert_ends(lambda: run(work(self.agent(model))))
            self.assertIsNone(bursar.current())

    def test_an_error_that_can_travel(self):
        self.fresh("$0.005")
        error = self.assert_ends(lambda: run(self.agent(self.openai("loop,out=10")).run("hi")))
        again = pickle.loads(pickle.dumps(error))
        self.assertIs(type(error), type(again))
        self.assertEqual((str(error), error.message), (str(again), again.message))
        self.assertEqual(error.decision.remaining, again.decision.remaining)

    def test_each_kind_is_both(self):
        self.rt.kill(self.s, reason="enough")
        with self.assertRaises(UsageLimitExceeded) as caught:
            run(self.agent(self.openai("text")).run("hi"))
        self.assertIsInstance(caught.exception, bursar.Killed)
        self.assertEqual("enough", caught.exception.decision.why)
        self.fresh("1 steps/min burst 1")
        run(self.agent(self.openai("text")).run("hi"))
        with self.assertRaises(UsageLimitExceeded) as caught:
            run(self.agent(self.openai("text"), wait=0.01).run("hi"))
        self.assertIsInstance(caught.exception, bursar.Throttled)

    def test_goes_on_from_its_messages(self):
        self.fresh("$0.0022")
        agent = self.agent(self.openai("turns=6,parallel=2,out=10"))
        with capture_run_messages() as messages, self.assertRaises(bursar.BudgetExceeded):
            run(agent.run("hi"))
        paid = len(self.lines())
        self.assertIn(paid, range(1, 6))
        self.rt.top_up(self.s, "$1")
        answer = run(agent.run(message_history=messages))
        self.assertTrue(answer.output)
        self.assertEqual((7, 12), (len(self.lines()), len(self.asked)))
        self.assert_exact()

    def test_the_session_that_is_entered(self):
        with self.fresh():
            agent = Agent(self.openai("turns=1,out=10"), tools=[self.weather],
                          capabilities=[Bursar()])
            run(agent.run("hi"))
            self.assert_exact()
        with self.assertRaisesRegex(bursar.InvalidArgumentError, "no session"):
            run(agent.run("hi"))

    def test_what_is_left_is_told_when_wanted(self):
        run(self.agent(self.openai("text,out=10")).run("hi"))
        run(self.agent(self.openai("text,out=10"), brief=True).run("hi"))
        plain, told = (line["input_bytes"] for line in self.lines())
        self.assertGreater(told, plain + len(self.s.brief()) - 5)

    def test_many_runs_of_one_agent_at_once(self):
        agent = self.agent(self.openai("turns=2,parallel=2,out=10"))

        async def work():
            await asyncio.gather(*(agent.run("hi") for _ in range(10)))

        run(work())
        self.assertEqual((30, 40), (len(self.lines()), len(self.asked)))
        self.assert_exact()


class Streams(Agents):
    def test_read_to_its_end(self):
        async def work(agent):
            async with agent.run_stream("hi") as answer:
                async for _ in answer.stream_text(delta=True):
                    self.assertIsNone(current_turn())  # who reads is not in the turn

        for model in self.models("text,out=40"):
            run(work(self.agent(model)))
            self.assertEqual(1, len(self.lines()))
            self.assert_exact()

    def test_left(self):
        async def work(agent):
            async with agent.run_stream("hi") as answer:
                async for _ in answer.stream_text(delta=True, debounce_by=None):
                    break

        run(work(self.agent(self.openai("text,out=900,slow=0.01", limit=1_000))))
        self.assert_paid(1_000)

    def test_cancelled(self):
        async def work():
            agent = self.agent(self.openai("text,out=900,slow=0.02", limit=1_000))

            async def read():
                async with agent.run_stream("hi") as answer:
                    async for _ in answer.stream_text():
                        pass

            task = asyncio.ensure_future(read())
            await self.held()
            await asyncio.sleep(0.1)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task

        run(work())
        self.assert_paid(1_000)

    def test_killed(self):
        async def work(agent):
            async with agent.run_stream("hi") as answer:
                async for _ in answer.stream_text(delta=True, debounce_by=None):
                    if not self.rt.read(self.s).why:
                        self.rt.kill(self.s, reason="enough")

        with self.assertRaises(UsageLimitExceeded) as caught:
            run(work(self.agent(self.openai("text,out=900,slow=0.01", limit=1_000))))
        self.assertIsInstance(caught.exception, bursar.Killed)
        self.assert_paid(1_000)


class Tools(Agents):
    def test_tools_are_steps(self):
        self.rt.tool_price("weather", "$0.003")
        run(self.agent(self.openai("turns=2,parallel=3,out=10")).run("hi"))
        self.assertEqual(self.billed() + 6 * 3_000_000, self.spent())
        self.fresh("$1", "4 calls(weather)")
        with self.assertRaises(UsageLimitExceeded) as caught:
            run(self.agent(self.openai("loop,parallel=3,out=10")).run("hi"))
        self.assertIsInstance(caught.exception, bursar.BudgetExceeded)
        self.assertLessEqual(len(self.asked), 6 + 4)

    def test_retries_of_the_model_cost_once_each(self):
        tried = []

        def weather(city: str) -> str:
            """The weather."""
            tried.append(city)
            if len(tried) % 2:
                raise ModelRetry("which city?")
            return "sunny"

        self.rt.tool_price("weather", "$0.001")
        run(self.agent(self.openai("turns=4,out=10"), [weather]).run("hi"))
        self.assertEqual((4, 5), (len(tried), len(self.lines())))
        self.assertEqual(self.billed() + 4_000_000, self.spent())

    def test_those_of_output_too(self):
        seen = []
        agent = self.agent(self.openai("text,out=10"), [])

        @agent.output_validator
        def check(text: str) -> str:
            seen.append(text)
            if len(seen) < 2:
                raise ModelRetry("again")
            return text

        run(agent.run("hi"))
        self.assertEqual(2, len(self.lines()))
        self.assert_exact()

    def test_those_of_the_sdk(self):
        run(self.agent(self.openai("turns=1,out=10,429=1")).run("hi"))
        self.assertEqual([429, 200, 429, 200], [line["status"] for line in self.lines()])
        self.assert_exact()

    def test_fallbacks(self):
        model = FallbackModel(self.openai("429=9", retries=0), self.anthropic("out=10,text"))
        run(self.agent(model).run("hi"))
        self.assertEqual([429, 200], [line["status"] for line in self.lines()])
        self.assert_exact()

    def test_a_refusal_is_no_reason_for_one(self):
        self.fresh("$0.00001")
        model = FallbackModel(self.openai("text"), self.anthropic("text"))
        with self.assertRaises(bursar.BudgetExceeded):
            run(self.agent(model).run("hi"))
        self.assertEqual([], self.lines())

    def test_errors_of_the_provider_stay_what_they_are(self):
        with self.assertRaises(ModelHTTPError):
            run(self.agent(self.openai("500=9", retries=0)).run("hi"))
        self.assertEqual(0, self.s.read().reserved_nanos)

    def test_going_in_circles_is_noticed(self):
        def weather(city: str, days: int = 1) -> str:
            """The weather."""
            return "sunny"

        with self.assertWarnsRegex(bursar.BursarWarning, "in circles"):
            run(self.agent(self.openai("turns=9,same,out=4"), [weather]).run("hi"))
        self.fresh()
        with self.assertRaises(bursar.Paused) as caught:
            run(self.agent(self.openai("loop,same,out=4"), [weather], repeats_max=3).run("hi"))
        self.assertIn("3 times in a row", caught.exception.decision.why)

    def test_what_a_tool_sends_is_metered(self):
        model = self.openai("text,out=6")

        async def ask(city: str) -> str:
            """Asks another model."""
            answer = await model.client.chat.completions.create(
                model=MODEL, max_tokens=20, messages=[{"role": "user", "content": "hello"}])
            return answer.choices[0].message.content

        run(self.agent(self.openai("turns=2,parallel=2,out=10"), [ask]).run("hi"))
        self.assertEqual(7, len(self.lines()))
        self.assert_exact()


class NoHTTP(Agents):
    """Models that send nothing by HTTP: held before, settled from what they say."""

    def function(self, **usage):
        def answer(messages, info):
            return ModelResponse([TextPart("ok")], usage=RequestUsage(**usage))

        return FunctionModel(answer)

    def test_settled_from_their_usage(self):
        used = {"input_tokens": 100, "output_tokens": 10, "cache_read_tokens": 60}
        run(self.agent(self.function(**used), model=MODEL).run("hi"))
        self.assertEqual(40 * 2_500 + 60 * 1_250 + 10 * 10_000, self.spent())

    def test_the_model_for_tests(self):
        self.rt.price("test", input="$1/M", output="$2/M")
        answer = run(self.agent(TestModel()).run("hi"))
        used = answer.usage
        self.assertEqual(used.input_tokens * 1_000 + used.output_tokens * 2_000, self.spent())
        self.fresh()

        async def work():
            async with self.agent(TestModel()).run_stream("hi") as answer:
                await answer.get_output()
                return answer.usage

        used = run(work())
        self.assertEqual(used.input_tokens * 1_000 + used.output_tokens * 2_000, self.spent())

    def test_refused_before(self):
        self.fresh("$0.0001")
        with self.assertRaises(bursar.BudgetExceeded):
            run(self.agent(self.function(input_tokens=1), model=MODEL).run("hi"))
        self.assertEqual(0, self.spent())

    def test_without_a_price(self):
        with self.assertRaises(bursar.Halted) as caught:
            run(self.agent(TestModel()).run("hi"))
        self.assertIs(bursar.Reason.PRICE_UNKNOWN, caught.exception.decision.reason)


class SubAgents(Agents):
    def test_delegation(self):
        helper = Agent(self.openai("turns=1,out=6"), tools=[self.weather], name="helper",
                       capabilities=[Bursar()])

        async def research(ctx: RunContext, topic: str) -> str:
            """Finds out."""
            return (await helper.run("hi", usage=ctx.usage)).output

        with self.closing():
            run(self.agent(self.openai("turns=1,parallel=3,out=6"), [research]).run("hi"))
        self.assertEqual(8, len(self.lines()))
        self.assertGreater(self.agents()["helper"], 0)
        self.assertLess(self.agents()["helper"], self.spent())
        self.assert_exact()

    def test_its_limits_are_its_own(self):
        helper = Agent(self.openai("loop,out=6"), tools=[self.weather], name="helper",
                       capabilities=[Bursar(self.s, limits="$0.002")])
        refused = []

        async def research(topic: str) -> str:
            """Finds out."""
            try:
                return (await helper.run("hi")).output
            except bursar.BudgetExceeded as error:
                refused.append(error)
                return "nothing"

        run(self.agent(self.openai("turns=1,parallel=2,out=6"), [research]).run("hi"))
        self.assertEqual(2, len(refused))
        self.assertLessEqual(self.agents()["helper"], 4_000_000)
        self.assert_exact()

    def test_a_hand_off_by_an_output_function(self):
        helper = Agent(self.openai("text,out=6"), name="helper", capabilities=[Bursar()])

        class Question(BaseModel):
            topic: str

        async def hand_off(question: Question) -> str:
            return (await helper.run(question.topic)).output

        run(self.agent(self.openai("loop,out=6"), [], output_type=hand_off).run("hi"))
        self.assertEqual(2, len(self.lines()))
        self.assertGreater(self.agents()["helper"], 0)
        self.assert_exact()

    def test_a_session_that_somebody_opened_for_it(self):
        mine = self.s.child("mine", "$0.5")
        self.addCleanup(mine.close)
        helper = Agent(self.openai("text,out=6"), name="helper", capabilities=[Bursar(mine)])

        async def research(topic: str) -> str:
            """Finds out."""
            return (await helper.run("hi")).output

        run(self.agent(self.openai("turns=1,out=6"), [research]).run("hi"))
        self.assertEqual({"mine"}, set(self.agents()))
        self.assert_exact()

    def test_one_after_another_is_not_below(self):
        for _ in range(2):
            run(self.agent(self.openai("turns=1,out=6"), name="first").run("hi"))
        self.assertEqual({}, self.agents())


class Fleet(Agents):
    """20 agents with 5 tools at once each, on one budget."""

    def test_in_tasks(self):
        def all_of(sessions):
            async def one(session):
                agent = self.agent(self.openai("loop,parallel=5,out=20"), session=session)
                with self.assertRaises(UsageLimitExceeded):
                    await agent.run("hi")

            async def work():
                await asyncio.gather(*map(one, sessions))

            run(work())

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a run that ends cancels its tools
            self.fleet(all_of)
        self.assertGreater(len(self.lines()), FLEET)


if __name__ == "__main__":
    unittest.main()
