"""Decision and Receipt: the answers to reserve and settle, as immutable tuples with names."""

from __future__ import annotations

import ctypes as C
import struct
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Callable, Dict, NamedTuple, Tuple

from . import _abi
from .errors import BursarError
from .words import DecisionFlag, End, Meter, Reason, ReceiptFlag, Remedy, TextKind, Verdict

if TYPE_CHECKING:
    from .link import Link

# A bursar_decision_t without its size: what a plain grant needs, and all; a bursar_receipt_t.
_DECISION = struct.Struct("4xiiiqqqiIqiiqqqqq")
read_grant = struct.Struct("4xiiiqqqiI").unpack_from
read_decision = _DECISION.unpack_from
read_receipt = struct.Struct("4xIqqqqi").unpack_from


class _Grant(NamedTuple):
    verdict_number: int
    reason_number: int
    remedy_number: int
    reservation: int
    """0 = refused."""
    max_output_tokens: int
    """What was granted: tell the provider."""
    reserved_nanos: int
    """The worst case that is held."""
    model_number: int
    flag_bits: int


class Decision(_Grant):
    """The answer to reserve. True when granted; a refusal says which limit and what to do.

    Where a number is wanted it stands for its reservation: `settle(decision, …)` works too.
    The tuple of a refusal is longer: `limit` and what is behind it are zero for plain grants.
    """

    __slots__ = ()
    _link: Link  # of the subclass that each runtime has

    def __bool__(self) -> bool:
        return self[3] != 0

    def __index__(self) -> int:
        return self[3]

    def __repr__(self) -> str:
        said = f"<Decision {self.verdict.name.lower()}: "
        if self:
            return f"{said}reservation {self.reservation}, {self.max_output_tokens} output tokens>"
        return f"{said}{self.reason.name.lower()}>"

    @property
    def verdict(self) -> Verdict:
        return Verdict(self.verdict_number)

    @property
    def reason(self) -> Reason:
        return Reason(self.reason_number)

    @property
    def remedy(self) -> Remedy:
        return Remedy(self.remedy_number)

    @property
    def model(self) -> str:
        """The model granted: call this one. Empty for a tool or a refusal."""
        return self._link.model_name(self.model_number) if self.model_number else ""

    @property
    def flags(self) -> DecisionFlag:
        return DecisionFlag(self.flag_bits)

    @property
    def downgraded(self) -> bool:
        """Granted another model, or fewer output tokens, than wanted."""
        return self.verdict_number == Verdict.DOWNGRADE

    @property
    def transient(self) -> bool:
        """Refused only because of what steps in flight hold: they will give some back."""
        return bool(self.flag_bits & DecisionFlag.TRANSIENT)

    def _more(self, position: int) -> int:
        values: Tuple[int, ...] = self
        return values[position] if len(values) > position else 0

    @property
    def budget(self) -> int:
        """The id of the budget or session whose limit refused; 0 = none."""
        return self._more(8)

    @property
    def meter(self) -> Meter:
        return Meter(self._more(9))

    @property
    def end(self) -> End:
        return End(self._more(10))

    @property
    def limit(self) -> int:
        """The limit's amount with top-ups, in the meter's unit."""
        return self._more(11)

    @property
    def committed(self) -> int:
        """Spent and reserved in its window, without this request."""
        return self._more(12)

    @property
    def remaining(self) -> int:
        return self._more(13)

    @property
    def requested(self) -> int:
        """What this request would have added."""
        return self._more(14)

    @property
    def retry_after(self) -> float:
        """Seconds to wait; 0 = never by waiting, unless `transient`."""
        return self._more(15) / 1e9

    @property
    def path(self) -> str:
        """The path of the budget whose limit refused."""
        return self._link.text(self.budget, TextKind.PATH) if self.budget else ""

    @property
    def why(self) -> str:
        """What was said when somebody killed or paused that budget."""
        if not self.budget and self.reason_number not in (Reason.KILLED, Reason.PAUSED):
            return ""
        return self._link.text(self.budget, TextKind.REASON)  # 0 = everything was

    def explain(self) -> str:
        """A sentence: which limit, how much was left, what to do."""
        value = _abi.Decision()
        _DECISION.pack_into(value, 0, *(*self, *(0,) * 8)[:16])
        value.size = C.sizeof(value)  # packing wrote zeros there
        call = self._link.call.bursar_decision_explain
        status, text = _abi.read_text(call, self._link.handle, C.byref(value))
        return f"{self.verdict.name} ({self.reason.name})".lower() if status else text

    def __copy__(self) -> Decision:
        return self

    def __deepcopy__(self, memo: Any) -> Decision:
        return self

    def __reduce__(self) -> Tuple[Any, ...]:
        """To another process it takes along what it would ask the runtime here."""
        said = []
        asks: Tuple[Callable[[], str], ...] = (
            lambda: self.model, lambda: self.path, lambda: self.why, self.explain)  # fmt: skip
        for ask in asks:
            try:
                said.append(ask())
            except BursarError:  # the runtime was closed
                said.append("")
        return _carried, (tuple(self), *said)

    def as_dict(self) -> Dict[str, Any]:
        """Everything by name, for a log."""
        return {name: getattr(self, name) for name in _NAMES}


_NAMES = ["reservation", "max_output_tokens", "reserved_nanos"]
_NAMES += [name for name, value in vars(Decision).items() if isinstance(value, property)]


class CarriedDecision(Decision):
    """A decision that came from another process: it has its texts with it."""

    _said: Tuple[str, str, str, str]

    @property
    def model(self) -> str:
        return self._said[0]

    @property
    def path(self) -> str:
        return self._said[1]

    @property
    def why(self) -> str:
        return self._said[2]

    def explain(self) -> str:
        return self._said[3]

    def __reduce__(self) -> Tuple[Any, ...]:
        return _carried, (tuple(self), *self._said)


def _carried(values: Tuple[int, ...], *said: str) -> CarriedDecision:
    decision: CarriedDecision = tuple.__new__(CarriedDecision, values)
    decision._said = said  # type: ignore[assignment]
    return decision


class Receipt(NamedTuple):
    """The answer to settle and charge."""

    flags: int
    cost_nanos: int
    reserved_nanos: int
    overrun_nanos: int
    """Cost above what was held, or 0."""
    asked_cost_nanos: int
    """What the model asked for would have cost."""
    model_number: int

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
