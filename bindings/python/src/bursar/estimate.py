"""How much an input weighs: bytes of text, and tokens of what is no text.

What the bytes are in tokens is learnt: estimator.py. Until then, and where nobody learns,
`estimate_tokens` counts a token for every 2.5 bytes of UTF-8: of 8,589 real agent steps 25 had
fewer bytes per token, the lowest 2.28. Keys and names count too, since providers send them in
some form. What is not text counts at the dear end of what providers take for it.
"""

from __future__ import annotations

from typing import Any, Iterable, List, Mapping, Optional, Tuple, Union

Input = Union[int, str, bytes, Mapping[str, Any], Iterable[Any]]

MESSAGE_TOKENS = 4  # what a provider adds around one message
IMAGE_TOKENS = 5_000  # one image, at the highest resolution that is billed by itself
FILE_TOKENS = 50_000  # one document that is only referred to
AUDIO_BYTES_PER_TOKEN = 40  # base64 of compressed speech
_HOLDERS = ("image_url", "inline_data", "source", "input_audio", "audio", "image")
_ENCODED = ("data", "b64_json", "result", "bytes")  # in base64
_MEDIA = (*_ENCODED, "url", "file_id", "file_uri")
_BYTES = (bytes, bytearray, memoryview)
_ADDRESS_MAX = 8_192  # longer ones are no address


def estimate_tokens(input: Input) -> int:
    """Tokens of messages, a text or bytes, rounded up; a number is taken as it is."""
    if isinstance(input, int) and not isinstance(input, bool):
        return input
    size, tokens = measured(input)
    return tokens + text_tokens(size)


def measured(input: Any, texts: Optional[List[str]] = None) -> Tuple[int, int]:
    """Bytes of text, and tokens of everything else. The texts are added to a list."""
    if isinstance(input, (bool, float)):
        raise TypeError(f"input= is text, messages or a whole number, not {input!r}")
    return _walk(input, texts)


def text_tokens(size: int) -> int:
    """Tokens of so many bytes of text at most: size / 2.5, rounded up."""
    return (size * 2 + 4) // 5


def _walk(value: Any, texts: Optional[List[str]] = None) -> Tuple[int, int]:
    if isinstance(value, str):
        if texts is not None:
            texts.append(value)
        return len(value.encode("utf-8", "surrogatepass")), 0
    if isinstance(value, (bytes, bytearray, memoryview)):
        if texts is not None:
            texts.append(bytes(value).decode("utf-8", "replace"))
        return len(value), 0
    if value is None or isinstance(value, (int, float)):
        return len(str(value)), 0
    if not isinstance(value, Mapping):
        value = _plain(value)
    if isinstance(value, Mapping):
        return _part(value, texts)
    size = tokens = 0
    for item in value:
        more, extra = _walk(item, texts)
        size, tokens = size + more, tokens + extra
    return size, tokens


def _part(part: Mapping[str, Any], texts: Optional[List[str]]) -> Tuple[int, int]:
    kind = str(part.get("type", ""))
    tokens = MESSAGE_TOKENS if "role" in part else 0
    if "image" in kind or "image_url" in part or "inline_data" in part:
        part, pictures, _ = _aside(part, "image" in kind)
        tokens += IMAGE_TOKENS * max(1, pictures)
    elif "audio" in kind:
        part, _, bytes = _aside(part, True)
        tokens += bytes // AUDIO_BYTES_PER_TOKEN + 1
    elif ("file" in kind or "document" in kind) and _walk(list(part.values()))[0] < 4_096:
        return 0, FILE_TOKENS
    size = 0
    for key, item in part.items():
        more, extra = _walk(item, texts)
        size, tokens = size + more + len(str(key)) + 2, tokens + extra
    return size, tokens


def _aside(part: Mapping[str, Any], is_media: bool) -> Tuple[Mapping[str, Any], int, int]:
    """A part without its pictures and sounds, how many they are, and their bytes: the words beside
    them stay. `is_media`: any string of its own may be one, not only what is under `image_url`."""
    rest, count, bytes = {}, 0, 0
    for key, item in part.items():
        if key in _HOLDERS and not isinstance(item, (str, *_BYTES, type(None), int, float)):
            item = item if isinstance(item, Mapping) else _plain(item)
            if isinstance(item, Mapping):
                item, more, size = _aside(item, True)
                count, bytes = count + more, bytes + size
        elif isinstance(item, _BYTES) or isinstance(item, str) and (
                key in _HOLDERS or is_media and key in _MEDIA) and _is_media(key, item):
            count, bytes = count + 1, bytes + len(item)
            continue
        rest[key] = item
    return rest, count, bytes


def _is_media(key: str, text: str) -> bool:
    """Whether a text is a picture or a sound itself, or its address."""
    return key in _ENCODED or text.startswith("data:") or len(text) <= _ADDRESS_MAX


def _plain(value: Any) -> Any:
    """A message object of an SDK as a mapping, anything else that holds items as it is."""
    if isinstance(value, type):  # an answer's format, which is sent as its schema
        schema = getattr(value, "model_json_schema", None)
        return schema() if callable(schema) else value.__name__
    for name in ("model_dump", "dict", "_asdict"):
        dump = getattr(value, name, None)
        if callable(dump):
            return dump()
    if hasattr(value, "__iter__"):
        return value
    if hasattr(value, "__dict__"):
        return vars(value)
    return str(value)
