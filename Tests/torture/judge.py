"""What must be true of a round, from what its workers wrote down and what the home says.

A kill leaves at most one thing of a thread unknown, so that what a step cost lies in a range:

    acknowledged              exactly what the receipt said
    settle without an answer  what it would cost, or the estimate of an orphan
    granted, nothing more     the estimate of an orphan, 0 when it was never sent
    reserve without an answer what an orphan of that session was estimated at, or 0

An orphan's event names its estimate; where the event itself died with the process that was
about to send it, the estimate is anything up to what was held.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Dict, Iterable, List, NamedTuple, Set, Tuple

from record import FORCED, HELD, LATE, REPLAY, Entry

BUDGETS = ("torture/tight", "torture/middle", "torture/wide")
NOT_FOUND = -3


class Failed(Exception):
    """Something that must not happen, with everything that is known about it."""


class Orphan(NamedTuple):
    handle: int
    session: int
    amount: int


class Range:
    """Money that is known from below and from above."""

    def __init__(self) -> None:
        self.low = self.high = 0

    def add(self, low: int, high: int) -> None:
        self.low += low
        self.high += high


class Round:
    """The entries of one round, put together by step."""

    def __init__(self, entries: Iterable[Entry], orphans: List[Orphan]) -> None:
        self.entries = list(entries)
        self.budget_of: Dict[int, int] = {}  # session -> budget
        self.held: Dict[int, Entry] = {}  # handle -> G
        self.costs: Dict[int, Set[int]] = defaultdict(set)  # handle -> what settles would cost
        self.settled: Dict[int, Entry] = {}  # handle -> T
        self.begun: Set[int] = set()
        self.gone: Set[int] = set()  # handles whose release was answered
        self.releasing: Set[int] = set()
        self.wanted: Dict[Tuple[int, int], Entry] = {}  # thread -> w without an answer
        self.charging: Dict[Tuple[int, int], Entry] = {}
        self.charged: List[Entry] = []
        self.missed: Set[int] = set()  # handles that a settle did not find
        self.kinds: Dict[bytes, int] = defaultdict(int)
        self.lates = 0
        self.forks: Set[int] = set()
        self.opens: List[int] = []
        self.orphans = {orphan.handle: orphan for orphan in orphans}
        self.sessions_of: Dict[int, Set[int]] = defaultdict(set)  # pid -> sessions
        for entry in self.entries:
            self._take(entry)

    def _take(self, e: Entry) -> None:
        self.kinds[e.kind] += 1
        thread = (e.pid, e.thread)
        if e.kind == b"E":
            raise Failed(f"a worker saw what must not happen: {e}")
        if e.kind == b"S":
            self.budget_of[e.session] = e.amount
            self.sessions_of[e.pid].add(e.session)
        elif e.kind == b"O":
            self.opens.append(e.amount)
        elif e.kind == b"F":
            self.forks.add(e.handle)
        elif e.kind == b"w":
            self.wanted[thread] = e
        elif e.kind == b"R":
            self.wanted.pop(thread, None)
        elif e.kind == b"G":
            want = self.wanted.pop(thread)
            if e.amount > want.amount:
                raise Failed(f"held {e.amount}, worst case {want.amount}: {e}")
            if e.handle in self.held:
                raise Failed(f"one reservation was granted twice: {e} {self.held[e.handle]}")
            self.held[e.handle] = e
        elif e.kind == b"b":
            self.begun.add(e.handle)
        elif e.kind == b"s":
            self.costs[e.handle].add(e.amount)
        elif e.kind == b"T":
            first = self.settled.get(e.handle)
            if first is not None and first.amount != e.amount:
                raise Failed(f"settled at two costs: {first} {e}")
            if first is None or first.flags & REPLAY:
                self.settled[e.handle] = e
            self.lates += e.flags & (LATE | REPLAY) == LATE
        elif e.kind == b"N":
            if e.detail == NOT_FOUND:
                self.missed.add(e.handle)
        elif e.kind == b"r":
            self.releasing.add(e.handle)
        elif e.kind == b"L":
            if e.detail == 0:
                self.gone.add(e.handle)
            else:
                self.releasing.discard(e.handle)
        elif e.kind == b"c":
            self.charging[thread] = e
        elif e.kind == b"C":
            del self.charging[thread]
            if e.detail == 0:
                self.charged.append(e)

    def totals(self) -> List[Range]:
        """What each budget has spent in this round."""
        ranges = [Range() for _ in BUDGETS]
        for handle, grant in self.held.items():
            ranges[self.budget_of[grant.session]].add(*self._cost(handle, grant))
        for charge in self.charged:
            ranges[self.budget_of[charge.session]].add(charge.amount, charge.amount)
        for charge in self.charging.values():
            ranges[self.budget_of[charge.session]].add(0, charge.amount)
        named = set(self.held)
        unnamed: Dict[int, List[Orphan]] = defaultdict(list)
        for orphan in self.orphans.values():
            if orphan.handle not in named:
                unnamed[orphan.session].append(orphan)
        for want in self.wanted.values():
            # Whoever died between grant and writing it down. Which one it was does not matter.
            mine = unnamed[want.session]
            if mine:
                orphan = mine.pop()
                if orphan.amount > want.amount:
                    raise Failed(f"{orphan} above what was wanted: {want}")
                ranges[self.budget_of[want.session]].add(orphan.amount, orphan.amount)
            else:
                ranges[self.budget_of[want.session]].add(0, want.amount)
        for charge in self.charging.values():
            # In the middle of small steps, which it has counted already.
            if unnamed[charge.session]:
                unnamed[charge.session].pop()
        left = [orphan for mine in unnamed.values() for orphan in mine]
        if left:
            raise Failed(f"orphans of steps that nobody wanted: {left[:5]}")
        return ranges

    def _cost(self, handle: int, grant: Entry) -> Tuple[int, int]:
        settled, orphan = self.settled.get(handle), self.orphans.get(handle)
        if settled is not None:
            if handle in self.gone:
                raise Failed(f"released and settled: {settled}")
            return settled.amount, settled.amount
        if handle in self.gone:
            return 0, 0
        if grant.flags & HELD and handle not in self.begun:
            return 0, 0  # never sent
        possible: List[int] = list(self.costs.get(handle, ()))
        if handle in self.missed:  # a settle that came too late for a correction
            possible = []
        if orphan is not None:
            possible.append(orphan.amount)
            if orphan.amount > grant.amount:
                raise Failed(f"{orphan} above what was held: {grant}")
        else:
            possible += [0, grant.amount]
        return min(possible), max(possible)

    def unsettled(self) -> int:
        """Steps without an acknowledged end."""
        return sum(1 for handle in self.held if handle not in self.settled and handle not in self.gone)

    def overruns(self, budget: int) -> int:
        """The most that may lie above a budget's limit: what no limit holds back."""
        most = 0
        for handle, costs in self.costs.items():
            grant = self.held.get(handle)
            if grant is None or self.budget_of[grant.session] != budget:
                continue
            settled = self.settled.get(handle)
            late = handle in self.orphans or (settled is not None and settled.flags & LATE)
            most += max(costs) if late else max(0, max(costs) - grant.amount)
        forced = [c for c in self.charged + list(self.charging.values()) if c.flags & FORCED]
        return most + sum(c.amount for c in forced if self.budget_of[c.session] == budget)

    def most_held(self, budget: int) -> Tuple[int, int]:
        """The most money, and the most steps, that were certainly held and spent at one moment.

        A step certainly holds its amount from the entry after its grant to the entry before
        its end, or to the last that its thread wrote.
        """
        changes: List[Tuple[int, int, int]] = []  # time, money, steps
        last: Dict[Tuple[int, int], int] = {}
        ends: Dict[int, Entry] = {}
        for e in self.entries:
            last[(e.pid, e.thread)] = e.time
            if e.kind in (b"s", b"r") and e.handle not in ends:
                ends[e.handle] = e
        for handle, grant in self.held.items():
            if self.budget_of[grant.session] != budget:
                continue
            low, _ = self._cost(handle, grant)
            end = ends.get(handle)
            until = end.time if end is not None else last[(grant.pid, grant.thread)]
            changes.append((grant.time, grant.amount, 1))
            changes.append((max(until, grant.time), min(low, grant.amount) - grant.amount, -1))
        for charge in self.charged:
            if self.budget_of[charge.session] == budget and not charge.flags & FORCED:
                changes.append((charge.time, charge.amount, 0))
        money = steps = most_money = most_steps = 0
        for _, amount, count in sorted(changes):
            money, steps = money + amount, steps + count
            most_money, most_steps = max(most_money, money), max(most_steps, steps)
        return most_money, most_steps
