"""Limits as objects, for programs that compute them; they become limit text."""

from __future__ import annotations

from decimal import Decimal
from typing import Iterable, NamedTuple, Optional, Tuple, Union

from .money import Money, Span, dollars, nanos, span_text

Limits = Union[str, "Limit", Iterable[Union[str, "Limit"]]]


class Limit(NamedTuple):
    """One limit. `Limit("$500", per="month", alert=(50, 80))` is "$500/month alert 50% 80%".

    `amount`: money for the meter "cost", else a whole number, or a span for "wall", "idle" and
    "unattended". `per`: "day", "month@Europe/Berlin", "5h", "min", …; none = for its life.
    """

    amount: Union[Money, Span]
    meter: str = "cost"
    per: Optional[str] = None
    alert: Tuple[int, ...] = ()
    downgrade: Optional[int] = None
    burst: Optional[int] = None
    then: Optional[str] = None

    def __str__(self) -> str:
        text = self._amount()
        if self.per is not None:
            text += f"/{self.per}"
        if self.alert:
            text += " alert" + "".join(f" {share}%" for share in self.alert)
        if self.downgrade is not None:
            text += f" downgrade {self.downgrade}%"
        if self.burst is not None:
            text += f" burst {self.burst}"
        return text if self.then is None else f"{text} then {self.then}"

    def _amount(self) -> str:
        amount = self.amount
        if self.meter == "cost":
            if not isinstance(amount, (str, int, float, Decimal)):
                raise TypeError(f"{amount!r} is no amount of money")
            return amount if isinstance(amount, str) else dollars(nanos(amount))
        if self.meter in ("wall", "idle", "unattended") and not isinstance(amount, (int, Decimal)):
            return f"{span_text(amount)} {self.meter}"
        if isinstance(amount, (str, int)) and not isinstance(amount, bool):
            return f"{amount} {self.meter}"
        raise TypeError(f"{amount!r} is no amount of {self.meter}")


def limits_text(
    *groups: Optional[Limits], deadline: Optional[Span] = None, idle: Optional[Span] = None
) -> str:
    """One limit text of several: strings, Limit objects, lists of them."""
    parts = []
    for group in groups:
        if group is None:
            continue
        for limit in [group] if isinstance(group, (str, Limit)) else group:
            if not isinstance(limit, (str, Limit)):
                raise TypeError(f"a limit is text like '$2/day' or a Limit, not {limit!r}")
            parts.append(str(limit))
    if deadline is not None:
        parts.append(f"{span_text(deadline)} wall")
    if idle is not None:
        parts.append(f"{span_text(idle)} idle")
    return ", ".join(parts)
