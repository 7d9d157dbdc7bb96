"""One attempt's life without I/O: a request to a priced path, from reserve to settle.

The layer that has the HTTP client (wire/httpx.py, wire/aiohttp.py) asks `begin` for an Attempt,
sleeps while `admit` says so, sends `content` to `path`, and reports what becomes of it: `answered`,
or `opened` and `feed` for a stream, `failed`, `close`. However it ends, the reservation is settled
or released exactly once:

- from the usage that the provider reports, when it reports one;
- a stream that ended without: at what came, flagged as estimated, and at the worst case where
  output that nobody sees is billed;
- an answer without usage, a lost connection, a status from 500, 408, 409: at the worst case;
- any other status that is no answer, and a connection that was never made: released.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional

from ..decision import Decision
from ..errors import BursarError, ExpiredError, Refused, UnsupportedError, refusal
from ..turn import current_turn
from ..words import Reason, Remedy, RequestFlag
from . import settling
from .dialect import Ask, Dialect, Unpriceable, parsed, repacked
from .dialects_openai import Chat
from .gate import Gate, sending, theirs
from .guess import guess, reserve
from .quick import chat_ask, chat_usage
from .settling import Settling, stored
from .sse import Events
from .stopped import stopped

if TYPE_CHECKING:
    from ..session import Session

_NOT_SENT = {
    "ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "LocalProtocolError",
    "ClientConnectorError", "ClientConnectorDNSError", "ClientConnectorSSLError",
    "ClientConnectorCertificateError", "ConnectionTimeoutError", "ClientProxyConnectionError",
    "InvalidUrlClientError", "NonHttpUrlClientError", "UnixClientConnectorError",
}  # fmt: skip
_MAY_BE_BILLED = (408, 409)  # of the statuses below 500
_FAILURE_SECONDS = 900.0  # what is sent again later is a request of its own
_PLAIN = {  # choices, stream, variant and cache_write of most requests, and their flags
    (1, False, "standard", "5m"): int(RequestFlag.CACHE_WRITE),
    (1, True, "standard", "5m"): RequestFlag.CACHE_WRITE | RequestFlag.STREAM,
    (1, False, "standard", ""): 0,
    (1, True, "standard", ""): int(RequestFlag.STREAM),
}  # fmt: skip


def begin(
    gate: Gate, session: Session, dialect: Dialect, path: str, host: str, content: bytes
) -> Optional[Attempt]:
    """The attempt of a request, or None: it costs nothing.

    Raises UnsupportedError for one that may be billed and cannot be read.
    """
    try:
        body = parsed(content)
    except Unpriceable as error:
        raise UnsupportedError(f"POST {path} was not sent, its price is unknown: {error}") from None
    ask = chat_ask(dialect, body, path, host) if type(dialect) is Chat else None
    ask = ask or dialect.ask(body, path, host)
    if ask is None:
        return None
    return Attempt(gate, session, dialect, ask, body, content, path)


class Attempt(Settling):
    """See above. For one thread or task at a time, but for `stop`."""

    content: Optional[bytes] = None  # to be sent in place of the caller's, when not None
    request: Any = None  # httpx's own
    signed = False  # nothing in it can be changed: it goes as it is, or not at all
    is_sending = False
    refused: Optional[Refused] = None  # why the stream was cut: raise it at the reader
    cut: Optional[Callable[[], None]] = None  # wakes a reader that waits for a piece
    _events: Optional[Events] = None  # of a stream
    _whole: Optional[bytearray] = None  # of an answer that is read in parts
    _ran_out = False
    _deadline = 0.0
    _refusals = 0
    _token: Any = None

    def __init__(
        self, gate: Gate, session: Session, dialect: Dialect, ask: Ask, body: Dict[str, Any],
        content: bytes, path: str,
    ) -> None:  # fmt: skip
        self.session = session
        self.dialect = dialect
        self.ask = ask
        self.path = path
        self._gate = gate
        self._asked_with = content
        self._body = body
        self._born = settling.forks
        self._lock = threading.Lock()
        self._theirs = theirs.get()

    # ---- Before it goes ----

    def admit(self) -> float:
        """0: go. Else sleep so many seconds and ask again. Raises Refused when that is vain."""
        ask, gate = self.ask, self._gate
        turn = current_turn()
        if turn is not None:
            turn.make_room()
        wanted = ask.max_output_tokens
        known = stored.get(self.dialect.provider, {}).get(ask.previous, 0) if ask.previous else 0
        tokens, frame = guess(self.session, self.dialect, ask, self._body, known)
        self._tokens, self._guess = tokens, frame
        output = gate.max_output_tokens if wanted is None else wanted
        flags = _PLAIN.get(ask[3:7])
        if flags is None or frame is None or gate.failures or ask.as_asked or self.signed:
            decision = self.session.reserve(
                ask.model or "(no model)",  # what is unknown has no price, and is not free
                input_tokens=tokens, max_output_tokens=output,
                min_output_tokens=(wanted or 0) if self.signed else 0, **self._options())
        else:
            decision = reserve(self.session, frame, flags, ask.model, tokens, output)
        if decision:
            self._reservation = decision.reservation
            self._grant(decision)
            return 0.0
        return self._delay(decision)

    def _delay(self, decision: Decision) -> float:
        """Seconds to wait after a refusal; raises it when that is vain."""
        # what steps in flight hold comes back at any moment: ask again soon, then less often
        delay = decision.retry_after or min(1.0, 0.02 * 2**self._refusals)
        now = time.monotonic()
        if not self._refusals:
            turn = current_turn()
            wait = self._gate.wait if turn is None or turn.wait is None else turn.wait
            self._deadline = now + wait
        self._refusals += 1
        if decision.remedy != Remedy.WAIT or now + delay > self._deadline:
            raise refusal(decision)
        return delay

    def over(self, status: Optional[int]) -> None:
        """A transport is about to send the same once more: what it sent before is over."""
        if status is None or status < 300:
            self._may_be_billed(self._take())
        else:
            self._no_answer(status)

    def again(self) -> float:
        """As admit, for what is on its way and cannot be changed any more."""
        granted = self._granted // max(1, self.ask.choices)
        model = self.session._link.model_name(self._model)
        decision = self.session.reserve(
            model, input_tokens=self._tokens, max_output_tokens=granted,
            min_output_tokens=granted, **{**self._options(), "as_asked": True})  # fmt: skip
        if decision:
            self._reservation = decision.reservation
            return 0.0
        return self._delay(decision)

    def _options(self) -> Dict[str, Any]:
        ask, failures = self.ask, self._gate.failures
        options: Dict[str, Any] = {}
        if ask.choices != 1:
            options["choices"] = ask.choices
        if ask.stream:
            options["stream"] = True
        if ask.variant != "standard":
            options["variant"] = ask.variant
        if ask.cache_write:
            options["cache_write"] = ask.cache_write
        if ask.as_asked or self.signed:
            options["as_asked"] = True
        failed = failures.get(self._key()) if failures else None
        if failed is not None:
            first, attempt, when = failed
            if self._is_new() or time.monotonic() - when > _FAILURE_SECONDS:
                failures.pop(self._key(), None)
            else:
                options["parent"], options["attempt"] = first, attempt
        return options

    def _is_new(self) -> bool:
        """Whether the SDK says that it is no retry."""
        request = self.request
        return request is not None and request.headers.get("x-stainless-retry-count") == "0"

    def _grant(self, decision: Decision) -> None:
        """Writes what was granted into the request, where that is not what it says."""
        ask, limit, granted = self.ask, decision.max_output_tokens, decision.model_number
        self._granted, self._model = limit * (ask.choices or 1), granted
        if self.signed:
            return
        other = ask.model and self.session._link.models.get(ask.model) != granted
        if (
            other
            or (ask.limits and (limit != ask.max_output_tokens or len(ask.limits) > 1))
            or (ask.stream and not ask.usage_asked)
        ):
            model = decision.model if other else ""
            try:
                body, self.path = self.dialect.grant(self._body, self.path, ask, model, limit)
                self.content = repacked(self._asked_with, self._body, body)
            except BaseException:
                self._release()
                raise
        if ask.stream:
            self._unseen = self.dialect.thinks_unseen(self._body, decision.model)
        self._body = {}

    # ---- While it is sent ----

    def sends(self, request: Any, content: Optional[bytes]) -> bool:
        """Whether a request that a layer below is about to send is this one."""
        sent = self._asked_with if self.content is None else self.content
        return content is None or content == sent or (
            request is not None and request is self.request)  # fmt: skip

    def __enter__(self) -> Attempt:
        """The layers below see nothing in this request while it is sent."""
        self._token = sending.set(self)
        self.is_sending = True
        return self

    def __exit__(self, kind: Any, error: Optional[BaseException], trace: Any) -> None:
        self.is_sending = False
        sending.reset(self._token)
        if error is not None:
            self.failed(error)

    # ---- After ----

    def answered(self, status: int, content: bytes) -> Any:
        """A whole answer came. As it was read, or None."""
        if status >= 300:
            self._no_answer(status)
            return None
        reservation = self._take()
        if not reservation:
            return None
        try:
            answer = parsed(content)
            usage = chat_usage(answer.get("usage")) if type(answer) is dict else None
            if usage is None:
                usage = self.dialect.usage(answer)
        except BursarError as error:
            self._settle_worst(reservation, str(error))
            return None
        if usage is None:
            self._settle_worst(reservation, "the answer has no usage")
        else:
            self._settle(reservation, usage, answer)
        return answer

    def failed(self, error: BaseException) -> None:
        """Nothing came: the request failed, or was cancelled."""
        seen: Optional[BaseException] = error
        for _ in range(16):
            if seen is None:
                break
            if self._was_not_sent(seen):
                self._release()
                return
            seen = seen.__cause__
        status = getattr(error, "status", None)
        if type(status) is int and status >= 400:  # aiohttp's raise_for_status
            self._no_answer(status)
            return
        self._may_be_billed(self._take())

    def _was_not_sent(self, error: BaseException) -> bool:
        """Whether an error says that this request never left: a hook that ran once it was
        answered may have failed to reach somebody else."""
        if self.request is None:
            is_refused = isinstance(error, ConnectionRefusedError)
            return is_refused or type(error).__name__ in _NOT_SENT
        below = type(error.__cause__)
        if below.__module__.startswith("aiohttp") and below.__name__ not in _NOT_SENT:
            return False  # transports over aiohttp say so of every connection that was lost
        of = getattr(error, "_request", error)  # httpx's errors know
        return type(error).__name__ in _NOT_SENT and (of is None or of is self.request)

    def _no_answer(self, status: int) -> None:
        if status >= 500 or status in _MAY_BE_BILLED:
            self._may_be_billed(self._take())
        else:
            self._release()

    def opened(self, status: int, content_type: str) -> bool:
        """A stream begins, or an answer that is read in parts. False: it is none, and over."""
        if status >= 300:
            self._no_answer(status)
            return False
        if "event-stream" in content_type or (self.ask.stream and "json" in content_type):
            self._events = Events(self.dialect, self.ask, content_type)
        else:
            self._whole = bytearray()
        return True

    @property
    def is_unsettled(self) -> bool:
        """Whether it is a stream of this process whose usage has not come."""
        return self.holds and self._events is not None and not self._events.final

    def feed(self, data: bytes) -> bytes:
        """Counts what came; what the caller gets of it. Look at `refused` then."""
        events = self._events
        if self.refused is not None:
            if events is not None:
                events.feed(data)
            return b""
        if events is None:
            if self._whole is not None:
                self._whole += data
            return data
        before = events.pieces
        found = events.feed(data)
        if events.pieces == before or self._go_on(events.pieces):
            return found[0].raw if len(found) == 1 else b"".join([raw for raw, _ in found])
        # what was granted is handed on; nothing, when somebody stopped it
        out, left = [], self._granted - before if self._ran_out else 0
        for raw, piece in found:
            left -= piece is not None and piece.content_bytes > 0
            if left < 0:
                break
            out.append(raw)
        return b"".join(out) if self._ran_out else b""

    def finish(self) -> bytes:
        """The stream ended by itself: what is left for the caller. Settles."""
        if self.refused is not None:
            out = b""
        elif self._events is not None:
            out = b"".join([event.raw for event in self._events.finish()])
        else:
            out = b""
            if self._whole is not None:
                self.answered(200, bytes(self._whole))
        self.close()
        return out

    def close(self) -> None:
        """It is over, wherever it was. Settles what nobody settled; twice is fine."""
        reservation, events = self._take(), self._events
        if not reservation:
            return
        if events is None:
            self._may_be_billed(reservation)
        elif events.final and events.usage is not None:
            self._settle(reservation, events.usage, events.answer)
        else:
            self._settle_so_far(reservation, events)

    def lost(self) -> None:
        """It is over, and nobody knows how much of it came."""
        self._may_be_billed(self._take())

    def stop(self) -> bool:
        """Looks whether the session was stopped; if so, wakes whoever waits for a piece. For
        another thread. False: no need to look again."""
        with self._lock:
            events = self._events
            if not self._reservation or events is None or self.refused is not None:
                return False
            if self._go_on(events.pieces):
                return True
            if self.cut is not None:
                self.cut()
            return False

    # ---- Within ----

    def _go_on(self, tokens: int) -> bool:
        """Reports the output so far. False: cut it, `refused` says why."""
        try:
            reason = self.session.stream(self._reservation, tokens)
        except ExpiredError:  # settled at an estimate, which the settle at the end corrects
            return True
        if reason is None or (reason == Reason.LIMIT and tokens <= self._granted):
            return True  # one that used up its output is ending by itself
        self._ran_out = reason == Reason.LIMIT
        refused = stopped(self.session, reason)
        self.refused = refused if self._theirs is None else self._theirs(refused)
        self._gate.refused = self.refused.decision
        return False

    def __del__(self) -> None:
        """Nobody ended it. What arrived unread cannot be read here, where the client's locks may
        be held."""
        if not self._reservation:
            return
        try:
            if self.is_unsettled:
                if self.cut is not None:
                    self.cut()
                self.lost()
            else:
                self.close()
        except Exception:  # the runtime was closed meanwhile
            pass
