"""The link to an open C handle: its functions, the names it resolved, and errors for its statuses.

A runtime, its sessions and its decisions share one link, so that closing the runtime closes it
for all of them at once.
"""

from __future__ import annotations

import ctypes as C
from typing import Any, Callable, Dict, NoReturn, Optional, Type

from . import _abi
from .decision import Decision
from .errors import ClosedError, failure
from .words import Status, TextKind


class Link:
    """An open handle. Every method may be called from any thread."""

    def __init__(self, handle: int) -> None:
        library = _abi.library()
        self.call: Any = library.call
        self.handle: Optional[int] = handle  # None = closed
        self.models: Dict[Optional[str], int] = {None: 0}
        self.tokenizers: Dict[str, Callable[[str], int]] = {}  # by how a model's name begins
        self._model_names: Dict[int, str] = {}
        self._tools: Dict[str, int] = {}
        self._meters: Dict[str, int] = {}
        # For the hot path: functions, the handle as their argument, and the decision's class
        self.arg: Any = C.c_void_p.from_param(handle)
        self.reserve: Any = library.hot.bursar_reserve
        self.settle: Any = library.hot.bursar_settle
        self.stream: Any = library.hot.bursar_stream
        self.settle_and_reserve: Any = library.hot.bursar_settle_and_reserve
        self.estimate: Any = library.hot.bursar_estimate
        self.learn: Any = library.hot.bursar_learn
        self.decision: Type[Decision] = type(
            "Decision", (Decision,), {"_link": self, "__slots__": (), "__module__": "bursar"})

    def close(self) -> Optional[int]:
        """Takes the handle out: every later call raises ClosedError. None when it was out."""
        handle, self.handle = self.handle, None
        self.call = _Closed()
        self.reserve = self.settle = self.stream = self.settle_and_reserve = _closed
        self.estimate = self.learn = _closed
        return handle

    # ---- Names, resolved once ----

    def model(self, name: Optional[str]) -> int:
        try:
            return self.models[name]
        except KeyError:
            data, out = str(name).encode(), C.c_int32()
            self.do("bursar_model_find", data, len(data), C.byref(out))
            self.models[name] = out.value
            return out.value

    def model_name(self, model: int) -> str:
        if model not in self._model_names:
            status, name = _abi.read_text(self.call.bursar_model_name, self.handle, model)
            if status:
                self.failed(status, f"model {model}")
            self._model_names[model] = name
        return self._model_names[model]

    def tool(self, name: str) -> int:
        if name not in self._tools:
            self._tools[name] = self._find("bursar_tool_find", name)
        return self._tools[name]

    def meter(self, name: str) -> int:
        if name not in self._meters:
            self._meters[name] = self._find("bursar_meter_define", name)
        return self._meters[name]

    def _find(self, function: str, name: str) -> int:
        data, out = name.encode(), C.c_int32()
        self.ask(function, data, len(data), C.byref(out))
        return out.value

    def text(self, id: int, kind: TextKind) -> str:
        """A text of a budget or session, empty when there is none."""
        return _abi.read_text(self.call.bursar_text_read, self.handle, id, kind)[1]

    # ---- Calls that raise ----

    def do(self, name: str, *arguments: Any) -> None:
        """Calls a function that takes no bursar_error_t."""
        status = getattr(self.call, name)(self.handle, *arguments)
        if status:
            self.failed(status, name[7:])

    def ask(self, name: str, *arguments: Any) -> None:
        """Calls a function that ends in a bursar_error_t."""
        error = _abi.Error()
        status = getattr(self.call, name)(self.handle, *arguments, C.byref(error))
        if status:
            self.failed(status, name[7:], error)

    def failed(self, status: int, what: str, detail: Optional[_abi.Error] = None) -> NoReturn:
        """Raises the error for the status of a call."""
        if status == Status.E_HOME and detail is None:
            detail = self._why_home()
        said = _abi.library().call.bursar_status_string(status).decode()
        raise failure(status, f"{what}: {said}", detail)

    def _why_home(self) -> Optional[_abi.Error]:
        """What became of the home, from a call that changes nothing and has an error."""
        error, length = _abi.Error(), C.c_size_t()
        status = self.call.bursar_limits_parse(
            self.handle, 0, b"$1", 2, None, 0, C.byref(length), C.byref(error))
        return error if status == Status.E_HOME else None


def _closed(*arguments: Any) -> NoReturn:
    """What a closed link has in place of every function: the handle never reaches the library."""
    raise ClosedError("the runtime was closed")


class _Closed:
    def __getattr__(self, name: str) -> Any:
        return _closed
