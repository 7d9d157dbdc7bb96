"""OpenAI's Agents SDK: runs that keep to a session's budget.

    result = await Runner.run(agent, "…", hooks=BursarHooks(session))

Without a session it is the one that the run is in, `with bursar.session(...)`. A refusal is raised
as an exception that is both bursar.Refused, with its decision, and AgentsException, with the SDK's
`run_data`; `to_state()` and `to_input_list()` of it are what the run goes on with after a top-up.
A refused function tool is told to the model, as the SDK's tool guardrails do.
"""

from __future__ import annotations

import copy
from typing import Any, Dict, Optional, Tuple

from ..errors import InvalidArgumentError, Refused
from ..instrument import metering
from ..limits import Limits
from ..session import Session
from .common import missing, session_of

try:
    from agents import Agent, FunctionTool, RunHooks
    from agents.run import DEFAULT_MAX_TURNS, AgentRunner, RunConfig, RunState
    from agents.run import get_default_agent_runner, set_default_agent_runner

    from .openai_agents_run import (
        BudgetExceeded, Both, DeadlineExceeded, Halted, Killed, Paused, Run, Throttled, guardrail,
        running,
    )  # fmt: skip
except ImportError as error:
    raise missing("openai_agents", "openai-agents", error) from error

__all__ = [
    "BudgetExceeded", "BursarHooks", "DeadlineExceeded", "Halted", "Killed", "Paused", "Throttled",
    "install",
]  # fmt: skip

for _kind in (Throttled, Halted, BudgetExceeded, Paused, Killed, DeadlineExceeded):
    _kind.__module__ = __name__  # as it is to be imported


# ---- Hooks ----


class BursarHooks(RunHooks[Any]):
    """Each call of a model or a tool is a step of `session`, or of the entered one.

    An agent that is handed to has a session of its own below, and so has one that is called as a
    tool or run inside a run, with `limits`. One object will do for many runs at once. `also`: hooks
    of your own, which are called too. `wait`: seconds that a throttled step may wait.
    `repeats_max`: the session is paused when a tool had the same answer to the same arguments so
    often in a row; it goes on after `runtime.resume(session)`.
    """

    def __init__(
        self,
        session: Optional[Session] = None,
        *,
        limits: Limits = (),
        also: Optional[RunHooks[Any]] = None,
        wait: float = 60.0,
        repeats_max: Optional[int] = None,
    ) -> None:
        self.session = session
        self.limits = limits
        self.also = also
        self.wait = wait
        self.repeats_max = repeats_max
        self.refused: Optional[Refused] = None  # the last one of all runs
        metering()
        _take_runner()

    def _of(self) -> Run:
        run = running.get()
        if run is None:
            raise InvalidArgumentError(
                "this run is not known to BursarHooks: set_default_agent_runner() was called after "
                "it was made, or the run was started without Runner; make BursarHooks later")
        return run

    async def on_llm_start(
        self, context: Any, agent: Any, system_prompt: Any, input_items: Any
    ) -> None:
        run = self._of()
        for tool in agent.tools:
            if isinstance(tool, FunctionTool):  # the guardrail does nothing outside of our runs
                before = tool.tool_input_guardrails or []
                if guardrail not in before:
                    tool.tool_input_guardrails = [*before, guardrail]
        await run.call(agent, system_prompt, input_items)
        if self.also is not None:
            await self.also.on_llm_start(context, agent, system_prompt, input_items)

    async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
        self._of().answered(response)
        if self.also is not None:
            await self.also.on_llm_end(context, agent, response)

    async def on_agent_start(self, context: Any, agent: Any) -> None:
        self._of().go(agent)
        if self.also is not None:
            await self.also.on_agent_start(context, agent)

    async def on_agent_end(self, context: Any, agent: Any, output: Any) -> None:
        if self.also is not None:
            await self.also.on_agent_end(context, agent, output)

    async def on_handoff(self, context: Any, from_agent: Any, to_agent: Any) -> None:
        if self.also is not None:
            await self.also.on_handoff(context, from_agent, to_agent)

    async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
        run, key = self._of(), _key(context, tool)
        await run.admit(key, tool.name, getattr(context, "tool_arguments", None))
        run.begin(key)
        if self.also is not None:
            await self.also.on_tool_start(context, agent, tool)

    async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: Any) -> None:
        self._of().came(_key(context, tool), result)
        if self.also is not None:
            await self.also.on_tool_end(context, agent, tool, result)


def install(session: Optional[Session] = None, **options: Any) -> BursarHooks:
    """Meters every run from now on, as if it was given BursarHooks(session, **options)."""
    _Runner.always = BursarHooks(session, **options)
    return _Runner.always


def _key(context: Any, tool: Any) -> str:
    """What a call of a tool is known by in its run."""
    return getattr(context, "tool_call_id", None) or f"{type(tool).__name__}:{tool.name}"


# ---- The runner, which knows where a run begins and ends ----


class _Runner(AgentRunner):
    """Stands before the SDK's default runner; a run without our hooks passes through."""

    always: Optional[BursarHooks] = None

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def run(self, starting_agent: Agent[Any], input: Any, **options: Any) -> Any:
        run, options = _begun(starting_agent, input, options)
        if run is None:
            return await self.inner.run(starting_agent, input, **options)
        try:
            with run.entered():
                return await self.inner.run(starting_agent, input, **options)
        except Both as refused:
            raise _noted(run, refused, starting_agent, input, options)
        finally:
            run.end()

    def run_sync(self, starting_agent: Agent[Any], input: Any, **options: Any) -> Any:
        run, options = _begun(starting_agent, input, options)
        if run is None:
            return self.inner.run_sync(starting_agent, input, **options)
        try:
            with run.entered():
                return self.inner.run_sync(starting_agent, input, **options)
        except Both as refused:
            raise _noted(run, refused, starting_agent, input, options)
        finally:
            run.end()

    def run_streamed(self, starting_agent: Agent[Any], input: Any, **options: Any) -> Any:
        run, options = _begun(starting_agent, input, options)
        if run is None:
            return self.inner.run_streamed(starting_agent, input, **options)
        with run.entered():
            result = self.inner.run_streamed(starting_agent, input, **options)

        def over(task: Any) -> None:
            error = None if task.cancelled() else task.exception()
            if isinstance(error, Both):
                _noted(run, error, starting_agent, input, options)
            run.end()

        result.run_loop_task.add_done_callback(over)
        return result


def _take_runner() -> None:
    runner = get_default_agent_runner()
    if not isinstance(runner, _Runner):
        set_default_agent_runner(_Runner(runner))


def _begun(agent: Any, input: Any, options: Dict[str, Any]) -> Tuple[Optional[Run], Dict[str, Any]]:
    """The run that begins, with the options it runs with; None: it is not ours."""
    given, above = options.get("hooks"), running.get()
    hooks = given if isinstance(given, BursarHooks) else None
    if hooks is None:
        base = _Runner.always if above is None else above.hooks
        if base is None:
            return None, options
        hooks = copy.copy(base)
        hooks.also = given
    settings = options.get("run_config") or RunConfig()
    if isinstance(settings, dict):
        settings = RunConfig(**settings)
    session, is_child = session_of(hooks.session), False
    if above is not None and session is above.seat.session:
        session, is_child = session.child(agent.name, limits=hooks.limits or None), True
    run = Run(hooks, session, is_child, getattr(input, "_current_agent", None) or agent, settings)
    return run, {**options, "hooks": hooks, "run_config": settings}


def _noted(
    run: Run, refused: Any, agent: Any, input: Any, options: Dict[str, Any]
) -> Any:
    """A refusal that ended a run."""
    run.hooks.refused = refused
    most = options.get("max_turns", DEFAULT_MAX_TURNS)
    if isinstance(input, RunState):
        most = input._max_turns
    data = refused.run_data
    refused._first = agent
    refused._turns = (0 if data is None else len(data.raw_responses)), most
    return refused
