"""What the tests of the frameworks share: bills to the nano-dollar, and a fleet on one budget."""

import asyncio
import contextlib
import contextvars
import gc
import itertools
import threading
import time
import warnings

import bursar
import sdks

MODEL, CLAUDE = "gpt-4o", "claude-haiku-4-5"  # their prices are whole nano-dollars a token
FLEET = 20
_numbers = itertools.count(1)
_loop = asyncio.Runner()  # one for all: frameworks share their async clients


def run(work):
    """What a coroutine answers, run in this context."""
    return _loop.run(work, context=contextvars.copy_context())


class Case(sdks.Case):
    def setUp(self):
        super().setUp()
        warnings.simplefilter("error", RuntimeWarning)  # a coroutine that nobody awaited
        self.asked = []  # what tools were called with

    def weather(self, city: str, days: int = 1) -> str:
        """The weather of a city."""
        self.asked.append((city, days))
        return f"sunny in {city} for {days} days, {next(_numbers)}"

    def assert_exact(self):
        """Bursar's books are the provider's, to the nano-dollar."""
        self.assertEqual(self.billed(), self.spent())
        self.assertGreater(self.spent(), 0)

    def assert_paid(self, limit):
        """A stream that was left: no less than the provider billed, and far from the worst case."""
        self.assertGreaterEqual(self.spent(), self.billed())
        self.assertGreater(self.billed(), 0)
        self.assertLess(self.lines()[-1]["output_tokens"], limit // 2)

    def agents(self):
        """What was spent by sub-agents: {agent: nano-dollars}."""
        found = {}
        for row in self.rt.spend():
            if row.agent:
                found[row.agent] = found.get(row.agent, 0) + row.cost_nanos
        return found

    @contextlib.contextmanager
    def closing(self):
        """No session is left to the garbage collector."""
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", bursar.BursarWarning)
            yield
            gc.collect()
        self.assertEqual([], [str(w.message) for w in said])
        self.assert_closed()

    def assert_closed(self, wait=10):
        """The session has no children: those that were closed go soon."""
        until = time.monotonic() + wait
        while self.rt.children(self.s):
            self.assertLess(time.monotonic(), until, "a sub-agent's session was not closed")
            time.sleep(0.01)

    async def held(self, wait=10):
        """A step has been reserved."""
        until = time.monotonic() + wait
        while not self.s.read().reserved_nanos:
            self.assertLess(time.monotonic(), until, "nothing was reserved")
            await asyncio.sleep(0.02)

    def fleet(self, run, limits=("$0.02", "150 tool_calls")):
        """Runs FLEET agents on one budget, `run(number, session)` each, until all were refused.
        Nothing passes a limit, at any moment that is looked at, and the bills agree."""
        path = f"fleet/{self._testMethodName}"
        budget = self.rt.budget(path, *limits)
        sessions = [self.rt.session(path, agent=f"agent-{n}") for n in range(FLEET)]
        over = threading.Event()
        passed = []

        def look():
            while not over.wait(0.005):
                view = self.rt.read(budget)
                passed.extend(limit for limit in view.limits if limit.remaining < 0)

        watch = threading.Thread(target=look)
        watch.start()
        try:
            run(sessions)
        finally:
            over.set()
            watch.join()
        self.s = sessions[0]  # for the account
        view = self.rt.read(budget)
        self.assertEqual([], passed)
        self.assertEqual(0, view.reserved_nanos)
        self.assertEqual(self.billed(), view.spent_nanos)
        for limit in view.limits:
            self.assertGreaterEqual(limit.remaining, 0)
        for session in sessions:
            session.close()
        return view
