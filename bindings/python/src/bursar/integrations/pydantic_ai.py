"""pydantic-ai: agents that keep to a session's budget.

    agent = Agent("openai:gpt-4o", capabilities=[Bursar(session)])

Without a session it is the one that the agent is run in, `with bursar.session(...)`. A refusal is
raised as an exception that is both bursar.Refused, with its decision, and UsageLimitExceeded. The
history of a run that was refused is kept as pydantic-ai keeps it, by capture_run_messages().
"""

from __future__ import annotations

import contextlib
import contextvars
import copy
from dataclasses import dataclass, field
from typing import Any, AsyncIterator, Dict, Iterator, List, Optional

from .. import errors
from ..decision import Decision
from ..errors import Refused
from ..instrument import metering, within
from ..limits import Limits
from ..session import Session
from ..step import Tool
from ..turn import Turn
from ..usage import Usage, usage_of
from .common import Patience, as_theirs, close_turn, is_below, missing, open_turn, session_of

try:
    import anyio
    from pydantic_ai.capabilities import AbstractCapability
    from pydantic_ai.exceptions import (
        ApprovalRequired, CallDeferred, SkipToolExecution, UsageLimitExceeded,
    )  # fmt: skip
    from pydantic_ai.models.wrapper import WrapperModel
except ImportError as error:
    raise missing("pydantic_ai", "pydantic-ai", error) from error

__all__ = [
    "Bursar", "BudgetExceeded", "DeadlineExceeded", "Halted", "Killed", "Paused", "Throttled",
]  # fmt: skip

# Modules of models that ask by httpx or aiohttp at the paths that are metered there.
_OVER_HTTP = {
    "openai", "anthropic", "google", "groq", "mistral", "cohere", "cerebras", "openrouter",
    "github_copilot", "zai", "crusoe",
}  # fmt: skip
_in_run: contextvars.ContextVar[Optional[Session]]
_in_run = contextvars.ContextVar("bursar.pydantic_ai", default=None)  # of the run we are called by


# ---- Refusals ----


class _Both(UsageLimitExceeded):
    """What is said is the decision's; `decision` has the rest."""

    message = property(lambda self: self.args[0])

    def __init__(self, decision: Decision) -> None:
        RuntimeError.__init__(self, decision.explain())
        self.decision = decision

    def __str__(self) -> str:
        return str(self.args[0])


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


@contextlib.contextmanager
def _as_both() -> Iterator[None]:
    """Refusals leave as what the framework knows."""
    try:
        yield
    except UsageLimitExceeded:
        raise
    except Refused as refused:
        raise as_theirs(refused, globals()) from refused


# ---- The capability ----


@dataclass
class Bursar(AbstractCapability[Any]):
    """Each request to a model and each call of a tool is a step of `session`, or the entered one.

    Each attempt is reserved before it goes, those of fallbacks and retries too, and a stream that
    is left is settled at what came. An agent that is run by a tool or an output function of another
    has a session of its own below the other's, with `limits`. `wait`: seconds that a throttled step
    may wait. `model`: what the price book calls models without HTTP. `brief`: the model is told
    what is left. `repeats_max`: the session is paused when a tool had the same answer to the same
    arguments so often in a row; it goes on after `runtime.resume(session)`.
    """

    session: Optional[Session] = None
    limits: Limits = ()
    wait: float = 60.0
    model: str = ""
    brief: bool = False
    repeats_max: Optional[int] = None
    _of_run: Optional[Session] = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        metering()

    @classmethod
    def get_serialization_name(cls) -> Optional[str]:
        return None  # a session is no part of a spec

    def get_instructions(self) -> Any:
        return (lambda: self._current().brief()) if self.brief else None

    # ---- Runs ----

    async def for_run(self, ctx: Any) -> Bursar:
        return copy.copy(self)

    async def wrap_run(self, ctx: Any, *, handler: Any) -> Any:
        base, above, child = session_of(self.session), _in_run.get(), None
        if above is not None and not self._is_for(base, above):
            name = getattr(ctx.agent, "name", None) or "agent"
            child = base.child(name, limits=self.limits or None)
        self._of_run = child or base
        try:
            with within(self._of_run):  # what its instructions and processors send, too
                return await handler()
        finally:
            if child is not None and not child.runtime.closed:
                child.close()

    async def on_run_error(self, ctx: Any, *, error: BaseException) -> Any:
        with _as_both():
            raise error

    def _is_for(self, base: Session, above: Session) -> bool:
        """Whether somebody opened the session for this agent, below that of the run above."""
        return base is self.session and base is not above and is_below(base, above)

    def _current(self) -> Session:
        return self._of_run or session_of(self.session)

    # ---- Models ----

    def get_wrapper_model(self, model: Any) -> Any:
        return _Metered(model, self._current(), self.wait, self.model)

    # ---- Tools ----

    async def wrap_tool_execute(
        self, ctx: Any, *, call: Any, tool_def: Any, args: Any, handler: Any
    ) -> Any:
        session, patience = self._current(), Patience(self.wait)
        with _as_both():
            while True:
                try:
                    step = session.tool(call.tool_name, args)
                    break
                except Refused as refused:
                    await anyio.sleep(patience.delay(refused))
            with self._inside(session), step:
                try:
                    result = await handler(args)
                except (CallDeferred, ApprovalRequired, SkipToolExecution):
                    step.release()  # it was not called
                    raise
            self._came(step, result)
            return result

    def _came(self, step: Tool, result: Any) -> None:
        repeats, most = step.came(result), self.repeats_max
        if most is not None and repeats >= most:
            why = f"{step.name} had the same answer {repeats} times in a row"
            step.session.runtime.pause(step.session, reason=why)

    async def wrap_output_process(self, ctx: Any, *, handler: Any, **more: Any) -> Any:
        output = more["output"]
        with _as_both(), self._inside(self._current()):
            return await handler(output)

    @contextlib.contextmanager
    def _inside(self, session: Session) -> Iterator[None]:
        """What is sent here is metered, and agents that are run have sessions below."""
        token = _in_run.set(session)
        try:
            with within(session):
                yield
        finally:
            _in_run.reset(token)


# ---- Models ----


class _Metered(WrapperModel):
    """The model that serves one attempt at a request."""

    def __init__(self, model: Any, session: Session, wait: float, name: str) -> None:
        super().__init__(model)
        self._session = session
        self._wait = wait
        served = _served(model)
        self._kind = tuple(type(each) for each in served)
        self._over_http = all(_is_over_http(kind) for kind in self._kind)
        known = served[0].model_name
        self._name = known if self._over_http or not name else name

    async def request(
        self, messages: Any, model_settings: Any, model_request_parameters: Any
    ) -> Any:
        with _as_both():
            turn = await self._turn(messages, model_settings, model_request_parameters)
            with turn:
                response = await self.wrapped.request(
                    messages, self._granted(turn, model_settings), model_request_parameters)
                close_turn(turn, self._kind, _usage(response.usage))
                return response

    @contextlib.asynccontextmanager
    async def request_stream(
        self, messages: Any, model_settings: Any, model_request_parameters: Any,
        run_context: Any = None,
    ) -> AsyncIterator[Any]:  # fmt: skip
        with _as_both():
            turn = await self._turn(messages, model_settings, model_request_parameters)
            async with contextlib.AsyncExitStack() as stack:
                stack.callback(turn.finish)
                with contextlib.ExitStack() as sending:
                    turn.__enter__()
                    sending.callback(turn.leave)  # who reads, and where, is not in the turn
                    stream = await stack.enter_async_context(self.wrapped.request_stream(
                        messages, self._granted(turn, model_settings), model_request_parameters,
                        run_context))  # fmt: skip
                try:
                    yield stream
                finally:
                    close_turn(turn, self._kind, _usage(stream.usage))

    async def _turn(self, messages: Any, settings: Any, parameters: Any) -> Turn:
        own = self.wrapped.settings or {}
        limit = (settings or {}).get("max_tokens") or own.get("max_tokens")
        patience = Patience(self._wait)
        while True:
            try:
                return open_turn(
                    self._session, self._kind, self._name, self._over_http,
                    lambda: [*_said(messages), *_tools(parameters)], limit, self._wait)
            except Refused as refused:
                await anyio.sleep(patience.delay(refused))

    def _granted(self, turn: Turn, settings: Any) -> Any:
        """The settings with the output limit that was granted, where nobody below writes it."""
        if not turn.decision or turn.max_output_tokens == (settings or {}).get("max_tokens"):
            return settings
        return {**(settings or {}), "max_tokens": turn.max_output_tokens}


def _served(model: Any) -> List[Any]:
    """The models that may be asked, under what stands around them."""
    for _ in range(8):
        inner = getattr(model, "wrapped", None)
        if inner is None:
            break
        model = inner
    models = getattr(model, "models", None)
    return [each for m in models for each in _served(m)] if models else [model]


def _is_over_http(kind: type) -> bool:
    for base in kind.__mro__:
        parts = base.__module__.split(".")
        if parts[:2] == ["pydantic_ai", "models"] and parts[2:3] and parts[2] in _OVER_HTTP:
            return True
    return False


def _usage(used: Any) -> Optional[Usage]:
    if not hasattr(used, "input_tokens"):  # of a stream before 2
        used = used()
    found = usage_of(used, "pydantic_ai")
    return found if found.input_tokens or found.output_tokens else None


def _said(messages: Any) -> List[Any]:
    """What is sent, for an estimate of its size."""
    said: List[Any] = []
    for message in messages:
        said.append(getattr(message, "instructions", None) or "")
        for part in message.parts:
            content = getattr(part, "content", None)
            said.append({"role": ""})
            said.append(getattr(part, "tool_name", None) or "")
            said.append(getattr(part, "args", None) or "")
            said += map(_content, content if isinstance(content, (list, tuple)) else [content])
    return said


def _content(item: Any) -> Any:
    kind = getattr(item, "media_type", None) if not isinstance(item, str) else None
    if not isinstance(kind, str):
        return item
    if kind.startswith(("image/", "audio/")):
        data = getattr(item, "data", b"")
        return {"type": kind.partition("/")[0], "data": data if isinstance(data, bytes) else b""}
    return {"type": "file"}


def _tools(parameters: Any) -> List[Dict[str, Any]]:
    tools = [*parameters.function_tools, *parameters.output_tools]
    return [{"name": t.name, "description": t.description or "", "schema": t.parameters_json_schema}
            for t in tools]  # fmt: skip
