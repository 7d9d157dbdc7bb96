"""No grant ever passes a limit: threads and tasks that start together."""

import asyncio
import random
import threading
import time
import unittest

import bursar
from support import DOLLAR, LONG, Case

LEVELS = ["/".join(f"l{i}" for i in range(n)) for n in range(1, 9)]


class HundredAtOnce(Case):
    """$0.10 a step, 20 ms long, cap $1: ten are admitted, a dollar is spent."""

    def setUp(self):
        super().setUp()
        self.dime()

    def spent(self, path):
        view = self.rt.read(path)
        self.assertEqual(0, view.reserved_nanos)
        return view.spent_nanos

    def test_threads_at_one_to_eight_levels(self):
        for path in LEVELS:
            with self.subTest(path=path):
                self.rt.budget(path, "$1")
                self.assertEqual(10, self.run_threads(path))
                self.assertEqual(DOLLAR, self.spent(path))
                self.fresh()

    def fresh(self):
        """Another tree for the next depth."""
        self.finish()
        self.rt = bursar.open()
        self.dime()

    def run_threads(self, path, count=100):
        gate, admitted, lock = threading.Barrier(count), [], threading.Lock()

        def work():
            with self.rt.session(path) as s:
                gate.wait()
                d = s.reserve("dime", input_tokens=1)
                if d:
                    time.sleep(0.02)
                    s.settle(d, input_tokens=1, output_tokens=0)
                    with lock:
                        admitted.append(d)

        threads = [threading.Thread(target=work) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return len(admitted)

    def test_tasks_at_one_to_eight_levels(self):
        for path in LEVELS:
            with self.subTest(path=path):
                self.rt.budget(path, "$1")
                self.assertEqual(10, asyncio.run(self.run_tasks(path)))
                self.assertEqual(DOLLAR, self.spent(path))
                self.fresh()

    async def run_tasks(self, path, count=100):
        async def work():
            async with self.rt.session(path) as s:
                try:
                    async with s.step("dime", input=1, max_output_tokens=0) as step:
                        await asyncio.sleep(0.02)
                        step.settle(input_tokens=1, output_tokens=0)
                        return 1
                except bursar.Refused:
                    return 0

        return sum(await asyncio.gather(*(work() for _ in range(count))))

    def test_one_session_shared_by_all(self):
        with self.rt.session("acme", "$1") as s:
            gate, admitted = threading.Barrier(100), []

            def work():
                gate.wait()
                d = s.reserve("dime", input_tokens=1)
                if d:
                    time.sleep(0.02)
                    admitted.append(s.settle(d, input_tokens=1, output_tokens=0))

            threads = [threading.Thread(target=work) for _ in range(100)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual((10, DOLLAR), (len(admitted), self.spent(s.id)))


class Hammer(Case):
    def test_every_call_from_all_threads_leaves_the_books_balanced(self):
        self.dime()
        self.rt.budget("acme", "$60")
        self.rt.budget("acme/a", "$20")
        seed, errors = random.randrange(1 << 30), []

        def work(number):
            dice = random.Random(seed + number)
            try:
                with self.rt.session(dice.choice(["acme/a", "acme/b"]), "$10") as s:
                    held = []
                    for _ in range(150 * LONG):
                        self.one(dice, s, held)
                    for d in held:
                        s.release(d)
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([], errors, f"seed {seed}")
        view = self.rt.read("acme")
        self.assertEqual(0, view.reserved_nanos, f"seed {seed}")
        overrun = self.rt.health().overrun_nanos
        self.assertLessEqual(view.spent_nanos, 60 * DOLLAR + overrun, f"seed {seed}")
        self.rt.verify()

    def one(self, dice, s, held):
        what = dice.random()
        if what < 0.5:
            d = s.reserve("dime", input_tokens=dice.randint(1, 3), min_output_tokens=0)
            if d:
                held.append(d)
        elif what < 0.8 and held:
            d = held.pop()
            s.settle(d, input_tokens=dice.randint(0, 4), output_tokens=0)
        elif what < 0.9 and held:
            s.release(held.pop())
        elif what < 0.93:
            try:
                s.charge("$0.01", "ocr")
            except bursar.Refused:
                pass
        elif what < 0.95:
            self.rt.read("acme")
        elif what < 0.96:
            self.rt.pause(s)
            self.rt.resume(s)
        elif held:
            s.stream(held[-1], 0)


if __name__ == "__main__":
    unittest.main()
