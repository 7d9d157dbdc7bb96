"""How an attempt ends: its reservation is settled or released, once, and never by a forked child.

Nothing here raises what the library says: the caller has its answer, or an error of its own.
"""

from __future__ import annotations

import os
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any, Dict, Optional, Tuple

from ..errors import BursarError, BursarWarning
from ..estimate import text_tokens
from ..usage import Usage
from .dialect import Dialect, Others
from .gate import Gate
from .guess import Frame, learn, settle
from .sse import Events

if TYPE_CHECKING:
    from ..session import Session

stored: Dict[str, Dict[str, int]] = {}  # tokens of answers that providers keep, by their names
_STORED_MAX = 4_096
_FAILURES_MAX = 1_024
_USES_MAX = 1_000  # of a hosted tool in one answer
forks = 0


class Settling:
    """What an attempt holds, and how it is let go."""

    _reservation = 0
    _granted = 0  # output tokens, of all choices
    _model = 0  # the one granted
    _tokens = 0  # reserved for the input
    _guess: Optional[Frame] = None  # how they were come by
    _unseen = False  # output may be billed that a stream does not show

    session: Session
    dialect: Dialect
    _gate: Gate
    _asked_with: bytes
    _born: int  # of what was in flight: it belongs to the process that sent it
    _lock: threading.Lock  # of _reservation, against another thread that looks after it

    @property
    def holds(self) -> bool:
        """Whether it is this process's to end, and nobody has ended it."""
        return bool(self._reservation) and self._born == forks

    def _take(self) -> int:
        """The reservation, for whoever ends it; 0 = somebody did, or it is not ours."""
        if self._born != forks or self.session._link.handle is None:
            return 0
        with self._lock:
            reservation, self._reservation = self._reservation, 0
        return reservation

    def _release(self) -> None:
        reservation = self._take()
        if reservation:
            try:
                self.session.release(reservation)
            except BursarError as error:
                _warn(f"not released: {error}")

    def _settle(self, reservation: int, usage: Usage, answer: Any) -> None:
        """By what the provider reported."""
        dialect, session, gate = self.dialect, self.session, self._gate
        frame, self._guess = self._guess, None  # `learn` gives it back: once
        if gate.failures:
            gate.failures.pop(self._key(), None)
        others = dialect.others(answer)
        try:
            if others:
                session.settle(reservation, usage, extra=self._cost_of(others))
            else:
                settle(session, frame, reservation, usage)
        except BursarError as error:
            self._settle_worst(reservation, str(error))
        tools = dialect.tools(answer)
        if not tools and not others:  # those bring input that was not in the request
            learn(session, frame, usage, self._model)
        for name, uses in tools:
            self._charge(name, uses)
        for name in dialect.stored(answer):
            kept = stored.setdefault(dialect.provider, {})
            while len(kept) >= _STORED_MAX:
                kept.pop(next(iter(kept), name), None)
            kept[name] = usage.input_tokens + usage.output_tokens

    def _charge(self, tool: str, uses: int) -> None:
        """A tool that the provider ran."""
        try:
            for _ in range(min(uses, _USES_MAX)):
                self.session.charge(tool=tool, force=True)
        except BursarError as error:
            _warn(f"{uses} uses of {tool} are not charged: {error}")

    def _cost_of(self, others: Others) -> int:
        """Nano-dollars of further models that the provider called for an answer."""
        cost = 0
        for model, usage in others:
            try:
                cost += self.session.runtime.quote(model, usage)
            except BursarError as error:
                _warn(f"not counted: {error}")
        return cost

    def _settle_so_far(self, reservation: int, events: Events) -> None:
        """Input as the provider told it, else as estimated; output as it came, or all of it where
        thoughts that nobody saw are billed."""
        self._remember(reservation)
        told = events.usage or Usage()
        came = max(events.pieces, text_tokens(events.content_bytes))
        if self._unseen and not (events.usage and self.dialect.counts_as_it_goes):
            came = self._granted
        seen = max(min(came, self._granted), told.output_tokens)
        try:
            if seen:
                self.session.stream(reservation, seen)
        except BursarError:
            pass  # it expired: the settle corrects the estimate
        told = told._replace(
            output_tokens=0, reasoning_output_tokens=0, audio_output_tokens=0,
            image_output_tokens=0)  # fmt: skip
        try:
            self.session.settle(reservation, told, incomplete=True)
        except BursarError as error:
            self._settle_worst(reservation, str(error))

    def _settle_worst(self, reservation: int, why: str) -> None:
        try:
            self.session.settle(reservation, worst=True)
            _warn(f"settled at the worst case: {why}")
        except BursarError as error:
            _warn(f"not settled: {error}")

    def _may_be_billed(self, reservation: int) -> None:
        """It failed, and nobody knows at what cost."""
        if reservation:
            self._remember(reservation)
            try:
                self.session.settle(reservation, worst=True)
            except BursarError as error:
                _warn(f"not settled: {error}")

    # ---- What is sent again ----

    def _remember(self, reservation: int) -> None:
        """The same request may come again: then it is a retry of this one."""
        failures, key = self._gate.failures, self._key()
        first, attempt, _ = failures.get(key, (reservation, 0, 0.0))
        while len(failures) >= _FAILURES_MAX:
            failures.pop(next(iter(failures), key), None)
        failures[key] = first, attempt + 1, time.monotonic()

    def _key(self) -> Tuple[int, int]:
        return hash(self._asked_with), self.session.id


def _warn(what: str) -> None:
    warnings.warn(what, BursarWarning, stacklevel=3)


def _in_child() -> None:
    global forks
    forks += 1


os.register_at_fork(after_in_child=_in_child)
