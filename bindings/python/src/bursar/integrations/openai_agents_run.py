"""One run of OpenAI's Agents SDK: its session, its calls of models and tools, how it is refused."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Tuple

from agents import AgentsException, Model, RunResult, ToolGuardrailFunctionOutput
from agents import ToolInputGuardrail

from .. import errors
from ..decision import Decision
from ..errors import BursarError, InvalidArgumentError, Refused
from ..seat import Seat, _current, _without
from ..session import Session
from ..step import Tool
from ..turn import Turn, _turn
from ..usage import Usage
from ..wire.gate import theirs
from .common import Patience, as_theirs, close_turn, open_turn, told

if TYPE_CHECKING:
    from .openai_agents import BursarHooks

# Models that ask by httpx at the paths that are metered there, and providers of such.
_OVER_HTTP = {
    "OpenAIChatCompletionsModel", "OpenAIResponsesModel", "LitellmModel", "AnyLLMModel",
    "MultiProvider", "OpenAIProvider", "LitellmProvider",
}  # fmt: skip


# ---- Refusals ----


class Both(AgentsException):
    """`decision` says why; `run_data` is the SDK's account of the run until then."""

    decision: Decision
    run_data = None
    _first: Any = None  # the agent that the run began with, and where it was in its turns
    _turns: Tuple[int, Optional[int]] = (0, None)

    def __init__(self, decision: Decision) -> None:
        Exception.__init__(self, decision.explain())
        self.run_data = None
        self.decision = decision

    def _result(self) -> RunResult:
        data = self.run_data
        if data is None:
            raise InvalidArgumentError("this refusal did not end a run: it has no run_data")
        result = RunResult(
            input=data.input, new_items=data.new_items, raw_responses=data.raw_responses,
            final_output=None, input_guardrail_results=data.input_guardrail_results,
            output_guardrail_results=data.output_guardrail_results,
            tool_input_guardrail_results=data.tool_input_guardrail_results,
            tool_output_guardrail_results=data.tool_output_guardrail_results,
            context_wrapper=data.context_wrapper, _last_agent=data.last_agent,
            _model_input_items=list(data.new_items), max_turns=self._turns[1])  # fmt: skip
        result._current_turn = self._turns[0]
        setattr(result, "_starting_agent_for_state", self._first or data.last_agent)
        return result

    def to_state(self) -> Any:
        """The run as it was before what was refused: `Runner.run(agent, refused.to_state(), …)`
        goes on there, and pays for nothing again. Of a run with a server-side conversation give
        that again, with to_input_list()."""
        return self._result().to_state()

    def to_input_list(self) -> List[Any]:
        """The same as input items, for a new run of `refused.run_data.last_agent`."""
        return self._result().to_input_list()


class Throttled(Both, errors.Throttled):
    """It would have had to wait longer than it may."""


class Halted(Both, errors.Halted):
    """The session cannot go on by waiting."""


class BudgetExceeded(Both, errors.BudgetExceeded):
    """An amount would pass its limit."""


class Paused(Both, errors.Paused):
    """Until somebody tops up, resumes or attends."""


class Killed(Both, errors.Killed):
    """Somebody stopped it; `decision.why` has the reason."""


class DeadlineExceeded(Both, errors.DeadlineExceeded):
    """The session's time is over."""


def _as_both(refused: Refused) -> Any:
    if isinstance(refused, Both):
        return refused
    return as_theirs(refused, globals())


# ---- A run ----


class _Front(Turn):
    """The turn of a run, in the eyes of its requests: whichever call of a model is at work."""

    def __init__(self, wait: float) -> None:
        self.turn: Optional[Turn] = None
        self.wait = wait
        self.is_here, self._before = True, None
        self._open = False

    def make_room(self) -> None:
        if self.turn is not None:
            self.turn.make_room()


class Run:
    """One run of the SDK's loop: its session, and after a handoff one of the agent's own below."""

    def __init__(
        self, hooks: BursarHooks, base: Session, is_child: bool, agent: Any, settings: Any
    ) -> None:
        self.hooks = hooks
        self.first = agent
        self.seat = Seat(base)
        self.front = _Front(hooks.wait)
        self.kind: Any = None  # of the model that was called last
        self.settings = settings  # the RunConfig
        self._base = base
        self._is_child = is_child  # opened for this run
        self._agents: Dict[str, Session] = {}  # sessions of those that were handed to
        self._tools: Dict[str, List[Tool]] = {}  # that were admitted and have not answered
        self._at_work: List[Tool] = []  # of these, those that were begun

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """What is started inside is of this run."""
        tokens = running.set(self), _turn.set(self.front), theirs.set(_as_both)
        self.seat._enter()
        try:
            yield
        finally:
            _current.set(_without(_current.get(), self.seat))  # it is taken until the run ends
            for variable, token in zip((running, _turn, theirs), tokens):
                variable.reset(token)  # type: ignore[attr-defined]

    def go(self, agent: Any) -> Session:
        """It is this agent's turn."""
        if agent is self.first or agent.name == self.first.name:
            self.seat.session = self._base
        else:
            if agent.name not in self._agents:
                self._agents[agent.name] = self._base.child(agent.name)
            self.seat.session = self._agents[agent.name]
        return self.seat.session

    # ---- Models ----

    async def call(self, agent: Any, instructions: Any, items: Any) -> None:
        """A model is about to be called."""
        session, hooks = self.go(agent), self.hooks
        self.end_call()
        model = getattr(self.settings, "model", None) or agent.model
        if isinstance(model, Model):
            self.kind, name = type(model), getattr(model, "model", "")
        else:
            provider = getattr(self.settings, "model_provider", None)
            self.kind, name = type(provider), str(model or "").rpartition("/")[2]
        said = self.kind.__name__
        over_http = said in _OVER_HTTP and not _by_websocket(self.settings)
        limit = agent.model_settings.max_tokens
        patience = Patience(hooks.wait)
        while True:
            try:
                self.front.turn = open_turn(
                    session, self.kind, name if isinstance(name, str) else "", over_http,
                    lambda: [instructions or "", *items], limit, hooks.wait)  # fmt: skip
                return
            except Refused as refused:
                await asyncio.sleep(_patient(patience, refused))

    def answered(self, response: Any) -> None:
        turn = self.front.turn
        if turn is not None:
            close_turn(turn, self.kind, _usage(response.usage))
            self.end_call()

    def end_call(self) -> None:
        """Settles a call that nobody settled."""
        turn, self.front.turn = self.front.turn, None
        if turn is not None:
            turn.finish()

    # ---- Tools ----

    async def admit(self, key: str, name: str, arguments: Any) -> None:
        """Reserves a call of a tool, once. Raises the refusal."""
        patience = Patience(self.hooks.wait)
        while key not in self._tools:
            try:
                step = self.seat.session.tool(name, arguments)
                self._tools.setdefault(key, []).append(step)
            except Refused as refused:
                await asyncio.sleep(_patient(patience, refused))

    def begin(self, key: str) -> None:
        self._at_work += self._tools.get(key, ())[-1:]

    def came(self, key: str, result: Any) -> None:
        """A tool has answered."""
        steps = self._tools.get(key)
        if not steps:
            return
        step = steps.pop()
        if not steps:
            del self._tools[key]
        if step in self._at_work:
            self._at_work.remove(step)
        repeats, most = step.came(result), self.hooks.repeats_max
        step.__exit__()
        if most is not None and repeats >= most:
            why = f"{step.name} had the same answer {repeats} times in a row"
            step.session.runtime.pause(step.session, reason=why)

    def end(self) -> None:
        """The run is over: settles what is open, and closes the sessions of its agents."""
        self.seat.taken = self.front.is_here = False
        try:
            self.end_call()
            for steps in self._tools.values():
                for step in steps:
                    if step in self._at_work:
                        step.__exit__()
                    else:
                        step.release()
            for session in self._agents.values():
                session.close()
            if self._is_child:
                self._base.close()
        except BursarError:
            pass  # its runtime was closed meanwhile
        self._tools.clear()
        self._agents.clear()


running: contextvars.ContextVar[Optional[Run]]
running = contextvars.ContextVar("bursar.openai_agents", default=None)


def _patient(patience: Patience, refused: Refused) -> float:
    try:
        return patience.delay(refused)
    except Refused:
        raise _as_both(refused) from None


def _by_websocket(settings: Any) -> bool:
    """Whether models that are named by a text answer by another way than HTTP."""
    provider = getattr(settings, "model_provider", None)
    provider = getattr(provider, "openai_provider", provider)
    return getattr(provider, "_responses_transport", "http") == "websocket"


def _usage(used: Any) -> Optional[Usage]:
    """The SDK's: details are inside the counts. None: nobody knows it."""
    if not getattr(used, "requests", 0) and not getattr(used, "total_tokens", 0):
        return None
    into, out = used.input_tokens_details, used.output_tokens_details
    return Usage(
        input_tokens=used.input_tokens, output_tokens=used.output_tokens,
        cache_read_input_tokens=getattr(into, "cached_tokens", 0) or 0,
        cache_write_input_tokens=getattr(into, "cache_write_tokens", 0) or 0,
        reasoning_output_tokens=getattr(out, "reasoning_tokens", 0) or 0)  # fmt: skip


async def _ask(data: Any) -> ToolGuardrailFunctionOutput:
    """Admits a call of a function tool, or tells the model why not. Nothing outside of our runs."""
    run, context = running.get(), data.context
    if run is not None:
        try:
            await run.admit(context.tool_call_id, context.tool_name, context.tool_arguments)
        except Refused as refused:
            run.hooks.refused = refused
            return ToolGuardrailFunctionOutput.reject_content(
                str(refused), {"bursar": told(refused.decision)})
    return ToolGuardrailFunctionOutput.allow()


guardrail: Any = ToolInputGuardrail(_ask, name="bursar")
