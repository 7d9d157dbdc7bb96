"""BursarCallback around LangChain's models, chains and LangGraph's graphs, against the provider."""

import asyncio
import unittest

import bursar
import casework  # noqa: F401  (what the frameworks read in the environment)
from agent_cases import FLEET, MODEL, run

try:
    from langchain.agents import create_agent
    from langchain_core.caches import InMemoryCache
    from langchain_core.documents import Document
    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage
    from langchain_core.prompts import ChatPromptTemplate
    from langchain_core.retrievers import BaseRetriever
    from langchain_core.runnables import RunnableLambda
    from langchain_openai import OpenAIEmbeddings
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.graph import END, START, MessagesState, StateGraph
    from langgraph.prebuilt import ToolNode, tools_condition
except ImportError as error:
    raise unittest.SkipTest(f"{error}: run `make integrations`")

from bursar.integrations.langchain import BursarCallback, BursarMiddleware, decision_of
from test_langchain import HI, THREAD, Chains as _Chains


class Callbacks(_Chains):
    def with_hook(self, session=None, **options):
        return {"callbacks": [BursarCallback(session or self.s, **options)]}


class Models(Callbacks):
    def test_a_model(self):
        for model in self.models("text,out=10"):
            model.invoke("hello", self.with_hook())
            run(model.ainvoke("hello", self.with_hook()))
            for _ in model.stream("hello", self.with_hook()):
                self.assertIsNone(bursar.current())  # who reads is not in the turn

            async def work():
                async for _ in model.astream("hello", self.with_hook()):
                    self.assertIsNone(bursar.current())

            run(work())
            model.batch(["hello", "again", "and again"], self.with_hook())
            self.assertEqual(7, len(self.lines()))
            self.assert_exact()

    def test_refused(self):
        self.fresh("$0.0000001")
        model = self.openai("text")
        for ask in (model.invoke, lambda *a: list(model.stream(*a)),
                    lambda *a: run(model.ainvoke(*a))):
            with self.assertRaises(bursar.BudgetExceeded) as caught:
                ask("hello", self.with_hook())
            self.assertFalse(caught.exception.decision)
        self.assertEqual([], self.lines())
        self.assertIsNone(bursar.current())

    def test_nothing_without_it(self):
        self.openai("text,out=10").invoke("hello")
        self.assertEqual(0, self.spent())

    def test_a_stream_that_is_left(self):
        model = self.openai("text,out=900,slow=0.01", max_tokens=1_000)
        stream = model.stream("hello", self.with_hook())
        for _ in range(6):
            next(stream)
        stream.close()
        self.assert_paid(1_000)

    def test_one_that_is_left_in_an_event_loop(self):
        async def work():
            model = self.openai("text,out=900,slow=0.01", max_tokens=1_000)
            stream = model.astream("hello", self.with_hook())
            for _ in range(6):
                await stream.__anext__()
            await stream.aclose()
            await asyncio.sleep(0.2)  # for the generators below it

        run(work())
        self.assert_paid(1_000)

    def test_a_chain(self):
        chain = ChatPromptTemplate.from_template("Say {word}") | self.openai("text,out=10")
        chain.invoke({"word": "yes"}, self.with_hook())
        run(chain.abatch([{"word": "yes"}, {"word": "no"}], self.with_hook()))
        self.assertEqual(3, len(self.lines()))
        self.assert_exact()

    def test_each_attempt_is_seen(self):
        model = self.openai("out=8,429every=2", max_retries=0)
        again = model.with_retry(stop_after_attempt=4, wait_exponential_jitter=False)
        again.invoke("hello", self.with_hook())
        again.invoke("hello", self.with_hook())
        self.assertEqual([200, 429, 200], [line["status"] for line in self.lines()])
        other = self.openai("429=9", max_retries=0).with_fallbacks([self.anthropic("out=8")])
        other.invoke("hello", self.with_hook())
        self.assertEqual([429, 200], [line["status"] for line in self.lines()[3:]])
        self.assert_exact()

    def test_without_http(self):
        used = {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110}
        model = GenericFakeChatModel(messages=iter([AIMessage("ok", usage_metadata=used)]))
        model.invoke("hello", self.with_hook(model=MODEL))
        self.assertEqual(100 * 2_500 + 10 * 10_000, self.spent())
        self.fresh("$0.001")
        with self.assertRaises(bursar.BudgetExceeded):
            model.invoke("hello", self.with_hook(model=MODEL))

    def test_what_comes_from_a_cache_is_free(self):
        model = self.openai("text,out=10", cache=InMemoryCache())
        for _ in range(3):
            model.invoke("hello", self.with_hook())
        self.assertEqual(1, len(self.lines()))
        self.assert_exact()

    def test_embeddings_of_a_retriever(self):
        embeddings = OpenAIEmbeddings(
            model="text-embedding-3-small", base_url=self.stub.url("") + "/v1",
            api_key=self.account, check_embedding_ctx_length=False)

        class Retriever(BaseRetriever):
            def _get_relevant_documents(self, query, *, run_manager):
                return [Document(str(len(embeddings.embed_query(query))))]

        Retriever().invoke("three", self.with_hook())
        run(Retriever().ainvoke("four", self.with_hook()))
        self.assertEqual(2, len(self.lines()))
        self.assert_exact()


class Graphs(Callbacks):
    def graph(self, chat, tools=None, checkpointer=None):
        """An agent as it is written by hand."""
        tools = [self.weather] if tools is None else tools
        model = chat.bind_tools(tools)
        graph = StateGraph(MessagesState)
        graph.add_node("model", lambda state: {"messages": [model.invoke(state["messages"])]})
        graph.add_node("tools", ToolNode(tools))
        graph.add_edge(START, "model").add_edge("tools", "model")
        graph.add_conditional_edges("model", tools_condition)
        return graph.compile(checkpointer)

    def config(self, **more):
        return {**self.with_hook(), "recursion_limit": 500, **more}

    def test_a_loop_ends_at_its_budget(self):
        for model in self.models("loop,parallel=2,out=10"):
            with self.assertRaises(bursar.BudgetExceeded) as caught:
                self.graph(model).invoke(HI, self.config())
            self.assertEqual("cost", caught.exception.decision.meter.name.lower())
            self.assert_exact()
            self.fresh("$0.01")
            with self.assertRaises(bursar.BudgetExceeded):
                run(self.graph(model).ainvoke(HI, self.config()))

    def test_and_goes_on_after_a_top_up(self):
        self.fresh("$0.0022")
        graph = self.graph(self.openai("turns=6,parallel=2,out=10"), checkpointer=InMemorySaver())
        with self.assertRaises(bursar.BudgetExceeded):
            graph.invoke(HI, self.config(**THREAD))
        self.rt.top_up(self.s, "$1")
        graph.invoke(None, self.config(**THREAD))
        self.assertEqual((7, 12), (len(self.lines()), len(self.asked)))
        self.assert_exact()

    def test_tools_are_steps(self):
        self.rt.tool_price("weather", "$0.001")
        self.graph(self.openai("turns=2,parallel=3,out=10")).invoke(HI, self.config())
        self.assertEqual(self.billed() + 6_000_000, self.spent())
        self.fresh("$1", "4 calls(weather)")
        with self.assertRaises(bursar.BudgetExceeded):
            self.graph(self.openai("turns=2,parallel=3,out=10")).invoke(HI, self.config())
        self.assertEqual(4, len(self.asked) - 6)

    def test_an_agent_inside_has_a_session_below(self):
        helper = create_agent(self.openai("turns=1,out=6"), [self.weather], name="helper")

        def research(topic: str) -> str:
            """Finds out."""
            return helper.invoke(HI)["messages"][-1].text

        self.graph(self.openai("turns=1,parallel=2,out=6"), [research]).invoke(HI, self.config())
        self.assertEqual(6, len(self.lines()))
        self.assertGreater(self.agents()["helper"], 0)
        self.assertLess(self.agents()["helper"], self.spent())
        self.assert_closed()
        self.assert_exact()

    def test_a_graph_that_is_a_node(self):
        inner = self.graph(self.openai("turns=1,out=6"))
        outer = StateGraph(MessagesState)
        outer.add_node("think", inner).add_edge(START, "think").add_edge("think", END)
        outer.compile().invoke(HI, self.config())
        self.assertEqual(self.spent(), self.agents()["think"])
        self.assert_closed()
        self.assert_exact()

    def test_what_a_node_sends_is_metered(self):
        model = self.openai("text,out=6")
        graph = StateGraph(MessagesState)
        plain = model.root_client.chat.completions.create

        def node(state):
            plain(model=MODEL, max_tokens=20, messages=[{"role": "user", "content": "hello"}])
            return {}

        graph.add_node("node", node).add_edge(START, "node")
        graph.compile().invoke(HI, self.config())
        self.assertEqual(1, len(self.lines()))
        self.assert_exact()

    def test_beside_the_middleware_nothing_counts_twice(self):
        self.rt.tool_price("weather", "$0.001")
        agent = create_agent(self.openai("turns=2,parallel=2,out=6"), [self.weather],
                             middleware=[BursarMiddleware(self.s)])
        agent.invoke(HI, self.config())
        self.assertEqual(self.billed() + 4_000_000, self.spent())
        self.fresh()
        used = {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110}
        model = GenericFakeChatModel(messages=iter([AIMessage("ok", usage_metadata=used)]))
        agent = create_agent(model, [], middleware=[BursarMiddleware(self.s, model=MODEL)])
        agent.invoke(HI, self.with_hook(model=MODEL))
        self.assertEqual(100 * 2_500 + 10 * 10_000, self.spent())

    def test_a_fleet(self):
        def all_of(sessions):
            async def one(session):
                graph = self.graph(self.openai("loop,parallel=5,out=20"))
                config = {**self.with_hook(session), "recursion_limit": 500}
                with self.assertRaises(bursar.Refused):
                    await graph.ainvoke(HI, config)

            async def work():
                await asyncio.gather(*map(one, sessions))

            run(work())

        self.fleet(all_of)
        self.assertGreater(len(self.lines()), FLEET)

    def test_a_function_in_a_chain(self):
        model = self.openai("text,out=6")
        chain = RunnableLambda(lambda text: model.invoke(text)) | (lambda message: message.text)
        chain.invoke("hello", self.with_hook())
        self.assertEqual(1, len(self.lines()))
        self.assert_exact()
        self.assertIsNone(decision_of({}))


if __name__ == "__main__":
    unittest.main()
