"""`python -m bursar run`: what a script sees is what Python alone would show it; and what it, its
children and their children spend together is held to the limits."""

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import unittest

import bursar

try:
    import openai
except ImportError:
    openai = None

from stub_server import Stub

SOURCES = os.path.dirname(os.path.dirname(os.path.abspath(bursar.__file__)))
RUN = [sys.executable, "-m", "bursar", "run"]
IN_NANOS, OUT_NANOS = 2_500, 10_000  # gpt-4o's prices, which every process knows
LOOK = """
import os, sys
print(sys.argv, __name__, __doc__, globals().get("__file__"), __package__, __spec__ and
      __spec__.name, repr(sys.path[0]), sorted(k for k in globals() if k.startswith("__")),
      __import__("__main__").__dict__ is globals())
"""


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = os.path.realpath(folder.name)
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("BURSAR_")},
            "HOME": self.folder, "TMPDIR": self.folder, "BURSAR_LIBRARY": os.environ.get(
                "BURSAR_LIBRARY", ""), "PYTHONFAULTHANDLER": "", "PYTHONWARNINGS": "ignore",
            "PYTHONPATH": SOURCES,
        }  # fmt: skip

    def file(self, name, text):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(textwrap.dedent(text))
        return path

    def start(self, command, **more):
        return subprocess.run(
            command, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=120,
            **{"input": "", **more})

    def left(self):
        """Homes of runs that are still there."""
        return [name for name in os.listdir(self.folder) if name.startswith("bursar-run-")]


class AsPython(Folder):
    def same(self, *program, **more):
        plain = self.start([sys.executable, *program], **more)
        run = self.start([*RUN, "--limits", "$1", *program], **more)
        self.assertEqual(plain.stdout, run.stdout)
        self.assertEqual(plain.stderr, run.stderr)
        self.assertEqual(plain.returncode, run.returncode)
        return run

    def test_what_a_program_sees(self):
        self.file("script.py", f'"""Says what it sees."""\n{LOOK}')
        self.file("inside/script.py", LOOK)
        self.file("package/__init__.py", "")
        self.file("package/__main__.py", LOOK)
        self.file("package/module.py", LOOK)
        os.symlink("inside/script.py", os.path.join(self.folder, "link.py"))
        for program in (["script.py"], ["script.py", "--limits", "x"], ["inside/script.py", "-m"],
                        ["link.py"], ["package", "a"], ["-m", "package", "a", "-v"],
                        ["-m", "package.module"], ["-c", LOOK, "a", "--home"], ["./script.py"],
                        [os.path.join(self.folder, "script.py")]):  # fmt: skip
            with self.subTest(program[:2]):
                self.assertIn("__main__", self.same(*program).stdout)
        with self.subTest("-"):
            self.assertIn("'-', 'a'", self.same("-", "a", input=LOOK).stdout)

    def test_how_a_program_ends(self):
        for name, text in {
            "good": "print('x')", "number": "import sys; sys.exit(7)", "none": "raise SystemExit",
            "text": "import sys; sys.exit('sorry')", "error": "def f():\n  1 / 0\nf()",
            "cause": "try:\n  1 / 0\nexcept Exception as e:\n  raise KeyError('k') from e",
            "syntax": "x = = 1",
            "hook": "import sys\nsys.excepthook = lambda *e: print(e[0])\n1 / 0",
            "atexit": "import atexit, sys\natexit.register(print, 'bye')\nsys.exit(3)",
            "thread": "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.2), "
                      "print('late'))).start()\nprint('early')",
            "os": "import os; os._exit(9)",
        }.items():  # fmt: skip
            with self.subTest(name):
                self.same(self.file(f"{name}.py", text))
        [home] = self.left()  # os._exit's
        with bursar.open(os.path.join(self.folder, home)) as runtime:
            os.remove(runtime.home_info().segment_path)
        with self.subTest("no such file"):
            self.same("nowhere.py")

    def test_pickles_and_pools_find_their_functions(self):
        path = self.file("pool.py", """\
            import multiprocessing, pickle

            class Thing:
                pass

            def double(x):
                return 2 * x

            if __name__ == "__main__":
                assert type(pickle.loads(pickle.dumps(Thing()))) is Thing
                for method in ("spawn", "fork"):
                    with multiprocessing.get_context(method).Pool(2) as pool:
                        print(method, pool.map(double, [1, 2, 3]))
            """)
        self.assertIn("spawn [2, 4, 6]\nfork [2, 4, 6]", self.same(path).stdout)

    def test_a_signal_ends_what_it_forks_at_once(self):
        path = self.file("fork.py", """\
            import multiprocessing, os, signal
            never = multiprocessing.Semaphore(0)
            for _ in range(300):
                child = os.fork()
                if not child:
                    never.acquire()
                os.kill(child, signal.SIGTERM)
                assert os.waitpid(child, 0)[1] == signal.SIGTERM
            print("all")
            """)
        self.assertEqual("all\n", self.same(path).stdout)

    def test_a_handler_that_raises_in_the_middle_of_a_fork_blocks_nothing(self):
        path = self.file("alarm.py", """\
            import os, signal, time

            class Alarm(Exception):
                pass

            def on(number, frame):
                raise Alarm

            signal.signal(signal.SIGALRM, on)
            end, n = time.time() + 1.5, 0
            while time.time() < end:
                n += 1
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0.00002 * (n % 40) + 0.000005)
                    if os.fork() == 0:
                        os._exit(0)
                    os.wait()
                    signal.setitimer(signal.ITIMER_REAL, 0)
                except Alarm:
                    try:
                        os.wait()
                    except ChildProcessError:
                        pass
                if signal.pthread_sigmask(signal.SIG_BLOCK, ()):
                    print("blocked")
                    break
            """)
        self.env["PYTHONWARNINGS"] = "ignore"
        run = self.start([*RUN, "--limits", "$1", path])
        self.assertEqual(("", 0), (run.stdout, run.returncode), run.stderr)

    def test_a_signal_ends_it_as_it_would_python(self):
        path = self.file("wait.py", "import time; print('ready', flush=True)\nwhile True: time.sleep(0.1)")
        # what a shell starts in the background ignores it, and so would the process
        former = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGINT, former)
        for number in (signal.SIGINT, signal.SIGTERM):
            process = subprocess.Popen([*RUN, path], cwd=self.folder, env=self.env, text=True,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            process.stdout.readline()
            process.send_signal(number)
            _, said = process.communicate(timeout=60)
            self.assertEqual((-number, []), (process.returncode, self.left()))
            if number == signal.SIGINT:
                self.assertTrue(said.endswith("KeyboardInterrupt\n"), said)

    def test_another_sitecustomize_still_runs(self):
        self.file("site/sitecustomize.py", "import os; os.environ['SITE'] = __file__")
        self.env["PYTHONPATH"] = os.pathsep.join(
            [os.path.join(self.folder, "site"), SOURCES])
        path = self.file("parent.py", """\
            import os, subprocess, sys
            code = "import os, sys, sitecustomize as s; print(os.environ['SITE'], s.__file__)"
            print(os.environ["SITE"])
            subprocess.run([sys.executable, "-c", code], check=True)
            """)
        self.assertEqual(3, self.same(path).stdout.count("/site/sitecustomize.py"))

    def test_nothing_is_left(self):
        look = """\
            import os
            print(os.environ["BURSAR_HOME"])
            with open(os.environ["BURSAR_HOME"] + "/home") as home:
                print(next(line.split()[1] for line in home if line.startswith("segment ")))
            """
        for end in ("", "1/0\n"):
            done = self.start([*RUN, self.file("look.py", textwrap.dedent(look) + end)])
            paths = done.stdout.split()
            self.assertEqual(2, len(paths), done.stderr)
            self.assertEqual([], [path for path in paths if os.path.exists(path)])
        self.assertEqual([], self.left())

    def test_what_cannot_be_run_says_why(self):
        path = self.file("good.py", "print('ran')")
        done = self.start([*RUN, "--limits", "five dollars", path])
        self.assertEqual((125, ""), (done.returncode, done.stdout))
        self.assertIn("bursar run: not run: ", done.stderr)
        self.assertEqual(2, self.start([*RUN, "--limits", "$5"]).returncode)
        self.assertEqual(2, self.start([*RUN, "--lim", "$5", path]).returncode)
        self.assertIn("--max-output-tokens", self.start([*RUN, "--help"]).stdout)
        self.assertEqual([], self.left())


AGENT = """\
import os, subprocess, sys, openai
client = openai.OpenAI(base_url=os.environ["STUB"], api_key="k", max_retries=0)

def agent(calls=1_000):
    for _ in range(calls):
        client.chat.completions.create(model="gpt-4o", max_tokens=200,
                                       messages=[{"role": "user", "content": "hello"}])
"""


@unittest.skipIf(openai is None, "the openai package is not installed")
class UnderABudget(Folder):
    def setUp(self):
        super().setUp()
        self.stub = Stub()
        self.addCleanup(self.stub.close)
        self.env["STUB"] = self.stub.url

    def billed(self):
        return sum(i * IN_NANOS + o * OUT_NANOS for _, i, o in self.stub.billed)

    def test_a_script_that_loops_ends_at_its_limit(self):
        path = self.file("loop.py", AGENT + "agent()\n")
        self.stub.plan = [{"output": 180}] * 1_000
        done = self.start([*RUN, "--limits", "$0.05", path])
        self.assertEqual(123, done.returncode, done.stderr)
        last = done.stderr.strip().split("\n")[-1]
        self.assertTrue(last.startswith("bursar run: stopped: "), last)
        self.assertIn("left of $0.05", last)
        self.assertIn("BudgetExceeded", done.stderr)
        self.assertTrue(45_000_000 < self.billed() <= 50_000_000, self.billed())
        self.assertEqual([], self.left())

    def test_so_does_one_that_is_all_processes(self):
        path = self.file("many.py", AGENT + textwrap.dedent("""\
            import multiprocessing

            def careful(_=None):
                try:
                    agent()
                except Exception as error:
                    return type(error).__name__

            if __name__ == "__main__":
                if sys.argv[1:]:
                    print(careful())
                else:
                    command = [sys.executable, __file__, "child"]
                    several = [subprocess.Popen(command) for _ in range(2)]
                    pools = [multiprocessing.get_context(m).Pool(2) for m in ("spawn", "fork")]
                    found = [pool.map_async(careful, range(2)) for pool in pools]
                    print(careful())
                    for pool, result in zip(pools, found):
                        print(*result.get())
                        pool.close()
                        pool.join()
                    print([child.wait() for child in several])
            """))
        self.stub.plan = [{"output": 180}] * 1_000
        done = self.start([*RUN, "--limits", "$0.05", path])
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        self.assertEqual(7, done.stdout.count("BudgetExceeded"), done.stdout)
        self.assertTrue(45_000_000 < self.billed() <= 50_000_000, self.billed())
        self.assertEqual([], self.left())

    def test_one_home_for_several_runs(self):
        home = os.path.join(self.folder, "home")
        with bursar.open(home) as rt:
            rt.budget("team", "$0.05")
            path = self.file("loop.py", AGENT + "agent()\n")
            self.stub.plan = [{"output": 180}] * 1_000
            runs = [subprocess.Popen(
                [*RUN, "--home", home, "--path", "team/scripts", "--label", "customer=hooli", path],
                env=self.env, stderr=subprocess.PIPE, text=True) for _ in range(3)]
            said = [run.communicate(timeout=120)[1] for run in runs]
            self.assertEqual([123] * 3, [run.returncode for run in runs], said)
            self.assertTrue(45_000_000 < self.billed() <= 50_000_000, self.billed())
            self.assertEqual(self.billed(), rt.read("team").spent_nanos)
            rows = rt.query("SELECT customer, agent, sum(cost_nanos) AS nanos FROM v_steps")
            self.assertEqual([("hooli", "loop.py", self.billed())],
                             [tuple(row.values()) for row in rows])
            segment = rt.home_info().segment_path
        os.remove(segment)

    def test_it_joins_the_run_that_it_is_in(self):
        path = self.file("loop.py", AGENT + "agent()\n")
        outer = self.file("outer.py", f"""\
            import subprocess, sys
            done = subprocess.run([sys.executable, "-m", "bursar", "run", {path!r}])
            print(done.returncode)
            """)
        self.stub.plan = [{"output": 180}] * 1_000
        done = self.start([*RUN, "--limits", "$0.02", outer])
        self.assertEqual((0, "123\n"), (done.returncode, done.stdout), done.stderr)
        self.assertTrue(15_000_000 < self.billed() <= 20_000_000, self.billed())

    def test_why_it_was_stopped(self):
        path = self.file("loop.py", AGENT + "import time\nwhile True: agent(1); time.sleep(0.05)\n")
        done = self.start([*RUN, "--limits", "1s wall", path])
        self.assertEqual(124, done.returncode, done.stderr)
        killing = self.file("kill.py", AGENT + textwrap.dedent("""\
            import bursar
            agent(1)
            s = bursar.attach(os.environ, role="operator")
            s.runtime.kill(s, reason="enough")
            agent(1)
            """))
        done = self.start([*RUN, "--limits", "$1", killing])
        self.assertEqual(122, done.returncode, done.stderr)
        self.assertIn("enough", done.stderr.split("\n")[-2])

    def test_one_that_bears_a_refusal_ends_as_it_likes(self):
        path = self.file("careful.py", AGENT + textwrap.dedent("""\
            import bursar
            try:
                agent()
            except bursar.Refused as error:
                print(error.decision.reason.name)
            """))
        done = self.start([*RUN, "--limits", "3 steps", path])
        self.assertEqual((0, "LIMIT\n", ""), (done.returncode, done.stdout, done.stderr))
        done = self.start([*RUN, "--limits", "3 steps", "-c", AGENT + textwrap.dedent("""\
            try:
                agent()
            except Exception:
                sys.exit(5)
            """)])
        self.assertEqual(123, done.returncode)

    def test_a_model_without_a_price_is_not_free(self):
        path = self.file("other.py", AGENT.replace("gpt-4o", "no-such-model") + "agent()\n")
        done = self.start([*RUN, "--limits", "$1", path])
        self.assertEqual((123, []), (done.returncode, self.stub.billed))
        self.assertIn("price", done.stderr.split("\n")[-2])


if __name__ == "__main__":
    unittest.main()
