"""What an agent may be told of its budget: a sentence for the prompt, when somebody asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, List

from .errors import NotFoundError
from .views import LimitView
from .words import End, Meter, State

if TYPE_CHECKING:
    from .session import Session

_SECOND = 1_000_000_000
_SHORT = 3_600 * _SECOND  # windows below it are rates: they come back by themselves
_UNITS = {
    Meter.STEPS: "steps", Meter.TOOL_CALLS: "tool calls", Meter.TOKENS: "tokens",
    Meter.INPUT_TOKENS: "input tokens", Meter.OUTPUT_TOKENS: "output tokens",
    Meter.FRESH_TOKENS: "fresh tokens",
}  # fmt: skip
_ORDER = [Meter.COST, *_UNITS, Meter.WALL]


def brief(session: Session) -> str:
    """ "You have $0.41 of $0.50 and 37 of 200 steps left.": of each meter the limit, here or above,
    that is nearest. Empty where there is none."""
    nearest: Dict[int, LimitView] = {}
    id = session.id
    state = session.read().effective_state
    while id:
        try:
            view = session.runtime.read(id)
        except NotFoundError:
            break
        for limit in view.limits:
            window = limit.window_end_unix_ns - limit.window_start_unix_ns
            is_rate = limit.meter < Meter.WALL and 0 < limit.window_end_unix_ns and window < _SHORT
            if limit.end in (End.OBSERVE, End.THROTTLE) or is_rate:
                continue
            known = nearest.get(limit.meter)
            if known is None or limit.remaining < known.remaining:
                nearest[limit.meter] = limit
        id = view.parent
    if state != State.OPEN:
        return "Your budget is closed: finish now."
    parts = [_part(nearest[meter]) for meter in _ORDER if meter in nearest]
    if not parts:
        return ""
    said = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"You have {said} left."


def _part(limit: LimitView) -> str:
    left, all = max(0, limit.remaining), limit.amount + limit.extra
    if limit.meter == Meter.COST:
        return f"{_dollars(left)} of {_dollars(all)}"
    if limit.meter == Meter.WALL:
        return f"{_span(left)} of {_span(all)}"
    return f"{left:,} of {all:,} {_UNITS[Meter(limit.meter)]}"


def _dollars(nanos: int) -> str:
    """Rounded down: to cents, and where there are none to two digits."""
    cents = nanos // 10_000_000
    if cents or not nanos:
        return f"${cents // 100:,}.{cents % 100:02}"
    digits = len(str(nanos))  # of nine behind the point
    text = f"{nanos:09}"[: 9 - digits + 2].rstrip("0")
    return f"$0.{text}"


def _span(ns: int) -> str:
    seconds = ns // _SECOND
    parts: List[str] = []
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        if seconds >= unit and len(parts) < 2:
            parts.append(f"{seconds // unit} {name}")
            seconds %= unit
    return " ".join(parts) or "0 s"
