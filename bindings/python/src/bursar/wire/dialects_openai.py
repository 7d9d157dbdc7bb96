"""OpenAI's dialects, which most others speak too: Azure, Mistral, DeepSeek, xAI, LiteLLM, vLLM."""

from __future__ import annotations

import re
from typing import Any, Optional, Tuple
from urllib.parse import quote, unquote

from ..errors import InvalidArgumentError
from ..usage import Usage
from .dialect import Ask, Body, Dialect, Piece, count, text_size
from .weight import weigh

VARIANTS = {"flex": "flex", "priority": "priority", "batch": "batch"}  # service_tier
_DEPLOYMENT = re.compile(r"/deployments/([^/?]+)/")
_NEWEST = re.compile(r"(?:.*/)?(?:o\d|gpt-[5-9])")  # models that refuse max_tokens


class _OpenAI(Dialect):
    provider = "openai"
    limits: Tuple[str, ...] = ()
    inputs: Tuple[str, ...] = ()
    usage_option = False  # a stream sends usage only when asked to

    def ask(self, body: Any, path: str = "", host: str = "") -> Optional[Ask]:
        if type(body) is not dict or self.inputs[0] not in body:
            return None
        get = body.get
        weight = weigh(body, self.inputs)
        limits, limit = (), 0 if not self.limits else None
        for name in self.limits:
            given = get(name)
            if given is not None:
                given = count(given)
                limits += (name,)
                if given is not None and (limit is None or given < limit):
                    limit = given
        model = get("model")
        model = model if type(model) is str else ""
        if "/deployments/" in path:
            model = deployment(path) or model
        if self.limits and not limits:
            limits = (self.limit_for(model, host),)
        return Ask(
            model, weight.tokens, limit, self.choices(body), get("stream") is True,
            variant_of(get("service_tier")), "", limits, self.sees_usage(body, host), weight)

    def limit_for(self, model: str, host: str) -> str:
        return self.limits[0]

    def choices(self, body: Body) -> int:
        return count(body.get("n")) or 1

    def sees_usage(self, body: Body, host: str) -> bool:
        options = body.get("stream_options")
        asked = type(options) is dict and options.get("include_usage") is True
        return asked or not self.usage_option

    def grant(
        self, body: Body, path: str, ask: Ask, model: str, max_output_tokens: int
    ) -> Tuple[Body, str]:
        body = dict(body)
        if model and model != ask.model:
            body["model"] = model
            if "/deployments/" in path:
                path = _DEPLOYMENT.sub(f"/deployments/{quote(model, safe='')}/", path)
        for name in ask.limits:
            body[name] = max_output_tokens
        if ask.stream and not ask.usage_asked:
            options = body.get("stream_options")
            body["stream_options"] = {
                **(options if type(options) is dict else {}), "include_usage": True}
        return body, path


class Chat(_OpenAI):
    name = "openai.chat"
    inputs = ("messages", "tools", "functions", "response_format", "prediction")
    limits = ("max_completion_tokens", "max_tokens")
    usage_option = True

    def limit_for(self, model: str, host: str) -> str:
        newest = "openai." in host or _NEWEST.match(model)
        return "max_completion_tokens" if newest else "max_tokens"

    def piece(self, event: str, data: Any, seen: Body) -> Piece:
        if type(data) is not dict:
            return Piece()
        choices = data.get("choices")
        choices = choices if type(choices) is list else ()
        size, ended = 0, True
        for choice in choices:
            if type(choice) is dict:
                size += delta_size(choice.get("delta"))
                ended = ended and choice.get("finish_reason") is not None
        usage = self.reported(data)
        return Piece(usage, size, usage is not None and ended, usage is not None and not choices)

    def reported(self, data: Body) -> Optional[Usage]:
        try:
            return self.usage(data)
        except InvalidArgumentError:
            return None


def delta_size(delta: Any) -> int:
    """Bytes of output in the delta of a chat chunk."""
    if type(delta) is not dict:
        return 0
    size = 0
    for name in ("content", "refusal", "reasoning_content", "reasoning"):
        size += text_size(delta.get(name))
    calls = delta.get("tool_calls")
    for call in calls if type(calls) is list else ():
        function = call.get("function") if type(call) is dict else None
        if type(function) is dict:
            size += text_size(function.get("name")) + text_size(function.get("arguments"))
    return size


def deployment(path: str) -> str:
    """The deployment in an Azure path, which is its model; or ""."""
    found = _DEPLOYMENT.search(path)
    return unquote(found.group(1)) if found else ""


def variant_of(tier: Any) -> str:
    return VARIANTS.get(tier, "standard") if type(tier) is str else "standard"
