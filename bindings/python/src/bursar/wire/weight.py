"""What an input weighs: bytes by kind, and what is no text in tokens.

Walks parsed JSON without recursion, so that depth is no trouble, and never copies a string that
is ASCII. Only what a provider decodes counts as media; the words beside it count as words.
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Tuple

from ..estimate import (
    AUDIO_BYTES_PER_TOKEN, FILE_TOKENS, IMAGE_TOKENS, MESSAGE_TOKENS, text_tokens,
)  # fmt: skip

STORED_TOKENS = FILE_TOKENS  # what the provider has stored and nobody here has seen
PROMPT_TOKENS = 8  # what begins and ends a prompt
VIDEO_TOKENS = 300_000  # a video that is only referred to: 17 minutes at 290 a second
_URL_MAX = 8_192  # longer ones are no address


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


# What stands under these names is JSON to the model, pictures in it too.
_JSON, _IMAGE, _DATA, _FILE, _SOURCE, _VIDEO, _CACHE, _SOUND = range(1, 9)
_NAMES = {
    **dict.fromkeys((
        "tools", "functions", "response_format", "format", "toolConfig", "responseSchema",
        "responseJsonSchema", "input_schema", "parameters", "arguments", "args", "response",
        "output_config", "output_format", "tool_choice", "input", "generationConfig",
        "generation_config",
    ), _JSON),
    "image_url": _IMAGE,
    "data": _DATA, "result": _DATA,
    **dict.fromkeys(("file_id", "file_data", "file_url", "fileUri", "file_uri"), _FILE),
    "source": _SOURCE,
    "video_url": _VIDEO,
    "audio": _SOUND,
    **dict.fromkeys(("cache_control", "prompt_cache_breakpoint"), _CACHE),
}  # fmt: skip


def weigh(
    body: Dict[str, Any], names: Tuple[str, ...], fixed: int = PROMPT_TOKENS
) -> Tuple[Weight, str]:
    """The weight of these fields of a body, and how long it asks for them to be cached: "5m",
    "1h" or "". Any JSON is fine. `fixed`: tokens to begin with."""
    text = wide = shaped = 0
    cached = ""
    stack: List[Tuple[Any, bool]] = [
        (body[name], name != "input" and _NAMES.get(name) == _JSON)
        for name in names if name in body]  # fmt: skip
    pop, push, rule_of = stack.pop, stack.append, _NAMES.get
    while stack:
        value, is_json = pop()
        kind = type(value)
        if kind is str:
            if is_json:
                shaped += len(value) if value.isascii() else _size(value)
            elif value.isascii():
                text += len(value)
            else:
                wide += _size(value)
        elif kind is dict:
            if "role" in value:
                fixed += MESSAGE_TOKENS
            for key, item in value.items():
                if is_json:
                    shaped += (len(key) if key.isascii() else _size(key)) + 2
                else:
                    text += (len(key) if key.isascii() else _size(key)) + 2
                rule = rule_of(key)
                if rule is None:
                    if type(item) is not str:
                        push((item, is_json))
                    elif is_json:
                        shaped += len(item) if item.isascii() else _size(item)
                    elif item.isascii():
                        text += len(item)
                    else:
                        wide += _size(item)
                elif rule == _CACHE:
                    ttl = item.get("ttl") if type(item) is dict else None
                    cached = cached or "5m"
                    cached = "1h" if ttl in ("1h", "12h", "24h") else cached
                elif rule == _JSON or is_json:
                    push((item, True))
                else:
                    tokens, rest = _media(rule, key, item, value)
                    fixed += tokens
                    if rest is not None:
                        push((rest, False))
        elif kind is list:
            if not is_json and value and all(type(item) is int for item in value):
                fixed += len(value)  # an input given as tokens
                continue
            for item in value:
                push((item, is_json))
        elif kind is int:
            shaped += (value.bit_length() * 5 >> 4) + 2
        else:
            shaped += 24 if kind is float else 5
    return Weight(text, wide, shaped, fixed), cached


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _media(rule: int, key: str, item: Any, part: Dict[str, Any]) -> Tuple[int, Any]:
    """Tokens of what stands under a name that may lead to media, and what of it is text."""
    kind = part.get("type")
    if rule == _IMAGE or rule == _VIDEO:
        tokens = IMAGE_TOKENS if rule == _IMAGE else VIDEO_TOKENS
        if type(item) is dict:
            rest = {name: more for name, more in item.items() if name != "url"}
            return (tokens, rest) if _address(item.get("url")) else (tokens, item)
        return tokens, None if _address(item) else item
    if rule == _DATA:
        if type(item) is not str:
            return 0, item
        if key == "result":
            return (IMAGE_TOKENS, None) if kind == "image_generation_call" else (0, item)
        return _decoded(_mime(part), item)
    if rule == _FILE:
        if type(item) is not str:
            return 0, item
        if key == "file_data":
            return _decoded("", item)
        if kind not in (None, "input_file", "input_image", "file"):
            return 0, item  # a citation
        mime = _mime(part)
        if mime.startswith("video") or "youtu" in item:
            return VIDEO_TOKENS, None if _address(item) else item
        image = kind == "input_image" or mime.startswith("image")
        return IMAGE_TOKENS if image else FILE_TOKENS, item if len(item) > _URL_MAX else None
    if rule == _SOUND:  # an earlier answer's sound
        return (IMAGE_TOKENS, None) if type(item) is dict and "id" in item else (0, item)
    if type(item) is dict and item.get("type") in ("url", "file"):  # a source
        long = item if sum(len(v) for v in item.values() if type(v) is str) > _URL_MAX else None
        return IMAGE_TOKENS if kind == "image" else FILE_TOKENS, long
    return 0, item


def _address(value: Any) -> bool:
    if type(value) is not str:
        return False
    return value.startswith("data:") or value.startswith("http") and len(value) <= _URL_MAX


def _mime(part: Dict[str, Any]) -> str:
    for name in ("media_type", "mimeType", "mime_type", "format"):
        value = part.get(name)
        if type(value) is str:
            return value
    return ""


def _decoded(mime: str, data: str) -> Tuple[int, Any]:
    """Tokens of base64, and what of it is text instead."""
    if not mime and data.startswith("data:"):
        mime = data[5:64].partition(";")[0]
    kind = mime.partition("/")[0]
    if kind == "image":
        return IMAGE_TOKENS, None
    if kind in ("audio", "video", "wav", "mp3", "flac", "opus", "aac", "ogg", "m4a", "pcm16"):
        return len(data) // AUDIO_BYTES_PER_TOKEN + 1, None
    if kind == "text" or not (mime or data.startswith("data:") or len(data) > 256):
        return 0, data
    return max(text_tokens(len(data)), min(len(data), FILE_TOKENS)), None
