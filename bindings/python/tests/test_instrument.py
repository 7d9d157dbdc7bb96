"""bursar.instrument(): clients, threads, tasks and forks that know nothing of Bursar."""

import asyncio
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import unittest
import warnings
from concurrent.futures import ThreadPoolExecutor

import bursar
from support import Case

try:
    import openai
except ImportError:
    openai = None

from stub_server import INPUT, OUTPUT, Stub

COST = INPUT * 1_000 + OUTPUT * 10_000
ASK = {"model": "big", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 50}


class Instrumented(Case):
    def setUp(self):
        super().setUp()
        self.stub = Stub()
        self.addCleanup(self.stub.close)
        self.rt.price("big", input="$1/M", output="$10/M")
        self.s = self.session("$1", path="acme/demo")
        self.addCleanup(bursar.uninstrument)

    def client(self, kind="OpenAI", **options):
        client = getattr(openai, kind)(
            base_url=self.stub.url, api_key="k", **{"max_retries": 0, **options})
        if kind == "OpenAI":
            self.addCleanup(client.close)
        return client

    def ask(self, client, **more):
        return client.chat.completions.create(**{**ASK, **more})

    def steps(self, session=None):
        """How many steps were paid for, each at the same price."""
        view = (session or self.s).read()
        self.assertEqual(0, view.reserved_nanos)
        self.assertEqual(0, view.spent_nanos % COST)
        return view.spent_nanos // COST


@unittest.skipIf(openai is None, "the openai package is not installed")
class Clients(Instrumented):
    def test_a_client_that_was_there_before_is_metered(self):
        client = self.client()
        bursar.instrument(self.s)
        self.ask(client)
        list(self.ask(client, stream=True))
        self.assertEqual(2, self.steps())

    def test_the_entered_session_goes_first(self):
        bursar.instrument(self.s)
        client = self.client()
        with self.session("$1", path="acme/other") as other:
            self.ask(client)
            with other.child("helper") as child:
                self.ask(client)
                self.assertEqual(1, self.steps(child))
            self.assertEqual(2, self.steps(other))
        self.ask(client)
        self.assertEqual(1, self.steps())

    def test_without_a_session_requests_pass(self):
        bursar.instrument()
        self.ask(self.client())
        self.assertEqual(1, len(self.stub.billed))

    def test_a_wrapped_client_is_not_counted_twice(self):
        bursar.instrument(self.s)
        client = self.s.wrap(self.client())
        self.ask(client)
        with self.session("$1", path="acme/other") as other:
            self.ask(client)
            self.assertEqual(0, self.steps(other))
        self.assertEqual(2, self.steps())
        self.assertEqual(2, len(self.stub.billed))

    def test_refusals(self):
        bursar.instrument(self.session("$0.00001", path="acme/poor"))
        with self.assertRaises(bursar.BudgetExceeded):
            self.ask(self.client(max_retries=3))
        bursar.instrument(self.session("$0.00001", path="acme/poor"), refuse="error")
        with self.assertRaises(openai.APIStatusError) as caught:
            self.ask(self.client(max_retries=3))
        self.assertIn("left of $0.00001", str(caught.exception))
        self.assertEqual("BudgetExceeded", caught.exception.response.headers["x-bursar-refused"])

        async def work():
            async with self.client("AsyncOpenAI") as client:
                with self.assertRaises(openai.APIStatusError):
                    await self.ask(client)
                bursar.instrument(self.session("$0.00001", path="acme/poor"))
                with self.assertRaises(bursar.BudgetExceeded):
                    await self.ask(client)

        asyncio.run(work())
        with self.assertRaises(bursar.InvalidArgumentError):
            bursar.instrument(refuse="never")
        self.assertEqual([], self.stub.requests)

    def test_everything_is_put_back(self):
        module = sys.modules.get("httpx2") or sys.modules["httpx"]
        base = sys.modules["openai._base_client"]

        def found():
            return [
                *(vars(kind)["send"] for kind in (module.Client, module.AsyncClient)),
                *(vars(kind)["request"] for kind in (base.SyncAPIClient, base.AsyncAPIClient)),
                vars(threading.Thread)["start"], vars(ThreadPoolExecutor)["submit"],
                list(sys.meta_path),
            ]

        before = found()
        for _ in range(2):
            bursar.instrument(self.s)
            bursar.instrument(self.s)
            self.assertFalse(any(a is b for a, b in zip(before[:-1], found())))
            bursar.uninstrument()
            bursar.uninstrument()
            self.assertEqual(before, found())
        self.ask(self.client())
        self.assertEqual(0, self.steps())

    def test_other_patches_stay_in_force(self):
        module = sys.modules.get("httpx2") or sys.modules["httpx"]
        seen = []

        def patched(name):
            original = module.Client.send

            def send(*arguments, **more):
                seen.append(name)
                return original(*arguments, **more)

            module.Client.send = send
            return original

        plain = patched("before")
        try:
            bursar.instrument(self.s)
            patched("after")
            self.ask(self.client())
            self.assertEqual((["after", "before"], 1), (seen, self.steps()))
            bursar.uninstrument()
            self.ask(self.client())
            self.assertEqual((["after", "before"] * 2, 1), (seen, self.steps()))
        finally:
            module.Client.send = plain

    def test_what_cannot_be_metered_is_said_once(self):
        bursar.instrument(self.s)
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            for _ in range(2):
                self.client().images.generate(model="big", prompt="a cat")
        said = [str(w.message) for w in seen if w.category is bursar.BursarWarning]
        self.assertEqual(1, len(said))
        self.assertIn("images", said[0])

    def test_a_body_that_cannot_be_read_is_not_sent(self):
        module = sys.modules.get("httpx2") or sys.modules["httpx"]
        bursar.instrument(self.s)
        with module.Client() as client, self.assertRaises(bursar.UnsupportedError):
            client.post(self.stub.url + "/chat/completions", content=b'{"model": "big",')
        self.assertEqual([], self.stub.requests)


@unittest.skipIf(openai is None, "the openai package is not installed")
class Threads(Instrumented):
    def test_threads_and_pools_are_in_the_session_that_starts_them(self):
        bursar.instrument()
        client = self.client()

        class Agent(threading.Thread):
            def run(this):
                self.ask(client)

        with self.s:
            with ThreadPoolExecutor(3) as pool:
                list(pool.map(lambda _: self.ask(client), range(5)))
                threads = [Agent(), threading.Thread(target=self.ask, args=(client,)),
                           threading.Timer(0.01, self.ask, (client,))]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            self.assertEqual(8, self.steps())
        self.assertEqual(8, len(self.stub.billed))

    def test_a_pool_is_in_the_session_of_each_call(self):
        bursar.instrument()
        client, other = self.client(), self.session("$1", path="acme/other")
        with ThreadPoolExecutor(1) as pool:
            with self.s:
                pool.submit(self.ask, client).result()
                self.assertEqual(1, self.steps())
            with other:
                pool.submit(self.ask, client).result()
                self.assertEqual(1, self.steps(other))
            self.assertIsNone(pool.submit(bursar.current).result())

    def test_tasks_and_what_they_hand_to_threads(self):
        bursar.instrument()
        client = self.client()

        async def agent():
            async with self.client("AsyncOpenAI") as inner:
                await asyncio.gather(*(self.ask(inner) for _ in range(3)))
            await asyncio.get_running_loop().run_in_executor(None, self.ask, client)

        async def work():
            async with self.s:
                await asyncio.create_task(agent())
                self.assertEqual(4, self.steps())

        asyncio.run(work())


@unittest.skipIf(openai is None, "the openai package is not installed")
class Forks(Case):
    def setUp(self):
        super().setUp()
        self.stub = Stub()
        self.addCleanup(self.stub.close)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.home = bursar.open(os.path.join(folder.name, "home"))
        self.addCleanup(os.remove, self.home.home_info().segment_path)
        self.addCleanup(self.home.close)
        self.home.budget("acme", "$10")
        self.home.price("gpt-4o", input="$1/M", output="$10/M")
        self.s = self.home.session("acme/forks", "$1")
        self.addCleanup(self.s.close)
        self.addCleanup(bursar.uninstrument)

    def fork(self, work):
        child = os.fork()
        if child == 0:
            code = 70
            try:
                work()
                code = 0
            except BaseException as error:
                code = 71 if isinstance(error, bursar.ForkedError) else 72
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) if hasattr(
            os, "waitstatus_to_exitcode") else os.waitpid(child, 0)[1] >> 8  # fmt: skip

    def ask(self):
        with openai.OpenAI(base_url=self.stub.url, api_key="k", max_retries=0) as client:
            client.chat.completions.create(**{**ASK, "model": "gpt-4o"})

    def test_a_child_spends_from_the_same_budget(self):
        bursar.instrument(self.s)
        self.ask()
        before = self.s.read().spent_nanos
        self.assertEqual(0, self.fork(self.ask))
        self.assertGreater(self.s.read().spent_nanos, before)
        self.assertEqual(2, len(self.stub.billed))

    def test_a_private_budget_does_not_multiply(self):
        self.rt.price("gpt-4o", input="$1/M", output="$10/M")
        bursar.instrument(self.session("$1"))
        self.assertEqual(71, self.fork(self.ask))
        self.assertEqual([], self.stub.billed)

    def test_a_stream_stays_the_parent_s(self):
        bursar.instrument(self.s)
        self.stub.plan = [{"output": 40, "pause": 0.005}]
        client = openai.OpenAI(base_url=self.stub.url, api_key="k")
        stream = client.chat.completions.create(
            **{**ASK, "model": "gpt-4o", "max_tokens": 100}, stream=True)
        next(stream)

        def child():
            nonlocal stream
            del stream  # the copy, which settles nothing

        self.assertEqual(0, self.fork(child))
        self.assertGreater(self.s.read().reserved_nanos, 0)
        self.assertEqual(39, len(list(stream)))
        self.assertEqual(INPUT * 1_000 + 40 * 10_000, self.s.read().spent_nanos)
        client.close()

    def test_every_way_of_multiprocessing(self):
        bursar.instrument(self.s)
        for count, method in enumerate(multiprocessing.get_all_start_methods(), 1):
            context = multiprocessing.get_context(method)
            process = context.Process(target=_in_child_known, args=(self.stub.url,))
            process.start()
            process.join()
            self.assertEqual(0, process.exitcode, method)
            self.assertEqual(count, len(self.stub.billed), method)
            self.assertEqual(count, self.s.read().steps, method)
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            pool.map(_in_child_known, [self.stub.url] * 4)
        self.assertEqual(count + 4, self.s.read().steps)

    def test_a_private_session_is_no_other_process_s(self):
        self.rt.price("gpt-4o", input="$1/M", output="$10/M")
        bursar.instrument(self.session("$1"))
        process = multiprocessing.get_context("spawn").Process(
            target=_refused_in_child, args=(self.stub.url,))
        process.start()
        process.join()
        self.assertEqual((0, []), (process.exitcode, self.stub.billed))


def _in_child_known(url):
    client = openai.OpenAI(base_url=url, api_key="k", max_retries=0)
    client.chat.completions.create(**{**ASK, "model": "gpt-4o"})


def _refused_in_child(url):
    try:
        _in_child_known(url)
    except bursar.ForkedError as error:
        sys.exit("cannot be joined" not in str(error))
    sys.exit(7)


class Imports(unittest.TestCase):
    def run_python(self, code):
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    def test_importing_bursar_imports_nothing_more(self):
        done = self.run_python(
            "import sys, bursar; print([m for m in ('httpx', 'httpx2', 'openai', 'aiohttp', "
            "'asyncio', 'bursar.wire') if m in sys.modules])")
        self.assertEqual("[]\n", done.stdout)

    @unittest.skipIf(openai is None, "the openai package is not installed")
    def test_what_is_imported_later_is_metered(self):
        stub = Stub()
        self.addCleanup(stub.close)
        done = self.run_python(f"""if True:
            import bursar, sys
            bursar.instrument()
            import openai, inspect, importlib.util
            assert inspect.getsource(openai._base_client), "its loader is still whole"
            assert "exec_module" not in vars(openai._base_client.__spec__.loader)
            with bursar.open() as rt, rt.session("acme", "$1") as s:
                rt.price("big", input="$1/M", output="$10/M")
                client = openai.OpenAI(base_url={stub.url!r}, api_key="k")
                client.chat.completions.create(**{ASK!r})
                print(s.read().spent_nanos)
            """)
        self.assertEqual((f"{COST}\n", ""), (done.stdout, done.stderr))


if __name__ == "__main__":
    unittest.main()
