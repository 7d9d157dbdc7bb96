"""What the library reports, as immutable values: budgets, meters, limits, spend, events, health."""

from __future__ import annotations

from typing import Any, Dict, NamedTuple, Optional, Tuple, Type, TypeVar

from .words import End, EventType, HomeFlag, Kind, Meter, Reason, Role, State, ViewFlag

_UNLIMITED = (1 << 63) - 1
_T = TypeVar("_T")


class MeterView(NamedTuple):
    """One meter of a budget or session, in the meter's unit, for its life."""

    meter: Meter
    spent: int
    reserved: int
    committed: int
    remaining: Optional[int]
    """None = not limited here."""


class LimitView(NamedTuple):
    """One limit: amounts of its current window, in the meter's unit."""

    meter: Meter
    end: End
    amount: int
    extra: int
    """Topped up, and earned."""
    spent: int
    committed: int
    remaining: int
    window_start_unix_ns: int
    """0 = total."""
    window_end_unix_ns: int
    """0 = never."""
    text: str
    earned: int
    """Of `extra`: by verified outcomes."""


class View(NamedTuple):
    """A budget or session, as it was a moment ago."""

    kind: Kind
    state: State
    effective_state: State
    """The worst of its own and its ancestors'."""
    reason: Reason
    flags: ViewFlag
    id: int
    parent: int
    spent_nanos: int
    reserved_nanos: int
    remaining_nanos: Optional[int]
    """The least remainder of its own money limits; None = no money limit."""
    steps: int
    tool_calls: int
    input_tokens: int
    output_tokens: int
    refusals: int
    opened_unix_ns: int
    children: int
    path: str
    agent: str
    owner: str
    cost_center: str
    purpose: str
    why: str
    """What was said when it was killed or paused."""
    labels: Dict[str, str]
    ladder: Tuple[str, ...]
    meters: Dict[str, MeterView]
    limits: Tuple[LimitView, ...]

    @property
    def limits_text(self) -> str:
        """Its limits in canonical form."""
        return ", ".join(limit.text for limit in self.limits)


class Spend(NamedTuple):
    """Spend of one workflow (path), agent and pair of models since the runtime opened."""

    path: str
    agent: str
    asked_model: str
    model: str
    """The model granted; empty for tools and charges."""
    steps: int
    tool_calls: int
    input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int
    cost_nanos: int
    asked_cost_nanos: int
    """What the models asked for would have cost."""
    estimated_steps: int


class Event(NamedTuple):
    """Something happened to a budget or session."""

    type: EventType
    id: int
    session: int
    reservation: int
    unix_ns: int
    sequence: int
    """One more each; a gap is a loss."""
    meter: Meter
    percent: int
    amount: int
    limit: int
    committed: int
    reason: Reason
    path: str
    text: str


class Health(NamedTuple):
    """Figures for a health page."""

    nodes: int
    nodes_max: int
    reservations: int
    reservations_max: int
    in_flight: int
    refusals: int
    transient_refusals: int
    settled_steps: int
    estimated_steps: int
    late_settles: int
    overrun_nanos: int
    folds: int
    fold_lag_ns: int
    events: int
    events_lost: int
    timers: int
    segment_bytes: int
    prices_as_of_unix: int
    wake_ups: int


class HomeInfo(NamedTuple):
    """What home a runtime has."""

    flags: HomeFlag
    slot: int
    """This process's number in the home."""
    processes: int
    """Attached, this one included."""
    segment_id: int
    segment_bytes: int
    id: str
    path: str
    segment_path: str


class Process(NamedTuple):
    """A process that is attached to a home; role and name are those of its first runtime there."""

    slot: int
    pid: int
    role: Role
    since_unix_ns: int
    forked_from: int
    """The slot of the process that forked it, or 0."""
    name: str
    """What it calls itself: hostile text."""


class Rates(NamedTuple):
    """Pico-dollars per token; -1 = as the class that it is part of."""

    input_picos: int
    output_picos: int
    cache_read_picos: int
    cache_write_picos: int
    cache_write_1h_picos: int
    reasoning_picos: int
    request_nanos: int


_WORDS: Dict[str, Any] = {
    "kind": Kind, "state": State, "effective_state": State, "reason": Reason, "type": EventType,
    "meter": Meter, "end": End,
}  # fmt: skip


def values(kind: Type[_T], struct: Any, **more: Any) -> _T:
    """A value of `kind` with the fields of a C struct of the same names."""
    fields: Dict[str, Any] = more
    names: Tuple[str, ...] = getattr(kind, "_fields")
    for name in names:
        if name not in more:
            value = getattr(struct, name)
            if isinstance(value, bytes):
                value = value.decode("utf-8", "replace")
            elif name in _WORDS:
                value = _WORDS[name](value)
            elif name in ("remaining", "remaining_nanos") and value == _UNLIMITED:
                value = None
            fields[name] = value
    return kind(**fields)
