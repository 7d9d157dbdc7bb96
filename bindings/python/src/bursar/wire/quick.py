"""Plain chats, read in one go: most are, and this stands in the way of every call.

What is read here is read as the dialect and `usage_of` read it; all else is left to them.
"""

from __future__ import annotations

from typing import Any, Optional

from ..estimate import MESSAGE_TOKENS, text_tokens
from ..usage import Usage
from .dialect import Ask
from .dialects_openai import Chat
from .weight import PROMPT_TOKENS, Weight

_SILENT = {  # what a request may say that has no price
    "model", "messages", "max_tokens", "max_completion_tokens", "stream", "temperature", "top_p",
    "stop", "seed", "user", "presence_penalty", "frequency_penalty", "logit_bias", "metadata",
    "store", "reasoning_effort", "verbosity", "logprobs", "top_logprobs", "parallel_tool_calls",
}  # fmt: skip
_NAMES_SIZE = len("role") + 2 + len("content") + 2

_WHOLE = {
    "prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details",
    "completion_tokens_details",
}  # fmt: skip
_READ = {"cached_tokens", "audio_tokens"}
_MADE = {
    "reasoning_tokens", "audio_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens",
}  # fmt: skip
_MAX = 1 << 31


def chat_ask(chat: Chat, body: Any, path: str, host: str) -> Optional[Ask]:
    """What a plain request for a chat wants; None: ask the dialect."""
    try:
        if not body.keys() <= _SILENT or "/deployments/" in path or "mistral.ai" in host:
            return None
        messages, model = body["messages"], body["model"]
        name, other = "max_tokens", "max_completion_tokens"
        if other in body:
            name, other = other, name
        limit, stream = body.get(name), body.get("stream", False)
        if limit is None:
            if name in body:
                return None
            name = chat.limit_for(model, host)
        elif other in body or type(limit) is not int or not 0 <= limit < _MAX:
            return None
        if type(messages) is not list or type(model) is not str or type(stream) is not bool:
            return None
        text, wide = len(messages) * _NAMES_SIZE, 0
        for message in messages:
            role, content = message["role"], message["content"]
            if len(message) != 2 or type(role) is not str or type(content) is not str:
                return None
            if not role.isascii():
                return None
            text += len(role)
            if content.isascii():
                text += len(content)
            else:
                wide += len(content.encode("utf-8", "surrogatepass"))
    except (AttributeError, KeyError, TypeError):
        return None
    fixed = PROMPT_TOKENS + MESSAGE_TOKENS * len(messages)
    return Ask(
        model, text_tokens(text + wide) + fixed, limit, 1, stream, "standard", "5m", (name,), False,
        Weight(text, wide, 0, fixed))


def chat_usage(found: Any) -> Optional[Usage]:
    """The usage in a chat completion's `usage`; None: ask `usage_of`."""
    try:
        if not found.keys() <= _WHOLE:
            return None
        read, made = found["prompt_tokens"], found["completion_tokens"]
        total = found["total_tokens"]
        cached = reasoning = 0
        details = found.get("prompt_tokens_details")
        if details:
            if not details.keys() <= _READ or _heard(details):
                return None
            cached = details.get("cached_tokens", 0)
        details = found.get("completion_tokens_details")
        if details:
            if not details.keys() <= _MADE or _heard(details):
                return None
            reasoning = details.get("reasoning_tokens", 0)
        if (
            type(read) is int and type(made) is int
            and type(cached) is int and type(reasoning) is int
            and 0 <= cached <= read < _MAX and 0 <= reasoning <= made < _MAX
            and type(total) is int and total == read + made
        ):  # fmt: skip
            return Usage(read, cached, 0, 0, made, reasoning)
    except (AttributeError, KeyError, TypeError):
        pass
    return None


def _heard(details: Any) -> bool:
    """Whether sound is among the tokens, or what cannot be one."""
    tokens = details.get("audio_tokens")
    return tokens is not None and (type(tokens) is not int or tokens != 0)
