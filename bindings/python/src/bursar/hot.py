"""Settle, release, begin and stream, and what makes them and reserve cost about a microsecond.

Arguments are written with `struct` into ctypes structs that are borrowed from a pool for the
length of one call, and passed as converted once. A pool, not a buffer per thread: a finalizer
or a signal handler may settle while the same thread is in the middle of a call. What is unusual
(options, usage objects) takes the plain way with a fresh struct.
"""

from __future__ import annotations

import ctypes as C
import struct
from typing import TYPE_CHECKING, Any, Callable, List, NoReturn, Optional, SupportsIndex, Tuple
from typing import Type

from . import _abi
from .decision import Receipt, read_receipt
from .errors import InvalidArgumentError
from .link import Link
from .options import number, usage_struct
from .usage import Usage
from .words import Reason, Status

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .options import UsageOptions


class ReserveCall(C.Structure):
    _fields_ = [("request", _abi.Request), ("decision", _abi.Decision)]


class SettleCall(C.Structure):
    _fields_ = [
        ("reservation", C.c_int64), ("usage", _abi.Usage), ("receipt", _abi.Receipt),
        ("settled", C.c_int32),
    ]  # fmt: skip


# flags, model, tool, input, upper input, output, least output: from byte 4 of a ReserveCall
write_request = struct.Struct("=Iiiqqqq").pack_into
# reservation, size and flags of the usage, its first six counts: from byte 0 of a SettleCall
write_settle = struct.Struct("qIIqqqqqq").pack_into
NO_MEDIA = Usage()[6:]
USAGE_SIZE = C.sizeof(_abi.Usage)
DECISION_AT = ReserveCall.decision.offset
RECEIPT_AT = SettleCall.receipt.offset

reserve_frames: List[Tuple[Any, Any, Any]] = []
settle_frames: List[Tuple[Any, Any, Any, Any, Any]] = []


def reserve_frame() -> Tuple[Any, Any, Any]:
    """A call, and its request and decision as arguments."""
    call = ReserveCall(_abi.Request(), _abi.Decision())
    return call, C.byref(call), C.byref(call, DECISION_AT)


def settle_frame() -> Tuple[Any, Any, Any, Any, Any]:
    """A call, and its reservation, usage, receipt and settled as arguments."""
    call = SettleCall(0, _abi.Usage(), _abi.Receipt())
    offsets = SettleCall.usage.offset, RECEIPT_AT, SettleCall.settled.offset
    usage, receipt, settled = (C.byref(call, offset) for offset in offsets)
    return call, C.c_int64.from_buffer(call), usage, receipt, settled


# A value of a tuple's class without its slower constructor.
tuple_as: Callable[[Type[Any], Any], Any] = tuple.__new__


class Steps:
    """What can be done with a reservation; the base of Runtime and Session."""

    _link: Link

    def settle(
        self,
        reservation: SupportsIndex,
        usage: Any = None,
        *,
        input_tokens: int = -1,
        output_tokens: int = -1,
        cache_read_input_tokens: int = 0,
        cache_write_input_tokens: int = 0,
        reasoning_output_tokens: int = 0,
        **more: Unpack[UsageOptions],
    ) -> Receipt:
        """Replaces what a reservation held by what the step used, at every level.

        Give token counts, a provider's usage object (or whole answer), `cost=` or `worst=True`.
        Settling again with the same amounts answers with the first result; ConflictError with
        others. Usage above what was reserved is recorded in full.
        """
        link = self._link
        long_write = 0
        if type(usage) is Usage and not more and usage[6:] == NO_MEDIA:
            (input_tokens, cache_read_input_tokens, cache_write_input_tokens, long_write,
             output_tokens, reasoning_output_tokens) = usage[:6]  # fmt: skip
        elif more or usage is not None:
            if usage is None:
                usage = Usage(
                    input_tokens, cache_read_input_tokens, cache_write_input_tokens, 0,
                    output_tokens, reasoning_output_tokens)  # fmt: skip
            value, out = usage_struct(usage, more), _abi.Receipt()
            status = link.call.bursar_settle(
                link.handle, number(reservation), C.byref(value), C.byref(out))
            if status:
                settle_failed(link, status, reservation, value.input_tokens, value.output_tokens)
            return Receipt(*read_receipt(out))
        try:
            frame = settle_frames.pop()
        except IndexError:
            frame = settle_frame()
        call, number_arg, usage_arg, receipt_arg, _ = frame
        try:
            write_settle(
                call, 0, reservation, USAGE_SIZE, 0, input_tokens, cache_read_input_tokens,
                cache_write_input_tokens, long_write, output_tokens,
                reasoning_output_tokens)  # fmt: skip
        except struct.error as error:
            raise InvalidArgumentError(f"settle: {error}") from None
        function = link.settle
        status = function(link.arg, number_arg, usage_arg, receipt_arg)
        if status:
            settle_failed(link, status, reservation, input_tokens, output_tokens)
        result: Receipt = tuple_as(Receipt, read_receipt(call, RECEIPT_AT))
        settle_frames.append(frame)
        return result

    def release(self, reservation: SupportsIndex) -> None:
        """Gives back what a reservation held: the step did not happen and is not billed."""
        self._link.do("bursar_release", number(reservation))

    def begin(self, reservation: SupportsIndex) -> None:
        """Before a step that was reserved with `hold=True` goes out. ExpiredError: do not send."""
        self._link.do("bursar_begin", number(reservation))

    def stream(self, reservation: SupportsIndex, output_tokens: int) -> Optional[Reason]:
        """Reports a stream's output so far. None: go on; a reason: stop reading and settle."""
        link, reason = self._link, C.c_int32()
        status = link.stream(
            link.arg, C.c_int64(number(reservation)), C.c_int64(output_tokens), C.byref(reason))
        if status == Status.E_REFUSED:
            return Reason(reason.value)
        if status:
            link.failed(status, f"stream of {number(reservation)}")
        return None


def settle_failed(
    link: Link, status: int, reservation: SupportsIndex, input_tokens: int, output_tokens: int
) -> NoReturn:
    """Raises the error of a settle; -1 stands for a count that was not given."""
    what = f"settle of {number(reservation)}"
    if status == Status.E_INVALID and (input_tokens < 0 or output_tokens < 0):
        what += ": give input_tokens and output_tokens (0 or more), a usage object, or cost"
    link.failed(status, what)
