"""Turns: a model's step around a call that may, or may not, go through a metered HTTP client."""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING, Any, List, Optional

from .decision import Decision, Receipt
from .seat import Seat
from .step import Step

if TYPE_CHECKING:
    from typing_extensions import Self

    from .estimator import Estimate
    from .session import Session

_turn: contextvars.ContextVar[Optional[Turn]]
_turn = contextvars.ContextVar("bursar.turn", default=None)


def current_turn() -> Optional[Turn]:
    """The turn that this task or thread is in, or None."""
    turn = _turn.get()
    while turn is not None and not turn.is_here:
        turn = turn._before
    return turn


class Turn(Step):
    """A step that holds the worst case until a metered request inside `with` takes its place.

    `session.turn(model, input=…, max_output_tokens=…)` makes the session current. When the call
    inside ends in a metered HTTP request, that reserves and settles for itself, the turn's hold
    is released, `metered` is True, and `settle` does nothing. Else it is a Step: settle it.
    """

    def __init__(
        self, session: Session, decision: Decision, guess: Optional[Estimate] = None
    ) -> None:
        super().__init__(session, decision, guess)
        self.metered = False
        self.wait: Optional[float] = None  # seconds that a metered request may, when not None
        self._held: List[int] = [decision.reservation]
        self._before: Optional[Turn] = None
        self._seat = Seat(session)
        self.is_here = False  # between entering and leaving

    def make_room(self) -> None:
        """A metered request is about to reserve: gives back what is held for it. Any thread."""
        try:
            reservation = self._held.pop()
        except IndexError:
            return
        self.metered, self._open = True, False
        self.session.release(reservation)

    def settle(self, usage: Any = None, **more: Any) -> Optional[Receipt]:  # type: ignore[override]
        """As Step.settle; None when metered requests have settled for it."""
        try:
            self._held.pop()
        except IndexError:
            if self.metered:
                return None
        return super().settle(usage, **more)

    def release(self) -> None:
        """It did not happen and is not billed."""
        if not self.metered:
            self._held.clear()
            super().release()

    def __enter__(self) -> Self:
        self._before = current_turn()
        self.is_here = True
        _turn.set(self)
        self._seat._enter()
        return self

    def leave(self) -> None:
        """Ends what `with` began, but for the step: a stream was opened, and is settled later. Any
        task or thread."""
        if self.is_here:
            self.is_here = False
            if _turn.get() is self:
                _turn.set(self._before)
            self._seat._leave()

    def finish(self) -> None:
        """Settles what nobody settled."""
        self._held.clear()  # what comes later holds for itself
        self._finish()

    def __exit__(self, *exception: object) -> None:
        self.leave()
        self.finish()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *exception: object) -> None:
        self.__exit__()
