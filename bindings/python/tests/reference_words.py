"""What a random program says to the library and to the model of reference.py alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Optional

METERS = (
    "cost", "tokens", "input_tokens", "output_tokens", "fresh_tokens", "steps", "tool_calls",
    "in_flight", "credits")  # fmt: skip


class Rates(NamedTuple):
    """Nano-dollars for a token of input, a token of output and the request itself."""

    input: int
    output: int
    request: int


class Request(NamedTuple):
    """What a step asks for; `model` None is the best of the ladder."""

    model: Optional[str]
    input: int
    input_upper: int
    max_output: int
    min_output: int
    choices: int
    extra: int
    units: int
    final: bool
    as_asked: bool


class Usage(NamedTuple):
    """What a step used; `cached` is part of `input`."""

    input: int
    output: int
    cached: int
    extra: int
    units: int


@dataclass
class Limit:
    """A limit for the life of its node: an amount of one meter, and what happens at its end."""

    meter: str
    amount: int
    end: str = ""
    downgrade: int = 0
    topped_up: int = 0

    @property
    def whole(self) -> int:
        # A limit is its amount with its top-ups.
        return self.amount + self.topped_up

    @property
    def verdict(self) -> str:
        # What `then` leaves out: throttle for steps in flight, halt for the rest.
        return (self.end or ("throttle" if self.meter == "in_flight" else "halt")).upper()

    def __str__(self) -> str:
        text = dollars(self.amount) if self.meter == "cost" else f"{self.amount} {self.meter}"
        text += f" downgrade {self.downgrade}%" if self.downgrade else ""
        return text + (f" then {self.end}" if self.end else "")


def dollars(nanos: int) -> str:
    """Limit text for an amount of money."""
    return f"{nanos // 10**9}.{nanos % 10**9:09} USD"
