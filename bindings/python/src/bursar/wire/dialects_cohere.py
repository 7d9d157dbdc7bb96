"""Cohere's v2: chat and embed. It bills what `billed_units` says."""

from __future__ import annotations

from typing import Any, Optional, Tuple

from ..usage import Usage, usage_of
from .dialect import Ask, Body, Dialect, Piece, count, fields, items, smaller, text, text_size
from .weight import weigh


class CohereChat(Dialect):
    name = "cohere.chat"
    provider = "cohere"
    inputs: Tuple[str, ...] = ("messages", "tools", "documents", "response_format")

    def ask(self, body: Any, path: str = "", host: str = "") -> Optional[Ask]:
        if type(body) is not dict or "messages" not in body:
            return None
        weight, _ = weigh(body, self.inputs)
        return Ask(
            text(body.get("model")), weight.tokens, count(body.get("max_tokens")),
            stream=bool(body.get("stream")), limits=("max_tokens",), weight=weight)  # fmt: skip

    def grant(
        self, body: Body, path: str, ask: Ask, model: str, max_output_tokens: int
    ) -> Tuple[Body, str]:
        body = {**body, "max_tokens": max_output_tokens}
        if model:
            body["model"] = model
        thinking = body.get("thinking")
        if type(thinking) is dict:
            budget = smaller(
                thinking.get("token_budget"), ask.max_output_tokens, max_output_tokens, 1)
            if budget is not None:
                body["thinking"] = {**thinking, "token_budget": max(1, budget)}
        return body, path

    def piece(self, event: str, data: Any, seen: Body) -> Piece:
        if type(data) is not dict:
            return Piece()
        delta = fields(data.get("delta"))
        if (text(data.get("type")) or event) == "message-end":
            usage = self.reported(delta)
            return Piece(usage, 0, usage is not None)
        message = fields(delta.get("message"))
        content, size = fields(message.get("content")), text_size(message.get("tool_plan"))
        size += text_size(content.get("text")) + text_size(content.get("thinking"))
        calls = message.get("tool_calls")
        for call in [calls] if type(calls) is dict else items(calls):
            function = fields(fields(call).get("function"))
            size += text_size(function.get("name")) + text_size(function.get("arguments"))
        return Piece(None, size)

    def error(self, message: str) -> Body:
        return {"message": message}


class CohereEmbed(CohereChat):
    name = "cohere.embed"
    inputs = ("texts", "inputs", "images")

    def ask(self, body: Any, path: str = "", host: str = "") -> Optional[Ask]:
        if type(body) is not dict or not any(name in body for name in self.inputs):
            return None
        weight, _ = weigh(body, self.inputs)
        return Ask(text(body.get("model")), weight.tokens, 0, weight=weight, as_asked=True)

    def grant(
        self, body: Body, path: str, ask: Ask, model: str, max_output_tokens: int
    ) -> Tuple[Body, str]:
        return {**body, "model": model} if model else dict(body), path

    def usage(self, answer: Any) -> Optional[Usage]:
        found = fields(answer).get("meta")
        return usage_of(found, self.provider) if "billed_units" in fields(found) else None

    def piece(self, event: str, data: Any, seen: Body) -> Piece:
        return Piece()
