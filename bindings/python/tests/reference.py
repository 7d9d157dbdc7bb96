"""A reference model: what Bursar promises about limits, in the plainest code that says it.

One thread, no time, dictionaries and loops; nothing of the library is used. Windows, rates, tools
and spans are not in it. Amounts are whole numbers in the meter's unit, money is nano-dollars.
`test_reference.py` plays random programs against the library and this side by side.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

from reference_words import METERS, Limit, Rates, Request, Usage

KEPT = ("tokens", "input_tokens", "output_tokens", "steps", "tool_calls")
UNLIMITED = 1 << 62
GRAVEST = ("KILLED", "CLOSED", "PAUSED")

Amounts = Dict[str, int]
Fit = Tuple[Optional["Node"], Sequence[str], bool]


def amounts(**known: int) -> Amounts:
    """An amount for every meter, 0 where nothing is said."""
    return {**dict.fromkeys(METERS, 0), **known}


@dataclass
class Cell:
    """A meter of a node: `committed` is what was spent and what steps in flight hold."""

    born: int = 0
    spent: int = 0
    committed: int = 0


@dataclass(eq=False)
class Node:
    """A budget, or a session below one."""

    id: int
    parent: Optional[Node]
    limits: List[Limit]
    is_session: bool = False
    ladder: Sequence[str] = ()
    holdback: int = 0
    killed: bool = False
    paused: bool = False
    closed: bool = False
    observed: bool = False
    refusals: int = 0
    totals: Amounts = field(default_factory=amounts)

    def __post_init__(self) -> None:
        # Money is counted everywhere, another meter where it is limited; all of it from the start.
        self.cells = {meter: Cell() for meter in ("cost", *(limit.meter for limit in self.limits))}

    def path(self) -> Iterator[Node]:
        """This node and those above it, from the leaf to the root."""
        node: Optional[Node] = self
        while node is not None:
            yield node
            node = node.parent

    def enforced(self, meter: str) -> Iterator[Limit]:
        # A limit that says `then observe` stops nobody.
        return (each for each in self.limits if each.meter == meter and each.end != "observe")

    def ceiling(self, meter: str) -> int:
        # Of several limits on a meter the least holds.
        return min((limit.whole for limit in self.enforced(meter)), default=UNLIMITED)

    def top_up(self, meter: str, amount: int) -> None:
        # A top-up adds to every limit that the node has on the meter.
        for limit in self.limits:
            if limit.meter == meter:
                limit.topped_up += amount

    def share(self, limit: Limit) -> int:
        """Percent of the limit that is committed, rounded down."""
        part = max(self.cells[limit.meter].committed, 0)
        return 100 if part >= limit.whole else part * 100 // limit.whole


class Stopped(NamedTuple):
    """Refused because of a node that was killed, paused or closed."""

    node: Node
    reason: str
    verdict: str


class Why(NamedTuple):
    """What a refusal by a limit says, if it names this meter."""

    limit: int
    committed: int
    remaining: int
    requested: int
    transient: bool
    reason: str
    verdict: str
    retries: bool


class Refused(NamedTuple):
    """Refused by a node's limits: the library names one of the meters that are over."""

    node: Node
    meters: Dict[str, Why]


class Grant(NamedTuple):
    """A step in flight and what it holds."""

    session: Node
    request: Request
    model: str
    output: int
    held: Amounts
    verdict: str
    flags: Sequence[str]
    epoch: int


class Reference:
    """The rules: what is admitted, with which model and output, and what is counted where."""

    def __init__(self, rates: Dict[str, Rates]) -> None:
        self.rates = rates
        self.epoch = 0  # how many meters began to be counted in the middle

    # ---- Limits ----

    def set_limits(self, node: Node, limits: List[Limit]) -> None:
        for limit in limits:
            # The new limit on a meter keeps the top-ups of the old one.
            before = (old.topped_up for old in node.limits if old.meter == limit.meter)
            limit.topped_up = next(before, 0)
            # A meter limited late counts what was settled, and what is reserved from then on.
            if limit.meter not in node.cells:
                self.epoch += 1
                settled = node.totals[limit.meter] if limit.meter in KEPT else 0
                node.cells[limit.meter] = Cell(self.epoch, settled, settled)
        node.limits = limits

    def stopped(self, session: Node) -> Optional[Stopped]:
        # The gravest stop on the path is told, of equals the one nearest to the session.
        for reason in GRAVEST:
            for node in session.path():
                if getattr(node, reason.lower()):
                    return Stopped(node, reason, "PAUSE" if reason == "PAUSED" else "HALT")
        return None

    def fit(self, session: Node, wanted: Amounts, final: bool) -> Fit:
        """The first node where it does not fit and its meters over; whether one was observed."""
        observed = False
        for node in session.path():
            # No grant passes a limit, and what is not used (a price of zero) passes a spent one.
            over = [
                meter for meter, cell in node.cells.items()
                if wanted[meter] > 0 and cell.committed + wanted[meter]
                > node.ceiling(meter) - self.kept(session, node, meter, final)
            ]  # fmt: skip
            # An observed node stops nobody; what it would have refused is flagged.
            if over and not node.observed:
                return node, over, observed
            observed = observed or bool(over) or any(
                node.cells[limit.meter].committed + wanted[limit.meter] > limit.whole
                for limit in node.limits if limit.end == "observe" and wanted[limit.meter] > 0
            )  # fmt: skip
        return None, (), observed

    def kept(self, session: Node, node: Node, meter: str, final: bool) -> int:
        # Only a session's own final step gets at what the session holds back.
        return 0 if meter != "cost" or (final and node is session) else node.holdback

    # ---- Steps ----

    def reserve(self, session: Node, request: Request) -> Union[Grant, Refused, Stopped]:
        answer = self.stopped(session) or self.admit(session, request)
        if isinstance(answer, Grant):
            # A grant holds its worst case at every level at once.
            self.hold(answer, +1)
        else:
            self.count_refusal(session)
        return answer

    def admit(self, session: Node, request: Request) -> Union[Grant, Refused]:
        rungs, wanted, start = self.rungs(session, request)
        lower = range(start, len(rungs))
        least = min(request.min_output or 256, request.max_output)

        def worst(rung: int, output: int) -> Amounts:
            return self.worst(rungs[rung], request, output)

        def fits(rung: int, output: int) -> bool:
            return self.fit(session, worst(rung, output), request.final)[0] is None

        # First the full request, on the highest rung where it fits.
        rung = next((rung for rung in lower if fits(rung, request.max_output)), None)
        output = request.max_output
        if rung is None and request.max_output > 0:
            # Else the highest rung where the least useful output fits, with as much as fits.
            rung = next((rung for rung in lower if fits(rung, least)), None)
            if rung is not None:
                output = self.most(least, request.max_output, lambda tokens: fits(rung, tokens))
        if rung is None:
            floors = [worst(rung, least) for rung in lower]
            return self.refusal(session, request, worst(start, request.max_output), floors)
        held = worst(rung, output)
        flags = {
            "CLAMPED": output < request.max_output,
            "LOWER_RUNG": rung > wanted,
            "OBSERVED": self.fit(session, held, request.final)[2],
            # Undeclared: no budget above the session has a limit; its own does not count.
            "UNDECLARED": not any(n.limits for n in session.path() if not n.is_session),
            "DOWNGRADING": len(rungs) > 1 and self.lowered(session, len(rungs)) > 0,
        }
        verdict = "DOWNGRADE" if flags["CLAMPED"] or flags["LOWER_RUNG"] else "ALLOW"
        said = tuple(name for name, on in flags.items() if on)
        return Grant(session, request, rungs[rung], output, held, verdict, said, self.epoch)

    def rungs(self, session: Node, request: Request) -> Tuple[Sequence[str], int, int]:
        """The models that may be tried, which one was asked for, and where to start."""
        ladder, asked = session.ladder, request.model or session.ladder[0]
        # A model that is not on the ladder, or is wanted as asked, is never exchanged.
        if asked not in ladder or request.as_asked:
            return [asked], 0, 0
        wanted = ladder.index(asked)
        return ladder, wanted, max(wanted, self.lowered(session, len(ladder)))

    def lowered(self, session: Node, rungs: int) -> int:
        # From its downgrade share to 100% a limit walks down the whole ladder; the lowest counts.
        low = 0
        for node in session.path():
            for limit in node.limits:
                past = node.share(limit) - limit.downgrade
                if limit.downgrade and past >= 0:
                    low = max(low, 1 + past * (rungs - 1) // (100 - limit.downgrade))
        return min(low, rungs - 1)

    def worst(self, model: str, request: Request, output: int) -> Amounts:
        # What is held: the upper end of the input, the output of every choice, nothing cached.
        input, output = max(request.input, request.input_upper), output * max(request.choices, 1)
        return self.priced(model, Usage(input, output, 0, request.extra, request.units), 1)

    def priced(self, model: str, used: Usage, in_flight: int) -> Amounts:
        # What is cached is priced as input where the book has no rate for it, but is not fresh.
        rates, tokens = self.rates[model], used.input + used.output
        cost = used.input * rates.input + used.output * rates.output + rates.request + used.extra
        return amounts(
            cost=cost, tokens=tokens, input_tokens=used.input, output_tokens=used.output,
            fresh_tokens=tokens - used.cached, steps=1, in_flight=in_flight,
            credits=used.units)  # fmt: skip

    @staticmethod
    def most(least: int, most: int, fits: Callable[[int], bool]) -> int:
        """The largest number from `least` to `most` that fits; `least` does."""
        while least < most:
            middle = (least + most + 1) // 2
            least, most = (middle, most) if fits(middle) else (least, middle - 1)
        return least

    def refusal(
        self, session: Node, request: Request, first: Amounts, floors: Sequence[Amounts]
    ) -> Refused:
        # A refusal is of the full request on the first rung, at the first node where it is over.
        node, over, _ = self.fit(session, first, request.final)
        assert node is not None
        whys = {}
        for meter in over:
            cell, kept = node.cells[meter], self.kept(session, node, meter, request.final)
            limit = min(node.enforced(meter), key=lambda limit: limit.whole)
            # Transient: the least useful request would fit without what is in flight.
            floor = min(amount[meter] for amount in (first, *floors))
            transient = cell.spent + floor <= limit.whole - kept
            # Held back: without the holdback the full request would fit.
            held_back = kept > 0 and cell.committed + first[meter] <= limit.whole
            committed = max(cell.committed, 0)
            whys[meter] = Why(
                limit.whole, committed, max(limit.whole - committed - kept, 0), first[meter],
                transient, "HOLDBACK" if held_back else "LIMIT", limit.verdict,
                retries=transient)  # fmt: skip
        return Refused(node, whys)

    def settle(self, grant: Grant, used: Usage) -> Tuple[int, int]:
        """Replaces what was held by what was used; the cost, and how much it is above the hold."""
        spent = self.priced(grant.model, used, 0)
        self.hold(grant, -1)
        # What is used counts in full, also above what was held and above a limit.
        self.spend(grant.session, spent, grant.epoch)
        return spent["cost"], max(spent["cost"] - grant.held["cost"], 0)

    def release(self, grant: Grant) -> None:
        # A step that did not happen leaves nothing behind.
        self.hold(grant, -1)

    def charge(self, session: Node, nanos: int, units: int, force: bool) -> Optional[int]:
        """Reserve and settle in one: how much it is past a limit, or None when refused."""
        wanted = amounts(cost=nanos, credits=units)
        admitted = not self.stopped(session) and not self.fit(session, wanted, False)[0]
        if not (force or admitted):
            self.count_refusal(session)
            return None
        # What is forced is recorded past a limit; the overrun is the most that any level is over.
        over = [n.cells["cost"].committed + nanos - n.ceiling("cost") for n in session.path()]
        self.spend(session, wanted, self.epoch)
        return max(0, min(nanos, max(over)))

    # ---- Counting ----

    def hold(self, grant: Grant, sign: int) -> None:
        # A hold counts, and is given back, where the meter was counted when it was reserved.
        for node in grant.session.path():
            for meter, cell in node.cells.items():
                if cell.born <= grant.epoch:
                    cell.committed += sign * grant.held[meter]

    def spend(self, session: Node, spent: Amounts, epoch: int) -> None:
        # What is spent counts in every ancestor at once.
        for node in session.path():
            for meter in METERS:
                node.totals[meter] += spent[meter]
            for meter, cell in node.cells.items():
                if cell.born <= epoch:
                    cell.committed += spent[meter]
                    cell.spent += spent[meter]

    def count_refusal(self, session: Node) -> None:
        # A refusal is counted in every ancestor, whichever node refused.
        for node in session.path():
            node.refusals += 1
