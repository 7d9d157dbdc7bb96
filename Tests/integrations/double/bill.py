"""The provider's bill: prices, token classes and lines of its own, in exact decimal dollars.

It shares nothing with Bursar. Dollars per million tokens, as the providers publish them (checked
on 2026-11-21: platform.openai.com/docs/pricing, claude.com/pricing, ai.google.dev/pricing).
"""

import re
import threading
from decimal import Decimal
from typing import NamedTuple

MILLION = Decimal(1_000_000)
PRICES = {  # input, read from cache, output; written to cache for 5 minutes, for an hour
    "gpt-5": ("1.25", "0.125", "10"),
    "gpt-5-mini": ("0.25", "0.025", "2"),
    "gpt-5-nano": ("0.05", "0.005", "0.40"),
    "gpt-4.1": ("2", "0.50", "8"),
    "gpt-4o": ("2.50", "1.25", "10"),
    "gpt-4o-mini": ("0.15", "0.075", "0.60"),
    "text-embedding-3-small": ("0.02", "0.02", "0"),
    "claude-sonnet-4-5": ("3", "0.30", "15", "3.75", "6"),
    "claude-haiku-4-5": ("1", "0.10", "5", "1.25", "2"),
    "gemini-2.5-flash": ("0.30", "0.03", "2.50"),
    "gemini-2.5-pro": ("1.25", "0.125", "10"),
    "gemini-embedding-001": ("0.15", "0.15", "0"),
}
LONG = {"gemini-2.5-pro": (200_000, ("2.50", "0.25", "15"))}  # for a request with more input
DATED = re.compile(r"(-20\d{6}|-20\d\d-\d\d-\d\d|-latest|-00\d)$")
NONE = Decimal(0)


class Usage(NamedTuple):
    """Tokens of one answer. `input` is all of it; `output` has the reasoning in it."""

    input: int
    cached: int
    write: int
    write_1h: int
    output: int
    reasoning: int

    def fresh(self):
        return self.input - self.cached - self.write - self.write_1h


def known(model):
    """The name that `model` has in the price list, or None."""
    name = model.rpartition("/")[2]
    return name if name in PRICES else next((n for n in [DATED.sub("", name)] if n in PRICES), None)


def dollars(model, usage):
    """What `usage` costs at the prices of `model`, not rounded."""
    prices = PRICES[model]
    above, long = LONG.get(model, (None, None))
    if above is not None and usage.input > above:
        prices = long
    fresh, cached, output = (Decimal(p) for p in prices[:3])
    write, write_1h = (Decimal(p) for p in prices[3:] or (prices[0],) * 2)
    total = usage.fresh() * fresh + usage.cached * cached + usage.output * output
    return (total + usage.write * write + usage.write_1h * write_1h) / MILLION


def plain(amount):
    return f"{amount.normalize():f}"


class Bill:
    """A line for every request to a priced path; what was not billed has no dollars."""

    def __init__(self):
        self._lock = threading.Lock()
        self._lines = []  # guarded by the lock
        self._inflight = {}  # account: requests; guarded by the lock

    def began(self, account, by=1):
        with self._lock:
            self._inflight[account] = self._inflight.get(account, 0) + by

    def add(self, line, usage, billed=True):
        """Adds `line` with what `usage` costs; returns it, so that its end can be corrected."""
        cost = dollars(line["priced_as"], usage) if billed else NONE
        line.update(
            input_tokens=usage.input,
            fresh_input_tokens=usage.fresh(),
            cached_input_tokens=usage.cached,
            cache_write_tokens=usage.write,
            cache_write_1h_tokens=usage.write_1h,
            output_tokens=usage.output,
            reasoning_tokens=usage.reasoning,
            dollars=plain(cost),
        )
        with self._lock:
            self._lines.append(line)
        return line

    def read(self, account):
        """The lines of `account` (None: of all), and what they come to."""
        with self._lock:
            lines = [dict(n) for n in self._lines if account in (None, n["account"])]
        total = sum((Decimal(n["dollars"]) for n in lines), NONE)
        return {"dollars": plain(total), "lines": lines}

    def inflight(self, account):
        with self._lock:
            each = {k: n for k, n in self._inflight.items() if n and account in (None, k)}
        return {"requests": sum(each.values()), "accounts": each}

    def reset(self, account):
        with self._lock:
            self._lines = [n for n in self._lines if account not in (None, n["account"])]
