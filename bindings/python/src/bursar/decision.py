"""Decision and Receipt: the answers to reserve and settle, as plain immutable values."""

from __future__ import annotations

import ctypes as C
import struct
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Dict, NamedTuple, Tuple

from . import _abi
from .words import DecisionFlag, End, Meter, Reason, ReceiptFlag, Remedy, TextKind, Verdict

if TYPE_CHECKING:
    from .hot import Steps

# The head of a bursar_decision_t behind its size, and all of it; a bursar_receipt_t likewise.
HEAD = struct.Struct("=iiiqqqiI")
WHOLE = struct.Struct("=iiiqqqiIqiiqqqqq")
RECEIPT = struct.Struct("=Iqqqqi")


class Decision:
    """The answer to reserve. True when granted; a refusal says which limit and what to do.

    Where an int is wanted it stands for its reservation, so `settle(decision, …)` works too.
    """

    __slots__ = ("reservation", "_runtime", "_raw")

    def __init__(self, runtime: Steps, raw: Tuple[int, ...]) -> None:
        self.reservation: int = raw[3]  # 0 = refused
        self._runtime = runtime
        self._raw = raw

    def __bool__(self) -> bool:
        return self.reservation != 0

    def __index__(self) -> int:
        return self.reservation

    def __repr__(self) -> str:
        if self:
            granted = f"{self.model}, {self.max_output_tokens} output tokens"
            return f"<Decision {self.verdict.name.lower()}: {granted}>"
        return f"<Decision {self.verdict.name.lower()}: {self.reason.name.lower()}>"

    @property
    def verdict(self) -> Verdict:
        return Verdict(self._raw[0])

    @property
    def reason(self) -> Reason:
        return Reason(self._raw[1])

    @property
    def remedy(self) -> Remedy:
        return Remedy(self._raw[2])

    @property
    def max_output_tokens(self) -> int:
        """What was granted: tell the provider."""
        return self._raw[4]

    @property
    def reserved_nanos(self) -> int:
        """The worst case that is held."""
        return self._raw[5]

    @property
    def model(self) -> str:
        """The model granted: call this one. Empty for a tool or a refusal."""
        return self._runtime._model_name(self._raw[6]) if self._raw[6] else ""

    @property
    def flags(self) -> DecisionFlag:
        return DecisionFlag(self._raw[7])

    @property
    def downgraded(self) -> bool:
        """Another model, or fewer output tokens, than wanted."""
        return self._raw[0] == Verdict.DOWNGRADE

    @property
    def transient(self) -> bool:
        """Refused only because of what steps in flight hold: they will give some back."""
        return bool(self._raw[7] & DecisionFlag.TRANSIENT)

    def _limit(self, position: int) -> int:
        return self._raw[position] if len(self._raw) > 8 else 0

    @property
    def budget(self) -> int:
        """The id of the budget or session whose limit refused; 0 = none."""
        return self._limit(8)

    @property
    def path(self) -> str:
        """The path of that budget."""
        return self._runtime._text(self.budget, TextKind.PATH) if self.budget else ""

    @property
    def meter(self) -> Meter:
        return Meter(self._limit(9))

    @property
    def end(self) -> End:
        return End(self._limit(10))

    @property
    def limit(self) -> int:
        """Its amount with top-ups, in the meter's unit."""
        return self._limit(11)

    @property
    def committed(self) -> int:
        """Spent and reserved in its window, without this request."""
        return self._limit(12)

    @property
    def remaining(self) -> int:
        return self._limit(13)

    @property
    def requested(self) -> int:
        """What this request would have added."""
        return self._limit(14)

    @property
    def retry_after(self) -> float:
        """Seconds to wait; 0 = never by waiting, unless `transient`."""
        return self._limit(15) / 1e9

    @property
    def why(self) -> str:
        """What was said when somebody killed or paused the budget."""
        return self._runtime._text(self.budget, TextKind.REASON) if self.budget else ""

    def explain(self) -> str:
        """A sentence: which limit, how much was left, what to do."""
        value = _abi.Decision()
        WHOLE.pack_into(value, 4, *(self._raw if len(self._raw) > 8 else (*self._raw, *(0,) * 8)))
        call = _abi.library().call.bursar_decision_explain
        status, text = _abi.read_text(call, self._runtime._handle, C.byref(value))
        return text if not status else f"{self.verdict.name} ({self.reason.name})".lower()

    def as_dict(self) -> Dict[str, Any]:
        """Everything by name, for a log."""
        return {name: getattr(self, name) for name in _NAMES}


_NAMES = [n for n, v in vars(Decision).items() if isinstance(v, property)] + ["reservation"]


class Receipt(NamedTuple):
    """The answer to settle and charge."""

    flags: int
    cost_nanos: int
    reserved_nanos: int
    overrun_nanos: int
    """Cost above what was held, or 0."""
    asked_cost_nanos: int
    """What the model asked for would have cost."""
    model_id: int

    @property
    def cost_usd(self) -> Decimal:
        return Decimal(self.cost_nanos).scaleb(-9)

    @property
    def overrun(self) -> bool:
        return bool(self.flags & ReceiptFlag.OVERRUN)

    @property
    def estimated(self) -> bool:
        """The usage was not known."""
        return bool(self.flags & ReceiptFlag.ESTIMATED)

    @property
    def replay(self) -> bool:
        """It was settled before: the first result again."""
        return bool(self.flags & ReceiptFlag.REPLAY)

    @property
    def late(self) -> bool:
        """It came after the estimate, which it corrects."""
        return bool(self.flags & ReceiptFlag.LATE)

    @property
    def unpriced(self) -> bool:
        return bool(self.flags & ReceiptFlag.UNPRICED)
