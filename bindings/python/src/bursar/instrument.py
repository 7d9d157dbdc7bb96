"""`bursar.instrument()`: the model calls of a program that knows nothing of Bursar.

Requests to priced paths, made with httpx, httpx2 or aiohttp by whatever SDK or framework, are
steps of the entered session, or else of the default one. What is imported later is patched when
it is. What was there before is called, so that other instrumentation stays in force.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional, Tuple
from typing import Union

from .errors import BursarError, BursarWarning, ForkedError, InvalidArgumentError, Refused, refusal
from .seat import Seat, _current, current, in_seat
from .session import Session

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

    from .wire.gate import Gate

Change = Callable[[Any], Any]  # a function, to what is to be in its place


class _State:
    """What instrument() was told, and what it changed."""

    def __init__(self) -> None:
        self.on = False  # patched
        self.everywhere = False  # by instrument(), not only for within()
        self.session: Optional[Session] = None
        self.gate: Optional[Gate] = None  # made when it is wanted: importing bursar is quick
        self.patches: List[_Patch] = []
        self.finders: List[Callable[[], Optional[Session]]] = []  # whose the work of a run is
        self.cannot = ""  # why there is no session, where there should be one
        self.lock = threading.RLock()


class _Patch:
    """A function of a class, replaced. `original` is called, whatever it was."""

    def __init__(self, owner: Any, name: str, change: Change) -> None:
        self.owner, self.name = owner, name
        self.original = owner.__dict__[name]
        self.changed = functools.wraps(self.original)(change(self.original))
        setattr(owner, name, self.changed)

    def undo(self) -> None:
        """As it was; where somebody has patched it since, ours stays below, and does nothing."""
        if self.owner.__dict__.get(self.name) is self.changed:
            setattr(self.owner, self.name, self.original)


def whose() -> Optional[Session]:
    """The session of a request: the entered one, the default one, that of the environment."""
    state = _state
    if not state.on:
        return None
    entered = current()
    if state.finders and not in_seat():
        for find in state.finders:
            found = find()
            if found is not None:
                if state.everywhere and entered is not None and not _is_above(entered, found):
                    return entered  # another one, by whoever sends this
                return found
    if not state.everywhere:
        return entered if in_seat() else None
    if entered is not None:
        return entered
    if state.cannot:
        raise ForkedError(state.cannot)
    if state.session is None and os.environ.get("BURSAR_SESSION"):
        from . import attach

        with state.lock:
            if state.session is None:
                state.session = attach(os.environ)
    return state.session


def _is_above(session: Session, below: Optional[Session]) -> bool:
    while below is not None:
        if below is session:
            return True
        below = below._parent
    return False


_state = _State()
_pool = threading.local()


def instrument(
    session: Optional[Session] = None,
    *,
    wait: float = 60.0,
    max_output_tokens: int = 4_096,
    refuse: str = "raise",
) -> None:
    """Meters the requests that this process makes to models, from now on.

    Each is a step of `bursar.current()`, or else of `session`, or else of the session that the
    environment hands over; without any it passes. Threads that are started inside a session are
    in it too, and processes of multiprocessing. `wait` and `max_output_tokens` are those of
    Session.wrap. `refuse`: "raise", or "error": a refused request of httpx gets the provider's own
    answer for an empty account. Calling it again changes these.
    """
    if refuse not in ("raise", "error"):
        raise InvalidArgumentError(f'refuse is "raise" or "error", not {refuse!r}')
    state = _state
    with state.lock:
        _patch()
        gate = state.gate
        assert gate is not None
        state.session, state.everywhere, state.cannot = session, True, ""
        gate.wait, gate.max_output_tokens, gate.refuse = wait, max_output_tokens, refuse


def metering() -> None:
    """Meters the requests that are made in a turn or `within` a session, and no others, unless
    instrument() was called: what it was told stays in force. uninstrument() undoes it."""
    if not _state.on:
        _patch()


def is_metering() -> bool:
    """Whether instrument() or metering() is in force."""
    return _state.on


def metering_runs(find: Callable[[], Optional[Session]]) -> None:
    """The same, and what is sent where `find` knows a session: in a run of a framework's."""
    if find not in _state.finders:
        _state.finders.append(find)
    metering()


@contextlib.contextmanager
def within(session: Union[Session, Seat]) -> Iterator[None]:
    """A part of a run: the session is the current one, and what is sent there is metered."""
    seat = session if isinstance(session, Seat) else Seat(session)
    seat._enter()
    try:
        yield
    finally:
        seat._leave()


def _patch() -> None:
    from .wire.gate import Gate

    state = _state
    with state.lock:
        state.gate = state.gate or Gate(whose)
        if state.on:
            return
        state.on = True
        sys.meta_path.insert(0, _finder)
        for name in list(sys.modules):
            change = _changes_of(name)
            module = sys.modules.get(name)
            if change is not None and module is not None:
                _apply(change, module)
        _apply(_threads, threading)
        futures = sys.modules.get("concurrent.futures.thread")
        if futures is not None:
            _apply(_executors, futures)


def uninstrument() -> None:
    """Puts back what instrument() replaced."""
    state = _state
    with state.lock:
        if not state.on:
            return
        state.on, state.everywhere, state.session, state.cannot = False, False, None, ""
        if _finder in sys.meta_path:
            sys.meta_path.remove(_finder)
        while state.patches:
            state.patches.pop().undo()
        calls: Any = sys.modules.get(f"{__package__}.integrations.litellm_calls")
        if calls is not None and not calls.state.installed:
            calls.undo()


def last_refusal() -> Optional[Refused]:
    """The last request that instrument() did not let go, in this process."""
    decision = None if _state.gate is None else _state.gate.refused
    return None if decision is None else refusal(decision)


# ---- What is changed ----


def _apply(change: Callable[[Any], List[Tuple[Any, str, Change]]], module: Any) -> None:
    state = _state
    with state.lock:
        if state.on:
            for owner, name, made in change(module):
                if owner is not None and name in owner.__dict__:
                    state.patches.append(_Patch(owner, name, made))


def _httpx(module: Any) -> List[Tuple[Any, str, Change]]:
    from .wire.httpx import send, send_async

    gate: Any = _state.gate

    def sync(original: Any) -> Any:
        def metered(self: Any, request: Any, *, stream: bool = False, **more: Any) -> Any:
            return send(gate, original.__get__(self), self, request, stream, **more)

        return metered

    def not_sync(original: Any) -> Any:
        async def metered(self: Any, request: Any, *, stream: bool = False, **more: Any) -> Any:
            return await send_async(gate, original.__get__(self), self, request, stream, **more)

        return metered

    return [
        (getattr(module, "Client", None), "send", sync),
        (getattr(module, "AsyncClient", None), "send", not_sync),
    ]


def _aiohttp(module: Any) -> List[Tuple[Any, str, Change]]:
    from .wire.aiohttp import request

    gate: Any = _state.gate

    def made(original: Any) -> Any:
        async def metered(self: Any, method: str, url: Any, **options: Any) -> Any:
            return await request(gate, original.__get__(self), self, method, url, **options)

        return metered

    return [(getattr(module, "ClientSession", None), "_request", made)]


def _sockets(module: Any) -> List[Tuple[Any, str, Change]]:
    """WebSockets to models are not metered, which is said once."""

    def made(connect: Any) -> Any:
        def connected(*arguments: Any, **options: Any) -> Any:
            gate = _state.gate
            uri = next((each for each in arguments if isinstance(each, str)), options.get("uri"))
            if gate is not None and isinstance(uri, str):
                connecting(gate, uri)
            return connect(*arguments, **options)

        return connected

    from .wire.gate import connecting

    connect = module.connect
    if isinstance(connect, type):
        return [(connect, "__init__", made)]
    return [(module, "connect", made)]


def _sdk(module: Any) -> List[Tuple[Any, str, Change]]:
    from .wire.sdk import around

    return [
        (getattr(module, "SyncAPIClient", None), "request", lambda f: around(f, False)),
        (getattr(module, "AsyncAPIClient", None), "request", lambda f: around(f, True)),
    ]


def _threads(module: Any) -> List[Tuple[Any, str, Change]]:
    def made(start: Any) -> Any:
        def started(self: Any) -> None:
            chain = _current.get()
            if chain is not None and _state.on and not getattr(_pool, "starts", False):
                run = self.run

                def carried() -> None:
                    self.__dict__.pop("run", None)
                    _current.set(chain)
                    run()

                self.run = carried
            start(self)

        return started

    return [(module.Thread, "start", made)]


def _executors(module: Any) -> List[Tuple[Any, str, Change]]:
    def made(submit: Any) -> Any:
        def submitted(self: Any, function: Any, /, *arguments: Any, **named: Any) -> Any:
            chain = _current.get()
            if chain is None or not _state.on:
                return submit(self, function, *arguments, **named)

            def carried() -> Any:
                token = _current.set(chain)
                try:
                    return function(*arguments, **named)
                finally:
                    _current.reset(token)

            _pool.starts = True  # the threads that this may start are nobody's
            try:
                return submit(self, carried)
            finally:
                _pool.starts = False

        return submitted

    return [(module.ThreadPoolExecutor, "submit", made)]


def _processes(module: Any) -> List[Tuple[Any, str, Change]]:
    """Processes of multiprocessing that are no forks take their session along."""

    def made(start: Any) -> Any:
        def started(self: Any) -> None:
            method = getattr(self, "_start_method", None)
            if method is None:
                method = sys.modules["multiprocessing"].get_start_method()
            session = whose() if _state.on and method != "fork" else None
            if session is not None and _state.gate is not None:
                gate = _state.gate
                options = {"wait": gate.wait, "max_output_tokens": gate.max_output_tokens,
                           "refuse": gate.refuse}  # fmt: skip
                try:
                    self._bursar = _Joined(session.environ(), options)
                except BursarError as error:
                    self._bursar = _Joined({}, {"why": str(error)})
            try:
                start(self)
            finally:
                self.__dict__.pop("_bursar", None)

        return started

    return [(module.BaseProcess, "start", made)]


class _Joined:
    """A session on its way to another process, which joins when it reads this."""

    def __init__(self, environ: Dict[str, str], options: Dict[str, Any]) -> None:
        self.said = environ, options

    def __reduce__(self) -> Any:
        return _join, self.said


def _join(environ: Dict[str, str], options: Dict[str, Any]) -> None:
    why = options.pop("why", None)
    os.environ.update(environ)
    instrument(**options)
    if why is not None:
        _state.cannot = f"the session of the process that started this one cannot be joined: {why}"


def _litellm(module: Any) -> List[Tuple[Any, str, Change]]:
    try:
        from .integrations.litellm_calls import patch

        patch(module)
    except Exception as error:  # of another version: its requests are metered all the same
        warnings.warn(
            f"LiteLLM raises refusals as errors of its providers: {error}", BursarWarning,
            stacklevel=2)
    return []


_CHANGES: Dict[str, Any] = {
    "litellm": _litellm,
    "multiprocessing.process": _processes,
    "httpx": _httpx,
    "httpx2": _httpx,
    "aiohttp": _aiohttp,
    "websockets.sync.client": _sockets,
    "websockets.asyncio.client": _sockets,
    "concurrent.futures.thread": _executors,
}


def _changes_of(name: str) -> Optional[Any]:
    change = _CHANGES.get(name)
    if change is None and name.endswith("._base_client"):  # of an SDK that Stainless generated
        return _sdk
    return change


class _Finder:
    """Sees what is imported, and changes it once it is loaded. Finds nothing by itself."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Optional[ModuleSpec]:
        change = _changes_of(name)
        if change is None:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            if finder is self or find is None:
                continue
            spec: Optional[ModuleSpec] = find(name, path, target)
            if spec is not None:
                _hook(spec.loader, change)
                return spec
        return None


def _hook(loader: Any, change: Any) -> None:
    """Changes a module when this loader, which is for it alone, has loaded it."""
    load = getattr(loader, "exec_module", None)
    if load is None:
        return

    def exec_module(module: Any) -> None:
        loader.__dict__.pop("exec_module", None)
        load(module)
        _apply(change, module)

    try:
        loader.exec_module = exec_module
    except AttributeError:
        pass  # a loader that takes no attributes: such modules are built in


_finder: Any = _Finder()


def _in_child() -> None:
    """A lock that another thread held is held for ever in the child of a fork."""
    _state.lock = threading.RLock()


os.register_at_fork(after_in_child=_in_child)
