"""Anthropic's messages, by its own API and by Vertex, where the model is in the path."""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

from ..errors import InvalidArgumentError
from ..usage import usage_of
from .dialect import Ask, Body, Dialect, Others, Piece, Tools
from .dialect import count, fields, items, smaller, text, text_size
from .dialects_google import model_in, with_model
from .weight import weigh

_TOOLS_TOKENS = 600  # what is said to the model once it has any tool
_HOSTED_TOKENS = 1_000  # and for each tool that Anthropic has defined
_THINKING_MIN = 1_024


class Messages(Dialect):
    name = "anthropic.messages"
    provider = "anthropic"
    error_status = 402
    inputs = ("messages", "system", "tools", "tool_choice", "output_config", "output_format",
              "cache_control", "mcp_servers")  # fmt: skip

    def ask(self, body: Any, path: str = "", host: str = "") -> Optional[Ask]:
        if type(body) is not dict or "messages" not in body:
            return None
        get = body.get
        weight, cached = weigh(body, self.inputs)
        if "cache_control" in body and get("cache_control") is not None:
            long = fields(get("cache_control")).get("ttl") == "1h"
            cached = "1h" if long else cached or "5m"
        hosted = []
        tools = get("tools")
        if type(tools) is list and tools:
            extra = _TOOLS_TOKENS
            for tool in tools:
                kind = text(fields(tool).get("type"))
                if kind not in ("", "custom"):
                    extra += _HOSTED_TOKENS
                    if kind.startswith(("web_search_", "web_fetch_")):
                        uses = count(tool.get("max_uses")) or 0
                        hosted.append((kind.rpartition("_")[0], uses))
            weight = weight._replace(fixed_tokens=weight.fixed_tokens + extra)
        return Ask(
            self.model(body, path),
            weight.tokens,
            count(get("max_tokens")),
            1,
            self.streams(body, path),
            "priority" if get("speed") == "fast" else "standard",
            cached,
            ("max_tokens",),
            True,
            weight,
            tuple(hosted),
            text(fields(get("thread")).get("previous_message_id")) if "thread" in body else "",
        )

    def model(self, body: Body, path: str) -> str:
        return text(body.get("model"))

    def streams(self, body: Body, path: str) -> bool:
        return bool(body.get("stream"))

    def thinks_unseen(self, body: Body, model: str) -> bool:
        """A stream shows a summary of the thoughts; all of them are billed."""
        return text(fields(body.get("thinking")).get("type")) not in ("", "disabled")

    def grant(
        self, body: Body, path: str, ask: Ask, model: str, max_output_tokens: int
    ) -> Tuple[Body, str]:
        body = dict(body)
        if model and model != ask.model:
            body["model"] = model
        body["max_tokens"] = max_output_tokens
        thinking = body.get("thinking")
        if type(thinking) is dict:
            budget = smaller(thinking.get("budget_tokens"), ask.max_output_tokens,
                             max_output_tokens, _THINKING_MIN)  # fmt: skip
            if budget:
                body["thinking"] = {**thinking, "budget_tokens": budget}
            elif budget == 0:
                body["thinking"] = {"type": "disabled"}
        return body, path

    def tools(self, answer: Any) -> Tools:
        used = fields(fields(fields(answer).get("usage")).get("server_tool_use"))
        found = ((name, count(used.get(f"{name}_requests")) or 0)
                 for name in ("web_search", "web_fetch"))  # fmt: skip
        return tuple((name, number) for name, number in found if number)

    def others(self, answer: Any) -> Others:
        """Advisors: other models, beside the usage of this one."""
        found = []
        for part in items(fields(fields(answer).get("usage")).get("iterations")):
            part = fields(part)
            if part.get("type") == "advisor_message" and text(part.get("model")):
                try:
                    found.append((part["model"], usage_of(part, self.provider)))
                except InvalidArgumentError:
                    pass
        return tuple(found)

    def stored(self, answer: Any) -> Tuple[str, ...]:
        """What a thread may go on from."""
        name = text(fields(answer).get("id"))
        return (name,) if name else ()

    def piece(self, event: str, data: Any, seen: Body) -> Piece:
        if type(data) is not dict:
            return Piece()
        kind = text(data.get("type")) or event
        if kind == "content_block_delta":
            delta = fields(data.get("delta"))
            return Piece(None, sum(
                text_size(delta.get(n)) for n in ("text", "thinking", "partial_json")))  # fmt: skip
        if kind == "message_start":
            message = fields(data.get("message"))
            seen["id"], told = message.get("id"), message.get("usage")
        elif kind == "message_delta":
            told = data.get("usage")
        else:
            return Piece()
        if type(told) is not dict:
            return Piece()
        usage: Dict[str, Any] = seen.setdefault("usage", {})
        usage.update((name, value) for name, value in told.items() if value is not None)
        answer = {"id": seen.get("id"), "usage": dict(usage)}
        read = self.reported(answer)
        return Piece(read, 0, read is not None and kind == "message_delta", False, answer)

    def error(self, message: str) -> Body:
        return {"type": "error", "error": {"type": "billing_error", "message": message}}


class VertexMessages(Messages):
    name = "anthropic.vertex"

    def ask(self, body: Any, path: str = "", host: str = "") -> Optional[Ask]:
        if model_in(path) == "count-tokens":
            return None
        return super().ask(body, path, host)

    def model(self, body: Body, path: str) -> str:
        return model_in(path)

    def streams(self, body: Body, path: str) -> bool:
        return ":streamRawPredict" in path or bool(body.get("stream"))

    def grant(
        self, body: Body, path: str, ask: Ask, model: str, max_output_tokens: int
    ) -> Tuple[Body, str]:
        body, path = super().grant(body, path, ask, "", max_output_tokens)
        return body, with_model(path, model) if model and model != ask.model else path

