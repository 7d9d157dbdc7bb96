"""Settle, release and stream, and the names they need: the part of a runtime that steps use.

Arguments are written with `struct` into ctypes structs that are borrowed from a pool for the
length of one call, and passed as converted once. A pool, not a buffer per thread: a finalizer
or a signal handler may settle while the same thread is in the middle of a call. What is unusual
(options, usage objects) takes the plain way with a fresh struct.
"""

from __future__ import annotations

import ctypes as C
import struct
from typing import TYPE_CHECKING, Any, Callable, Dict, List, NoReturn, Optional
from typing import SupportsIndex, Tuple, Type

from . import _abi
from .decision import RECEIPT, Receipt
from .errors import ClosedError, InvalidArgumentError, failure
from .options import number, usage_struct
from .usage import Usage
from .words import Reason, Status, TextKind

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .options import UsageOptions


class _SettleCall(C.Structure):
    _fields_ = [("reservation", C.c_int64), ("usage", _abi.Usage)]


# reservation, size and flags of the usage, its first six counts: a _SettleCall's beginning
SETTLE = struct.Struct("=qIIqqqqqq")
# flags, model, tool, input, upper input, output, least output: behind a request's size
REQUEST = struct.Struct("=Iiiqqqq")
USAGE_SIZE = C.sizeof(_abi.Usage)

# A receipt of a tuple, without its slower constructor.
_receipt: Callable[[Type[Receipt], Any], Receipt] = tuple.__new__

settle_frames: List[Tuple[Any, Any, Any, Any, Any]] = []
reserve_frames: List[Tuple[Any, Any, Any, Any]] = []


def settle_frame() -> Tuple[Any, Any, Any, Any, Any]:
    """A call struct, its reservation and usage as arguments; a receipt, and it as argument."""
    call, receipt = _SettleCall(), _abi.Receipt()
    reservation = C.c_int64.from_buffer(call)
    usage = C.byref(call, _SettleCall.usage.offset)
    return call, reservation, usage, receipt, C.byref(receipt)


def reserve_frame() -> Tuple[Any, Any, Any, Any]:
    """A request and a decision, each with itself as argument."""
    request, decision = _abi.Request(), _abi.Decision()
    return request, C.byref(request), decision, C.byref(decision)


class Steps:
    """What a runtime does for its sessions' steps. The base of Runtime."""

    def __init__(self, handle: int) -> None:
        library = _abi.library()
        self._call: Any = library.call
        self._hot: Any = library.hot
        self._settle: Any = library.hot.bursar_settle
        self._handle: Optional[int] = handle  # None = closed
        self._arg: Any = C.c_void_p(handle)  # the same, as the hot functions take it
        self._models: Dict[Optional[str], int] = {None: 0}
        self._model_names: Dict[int, str] = {}
        self._tools: Dict[str, int] = {}
        self._meters: Dict[str, int] = {}

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
        if more or usage is not None:
            if usage is None:
                usage = Usage(
                    input_tokens, cache_read_input_tokens, cache_write_input_tokens, 0,
                    output_tokens, reasoning_output_tokens)  # fmt: skip
            value, out = usage_struct(usage, more), _abi.Receipt()
            status = self._call.bursar_settle(
                self._handle, number(reservation), C.byref(value), C.byref(out))
            if status:
                self._settle_failed(status, reservation, value.input_tokens, value.output_tokens)
            return _receipt(Receipt, RECEIPT.unpack_from(out, 4))
        try:
            frame = settle_frames.pop()
        except IndexError:
            frame = settle_frame()
        call, number_arg, usage_arg, receipt, receipt_arg = frame
        try:
            SETTLE.pack_into(
                call, 0, reservation, USAGE_SIZE, 0, input_tokens, cache_read_input_tokens,
                cache_write_input_tokens, 0, output_tokens, reasoning_output_tokens)  # fmt: skip
        except struct.error as error:
            raise InvalidArgumentError(f"settle: {error}") from None
        status = self._settle(self._arg, number_arg, usage_arg, receipt_arg)
        if status:
            self._settle_failed(status, reservation, input_tokens, output_tokens)
        result = _receipt(Receipt, RECEIPT.unpack_from(receipt, 4))
        settle_frames.append(frame)
        return result

    def release(self, reservation: SupportsIndex) -> None:
        """Gives back what a reservation held: the step did not happen and is not billed."""
        self._do("bursar_release", number(reservation))

    def begin(self, reservation: SupportsIndex) -> None:
        """Before a step that was reserved with `hold=True` goes out. ExpiredError: do not send."""
        self._do("bursar_begin", number(reservation))

    def stream(self, reservation: SupportsIndex, output_tokens: int) -> Optional[Reason]:
        """Reports a stream's output so far. None: go on; a reason: stop reading and settle."""
        reason = C.c_int32()
        status = self._hot.bursar_stream(
            self._arg, C.c_int64(number(reservation)), C.c_int64(output_tokens), C.byref(reason))
        if status == Status.E_REFUSED:
            return Reason(reason.value)
        if status:
            self._failed(status, f"stream of {number(reservation)}")
        return None

    # ---- Names, resolved once ----

    def _model(self, name: Optional[str]) -> int:
        try:
            return self._models[name]
        except KeyError:
            data, out = str(name).encode(), C.c_int32()
            self._do("bursar_model_find", data, len(data), C.byref(out))
            self._models[name] = out.value
            return out.value

    def _model_name(self, model: int) -> str:
        if model not in self._model_names:
            call = self._call.bursar_model_name
            status, name = _abi.read_text(call, self._handle, model)
            if status:
                self._failed(status, f"model {model}")
            self._model_names[model] = name
        return self._model_names[model]

    def _tool(self, name: str) -> int:
        if name not in self._tools:
            self._tools[name] = self._named("bursar_tool_find", name)
        return self._tools[name]

    def _meter(self, name: str) -> int:
        if name not in self._meters:
            self._meters[name] = self._named("bursar_meter_define", name)
        return self._meters[name]

    def _named(self, function: str, name: str) -> int:
        data, out = name.encode(), C.c_int32()
        self._ask(function, data, len(data), C.byref(out))
        return out.value

    def _text(self, id: int, kind: TextKind) -> str:
        """A text of a budget or session, empty when there is none."""
        return _abi.read_text(self._call.bursar_text_read, self._handle, id, kind)[1]

    # ---- Calls that raise ----

    def _do(self, name: str, *arguments: Any) -> None:
        """Calls a function that takes no bursar_error_t."""
        status = getattr(self._call, name)(self._handle, *arguments)
        if status:
            self._failed(status, f"{name[7:]}{arguments[:1]}")

    def _ask(self, name: str, *arguments: Any) -> None:
        """Calls a function that ends in a bursar_error_t."""
        error = _abi.Error()
        status = getattr(self._call, name)(self._handle, *arguments, C.byref(error))
        if status:
            self._failed(status, name[7:], error)

    def _settle_failed(
        self, status: int, reservation: SupportsIndex, input_tokens: int, output_tokens: int
    ) -> NoReturn:
        what = f"settle of {number(reservation)}"
        if status == Status.E_INVALID and (input_tokens < 0 or output_tokens < 0):
            what += ": give input_tokens and output_tokens (0 or more), a usage object, or cost"
        self._failed(status, what)

    def _failed(self, status: int, what: str, detail: Optional[_abi.Error] = None) -> NoReturn:
        """Raises the error for the status of a call on this runtime."""
        if self._handle is None:
            raise ClosedError(f"{what}: the runtime was closed")
        said = self._call.bursar_status_string(status).decode()
        raise failure(status, f"{what}: {said}", detail)


