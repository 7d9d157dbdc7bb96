"""OpenAI's Agents SDK with BursarHooks: real runs against the provider, whose bill is the judge."""

import asyncio
import contextlib
import logging
import pickle
import threading
import unittest
import warnings

from sdks import Case

try:
    import agents
    import openai
    from agents import Agent, Runner, function_tool
except ImportError as error:
    raise unittest.SkipTest(f"{error}: the other environment has it")

import bursar
from bursar.integrations import openai_agents
from bursar.integrations.openai_agents import BursarHooks

MODEL = "gpt-4o-mini"
KINDS = [agents.OpenAIChatCompletionsModel, agents.OpenAIResponsesModel]
TRANSFER = "transfer_to_billing"
seen = []  # (tool, session) as the tools saw them


def tool(name):
    def look(city: str, days: int) -> str:
        """Looks."""
        seen.append((name, bursar.current().id))
        return f"{name}: rain in {city} for {days} days"

    return function_tool(look, name_override=name)


weather = tool("weather")


class Runs(Case):
    def setUp(self):
        super().setUp()
        logging.getLogger("openai.agents").setLevel(logging.CRITICAL)
        seen.clear()
        self.clients = []
        self.addCleanup(self.clients.clear)
        self.addCleanup(bursar.uninstrument)

    def agent(self, kind, scenario, name="weather man", tools=(weather,), **more):
        options = {"max_retries": more.pop("max_retries", 2)}
        client = openai.AsyncOpenAI(
            base_url=self.stub.url(scenario) + "/v1", api_key=self.account, **options)
        self.clients.append(client)
        settings = agents.ModelSettings(max_tokens=more.pop("max_tokens", 200))
        return Agent(name=name, model=kind(MODEL, client), tools=list(tools),
                     model_settings=settings, **more)

    async def whole(self, agent, input="hello", **options):
        return await Runner.run(
            agent, input, **{"max_turns": None, "hooks": BursarHooks(self.s), **options})

    async def streamed(self, agent, input="hello", **options):
        result = Runner.run_streamed(
            agent, input, **{"max_turns": None, "hooks": BursarHooks(self.s), **options})
        async for _ in result.stream_events():
            pass
        return result

    def sync(self, agent, input, **options):
        try:
            return Runner.run_sync(agent, input, **options)
        finally:
            loop = asyncio.get_event_loop_policy().get_event_loop()  # as run_sync has it
            loop.run_until_complete(agent.model._client.close())

    def assert_exact(self):
        self.assertEqual(self.spent(), self.billed())
        self.assertGreater(self.spent(), 0)

    def each(self, test, limits=("$1",)):
        """Every API, whole and streamed."""
        for kind in KINDS:
            for run in (self.whole, self.streamed):
                with self.subTest(kind=kind.__name__, run=run.__name__):
                    self.fresh(*limits)
                    self.go(test(kind, run))

    def go(self, work):
        async def then_close():
            try:
                return await work
            finally:
                for client in self.clients:
                    await client.close()
                self.clients.clear()

        return asyncio.run(then_close())


class Budget(Runs):
    def test_a_loop_ends_as_the_sdk_ends_runs(self):
        async def test(kind, run):
            with self.assertRaises(agents.AgentsException) as caught:
                await run(self.agent(kind, "loop,parallel=2"))
            error = caught.exception
            self.assertIsInstance(error, bursar.BudgetExceeded)
            self.assertIs(bursar.Reason.LIMIT, error.decision.reason)
            self.assertEqual(self.s.id, error.decision.budget)
            copied = pickle.loads(pickle.dumps(error))
            self.assertEqual((str(error), error.decision), (str(copied), copied.decision))
            self.assertGreater(len(self.lines()), 3)
            self.assertEqual(len(self.lines()), len(error.run_data.raw_responses))
            self.assertEqual(4 * len(self.lines()), len(error.run_data.new_items))
            self.assert_exact()
            self.assertEqual(2 * len(self.lines()), self.s.read().tool_calls)

        self.each(test, ("$0.001",))

    def test_and_goes_on_after_a_top_up(self):
        async def test(kind, run):
            agent = self.agent(kind, "turns=12,same")
            with self.assertRaises(bursar.BudgetExceeded) as caught:
                await run(agent)
            refused, before = caught.exception, len(self.lines())
            self.assertLess(before, 12)
            for input in (refused.to_state(), refused.to_input_list()):
                with self.assertRaises(bursar.BudgetExceeded):
                    await run(agent, input)
            self.assertEqual(before, len(self.lines()))
            self.rt.top_up(self.s, "$1")
            result = await run(agent, refused.to_state())
            self.assertIn("the sum", result.final_output)
            self.assertEqual(list(range(13)), [line["rounds"] for line in self.lines()])
            self.assertEqual(13, len(result.raw_responses))
            self.assertIn("the sum", (await run(agent, refused.to_input_list())).final_output)
            self.assertEqual([*range(13), *range(before, 13)], [n["rounds"] for n in self.lines()])
            self.assert_exact()

        self.each(test, ("$0.0004",))

    def test_a_state_survives_another_process(self):
        async def test(kind, run):
            agent = self.agent(kind, "turns=12,same")
            with self.assertRaises(bursar.BudgetExceeded) as caught:
                await run(agent)
            text = caught.exception.to_state().to_string()
            self.rt.top_up(self.s, "$1")
            await run(agent, await agents.RunState.from_string(agent, text))
            self.assertEqual(list(range(13)), [line["rounds"] for line in self.lines()])

        self.each(test, ("$0.0004",))

    def test_and_its_turns_are_counted_on(self):
        async def test(kind, run):
            agent = self.agent(kind, "loop,same")
            with self.assertRaises(bursar.BudgetExceeded) as caught:
                await run(agent, max_turns=12)
            self.rt.top_up(self.s, "$1")
            with self.assertRaises(agents.MaxTurnsExceeded):
                await run(agent, caught.exception.to_state())
            self.assertIn(len(self.lines()), (12, 13))

        self.each(test, ("$0.0004",))

    def test_max_turns_is_still_the_sdk_s(self):
        async def test(kind, run):
            with self.assertRaises(agents.MaxTurnsExceeded):
                await run(self.agent(kind, "loop"), max_turns=3)
            told = await run(self.agent(kind, "loop"), max_turns=3,
                             error_handlers={"max_turns": lambda data: "enough"})
            self.assertEqual("enough", told.final_output)
            self.assertEqual(6, len(self.lines()))
            self.assert_exact()

        self.each(test)

    def test_killed_between_pieces(self):
        async def test(kind, run):
            result = Runner.run_streamed(
                self.agent(kind, "text,out=2000,slow=0.01", max_tokens=4000), "hello",
                hooks=BursarHooks(self.s))
            with self.assertRaises(agents.AgentsException) as caught:
                async for event in result.stream_events():
                    if event.type == "raw_response_event" and "delta" in event.data.type:
                        self.rt.kill(self.s, reason="enough of it")
            self.assertIsInstance(caught.exception, bursar.Killed)
            self.assertIn("enough of it", str(caught.exception))
            self.assertLess(self.lines()[0]["output_tokens"], 1000)

        self.each(test)

    def test_no_session(self):
        async def test(kind, run):
            with self.assertRaises(bursar.InvalidArgumentError):
                await run(self.agent(kind, "text"), hooks=BursarHooks())
            with self.s:
                await run(self.agent(kind, "text"), hooks=BursarHooks())
                self.assert_exact()

        self.each(test)

    def test_run_sync_and_install(self):
        self.addCleanup(setattr, openai_agents._Runner, "always", None)
        openai_agents.install(self.s)
        self.sync(self.agent(KINDS[0], "turns=2"), "hello")
        self.assertEqual(2, self.s.read().tool_calls)
        self.assert_exact()

    def test_hooks_of_the_user_are_called(self):
        calls = []

        class Mine(agents.RunHooks):
            async def on_llm_start(self, *arguments):
                calls.append("llm")

            async def on_tool_end(self, *arguments):
                calls.append("tool")

            async def on_agent_end(self, *arguments):
                calls.append("end")

        self.go(self.whole(self.agent(KINDS[0], "turns=1"), hooks=BursarHooks(self.s, also=Mine())))
        self.assertEqual(["llm", "tool", "llm", "end"], calls)

    def test_a_runner_that_came_later_is_told(self):
        hooks = BursarHooks(self.s)
        before = agents.run.get_default_agent_runner()
        agents.run.set_default_agent_runner(agents.run.AgentRunner())
        self.addCleanup(agents.run.set_default_agent_runner, before)
        with self.assertRaisesRegex(bursar.InvalidArgumentError, "set_default_agent_runner"):
            self.go(Runner.run(self.agent(KINDS[0], "text"), "hello", hooks=hooks))
        self.assertEqual([], self.lines())


class Tools(Runs):
    def test_a_refused_tool_is_told_to_the_model(self):
        async def test(kind, run):
            hooks = BursarHooks(self.s)
            result = await run(self.agent(kind, "turns=2,parallel=5"), hooks=hooks)
            self.assertEqual(3, len(seen))
            seen.clear()
            outputs = [n.output for n in result.new_items if n.type == "tool_call_output_item"]
            self.assertEqual(3, sum("rain" in text for text in outputs))
            self.assertEqual(7, sum("calls(weather)" in text for text in outputs))
            told = [n.output.output_info["bursar"] for n in result.tool_input_guardrail_results
                    if n.output.output_info]
            self.assertEqual(["halt"] * 7, [decision["verdict"] for decision in told])
            self.assertIsInstance(hooks.refused, bursar.BudgetExceeded)
            self.assertEqual(3, self.s.read().tool_calls)
            self.assert_exact()

        self.each(test, ("3 calls(weather)", "$1"))

    def test_a_priced_tool_spends(self):
        async def test(kind, run):
            self.rt.tool_price("weather", "$0.01")
            await run(self.agent(kind, "turns=1,parallel=5"))
            self.assertEqual(self.billed() + 5 * 10_000_000, self.spent())

        self.each(test)

    def test_circles_are_paused(self):
        async def test(kind, run):
            with self.assertRaises(agents.AgentsException) as caught:
                await run(self.agent(kind, "loop,same"), hooks=BursarHooks(self.s, repeats_max=3))
            self.assertIsInstance(caught.exception, bursar.Paused)
            self.assertIn("3 times in a row", str(caught.exception))
            self.assertEqual(3, len(self.lines()))

        self.each(test)

    def test_a_tool_that_fails_leaves_nothing_held(self):
        @function_tool(failure_error_function=None)
        def broken(city: str, days: int) -> str:
            """Fails."""
            raise ValueError("no weather")

        async def test(kind, run):
            with self.assertRaises(agents.UserError):
                await run(self.agent(kind, "loop,parallel=3", tools=[broken]))
            self.assert_exact()

        self.each(test)

    def test_an_approval_leaves_nothing_held(self):
        @function_tool(needs_approval=True)
        def careful(city: str, days: int) -> str:
            """Waits for somebody."""
            return "done"

        early = agents.ToolExecutionConfig(pre_approval_tool_input_guardrails=True)

        async def test(kind, run):
            agent = self.agent(kind, "turns=1", tools=[careful])
            result = await run(agent, run_config=agents.RunConfig(tool_execution=early))
            self.assertEqual(0, self.s.read().tool_calls)
            state = result.to_state()
            state.approve(result.interruptions[0])
            await run(agent, state)
            self.assertEqual(1, self.s.read().tool_calls)
            self.assert_exact()

        self.each(test)

    def test_what_a_tool_sends_is_metered(self):
        @function_tool
        async def ask(city: str, days: int) -> str:
            """Asks another model."""
            async with openai.AsyncOpenAI(
                    base_url=self.stub.url("text") + "/v1", api_key=self.account) as client:
                answer = await client.chat.completions.create(
                    model=MODEL, max_completion_tokens=50,
                    messages=[{"role": "user", "content": city}])
            return answer.choices[0].message.content

        async def test(kind, run):
            await run(self.agent(kind, "turns=1,parallel=2", tools=[ask]))
            self.assertEqual(4, len(self.lines()))
            self.assert_exact()

        self.each(test)


class Several(Runs):
    def test_a_handoff_keeps_the_budget(self):
        async def test(kind, run):
            seen.clear()
            billing = self.agent(kind, "turns=4", "billing", [tool("invoices")])
            triage = self.agent(
                kind, f"call=weather+{TRANSFER},turns=2", "triage", handoffs=[billing])
            result = await run(triage)
            self.assertEqual("billing", result.last_agent.name)
            self.assertEqual({"weather": self.s.id}, dict(seen[:1]))
            below = [id for name, id in seen if name == "invoices"]
            self.assertTrue(below and self.s.id not in below)
            self.assertTrue(set(self.agents()) >= {"billing"})
            self.assert_exact()
            self.assertEqual(0, self.s.read().children)  # it was closed

        self.each(test)

    def agents(self):
        return [spend.agent for spend in self.rt.spend()]

    def test_and_a_loop_across_it_ends(self):
        async def test(kind, run):
            billing = self.agent(kind, "loop", "billing", [tool("invoices")])
            triage = self.agent(kind, f"call={TRANSFER},turns=1", "triage", [], handoffs=[billing])
            with self.assertRaises(agents.AgentsException) as caught:
                await run(triage)
            self.assertIsInstance(caught.exception, bursar.BudgetExceeded)
            self.assertEqual("billing", caught.exception.run_data.last_agent.name)
            self.rt.top_up(self.s, "$0.001")
            before = len(self.lines())
            with self.assertRaises(bursar.BudgetExceeded) as again:
                await run(triage, caught.exception.to_state())
            self.assertGreater(len(self.lines()), before)
            self.assertEqual("billing", again.exception.run_data.last_agent.name)
            self.assert_exact()

        self.each(test, ("$0.0004",))

    def test_an_agent_as_a_tool_is_a_session_below(self):
        async def test(kind, run):
            seen.clear()
            inner = self.agent(kind, "loop", "inner", [tool("invoices")])
            outer = self.agent(
                kind, "turns=1,parallel=2", "outer",
                [inner.as_tool("ask_inner", "Asks."), weather])
            await run(outer, hooks=BursarHooks(self.s, limits="$0.0005"))
            below = {id for name, id in seen if name == "invoices"}
            self.assertTrue(below and self.s.id not in below)
            self.assertIn("inner", self.agents())
            self.assert_exact()
            self.assertEqual(0, self.s.read().children)

        self.each(test)

    def test_a_refusal_within_goes_up_when_it_is_let(self):
        async def test(kind, run):
            inner = self.agent(kind, "loop", "inner")
            outer = self.agent(
                kind, "loop", "outer",
                [inner.as_tool("ask", "Asks.", failure_error_function=None, max_turns=99)])
            with self.assertRaises(bursar.BudgetExceeded) as caught:
                await run(outer)
            self.assertEqual("outer", caught.exception.run_data.last_agent.name)
            self.assert_exact()

        self.each(test, ("$0.0004",))


class Faults(Runs):
    def test_each_retry_is_a_step(self):
        async def test(kind, run):
            await run(self.agent(kind, "out=8,429=1,turns=1", tools=[weather]))
            self.assertEqual([429, 200, 429, 200], [n["status"] for n in self.lines()])
            self.assert_exact()
            self.assertEqual(2, self.s.read().steps)
            self.fresh()
            await run(self.agent(kind, "out=8,500=1,billed", max_tokens=20))
            self.assertEqual([500, 200], [n["status"] for n in self.lines()])
            self.assertGreaterEqual(self.spent(), self.billed())
            self.assertEqual(2, self.s.read().steps)

        self.each(test)

    def test_a_run_that_is_cancelled_pays_for_what_came(self):
        async def test(kind, run):
            agent = self.agent(kind, "text,out=2000,slow=0.005", max_tokens=4000)
            result = Runner.run_streamed(agent, "hello", hooks=BursarHooks(self.s))
            pieces = 0
            async for event in result.stream_events():
                pieces += event.type == "raw_response_event" and "delta" in event.data.type
                if pieces == 10:
                    result.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await result.run_loop_task
            await asyncio.sleep(0.05)
            self.assertLess(self.lines()[0]["output_tokens"], 1000)
            self.assertGreaterEqual(self.spent(), self.billed())
            self.assertLess(self.spent(), 4000 * 600 // 4)

        self.each(test)

    def test_a_task_that_is_cancelled_leaves_nothing_held(self):
        async def test(kind, run):
            task = asyncio.create_task(run(self.agent(kind, "hang")))
            while not self.stub.inflight(self.account):
                self.assertFalse(task.done())
                await asyncio.sleep(0.01)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            self.lines()
            self.assertGreaterEqual(self.spent(), self.billed())

        self.each(test)


class Concurrency(Runs):
    LIMIT = "$0.01"

    def test_twenty_tasks_on_one_budget(self):
        async def test(kind, run):
            hooks = BursarHooks(self.s)
            agent = self.agent(kind, "loop,parallel=5,429every=9", max_retries=5)
            ends = await asyncio.gather(
                *(run(agent, f"hello {n}", hooks=hooks) for n in range(20)), return_exceptions=True)
            self.assertEqual([openai_agents.BudgetExceeded] * 20, [type(end) for end in ends])
            self.check()

        self.each(test, (self.LIMIT,))

    def test_twenty_threads_on_one_budget(self):
        ends = []
        self.fresh(self.LIMIT)

        def work(n):
            try:
                self.sync(self.agent(KINDS[n % 2], "loop,parallel=5"), f"hello {n}",
                          hooks=BursarHooks(self.s), max_turns=None)
            except Exception as error:
                ends.append(type(error))

        threads = [threading.Thread(target=work, args=(n,)) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        self.assertEqual([openai_agents.BudgetExceeded] * 20, ends)
        self.check()

    def check(self):
        self.assert_exact()
        self.assertLessEqual(self.spent(), 10_000_000)
        self.assertGreater(self.spent(), 7_000_000)
        good = [line for line in self.lines() if line["status"] == 200]
        self.assertEqual(5 * len(good), self.s.read().tool_calls)


class Others(Runs):
    def test_tracing_is_not_billed_nor_broken(self):
        spans = []

        class Exporter:
            def export(self, items):
                spans.extend(items)

        provider = agents.tracing.get_trace_provider()
        provider.set_disabled(False)
        self.addCleanup(provider.set_disabled, True)
        sent = agents.tracing.processors.BackendSpanExporter(
            api_key=self.account, endpoint=self.stub.url() + "/v1/traces/ingest", max_retries=1)
        batched = agents.tracing.processors.BatchTraceProcessor
        processors = [batched(each) for each in (Exporter(), sent)]
        agents.set_trace_processors(processors)
        self.addCleanup(agents.set_trace_processors, [])
        with warnings.catch_warnings():
            warnings.simplefilter("error", bursar.BursarWarning)
            self.go(self.whole(self.agent(KINDS[1], "turns=2")))
            for processor in processors:
                processor.force_flush()
        kinds = [type(span.span_data).__name__ for span in spans if hasattr(span, "span_data")]
        self.assertEqual(3, kinds.count("ResponseSpanData"))
        self.assertEqual(2, kinds.count("FunctionSpanData"))
        good = [line for line in self.lines() if line["status"] == 200]
        self.assertEqual(3, len(good))
        self.assertEqual(self.spent(), self.billed())

    def test_a_model_that_asks_otherwise_is_held_and_settled(self):
        class Plain(agents.Model):
            model = MODEL

            async def get_response(model, *arguments, **named):
                held.append(self.s.read().reserved_nanos)
                message = {"id": "1", "type": "message", "role": "assistant", "status": "completed",
                           "content": [{"type": "output_text", "text": "hi", "annotations": []}]}
                output = openai.types.responses.ResponseOutputMessage.model_validate(message)
                return agents.ModelResponse(output=[output], response_id=None, usage=agents.Usage(
                    requests=1, input_tokens=1000, output_tokens=100, total_tokens=1100))

            async def stream_response(self, *arguments, **named):
                raise NotImplementedError
                yield

        held = []
        settings = agents.ModelSettings(max_tokens=200)
        agent = Agent(name="plain", model=Plain(), model_settings=settings)
        self.go(self.whole(agent))
        self.assertGreater(held[0], 200 * 600)
        self.assertEqual(1000 * 150 + 100 * 600, self.spent())
        self.fresh("$0.00001")
        with self.assertRaises(openai_agents.BudgetExceeded):
            self.go(self.whole(agent))
        self.assertEqual(1, len(held))


if __name__ == "__main__":
    unittest.main()
