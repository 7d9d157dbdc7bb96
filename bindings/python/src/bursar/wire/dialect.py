"""What a dialect is: how one kind of request says what it wants, and what its answer cost."""

from __future__ import annotations

import json
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

from ..errors import InvalidArgumentError
from ..usage import Usage, usage_of
from .weight import Weight

Body = Dict[str, Any]
Tools = Tuple[Tuple[str, int], ...]  # hosted tools by name, and how often

Others = Tuple[Tuple[str, Usage], ...]  # usage of further models by name

TOKENS_MAX = (1 << 31) - 1  # larger counts in a request are taken as this


class Unpriceable(InvalidArgumentError):
    """A request to a priced path that cannot be read, so that nobody knows what it would cost."""


class Ask(NamedTuple):
    """What a request wants, as far as its price goes."""

    model: str = ""  # "" = it names none: as good as an unknown model
    input_tokens: int = 0  # at most, from `weight`; what `previous` brings is not in it
    max_output_tokens: Optional[int] = None  # of each choice; None = the caller names no limit
    choices: int = 1
    stream: bool = False
    variant: str = "standard"  # or "flex", "priority", "batch": words of the price book
    cache_write: str = ""  # "5m" or "1h": input may be written to the cache, kept so long
    limits: Tuple[str, ...] = ()  # the fields that the granted limit goes into; () = none to set
    usage_asked: bool = True  # the caller sees the usage event of a stream
    weight: Weight = Weight()
    tools: Tools = ()  # tools that the provider runs and bills, most uses of each; 0 = unknown
    previous: str = ""  # a stored answer, conversation or cache that becomes input too
    as_asked: bool = False  # another model would be of no use: embeddings


class Piece(NamedTuple):
    """What one event of a stream says."""

    usage: Optional[Usage] = None  # so far, of the whole answer
    content_bytes: int = 0  # of output in this event
    final: bool = False  # `usage` is the bill
    hide: bool = False  # it is there only because usage was asked for: not for the caller
    answer: Optional[Body] = None  # so much of the whole answer as `tools`, `others`, `stored` read


class Dialect:
    """One kind of priced request. Functions of what they are given; they keep nothing."""

    name = ""  # as in "openai.chat"
    provider = ""  # whose convention `usage_of` follows
    error_status = 429  # of an answer with `error` as its body
    counts_as_it_goes = False  # a stream's usage so far has all the output so far, thoughts too

    def ask(self, body: Any, path: str = "", host: str = "") -> Optional[Ask]:
        """What a parsed body wants. Never raises; None: nothing in it that this dialect's
        providers would bill (no object, no input), so the request may pass as it is."""
        raise NotImplementedError

    def grant(
        self, body: Body, path: str, ask: Ask, model: str, max_output_tokens: int
    ) -> Tuple[Body, str]:
        """Body and path for what was granted; those given are not changed. `model` "" = as
        asked. A stream is told to report its usage."""
        raise NotImplementedError

    def usage(self, answer: Any) -> Optional[Usage]:
        """What a whole answer reports; None when it has no usage. Raises InvalidArgumentError,
        and nothing else, for a usage that contradicts itself or is not made of numbers."""
        found = answer.get("usage") if isinstance(answer, dict) else None
        return usage_of(found, self.provider) if isinstance(found, dict) and found else None

    def tools(self, answer: Any) -> Tools:
        """The hosted tools that a whole answer used and that are billed by the use; never
        raises."""
        return ()

    def others(self, answer: Any) -> Others:
        """What further models, called by the provider, used for a whole answer beside `usage`;
        never raises."""
        return ()

    def stored(self, answer: Any) -> Tuple[str, ...]:
        """The names by which a later request's `previous` may bring this answer and its input
        back; never raises."""
        return ()

    def piece(self, event: str, data: Any, seen: Body) -> Piece:
        """What an event says; never raises. `seen` is the stream's own, {} at its start: the
        dialect keeps there what later events leave out."""
        raise NotImplementedError

    def thinks_unseen(self, body: Body, model: str) -> bool:
        """Whether a stream may leave out output that is billed: thoughts."""
        return False

    def reported(self, answer: Any) -> Optional[Usage]:
        """As `usage`, with None for one that cannot be read."""
        try:
            return self.usage(answer)
        except InvalidArgumentError:
            return None

    def error(self, message: str) -> Body:
        """The body with which this provider says that there is no money left."""
        return {"error": {"message": message, "type": "insufficient_quota", "param": None,
                          "code": "insufficient_quota"}}  # fmt: skip


def parsed(content: Union[bytes, str]) -> Any:
    """A request's or answer's JSON. Raises Unpriceable, and nothing else."""
    try:
        text = content if isinstance(content, str) else content.decode()
        try:
            value, end = _scan(text, 0)
            if end == len(text) or not text[end:].strip(" \t\n\r"):
                return value
        except StopIteration:
            pass
        return _decode(text[1:] if text[:1] == "\ufeff" else text)  # with space before it, or no JSON
    except RecursionError:
        raise Unpriceable("the body is nested too deeply to be read") from None
    except ValueError as error:  # not JSON, not UTF-8, or a number of thousands of digits
        raise Unpriceable(f"the body is no JSON: {error}") from None


def repacked(content: bytes, before: Body, after: Body) -> bytes:
    """`after` as bytes to send, where `content` is `before`: what is only added is put at its end.
    Raises Unpriceable, and nothing else."""
    if content[-1:] != b"}" or not before:
        return packed(after)
    added = dict(after)
    for name, value in before.items():
        if added.pop(name, packed) is not value:
            return packed(after)
    for name, value in added.items():
        if type(value) is not int or not name.isidentifier():
            return content[:-1] + b"," + packed(added)[1:]
    end = "".join([f',"{name}":{value}' for name, value in added.items()])
    return content[:-1] + end.encode() + b"}"


def packed(body: Body) -> bytes:
    """A body as bytes to send. Raises Unpriceable, and nothing else."""
    try:
        try:
            return _encode(body).encode()
        except UnicodeEncodeError:  # half a surrogate pair
            return json.dumps(body, separators=(",", ":")).encode()
    except RecursionError:
        raise Unpriceable("the body is nested too deeply to be written") from None


_decoder: Any = json.JSONDecoder()
_decode = _decoder.decode
_scan = _decoder.scan_once  # what `decode` asks, between looking for space
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def count(value: Any) -> Optional[int]:
    """A count in a request: a whole number from 0, held to TOKENS_MAX; None for all else."""
    if type(value) is int:
        return min(value, TOKENS_MAX) if value >= 0 else None
    if type(value) is float and value >= 0:
        return int(min(value, TOKENS_MAX)) if value.is_integer() or value > TOKENS_MAX else None
    return None


def text_size(value: Any) -> int:
    """Bytes of a text; 0 for all else."""
    if type(value) is not str:
        return 0
    return len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))


def items(value: Any) -> List[Any]:
    """A list; for all else an empty one."""
    return value if type(value) is list else []


def fields(value: Any) -> Body:
    """An object; for all else an empty one."""
    return value if type(value) is dict else {}


def text(value: Any) -> str:
    """A text; for all else an empty one."""
    return value if type(value) is str else ""


def smaller(budget: Any, asked: Optional[int], granted: int, least: int) -> Optional[int]:
    """A thinking budget that was below the limit asked for, below the limit granted: its share
    of the limit stays (half, where none was asked for), but never less than `least`. None: leave
    it as it is. 0: no room for one."""
    given = count(budget)
    if not given:
        return None
    asked = 2 * given if asked is None else asked
    if given >= asked or granted >= asked:
        return None
    return 0 if granted <= least else max(least, given * granted // asked)
