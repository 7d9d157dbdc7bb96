"""The words of Bursar as numbers: every constant of bursar.h, once, in header order.

A class here stands for a prefix of the header (`Verdict.HALT` is BURSAR_VERDICT_HALT); a test
compares all of them with it. A number that a newer library sends and this list does not know
becomes an `UNKNOWN_n` member instead of an error.
"""

from __future__ import annotations

import enum
from typing import Any, Dict, Type

VERSION_MAJOR = 0
VERSION_MINOR = 1
VERSION_PATCH = 0
VERSION_NUMBER = 1000
ABI_VERSION = 1


class _Word(enum.IntEnum):
    @classmethod
    def _missing_(cls, value: object) -> Any:
        if not isinstance(value, int):
            return None
        member = int.__new__(cls, value)
        member._name_ = f"UNKNOWN_{value}"
        member._value_ = value
        return member


class Status(_Word):
    OK = 0
    E_INVALID = -1
    E_SIZE = -2
    E_NOT_FOUND = -3
    E_CLOSED = -4
    E_FORKED = -5
    E_BUFFER = -6
    E_MEMORY = -7
    E_CAPACITY = -8
    E_UNSUPPORTED = -9
    E_REFUSED = -10
    E_CONFLICT = -11
    E_RELEASED = -12
    E_EXPIRED = -13
    E_BUSY = -14
    E_EXISTS = -15
    E_IN_USE = -16
    E_LIMIT_TEXT = -20
    E_MONEY_TEXT = -21
    E_PRICE = -22
    E_ZONE = -23
    E_PATH = -24
    E_QUERY = -25
    E_LOOP = -30
    E_CORRUPT = -31
    E_HOME = -40
    E_ROLE = -41


class Meter(_Word):
    """What is counted. 8 to 31 are the meters that a program names."""

    COST = 0
    TOKENS = 1
    INPUT_TOKENS = 2
    OUTPUT_TOKENS = 3
    FRESH_TOKENS = 4
    STEPS = 5
    TOOL_CALLS = 6
    IN_FLIGHT = 7
    NAMED = 8
    WALL = 32
    IDLE = 33
    UNATTENDED = 34


class End(_Word):
    """What happens when a limit is reached."""

    HALT = 0
    PAUSE = 1
    THROTTLE = 2
    OBSERVE = 3


class Verdict(_Word):
    """The answer to reserve: `ALLOW` and `DOWNGRADE` are granted, the rest refused."""

    ALLOW = 0
    DOWNGRADE = 1
    THROTTLE = 2
    PAUSE = 3
    HALT = 4


class Reason(_Word):
    """Why a step was refused or moved down."""

    NONE = 0
    LIMIT = 1
    RATE = 2
    KILLED = 3
    PAUSED = 4
    CLOSED = 5
    WALL = 6
    IDLE = 7
    UNATTENDED = 8
    UNDECLARED = 9
    PRICE_UNKNOWN = 10
    JOURNAL_FULL = 11
    DOWNGRADE = 12
    HOLDBACK = 13


class Remedy(_Word):
    """What the caller may do about a refusal."""

    NONE = 0
    WAIT = 1
    SMALLER = 2
    CHEAPER_MODEL = 3
    ASK = 4
    STOP = 5
    PRICE = 6
    DECLARE = 7


POLICY_DEFAULT = 0


class UnknownModel(_Word):
    """What happens to a step of a model without a price, wherever money is limited."""

    REFUSE = 1
    DEAREST = 2
    FREE = 3


class Undeclared(_Word):
    """What happens to a session with no limit above it."""

    ALLOW = 1
    REFUSE = 2


class OpenFlag(enum.IntFlag):
    OBSERVE = 1
    PLAIN_CHARGE = 2
    GROUP = 4
    EXISTING = 8


class Unavailable(_Word):
    """What to do when a home cannot be used."""

    REFUSE = 1
    PRIVATE = 2
    ALLOW = 3


class Role(_Word):
    """Who the program is: a guard against accidents, not against attackers."""

    OPERATOR = 1
    AGENT = 2


class HomeFlag(enum.IntFlag):
    SHARED = 1
    GROUP = 2


class LimitsFlag(enum.IntFlag):
    SESSION = 1


class BudgetFlag(enum.IntFlag):
    REPLACE = 1
    OBSERVE = 2


class Complexity(_Word):
    """A hint: a budget may cap the rung that each kind of work gets."""

    DEFAULT = 0
    ROUTINE = 1
    STANDARD = 2
    COMPLEX = 3


class RequestFlag(enum.IntFlag):
    HOLD = 1
    STREAM = 2
    FINAL = 4
    CACHE_WRITE = 8
    CACHE_WRITE_1H = 16
    AS_ASKED = 32


class Variant(_Word):
    """How the provider is asked to serve the step; each has its own price."""

    STANDARD = 0
    BATCH = 1
    FLEX = 2
    PRIORITY = 3


class DecisionFlag(enum.IntFlag):
    TRANSIENT = 1
    CLAMPED = 2
    LOWER_RUNG = 4
    UNPRICED = 8
    OBSERVED = 16
    UNDECLARED = 32
    DOWNGRADING = 64


class UsageFlag(enum.IntFlag):
    INCOMPLETE = 1
    COST = 2
    WORST = 4


class ReceiptFlag(enum.IntFlag):
    OVERRUN = 1
    ESTIMATED = 2
    REPLAY = 4
    LATE = 8
    UNPRICED = 16


class ChargeFlag(enum.IntFlag):
    FORCE = 1


class Content(_Word):
    """What an input is made of. 4 to 255 are the program's own, and begin as text."""

    TEXT = 0  # prose and code in ASCII
    WIDE = 1  # text with many characters beyond ASCII
    JSON = 2  # schemas, arguments, data
    COUNTED = 3  # its size is what a tokenizer of the program's counted


class Kind(_Word):
    BUDGET = 1
    SESSION = 2


class State(_Word):
    OPEN = 0
    PAUSED = 1
    HALTED = 2
    KILLED = 3
    CLOSED = 4


class ViewFlag(enum.IntFlag):
    OBSERVED = 1
    UNDECLARED = 2


class TextKind(_Word):
    PATH = 1
    AGENT = 2
    OWNER = 3
    COST_CENTER = 4
    PURPOSE = 5
    LIMITS = 6
    REASON = 7
    LABELS = 8
    LADDER = 9
    METER = 10
    TOOL = 11


class OutcomeState(_Word):
    """What was said of an outcome last."""

    STATED = 1
    VERIFIED = 2
    DISPUTED = 3
    CORRECTED = 4
    WITHDRAWN = 5


class ValueType(_Word):
    NULL = 0
    INTEGER = 1
    REAL = 2
    TEXT = 3
    BLOB = 4


class QueryFlag(enum.IntFlag):
    AS_WRITTEN = 1


class EventType(_Word):
    THRESHOLD = 1
    DOWNGRADE = 2
    HALT = 3
    PAUSE = 4
    RESUME = 5
    KILL = 6
    REVIVE = 7
    DEADLINE = 8
    IDLE = 9
    UNATTENDED = 10
    OVERRUN = 11
    ORPHAN = 12
    WINDOW = 13
    TOP_UP = 14
    DECLARED = 15
    LIMITS = 16
    OBSERVED = 17
    UNPRICED = 18
    STORM = 19
    LOST = 20
    LATE = 21
    THROTTLE = 22
    HOME = 23
    CORRUPT = 24
    LEDGER = 25
    OUTCOME = 26


PREFIXES: Dict[str, Type[enum.IntEnum] | Type[enum.IntFlag]] = {
    "": Status,
    "METER_": Meter,
    "END_": End,
    "VERDICT_": Verdict,
    "REASON_": Reason,
    "REMEDY_": Remedy,
    "UNKNOWN_MODEL_": UnknownModel,
    "UNDECLARED_": Undeclared,
    "OPEN_": OpenFlag,
    "UNAVAILABLE_": Unavailable,
    "ROLE_": Role,
    "HOME_": HomeFlag,
    "LIMITS_": LimitsFlag,
    "BUDGET_": BudgetFlag,
    "COMPLEXITY_": Complexity,
    "REQUEST_": RequestFlag,
    "VARIANT_": Variant,
    "DECISION_": DecisionFlag,
    "USAGE_": UsageFlag,
    "RECEIPT_": ReceiptFlag,
    "CHARGE_": ChargeFlag,
    "CONTENT_": Content,
    "KIND_": Kind,
    "STATE_": State,
    "VIEW_": ViewFlag,
    "TEXT_": TextKind,
    "OUTCOME_": OutcomeState,
    "VALUE_": ValueType,
    "QUERY_": QueryFlag,
    "EVENT_": EventType,
}
