"""Events by callback and by `async for`; closing never hangs."""

import asyncio
import os
import queue
import threading
import time
import unittest
from unittest import mock

from bursar import EventType, Status
from bursar.events import Dispatcher
from support import Case


class Failing(unittest.TestCase):
    def test_a_poll_that_fails_does_not_end_the_events(self):
        reader, writer = os.pipe()
        answers = [Status.E_HOME, Status.OK]

        class Library:
            @property
            def call(self):
                return self

            def bursar_events_fd(self, handle, fd):
                fd._obj.value = reader
                return Status.OK

            def bursar_events_poll(self, handle, batch, capacity, count):
                status = answers.pop(0) if answers else Status.E_CLOSED
                if status == Status.OK:
                    batch[0].type, count._obj.value = EventType.KILL, 1
                    os.read(reader, 1)
                return status

        seen = queue.Queue()
        os.write(writer, b"!")
        with mock.patch("bursar.events._abi.library", Library), \
                mock.patch("bursar.events._RETRY_MS", 1):
            dispatcher = Dispatcher(1)
            dispatcher.set_callback(seen.put)
            self.assertEqual(EventType.KILL, seen.get(timeout=20).type)
            os.write(writer, b"!")  # now it is closed
            dispatcher._thread.join(20)
            self.assertFalse(dispatcher._thread.is_alive())
            dispatcher.close()
        os.close(reader)
        os.close(writer)


class Callback(Case):
    def collect(self):
        seen, arrived = [], threading.Event()

        def callback(event):
            seen.append((event, threading.current_thread().name))
            arrived.set()

        self.rt.on_event(callback)
        return seen, arrived

    def test_it_runs_on_a_python_thread_with_who_and_why(self):
        seen, arrived = self.collect()
        self.rt.budget("acme", "$1")
        self.rt.kill("acme", reason="runaway")
        self.assertTrue(arrived.wait(10))
        event, thread = seen[0]
        self.assertEqual((EventType.KILL, "acme", "runaway"), (event.type, event.path, event.text))
        self.assertEqual("bursar-events", thread)
        self.assertLess(abs(event.unix_ns / 1e9 - time.time()), 60)

    def test_thresholds_are_told(self):
        seen, arrived = self.collect()
        self.dime()
        s = self.session("$1 alert 50%")
        for _ in range(6):
            s.settle(s.reserve("dime", input_tokens=1), input_tokens=1, output_tokens=0)
        self.assertTrue(arrived.wait(10))
        event = seen[0][0]
        self.assertEqual((EventType.THRESHOLD, 50), (event.type, event.percent))

    def test_one_that_raises_is_reported_and_the_next_event_still_comes(self):
        said, arrived = [], threading.Event()
        hook, threading.excepthook = threading.excepthook, lambda args: said.append(args.exc_type)
        self.addCleanup(setattr, threading, "excepthook", hook)

        def callback(event):
            if event.type == EventType.KILL:
                raise KeyError("in the callback")
            arrived.set()

        self.rt.on_event(callback)
        self.rt.budget("acme", "$1")
        self.rt.kill("acme")
        self.rt.revive("acme")
        self.assertTrue(arrived.wait(10))
        self.assertEqual([KeyError], said)

    def test_it_may_call_back_and_close(self):
        done = threading.Event()

        def callback(event):
            self.rt.read("acme")
            self.rt.close()
            done.set()

        self.rt.on_event(callback)
        self.rt.budget("acme", "$1")
        self.rt.kill("acme")
        self.assertTrue(done.wait(10))
        self.assertTrue(self.rt.closed)

    def test_closing_does_not_wait_for_one_that_hangs(self):
        entered, gate = threading.Event(), threading.Event()
        self.addCleanup(gate.set)

        def callback(event):
            entered.set()
            gate.wait(60)

        self.rt.on_event(callback)
        self.rt.budget("acme", "$1")
        self.rt.kill("acme")
        self.assertTrue(entered.wait(10))
        closer = threading.Thread(target=self.rt.close)
        closer.start()
        closer.join(10)
        self.assertFalse(closer.is_alive())

    def test_none_removes_it(self):
        seen, arrived = self.collect()
        self.rt.budget("acme", "$1")
        self.rt.kill("acme")
        self.assertTrue(arrived.wait(10))
        self.rt.on_event(None)
        count = len(seen)
        self.rt.revive("acme")
        self.rt.close()
        self.assertEqual(count, len(seen))


class Stream(Case):
    def test_many_listeners_each_get_every_event_until_close(self):
        async def listen(events):
            return [event.type async for event in events]

        async def run():
            tasks = [asyncio.ensure_future(listen(self.rt.events())) for _ in range(3)]
            await asyncio.sleep(0)
            self.rt.budget("acme", "$1")
            await asyncio.get_running_loop().run_in_executor(None, self.act)
            await asyncio.get_running_loop().run_in_executor(None, self.rt.close)
            return await asyncio.wait_for(asyncio.gather(*tasks), 10)

        all_seen = asyncio.run(run())
        self.assertEqual(1, len({tuple(seen) for seen in all_seen}))
        self.assertEqual([EventType.KILL, EventType.REVIVE], all_seen[0])

    def act(self):
        told, count = threading.Event(), []

        def callback(event):
            count.append(event)
            if len(count) == 2:
                told.set()

        self.rt.on_event(callback)
        self.rt.kill("acme", reason="a")
        self.rt.revive("acme")
        self.assertTrue(told.wait(10))

    def test_a_loop_that_is_gone_disturbs_nobody(self):
        async def leave():
            return self.rt.events()

        stream = asyncio.run(leave())
        arrived = threading.Event()
        self.rt.on_event(lambda event: arrived.set())
        self.rt.budget("acme", "$1")
        self.rt.kill("acme")
        self.assertTrue(arrived.wait(10))
        del stream


if __name__ == "__main__":
    unittest.main()
