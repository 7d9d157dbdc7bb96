"""The frameworks' own agents against the provider: whole and streamed, to the end of their rounds.

What each is told it used must be what the provider billed. langchain-google-genai and pydantic-ai's
Google model are tested in the environment of requirements-google.txt.
"""

import asyncio
import importlib.util
import unittest

import pydantic

from casework import WEATHER, Case

ASK = [{"role": "user", "content": "hello there"}]
ROUNDS = "turns=3,parallel=2"
GOOGLE = importlib.util.find_spec("langchain_google_genai") is not None
models = unittest.skipIf(GOOGLE, "in the other environment")
google = unittest.skipUnless(GOOGLE, "in the other environment")


class City(pydantic.BaseModel):
    name: str
    size: int


def weather(city: str, days: int) -> str:
    """The weather."""
    return f"rain in {city} for {days} days"


class Frameworks(Case):
    def billed(self, runs=1):
        """(input, output) of the account's requests; all of them were answered, four a run."""
        lines = self.bill()["lines"]
        self.assertEqual([n["status"] for n in lines], [200] * len(lines))
        self.assertEqual([n["rounds"] for n in lines], [0, 1, 2, 3] * runs)
        self.assertEqual([n["calls"] for n in lines], [2, 2, 2, 0] * runs)
        return sum(n["input_tokens"] for n in lines), sum(n["output_tokens"] for n in lines)


class LangChain(Frameworks):
    def agent(self, model):
        from langchain.agents import create_agent

        agent = create_agent(model, [weather])
        answers = [m.usage_metadata for m in agent.invoke({"messages": ASK})["messages"] if m.type == "ai"]
        list(agent.stream({"messages": ASK}, stream_mode="messages"))
        told = (sum(u["input_tokens"] for u in answers) * 2, sum(u["output_tokens"] for u in answers) * 2)
        self.assertEqual(self.billed(runs=2), told)

    @models
    def test_chat(self):
        from langchain_openai import ChatOpenAI

        self.agent(ChatOpenAI(model="gpt-5-mini", base_url=self.url(ROUNDS) + "/v1", api_key=self.account))

    @models
    def test_responses(self):
        from langchain_openai import ChatOpenAI

        self.agent(ChatOpenAI(model="gpt-5-mini", base_url=self.url(ROUNDS) + "/v1", api_key=self.account,
                              use_responses_api=True))

    @models
    def test_anthropic(self):
        from langchain_anthropic import ChatAnthropic

        self.agent(ChatAnthropic(model="claude-haiku-4-5", base_url=self.url(ROUNDS), api_key=self.account))

    @google
    def test_google(self):
        from langchain_google_genai import ChatGoogleGenerativeAI

        self.agent(ChatGoogleGenerativeAI(model="gemini-2.5-flash", base_url=self.url(ROUNDS), api_key=self.account))


class PydanticAI(Frameworks):
    def agent(self, model):
        from pydantic_ai import Agent

        async def run():
            plain = await Agent(model, tools=[weather]).run("hello there")
            told = plain.usage.input_tokens, plain.usage.output_tokens
            self.assertEqual(self.billed(), told)
            async with Agent(model, tools=[weather]).run_stream("hello there") as streamed:
                async for _ in streamed.stream_text():
                    pass
            self.assertEqual(self.billed(runs=2), (told[0] * 2, told[1] * 2))
            return await Agent(model, tools=[weather], output_type=City).run("hello there")

        self.assertIsInstance(asyncio.run(run()).output, City)

    def openai(self):
        from pydantic_ai.providers.openai import OpenAIProvider

        return OpenAIProvider(base_url=self.url(ROUNDS) + "/v1", api_key=self.account)

    @models
    def test_chat(self):
        from pydantic_ai.models.openai import OpenAIChatModel

        self.agent(OpenAIChatModel("gpt-5-mini", provider=self.openai()))

    @models
    def test_responses(self):
        from pydantic_ai.models.openai import OpenAIResponsesModel

        self.agent(OpenAIResponsesModel("gpt-5-mini", provider=self.openai()))

    @models
    def test_anthropic(self):
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        provider = AnthropicProvider(base_url=self.url(ROUNDS), api_key=self.account)
        self.agent(AnthropicModel("claude-haiku-4-5", provider=provider))

    @google
    def test_google(self):
        from pydantic_ai.models.google import GoogleModel
        from pydantic_ai.providers.google import GoogleProvider

        provider = GoogleProvider(base_url=self.url(ROUNDS), api_key=self.account)
        self.agent(GoogleModel("gemini-2.5-flash", provider=provider))


@models
class OpenAIAgents(Frameworks):
    def agent(self, kind):
        import agents
        import openai

        async def run():
            client = openai.AsyncOpenAI(base_url=self.url(ROUNDS) + "/v1", api_key=self.account)
            model = kind("gpt-5-mini", client)
            agent = agents.Agent(name="agent", model=model, tools=[agents.function_tool(weather)])
            usage = (await agents.Runner.run(agent, "hello there")).context_wrapper.usage
            self.assertEqual(self.billed(), (usage.input_tokens, usage.output_tokens))
            streamed = agents.Runner.run_streamed(agent, "hello there")
            async for _ in streamed.stream_events():
                pass
            self.assertIn("the sum", streamed.final_output)
            self.billed(runs=2)
            await client.close()

        asyncio.run(run())

    def test_chat(self):
        from agents import OpenAIChatCompletionsModel

        self.agent(OpenAIChatCompletionsModel)

    def test_responses(self):
        from agents import OpenAIResponsesModel

        self.agent(OpenAIResponsesModel)


@models
class LiteLLM(Frameworks):
    def model(self, model, path):
        import litellm

        tools = [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}]

        async def run():
            messages = list(ASK)
            tokens = [0, 0]
            for round in range(4):
                asked = dict(model=model, api_base=self.url(ROUNDS) + path, api_key=self.account,
                             messages=messages, tools=tools)
                if round % 2:
                    chunks = [c async for c in await litellm.acompletion(
                        **asked, stream=True, stream_options={"include_usage": True})]
                    answer = litellm.stream_chunk_builder(chunks, messages=messages)
                else:
                    answer = await litellm.acompletion(**asked)
                tokens[0] += answer.usage.prompt_tokens
                tokens[1] += answer.usage.completion_tokens
                message = answer.choices[0].message
                messages.append(message.model_dump(exclude_none=True))
                messages += [{"role": "tool", "tool_call_id": c.id, "content": "rain"}
                             for c in message.tool_calls or []]
            self.assertEqual(self.billed(), tuple(tokens))

        asyncio.run(run())

    def test_openai(self):
        self.model("openai/gpt-5-mini", "/v1")

    def test_anthropic(self):
        self.model("anthropic/claude-haiku-4-5", "")

    def test_gemini(self):
        self.model("gemini/gemini-2.5-flash", "")


if __name__ == "__main__":
    unittest.main()
