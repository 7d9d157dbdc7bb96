"""Money and spans as people write them, exactly: text, Decimal, whole nano-dollars, timedelta."""

from __future__ import annotations

import ctypes as C
import datetime
from decimal import Decimal
from typing import Any, Union

from . import _abi
from .errors import InvalidArgumentError, failure

Money = Union[str, int, Decimal]
Span = Union[str, datetime.timedelta]
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def nanos(amount: Money) -> int:
    """Nano-dollars of "$1.25", Decimal("1.25") (dollars) or 1_250_000_000 (nano-dollars)."""
    return _exact(amount, "bursar_money_parse", 9, "nano-dollars", "$1.25")


def picos(rate: Money) -> int:
    """Pico-dollars per token of "$0.28/M", Decimal("0.00000028") (dollars) or 280_000."""
    return _exact(rate, "bursar_rate_parse", 12, "pico-dollars per token", "$0.28/M")


def _exact(value: Money, parse: str, digits: int, unit: str, example: str) -> int:
    if isinstance(value, str):
        data, out, error = value.encode(), C.c_int64(), _abi.Error()
        function: Any = getattr(_abi.library().call, parse)
        status = function(data, len(data), C.byref(out), C.byref(error))
        if status:
            raise failure(status, f"{value!r} is not an amount", error)
        return out.value
    if isinstance(value, Decimal) and value.is_finite() and value.adjusted() < 30:
        over, under = value.as_integer_ratio()  # exact, whatever the context's precision
        scale: int = 10**digits
        whole, rest = divmod(over * scale, under)
        if rest:
            raise InvalidArgumentError(f"{value} is finer than {unit}")
        return whole
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise TypeError(
        f"money is never {type(value).__name__}: write text like {example!r}, a Decimal of "
        f"dollars or whole {unit}, not {value!r}")


def dollars(amount: int) -> str:
    """Nano-dollars as people read them: "$1.25"."""
    return _abi.read_text(_abi.library().call.bursar_money_format, amount)[1]


def span_ns(span: datetime.timedelta) -> int:
    """Whole nanoseconds of a timedelta."""
    if not isinstance(span, datetime.timedelta):
        raise TypeError(f"this time is a datetime.timedelta, not {span!r}")
    return (span.days * 86_400 + span.seconds) * 1_000_000_000 + span.microseconds * 1_000


def unix_ns(at: datetime.datetime) -> int:
    """Nanoseconds since 1970 of a datetime, the machine's where it has no zone."""
    return span_ns(at.astimezone(datetime.timezone.utc) - _EPOCH)


def span_text(span: Span) -> str:
    """A span in limit text; a timedelta has whole seconds."""
    if isinstance(span, str):
        return span
    seconds, rest = divmod(span_ns(span), 1_000_000_000)
    if rest or seconds <= 0:
        raise InvalidArgumentError(f"{span!r}: a time limit is a positive number of whole seconds")
    return f"{seconds}s"
