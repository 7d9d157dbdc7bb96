"""Bursar, the budget runtime that lives inside AI agents.

    import bursar

    with bursar.session("acme/support/triage", "$2", "200 steps", "10m wall") as s:
        with s.step("gpt-4o", input=messages, max_output_tokens=1024) as step:
            reply = ...  # call step.model with step.max_output_tokens
            step.settle(reply.usage)

Every step's worst case is held at every budget above it before it runs, and replaced by what was
used after. `bursar.open()` gives a runtime of one's own, `bursar.open("~/.bursar")` one whose
budgets all processes share; the functions here use one that the whole process shares.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from typing import Dict, Iterable, Mapping, Optional, Tuple, Union

from .decision import Decision, Receipt
from .errors import (
    AmbiguousUsage, BudgetExceeded, BursarError, BursarWarning, CapacityError, ClosedError,
    ConflictError, DeadlineExceeded, ExpiredError, ForkedError, Halted, HomeError, InUseError,
    InvalidArgumentError, Killed, LibraryError, LimitTextError, MoneyTextError, NotFoundError,
    PathError, Paused, PriceError, QueryError, Refused, RoleError, Throttled, UnsupportedError, ZoneError,
)  # fmt: skip
from .estimate import estimate_tokens
from .estimator import Estimate, EstimateError
from .imports import FailedLine, Imported
from .instrument import instrument, uninstrument
from .limits import Limit, Limits
from .money import Money, Span
from .report import report
from .options import word
from .prices import PriceReport
from .runtime import Runtime, Target, directory
from .session import Session, current
from .step import Step, Tool
from .turn import Turn
from .usage import Usage, usage_of
from .views import Event, Health, HomeInfo, LimitView, MeterView, Process, Rates, Spend, View
from .words import (
    Complexity, Content, DecisionFlag, End, EventType, Kind, Meter, OutcomeState, Reason, Remedy, Role, State, Status,
    Unavailable, Undeclared, UnknownModel, Variant, Verdict,
)  # fmt: skip

__all__ = [
    "AmbiguousUsage", "BudgetExceeded", "BursarError", "BursarWarning", "CapacityError",
    "ClosedError", "Complexity", "ConflictError", "Content", "DeadlineExceeded", "Decision", "DecisionFlag",
    "End", "Estimate", "EstimateError", "Event", "EventType", "ExpiredError", "FailedLine",
    "ForkedError", "Halted", "Health", "HomeError", "HomeInfo", "Imported",
    "InUseError",
    "InvalidArgumentError", "Killed", "Kind", "LibraryError", "Limit", "LimitTextError",
    "LimitView", "Meter", "MeterView", "MoneyTextError", "NotFoundError", "OutcomeState", "PathError",
    "Paused", "PriceError", "PriceReport", "Process", "QueryError", "Rates", "Reason", "Receipt", "Refused", "Remedy", "Role",
    "RoleError", "Runtime",
    "Session", "Spend", "State", "Status", "Step", "Throttled", "Tool", "Turn", "Unavailable",
    "Undeclared",
    "UnknownModel", "UnsupportedError", "Usage", "Variant", "Verdict", "View", "ZoneError",
    "attach", "current", "estimate_tokens", "instrument", "open", "report", "report_at_exit",
    "runtime", "session", "uninstrument", "usage_of", "use",
]  # fmt: skip

__version__ = "0.1.0"

open = Runtime  # bursar.open() reads like the C function, and is the class

_default: Optional[Runtime] = None
_attached: Dict[Tuple[Optional[str], int], Runtime] = {}  # by home and role
_lock = threading.Lock()
_report = os.environ.get("BURSAR_REPORT", "") not in ("", "0")


def runtime() -> Runtime:
    """The runtime that the whole process shares, opened when first asked for.

    In the child of a fork it is still the parent's, and every call on it raises ForkedError:
    budgets do not multiply by themselves. `bursar.use(bursar.open())` starts anew there, and
    `bursar.use(bursar.open("~/.bursar"))` before the fork shares one set of budgets.
    """
    global _default
    with _lock:
        if _default is None or _default.closed:
            _default = Runtime()
        return _default


def use(runtime: Runtime) -> None:
    """Makes this the runtime that the whole process shares; the former stays open."""
    global _default
    with _lock:
        _default = runtime


def session(
    path: Target,
    *limit: Limits,
    limits: Optional[Limits] = None,
    agent: str = "",
    deadline: Optional[Span] = None,
    idle: Optional[Span] = None,
    ladder: Union[str, Iterable[str]] = (),
    labels: Optional[Mapping[str, str]] = None,
    complexity: Union[Complexity, str] = Complexity.DEFAULT,
    holdback: Money = 0,
) -> Session:
    """A session of the shared runtime: see Runtime.session."""
    return runtime().session(
        path, *limit, limits=limits, agent=agent, deadline=deadline, idle=idle, ladder=ladder,
        labels=labels, complexity=complexity, holdback=holdback)  # fmt: skip


def attach(environ: Mapping[str, str], *, role: Union[Role, str] = Role.AGENT) -> Session:
    """The session that a process was handed in its environment: `bursar.attach(os.environ)`.

    It is the session of `Session.environ()`, with its limits and what it has spent. The home is
    opened when this process has not attached to it in that role before; it is never made. As an
    agent a process cannot raise limits, revive or remove: `role="operator"` can. Leaving `with`
    does not close the session.
    """
    home, session = environ.get("BURSAR_HOME"), environ.get("BURSAR_SESSION")
    if not home or not session:
        missing = "BURSAR_HOME" if not home else "BURSAR_SESSION"
        raise NotFoundError(
            f"{missing} is not set: start this process with env={{**os.environ, **s.environ()}}")
    key = directory(home), word(Role, role)
    with _lock:
        known = _attached.get(key)
        if known is None or known.closed:
            known = _attached[key] = Runtime(home, role=role, existing=True)
    return known.attach(session)


def report_at_exit(on: bool = True) -> None:
    """Prints the report of the shared runtime at exit; so does BURSAR_REPORT=1."""
    global _report
    _report = on


def _at_exit() -> None:
    for attached in _attached.values():
        attached.close()
    shared = _default
    if shared is None or shared.closed:
        return
    try:
        if _report:
            print(report(shared), file=sys.stderr)
    except BursarError:
        pass  # the runtime belongs to the parent of a fork
    shared.close()


def _in_child() -> None:
    """A lock that another thread held is held for ever in the child of a fork."""
    global _lock
    _lock = threading.Lock()


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_in_child)
