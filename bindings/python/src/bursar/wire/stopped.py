"""Why a stream is to be cut, as the refusal that its reader gets."""

from __future__ import annotations

import ctypes as C
from typing import TYPE_CHECKING

from .. import _abi
from ..decision import Decision
from ..errors import Refused, refusal
from ..hot import tuple_as
from ..words import Reason, Remedy, State, Verdict

if TYPE_CHECKING:
    from ..session import Session


def stopped(session: Session, reason: int) -> Refused:
    """The refusal for a step of this session that was told to stop for a reason."""
    pause = reason in (Reason.PAUSED, Reason.UNATTENDED)
    verdict = Verdict.PAUSE if pause else Verdict.HALT
    values = (verdict, reason, Remedy.STOP, 0, 0, 0, 0, 0, _by(session, reason), *(0,) * 7)
    decision: Decision = tuple_as(session._link.decision, values)
    return refusal(decision)


def _by(session: Session, reason: int) -> int:
    """The budget or session that stopped it; 0 = everything is stopped."""
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
