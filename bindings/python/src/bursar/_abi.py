"""bursar.h in ctypes, in the header's order: structs, functions, and finding the library.

Nothing outside this package sees what is here. FUNCTIONS is the only place where signatures
exist; a test compares it, and every struct, with the header and with a compiled C probe.
"""

from __future__ import annotations

import ctypes as C
import os
import threading
from ctypes import POINTER, c_char, c_char_p, c_double, c_int32, c_int64, c_size_t, c_uint8
from ctypes import c_uint32, c_uint64, c_void_p
from typing import Any, Dict, List, Optional, Tuple, Union

from .errors import LibraryError
from .words import ABI_VERSION, Status

# ---- Structs. `text` fields hold UTF-8 bytes that ctypes keeps alive with the struct. ----


class Sized(C.Structure):
    """A struct that begins with its size, as the _INIT macros of the header fill it."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(size=C.sizeof(type(self)), **fields)


class Error(Sized):
    _fields_ = [
        ("size", c_uint32), ("status", c_int32), ("line", c_int32), ("column", c_int32),
        ("id", c_int64), ("values", c_int64 * 2), ("message_len", c_uint32),
        ("reserved", c_uint32), ("message", c_char * 464),
    ]  # fmt: skip


class Text(C.Structure):
    _fields_ = [("data", c_char_p), ("len", c_size_t)]


class OpenOptions(Sized):
    _fields_ = [
        ("size", c_uint32), ("flags", c_uint32), ("home", Text), ("loop", c_void_p),
        ("sessions_max", c_uint32), ("reservations_max", c_uint32), ("text_bytes_max", c_uint32),
        ("events_max", c_uint32), ("unknown_model", c_int32), ("undeclared", c_int32),
        ("reservation_ttl_ns", c_int64), ("on_unavailable", c_int32), ("role", c_int32),
        ("shm_dir", Text), ("name", Text),
    ]  # fmt: skip


class HomeInfo(Sized):
    _fields_ = [
        ("size", c_uint32), ("flags", c_uint32), ("slot", c_uint32), ("processes", c_uint32),
        ("segment_id", c_int64), ("segment_bytes", c_int64), ("path_len", c_uint32),
        ("segment_path_len", c_uint32), ("id", c_char * 40), ("path", c_char * 256),
        ("segment_path", c_char * 256),
    ]  # fmt: skip


class Process(Sized):
    _fields_ = [
        ("size", c_uint32), ("slot", c_uint32), ("pid", c_uint32), ("role", c_int32),
        ("since_unix_ns", c_int64), ("forked_from", c_uint32), ("reserved", c_uint32),
        ("name", c_char * 32),
    ]  # fmt: skip


class BudgetOptions(Sized):
    _fields_ = [
        ("size", c_uint32), ("flags", c_uint32), ("limits", Text), ("owner", Text),
        ("cost_center", Text), ("purpose", Text), ("top_rung", c_uint8 * 4),
        ("complexity", c_int32), ("earn", Text), ("earn_most", Text), ("earn_outcome", Text),
    ]  # fmt: skip


class Label(C.Structure):
    _fields_ = [("key", Text), ("value", Text)]


class SessionOptions(Sized):
    _fields_ = [
        ("size", c_uint32), ("flags", c_uint32), ("path", Text), ("parent", c_int64),
        ("agent", Text), ("limits", Text), ("ladder", Text), ("labels", POINTER(Label)),
        ("label_count", c_uint32), ("complexity", c_int32), ("holdback_nanos", c_int64),
    ]  # fmt: skip


class Request(Sized):
    _fields_ = [
        ("size", c_uint32), ("flags", c_uint32), ("model", c_int32), ("tool", c_int32),
        ("input_tokens", c_int64), ("input_tokens_upper", c_int64),
        ("max_output_tokens", c_int64), ("min_output_tokens", c_int64),
        ("extra_nanos", c_int64), ("units", c_int64), ("meter", c_int32), ("choices", c_int32),
        ("variant", c_int32), ("complexity", c_int32), ("attempt", c_int32),
        ("reserved", c_int32), ("parent", c_int64), ("ttl_ns", c_int64),
    ]  # fmt: skip


class Decision(Sized):
    _fields_ = [
        ("size", c_uint32), ("verdict", c_int32), ("reason", c_int32), ("remedy", c_int32),
        ("reservation", c_int64), ("max_output_tokens", c_int64), ("reserved_nanos", c_int64),
        ("model", c_int32), ("flags", c_uint32), ("budget", c_int64), ("meter", c_int32),
        ("end", c_int32), ("limit", c_int64), ("committed", c_int64), ("remaining", c_int64),
        ("requested", c_int64), ("retry_after_ns", c_int64), ("unused", c_int64 * 3),
    ]  # fmt: skip


class Usage(Sized):
    _fields_ = [
        ("size", c_uint32), ("flags", c_uint32), ("input_tokens", c_int64),
        ("cache_read_input_tokens", c_int64), ("cache_write_input_tokens", c_int64),
        ("cache_write_1h_input_tokens", c_int64), ("output_tokens", c_int64),
        ("reasoning_output_tokens", c_int64), ("audio_input_tokens", c_int64),
        ("cache_read_audio_input_tokens", c_int64), ("audio_output_tokens", c_int64),
        ("image_input_tokens", c_int64), ("image_output_tokens", c_int64),
        ("extra_nanos", c_int64), ("cost_nanos", c_int64), ("units", c_int64),
        ("key", c_uint64 * 2),
    ]  # fmt: skip


class Receipt(Sized):
    _fields_ = [
        ("size", c_uint32), ("flags", c_uint32), ("cost_nanos", c_int64),
        ("reserved_nanos", c_int64), ("overrun_nanos", c_int64), ("asked_cost_nanos", c_int64),
        ("model", c_int32), ("reserved", c_uint32),
    ]  # fmt: skip


class Charge(Sized):
    _fields_ = [
        ("size", c_uint32), ("flags", c_uint32), ("nanos", c_int64), ("tool", c_int32),
        ("meter", c_int32), ("units", c_int64), ("key", c_uint64 * 2),
    ]  # fmt: skip


class Rates(Sized):
    _fields_ = [
        ("size", c_uint32), ("reserved", c_uint32), ("input_picos", c_int64),
        ("output_picos", c_int64), ("cache_read_picos", c_int64), ("cache_write_picos", c_int64),
        ("cache_write_1h_picos", c_int64), ("reasoning_picos", c_int64),
        ("request_nanos", c_int64),
    ]  # fmt: skip


class Estimate(Sized):
    _fields_ = [
        ("size", c_uint32), ("model", c_int32), ("session", c_int64),
        ("conversation", c_uint64), ("bytes", c_int64), ("fixed_tokens", c_int64),
        ("kind", c_int32), ("basis", c_uint32), ("tokens", c_int64), ("tokens_max", c_int64),
        ("span", c_int64),
    ]  # fmt: skip


class EstimateError(Sized):
    _fields_ = [
        ("size", c_uint32), ("pairs", c_uint32), ("steps", c_int64), ("below", c_int64),
        ("median_ppm", c_int64), ("p99_ppm", c_int64), ("input_tokens", c_int64),
        ("reserved_tokens", c_int64),
    ]  # fmt: skip


class View(Sized):
    _fields_ = [
        ("size", c_uint32), ("kind", c_int32), ("state", c_int32), ("effective_state", c_int32),
        ("reason", c_int32), ("flags", c_uint32), ("id", c_int64), ("parent", c_int64),
        ("spent_nanos", c_int64), ("reserved_nanos", c_int64), ("remaining_nanos", c_int64),
        ("steps", c_int64), ("tool_calls", c_int64), ("input_tokens", c_int64),
        ("output_tokens", c_int64), ("refusals", c_int64), ("opened_unix_ns", c_int64),
        ("children", c_uint32), ("limits", c_uint32),
    ]  # fmt: skip


class MeterView(Sized):
    _fields_ = [
        ("size", c_uint32), ("meter", c_int32), ("spent", c_int64), ("reserved", c_int64),
        ("committed", c_int64), ("remaining", c_int64),
    ]  # fmt: skip


class LimitView(Sized):
    _fields_ = [
        ("size", c_uint32), ("meter", c_int32), ("end", c_int32), ("reserved", c_uint32),
        ("amount", c_int64), ("extra", c_int64), ("spent", c_int64), ("committed", c_int64),
        ("remaining", c_int64), ("window_start_unix_ns", c_int64),
        ("window_end_unix_ns", c_int64), ("text_len", c_uint32), ("text", c_char * 124),
        ("earned", c_int64),
    ]  # fmt: skip


class Spend(Sized):
    _fields_ = [
        ("size", c_uint32), ("path_len", c_uint32), ("agent_len", c_uint32),
        ("reserved", c_uint32), ("asked_model", c_int32), ("model", c_int32), ("steps", c_int64),
        ("tool_calls", c_int64), ("input_tokens", c_int64), ("cache_read_input_tokens", c_int64),
        ("output_tokens", c_int64), ("cost_nanos", c_int64), ("asked_cost_nanos", c_int64),
        ("estimated_steps", c_int64), ("path", c_char * 256), ("agent", c_char * 128),
    ]  # fmt: skip


class Outcome(Sized):
    _fields_ = [
        ("size", c_uint32), ("state", c_int32), ("name", Text), ("id", Text),
        ("session", c_int64), ("workflow", Text), ("label", Text), ("value", Text),
        ("rework_nanos", c_int64), ("rework_ns", c_int64), ("by", Text), ("reason", Text),
        ("at", c_int64),
    ]  # fmt: skip


class Value(C.Structure):
    _fields_ = [
        ("type", c_int32), ("reserved", c_uint32), ("integer", c_int64), ("real", c_double),
        ("text", Text),
    ]  # fmt: skip


class Event(Sized):
    _fields_ = [
        ("size", c_uint32), ("type", c_int32), ("id", c_int64), ("session", c_int64),
        ("reservation", c_int64), ("unix_ns", c_int64), ("sequence", c_int64),
        ("meter", c_int32), ("percent", c_int32), ("amount", c_int64), ("limit", c_int64),
        ("committed", c_int64), ("reason", c_int32), ("path_len", c_uint32),
        ("text_len", c_uint32), ("reserved", c_uint32), ("path", c_char * 256),
        ("text", c_char * 256),
    ]  # fmt: skip


class Health(Sized):
    _fields_ = [
        ("size", c_uint32), ("reserved", c_uint32), ("nodes", c_int64), ("nodes_max", c_int64),
        ("reservations", c_int64), ("reservations_max", c_int64), ("in_flight", c_int64),
        ("refusals", c_int64), ("transient_refusals", c_int64), ("settled_steps", c_int64),
        ("estimated_steps", c_int64), ("late_settles", c_int64), ("overrun_nanos", c_int64),
        ("folds", c_int64), ("fold_lag_ns", c_int64), ("events", c_int64),
        ("events_lost", c_int64), ("timers", c_int64), ("segment_bytes", c_int64),
        ("prices_as_of_unix", c_int64), ("wake_ups", c_int64),
    ]  # fmt: skip


# ---- Functions: name -> (restype, argtypes), in the header's order. ----

event_fn = C.CFUNCTYPE(None, c_void_p, POINTER(Event))

_rt, _id, _len, _status = c_void_p, c_int64, c_size_t, c_int32
_in, _out = c_char_p, c_void_p  # borrowed text; a buffer to write text into
_error = POINTER(Error)

FUNCTIONS: Dict[str, Tuple[Any, Tuple[Any, ...]]] = {
    "bursar_version_number": (c_int32, ()),
    "bursar_abi_version": (c_int32, ()),
    "bursar_status_string": (c_char_p, (_status,)),
    "bursar_open": (_status, (POINTER(OpenOptions), POINTER(_rt), _error)),
    "bursar_close": (_status, (_rt,)),
    "bursar_home_info": (_status, (_rt, POINTER(HomeInfo))),
    "bursar_home_process": (_status, (_rt, c_uint32, POINTER(Process))),
    "bursar_limits_parse": (
        _status, (_rt, c_uint32, _in, _len, _out, _len, POINTER(_len), _error)),
    "bursar_budget_declare": (
        _status, (_rt, _in, _len, POINTER(BudgetOptions), POINTER(_id), _error)),
    "bursar_budget_find": (_status, (_rt, _in, _len, POINTER(_id))),
    "bursar_budget_remove": (_status, (_rt, _id, _error)),
    "bursar_limits_set": (_status, (_rt, _id, _in, _len, _error)),
    "bursar_top_up": (_status, (_rt, _id, _in, _len, c_int64, _in, _len, _error)),
    "bursar_observe": (_status, (_rt, _id, c_int32)),
    "bursar_meter_define": (_status, (_rt, _in, _len, POINTER(c_int32), _error)),
    "bursar_session_open": (_status, (_rt, POINTER(SessionOptions), POINTER(_id), _error)),
    "bursar_session_close": (_status, (_rt, _id)),
    "bursar_session_environ": (_status, (_rt, _id, _out, _len, POINTER(_len))),
    "bursar_session_attach": (_status, (_rt, _in, _len, POINTER(_id), _error)),
    "bursar_attend": (_status, (_rt, _id, _in, _len)),
    "bursar_reserve": (_status, (_rt, _id, POINTER(Request), POINTER(Decision))),
    "bursar_begin": (_status, (_rt, _id)),
    "bursar_settle": (_status, (_rt, _id, POINTER(Usage), POINTER(Receipt))),
    "bursar_release": (_status, (_rt, _id)),
    "bursar_stream": (_status, (_rt, _id, c_int64, POINTER(c_int32))),
    "bursar_charge": (_status, (_rt, _id, POINTER(Charge), POINTER(Decision), POINTER(Receipt))),
    "bursar_settle_and_reserve": (
        _status, (_rt, _id, POINTER(Usage), POINTER(Receipt), POINTER(_status), _id,
                  POINTER(Request), POINTER(Decision))),
    "bursar_decision_explain": (_status, (_rt, POINTER(Decision), _out, _len, POINTER(_len))),
    "bursar_kill": (_status, (_rt, _id, _in, _len)),
    "bursar_revive": (_status, (_rt, _id, _in, _len)),
    "bursar_pause": (_status, (_rt, _id, _in, _len)),
    "bursar_resume": (_status, (_rt, _id, _in, _len)),
    "bursar_model_find": (_status, (_rt, _in, _len, POINTER(c_int32))),
    "bursar_model_name": (_status, (_rt, c_int32, _out, _len, POINTER(_len))),
    "bursar_price_set": (_status, (_rt, _in, _len, POINTER(Rates), _error)),
    "bursar_price_get": (_status, (_rt, c_int32, POINTER(Rates))),
    "bursar_price_quote": (_status, (_rt, c_int32, c_int32, POINTER(Usage), POINTER(c_int64))),
    "bursar_prices_load": (
        _status, (_rt, _in, _len, _out, _len, POINTER(_len), POINTER(c_int32), _error)),
    "bursar_tool_find": (_status, (_rt, _in, _len, POINTER(c_int32), _error)),
    "bursar_tool_price_set": (_status, (_rt, c_int32, c_int64)),
    "bursar_money_parse": (_status, (_in, _len, POINTER(c_int64), _error)),
    "bursar_rate_parse": (_status, (_in, _len, POINTER(c_int64), _error)),
    "bursar_money_format": (_status, (c_int64, _out, _len, POINTER(_len))),
    "bursar_estimate": (_status, (_rt, POINTER(Estimate))),
    "bursar_learn": (_status, (_rt, POINTER(Estimate), c_int64, c_int64)),
    "bursar_estimate_error": (_status, (_rt, c_int32, c_int32, POINTER(EstimateError))),
    "bursar_read": (_status, (_rt, _id, POINTER(View))),
    "bursar_views": (_status, (_rt, POINTER(_id), _len, POINTER(View))),
    "bursar_meter_read": (_status, (_rt, _id, c_int32, POINTER(MeterView))),
    "bursar_limit_read": (_status, (_rt, _id, c_uint32, POINTER(LimitView))),
    "bursar_text_read": (_status, (_rt, _id, c_int32, _out, _len, POINTER(_len))),
    "bursar_children": (_status, (_rt, _id, POINTER(_id), _len, POINTER(_len))),
    "bursar_spend_read": (_status, (_rt, c_uint32, POINTER(Spend))),
    "bursar_outcome": (_status, (_rt, POINTER(Outcome), _error)),
    "bursar_outcomes": (_status, (_rt, POINTER(Outcome), c_size_t, POINTER(c_int32), _error)),
    "bursar_query": (
        _status, (_rt, c_uint32, _in, _len, POINTER(Value), _len, c_int64, POINTER(_rt),
                  POINTER(_len), _error)),
    "bursar_query_column": (_status, (_rt, _len, _out, _len, POINTER(_len))),
    "bursar_query_next": (_status, (_rt, POINTER(POINTER(Value)), _error)),
    "bursar_query_close": (_status, (_rt,)),
    "bursar_events_callback": (_status, (_rt, event_fn, c_void_p)),
    "bursar_events_fd": (_status, (_rt, POINTER(c_int32))),
    "bursar_events_poll": (_status, (_rt, POINTER(Event), _len, POINTER(_len))),
    "bursar_health": (_status, (_rt, POINTER(Health))),
    "bursar_verify": (_status, (_rt, _error)),
}  # fmt: skip

# ---- Finding and loading. ----


class Library:
    """The loaded library: `call` has every function as FUNCTIONS types it and releases the GIL
    around it. `hot` has those that never block, untyped: they keep the GIL (to let it go around
    a call of 100 ns invites whoever waits for it to take it for milliseconds) and take arguments
    that were converted once, by `c_int64.from_param()` and `byref()`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.call: Any = C.CDLL(path)
        self.hot: Any = C.PyDLL(path)
        found = self.call.bursar_abi_version()
        if found != ABI_VERSION:
            raise LibraryError(
                f"{path} has ABI version {found}, this package needs {ABI_VERSION}: "
                "install a library and a package of the same release")
        for name, (restype, argtypes) in FUNCTIONS.items():
            function = getattr(self.call, name)
            function.restype, function.argtypes = restype, argtypes


def candidates() -> List[str]:
    """Where the library is looked for, in order: BURSAR_LIBRARY alone when it is set."""
    given = os.environ.get("BURSAR_LIBRARY")
    here = os.path.dirname(os.path.abspath(__file__))
    return [given] if given else [os.path.join(here, "_lib", "libbursar.so")]


_library: Optional[Library] = None
_loading = threading.Lock()


def library() -> Library:
    """Loads the library once per process; a failure names every path that was tried."""
    global _library
    if _library is None:
        with _loading:
            if _library is None:
                tried = []
                for path in candidates():
                    try:
                        _library = Library(path)
                        break
                    except (OSError, AttributeError) as error:
                        tried.append(f"{path}: {error}")
                else:
                    raise LibraryError(
                        "libbursar.so was not found; set BURSAR_LIBRARY to its path. Tried "
                        + "; ".join(tried))
    return _library


def text(value: Union[str, bytes, None]) -> Text:
    """Borrowed text for a struct's field; None is none."""
    data = value.encode() if isinstance(value, str) else value or b""
    return Text(data, len(data))


def read_text(function: Any, *arguments: Any) -> Tuple[int, str]:
    """Calls a function that ends in (buffer, capacity, out_len) and returns status and text."""
    capacity = 512
    while True:
        buffer, length = C.create_string_buffer(capacity), c_size_t()
        status = function(*arguments, buffer, capacity, C.byref(length))
        if status != Status.E_BUFFER or length.value <= capacity:
            return status, buffer.raw[: min(length.value, capacity)].decode("utf-8", "replace")
        capacity = length.value
