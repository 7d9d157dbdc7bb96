"""`session.turn` around calls that are metered at the HTTP request, and around those that are not;
`session.brief`."""

import asyncio
import threading
import unittest

import bursar
from support import Case

try:
    import openai
except ImportError:
    openai = None

from stub_server import INPUT, OUTPUT, Stub

COST = INPUT * 1_000 + OUTPUT * 10_000
MESSAGES = [{"role": "user", "content": "hello"}]


class Priced(Case):
    def setUp(self):
        super().setUp()
        self.rt.price("big", input="$1/M", output="$10/M")
        self.s = self.session("$1")


class Turns(Priced):
    def test_a_call_that_nobody_meters_is_a_step(self):
        with self.s.turn("big", input="hello", max_output_tokens=50) as turn:
            self.assertIs(self.s, bursar.current())
            self.assertGreater(self.s.read().reserved_nanos, 50 * 10_000)
            receipt = turn.settle(input_tokens=10, output_tokens=5)
        self.assertIsNone(bursar.current())
        self.assertEqual((60_000, 60_000), (receipt.cost_nanos, self.s.read().spent_nanos))
        self.assertFalse(turn.metered)
        self.s.reserve("big", input_tokens=1)  # the session is open still

    def test_one_left_without_a_settle_is_paid_for(self):
        seen = self.warned()
        with self.assertRaises(ZeroDivisionError):
            with self.s.turn("big", max_output_tokens=50):
                1 / 0
        self.assertEqual([bursar.BursarWarning], [w.category for w in seen])
        self.assertEqual(500_000, self.s.read().spent_nanos)

    def test_one_that_did_not_happen_is_not(self):
        with self.s.turn("big", max_output_tokens=50) as turn:
            turn.release()
        view = self.s.read()
        self.assertEqual((0, 0), (view.spent_nanos, view.reserved_nanos))

    def test_a_refusal_is_raised(self):
        poor = self.session("$0.0001")
        with self.assertRaises(bursar.BudgetExceeded):
            poor.turn("big", max_output_tokens=1_000)

    def test_turns_in_tasks(self):
        async def one(session):
            async with session.turn("big", max_output_tokens=5) as turn:
                await asyncio.sleep(0)
                self.assertIs(session, bursar.current())
                turn.settle(input_tokens=1, output_tokens=1)

        async def work():
            await asyncio.gather(*(one(self.session("$1")) for _ in range(5)))

        asyncio.run(work())
        self.assertIsNone(bursar.current())


@unittest.skipIf(openai is None, "the openai package is not installed")
class Metered(Priced):
    def setUp(self):
        super().setUp()
        self.stub = Stub()
        self.addCleanup(self.stub.close)
        client = openai.OpenAI(base_url=self.stub.url, api_key="k", max_retries=0)
        self.addCleanup(client.close)
        self.client = self.s.wrap(client)

    def ask(self, client=None, **more):
        return (client or self.client).chat.completions.create(**{
            "model": "big", "messages": MESSAGES, "max_tokens": 50, **more})

    def test_a_metered_request_takes_its_place(self):
        held = []
        with self.s.turn("big", input="hello", max_output_tokens=50_000) as turn:
            held.append(self.s.read().reserved_nanos)
            stream = self.ask(stream=True)
            held.append(self.s.read().reserved_nanos)
            list(stream)
            self.ask()
            self.assertTrue(turn.metered)
            self.assertIsNone(turn.settle(input_tokens=10, output_tokens=5))
        self.assertGreater(held[0], 10 * held[1])
        view = self.s.read()
        self.assertEqual((2 * COST, 0, 2), (view.spent_nanos, view.reserved_nanos, view.steps))

    def test_room_is_made_where_there_is_no_more(self):
        s = self.session("$0.0006")
        with s.turn("big", max_output_tokens=50) as turn:  # $0.0005
            self.ask(s.wrap(openai.OpenAI(base_url=self.stub.url, api_key="k")))
            turn.settle(None)
        self.assertEqual(COST, s.read().spent_nanos)

    def test_a_request_that_is_refused_leaves_nothing_held(self):
        s = self.session("$0.0006")
        client = s.wrap(openai.OpenAI(base_url=self.stub.url, api_key="k"))
        with self.assertRaises(bursar.BudgetExceeded):
            with s.turn("big", max_output_tokens=50):
                self.ask(client, messages=[{"role": "user", "content": "x" * 4_000}])
        self.assertEqual((0, 0), (s.read().reserved_nanos, s.read().spent_nanos))

    def test_several_at_once_in_one_turn(self):
        import contextvars

        with self.s.turn("big", max_output_tokens=50) as turn:
            threads = [threading.Thread(target=contextvars.copy_context().run, args=(self.ask,))
                       for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            turn.settle(input_tokens=10, output_tokens=5)
        view = self.s.read()
        self.assertEqual((8 * COST, 0), (view.spent_nanos, view.reserved_nanos))


class Brief(Case):
    def test_what_is_left(self):
        s = self.session("$0.50, 200 steps")
        self.assertEqual("You have $0.50 of $0.50 and 200 of 200 steps left.", s.brief())
        self.rt.price("big", input="$1/M", output="$10/M")
        for _ in range(3):
            with s.step("big", max_output_tokens=10_000) as step:
                step.settle(input_tokens=0, output_tokens=3_100)
        self.assertEqual("You have $0.40 of $0.50 and 197 of 200 steps left.", s.brief())
        self.assertEqual("", self.session("", path="free/one").brief())

    def test_the_nearest_limit_counts_wherever_it_is(self):
        self.rt.budget("acme", "$3/month, 20 steps/s, $1 then observe")
        s = self.session("$5, 1000000 tokens, 3 tool_calls")
        self.assertEqual(
            "You have $3.00 of $3.00, 3 of 3 tool calls and 1,000,000 of 1,000,000 tokens left.",
            s.brief())
        self.assertEqual("You have $0.0012 of $0.0012 left.", self.session("$0.0012").brief())
        self.assertRegex(self.session("90m wall", path="x/y").brief(),
                         "^You have 1 h (30|29) min of 1 h 30 min left.$")

    def test_when_it_is_over(self):
        s = self.session("$1")
        self.rt.kill(s)
        self.assertEqual("Your budget is closed: finish now.", s.brief())


if __name__ == "__main__":
    unittest.main()
