"""Answers that come in pieces: counted as they come, cut when told to, settled however they end."""

from __future__ import annotations

import ctypes as C
import warnings
from typing import TYPE_CHECKING, Any, List, Optional

from . import _abi
from .decision import Decision
from .errors import BursarError, BursarWarning, ExpiredError, refusal
from .estimate import text_tokens
from .hot import tuple_as
from .step import Step
from .words import Reason, Remedy, State, Verdict

if TYPE_CHECKING:
    from .session import Session


def settle_answer(step: Step, answer: Any) -> None:
    """Settles from an answer's usage; at the worst case when it has none that can be read.

    The answer is paid for and the caller gets it, whatever its usage looks like.
    """
    try:
        step.settle(answer)
    except BursarError as error:
        step.settle(worst=True)
        warnings.warn(f"settled at the worst case: {error}", BursarWarning, stacklevel=4)


class StreamAccount:
    """What a stream has brought so far, and the step that pays for it.

    A piece with content counts as one token while it runs, which is never too many: providers
    keep to the limit they were given, so this count only has to notice when somebody says stop.
    """

    def __init__(self, step: Step, choices: int, usage_wanted: bool) -> None:
        self.step = step
        self._granted = step.max_output_tokens * choices
        self._usage_wanted = usage_wanted
        self._usage: Any = None
        self._pieces = 0
        self._bytes = 0
        self._done = False

    def take(self, piece: Any) -> bool:
        """Counts a piece; False when the caller did not ask for it. Raises when told to stop."""
        usage = getattr(piece, "usage", None)
        if usage is None:
            usage = getattr(getattr(piece, "response", None), "usage", None)
        if usage is not None:
            self._usage = usage
        size = _size(piece)
        if size:
            self._pieces += 1
            self._bytes += size
            if not self._go_on(self._pieces) and self._stop():
                raise refusal(self._decision())
        # OpenAI's last chunk has usage and no choices: code that did not ask for it trips on it
        bare = usage is not None and getattr(piece, "choices", None) == []
        return self._usage_wanted or not bare

    def _go_on(self, tokens: int) -> bool:
        try:
            return self.step.stream(tokens)
        except ExpiredError:  # settled at an estimate, which the settle at the end corrects
            return True

    def _stop(self) -> bool:
        """A stream that only used up its output is ending by itself."""
        return self.step.stop_reason != Reason.LIMIT or self._pieces > self._granted

    def _decision(self) -> Decision:
        reason = self.step.stop_reason or Reason.NONE
        pause = reason in (Reason.PAUSED, Reason.UNATTENDED)
        verdict = Verdict.PAUSE if pause else Verdict.HALT
        session = self.step.session
        stopped = _stopped(session, reason)
        values = (verdict, reason, Remedy.STOP, 0, 0, 0, 0, 0, stopped, *(0,) * 7)
        decision: Decision = tuple_as(session._link.decision, values)
        return decision

    def finish(self) -> None:
        """Settles: from the usage when it came, else at what was seen, never at zero."""
        if self._done:
            return
        self._done = True
        if self._usage is not None:
            settle_answer(self.step, self._usage)
            return
        self._go_on(min(max(self._pieces, text_tokens(self._bytes)), self._granted))
        self.step.settle(input_tokens=0, output_tokens=0, incomplete=True)  # at what was seen


def _stopped(session: Session, reason: int) -> int:
    """The budget or session that stopped a stream for a reason; 0 = everything is stopped."""
    link, id = session._link, session.id
    if reason == Reason.LIMIT:
        return id
    while id:
        view = _abi.View()
        if link.call.bursar_read(link.handle, id, C.byref(view)):
            return session.id
        if view.state == State.KILLED if reason == Reason.KILLED else view.state != State.OPEN:
            break
        id = view.parent
    return id


def _size(piece: Any) -> int:
    """Bytes of output in a piece: of a chat chunk's deltas, or of a response event."""
    found: List[Any] = []
    for choice in getattr(piece, "choices", None) or ():
        delta = getattr(choice, "delta", None)
        for name in ("content", "refusal", "reasoning_content", "reasoning"):
            found.append(getattr(delta, name, None))
        for call in getattr(delta, "tool_calls", None) or ():
            function = getattr(call, "function", None)
            found += [getattr(function, "name", None), getattr(function, "arguments", None)]
    if str(getattr(piece, "type", "")).endswith(".delta"):
        found.append(getattr(piece, "delta", None))
    return sum(len(text.encode("utf-8", "replace")) for text in found if isinstance(text, str))


class _Stream:
    def __init__(self, stream: Any, account: StreamAccount) -> None:
        self._stream = stream
        self._account = account

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __del__(self) -> None:
        account: Optional[StreamAccount] = self.__dict__.get("_account")
        if account is not None and account.step.session._link.handle is not None:
            try:
                account.finish()
            except BursarError:
                pass  # closed meanwhile, or settled at an estimate


class SyncStream(_Stream):
    """A stream of the SDK, counted. Leaving it early settles what was seen."""

    def __iter__(self) -> SyncStream:
        return self

    def __next__(self) -> Any:
        while True:
            try:
                piece = next(self._stream)
            except BaseException:  # StopIteration too: it is over
                self._account.finish()
                raise
            try:
                if self._account.take(piece):
                    return piece
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        try:
            self._stream.close()
        finally:
            self._account.finish()

    def __enter__(self) -> SyncStream:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class AsyncStream(_Stream):
    """The same for an async client."""

    def __aiter__(self) -> AsyncStream:
        return self

    async def __anext__(self) -> Any:
        while True:
            try:
                piece = await self._stream.__anext__()
            except BaseException:  # StopAsyncIteration and cancellation too
                self._account.finish()
                raise
            try:
                if self._account.take(piece):
                    return piece
            except BaseException:
                await self.close()
                raise

    async def close(self) -> None:
        try:
            await self._stream.close()
        finally:
            self._account.finish()

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()
