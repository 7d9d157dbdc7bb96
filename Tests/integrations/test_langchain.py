"""LangChain's create_agent with BursarMiddleware, against the provider."""

import asyncio
import unittest
import warnings
from concurrent.futures import ThreadPoolExecutor

import bursar
import casework  # noqa: F401  (what the frameworks read in the environment)
from agent_cases import CLAUDE, MODEL, Case, run

try:
    from langchain.agents import create_agent
    from langchain.agents.middleware import ModelFallbackMiddleware, ModelRetryMiddleware
    from langchain.agents.middleware import ToolRetryMiddleware
    from langchain_anthropic import ChatAnthropic
    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.graph import END, START, MessagesState, StateGraph
    from langgraph.types import Command, interrupt
except ImportError as error:
    raise unittest.SkipTest(f"{error}: run `make integrations`")

from bursar.integrations.langchain import BursarMiddleware, decision_of

HI = {"messages": ["How is the weather?"]}
THREAD = {"configurable": {"thread_id": "1"}}


class Chains(Case):
    """A case with models of LangChain, whose account is the test's."""

    def openai(self, scenario, **options):
        return ChatOpenAI(**{"model": MODEL, "base_url": self.stub.url(scenario) + "/v1",
                             "api_key": self.account, "max_tokens": 50, **options})

    def anthropic(self, scenario, **options):
        return ChatAnthropic(**{"model": CLAUDE, "base_url": self.stub.url(scenario),
                                "api_key": self.account, "max_tokens": 50, **options})

    def models(self, scenario):
        for make in (self.openai, self.anthropic):
            with self.subTest(make.__name__):
                self.fresh("$0.01")
                yield make(scenario)

    def agent(self, chat, tools=None, before=(), checkpointer=None, session=None, **options):
        hook = BursarMiddleware(session or self.s, **options)
        return create_agent(chat, [self.weather] if tools is None else tools,
                            middleware=[*before, hook], checkpointer=checkpointer)


class Ends(Chains):
    def assert_ended(self, answer):
        last = answer["messages"][-1]
        self.assertIsInstance(last, AIMessage)
        decision = decision_of(answer)
        self.assertEqual(("halt", "limit", "cost"),
                         (decision["verdict"], decision["reason"], decision["meter"]))
        self.assertEqual(decision["explanation"], last.content)
        self.assertIn("halted", last.content)
        self.assertGreater(len(answer["messages"]), 5)
        self.assert_exact()
        self.assertLessEqual(self.spent(), 10_000_000)

    def test_a_loop_ends_at_its_budget(self):
        for model in self.models("loop,out=10,parallel=2"):
            self.assert_ended(self.agent(model).invoke(HI))

    def test_and_in_an_event_loop(self):
        for model in self.models("loop,out=10,parallel=2"):
            self.assert_ended(run(self.agent(model).ainvoke(HI)))

    def test_streamed(self):
        for model in self.models("loop,out=10"):
            *_, (_, state) = self.agent(model).stream(HI, stream_mode=["messages", "values"])
            self.assert_ended(state)

    def test_streamed_in_an_event_loop(self):
        async def work(agent):
            async for _, state in agent.astream(HI, stream_mode=["messages", "values"]):
                pass
            return state

        for model in self.models("loop,out=10"):
            self.assert_ended(run(work(self.agent(model))))

    def test_an_error_if_wanted(self):
        for model in self.models("loop,out=10"):
            with self.assertRaises(bursar.BudgetExceeded) as caught:
                self.agent(model, exit_behavior="error").invoke(HI)
            self.assertFalse(caught.exception.decision)
            self.assert_exact()

    def test_an_answer_in_a_form_ends_too(self):
        self.fresh("$0.0001")
        form = {"title": "Answer", "type": "object", "properties": {"city": {"type": "string"}}}
        agent = create_agent(self.openai("out=10"), [], response_format=form,
                             middleware=[BursarMiddleware(self.s)])
        self.assertEqual("halt", decision_of(agent.invoke(HI))["verdict"])
        self.assertEqual([], self.lines())

    def test_the_session_that_is_entered(self):
        with self.fresh("$0.005"):
            agent = create_agent(self.openai("loop,out=10"), [self.weather],
                                 middleware=[BursarMiddleware()])
            self.assertTrue(decision_of(agent.invoke(HI)))
            self.assert_exact()
        with self.assertRaisesRegex(bursar.InvalidArgumentError, "no session"):
            agent.invoke(HI)

    def test_what_was_said_is_not_sent(self):
        self.fresh("$0.0001")
        agent = self.agent(self.openai("text,out=10"))
        answer = agent.invoke(HI)
        self.rt.top_up(self.s, "$1")
        answer = agent.invoke({"messages": [*answer["messages"], "And now?"]})
        self.assertIsNone(decision_of(answer))
        sent = self.lines()[-1]["input_bytes"]
        plain = self.agent(self.openai("text,out=10"))
        plain.invoke({"messages": [HI["messages"][0], "And now?"]})
        self.assertEqual(sent, self.lines()[-1]["input_bytes"])

    def test_what_is_left_is_told_when_wanted(self):
        self.agent(self.openai("text,out=10")).invoke(HI)
        self.agent(self.openai("text,out=10"), brief=True).invoke(HI)
        plain, told = (line["input_bytes"] for line in self.lines())
        self.assertGreater(told, plain + len(self.s.brief()) - 5)

    def test_bad_arguments(self):
        with self.assertRaisesRegex(bursar.InvalidArgumentError, "end, error, interrupt"):
            BursarMiddleware(exit_behavior="continue")


class Resumes(Chains):
    """A run that was refused goes on where it was, and pays nothing twice."""

    def test_after_a_top_up(self):
        for resume in (Command(resume=True), None):
            with self.subTest(resume=resume):
                self.fresh("$0.0022")
                agent = self.agent(self.openai("turns=6,parallel=2,out=10"),
                                   exit_behavior="interrupt", checkpointer=InMemorySaver())
                answer = agent.invoke(HI, THREAD)
                self.assertEqual("limit", decision_of(answer)["reason"])
                paid, called = len(self.lines()), len(self.asked)
                self.assertIn(paid, range(1, 6))
                answer = agent.invoke(resume, THREAD)  # nothing has changed
                self.assertEqual("limit", decision_of(answer)["reason"])
                self.assertEqual((paid, called), (len(self.lines()), len(self.asked)))
                self.rt.top_up(self.s, "$1")
                answer = agent.invoke(resume, THREAD)
                self.assertIsNone(decision_of(answer))
                self.assertEqual("stop", answer["messages"][-1].response_metadata["finish_reason"])
                self.assertEqual(7, len(self.lines()))
                self.assertEqual(12, len(self.asked))
                self.assert_exact()
                self.asked.clear()

    def test_in_an_event_loop(self):
        async def work():
            agent = self.agent(self.openai("turns=6,out=10"), exit_behavior="interrupt",
                               checkpointer=InMemorySaver())
            answer = await agent.ainvoke(HI, THREAD)
            self.assertTrue(decision_of(answer))
            self.rt.top_up(self.s, "$1")
            return await agent.ainvoke(Command(resume=True), THREAD)

        self.fresh("$0.0022")
        self.assertIsNone(decision_of(run(work())))
        self.assertEqual((7, 6), (len(self.lines()), len(self.asked)))
        self.assert_exact()

    def test_or_ends(self):
        self.fresh("$0.0022")
        agent = self.agent(self.openai("turns=6,out=10"), exit_behavior="interrupt",
                           checkpointer=InMemorySaver())
        agent.invoke(HI, THREAD)
        answer = agent.invoke(Command(resume=False), THREAD)
        self.assertNotIn("__interrupt__", answer)
        self.assertEqual("limit", decision_of(answer["messages"][-1])["reason"])

    def test_after_an_error(self):
        self.fresh("$0.0022")
        agent = self.agent(self.openai("turns=6,out=10"), exit_behavior="error",
                           checkpointer=InMemorySaver())
        with self.assertRaises(bursar.BudgetExceeded):
            agent.invoke(HI, THREAD)
        self.rt.top_up(self.s, "$1")
        agent.invoke(None, THREAD)
        self.assertEqual((7, 6), (len(self.lines()), len(self.asked)))
        self.assert_exact()

    def test_a_tool_that_was_refused(self):
        self.fresh("$1", "3 calls(weather)")
        agent = self.agent(self.openai("turns=1,parallel=5,out=10"), exit_behavior="interrupt",
                           checkpointer=InMemorySaver())
        answer = agent.invoke(HI, THREAD)
        self.assertEqual(2, len(answer["__interrupt__"]))
        self.assertEqual((1, 3), (len(self.lines()), len(self.asked)))
        self.rt.top_up(self.s, "5 calls(weather)")
        waiting = {each.id: True for each in answer["__interrupt__"]}
        answer = agent.invoke(Command(resume=waiting), THREAD)
        self.assertIsNone(decision_of(answer))
        self.assertEqual((2, 5), (len(self.lines()), len(self.asked)))
        self.assert_exact()

    def test_a_tool_s_own_interrupt_is_its_own(self):
        approved = []

        @tool
        def pay(amount: int) -> str:
            """Pays an amount."""
            approved.append(interrupt("may I?"))
            return "paid"

        for resume in (Command(resume=True), None):
            approved.clear()
            self.fresh("$1", "0 calls(pay)")
            self.rt.tool_price("pay", "$0.001")
            agent = self.agent(self.openai("turns=1,out=10"), [pay], exit_behavior="interrupt",
                               checkpointer=InMemorySaver())
            agent.invoke(HI, THREAD)
            self.rt.top_up(self.s, "1 calls(pay)")
            answer = agent.invoke(resume, THREAD)
            self.assertEqual("may I?", answer["__interrupt__"][0].value)
            self.assertEqual([], approved)
            answer = agent.invoke(Command(resume="yes"), THREAD)
            self.assertEqual(["yes"], approved)
            self.assertNotIn("__interrupt__", answer)
            self.assertEqual(self.billed() + 1_000_000, self.spent())


class Tools(Chains):
    def test_a_refused_tool_is_told_to_the_model(self):
        self.fresh("$1", "3 calls(weather)")
        answer = self.agent(self.openai("turns=2,parallel=2,out=10")).invoke(HI)
        told = [m for m in answer["messages"] if isinstance(m, ToolMessage) and m.status == "error"]
        self.assertEqual(1, len(told))
        self.assertEqual(("limit", 3), tuple(decision_of(told[0])[k] for k in ("reason", "limit")))
        self.assertIn("calls(weather)", told[0].text)
        self.assertEqual(3, len(self.asked))
        self.assert_exact()

    def test_tools_cost_what_they_cost(self):
        self.rt.tool_price("weather", "$0.003")
        self.agent(self.openai("turns=2,parallel=3,out=10")).invoke(HI)
        self.assertEqual(self.billed() + 6 * 3_000_000, self.spent())
        self.assertEqual(6, len(self.asked))

    def test_going_in_circles_is_noticed(self):
        @tool
        def weather(city: str, days: int = 1) -> str:
            """The weather."""
            return "sunny"

        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            self.agent(self.openai("turns=9,same,out=4"), [weather]).invoke(HI)
        self.assertEqual(1, sum("in circles" in str(w.message) for w in said))
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            self.agent(self.openai("turns=9,out=4")).invoke(HI)
        self.assertEqual(0, sum("in circles" in str(w.message) for w in said))
        answer = self.agent(self.openai("loop,same,out=4"), [weather], repeats_max=3).invoke(HI)
        self.assertEqual("paused", decision_of(answer)["reason"])
        self.assertIn("3 times in a row", decision_of(answer)["why"])

    def test_what_a_tool_sends_is_metered(self):
        model = self.openai("text,out=6")

        def ask(city: str) -> str:
            """Asks another model."""
            return model.invoke("hello").text

        self.agent(self.openai("turns=2,parallel=2,out=10"), [ask]).invoke(HI)
        self.assertEqual(7, len(self.lines()))
        self.assert_exact()

    def test_nothing_else_is(self):
        self.agent(self.openai("text,out=6")).invoke(HI)
        with self.s:
            self.openai("text,out=6").invoke("hello")
            self.assertEqual(2, len(self.lines()))
            self.assertLess(self.spent(), self.billed())


class Retries(Chains):
    def test_each_attempt_is_seen(self):
        retry = ModelRetryMiddleware(max_retries=3, initial_delay=0.01, jitter=False)
        model = self.openai("turns=2,out=8,500every=2,billed", max_retries=0)
        self.agent(model, before=[retry]).invoke(HI)
        self.assertEqual([200, 500, 200, 500, 200], [line["status"] for line in self.lines()])
        self.assertGreaterEqual(self.spent(), self.billed())
        self.fresh()
        model = self.openai("turns=2,out=8,429every=2", max_retries=0)
        self.agent(model, before=[retry]).invoke(HI)
        self.assertEqual([200, 429, 200, 429, 200], [line["status"] for line in self.lines()])
        self.assert_exact()

    def test_those_of_the_sdk_too(self):
        self.agent(self.openai("turns=2,out=8,429=1", max_retries=2)).invoke(HI)
        self.assertEqual(6, len(self.lines()))
        self.assert_exact()

    def test_a_refusal_is_not_tried_again(self):
        self.fresh("$0.0000001")
        retry = ModelRetryMiddleware(max_retries=3, initial_delay=30)
        answer = self.agent(self.openai("text"), before=[retry]).invoke(HI)
        self.assertEqual("limit", decision_of(answer)["reason"])

    def test_fallbacks(self):
        fallback = ModelFallbackMiddleware(self.anthropic("text,out=8"))
        model = self.openai("429=9,out=8", max_retries=0)
        self.agent(model, before=[fallback]).invoke(HI)
        self.assertEqual([429, 200], [line["status"] for line in self.lines()])
        self.assert_exact()

    def test_tools_that_are_tried_again_cost_again(self):
        calls = []

        @tool
        def weather(city: str) -> str:
            """The weather."""
            calls.append(city)
            if len(calls) < 3:
                raise ConnectionError("no")
            return "sunny"

        self.rt.tool_price("weather", "$0.001")
        retry = ToolRetryMiddleware(max_retries=5, initial_delay=0.01, jitter=False)
        self.agent(self.openai("turns=1,out=8"), [weather], before=[retry]).invoke(HI)
        self.assertEqual(3, len(calls))
        self.assertEqual(self.billed() + 3_000_000, self.spent())


class NoHTTP(Chains):
    """Models that send nothing by HTTP: held before, settled from what they say."""

    def fake(self, *messages):
        return GenericFakeChatModel(messages=iter(messages))

    def message(self, **more):
        return AIMessage("ok", usage_metadata={
            "input_tokens": 100, "output_tokens": 10, "total_tokens": 110, **more})

    def test_settled_from_their_usage(self):
        hook = {"model": MODEL}
        self.agent(self.fake(self.message()), [], **hook).invoke(HI)
        self.assertEqual(100 * 2_500 + 10 * 10_000, self.spent())
        self.fresh()
        more = {"input_token_details": {"cache_read": 60}}
        run(self.agent(self.fake(self.message(**more)), [], **hook).ainvoke(HI))
        self.assertEqual(40 * 2_500 + 60 * 1_250 + 10 * 10_000, self.spent())

    def test_refused_before(self):
        self.fresh("$0.0001")
        answer = self.agent(self.fake(), [], model=MODEL).invoke(HI)  # it has no answer to give
        self.assertEqual("limit", decision_of(answer)["reason"])
        self.assertEqual(0, self.spent())

    def test_without_usage_at_the_worst(self):
        with self.assertWarnsRegex(bursar.BursarWarning, "not settled"):
            self.agent(self.fake(AIMessage("ok")), [], model=MODEL).invoke(HI)
        self.assertGreater(self.spent(), 4_096 * 10_000)

    def test_without_a_price(self):
        answer = self.agent(self.fake(self.message()), []).invoke(HI)
        self.assertEqual("price_unknown", decision_of(answer)["reason"])


class SubAgents(Chains):
    def test_a_tool_that_is_an_agent(self):
        helper = create_agent(self.openai("turns=1,out=6"), [self.weather], name="helper",
                              middleware=[BursarMiddleware()])

        def research(topic: str) -> str:
            """Finds out."""
            return helper.invoke(HI)["messages"][-1].text

        with self.closing():
            self.agent(self.openai("turns=1,parallel=3,out=6"), [research]).invoke(HI)
        self.assertEqual(8, len(self.lines()))
        self.assert_exact()
        self.assertEqual({"helper"}, set(self.agents()))
        self.assertLess(0, self.agents()["helper"])
        self.assertLess(self.agents()["helper"], self.spent())

    def test_one_that_fails(self):
        helper = create_agent(self.openai("loop,out=6"), [self.weather], name="helper", middleware=[
            BursarMiddleware(limits="$0.002", exit_behavior="error")])

        def research(topic: str) -> str:
            """Finds out."""
            return helper.invoke(HI)["messages"][-1].text

        with self.closing():
            agent = self.agent(self.openai("turns=1,parallel=2,out=6"), [research])
            told = [m for m in agent.invoke(HI)["messages"] if isinstance(m, ToolMessage)]
            self.assertEqual(["limit", "limit"], [decision_of(m)["reason"] for m in told])
        self.assert_exact()

    def test_its_limits_are_its_own(self):
        helper = create_agent(self.openai("loop,out=6"), [self.weather], name="helper",
                              middleware=[BursarMiddleware(self.s, limits="$0.002")])

        async def research(topic: str) -> str:
            """Finds out."""
            return (await helper.ainvoke(HI))["messages"][-1].text

        answer = run(self.agent(self.openai("turns=1,parallel=2,out=6"),
                                        [research]).ainvoke(HI))
        self.assertIsNone(decision_of(answer))
        told = [m.text for m in answer["messages"] if isinstance(m, ToolMessage)]
        self.assertEqual(2, len(told))
        for each in told:
            self.assertIn("halted", each)
        self.assertLessEqual(self.agents()["helper"], 4_000_000)
        self.assert_exact()

    def test_a_part_of_a_graph(self):
        made = [create_agent(self.openai("turns=1,out=6"), [self.weather], name=name,
                             middleware=[BursarMiddleware(self.s)])
                for name in ("writer", "editor")]
        graph = StateGraph(MessagesState)
        graph.add_node("write", made[0]).add_node("edit", made[1])
        graph.add_edge(START, "write").add_edge("write", "edit").add_edge("edit", END)
        graph.compile().invoke({"messages": [HumanMessage("go")]})
        self.assertEqual({"writer", "editor"}, set(self.agents()))
        self.assertEqual(self.spent(), sum(self.agents().values()))
        self.assert_exact()

    def test_resumed_inside(self):
        helper = create_agent(self.openai("turns=3,out=6"), [self.weather], name="helper",
                              middleware=[BursarMiddleware(self.s, exit_behavior="interrupt")])

        def research(topic: str) -> str:
            """Finds out."""
            return helper.invoke(HI)["messages"][-1].text

        self.fresh("$0.0022")
        helper = create_agent(self.openai("turns=3,out=6"), [self.weather], name="helper",
                              middleware=[BursarMiddleware(self.s, exit_behavior="interrupt")])
        agent = self.agent(self.openai("turns=1,out=6"), [research], exit_behavior="interrupt",
                           checkpointer=InMemorySaver())
        answer = agent.invoke(HI, THREAD)
        self.assertEqual("limit", decision_of(answer)["reason"])
        self.assertGreater(len(self.lines()), 1)
        self.rt.top_up(self.s, "$1")
        answer = agent.invoke(Command(resume=True), THREAD)
        self.assertIsNone(decision_of(answer))
        self.assertEqual((6, 3), (len(self.lines()), len(self.asked)))
        self.assert_closed()
        self.assert_exact()


class Fleet(Chains):
    """20 agents with 5 tools at once each, on one budget."""

    def test_in_threads(self):
        def all_of(sessions):
            def one(session):
                model = self.openai("loop,parallel=5,out=20")
                return decision_of(self.agent(model, session=session).invoke(HI))

            with ThreadPoolExecutor(len(sessions)) as pool:
                for decision in pool.map(one, sessions):
                    self.assertTrue(decision)

        self.fleet(all_of)

    def test_in_tasks(self):
        def all_of(sessions):
            async def one(session):
                model = self.openai("loop,parallel=5,out=20")
                return decision_of(await self.agent(model, session=session).ainvoke(HI))

            async def work():
                return await asyncio.gather(*map(one, sessions))

            for decision in run(work()):
                self.assertTrue(decision)

        self.fleet(all_of)


class Cancelled(Chains):
    def test_a_stream_that_is_left(self):
        async def work():
            agent = self.agent(self.openai("text,out=900,slow=0.01", max_tokens=1_000))
            stream = agent.astream(HI, stream_mode="messages")
            seen = 0
            async for _ in stream:
                seen += 1
                if seen == 6:
                    break
            await stream.aclose()

        run(work())
        self.assert_paid(1_000)

    def test_a_run_that_is_cancelled(self):
        async def work():
            agent = self.agent(self.openai("text,out=900,slow=0.02", max_tokens=1_000,
                                           streaming=True))
            task = asyncio.ensure_future(agent.ainvoke(HI))
            await self.held()
            await asyncio.sleep(0.1)
            for _ in range(100):  # LangGraph may miss one
                task.cancel()
                await asyncio.sleep(0.05)
                if task.done():
                    break
            self.assertTrue(task.cancelled())

        run(work())
        self.assert_paid(1_000)

    def test_a_session_that_is_killed(self):
        async def work():
            agent = self.agent(self.openai("text,out=900,slow=0.01", max_tokens=1_000))
            async for _, said in agent.astream(HI, stream_mode=["messages", "values"]):
                if not isinstance(said, dict) and not self.rt.read(self.s).why:
                    self.rt.kill(self.s, reason="enough")
            return said

        self.assertEqual("killed", decision_of(run(work()))["reason"])
        self.assert_paid(1_000)


if __name__ == "__main__":
    unittest.main()
