"""What an input weighs: bytes by kind, and what is no text in tokens.

Walks parsed JSON without recursion, so that depth is no trouble; a string that is ASCII is not
copied to be measured.
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Tuple

from ..estimate import (
    AUDIO_BYTES_PER_TOKEN, FILE_TOKENS, IMAGE_TOKENS, MESSAGE_TOKENS, text_tokens,
)  # fmt: skip


class Weight(NamedTuple):
    """Bytes of UTF-8 by kind, and tokens of everything else. A tokenizer or a learnt estimator
    may count the bytes better; `tokens` is the safe count."""

    text_bytes: int = 0  # prose, and code written as prose, in ASCII
    wide_bytes: int = 0  # of texts with other characters in them
    json_bytes: int = 0  # schemas of tools and formats, arguments of calls
    fixed_tokens: int = 0  # frames of messages, images, audio, files, inputs given as tokens

    @property
    def bytes(self) -> int:
        return self.text_bytes + self.wide_bytes + self.json_bytes

    @property
    def tokens(self) -> int:
        """At most so many tokens: bytes / 2.5, rounded up, and the fixed ones."""
        return text_tokens(self.bytes) + self.fixed_tokens


_STRUCTURED = {
    "tools", "functions", "response_format", "format", "toolConfig", "responseSchema",
    "responseJsonSchema", "input_schema", "parameters", "arguments", "args", "functionCall",
    "functionResponse", "output_config", "output_format", "tool_choice",
}  # fmt: skip


def weigh(body: Dict[str, Any], names: Tuple[str, ...]) -> Weight:
    """The weight of these fields of a body. Any JSON is fine."""
    text = wide = shaped = fixed = 0
    stack: List[Tuple[Any, bool]] = [
        (body[name], name in _STRUCTURED) for name in names if name in body]
    pop, push = stack.pop, stack.append
    while stack:
        value, structured = pop()
        kind = type(value)
        if kind is str:
            if value.isascii():
                size = len(value)
            else:
                size = len(value.encode("utf-8", "surrogatepass"))
                if not structured:
                    wide += size
                    continue
            if structured:
                shaped += size
            else:
                text += size
        elif kind is dict:
            media = _media(value)
            if media:
                fixed += media
                continue
            if "role" in value:
                fixed += MESSAGE_TOKENS
            for key, item in value.items():
                size = len(key) + 2
                if structured:
                    shaped += size
                else:
                    text += size
                push((item, structured or key in _STRUCTURED))
        elif kind is list:
            if value and type(value[0]) is int:
                fixed += len(value)  # an input given as tokens
                continue
            for item in value:
                push((item, structured))
        else:
            shaped += 24 if kind is float else len(str(value)) if kind is bool else 6
    return Weight(text, wide, shaped, fixed)


def _media(part: Dict[str, Any]) -> int:
    """Tokens of a part that is no text, or 0."""
    kind = part.get("type")
    kind = kind if type(kind) is str else ""
    if "image" in kind or "image_url" in part:
        return IMAGE_TOKENS
    if "audio" in kind:
        return _longest(part) // AUDIO_BYTES_PER_TOKEN + 1
    return 0


def _longest(part: Dict[str, Any]) -> int:
    found = 0
    for value in part.values():
        if type(value) is str:
            found += len(value)
        elif type(value) is dict:
            found += sum(len(item) for item in value.values() if type(item) is str)
    return found
