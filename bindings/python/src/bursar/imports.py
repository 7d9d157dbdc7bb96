"""Outcomes from a file, as a CRM exports them: CSV, JSON or JSON lines. What is wrong with a line
keeps no other out, and the same file again changes nothing."""

from __future__ import annotations

import csv
import ctypes as C
import datetime
import io
import json
import os
import re
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple, Union

from . import _abi
from .errors import BursarError, InvalidArgumentError, failure
from .link import Link
from .money import nanos
from .words import OutcomeState, Status

COLUMNS = ("name", "id", "session", "workflow", "label", "value", "rework", "state", "by", "at",
           "reason")
_CALL = 1024
_STATES = {state.name.lower(): state for state in OutcomeState}
_AT = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})"
    r"(?:\.([0-9]{1,9}))?)? ?([Zz]|[+-][0-9]{2}:?[0-9]{2})?)?")
_TIME = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?) ?(hours?|h|minutes?|min|m|seconds?|sec|s) ?")
_UNITS = {"h": 3_600_000, "m": 60_000, "s": 1_000}  # milliseconds
_CUT = re.compile(r"[0-9](?:[.,][0-9]+)?[Ee]\+[0-9]+")
_BROKEN = ("#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!")
_EPOCH = datetime.date(1970, 1, 1).toordinal()


class FailedLine(NamedTuple):
    """A line that was not imported: where, and why. `column` is empty where it is none's."""

    line: int
    column: str
    reason: str

    def __str__(self) -> str:
        column = f", column {self.column}" if self.column else ""
        return f"line {self.line}{column}: {self.reason}"


class Imported(NamedTuple):
    """What became of a file's outcomes."""

    stated: int
    revised: int
    unchanged: int  # they were there
    failed: List[FailedLine]


class _Bad(Exception):
    def __init__(self, column: str, reason: str) -> None:
        super().__init__(column, reason)
        self.column, self.reason = column, reason


Record = Tuple[int, Union[Dict[str, str], _Bad]]


def import_outcomes(
    link: Link,
    file: Any,
    format: Optional[str],
    by: str,
    columns: Mapping[str, str],
    defaults: Mapping[str, str],
    ignore_unknown: bool,
) -> Imported:
    names = _Names(columns, ignore_unknown)
    usual = {_known(key): value for key, value in defaults.items()}
    if by:
        usual["by"] = by
    text = _text(file)
    if format is None:
        format = "json" if text.lstrip()[:1] in ("[", "{") else "csv"
    if format not in ("csv", "json"):
        raise InvalidArgumentError(f"an import's format is csv or json, so not {format!r}")
    records = _json(text, names) if format == "json" else _csv(text, names, usual)
    return _Import(link, usual).run(records)


class _Import:
    def __init__(self, link: Link, usual: Dict[str, str]) -> None:
        self.link, self.usual = link, usual
        self.seen: Dict[Tuple[str, str], Tuple[int, Dict[str, str]]] = {}
        self.stated = self.revised = self.unchanged = 0
        self.failed: List[FailedLine] = []
        self.waiting: List[Tuple[int, _abi.Outcome]] = []
        self.results = (C.c_int32 * _CALL)()
        self.errors = (_abi.Error * _CALL)(*(_abi.Error() for _ in range(_CALL)))

    def run(self, records: Iterator[Record]) -> Imported:
        for line, fields in records:
            try:
                if isinstance(fields, _Bad):
                    raise fields
                self.waiting.append((line, self.outcome(line, self.whole(fields))))
            except _Bad as bad:
                self.failed.append(FailedLine(line, bad.column, bad.reason))
            if len(self.waiting) == _CALL:
                self.say()
        self.say()
        return Imported(self.stated, self.revised, self.unchanged, sorted(self.failed))

    def whole(self, fields: Dict[str, str]) -> Dict[str, str]:
        """With the defaults of what it does not say."""
        said = {column: text for column, text in fields.items() if text}
        credited = any(_credits(column) for column in said)
        return {
            **{c: text for c, text in self.usual.items() if not (credited and _credits(c))}, **said}

    def say(self) -> None:
        """Hands over what waits."""
        count = len(self.waiting)
        if not count:
            return
        outcomes = (_abi.Outcome * count)(*(outcome for _, outcome in self.waiting))
        status = self.link.call.bursar_outcomes(
            self.link.handle, outcomes, count, self.results, self.errors)
        for k, (line, outcome) in enumerate(self.waiting):
            result, error = self.results[k], self.errors[k]
            # Nothing more comes in: the home, a lock, a runtime that keeps none.
            if result < 0 and result in (status, Status.E_UNSUPPORTED):
                problem = failure(result, "the outcome is not there", error)
                problem.args = (
                    f"line {line}: {problem}; what the lines before it say is in the ledger, and"
                    " the same file may be imported again",)
                problem.line = line
                raise problem
            if result < 0:
                said = _sentence(failure(result, "it was refused", error))
                column = "value" if result == Status.E_MONEY_TEXT else ""
                self.failed.append(FailedLine(line, column, said))
            elif result == 0:
                self.unchanged += 1
            elif outcome.state == OutcomeState.STATED:
                self.stated += 1
            else:
                self.revised += 1
        self.waiting = []

    def outcome(self, line: int, fields: Dict[str, str]) -> _abi.Outcome:
        for column, text in fields.items():
            _check(column, text)
        for column in ("name", "id"):
            if not fields.get(column):
                raise _Bad(column, "is empty; with a name and an id it can be imported again")
        out = _abi.Outcome()
        state = _STATES.get(fields.get("state", "stated").lower())
        if state is None:
            raise _Bad("state", f"{_short(fields['state'])} is none of {', '.join(_STATES)}")
        out.state = state
        if fields.get("at"):
            out.at = _at(fields["at"])
        elif state != OutcomeState.STATED:
            raise _Bad("at", "is empty; what is not `stated` says when, so that the same file "
                             "again is not a revision")  # fmt: skip
        self.once(line, fields, state)
        if fields.get("session"):
            if not re.fullmatch("[0-9]{1,19}", fields["session"]) or int(fields["session"]) >> 63:
                raise _Bad("session", f"{_short(fields['session'])} is no session's number")
            out.session = int(fields["session"])
        if fields.get("rework"):
            out.rework_nanos, out.rework_ns = _rework(fields["rework"])
        for column in ("name", "id", "workflow", "value", "by", "reason"):
            setattr(out, column, _abi.text(fields.get(column)))
        out.label = _abi.text(_label(fields))
        return out

    def once(self, line: int, fields: Dict[str, str], state: OutcomeState) -> None:
        """The file states each outcome once, or says the same of it."""
        if state == OutcomeState.STATED:
            first, said = self.seen.setdefault((fields["name"], fields["id"]), (line, fields))
            if said != fields:
                raise _Bad("id", f"{_short(fields['id'])} is on line {first} too, which says "
                                 "something else of it")  # fmt: skip


# ---- Fields ----


def _credits(column: str) -> bool:
    return column in ("session", "workflow") or column.startswith("label")


def _check(column: str, text: str) -> None:
    if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        raise _Bad(column, "is not UTF-8: save the file as UTF-8")
    if text.startswith("="):
        raise _Bad(column, f"{_short(text)} is a formula: export what it comes to")
    if text in _BROKEN:
        raise _Bad(column, f"{text} is a spreadsheet's error")
    if column == "id" and _CUT.fullmatch(text):
        raise _Bad(column, f"{text} was cut by a spreadsheet: format its column as text")


def _sentence(error: BursarError) -> str:
    """Without the place in an amount's text: the file has columns of its own."""
    return re.sub("^column [0-9]+: ", "", str(error))


def _plain(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")[1:-1]


def _short(text: str) -> str:
    return f"`{_plain(text)}`"


def _label(fields: Dict[str, str]) -> Optional[str]:
    """`key=value`: of the column `label`, or of the one of `label:key` that is not empty."""
    labels = sorted(column for column in fields if column.startswith("label") and fields[column])
    if not labels:
        return None
    if len(labels) > 1:
        raise _Bad(labels[0], f"and {labels[1]}: an outcome is credited to one label")
    text = fields[labels[0]]
    return text if labels[0] == "label" else f"{labels[0][6:]}={text}"


def _rework(text: str) -> Tuple[int, int]:
    """Money, and nanoseconds of somebody's time."""
    if "$" in text or "USD" in text.upper():
        try:
            return nanos(text), 0
        except BursarError as error:
            raise _Bad("rework", _sentence(error)) from None
    pieces = _TIME.findall(text.lower())
    rest = _TIME.sub("", text.lower())
    whole = sum(
        int(number.replace(".", "") + "0" * (3 - len(number.partition(".")[2]))) * _UNITS[unit[0]]
        for number, unit in pieces)  # thousandths of milliseconds
    if not pieces or rest or whole * 1_000 >> 63:
        raise _Bad("rework", f"{_short(text)} is neither money nor time: `$5` or `12 min`")
    return 0, whole * 1_000


def _at(text: str) -> int:
    """Unix nanoseconds of a day, or of a day and time; UTC where it names no zone."""
    found = _AT.fullmatch(text)
    if found:
        year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
        zone = (found[8] or "Z").replace(":", "")
        offset = 0 if zone in "Zz" else int(zone[1:3]) * 60 + int(zone[3:5])
        try:
            days = datetime.date(year, month, day).toordinal() - _EPOCH
        except ValueError:
            days = -1
        if 0 <= days < 106_000 and hour < 24 and minute < 60 and second < 60 and offset < 1_440:
            minutes = days * 1_440 + hour * 60 + minute - (-offset if zone[0] == "-" else offset)
            at = (minutes * 60 + second) * 10**9 + int((found[7] or "").ljust(9, "0"))
            if at > 0:
                return at
    raise _Bad("at", f"{_short(text)} is no time since 1970: `2026-10-31` or `2026-10-31T14:05:00Z`")


# ---- Columns ----


class _Names:
    """What a file calls its columns."""

    def __init__(self, columns: Mapping[str, str], ignore_unknown: bool) -> None:
        self.ignore_unknown = ignore_unknown
        self.columns = {theirs.strip(): ours and _known(ours) for theirs, ours in columns.items()}

    def find(self, name: str) -> Optional[str]:
        """Ours for theirs: "" when it is left out, None when nobody knows it."""
        name = name.strip()
        if name in self.columns:
            return self.columns[name]
        return _column(name) or ("" if self.ignore_unknown or not name else None)


def _column(name: str) -> str:
    if name.lower() in COLUMNS:
        return name.lower()
    prefix, _, key = name.partition(":")
    labelled = prefix.strip().lower() == "label" and key.strip() and "=" not in key
    return "label:" + key.strip() if labelled else ""


def _known(name: str) -> str:
    ours = _column(name)
    if not ours:
        raise InvalidArgumentError(f"{_short(name)} is unknown; {_ARE}")
    return ours


_ARE = "an import's columns are " + ", ".join(COLUMNS) + " and label:<key>"


def _csv(text: str, names: _Names, usual: Mapping[str, str]) -> Iterator[Record]:
    first = next((line for line in text.splitlines() if line.strip(" \t,;\"")), "")
    mark = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
    header: List[str] = []
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            if not header:
                raise InvalidArgumentError(f"line {line}: the header is not CSV: {error}") from None
            ended = ", and nothing after it was read" if "end of data" in str(error) else ""
            yield line, _Bad("", f"a quote is out of place, or a field is too long{ended}: {error}")
            continue
        if not any(field.strip() for field in fields):
            continue
        if header:
            if len(fields) != len(header):
                yield line, _Bad("", f"has {len(fields)} fields, and the header has {len(header)}")
            else:
                yield line, {c: field.strip() for c, field in zip(header, fields) if c}
            continue
        found = [names.find(field) for field in fields]
        strange = [field.strip() for field, ours in zip(fields, found) if ours is None]
        if strange:
            strange = [_short(name) for name in strange]
            raise InvalidArgumentError(
                f"line {line}: unknown columns {', '.join(strange)}; {_ARE}; others are left "
                "out with ignore_unknown, or named in columns")
        header = [ours or "" for ours in found]
        for ours in header:
            if ours and header.count(ours) > 1:
                raise InvalidArgumentError(f"line {line}: there are two columns {ours}")
        for needed in ("name", "id"):
            if needed not in header and needed not in usual:
                raise InvalidArgumentError(f"line {line}: there is no column {needed}")
    if not header:
        raise InvalidArgumentError("the file is empty: its first line has the columns' names")


class _Object(List[Any]):
    """The keys and values of a JSON object, in its order."""


def _json(text: str, names: _Names) -> Iterator[Record]:
    """A list of objects, or an object a line."""
    decoder = json.JSONDecoder(
        object_pairs_hook=_Object, parse_float=str, parse_int=str, parse_constant=str)
    if text.lstrip()[:1] == "[":
        yield from _list(text, names, decoder)
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, _fields(decoder.decode(line.strip()), names)
            except (ValueError, RecursionError) as error:
                yield number, _Bad("", f"is not JSON: {_said(error)}")


def _list(text: str, names: _Names, decoder: json.JSONDecoder) -> Iterator[Record]:
    at, counted, line = text.index("[") + 1, 0, 1
    comma = ""
    while True:
        at = _skip(text, at)
        if text[at : at + 1] == "]" and not text[at + 1 :].strip():
            return
        at = _skip(text, at + 1) if comma and text[at : at + 1] == comma else at
        line, counted, comma = line + text.count("\n", counted, at), at, ","
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            yield line, _Bad("", f"is not JSON, and nothing after it was read: {_said(error)}")
            return
        yield line, _fields(value, names)


def _skip(text: str, at: int) -> int:
    while text[at : at + 1] in (" ", "\t", "\r", "\n"):
        at += 1
    return at


def _said(error: Exception) -> str:
    return getattr(error, "msg", "it is nested too deep")


def _fields(value: Any, names: _Names) -> Union[Dict[str, str], _Bad]:
    if not isinstance(value, _Object):
        return _Bad("", "is no JSON object")
    fields: Dict[str, str] = {}
    for name, item in value:
        ours = names.find(name)
        if ours is None:
            return _Bad(_plain(name), f"is unknown; {_ARE}")
        if not ours:
            continue
        if ours in fields:
            return _Bad(ours, "is there twice")
        if item is not None and not isinstance(item, str):
            return _Bad(ours, "is neither text nor a number")
        fields[ours] = (item or "").strip()
    return fields


def _text(file: Any) -> str:
    """All of a path, or of a file that is open; what is not UTF-8 stays recognisable."""
    if isinstance(file, (str, os.PathLike)):
        with open(file, "rb") as opened:
            data = opened.read()
    else:
        data = file.read()
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogatepass")
    if b"\0" in data:
        raise InvalidArgumentError(
            f"line {data.count(10, 0, data.index(0)) + 1}: the file has a NUL, so it is neither CSV "
            "nor JSON in UTF-8: export it anew")
    text: str = data.decode("utf-8", "surrogateescape")
    return text[1:] if text.startswith("\ufeff") else text
