"""Homes: one set of budgets for every process, however that came to be."""

import multiprocessing
import os
import pathlib
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import unittest
import warnings

import bursar
from support import DOLLAR

PROCESSES = 4


def spend(home, path, queue):
    """In a process of its own: takes dimes until the budget is spent."""
    with bursar.open(home) as rt, rt.session(path) as s:
        taken = 0
        while True:
            try:
                s.charge("$0.10")
            except bursar.BudgetExceeded:
                break
            taken += 1
    queue.put(taken)


def spend_inherited(rt, path, queue):
    """In a child of fork, with its parent's runtime."""
    with rt.session(path) as s:
        taken = 0
        while True:
            try:
                s.charge("$0.10")
            except bursar.BudgetExceeded:
                break
            taken += 1
    queue.put(taken)


class Home(unittest.TestCase):
    def setUp(self):
        # Python 3.12 on warns of what is tested here: forks of processes with threads.
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        self.folder = tempfile.mkdtemp(prefix="bursar-test-")
        self.shm = tempfile.mkdtemp(prefix="bursar-test-", dir="/dev/shm")
        self.addCleanup(shutil.rmtree, self.folder)
        self.addCleanup(shutil.rmtree, self.shm)
        self.home = os.path.join(self.folder, "home")
        self.rt = bursar.open(self.home, shm_dir=self.shm)
        self.addCleanup(self.rt.close)
        self.rt.budget("acme", "$1")

    def child(self, code, **environ):
        """What a Python program of its own prints."""
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)], env={**os.environ, **environ}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        return done.stdout.split()

    def spent(self, path="acme"):
        view = self.rt.read(path)
        return view.spent_nanos, view.reserved_nanos


class Open(Home):
    def test_the_home_is_named_as_every_process_names_it(self):
        said = self.child(
            """
            import bursar, os
            with bursar.open("~/home") as rt:
                print(rt.home, rt.read("acme").limits[0].amount, rt.home_info().processes)
            """, HOME=self.folder)
        self.assertEqual([self.home, str(DOLLAR), "2"], said)
        self.assertEqual(self.home, self.rt.home)
        with bursar.open() as private:
            self.assertIsNone(private.home)

    def test_a_home_is_named_by_any_kind_of_path_and_none_is_private(self):
        for name in (self.home.encode(), pathlib.Path(self.home)):
            with bursar.open(name) as rt:
                self.assertEqual((self.home, DOLLAR), (rt.home, rt.read("acme").limits[0].amount))
        here = os.getcwd()
        self.addCleanup(os.chdir, here)
        os.chdir(self.folder)
        for name in ("", b"", None):
            with bursar.open(name) as rt:
                self.assertIsNone(rt.home)
        self.assertEqual(["home"], os.listdir("."))
        odd = os.fsencode(self.folder) + b"/\xe9"
        with bursar.open(odd, shm_dir=self.shm.encode()) as rt:
            self.assertEqual(odd, os.fsencode(rt.home))
            self.assertTrue(rt.home_info().segment_path.startswith(self.shm))

    def test_with_existing_no_home_is_made(self):
        path = os.path.join(self.folder, "other")
        with self.assertRaises(bursar.HomeError):
            bursar.open(path, existing=True)
        self.assertFalse(os.path.exists(path))
        bursar.open(self.home, existing=True).close()

    def test_a_home_that_goes_away_is_told_by_the_event_and_by_every_call(self):
        heard = queue.Queue()
        self.rt.on_event(lambda event: event.type == bursar.EventType.HOME and heard.put(event))
        s = self.rt.session("acme")
        step = s.reserve("gpt-4o", input_tokens=1)
        segment = self.rt.home_info().segment_path
        os.rename(segment, segment + ".away")
        self.assertIn("is gone", heard.get(timeout=20).text)
        for call in (lambda: s.reserve("gpt-4o", input_tokens=1), lambda: s.charge("$0.10"),
                     s.environ, lambda: self.rt.kill("acme"), lambda: self.rt.budget("acme/new")):
            with self.assertRaises(bursar.HomeError) as caught:
                call()
            self.assertIn(segment, str(caught.exception))
            self.assertEqual(bursar.Status.E_HOME, caught.exception.code)
        s.settle(step, input_tokens=1, output_tokens=0)
        os.rename(segment + ".away", segment)

    def test_it_says_what_home_it_has(self):
        with bursar.open(self.home, name="second") as second:
            info = second.home_info()
            self.assertEqual(os.path.realpath(self.home), info.path)
            self.assertTrue(info.segment_path.startswith(self.shm))
            self.assertEqual(1, info.processes)  # two runtimes of one process
            self.assertEqual([os.getpid()], [process.pid for process in second.processes()])
        with bursar.open() as private:
            self.assertEqual(0, private.home_info().flags)

    def test_a_home_that_cannot_be_used_is_refused_with_a_sentence_or_replaced_by_nothing(self):
        path = os.path.join(self.folder, "file")
        with open(path, "w"):
            pass
        with self.assertRaises(bursar.HomeError) as caught:
            bursar.open(path)
        self.assertIn(path, str(caught.exception))
        with bursar.open(path, on_unavailable="private") as rt:
            self.assertEqual((0, None), (rt.home_info().flags, rt.home))
            with rt.session("acme", "$1") as s, self.assertRaises(bursar.BudgetExceeded):
                s.charge("$2")
        with bursar.open(path, on_unavailable="allow") as rt:
            with rt.session("acme", "$1") as s:
                s.charge("$2")

    def test_an_agent_cannot_raise(self):
        with bursar.open(self.home, role="agent") as rt:
            for call in (lambda: rt.limits_set("acme", "$9"), lambda: rt.top_up("acme", "$9"),
                         lambda: rt.revive("acme"), lambda: rt.remove("acme"),
                         lambda: rt.budget("acme/observed", observe=True)):
                with self.assertRaises(bursar.RoleError):
                    call()
            rt.kill("acme")
        self.rt.revive("acme")


class Shared(Home):
    def test_processes_of_every_start_method_spend_one_budget(self):
        for method in multiprocessing.get_all_start_methods():
            with self.subTest(method):
                context = multiprocessing.get_context(method)
                path, queue = f"acme/{method}", context.Queue()
                self.rt.budget(path, "$0.30")
                children = [context.Process(target=spend, args=(self.home, path, queue))
                            for _ in range(PROCESSES)]
                for child in children:
                    child.start()
                taken = [queue.get(timeout=60) for _ in children]
                for child in children:
                    child.join(60)
                self.assertEqual(3, sum(taken), taken)
                self.assertEqual((3 * DOLLAR // 10, 0), self.spent(path))

    def test_children_of_fork_go_on_with_their_parents_runtime(self):
        stop = threading.Event()

        def busy():
            with self.rt.session("acme") as s:
                while not stop.is_set():
                    s.release(s.reserve("gpt-4o", input_tokens=1))

        threads = [threading.Thread(target=busy) for _ in range(2)]
        for thread in threads:
            thread.start()
        context = multiprocessing.get_context("fork")
        queue = context.Queue()
        self.rt.budget("acme/forked", "$0.50")
        children = [context.Process(target=spend_inherited, args=(self.rt, "acme/forked", queue))
                    for _ in range(PROCESSES)]
        for child in children:
            child.start()
        taken = [queue.get(timeout=60) for _ in children]
        stop.set()
        for thread in children + threads:
            thread.join(60)
        self.assertEqual(5, sum(taken), taken)
        self.assertEqual((DOLLAR // 2, 0), self.spent("acme/forked"))

    def test_a_child_of_fork_neither_closes_nor_loses_its_parents_sessions(self):
        with self.rt.session("acme") as s:
            with self.rt.session("acme") as inner:
                pid = os.fork()
                if pid == 0:
                    code = 1
                    try:
                        inner.charge("$0.10")
                        inner.__exit__(None, None, None)
                        s.__exit__(None, None, None)
                        code = 0
                    finally:
                        os._exit(code)
                self.assertEqual((pid, 0), os.waitpid(pid, 0))
                inner.charge("$0.10")
            s.charge("$0.10")
        self.assertEqual(3 * DOLLAR // 10, self.spent()[0])

    def test_a_child_of_fork_hears_events_once_it_asks_for_them(self):
        self.rt.on_event(lambda event: None)
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            heard = threading.Event()
            self.rt.on_event(lambda event: event.type == bursar.EventType.KILL and heard.set())
            os.write(writer, b"!")
            os._exit(0 if heard.wait(20) else 1)
        os.read(reader, 1)
        self.rt.kill("acme", reason="enough")
        self.assertEqual((pid, 0), os.waitpid(pid, 0))
        self.rt.revive("acme")
        os.close(reader)
        os.close(writer)

    def test_what_the_dead_held_is_settled_at_an_estimate_by_who_lives(self):
        pid = os.fork()
        if pid == 0:
            s = self.rt.session("acme")
            s.reserve("gpt-4o", input_tokens=1_000, max_output_tokens=100)
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
        deadline = time.monotonic() + 10
        while self.spent()[1] and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertEqual((1_000 * 2_500 + 100 * 10_000, 0), self.spent())
        self.rt.verify()

    def test_a_kill_reaches_the_callback_of_another_process(self):
        code = """
            import bursar, sys, threading
            heard = threading.Event()
            with bursar.open(sys.argv[1]) as rt:
                rt.on_event(lambda e: e.type == bursar.EventType.KILL and heard.set())
                print("ready", flush=True)
                print(heard.wait(20))
        """
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), self.home], stdout=subprocess.PIPE, text=True)
        with child.stdout:
            self.assertEqual("ready\n", child.stdout.readline())
            self.rt.kill("acme")
            self.assertEqual("True\n", child.stdout.readline())
        child.wait()
        self.rt.revive("acme")


class Attach(Home):
    SUB_AGENT = """
        import bursar, os
        with bursar.attach(os.environ) as s:
            s.charge("$0.25")
            assert bursar.attach(os.environ).runtime is s.runtime
            print(s.id, s.path)
    """

    def test_a_sub_agent_spends_its_parents_session(self):
        with self.rt.session("acme/support", "$0.40") as s:
            said = self.child(self.SUB_AGENT, **s.environ())
            self.assertEqual([str(s.id), "acme/support"], said)
            self.assertEqual(DOLLAR // 4, s.read().spent_nanos)
            with self.assertRaises(bursar.BudgetExceeded):  # it is still open, with its limits
                s.charge("$0.25")
            s.charge("$0.15")

    def test_a_sub_agent_is_an_agent_unless_it_says_otherwise(self):
        code = """
            import bursar, os
            s = bursar.attach(os.environ)
            try:
                s.runtime.limits_set(s, "$9")
            except bursar.RoleError:
                print("refused")
            bursar.attach(os.environ, role="operator").runtime.limits_set(s, "$9")
        """
        with self.rt.session("acme/support", "$0.40") as s:
            self.assertEqual(["refused"], self.child(code, **s.environ()))
            self.assertEqual(9 * DOLLAR, s.read().limits[0].amount)

    def test_attaching_makes_no_home(self):
        path = os.path.join(self.folder, "other")
        with self.assertRaises(bursar.HomeError):
            bursar.attach({"BURSAR_HOME": path, "BURSAR_SESSION": "0000000300000007"})
        self.assertFalse(os.path.exists(path))

    def test_the_environment_has_the_home_as_it_is_written(self):
        home = os.path.join(self.folder, "a=\u2028b\x85c")
        with bursar.open(home, shm_dir=self.shm) as rt, rt.session("acme", "$1") as s:
            self.assertEqual(os.path.realpath(home), s.environ()["BURSAR_HOME"])
            self.assertEqual({"BURSAR_HOME", "BURSAR_SESSION"}, set(s.environ()))

    def test_a_session_that_was_handed_over_outlives_its_opener(self):
        code = """
            import bursar, os, sys
            rt = bursar.open(sys.argv[1])
            s, lost = rt.session("acme"), rt.session("acme")
            print(s.environ()["BURSAR_SESSION"], lost.id, flush=True)
            os.kill(os.getpid(), 9)
        """
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), self.home], stdout=subprocess.PIPE, text=True)
        with child.stdout:
            handed, lost = child.stdout.readline().split()
        child.wait()
        deadline = time.monotonic() + 10
        while len(self.rt.children("acme")) > 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertEqual([int(handed, 16)], self.rt.children("acme"))
        s = self.rt.attach(handed)
        s.charge("$0.10")
        with self.assertRaises(bursar.BursarError):
            self.rt.attach(f"{int(lost):016x}")
        s.close()
        with self.assertRaises(bursar.BursarError):
            self.rt.attach(handed)

    def test_what_is_no_session_is_told(self):
        for text in ("", "7", "x" * 16, "0" * 16, "7fffffffffffffff", "F" * 16):
            with self.assertRaises((bursar.InvalidArgumentError, bursar.NotFoundError)):
                self.rt.attach(text)
        with self.assertRaises(bursar.InvalidArgumentError):
            self.rt.attach(f"{self.rt.budget('acme', '$1'):016x}")
        with self.assertRaises(bursar.NotFoundError) as caught:
            bursar.attach({"BURSAR_HOME": self.home})
        self.assertIn("BURSAR_SESSION is not set", str(caught.exception))
        self.assertEqual(bursar.Status.E_NOT_FOUND, caught.exception.code)
        with bursar.open() as private, private.session("acme", "$1") as s:
            with self.assertRaises(bursar.UnsupportedError):
                s.environ()


APPLICATION = """
import os, bursar

rt = bursar.open(os.environ["TEST_HOME"])  # before the fork: gunicorn --preload

def application(environ, start):
    with rt.session("acme/web") as s:
        try:
            s.charge("$0.10")
            status = "200 OK"
        except bursar.BudgetExceeded:
            status = "402 Payment Required"
    start(status, [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


class Gunicorn(Home):
    def test_workers_that_were_forked_after_loading_share_one_budget(self):
        try:
            import gunicorn  # noqa: F401
        except ImportError:
            self.skipTest("gunicorn is not installed")
        import urllib.error
        import urllib.request

        with open(os.path.join(self.folder, "application.py"), "w") as file:
            file.write(APPLICATION)
        server = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "--preload", "--workers", "2", "--bind", "127.0.0.1:0",
             "--chdir", self.folder, "--worker-tmp-dir", self.folder, "application:application"],
            env={**os.environ, "TEST_HOME": self.home}, stderr=subprocess.PIPE, text=True)
        self.addCleanup(server.stderr.close)
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        address = None
        for line in server.stderr:
            if "Listening at: " in line:
                address = line.split("Listening at: ")[1].split()[0]
                break
        self.assertIsNotNone(address)
        answers, workers = [], set()
        deadline = time.monotonic() + 60
        while (len(answers) < 30 or len(workers) < 2) and time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(address, timeout=10) as reply:
                    answers.append(reply.status)
                    workers.add(reply.read())
            except urllib.error.HTTPError as error:
                answers.append(error.code)
                workers.add(error.read())
        self.assertEqual(10, answers.count(200), answers)
        self.assertEqual({200, 402}, set(answers))
        self.assertEqual(2, len(workers))
        self.assertEqual((DOLLAR, 0), self.spent())


if __name__ == "__main__":
    unittest.main()
