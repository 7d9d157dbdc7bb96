"""What agents ask beside their own calls of models and tools: middlewares, tasks, instructions,
judges; streams that are left; and every way to meter at once. Nothing passes by, nothing twice."""

import asyncio
import operator
import unittest
from typing import Annotated, TypedDict

import bursar
import test_langchain as chains
import test_litellm as lite
import test_openai_agents as runs
import test_pydantic_ai as pydantics
from agent_cases import FLEET, run

try:
    import agents
    import litellm
    import openai
    from langchain.agents import create_agent
    from langchain.agents.middleware import (
        AgentMiddleware, LLMToolSelectorMiddleware, SummarizationMiddleware)
    from langchain_core.messages import HumanMessage
    from langchain_core.runnables import RunnableParallel
    from langchain_core.tools import tool
    from langgraph.func import entrypoint, task
    from langgraph.graph import END, START, MessagesState, StateGraph
    from langgraph.types import Command, Send
    from pydantic_ai import Agent, UsageLimitExceeded
    from pydantic_ai.capabilities import ProcessHistory
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider
except ImportError as error:
    raise unittest.SkipTest(f"{error}: run `make integrations`")

from bursar.integrations.langchain import BursarCallback, BursarMiddleware, decision_of
from bursar.integrations.openai_agents import BursarHooks
from bursar.integrations.pydantic_ai import Bursar


class LangChain(chains.Chains):
    def config(self, **more):
        return {"callbacks": [BursarCallback(self.s)], "recursion_limit": 1_000, **more}

    def test_what_other_middlewares_ask(self):
        """Wherever they stand."""
        for before in (True, False):
            for invoke in (lambda agent: agent.invoke(chains.HI),
                           lambda agent: run(agent.ainvoke(chains.HI))):
                with self.subTest(before=before):
                    self.fresh("$0.01")
                    summary = SummarizationMiddleware(
                        self.openai("text,out=20"), trigger=("messages", 6), keep=("messages", 2))
                    own = BursarMiddleware(self.s)
                    agent = create_agent(self.openai("loop,out=5"), [self.weather], middleware=[
                        summary, own] if before else [own, summary])
                    try:
                        self.assertTrue(decision_of(invoke(agent)))
                    except bursar.BudgetExceeded as refused:  # the summary was
                        self.assertFalse(refused.decision)
                    self.assertGreater(len([n for n in self.lines() if "text" in n["scenario"]]), 1)
                    self.assert_exact()
                    self.assertLessEqual(self.spent(), 10_000_000)

    def test_a_hook_that_enters_a_session_leaves_the_agent_its_own(self):
        for enters in (False, True):
            with self.subTest(enters=enters):
                self.fresh("$1")
                model, session = self.openai("out=5"), self.s

                class Memo(AgentMiddleware):
                    def before_model(self, state, runtime):
                        if enters:
                            with session.child("memo"):
                                model.invoke("hi")

                bursar.instrument(self.s)
                self.addCleanup(bursar.uninstrument)
                agent = create_agent(
                    self.openai("loop,out=5"), [self.weather], name="inner",
                    middleware=[Memo(), BursarMiddleware(self.s, limits="4 steps")])
                graph = StateGraph(MessagesState).add_node("one", agent).add_edge(START, "one")
                graph.add_edge("one", END).compile().invoke(chains.HI, {"recursion_limit": 500})
                bursar.uninstrument()
                self.assertLessEqual(self.s.read().steps, 4 + 5 * enters)
                self.assertEqual(self.billed(), self.s.read().spent_nanos)

    def test_who_chooses_the_tools(self):
        chooser = LLMToolSelectorMiddleware(model=self.openai(""), max_tools=1)
        with self.s:
            agent = create_agent(self.openai("turns=1,out=5"), [self.weather],
                                 middleware=[chooser, BursarMiddleware()])
            agent.invoke(chains.HI)
            self.assertEqual(4, self.s.read().steps)
            self.assert_exact()

    def test_agents_as_nodes_under_both_hooks(self):
        with self.closing():
            inner = create_agent(self.openai("turns=1,out=5"), [self.weather],
                                 middleware=[BursarMiddleware(self.s)], name="inner")
            graph = StateGraph(MessagesState)
            for name in ("one", "two"):
                graph.add_node(name, inner)
            graph.add_edge(START, "one").add_edge("one", "two").add_edge("two", END)
            graph.compile().invoke(chains.HI, self.config())
        self.assertEqual(len(self.lines()), self.s.read().steps)
        self.assertEqual({"inner": self.spent()}, self.agents())
        self.assert_exact()

    def test_handing_over(self):
        """The agent that hands over is at its end, and its session, too."""
        def to(name):
            @tool(f"to_{name}")
            def hand_over(city: str) -> Command:
                """Hands over."""
                return Command(goto=name, graph=Command.PARENT,
                               update={"messages": [HumanMessage("go on")]})
            return hand_over

        self.fresh("$0.01")
        with self.closing():
            graph = StateGraph(MessagesState).add_edge(START, "one")
            for name, other in (("one", "two"), ("two", "one")):
                graph.add_node(name, create_agent(
                    self.openai("loop,out=5,parallel=2"), [to(other)], name=name,
                    middleware=[BursarMiddleware(self.s)]))
            answer = graph.compile().invoke(chains.HI, {"recursion_limit": 1_000})
            self.assertTrue(decision_of(answer))
        self.assertEqual({"one", "two"}, set(self.agents()))
        self.assert_exact()

    def test_tasks_of_the_functional_api(self):
        model = self.openai("out=10")

        @task
        def ask(number):
            return model.invoke(f"hi {number}").content

        @entrypoint()
        def flow(many):
            return [one.result() for one in [ask(number) for number in range(many)]]

        self.fresh("$0.002")
        model = self.openai("out=10")
        with self.closing():
            self.assertEqual(3, len(flow.invoke(3, self.config())))
            with self.assertRaises(bursar.BudgetExceeded):
                flow.invoke(40, self.config())
            self.assertEqual({}, self.agents())
        self.assert_exact()
        self.assertLessEqual(self.spent(), 2_000_000)

    def test_parts_that_run_side_by_side(self):
        class State(TypedDict):
            many: int
            said: Annotated[list, operator.add]

        self.fresh("$0.003")
        model = self.openai("out=10")
        graph = StateGraph(State)
        graph.add_node("one", lambda state: {"said": [model.invoke("hi").content]})
        graph.add_conditional_edges(
            START, lambda state: [Send("one", {}) for _ in range(state["many"])], ["one"])
        graph = graph.compile()
        self.assertEqual(5, len(graph.invoke({"many": 5, "said": []}, self.config())["said"]))
        with self.assertRaises(bursar.BudgetExceeded):
            graph.invoke({"many": 60, "said": []}, self.config())
        self.assert_exact()
        self.fresh("$0.003")
        model = self.openai("out=10")
        RunnableParallel(a=model, b=model, c=model).invoke("hi", self.config())
        answers = model.batch(["hi"] * 40, self.config(), return_exceptions=True)
        refused = [n for n in answers if isinstance(n, bursar.BudgetExceeded)]
        self.assertIn(len(refused), range(1, 40))
        self.assertEqual(3 + len(answers) - len(refused), len(self.lines()))
        self.assert_exact()

    def test_every_way_at_once(self):
        bursar.instrument(self.s)
        self.addCleanup(bursar.uninstrument)
        self.fresh("$0.01")
        client = self.s.wrap(openai.OpenAI(
            base_url=self.stub.url("loop,out=5,parallel=2") + "/v1", api_key=self.account))
        model = self.openai("", root_client=client, client=client.chat.completions)
        with self.s:
            answer = self.agent(model).invoke(chains.HI, self.config())
            self.assertTrue(decision_of(answer))
            self.assertEqual(len(self.lines()), self.s.read().steps)
            self.assert_exact()


class PydanticAI(pydantics.Agents):
    def test_what_a_run_asks_beside_its_model(self):
        judge = Agent(self.openai("text,out=5"))  # which knows nothing of a budget

        async def shorten(messages):
            await judge.run("shorter")
            return messages

        async def listen(ctx, events):
            async for _ in events:
                pass
            await judge.run("heard")

        agent = Agent(self.openai("turns=1,out=5"), tools=[self.weather],
                      capabilities=[Bursar(self.s), ProcessHistory(shorten)])

        @agent.instructions
        async def what():
            return (await judge.run("what?")).output

        @agent.output_validator
        async def is_good(output):
            await judge.run("good?")
            return output

        async def work():
            await agent.run("hi", event_stream_handler=listen)
            async with agent.run_stream("hi") as stream:
                await stream.get_output()
            async with agent.iter("hi") as steps:
                async for _ in steps:
                    pass
            self.assertIsNone(bursar.current())

        with self.closing():
            run(work())
        self.assertEqual(len(self.lines()), self.s.read().steps)
        self.assertGreater(len([n for n in self.lines() if "text" in n["scenario"]]), 14)
        self.assert_exact()

    def test_and_is_refused(self):
        self.fresh("$0.00001")
        judge, agent = Agent(self.openai("out=5")), self.agent(self.openai("out=5"))

        @agent.instructions
        async def what():
            return (await judge.run("what?")).output

        async def streamed():
            async with agent.run_stream("hi"):
                pass

        for ask in (lambda: agent.run("hi"), streamed):
            with self.assertRaises(UsageLimitExceeded) as caught:
                run(ask())
            self.assertIsInstance(caught.exception, bursar.BudgetExceeded)
        self.assertEqual((2, []), (self.s.read().refusals, self.lines()))

    def test_every_way_at_once(self):
        self.fresh("$0.005")
        bursar.instrument(self.s)
        self.addCleanup(bursar.uninstrument)
        client = self.closed(openai.AsyncOpenAI(
            base_url=self.stub.url("loop,out=5") + "/v1", api_key=self.account))
        model = OpenAIChatModel(pydantics.MODEL, settings={"max_tokens": 50},
                                provider=OpenAIProvider(openai_client=self.s.wrap(client)))
        with self.s, self.assertRaises(UsageLimitExceeded):
            run(self.agent(model).run("hi"))
            self.assertEqual(len(self.lines()), self.s.read().steps)
            self.assert_exact()


class OpenAIAgents(runs.Runs):
    def test_what_a_run_asks_beside_its_model(self):
        async def test(kind, go):
            judge = self.agent(kind, "text,out=5", "judge", tools=())

            async def ask(context, agent, said=None):
                result = await agents.Runner.run(judge, "good?")
                return agents.GuardrailFunctionOutput(result.final_output, False)

            async def what(context, agent):
                return (await agents.Runner.run(judge, "what?")).final_output

            agent = self.agent(
                kind, "turns=1,out=5", instructions=what,
                input_guardrails=[agents.InputGuardrail(ask)],
                output_guardrails=[agents.OutputGuardrail(ask)])
            await go(agent, session=agents.SQLiteSession("one"))
            await asyncio.sleep(0.05)  # guardrails of a stream run beside it
            self.assertEqual(6, len(self.lines()))
            self.assertEqual(6, self.s.read().steps)
            self.assert_exact()

        self.each(test)

    def test_what_the_provider_keeps_is_held(self):
        self.fresh("$0.01")

        async def work():
            agent = self.agent(runs.KINDS[1], "loop,out=50")
            await agents.Runner.run(agent, "hi", hooks=BursarHooks(self.s), max_turns=None,
                                    auto_previous_response_id=True)

        with self.assertRaises(bursar.BudgetExceeded):
            self.go(work())
        self.assertLessEqual(self.spent(), 10_000_000)
        self.assert_exact()


class LiteLLM(lite.Calls):
    def test_streams_that_are_left(self):
        async def leave(model):
            stream = await litellm.acompletion(
                **self.options(model, "text,out=900,slow=0.01", stream=True, max_tokens=4_000))
            for _ in range(5):
                await anext(stream)
            await stream.aclose()

        for model, worst in zip(lite.MODELS, (2_400_000, 20_000_000, 10_000_000)):
            with self.subTest(model):
                self.fresh()
                run(leave(model))
                self.assertGreaterEqual(self.spent(), self.billed())
                self.assertGreater(self.billed(), 0)
                self.assertLess(self.spent(), worst // 2)

    def test_every_way_at_once(self):
        bursar.instrument(self.s)

        async def work(options):
            await litellm.acompletion(**options)
            async for _ in await litellm.acompletion(**options, stream=True):
                pass

        with self.s:
            for model in lite.MODELS:
                options = self.options(model)
                litellm.completion(**options)
                list(litellm.completion(**options, stream=True))
                run(work(options))
            self.assertEqual(12, len(self.lines()))
            self.assertEqual(12, self.s.read().steps)
            self.assert_exact()

    def test_a_batch_in_threads(self):
        self.fresh("$0.0004")
        options = self.options(scenario="out=50")
        options["messages"] = [options["messages"]] * FLEET
        found = litellm.batch_completion(**options)
        refused = [n for n in found if isinstance(n, bursar.BudgetExceeded)]
        self.assertEqual(len(found) - len(refused), len(self.lines()))
        self.assertGreater(len(refused), 0)
        self.assertLessEqual(self.spent(), 400_000)
        self.assert_exact()


if __name__ == "__main__":
    unittest.main()
