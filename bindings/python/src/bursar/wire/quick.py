"""Plain chats, read in one go: most are, and this stands in the way of every call.

What is read here is read as the dialect and `usage_of` read it; all else is left to them.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any, Optional

from ..estimate import MESSAGE_TOKENS, text_tokens
from ..hot import tuple_as
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
_role, _content = itemgetter("role"), itemgetter("content")


def chat_ask(chat: Chat, body: Any, path: str, host: str) -> Optional[Ask]:
    """What a plain request for a chat wants; None: ask the dialect."""
    try:
        messages, model, stream = body["messages"], body["model"], body.get("stream", False)
        if (
            type(messages) is not list or type(model) is not str or type(stream) is not bool
            or not body.keys() <= _SILENT or "/deployments/" in path or "mistral.ai" in host
        ):  # fmt: skip
            return None
        name, limit = "max_tokens", None
        if "max_completion_tokens" in body:
            if name in body:
                return None
            name = "max_completion_tokens"
        if name in body:
            limit = body[name]
            if type(limit) is not int or not 0 <= limit < _MAX:
                return None
        else:
            name = chat.limit_for(model, host)
        roles, texts = "".join(map(_role, messages)), "".join(map(_content, messages))
        frames = len(messages)
        if sum(map(len, messages)) != 2 * frames or not roles.isascii():
            return None
    except (AttributeError, KeyError, TypeError):
        return None
    text, wide = len(texts), 0
    if not texts.isascii():
        odd = [content for content in map(_content, messages) if not content.isascii()]
        text -= sum(map(len, odd))
        wide = sum([len(content.encode("utf-8", "surrogatepass")) for content in odd])
    text += frames * _NAMES_SIZE + len(roles)
    fixed = PROMPT_TOKENS + MESSAGE_TOKENS * frames
    weight: Weight = tuple_as(Weight, (text, wide, 0, fixed))
    ask: Ask = tuple_as(Ask, (
        model, text_tokens(text + wide) + fixed, limit, 1, stream, "standard", "5m", (name,), False,
        weight, (), "", False))  # fmt: skip
    return ask


def chat_usage(found: Any) -> Optional[Usage]:
    """The usage in a chat completion's `usage`; None: ask `usage_of`."""
    try:
        read, made, total = found["prompt_tokens"], found["completion_tokens"], found["total_tokens"]
        if not type(read) is type(made) is type(total) is int or total != read + made:
            return None
        cached = reasoning = 0
        if len(found) > 3:
            if not found.keys() <= _WHOLE:
                return None
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
            if not type(cached) is type(reasoning) is int:
                return None
        if 0 <= cached <= read < _MAX and 0 <= reasoning <= made < _MAX:
            usage: Usage = tuple_as(Usage, (read, cached, 0, 0, made, reasoning, 0, 0, 0, 0, 0))
            return usage
    except (AttributeError, KeyError, TypeError):
        pass
    return None


def _heard(details: Any) -> bool:
    """Whether sound is among the tokens, or what cannot be one."""
    tokens = details.get("audio_tokens")
    return tokens is not None and (type(tokens) is not int or tokens != 0)
