"""bursar.current() in generators and tasks that come and go in any order."""

import asyncio
import threading
import unittest

import bursar
from support import Case


class Current(Case):
    def test_a_generator_that_ends_inside_another_session_changes_nothing(self):
        def agent():
            with self.session() as s:
                yield s

        one = agent()
        first = next(one)
        self.assertIs(first, bursar.current())
        with self.session() as s:
            one.close()
            self.assertIs(s, bursar.current())
        self.assertIsNone(bursar.current())

    def test_a_session_that_was_closed_is_nobodys_current_one(self):
        with self.session() as outer:
            inner = self.session().__enter__()
            inner.close()
            self.assertIs(outer, bursar.current())
        self.assertIsNone(bursar.current())

    def test_one_session_in_two_threads(self):
        s, entered, left = self.session(), threading.Barrier(2), threading.Barrier(2)
        seen = []

        def work():
            s.__enter__()
            entered.wait()
            seen.append(bursar.current())
            left.wait()

        other = threading.Thread(target=work)
        other.start()
        s.__enter__()
        entered.wait()
        seen.append(bursar.current())
        left.wait()
        other.join()
        s.__exit__()
        self.assertEqual([s, s], seen)
        self.assertIsNone(bursar.current())

    def test_a_task_outlives_the_session_that_it_started_in(self):
        async def run():
            go = asyncio.Event()

            async def late():
                before = bursar.current()
                await go.wait()
                return before, bursar.current()

            async with self.session() as s:
                task = asyncio.create_task(late())
                await asyncio.sleep(0)
                async with s.child("other") as child:
                    self.assertIs(child, bursar.current())
            go.set()
            before, after = await task
            self.assertIs(s, before)
            self.assertIsNone(after)

        asyncio.run(run())


if __name__ == "__main__":
    unittest.main()
