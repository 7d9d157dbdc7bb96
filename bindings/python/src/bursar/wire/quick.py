"""The usage of a plain OpenAI answer, read in one go: most answers are plain.

What it reads, it reads as `usage_of` does; whatever is unusual it leaves to that.
"""

from __future__ import annotations

from typing import Any, Optional

from ..usage import Usage

_WHOLE = {
    "prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details",
    "completion_tokens_details",
}  # fmt: skip
_READ = {"cached_tokens", "audio_tokens"}
_MADE = {
    "reasoning_tokens", "audio_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens",
}  # fmt: skip
_MAX = 1 << 31


def chat_usage(found: Any) -> Optional[Usage]:
    """The usage in a chat completion's `usage`; None: ask `usage_of`."""
    try:
        if not found.keys() <= _WHOLE:
            return None
        read, made = found["prompt_tokens"], found["completion_tokens"]
        cached = reasoning = 0
        details = found.get("prompt_tokens_details")
        if details:
            if not details.keys() <= _READ or details.get("audio_tokens"):
                return None
            cached = details.get("cached_tokens") or 0
        details = found.get("completion_tokens_details")
        if details:
            if not details.keys() <= _MADE or details.get("audio_tokens"):
                return None
            reasoning = details.get("reasoning_tokens") or 0
        if (
            type(read) is int and type(made) is int
            and type(cached) is int and type(reasoning) is int
            and 0 <= cached <= read < _MAX and 0 <= reasoning <= made < _MAX
            and found.get("total_tokens") == read + made
        ):  # fmt: skip
            return Usage(read, cached, 0, 0, made, reasoning)
    except (AttributeError, KeyError, TypeError):
        pass
    return None
