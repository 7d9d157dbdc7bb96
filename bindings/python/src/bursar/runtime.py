"""A runtime: an open handle on a set of budgets. Budgets, control, prices and queries."""

from __future__ import annotations

import ctypes as C
import datetime
import os
import warnings
from typing import IO, TYPE_CHECKING, Any, Callable, Dict, Iterable, List, Mapping, Optional
from typing import Tuple, Union

from . import _abi
from .errors import BursarWarning, InvalidArgumentError, UnsupportedError, failure
from .estimator import RuntimeEstimator
from .events import Dispatcher, EventStream
from .hot import Steps
from .imports import Imported, import_outcomes
from .limits import Limits, limits_text
from .link import Link
from .money import Money, Span, dollars, nanos, span_ns, unix_ns
from .options import filled, word
from .prices import Prices
from .query import Column, rows
from .session import Session
from .views import Event, Health, HomeInfo, LimitView, MeterView, Process, Spend, View, values
from .words import BudgetFlag, Complexity, HomeFlag, LimitsFlag, Meter, OpenFlag, OutcomeState
from .words import Role, TextKind, Unavailable, Undeclared, UnknownModel, ViewFlag

if TYPE_CHECKING:
    from typing_extensions import Self

Target = Union[str, int, Session]


Directory = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]


def directory(home: Optional[Directory]) -> Optional[str]:
    """A directory as every process names it; None and the empty path are none."""
    path = os.fsdecode(home) if home is not None else ""
    return os.path.abspath(os.path.expanduser(path)) if path else None


def _path(name: Optional[str]) -> Optional[bytes]:
    return None if name is None else os.fsencode(name)


def _money(value: Optional[Money]) -> _abi.Text:
    if value is None or isinstance(value, str):
        return _abi.text(value)
    return _abi.text(dollars(nanos(value)))


class Runtime(Steps, Prices, RuntimeEstimator):
    """Opened by `bursar.open()`. Every method may be called from any thread.

    `home` is the directory of a set of budgets that processes share, made when it is not there;
    `~` is the user's directory. None or "": private to this process, nothing kept. When it cannot
    be used, HomeError says what is in the way, unless `on_unavailable` is "private" (a private
    runtime) or "allow" (one that stops nobody); `home` is None then. With `existing` a home is not
    made. A runtime with `role="agent"` cannot raise limits, revive or remove. `group` and `shm_dir`
    are for a new home: shared with its directory's group, and where its live state lies. `name` is
    what this process calls itself, for people.

    In the child of a fork a runtime on a home goes on, as another process of that home, and has
    its callbacks to set anew; a private one raises ForkedError.
    """

    def __init__(
        self,
        home: Optional[Directory] = None,
        *,
        on_unavailable: Union[Unavailable, str, None] = None,
        role: Union[Role, str, None] = None,
        existing: bool = False,
        group: bool = False,
        shm_dir: Optional[Directory] = None,
        name: str = "",
        observe: bool = False,
        unknown_model: Union[UnknownModel, str, None] = None,
        undeclared: Union[Undeclared, str, None] = None,
        sessions_max: int = 0,
        reservations_max: int = 0,
        text_bytes_max: int = 0,
        events_max: int = 0,
        ttl: Optional[datetime.timedelta] = None,
    ) -> None:
        options = filled(_abi.OpenOptions, {
            "flags": (OpenFlag.OBSERVE if observe else 0) | (OpenFlag.GROUP if group else 0)
            | (OpenFlag.EXISTING if existing else 0),
            "sessions_max": sessions_max,
            "reservations_max": reservations_max,
            "text_bytes_max": text_bytes_max,
            "events_max": events_max,
            "unknown_model": 0 if unknown_model is None else word(UnknownModel, unknown_model),
            "undeclared": 0 if undeclared is None else word(Undeclared, undeclared),
            "reservation_ttl_ns": 0 if ttl is None else span_ns(ttl),
            "on_unavailable":
                0 if on_unavailable is None else word(Unavailable, on_unavailable),
            "role": 0 if role is None else word(Role, role),
        })  # fmt: skip
        self.home = directory(home)
        options.home, options.name = _abi.text(_path(self.home)), _abi.text(name)
        options.shm_dir = _abi.text(_path(directory(shm_dir)))
        handle, error = C.c_void_p(), _abi.Error()
        call = _abi.library().call
        status = call.bursar_open(C.byref(options), C.byref(handle), C.byref(error))
        if status or not handle.value:
            raise failure(status, "open", error)
        info = _abi.HomeInfo()
        if call.bursar_home_info(handle, C.byref(info)) or not info.flags & HomeFlag.SHARED:
            self.home = None  # it could not be used, and that is allowed
        self._link = Link(handle.value)
        self._dispatcher = Dispatcher(handle.value)
        self._pid = os.getpid()

    # ---- Budgets ----

    def budget(
        self,
        path: str,
        *limits: Limits,
        owner: Optional[str] = None,
        cost_center: Optional[str] = None,
        purpose: Optional[str] = None,
        top_rung: Optional[Mapping[Union[Complexity, str], int]] = None,
        complexity: Union[Complexity, str] = Complexity.DEFAULT,
        observe: bool = False,
        replace: bool = False,
        earn: Optional[Money] = None,
        earn_most: Optional[Money] = None,
        earn_outcome: Optional[str] = None,
    ) -> int:
        """Makes sure that a budget is there, and answers with its id.

        One that is there stays as it is, and an event says so when the limits differ, unless
        `replace`: then what is not said, limits or an owner, is taken away. `top_rung`:
        the highest rung (1 = best) for each complexity. `earn`: what each verified outcome (of
        the name `earn_outcome`, or any) adds to its limits on cost, up to `earn_most` in all.
        """
        options = filled(_abi.BudgetOptions, {
            "flags": (BudgetFlag.REPLACE if replace else 0)
            | (BudgetFlag.OBSERVE if observe else 0),
            "complexity": word(Complexity, complexity),
        })  # fmt: skip
        options.limits, options.owner = _abi.text(limits_text(*limits)), _abi.text(owner)
        options.cost_center, options.purpose = _abi.text(cost_center), _abi.text(purpose)
        for kind, rung in (top_rung or {}).items():
            options.top_rung[word(Complexity, kind)] = rung
        options.earn, options.earn_most = _money(earn), _money(earn_most)
        options.earn_outcome = _abi.text(earn_outcome)
        out, data = C.c_int64(), path.encode()
        self._link.ask("bursar_budget_declare", data, len(data), C.byref(options), C.byref(out))
        return out.value

    def remove(self, target: Target) -> None:
        """Removes a budget without children; what was spent stays in its ancestors."""
        self._link.ask("bursar_budget_remove", self._id(target))

    def limits_set(self, target: Target, *limits: Limits) -> None:
        """Replaces the limits of a budget or session at once; "unlimited" removes them."""
        data = limits_text(*limits).encode()
        self._link.ask("bursar_limits_set", self._id(target), data, len(data))

    def limits_parse(self, *limits: Limits, session: bool = False) -> str:
        """The canonical form of limit text; LimitTextError with column and sentence."""
        data, error = limits_text(*limits).encode(), _abi.Error()

        def parse(buffer: Any, capacity: int, length: Any) -> int:
            status: int = self._link.call.bursar_limits_parse(
                self._link.handle, LimitsFlag.SESSION if session else 0, data, len(data), buffer,
                capacity, length, C.byref(error))  # fmt: skip
            return status

        status, text = _abi.read_text(parse)
        if status:
            self._link.failed(status, "limits", error)
        return text

    def top_up(
        self,
        target: Target,
        amount: Money,
        *,
        for_: Optional[datetime.timedelta] = None,
        reason: str = "",
    ) -> None:
        """Adds "$5", "200k tokens" or "10m wall" to every such limit; `for_`: it expires."""
        text = amount if isinstance(amount, str) else dollars(nanos(amount))
        data, why = text.encode(), reason.encode()
        span = 0 if for_ is None else span_ns(for_)
        if span < 0 or (for_ is not None and span == 0):
            raise InvalidArgumentError(f"for_ is {for_!r}: a top-up lasts for a positive time")
        self._link.ask("bursar_top_up", self._id(target), data, len(data), span, why, len(why))

    def observe(self, target: Optional[Target] = None, on: bool = True) -> None:
        """Counts, decides and reports there (None = everywhere) but stops nobody."""
        self._link.do("bursar_observe", 0 if target is None else self._id(target), int(on))

    def meter(self, name: str) -> Meter:
        """Names a meter (`credits`, `gpu_seconds`), or finds it."""
        return Meter(self._link.meter(name))

    # ---- Sessions and control ----

    def session(
        self,
        path: Target,
        *limit: Limits,
        limits: Optional[Limits] = None,
        agent: str = "",
        deadline: Optional[Span] = None,
        idle: Optional[Span] = None,
        ladder: Union[str, Iterable[str]] = (),
        labels: Optional[Mapping[str, str]] = None,
        complexity: Union[Complexity, str] = Complexity.DEFAULT,
        holdback: Money = 0,
    ) -> Session:
        """Opens a session under a budget's path or id, or as a child of a session.

        Limits are text or Limit objects, in place or as `limits=[…]`; `deadline` and `idle` are
        the limits `wall` and `idle`. `ladder`: models, best first. `holdback`: money kept back
        for a step with `final=True`.
        """
        options = filled(_abi.SessionOptions, {
            "parent": 0 if isinstance(path, str) else self._id(path),
            "complexity": word(Complexity, complexity),
            "holdback_nanos": nanos(holdback),
            "label_count": len(labels or ()),
        })  # fmt: skip
        options.path = _abi.text(path if isinstance(path, str) else None)
        options.agent = _abi.text(agent)
        options.limits = _abi.text(limits_text(*limit, limits, deadline=deadline, idle=idle))
        options.ladder = _abi.text(ladder if isinstance(ladder, str) else ",".join(ladder))
        pairs = [_abi.Label(_abi.text(k), _abi.text(v)) for k, v in (labels or {}).items()]
        options.labels = (_abi.Label * len(pairs))(*pairs)
        out = C.c_int64()
        self._link.ask("bursar_session_open", C.byref(options), C.byref(out))
        return Session(self, out.value, parent=path if isinstance(path, Session) else None)

    def attach(self, session: str) -> Session:
        """The session that another process of the home handed over: its BURSAR_SESSION.

        It stays the other's: leaving `with` does not close it, `close()` does.
        """
        data, out = session.encode(), C.c_int64()
        self._link.ask("bursar_session_attach", data, len(data), C.byref(out))
        return Session(self, out.value, attached=True)

    def kill(
        self, target: Optional[Target] = None, *, everything: bool = False, reason: str = ""
    ) -> None:
        """Stops a session, a budget's whole subtree or everything, at its next reserve."""
        self._control("bursar_kill", target, everything, reason)

    def revive(
        self, target: Optional[Target] = None, *, everything: bool = False, reason: str = ""
    ) -> None:
        """Undoes a kill."""
        self._control("bursar_revive", target, everything, reason)

    def pause(
        self, target: Optional[Target] = None, *, everything: bool = False, reason: str = ""
    ) -> None:
        """As kill, but to be resumed."""
        self._control("bursar_pause", target, everything, reason)

    def resume(
        self, target: Optional[Target] = None, *, everything: bool = False, reason: str = ""
    ) -> None:
        """Undoes a pause, also one by a limit's `then pause`."""
        self._control("bursar_resume", target, everything, reason)

    def _control(
        self, name: str, target: Optional[Target], everything: bool, reason: str
    ) -> None:
        if everything == (target is not None):
            raise TypeError("name a path, an id or a session, or say everything=True; not both")
        data = reason.encode()
        self._link.do(name, 0 if target is None else self._id(target), data, len(data))

    def _id(self, target: Target) -> int:
        """The id of a path, a session or an id."""
        if isinstance(target, Session):
            return target.id
        if isinstance(target, str):
            link, data, out = self._link, target.encode(), C.c_int64()
            status = link.call.bursar_budget_find(link.handle, data, len(data), C.byref(out))
            if status:
                link.failed(status, f"budget {target!r}")
            return out.value
        if isinstance(target, int) and not isinstance(target, bool) and 0 < target < 1 << 63:
            return target
        raise InvalidArgumentError(f"{target!r} is no path, session or id")

    # ---- Queries ----

    def read(self, target: Target) -> View:
        """A budget or session: state, spend, meters, limits, texts."""
        id, out = self._id(target), _abi.View()
        status = self._link.call.bursar_read(self._link.handle, id, C.byref(out))
        if status:
            self._link.failed(status, f"read {target!r}")
        limits = (self._limit(id, position) for position in range(out.limits))
        text = {kind: self._link.text(id, kind) for kind in TextKind if kind < TextKind.METER}
        pairs = (line.partition("=") for line in text[TextKind.LABELS].split("\n") if line)
        return values(
            View, out,
            flags=ViewFlag(out.flags),
            path=text[TextKind.PATH],
            agent=text[TextKind.AGENT],
            owner=text[TextKind.OWNER],
            cost_center=text[TextKind.COST_CENTER],
            purpose=text[TextKind.PURPOSE],
            why=text[TextKind.REASON],
            labels={key: value for key, _, value in pairs},
            ladder=tuple(name for name in text[TextKind.LADDER].split(",") if name),
            meters=self._meters_of(id),
            limits=tuple(limit for limit in limits if limit is not None),
        )  # fmt: skip

    def _limit(self, id: int, position: int) -> Optional[LimitView]:
        out = _abi.LimitView()
        gone = self._link.call.bursar_limit_read(self._link.handle, id, position, C.byref(out))
        return None if gone else values(LimitView, out)

    def _meters_of(self, id: int) -> Dict[str, MeterView]:
        meters = {}
        for number in range(Meter.WALL):
            out = _abi.MeterView()
            if self._link.call.bursar_meter_read(self._link.handle, id, number, C.byref(out)) == 0:
                name = self._link.text(number, TextKind.METER) or Meter(number).name.lower()
                meters[name] = values(MeterView, out)
        return meters

    def children(self, target: Optional[Target] = None) -> List[int]:
        """The ids directly below; None = the top."""
        id, count, capacity = 0 if target is None else self._id(target), C.c_size_t(), 64
        while True:
            ids = (C.c_int64 * capacity)()
            self._link.do("bursar_children", id, ids, capacity, C.byref(count))
            if count.value <= capacity:
                return ids[: count.value]
            capacity = count.value

    def spend(self) -> List[Spend]:
        """Spend by workflow, agent and models since the runtime opened."""
        rows: List[Spend] = []
        out = _abi.Spend()
        while self._link.call.bursar_spend_read(self._link.handle, len(rows), C.byref(out)) == 0:
            numbers = (out.asked_model, out.model)
            asked, model = (self._link.model_name(n) if n else "" for n in numbers)
            rows.append(values(Spend, out, asked_model=asked, model=model))
        return rows

    def query(
        self,
        sql: str,
        *parameters: Column,
        timeout: Optional[datetime.timedelta] = None,
        as_written: bool = False,
    ) -> List[Dict[str, Column]]:
        """The rows of one SELECT over the ledger's views, by column name: docs/ledger.md.

        `?` in the SQL stand for the parameters, in their order. It sees all that was settled
        before; what the home's writer has not written yet is written first, unless `as_written`.
        QueryError has line and column.
        """
        return rows(self._link, sql, parameters, timeout, as_written)

    def outcome(
        self,
        name: str,
        value: Optional[Money] = None,
        *,
        id: str = "",
        state: Union[OutcomeState, str] = OutcomeState.STATED,
        session: Union[Session, int, None] = None,
        workflow: str = "",
        label: Optional[Tuple[str, str]] = None,
        rework: Optional[Money] = None,
        rework_time: Optional[datetime.timedelta] = None,
        by: str = "",
        reason: str = "",
        at: Optional[datetime.datetime] = None,
    ) -> None:
        """States a business result of a session, a workflow's path or all sessions with a label,
        or revises one by its name and id: "verified" (by somebody else than who stated it),
        "disputed", "corrected" (`value`, `rework`), "withdrawn".

        `id` is your own: stating it again changes nothing, and without one it is never revised.
        `value` and `rework` are money, `rework_time` is somebody's time. `by`: who says so; else
        the runtime's name, or its user. `at`: when it came about; else now.
        """
        out = filled(_abi.Outcome, {
            "state": word(OutcomeState, state),
            "session": 0 if session is None else self._id(session),
            "rework_nanos": 0 if rework is None else nanos(rework),
            "rework_ns": 0 if rework_time is None else span_ns(rework_time),
            "at": 0 if at is None else unix_ns(at),
        })  # fmt: skip
        out.name, out.id, out.workflow = _abi.text(name), _abi.text(id), _abi.text(workflow)
        if label and (isinstance(label, str) or len(label) != 2 or "=" in label[0]):
            raise InvalidArgumentError(f"a label is a key and a value, not {label!r}")
        out.label = _abi.text("=".join(label) if label else None)
        out.value = _money(value)
        out.by, out.reason = _abi.text(by), _abi.text(reason)
        self._link.ask("bursar_outcome", C.byref(out))

    def import_outcomes(
        self,
        file: Union[str, "os.PathLike[str]", IO[bytes], IO[str]],
        *,
        format: Optional[str] = None,
        by: str = "",
        columns: Optional[Mapping[str, str]] = None,
        defaults: Optional[Mapping[str, str]] = None,
        ignore_unknown: bool = False,
    ) -> Imported:
        """States and revises the outcomes of a file: CSV with a header, a JSON list of objects or
        JSON lines (`format` "csv" or "json"; else its first character says which).

        Columns are name, id (both needed), session, workflow, label ("customer=hooli") or
        label:customer, value, rework ("$5" or "12 min"), state, by, at and reason: docs/ledger.md.
        `columns` says what the file calls them ({"Deal": "id", "Notes": ""}: "" leaves one out),
        `defaults` what a line that is silent means, `by` who says so. The same file again changes
        nothing. What is wrong with a line is in `failed`; what is wrong with the file is
        InvalidArgumentError, and what is wrong with the home is raised with the line's number.
        """
        if not self.home_info().flags:
            raise UnsupportedError("a private runtime keeps no outcomes: open one with a home")
        return import_outcomes(
            self._link, file, format, by, columns or {}, defaults or {}, ignore_unknown)

    def home_info(self) -> HomeInfo:
        """What home this runtime has; `flags` is 0 when it is private."""
        out = _abi.HomeInfo()
        self._link.do("bursar_home_info", C.byref(out))
        return values(HomeInfo, out, flags=HomeFlag(out.flags))

    def processes(self) -> List[Process]:
        """The processes that are attached to the home."""
        found: List[Process] = []
        out = _abi.Process()
        next_one = self._link.call.bursar_home_process
        while next_one(self._link.handle, len(found), C.byref(out)) == 0:
            found.append(values(Process, out))
        return found

    def health(self) -> Health:
        """Figures for a health page."""
        out = _abi.Health()
        self._link.do("bursar_health", C.byref(out))
        return values(Health, out)

    def verify(self) -> None:
        """Checks committed = spent + held + settled and not folded, everywhere, and the ledger's
        totals against its steps and the counters; at rest."""
        self._link.ask("bursar_verify")

    # ---- Events and the end ----

    def on_event(self, callback: Optional[Callable[[Event], object]]) -> None:
        """Sets, or with None removes, the callback; it runs on a Python thread of its own."""
        self._dispatcher.set_callback(callback)

    def events(self) -> EventStream:
        """`async for event in runtime.events()`, from now on until the runtime closes."""
        return EventStream(self._dispatcher)

    @property
    def closed(self) -> bool:
        return self._link.handle is None

    def close(self) -> None:
        """Delivers what is pending and ends the runtime's thread. Twice is fine."""
        handle = self._link.close()
        if handle is not None:
            self._dispatcher.close()
            _abi.library().call.bursar_close(handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        # The copy that the child of a fork has is not its to close.
        if not self.__dict__.get("_pid", 0) == os.getpid():
            return
        if not self.closed:
            warnings.warn("a runtime was never closed", BursarWarning)
            self.close()
