"""Anything an agent may do to its SDKs, at random, for as long as you like: is the money right?

    python Tests/integrations/soak.py [MINUTES] [SEED]

Rounds of many calls at once, in threads and in an event loop, wrapped and instrumented, on a
provider that fails, dawdles and hangs up, by agents that leave, drop, cancel, kill and fork.
Each call has a session and an account of its own, a few share one that is too small. The judge,
after each round: nothing is reserved, no bill is above what was spent, both are equal where all
answers were complete, and no thread and no descriptor is left over. A failure is printed with the
seed and the round that lead to it.
"""

import asyncio
import contextlib
import gc
import os
import random
import sys
import threading
import time
import traceback
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import bursar
from double.bill import PRICES
from sdks import WAYS, Gemini, OpenAIChat, for_async
from stub import Stub

# what the provider does, and whether its answers are complete then
CALM = ["out=8", "out=30,piece=2", "out=12,slow=0.01", "cached=9,out=5", "loop,parallel=3",
        "out=8,429=1", "out=200,piece=1", "out=400", "out=900,piece=9"]  # fmt: skip
ROUGH = ["out=60,cut=2", "out=60,fail=3", "nousage,out=9", "out=8,500=1,billed", "hang",
         "out=40,slow=0.02,cut=4", "out=8,500every=2", "wrong=negative", "wrong=text", "wrong=high",
         "out=300,cut=9,piece=8"]  # fmt: skip
ENDS = ["read"] * 5 + ["leave", "dawdle", "dawdle", "drop", "unread", "elsewhere", "kill", "close",
                       "twice"]


class Call:
    """One call of an agent, or a few in a row, and what is expected of its account."""

    numbers = iter(range(1, 1 << 62))

    def __init__(self, soak, random_):
        self.soak, self.random = soak, random_
        self.way = random_.choice(WAYS)
        self.is_rough = random_.random() < 0.4
        self.scenario = random_.choice(ROUGH if self.is_rough else CALM)
        self.stream = random_.random() < 0.6
        self.end = random_.choice(ENDS) if self.stream else "read"
        self.wrapped = random_.random() < 0.6
        self.times = random_.choice((1, 1, 1, 3))
        self.retries = random_.choice((0, 2))
        self.over_aiohttp = self.way is not Gemini and random_.random() < 0.3
        self.patience = random_.choice((0.02, 0.1, 0.3)) if random_.random() < 0.2 else None
        self.output = random_.choice((60, 1_000))
        self.account = f"soak-{next(self.numbers)}"
        self.limit = random_.choice(("$1", "$1", "$1", "$0.0004"))
        self.session = soak.runtime.session(soak.budget(), self.limit)
        self.budget = soak.runtime.read(self.session.id).parent  # outlives the session
        self.before = soak.runtime.read(self.budget).spent_nanos
        self.said = Counter()

    def __repr__(self):
        how = "wrapped" if self.wrapped else "instrumented"
        how += " aiohttp" if self.over_aiohttp else ""
        stream = f"stream {self.end}" if self.stream else "whole"
        return (f"{self.account} {self.way.__name__} {self.scenario} {stream} {how} ×{self.times} "
                f"retries={self.retries} patience={self.patience} {self.limit}: {dict(self.said)}")

    @property
    def is_exact(self):
        """Whether all that it sent was answered in full, and read."""
        return (not self.is_rough and self.end in ("read", "twice") and self.patience is None
                and not set(self.said) - {"ok", "BudgetExceeded", "RateLimitError", "ClientError"})

    def client(self, make):
        more = {}
        if self.over_aiohttp and make is self.way.make_async:
            more["http_client"] = self.way.module.DefaultAioHttpClient()
        client = make(
            self.soak.stub.url(self.scenario), self.account, max_retries=self.retries, **more)
        if self.scenario == "hang" or self.patience is not None:
            patience = self.patience or 0.1
            if self.way is Gemini:
                client._api_client._http_options.timeout = max(10, int(patience * 1000))
            else:
                client = client.with_options(timeout=patience)
        return self.session.wrap(client) if self.wrapped else client

    def count(self, error):
        self.said[type(error).__name__ if error else "ok"] += 1
        if isinstance(error, (AssertionError, bursar.BursarError)) and not isinstance(
                error, bursar.Refused):
            self.soak.fail(f"{self!r}\n{''.join(traceback.format_exception(error))}")

    # ---- In a thread ----

    def run(self):
        # an instrumented call is whose session was entered; a wrapped one's is its client's
        with contextlib.nullcontext() if self.wrapped else self.session:
            client = self.client(self.way.make)
            for _ in range(self.times):
                try:
                    self.once(client)
                    self.count(None)
                except Exception as error:
                    self.count(error)

    def once(self, client):
        answer = self.way.ask(client, self.output, stream=self.stream)
        if not self.stream or self.end == "unread":
            return
        pieces = iter(answer)
        if self.end not in ("read", "twice"):
            for _ in range(self.random.randrange(3)):
                next(pieces, None)
        close = getattr(answer, "close", lambda: None)
        if self.end == "dawdle":
            time.sleep(0.1)
        if self.end in ("leave", "dawdle"):
            close()
        elif self.end == "elsewhere":
            other = threading.Thread(target=close)
            other.start()
            list(pieces)
            other.join()
        elif self.end in ("kill", "close"):
            self.stop()
            list(pieces)
        elif self.end in ("read", "twice"):
            for _ in range(1 + (self.end == "twice")):
                list(pieces)

    def stop(self):
        if self.end == "kill":
            self.soak.runtime.kill(self.session)
        else:
            self.session.close()

    # ---- In an event loop ----

    async def run_async(self):
        with contextlib.nullcontext() if self.wrapped else self.session:
            client = self.client(self.way.make_async)
            for _ in range(self.times):
                call = asyncio.create_task(self.once_async(for_async(self.way, client)))
                if self.is_rough and self.random.random() < 0.5:
                    await asyncio.sleep(self.random.random() * 0.1)
                    call.cancel()
                try:
                    await call
                    self.count(None)
                except (Exception, asyncio.CancelledError) as error:
                    self.count(error)
            with contextlib.suppress(Exception):
                await self.way.close(client)

    async def once_async(self, client):
        answer = await self.way.ask(client, self.output, stream=self.stream)
        if not self.stream or self.end == "unread":
            return
        pieces = answer.__aiter__()
        if self.end not in ("read", "twice"):
            for _ in range(self.random.randrange(3)):
                await anext(pieces, None)
        if self.end == "dawdle":
            await asyncio.sleep(0.1)
        if self.end in ("leave", "dawdle", "elsewhere"):
            await (answer.close() if hasattr(answer, "close") else pieces.aclose())
        elif self.end in ("kill", "close"):
            self.stop()
        if self.end in ("kill", "close", "read", "twice"):
            async for _ in pieces:
                pass


class Soak:
    def __init__(self, seed):
        self.seed, self.round = seed, 0
        self.failures, self.calls, self.said = [], 0, Counter()
        self.stub = Stub()
        self.runtime = bursar.open()
        for model, (new, cached, output, *write) in PRICES.items():
            writes = {"cache_write": write[0], "cache_write_1h": write[1]} if write else {}
            self.runtime.price(model, **{
                name: f"${price}/M" for name, price in {
                    "input": new, "cache_read": cached, "output": output, **writes}.items()})

    def budget(self):
        """One that no other call of this round has."""
        self.taken += 1
        return f"acme/soak-{self.taken}"

    def fail(self, what):
        self.failures.append(what)
        print(f"FAILED (seed {self.seed}, round {self.round}): {what}", flush=True)

    def one(self):
        """A round. Returns how many descriptors and threads it left."""
        self.round, self.taken = self.round + 1, 0
        chance = random.Random(f"{self.seed}-{self.round}")
        calls = [Call(self, random.Random(chance.random())) for _ in range(40)]
        alone, together = calls[:16], calls[16:]

        async def loop():
            await asyncio.gather(*(call.run_async() for call in together))

        with ThreadPoolExecutor(8) as pool:
            for done in [pool.submit(call.run) for call in alone]:
                done.result()
        asyncio.run(loop())
        calls += [self.crowd(chance), self.forked(chance)]
        gc.collect()
        for call in calls:
            self.judge(call)
        self.calls += len(calls)
        gc.collect()
        until = time.monotonic() + 5
        while threading.active_count() > 1 and time.monotonic() < until:
            time.sleep(0.05)
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    def crowd(self, chance):
        """A hundred tasks that share too little."""
        call = Call(self, random.Random(chance.random()))
        call.is_rough, call.scenario, call.stream, call.end = False, "out=8", False, "read"
        call.patience, call.wrapped, call.retries = None, True, 0
        call.session.close()
        call.session = self.runtime.session(call.budget, "$0.001")

        async def loop():
            client = call.client(call.way.make_async)

            async def ask():
                try:
                    await call.way.ask(for_async(call.way, client))
                    call.count(None)
                except Exception as error:
                    call.count(error)

            await asyncio.gather(*(ask() for _ in range(100)))
            await call.way.close(client)

        asyncio.run(loop())
        if self.runtime.read(call.budget).spent_nanos - call.before > 1_000_000:
            self.fail(f"above its limit: {call!r}")
        return call

    def forked(self, chance):
        """A fork in the middle of a stream: the child drops it, the parent reads on."""
        call = Call(self, random.Random(chance.random()))
        call.way, call.is_rough, call.scenario, call.stream = OpenAIChat, False, "out=40", True
        call.end, call.patience, call.wrapped = "read", None, True
        with call.client(OpenAIChat.make) as client:
            try:
                stream = OpenAIChat.ask(client, stream=True)
                next(stream)
                child = os.fork()
                if not child:
                    stream.close()
                    os._exit(0)
                os.waitpid(child, 0)
                list(stream)
                call.count(None)
            except Exception as error:
                call.count(error)
        return call

    def judge(self, call):
        bill = self.stub.bill(call.account, wait=30)
        billed, lines = Decimal(bill["dollars"]).scaleb(9), len(bill["lines"])
        view, until = self.runtime.read(call.budget), time.monotonic() + 3
        while view.reserved_nanos and time.monotonic() < until:
            time.sleep(0.02)
            gc.collect()
            view = self.runtime.read(call.budget)
        spent = view.spent_nanos - call.before
        self.said.update(call.said)
        books = f"billed {billed}, spent {spent}, {lines} requests"
        if view.reserved_nanos:
            self.fail(f"{view.reserved_nanos} reserved: {call!r}")
        if billed > spent + lines:
            self.fail(f"billed above the books: {books}: {call!r}")
        if call.is_exact and abs(billed - spent) > lines:
            self.fail(f"not equal: {books}: {call!r}")
        self.stub.reset(call.account)
        call.session.close()


def main(minutes=0.5, seed=None):
    warnings.simplefilter("ignore")
    seed = random.randrange(1 << 32) if seed is None else int(seed)
    print(f"soak: seed {seed}, {minutes} minutes", flush=True)
    bursar.instrument()
    soak, left = Soak(seed), []
    until = time.monotonic() + float(minutes) * 60
    while time.monotonic() < until or soak.round < 3:
        left.append(soak.one())
    first, last = left[1], left[-1]  # the first round loads modules
    if last[0] > first[0] + 8 or last[1] > first[1]:
        soak.fail(f"descriptors and threads after each round: {left}")
    print(f"soak: {soak.round} rounds, {soak.calls} agents, {dict(soak.said)}; descriptors and "
          f"threads at the end: {last}; {len(soak.failures)} failures", flush=True)
    soak.stub.__exit__()
    sys.exit(bool(soak.failures))


if __name__ == "__main__":
    main(*sys.argv[1:])
