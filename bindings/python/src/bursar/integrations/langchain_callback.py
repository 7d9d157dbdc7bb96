"""The callback handler for what is not made by create_agent: plain models, chains, retrievers,
hand-written graphs. Needs langchain-core alone."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, List, NamedTuple, Optional, TypeVar
from uuid import UUID

from ..errors import Refused
from ..instrument import metering, within
from ..session import Session
from ..step import Tool
from ..turn import Turn
from .common import Patience, children, close_turn, current_turn, in_tool, missing, open_turn
from .common import session_of

try:
    from langchain_core.callbacks import BaseCallbackHandler

    from .langchain_models import is_cached, is_over_http, plain, usage_in
except ImportError as error:
    raise missing("langchain_callback", "langchain", error) from error

if TYPE_CHECKING:
    from ..limits import Limits


_Step = TypeVar("_Step")


class _Work(NamedTuple):
    """What was begun for a run."""

    leave: Callable[[], object]
    turn: Optional[Turn] = None
    step: Optional[Tool] = None
    kind: str = ""


class BursarCallback(BaseCallbackHandler):
    """Each call of a model or a tool is a step of `session`, or of the entered one.

    Refused is raised where a step is not admitted. A graph that runs inside a tool or another graph
    has a session of its own below, with `limits`. `wait`: seconds that a throttled call may wait.
    `model`: what the price book calls a model that has no name of its own. Where create_agent has
    the middleware, what that has metered is not counted again.
    """

    raise_error = True
    run_inline = True  # in the caller's context, so that what it sends is known to be of the run

    def __init__(
        self,
        session: Optional[Session] = None,
        *,
        limits: Limits = (),
        wait: float = 60.0,
        model: str = "",
    ) -> None:
        self.session = session
        self.limits = limits
        self.wait = wait
        self.model = model
        self._lock = threading.Lock()
        self._work: Dict[UUID, _Work] = {}  # by the lock
        self._graphs: Dict[UUID, str] = {}  # runs of graphs that have a session below; by the lock
        metering()

    # ---- Models ----

    def on_chat_model_start(
        self, serialized: Any, messages: List[List[Any]], *, run_id: UUID, metadata: Any = None,
        **more: Any,
    ) -> None:  # fmt: skip
        self._model_starts(
            serialized, lambda: [plain(m) for part in messages for m in part], run_id,
            metadata or {}, more)  # fmt: skip

    def on_llm_start(
        self, serialized: Any, prompts: List[str], *, run_id: UUID, metadata: Any = None,
        **more: Any,
    ) -> None:  # fmt: skip
        self._model_starts(serialized, lambda: list(prompts), run_id, metadata or {}, more)

    def _model_starts(
        self, serialized: Any, input: Callable[[], Any], run: UUID, metadata: Dict[str, Any],
        more: Dict[str, Any],
    ) -> None:  # fmt: skip
        if current_turn() is not None:
            return  # the middleware's
        session = self._session(metadata)
        said, serialized = more.get("invocation_params") or {}, serialized or {}
        name = metadata.get("ls_model_name") or said.get("model") or said.get("model_name")
        limit = metadata.get("ls_max_tokens") or said.get("max_tokens")
        kind = ".".join(map(str, serialized.get("id") or ["?"]))
        tools = said.get("tools") or ()
        turn = self._tried(lambda: open_turn(
            session, kind, name or self.model, is_over_http(serialized),
            lambda: [*input(), *tools], limit, self.wait, whole=True))  # fmt: skip
        turn.__enter__()
        with self._lock:
            self._work[run] = _Work(turn.leave, turn, kind=kind)

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **more: Any) -> None:
        work = self._work.get(run_id)
        if work is not None:  # the request went out; who reads the pieces is not in the turn
            work.leave()

    def on_stream_event(self, event: Any, *, run_id: UUID, **more: Any) -> None:
        self.on_llm_new_token(None, run_id=run_id)

    def on_llm_end(self, response: Any, *, run_id: UUID, **more: Any) -> None:
        work = self._over(run_id)
        if work is None or work.turn is None:
            return
        found = [getattr(g, "message", None) for part in response.generations for g in part]
        messages = [message for message in found if message is not None]
        if messages and is_cached(messages[0]):
            work.turn.release()
        else:
            close_turn(work.turn, work.kind, usage_in(messages[:1]))
        work.turn.finish()

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **more: Any) -> None:
        work = self._over(run_id)
        if work is not None and work.turn is not None:
            work.turn.finish()

    # ---- Tools, retrievers, and the nodes of graphs ----

    def on_tool_start(
        self, serialized: Any, input_str: str, *, run_id: UUID, metadata: Any = None,
        inputs: Any = None, **more: Any,
    ) -> None:  # fmt: skip
        name = (serialized or {}).get("name") or more.get("name") or "tool"
        above = in_tool.get()
        if above and above[-1] == name:
            above.pop()  # the middleware's
            return
        session = self._session(metadata or {})
        step = self._tried(lambda: session.tool(name, input_str if inputs is None else inputs))
        self._enter(run_id, session, step)

    def on_tool_end(self, output: Any, *, run_id: UUID, **more: Any) -> None:
        work = self._over(run_id)
        if work is not None and work.step is not None:
            work.step.came(getattr(output, "content", output))
            work.step.__exit__()

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **more: Any) -> None:
        work = self._over(run_id)
        if work is not None and work.step is not None:
            if _is_interrupt(error):  # it is called again when the graph is resumed
                work.step.release()
            else:
                work.step.__exit__()

    def on_retriever_start(
        self, serialized: Any, query: str, *, run_id: UUID, metadata: Any = None, **more: Any
    ) -> None:
        self._enter(run_id, self._session(metadata or {}))

    def on_retriever_end(self, documents: Any, *, run_id: UUID, **more: Any) -> None:
        self._over(run_id)

    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **more: Any) -> None:
        self._over(run_id)

    def on_chain_start(
        self, serialized: Any, inputs: Any, *, run_id: UUID, parent_run_id: Optional[UUID] = None,
        tags: Any = None, metadata: Any = None, **more: Any,
    ) -> None:  # fmt: skip
        if not any(tag.startswith("graph:step:") for tag in tags or ()):
            return
        above = _above(metadata or {})
        if above and parent_run_id is not None:
            with self._lock:
                self._graphs[parent_run_id] = above
        self._enter(run_id, self._session(metadata or {}))

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **more: Any) -> None:
        self._over(run_id)
        self._left(run_id)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **more: Any) -> None:
        self._over(run_id)
        self._left(run_id, _is_interrupt(error))

    # ---- Within ----

    def _left(self, run: UUID, resumes: bool = False) -> None:
        """A graph ended; with the last of those that a task runs at a time, so does their session."""
        with self._lock:
            graph = self._graphs.pop(run, None)
            over = graph is not None and graph not in self._graphs.values()
        if graph is not None and over and not resumes:
            children.close(graph)

    def _session(self, metadata: Dict[str, Any]) -> Session:
        """Whose a step is: below the session, where its graph runs inside another."""
        base, above = session_of(self.session), _above(metadata)
        with self._lock:
            if above not in self._graphs.values():  # it is a task of the functional API
                return base
        node = above.rpartition("|")[2].partition(":")[0]
        return children.session(base, above, metadata.get("lc_agent_name") or node, self.limits)

    def _tried(self, reserve: Callable[[], _Step]) -> _Step:
        """Reserves. In an event loop it does not wait, because all would."""
        patience = Patience(self.wait)
        while True:
            try:
                return reserve()
            except Refused as refused:
                try:
                    asyncio.get_running_loop()
                except RuntimeError:
                    time.sleep(patience.delay(refused))
                else:
                    raise

    def _enter(self, run: UUID, session: Session, step: Optional[Tool] = None) -> None:
        inside = within(session)
        inside.__enter__()
        with self._lock:
            self._work[run] = _Work(lambda: inside.__exit__(None, None, None), step=step)

    def _over(self, run: UUID) -> Optional[_Work]:
        """What was begun for a run, which ends."""
        work = self._work.pop(run, None)
        if work is not None:
            work.leave()
        return work


def _above(metadata: Dict[str, Any]) -> str:
    """The task that a graph runs in: "" for one that runs by itself."""
    return str(metadata.get("langgraph_checkpoint_ns") or "").rpartition("|")[0]


def _is_interrupt(error: BaseException) -> bool:
    return any(base.__name__ == "GraphInterrupt" for base in type(error).__mro__)
