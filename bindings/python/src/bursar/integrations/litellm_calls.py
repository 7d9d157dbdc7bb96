"""LiteLLM's functions, with a session around them, and refusals that leave as its own error."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import inspect
import os
import sys
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from litellm.exceptions import BudgetExceededError

from .. import errors
from ..decision import Decision
from ..errors import Refused
from ..instrument import metering, within
from ..seat import current
from ..session import Session
from ..turn import Turn, _turn
from ..wire.gate import Carrier, carrying
from ..words import Meter
from .common import as_theirs, is_below

# What is called to ask a model; those of them that this version has.
FUNCTIONS = (
    "completion", "acompletion", "text_completion", "atext_completion", "embedding", "aembedding",
    "responses", "aresponses", "anthropic_messages", "agenerate_content",
    "agenerate_content_stream", "completion_with_retries", "acompletion_with_retries",
    "batch_completion", "rerank", "arerank", "image_generation", "aimage_generation",
    "transcription", "atranscription", "speech", "aspeech",
)  # fmt: skip
ROUTER = ("function_with_fallbacks", "async_function_with_fallbacks")  # all of its calls pass there


class _State:
    installed = False  # by install(), not only for the kind of error
    session: Optional[Session] = None
    wait = 60.0


state = _State()
_outer: contextvars.ContextVar[bool] = contextvars.ContextVar("bursar.litellm", default=False)
_patched: List[Tuple[Any, str, Any]] = []  # an owner, a name, and what was there


# ---- Refusals ----


class _Both(BudgetExceededError):
    """`decision` says why; `current_cost` and `max_budget` are dollars where it is about them."""

    decision: Decision

    def __init__(self, decision: Decision) -> None:
        text, unit = decision.explain(), 1e9 if decision.meter == Meter.COST else 1
        plain = BudgetExceededError(
            current_cost=decision.committed / unit, max_budget=decision.limit / unit, message=text)
        self.__dict__.update(vars(plain))
        Exception.__init__(self, text)
        self.decision = decision

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> Any:
        state = {name: value for name, value in vars(self).items() if name != "decision"}
        return (*Refused.__reduce__(self), state)  # type: ignore[arg-type]


class Throttled(_Both, errors.Throttled):
    """It would have had to wait longer than it may."""


class Halted(_Both, errors.Halted):
    """The session cannot go on by waiting."""


class BudgetExceeded(_Both, errors.BudgetExceeded):
    """An amount would pass its limit."""


class Paused(_Both, errors.Paused):
    """Until somebody tops up, resumes or attends."""


class Killed(_Both, errors.Killed):
    """Somebody stopped it; `decision.why` has the reason."""


class DeadlineExceeded(_Both, errors.DeadlineExceeded):
    """The session's time is over."""


def _as_both(error: BaseException) -> BaseException:
    """What to raise for an error of ours; a framework above may have made it its own."""
    if not isinstance(error, Refused) or isinstance(error, BudgetExceededError):
        return error
    if type(error).__module__ != errors.__name__:
        return error
    return as_theirs(error, globals())  # type: ignore[no-any-return]


def _refused_in(error: BaseException) -> Optional[Refused]:
    """The refusal that LiteLLM has made an error of a provider of."""
    seen: Optional[BaseException] = error
    for _ in range(32):
        if seen is None or isinstance(seen, Refused):
            return seen
        inner = getattr(seen, "original_exception", None)
        seen = inner if isinstance(inner, BaseException) else seen.__cause__ or seen.__context__
    return None


# ---- A call ----


class _Waits(Turn):
    """Holds nothing; how long requests may wait."""

    def __init__(self, wait: float, before: Optional[Turn]) -> None:
        self.wait, self.is_here, self._before, self._open = wait, True, before, False

    def make_room(self) -> None:
        if self._before is not None:
            self._before.make_room()


def _whose() -> Optional[Session]:
    """The session of a call; None: nothing is to be changed about that."""
    if not state.installed:
        return None
    given, entered = state.session, current()
    if given is not None and (entered is None or not is_below(entered, given)):
        return given
    if entered is None and os.environ.get("BURSAR_SESSION"):
        from .. import attach

        state.session = entered = attach(os.environ)
    return entered


@contextlib.contextmanager
def _inside(session: Optional[Session]) -> Iterator[None]:
    """A call, or the reading of its stream. Refusals go through LiteLLM untouched, and leave here
    as its error."""
    outer = _outer.get()
    tokens = _outer.set(True), carrying.set(True)
    try:
        if session is None or outer:
            yield
        else:
            metering()
            turn = _turn.set(_Waits(state.wait, _turn.get()))
            try:
                with within(session):
                    yield
            finally:
                _turn.reset(turn)
    except Carrier as carrier:
        if outer:
            raise
        raise _as_both(carrier.error) from None
    except (StopIteration, StopAsyncIteration):
        raise
    except Exception as error:
        refused = None if outer else _refused_in(error)
        if refused is None or refused is error and isinstance(error, BudgetExceededError):
            raise
        raise _as_both(refused) from None
    finally:
        carrying.reset(tokens[1])
        _outer.reset(tokens[0])


def around(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of LiteLLM, with the session around it."""

    @functools.wraps(function)
    async def call_async(*arguments: Any, **options: Any) -> Any:
        return await _awaited(function(*arguments, **options), _outer.get(), _whose())

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        outer, session = _outer.get(), _whose()
        with _inside(session):
            result = function(*arguments, **options)
        if inspect.iscoroutine(result):
            return _awaited(result, outer, session)
        return result if outer else _read_inside(result, session)

    return call_async if inspect.iscoroutinefunction(function) else call


async def _awaited(work: Any, outer: bool, session: Optional[Session]) -> Any:
    with _inside(session):
        result = await work
    return result if outer else _read_inside(result, session)


# ---- Streams ----


def _read_inside(result: Any, session: Optional[Session]) -> Any:
    """A stream: what is read of it is read inside, and a refusal that cuts it leaves as above."""
    kind = type(result)
    if not (hasattr(kind, "__next__") or hasattr(kind, "__anext__")):
        return result
    if inspect.isgenerator(result):
        return _generator(result, session)
    if inspect.isasyncgen(result):
        return _async_generator(result, session)
    try:
        result.__class__ = _stream_of(kind)
        result._bursar_session = session
    except (TypeError, AttributeError):
        pass  # of a class that lets nobody: its refusals stay LiteLLM's
    return result


def _generator(inner: Any, session: Optional[Session]) -> Iterator[Any]:
    try:
        while True:
            with _inside(session):
                try:
                    piece = next(inner)
                except StopIteration:
                    return
            yield piece
    finally:
        inner.close()


async def _async_generator(inner: Any, session: Optional[Session]) -> Any:
    try:
        while True:
            with _inside(session):
                try:
                    piece = await inner.__anext__()
                except StopAsyncIteration:
                    return
            yield piece
    finally:
        await inner.aclose()


_streams: Dict[Any, Any] = {}


def _stream_of(kind: Any) -> Any:
    if "_bursar_stream" in kind.__dict__:
        return kind
    made = _streams.get(kind)
    if made is None:
        body: Dict[str, Any] = {
            "__module__": kind.__module__, "__qualname__": kind.__qualname__,
            "__doc__": kind.__doc__, "_bursar_stream": True, "_bursar_session": None,
        }  # fmt: skip
        if hasattr(kind, "__next__"):

            def next_piece(self: Any) -> Any:
                with _inside(self._bursar_session):
                    return kind.__next__(self)

            body["__next__"] = next_piece
            body["__iter__"] = lambda self: self
        if hasattr(kind, "__anext__"):

            async def next_piece_async(self: Any) -> Any:
                with _inside(self._bursar_session):
                    return await kind.__anext__(self)

            body["__anext__"] = next_piece_async
            body["__aiter__"] = lambda self: self
        made = _streams[kind] = type(kind.__name__, (kind,), body)
    return made


# ---- Where it is put ----


def patch(module: Any) -> None:
    """Puts it around LiteLLM's functions. Twice is fine."""
    if _patched:
        return
    main = getattr(module, "main", None)
    for name in FUNCTIONS:
        function = getattr(module, name, None)
        if callable(function):
            made = around(function)
            for owner in (module, main):
                if owner is not None and getattr(owner, name, None) is function:
                    _replace(owner, name, made)
            for owner, inner in _below(function):
                _replace(owner, inner, around(getattr(owner, inner)))
    core = module.Router  # or what does its work, in versions where it is a front
    core = getattr(sys.modules.get("litellm.router_python_core"), "PythonCore", core)
    for name in ROUTER:
        if name in core.__dict__:
            _replace(core, name, around(core.__dict__[name]))
    _python_only()


def _below(function: Any) -> List[Tuple[Any, str]]:
    """Where LiteLLM keeps what one of these calls, for who imported it before: in the module of a
    function that only chooses an implementation, else in its decorator's cell. In a version that
    has neither, nowhere."""
    home, wrapped = sys.modules.get(function.__module__), getattr(function, "__wrapped__", None)
    if wrapped is not None:
        names = [name for name, value in vars(home).items() if value is wrapped]
        if names:
            return [(home, name) for name in names]
    free = getattr(getattr(function, "__code__", None), "co_freevars", ())
    if "original_function" in free:
        return [(function.__closure__[free.index("original_function")], "cell_contents")]
    return []


def _replace(owner: Any, name: str, made: Any) -> None:
    _patched.append((owner, name, getattr(owner, name)))
    setattr(owner, name, made)


def _python_only() -> None:
    """LiteLLM can send Anthropic's messages with an HTTP client that is not Python's (when
    LITELLM_RUST is set), which nobody could meter: not while we are here."""
    try:
        from litellm.rust_bridge import catalog
        from litellm.rust_bridge.configuration import Rollout

        rule = catalog.RouteRule(catalog.Route.MESSAGES, Rollout.PYTHON_ONLY)
        _replace(catalog, "RULES", (rule, *catalog.RULES))
    except (ImportError, AttributeError, TypeError):
        pass  # a version that has none


def undo() -> None:
    """Puts back what was there."""
    while _patched:
        owner, name, before = _patched.pop()
        setattr(owner, name, before)
