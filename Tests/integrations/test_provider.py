"""The provider's wire formats, as the real SDKs read them; its bill says what they were told."""

import json
import unittest

import anthropic
import openai
import pydantic
from google import genai
from google.genai import types

from casework import WEATHER, Case

ASK = [{"role": "user", "content": "hello there"}]  # 11 bytes are 3 tokens
TOOLS = [{"type": "function", "function": {"name": n, "parameters": WEATHER}} for n in ("weather", "news")]


class City(pydantic.BaseModel):
    name: str
    size: int


class Chat(Case):
    def client(self, scenario="", kind=openai.OpenAI):
        return kind(base_url=self.url(scenario) + "/v1", api_key=self.account, max_retries=0)

    def ask(self, scenario="", **more):
        more = {"model": "gpt-5-mini", "messages": ASK, **more}
        return self.client(scenario).chat.completions.create(**more)

    def test_an_answer_and_what_it_costs(self):
        answer = self.ask("out=20,reasoning=5,cached=1")
        self.assertEqual(len(answer.choices[0].message.content), 80)
        self.assertEqual((answer.usage.prompt_tokens, answer.usage.completion_tokens), (3, 25))
        self.assertEqual(answer.usage.prompt_tokens_details.cached_tokens, 1)
        self.assertEqual(answer.usage.completion_tokens_details.reasoning_tokens, 5)
        line = self.line()
        self.owes(line, input=3, fresh_input=2, cached_input=1, output=25, reasoning=5)
        self.assertEqual(line["dollars"], "0.000050525")  # 2 at 0.25, 1 at 0.025, 25 at 2, per million
        self.assertEqual((line["model"], line["limit"], line["attempt"]), ("gpt-5-mini", None, 0))

    def test_a_limit_and_choices(self):
        answer = self.ask("out=20", max_completion_tokens=7, n=3)
        self.assertEqual([c.finish_reason for c in answer.choices], ["length"] * 3)
        self.assertEqual([len(c.message.content) for c in answer.choices], [28] * 3)
        self.owes(self.line(), input=3, output=21)
        self.assertEqual((self.line()["limit"], self.line()["choices"]), (7, 3))

    def test_a_stream_has_the_usage_only_when_asked(self):
        plain = list(self.ask("out=20", stream=True, n=2))
        self.assertTrue(all(chunk.usage is None for chunk in plain))
        self.assertEqual({c.index for chunk in plain for c in chunk.choices}, {0, 1})
        asked = list(self.ask("out=20", stream=True, stream_options={"include_usage": True}))
        self.assertEqual(asked[-1].choices, [])
        self.assertEqual(asked[-1].usage.completion_tokens, 20)
        said = "".join(c.delta.content or "" for chunk in asked for c in chunk.choices)
        self.assertEqual(len(said), 80)
        self.assertEqual([n["usage_asked"] for n in self.bill()["lines"]], [False, True])
        self.assertEqual([n["output_tokens"] for n in self.bill()["lines"]], [40, 20])

    def test_tools_in_rounds_then_a_text(self):
        for streamed in (False, True):
            messages, calls = list(ASK), []
            for _ in range(3):
                client = self.client("turns=2,parallel=3")
                with client.chat.completions.stream(
                    model="gpt-4o-mini", messages=messages, tools=TOOLS
                ) if streamed else _Whole(self.ask(
                    "turns=2,parallel=3", model="gpt-4o-mini", messages=messages, tools=TOOLS
                )) as stream:
                    message = stream.get_final_completion().choices[0].message
                messages.append(message.model_dump(exclude_none=True, exclude={"parsed"}))
                if not message.tool_calls:
                    break
                self.assertEqual({c.function.name for c in message.tool_calls}, {"weather", "news"})
                for call in message.tool_calls:
                    calls.append(json.loads(call.function.arguments))
                    messages.append({"role": "tool", "tool_call_id": call.id, "content": "rain"})
                messages[-len(message.tool_calls) - 1].pop("audio", None)
            self.assertEqual(len(calls), 6)
            self.assertFalse(message.tool_calls)
            self.assertTrue(all(isinstance(c["city"], str) and c["days"] >= 1 for c in calls))
            self.assertEqual(len({json.dumps(c) for c in calls}), 6)
            self.assertEqual([n["rounds"] for n in self.bill()["lines"][-3:]], [0, 1, 2])

    def test_a_structured_answer(self):
        client = self.client()
        done = client.chat.completions.parse(model="gpt-5", messages=ASK, response_format=City)
        self.assertIsInstance(done.choices[0].message.parsed, City)
        with client.chat.completions.stream(model="gpt-5", messages=ASK, response_format=City) as stream:
            self.assertIsInstance(stream.get_final_completion().choices[0].message.parsed, City)

    def test_async(self):
        async def main():
            async with self.client("out=9", openai.AsyncOpenAI) as client:
                answer = await client.chat.completions.create(model="gpt-5", messages=ASK)
                stream = await client.chat.completions.create(model="gpt-5", messages=ASK, stream=True)
                return answer, [chunk async for chunk in stream]

        answer, chunks = self.run_async(main())
        self.assertEqual(answer.usage.completion_tokens, 9)
        self.assertEqual(chunks[-1].choices[0].finish_reason, "stop")
        self.assertEqual(self.bill()["dollars"], "0.0001875")  # twice 3 at 1.25 and 9 at 10

    def test_embeddings(self):
        client = self.client()
        answer = client.embeddings.create(model="text-embedding-3-small", input=["hello there", "you"])
        self.assertEqual(answer.data[1].embedding, [0.5] * 8)
        self.assertEqual(answer.usage.prompt_tokens, 4)
        self.assertEqual(self.line()["dollars"], "0.00000008")

    def test_what_openai_turns_down(self):
        cut = [*ASK, {"role": "assistant", "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]}]
        for wrong in ({"max_tokens": 5}, {"stream_options": {"include_usage": True}}, {"messages": cut},
                      {"max_completion_tokens": 0}):
            with self.assertRaises(openai.BadRequestError):
                self.ask(**wrong)
        with self.assertRaises(openai.NotFoundError):
            self.ask(model="gpt-unheard-of")
        self.assertEqual(self.bill()["dollars"], "0")
        self.assertEqual([n["status"] for n in self.bill()["lines"]], [400] * 4 + [404])


class _Whole:
    """A whole answer in the manner of a stream's helper."""

    def __init__(self, answer):
        self.get_final_completion = lambda: answer

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


class Responses(Case):
    tools = [{"type": "function", "name": "weather", "parameters": WEATHER, "strict": True}]

    def client(self, scenario="", kind=openai.OpenAI):
        return kind(base_url=self.url(scenario) + "/v1", api_key=self.account, max_retries=0)

    def test_an_answer_and_its_limit(self):
        create = self.client("out=20,reasoning=4,cached=2").responses.create
        answer = create(model="gpt-5", input="hello there", max_output_tokens=16)
        self.assertEqual((answer.status, answer.incomplete_details.reason), ("incomplete", "max_output_tokens"))
        self.assertEqual(len(answer.output_text), 48)
        self.assertEqual(answer.usage.output_tokens_details.reasoning_tokens, 4)
        self.owes(self.line(), input=3, cached_input=2, output=16, reasoning=4)
        with self.assertRaises(openai.BadRequestError):
            create(model="gpt-5", input="hello there", max_output_tokens=15)

    def test_every_event_of_a_stream(self):
        client = self.client("out=20,reasoning=4,loop,parallel=2")
        with client.responses.stream(
            model="gpt-5", input="hello there", tools=self.tools, reasoning={"summary": "auto"}
        ) as stream:
            events = list(stream)
            final = stream.get_final_response()
        self.assertEqual([e.sequence_number for e in events], list(range(len(events))))
        self.assertEqual([o.type for o in final.output], ["reasoning", "message", "function_call", "function_call"])
        self.assertEqual(len(final.output_text), 80)
        kinds = {e.type for e in events}
        for kind in ("created", "in_progress", "output_item.added", "output_item.done", "content_part.added",
                     "content_part.done", "output_text.delta", "output_text.done", "completed",
                     "function_call_arguments.delta", "function_call_arguments.done",
                     "reasoning_summary_text.delta"):
            self.assertIn(f"response.{kind}", kinds)
        self.owes(self.line(), output=final.usage.output_tokens, input=final.usage.input_tokens)

    def test_rounds_by_input_and_by_previous_response(self):
        for kept in (False, True):
            create, sent, previous, calls = self.client("turns=2").responses.create, "hello there", None, 0
            items = [{"role": "user", "content": sent}]
            for _ in range(3):
                answer = create(model="gpt-5", input=items, tools=self.tools, previous_response_id=previous)
                called = [o for o in answer.output if o.type == "function_call"]
                if not called:
                    break
                calls += len(called)
                results = [{"type": "function_call_output", "call_id": c.call_id, "output": "rain"} for c in called]
                shown = [o.model_dump(exclude_none=True) for o in answer.output]
                previous, items = (answer.id, results) if kept else (None, items + shown + results)
            self.assertEqual((calls, called), (2, []))
            self.assertEqual(answer.usage.input_tokens, self.line()["input_tokens"])

    def test_a_structured_answer(self):
        parsed = self.client().responses.parse(model="gpt-5", input="hello", text_format=City)
        self.assertIsInstance(parsed.output_parsed, City)

    def test_async(self):
        async def main():
            async with self.client("out=9", openai.AsyncOpenAI) as client:
                async with client.responses.stream(model="gpt-5", input="hello") as stream:
                    return await stream.get_final_response()

        self.assertEqual(self.run_async(main()).usage.output_tokens, 9)


class Messages(Case):
    tools = [{"name": "weather", "input_schema": WEATHER}]

    def client(self, scenario="", kind=anthropic.Anthropic):
        return kind(base_url=self.url(scenario), api_key=self.account, max_retries=0)

    def ask(self, scenario="", **more):
        more = {"model": "claude-sonnet-4-5", "max_tokens": 100, "messages": ASK, **more}
        return self.client(scenario).messages.create(**more)

    def test_an_answer_and_what_it_costs(self):
        long = [{"role": "user", "content": "x" * 400}]
        answer = self.ask("out=20,reasoning=5,cached=30,cachewrite=20,cachewrite1h=10", messages=long)
        self.assertEqual([b.type for b in answer.content], ["thinking", "text"])
        usage = answer.usage
        self.assertEqual((usage.input_tokens, usage.cache_read_input_tokens), (40, 30))
        self.assertEqual((usage.cache_creation_input_tokens, usage.cache_creation.ephemeral_1h_input_tokens), (30, 10))
        self.assertEqual((usage.output_tokens, usage.output_tokens_details.thinking_tokens), (25, 5))
        # 40 at 3, 30 at 0.30, 20 at 3.75, 10 at 6 and 25 at 15 dollars a million
        self.assertEqual(self.line()["dollars"], "0.000639")

    def test_a_stream(self):
        client = self.client("out=20,reasoning=5,loop,parallel=2")
        with client.messages.stream(
            model="claude-haiku-4-5", max_tokens=100, messages=ASK, tools=self.tools
        ) as stream:
            kinds = [event.type for event in stream]
            final = stream.get_final_message()
        self.assertEqual([b.type for b in final.content], ["thinking", "text", "tool_use", "tool_use"])
        self.assertEqual(final.stop_reason, "tool_use")
        self.assertEqual(final.content[2].input, {"city": "item 0.0", "days": 2})
        self.assertIn("thinking", kinds)
        self.owes(self.line(), input=final.usage.input_tokens, output=final.usage.output_tokens)

    def test_a_limit(self):
        answer = self.ask("out=20", max_tokens=6)
        self.assertEqual((answer.stop_reason, answer.usage.output_tokens), ("max_tokens", 6))
        self.assertEqual(self.line()["limit"], 6)

    def test_tools_in_rounds_then_a_text(self):
        messages = list(ASK)
        for calls in (2, 2, 0):
            answer = self.ask("turns=2,parallel=2", messages=messages, tools=self.tools)
            called = [b for b in answer.content if b.type == "tool_use"]
            self.assertEqual(len(called), calls)
            messages.append({"role": "assistant", "content": answer.content})
            messages.append({"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": c.id, "content": "rain"} for c in called]})

    def test_what_anthropic_turns_down(self):
        call = {"type": "tool_use", "id": "t", "name": "weather", "input": {}}
        cut = [*ASK, {"role": "assistant", "content": [call]}, {"role": "user", "content": "go on"}]
        thinking = {"type": "enabled", "budget_tokens": 2000}
        for wrong in ({"max_tokens": 0}, {"messages": cut}, {"thinking": thinking, "max_tokens": 2000}):
            with self.assertRaises(anthropic.BadRequestError):
                self.ask(**wrong)

    def test_a_structured_answer(self):
        done = self.client().messages.parse(
            model="claude-haiku-4-5", max_tokens=100, messages=ASK, output_format=City)
        self.assertIsInstance(done.parsed_output, City)

    def test_async(self):
        async def main():
            async with self.client("out=9", anthropic.AsyncAnthropic) as client:
                asked = dict(model="claude-haiku-4-5", max_tokens=50, messages=ASK)
                raw = await client.messages.create(**asked, stream=True)
                kinds = [event.type async for event in raw]
                async with client.messages.stream(**asked) as stream:
                    return kinds, await stream.get_final_message()

        kinds, final = self.run_async(main())
        self.assertEqual((kinds[0], kinds[-1]), ("message_start", "message_stop"))
        self.assertEqual(final.usage.output_tokens, 9)


class Gemini(Case):
    def client(self, scenario=""):
        options = types.HttpOptions(base_url=self.url(scenario))
        self.kept = genai.Client(api_key=self.account, http_options=options)  # dropped, it is closed
        return self.kept

    def config(self, **more):
        declared = [types.FunctionDeclaration(name=n, parameters_json_schema=WEATHER) for n in ("weather", "news")]
        return types.GenerateContentConfig(tools=[types.Tool(function_declarations=declared)], **more)

    def test_an_answer_and_what_it_costs(self):
        answer = self.client("out=20,reasoning=5,cached=2").models.generate_content(
            model="gemini-2.5-flash", contents="hello there", config={"max_output_tokens": 15})
        self.assertEqual(answer.candidates[0].finish_reason, types.FinishReason.MAX_TOKENS)
        usage = answer.usage_metadata
        self.assertEqual((usage.prompt_token_count, usage.cached_content_token_count), (3, 2))
        self.assertEqual((usage.candidates_token_count, usage.thoughts_token_count), (10, 5))
        line = self.line()
        self.owes(line, input=3, cached_input=2, output=15, reasoning=5)
        self.assertEqual((line["dollars"], line["limit"]), ("0.00003786", 15))  # 1 at .3, 2 at .03, 15 at 2.5

    def test_a_stream_of_calls_and_thoughts(self):
        config = self.config(thinking_config={"include_thoughts": True})
        for thoughts in (True, False):
            chunks = list(self.client("out=20,reasoning=8,loop,parallel=2").models.generate_content_stream(
                model="gemini-2.5-pro", contents="hello there",
                config=config if thoughts else self.config()))
            parts = [p for c in chunks for p in c.candidates[0].content.parts]
            self.assertEqual(sum(len(p.text) for p in parts if p.thought), 32 if thoughts else 0)
            calls = [p.function_call for p in parts if p.function_call]
            self.assertEqual([c.name for c in calls], ["weather", "news"])
            self.assertEqual(calls[1].args, {"city": "item 0.1", "days": 2})
            usage = chunks[-1].usage_metadata
            self.assertEqual(usage.candidates_token_count + 8, self.line()["output_tokens"])
            told = [c.usage_metadata.candidates_token_count for c in chunks]
            self.assertEqual(told, sorted(told))

    def test_a_stream_as_a_json_array(self):
        import httpx2

        data = {"contents": [{"parts": [{"text": "hello there"}]}]}
        path = f"{self.url('out=20')}/v1beta/models/gemini-2.5-flash:streamGenerateContent?key={self.account}"
        chunks = httpx2.post(path, json=data).json()
        self.assertEqual(len(chunks), 6)
        self.assertEqual(chunks[-1]["usageMetadata"]["candidatesTokenCount"], self.line()["output_tokens"])

    def test_a_chat_with_functions_called_by_the_sdk(self):
        def weather(city: str, days: int) -> str:
            """The weather."""
            return f"rain in {city} for {days} days"

        chat = self.client("turns=3,parallel=2").chats.create(
            model="gemini-2.5-flash", config=types.GenerateContentConfig(tools=[weather]))
        self.assertIn("the sum", chat.send_message("hello there").text)
        self.assertEqual([n["rounds"] for n in self.bill()["lines"]], [0, 1, 2, 3])

    def test_a_structured_answer(self):
        for config in ({"response_schema": City}, {"response_json_schema": City.model_json_schema()}):
            answer = self.client().models.generate_content(
                model="gemini-2.5-flash", contents="hello",
                config={"response_mime_type": "application/json", **config})
            City.model_validate_json(answer.text)

    def test_async(self):
        async def main():
            client = self.client("out=9").aio
            whole = await client.models.generate_content(model="gemini-2.5-flash", contents="hello")
            stream = await client.models.generate_content_stream(model="gemini-2.5-flash", contents="hello")
            return whole, [chunk async for chunk in stream]

        whole, chunks = self.run_async(main())
        self.assertEqual(whole.usage_metadata.candidates_token_count, 9)
        self.assertEqual(chunks[-1].usage_metadata.candidates_token_count, 9)

    def test_embeddings(self):
        answer = self.client().models.embed_content(model="gemini-embedding-001", contents=["hello there", "you"])
        self.assertEqual(len(answer.embeddings), 2)
        self.assertEqual(self.line()["dollars"], "0.0000006")  # 4 at 0.15


if __name__ == "__main__":
    unittest.main()
