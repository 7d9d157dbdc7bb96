"""The judge's own books: what agents wrote down, beside the ledger's rows and the counters.

Every acknowledged step is one row with its cost; every row is a step that somebody did. What a kill
leaves unknown is at most one thing of a thread: a step whose settle had no answer may be there at its
cost or at its estimate, one whose reserve had none may be there at an estimate, a charge may be there.
Whatever it is, the row says which, and from there on all sums must be exact.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter, defaultdict
from typing import Dict, List, Optional, Set, Tuple

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "torture"))

import bursar
from record import LATE, REPLAY, Entry, read

BUDGETS = ("deaths/tight", "deaths/wide", "deaths/team/mail")
ESTIMATED, CHARGE = 1, 64  # of a row
E_CORRUPT = -31
SQLITE_BUSY = 5
Thread = Tuple[int, int]


class Failed(Exception):
    """Something that must not happen, with everything that is known about it."""


class Told:
    """What agents wrote down in one log, put together."""

    def __init__(self, path: str) -> None:
        self.budget: Dict[int, int] = {}  # session -> budget
        self.granted: Dict[int, Entry] = {}
        self.costs: Dict[int, Set[int]] = defaultdict(set)  # what settles of a step would cost
        self.settled: Dict[int, Entry] = {}
        self.released: Dict[int, Entry] = {}
        self.releasing: Set[int] = set()
        self.charged: Dict[Tuple[int, int], Entry] = {}  # session and amount
        self.stated: Set[int] = set()
        self.stating: Set[int] = set()
        self.wanted: Dict[Thread, Entry] = {}  # reserves without an answer
        self.charging: Dict[Thread, Entry] = {}
        self.kinds: Counter = Counter()
        self.events: List[Entry] = []
        self.lates = self.replays = self.asked = self.unanswered = 0
        self.corrupt: List[Entry] = []  # said to be damaged
        for entry in read(path):
            self._take(entry)

    def _take(self, e: Entry) -> None:
        self.kinds[e.kind] += 1
        thread = (e.pid, e.thread)
        if e.kind == b"E":
            raise Failed(f"an agent saw what must not happen: status {e.amount}, line {e.detail}: {e}")
        if e.kind == b"S":
            self.budget[e.session] = e.amount
        elif e.kind == b"w":
            self.wanted[thread] = e
        elif e.kind == b"R":
            del self.wanted[thread]
        elif e.kind == b"G":
            if e.amount > self.wanted.pop(thread).amount:
                raise Failed(f"held more than its worst case: {e}")
            if e.handle in self.granted:
                raise Failed(f"one reservation was granted twice: {e} {self.granted[e.handle]}")
            self.granted[e.handle] = e
        elif e.kind == b"s":
            self.costs[e.handle].add(e.amount)
        elif e.kind == b"T":
            first = self.settled.setdefault(e.handle, e)
            if first.amount != e.amount:
                raise Failed(f"settled at two costs: {first} {e}")
            self.lates += e.flags & (LATE | REPLAY) == LATE
            self.replays += e.flags & REPLAY != 0
        elif e.kind == b"r":
            self.releasing.add(e.handle)
        elif e.kind == b"L" and e.detail == 0:
            self.released[e.handle] = e
        elif e.kind == b"c":
            self.charging[thread] = e
        elif e.kind == b"C":
            del self.charging[thread]
            if e.detail == 0:
                self.charged[(e.session, e.amount)] = e
        elif e.kind == b"v":
            self.stating.add(e.handle)
        elif e.kind == b"V" and e.detail == 0:
            self.stated.add(e.handle)
        elif e.kind == b"Q":
            self.asked += 1
            self.unanswered += e.flags
            self.corrupt += [e] * (e.flags and e.detail == E_CORRUPT)
        elif e.kind == b"Y":
            self.events.append(e)


class Books:
    """A home's, over all logs that were judged."""

    def look_at_events(self, told: Told) -> None:
        """Nothing was wrong with the ledger, but that somebody who was stopped had it."""
        strange = [event for event in told.events if event.amount & 0xFF != SQLITE_BUSY] + told.corrupt
        if strange:
            raise Failed(f"{len(strange)} times the ledger was told to be damaged: {strange[0]}")
        self.totals.update(events=len(told.events))

    ROWS = """SELECT s.node, t.handle, t.cost_nanos, t.flags, t.count, b.path FROM steps t
              JOIN sessions s ON s.id = t.session LEFT JOIN budgets b ON b.id = s.budget
              WHERE s.id > ? AND s.agent <> 'governor'"""

    def __init__(self) -> None:
        self.spent: Counter = Counter()  # by path
        self.session = 0  # the newest that was judged
        self.sure: Optional[int] = None
        self.has_report = True  # spend() has all that was spent: until a reboot
        self.stated: Set[int] = set()
        self.rows = self.estimated = self.unknown = self.lost = 0
        self.totals: Counter = Counter()

    def judge(self, rt: bursar.Runtime, told: Told, sure: Optional[int] = None) -> None:
        """`sure`: what was acknowledged from then on (steady ns) may be gone, in whole steps, with
        the memory that it was in."""
        self.sure = sure
        rows = rt.query(self.ROWS, self.session)
        handles = Counter(row["handle"] for row in rows)
        twice = [handle for handle, count in handles.items() if count > 1]
        if twice:
            raise Failed(f"{len(twice)} steps are in the ledger twice, as {twice[0]:x}: {self.of(told, twice[0])}")
        charged, charging = dict(told.charged), {}
        for entry in told.charging.values():
            charging[(entry.session, entry.amount)] = entry
        wanted: Dict[int, List[Entry]] = defaultdict(list)
        for entry in told.wanted.values():
            wanted[entry.session].append(entry)
        found: Set[int] = set()
        new: Counter = Counter()
        for row in rows:
            self.judge_row(row, told, charged, charging, wanted, found)
            new[row["path"]] += row["cost_nanos"]
            self.rows += 1
            self.estimated += row["flags"] & ESTIMATED
        self.look_for_lost(told, charged, found)
        if told.budget and rows:
            self.session = rt.query("SELECT max(id) id FROM sessions")[0]["id"]
        self.spent.update(new)
        self.judge_sums(rt)
        self.judge_outcomes(rt, told)
        self.totals.update(
            settled=len(told.settled), charged=len(told.charged), sessions=len(told.budget), lates=told.lates,
            replays=told.replays, asked=told.asked, unanswered=told.unanswered, waits=told.kinds[b"B"])

    def judge_row(self, row, told: Told, charged, charging, wanted, found: Set[int]) -> None:
        node, handle, cost, flags = row["node"], row["handle"], row["cost_nanos"], row["flags"]
        if node not in told.budget or row["path"] != BUDGETS[told.budget[node]] or row["count"] != 1:
            raise Failed(f"a row of a session that nobody opened there: {row}")
        if flags & CHARGE and handle not in told.granted:
            if charged.pop((node, cost), None) or charging.pop((node, cost), None):
                return
            raise Failed(f"a row of a charge that nobody made, or made once: {row}")
        grant = told.granted.get(handle)
        if grant is None:
            fits = [want for want in wanted[node] if want.amount >= cost]
            if not fits or not flags & ESTIMATED:
                raise Failed(f"a row of a step that nobody did: {row}")
            wanted[node].remove(fits[0])
            self.unknown += 1
            return
        found.add(handle)
        settled = told.settled.get(handle)
        released = told.released.get(handle)
        if grant.session != node or released and not self.may_be_gone(released):
            raise Failed(f"a row that cannot be: {row}: {self.of(told, handle)}")
        if settled is not None and cost == settled.amount and not flags & ESTIMATED:
            return
        if settled is not None and not settled.flags & LATE and flags & ESTIMATED == 0:
            raise Failed(f"acknowledged at {settled.amount}, in the ledger at {cost}: {row}")
        if settled is not None and not self.may_be_gone(settled):
            raise Failed(f"acknowledged at {settled.amount}, in the ledger at an estimate: {row} {settled}")
        if settled is None:
            self.unknown += 1
        if cost in told.costs[handle] or flags & ESTIMATED and cost <= grant.amount:
            return
        raise Failed(f"a row of another cost than anybody said: {row}: {self.of(told, handle)}")

    def may_be_gone(self, entry: Entry) -> bool:
        return self.sure is not None and entry.time >= self.sure

    def look_for_lost(self, told: Told, charged, found: Set[int]) -> None:
        missing = [told.settled[handle] for handle in told.settled if handle not in found]
        missing += charged.values()
        if self.sure is None:  # what was in flight is there, too: at its estimate
            missing += [grant for handle, grant in told.granted.items()
                        if handle not in found and handle not in told.releasing]
        lost = [entry for entry in missing if not self.may_be_gone(entry)]
        self.lost += len(missing) - len(lost)
        if lost:
            first = min(lost, key=lambda entry: entry.time)
            raise Failed(f"{len(lost)} acknowledged steps are not in the ledger, first {first}, "
                         f"{time.monotonic_ns() - first.time} ns ago")

    def judge_sums(self, rt: bursar.Runtime) -> None:
        """Budgets and sessions by SQL, counters, the spend report: all the same as the judge's sums."""
        rt.verify()
        above: Counter = Counter()
        for path, spent in self.spent.items():
            parts = path.split("/")
            for count in range(1, len(parts) + 1):
                above["/".join(parts[:count])] += spent
        said = {row["path"]: row["cost_nanos"] for row in rt.query("SELECT path, cost_nanos FROM v_budgets")}
        direct = {row["workflow"]: row["cost"] for row in rt.query(
            "SELECT workflow, sum(direct_cost_nanos) cost FROM v_sessions GROUP BY 1")}
        reported: Counter = Counter()
        for row in rt.spend():
            reported[row.path] += row.cost_nanos
        for path, spent in above.items():
            views = {"v_budgets": said.get(path), "the counter": rt.read(path).spent_nanos}
            if path in self.spent:
                views["v_sessions"] = direct.get(path)
                if self.has_report:
                    views["spend()"] = reported[path]
            for name, value in views.items():
                if value != spent:
                    raise Failed(f"{path} spent {spent}, {name} says {value}: {views}")

    def judge_outcomes(self, rt: bursar.Runtime, told: Told) -> None:
        stated = Counter(int(row["key"]) for row in rt.query("SELECT key FROM v_revisions"))
        twice = [number for number, count in stated.items() if count > 1]
        missing = told.stated - set(stated)
        unknown = set(stated) - told.stating - self.stated
        if twice or missing or unknown:
            raise Failed(f"outcomes: {len(twice)} twice, {len(missing)} missing, {len(unknown)} that nobody stated")
        self.stated = set(stated)

    @staticmethod
    def of(told: Told, handle: int) -> List[object]:
        return [told.granted.get(handle), told.costs.get(handle), told.settled.get(handle),
                handle in told.released, handle in told.releasing]
