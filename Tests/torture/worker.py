"""A worker of the torture in Python: worker.py HOME LOG SEED. See worker.c, which does more."""

import ctypes
import os
import random
import signal
import sys
import threading
import time
from typing import Callable, TypeVar

import bursar
from bursar.words import Status
from judge import BUDGETS
from record import ENTRY, HELD, STREAM

HOME, LOG, SEED = sys.argv[1], sys.argv[2], int(sys.argv[3])
log = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
ending = threading.Event()
INPUT, OUTPUT = 2_500, 10_000  # nano-dollars a token of gpt-4o

T = TypeVar("T")


class Agent:
    def __init__(self, rt: bursar.Runtime, thread: int) -> None:
        self.rt, self.thread = rt, thread
        self.random = random.Random(SEED + thread)
        self.session = 0

    def note(self, kind: bytes, flags=0, handle=0, amount=0, detail=0) -> None:
        os.write(log, ENTRY.pack(
            os.getpid(), self.thread, kind, flags, handle, amount, self.session, detail,
            time.monotonic_ns()))

    def patiently(self, call: Callable[[], T]) -> T:
        """As worker.c's: asked again when somebody who stands still holds everybody up."""
        for tries in range(1, 6):
            try:
                return call()
            except bursar.BursarError as error:
                if error.code != Status.E_BUSY:
                    raise
            self.note(b"B", amount=tries)
        return call()

    def run(self) -> None:
        while not ending.is_set():
            self.open(self.random.randrange(3))

    def open(self, budget: int) -> None:
        session = self.patiently(
            lambda: self.rt.session(BUDGETS[budget], agent="worker in Python"))
        self.session = session.id
        self.note(b"S", amount=budget)
        for _ in range(self.random.randrange(5, 60)):
            if ending.is_set():
                break
            if self.random.random() < 0.01:
                self.fork(budget)
            self.step(session, budget)
        self.patiently(session.close)
        self.note(b"X")

    def step(self, session: bursar.Session, budget: int) -> None:
        rng = self.random
        hold, stream = rng.random() < 0.1, rng.random() < 0.2
        stream = stream and not hold
        tokens, most = rng.randrange(100, 2_000), rng.randrange(20, 400)
        self.note(b"w", amount=tokens * INPUT + most * OUTPUT)
        d = session.reserve(
            "gpt-4o", input_tokens=tokens, max_output_tokens=most, hold=hold, stream=stream)
        if not d:
            self.note(b"R", detail=d.reason)
            time.sleep(rng.random() * 0.002)
            return
        handle = d.reservation
        self.note(b"G", (HELD if hold else 0) | (STREAM if stream else 0), handle, d.reserved_nanos)
        if hold:
            self.note(b"b", handle=handle)
            session.begin(handle)
        output = rng.randrange(d.max_output_tokens + 1)
        if stream:
            session.stream(handle, output // 2)
        if budget != 0 and rng.random() < 0.05:
            output += 100
        time.sleep(rng.random() * 0.001)
        if rng.random() < 0.1:
            self.note(b"r", handle=handle)
            session.release(handle)
            self.note(b"L", handle=handle)
            return
        cost = tokens * INPUT + output * OUTPUT
        self.note(b"s", handle=handle, amount=cost)
        receipt = session.settle(handle, input_tokens=tokens, output_tokens=output)
        self.note(b"T", int(receipt.flags), handle, receipt.cost_nanos, receipt.overrun_nanos)

    def fork(self, budget: int) -> None:
        """The child goes on with the runtime that it has got, as another process of the home."""
        pid = os.fork()
        if pid == 0:
            code = 94
            try:
                child = Agent(self.rt, self.thread + 100)
                child.note(b"F", handle=os.getpid())
                ending.clear()
                child.open(budget)
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        if status:
            self.note(b"E", amount=status)


def main() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    before = time.monotonic_ns()
    first = Agent(None, 99)
    rt = first.patiently(lambda: bursar.open(HOME))
    first.note(b"O", amount=time.monotonic_ns() - before)
    threads = [threading.Thread(target=Agent(rt, k).run) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(0.05)  # signals are served here
    rt.close()


main()
