"""Who is entered: the chain of sessions that a task or thread is in."""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING, Any, Optional, Tuple, Union

if TYPE_CHECKING:
    from .session import Session

_Chain = Optional[Tuple[Any, Any]]  # a session (or seat) that was entered, and those before it
_current: contextvars.ContextVar[_Chain]
_current = contextvars.ContextVar("bursar.session", default=None)


def current() -> Optional[Session]:
    """The innermost session that was entered in this task or thread, or None."""
    chain = _current.get()
    while chain is not None:
        inner: Any = chain[0]
        if type(inner) is not Seat:
            return inner  # type: ignore[no-any-return]
        if inner.taken:
            return inner.session
        chain = chain[1]
    return None


def in_seat() -> bool:
    """Whether this task or thread is in a part of a run that an integration meters."""
    chain = _current.get()
    while chain is not None:
        if type(chain[0]) is Seat and chain[0].taken:
            return True
        chain = chain[1]
    return False


class Seat:
    """What is entered by a part of a run: the session that sits there is the current one, also for
    tasks and threads that were started before it sat down. It may be left by another task than
    took it, as frameworks do: then it is empty for both."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.taken = False

    def _enter(self) -> None:
        self.taken = True
        chain = _current.get()
        while chain is not None and type(chain[0]) is Seat and not chain[0].taken:
            chain = chain[1]  # left by another task
        _current.set((self, chain))

    def _leave(self) -> None:
        self.taken = False
        _current.set(_without(_current.get(), self))


def _without(chain: _Chain, session: Union[Session, Seat]) -> _Chain:
    """A chain without the last entry of a session: it need not be the innermost when a generator
    leaves, and is not there at all when another task does."""
    if chain is None:
        return None
    inner, below = chain
    return below if inner is session else (inner, _without(below, session))
