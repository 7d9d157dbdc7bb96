"""What a step may say beside its model and its tokens, and how that becomes the C structs."""

from __future__ import annotations

import ctypes as C
import datetime
import hashlib
import struct
import uuid
from typing import TYPE_CHECKING, Any, Dict, Mapping, SupportsIndex, Tuple, Type, TypeVar, Union

from . import _abi
from .errors import InvalidArgumentError
from .money import Money, nanos, span_ns
from .usage import Usage, usage_of
from .words import Complexity, RequestFlag, UsageFlag, Variant

Key = Union[str, bytes, int, uuid.UUID]

if TYPE_CHECKING:
    from typing_extensions import Literal, TypedDict

    class RequestOptions(TypedDict, total=False):
        """Options of reserve and step."""

        hold: bool  # hold without sending: begin() before the call goes out
        stream: bool  # will report with stream()
        final: bool  # the final answer: may use what is held back
        as_asked: bool  # this model or nothing: no rung below it
        cache_write: Union[bool, Literal["5m", "1h"]]  # input may be written to the cache
        input_tokens_upper: int  # the estimate's upper end, for context tiers
        choices: int  # answers asked for
        variant: Union[Variant, str]
        complexity: Union[Complexity, str]
        extra: Money  # priced extras: hosted tools, per-unit charges
        tool: str  # a tool step: counts tool_calls and calls(tool), at the tool's price
        meter: str  # a named meter, with units
        units: int
        attempt: int  # 0 = first
        parent: SupportsIndex  # the step that this one retries or belongs to
        ttl: Union[datetime.timedelta, int]  # a timedelta or nanoseconds

    class UsageOptions(TypedDict, total=False):
        """Options of settle."""

        provider: str  # who made a usage object that could mean two things
        incomplete: bool  # the answer was cut off: never below what was seen
        worst: bool  # nothing is known: the full worst case, flagged estimated
        cost: Money  # what the provider billed: do not price it
        extra: Money  # priced extras that were used
        units: int  # of the request's named meter
        key: Key  # idempotency key
        cache_write_1h_input_tokens: int
        audio_input_tokens: int
        cache_read_audio_input_tokens: int
        audio_output_tokens: int
        image_input_tokens: int
        image_output_tokens: int


_REQUEST_FLAGS = {
    "hold": RequestFlag.HOLD,
    "stream": RequestFlag.STREAM,
    "final": RequestFlag.FINAL,
    "as_asked": RequestFlag.AS_ASKED,
}
_USAGE_FLAGS = {"incomplete": UsageFlag.INCOMPLETE, "worst": UsageFlag.WORST}
_S = TypeVar("_S", bound=_abi.Sized)


_QUICK_FLAGS: Dict[Tuple[str, Any], int] = {
    **{(name, True): int(flag) for name, flag in _REQUEST_FLAGS.items()},
    **{(name, False): 0 for name in (*_REQUEST_FLAGS, "cache_write")},
    ("cache_write", True): int(RequestFlag.CACHE_WRITE),
    ("cache_write", "5m"): int(RequestFlag.CACHE_WRITE),
    ("cache_write", "1h"): int(RequestFlag.CACHE_WRITE_1H),
}


def flags_of(options: Mapping[str, Any]) -> int:
    """The flags of options that are nothing else; -1 when there is more to them."""
    flags = 0
    for option in options.items():
        try:
            flags |= _QUICK_FLAGS[option]
        except (KeyError, TypeError):
            return -1
    return flags


def request_struct(fields: Mapping[str, Any], options: Mapping[str, Any]) -> _abi.Request:
    """A bursar_request_t; names in it (`tool`, `meter`) are numbers already."""
    more = dict(options)
    flags = _flags(more, _REQUEST_FLAGS)
    write = more.pop("cache_write", False)
    if write:
        flags |= RequestFlag.CACHE_WRITE_1H if write == "1h" else RequestFlag.CACHE_WRITE
    if "extra" in more:
        more["extra_nanos"] = nanos(more.pop("extra"))
    if "ttl" in more:
        ttl = more.pop("ttl")
        more["ttl_ns"] = ttl if isinstance(ttl, int) else span_ns(ttl)
    if "variant" in more:
        more["variant"] = word(Variant, more["variant"])
    if "complexity" in more:
        more["complexity"] = word(Complexity, more["complexity"])
    if "parent" in more:
        more["parent"] = number(more["parent"])
    return filled(_abi.Request, {**more, **fields, "flags": flags})


def usage_struct(used: Any, options: Mapping[str, Any]) -> _abi.Usage:
    """A bursar_usage_t of counts, or of a provider's usage object."""
    more = dict(options)
    flags = _flags(more, _USAGE_FLAGS)
    provider = more.pop("provider", None)
    if "cost" in more:
        more["cost_nanos"] = nanos(more.pop("cost"))
        flags |= UsageFlag.COST
    if "extra" in more:
        more["extra_nanos"] = nanos(more.pop("extra"))
    key = more.pop("key", None)
    counts = (used if isinstance(used, Usage) else usage_of(used, provider))._asdict()
    if flags & (UsageFlag.COST | UsageFlag.WORST):
        for name in ("input_tokens", "output_tokens"):
            counts[name] = max(counts[name], 0)  # -1 is "not given"
    usage = filled(_abi.Usage, {**counts, **more, "flags": flags})
    if key is not None:
        usage.key = (C.c_uint64 * 2)(*key_words(key))
    return usage


def _flags(options: Dict[str, Any], names: Mapping[str, int]) -> int:
    return sum(flag for name, flag in names.items() if options.pop(name, False))


def filled(kind: Type[_S], fields: Mapping[str, Any]) -> _S:
    """A struct with these fields; an error for an unknown one, or one that does not fit."""
    value = kind()
    known = {field[0] for field in kind._fields_}
    for name, field in fields.items():
        if name not in known:
            raise TypeError(f"unknown option {name!r}")
        setattr(value, name, field)
        if getattr(value, name) != field:  # ctypes cuts silently
            raise InvalidArgumentError(f"{name} is {field}, which does not fit")
    return value


def key_words(key: Key) -> Tuple[int, int]:
    """An idempotency key of any kind as two words, never both zero."""
    if isinstance(key, uuid.UUID):
        key = key.int
    if isinstance(key, int):
        if not 0 < key < 1 << 128:
            raise InvalidArgumentError("an idempotency key is a number from 1 to 2**128 - 1")
        return key & ((1 << 64) - 1), key >> 64
    data = key.encode() if isinstance(key, str) else key
    low, high = struct.unpack("=QQ", hashlib.blake2b(data, digest_size=16).digest())
    return low, high


def number(reservation: SupportsIndex) -> int:
    """A reservation's number, of an int or a decision."""
    value = reservation.__index__()
    if not -(1 << 63) <= value < 1 << 63:
        raise InvalidArgumentError(f"{value} is no reservation")
    return value


def word(kind: Any, value: Any) -> int:
    """A constant given as itself, as its number or as its name in any case."""
    if isinstance(value, str):
        try:
            return int(kind[value.upper()])
        except KeyError:
            names = ", ".join(member.name.lower() for member in kind)
            raise InvalidArgumentError(f"{value!r} is none of {names}") from None
    return int(value)
