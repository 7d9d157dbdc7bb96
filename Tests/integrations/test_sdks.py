"""`session.wrap` around the real SDKs, against the provider: every way to ask, and every way that
an answer may end."""

import asyncio
import gc
import os
import tempfile
import threading
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

import bursar
from sdks import ASK, WAYS, Anthropic, Case, Gemini, OpenAIChat, each_way, for_async


class Whole(Case):
    @each_way
    def test_the_bill_is_the_provider_s(self, way):
        client = self.client(way, "out=12")
        for _ in range(3):
            self.assertTrue(way.text(way.ask(client)))
        pieces = [way.piece(e) for e in way.stream_with_limit(client, 60)]
        self.assertGreater(len([p for p in pieces if p]), 1)
        self.assert_even()
        self.assertEqual(4, len(self.lines()))

    @each_way
    def test_and_so_in_an_event_loop(self, way):
        async def work():
            client = self.client_async(way, "out=12")
            inner = for_async(way, client)
            for _ in range(3):
                self.assertTrue(way.text(await way.ask(inner)))
            pieces = [way.piece(e) async for e in await way.stream_with_limit(inner, 60)]
            self.assertGreater(len([p for p in pieces if p]), 1)
            await way.close(client)

        self.run_async(work())
        self.assert_even()
        self.assertEqual(4, len(self.lines()))

    @each_way
    def test_classes_of_tokens(self, way):
        client = self.client(way, "out=20,cached=5,reasoning=7")
        way.ask(client)
        list(way.stream_with_limit(client, 60))
        self.assert_even()

    @each_way
    def test_the_limit_is_what_was_granted(self, way):
        client = self.client(way, "out=100000")
        try:
            way.ask(client, 25)
        except Exception:
            pass  # an SDK may object to an answer that was stopped
        self.assertEqual([25], [line["limit"] for line in self.lines()])
        self.assertEqual([25], [line["output_tokens"] for line in self.lines()])
        self.assert_even()

    @each_way
    def test_the_model_is_what_was_granted(self, way):
        other = {Gemini: "gemini-embedding-001"}.get(way, "gpt-5-nano")
        self.rt.price(other, input="$0.01/M", output="$0.01/M")
        self.s = self.rt.session("acme/integrations", "$0.000020", ladder=[way.model, other])
        self.addCleanup(self.s.close)
        way.ask(self.client(way, "out=8"), 60)
        self.assertEqual([other], [line["model"] for line in self.lines()])

    @each_way
    def test_a_refusal_comes_at_once_as_itself(self, way):
        self.fresh("$0.0000001")
        start = time.monotonic()
        for ask in (way.ask, lambda client: list(way.stream_with_limit(client, 60))):
            with self.assertRaises(bursar.BudgetExceeded) as caught:
                ask(self.client(way, max_retries=5))
            self.assertFalse(caught.exception.decision)

        async def work():
            client = self.client_async(way, max_retries=5)
            inner = for_async(way, client)
            with self.assertRaises(bursar.BudgetExceeded):
                await way.ask(inner)
            with self.assertRaises(bursar.BudgetExceeded):
                async for _ in await way.stream_with_limit(inner, 60):
                    pass
            await way.close(client)

        self.run_async(work())
        self.assertLess(time.monotonic() - start, 3)
        self.assertEqual([], self.lines())

    @each_way
    def test_an_unknown_model_is_refused(self, way):
        with self.assertRaises(bursar.Halted) as caught:
            way.ask(self.client(way), model="no-such-model")
        self.assertIs(bursar.Reason.PRICE_UNKNOWN, caught.exception.decision.reason)
        self.assertEqual([], self.lines())

    @each_way
    def test_throttled_calls_wait(self, way):
        self.fresh("20 steps/s burst 1")
        start = time.monotonic()
        client = self.client(way, "out=4")
        for _ in range(3):
            way.ask(client)

        async def work():
            client = self.client_async(way, "out=4")
            await asyncio.gather(*(way.ask(for_async(way, client)) for _ in range(3)))
            await way.close(client)

        self.run_async(work())
        self.assertGreaterEqual(time.monotonic() - start, 0.2)
        self.assertEqual(6, len(self.lines()))
        client = self.s.wrap(way.make(self.stub.url("out=4"), self.account), wait=0.001)
        with self.assertRaises(bursar.Throttled):
            for _ in range(5):
                way.ask(client)

    def test_raw_and_parsed_answers(self):
        raw = self.client(OpenAIChat, "out=8").chat.completions.with_raw_response.create(
            **OpenAIChat.arguments(60))
        self.assertTrue(raw.headers)
        if Anthropic not in WAYS:
            self.skipTest("no anthropic in this set")
        raw = self.client(Anthropic, "out=8").messages.with_raw_response.create(
            model=Anthropic.model, max_tokens=60, messages=[{"role": "user", "content": ASK}])
        self.assertTrue(raw.parse().content)
        with self.client(Anthropic, "out=8").messages.stream(
                model=Anthropic.model, max_tokens=60,
                messages=[{"role": "user", "content": ASK}]) as stream:
            self.assertTrue(stream.get_final_text())
        self.assert_even()
        self.assertEqual(3, len(self.lines()))

    def test_a_session_below_takes_its_own(self):
        client = self.client(OpenAIChat, "out=8")
        with self.s.child("helper", "$0.5") as child:
            OpenAIChat.ask(client)
            self.assertGreater(child.read().spent_nanos, 0)
        self.assert_even()
        with self.rt.session("acme/other") as other:
            OpenAIChat.ask(client)
            self.assertEqual(0, other.read().spent_nanos)
        self.assert_even()


class Failures(Case):
    @each_way
    def test_the_sdk_s_retries_are_attempts(self, way):
        way.ask(self.client(way, "out=8,429=1"))
        self.assertEqual([429, 200], [line["status"] for line in self.lines()])
        self.assert_even()
        self.fresh()
        way.ask(self.client(way, "out=8,500=1,billed"))
        self.assertEqual([500, 200], [line["status"] for line in self.lines()])
        self.assertGreaterEqual(self.spent(), self.billed())

    def test_a_retry_is_known_as_one(self):
        with tempfile.TemporaryDirectory() as folder:
            with bursar.open(f"{folder}/home") as rt:
                rt.budget("acme", "$10")
                for model in ("gpt-4o-mini", "claude-haiku-4-5", "gemini-2.5-flash"):
                    rt.price(model, input="$1/M", output="$2/M")
                for way in WAYS:
                    self.account = f"retry-{way.__name__}"
                    self.s = rt.session(f"acme/{way.__name__}")
                    way.ask(self.client(way, "out=8,500=1"))
                    way.ask(self.client(way, "out=8,429=1"))
                    self.s.close()
                    rows = rt.query("SELECT attempt, estimated FROM v_steps WHERE workflow = ?",
                                    f"acme/{way.__name__}")
                    self.assertEqual([(0, 0), (0, 1), (1, 0)],
                                     sorted((row["attempt"], row["estimated"]) for row in rows))
                segment = rt.home_info().segment_path
            os.remove(segment)

    @each_way
    def test_a_lost_answer_may_be_billed(self, way):
        with self.assertRaises(Exception) as caught:
            way.ask(self.client(way, "out=30,cut=1", max_retries=0))
        self.assertNotIsInstance(caught.exception, bursar.BursarError)
        self.assertGreaterEqual(self.spent(), self.billed())
        self.assertGreater(self.billed(), 0)

    @each_way
    def test_a_usage_that_cannot_be(self, way):
        for scenario in ("out=8,nousage", "out=8,wrong=negative", "out=8,wrong=text"):
            self.fresh()
            for stream in (False, True):
                try:
                    answer = way.ask(self.client(way, scenario), stream=stream)
                    [list(answer) for _ in [0] if stream]
                except bursar.BursarError:
                    raise
                except Exception:
                    pass  # an SDK may not take it either
            self.assertGreaterEqual(self.spent(), self.billed())
            self.assertGreater(self.billed(), 0)

    @each_way
    def test_a_cancelled_call(self, way):
        async def work():
            client = self.client_async(way, "out=8,slow=5")
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(way.ask(for_async(way, client)), 0.2)
            await way.close(client)

        self.run_async(work())
        self.assertGreater(self.spent(), 0)

    @each_way
    def test_one_cancelled_while_it_waits_holds_nothing(self, way):
        self.fresh("1 steps/s burst 1")

        async def work():
            client = self.client_async(way, "out=8")
            await way.ask(for_async(way, client))
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(way.ask(for_async(way, client)), 0.1)
            await way.close(client)

        self.run_async(work())
        self.assert_even()
        self.assertEqual(1, len(self.lines()))


class Streams(Case):
    """Pieces are of four tokens; the provider bills what it sent before it saw us go."""

    LIMIT = 1_000

    def assert_paid(self):
        """No less than the provider billed, and far from the worst case."""
        view = self.s.read()
        self.assertEqual(0, view.reserved_nanos)
        self.assertGreaterEqual(view.spent_nanos, self.billed())
        self.assertGreater(self.billed(), 0)
        [row] = [row for row in self.rt.spend() if row.steps][-1:]
        self.assertGreaterEqual(row.estimated_steps, 1)
        self.assertLess(self.lines()[-1]["output_tokens"], self.LIMIT // 2)

    @each_way
    def test_a_session_that_was_closed_and_settled(self, way):
        self.addCleanup(bursar.uninstrument)
        for wrap in (True, False):
            with self.s:
                if not wrap:
                    bursar.instrument(self.s)
                client = self.client(way, "out=8", wrap=wrap, max_retries=5)
                inner = for_async(way, self.client_async(way, "out=8", wrap=wrap))
                way.ask(client)
            with self.assertRaises(bursar.NotFoundError):
                self.s.read()
            for call in (lambda: way.ask(client), lambda: list(way.ask(client, stream=True)),
                         lambda: self.run_async(self.awaited(way, inner))):
                with self.assertRaises(bursar.Halted) as caught:
                    call()
                self.assertEqual(bursar.Reason.CLOSED, caught.exception.decision.reason)
            self.assertEqual(1, len(self.lines()))
            bursar.uninstrument()
            self.fresh()

    async def awaited(self, way, client):
        return await way.ask(client)

    @each_way
    def test_closed_early(self, way):
        stream = way.stream_with_limit(self.client(way, "out=900,slow=0.01"), self.LIMIT)
        for _ in range(6):
            next(iter(stream))
        stream.close()
        self.assert_paid()

    @each_way
    def test_dropped(self, way):
        stream = way.stream_with_limit(self.client(way, "out=900,slow=0.01"), self.LIMIT)
        for _, _ in zip(range(6), stream):
            pass
        del stream, _
        gc.collect()
        self.assert_paid()

    @each_way
    def test_cancelled(self, way):
        async def work():
            client = self.client_async(way, "out=900,slow=0.05")

            async def read():
                async for _ in await way.stream_with_limit(for_async(way, client), self.LIMIT):
                    pass

            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(read(), 0.5)
            await way.close(client)

        self.run_async(work())
        self.assert_paid()

    @each_way
    def test_killed(self, way):
        stream = way.stream_with_limit(self.client(way, "out=900,slow=0.01"), self.LIMIT)
        seen = 0
        with self.assertRaises(bursar.Killed) as caught:
            for _ in stream:
                seen += 1
                if seen == 6:
                    self.rt.kill(self.s, reason="enough")
        self.assertEqual("enough", caught.exception.decision.why)
        self.assertLess(seen, 9)
        self.assert_paid()

    @each_way
    def test_killed_in_an_event_loop(self, way):
        async def work():
            client, seen = self.client_async(way, "out=900,slow=0.01"), 0
            with self.assertRaises(bursar.Killed):
                async for _ in await way.stream_with_limit(for_async(way, client), self.LIMIT):
                    seen += 1
                    if seen == 6:
                        self.rt.kill(self.s)
            self.assertLess(seen, 9)
            await way.close(client)

        self.run_async(work())
        self.assert_paid()

    @each_way
    def test_killed_while_no_piece_comes(self, way):
        stream = way.stream_with_limit(self.client(way, "out=900,slow=4"), self.LIMIT)
        timer = threading.Timer(1, self.rt.kill, (self.s,))
        timer.start()
        start = time.monotonic()
        with self.assertRaises(bursar.Killed):
            for _ in stream:
                pass
        self.assertLess(time.monotonic() - start, 3)
        timer.join()
        self.assertEqual(0, self.s.read().reserved_nanos)

    @each_way
    def test_killed_while_no_piece_comes_in_an_event_loop(self, way):
        async def work():
            client = self.client_async(way, "out=900,slow=4")
            asyncio.get_running_loop().call_later(1, self.rt.kill, self.s)
            start = time.monotonic()
            with self.assertRaises(bursar.Killed):
                async for _ in await way.stream_with_limit(for_async(way, client), self.LIMIT):
                    pass
            self.assertLess(time.monotonic() - start, 3)
            await way.close(client)

        self.run_async(work())
        self.assertEqual(0, self.s.read().reserved_nanos)

    @each_way
    def test_cut_by_the_network(self, way):
        try:
            for _ in way.stream_with_limit(
                    self.client(way, "out=900,cut=5", max_retries=0), self.LIMIT):
                pass
        except bursar.BursarError:
            raise
        except Exception:
            pass
        self.assert_paid()


class Many(Case):
    @each_way
    def test_no_grant_passes_the_limit(self, way):
        self.fresh("$0.002")
        client = self.client(way, "out=12,429every=7", max_retries=9)

        def agent(_):
            for _ in range(40):
                try:
                    way.ask(client)
                except bursar.BudgetExceeded:
                    return True

        with ThreadPoolExecutor(20) as pool:
            list(pool.map(agent, range(20)))
        self.assertLessEqual(self.billed(), 2_000_000)
        self.assert_even()

    @each_way
    def test_nor_in_an_event_loop(self, way):
        self.fresh("$0.002")

        async def work():
            client = self.client_async(way, "out=12,429every=7", max_retries=9)

            async def agent():
                while True:
                    await asyncio.gather(*(way.ask(for_async(way, client)) for _ in range(5)))

            done = await asyncio.gather(*(agent() for _ in range(20)), return_exceptions=True)
            self.assertTrue(all(isinstance(e, bursar.BudgetExceeded) for e in done), done)
            await asyncio.sleep(0.3)  # what the others of a gather had sent
            await way.close(client)

        self.run_async(work())
        self.assertLessEqual(self.billed(), 2_000_000)
        self.assert_even()


if __name__ == "__main__":
    unittest.main()
