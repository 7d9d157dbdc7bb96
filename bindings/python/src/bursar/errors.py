"""Exceptions: an error per status of the library, and refusals with their decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Optional, Tuple, Type

from .words import Reason, Status, Verdict

if TYPE_CHECKING:
    from .decision import Decision


class BursarError(Exception):
    """Base of everything that Bursar raises.

    `code` is the status; `line` and `column` point into a text (1-based, 0 = none); `id` is the
    budget, session or reservation concerned; `values` are the two amounts that contradict.
    """

    code: Status = Status.E_INVALID
    line: int = 0
    column: int = 0
    id: int = 0
    values: Tuple[int, int] = (0, 0)


class InvalidArgumentError(BursarError, ValueError):
    """An argument is wrong; nothing changed."""


class LimitTextError(InvalidArgumentError):
    """Malformed limit text: `column` points at the offending word."""

    code = Status.E_LIMIT_TEXT


class MoneyTextError(InvalidArgumentError):
    """Malformed amount or rate."""

    code = Status.E_MONEY_TEXT


class PathError(InvalidArgumentError):
    """Malformed path, name or label."""

    code = Status.E_PATH


class ZoneError(InvalidArgumentError):
    """Unknown time zone."""

    code = Status.E_ZONE


class QueryError(InvalidArgumentError):
    """The SQL is wrong (`line` and `column` say where), does not only read, or ran too long."""

    code = Status.E_QUERY


class AmbiguousUsage(InvalidArgumentError):
    """Usage that could mean two things: name the provider."""


class PriceError(BursarError):
    """Malformed price book, or a model without a price."""

    code = Status.E_PRICE


class NotFoundError(BursarError, LookupError):
    """An id or a path that names nothing (any more)."""

    code = Status.E_NOT_FOUND


class ClosedError(BursarError):
    """The runtime or the session was closed."""

    code = Status.E_CLOSED


class ForkedError(BursarError):
    """This runtime belongs to the parent process: open a new one in the child."""

    code = Status.E_FORKED


class CapacityError(BursarError):
    """A table is full, or the system gave no memory."""

    code = Status.E_CAPACITY


class UnsupportedError(BursarError):
    """Not in this version."""

    code = Status.E_UNSUPPORTED


class HomeError(BursarError):
    """The home cannot be used, or is gone: the sentence says what is in the way."""

    code = Status.E_HOME


class RoleError(BursarError, PermissionError):
    """Not for a runtime opened with role="agent"; not for who produced the outcome."""

    code = Status.E_ROLE


class ConflictError(BursarError):
    """Settled, released or charged before, with other amounts."""

    code = Status.E_CONFLICT


class ExpiredError(BursarError):
    """The hold ran out: do not send."""

    code = Status.E_EXPIRED


class InUseError(BursarError):
    """It exists already, or still has children or live sessions."""

    code = Status.E_IN_USE


class LibraryError(BursarError):
    """libbursar.so could not be loaded, or is of another version."""

    code = Status.E_UNSUPPORTED


class BursarWarning(ResourceWarning):
    """Something was left open, or settled at the worst case because nobody settled it."""


class Refused(BursarError):
    """A step was not admitted; `decision` says which limit, how much was left and what to do."""

    code = Status.E_REFUSED
    decision: Decision

    def __init__(self, decision: Decision) -> None:
        super().__init__(decision.explain())  # now: it is printed when the runtime is closed
        self.decision = decision

    def __reduce__(self) -> Tuple[Any, ...]:
        return _refused, (type(self), self.args, self.decision)


def _refused(kind: Type[Refused], args: Tuple[str, ...], decision: Decision) -> Refused:
    """As it was raised in another process, or copied."""
    error = kind.__new__(kind)
    error.args, error.decision = args, decision
    return error


class Throttled(Refused):
    """Wait `decision.retry_after` seconds and try again."""


class Halted(Refused):
    """The session cannot go on by waiting."""


class BudgetExceeded(Halted):
    """An amount would pass its limit."""


class Paused(Halted):
    """Until somebody tops up, resumes or attends."""


class Killed(Halted):
    """Somebody stopped it; `decision.why` has the reason."""


class DeadlineExceeded(Halted):
    """The session's time is over."""


_BY_STATUS: Dict[int, Type[BursarError]] = {
    Status.E_INVALID: InvalidArgumentError,
    Status.E_SIZE: InvalidArgumentError,
    Status.E_NOT_FOUND: NotFoundError,
    Status.E_CLOSED: ClosedError,
    Status.E_FORKED: ForkedError,
    Status.E_MEMORY: CapacityError,
    Status.E_CAPACITY: CapacityError,
    Status.E_UNSUPPORTED: UnsupportedError,
    Status.E_CONFLICT: ConflictError,
    Status.E_RELEASED: ConflictError,
    Status.E_EXPIRED: ExpiredError,
    Status.E_EXISTS: InUseError,
    Status.E_IN_USE: InUseError,
    Status.E_LIMIT_TEXT: LimitTextError,
    Status.E_MONEY_TEXT: MoneyTextError,
    Status.E_PRICE: PriceError,
    Status.E_ZONE: ZoneError,
    Status.E_PATH: PathError,
    Status.E_QUERY: QueryError,
    Status.E_HOME: HomeError,
    Status.E_ROLE: RoleError,
}

_BY_REASON: Dict[int, Type[Halted]] = {
    Reason.LIMIT: BudgetExceeded,
    Reason.HOLDBACK: BudgetExceeded,
    Reason.PAUSED: Paused,
    Reason.UNATTENDED: Paused,
    Reason.KILLED: Killed,
    Reason.WALL: DeadlineExceeded,
    Reason.IDLE: DeadlineExceeded,
}


def refusal(decision: Decision) -> Refused:
    """The exception for a decision that was not granted."""
    if decision.verdict == Verdict.THROTTLE:
        return Throttled(decision)
    kind = _BY_REASON.get(decision.reason, Halted)
    return (Paused if decision.verdict == Verdict.PAUSE else kind)(decision)


def failure(status: int, message: str, detail: Optional[Any] = None) -> BursarError:
    """The exception for a negative status; `detail` is a filled _abi.Error."""
    if detail is not None and detail.message:
        message = detail.message.decode("utf-8", "replace")
    error = _BY_STATUS.get(status, BursarError)(message)
    error.code = Status(status)
    if detail is not None:
        error.line, error.column, error.id = detail.line, detail.column, detail.id
        error.values = (detail.values[0], detail.values[1])
    return error
