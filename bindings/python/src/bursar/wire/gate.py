"""What stands before a client's requests: whose they are, and how a refusal leaves."""

from __future__ import annotations

import contextvars
import warnings
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional, Set, Tuple

from ..errors import BursarError, BursarWarning, Refused, refusal
from ..words import Reason, Remedy
from .dialects import unmetered

if TYPE_CHECKING:
    from ..decision import Decision
    from ..session import Session
    from .attempt import Attempt

MAX_OUTPUT_TOKENS = 4_096  # wanted where a call names no limit
WAIT = 60.0  # seconds that a throttled call may wait

sending: contextvars.ContextVar[Optional[Attempt]]  # for the layers below
sending = contextvars.ContextVar("bursar.sending", default=None)
carrying: contextvars.ContextVar[bool] = contextvars.ContextVar("bursar.carrying", default=False)
# How a refusal is raised in a framework's run: as an error of the framework that is a Refused too.
theirs: contextvars.ContextVar[Optional[Callable[[Refused], Refused]]]
theirs = contextvars.ContextVar("bursar.theirs", default=None)
_warned: Set[str] = set()
_SOCKETS = (
    "/realtime", "/responses", "/live/sessions", "BidiGenerateContent",
    "BidiGenerateContentConstrained", "BidiGenerateMusic",
)  # fmt: skip
_PRICED = "gpt-4o-mini"  # a model that has a price, to see whether anything is left


class Carrier(BaseException):
    """An error on its way through code that swallows every Exception and tries again."""

    def __init__(self, error: BursarError) -> None:
        super().__init__(str(error))
        self.error = error


class Gate:
    """Whose the requests of a client are, how long they wait, and which of them failed.

    `whose` answers with the session of a request that is about to go; None: it passes.
    """

    def __init__(
        self,
        whose: Callable[[], Optional[Session]],
        wait: float = WAIT,
        max_output_tokens: int = MAX_OUTPUT_TOKENS,
        refuse: str = "raise",
    ) -> None:
        self.whose = whose
        self.wait = wait
        self.max_output_tokens = max_output_tokens
        self.refuse = refuse
        self.refused: Optional[Decision] = None  # the last refusal
        # what failed and may have been billed: its first reservation, how often, and when
        self.failures: Dict[Tuple[int, int], Tuple[int, int, float]] = {}

    def session(self, request: Any = None, content: Optional[bytes] = None) -> Optional[Session]:
        """Whose a request is that is about to go; None: it passes, nobody's or metered above.

        Hooks and transports may make requests of their own while one is sent: those are not
        metered above. `content` None: the same as above, for all that is known."""
        above = sending.get()
        if above is not None and above.is_sending and above.sends(request, content):
            return None
        return self.whose()

    def raised(self, error: BursarError) -> BaseException:
        """What to raise before a request goes, so that it reaches the caller at once."""
        if isinstance(error, Refused):
            self.refused = error.decision
            change = theirs.get()
            error = error if change is None else change(error)
        return Carrier(error) if carrying.get() else error


def passing(gate: Gate, method: str, path: str, host: str) -> None:
    """Says once of a kind of request that it costs money and is not metered."""
    kind = unmetered(method, path, host)
    if kind:
        _say(gate, kind, f"{method} {path}")


def connecting(gate: Gate, uri: str) -> None:
    """The same of a WebSocket, by its address. Where nothing is left of the session, or somebody
    stopped it, no new one is opened: raises the refusal."""
    path = uri.partition("?")[0].rstrip("/")
    if not (path.endswith(_SOCKETS) or "/realtime/" in path or "/live/sessions/" in path):
        return
    session = gate.session()
    if session is None:
        return
    decision = session.reserve(_PRICED, max_output_tokens=1)
    if decision:
        session.release(decision)
    elif decision.remedy != Remedy.WAIT and decision.reason != Reason.PRICE_UNKNOWN:
        raise gate.raised(refusal(decision))
    _say(gate, "WebSockets", path)


def _say(gate: Gate, kind: str, what: str) -> None:
    if kind not in _warned and gate.session() is not None:
        _warned.add(kind)
        warnings.warn(
            f"{what}: Bursar does not meter {kind}; charge them with session.charge()",
            BursarWarning, stacklevel=6)
