"""What docs/integrations.md shows of frameworks, and the examples, as they stand there."""

import contextlib
import io
import os
import pathlib
import re
import subprocess
import sys
import unittest
from unittest import mock

import bursar
from agent_cases import Case

ROOT = pathlib.Path(__file__).parents[2]

try:
    import agents  # noqa: F401
    import langchain  # noqa: F401
    import litellm  # noqa: F401
    import pydantic_ai  # noqa: F401
except ImportError as error:
    raise unittest.SkipTest(f"{error}: the other environment has it")


class Shown(Case):
    """The environment names the provider and the account, as it would OpenAI's."""

    def environ(self, scenario="turns=3,parallel=2,out=20"):
        return {"OPENAI_BASE_URL": self.stub.url(scenario) + "/v1", "OPENAI_API_KEY": self.account,
                "OPENAI_AGENTS_DISABLE_TRACING": "1", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}

    def code(self, heading):
        text = (ROOT / "docs/integrations.md").read_text()
        section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
        self.assertLessEqual(len(section.strip().splitlines()), 25, heading)
        [code] = re.findall(r"```python\n(.*?)```", section, re.S)
        return compile(code, f"docs/integrations.md, {heading}", "exec")

    def run_code(self, heading, **names):
        out = io.StringIO()
        with mock.patch.dict(os.environ, self.environ()), contextlib.redirect_stdout(out):
            exec(self.code(heading), {"bursar": bursar, "weather": self.weather, **names})
        return out.getvalue()

    HELLO = [{"role": "user", "content": "hello"}]

    def bare(self):
        """Shown without a framework: the process's runtime, and what the server billed."""
        import openai

        bursar.use(self.rt)
        client = openai.OpenAI(base_url=self.stub.url("out=20") + "/v1", api_key=self.account)
        self.addCleanup(client.close)
        return client

    def assert_one_step(self):
        self.assertEqual(1, len(self.lines()))
        self.assertEqual(self.billed(), sum(row.cost_nanos for row in self.rt.spend()))

    def test_a_client(self):
        client = self.bare()
        self.run_code("A client", OpenAI=lambda: client, messages=self.HELLO)
        self.assert_one_step()

    def test_a_process(self):
        client = self.bare()
        self.addCleanup(bursar.uninstrument)
        self.run_code("A process", run_the_agent=lambda: client.chat.completions.create(
            model="gpt-5", messages=self.HELLO))
        self.assert_one_step()

    def test_a_step(self):
        client = self.bare()
        self.run_code("A framework's own step", session=self.s, messages=self.HELLO,
                      call_the_model=lambda: client.chat.completions.create(model="gpt-5", messages=self.HELLO))
        self.assert_one_step()

    def test_langchain(self):
        from langchain_core.prompts import ChatPromptTemplate
        from langchain_openai import ChatOpenAI

        bursar.use(self.rt)
        with mock.patch.dict(os.environ, self.environ()):
            model = ChatOpenAI(model="gpt-4o")
        self.run_code("LangChain and LangGraph",
                      chain=ChatPromptTemplate.from_template("Say {word}") | model)
        self.assertEqual(6, len(self.asked))
        self.assertEqual(5, len(self.lines()))
        spent = sum(row.cost_nanos for row in self.rt.spend())
        self.assertEqual(self.billed(), spent)

    def test_pydantic_ai(self):
        for limit in ("$1", "$0.1"):  # the second is too little for what has no limit of its own
            self.fresh(limit, "3 steps" if limit == "$0.1" else "100 steps")
            self.run_code("pydantic-ai", session=self.s, runtime=_Runtime(self.rt))
            self.assertEqual(4, len(self.lines()))
            self.assert_exact()

    def test_openai_agents(self):
        from agents import function_tool

        for limit in ("$1", "$0.1"):
            self.fresh(limit, "3 steps" if limit == "$0.1" else "100 steps")
            said = self.run_code("OpenAI Agents SDK", session=self.s, runtime=_Runtime(self.rt),
                                 weather=function_tool(self.weather))
            self.assertIn("the sum", said)
            self.assertEqual([0, 1, 2, 3], [line["rounds"] for line in self.lines()])
            self.assert_exact()

    def test_litellm(self):
        from bursar.integrations import litellm

        self.addCleanup(litellm.uninstall)
        for limit, said in (("$1", "the sum"), ("$0.000001", "left of")):
            self.fresh(limit)
            self.assertIn(said, self.run_code(
                "LiteLLM", session=self.s, messages=[{"role": "user", "content": "hello"}]))
        self.assertEqual([], self.lines())

    def test_the_examples(self):
        for name in ("langchain_agent", "pydantic_ai_agent", "agents_sdk", "litellm_agent"):
            with self.subTest(name):
                self.fresh()
                done = subprocess.run(
                    [sys.executable, ROOT / f"examples/{name}.py"], capture_output=True, text=True,
                    env={**os.environ, **self.environ()}, timeout=120)
                said = done.stderr.replace("Error getting response\n", "")  # the Agents SDK's log
                self.assertEqual((0, ""), (done.returncode, said))
                self.assertIn("this step may take", done.stdout)
                if name != "litellm_agent":
                    self.assertIn("helper", done.stdout)
                self.assertIn("bursar: $0.0", done.stdout)


class _Runtime:
    """A top-up of steps, since the money was enough."""

    def __init__(self, runtime):
        self._runtime = runtime

    def top_up(self, session, amount, reason=""):
        self._runtime.top_up(session, amount, reason=reason)
        self._runtime.top_up(session, "100 steps", reason=reason)


class Missing(unittest.TestCase):
    """What is said where a framework is not installed, and that nothing is imported unasked."""

    def python(self, code):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        return done.stdout + done.stderr

    def test_says_which_extra(self):
        for module, package, extra in (
            ("langchain", "langchain", "langchain"),
            ("langchain_callback", "langchain_core", "langchain"),
            ("pydantic_ai", "pydantic_ai", "pydantic-ai"),
            ("openai_agents", "agents", "openai-agents"),
            ("litellm", "litellm", "litellm"),
        ):
            said = self.python(f"import sys; sys.modules[{package!r}] = None\n"
                               f"import bursar.integrations.{module}")
            self.assertIn(f"pip install 'bursar[{extra}]'", said)
            self.assertIn("ImportError", said)

    def test_bursar_imports_no_framework(self):
        said = self.python(
            "import sys, bursar, bursar.integrations, bursar.integrations.common\n"
            "print([m for m in sys.modules if m.partition('.')[0] in "
            "('langchain', 'langchain_core', 'langgraph', 'pydantic', 'pydantic_ai', 'agents', 'openai', 'litellm', 'httpx')])")
        self.assertEqual("[]", said.strip())


if __name__ == "__main__":
    unittest.main()
