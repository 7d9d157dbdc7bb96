"""LangChain and LangGraph: agents, chains, models and graphs that keep to a session's budget.

    agent = create_agent(model, tools, middleware=[BursarMiddleware(session)])
    chain.invoke(question, {"callbacks": [BursarCallback(session)]})

The middleware is for create_agent, the callback for everything else: plain models, chains,
hand-written graphs. Both take no session too: then it is the one that the agent is run in,
`with bursar.session(...)`. Put the middleware last, so that what others repeat is seen each time.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated, Any, Dict, Iterator, Optional

from ..errors import InvalidArgumentError, Refused
from ..instrument import metering_runs, within
from ..session import Session, current
from ..step import Tool
from .common import Patience, children, close_turn, in_tool, is_below, missing, open_turn
from .common import session_of, told

try:
    from langchain.agents.middleware import AgentMiddleware
    from langchain.agents.middleware.types import PrivateStateAttr
    from langchain_core.messages import AIMessage, SystemMessage, ToolMessage
    from langchain_core.runnables.config import var_child_runnable_config
    from langgraph.channels.base import BaseChannel
    from langgraph.config import get_config
    from langgraph.errors import EmptyChannelError, GraphInterrupt
    from langgraph.types import Command, interrupt

    from .langchain_callback import BursarCallback
    from .langchain_models import Model, is_cached, usage_in
except ImportError as error:
    raise missing("langchain", "langchain", error) from error

if TYPE_CHECKING:
    from ..limits import Limits
    from ..turn import Turn

__all__ = ["BursarCallback", "BursarMiddleware", "decision_of"]

_EXITS = ("end", "error", "interrupt")
_KEY = "bursar"  # of a message's response_metadata


def decision_of(found: Any) -> Optional[Dict[str, Any]]:
    """Why a run was stopped: the decision in plain words and numbers, of a message, of what an
    agent answered or of an interrupt. None: it was not stopped by Bursar."""
    if isinstance(found, dict):
        if _KEY in found:
            return found[_KEY]  # type: ignore[no-any-return]
        for asked in found.get("__interrupt__", ()):
            decision = decision_of(asked.value)
            if decision is not None:
                return decision
        messages = found.get("messages") or ()
        return decision_of(messages[-1]) if messages else None
    return decision_of(getattr(found, "response_metadata", {}) or {})


class BursarMiddleware(AgentMiddleware[Any, Any, Any]):
    """Each call of a model or a tool is a step of `session`, or of the entered one.

    A refused call of a model ends the run, `exit_behavior` says how: "end": a last message says
    why, and carries the decision (`decision_of`); "error": Refused is raised; "interrupt": the
    graph is interrupted, and goes on where it was when it is resumed after a top-up, or ends with
    that message when resumed with False. A refused tool is told to the model, as an error of the
    tool, where that is not to be an error or an interrupt.

    An agent that runs inside another's tool, or as a part of another graph, has a session of its
    own below the other's, with `limits`. `wait`: seconds that a throttled call may wait.
    `model`: what the price book calls a model that has no name of its own. `brief`: the model is
    told what is left. `repeats_max`: the session is paused when a tool had the same answer to the
    same arguments so often in a row; it goes on after `runtime.resume(session)`.
    """

    def __init__(
        self,
        session: Optional[Session] = None,
        *,
        exit_behavior: str = "end",
        limits: Limits = (),
        wait: float = 60.0,
        model: str = "",
        brief: bool = False,
        repeats_max: Optional[int] = None,
    ) -> None:
        super().__init__()
        if exit_behavior not in _EXITS:
            raise InvalidArgumentError(
                f"exit_behavior is one of {', '.join(_EXITS)}, not {exit_behavior!r}")
        self.session = session
        self.exit_behavior = exit_behavior
        self.limits = limits
        self.wait = wait
        self.model = model
        self.brief = brief
        self.repeats_max = repeats_max
        self.refused: Optional[Refused] = None  # the last one of all runs
        self._asked: Dict[str, int] = {}  # runs of tools that were interrupted: how often
        state: Any = Annotated[Any, _Mark(self), PrivateStateAttr]
        self.state_schema: Any = type("BursarState", (), {"__annotations__": {_KEY: state}})
        metering_runs(_whose)

    # ---- Models ----

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        call = _Call(self, request)
        while True:
            try:
                for delay in call.opened():
                    time.sleep(delay)
                with call.turn:
                    return call.came(handler(call.granted()))
            except Refused as refused:
                ended = self._stopped(refused)
                if ended is not None:
                    return ended

    async def awrap_model_call(self, request: Any, handler: Any) -> Any:
        call = _Call(self, request)
        while True:
            try:
                for delay in call.opened():
                    await asyncio.sleep(delay)
                with call.turn:
                    return call.came(await handler(call.granted()))
            except Refused as refused:
                ended = self._stopped(refused)
                if ended is not None:
                    return ended

    def _stopped(self, refused: Refused) -> Any:
        """How the run ends; None: it was resumed, try again."""
        self.refused = refused
        said = {_KEY: told(refused.decision)}
        if self.exit_behavior == "interrupt" and interrupt(said) is not False:
            return None
        if self.exit_behavior == "error":
            raise refused
        return AIMessage(str(refused), response_metadata=said)  # it calls no tool: the end

    # ---- Tools ----

    def wrap_tool_call(self, request: Any, handler: Any) -> Any:
        use = _Use(self, request)
        try:
            while use.step is None:
                for delay in use.opened():
                    time.sleep(delay)
            with use:
                return use.answered(handler(request))
        except Refused as refused:  # of the tool, or of an agent in it
            return use.told(refused)

    async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
        use = _Use(self, request)
        try:
            while use.step is None:
                for delay in use.opened():
                    await asyncio.sleep(delay)
            with use:
                return use.answered(await handler(request))
        except Refused as refused:
            return use.told(refused)

    # ---- Sessions ----

    def session_for(self, runtime: Any) -> Session:
        """Whose a step is: below the session, where the agent runs inside another."""
        base, given, entered = session_of(self.session), self.session, current()
        above = _run(runtime).rpartition("|")[0]
        if not above:
            return base
        if base is given and entered is not None and entered is not given:
            if is_below(given, entered):  # somebody opened it for this agent
                return base
        name = (get_config().get("metadata") or {}).get("lc_agent_name")
        return children.session(base, above, name or "agent", self.limits)

    def after_agent(self, state: Any, runtime: Any) -> Optional[Dict[str, Any]]:
        above = _run(runtime).rpartition("|")[0]
        if above:
            children.close(above)
        return None

    async def aafter_agent(self, state: Any, runtime: Any) -> Optional[Dict[str, Any]]:
        return self.after_agent(state, runtime)


class _Mark(BaseChannel[Any, Any, Any]):
    """A part of an agent's state that never has a value, and tells all of its nodes the hook."""

    __slots__ = ("hook",)
    ValueType = UpdateType = Any

    def __init__(self, hook: BursarMiddleware) -> None:
        super().__init__(Any, _KEY)
        self.hook = hook

    def copy(self) -> _Mark:
        return self

    def from_checkpoint(self, checkpoint: Any) -> _Mark:
        return self

    def get(self) -> Any:
        raise EmptyChannelError

    def update(self, values: Any) -> bool:
        return False


def _whose() -> Optional[Session]:
    """The session of the agent in which something is sent that is no call of its model's, nor of
    its tools: by another middleware."""
    config = (var_child_runnable_config.get() or {}).get("configurable") or {}
    given: Any = getattr(config.get("__pregel_read"), "args", ())
    channels = given[1] if len(given) > 1 else None
    mark = channels.get(_KEY) if isinstance(channels, dict) else None
    if not isinstance(mark, _Mark):
        return None
    # Opens none: whoever entered another session means that one, and a run that is over has none
    above = _run(config.get("__pregel_runtime")).rpartition("|")[0]
    base = session_of(mark.hook.session)
    return children.known(base, above) if above else base


def _run(runtime: Any) -> str:
    """The name of a task of a graph: "model:…", or "tools:…|model:…" inside another."""
    info = getattr(runtime, "execution_info", None)
    return info.checkpoint_ns if info is not None else ""


def _is_said(message: Any) -> bool:
    """Whether it is what Bursar said at the end of a run."""
    return isinstance(message, AIMessage) and _KEY in message.response_metadata


class _Call:
    """A call of a model."""

    def __init__(self, hook: BursarMiddleware, request: Any) -> None:
        self._hook = hook
        self._session = hook.session_for(request.runtime)
        change: Dict[str, Any] = {}
        kept = [message for message in request.messages if not _is_said(message)]
        if len(kept) != len(request.messages):
            change["messages"] = kept
        said = self._session.brief() if hook.brief else ""
        if said:
            before = request.system_message
            text = said if before is None else f"{before.text}\n\n{said}"
            change["system_message"] = SystemMessage(text)
        self._request = request.override(**change) if change else request
        self._model = Model(request.model, request.model_settings, hook.model)

    def opened(self) -> Iterator[float]:
        """Opens the turn; gives the seconds to sleep before it is tried again."""
        model, request, patience = self._model, self._request, Patience(self._hook.wait)
        while True:
            try:
                self.turn: Turn = open_turn(
                    self._session, model.kind, model.name, model.over_http, self._input,
                    model.max_output_tokens, self._hook.wait)
                return
            except Refused as refused:
                yield patience.delay(refused)

    def _input(self) -> Any:
        request = self._request
        first = [] if request.system_message is None else [request.system_message]
        return self._model.input([*first, *request.messages], request.tools)

    def granted(self) -> Any:
        return self._model.granted(self._request, self.turn)

    def came(self, response: Any) -> Any:
        messages = [m for m in response.result if isinstance(m, AIMessage)]
        if messages and is_cached(messages[0]):
            self.turn.release()
        else:
            close_turn(self.turn, self._model.kind, usage_in(messages))
        return response


class _Use:
    """A call of a tool. In `with` it is at work: what it sends is metered, and agents in it have
    sessions of their own below."""

    def __init__(self, hook: BursarMiddleware, request: Any) -> None:
        self._hook = hook
        self._call = request.tool_call
        # what a model makes up is no name for the books
        self._name = self._call["name"] if request.tool is not None else "(no such tool)"
        self._session = hook.session_for(request.runtime)
        self._run = _run(request.runtime)
        self._agent = self._run.rpartition("|")[0]
        self._leaves = False  # it hands over
        self._asked = 0  # interrupts of ours, since this task began anew
        self.step: Optional[Tool] = None

    def opened(self) -> Iterator[float]:
        """Reserves the step; gives the seconds to sleep before it is tried again."""
        patience = Patience(self._hook.wait)
        while True:
            try:
                self.step = self._session.tool(self._name, self._call["args"])
                return
            except Refused as refused:
                try:
                    delay = patience.delay(refused)
                except Refused:
                    if self._hook.exit_behavior != "interrupt" or not self._resumed(refused):
                        raise
                    return
                yield delay

    def _resumed(self, refused: Refused) -> bool:
        """Interrupts the graph; when it is resumed: whether to try again."""
        self._hook.refused = refused
        self._asked += 1
        asked = self._hook._asked
        asked[self._run] = max(self._asked, asked.get(self._run, 0))
        said = {_KEY: told(refused.decision), "tool": self._call["name"]}
        return interrupt(said) is not False

    def __enter__(self) -> None:
        # Answers to interrupts of ours, also of those before, are none to the tool's own.
        asked = self._hook._asked
        while self._asked < asked.get(self._run, 0):
            if not _has_answer(self._asked):  # resumed without one
                asked[self._run] = self._asked
                break
            interrupt({_KEY: {}})
            self._asked += 1
        assert self.step is not None
        children.begin(self._agent)
        self._inside = within(self.step.session)
        self._inside.__enter__()
        self._above = in_tool.get()
        in_tool.set([self.step.name])

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        assert self.step is not None
        in_tool.set(self._above)
        self._inside.__exit__(None, None, None)
        if isinstance(error, GraphInterrupt):  # the tool is called again when it is resumed
            self.step.release()
        else:
            self.step.__exit__()
            self._hook._asked.pop(self._run, None)
            children.close(self._run)
        children.end(self._agent, self._leaves)

    def answered(self, result: Any) -> Any:
        self._leaves = getattr(result, "graph", None) == Command.PARENT  # to another agent
        content, step, most = getattr(result, "content", None), self.step, self._hook.repeats_max
        if content is not None and step is not None:
            repeats = step.came(content)
            if most is not None and repeats >= most:
                why = f"{step.name} had the same answer {repeats} times in a row"
                step.session.runtime.pause(step.session, reason=why)
        return result

    def told(self, refused: Refused) -> Any:
        """What the model is told instead of an answer."""
        self._hook.refused = refused
        if self._hook.exit_behavior == "error":
            raise refused
        return ToolMessage(
            str(refused), tool_call_id=self._call["id"], name=self._call["name"], status="error",
            response_metadata={_KEY: told(refused.decision)})  # fmt: skip


def _has_answer(number: int) -> bool:
    """Whether the run was resumed with an answer to this interrupt of its task."""
    pad = (get_config().get("configurable") or {}).get("__pregel_scratchpad")
    if pad is None:
        return False
    return len(pad.resume) > number or pad.get_null_resume(False) is not None
