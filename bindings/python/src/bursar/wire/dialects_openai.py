"""OpenAI's dialects, which most others speak too: Azure, Mistral, DeepSeek, xAI, LiteLLM, vLLM."""

from __future__ import annotations

import re
from typing import Any, List, Optional, Tuple
from urllib.parse import quote, unquote

from ..usage import Usage
from .dialect import Ask, Body, Dialect, Others, Piece, Tools
from .dialect import count, fields, items, smaller, text, text_size
from .weight import STORED_TOKENS, Weight, weigh

_VARIANTS = {
    "flex": "flex", "priority": "priority", "batch": "batch",
    "fast": "priority",  # the same by another name
    "ultrafast": "priority",  # dearer still, and the book has no word for it
}  # fmt: skip
_DEPLOYMENT = re.compile(r"/deployments/([^/?]+)/")
_NEWEST = re.compile(r"(?:.*/)?(?:o\d|gpt-[5-9])")  # models that refuse max_tokens
_WRITE = Ask._fields.index("cache_write")
_HOSTED_TOKENS = 1_000  # what a provider says to the model about a tool of its own


class OpenAI(Dialect):
    """What the dialects share; a row of the table sets the names."""

    provider = "openai"
    inputs: Tuple[str, ...] = ()  # the first must be there
    limits: Tuple[str, ...] = ()  # what the output limit is called, best first
    unlimited: Optional[int] = None  # output where no limit is named, if the API says so
    usage_option = True  # a stream sends usage only when asked to

    def ask(self, body: Any, path: str = "", host: str = "") -> Optional[Ask]:
        if type(body) is not dict or self.inputs[0] not in body:
            return None
        get = body.get
        weight, cached = weigh(body, self.inputs)
        limits: Tuple[str, ...] = ()
        limit = None
        for name in self.limits:
            value = get(name)
            if value is not None:
                limits += (name,)
                value = count(value)
                if value is not None and (limit is None or value < limit):
                    limit = value
        model = text(get("model"))
        if "/deployments/" in path:
            found = _DEPLOYMENT.search(path)
            model = unquote(found.group(1)) if found else model
        if not limits and self.limits:
            limits = (self.limit_for(model, host),)
        tier = get("service_tier")
        return Ask(
            model,
            weight.tokens,
            self.unlimited if limit is None else limit,
            self.choices(body),
            bool(get("stream")),
            _VARIANTS.get(tier, "standard") if type(tier) is str else "standard",
            cached,
            limits,
            self.usage_seen(body, host),
            weight,
        )

    def limit_for(self, model: str, host: str) -> str:
        return self.limits[0]

    def choices(self, body: Body) -> int:
        return count(body.get("n")) or 1

    def usage_seen(self, body: Body, host: str) -> bool:
        if not self.usage_option or "mistral.ai" in host:
            return True
        return fields(body.get("stream_options")).get("include_usage") is True

    def thinks_unseen(self, body: Body, model: str) -> bool:
        return _NEWEST.match(model) is not None or not {
            "reasoning", "reasoning_effort"}.isdisjoint(body)  # fmt: skip

    def grant(
        self, body: Body, path: str, ask: Ask, model: str, max_output_tokens: int
    ) -> Tuple[Body, str]:
        body = dict(body)
        limits = ask.limits
        if model and model != ask.model:
            body["model"] = model
            if "/deployments/" in path:
                path = _DEPLOYMENT.sub(f"/deployments/{quote(model, safe='')}/", path, count=1)
            if limits == ("max_tokens",) and "max_completion_tokens" in self.limits:
                if _NEWEST.match(model):
                    body.pop("max_tokens", None)
                    limits = ("max_completion_tokens",)
        for name in limits:
            body[name] = max_output_tokens
        if ask.stream and not ask.usage_asked:
            options = fields(body.get("stream_options"))
            body["stream_options"] = {**options, "include_usage": True}
        return body, path


class Chat(OpenAI):
    name = "openai.chat"
    inputs: Tuple[str, ...] = ("messages", "tools", "functions", "response_format", "prediction")
    limits: Tuple[str, ...] = ("max_completion_tokens", "max_tokens")

    def ask(self, body: Any, path: str = "", host: str = "") -> Optional[Ask]:
        ask = super().ask(body, path, host)
        if ask is None:
            return None
        if "web_search_options" in body:
            ask = _hosting(ask, (("web_search", 1),))
        return _caching(ask, body)

    def limit_for(self, model: str, host: str) -> str:
        newest = "openai." in host or _NEWEST.match(model) is not None
        return "max_completion_tokens" if newest else "max_tokens"

    def grant(
        self, body: Body, path: str, ask: Ask, model: str, max_output_tokens: int
    ) -> Tuple[Body, str]:
        body, path = super().grant(body, path, ask, model, max_output_tokens)
        for name, part in (("thinking", "budget_tokens"), ("reasoning", "max_tokens")):
            if type(body.get(name)) is dict:  # LiteLLM's, OpenRouter's: both Anthropic's rule
                thinking = body[name]
                budget = smaller(thinking.get(part), ask.max_output_tokens, max_output_tokens, 1024)
                if budget:
                    body[name] = {**thinking, part: budget}
                elif budget == 0:
                    del body[name]
        return body, path

    def piece(self, event: str, data: Any, seen: Body) -> Piece:
        if type(data) is not dict:
            return Piece()
        size, ended, any_choice = 0, True, False
        for choice in items(data.get("choices")):
            any_choice = True
            if type(choice) is dict:
                size += self.content(choice)
                ended = ended and choice.get("finish_reason") is not None
        if data.get("usage") is None:
            groq = fields(data.get("x_groq"))
            if "usage" not in groq:
                return Piece(None, size)
            data = groq
        usage = self.reported(data)
        return Piece(usage, size, usage is not None and ended, usage is not None and not any_choice)

    def content(self, choice: Body) -> int:
        """Bytes of output in a choice of a chunk."""
        delta = choice.get("delta")
        if type(delta) is not dict:
            return 0
        size = 0
        for name in ("content", "refusal", "reasoning_content", "reasoning"):
            value = delta.get(name)
            if type(value) is str:
                size += len(value) if value.isascii() else text_size(value)
            elif type(value) is list:  # Mistral's, with its thinking
                for part in map(fields, value):
                    for words in (part, *map(fields, items(part.get("thinking")))):
                        size += text_size(words.get("text"))
        for call in items(delta.get("tool_calls")):
            function = fields(fields(call).get("function"))
            size += text_size(function.get("name")) + text_size(function.get("arguments"))
        audio = delta.get("audio")
        if type(audio) is dict:
            size += text_size(audio.get("transcript")) + bool(audio.get("data"))
        return size


class Fim(Chat):
    """Mistral's completions between a prompt and a suffix; the answer is a chat's."""

    name = "mistral.fim"
    provider = "mistral"
    inputs: Tuple[str, ...] = ("prompt", "suffix")
    limits: Tuple[str, ...] = ("max_tokens",)
    usage_option = False

    def limit_for(self, model: str, host: str) -> str:
        return "max_tokens"


class Completions(Chat):
    name = "openai.completions"
    inputs: Tuple[str, ...] = ("prompt", "suffix")
    limits: Tuple[str, ...] = ("max_tokens",)
    unlimited = 16  # the API's own default

    def limit_for(self, model: str, host: str) -> str:
        return "max_tokens"

    def choices(self, body: Body) -> int:
        """Answers to every prompt, with those that are made only to choose the best."""
        prompt = body.get("prompt")
        prompts = len(prompt) if type(prompt) is list and prompt and type(
            prompt[0]) in (str, list) else 1  # fmt: skip
        each = max(count(body.get("n")) or 1, count(body.get("best_of")) or 1)
        return count(each * prompts) or 1

    def content(self, choice: Body) -> int:
        return text_size(choice.get("text"))


class Embeddings(OpenAI):
    name = "openai.embeddings"
    inputs: Tuple[str, ...] = ("input",)
    unlimited = 0
    usage_option = False

    def ask(self, body: Any, path: str = "", host: str = "") -> Optional[Ask]:
        ask = super().ask(body, path, host)
        if ask is None:
            return None
        each = 2 * len(items(body["input"]))  # what some put around every input
        return _heavier(ask, each)._replace(as_asked=True, choices=1)

    def piece(self, event: str, data: Any, seen: Body) -> Piece:
        return Piece()


class Responses(OpenAI):
    name = "openai.responses"
    inputs: Tuple[str, ...] = ("input", "instructions", "tools", "text", "prompt")
    limits: Tuple[str, ...] = ("max_output_tokens",)
    usage_option = False
    _needs = ("input", "prompt", "previous_response_id", "conversation")

    def ask(self, body: Any, path: str = "", host: str = "") -> Optional[Ask]:
        if type(body) is not dict or not any(name in body for name in self._needs):
            return None
        ask = super().ask(body if "input" in body else {**body, "input": ""}, path, host)
        if ask is None:
            return None
        uses = count(body.get("max_tool_calls")) or 0
        tools = tuple(
            (name, uses) for name in map(_hosted, items(body.get("tools"))) if name)  # fmt: skip
        ask = _caching(_hosting(ask, tools), body)
        conversation = body.get("conversation")
        previous = text(body.get("previous_response_id")) or text(conversation) or text(
            fields(conversation).get("id"))  # fmt: skip
        if "id" in fields(body.get("prompt")):  # a stored prompt
            ask = _heavier(ask, STORED_TOKENS)
        return ask._replace(previous=previous) if previous else ask

    def choices(self, body: Body) -> int:
        return 1

    def tools(self, answer: Any) -> Tools:
        answer = fields(answer)
        uses = {name: 0 for name in ("web_search", "file_search", "code_interpreter")}
        containers = set()
        for item in items(answer.get("output")):
            kind = text(fields(item).get("type"))
            if kind == "web_search_call":
                uses["web_search"] += fields(item.get("action")).get("type", "search") == "search"
            elif kind == "file_search_call":
                uses["file_search"] += 1
            elif kind == "code_interpreter_call":
                containers.add(str(item.get("container_id")))
        uses["code_interpreter"] = len(containers)
        billed = fields(fields(answer.get("tool_usage")).get("web_search")).get("num_requests")
        if count(billed) is not None:
            uses["web_search"] = count(billed) or 0
        return tuple((name, number) for name, number in uses.items() if number)

    def others(self, answer: Any) -> Others:
        """Images that the image tool made, at its own model's rates."""
        images = fields(fields(fields(answer).get("tool_usage")).get("image_gen"))
        if not count(images.get("total_tokens")):
            return ()
        model = "gpt-image-1"
        for tool in items(answer.get("tools")):
            if fields(tool).get("type") == "image_generation":
                model = text(tool.get("model")) or model
        details, made = fields(images.get("input_tokens_details")), "output_tokens_details"
        cached = fields(images.get("cached_tokens_details"))
        inputs, outputs = count(images.get("input_tokens")), count(images.get("output_tokens"))
        drawn = count(fields(images.get(made)).get("image_tokens")) if made in images else outputs
        pictures = count(details.get("image_tokens")) or 0
        read = (count(cached.get("cached_text_tokens")) or 0) + (
            count(cached.get("cached_image_tokens")) or 0)  # fmt: skip
        inputs, outputs = inputs or 0, outputs or 0
        usage = Usage(
            inputs, min(read, inputs), output_tokens=outputs,
            image_input_tokens=min(pictures, inputs),
            image_output_tokens=min(drawn or 0, outputs))  # fmt: skip
        return ((model, usage),)

    def stored(self, answer: Any) -> Tuple[str, ...]:
        answer = fields(answer)
        names = text(answer.get("id")), text(fields(answer.get("conversation")).get("id"))
        return tuple(name for name in names if name)

    def piece(self, event: str, data: Any, seen: Body) -> Piece:
        if type(data) is not dict:
            return Piece()
        kind = text(data.get("type")) or event
        if kind.endswith(".delta"):
            sound = kind == "response.audio.delta"
            return Piece(None, 1 if sound else text_size(data.get("delta")))
        answer = data.get("response")
        if type(answer) is not dict:
            return Piece()
        usage = self.reported(answer)
        over = kind in ("response.completed", "response.incomplete", "response.failed")
        return Piece(usage, 0, usage is not None and over, False, answer)


class Compact(Responses):
    """A conversation made shorter: billed, and without an output limit to set."""

    name = "openai.responses.compact"
    limits: Tuple[str, ...] = ()
    unlimited = 16_384  # held; nothing keeps the provider to it


def _hosted(tool: Any) -> str:
    """What a tool of the provider's own is called where it is billed, or ""."""
    kind = text(fields(tool).get("type"))
    for name in ("web_search", "file_search", "code_interpreter", "image_generation"):
        if kind.startswith(name):
            return name
    return ""


def _hosting(ask: Ask, tools: Tools) -> Ask:
    return _heavier(ask, _HOSTED_TOKENS * len(tools))._replace(tools=tools) if tools else ask


def _heavier(ask: Ask, tokens: int) -> Ask:
    weight: Weight = ask.weight._replace(fixed_tokens=ask.weight.fixed_tokens + tokens)
    return ask._replace(input_tokens=ask.input_tokens + tokens, weight=weight)


def _caching(ask: Ask, body: Body) -> Ask:
    """Models since GPT-5.6 write to the cache unasked, and that has a price; with others the
    flag costs nothing."""
    options = fields(body.get("prompt_cache_options"))
    if options.get("mode") == "explicit" and not ask.cache_write:
        return ask
    if ask.cache_write != "1h":
        values: List[Any] = list(ask)  # _replace is slow, and this is every request
        values[_WRITE] = "1h" if options.get("ttl") == "12h" else "5m"
        return Ask._make(values)
    return ask
