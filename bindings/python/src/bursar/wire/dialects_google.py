"""Google's dialects, by AI Studio and by Vertex: the model is in the path."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Optional, Tuple
from urllib.parse import quote, unquote

from ..errors import InvalidArgumentError
from ..usage import Usage, usage_of
from .dialect import TOKENS_MAX, Ask, Body, Dialect, Piece, Tools
from .dialect import count, fields, items, smaller, text, text_size
from .weight import Weight, weigh

_VARIANTS = {"flex": "flex", "priority": "priority"}
_MODEL = re.compile(r"([^/:?]+)(:[A-Za-z]+(?:\?.*)?)$", re.DOTALL)
_PLAIN = re.compile(r"gemini-(1\.|2\.0)|gemma")  # models that do not think
_THINKING_MIN = 512  # no model that takes a budget refuses this one
_CONFIGS = ("generationConfig", "generation_config")
_LIMITS = ("maxOutputTokens", "max_output_tokens")
_CHOICES = ("candidateCount", "candidate_count")
_THINKING = (("thinkingConfig", "thinkingBudget"), ("thinking_config", "thinking_budget"))


def model_in(path: str) -> str:
    """The model before the verb: "m" of ".../models/m:generateContent"; "" where there is none."""
    found = _MODEL.search(path)
    return unquote(found.group(1)) if found else ""


def with_model(path: str, model: str) -> str:
    """The same path with another model before the verb."""
    name = quote(model.rpartition("/")[2], safe="@.-_~")
    return _MODEL.sub(lambda found: name + found.group(2), path)


class _Google(Dialect):
    provider = "google"

    def usage(self, answer: Any) -> Optional[Usage]:
        found = fields(answer).get("usageMetadata")
        if type(found) is not dict or "promptTokenCount" not in found:
            return None  # Vertex streams begin with a usage that has no counts yet
        return usage_of(found, self.provider)

    def error(self, message: str) -> Body:
        return {"error": {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED"}}


class Generate(_Google):
    """generateContent and streamGenerateContent. Proto's JSON: names in camel or snake case."""

    name = "google.generate"
    counts_as_it_goes = True
    inputs = ("contents", "systemInstruction", "system_instruction", "tools")
    schemas = ("responseSchema", "response_schema", "responseJsonSchema", "response_json_schema",
               "_responseJsonSchema")  # fmt: skip

    def ask(self, body: Any, path: str = "", host: str = "") -> Optional[Ask]:
        if type(body) is not dict or "contents" not in body:
            return None
        weight, _ = weigh(body, self.inputs)
        where = next((name for name in _CONFIGS if name in body), _CONFIGS[0])
        config = fields(body.get(where))
        if config:
            shapes = {name: config[name] for name in self.schemas if name in config}
            if shapes:
                weight = Weight(*map(sum, zip(weight, weigh({"tools": shapes}, ("tools",), 0)[0])))
        given = tuple(name for name in _LIMITS if config.get(name) is not None)
        counts = [c for c in (count(config[name]) for name in given) if c is not None]
        choices = next((count(config[n]) for n in _CHOICES if n in config), 1) or 1
        tier = text(body.get("serviceTier") or body.get("service_tier")).lower()
        tools = []
        for tool in items(body.get("tools")):
            if type(tool) is dict and not {"googleSearch", "google_search"}.isdisjoint(tool):
                tools.append(("web_search", 0))
        return Ask(
            model_in(path),
            weight.tokens,
            min(counts) if counts else None,
            choices,
            ":streamGenerateContent" in path,
            _VARIANTS.get(tier, "standard"),
            "",
            tuple(f"{where}.{name}" for name in given or _LIMITS[:1]),
            True,
            weight,
            tuple(tools),
            text(body.get("cachedContent") or body.get("cached_content")),
        )

    def grant(
        self, body: Body, path: str, ask: Ask, model: str, max_output_tokens: int
    ) -> Tuple[Body, str]:
        where = ask.limits[0].partition(".")[0]
        config = dict(fields(body.get(where)))
        for limit in ask.limits:
            config[limit.partition(".")[2]] = max_output_tokens
        for name, part in _THINKING:
            if type(config.get(name)) is dict:
                budget = smaller(config[name].get(part), ask.max_output_tokens, max_output_tokens,
                                 _THINKING_MIN)  # fmt: skip
                if budget is not None:
                    config[name] = {**config[name], part: budget or _THINKING_MIN}
        body = {**body, where: config}
        return body, with_model(path, model) if model and model != ask.model else path

    def thinks_unseen(self, body: Body, model: str) -> bool:
        return _PLAIN.search(model) is None

    def tools(self, answer: Any) -> Tools:
        """Searches: Gemini 3 is billed by the query, those before it by the answer."""
        queries = 0
        for candidate in items(fields(answer).get("candidates")):
            grounding = fields(fields(candidate).get("groundingMetadata"))
            queries += len(items(grounding.get("webSearchQueries")))
        model = text(fields(answer).get("modelVersion"))
        if queries and model.startswith(("gemini-1", "gemini-2")):
            queries = 1
        return (("web_search", queries),) if queries else ()

    def piece(self, event: str, data: Any, seen: Body) -> Piece:
        if type(data) is not dict:
            return Piece()
        size, ended = 0, False
        for candidate in items(data.get("candidates")):
            candidate = fields(candidate)
            ended = ended or candidate.get("finishReason") is not None
            for part in items(fields(candidate.get("content")).get("parts")):
                size += _part_size(part)
            if "groundingMetadata" in candidate:
                seen["grounded"] = data
        if ended or "promptFeedback" in data:
            seen["ended"] = True
        ended = "ended" in seen  # the usage may come later
        usage = self.reported(data)
        return Piece(usage, size, usage is not None and ended, False, seen.get("grounded"))


def _part_size(part: Any) -> int:
    part = fields(part)
    size = text_size(part.get("text"))
    call = part.get("functionCall")
    if type(call) is dict:
        size += weigh({"args": call}, ("args",))[0].bytes
    code = part.get("executableCode")
    if type(code) is dict:
        size += text_size(code.get("code"))
    return size or bool(part.get("inlineData"))


class Embed(_Google):
    """embedContent, batchEmbedContents, and Vertex' predict of an embedding model."""

    name = "google.embed"
    inputs = ("content", "requests", "instances")

    def ask(self, body: Any, path: str = "", host: str = "") -> Optional[Ask]:
        if type(body) is not dict or not any(name in body for name in self.inputs):
            return None
        weight, _ = weigh(body, self.inputs)
        return Ask(model_in(path), weight.tokens, 0, weight=weight, as_asked=True)

    def grant(
        self, body: Body, path: str, ask: Ask, model: str, max_output_tokens: int
    ) -> Tuple[Body, str]:
        if not model or model == ask.model:
            return dict(body), path
        name = "models/" + model.rpartition("/")[2]
        body = {**body, "model": name} if "model" in body else dict(body)
        if type(body.get("requests")) is list:
            body["requests"] = [
                {**r, "model": name} if type(r) is dict and "model" in r else r
                for r in body["requests"]
            ]
        return body, with_model(path, model)

    def usage(self, answer: Any) -> Optional[Usage]:
        usage = super().usage(answer)
        if usage is not None:
            return usage
        told: List[Any] = [
            fields(fields(fields(one).get("embeddings")).get("statistics")).get("token_count")
            for one in items(fields(answer).get("predictions"))
        ]
        counts = [number for number in map(count, told) if number is not None]
        if counts and len(counts) == len(told):
            return Usage(min(sum(counts), TOKENS_MAX))
        if any(one is not None for one in told):
            raise InvalidArgumentError(f"token_count is {told!r:.100}, not numbers of tokens")
        return None

    def piece(self, event: str, data: Any, seen: Body) -> Piece:
        return Piece()
