"""What the integrations have in common: a model's call, its turn, and the wait for room.

A model whose requests are metered at its HTTP client needs nothing held for it: its turn is a
Passage, which only sees that it was. What another model may cost is held before it is called, and
settled from the usage that it reports. Which is which is known for the usual packages, and learnt
for others from their first call.
"""

from __future__ import annotations

import contextvars
import threading
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Set, Union

from ..decision import Decision, Receipt
from ..errors import BursarError, InvalidArgumentError, NotFoundError, Refused
from ..estimate import Input
from ..instrument import metering
from ..session import Session, current
from ..turn import Turn, current_turn as current_turn
from ..usage import Usage, usage_of
from ..words import Remedy

if TYPE_CHECKING:
    from ..limits import Limits

MAX_OUTPUT_TOKENS = 4_096  # wanted where a model names no limit
WAIT = 60.0  # seconds that a throttled step may wait

_metered: Dict[Any, None] = {}  # kinds of models that were seen to be
_METERED_MAX = 1_024

# The tools that a middleware is calling: a callback below need not count them again.
in_tool: contextvars.ContextVar[List[str]] = contextvars.ContextVar("bursar.in_tool", default=[])


def missing(module: str, extra: str, error: ImportError) -> ImportError:
    """What to raise when a framework is not there."""
    said = ImportError(
        f"bursar.integrations.{module} needs a package that is not there ({error}): "
        f"pip install 'bursar[{extra}]'")
    said.name = error.name
    return said


def session_of(given: Optional[Session]) -> Session:
    """The session that a hook was given, or the entered one; that one too when it is below."""
    entered = current()
    while entered is not None and entered._closed and entered._parent is not None:
        entered = entered._parent  # another agent in the same tool was the last to need it
    if given is None:
        if entered is None:
            raise InvalidArgumentError(
                "no session: give one, or run the agent inside `with bursar.session(...)`")
        return entered
    return entered if entered is not None and is_below(entered, given) else given


def is_below(session: Optional[Session], other: Session) -> bool:
    """Whether it is the other session, or was opened under it in this process."""
    while session is not None:
        if session is other or session.id == other.id and session.runtime is other.runtime:
            return True
        session = session._parent
    return False


def told(decision: Decision) -> Dict[str, Union[str, int, float, bool]]:
    """A decision in plain words and numbers, for messages that are stored."""
    answer: Dict[str, Union[str, int, float, bool]] = {"explanation": decision.explain()}
    for name, value in decision.as_dict().items():
        plain = getattr(value, "name", None)
        answer[name] = plain.lower() if isinstance(plain, str) else value
    answer["flags"] = int(decision.flags)
    return answer


class Patience:
    """How long one step waits for room, in all."""

    def __init__(self, wait: float) -> None:
        self._until = time.monotonic() + wait
        self._refusals = 0

    def delay(self, refused: Refused) -> float:
        """Seconds to sleep before asking again; raises the refusal when that is vain."""
        decision = refused.decision
        # what steps in flight hold comes back at any moment: ask again soon, then less often
        delay = decision.retry_after or min(1.0, 0.02 * 2**self._refusals)
        self._refusals += 1
        if decision.remedy != Remedy.WAIT or time.monotonic() + delay > self._until:
            raise refused
        return delay


# ---- A model's call ----


class Passage(Turn):
    """A turn that holds nothing, because the request inside will. Where none was metered, what was
    used is recorded afterwards, whatever is left."""

    def __init__(self, session: Session, model: str, wait: float) -> None:
        super().__init__(session, _nothing(session))
        self.wait = wait
        self._held, self._open = [], False
        self._model = model

    def make_room(self) -> None:
        self.metered = True

    def release(self) -> None:
        pass

    def settle(self, usage: Any = None, **more: Any) -> Optional[Receipt]:  # type: ignore[override]
        if self.metered:
            return None
        session = self.session
        found = usage if isinstance(usage, Usage) else usage_of(usage, more.get("provider"))
        decision = session.reserve(
            self._model, input_tokens=found.input_tokens, max_output_tokens=found.output_tokens,
            min_output_tokens=found.output_tokens, as_asked=True)  # fmt: skip
        if decision:
            self.receipt = session.settle(decision, found)
        else:  # it has happened
            cost = Decimal(session.runtime.quote(self._model, found)).scaleb(-9)
            self.receipt = session.charge(cost, force=True)
        return self.receipt


def _nothing(session: Session) -> Decision:
    decision: Decision = tuple.__new__(session._link.decision, (0,) * 16)
    return decision


def open_turn(
    session: Session,
    kind: Any,
    model: str,
    over_http: bool,
    input: Callable[[], Input],
    max_output_tokens: Optional[int],
    wait: float = WAIT,
    whole: bool = False,
) -> Turn:
    """The turn of a call; raises the refusal. `kind` is what calls are known by, `wait`: how long a
    metered request may wait, `whole`: fewer output tokens than wanted are no use, because the model
    cannot be told."""
    metering()
    if over_http or kind in _metered:
        return Passage(session, model, wait)
    wanted = max_output_tokens or MAX_OUTPUT_TOKENS
    turn = session.turn(
        model or "(no model)", input=input(), max_output_tokens=wanted,
        min_output_tokens=wanted if whole else 0, as_asked=True)  # fmt: skip
    turn.wait = wait
    return turn


def close_turn(turn: Turn, kind: Any, usage: Any, provider: Optional[str] = None) -> None:
    """An answer came: settles what was not metered. `usage` None: nobody knows it."""
    if turn.metered:
        if len(_metered) < _METERED_MAX:
            _metered[kind] = None
    elif usage is not None:
        if isinstance(usage, Usage):
            turn.settle(usage)
        else:
            turn.settle(usage, provider=provider)


# ---- Refusals ----

_KINDS = {"Throttled", "Halted", "BudgetExceeded", "Paused", "Killed", "DeadlineExceeded"}


def as_theirs(refused: Refused, classes: Mapping[str, Any]) -> Any:
    """A refusal as a framework's own: of the class with the same name, `Halted` for any other."""
    names = (kind.__name__ for kind in type(refused).__mro__)
    return classes[next((name for name in names if name in _KINDS), "Halted")](refused.decision)


# ---- Sub-agents ----


class Children:
    """The sessions of sub-agents that run, by the key of their run. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: Dict[str, Session] = {}  # by the lock
        self._at_work: Dict[str, int] = {}  # tools of a run that are; by the lock
        self._left: Set[str] = set()  # runs that handed over to another; by the lock

    def session(self, parent: Session, key: str, agent: str, limits: Limits) -> Session:
        """The session of a run, opened under its parent's when it is new."""
        with self._lock:
            child = self._open.get(key)
            if child is not None and is_below(parent, child):
                return parent  # another hook of the same run has entered it
            if child is None or child._closed or child._parent is not parent:
                for old in [k for k, s in self._open.items() if s.runtime.closed]:
                    del self._open[old]
                child = self._open[key] = _below(parent, agent, limits)
            return child

    def known(self, parent: Session, key: str) -> Session:
        """The session of a run while it has one, opened under its parent's; else that."""
        with self._lock:
            child = self._open.get(key)
        return parent if child is None or child._closed or child._parent is not parent else child

    def begin(self, key: str) -> None:
        """A tool of the run is at work."""
        with self._lock:
            self._at_work[key] = self._at_work.get(key, 0) + 1

    def end(self, key: str, leaves: bool) -> None:
        """It has ended. `leaves`: so has the run, which handed over to another, with the last of
        those that are at work."""
        with self._lock:
            left = self._at_work.pop(key, 1) - 1
            if left:
                self._at_work[key] = left
            if leaves:
                self._left.add(key)
            over = not left and key in self._left
            if over:
                self._left.discard(key)
        if over:
            self.close(key)

    def close(self, key: str) -> None:
        """The run is over, and all below it."""
        with self._lock:
            over = [k for k in self._open if k == key or k.startswith(key + "|")]
            over.sort(key=len, reverse=True)  # what is below first
            closed = [self._open.pop(k) for k in over]
        for child in closed:
            try:
                child.close()
            except BursarError:
                pass  # its runtime was closed before


def _below(parent: Session, agent: str, limits: Limits) -> Session:
    """A session under another, or under what that was in when somebody has just closed it."""
    try:
        return parent.child(agent, limits=limits or None)
    except NotFoundError:
        if parent._parent is None:
            raise
        return _below(parent._parent, agent, limits)


children = Children()  # of all hooks: a run has one session, whoever opened it
